"""One suite over every destination: whatever goes wrong, a thing is there exactly once, or an operator is asked.

Each destination is driven by repeated ``step`` calls, as the engine does it, against the sandbox over real sockets (or
a real directory).  The driver keeps what the journal keeps, and may lose the outcome of any step, as a crash does.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
import zstandard
from clock_support import ManualClock
from requests.adapters import HTTPAdapter
from tls_support import make_certificate

from depositd.destinations import DESTINATIONS, build
from depositd.destinations import proteindiffraction as pdi
from depositd.destinations import proteomicsqc as pqc
from depositd.destinations.base import Destination, Outcome
from depositd.destinations.credentials import Given
from depositd.errors import ArchiveInvalid, AuthError, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.model import Archive, Block, Delivery, DeliveryState, HoldKind, Metadata, Packing
from depositd.sandbox import Sandbox, running
from depositd.states import ENDED, DeliveryEvent, next_delivery_state

CBF = b"###CBF: VERSION 1.5\r\n# Detector: PILATUS 6M, S/N 60-0100\r\n# Wavelength 0.9795 A\r\nX-Binary-Size: 4\r\n"
METADATA: Metadata = {"pdb_code": "1abc"}
WRONG = "wrong0123456789wrong0123456789wrong01234"
MOST_STEPS = 60
BODY_BYTES = 600_000
BLOCK_BYTES = 64 << 10
QUESTION_FAULTS = ("drop-before-body", "half-answer", "commit-then-500", "429", "502", "redirect")


@dataclass(frozen=True)
class Settings:
    """The part of the config that a destination reads."""

    type: str
    url: str = ""
    credentials: Given = field(default_factory=Given)
    path: str = ""
    project: str | None = None
    pipeline: str | None = None
    pid: str | None = None
    ca_file: str | None = None
    insecure_http: bool = False
    proxy: str | None = None
    rate_limit_bytes_per_s: float | None = None
    poll_every_s: float = 1.0
    existing: str = "hold"
    confirm_within_s: float = 60.0
    accept_archives: bool = False


def tar(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, content in enumerate(contents):
            entry = tarfile.TarInfo(f"lyso_1/{number:05}.cbf")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def packed(directory: Path, inner: bytes = b"", name: str = "lyso_1.tar.zst") -> Archive:
    """Return a dataset packed into the spool, incompressible so that a fault has a body to break."""
    inner = inner or tar(CBF + os.urandom(BODY_BYTES))
    sent = zstandard.compress(inner)
    return spooled(directory, name, Packing.ARCHIVE, sent, inner)


def raw_file(directory: Path) -> Archive:
    content = b"\x01\xa1F\0i\0" + os.urandom(BODY_BYTES)
    return spooled(directory, "Sample 1 (a).raw", Packing.FILE, content, content)


def spooled(directory: Path, name: str, packing: Packing, sent: bytes, inner: bytes) -> Archive:
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
        blocks=blocks_of(sent) if packing is Packing.ARCHIVE else (),
    )


def blocks_of(content: bytes) -> tuple[Block, ...]:
    pieces = (content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES))
    return tuple(Block(len(piece), hashlib.sha256(piece).hexdigest()) for piece in pieces)


class Place(ABC):
    """A destination to be tested: how it is built, and what is really there."""

    metadata: Metadata = METADATA
    secrets: tuple[str, ...] = (WRONG, Sandbox.password)

    def __init__(self, sandbox: Sandbox | None, spool: Path, clock: ManualClock) -> None:
        self.sandbox = sandbox
        self.spool = spool
        self.clock = clock
        self.delivered: list[str | None] = []

    @abstractmethod
    def settings(self, secret: str | None = None) -> Settings:
        """Return what the config would say of it."""

    def destination(self, secret: str | None = None) -> Destination:
        return build("there", self.settings(secret), now=self.clock)

    def archive(self) -> Archive:
        return packed(self.fresh_spool())

    def fresh_spool(self) -> Path:
        """Return an empty directory: datasets of the same name must not lie in one."""
        directory = self.spool / str(len(os.listdir(self.spool)))
        directory.mkdir()
        return directory

    @abstractmethod
    def things(self) -> list[str]:
        """Return the MD5 of everything that is there whole."""

    def wanted(self, archive: Archive) -> str:
        return archive.md5


class Diffraction(Place):
    upload_path = "/api/v1/upload/"
    options: ClassVar[Mapping[str, Any]] = {"hash_of": "inner"}

    def settings(self, secret: str | None = None) -> Settings:
        token = secret or self.sandbox.pdi_token
        return Settings("proteindiffraction", self.sandbox.pdi_url, Given(token_text=token))

    def things(self) -> list[str]:
        return [upload.md5 for upload in self.sandbox.uploads]

    def wanted(self, archive: Archive) -> str:
        return archive.inner_md5

    secrets = (*Place.secrets, Sandbox.pdi_token)


class DiffractionHashingWhatIsSent(Diffraction):
    options: ClassVar = {"hash_of": "sent"}


class DiffractionByPassword(Diffraction):
    def settings(self, secret: str | None = None) -> Settings:
        credentials = Given(username=self.sandbox.username, password_text=secret or self.sandbox.password)
        return Settings("proteindiffraction", self.sandbox.pdi_url, credentials)


class Proteomics(Place):
    upload_path = "/api/upload/raw"
    options: ClassVar[Mapping[str, Any]] = {"pqc_mode": "modern"}

    def settings(self, secret: str | None = None) -> Settings:
        return self._with(Given(token_text=secret or self.sandbox.pqc_token))

    def _with(self, credentials: Given) -> Settings:
        sandbox = self.sandbox
        return Settings(
            "proteomicsqc",
            sandbox.pqc_url,
            credentials,
            project=sandbox.project,
            pipeline=sandbox.pipeline,
            pid=sandbox.pid,
        )

    def archive(self) -> Archive:
        return raw_file(self.fresh_spool())

    def things(self) -> list[str]:
        return [run.md5 for run in self.sandbox.runs]

    secrets = (*Place.secrets, Sandbox.pqc_token)


class ProteomicsBySession(Proteomics):
    def settings(self, secret: str | None = None) -> Settings:
        return self._with(Given(username=self.sandbox.username, password_text=secret or self.sandbox.password))


class OlderProteomics(ProteomicsBySession):
    options: ClassVar = {"pqc_mode": "older"}


class Directory(Place):
    upload_path = ""

    def settings(self, secret: str | None = None) -> Settings:
        return Settings("directory", path=str(self.vault))

    @property
    def vault(self) -> Path:
        return self.spool.parent / "vault"

    def things(self) -> list[str]:
        return [hashlib.md5(each.read_bytes()).hexdigest() for each in sorted(self.vault.iterdir())]


SERVERS = {
    "proteindiffraction": Diffraction,
    "proteomicsqc-by-token": Proteomics,
    "proteomicsqc-by-session": ProteomicsBySession,
    "proteomicsqc-older": OlderProteomics,
}
PLACES = {
    **SERVERS,
    "proteindiffraction-hashing-what-is-sent": DiffractionHashingWhatIsSent,
    "proteindiffraction-by-password": DiffractionByPassword,
    "directory": Directory,
}


class Crash(BaseException):
    """The process ends here."""


class Driver:
    """Takes steps and keeps what the journal keeps; every word that would be shown is kept, too."""

    def __init__(self, destination: Destination, place: Place, archive: Archive) -> None:
        self.destination = destination
        self.place = place
        self.archive = archive
        self.delivery = Delivery(id=7, dataset_id=3, destination="there", state=DeliveryState.WAITING)
        self.words: list[str] = []
        self.events: list[DeliveryEvent] = []
        self.crash_at_byte: int | None = None

    @property
    def known_as(self) -> str | None:
        return self.destination.known_as(self.archive.name)

    # the report

    def sending(self, baseline: Mapping[str, Any]) -> None:
        if self.known_as is not None:
            baseline = {**baseline, "delivered_before": self.place.delivered.count(self.known_as)}
        self.delivery = replace(self.delivery, baseline=baseline, sent_at=self.place.clock())

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        assert 0 <= done_bytes <= total_bytes
        if self.crash_at_byte is not None and done_bytes >= self.crash_at_byte:
            self.crash_at_byte = None
            raise Crash

    # the steps

    def take(self) -> Outcome:
        """Take one step; raises RemoteError.  Nothing of it is kept but what was reported."""
        return self.destination.step(self.delivery, self.archive, self.place.metadata, self)

    def step(self) -> None:
        """Take one step and keep what became true, as the journal does."""
        try:
            outcome = self.take()
        except Unconfirmed as error:
            self._failed(error)
            waiting = self.delivery.state is DeliveryState.WAITING
            self._record(DeliveryEvent.LOST if waiting else DeliveryEvent.POSTPONE)
        except Unavailable as error:
            self._failed(error)
            self._record(DeliveryEvent.POSTPONE)
        except RemoteError as error:
            self._failed(error)
            self._record(DeliveryEvent.FAILED)
        else:
            self._record(outcome.event, outcome)
            self.place.clock.advance(outcome.again_s or 0.0)

    def _failed(self, error: RemoteError) -> None:
        self.words += [str(error), repr(error), error.hint, error.body, "".join(traceback.format_exception(error))]
        self.delivery = replace(self.delivery, error=str(error), hint=error.hint)
        self.place.clock.advance(getattr(error, "retry_after_s", None) or 15.0)

    def _record(self, event: DeliveryEvent, outcome: Outcome | None = None) -> None:
        self.events.append(event)
        state = next_delivery_state(self.delivery.state, event)
        if state is DeliveryState.DELIVERED:
            self.place.delivered.append(self.known_as)
        answered = event not in (DeliveryEvent.LOST, DeliveryEvent.POSTPONE)
        self.delivery = replace(self.delivery, state=state, sent_at=None if answered else self.delivery.sent_at)
        if outcome is not None:
            self.words += [outcome.reason or "", outcome.hint or "", outcome.remote_status or ""]
            self.delivery = replace(
                self.delivery,
                remote_id=outcome.remote_id or self.delivery.remote_id,
                remote_status=outcome.remote_status or self.delivery.remote_status,
                hold=outcome.hold,
                error=outcome.reason,
                hint=outcome.hint,
            )

    def restart(self) -> None:
        """Go on after a crash: what began and was never answered is unconfirmed."""
        if self.delivery.state is DeliveryState.WAITING and self.delivery.sent_at is not None:
            self._record(DeliveryEvent.LOST)

    def run(self) -> DeliveryState:
        """Take steps until the delivery ends or is held, and return its state."""
        for _ in range(MOST_STEPS):
            if self.delivery.state in ENDED or self.delivery.state is DeliveryState.HELD:
                return self.delivery.state
            self.step()
        raise AssertionError(f"no end after {MOST_STEPS} steps: {self.events}")


class Open:
    """Makes places and drivers, and closes what they hold."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self.places: list[Place] = []
        self.drivers: list[Driver] = []

    def place(self, kind: type[Place], **options: Any) -> Place:
        clock = ManualClock()
        spool = self._directory / f"spool{len(self.places)}"
        spool.mkdir()
        sandbox = None
        if kind is Directory:
            (self._directory / "vault").mkdir()
        else:
            sandbox = self._stack.enter_context(running(clock, **{**kind.options, **options}))
        place = kind(sandbox, spool, clock)
        self.places.append(place)
        return place

    def driver(self, place: Place, destination: Destination | None = None, archive: Archive | None = None) -> Driver:
        destination = destination or place.destination()
        self._stack.callback(destination.close)
        driver = Driver(destination, place, archive or place.archive())
        self.drivers.append(driver)
        return driver

    def check_words(self) -> None:
        """Assert that no word that anybody may see holds a secret."""
        for driver in self.drivers:
            for word in driver.words:
                for secret in driver.place.secrets:
                    assert secret not in word


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        opened = Open(stack, tmp_path)
        yield opened
        opened.check_words()


