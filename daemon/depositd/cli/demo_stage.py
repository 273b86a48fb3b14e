"""The demo's stage: five simulated acquisitions, how each must end, and the config that the daemon runs with."""

from __future__ import annotations

import enum
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from depositd.sandbox import Sandbox
from depositd.simulate.instruments import run
from depositd.simulate.plan import Fault, Plan
from depositd.units import printable

FRAMES = 48
"""Frames of a whole Pilatus series, as the rule expects them."""


class Ending(enum.Enum):
    """How an acquisition's delivery must end."""

    PUBLISHED = "published"
    RUN = "a run of its pipeline"
    COPIED = "copied"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Act:
    """One acquisition: who writes it, where it goes, and how that must end.

    ``files`` is a glob, relative to the plan's directory, of all that it writes; ``noun`` is what it counts.
    """

    instrument: str
    noun: str
    plan: Plan
    files: str
    destination: str
    ending: Ending

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.plan.name

    def sources(self) -> list[Path]:
        """Return the files that were written."""
        return sorted(self.plan.directory.glob(self.files))


def acts(data: Path) -> tuple[Act, ...]:
    """Return the acquisitions, which write below ``data`` for about twelve seconds."""
    visit = data / "visitor" / "mx2101"
    lyso = Plan("pilatus", visit / "lysozyme", "lyso_1", frames=FRAMES, rate_hz=4, seed=1)
    thau = Plan("pilatus", visit / "thaumatin", "thau_1", frames=FRAMES, rate_hz=4, seed=2, fault=Fault.ABORT)
    insulin = Plan("eiger", visit / "insulin", "insulin_1", frames=60, rate_hz=5, seed=3)
    hela = Plan("thermo-raw", data / "orbitrap", "hela_07", frames=100, rate_hz=10, seed=4)
    plasma = Plan("waters-raw", data / "xevo", "plasma_3", frames=100, rate_hz=10, seed=5)
    return (
        Act("Pilatus", "frames", lyso, "lyso_1_*.cbf", "irrmc", Ending.PUBLISHED),
        Act("Eiger", "images", insulin, "insulin_1_*.h5", "irrmc", Ending.PUBLISHED),
        Act("Orbitrap", "scans", hela, "hela_07.raw", "qc", Ending.RUN),
        Act("Xevo", "scans", plasma, "plasma_3.raw/*", "vault", Ending.COPIED),
        Act("Pilatus", "frames", thau, "thau_1_*.cbf", "irrmc", Ending.HELD),
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """The directories and files of one demo; ``prepare`` makes those that the daemon needs to find."""

    root: Path

    @property
    def data(self) -> Path:
        """What the instruments write and the daemon watches."""
        return self.root / "data"

    @property
    def vault(self) -> Path:
        """The directory destination."""
        return self.root / "vault"

    @property
    def state(self) -> Path:
        """The daemon's state directory."""
        return self.root / "state"

    @property
    def config(self) -> Path:
        """The config file."""
        return self.root / "depositd.yaml"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "depositd.log"

    def prepare(self, sandbox: Sandbox) -> None:
        """Make the directories, the tokens' files and the config."""
        for directory in (self.vault, self.state, *(self.data / name for name in ("visitor", "orbitrap", "xevo"))):
            directory.mkdir(parents=True)
        for name, token in (("irrmc.token", sandbox.pdi_token), ("qc.token", sandbox.pqc_token)):
            path = self.root / name
            path.touch(mode=0o600)
            path.write_text(f"{token}\n", encoding="ascii")
        self.config.write_text(self._config_text(sandbox), encoding="utf-8")

    def _config_text(self, sandbox: Sandbox) -> str:
        root = json.dumps(str(self.root), ensure_ascii=False)[1:-1]  # inside double quotes, YAML escapes as JSON does
        return _CONFIG.format(
            root=root,
            pdi_url=sandbox.pdi_url,
            pqc_url=sandbox.pqc_url,
            project=sandbox.project,
            pipeline=sandbox.pipeline,
            frames=FRAMES,
        )


_CONFIG = """\
# Written by `depositd demo`.  An ordinary config; only the times are shorter than those of an instrument.
state_dir: "{root}/state"
spool: {{path: "{root}/state/spool", min_free: 50MB}}
retry: {{first: 1s, longest: 5s}}
sweep_every: 5s

destinations:
  irrmc:                                  # the sandbox's Protein Diffraction Image Server
    type: proteindiffraction
    url: {pdi_url}
    token: {{file: "{root}/irrmc.token"}}
    poll_every: 1s
    rate_limit: 1MB/s                     # so that there is a transfer to be seen
  qc:                                     # the sandbox's ProteomicsQC
    type: proteomicsqc
    url: {pqc_url}
    token: {{file: "{root}/qc.token"}}
    project: {project}
    pipeline: {pipeline}
  vault:
    type: directory
    path: "{root}/vault"

rules:
  - name: pilatus
    watch: "{root}/data/visitor"
    format: frames
    include: ["**/*.cbf"]
    settle: 2s
    expect: {{frames: {frames}}}              # the series that was aborted has fewer, so it is held
    metadata: &visit
      path: '(?P<proposal>mx\\d+)/(?P<sample>[^/]+)/'
      set:
        dataset_type: other
        project_title: "{{sample}}, raw diffraction data of {{proposal}}"
        project_authors: "Smith J., Doe A."
        synchrotron: ESRF                 # a name; its id is looked up on the server
        beamline: ID30B
    # Uploading there makes data public, so `approve: manual` is the default: each dataset waits for `depositd release`.
    # This server is a sandbox on this machine and forgets everything, so nobody needs to be asked.
    deliver: [{{to: irrmc, approve: auto}}]

  - name: eiger
    watch: "{root}/data/visitor"
    format: eiger
    settle: 2s
    metadata: *visit
    archive: {{compression: zstd, level: 1}}  # the images are compressed already
    deliver: [{{to: irrmc, approve: auto}}]   # as above

  - name: orbitrap
    watch: "{root}/data/orbitrap"
    format: thermo-raw
    settle: 2s
    deliver: [qc]

  - name: xevo
    watch: "{root}/data/xevo"
    format: waters-raw
    settle: 4s                            # no flag in a Waters directory says that the run has ended
    deliver: [vault]
"""


@dataclass(slots=True)
class Instruments:
    """The simulated instruments, each in a thread; ``written`` counts what each has on the disk, by dataset."""

    acts: tuple[Act, ...]
    written: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Let all of them begin."""
        for act in self.acts:
            thread = threading.Thread(target=self._perform, args=(act,), name=f"instrument {act.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def done(self) -> bool:
        """Whether all of them have begun and ended."""
        return bool(self._threads) and not any(thread.is_alive() for thread in self._threads)

    def ended(self, act: Act) -> bool:
        """Whether this one has begun and ended."""
        return any(thread.name == f"instrument {act.name}" and not thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Let them end between two writes, and wait for it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)

    def _perform(self, act: Act) -> None:
        def sleep(seconds: float) -> None:
            self._stop.wait(seconds)

        def count(done: int, _total: int) -> None:
            self.written[act.name] = done

        try:
            run(act.plan, sleep=sleep, now=lambda: datetime.now(UTC), on_progress=count, stop=self._stop.is_set)
        except OSError as error:
            self.failures[act.name] = f"the simulated {act.instrument} failed: {printable(str(error))}"
