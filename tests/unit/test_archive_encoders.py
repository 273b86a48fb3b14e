from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest
import zstandard

from depositd.archive.encoders import decode, decode_frame, encoder_for
from depositd.archive.workshop import FRAME_MOST_BYTES
from depositd.errors import ArchiveInvalid

FRAMES = [random.Random(seed).randbytes(40_000) + bytes(20_000) for seed in range(3)]
PLAIN = b"".join(FRAMES)
COMPRESSED = ["zstd", "gzip", "bzip2"]


def encode(compression: str) -> bytes:
    encoder = encoder_for(compression, 1)
    return b"".join([*(bytes(encoder.encode(memoryview(frame))) for frame in FRAMES), encoder.finish()])


def blocks(data: bytes, size: int) -> list[bytes]:
    cuts = [*range(0, len(data), size), len(data)]
    return [data[start:stop] for start, stop in pairwise(cuts)]


@pytest.mark.parametrize("compression", [*COMPRESSED, "none"])
@pytest.mark.parametrize("size", [1, 37, 4096, 1 << 20])
def test_round_trip_for_any_size_of_block(compression, size):
    encoded = encode(compression)
    assert b"".join(decode(compression, blocks(encoded, max(size, len(encoded) // 5000)))) == PLAIN


@pytest.mark.fault(11)
@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_cut_inside_a_frame_or_stream_is_found(compression):
    encoded = encode(compression)
    for stop in range(1, len(encoded), 997):
        with pytest.raises(ArchiveInvalid, match="cut off"):
            list(decode(compression, [encoded[:stop]]))


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("size", [1 << 20, 64])
def test_what_follows_the_end_is_found(compression, size):
    with pytest.raises(ArchiveInvalid, match=r"follows|damaged"):
        list(decode(compression, blocks(encode(compression) + b"x" * 64, size)))


def test_nothing_at_all_is_no_stream():
    for compression in ("gzip", "bzip2"):
        with pytest.raises(ArchiveInvalid, match="cut off"):
            list(decode(compression, []))


@pytest.mark.fault(11)
def test_damage_to_content_is_found_by_the_frames_own_checksum():
    encoded = bytearray(encode("zstd"))
    encoded[len(encoded) // 2] ^= 0x10
    with pytest.raises(ArchiveInvalid, match="zstd frame 2 is damaged"):
        list(decode("zstd", [bytes(encoded)]))


@pytest.mark.fault(11)
def test_every_frame_states_its_size_and_a_checksum():
    encoder = encoder_for("zstd", 1)
    for frame in FRAMES:
        parameters = zstandard.get_frame_parameters(bytes(encoder.encode(memoryview(frame))))
        assert parameters.has_checksum
        assert parameters.content_size == len(frame) <= FRAME_MOST_BYTES


def test_a_gzip_header_knows_no_time():
    assert encode("gzip")[4:8] == bytes(4)
    assert zlib.decompress(encode("gzip"), 31) == PLAIN


def test_highly_compressible_streams_are_decoded_in_bounded_steps():
    encoder = encoder_for("gzip", 1)
    encoded = bytes(encoder.encode(memoryview(bytes(50 << 20)))) + encoder.finish()
    sizes = [len(block) for block in decode("gzip", [encoded])]
    assert sum(sizes) == 50 << 20
    assert max(sizes) <= 1 << 20


def test_a_zip_holds_no_tar():
    with pytest.raises(ValueError, match="no tar"):
        encoder_for("zip", 6)
    with pytest.raises(ValueError, match="no tar"):
        decode("zip", [])


def counts_of_a_byte(size: int) -> bytes:
    """Return what a CBF's binary section looks like: few different bytes, hardly a repetition."""
    return bytes(random.Random(1).choices(range(24), weights=[2.0 ** -abs(value - 12) for value in range(24)], k=size))


def records(size: int) -> bytes:
    """Return what an instrument's log looks like: the same few records again and again, in no order."""
    chance = random.Random(1)
    known = [chance.randbytes(300) for _ in range(64)]
    return b"".join(chance.choices(known, k=size // 300))


def usual(frame: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(frame)


def test_at_level_1_counts_of_a_byte_take_the_quick_way_and_come_out_no_larger():
    frame = counts_of_a_byte(1 << 20) * 4  # a mebibyte is further back than either way looks
    encoded = bytes(encoder_for("zstd", 1).encode(memoryview(frame)))
    assert len(encoded) < len(usual(frame))
    assert b"".join(decode("zstd", [encoded])) == frame


def test_at_level_minus_1_counts_take_the_quick_way_which_codes_single_bytes():
    frame = counts_of_a_byte(1 << 20)
    encoded = bytes(encoder_for("zstd", -1).encode(memoryview(frame)))
    assert len(encoded) < 0.6 * len(zstandard.ZstdCompressor(level=-1, write_checksum=True).compress(frame))
    assert b"".join(decode("zstd", [encoded])) == frame


@pytest.mark.parametrize("level", [2, 3, 4])
def test_counts_take_the_quick_way_at_slower_levels_as_well_where_these_find_nothing(level):
    frame = counts_of_a_byte(8 << 20)
    encoded = bytes(encoder_for("zstd", level).encode(memoryview(frame)))
    assert len(encoded) < len(zstandard.ZstdCompressor(level=level, write_checksum=True).compress(frame))
    assert b"".join(decode("zstd", [encoded])) == frame


@pytest.mark.parametrize("content", [records, bytes])
def test_at_level_1_repetitive_content_takes_the_usual_way(content):
    frame = content(5 << 20)
    assert encoder_for("zstd", 1).encode(memoryview(frame)) == usual(frame)


def test_small_frames_and_high_levels_take_the_usual_way():
    small = counts_of_a_byte((1 << 20) - 1)
    assert encoder_for("zstd", 1).encode(memoryview(small)) == usual(small)
    compressor = zstandard.ZstdCompressor(level=5, write_checksum=True)
    assert encoder_for("zstd", 5).encode(memoryview(small * 4)) == compressor.compress(small * 4)


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, 5 << 20])
def test_a_frame_is_decoded_in_small_pieces(compression, size):
    frame = counts_of_a_byte(size)
    encoded = bytes(encoder_for(compression, 1).encode(memoryview(frame)))
    pieces = (encoded[at : at + 100_000] for at in range(0, len(encoded), 100_000))
    found = [bytes(piece) for piece in decode_frame(compression, pieces)]
    assert b"".join(found) == frame
    assert max(map(len, found), default=0) <= 1 << 18


def test_a_damaged_frame_is_not_decoded_as_if_it_were_whole():
    frame = counts_of_a_byte(1 << 20)
    encoded = bytes(encoder_for("zstd", 1).encode(memoryview(frame)))
    for at in (0, 5, len(encoded) // 2, len(encoded) - 1):
        wrong = bytearray(encoded)
        wrong[at] ^= 0x5A
        try:
            assert b"".join(bytes(piece) for piece in decode_frame("zstd", iter([bytes(wrong)]))) != frame
        except ArchiveInvalid:
            continue
    assert b"".join(bytes(piece) for piece in decode_frame("zstd", iter([encoded[:-100]]))) != frame
    assert b"".join(bytes(piece) for piece in decode_frame("zstd", iter([encoded]))) == frame, "it works afterwards"
