"""depositd where none of the calls, flags and signals are that Windows lacks (tests/support/elsewhere.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from beamline_support import Beamline, write_run, write_series

from depositd.archive.encoders import decode
from depositd.simulate.writers import write_eiger

ELSEWHERE = str(Path(__file__).parents[1] / "support" / "elsewhere.py")


@pytest.fixture
def beamline(tmp_path):
    made = Beamline(tmp_path)
    made.configure(
        "- {name: all, watch: DATA, format: auto, settle: 300ms, deliver: [vault]}\n".replace("DATA", str(made.data))
    )
    return made


def there(beamline, *commands):
    """Run commands one after the other in one process; return the finished process."""
    given = json.dumps([["--config", str(beamline.config), *words] for words in commands])
    return subprocess.run(
        [sys.executable, ELSEWHERE, given],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env=beamline.environment,
        cwd=beamline.directory,
    )


def tar_of(archive: Path) -> bytes:
    return b"".join(decode("zstd", iter([archive.read_bytes()])))


def test_datasets_of_every_kind_of_reading_are_archived_and_delivered(beamline):
    write_series(beamline.data / "lyso", "lyso_1", 4)
    write_run(beamline.data / "orbi", "run_7")
    (beamline.data / "eiger").mkdir()
    write_eiger(beamline.data / "eiger", "thau_1", images=4, images_per_file=2, shape=(64, 64))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in beamline.data.rglob("*.*")}

    ended = there(beamline, ["run", "--until-idle"], ["journal", "check"], ["check"], ["scan"])

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "journal.db is sound" in ended.stdout
    assert "0 problems" in ended.stdout
    assert "3 datasets found: 3 complete" in ended.stderr
    assert sorted(path.name for path in beamline.vault.iterdir()) == [
        "lyso_1.tar.zst",
        "run_7.tar.zst",
        "thau_1.tar.zst",
    ]
    frame = (beamline.data / "lyso" / "lyso_1_00003.cbf").read_bytes()
    assert frame in tar_of(beamline.vault / "lyso_1.tar.zst")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    # here, where all calls are, the same archives are found and nothing is made twice
    assert {one["state"] for name in ("lyso_1", "run_7", "thau_1") for one in beamline.deliveries(name).values()} == {
        "delivered"
    }


def test_links_are_not_followed_without_the_flag_that_forbids_it(beamline):
    outside = beamline.directory / "outside"
    write_series(outside, "secret_1", 2)
    write_series(beamline.data / "lyso", "lyso_1", 2)
    (beamline.data / "lyso" / "lyso_1_00003.cbf").symlink_to(outside / "secret_1_00001.cbf")
    (beamline.data / "there").symlink_to(outside)

    ended = there(beamline, ["scan"])

    assert ended.returncode == 0, ended.stderr
    assert "secret_1" not in ended.stdout
    assert "lyso_1_00003.cbf" in ended.stdout, "a link is named, and not read"
    assert "complete: " not in ended.stdout
