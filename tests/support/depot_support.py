"""A depot: the real engine with its journal on disk, the sandbox's servers, and a clock that tests move.

What the daemon's threads do is done here one step after the other, so that a backoff takes no time and a night with
thirty datasets takes a second.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import zstandard
from clock_support import ManualClock
from engine_support import config_of, sighting, tools_of
from requests.adapters import BaseAdapter, HTTPAdapter

from depositd.destinations import build
from depositd.destinations import proteindiffraction as pdi
from depositd.destinations import proteomicsqc as pqc
from depositd.destinations.base import Destination, Outcome, Report
from depositd.engine.availability import probe
from depositd.engine.delivering import deliver
from depositd.engine.planning import Plan, after_sighting
from depositd.errors import Unconfirmed
from depositd.journal import Journal, Pause, PlannedDelivery, Standing
from depositd.model import Archive, Dataset, Delivery, DeliveryState, FileStat, Metadata, Packing
from depositd.sandbox import Sandbox, running
from depositd.sandbox.seed import OWNER
from depositd.sandbox.state import Run, Traffic, Upload
from depositd.states import ENDED

CBF = b"###CBF: VERSION 1.5\r\n# Detector: PILATUS 6M, S/N 60-0100\r\n# Wavelength 0.9795 A\r\nX-Binary-Size: 4\r\n"
METADATA: Metadata = {
    "dataset_type": "other",
    "project_title": "A title that is long enough",
    "project_authors": "Smith J., Doe A.",
    "equipment_other": "home source",
}
"""What is enough for the diffraction server, and names no PDB entry that another dataset might have taken."""
AT_REST = frozenset({*ENDED, DeliveryState.HELD})


class OrderedTraffic(Traffic):
    """Also remembers which request came after which."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def request(self, method: str, path: str) -> None:
        super().request(method, path)
        self.order.append(f"{method} {path}")


def watched(clock: Callable[[], datetime], **options: Any) -> Sandbox:
    """Return a sandbox, not yet started, that remembers the order of requests."""
    box = running(clock, **options)
    box.traffic = OrderedTraffic()
    return box


@contextmanager
def stopping_aside() -> Iterator[Callable[[Sandbox], None]]:
    """Give a way to stop sandboxes that nobody has to wait for: each takes a fifth of a second to end."""
    with ThreadPoolExecutor(4) as pool:
        yield lambda box: pool.submit(box.stop)


def restore_tokens(box: Sandbox) -> None:
    """Let both servers know again the tokens that they began with."""
    box.proteindiffraction.tokens[box.pdi_token] = OWNER
    if box.options.pqc_mode == "modern":
        box.proteomicsqc.access.tokens[box.pqc_token] = OWNER


class Impatient(HTTPAdapter):
    """The network, with a short time for every answer from its first byte to its last."""

    def __init__(self, answer_within_s: float) -> None:
        super().__init__()
        self._answer_within_s = answer_within_s

    def send(self, request: requests.PreparedRequest, **details: Any) -> requests.Response:
        response = super().send(request, **{**details, "timeout": (5.0, self._answer_within_s)})
        whole = response.iter_content
        end_s = time.monotonic() + self._answer_within_s

        def in_time(size: int) -> Iterator[bytes]:
            for block in whole(size):
                if time.monotonic() > end_s:
                    response.close()
                    raise requests.ReadTimeout
                yield block

        response.iter_content = in_time
        return response


def irrmc(box: Sandbox, secret: Path, *, by: str = "token", name: str = "irrmc", more: str = "") -> str:
    """Return the config of the diffraction server, whose secret is written to ``secret``."""
    credentials = _credentials(secret, by, box.pdi_token)
    return f"{name}: {{type: proteindiffraction, url: '{box.pdi_url}', {credentials}, poll_every: 60s{more}}}"


def qc(box: Sandbox, secret: Path, *, by: str = "token", name: str = "qc", more: str = "") -> str:
    """Return the config of the proteomics server."""
    where = f"project: {box.project}, pipeline: {box.pipeline}, pid: {box.pid}, confirm_within: 10m"
    credentials = _credentials(secret, by, box.pqc_token)
    return f"{name}: {{type: proteomicsqc, url: '{box.pqc_url}', {credentials}, {where}{more}}}"


def _credentials(secret: Path, by: str, token: str) -> str:
    write_secret(secret, token if by == "token" else Sandbox.password)
    if by == "token":
        return f"token: {{file: {secret}}}"
    return f"username: {Sandbox.username}, password: {{file: {secret}}}"


