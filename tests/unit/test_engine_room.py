"""Whether the spool has room for one more archive, and what is said where it has none."""

from datetime import UTC, datetime

import pytest

from depositd.engine.room import Refusal, Room, estimate_bytes, fewest, is_about_room, refusal
from depositd.journal import Shrinkage

GB = 10**9
SPOOL = Room("/scratch/depositd", capacity_bytes=500 * GB, free_bytes=100 * GB, floor_bytes=20 * GB)
FIVE = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
SEVEN = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
NO_FELLOWS = Shrinkage(0, 0, 0)


def room(**other: int) -> Room:
    facts = {name: getattr(SPOOL, name) for name in ("capacity_bytes", "free_bytes", "floor_bytes")}
    return Room(SPOOL.path, **{**facts, **other})


def ask(spool: Room, needed: int, there: int = 0, kept: tuple[tuple[datetime, int], ...] = ()) -> Refusal | None:
    return refusal(spool, needed, there, lambda: kept, "depositd skip 7")


def test_what_is_left_is_what_is_free_above_the_floor_less_what_others_will_write():
    assert room().left_bytes == 80 * GB
    assert room(promised_bytes=30 * GB).left_bytes == 50 * GB
    assert room().with_promised(30 * GB).with_promised(60 * GB).left_bytes == 0
    assert room(free_bytes=5 * GB).left_bytes == 0


def test_a_quota_leaves_less_than_the_disk():
    full = room(quota_bytes=50 * GB, own_bytes=45 * GB)
    assert (full.left_bytes, full.is_bound_by_quota, full.most_bytes) == (5 * GB, True, 50 * GB)
    assert room(quota_bytes=50 * GB, own_bytes=60 * GB).left_bytes == 0
    wide = room(quota_bytes=450 * GB, own_bytes=45 * GB)
    assert (wide.left_bytes, wide.is_bound_by_quota, wide.most_bytes) == (80 * GB, False, 450 * GB)


def test_what_fits_is_not_refused():
    assert ask(room(), 80 * GB) is None
    assert ask(room(), 80 * GB + 1) is not None
    assert ask(room(), 100 * GB, there=20 * GB) is None
    assert ask(room(promised_bytes=80 * GB), 10 * GB, there=10 * GB) is None


def test_whether_something_is_kept_is_asked_only_where_it_matters():
    def never():
        raise AssertionError("it costs time")

    assert refusal(room(), GB, 0, never, "") is None
    assert refusal(room(), 900 * GB, 0, never, "") is not None


def test_the_sentence_has_the_numbers_and_what_will_be():
    kept = ((FIVE, 10 * GB), (SEVEN, 110 * GB))
    assert ask(room(free_bytes=28_100_000_000), 12 * GB, kept=kept) == Refusal(
        "no room in the spool: about 12.0 GB are needed, and 8.10 GB are free above the floor of 20.0 GB",
        "what is archived goes on being sent; 120 GB of delivered archives are kept by keep_archive, and enough of them"
        " go until 2026-11-21 05:00 UTC; sooner: free space on the disk of /scratch/depositd, lower spool.min_free or"
        " shorten keep_archive",
    )


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ((), "room comes when deliveries have ended and their keep_archive is over"),
        (((FIVE, GB), (SEVEN, 9 * GB)), "and enough of them go until 2026-11-22 07:30 UTC"),
        (((FIVE, GB),), ("1.00 GB of delivered archives are kept by keep_archive until 2026-11-21 05:00 UTC, and the"
         " rest waits for deliveries that have not ended")),
    ],
)  # fmt: skip
def test_when_there_will_be_room_is_said_as_far_as_it_is_known(kept: tuple[tuple[datetime, int], ...], told: str):
    refused = ask(room(), 85 * GB, kept=kept)
    assert refused is not None
    assert told in refused.hint


def test_what_others_will_write_is_in_the_sentence():
    refused = ask(room(promised_bytes=75 * GB), 12 * GB)
    assert refused is not None
    assert refused.reason.endswith(
        "and 5.00 GB are free above the floor of 20.0 GB beside the 75.0 GB for what is being archived"
    )


