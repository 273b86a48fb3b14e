"""Scanning, explaining and submitting by hand, on real files."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from beamline_support import write_run, write_series
from engine_support import FakeDestination, plan_of

from depositd.config import parse_config
from depositd.engine.by_hand import LONGEST_WAIT_S, CannotSubmit, one_dataset, record_by_hand
from depositd.engine.explaining import explain
from depositd.engine.scanning import scan, scanned_json
from depositd.errors import DepositdError
from depositd.journal import Journal
from depositd.model import DeliveryState, HoldKind

LONG_AGO_S = 3600


class Place:
    """A watched tree whose files look an hour old to whoever asks for the time."""

    def __init__(self, tmp_path):
        self.data = tmp_path / "data"
        self.data.mkdir()
        self.config = parse_config(
            f"""
state_dir: {tmp_path}/state
destinations: {{one: {{type: directory, path: {tmp_path}/one}}}}
rules:
  - {{name: lyso, watch: {self.data}, format: frames, include: ["**/lyso*"], exclude: ["**/old/**"], deliver: [one]}}
  - {{name: rest, watch: {self.data}, format: auto, settle: 10s, deliver: [one]}}
""",
            "place.yaml",
        )
        self.journal = Journal(tmp_path / "journal.db")
        self.plan = plan_of(self.config, FakeDestination("one"))

    @staticmethod
    def now():
        return datetime.now(UTC) + timedelta(seconds=LONG_AGO_S)

    def scan(self, *paths, deep=True):
        found = scan(self.config, [str(path) for path in paths], self.now(), deep=deep)
        return {one.sighting.dataset.name: scanned_json(one) for one in found}

    def explain(self, path):
        return explain(self.config, self.journal, str(path), self.now())

    def submit(self, path, *, sleep=lambda _s: None, clock=None):
        return record_by_hand(
            self.plan, self.journal, str(path), "one", {"pdb_code": "1ABC"}, clock=clock or self.now, sleep=sleep
        )


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.journal.close()


def test_a_scan_finds_what_each_rule_would_take(place):
    write_series(place.data / "mx1", "lyso_1", 3)
    write_series(place.data / "mx1", "thau_1", 3)
    write_series(place.data / "old", "lyso_0", 3)
    write_run(place.data, "hela")
    found = place.scan()
    assert {name: one["rule"] for name, one in found.items()} == {
        "lyso_1": "lyso",
        "thau_1": "rest",
        "lyso_0": "rest",
        "hela": "rest",
    }
    assert {one["verdict"] for one in found.values()} == {"complete"}
    assert found["lyso_1"]["path"] == str(place.data / "mx1")
    assert found["lyso_1"]["frames"] == {"present": 3, "expected": None, "missing": []}
    assert set(place.scan(place.data / "mx1")) == {"lyso_1", "thau_1"}
    assert set(place.scan(place.data / "mx1" / "thau_1_00002.cbf")) == {"thau_1"}


def test_a_scan_compares_the_checksums_that_frames_carry_unless_it_shall_be_quick(place):
    write_series(place.data, "lyso_1", 3)
    frame = place.data / "lyso_1_00002.cbf"
    content = bytearray(frame.read_bytes())
    middle = content.index(b"\x0c\x1a\x04\xd5") + 100
    content[middle : middle + 50] = bytes(50)
    frame.write_bytes(content)
    deep = place.scan()["lyso_1"]
    assert deep["verdict"] == "corrupt"
    assert "lyso_1_00002.cbf" in deep["evidence"][0]
    assert place.scan(deep=False)["lyso_1"]["verdict"] == "complete"


def test_a_directory_that_no_rule_watches_is_scanned_as_if_all_did(place, tmp_path):
    write_series(tmp_path / "elsewhere", "lyso_7", 3)
    assert place.scan(tmp_path / "elsewhere")["lyso_7"]["rule"] == "lyso"
    with pytest.raises(DepositdError, match="does not exist"):
        place.scan(tmp_path / "nowhere")


def test_explain_says_which_rule_took_a_file_and_why_others_did_not(place):
    write_series(place.data, "lyso_1", 3)
    write_series(place.data, "thau_1", 3)
    (place.data / "notes.txt").write_text("mind the gap", encoding="utf-8")
    lyso = dict(place.explain(place.data / "lyso_1_00001.cbf").rules)
    assert lyso["lyso"] == "took lyso_1 as frames"
    assert lyso["rest"] == "comes after rule lyso, which took it"
    thau = dict(place.explain(place.data / "thau_1_00001.cbf").rules)
    assert thau["lyso"] == "leaves it out: include (**/lyso*) does not name it"
    assert thau["rest"] == "took thau_1 as frames"
    notes = dict(place.explain(place.data / "notes.txt").rules)
    assert "no part of a dataset" in notes["rest"]
    elsewhere = dict(place.explain("/").rules)
    assert all("does not watch it" in finding for finding in elsewhere.values())
    with pytest.raises(DepositdError, match="there is no dataset 99"):
        place.explain("99")
    with pytest.raises(DepositdError, match="does not exist"):
        place.explain(place.data / "nothing")


@pytest.mark.parametrize("named", ["directory", "frame"])
def test_one_dataset_by_hand_is_recorded_with_an_approved_delivery(place, tmp_path, named):
    write_series(tmp_path / "by", "lyso_9", 3)
    done = place.submit(tmp_path / "by" if named == "directory" else tmp_path / "by" / "lyso_9_00002.cbf")
    assert (done.record.name, done.record.rule, done.record.state) == ("lyso_9", "", "complete")
    assert done.delivery.state is DeliveryState.WAITING
    assert done.delivery.values == {"pdb_code": "1ABC"}
    again = place.submit(tmp_path / "by")
    assert (again.record.id, again.delivery.id) == (done.record.id, done.delivery.id)


def test_what_a_rule_has_taken_is_the_same_dataset_by_hand(place):
    write_series(place.data / "mx1", "lyso_1", 3)
    assert place.submit(place.data / "mx1").record.root == str(place.data)


def test_files_and_directories_of_no_format_go_as_they_are(place, tmp_path):
    (tmp_path / "report [1].pdf").write_bytes(b"%PDF")
    assert place.submit(tmp_path / "report [1].pdf").record.format == "file"
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "a.dat").write_bytes(b"a")
    folder = place.submit(tmp_path / "folder").record
    assert (folder.format, folder.name, folder.file_count) == ("directory", "folder", 1)


def test_what_is_not_one_finished_dataset_is_refused_with_what_would_be_right(place, tmp_path):
    write_series(tmp_path / "two", "lyso_1", 2)
    write_series(tmp_path / "two", "lyso_2", 2)
    with pytest.raises(CannotSubmit, match="holds 2 datasets: lyso_1, lyso_2"):
        place.submit(tmp_path / "two")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotSubmit, match="there is no dataset at"):
        place.submit(tmp_path / "empty")
    with pytest.raises(DepositdError, match="does not exist"):
        place.submit(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path / "two" / "lyso_1_00001.cbf")
    with pytest.raises(CannotSubmit, match="symbolic link"):
        place.submit(tmp_path / "link")


def test_what_lies_behind_a_link_is_neither_scanned_nor_explained(place, tmp_path):
    write_series(tmp_path / "elsewhere", "lyso_1", 2)
    (place.data / "shortcut").symlink_to(tmp_path / "elsewhere")
    for path in (place.data / "shortcut", place.data / "shortcut" / "lyso_1_00001.cbf"):
        with pytest.raises(DepositdError, match="symbolic link"):
            place.scan(path)
        explained = place.explain(path)
        assert explained.found == ()
        assert all("shortcut is a symbolic link" in finding for _, finding in explained.rules)


def test_explain_tells_of_a_file_only_the_dataset_that_holds_it(place):
    write_series(place.data, "lyso_1", 3)
    write_series(place.data, "lyso_2", 3)
    for name in ("lyso_1", "lyso_2"):
        place.submit(place.data / f"{name}_00001.cbf")
    (place.data / "notes.txt").write_text("mind the gap", encoding="utf-8")
    assert [one["name"] for one in place.explain(place.data / "lyso_2_00003.cbf").known] == ["lyso_2"]
    assert place.explain(place.data / "notes.txt").known == ()
    assert [one["name"] for one in place.explain(place.data).known] == ["lyso_1", "lyso_2"]
    (place.data / "lyso_2_00003.cbf").unlink()
    assert [one["name"] for one in place.explain(place.data / "lyso_2_00003.cbf").known] == ["lyso_2"]


def test_what_still_grows_is_waited_for_and_then_refused(place, tmp_path):
    write_series(tmp_path / "by", "lyso_9", 3)
    slept = []

    def another_frame(wait_s):
        slept.append(wait_s)
        os.utime(tmp_path / "by" / "lyso_9_00003.cbf")

    with pytest.raises(CannotSubmit, match="lyso_9 is still growing"):
        place.submit(tmp_path / "by", sleep=another_frame, clock=lambda: datetime.now(UTC))
    assert 0 < sum(slept) <= LONGEST_WAIT_S


def test_what_is_cut_short_is_held_until_it_is_released(place, tmp_path):
    write_series(tmp_path / "by", "lyso_9", 5)
    (tmp_path / "by" / "lyso_9_00003.cbf").unlink()
    held = place.submit(tmp_path / "by").delivery
    assert (held.state, held.hold) == (DeliveryState.HELD, HoldKind.INCOMPLETE)
    assert "frame 3 is missing" in held.error


# one dataset and nothing else


def test_a_directory_with_one_dataset_has_its_name(tmp_path):
    write_series(tmp_path / "mx1", "lyso_1", 3)
    (tmp_path / "link").symlink_to(tmp_path / "mx1")
    for path in ("mx1", "mx1/", "link"):
        found = one_dataset(f"{tmp_path}/{path}", datetime.now(UTC))
        assert (found.name, found.format, len(found.files)) == ("lyso_1", "frames", 3)


def test_a_directory_of_files_that_nobody_knows_has_the_name_that_a_rule_gives_it(tmp_path):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "deep" / "notes.txt").write_text("x")
    assert one_dataset(str(tmp_path / "run"), datetime.now(UTC)).name == "run"


@pytest.mark.parametrize("more", ["notes.txt", ".hidden", "deep/notes.txt", "lyso_2_00001.cbf"])
def test_with_anything_else_in_it_it_is_not_one_dataset(tmp_path, more):
    write_series(tmp_path / "mx1", "lyso_1", 3)
    path = tmp_path / "mx1" / more
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert one_dataset(str(tmp_path / "mx1"), datetime.now(UTC)) is None


def test_neither_a_file_nor_an_empty_directory_nor_nothing_is_one(tmp_path):
    write_run(tmp_path, "hela")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "hela.raw", tmp_path / "empty", tmp_path / "nowhere", "/"):
        assert one_dataset(str(path), datetime.now(UTC)) is None
