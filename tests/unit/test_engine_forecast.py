"""When a disk will be full and a backlog done, in sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from depositd.config import Window
from depositd.engine.forecast import (
    BRIEF_S,
    Disk,
    DiskKind,
    Level,
    archiving_forecast,
    disk_forecast,
    sending_forecast,
    throughput,
)
from depositd.engine.outlook import Told
from depositd.journal import SpaceSample, Transfer, Waiting

NOW = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
GB = 10**9
MB = 10**6
FLOOR = 20 * 2**30


def samples(free_now, rate, *, minutes=120):
    return [
        SpaceSample(NOW - timedelta(minutes=ago), free_now + round(rate * 60 * ago), 1)
        for ago in range(minutes, -1, -1)
    ]


def spool(free_now, rate, *, floor=FLOOR, minutes=120):
    return disk_forecast(Disk(DiskKind.SPOOL, ("/spool",), samples(free_now, rate, minutes=minutes), floor), NOW)


def at(seconds):
    return f"{(NOW + timedelta(seconds=seconds)).astimezone():%H:%M}"


def test_the_spool_that_fills_up_says_when_and_how_fast():
    seconds = (412 * GB - FLOOR) / (34 * MB)
    found = spool(412 * GB, 34 * MB)
    assert (found.level, found.free_bytes) == (Level.WARNING, 412 * GB)
    assert found.sentence == (
        f"the spool will reach its floor of 21.5 GB in 3 h 10 min (about {at(seconds)}): 412 GB free,"
        " falling by 34.0 MB/s over the last 2 h"
    )
    assert found.hint.startswith("make space there, or lower spool.min_free")
    assert found.json()["full_at"] == (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found.json()["falls_bytes_per_s"] == 34 * MB


@pytest.mark.parametrize(
    ("hours", "level"), [(1.9, Level.URGENT), (2.1, Level.WARNING), (23.5, Level.WARNING), (24.5, Level.CALM)]
)
def test_how_near_it_is(hours, level):
    rate = 50 * MB
    found = spool(round(FLOOR + rate * 3600 * hours), rate)
    assert found.level is level
    assert bool(found.sentence) is (level is not Level.CALM)
    assert (found.full_at is None) is (level is Level.CALM)


def test_a_trend_is_believed_for_a_dozen_times_as_long_as_it_was_seen():
    hours = 3
    assert spool(round(FLOOR + 50 * MB * 3600 * hours), 50 * MB, minutes=10).level is Level.CALM
    assert spool(round(FLOOR + 50 * MB * 3600 * hours), 50 * MB, minutes=20).level is Level.WARNING


def test_years_away_and_not_falling_and_unknown_are_not_spoken_of():
    assert spool(10**15, MB).level is Level.CALM
    assert spool(50 * GB, 0).level is Level.CALM
    assert spool(50 * GB, -MB).sentence == ""
    assert disk_forecast(Disk(DiskKind.SPOOL, ("/spool",), []), NOW) is None


def test_a_disk_at_its_end():
    at_floor = spool(FLOOR, MB)
    assert (at_floor.level, at_floor.sentence) == (
        Level.FULL,
        "the spool is at its floor of 21.5 GB: 21.5 GB free",
    )
    assert "archiving waits and the rest goes on" in at_floor.hint
    assert spool(0, MB, floor=0).sentence == "the spool is full: 0 B free"
    assert "will be full in" in spool(10 * GB, 2 * MB, floor=0).sentence
    assert "min_free" not in spool(0, MB, floor=0).hint


def test_a_quota_is_a_limit_like_a_floor():
    def quota(left, rate=10 * MB):
        return disk_forecast(Disk(DiskKind.QUOTA, ("/spool",), samples(left, rate), quota_bytes=500 * GB), NOW)

    soon = quota(36 * GB)
    assert soon.level is Level.URGENT
    assert soon.sentence.startswith("the spool will reach its quota of 500 GB in 1 h (about ")
    assert "36.0 GB left of it" in soon.sentence
    assert quota(-5).sentence == "the spool is at its quota of 500 GB: 0 B left of it"
    assert quota(-5).hint.startswith("raise spool.quota")
    assert soon.json()["quota_bytes"] == 500 * GB


def test_a_sources_disk_and_those_that_share_it():
    def source(*roots, free=100 * GB):
        return disk_forecast(Disk(DiskKind.SOURCE, roots, samples(free, 20 * MB)), NOW)

    assert source("/data/a\nb").sentence.startswith("the disk of /data/a\\nb will be full in 1 h 20 min")
    assert "the disk of /a and 1 other source will" in source("/a", "/b").sentence
    assert source("/a", "/b", "/c", free=MB).sentence == "the disk of /a and 2 other sources is full: 1.00 MB free"
    assert source("/a").json()["paths"] == ["/a"]


def told_levels(told, minutes, *levels):
    now = NOW + timedelta(minutes=minutes)
    disks = [
        spool(*{"calm": (10**15, 0), "warning": (400 * GB, 34 * MB), "urgent": (100 * GB, 34 * MB)}[one])
        for one in levels
    ]
    return [one.level.value for one in told.news(disks, now)]


def test_each_crossing_is_told_once_and_again_when_it_is_urgent():
    told = Told()
    assert told_levels(told, 0, "calm") == []
    assert told_levels(told, 1, "warning") == ["warning"]
    assert told_levels(told, 2, "warning") == []
    # near the line it comes and goes: that is no news
    assert told_levels(told, 3, "calm") == []
    assert told_levels(told, 4, "warning") == []
    assert told_levels(told, 5, "urgent") == ["urgent"]
    assert told_levels(told, 6, "warning") == []
    assert told_levels(told, 7, "urgent") == []
    # an hour of peace, and it is news once more
    assert told_levels(told, 67, "calm") == []
    assert told_levels(told, 68, "warning") == ["warning"]


def transfer(megabytes, seconds, ended_ago_s=0.0):
    return Transfer(megabytes * MB, seconds, NOW - timedelta(seconds=ended_ago_s))


def test_transfers_side_by_side_share_the_wire():
    assert throughput([]) is None
    assert throughput([transfer(1000, 10)]) == pytest.approx(100 * MB)
    assert throughput([transfer(500, 10), transfer(500, 10)]) == pytest.approx(100 * MB)
    assert throughput([transfer(500, 10), transfer(500, 10, 100)]) == pytest.approx(50 * MB)
    assert throughput([transfer(100, 10), transfer(100, 4, 3), transfer(100, 10, 5)]) == pytest.approx(20 * MB)


def test_nothing_that_waits_is_no_backlog():
    assert archiving_forecast(Waiting(), [transfer(100, 1)], NOW) is None


def test_when_archiving_is_done():
    waiting = Waiting(3, 412 * GB)
    found = archiving_forecast(waiting, [transfer(620, 10)], NOW)
    assert found.sentence == "archiving: 3 datasets, 412 GB wait, done in about 1 h 50 min at 62.0 MB/s"
    assert found.done_at == NOW + timedelta(seconds=412 * GB / (62 * MB))
    assert found.notable
    assert found.json()["what"] == "archiving"
    unknown = archiving_forecast(waiting, [], NOW)
    assert (unknown.sentence, unknown.done_at) == ("archiving: 3 datasets, 412 GB wait", None)
    assert not unknown.notable


def test_what_is_soon_done_is_not_notable():
    rate = [transfer(100, 1)]
    soon, long = (
        archiving_forecast(Waiting(1, round(100 * MB * seconds)), rate, NOW) for seconds in (BRIEF_S - 1, BRIEF_S + 1)
    )
    assert (soon.notable, long.notable) == (False, True)
    assert " 1 dataset, 29.9 GB waits, done in about 5 min" in soon.sentence


def test_archiving_that_has_no_room_says_so_and_that_the_rest_goes_on():
    waiting = Waiting(3, 412 * GB)
    rate = [transfer(620, 10)]
    full = archiving_forecast(waiting, rate, NOW, waits_for_room=True)
    assert full.sentence == "archiving waits for room in the spool: 3 datasets, 412 GB; what is archived goes on"
    assert (full.done_at, full.notable) == (None, True)
    # small ones pass the one that does not fit: then it is no standstill
    working = Waiting(3, 412 * GB, under_way=1)
    assert "done in about" in archiving_forecast(working, rate, NOW, waits_for_room=True).sentence


def test_when_a_destination_has_it_all():
    found = sending_forecast("irrmc", Waiting(12, 1200 * GB), [transfer(620, 10)], None, None, NOW)
    assert found.sentence == "irrmc: 12 datasets, 1.20 TB wait, done in about 5 h 20 min at 62.0 MB/s"
    assert found.json()["destination"] == "irrmc"
    nothing = sending_forecast("irrmc", Waiting(12, 1200 * GB), [], None, None, NOW)
    assert (nothing.rate_bytes_per_s, nothing.done_at, nothing.notable) == (None, None, False)


def test_what_is_archived_last_cannot_be_sent_before():
    late = NOW + timedelta(hours=9)
    rate = [transfer(620, 10)]
    waits = Waiting(2, 10 * GB, unarchived_bytes=GB)
    assert sending_forecast("a", waits, rate, None, late, NOW).done_at == late
    archived = Waiting(2, 10 * GB)
    assert sending_forecast("a", archived, rate, None, late, NOW).done_at < late


def test_a_destinations_hours_are_counted():
    here = NOW.astimezone()
    opens = (here + timedelta(hours=2)).time().replace(tzinfo=None)
    window = Window(opens, (here + timedelta(hours=4)).time().replace(tzinfo=None))
    found = sending_forecast("a", Waiting(2, 3 * 3600 * 100 * MB), [transfer(100, 1)], window, None, NOW)
    # two of the three hours in the first window, the third one a day later
    assert found.done_at == NOW + timedelta(hours=24 + 2 + 1)
    assert found.sentence.endswith(f"done in about 27 h at 100 MB/s, within {window}")