@pytest.fixture(params=list(PLACES))
def place(request, opened: Open) -> Place:
    return opened.place(PLACES[request.param])


@pytest.fixture(params=list(SERVERS))
def server(request, opened: Open) -> Place:
    return opened.place(SERVERS[request.param])


def test_every_destination_is_in_this_suite(opened: Open) -> None:
    tested = {opened.place(kind).settings().type for kind in PLACES.values()}

    assert tested == set(DESTINATIONS)


class TestTheGoodDay:
    def test_it_is_delivered_whole_and_once(self, opened, place):
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.DELIVERED
        assert place.things() == [place.wanted(driver.archive)]
        assert driver.delivery.remote_id

    def test_it_says_who_we_are_in_one_sentence(self, place):
        destination = place.destination()
        sentence = destination.whoami()
        destination.close()

        assert sentence
        assert "\n" not in sentence
        assert not any(secret in sentence for secret in place.secrets)

    def test_every_outcome_says_why_and_every_move_is_legal(self, opened, place):
        driver = opened.driver(place)
        driver.run()

        assert driver.delivery.error
        assert driver.events[-1] is DeliveryEvent.DELIVERED

    @pytest.mark.parametrize("kind", [kind for kind in PLACES.values() if kind is not OlderProteomics])
    def test_two_datasets_of_the_same_name_are_two_things(self, opened, kind):
        place = opened.place(kind)
        drivers = [opened.driver(place), opened.driver(place)]

        assert drivers[0].archive.name == drivers[1].archive.name
        assert [driver.run() for driver in drivers] == [DeliveryState.DELIVERED] * 2
        assert sorted(place.things()) == sorted(place.wanted(driver.archive) for driver in drivers)

    def test_who_confuses_archives_says_by_which_name(self, place):
        destination = place.destination()
        known_as = [destination.known_as(name) for name in ("a 1.raw", "A_1.RAW", "b.raw")]
        destination.close()

        if isinstance(place, Proteomics):
            assert known_as == ["a_1", "a_1", "b"]
        else:
            assert known_as == [None, None, None]

    def test_progress_ends_with_all_bytes(self, opened, place):
        seen: list[tuple[int, int]] = []
        driver = opened.driver(place)
        driver.progress = lambda done, total: seen.append((done, total))
        driver.run()

        assert seen[-1] == (driver.archive.size_bytes, driver.archive.size_bytes)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)


