"""One source walked through its nights by hand: real directories, a clock that the test moves."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from clock_support import ManualClock
from engine_support import FakeDestination, an_archive, config_of, hands_of, history, plan_of
from format_files import cbf_bytes

from depositd.engine.watching import SourceWatcher, sources
from depositd.errors import JournalError
from depositd.journal import Journal
from depositd.model import DatasetState, DeliveryState, FileKind, VerdictKind
from depositd.watch.events import ChangedDirectories, watch

K, D = VerdictKind, DatasetState
FRAME = cbf_bytes()


class Night:
    """A watcher over a directory of ``.cbf`` series, without events unless asked for."""

    def __init__(self, tmp_path, *, events=False, rules=None, settle="10s", moved=None):
        self.root = tmp_path / "data"
        self.root.mkdir(exist_ok=True)
        self.journal = Journal(tmp_path / "journal.db")
        one = FakeDestination()
        text = rules or f"{{name: r, watch: {self.root}, format: frames, settle: {settle}, deliver: [one]}}"
        self.plan = plan_of(config_of(tmp_path, rules=text.replace("ROOT", str(self.root))), one)
        self.clock, self.monotonic_s = ManualClock(), 1000.0
        self.said, self.recorded, self.moved = [], [], moved or (lambda: None)
        self.woken, self.events = threading.Event(), events
        self.begin()

    def begin(self):
        """Start a watcher, as a daemon does that comes up."""
        hands = hands_of(
            self.clock,
            lambda: self.monotonic_s,
            moved=lambda: self.moved(),  # noqa: PLW0108 - a test may put another in its place later
            recorded=self.recorded.append,
            said=self.said.append,
            **({"start_events": watch} if self.events else {}),
        )
        ((root, rules),) = sources(self.plan.config.rules).items()
        self.changed = ChangedDirectories(self.woken)
        self.watcher = SourceWatcher(root, rules, self.plan, self.journal, self.changed, hands)

    def turn(self, after_s=0.0):
        """Let time pass and take a turn; return the seconds until the next."""
        self.monotonic_s += after_s
        self.clock.advance(after_s)
        wait_s = self.watcher.turn()
        assert 0 < wait_s <= 60.0
        return wait_s

    def pass_time(self, seconds):
        """Take every turn that is due."""
        end_s = self.monotonic_s + seconds
        wait_s = self.turn()
        while self.monotonic_s + wait_s <= end_s:
            wait_s = self.turn(wait_s)
        self.turn(end_s - self.monotonic_s)

    def write(self, *paths, content=FRAME, mtime_s=None):
        for path in paths:
            target = os.path.join(os.fsencode(self.root), os.fsencode(path))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            if mtime_s is not None:
                os.utime(target, (mtime_s, mtime_s))

    def series(self, name="run/lyso_1", count=3, **more):
        self.write(*(f"{name}_{number:05}.cbf" for number in range(1, count + 1)), **more)

    @property
    def datasets(self):
        shown = self.journal.view.everything()
        return [self.journal.datasets.get(one["id"]) for one in shown]

    @property
    def states(self):
        return {record.name: record.state for record in self.datasets if record.current}

    def archive(self, record):
        record = self.journal.datasets.get(record.id)
        assert self.journal.datasets.archived(record.id, record.fingerprint, [an_archive()], self.clock())

    def close(self):
        self.watcher.close()
        assert self.journal.database.problems() == []
        self.journal.close()


@pytest.fixture
def night(tmp_path):
    made = []

    def make(**more):
        made.append(Night(tmp_path, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_series_is_found_grows_settles_and_is_complete(night):
    n = night()
    n.turn()
    n.series(count=2)
    assert n.datasets == []
    n.pass_time(10)
    assert n.states == {"lyso_1": D.GROWING}
    n.pass_time(20)
    (record,) = n.datasets
    assert (record.state, record.file_count, record.rule) == (D.COMPLETE, 2, "r")
    assert 10 <= (record.completed_at - record.first_seen).total_seconds() <= 16


def test_as_long_as_frames_come_it_grows_and_what_is_whole_for_the_settle_time_is_complete(night):
    n = night()
    n.series(count=1)
    n.turn()
    for number in range(2, 8):
        n.write(f"run/lyso_1_{number:05}.cbf")
        n.turn(8)
        assert n.states == {"lyso_1": D.GROWING}
    n.pass_time(30)
    assert n.states == {"lyso_1": D.COMPLETE}
    assert history(n.journal, 1) == ["seen", "completed"]


@pytest.mark.fault(9)
def test_the_quiet_time_counts_from_when_we_saw_it_not_from_mtimes(night):
    n = night(settle="60s")
    n.series("run/old_1", mtime_s=1e9)
    n.series("run/future_1", mtime_s=4e9)
    n.turn()
    n.pass_time(50)
    assert set(n.states.values()) == {D.GROWING}
    n.pass_time(20)
    assert n.states == {"old_1": D.COMPLETE, "future_1": D.COMPLETE}


@pytest.mark.fault(10)
def test_a_late_frame_after_archiving_is_a_new_generation(night):
    n = night()
    n.series(count=3)
    n.turn()
    n.pass_time(30)
    n.archive(n.datasets[0])
    n.pass_time(120)
    assert len(n.datasets) == 1
    n.write("run/lyso_1_00004.cbf")
    n.pass_time(120)
    assert [(one.generation, one.state, one.file_count) for one in n.datasets] == [
        (1, D.ARCHIVED, 3),
        (2, D.COMPLETE, 4),
    ]
    assert n.journal.deliveries.get(1).delivery.state is DeliveryState.SKIPPED


@pytest.mark.fault(9)
def test_a_tree_that_is_moved_in_is_found_whole(night, tmp_path):
    n = night()
    n.turn()
    n.root, inside = tmp_path / "elsewhere", n.root
    n.series("mx1/deep/lyso_1")
    n.series("mx1/other/lyso_2")
    n.root = inside
    os.rename(tmp_path / "elsewhere" / "mx1", inside / "mx1")
    n.pass_time(120)
    assert n.states == {"lyso_1": D.COMPLETE, "lyso_2": D.COMPLETE}


def test_events_wake_a_look_long_before_the_next_sweep(night):
    n = night(events=True)
    n.turn()
    n.woken.clear()
    n.series("mx1/deep/lyso_1")
    assert n.woken.wait(10)
    for _ in range(100):
        n.turn(0.3)
        if n.datasets:
            break
        n.woken.wait(0.05)
    assert n.monotonic_s < 1000 + 50
    assert n.states == {"lyso_1": D.GROWING}
    assert "events and sweeps" in n.journal.surroundings.sources()[0].means


@pytest.mark.fault(1, 8)
def test_events_that_are_all_dropped_cost_no_dataset(night):
    n = night(events=True)
    n.turn()
    n.series()
    n.changed.take()
    n.pass_time(150)
    assert n.states == {"lyso_1": D.COMPLETE}


def test_too_many_events_to_name_lead_to_a_sweep(night):
    n = night()
    n.turn()
    n.series()
    for number in range(10_001):
        n.changed.add(f"{n.root}/gone/{number}")
    n.turn(1)
    assert n.states == {"lyso_1": D.GROWING}


def test_events_from_elsewhere_and_of_what_is_gone_already_are_no_trouble(night):
    n = night()
    n.turn()
    for path in (f"{n.root}-other/x", "/", f"{n.root}/never/there", str(n.root)):
        n.changed.add(path)
    n.turn(1)
    assert n.said == []


def test_files_that_vanish_before_they_were_archived_are_gone_and_can_come_back(night, tmp_path):
    n = night()
    n.series()
    n.write("other/x.txt")
    n.turn()
    n.pass_time(30)
    os.rename(n.root / "run", tmp_path / "away")
    n.pass_time(70)
    assert n.states == {"lyso_1": D.GONE}
    assert n.journal.deliveries.get(1).delivery.state is DeliveryState.FAILED
    os.rename(tmp_path / "away", n.root / "run")
    n.pass_time(100)
    assert n.states == {"lyso_1": D.COMPLETE}
    assert n.journal.deliveries.get(1).delivery.state is DeliveryState.WAITING


@pytest.mark.fault(7)
def test_a_root_that_is_missing_is_unavailable_and_comes_back_by_itself(night, tmp_path):
    n = night()
    n.series()
    n.turn()
    n.pass_time(30)
    os.rename(n.root, tmp_path / "away")
    n.pass_time(120)
    assert n.states == {"lyso_1": D.COMPLETE}
    (source,) = n.journal.surroundings.sources()
    assert (source.state, "No such file" in source.problem) == ("unavailable", True)
    assert len(n.said) == 1
    os.rename(tmp_path / "away", n.root)
    n.series("run/lyso_2")
    n.pass_time(60)
    assert n.states == {"lyso_1": D.COMPLETE, "lyso_2": D.COMPLETE}
    assert n.said[1:] == [f"source {n.root} is back"]
    assert n.journal.surroundings.sources()[0].state == "watched"


@pytest.mark.fault(7)
@pytest.mark.parametrize("missed", [True, False])
def test_a_root_that_is_made_anew_and_empty_is_an_unmounted_share_not_a_loss(night, tmp_path, missed):
    n = night()
    n.series()
    n.turn()
    n.pass_time(30)
    os.rename(n.root, tmp_path / "away")
    if not missed:
        n.turn(5)
    n.root.mkdir()
    n.pass_time(120)
    assert n.states == {"lyso_1": D.COMPLETE}
    assert "is it mounted" in n.journal.surroundings.sources()[0].problem
    n.root.rmdir()
    os.rename(tmp_path / "away", n.root)
    n.pass_time(60)
    assert n.journal.surroundings.sources()[0].state == "watched"
    assert n.states == {"lyso_1": D.COMPLETE}


@pytest.mark.fault(7)
def test_a_share_that_is_not_mounted_yet_when_the_daemon_starts_loses_nothing(night, tmp_path):
    n = night()
    n.series()
    n.turn()
    n.pass_time(30)
    n.watcher.close()
    os.rename(n.root, tmp_path / "away")
    n.root.mkdir()
    n.begin()
    n.pass_time(120)
    assert n.states == {"lyso_1": D.COMPLETE}
    assert n.watcher.swept_once


@pytest.mark.fault(7)
def test_a_root_that_goes_away_in_the_middle_of_a_sweep_loses_nothing(night, tmp_path):
    n = night()
    n.series("a/lyso_1")
    n.series("b/lyso_2")
    n.turn()
    n.pass_time(30)
    scanned = []

    def unmounting():
        scanned.append(1)
        if len(scanned) == 2:
            os.rename(n.root, tmp_path / "away")
            n.root.mkdir()

    n.moved = unmounting
    n.turn(60)
    n.turn(5)
    assert (tmp_path / "away").exists()
    n.pass_time(60)
    assert n.states == {"lyso_1": D.COMPLETE, "lyso_2": D.COMPLETE}


def test_what_was_under_way_and_what_is_settled_is_known_after_a_restart(night):
    n = night()
    n.series("run/lyso_1")
    n.turn()
    n.pass_time(30)
    n.archive(n.datasets[0])
    n.series("run/lyso_2")
    n.pass_time(5)
    n.watcher.close()
    shutil.rmtree(n.root / "run")
    n.series("run/lyso_3")
    n.recorded.clear()
    n.begin()
    n.pass_time(60)
    assert n.states == {"lyso_1": D.ARCHIVED, "lyso_2": D.GONE, "lyso_3": D.COMPLETE}


@pytest.mark.parametrize("there", [True, False])
def test_a_dataset_whose_archive_was_lost_is_looked_after_again(night, there):
    n = night()
    n.series()
    n.write("other/x.txt")
    n.turn()
    n.pass_time(30)
    record = n.datasets[0]
    n.archive(record)
    n.pass_time(10)
    if not there:
        shutil.rmtree(n.root / "run")
        n.pass_time(70)
        assert n.states == {"lyso_1": D.ARCHIVED}
    n.journal.datasets.archive_lost(record.id, "the spool's disk failed", n.clock())
    n.journal.datasets.changed(record.id, "the file's inode changed", n.clock())
    n.pass_time(100)
    assert n.states == {"lyso_1": D.COMPLETE if there else D.GONE}


def test_two_rules_share_a_root_and_the_first_takes_a_file(night):
    n = night(
        rules="{name: first, watch: ROOT, format: frames, include: ['a/**'], settle: 5s, deliver: [one]},"
        "{name: second, watch: ROOT, format: frames, settle: 5s, deliver: [one]}"
    )
    n.series("a/lyso_1")
    n.series("b/lyso_2")
    n.turn()
    n.pass_time(30)
    assert {record.name: record.rule for record in n.datasets} == {"lyso_1": "first", "lyso_2": "second"}


@pytest.mark.fault(13)
def test_special_files_are_refused_by_name_and_never_opened(night, tmp_path):
    n = night()
    n.series(count=3)
    os.mkfifo(n.root / "run" / "lyso_1_00004.cbf")
    n.series("link/good_1")
    (tmp_path / "secret").write_bytes(FRAME)
    os.symlink(tmp_path / "secret", n.root / "link" / "stolen_00001.cbf")
    os.symlink(n.root, n.root / "link" / "loop")
    n.turn()
    n.pass_time(60)
    verdicts = {record.name: (record.verdict, record.sentence) for record in n.datasets}
    assert set(verdicts) == {"lyso_1", "good_1", "stolen"}
    assert verdicts["good_1"][0] is K.COMPLETE
    assert (verdicts["lyso_1"][0], FileKind.FIFO.value in verdicts["lyso_1"][1]) == (K.CORRUPT, True)
    assert (verdicts["stolen"][0], FileKind.SYMLINK.value in verdicts["stolen"][1]) == (K.CORRUPT, True)


def test_a_sidecar_that_is_a_pipe_stops_nothing(night):
    n = night()
    n.series()
    n.series("other/lyso_2")
    os.mkfifo(n.root / "run" / "deposit.yaml")
    keeping_it_open = os.open(n.root / "run" / "deposit.yaml", os.O_RDWR | os.O_NONBLOCK)
    n.turn()
    n.pass_time(30)
    os.close(keeping_it_open)
    assert n.states == {"lyso_1": D.COMPLETE, "lyso_2": D.COMPLETE}
    assert "is not a regular file" in n.datasets[1].sidecar_problem


def test_names_with_newlines_and_without_utf8_are_datasets_like_others(night):
    n = night()
    n.write(b"ru\xff\n/ly\xfeso\n_1_00001.cbf", b"ru\xff\n/ly\xfeso\n_1_00002.cbf")
    n.turn()
    n.pass_time(30)
    (record,) = n.datasets
    assert (record.name, record.state) == ("ly\udcfeso\n_1", D.COMPLETE)
    assert record.path == f"{n.root}/ru\udcff\n"


def test_what_the_journal_could_not_keep_is_not_remembered_as_kept(night):
    n = night()
    n.series("run/lyso_1")
    n.series("run/lyso_2")
    full = f"WHEN NEW.name = x'{b'lyso_2'.hex()}' BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    with n.journal.together() as connection:
        connection.execute(f"CREATE TEMP TRIGGER full BEFORE INSERT ON main.datasets {full}")
    with pytest.raises(JournalError, match="disk is full"):
        n.turn()
    assert n.datasets == []
    with n.journal.together() as connection:
        connection.execute("DROP TRIGGER full")
    # the number that the first one had for a moment is now the second one's, which has not gone anywhere
    for number in range(1, 4):
        (n.root / f"run/lyso_1_{number:05}.cbf").unlink()
    n.pass_time(90)
    assert n.states == {"lyso_2": D.COMPLETE}
    assert n.said == []


def test_a_part_that_cannot_be_read_is_reported_and_the_others_go_on(night):
    n = night()
    n.series("good/lyso_1")
    n.series("bad/lyso_2")
    n.turn()
    scan = n.watcher._memory._walk.scan_directory

    def failing(path):
        if path.endswith("/bad"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    object.__setattr__(n.watcher._memory._walk, "scan_directory", failing)
    n.pass_time(70)
    n.turn(60)
    assert n.states == {"lyso_1": D.COMPLETE, "lyso_2": D.GROWING}
    (source,) = n.journal.surroundings.sources()
    assert (source.state, source.problem) == ("watched", "1 directory cannot be read, first bad: Permission denied")


def test_markers_and_sidecars_are_heeded_when_they_come(night):
    n = night(rules="{name: r, watch: ROOT, format: frames, marker: '*.done', settle: 5s, deliver: [one]}")
    n.series("run/lyso_1")
    n.series("run/lyso_2")
    n.turn()
    n.pass_time(100)
    assert set(n.states.values()) == {D.GROWING}
    n.write("run/lyso_2.done", content=b"")
    n.write("run/deposit.yaml", content=b"project_title: lysozyme\n")
    n.pass_time(70)
    assert n.states == {"lyso_1": D.GROWING, "lyso_2": D.COMPLETE}
    assert n.datasets[1].metadata["project_title"] == "lysozyme"


def test_a_broken_frame_is_read_again_once_it_is_mended(night):
    n = night()
    n.series(count=2)
    n.write("run/lyso_1_00003.cbf", content=FRAME[:-200])
    n.turn()
    n.pass_time(60)
    assert n.datasets[0].verdict is not K.COMPLETE
    n.write("run/lyso_1_00003.cbf")
    n.pass_time(100)
    assert n.states == {"lyso_1": D.COMPLETE}


def test_a_dataset_by_hand_below_a_watched_root_is_not_said_to_be_gone(night):
    from engine_support import frames, record

    n = night()
    by_hand = record(n.journal, frames(), K.COMPLETE, "one", rule="", root=str(n.root))
    n.write("other/x.txt")
    n.begin()
    n.pass_time(130)
    assert n.journal.datasets.get(by_hand.id).state is D.COMPLETE


def test_what_is_excluded_is_neither_walked_nor_looked_at(night):
    n = night(rules="{name: r, watch: ROOT, format: frames, exclude: ['**/processed/**'], settle: 5s, deliver: [one]}")
    n.series("run/processed/lyso_1")
    n.series("run/lyso_2")
    n.turn()
    n.changed.add(f"{n.root}/run/processed")
    n.pass_time(30)
    assert n.states == {"lyso_2": D.COMPLETE}


def test_memory_follows_what_grows_not_what_was(night):
    n = night()
    for number in range(20):
        n.series(f"run{number}/d_{number}", count=1)
    n.turn()
    n.pass_time(60)
    for record in n.datasets:
        n.archive(record)
    n.pass_time(130)
    assert n.watcher._saved == {}
    assert n.watcher._observer._places == {}
    shutil.rmtree(n.root)
    Path(n.root).mkdir()
    n.pass_time(70)
    assert n.watcher._effort.keys() <= {""}


def dated(number, when):
    return cbf_bytes(number, date=when)


@pytest.mark.fault(10)
def test_a_prefix_that_is_begun_again_before_it_was_archived_is_a_new_generation(night):
    n = night(settle="10s")
    for number in range(1, 6):
        n.write(f"run/lyso_1_{number:05}.cbf", content=dated(number, "2026-11-21T02:00:00.000"))
    n.turn()
    n.pass_time(15)
    assert n.states == {"lyso_1": D.COMPLETE}
    for number in range(1, 6):
        n.write(f"run/lyso_1_{number:05}.cbf", content=dated(number, "2026-11-21T03:30:00.000"))
        n.pass_time(3)
    n.pass_time(30)
    first, second = n.datasets
    assert (first.state, first.current, first.generation) == (D.GONE, False, 1)
    assert (second.state, second.current, second.generation) == (D.COMPLETE, True, 2)
    (lost,) = n.journal.deliveries.of_dataset(first.id)
    assert lost.delivery.state is DeliveryState.SKIPPED
    assert "another acquisition of the same name overwrote the files" in lost.delivery.error


def test_what_an_aborted_restart_leaves_is_never_mixed_with_it(night):
    n = night(settle="10s")
    for number in range(1, 7):
        n.write(f"run/lyso_1_{number:05}.cbf", content=dated(number, "2026-11-21T02:00:00.000"))
    n.turn()
    n.pass_time(5)
    for number in range(1, 4):
        n.write(f"run/lyso_1_{number:05}.cbf", content=dated(number, "2026-11-21T03:30:00.000"))
    n.pass_time(60)
    now = {record.name: record for record in n.datasets if record.current}
    assert now.keys() == {"lyso_1", "lyso_1-remains"}
    assert (now["lyso_1"].state, now["lyso_1"].file_count, now["lyso_1"].generation) == (D.COMPLETE, 3, 2)
    assert (now["lyso_1-remains"].state, now["lyso_1-remains"].verdict) == (D.INCOMPLETE, K.ABORTED)
    assert "3 frames (4 to 6) are left from an acquisition before 2026-11-21T03:30:00.000" in now["lyso_1"].sentence


def test_a_wavelength_that_changes_in_a_series_makes_two_datasets(night):
    n = night(settle="10s")
    for number in range(1, 4):
        n.write(f"run/lyso_1_{number:05}.cbf", content=cbf_bytes(number, start=number * 0.1))
    n.turn()
    n.pass_time(5)
    for number in range(4, 8):
        n.write(f"run/lyso_1_{number:05}.cbf", content=cbf_bytes(number, start=number * 0.1, Wavelength="1.0722 A"))
    n.pass_time(60)
    assert {record.name: (record.state, record.file_count) for record in n.datasets} == {
        "lyso_1": (D.COMPLETE, 3),
        "lyso_1-2": (D.COMPLETE, 4),
    }
    for record in n.datasets:
        assert "2 datasets share this series" in record.sentence
        n.archive(record)
    n.pass_time(130)
    assert n.watcher._observer._places == {}
    n.write("run/lyso_1_00008.cbf", content=cbf_bytes(8, start=0.8, Wavelength="1.0722 A"))
    n.pass_time(60)
    current = {record.name: (record.generation, record.state) for record in n.datasets if record.current}
    assert current == {"lyso_1": (1, D.ARCHIVED), "lyso_1-2": (2, D.COMPLETE)}


def test_one_dataset_that_vanishes_takes_none_of_its_neighbours_with_it(night):
    n = night()
    n.series("run/a_1")
    n.series("run/b_1")
    n.turn()
    n.pass_time(5)
    for number in range(1, 4):
        os.unlink(n.root / f"run/a_1_{number:05}.cbf")
    n.pass_time(130)
    assert n.states == {"a_1": D.GONE, "b_1": D.COMPLETE}
    assert history(n.journal, 2) == ["seen", "completed"]


def test_another_directory_in_the_roots_place_is_watched_and_the_former_ones_datasets_are_not_deleted(night, tmp_path):
    n = night()
    n.series("held_1")
    n.turn()
    n.pass_time(5)
    os.rename(n.root, tmp_path / "away")
    n.pass_time(10)
    n.root.mkdir()
    n.series("new_1")
    n.pass_time(130)
    assert n.states == {"held_1": D.GROWING, "new_1": D.COMPLETE}
    assert any("1 dataset of the former one are waited for" in said for said in n.said)
    shutil.rmtree(n.root)
    os.rename(tmp_path / "away", n.root)
    n.pass_time(130)
    assert n.states["held_1"] == D.COMPLETE


def test_a_link_to_a_directory_is_never_followed_whatever_events_say(night, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "secret_1_00001.cbf").write_bytes(FRAME)
    n = night(events=True)
    n.series("run/a_1")
    n.turn()
    os.symlink(tmp_path / "elsewhere", n.root / "run" / "link")
    for directory in ("run/link", "run/link/deep"):
        n.changed.add(str(n.root / directory))
    n.pass_time(60)
    assert n.states == {"a_1": D.COMPLETE}
    os.rename(n.root / "run", n.root / "moved")
    os.symlink(tmp_path / "elsewhere", n.root / "run")
    n.changed.add(str(n.root / "run"))
    n.pass_time(60)
    assert "secret_1" not in n.states


def test_what_is_archived_and_looks_different_is_in_doubt_until_it_is_judged(night):
    n = night()
    n.series("run/a_1")
    n.turn()
    n.pass_time(30)
    n.archive(n.datasets[0])
    n.pass_time(10)
    assert not n.watcher.in_doubt
    n.watcher.close()
    n.write("run/a_1_00004.cbf")
    n.begin()
    n.turn()
    assert n.watcher.in_doubt
    n.pass_time(30)
    assert not n.watcher.in_doubt
    assert [record.generation for record in n.datasets if record.current] == [2]
