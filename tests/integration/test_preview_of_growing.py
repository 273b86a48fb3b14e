"""The picture of a dataset that still grows: its files are those that are there now."""

from __future__ import annotations

from datetime import datetime

import pytest
from engine_support import NOW, config_of, sighting
from format_files import scan_tree

from depositd.cli.previews import write_preview
from depositd.errors import NoPicture
from depositd.formats import group
from depositd.journal import FILE_NAME, Journal
from depositd.model import VerdictKind
from depositd.simulate import writers


@pytest.fixture
def source(tmp_path):
    """Return a watched directory with one frame in it."""
    root = tmp_path / "data"
    (root / "run").mkdir(parents=True)
    content = writers.cbf_frame(1, date=datetime(2026, 11, 21, 2, 14, 7))  # noqa: DTZ001 - detectors write no zone
    (root / "run" / "lyso_1_0001.cbf").write_bytes(content)
    return root


@pytest.fixture
def growing(tmp_path, source):
    """Return a config, a journal that knows the series as growing, and the dataset's number."""
    config = config_of(tmp_path / "state", root=source)
    (tmp_path / "state").mkdir()
    journal = Journal(tmp_path / "state" / FILE_NAME)
    (dataset,) = group(scan_tree(str(source), "run"), "frames")
    looked = sighting(dataset, VerdictKind.GROWING, root=str(source))
    yield config, journal, journal.datasets.record(looked, [], NOW).record.id
    journal.close()


def test_it_is_made_of_the_files_that_are_there(tmp_path, growing):
    written = write_preview(*growing, str(tmp_path / "x.png"))
    assert written == str(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_files_that_went_are_said_to_be_gone(tmp_path, source, growing):
    (source / "run" / "lyso_1_0001.cbf").unlink()
    with pytest.raises(NoPicture, match="no longer there") as raised:
        write_preview(*growing, str(tmp_path / "x.png"))
    assert "depositd explain 1" in raised.value.hint
    assert not (tmp_path / "x.png").exists()


def test_without_its_rule_it_is_not_looked_for(tmp_path, source, growing):
    _config, journal, dataset_id = growing
    other = config_of(tmp_path / "state", rules=f"{{name: other, watch: {source}, format: frames, deliver: [one]}}")
    with pytest.raises(NoPicture, match="no rule of the config takes them"):
        write_preview(other, journal, dataset_id, str(tmp_path / "x.png"))