class TestTakenTwice:
    def test_a_step_whose_outcome_was_lost_is_taken_again_and_changes_nothing(self, opened, place):
        """A crash after every step: the step was taken, and nothing of it was kept but that sending began."""
        driver = opened.driver(place)
        for _ in range(MOST_STEPS):
            if driver.delivery.state is DeliveryState.DELIVERED:
                break
            driver.take()
            driver.restart()
            place.clock.advance(2.0)
            driver.step()

        assert driver.delivery.state is DeliveryState.DELIVERED
        assert place.things() == [place.wanted(driver.archive)]

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_a_crash_while_sending_leads_to_one_thing_or_an_honest_hold(self, opened, place, share):
        driver = opened.driver(place)
        driver.crash_at_byte = int(driver.archive.size_bytes * share)
        with pytest.raises(Crash):
            driver.take()
        driver.destination.close()
        driver.destination = place.destination()
        driver.restart()
        driver.run()
        driver.destination.close()

        assert_once_or_honest(driver)
        assert len(leftovers(place)) == len(place.things())

    def test_who_calls_itself_idempotent_has_the_same_content_once_whoever_sends_it(self, opened, place):
        first = opened.driver(place)
        first.run()
        again = opened.driver(place, archive=first.archive)
        again.run()

        assert (len(place.things()) == 1) is (again.destination.idempotent or isinstance(place, OlderProteomics))
        if again.destination.idempotent:
            assert again.delivery.state is DeliveryState.DELIVERED


