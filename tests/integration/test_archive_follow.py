"""Archives that are begun while the acquisition still runs: the same to the last byte as those made at its end."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tarfile
from dataclasses import replace

import pytest
from archive_support import MIB, entries, write_tree
from resume_support import (
    LOG,
    PART,
    Reads,
    Stopped,
    begun,
    content,
    cut_off,
    gone_on_with,
    resumable,
    some_sizes,
    start_of,
    write_members,
)

from depositd.archive import PackTools, Workshop, follow, pack, verify
from depositd.archive.tar import member_header
from depositd.errors import SourceChanged
from depositd.model import Packing


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool" / "depositd-1"


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("seed", range(8))
def test_followed_in_any_steps_and_cut_off_at_any_moment(source, spool, tmp_path, compression, seed):
    chance = random.Random(seed)
    count = 0
    for _ in range(chance.randint(1, 5)):
        sizes = some_sizes(chance, 3)
        write_members(source, sizes, count)
        count += len(sizes)
        plan = resumable(source, compression=compression)
        step = chance.choice([follow, follow, pack])
        moment = chance.choice([0, 1, plan.size_bytes // 2, plan.size_bytes, 2**60])
        if step is pack:
            moment = min(moment, plan.size_bytes)  # told to stop at the latest as it is sealed
        cut_off(step, plan, spool, moment)
    packed = entries(spool)
    assert set(packed) <= {PART, LOG}
    gone_on_with(resumable(source, compression=compression), spool, tmp_path)


def test_every_reader_reads_it(source, spool, tmp_path):
    write_members(source, (9 * MIB, 4 * MIB, 1, 20 * MIB))
    begun(resumable(source), spool)
    write_members(source, (8 * MIB, 511), 4)
    archive = pack(resumable(source), str(spool))
    verify(archive)
    subprocess.run(["zstd", "-t", "-q", archive.path], check=True)
    listed = subprocess.run(["tar", "-I", "zstd", "-tf", archive.path], check=True, capture_output=True, text=True)
    assert listed.stdout.splitlines() == [member.path for member in archive.members]
    plain = tmp_path / "plain.tar"
    subprocess.run(["zstd", "-d", "-q", archive.path, "-o", str(plain)], check=True)
    with tarfile.open(plain) as tar:
        for number, info in enumerate(tar):
            packed = tar.extractfile(info)
            assert packed is not None
            assert packed.read() == content(info.size, number)
    assert sum(block.size_bytes for block in archive.blocks) == archive.size_bytes


def test_only_the_tail_is_read_at_the_end(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 10)
    followed = follow(resumable(source), str(spool))
    assert (followed.source_bytes, followed.lost_bytes) == (60 * MIB, 0)
    assert len(start_of(spool).members) == 10
    write_members(source, (100,), 10)
    assert gone_on_with(resumable(source), spool, tmp_path) == 100


def test_what_is_there_is_not_read_again_by_the_next_step(source, spool):
    write_members(source, (6 * MIB,) * 4)
    begun(resumable(source), spool)
    write_members(source, (6 * MIB,) * 2, 4)
    reads = Reads()
    follow(resumable(source), str(spool), PackTools(read_limit=reads))
    assert reads.count_bytes == 2 * 6 * MIB
    assert len(start_of(spool).members) == 6


def test_too_little_for_a_frame_changes_nothing(source, spool):
    write_members(source, (6 * MIB,) * 2)
    before = begun(resumable(source), spool)
    write_members(source, (3 * MIB,), 2)
    assert follow(resumable(source), str(spool)).source_bytes == 12 * MIB
    assert start_of(spool) == before


def test_a_member_that_is_cut_off_by_a_frame_goes_on_in_its_middle(source, spool, tmp_path):
    write_members(source, (100, 19 * MIB))
    start = begun(resumable(source), spool)
    assert start.plain_bytes == 16 * MIB
    assert start.begun is not None
    file = resumable(source).in_order()[1]
    header_bytes = len(member_header(file[0], file[1].size_bytes, file[1].mtime_ns))
    assert gone_on_with(resumable(source), spool, tmp_path) == 19 * MIB - (start.begun.at - header_bytes)


class Right:
    """A checksum that is always right; it keeps no state."""

    def update(self, block: object) -> None:
        del block

    def problem(self) -> None:
        return None


def test_a_member_with_a_check_that_is_cut_off_is_read_again_and_is_no_loss(source, spool, tmp_path):
    tools = PackTools(content_check=lambda _name: Right())
    for count in range(3, 22, 3):
        write_members(source, (10 * MIB,) * 3, count - 3)
        followed = follow(resumable(source), str(spool), tools)
        assert (followed.source_bytes, followed.lost_bytes) == (count * 10 * MIB, 0), count


def test_a_late_file_that_sorts_in_the_middle(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 6)
    begun(resumable(source), spool)
    write_tree(source, {"002a.cbf": content(1000, 9)})
    said: list[str] = []
    read = gone_on_with(resumable(source), spool, tmp_path, say=said.append)
    assert read == 3 * 6 * MIB + 1000
    assert said[0].startswith("18.9 MB of 37.7 MB are packed already")
    assert said[1].endswith("of the archive that was begun are packed again: files came, went or changed")


def test_following_goes_back_to_where_a_member_changed(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 5)
    begun(resumable(source), spool)
    (source / "003.cbf").write_bytes(content(6 * MIB, 77))
    followed = follow(resumable(source), str(spool))
    assert followed.source_bytes == 30 * MIB
    assert followed.lost_bytes > 0
    assert gone_on_with(resumable(source), spool, tmp_path) == 0


@pytest.mark.parametrize("changes", [{"compression": "gzip"}, {"compression": "zip"}, {"keep_part": False}])
def test_what_could_not_be_gone_on_with_is_not_begun(source, spool, changes):
    write_members(source, (6 * MIB,))
    changes = {**changes, "level": None}
    assert follow(resumable(source, **changes), str(spool)).source_bytes == 0
    assert entries(spool) == []


def test_one_file_as_it_is_is_not_followed(source, spool):
    write_members(source, (6 * MIB,))
    assert follow(resumable(source, packing=Packing.FILE), str(spool)).source_bytes == 0
    assert entries(spool) == []


def test_a_file_that_grows_after_all_is_found_and_what_was_before_it_stays(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 3)
    plan = resumable(source)
    with open(source / "002.cbf", "ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged, match=r"002\.cbf grew"):
        follow(plan, str(spool))
    assert entries(spool) == [PART, LOG]
    gone_on_with(resumable(source), spool, tmp_path)


def test_what_was_left_here_is_trusted_as_long_as_nobody_touches_it(source, spool):
    write_members(source, (6 * MIB,) * 3)
    with Workshop(2) as workshop:
        tools = PackTools(workshop=workshop)
        follow(resumable(source), str(spool), tools)
        part = str(spool / PART)
        assert workshop.trusts(part)
        assert not workshop.trusts(part), "only once: whoever asks is about to change it"
        for _ in range(3):
            follow(resumable(source), str(spool), tools)  # nothing new: it is read once, and trusted again
            assert workshop.trusts(part)
            workshop.trust(part)
        for change in (
            lambda: os.utime(part),
            lambda: os.chmod(part, 0o600),
            lambda: os.truncate(part, 100),
            lambda: shutil.copy(part, part + "2") and os.rename(part + "2", part),
            lambda: os.unlink(part),
        ):
            workshop.trust(part)
            change()
            assert not workshop.trusts(part)
        assert not workshop.trusts(part + "never")


def test_a_step_that_is_interrupted_keeps_what_it_settled(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 12)
    plan = resumable(source)
    cut_off(follow, plan, spool, 50 * MIB)
    settled = len(start_of(spool).members)
    assert settled <= 8
    assert gone_on_with(plan, spool, tmp_path) == (12 - settled) * 6 * MIB


def test_another_level_begins_anew(source, spool, tmp_path):
    write_members(source, (6 * MIB,) * 2)
    begun(resumable(source), spool)
    plan = replace(resumable(source), level=3)
    assert gone_on_with(plan, spool, tmp_path) == 12 * MIB


def test_stopping_works_while_it_is_looked_at_what_is_there(source, spool):
    write_members(source, (6 * MIB,) * 2)
    begun(resumable(source), spool)
    calls: list[int] = []

    def progress(done: int, _total: int) -> None:
        calls.append(done)
        if len(calls) == 2:  # the first is the beginning of it all
            raise Stopped

    with pytest.raises(Stopped):
        pack(resumable(source), str(spool), PackTools(progress=progress))
    assert calls == [0, 0]
    assert entries(spool) == [PART, LOG]
