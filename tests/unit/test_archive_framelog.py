from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.archive.framelog import (
    Begun,
    Ended,
    Frame,
    Hashes,
    Header,
    Recorded,
    Source,
    Start,
    fitting,
    frame_line,
    header_line,
    read_log,
    reusable,
)
from depositd.model import Block, FileStat, Packing

HEADER = Header(Packing.ARCHIVE, "zstd", 1, "zstd level 1: 40 % of the size", "x86_64, OpenSSL 3.0, with states")

paths = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.just("d/not-utf8-\udcff\n\x00\u2028")
numbers = st.integers(0, 2**63)
states = st.none() | st.binary(min_size=1, max_size=112)
hex_digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
sources = st.builds(Source, paths, numbers, st.integers(-(2**40), 2**63), numbers, numbers)
frames_strategy = st.builds(
    Frame,
    st.integers(1, 8 << 20),
    st.builds(Block, numbers, hex_digests),
    st.builds(Hashes, states, states, states),
    st.lists(st.builds(Ended, sources, hex_digests), max_size=3).map(tuple),
    st.none() | st.builds(Begun, sources, numbers, states),
    st.booleans(),
)


def log_of(*frames: Frame, header: Header = HEADER) -> bytes:
    return header_line(header) + b"".join(map(frame_line, frames))


# --- lines ------------------------------------------------------------------------------------------------------


@given(st.lists(frames_strategy, max_size=4))
def test_what_is_written_is_read(frames):
    log = log_of(*frames)
    recorded = read_log(log)
    assert recorded is not None
    assert (recorded.header, recorded.frames) == (HEADER, tuple(frames))
    assert recorded.ends == tuple(len(log_of(*frames[: count + 1])) for count in range(len(frames)))


@given(frames_strategy)
def test_a_line_is_one_line_of_ascii(frame):
    line = frame_line(frame)
    assert line.count(b"\n") == 1
    assert line.isascii()


def source(name: str, **changes: int) -> Source:
    return replace(Source(f"d/{name}", 10, 1_000, 2_000, 7), **changes)


def ended(name: str, **changes: int) -> Ended:
    return Ended(source(name, **changes), "ab" * 32)


def frame(*names: str, begun: str | None = None, state: bytes | None = b"state", is_last: bool = False) -> Frame:
    cut_off = None if begun is None else Begun(source(begun), 512, state)
    whole = tuple(ended(name) for name in names)
    return Frame(4 << 20, Block(99, "cd" * 32), Hashes(b"i", b"m", b"s"), whole, cut_off, is_last)


LOG = log_of(frame("a", "b"), frame("c", begun="d"), frame("d", is_last=True))
LINES = LOG.splitlines(keepends=True)
ENDS = [sum(map(len, LINES[: count + 1])) for count in range(len(LINES))]


def known(recorded: Recorded | None) -> int:
    """Return how many lines a log was read of, its header included."""
    return 0 if recorded is None else 1 + len(recorded.frames)


def test_a_log_that_is_cut_off_at_any_byte_says_what_its_whole_lines_say():
    for size in range(len(LOG) + 1):
        assert known(read_log(LOG[:size])) == sum(end <= size for end in ENDS), size


@pytest.mark.parametrize("change", [lambda byte: byte ^ 0x01, lambda byte: byte ^ 0x80, lambda byte: 0])
def test_a_byte_that_is_wrong_ends_a_log_before_its_line(change):
    whole = read_log(LOG)
    assert whole is not None
    for at in range(len(LOG)):
        damaged = bytearray(LOG)
        damaged[at] = change(damaged[at])
        recorded = read_log(bytes(damaged))
        before = sum(end <= at for end in ENDS)
        assert known(recorded) == before, at
        if recorded is not None:
            assert recorded.frames == whole.frames[: before - 1]


@given(st.binary(max_size=200))
def test_anything_else_is_no_log(content):
    assert read_log(content) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b'{"plain": 1}', b'{"packing": "neither"}', b"\xff"])
def test_lines_that_are_whole_and_say_nonsense_end_a_log(text):
    line = b"%08x %s\n" % (zlib.crc32(text), text)
    assert read_log(line) is None
    recorded = read_log(header_line(HEADER) + line + frame_line(frame("a")))
    assert recorded == Recorded(HEADER)


def test_a_header_of_another_version_does_not_fit():
    later = replace(HEADER, version=HEADER.version + 1)
    recorded = read_log(log_of(header=later))
    assert recorded is not None
    assert not recorded.header.fits(Packing.ARCHIVE, "zstd", 1)


@pytest.mark.parametrize(
    ("packing", "compression", "level", "fits"),
    [
        (Packing.ARCHIVE, "zstd", 1, True),
        (Packing.ARCHIVE, "zstd", None, True),
        (Packing.ARCHIVE, "zstd", 2, False),
        (Packing.ARCHIVE, "none", 1, False),
        (Packing.FILE, "zstd", 1, False),
    ],
)
def test_what_a_log_fits(packing, compression, level, fits):
    assert HEADER.fits(packing, compression, level) is fits


# --- what can be gone on with -----------------------------------------------------------------------------------


def planned(*names: str, **changes: dict[str, int]) -> list[tuple[str, FileStat]]:
    """Return members as a plan has them; ``changes`` by name."""
    return [(f"d/{name}", FileStat(name, 10, 1_000, 2_000, 7)._replace(**changes.get(name, {}))) for name in names]


