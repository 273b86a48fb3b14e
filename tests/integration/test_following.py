"""Archiving while the acquisition runs: the watcher says what is closed, the daemon packs it, in the end the rest."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from archive_support import stat_tree
from engine_support import config_of
from format_files import cbf_bytes

from depositd.archive import Workshop, dataset_directory, verify
from depositd.destinations import build
from depositd.engine.following import follow_dataset
from depositd.engine.packing import pack_plan
from depositd.engine.planning import Plan
from depositd.journal import Journal, PlannedDelivery, Sighting
from depositd.model import Dataset, DatasetState, DeliveryState, Packing, Verdict, VerdictKind
from depositd.service.clock import utc_now
from depositd.service.daemon import Daemon, Options
from depositd.systemd import NoSupervisor

FRAME_BYTES = 4 << 20
"""Every 16 of them are a step of following."""


def frame(number: int, content: str = "") -> bytes:
    noise = hashlib.shake_128((content or str(number)).encode()).digest(FRAME_BYTES)
    return cbf_bytes(number, binary=noise)


class Beamline:
    """A detector's directory, a vault, and a daemon in a thread."""

    def __init__(self, tmp_path: Path, rule: str = "", settle: str = "2s") -> None:
        self.root, self.vault, state = tmp_path / "data", tmp_path / "vault", tmp_path / "state"
        for directory in (self.root, self.vault, state):
            directory.mkdir(exist_ok=True)
        self.config = config_of(
            state,
            rules=f"{{name: r, watch: {self.root}, format: frames, settle: {settle}, deliver: [vault]{rule}}}",
            destinations=f"vault: {{type: directory, path: {self.vault}}}",
            more="retry: {first: 200ms, longest: 1s}\nsweep_every: 1s",
        )
        self.journal = Journal(state / "journal.db")
        self.daemon = Daemon(self.config, self.journal, NoSupervisor(), Options())
        self.thread = threading.Thread(target=self.daemon.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exception):
        self.daemon.stop()
        self.thread.join(30)
        self.journal.close()

    def write(self, first: int, last: int, pause_s: float = 0.0) -> None:
        for number in range(first, last + 1):
            (self.root / f"lyso_1_{number:05}.cbf").write_bytes(frame(number))
            time.sleep(pause_s)

    def until(self, what, within_s=60.0):
        deadline_s = time.monotonic() + within_s
        while not (found := what()):
            assert time.monotonic() < deadline_s, "it took too long"
            time.sleep(0.02)
        return found

    @property
    def record(self):
        return self.journal.datasets.get(1)

    @property
    def part_bytes(self) -> int:
        """What is packed although the dataset has not ended."""
        part = Path(dataset_directory(str(self.config.spool.path), 1)) / "archive.part"
        return part.stat().st_size if part.exists() else 0

    def delivered(self):
        standings = self.journal.deliveries.of_dataset(1)
        return bool(standings) and standings[0].delivery.state is DeliveryState.DELIVERED

    def archive(self):
        self.until(self.delivered)
        found = self.journal.datasets.archive(1)
        verify(found)
        return found


def packed_at_once(tmp_path: Path):
    """Return the archive that a daemon makes of the same files, which does not follow."""
    place = tmp_path / "at once"
    place.mkdir()
    shutil.copytree(tmp_path / "data", place / "data")
    with Beamline(place, ", archive: {follow: false}", settle="0s") as beamline:
        return beamline.archive()


def test_what_is_closed_is_packed_before_the_end_and_the_archive_is_the_same(tmp_path):
    with Beamline(tmp_path, settle="12s") as beamline:
        beamline.write(1, 40, pause_s=0.05)
        # the last frames are packed as well, before the verdict, although they are too few for a step of their own
        beamline.until(lambda: beamline.part_bytes >= 36 * FRAME_BYTES)
        assert beamline.record.state is DatasetState.GROWING
        archive = beamline.archive()
        assert beamline.part_bytes == 0
    at_once = packed_at_once(tmp_path)
    assert (archive.sha256, archive.inner_md5) == (at_once.sha256, at_once.inner_md5)
    assert [one.sha256 for one in archive.members] == [one.sha256 for one in at_once.members]


def test_a_frame_that_changes_after_it_was_packed_is_packed_as_it_is_in_the_end(tmp_path):
    with Beamline(tmp_path) as beamline:
        beamline.write(1, 20)
        beamline.until(lambda: beamline.part_bytes >= 16 * FRAME_BYTES)
        changed = beamline.root / "lyso_1_00003.cbf"
        before = changed.stat()
        content = changed.read_bytes()
        other = frame(3, "other photons")
        assert len(other) == len(content)
        changed.write_bytes(other)
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))  # only its ctime gives it away
        archive = beamline.archive()
    assert archive.members[2].sha256 == hashlib.sha256(changed.read_bytes()).hexdigest()
    assert archive.members[2].sha256 != hashlib.sha256(content).hexdigest()