def leftovers(place: Place) -> list[str]:
    """Return all names at the destination, also those of what is not whole."""
    return os.listdir(place.vault) if isinstance(place, Directory) else place.things()


def assert_once_or_honest(driver: Driver) -> None:
    """Assert that the thing is there exactly once, or not and an operator is asked with a sentence."""
    things, delivery = driver.place.things(), driver.delivery
    if delivery.state is DeliveryState.DELIVERED:
        assert things == [driver.place.wanted(driver.archive)]
        return
    assert delivery.state is DeliveryState.HELD
    assert delivery.hold is HoldKind.UNCONFIRMED
    assert delivery.error
    assert delivery.hint
    assert len(things) <= 1


COMMITTED = ("commit-then-drop", "half-answer", "commit-then-500", "commit-then-502")
NOT_STORED = ("drop-before-body", "drop-mid-body", "409", "429", "500", "502", "503", "redirect")


class TestLostAnswers:
    @pytest.mark.parametrize("kind", COMMITTED)
    @pytest.mark.fault(21)
    def test_what_was_stored_before_its_answer_was_lost_is_found_and_not_sent_again(self, opened, server, kind):
        server.sandbox.fault(server.upload_path, kind)
        driver = opened.driver(server)

        assert driver.run() is DeliveryState.DELIVERED
        assert DeliveryEvent.LOST in driver.events
        assert server.things() == [server.wanted(driver.archive)]
        assert server.sandbox.requests[f"POST {server.upload_path}"] == 1

    @pytest.mark.parametrize("kind", NOT_STORED)
    def test_what_was_not_stored_is_sent_again_or_honestly_held(self, opened, server, kind):
        server.sandbox.fault(server.upload_path, kind)
        driver = opened.driver(server)
        driver.run()

        if kind == "409":
            assert driver.delivery.state is DeliveryState.FAILED
            assert server.things() == []
            return
        assert_once_or_honest(driver)
        if isinstance(server, Diffraction) or kind == "429":
            assert driver.delivery.state is DeliveryState.DELIVERED

    @pytest.mark.parametrize("kind", [*COMMITTED, "drop-mid-body", "500", "502"])
    def test_answers_that_are_lost_again_and_again_still_lead_to_one_thing(self, opened, server, kind):
        server.sandbox.fault(server.upload_path, kind, times=3)
        driver = opened.driver(server)
        driver.run()

        assert_once_or_honest(driver)

    @pytest.mark.parametrize("kind", QUESTION_FAULTS)
    def test_a_question_that_fails_is_asked_again(self, opened, server, kind):
        """Faults of everything but the upload: nothing is sent twice because somebody could not be asked."""
        for path in ("/api/v1/submissions/*", "/api/v1/submit/", "/api/projects", "/api/qc-data", "/api/pipelines"):
            server.sandbox.fault(path, kind)
        driver = opened.driver(server)

        assert driver.run() is DeliveryState.DELIVERED
        assert server.things() == [server.wanted(driver.archive)]

    @pytest.mark.parametrize("kind", QUESTION_FAULTS)
    def test_a_lost_answer_and_a_lost_question_together_still_lead_to_one_thing(self, opened, server, kind):
        server.sandbox.fault(server.upload_path, "commit-then-drop")
        server.sandbox.fault("/api/v1/submissions/*", kind, after=1, times=2)
        server.sandbox.fault("/api/projects", kind, after=1, times=2)
        server.sandbox.fault("/api/qc-data", kind, after=1, times=2)
        driver = opened.driver(server)

        assert driver.run() is DeliveryState.DELIVERED
        assert server.things() == [server.wanted(driver.archive)]
        assert server.sandbox.requests[f"POST {server.upload_path}"] == 1

    def test_who_waits_too_long_for_an_answer_asks_and_does_not_send_again(self, opened, server):
        server.sandbox.fault(server.upload_path, "slow-answer", delay_s=30)
        driver = opened.driver(server, impatient(server))

        assert driver.run() is DeliveryState.DELIVERED
        assert DeliveryEvent.LOST in driver.events
        assert server.things() == [server.wanted(driver.archive)]
        assert server.sandbox.requests[f"POST {server.upload_path}"] == 1

    def test_a_slow_server_is_waited_for(self, opened, server):
        server.sandbox.fault(server.upload_path, "slow", bytes_per_s=2_000_000)
        driver = opened.driver(server)

        assert driver.run() is DeliveryState.DELIVERED
        assert DeliveryEvent.LOST not in driver.events

    def test_too_large_a_body_is_refused_for_good(self, opened, server):
        server.sandbox.fault(server.upload_path, "413")
        driver = opened.driver(server)

        assert driver.run() is DeliveryState.FAILED
        assert "larger than the server takes" in driver.delivery.hint
        assert server.things() == []


