"""Any order of writes, renames, power cuts, full disks, lost answers and clock jumps: in the morning all is there once.

The real watcher, archiver, engine and journal over real files, and the sandbox over sockets; hypothesis chooses what
happens.  The suite runs some nights, the same ones every time.  More of them, and others::

    DEPOSITD_NIGHTS=500 pytest tests/integration/test_any_night_machine.py --hypothesis-seed=0
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from beamline_support import write_series
from campaign_support import source_facts, unpacked
from clock_support import ManualClock
from depot_support import Impatient, assert_nothing_was_sent_blindly, irrmc, watched
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from nights_support import AnyNight, live_through
from whole_support import Whole

from depositd.engine.words import speak
from depositd.model import DeliveryState
from depositd.moments import Moment

S = DeliveryState
WHOLE = 3
THOROUGH_S = 700.0
YEAR_S = 365 * 86_400.0
RULE = (
    "{{name: r, watch: {root}, format: frames, settle: 10s, expect: {{frames: 3}}, keep_archive: 1h,"
    " metadata: {{set: {{dataset_type: other, project_title: A title that is long enough,"
    " project_authors: 'Smith J., Doe A.', equipment_other: home source}}}},"
    " deliver: [{{to: irrmc, approve: auto}}, vault]}}"
)
FAULTS = (
    "drop-before-body", "drop-mid-body", "commit-then-drop", "half-close", "half-answer", "commit-then-500",
    "429", "500", "503", "portal", "redirect", "stale-list",
)  # fmt: skip
PATHS = ("/api/v1/upload/", "/api/v1/submit/", "*")
CUTS = st.sampled_from(sorted(set(Moment) - {Moment.FRAME_NOTED, Moment.PART_OPENED, Moment.ARCHIVE_REMOVED}))
"""Those that come in an ordinary night, and leave nothing open in a process that goes on."""
SOON_S = st.sampled_from([5.0, 20.0, 60.0])
WHICH = st.integers(0, 20)


class Night(AnyNight):
    """One beam time with a server and a vault, and all that can go wrong around the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.series: dict[str, Path] = {}
        """The directory of each series, by its name."""
        self.seed = 0

    @initialize()
    def begins(self) -> None:
        place, clock = Path(self.directory.name), ManualClock()
        began = clock()
        # the clock that jumps is ours; a server's goes on
        self.box = watched(lambda: began + timedelta(seconds=self.depot.monotonic_s if hasattr(self, "depot") else 0))
        self.box.start()
        self.vault = place / "vault"
        self.vault.mkdir()
        self.depot = Whole(
            place / "depositd",
            [irrmc(self.box, place / "irrmc"), f"vault: {{type: directory, path: {self.vault}}}"],
            clock,
            rules=RULE.format(root=place / "depositd/data"),
            more="retry: {first: 5s, longest: 60s}",
            adapter=Impatient(5.0),
        )
        self.before = source_facts(self.depot.root)

    # what happens

    def write(self, name: str, frames: int, first: int = 1) -> None:
        self.seed += 1
        write_series(self.series[name], name, frames, first=first, seed=self.seed)
        self.before = source_facts(self.depot.root)

    @rule(frames=st.integers(1, WHOLE), seconds=SOON_S)
    def a_series_is_written(self, frames: int, seconds: float) -> None:
        name = f"lyso_{len(self.series) + 1}"
        self.series[name] = self.depot.root / f"run{len(self.series) + 1}"
        self.write(name, frames)
        self.depot.pass_time(seconds)

    @rule(which=WHICH)
    def another_frame_comes(self, which: int) -> None:
        """The next one, or, of a whole series, the last one anew: somebody copies it again."""
        if self.series:
            name = sorted(self.series)[which % len(self.series)]
            there = len(list(self.series[name].iterdir()))
            self.write(name, 1, first=min(there + 1, WHOLE))

    @rule(which=WHICH)
    def a_directory_is_renamed(self, which: int) -> None:
        if self.series:
            name = sorted(self.series)[which % len(self.series)]
            self.series[name] = self.series[name].rename(f"{self.series[name]}-b")
            self.before = source_facts(self.depot.root)

    @rule(seconds=SOON_S)
    def time_passes(self, seconds: float) -> None:
        self.depot.pass_time(seconds)

    @rule(moment=CUTS, after=st.integers(0, 3), seconds=SOON_S)
    def the_power_is_cut(self, moment: Moment, after: int, seconds: float) -> None:
        self.a_series_is_written(WHOLE, 5.0)
        if self.depot.cut(moment, after, 20.0 + seconds):
            note(f"the power was cut: {moment}")

    @rule(
        path=st.sampled_from(["/api/v1/upload/", "/api/v1/submit/", "*"]), kind=st.sampled_from(FAULTS), seconds=SOON_S
    )
    def something_goes_wrong(self, path: str, kind: str, seconds: float) -> None:
        self.box.fault(path, kind, times=2, delay_s=600.0)
        self.depot.pass_time(seconds)

    @rule(seconds=SOON_S)
    def the_spool_is_full(self, seconds: float) -> None:
        with self.depot.full_spool():
            self.depot.pass_time(seconds)
            assert not any(self.unfinished_parts()), "what has no room must not take the last of it"

    @rule(seconds=SOON_S)
    def the_disk_of_the_journal_is_full(self, seconds: float) -> None:
        with self.depot.full_journal():
            self.depot.pass_time(seconds)

    @rule(years=st.sampled_from([-1.0, 1.0]))
    def the_clock_jumps(self, years: float) -> None:
        self.depot.clock.advance(years * YEAR_S)
        self.depot.journal.deliveries.clamp_waits(self.depot.clock(), 90.0)  # as housekeeping does

    @rule(word=st.sampled_from(["hold", "release", "retry"]), which=WHICH)
    def an_operator_says(self, word: str, which: int) -> None:
        datasets = self.datasets()
        if datasets:
            self.say(word, datasets[which % len(datasets)]["id"])

    # what is true all the time

    @invariant()
    def nothing_is_there_twice(self) -> None:
        if hasattr(self, "depot"):
            assert all(count == 1 for count in Counter(one.sent_md5 for one in self.box.uploads).values())

    @invariant()
    def sources_are_not_touched(self) -> None:
        if hasattr(self, "depot"):
            assert source_facts(self.depot.root) == self.before

    @invariant()
    def what_is_open_says_why(self) -> None:
        for dataset in self.datasets():
            for delivery in dataset["deliveries"]:
                assert delivery["state"] not in ("held", "failed") or delivery["error"], delivery

    # the end

    def morning(self) -> None:
        """All is well again, what was not finished is finished, and what is asked is answered."""
        self.box.faults.clear()
        for name, directory in self.series.items():
            there = len(list(directory.iterdir()))
            if there < WHOLE:
                self.write(name, WHOLE - there, first=there + 1)
        self.depot.pass_time(THOROUGH_S)  # what was changed in place is found by a thorough look
        for _ in range(12):
            self.depot.pass_time(120.0)
            current = [one for one in self.datasets() if one["current"] and one["state"] != "gone"]
            open_ones = [one for one in current if {each["state"] for each in one["deliveries"]} != {"delivered"}]
            if {str(one) for one in self.series.values()} <= {one["path"] for one in current} and not open_ones:
                break
            for one in open_ones:
                for delivery in one["deliveries"]:
                    if delivery["state"] in ("held", "failed"):
                        self.say("release" if delivery["state"] == "held" else "retry", one["id"])
        else:
            raise AssertionError("\n".join(map(self.told, self.datasets())))
        self.check()

    def check(self) -> None:
        for name, directory in self.series.items():
            (dataset,) = [one for one in self.datasets() if one["current"] and one["path"] == str(directory)]
            files = {path.name: path.read_bytes() for path in directory.iterdir()}
            assert (dataset["name"], dataset["state"]) == (name, "archived")
            archive = dataset["archive"]
            uploads = [one for one in self.box.uploads if one.sent_md5 == archive["md5"]]
            assert [one.submitted_at is not None for one in uploads] == [True], dataset
            (copy,) = [one["remote_id"] for one in dataset["deliveries"] if one["destination"] == "vault"]
            assert unpacked(Path(copy).read_bytes()) == files
            assert_nothing_was_sent_blindly(self.depot.history(dataset["id"]))
        assert not [path.name for path in self.vault.iterdir() if path.name.startswith(".")], "left in the vault"
        self.depot.die()  # the next start tidies up
        known = self.depot.journal.datasets.spool_paths()
        assert {str(path) for path in Path(self.depot.spool).rglob("*") if path.is_file()} == known
        self.nothing_is_there_twice()
        self.sources_are_not_touched()

    # who is asked

    def datasets(self) -> list[dict[str, Any]]:
        return self.depot.journal.view.status()["datasets"] if hasattr(self, "depot") else []

    def told(self, dataset: dict[str, Any]) -> str:
        """Return what a failure should show of a dataset."""
        kept = ("id", "generation", "current", "path", "state", "evidence", "waits_for")
        history = [f"{event}: {detail}" for event, detail in self.depot.history(dataset["id"])]
        ways = [
            f"{one['destination']} {one['state']} {one['next_attempt_at']} {one['error']}"
            for one in dataset["deliveries"]
        ]
        return "\n  ".join([str({key: dataset[key] for key in kept}), *ways, *history])

    def say(self, word: str, dataset_id: int) -> None:
        speak(self.depot.journal, word, dataset_id, None, {}, self.depot.clock())

    def unfinished_parts(self) -> list[Path]:
        return list(Path(self.depot.spool).rglob("*.part"))


@pytest.mark.fault(10, 15, 21, 27, 28, 30)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the power is cut inside this process, and closes nothing
@pytest.mark.timeout(600)
def test_any_night_ends_with_each_series_there_once():
    live_through(Night, usual=12, steps=20)
