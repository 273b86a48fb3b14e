"""The sentence of ``systemctl status``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from depositd.model import DeliveryState
from depositd.service.status_line import Away, Standing, StatusLine, status_line, stopping_line, sweeping_line
from depositd.systemd.notify import STATUS_LENGTH, status_text

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
AT_02_14 = datetime(2026, 11, 21, 2, 14, tzinfo=UTC)


def test_it_says_all_that_a_glance_should_show():
    standing = Standing(
        growing=3,
        counts={DeliveryState.WAITING: 7, DeliveryState.HELD: 1, DeliveryState.DELIVERED: 1204},
        archiving=1,
        sending=2,
        away=[Away("irrmc", "away", AT_02_14)],
        last_delivered=NOW,
    )
    assert status_line(standing, NOW) == (
        "1 needs you; 3 growing, 1 being archived, 2 being sent, 5 waiting, 1,204 delivered, irrmc away since 02:14;"
        " last delivered 03:00"
    )


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (Standing(), "nothing to do"),
        (Standing(growing=1), "1 growing"),
        (Standing(counts={DeliveryState.HELD: 2, DeliveryState.FAILED: 1}), "3 need you; nothing to do"),
        (Standing(counts={DeliveryState.UNCONFIRMED: 1}), "1 waiting"),
        (Standing(counts={DeliveryState.UPLOADED: 1, DeliveryState.SUBMITTED: 4}), "5 in the server's hands"),
        (Standing(sending=1), "1 being sent"),  # the journal was read a moment later
        (Standing(missing=["/data"]), "/data is not there; nothing to do"),
        (Standing(missing=["/a", "/b", "/c", "/d"]), "/a, /b, /c and 1 more are not there; nothing to do"),
        (Standing(silent=["watcher of /data has not moved for 11 min (allowed 10 min)"], growing=1),
         "watcher of /data has not moved for 11 min (allowed 10 min); 1 growing"),
        (Standing(last_delivered=NOW - timedelta(days=2)), "nothing to do; last delivered 2026-11-19 03:00"),
    ],
)  # fmt: skip
def test_it_says_only_what_is_so(standing, line):
    assert status_line(standing, NOW) == line


@pytest.mark.fault(36)
def test_what_somebody_has_to_see_is_not_cut_off_and_names_are_harmless():
    away = [Away(f"server\n{number}" * 40, "away", NOW) for number in range(50)]
    sent = status_text(status_line(Standing(counts={DeliveryState.FAILED: 1}, away=away), NOW))
    assert sent.startswith("1 needs you; ")
    assert len(sent) <= STATUS_LENGTH
    assert "\n" not in sent


def test_a_start_says_what_is_swept_and_how_far_it_is():
    assert sweeping_line({}) == "starting"
    assert sweeping_line({"/data": 120_000}) == "starting: sweeping /data (120,000 files so far)"
    assert sweeping_line({"/a": 1, "/b\n": 0}) == "starting: sweeping /a (1 file so far), /b\\n (0 files so far)"


def test_a_stop_says_what_it_waits_for():
    assert stopping_line(0, 0, 8) == "stopping"
    assert stopping_line(1, 0, 8) == "stopping: 1 delivery under way, at most 8 s left"
    assert stopping_line(2, 1, 8) == "stopping: 2 deliveries and 1 archive under way, at most 8 s left"


def test_a_line_is_sent_when_it_changes_and_not_more_often_than_every_few_seconds():
    said = []
    line = StatusLine(said.append)
    assert line.is_due(0.0)
    line.tell("one", 0.0)
    assert not line.is_due(1.9)
    assert line.is_due(2.0)
    line.tell("one", 2.0)
    line.tell("two", 4.0)
    assert said == ["one", "two"]
