"""A thousand submissions that are under way at a server: what a poll of them asks, and how long it takes."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import daemons
from bench.figures import Figure
from bench.journals import remember
from depositd.config import Config, parse_config
from depositd.destinations.body import FilePart
from depositd.destinations.proteindiffraction import Client
from depositd.journal import FILE_NAME, Fact, Journal
from depositd.model import VerdictKind
from depositd.sandbox import Sandbox, running
from depositd.service.daemon import Daemon
from depositd.simulate.frames import cbf_frame
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor, configure_logging

POLLS = 3
MOST_LISTS = 1.0
MOST_SINGLE = 0.0
MOST_ROUND_S = 10.0
_LIST = "GET /api/v1/submissions/"
_FOR_EVER_S = 1e7
_WITHIN_S = 120.0
_DATE = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)


def measure(directory: Path, submissions: int) -> list[Figure]:
    """Let a daemon follow so many submissions for three polls, which all wait for the server's verdict."""
    configure_logging(level="warning")
    poll_every_s = max(submissions / 100, 1.0)
    with running(pace_s=_FOR_EVER_S) as sandbox:
        tokens = _submit_many(sandbox, submissions)
        config = _config(directory, sandbox, poll_every_s)
        with closing(Journal(config.state_dir / FILE_NAME)) as journal:
            _remember_many(journal, tokens)
            asked, rounds_s = _follow(config, journal, sandbox)
            states = {one.delivery.state for one in journal.deliveries.unfinished()}
            assert states == {"submitted"}, f"the submissions are {states}: this measures something else"
    title = f"polling {submissions:,} submissions"
    lists = asked.pop(_LIST, 0)
    return [
        Figure(f"{title}: lists", lists / POLLS, "a poll", most=MOST_LISTS),
        Figure(f"{title}: other requests", asked.total() / POLLS, "a poll", most=MOST_SINGLE),
        Figure(
            f"{title}: a round takes",
            max(rounds_s),
            "s",
            most=MOST_ROUND_S,
            details=f"the longest of {POLLS}, polled every {poll_every_s:g} s",
        ),
    ]


def _follow(config: Config, journal: Journal, sandbox: Sandbox) -> tuple[Counter[str], list[float]]:
    """Run the daemon; return the requests of some whole polls, and how long each took until nothing was due."""

    def is_due() -> bool:
        return bool(journal.deliveries.due(datetime.now(UTC), daemons.DESTINATION, 1))

    rounds_s = []
    with _daemon(config, journal):
        _until(lambda: not is_due())
        before = Counter(sandbox.requests)
        for _ in range(POLLS):
            _until(is_due)
            began_s = time.monotonic()
            _until(lambda: not is_due())
            rounds_s.append(time.monotonic() - began_s)
        return Counter(sandbox.requests) - before, rounds_s


@contextmanager
def _daemon(config: Config, journal: Journal) -> Iterator[None]:
    daemon = Daemon(config, journal, NoSupervisor())
    thread = threading.Thread(target=daemon.run, name="daemon")
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join()


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the polls do not come to an end")
        time.sleep(0.02)


def _config(directory: Path, sandbox: Sandbox, poll_every_s: float) -> Config:
    token = directory / "token"
    token.write_text(sandbox.pdi_token)
    token.chmod(0o600)
    (directory / "data").mkdir()
    (directory / "state").mkdir()
    text = f"""
        state_dir: {directory / "state"}
        destinations:
          {daemons.DESTINATION}:
            type: proteindiffraction
            url: {sandbox.pdi_url}
            token: {{file: {token}}}
            poll_every: {poll_every_s:g}s
        rules: [{{name: bench, watch: {directory / "data"}, format: frames, deliver: {daemons.DESTINATION}}}]
    """
    return parse_config(text, "bench.yaml")


def _submit_many(sandbox: Sandbox, count: int) -> list[str]:
    """Upload and submit so many archives that differ; return their tokens."""
    client = Client(sandbox.pdi_url, token=sandbox.pdi_token)

    def submit(number: int) -> str:
        content = _archive(number)
        file = FilePart("", f"run_{number:06d}.tar", len(content), None, lambda _path: io.BytesIO(content))
        token = client.upload(file).token
        client.submit(token, pdb_code="1ABC")
        return token

    with closing(client), ThreadPoolExecutor(4) as pool:
        return list(pool.map(submit, range(count)))


def _archive(number: int) -> bytes:
    frame = cbf_frame(number + 1, date=_DATE, shape=(8, 8))
    entry = tarfile.TarInfo(f"run_{number:06d}/run_{number:06d}_00001.cbf")
    entry.size = len(frame)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(frame))
    return buffer.getvalue()


def _remember_many(journal: Journal, tokens: list[str]) -> None:
    now = datetime.now(UTC)
    with journal.together():
        for number, token in enumerate(tokens):
            fact = Fact(DeliveryEvent.SUBMITTED, remote_id=token, remote_status="submitted")
            remember(journal, number, VerdictKind.COMPLETE, fact, now)