def test_the_quota_is_named_where_it_is_what_is_full():
    refused = ask(room(quota_bytes=50 * GB, own_bytes=45 * GB), 12 * GB)
    assert refused is not None
    assert "5.00 GB are left of the quota of 50.0 GB" in refused.reason
    assert "sooner: raise spool.quota or shorten keep_archive" in refused.hint
    assert not refused.forever


@pytest.mark.parametrize(
    ("spool", "reason", "hint"),
    [
        (
            room(),
            (
                "too large for the spool: about 600 GB are needed, and its disk of 500 GB less the floor of 20.0 GB "
                "can never hold that"
            ),
            "move spool.path to a larger disk, or lower spool.min_free; depositd skip 7 leaves this dataset",
        ),
        (
            room(quota_bytes=50 * GB),
            "too large for the spool: about 600 GB are needed, and the quota is 50.0 GB",
            "raise spool.quota; depositd skip 7 leaves this dataset",
        ),
        (
            room(floor_bytes=501 * GB),
            (
                "too large for the spool: about 600 GB are needed, and its disk of 500 GB less the floor of 501 GB can "
                "never hold that"
            ),
            "move spool.path to a larger disk, or lower spool.min_free; depositd skip 7 leaves this dataset",
        ),
    ],
)
def test_what_can_never_fit_says_so(spool: Room, reason: str, hint: str):
    assert ask(spool, 600 * GB) == Refusal(reason, hint, forever=True)


def test_a_refusal_is_known_again_by_its_sentence():
    for needed in (85 * GB, 600 * GB):
        refused = ask(room(), needed)
        assert refused is not None
        assert is_about_room(refused.reason)
    assert not is_about_room(None)
    assert not is_about_room("a file cannot be read")


def test_an_archive_is_expected_to_be_as_large_as_its_source_where_nothing_else_is_known():
    assert estimate_bytes(GB, 10, 1, NO_FELLOWS) == GB + 10 * 1024 + 65536
    assert estimate_bytes(GB, 1, 2, NO_FELLOWS) == 2 * (GB + 1024 + 65536)
    assert estimate_bytes(GB, 0, 1, Shrinkage(2, 100, 10)) == GB + 65536


def test_an_archive_is_expected_to_be_as_those_before_it_and_a_little_larger():
    assert estimate_bytes(GB, 0, 1, Shrinkage(3, 100, 40)) == round(0.44 * GB) + 65536
    assert estimate_bytes(GB, 0, 1, Shrinkage(3, 100, 99)) == GB + 65536
    assert estimate_bytes(GB, 0, 1, Shrinkage(3, 0, 0)) == GB + 65536


@pytest.mark.parametrize(
    ("sizes", "lacking", "chosen"),
    [
        ({1: 300, 2: 500, 3: 100}, 267, [1]),
        ({1: 300, 2: 500, 3: 100}, 500, [2]),
        ({1: 300, 2: 500, 3: 100}, 501, [2, 1]),
        ({1: 300, 2: 500, 3: 100}, 900, [2, 1, 3]),
        ({1: 300, 2: 500, 3: 100}, 901, []),
        ({}, 1, []),
        ({1: 300}, 0, []),
    ],
)
def test_no_more_is_given_up_than_is_lacking(sizes, lacking, chosen):
    assert fewest(sizes, lacking) == chosen


@pytest.mark.parametrize(
    ("free", "floor", "quota", "own", "promised", "lacking"),
    [
        (100, 20, None, 0, 0, -30),
        (100, 20, None, 0, 50, 20),
        (10, 20, None, 0, 0, 60),  # below its floor already
        (100, 20, 60, 40, 0, 30),
        (100, 20, 60, 70, 0, 60),  # above its quota already
    ],
)
def test_what_is_lacking_counts_from_below_the_floor(free, floor, quota, own, promised, lacking):
    room = Room("/spool", 1000, free, floor, quota, own, promised)
    assert room.lacking_bytes(50) == lacking
