"""Whatever a file holds, the probe of a frame answers: no exception, little memory, little time."""

import bz2
import functools
import gzip
import io
import lzma
import struct
import time
import tracemalloc

import pytest
import zstandard
from format_files import (
    bruker_bytes,
    cbf_bytes,
    mar345_bytes,
    marccd_bytes,
    oxford_bytes,
    raxis_bytes,
    smv_bytes,
    tiff_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from depositd.formats import frame_probe
from depositd.formats.mar345_packed import MOST_CHUNKS
from depositd.formats.reading import PARSE_ERRORS

MOST_BYTES = 64 << 20
MOST_S = 1.0
MAGICS = [
    b"",
    b"###CBF",
    b"###CBF\n\x0c\x1a\x04\xd5",
    b"{\nHEADER_BYTES=512;",
    b"II*\0",
    b"MM\0*",
    b"II+\0\x08\0\0\0",
    b"MM\0+\0\x08\0\0",
    b"R-AXIS4",
    b"FORMAT :100".ljust(80) + b"HDRBLKS:5".ljust(80),
    b"OD SAPPHIRE  3.0\r\nCOMPRESSION=TY1\r\n",
    b"\xd2\x04\0\0" + b"\0" * 60 + b"mar research",
]
WHOLE = {
    "cbf": cbf_bytes(),
    "smv": smv_bytes(),
    "marccd": marccd_bytes(),
    "tiff": tiff_bytes(directory="start", pages=2),
    "tiff, behind": tiff_bytes(order=">"),
    "bigtiff": tiff_bytes(big=True, tiles=True),
    "raxis": raxis_bytes(width=100, height=3),
    "bruker": bruker_bytes(),
    "bruker 86": bruker_bytes(version=86, pixel_bytes="1"),
    "oxford ty1": oxford_bytes(),
    "oxford ty6": oxford_bytes(packing="TY6"),
    "oxford ty5": oxford_bytes(packing="TY5", version="4.0"),
    "mar345": mar345_bytes(size=64),
    "mar345 v2": mar345_bytes(size=64, version=2, order=">"),
}
PACK = {
    "gz": functools.partial(gzip.compress, compresslevel=1),
    "bz2": bz2.compress,
    "xz": functools.partial(lzma.compress, preset=0),
    "zst": zstandard.compress,
}
FUZZ = settings(max_examples=30, deadline=None)


def answers(probe):
    assert probe.problem is None or 0 < len(probe.problem) < 300
    assert probe.problem is None or probe.problem.isprintable()
    assert all(len(value) <= 200 for value in probe.facts.values() if isinstance(value, str))
    return probe


def changed(content, data, most=12):
    """Overwrite some bytes, most of them where headers are, with bytes or with numbers that counts and offsets like."""
    mutated = bytearray(content)
    numbers = [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x8000_0000, len(content), 65_536]
    for _change in range(data.draw(st.integers(1, most))):
        place = data.draw(st.integers(0, min(len(content), 8192) - 1) | st.integers(0, len(content) - 1))
        order = data.draw(st.sampled_from("<>"))
        number = data.draw(st.sampled_from(numbers) | st.integers(0, 0xFFFF_FFFF))
        value = data.draw(st.binary(min_size=1, max_size=4) | st.just(struct.pack(f"{order}I", number)))
        mutated[place : place + len(value)] = value
    return bytes(mutated)


@FUZZ
@given(st.sampled_from(MAGICS), st.binary(max_size=6000))
def test_random_bytes_never_raise(magic, rest):
    answers(frame_probe.probe_bytes(magic + rest))


@pytest.mark.parametrize("kind", frame_probe.KINDS, ids=lambda kind: kind.name)
@FUZZ
@given(head=st.binary(max_size=6000))
def test_a_parser_raises_only_what_probes_turn_into_a_problem(kind, head):
    kind.matches(head)
    try:
        header = kind.parse(head, lambda offset, count: head[offset : offset + count])
    except PARSE_ERRORS:
        return
    assert header.facts["kind"] == kind.name
    assert header.whole_bytes >= 0


@pytest.mark.parametrize("name", WHOLE)
@FUZZ
@given(data=st.data())
def test_a_changed_frame_never_raises(name, data):
    answers(frame_probe.probe_bytes(changed(WHOLE[name], data)))


@pytest.mark.parametrize("name", WHOLE)
@FUZZ
@given(data=st.data())
def test_a_changed_and_cut_frame_never_raises(name, data):
    content = changed(WHOLE[name], data, most=3)
    answers(frame_probe.probe_bytes(content[: data.draw(st.integers(0, len(content)))]))


@pytest.mark.parametrize("compression", PACK)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_changed_compressed_frame_never_raises(compression, data):
    name = data.draw(st.sampled_from(sorted(WHOLE)))
    inside = data.draw(st.booleans())
    content = PACK[compression](changed(WHOLE[name], data, most=4) if inside else WHOLE[name])
    if not inside:
        content = changed(content, data, most=4)
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    answers(frame_probe.probe_stream(io.BytesIO(content), compression))
    check = frame_probe.content_check(f"x_1.cbf.{compression}")
    check.update(content)
    assert check.problem() is None or len(check.problem()) < 300


@FUZZ
@given(st.sampled_from(sorted(PACK)), st.binary(max_size=3000))
def test_random_bytes_as_a_stream_never_raise(compression, content):
    answers(frame_probe.probe_stream(io.BytesIO(content), compression))


# hostile on purpose


def tiff_of(entries, following=0, order="<"):
    table = struct.pack(f"{order}H", len(entries))
    table += b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8) + table + struct.pack("<I", following)


