"""Windows of local time."""

# ruff: noqa: DTZ001  a window is in local time, which is naive

from datetime import datetime, time, timedelta, timezone

import pytest

from depositd.config.window import Window, parse_window

NIGHT = Window(time(20), time(6))
DAY = Window(time(9), time(17, 30))


@pytest.mark.parametrize(
    ("window", "local", "is_open"),
    [
        (NIGHT, time(20), True),
        (NIGHT, time(19, 59, 59), False),
        (NIGHT, time(0), True),
        (NIGHT, time(5, 59, 59, 999_999), True),
        (NIGHT, time(6), False),
        (DAY, time(9), True),
        (DAY, time(8, 59), False),
        (DAY, time(17, 30), False),
    ],
)
def test_open_at(window: Window, local: time, is_open: bool):
    assert window.open_at(local) is is_open


@pytest.mark.parametrize(
    ("window", "now", "wait_s"),
    [
        (NIGHT, datetime(2026, 11, 21, 19, 0, 0), 3600.0),
        (NIGHT, datetime(2026, 11, 21, 6, 0, 0), 14 * 3600.0),
        (NIGHT, datetime(2026, 11, 21, 23, 0, 0), 0.0),
        (DAY, datetime(2026, 12, 31, 17, 30, 0), 15.5 * 3600.0),
        (DAY, datetime(2026, 11, 21, 8, 59, 59, 500_000), 0.5),
        (DAY, datetime(2026, 11, 21, 8, 0, tzinfo=timezone(timedelta(hours=5))), 3600.0),
    ],
)
def test_opens_in_s(window: Window, now: datetime, wait_s: float):
    assert window.opens_in_s(now) == wait_s


@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("20:00-06:00", time(20), time(6)),
        ("9:05 - 17:30", time(9, 5), time(17, 30)),
        ("18:00-24:00", time(18), time(0)),
    ],
)
def test_parse(text: str, opens: time, closes: time):
    assert parse_window(text) == Window(opens, closes)


@pytest.mark.parametrize(
    "text", ["", "20:00", "20-06", "24:00-06:00", "20:60-06:00", "20:00-24:30", "6:00-6:00", "00:00-24:00"]
)
def test_what_is_not_a_window(text: str):
    with pytest.raises(ValueError, match=r"20:00-06:00\)$"):
        parse_window(text)


def test_a_window_is_shown_as_it_is_written():
    assert str(NIGHT) == "20:00-06:00"


@pytest.mark.parametrize(
    ("window", "now", "work_h", "after_h"),
    [
        (NIGHT, datetime(2026, 11, 21, 21, 0, 0), 9, 9),
        (NIGHT, datetime(2026, 11, 21, 21, 0, 0), 10, 24),
        (NIGHT, datetime(2026, 11, 21, 2, 0, 0), 5, 19),
        (NIGHT, datetime(2026, 11, 21, 19, 0, 0), 1, 2),
        (NIGHT, datetime(2026, 11, 21, 19, 0, 0), 10, 11),
        (NIGHT, datetime(2026, 11, 21, 19, 0, 0), 20, 35),
        (NIGHT, datetime(2026, 11, 21, 19, 0, 0), 35, 1 + 3 * 24 + 5),
        (DAY, datetime(2026, 11, 21, 17, 0, 0), 0.75, 16.25),
    ],
)
def test_work_rests_while_the_window_is_closed(window: Window, now: datetime, work_h: float, after_h: float):
    assert window.after_s(now, work_h * 3600) == after_h * 3600
