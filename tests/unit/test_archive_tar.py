from __future__ import annotations

import io
import tarfile
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.archive.frames import judge_content
from depositd.archive.tar import end_of_archive, member_header, padding
from depositd.errors import ContentCorrupt


def parse(header: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(header), encoding="utf-8", errors="surrogateescape") as tar:
        info = tar.next()
    assert info is not None
    return info


@pytest.mark.parametrize(
    "path",
    ["d/a", "d/" + "x" * 300, "d/" + "y/" * 200 + "z", "d/new\nline", "d/Größe", "d/\udcff\udc80", "d/-x", "d/ "],
)
@pytest.mark.parametrize(
    "mtime_ns", [0, 1_700_000_000_000_000_000, 1_700_000_000_123_456_789, -1_500_000_000, 2**33 * 10**9]
)
def test_names_and_times_survive(path, mtime_ns):
    info = parse(member_header(path, 0, mtime_ns))
    assert info.name == path
    seconds = info.pax_headers.get("mtime", str(info.mtime))
    whole, _, fraction = seconds.lstrip("-").partition(".")
    sign = -1 if seconds.startswith("-") else 1
    assert sign * (int(whole) * 10**9 + int(fraction.ljust(9, "0"))) == mtime_ns


@pytest.mark.parametrize("size_bytes", [0, 1, 8 * 2**30 - 1, 8 * 2**30, 2**45])
def test_sizes_survive_above_8_gib(size_bytes):
    assert parse(member_header("d/a", size_bytes, 0)).size == size_bytes


paths = st.text("ab/\x00 \n~é\udcff", min_size=1, max_size=8) | st.integers(1, 120).map(lambda length: "n" * length)
sizes = st.integers(0, 2**45) | st.sampled_from([0, 1, 8**11 - 1, 8**11])
seconds = st.integers(-(2**31), 2**40) | st.sampled_from([0, 10**9 - 1, 10**9, 1_700_000_000, 8**11 - 1, 8**11, 10**10])
fractions_ns = st.sampled_from([0, 1, 500_000_000, 999_999_999]) | st.integers(0, 999_999_999)


@given(paths, sizes, seconds, fractions_ns)
def test_a_header_that_is_filled_in_is_the_one_that_tarfile_makes(path, size_bytes, second, fraction_ns):
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = size_bytes, 0o644, second
    mtime_ns = second * 10**9 + fraction_ns
    if fraction_ns:
        info.pax_headers = {"mtime": f"{Decimal(mtime_ns) / 10**9:.9f}"}
    assert member_header(path, size_bytes, mtime_ns) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def test_nothing_of_the_host_is_in_a_header():
    info = parse(member_header("d/a", 1, 0))
    assert (info.uid, info.gid, info.uname, info.gname, info.mode, info.type) == (0, 0, "", "", 0o644, tarfile.REGTYPE)
    assert len(member_header("d/a", 1, 10**9)) == tarfile.BLOCKSIZE, "a whole second needs no PAX record"


@pytest.mark.parametrize("size_bytes", [512, 1024, 9216, 10240 - 1024, 10240 - 512, 10240, 20480])
def test_the_end_is_two_zero_blocks_and_fills_the_record(size_bytes):
    end = end_of_archive(size_bytes)
    assert not any(end)
    assert len(end) >= 1024
    assert (size_bytes + len(end)) % 10240 == 0
    assert len(end) < 1024 + 10240


def test_padding():
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]


class Check:
    def __init__(self, says: str | None) -> None:
        self.says = says

    def update(self, block: bytes | memoryview) -> None:
        pass

    def problem(self) -> str | None:
        return self.says


def test_a_contradicted_checksum_names_the_file_in_print():
    judge_content("a.cbf", Check(None))
    with pytest.raises(ContentCorrupt, match=r"mx1/a\\n\.cbf is corrupt: its MD5 is wrong") as caught:
        judge_content("mx1/a\n.cbf", Check("its MD5 is wrong"))
    assert caught.value.hint