def chained(directories):
    """A TIFF with so many directories, each with the same long table of strips."""
    entries = [(256, 4, 1, 9), (257, 4, 1, 9), (259, 3, 1, 5), (273, 4, 100_000, 8), (279, 4, 100_000, 8)]
    one = len(tiff_of(entries)) - 8
    blocks = [tiff_of(entries, 8 + one * (number + 1))[8:] for number in range(directories)]
    return tiff_of([])[:8] + b"".join(blocks) + bytes(400_000)


def huge_counts():
    for tag in (256, 270, 272, 273, 279, 306, 324):
        for kind in (1, 2, 3, 4, 16):
            yield tiff_of([(256, 3, 1, 9), (257, 3, 1, 9), (tag, kind, 0xFFFF_FFFF, 0)]) + bytes(100_000)
    yield struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, (1 << 64) - 1) + bytes(100_000)
    yield struct.pack("<2sHI", b"II", 42, 8) + b"\xff" * 1_000_000


HOSTILE = {
    "SMV, 1 MB of a header without a line": b"{\nHEADER_BYTES=999999;\n" + b"a" * 60 + b" " * 999_000,
    "SMV, 1 MB of keys": b"{\nHEADER_BYTES=999999;\n" + b"a=b;\n" * 200_000,
    "CBF, 1 MB of comments": b"###CBF" + b"\n# D" * 250_000,
    "CBF, 1 MB of loops": b"###CBF" + b"\nloop_\n_a\n" * 100_000 + b"\x0c\x1a\x04\xd5",
    "CBF, 1 MB of MIME": b"###CBF" + b"\nX-Binary-Size: 5" * 60_000 + b"\x0c\x1a\x04\xd5",
    "CBF, 1 MB of quotes": b"###CBF\nloop_\n_a\n" + b"'" * 900_000 + b"\x0c\x1a\x04\xd5",
    "CBF, an endless binary": cbf_bytes().replace(b"X-Binary-Size: 600", b"X-Binary-Size: 999999999999999"),
    "TIFF, many directories": chained(1000),
    "TIFF, a circle": tiff_bytes(loop=True, pages=50),
    "Bruker, a giant header": bruker_bytes(HDRBLKS="1024", NROWS="60000") + b"A:B".ljust(80) * 7000,
    "Bruker, giant counts": bruker_bytes(NROWS="65536", NCOLS="65536", NOVERFL="4294967296 4294967296 4294967296"),
    "Oxford, giant counts": oxford_bytes()
    .replace(b"OI=      3", b"OI=9999999")
    .replace(b"NHEADER=   5120", b"NHEADER= 262144")
    + bytes(400_000),
    "Oxford, endless lines": oxford_bytes(packing="TY6")[:5120] + b"\xff" * 8192,
    "R-AXIS, giant records": raxis_bytes()[:784] + struct.pack(">2i", 1 << 20, 65_536) + raxis_bytes()[792:],
    "MAR345, as many chunks as can be": mar345_bytes(size=20_000, chunk=0, chunks=2_000_000),
    "MAR345, giant records": mar345_bytes()[:8] + struct.pack("<i", 1 << 24) + mar345_bytes()[12:],
    "zeros": bytes(1 << 20),
    "ones": b"\xff" * (1 << 20),
    **{f"TIFF, huge counts {number}": content for number, content in enumerate(huge_counts())},
}