def begins_with(frames: tuple[Frame, ...], members: list[tuple[str, FileStat]]) -> int:
    return reusable(frames[: fitting(frames, members)])


#: two members, one more and the beginning of another, two frames in the middle of it, its end and one more
FRAMES = (frame("a", "b"), frame("c", begun="d"), frame(begun="d"), frame(begun="d"), frame("d", "e"))
NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("members", "count"),
    [
        (planned(*NAMES), 5),
        (planned(*NAMES, "f"), 5),
        (planned("a", "b", "c", "d"), 4),
        (planned("a", "b", "c"), 1),
        (planned("a", "b"), 1),
        (planned("a"), 0),
        ([], 0),
        (planned("0", *NAMES), 0),
        (planned("a", "aa", "b", "c", "d", "e"), 0),
        (planned("a", "b", "bb", "c", "d", "e"), 1),
        (planned("a", "b", "c", "cc", "d", "e"), 1),
        (planned("a", "b", "c", "d", "dd", "e"), 4),
        (planned("a", "c", "d", "e"), 0),
        (planned("b", "c", "d", "e"), 0),
        (planned("a", "b", "d", "e"), 1),
        (planned("a", "b", "c", "e"), 1),
        (planned("a", "b", "x", "d", "e"), 1),
    ],
)
def test_members_that_came_or_went(members, count):
    assert begins_with(FRAMES, members) == count


@pytest.mark.parametrize("change", [{"size_bytes": 11}, {"mtime_ns": 1_001}, {"ctime_ns": 2_001}, {"inode": 8}])
@pytest.mark.parametrize(("name", "count"), [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 4)])
def test_a_member_that_is_another_one_ends_it_before_its_first_frame(name, change, count):
    assert begins_with(FRAMES, planned(*NAMES, **{name: change})) == count


def test_what_a_plan_does_not_know_is_not_compared():
    unknown = {"ctime_ns": 0, "inode": 0}
    assert begins_with(FRAMES, planned(*NAMES, **dict.fromkeys(NAMES, unknown))) == 5


def test_a_member_without_its_state_is_read_again_from_its_beginning():
    stateless = (
        frame("a", "b"),
        frame("c", begun="d", state=None),
        frame(begun="d", state=None),
        frame(begun="d", state=None),
        frame("d", "e"),
    )
    assert [begins_with(stateless[:count], planned(*NAMES)) for count in range(6)] == [0, 1, 1, 1, 1, 5]


def test_what_cannot_be_gone_on_behind_fits_all_the_same():
    stateless = (frame("a", "b"), frame("c", begun="d", state=None), frame(begun="d", state=None))
    assert (fitting(stateless, planned(*NAMES)), reusable(stateless)) == (3, 1)
    assert fitting(stateless, planned("a", "b", "c")) == 1


def test_nothing_goes_behind_the_end():
    last = (frame("a", "b"), frame("c", is_last=True))
    assert begins_with(last, planned("a", "b", "c", "d")) == 1
    assert begins_with(last, planned("a", "b", "c")) == 1


def model(frames: tuple[Frame, ...], members: list[tuple[str, FileStat]]) -> int:
    """Say the same as *begins_with*, slowly: the members of so many frames are the first of the plan, and all still."""
    best = 0
    for count in range(1, len(frames) + 1):
        beginning = frames[:count]
        found = [one.source for part in beginning for one in part.ended]
        cut_off = beginning[-1].begun
        if cut_off is not None:
            found.append(cut_off.source)
        fits = len(found) <= len(members) and all(
            seen.is_still(path, file) for seen, (path, file) in zip(found, members, strict=False)
        )
        if fits and not any(part.is_last for part in beginning) and (cut_off is None or cut_off.sha256 is not None):
            best = count
    return best


LETTERS = "abcdefghijklmnopqrst"


@st.composite
def logs(draw) -> tuple[Frame, ...]:
    """Return the frames of an archive whose members lie anywhere in them."""
    names = iter(LETTERS)
    made: list[Frame] = []
    cut_off: str | None = None
    for number in range(draw(st.integers(0, 5))):
        ends = [cut_off] if cut_off is not None and draw(st.booleans()) else []
        if ends or cut_off is None:
            ends += [next(names) for _ in range(draw(st.integers(0 if ends else 1, 2)))]
            cut_off = next(names) if draw(st.booleans()) and number < 4 else None
        state = draw(st.sampled_from([b"state", None]))
        made.append(frame(*ends, begun=cut_off, state=state))
    return tuple(made)


@given(logs(), st.lists(st.sampled_from(LETTERS + "z"), unique=True), st.sampled_from(LETTERS), st.booleans())
def test_it_is_as_much_as_the_plan_begins_with(frames, some, changed, keeps_most):
    names = sorted(set(LETTERS) - set(some[:1])) if keeps_most else sorted(some)
    changes = {changed: {"mtime_ns": 5}} if len(some) % 2 else {}
    members = planned(*names, **changes)
    assert begins_with(frames, members) == model(frames, members)


def test_a_start_is_what_its_frames_add_up_to():
    start = Start.behind(FRAMES[:2])
    assert [one.source.path for one in start.members] == ["d/a", "d/b", "d/c"]
    assert (start.plain_bytes, start.packed_bytes) == (2 * (4 << 20), 2 * 99)
    assert start.begun == FRAMES[1].begun
    assert start.hashes == FRAMES[1].hashes
    nothing = Start()
    assert (nothing.plain_bytes, nothing.packed_bytes, nothing.begun, nothing.hashes) == (0, 0, None, Hashes())
