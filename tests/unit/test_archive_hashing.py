from __future__ import annotations

import hashlib
import math
import random
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.archive import hashing
from depositd.archive.hashing import Hash, keeps_states, new, platform_name, resumed

NAMES = ["md5", "sha256"]
BLOCK_BYTES = 64
TEXT = random.Random(5).randbytes(4 * BLOCK_BYTES + 9)


def expected(name: str, data: bytes) -> str:
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


def kept(digest: Hash) -> bytes:
    state = digest.state()
    assert state is not None
    return state


STRANGE = {
    "no OpenSSL": None,
    "built into Python": ModuleType("_hashlib"),
    "another library": SimpleNamespace(__file__=math.__file__),
    "a file that is gone": SimpleNamespace(__file__="/nowhere/_hashlib.so"),
}
"""What stands where Python's own hashes should be found together with the library that they are linked with."""


def look_again() -> None:
    hashing.keeps_states.cache_clear()
    hashing._library.cache_clear()


@pytest.fixture(params=STRANGE)
def without_libcrypto(request, monkeypatch):
    """Let hashing run in a Python whose libcrypto cannot be reached."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setitem(sys.modules, "_hashlib", STRANGE[request.param])
        look_again()
        yield elsewhere
    look_again()


def test_here_states_can_be_kept():
    assert keeps_states(), "or else the tests below prove nothing"


@pytest.mark.parametrize("name", NAMES)
def test_a_hash_goes_on_from_a_state_kept_at_any_offset(name):
    for offset in range(2 * BLOCK_BYTES + 2):
        before = new(name)
        before.update(TEXT[:offset])
        after = resumed(name, kept(before))
        after.update(TEXT[offset:])
        assert after.hexdigest() == expected(name, TEXT), offset


@pytest.mark.parametrize("name", NAMES)
def test_keeping_a_state_and_asking_for_the_digest_change_nothing(name):
    digest = new(name)
    assert digest.hexdigest() == expected(name, b"")
    for end in range(0, len(TEXT), 7):
        digest.update(TEXT[end : end + 7])
        assert digest.hexdigest() == digest.hexdigest() == expected(name, TEXT[: end + 7])
        assert digest.state() == digest.state()


@given(
    name=st.sampled_from(NAMES),
    pieces=st.lists(st.binary(max_size=300), max_size=8),
    kind=st.sampled_from([bytes, bytearray, memoryview, lambda piece: memoryview(bytearray(piece))]),
)
def test_every_kind_of_memory_is_hashed_as_hashlib_does_it(name, pieces, kind):
    digest = new(name)
    for piece in pieces:
        digest.update(kind(piece))
        digest = resumed(name, kept(digest))
    assert digest.hexdigest() == expected(name, b"".join(pieces))


@pytest.mark.parametrize("name", NAMES)
def test_a_piece_of_a_larger_memory_is_hashed_where_it_begins_and_ends(name):
    memory = bytearray(TEXT)
    digest = new(name)
    digest.update(memoryview(memory)[3:-5])
    assert digest.hexdigest() == expected(name, TEXT[3:-5])
    memory.append(0)  # raises BufferError where the hash still holds on to it


@pytest.mark.parametrize("name", NAMES)
def test_more_than_4_gib_are_counted(name):
    """The lengths in the structures are two words of 32 bits; a state behind the first must keep both."""
    digest = new(name)
    digest.update(TEXT)
    state = bytearray(kept(digest))
    # the number of bits hashed, low word then high word, follows the words of the digest
    words = {"md5": 4, "sha256": 8}[name]
    assert int.from_bytes(state[4 * words : 4 * words + 8], "little") == 8 * len(TEXT)
    state[4 * words + 4] = 1
    longer = resumed(name, bytes(state))
    assert kept(longer) == bytes(state)
    assert longer.hexdigest() != digest.hexdigest()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [lambda state: state[:-1], lambda state: state + b"\0", lambda state: b""])
def test_what_is_no_state_is_refused(name, change):
    with pytest.raises(ValueError, match=f"no state of {name}"):
        resumed(name, change(kept(new(name))))


@pytest.mark.parametrize("name", NAMES)
def test_without_libcrypto_hashlib_does_it_and_there_is_no_state(name, without_libcrypto):
    digest = new(name)
    for kind in (bytes, bytearray, memoryview):
        digest.update(kind(TEXT))
    assert digest.hexdigest() == expected(name, TEXT * 3)
    assert digest.state() is None
    with pytest.raises(ValueError, match=f"no state of {name}"):
        resumed(name, bytes(92))


def test_states_are_not_taken_for_those_of_a_python_that_keeps_none(without_libcrypto):
    """The same machine may have two Pythons with one OpenSSL."""
    without = platform_name()
    without_libcrypto.undo()
    look_again()
    assert platform_name() != without
