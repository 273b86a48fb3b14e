"""Verifying, in exact sentences: packed files made byte by byte, so that each can be wrong in one place alone."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import threading
import zipfile
from dataclasses import replace

import pytest

from depositd.archive.tar import end_of_archive, member_header, padding
from depositd.archive.verifying import unchanged, verify
from depositd.errors import ArchiveInvalid
from depositd.model import Archive, Member, Packing

TAR_NAMES = ".tar.zst, .tar.gz, .tar.bz2, .tar, .zip"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def member(path: str, content: bytes) -> Member:
    return Member(path, len(content), 0, sha256(content))


def tar_of(**contents: bytes) -> bytes:
    plain = b"".join(
        member_header(path, len(content), 0) + content + padding(len(content)) for path, content in contents.items()
    )
    return plain + end_of_archive(len(plain))


def zip_of(**contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, content in contents.items():
            file.writestr(path, content)
    return packed.getvalue()


@pytest.fixture
def write(tmp_path):
    """Return what writes a packed file and believes all its hashes."""

    def write(name: str, packed: bytes, /, **contents: bytes) -> Archive:
        (tmp_path / name).write_bytes(packed)
        members = tuple(member(path, content) for path, content in contents.items())
        path = str(tmp_path / name)
        return Archive(path, name, Packing.ARCHIVE, len(packed), md5(packed), md5(packed), sha256(packed), members)

    return write


def refused(archive: Archive) -> str:
    """Return why an archive is refused, without its path."""
    with pytest.raises(ArchiveInvalid) as caught:
        verify(archive)
    assert caught.value.hint == (
        "it is thrown away and packed again by itself; if that happens often, check the disk and the memory"
    )
    return str(caught.value).removeprefix(f"{archive.path} is not what was packed: ")


def test_what_is_wrong_with_the_file_is_said_with_both_values(write):
    archive = write("x.tar", packed := tar_of(a=b"1"), a=b"1")
    verify(archive)
    assert refused(replace(archive, size_bytes=1234)) == f"it has {len(packed):,} bytes instead of 1,234"
    assert refused(replace(archive, md5="0")) == f"MD5 of the file is {md5(packed)} instead of 0"
    assert refused(replace(archive, sha256="0")) == f"SHA256 of the file is {sha256(packed)} instead of 0"
    assert refused(replace(archive, inner_md5="0")) == f"MD5 of the tar inside is {md5(packed)} instead of 0"
    assert refused(write("x.rar", packed, a=b"1")) == f"its name ends in none of {TAR_NAMES}"
    zipped = write("x.zip", zip_of(a=b"1"), a=b"1")
    verify(zipped)
    assert refused(replace(zipped, inner_md5="0")) == "there is no tar inside, yet the MD5 of one is recorded"


@pytest.mark.parametrize(("name", "make"), [("x.tar", tar_of), ("x.zip", zip_of)], ids=["tar", "zip"])
def test_what_is_wrong_with_a_member_is_said_with_both_values(write, name, make):
    archive = write(name, make(a=b"12", b=b"34"), a=b"12", b=b"34")
    verify(archive)
    first, second = archive.members

    def with_members(*members: Member) -> str:
        return refused(replace(archive, members=members))

    assert with_members(first) == "it holds b, which was not packed"
    assert with_members() == "it holds a, which was not packed"
    assert with_members(first, second, second) == "it holds 2 members instead of 3"
    assert with_members(second, first) == "member 1 is a instead of b"
    assert with_members(first, replace(second, path="c\x1b")) == "member 2 is b instead of c\\x1b"
    assert with_members(first, replace(second, size_bytes=3000)) == "b has 2 bytes in it instead of 3,000"
    assert with_members(first, replace(second, sha256="0")) == (f"b has the SHA-256 {sha256(b'34')} in it instead of 0")


def test_a_file_sent_as_it_is_has_itself_as_its_one_member(write):
    archive = replace(write("run.raw", b"12", **{"run.raw": b"12"}), packing=Packing.FILE)
    verify(archive)
    assert refused(replace(archive, inner_md5="0")) == "there is no tar inside, yet the MD5 of one is recorded"
    one = archive.members[0]
    assert refused(replace(archive, members=())) == "it holds run.raw, which was not packed"
    assert refused(replace(archive, members=(one, one))) == "it holds 1 member instead of 2"
    assert refused(replace(archive, members=(replace(one, path="other"),))) == "member 1 is run.raw instead of other"
    assert refused(replace(archive, members=(replace(one, size_bytes=9),))) == "run.raw has 2 bytes in it instead of 9"
    assert "has the SHA-256" in refused(replace(archive, members=(replace(one, sha256="0"),)))


@pytest.mark.fault(11)
@pytest.mark.parametrize("cut", ["all of its end", "a block", "a record more", "a megabyte more"])
def test_a_tar_ends_where_it_must_to_the_byte(write, cut):
    whole = tar_of(a=b"1")
    packed = {
        "all of its end": whole[:1024],
        "a block": whole[:-512],
        "a record more": whole + bytes(10_240),
        "a megabyte more": whole + bytes(1 << 20),
    }[cut]
    assert refused(write("x.tar", packed, a=b"1")) == "the end of its tar is missing"


@pytest.mark.parametrize("size_bytes", [0, 8192, 8193, 8705, 9216, 522_240, 522_241, 1_046_528, 1_310_000])
def test_a_whole_tar_is_whole_wherever_its_end_lies_between_records_and_blocks(write, size_bytes):
    content = bytes(size_bytes)
    verify(write("x.tar", tar_of(a=content), a=content))


def test_a_tar_of_nothing_is_whole(write):
    verify(write("x.tar", tar_of()))


def test_a_name_that_is_no_text_is_the_same_name_in_the_tar(write):
    for name in (os.fsdecode(b"a\xff.cbf"), "Größe.cbf", "y" * 101):
        verify(write("x.tar", tar_of(**{name: b"1"}), **{name: b"1"}))


def test_what_stands_behind_the_last_member_is_hashed_and_counted_too(write):
    archive = write("x.tar", packed := tar_of(a=b"1") + bytes(1 << 21), a=b"1")
    assert refused(replace(archive, inner_md5="0")) == f"MD5 of the tar inside is {md5(packed)} instead of 0"


@pytest.mark.fault(11)
def test_damage_names_what_is_damaged(write):
    content = bytes(3000)
    cut = tar_of(a=content)[:2048]
    assert refused(write("x.tar", cut, a=content)) == "its tar is damaged: unexpected end of data"
    assert refused(write("x.tar", tar_of(a=b"1")[:600], a=b"1")) == "its tar is damaged: unexpected end of data"
    assert refused(write("x.tar", b"x" * 1024, a=content)).startswith("its tar is damaged: ")
    assert refused(write("x.tar", b"", a=content)) == "its tar is damaged: empty file"
    assert refused(write("x.zip", b"x" * 1024, a=content)) == "its zip is damaged: File is not a zip file"
    whole = zip_of(a=content)
    changed_content = whole[:100] + b"x" + whole[101:]
    assert refused(write("x.zip", changed_content, a=content)) == "its zip is damaged: Bad CRC-32 for file 'a'"
    assert refused(write("x.zip", b"xx" + whole[2:], a=content)) == (
        "its zip is damaged: Bad magic number for file header"
    )


def test_a_member_that_is_no_file_is_not_what_was_packed(write):
    info = tarfile.TarInfo("a")
    info.type = tarfile.DIRTYPE
    plain = info.tobuf(tarfile.USTAR_FORMAT)
    archive = write("x.tar", plain + end_of_archive(len(plain)), a=b"")
    assert refused(archive) == f"a has the SHA-256 not a file in it instead of {sha256(b'')}"


def test_a_file_that_cannot_be_opened_says_why(write):
    archive = write("x.tar", tar_of(a=b"1"), a=b"1")
    gone = replace(archive, path=archive.path + ".gone")
    assert refused(gone) == "it cannot be opened: No such file or directory"


def test_a_file_that_cannot_be_read_says_why(write):
    archive = write("x.tar", b"", a=b"1")
    unreadable = "/proc/self/mem"  # it opens, has no size, and address 0 is nobody's
    assert refused(replace(archive, path=unreadable)) == "it cannot be read: Input/output error"


def test_a_look_tells_size_and_kind_and_no_more(write, tmp_path):
    archive = write("x.tar", b"12")
    assert unchanged(archive)
    assert unchanged(replace(archive, md5="0"))
    assert not unchanged(replace(archive, size_bytes=3))
    (tmp_path / "link").symlink_to(archive.path)
    length = len(archive.path)
    assert not unchanged(replace(archive, path=str(tmp_path / "link"), size_bytes=length)), "a link of that size"
    assert not unchanged(replace(archive, path=archive.path + ".gone"))


class Stopped(Exception):
    pass


@pytest.mark.parametrize("name", ["x.tar", "x.zip", "run.raw"])
def test_it_is_asked_about_every_block_whether_to_go_on(write, name):
    content = bytes(3 << 20)
    make = {"x.tar": tar_of, "x.zip": zip_of}.get(name, lambda **contents: content)
    archive = write(name, make(**{"run.raw": content}), **{"run.raw": content})
    if name == "run.raw":
        archive = replace(archive, packing=Packing.FILE)
    asked = []
    verify(archive, lambda: asked.append(None))
    assert len(asked) >= 6

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        verify(archive, stop)


def test_it_is_asked_too_while_what_stands_behind_the_tar_is_read(write):
    plain = tar_of(a=b"1")
    asked = []
    with pytest.raises(ArchiveInvalid, match="the end of its tar is missing"):
        verify(write("x.tar", plain + bytes(3 << 20), a=b"1"), lambda: asked.append(None))
    assert len(asked) >= 6


def test_its_threads_are_named_for_whoever_looks_at_the_process(write):
    content = bytes(3 << 20)
    seen: set[str] = set()
    archive = write("x.tar", tar_of(a=content), a=content)
    verify(archive, lambda: seen.update(re.sub(r"_\d+$", "", thread.name) for thread in threading.enumerate()))
    assert seen >= {"verify-decode", "verify-md5", "verify-sha256"}