def write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def frames_archive(directory: Path, name: str, content: bytes) -> Archive:
    """Write an archive with one diffraction image around ``content``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("set/00001.cbf")
        entry.size = len(CBF + content)
        archive.addfile(entry, io.BytesIO(CBF + content))
    inner = buffer.getvalue()
    return _spooled(directory, f"{name}.tar.zst", Packing.ARCHIVE, zstandard.compress(inner), inner)


def raw_file(directory: Path, name: str, content: bytes) -> Archive:
    """Write a single file that is sent as it is."""
    content = b"\x01\xa1F\0i\0" + content
    return _spooled(directory, f"{name}.raw", Packing.FILE, content, content)


def _spooled(directory: Path, name: str, packing: Packing, sent: bytes, inner: bytes) -> Archive:
    directory.mkdir(parents=True)
    path = directory / name
    path.write_bytes(sent)
    return Archive(
        path=str(path),
        name=name,
        packing=packing,
        size_bytes=len(sent),
        md5=hashlib.md5(sent).hexdigest(),
        inner_md5=hashlib.md5(inner).hexdigest(),
        sha256=hashlib.sha256(sent).hexdigest(),
    )


class PowerCut(BaseException):
    """The process ends here."""


class Moments:
    """Moments within a step at which something else can be made to happen, once.

    ``before sending`` and ``sending committed`` are those around the journal's note that it begins, ``in the body`` is
    half-way, ``answer lost`` comes where the server may have acted on it, and ``answer read`` after every step.
    """

    def __init__(self) -> None:
        self.do: dict[str, Callable[[], None]] = {}

    def come(self, moment: str) -> None:
        action = self.do.pop(moment, None)
        if action is not None:
            action()

    def end_at(self, moment: str, after: int = 0) -> None:
        """Let the process end at a moment, or when it comes for the ``after``-th time after that."""

        def end() -> None:
            if after == 0:
                raise PowerCut
            self.end_at(moment, after - 1)

        self.do[moment] = end


class _Observed:
    """A destination whose moments can be used."""

    def __init__(self, destination: Destination, moments: Moments) -> None:
        self._destination, self._moments = destination, moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._destination, name)

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        try:
            outcome = self._destination.step(delivery, archive, metadata, _ObservedReport(report, self._moments))
        except Unconfirmed:
            self._moments.come("answer lost")
            raise
        self._moments.come("answer read")
        return outcome


class _ObservedReport:
    def __init__(self, report: Report, moments: Moments) -> None:
        self._report, self._moments = report, moments

    def sending(self, baseline: Mapping[str, Any]) -> None:
        self._moments.come("before sending")
        self._report.sending(baseline)
        self._moments.come("sending committed")

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        self._report.progress(done_bytes, total_bytes)
        if done_bytes * 2 >= total_bytes:
            self._moments.come("in the body")


class Depot:
    """A journal, a spool and a plan whose destinations are real clients of the sandbox's servers.

    Whatever nobody foresaw fails the test.
    """

    def __init__(
        self,
        directory: Path,
        destinations: Collection[str],
        clock: ManualClock,
        *,
        rules: str = "",
        more: str = "retry: {first: 15s, longest: 1h}",
        adapter: BaseAdapter | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.clock = directory, clock
        self._adapter = adapter
        self.moments = Moments()
        self.root = directory / "data"
        names = ", ".join(one.partition(":")[0] for one in destinations)
        rules = rules or f"{{name: r, watch: {self.root}, format: auto, settle: 0s, deliver: [{names}]}}"
        self.config = config_of(directory, rules=rules, destinations=", ".join(destinations), more=more)
        self.archives: dict[int, Archive] = {}
        self.paused: list[Pause] = []
        self._under_way: set[int] = set()
        self._open()

    def _open(self) -> None:
        self.journal = Journal(self.directory / "journal.db")
        self.destinations = {
            name: _Observed(self._built(name, settings), self.moments)
            for name, settings in self.config.destinations.items()
        }
        self.plan = Plan(self.config, self.destinations)

    def _built(self, name: str, settings: Any) -> Destination:
        if self._adapter is None or settings.type == "directory":
            return build(name, settings, now=self.clock)
        around = {"credentials": settings.credentials, "adapter": self._adapter, "now": self.clock}
        if settings.type == "proteindiffraction":
            client = pdi.Client(settings.url, **around)
            return pdi.ProteinDiffraction(name, client, poll_every_s=settings.poll_every_s)
        return pqc.ProteomicsQC(
            name,
            pqc.Client(settings.url, **around),
            project=settings.project,
            pipeline=settings.pipeline,
            pid=settings.pid,
            confirm_within_s=settings.confirm_within_s,
            now=self.clock,
        )

    def close(self) -> None:
        for destination in self.destinations.values():
            destination.close()
        assert self.journal.database.problems() == []
        self.journal.close()

    def die(self) -> None:
        """End as a power cut ends everything, and start again."""
        self.close()
        self._open()
        self.journal.surroundings.progress_ended()
        self.journal.deliveries.recover(self.clock())

    # what there is to deliver

    def dataset(
        self, name: str, content: bytes, *to: str, raw: bool = False, metadata: Mapping[str, Any] = METADATA
    ) -> int:
        """Record a complete and archived dataset that goes to ``to``; return its number."""
        number = len(self.archives) + 1
        write = raw_file if raw else frames_archive
        archive = write(self.directory / "spool" / str(number), name, content)
        file = f"run{number}/{archive.name}" if raw else f"run{number}/{name}_00001.cbf"
        stat = FileStat(file, len(content), 1, 1, number)
        kind, path = ("thermo-raw", file) if raw else ("frames", f"run{number}")
        dataset = Dataset(name, kind, f"run{number}", name, path, (stat,))
        seen = sighting(dataset, root=str(self.root), sidecar=dict(metadata))
        planned = [PlannedDelivery(one, "auto") for one in to]
        recorded = self.journal.datasets.record(seen, planned, self.clock())
        after_sighting(self.plan, self.journal, recorded, self.clock())
        record = recorded.record
        assert self.journal.datasets.archived(record.id, record.fingerprint, [archive], self.clock())
        self.archives[record.id] = archive
        return record.id

    # the steps

    def tick(self) -> bool:
        """Take every step that is due now; True where there was one."""
        worked = False
        for pause in self.journal.surroundings.pauses().values():
            if pause.next_probe_at <= self.clock():
                probe(self.plan, self.journal, pause, self.clock(), 0.5)
                worked = True
        for standing in self.journal.deliveries.due(self.clock()):
            worked |= self.step(standing)
        return worked

    def step(self, standing: Standing) -> bool:
        """Take one step, as a worker of the daemon does; False where something became true since it was listed."""
        number = standing.delivery.id
        current = self.journal.deliveries.get(number)
        paused = standing.delivery.destination in self.journal.surroundings.pauses()
        if paused or number in self._under_way or current is None or current.delivery != standing.delivery:
            return False
        self._under_way.add(number)
        try:
            deliver(self.plan, self.journal, current, tools_of(self.clock, paused=self.paused.append))
        finally:
            self._under_way.remove(number)
        return True

    def wait(self, at_least_s: float = 0.0) -> bool:
        """Let the time pass until something is due; False where nothing ever is."""
        moments = [pause.next_probe_at for pause in self.journal.surroundings.pauses().values()]
        moments += [
            one.delivery.next_attempt_at or self.clock()
            for one in self.journal.deliveries.unfinished()
            if one.delivery.destination not in self.journal.surroundings.pauses()
        ]
        if moments:
            self.clock.now = max(min(moments), self.clock() + timedelta(seconds=at_least_s))
        return bool(moments)

    def work(self, rounds: int, at_least_s: float = 0.0) -> bool:
        """Take steps, and let the time between them pass at once; True where nothing more is to be done by itself."""
        return any(not self.tick() and not self.wait(at_least_s) for _ in range(rounds))

    def run(self, most_rounds: int = 120, at_least_s: float = 0.0) -> None:
        """Take steps until all deliveries have ended or are held."""
        if not self.work(most_rounds, at_least_s):
            left = [(one.delivery.id, one.delivery.state, one.delivery.error) for one in self.unfinished()]
            raise AssertionError(f"no end after {most_rounds} rounds: {left}")

    def run_for(self, seconds: float, most_rounds: int = 10_000) -> None:
        """Take all steps that become due within a time."""
        end = self.clock.now.timestamp() + seconds
        for _ in range(most_rounds):
            if self.tick():
                continue
            if not self.wait() or self.clock.now.timestamp() > end:
                self.clock.now = datetime.fromtimestamp(end, self.clock.now.tzinfo)
                return
        raise AssertionError(f"more than {most_rounds} rounds within {seconds} s")

    # what became of it

    def unfinished(self) -> list[Standing]:
        return self.journal.deliveries.unfinished()

    def delivery(self, dataset_id: int, to: str | None = None) -> Delivery:
        (found,) = [
            one.delivery
            for one in self.journal.deliveries.of_dataset(dataset_id)
            if to in (None, one.delivery.destination)
        ]
        return found

    def history(self, dataset_id: int) -> list[tuple[str, str]]:
        shown = self.journal.view.show(dataset_id)
        assert shown is not None
        return [(line["event"], line["detail"]) for line in shown["history"]]

    def events(self, dataset_id: int) -> list[str]:
        return [event for event, _ in self.history(dataset_id)]


def uploads_of(box: Sandbox, archive: Archive) -> list[Upload]:
    """Return what the diffraction server has of an archive."""
    return [one for one in box.uploads if one.sent_md5 == archive.md5]


def runs_of(box: Sandbox, archive: Archive) -> list[Run]:
    """Return the runs that the proteomics server has of a file."""
    return [one for one in box.runs if one.md5 == archive.md5]


def asked(box: Sandbox) -> list[str]:
    """Return the requests in their order."""
    assert isinstance(box.traffic, OrderedTraffic)
    return list(box.traffic.order)


def assert_nothing_was_sent_blindly(history: list[tuple[str, str]]) -> None:
    """Assert that nothing was sent while the answer to the send before was not known.

    Known it is when the server said that it is not there, or when an operator said to send it once more.
    """
    in_doubt = False
    for event, detail in history:
        assert not (in_doubt and event == "sending"), history
        if event == "answer lost":
            in_doubt = True
        elif event == "not there" or (event in ("retry", "release") and "operator" in detail):
            in_doubt = False