def test_a_late_frame_gets_its_place(tmp_path):
    with Beamline(tmp_path) as beamline:
        beamline.write(1, 9)
        beamline.write(11, 24)
        beamline.until(lambda: beamline.part_bytes >= 16 * FRAME_BYTES)
        beamline.write(10, 10)
        archive = beamline.archive()
    assert [one.path for one in archive.members] == [f"lyso_1/lyso_1_{number:05}.cbf" for number in range(1, 25)]
    assert archive.sha256 == packed_at_once(tmp_path).sha256


@pytest.mark.parametrize("rule", [", archive: {follow: false}", ", gentle: {read_rate: 1GB/s}"])
def test_what_is_not_to_be_followed_is_read_in_the_end(rule, tmp_path):
    with Beamline(tmp_path, rule) as beamline:
        seen = 0
        beamline.write(1, 20)
        while beamline.record is None or beamline.record.state is DatasetState.GROWING:
            seen = max(seen, beamline.part_bytes)
            time.sleep(0.02)
        assert seen == 0
        beamline.archive()


def test_what_was_begun_of_a_dataset_that_vanishes_is_removed(tmp_path):
    with Beamline(tmp_path, settle="30s") as beamline:
        beamline.write(1, 20)
        beamline.until(lambda: beamline.part_bytes >= 16 * FRAME_BYTES)
        shutil.rmtree(beamline.root)
        beamline.root.mkdir()
    # the root itself was replaced: what was in the former one is waited for, and so is what was packed of it
    assert beamline.part_bytes


def test_what_was_damaged_between_two_runs_is_packed_again_and_said(tmp_path, capsys):
    with Beamline(tmp_path, settle="30s") as beamline:
        beamline.write(1, 20)
        beamline.until(lambda: beamline.part_bytes >= 16 * FRAME_BYTES)
    part = Path(dataset_directory(str(beamline.config.spool.path), 1)) / "archive.part"
    with part.open("r+b") as file:
        file.seek(9 * FRAME_BYTES)
        file.write(b"not what was written")
    with Beamline(tmp_path, settle="1s") as again:
        again.write(21, 44)
        archive = again.archive()
    assert archive.sha256 == packed_at_once(tmp_path).sha256
    assert "of the archive that was begun are packed again: piece" in capsys.readouterr().out


def test_after_a_restart_it_goes_on_with_what_is_there(tmp_path):
    with Beamline(tmp_path, settle="30s") as beamline:
        beamline.write(1, 20)
        beamline.until(lambda: beamline.part_bytes >= 16 * FRAME_BYTES)
    there = beamline.part_bytes
    assert there
    with Beamline(tmp_path, settle="1s") as again:
        assert again.part_bytes >= there
        again.write(21, 24)
        archive = again.archive()
    assert archive.sha256 == packed_at_once(tmp_path).sha256


def growing(beamline: Beamline):
    """Record what lies in the directory as a dataset that grows, without a daemon; return plan, number and files."""
    files = tuple(sorted(stat_tree(beamline.root)))
    dataset = Dataset("lyso_1", "frames", "", "lyso_1", "lyso_1", files)
    sighting = Sighting("r", str(beamline.root), dataset, Verdict(VerdictKind.GROWING, ()), "f", {}, {}, None, {})
    number = beamline.journal.datasets.record(sighting, [PlannedDelivery("vault", "auto")], utc_now()).record.id
    reached = {name: build(name, one) for name, one in beamline.config.destinations.items()}
    return Plan(beamline.config, reached), number, files


def test_a_corrupt_file_costs_all_that_was_packed_and_counts_as_a_loss(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.write(1, 3)
    corrupt = beamline.root / "lyso_1_00002.cbf"
    content = bytearray(corrupt.read_bytes())
    content[-FRAME_BYTES // 2] ^= 1
    corrupt.write_bytes(content)
    plan, number, files = growing(beamline)

    def told(_done: int, _total: int) -> None:
        pass

    with Workshop(1) as workshop:
        followed = follow_dataset(
            plan, beamline.journal, number, files, progress=told, now=utc_now(), workshop=workshop
        )
    beamline.journal.close()
    assert followed is not None
    assert followed.lost_bytes > 0
    assert beamline.part_bytes == 0


@pytest.mark.parametrize(("condemned", "kept"), [(None, True), ("f", True), ("another", False)])
def test_what_was_packed_unchecked_is_of_no_use_for_the_next_generation(tmp_path, condemned, kept):
    """What was found corrupt and released is packed without a look at its checksums; what it became is looked at."""
    beamline = Beamline(tmp_path)
    beamline.write(1, 1)
    plan, number, files = growing(beamline)
    record = beamline.journal.datasets.get(number)
    assert record is not None
    made = pack_plan(plan, beamline.journal, replace(record, condemned=condemned), files, Packing.ARCHIVE)
    beamline.journal.close()
    assert made.keep_part is kept