def spent(probe):
    """Return the answer, the peak of memory in bytes and the processor time in seconds, each measured by itself."""
    started = time.thread_time()
    answer = probe()
    took_s = time.thread_time() - started
    tracemalloc.start()
    try:
        probe()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return answer, peak, took_s


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.startswith("MAR345, as many")])
def test_a_hostile_header_costs_little(name):
    answer, peak, took_s = spent(lambda: frame_probe.probe_bytes(HOSTILE[name]))
    assert answers(answer).problem is not None
    assert peak < MOST_BYTES
    assert took_s < MOST_S


def test_a_packed_image_of_single_pixels_is_given_up_in_time():
    content = HOSTILE["MAR345, as many chunks as can be"]
    started = time.thread_time()
    probe = answers(frame_probe.probe_bytes(content))
    assert time.thread_time() - started < MOST_S
    assert f"followed for {MOST_CHUNKS:,} of 400,000,000 pixels" in probe.facts["whole_unproven"]


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("inside", ["smv", "tiff, behind", "nothing"])
def test_a_bomb_costs_little(compression, inside):
    content = PACK[compression](WHOLE.get(inside, b"") + bytes(16 << 20))
    answer, peak, took_s = spent(
        lambda: frame_probe.probe_stream(io.BytesIO(content), compression, most_bytes=15 << 20)
    )
    assert answers(answer).problem is not None
    assert peak < MOST_BYTES
    assert took_s < MOST_S


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_bomb_is_given_up_at_the_real_limit(compression):
    content = PACK[compression](smv_bytes() + bytes(frame_probe.MOST_EXPANDED_BYTES))
    started = time.thread_time()
    probe = frame_probe.probe_stream(io.BytesIO(content), compression)
    assert "expands to more than 134,217,728 bytes" in probe.problem
    assert time.thread_time() - started < MOST_S


def test_a_compressed_directory_that_leads_back_and_forth_is_given_up():
    """Each step back begins anew at the file's start; all passes together are bounded."""
    far = 6 << 20
    content = bytearray(far + 100_000)
    content[:8] = struct.pack("<2sHI", b"II", 42, far)
    entries = [(256, 3, 1, 9), (257, 3, 1, 9), (270, 2, 100, 2 << 20), (272, 2, 100, far - 200), (306, 2, 100, 2 << 20)]
    for number in range(100):
        at = far + number * 100
        table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        content[at : at + 66] = struct.pack("<H", 5) + table + struct.pack("<I", at + 100)
    answer, peak, took_s = spent(
        lambda: frame_probe.probe_stream(io.BytesIO(gzip.compress(bytes(content), 1)), "gz", most_bytes=32 << 20)
    )
    assert answers(answer).problem is not None
    assert peak < MOST_BYTES
    assert took_s < MOST_S
