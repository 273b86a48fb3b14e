"""A file on its way out: in order, hashed beside, compared before it is handed on, and no more of it in memory."""

from __future__ import annotations

import hashlib
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.destinations.checked import (
    BLOCK_BYTES,
    LARGEST_BLOCK_BYTES,
    WORTH_THREADS_BYTES,
    Altered,
    Promise,
    checked,
)
from depositd.model import Block

BIG = bytes(range(251)) * (24 * BLOCK_BYTES // 251)
MOST_IN_MEMORY = 4 * 4 * BLOCK_BYTES
BLOCKS_OF = [3000, BLOCK_BYTES, 5 * BLOCK_BYTES, 8 * BLOCK_BYTES]


def blocks_of(content: bytes, *sizes: int) -> list[Block]:
    """Cut content into blocks of these sizes, the last of which stays."""
    blocks, at = [], 0
    while at < len(content):
        piece = content[at : at + sizes[min(len(blocks), len(sizes) - 1)]]
        blocks.append(Block(len(piece), hashlib.sha256(piece).hexdigest()))
        at += len(piece)
    return blocks


def promise(content: bytes, *sizes: int, **changes) -> Promise:
    values = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return Promise(**{**values, "blocks": blocks_of(content, *sizes) if sizes else (), **changes})


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def handed_on(content: bytes, promised: Promise) -> tuple[bytes, str]:
    """Return what was handed on of a file, and what was found wrong with it."""
    got = bytearray()
    try:
        for piece in checked(lambda: io.BytesIO(content), promised):
            got += piece
    except Altered as altered:
        return bytes(got), str(altered)
    return bytes(got), ""


@given(content=st.binary(max_size=2000), sizes=st.lists(st.integers(1, 700), max_size=5))
def test_a_file_comes_out_as_it_is_whatever_its_blocks(content, sizes):
    assert handed_on(content, promise(content, *sizes)) == (content, "")


@pytest.mark.parametrize("size", [None, *BLOCKS_OF])
def test_a_big_file_comes_out_in_order(size):
    assert handed_on(BIG, promise(BIG, *([size] if size else []))) == (BIG, "")
    assert handed_on(BIG, promise(BIG, sha256=None)) == (BIG, "")


@given(content=st.binary(min_size=1, max_size=2000), size=st.integers(1, 700), data=st.data())
def test_nothing_of_a_wrong_block_is_handed_on(content, size, data):
    at = data.draw(st.integers(0, len(content) - 1))
    got, wrong = handed_on(flipped(content, at), promise(content, size))
    begin = at // size * size
    assert content.startswith(got)
    assert len(got) <= begin
    assert wrong == f"is not what was packed between byte {begin:,} and byte {min(begin + size, len(content)):,}"


@pytest.mark.parametrize("size", BLOCKS_OF)
@pytest.mark.parametrize("at", [0, 10 * BLOCK_BYTES, len(BIG) - 1])
def test_nothing_of_a_wrong_block_of_a_big_file_is_handed_on(size, at):
    got, wrong = handed_on(flipped(BIG, at), promise(BIG, size))
    assert len(got) <= at // size * size
    assert BIG.startswith(got)
    assert f"between byte {at // size * size:,} and" in wrong


@pytest.mark.parametrize("content", [BIG, BIG[:5000]])
@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": ()},
        {"blocks": blocks_of(BIG[:-1], BLOCK_BYTES)},
        {"blocks": [Block(len(BIG), hashlib.sha256(BIG).hexdigest())]},
        {"blocks": [Block(0, ""), *blocks_of(BIG, BLOCK_BYTES)]},
    ],
    ids=["none", "with a gap", "too large", "empty one"],
)
def test_blocks_that_do_not_tell_all_leave_it_to_the_hash_of_the_whole(content, changes):
    assert len(BIG) > LARGEST_BLOCK_BYTES
    assert handed_on(content, promise(content, **changes)) == (content, "")
    _, wrong = handed_on(flipped(content, 7), promise(content, **changes))
    assert wrong.startswith("has SHA-256 ")


@pytest.mark.parametrize("size", [None, 1000, BLOCK_BYTES])
@pytest.mark.parametrize("whole", [BIG, BIG[:5000], b""])
def test_a_file_of_another_length_is_found(whole, size):
    sizes = [size] if size else []
    got, wrong = handed_on(whole + b"!", promise(whole, *sizes))
    assert (got, wrong) == (whole, f"has grown beyond its {len(whole):,} bytes")
    if whole:
        _, wrong = handed_on(whole[:-1], promise(whole, *sizes))
        assert wrong == f"ends after {len(whole) - 1:,} of {len(whole):,} bytes"


class Watched(io.BytesIO):
    """Counts what was read of it; gives little at a time, and breaks where it is told to."""

    def __init__(self, content: bytes, *, most: int = 1 << 30, breaks_at: int | None = None) -> None:
        super().__init__(content)
        self.most, self.breaks_at, self.read_bytes = most, breaks_at, 0

    def readinto(self, buffer) -> int:
        if self.breaks_at is not None and self.read_bytes >= self.breaks_at:
            raise OSError(5, "Input/output error")
        count = super().readinto(memoryview(buffer)[: self.most])
        self.read_bytes += count
        return count


def test_a_file_that_gives_little_at_a_time_is_read_on():
    file = Watched(BIG, most=100_003)
    assert b"".join(bytes(piece) for piece in checked(lambda: file, promise(BIG, BLOCK_BYTES))) == BIG
    assert file.closed


@pytest.mark.parametrize("content", [BIG, BIG[:5000]])
def test_what_cannot_be_read_is_said_as_it_is(content):
    file = Watched(content, most=1000, breaks_at=3000)
    with pytest.raises(OSError, match="Input/output"):
        list(checked(lambda: file, promise(content, 1000)))
    assert file.closed


@pytest.mark.parametrize("size", [None, BLOCK_BYTES, 3 * BLOCK_BYTES])
def test_it_does_not_run_far_ahead_of_the_network(size):
    file = Watched(BIG)
    pieces = checked(lambda: file, promise(BIG, *([size] if size else [])))
    assert next(pieces)
    # they read on until they are at the bound
    for thread in threads():
        thread.join(0.01)
    assert file.read_bytes <= MOST_IN_MEMORY
    pieces.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("upload-")]


@pytest.mark.parametrize("taken", [1, 2, 5])
@pytest.mark.parametrize("size", [None, BLOCK_BYTES, 8 * BLOCK_BYTES])
def test_whoever_stops_leaves_no_thread_and_no_open_file(taken, size):
    file = Watched(BIG)
    pieces = checked(lambda: file, promise(BIG, *([size] if size else [])))
    for _ in range(min(taken, len(BIG) // (size or BLOCK_BYTES))):
        next(pieces, None)
    pieces.close()
    assert file.closed
    assert threads() == []


def test_whatever_is_wrong_leaves_no_thread():
    handed_on(flipped(BIG, 0), promise(BIG, BLOCK_BYTES))
    handed_on(BIG[:-1], promise(BIG, BLOCK_BYTES))
    assert threads() == []


def test_a_small_file_takes_no_thread():
    small = BIG[: WORTH_THREADS_BYTES - 1]
    for _ in checked(lambda: io.BytesIO(small), promise(small, 2 * BLOCK_BYTES)):
        assert threads() == []


def test_nothing_is_opened_before_it_is_asked_for():
    opened = []
    pieces = checked(lambda: opened.append(1) or io.BytesIO(BIG), promise(BIG, BLOCK_BYTES))
    assert not opened
    pieces.close()
    assert not opened
