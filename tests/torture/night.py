"""One beamline that is tortured: what happens next is thrown by dice, and what must be true is checked now and then."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from campaign_support import Campaign
from lives import KILLED, Chance, Life

ANSWERS: Mapping[str, Sequence[str]] = {
    "unconfirmed": ["retry"],
    "incomplete": ["release"],
    "operator": ["release"],
    "failed": ["retry"],
    "server": ["release"],
}
SERVER_FAULTS = (
    "drop-before-body", "drop-mid-body", "commit-then-drop", "half-close", "half-answer", "commit-then-500",
    "commit-then-502", "wrong-body", "429", "500", "502", "503", "portal", "redirect",
)  # fmt: skip
LOSSES = ("drop-before-body", "drop-mid-body", "commit-then-drop", "half-close", "half-answer", "503")
"""What may happen to a server that can tell runs by their names alone."""
ODDS = (15, 50, 150, 500, 5000)
"""Of so many moments a life ends at one."""
LIVES_BETWEEN_CHECKS = 6


class Night:
    """A campaign whose lives end at random; ``say`` is told what happens, a line each."""

    def __init__(self, campaign: Campaign, seed: int, say: Callable[[str], None]) -> None:
        self.campaign = campaign
        self.lives = self.killed = self.checks = 0
        self._dice = random.Random(seed)
        self._say = say
        self._measured = 0
        self._unfinished: list[int] = []
        self._actions: Sequence[Callable[[], str]] = (
            self._measure,
            self._measure,
            self._begin_a_series,
            self._finish_a_series,
            self._break_a_server,
            self._break_a_server,
            self._say_a_word,
            self._take_the_data_away,
        )

    def live(self) -> None:
        """Let something happen, live once, and check now and then."""
        happened = [self._dice.choice(self._actions)() for _ in range(self._dice.randint(1, 3))]
        how = self._one_life()
        self.lives += 1
        self._say(f"life {self.lives}: {'; '.join(one for one in happened if one)}; {how}")
        if self.lives % LIVES_BETWEEN_CHECKS == 0:
            self.check()

    def check(self) -> None:
        """Let all become well, and assert what must be true."""
        self.campaign.box.faults.clear()
        for number in list(self._unfinished):
            self._finish(number)
        self._give_back()
        self.campaign.end_well(ANSWERS, lives=8)
        self.campaign.check()
        self.checks += 1
        self._say(f"check {self.checks}: {self._measured} measurements, each dataset is there once")

    # what can happen

    def _measure(self) -> str:
        self._measured += 1
        self.campaign.measure(self._measured, large_bytes=self._dice.choice([1000, 10 << 20]))
        return f"measurement {self._measured}"

    def _begin_a_series(self) -> str:
        self._measured += 1
        self.campaign.measure_series(self._measured, frames=2)
        self._unfinished.append(self._measured)
        return f"two frames of series {self._measured}"

    def _finish_a_series(self) -> str:
        if not self._unfinished:
            return ""
        number = self._dice.choice(self._unfinished)
        self._finish(number)
        return f"the last frames of series {number}"

    def _finish(self, number: int) -> None:
        self._unfinished.remove(number)
        self._give_back()
        self.campaign.measure_series(number, frames=2, first=3)

    def _break_a_server(self) -> str:
        path, kinds = self._dice.choice([("/api/v1/*", SERVER_FAULTS), ("/api/upload/raw", LOSSES)])
        kind, times = self._dice.choice(kinds), self._dice.randint(1, 3)
        self.campaign.box.fault(path, kind, times=times, retry_after_s=0)
        return f"{times} x {kind} at {path}"

    def _say_a_word(self) -> str:
        datasets = self.campaign.datasets()
        if not datasets:
            return ""
        word, dataset = self._dice.choice(["hold", "release", "retry"]), self._dice.choice(datasets)["id"]
        chance = Chance(self._dice.getrandbits(32), one_in=8)
        status = self.campaign.live(word, str(dataset), end=chance)
        return f"{word} {dataset} ({'killed' if status == KILLED else f'exit {status}'})"

    def _take_the_data_away(self) -> str:
        away = self._away
        if away.exists():
            self._give_back()
            return "the data are back"
        (self.campaign.data / "px").rename(away)
        self.campaign.remember()
        return "the data are away"

    @property
    def _away(self) -> Path:
        return self.campaign.directory / "away"

    def _give_back(self) -> None:
        if self._away.exists():
            target = self.campaign.data / "px"
            if target.exists():  # a measurement made it anew meanwhile: what is there comes together
                for child in self._away.iterdir():
                    child.rename(target / child.name)
                self._away.rmdir()
            else:
                self._away.rename(target)
            self.campaign.remember()

    # how it ends

    def _one_life(self) -> str:
        seconds = self._dice.uniform(0.3, 4.0)
        end = Chance(self._dice.getrandbits(32), self._dice.choice(ODDS))
        life = self.campaign.begin("run", end=end)
        status = life.wait(seconds)
        if status is None:
            return f"{self._end(life)} after {seconds:.1f} s"
        self.killed += status == KILLED
        assert status == KILLED, f"it ended by itself with {status}:\n{self.campaign.told[-4000:]}"
        return f"died: {self.campaign.told.splitlines()[-1]}"

    def _end(self, life: Life) -> str:
        way = self._dice.choice(["SIGKILL", "SIGTERM", "SIGHUP and SIGKILL"])
        if way.startswith("SIGHUP"):
            life.signal(signal.SIGHUP)
            life.wait(self._dice.uniform(0.0, 1.0))
        if way == "SIGTERM":
            life.signal(signal.SIGTERM)
            status = life.wait(12.0)
            if status is None:
                life.kill()
                raise AssertionError(f"SIGTERM: it does not end within 12 s:\n{self.campaign.told[-4000:]}")
            # dice may kill it while it stops, and before it can listen to signals there is nothing to stop
            assert status in (0, KILLED, -signal.SIGTERM), (
                f"SIGTERM: exit status {status}:\n{self.campaign.told[-4000:]}"
            )
        else:
            life.kill()
        self.killed += way != "SIGTERM"
        return way