class Impatient(HTTPAdapter):
    """The network, with half a second for every answer."""

    def send(self, request: requests.PreparedRequest, **details: Any) -> requests.Response:
        return super().send(request, **{**details, "timeout": (5.0, 0.5)})


def impatient(place: Place) -> Destination:
    settings = place.settings()
    if settings.type == "proteindiffraction":
        client = pdi.Client(settings.url, credentials=settings.credentials, adapter=Impatient(), now=place.clock)
        return pdi.ProteinDiffraction("there", client, poll_every_s=1.0)
    return pqc.ProteomicsQC(
        "there",
        pqc.Client(settings.url, credentials=settings.credentials, adapter=Impatient(), now=place.clock),
        project=settings.project,
        pipeline=settings.pipeline,
        pid=settings.pid,
        confirm_within_s=60.0,
        now=place.clock,
    )


class TestBadDays:
    def test_a_server_that_is_down_is_unavailable_and_all_goes_on_when_it_is_back(self, opened, server):
        driver = opened.driver(server)
        server.sandbox.stop()
        with pytest.raises(Unavailable) as down:
            driver.take()
        driver.step()
        server.sandbox.start()

        assert str(down.value)
        assert down.value.hint
        assert driver.delivery.state is DeliveryState.WAITING
        assert driver.run() is DeliveryState.DELIVERED
        assert len(server.things()) == 1

    def test_a_directory_that_is_not_there_is_unavailable_and_never_created(self, opened):
        place = opened.place(Directory)
        driver = opened.driver(place)
        place.vault.rmdir()
        with pytest.raises(Unavailable) as gone:
            driver.take()

        assert gone.value.hint
        assert not place.vault.exists()
        place.vault.mkdir()
        assert driver.run() is DeliveryState.DELIVERED

    def test_refused_credentials_are_an_auth_error_that_costs_nothing(self, opened, server):
        driver = opened.driver(server, server.destination(WRONG))

        for ask in (driver.take, driver.destination.whoami):
            with pytest.raises(AuthError) as refused:
                ask()
            shown = [str(refused.value), refused.value.hint, refused.value.body]
            shown.append("".join(traceback.format_exception(refused.value)))
            assert not any(secret in word for word in shown for secret in server.secrets)
        assert server.sandbox.body_bytes(server.upload_path) == 0
        assert server.things() == []

    def test_credentials_that_are_refused_once_are_not_the_end(self, opened, server):
        """A 401 in the middle pauses the destination; afterwards the step is taken again."""
        server.sandbox.fault("/api/*", "401", after=1)
        driver = opened.driver(server)
        for _ in range(MOST_STEPS):
            if driver.delivery.state in ENDED:
                break
            try:
                driver.take()
            except AuthError:
                server.clock.advance(60)
            else:
                driver.restart()
                driver.step()

        assert driver.delivery.state is DeliveryState.DELIVERED
        assert server.things() == [server.wanted(driver.archive)]

    @pytest.mark.parametrize("how", ["flipped", "shorter", "longer", "gone"])
    @pytest.mark.fault(22)
    def test_what_changed_after_packing_is_never_there_whole(self, opened, place, how):
        driver = opened.driver(place)
        ALTERATIONS[how](driver.archive.path)

        with pytest.raises(ArchiveInvalid):
            driver.take()

        assert place.things() == []
        assert leftovers(place) == []

    def test_a_thing_is_not_sent_while_metadata_are_missing(self, opened):
        place = opened.place(Diffraction)
        place.metadata = {"project_title": "A title that is long enough"}
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.HELD
        assert driver.delivery.hold is HoldKind.METADATA
        assert place.sandbox.body_bytes(place.upload_path) == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class TestOverTls:
    @pytest.fixture(params=list(SERVERS))
    def secure(self, request, opened, certificate):
        return opened.place(SERVERS[request.param], ssl_certfile=certificate[0], ssl_keyfile=certificate[1])

    @pytest.fixture
    def driver(self, opened, secure, certificate):
        settings = replace(secure.settings(), ca_file=certificate[0])
        return opened.driver(secure, build("there", settings, now=secure.clock))

    @pytest.mark.parametrize("kind", [None, "commit-then-drop", "half-answer", "commit-then-502"])
    def test_it_is_delivered_once(self, secure, driver, kind):
        if kind is not None:
            secure.sandbox.fault(secure.upload_path, kind)

        assert driver.run() is DeliveryState.DELIVERED
        assert secure.things() == [secure.wanted(driver.archive)]

    @pytest.mark.parametrize("kind", ["401", "413", "500", "drop-mid-body"])
    @pytest.mark.fault(20)
    def test_an_early_answer_that_cannot_be_read_leads_to_a_question(self, secure, driver, kind):
        """The server answers while the body is still on its way; the client mostly sees a broken pipe."""
        secure.sandbox.fault(secure.upload_path, kind, early=True)
        driver.run()

        if driver.delivery.state is DeliveryState.FAILED:  # the answer was read after all
            assert kind in ("401", "413")
            assert secure.things() == []
        else:
            assert_once_or_honest(driver)

    def test_a_certificate_that_nobody_trusts_is_named_and_nothing_is_sent(self, opened, secure):
        driver = opened.driver(secure)

        with pytest.raises(Unavailable) as untrusted:
            driver.take()

        assert "certificate" in str(untrusted.value)
        assert "ca_file" in untrusted.value.hint
        assert secure.sandbox.requests == {}


