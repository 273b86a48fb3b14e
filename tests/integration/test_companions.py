"""What a file says when something beside it comes or goes: an observer that looks again and again, on real files."""

from __future__ import annotations

import os
import random
import shutil

import pytest
from engine_support import NOW, config_of, rule_of
from format_files import agilent_files, scan_tree, write_bruker

from depositd.engine.explaining import explain
from depositd.engine.observing import Observer
from depositd.model import VerdictKind

VITAL = {"AcqData/MSScan.bin", "AcqData/MSPeak.bin", "AcqData/MSScan.xsd"}


class Looks:
    """An observer of a directory, whose clock moves by itself."""

    def __init__(self, root, format_name="auto"):
        self.root = str(root)
        self.observer = Observer(self.root, [rule_of(format=format_name, settle="2s")])
        self.at_s = 0.0

    def __call__(self, *, times=4, after_s=2.0):
        """Look so often, and return the last verdict that was given."""
        verdict = None
        for _ in range(times):
            self.at_s += after_s
            for judged in self.observer.look(scan_tree(self.root), NOW, self.at_s):
                verdict = judged.sighting.verdict
        return verdict


@pytest.mark.parametrize(("suffix", "content"), [("-journal", b"j"), ("-wal", b"w" * 99), ("-shm", b"")])
def test_a_bruker_run_is_complete_once_the_last_journal_is_gone(tmp_path, suffix, content):
    write_bruker(tmp_path / "x.d")
    journal = tmp_path / "x.d" / f"analysis.tdf{suffix}"
    journal.write_bytes(content)
    looks = Looks(tmp_path)
    assert looks().kind is VerdictKind.GROWING
    journal.unlink()
    verdict = looks()
    assert verdict.kind is VerdictKind.COMPLETE
    assert not verdict.by_quiescence


def test_a_bruker_index_that_came_before_its_data_is_compared_with_them(tmp_path):
    write_bruker(tmp_path / "x.d")
    data = (tmp_path / "x.d" / "analysis.tdf_bin").rename(tmp_path / "kept")
    journal = tmp_path / "x.d" / "analysis.tdf-journal"
    looks = Looks(tmp_path)
    assert looks().kind is VerdictKind.GROWING
    journal.write_bytes(b"j")
    data.rename(tmp_path / "x.d" / "analysis.tdf_bin")
    assert looks().kind is VerdictKind.GROWING
    journal.unlink()
    assert looks().kind is VerdictKind.COMPLETE


def write_agilent(root, name, content):
    path = root / "q.D" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_an_agilent_run_is_complete_once_what_describes_its_scans_is_there(tmp_path):
    files = agilent_files()
    for name in files.keys() - {"AcqData/MSScan.xsd"}:
        write_agilent(tmp_path, name, files[name])
    looks = Looks(tmp_path)
    verdict = looks()
    assert verdict.kind is VerdictKind.GROWING
    assert "its scans cannot be checked: MSScan.xsd is missing" in verdict.evidence
    write_agilent(tmp_path, "AcqData/MSScan.xsd", files["AcqData/MSScan.xsd"])
    verdict = looks()
    assert verdict.kind is VerdictKind.COMPLETE
    assert not verdict.by_quiescence
    assert "MSScan.xsd" not in verdict.sentence


def copy_file_by_file(source, target, names):
    """Copy with pauses far longer than settle, and return what was there when the copy was first called complete."""
    looks, there = Looks(target), set()
    for name in names:
        (target / "q.D" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / "q.D" / name)
        there.add(name)
        verdict = looks(times=4, after_s=140.0)  # nine minutes
        if verdict is not None and verdict.kind is VerdictKind.COMPLETE:
            return there
    return None


def orders(source):
    """Give orders in which a program may copy a directory: by name and back, by size, the flag first, by chance."""
    names = sorted(
        os.path.relpath(os.path.join(place, name), source) for place, _dirs, names in os.walk(source) for name in names
    )
    yield from (names, names[::-1], sorted(names, key=lambda name: (source / name).stat().st_size))
    for last in sorted(VITAL):
        yield sorted(names, key=lambda name: (name == last, name != "AcqData/Contents.xml"))
    for seed in range(6):
        yield random.Random(seed).sample(names, len(names))


def check_copies(source, tmp_path):
    for number, names in enumerate(orders(source)):
        found = copy_file_by_file(source, tmp_path / str(number), names)
        assert found is not None, names
        assert found >= VITAL, names


def test_no_part_of_an_agilent_run_without_its_scans_is_complete(tmp_path):
    for name, content in agilent_files().items():
        write_agilent(tmp_path, name, content)
    source = (tmp_path / "q.D").rename(tmp_path / "source")
    for name in ("FID1.cd", "FID1.cg"):
        (source / "AcqData" / name).write_bytes(b"x" * 99)
    check_copies(source, tmp_path)


@pytest.mark.real_data
def test_no_part_of_a_real_agilent_run_without_its_scans_is_complete(real_data, tmp_path):
    check_copies(real_data / "agilent" / "yellow.D", tmp_path)


def test_the_flag_and_another_detector_alone_are_waited_for_an_hour(tmp_path):
    files = agilent_files()
    for name in ("AcqData/Contents.xml", "AcqData/Devices.xml"):
        write_agilent(tmp_path, name, files[name])
    write_agilent(tmp_path, "AcqData/FID1.cd", b"x" * 174)
    looks = Looks(tmp_path)
    assert looks(times=10, after_s=350.0).kind is VerdictKind.GROWING
    verdict = looks(times=5, after_s=100.0)
    assert verdict.kind is VerdictKind.COMPLETE
    assert verdict.by_quiescence


def test_under_auto_a_directory_is_nobodys_until_a_format_recognises_it(tmp_path):
    data = tmp_path / "data"
    write_agilent(data, "GC/notes.txt", b"x")
    looks = Looks(data)
    assert looks() is None
    config = config_of(tmp_path / "state", rules=f"{{name: r, watch: {data}, format: auto, deliver: [one]}}")
    for place in ("q.D", "q.D/GC", "q.D/GC/notes.txt"):
        explained = explain(config, None, str(data / place), NOW)
        assert explained.rules == (("r", "watches it, but no format recognises q.D yet by what lies in it"),), place
        assert explained.found == ()
    for name, content in agilent_files().items():
        write_agilent(data, name, content)
    assert looks().kind is VerdictKind.COMPLETE
    assert explain(config, None, str(data / "q.D"), NOW).rules == (("r", "took q as agilent-d"),)
