"""Durations, sizes, rates, times and names, read and written."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.units import (
    parse_duration_s,
    parse_rate_bytes_per_s,
    parse_size_bytes,
    parse_utc,
    printable,
    show_count,
    show_duration,
    show_numbers,
    show_size,
    utc_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("250ms", 0.25),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 1.5 h ", 5400),
    ],
)
def test_durations_are_read(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "5 years", "1h,30m", "5M", "٣s", "1e3s", "5s!", "x5s"])
def test_what_is_no_duration_is_refused_with_what_would_be_right(text):
    with pytest.raises(ValueError, match=r"is not a duration .*30s or 5m"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1B", 1),
        ("50MB", 50_000_000),
        ("20GiB", 20 * 2**30),
        ("1.5 kB", 1500),
        ("2TiB", 2**41),
        ("1kib", 1024),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "5", "-1GB", "5 apples", "1GB2", "GB", "1e3MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a size .*20GiB"):
        parse_size_bytes(text)


def test_a_rate_is_a_size_each_second():
    assert parse_rate_bytes_per_s("50MB/s") == 50_000_000
    assert parse_rate_bytes_per_s(" 1MiB / s ") == 2**20


@pytest.mark.parametrize("text", ["50MB", "50MB/m", "0/s", "/s", "0.1B/s"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        parse_rate_bytes_per_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.2, "0.2 s"),
        (5, "5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (41.2, "41 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h"),
        (7500, "2 h 5 min"),
        (47 * 3600, "47 h"),
        (76 * 3600, "3 d 4 h"),
        (72 * 3600, "3 d"),
        (-41, "-41 s"),
    ],
)
def test_durations_are_shown_in_at_most_two_units(seconds, text):
    assert show_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_a_shown_duration_can_be_read_again_and_is_about_right(seconds):
    read = parse_duration_s(show_duration(seconds).replace("min", "m"))
    assert abs(read - seconds) <= max(0.06, 0.03 * seconds)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (11_209_876_543, "11.2 GB"),
        (123_456_789_012_345, "123 TB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_are_shown_with_three_digits(size, text):
    assert show_size(size) == text


@given(st.integers(0, 10**17))
def test_a_shown_size_can_be_read_again_and_is_about_right(size):
    shown = show_size(size)
    if "PB" not in shown:
        assert abs(parse_size_bytes(shown) - size) <= 0.006 * size


def test_counts_agree_with_their_nouns():
    assert show_count(1, "frame") == "1 frame"
    assert show_count(0, "frame") == "0 frames"
    assert show_count(1800, "frame") == "1,800 frames"
    assert show_count(2, "entry", "entries") == "2 entries"


def test_numbers_are_folded_and_bounded():
    assert show_numbers((3, 7, 8, 9, 12, 20, 30, 40, 41)) == "3, 7-9, 12, 20, 30 and 2 more"
    assert show_numbers([2, 1]) == "1-2"
    assert show_numbers(()) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lyso_1 Größe µm 測試", "lyso_1 Größe µm 測試"),
        ("new\nline\ttab\r", "new\\nline\\ttab\\r"),
        ("\x1b[31mred\x07\x7f\x9b", "\\x1b[31mred\\x07\\x7f\\x9b"),
        ("bytes \udcff\udc80", "bytes \\xff\\x80"),
        ("lone \ud800", "lone \\ud800"),
        ("gpj.\u202efbc", "gpj.\\u202efbc"),
        ("\u2066isolate\u2069 \u200bzero\ufeff", "\\u2066isolate\\u2069 \\u200bzero\\ufeff"),
        ("line\u2028para\u2029", "line\\u2028para\\u2029"),
        ("soft\xadhyphen", "soft\\xadhyphen"),
        ("tag\U000e0041", "tag\\ue0041"),
    ],
)
def test_what_could_harm_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "L", "N", "P", "S", "Zs"])))
def test_whatever_is_printable_is_one_encodable_line(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not [character for character in shown if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert printable(shown) == shown


@given(st.text(), st.integers(1, 50))
def test_a_cut_name_is_never_longer_than_asked_and_says_that_it_was_cut(text, longest):
    shown = printable(text, longest)
    assert len(shown) <= longest
    assert shown == printable(text) or shown.endswith("…")


@given(
    st.datetimes(
        datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    )
)
def test_times_come_back_from_their_text_to_the_second(moment):
    assert parse_utc(utc_text(moment)) == moment.astimezone(UTC).replace(microsecond=0)


def test_a_time_without_a_zone_is_utc():
    assert parse_utc("2026-11-21T02:14:07") == datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
    with pytest.raises(ValueError):
        parse_utc("yesterday")
