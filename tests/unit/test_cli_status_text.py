"""``status`` in words: what needs somebody comes first, and calm is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from depositd.cli.dataset_text import delivery_lines, transfer_clause
from depositd.cli.status_text import MOST_DONE, Picture, Section, section_of, status_lines

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def delivery(state="delivered", destination="vault", number=1, **more):
    facts = {
        "id": number,
        "destination": destination,
        "state": state,
        "attempts": 0,
        "next_attempt_at": None,
        "remote_id": None,
        "remote_status": None,
        "error": None,
        "hint": None,
    }
    return {**facts, **more}


def dataset(*deliveries, number=1, **more):
    facts = {
        "id": number,
        "name": f"lyso_{number}",
        "rule": "pilatus",
        "format": "frames",
        "path": "/data/mx1",
        "generation": 1,
        "state": "archived",
        "verdict": "complete",
        "evidence": ["1,800 of 1,800 frames", "last write 41 s ago"],
        "files": 1800,
        "bytes": 11_209_876_543,
        "waits_for": None,
        "deliveries": list(deliveries),
    }
    return {**facts, **more}


def picture(*datasets, pid=123, everything=False, **more):
    view = {
        "datasets": list(datasets),
        "sources": [],
        "destinations": [],
        "transfers": [],
        "disks": [],
        "backlog": [],
        **more,
    }
    return Picture(view, NOW, pid, everything)


def text(*datasets, **more):
    return "\n".join(line.plain for line in status_lines(picture(*datasets, **more)))


@pytest.mark.parametrize(
    ("states", "facts", "section"),
    [
        (["delivered"], {}, Section.DELIVERED),
        (["delivered", "skipped"], {}, Section.DELIVERED),
        (["skipped"], {}, Section.SET_ASIDE),
        ([], {"state": "gone"}, Section.SET_ASIDE),
        (["waiting"], {"state": "growing"}, Section.GROWING),
        (["waiting"], {}, Section.ON_ITS_WAY),
        (["unconfirmed"], {}, Section.ON_ITS_WAY),
        (["submitted", "delivered"], {}, Section.ON_ITS_WAY),
        (["delivered", "held"], {}, Section.NEEDS_YOU),
        (["failed"], {}, Section.NEEDS_YOU),
        (["waiting"], {"state": "complete", "waits_for": {"reason": "full"}}, Section.NEEDS_YOU),
    ],
)
def test_each_dataset_stands_where_its_deliveries_are(states, facts, section):
    assert section_of(dataset(*(delivery(state) for state in states), **facts)) is section


def test_the_first_lines_say_whether_anybody_is_needed():
    calm = text(dataset(delivery("delivered"), number=1), dataset(delivery("waiting"), number=2))
    assert calm.splitlines()[:2] == [
        "2 datasets: 1 on its way, 1 delivered, nothing needs you",
        "depositd is running (pid 123)",
    ]
    trouble = text(
        dataset(delivery("held"), number=1),
        dataset(delivery("failed"), number=2),
        sources=[
            {
                "path": "/data",
                "state": "unavailable",
                "means": "",
                "problem": "it is gone",
                "swept_at": None,
                "files": None,
            }
        ],
    )
    assert trouble.splitlines()[0] == "2 datasets: 2 need you; 1 source unavailable"


def test_an_empty_journal_and_a_stopped_daemon_are_said():
    lines = text(pid=None).splitlines()
    assert lines[0] == "nothing recorded yet"
    assert "not running" in lines[1]


def test_what_needs_somebody_comes_first_with_its_reason_and_what_to_do():
    shown = text(
        dataset(delivery("delivered"), number=1),
        dataset(
            delivery("held", "irrmc", error="pdb_code is missing", hint="depositd release 2 --set pdb_code=…"), number=2
        ),
    )
    lines = shown.splitlines()
    start = lines.index("NEEDS YOU (1)")
    assert lines[start + 1].split("  ")[1:3] == ["2", "lyso_2"]
    assert "archived: 1,800 of 1,800 frames" in lines[start + 1]
    assert lines[start + 2].strip() == "to irrmc  held"
    assert lines[start + 3].strip() == "pdb_code is missing"
    assert lines[start + 4].strip() == "→ depositd release 2 --set pdb_code=…"
    assert lines.index("DELIVERED (1)") > start


def test_a_retry_says_when_it_comes():
    waiting = delivery("waiting", attempts=3, next_attempt_at="2026-11-21T12:04:00Z", error="503", hint="wait")
    assert "to vault  waiting, tried 3 times, next attempt in 4 min" in text(dataset(waiting))
    late = delivery("submitted", next_attempt_at="2026-11-21T11:59:00Z", remote_status="processing")
    assert "to vault  submitted (processing), asked again now" in text(dataset(late))


def test_a_transfer_shows_how_much_is_done_only_while_a_daemon_runs():
    transfer = {"subject": "delivery 1", "activity": "sending to vault", "done_bytes": 45, "total_bytes": 100}
    moving = dataset(delivery("waiting", attempts=2, next_attempt_at="2026-11-21T11:59:00Z"))
    lines = text(moving, transfers=[transfer]).splitlines()
    start = lines.index("     to vault  waiting")
    assert lines[start + 1] == "         sending to vault: 45 B of 100 B (45 %)"
    assert "sending" not in text(moving, transfers=[transfer], pid=None)
    assert "     archiving x: 45 B of 100 B (45 %)" in text(
        moving, transfers=[{**transfer, "subject": "dataset 1", "activity": "archiving x"}]
    )


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "5.04 GB of 11.2 GB (45 %)"),
        ({"rate_bytes_per_s": 48.2e6, "left_s": 127.4}, "5.04 GB of 11.2 GB (45 %), 48.2 MB/s, 2 min 8 s left"),
        ({"rate_bytes_per_s": 48.2e6, "left_s": 0.2}, "5.04 GB of 11.2 GB (45 %), 48.2 MB/s, 1 s left"),
        ({"still_s": 41.3}, "5.04 GB of 11.2 GB (45 %), no progress for 41 s"),
        ({"done_bytes": 11_199_999_999}, "11.2 GB of 11.2 GB (99 %)"),
        ({"done_bytes": 11_200_000_000, "still_s": 41.3}, "11.2 GB of 11.2 GB (100 %), finishing"),
    ],
)
def test_a_transfer_tells_its_pace_as_far_as_it_is_known(known, words):
    transfer = {"activity": "x", "done_bytes": 5_040_000_000, "total_bytes": 11_200_000_000, **known}
    assert transfer_clause(transfer) == f"x: {words}"


def test_a_transfer_of_nothing_is_only_named():
    assert transfer_clause({"activity": "a\nb", "done_bytes": 0, "total_bytes": 0}) == "a\\nb"


def test_a_paused_destination_is_told_once_for_all_that_wait_for_it():
    reason = "irrmc is paused: the token is refused"
    paused = {
        "name": "irrmc",
        "state": "paused",
        "reason": reason,
        "hint": "give a new one",
        "since": "2026-11-21T11:00:00Z",
        "next_probe_at": "2026-11-21T12:01:00Z",
    }
    waiting = [dataset(delivery("waiting", "irrmc", error=reason, hint="x"), number=number) for number in (1, 2, 3)]
    shown = text(*waiting, destinations=[paused])
    assert shown.count(reason) == 1
    assert shown.count("the destination is paused") == 3
    assert "irrmc  paused 1 h ago, asked again in 60 s" in shown


def test_a_destination_that_is_away_is_told_with_since_when_how_often_asked_and_what_waits():
    reason = "irrmc is away: example.org refused the connection"
    away = {
        "name": "irrmc",
        "state": "away",
        "reason": reason,
        "hint": "nothing is sent there",
        "since": "2026-11-21T02:00:00Z",
        "next_probe_at": "2026-11-21T12:04:00Z",
        "failures": 122,
        "waiting": 3,
    }
    waiting = [dataset(delivery("waiting", "irrmc", error=reason, hint="x"), number=number) for number in (1, 2, 3)]
    shown = text(*waiting, destinations=[away])
    assert shown.count(reason) == 1
    assert shown.count("the destination is away") == 3
    assert "irrmc  away for 10 h, asked 122 times in vain, asked again in 4 min, 3 deliveries waiting" in shown
    assert "1 destination away" in shown.splitlines()[0]
    assert "paused" not in shown


def test_what_is_sent_still_when_its_destination_goes_away_shows_how_far_it_is():
    moving = {"subject": "delivery 1", "activity": "sending to irrmc", "done_bytes": 1, "total_bytes": 4}
    told = delivery_lines(delivery("waiting", "irrmc", error="x"), NOW, transfer=moving, stopped="away")
    assert [one.plain.strip() for one in told] == [
        "to irrmc  waiting, the destination is away",
        "sending to irrmc: 1 B of 4 B (25 %)",
    ]


def test_only_the_newest_of_what_is_done_are_shown_unless_asked_for():
    done = [dataset(delivery("delivered"), number=number) for number in range(1, MOST_DONE + 4)]
    shown = text(*done)
    assert "lyso_13" in shown
    assert "lyso_3 " not in shown
    assert "and 3 more: depositd status --all" in shown
    everything = text(*done, everything=True)
    assert "lyso_3 " in everything
    assert "more" not in everything


def test_archiving_that_waits_says_why():
    waits = {"reason": "the spool is full", "hint": "make space", "next_attempt_at": "2026-11-21T12:01:00Z"}
    shown = text(dataset(delivery("waiting"), state="complete", waits_for=waits))
    assert "archiving waits: the spool is full" in shown
    assert "→ make space" in shown
    assert "next attempt in 60 s" in shown


def test_names_cannot_break_a_line_or_a_terminal():
    bad = dataset(delivery("held", error="a\nb"), name="x\n\x1b[31m\udcff", generation=2)
    shown = text(bad)
    assert "x\\n\\x1b[31m\\xff" in shown
    assert "generation 2" in shown
    assert "a\\nb" in shown
    assert "\x1b" not in shown


def test_a_very_long_name_does_not_push_the_others_aside():
    short, long = dataset(delivery("held"), number=1), dataset(delivery("held"), number=2, name="n" * 300)
    row = next(line for line in text(short, long).splitlines() if "lyso_1" in line)
    assert len(row) < 200


def test_a_source_says_how_it_is_watched():
    source = {
        "path": "/data",
        "state": "watched",
        "means": "events and sweeps",
        "problem": "2 directories cannot be read",
        "swept_at": "2026-11-21T11:59:48Z",
        "files": 1234,
        "duration_s": 0.1,
    }
    shown = text(sources=[source])
    assert "/data  watched (events and sweeps), last sweep 12 s ago saw 1,234 files" in shown
    assert "2 directories cannot be read" in shown


def test_datasets_of_one_name_are_told_apart_by_their_places():
    shown = text(
        dataset(delivery("delivered"), number=1, name="s", path="/data/a"),
        dataset(delivery("held"), number=2, name="s", path="/data/b"),
        dataset(delivery("delivered"), number=3, name="other", path="/data/a"),
    )
    assert "in /data/a" in next(one for one in shown.splitlines() if one.startswith("  1"))
    assert "in /data/b" in next(one for one in shown.splitlines() if one.startswith("  2"))
    assert " in /data" not in next(one for one in shown.splitlines() if one.startswith("  3"))


def test_a_source_of_a_stopped_daemon_is_not_said_to_be_watched():
    source = {"path": "/data", "state": "watched", "means": "events", "problem": None, "swept_at": None, "files": None}
    assert "was watched while the daemon ran (events)" in text(sources=[source], pid=None)
    assert "  watched (events)" in text(sources=[source])


def disk(level="warning", sentence="the spool will reach its floor of 21.5 GB in 3 h", hint="make space"):
    return {"what": "spool", "paths": ["/spool"], "level": level, "sentence": sentence, "hint": hint}


def backlog(sentence="irrmc: 12 datasets, 1.20 TB wait, done in about 5 h at 62.0 MB/s", *, notable=True):
    return {"what": "sending", "sentence": sentence, "notable": notable}


def test_a_disk_that_fills_up_comes_before_the_datasets_and_takes_the_calm_away():
    lines = text(dataset(delivery("delivered")), disks=[disk()]).splitlines()
    assert lines[0] == "1 dataset: 1 delivered; 1 disk filling up"
    start = lines.index("DISKS")
    assert lines[start + 1 : start + 3] == [
        "  the spool will reach its floor of 21.5 GB in 3 h",
        "      → make space",
    ]
    assert start < lines.index("DELIVERED (1)")


def test_a_backlog_says_until_when_and_what_is_soon_done_says_nothing():
    lines = text(dataset(delivery("waiting")), backlog=[backlog(), backlog("vault: soon", notable=False)]).splitlines()
    assert lines[-2:] == ["BACKLOG", "  irrmc: 12 datasets, 1.20 TB wait, done in about 5 h at 62.0 MB/s"]


def test_calm_disks_and_those_of_a_stopped_daemon_are_not_spoken_of():
    calm = text(dataset(delivery("delivered")), disks=[disk("calm", None, None)], backlog=[backlog(notable=False)])
    assert "nothing needs you" in calm
    assert "DISKS" not in calm
    assert "BACKLOG" not in calm
    stopped = text(dataset(delivery("delivered")), disks=[disk()], backlog=[backlog()], pid=None)
    assert "DISKS" not in stopped
    assert "BACKLOG" not in stopped
