"""The place of a run: two watched trees, the vault, the daemon's state, and its config."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depositd.journal import FILE_NAME
from depositd.sandbox import Sandbox

IRRMC, QC, VAULT = "irrmc", "qc", "vault"
NO_ROOM = "1KB"
"""A quota into which nothing fits."""
_METADATA = {
    "dataset_type": "other",
    "project_title": "{name}, raw data of a simulated night",
    "project_authors": "Smith J., Doe A.",
    "synchrotron": "ESRF",
    "beamline": "ID30B",
}
FRAME_SUFFIXES = ("cbf", "img", "mccd", "osc", "sfrm", "mar2300", "tif")


class Tree:
    """A watched directory that can go away, as an unmounted share does, while nobody writes there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._changed = threading.Condition()
        self._writers = 0
        self._wanted_away = False
        root.mkdir(parents=True)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it where it is, and wait for it where it is away."""
        with self._changed:
            self._changed.wait_for(lambda: not self._wanted_away)
            self._writers += 1
        try:
            yield
        finally:
            with self._changed:
                self._writers -= 1
                self._changed.notify_all()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Rename it for a while, once nobody writes there."""
        hidden = self.root.with_name(f"{self.root.name}.away")
        with self._changed:
            self._wanted_away = True
            self._changed.wait_for(lambda: self._writers == 0)
            self.root.rename(hidden)
        try:
            yield
        finally:
            with self._changed:
                hidden.rename(self.root)
                self._wanted_away = False
                self._changed.notify_all()


@dataclass(slots=True)
class Site:
    """All directories below ``root``; ``prepare`` makes them, with the tokens and the config."""

    root: Path
    beamline: Tree = field(init=False)
    spectrometers: Tree = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.beamline = Tree(self.root / "beamline")
        self.spectrometers = Tree(self.root / "spectrometers")
        self.port = _free_port()

    @property
    def trees(self) -> tuple[Tree, Tree]:
        """Both watched trees."""
        return self.beamline, self.spectrometers

    @property
    def vault(self) -> Path:
        """The directory destination."""
        return self.root / "vault"

    @property
    def state(self) -> Path:
        """The daemon's state directory."""
        return self.root / "state"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state / FILE_NAME

    @property
    def spool(self) -> Path:
        """Where archives are built."""
        return self.state / "spool"

    @property
    def config(self) -> Path:
        """The config file."""
        return self.root / "depositd.yaml"

    @property
    def log(self) -> Path:
        """The daemon's log, over all starts."""
        return self.root / "depositd.log"

    def prepare(self, sandbox: Sandbox) -> None:
        """Make the directories, the tokens' files and the config."""
        for directory in (self.vault, self.state):
            directory.mkdir()
        for name, token in ((IRRMC, sandbox.pdi_token), (QC, sandbox.pqc_token)):
            path = self.root / f"{name}.token"
            path.touch(mode=0o600)
            path.write_text(token)
        self.configure(sandbox)

    def configure(self, sandbox: Sandbox, *, quota: str | None = None) -> None:
        """Write the config; with a ``quota``, the spool may hold no more than that."""
        self.config.write_text(json.dumps(self._config(sandbox, quota), indent=1))

    def _config(self, sandbox: Sandbox, quota: str | None) -> dict[str, Any]:
        def token(name: str) -> dict[str, Any]:
            return {"token": {"file": str(self.root / f"{name}.token")}}

        return {
            "state_dir": str(self.state),
            "spool": {"path": str(self.spool), "min_free": "1MB", **({"quota": quota} if quota else {})},
            "web": {"listen": f"127.0.0.1:{self.port}"},
            "retry": {"first": "300ms", "longest": "3s"},
            "sweep_every": "5s",
            "thorough_every": "30s",
            "journal": {"backup_every": "5m", "keep_backups": 2},
            "destinations": {
                IRRMC: {
                    "type": "proteindiffraction",
                    "url": sandbox.pdi_url,
                    "poll_every": "1s",
                    "confirm_within": "5s",
                    **token(IRRMC),
                },
                QC: {
                    "type": "proteomicsqc",
                    "url": sandbox.pqc_url,
                    "project": sandbox.project,
                    "pipeline": sandbox.pipeline,
                    "confirm_within": "10s",
                    **token(QC),
                },
                VAULT: {"type": "directory", "path": str(self.vault)},
            },
            "rules": list(self._rules()),
        }

    def _rules(self) -> Iterator[Mapping[str, Any]]:
        frames = {"include": [f"**/*.{suffix}" for suffix in FRAME_SUFFIXES], "format": "frames"}
        public = {"deliver": [{"to": IRRMC, "approve": "auto"}, VAULT], "metadata": {"set": _METADATA}}
        shared = {"settle": "1s", "keep_archive": "5s"}
        yield {"name": "frames", "watch": str(self.beamline.root), **frames, **public, **shared}
        yield {"name": "eiger", "watch": str(self.beamline.root), "format": "eiger", **public, **shared}
        for directory, format_name, to in (
            ("orbitrap", "thermo-raw", [QC, VAULT]),
            ("xevo", "waters-raw", [VAULT]),
            ("timstof", "bruker-d", [VAULT]),
            ("qtof", "agilent-d", [VAULT]),
            ("camera", "file", [VAULT]),
        ):
            yield {
                "name": directory,
                "watch": str(self.spectrometers.root),
                "include": [f"{directory}/**"],
                "format": format_name,
                "deliver": to,
                **shared,
            }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