def flip(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(BODY_BYTES // 2)
        byte = file.read(1)
        file.seek(BODY_BYTES // 2)
        file.write(bytes([byte[0] ^ 1]))


def append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


ALTERATIONS: Mapping[str, Callable[[str], None]] = {
    "flipped": flip,
    "shorter": lambda path: os.truncate(path, BODY_BYTES // 2),
    "longer": append,
    "gone": os.unlink,
}


class TestProteinDiffraction:
    """What only this server can answer."""

    def test_what_is_there_already_is_adopted_without_a_byte(self, opened):
        place = opened.place(Diffraction)
        archive = place.archive()
        first = opened.driver(place, archive=archive)
        first.step()
        sent_bytes = place.sandbox.body_bytes(place.upload_path)
        second = opened.driver(place, archive=archive)

        assert second.run() is DeliveryState.DELIVERED
        assert place.sandbox.body_bytes(place.upload_path) == sent_bytes
        assert len(place.sandbox.submissions) == 1

    def test_what_another_user_has_deposited_fails_with_a_hint(self, opened):
        place = opened.place(Diffraction)
        archive = place.archive()
        opened.driver(place, place.destination(place.sandbox.other_pdi_token), archive).run()
        driver = opened.driver(place, archive=archive)

        assert driver.run() is DeliveryState.FAILED
        assert "not among our submissions" in driver.delivery.error
        assert driver.delivery.hint

    @pytest.mark.parametrize(
        ("contents", "status"),
        [
            ((b"notes",), "error_no_data"),
            ((b"###CBF: VERSION 1.5\r\n",), "header_not_readable"),
            ((CBF, CBF.replace(b"0.9795", b"1.2")), "inconsistent_datasets"),
        ],
    )
    def test_refused_data_fail_with_the_documents_next_action(self, opened, contents, status):
        place = opened.place(Diffraction)
        driver = opened.driver(place, archive=packed(place.fresh_spool(), tar(*contents)))

        assert driver.run() is DeliveryState.FAILED
        assert driver.delivery.remote_status == status
        assert driver.delivery.hint

    def test_an_entry_that_has_a_dataset_is_held_before_submit_until_released(self, opened):
        place = opened.place(Diffraction, existing_pdb_ids=frozenset({"1ABC"}))
        driver = opened.driver(place, archive=packed(place.fresh_spool(), name="x_1abc.tar.zst"))

        assert driver.run() is DeliveryState.HELD
        assert driver.delivery.hold is HoldKind.SERVER
        assert place.sandbox.submissions == ()
        state = next_delivery_state(driver.delivery.state, DeliveryEvent.WORD_RELEASE)
        driver.delivery = replace(driver.delivery, state=state, released=driver.delivery.error, hold=None)
        assert driver.run() is DeliveryState.DELIVERED
        assert len(place.things()) == 1

    @pytest.mark.parametrize(
        "metadata",
        [
            {"pdb_code": "1abc"},
            {"pdb_code": "1ABC", "synchrotron": "aps", "beamline": "24-id-c"},
            {
                "dataset_type": "other",
                "project_title": "A title that is long enough",
                "project_authors": "Smith J., Doe A.",
                "equipment_other": "home source",
            },
            {
                "project_title": "A title that is long enough",
                "project_authors": "Smith J., Doe A.",
                "synchrotron": "Advanced Photon Source",
                "beamline": "24-ID-C",
            },
        ],
    )
    def test_every_set_of_metadata_that_is_enough_leads_to_publication(self, opened, metadata):
        place = opened.place(Diffraction)
        place.metadata = metadata
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.DELIVERED, driver.delivery.error
        [submission] = place.sandbox.submissions
        assert (submission.metadata["beamline"] or {}).get("id") == (42 if "beamline" in metadata else None)

    def test_an_unknown_beamline_is_held_with_the_nearest_names_before_anything_is_sent(self, opened):
        place = opened.place(Diffraction)
        place.metadata = {"pdb_code": "1ABC", "synchrotron": "APS", "beamline": "24-ID"}
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.HELD
        assert "24-ID-C" in driver.delivery.hint
        assert place.sandbox.body_bytes(place.upload_path) == 0

    def test_a_submission_that_somebody_deleted_is_uploaded_again(self, opened):
        place = opened.place(Diffraction)
        driver = opened.driver(place)
        driver.step()
        client = pdi.Client(place.sandbox.pdi_url, token=place.sandbox.pdi_token)
        client.delete(driver.delivery.remote_id)
        client.close()

        assert driver.run() is DeliveryState.DELIVERED
        assert len(place.things()) == 1


class TestProteomics:
    """What only this server can answer."""

    @pytest.mark.parametrize("kind", [Proteomics, ProteomicsBySession])
    def test_a_run_of_the_same_name_that_was_there_before_is_not_taken_for_ours(self, opened, kind):
        place = opened.place(kind)
        opened.driver(place).run()
        place.clock.advance(10)
        place.sandbox.fault(place.upload_path, "drop-mid-body")
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.HELD
        assert driver.delivery.hold is HoldKind.UNCONFIRMED
        assert len(place.things()) == 1

    def test_a_second_run_of_the_same_name_whose_answer_was_lost_is_told_from_the_first_by_the_page(self, opened):
        place = opened.place(ProteomicsBySession)
        opened.driver(place).run()
        place.clock.advance(10)
        place.sandbox.fault(place.upload_path, "commit-then-drop")
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.DELIVERED
        assert place.things()[-1] == driver.archive.md5
        assert len(place.things()) == 2

    def test_without_a_page_a_second_run_whose_answer_was_lost_is_never_sent_twice(self, opened):
        """Its run cannot be told from one of the first that would be shown only now, so somebody is asked."""
        place = opened.place(Proteomics)
        opened.driver(place).run()
        place.clock.advance(10)
        place.sandbox.fault(place.upload_path, "commit-then-drop")
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.HELD
        assert driver.delivery.hold is HoldKind.UNCONFIRMED
        assert len(place.things()) == 2

    @pytest.mark.parametrize("kind", [Proteomics, ProteomicsBySession])
    @pytest.mark.parametrize("name", ["Sample 1 (a).raw", "Sample_1_a.raw", "SAMPLE_1_A.raw"])
    def test_a_run_that_is_shown_late_is_not_taken_for_another_delivery_that_was_lost(self, opened, kind, name):
        place = opened.place(kind)
        place.sandbox.proteomicsqc.process_s = 20.0
        opened.driver(place).run()
        place.sandbox.fault(place.upload_path, "drop-mid-body")
        driver = opened.driver(place, archive=replace(place.archive(), name=name))

        assert driver.run() is DeliveryState.HELD
        assert driver.delivery.hold is HoldKind.UNCONFIRMED
        assert len(place.things()) == 1

    def test_a_run_that_is_shown_late_is_found(self, opened):
        place = opened.place(Proteomics)
        place.sandbox.proteomicsqc.process_s = 20.0
        opened.driver(place).run()
        place.sandbox.fault(place.upload_path, "commit-then-drop")
        driver = opened.driver(place)

        assert driver.run() is DeliveryState.DELIVERED
        assert driver.delivery.remote_id == place.sandbox.runs[-1].key

    def test_a_config_that_the_server_does_not_know_is_told_before_anything_is_delivered(self, opened):
        place = opened.place(Proteomics)
        driver = opened.driver(place, build("there", replace(place.settings(), pipeline="tmt-qx"), now=place.clock))

        with pytest.raises(Rejected) as refused:
            driver.destination.whoami()
        driver.run()
        assert (str(refused.value), refused.value.hint) == (driver.delivery.error, driver.delivery.hint)

    @pytest.mark.parametrize("process_s", [1.0, 20.0])
    @pytest.mark.parametrize("name", ["Sample 1 (a).raw", "Sample_1_a.raw"])
    def test_a_repeated_name_on_the_older_server_is_held_before_a_byte_is_sent(self, opened, name, process_s):
        """It could only fail, and leave bytes behind that are taken for the next upload of that name elsewhere."""
        place = opened.place(OlderProteomics)
        place.sandbox.proteomicsqc.process_s = process_s
        opened.driver(place).run()
        place.clock.advance(10)
        driver = opened.driver(place, archive=replace(place.archive(), name=name))
        driver.run()

        assert (driver.delivery.state, driver.delivery.hold) == (DeliveryState.HELD, HoldKind.SERVER)
        assert "takes each name once" in driver.delivery.error
        assert len(place.things()) == 1
        assert place.sandbox.requests[f"POST {place.upload_path}"] == 1

    def test_a_repeated_name_that_the_operator_released_is_sent_once_and_never_again(self, opened):
        place = opened.place(OlderProteomics)
        opened.driver(place).run()
        place.clock.advance(10)
        driver = opened.driver(place)
        driver.run()
        state = next_delivery_state(driver.delivery.state, DeliveryEvent.WORD_RELEASE)
        driver.delivery = replace(driver.delivery, state=state, released=driver.delivery.error, hold=None)
        driver.run()

        assert (driver.delivery.state, driver.delivery.hold) == (DeliveryState.HELD, HoldKind.UNCONFIRMED)
        assert len(place.things()) == 1
        assert place.sandbox.requests[f"POST {place.upload_path}"] == 2

    @pytest.mark.parametrize("kind", [ProteomicsBySession, OlderProteomics])
    def test_a_session_that_ends_just_before_the_upload_costs_a_second_sending_and_stores_once(self, opened, kind):
        place = opened.place(kind)
        driver = opened.driver(place)
        began = driver.sending

        def sending(baseline):
            began(baseline)
            place.sandbox.proteomicsqc.sessions.end_all()

        driver.sending = sending

        assert driver.run() is DeliveryState.DELIVERED
        assert place.things() == [driver.archive.md5]
        assert place.sandbox.requests[f"POST {place.upload_path}"] == 2

    def test_a_token_that_is_revoked_just_before_the_upload_pauses_and_stores_nothing(self, opened):
        place = opened.place(Proteomics)
        driver = opened.driver(place)
        owner = pqc.Client(place.sandbox.pqc_url, username=place.sandbox.username, password=place.sandbox.password)
        driver.sending = lambda baseline: owner.revoke_token()

        with pytest.raises(AuthError):
            driver.take()
        owner.close()
        assert place.things() == []

    @pytest.mark.parametrize("kind", [ProteomicsBySession, OlderProteomics])
    def test_a_session_that_ended_is_opened_again(self, opened, kind):
        place = opened.place(kind)
        driver = opened.driver(place)
        driver.destination.whoami()
        place.sandbox.proteomicsqc.sessions.end_all()

        assert driver.run() is DeliveryState.DELIVERED
        assert len(place.things()) == 1

    def test_a_pid_alone_is_enough_to_send(self, opened):
        place = opened.place(Proteomics)
        settings = replace(place.settings(), project=None, pipeline=None)
        driver = opened.driver(place, build("there", settings, now=place.clock))

        assert driver.run() is DeliveryState.DELIVERED

    def test_a_pipeline_that_is_not_there_is_held_before_anything_is_sent(self, opened):
        place = opened.place(Proteomics)
        settings = replace(place.settings(), pipeline="tmt-qx", pid=None)
        driver = opened.driver(place, build("there", settings, now=place.clock))

        assert driver.run() is DeliveryState.HELD
        assert "tmt-qc" in driver.delivery.hint
        assert place.sandbox.body_bytes(place.upload_path) == 0
