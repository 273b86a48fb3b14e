from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from http_support import CANARY, FakeServer, Reply, texts_of

from depositd.destinations import DESTINATIONS, Surroundings, build
from depositd.destinations.body import FilePart
from depositd.destinations.credentials import Given, login_of, token_of
from depositd.destinations.proteindiffraction import Client
from depositd.errors import AuthError, ConfigError
from depositd.model import Packing

SERVER = {
    "credentials": Given(token_text=CANARY),
    "rate_limit_bytes_per_s": 1e6,
    "ca_file": None,
    "insecure_http": False,
    "proxy": None,
}
SETTINGS = [
    SimpleNamespace(
        type="proteindiffraction", url="https://pdi.example/api/v1/", poll_every_s=60.0, existing="hold", **SERVER
    ),
    SimpleNamespace(
        type="proteomicsqc",
        url="https://qc.example/",
        project=None,
        pipeline=None,
        pid="0a1b2c3d-0000-4000-8000-000000000001",
        confirm_within_s=1800.0,
        accept_archives=False,
        **SERVER,
    ),
    SimpleNamespace(type="directory", path="/mnt/vault", rate_limit_bytes_per_s=None),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.type)
def test_each_type_is_built_without_touching_anything(settings):
    destination = build("here", settings)
    assert destination.name == "here"
    assert destination.packing(single_file=True) in Packing
    assert CANARY not in repr(vars(destination))
    destination.close()


def test_every_type_is_tested_here():
    assert {settings.type for settings in SETTINGS} == set(DESTINATIONS)


def test_a_url_that_sends_credentials_in_the_clear_is_refused():
    settings = SimpleNamespace(**{**vars(SETTINGS[0]), "url": "http://pdi.example/"})
    with pytest.raises(ConfigError, match="in the clear"):
        build("here", settings)


class SharedTime:
    """A clock for so many threads: it moves on to the next who wakes, once all of them sleep or have ended."""

    def __init__(self, threads: int) -> None:
        self.now_s = 0.0
        self._awake = threads
        self._wakes_s: list[float] = []
        self._changed = threading.Condition()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._changed:
            wakes_s = self.now_s + seconds
            self._wakes_s.append(wakes_s)
            self.leave()
            self._changed.wait_for(lambda: self.now_s >= wakes_s, timeout=60)
            self._awake += 1

    def leave(self) -> None:
        with self._changed:
            self._awake -= 1
            if not self._awake and self._wakes_s:
                self.now_s = min(self._wakes_s)
                self._wakes_s = [wakes_s for wakes_s in self._wakes_s if wakes_s > self.now_s]
                self._changed.notify_all()


def test_parallel_uploads_share_the_limit_of_their_destination():
    time = SharedTime(threads=2)
    server = FakeServer().on("POST /api/v1/upload/", Reply(201, {"token": "t", "md5hash": "0" * 32}))
    limit = Surroundings(clock=time, sleep=time.sleep).rate_limit(1e6)
    client = Client("https://pdi.example/api/v1/", token=CANARY, adapter=server, rate_limit=limit)
    progress: list[tuple[str, int]] = []

    def upload(name: str) -> None:
        part = FilePart("x", name, 2_000_000, None, lambda _path: io.BytesIO(bytes(2_000_000)))
        client.upload(part, on_progress=lambda done, _all: progress.append((name, done)))
        time.leave()

    with ThreadPoolExecutor(2) as uploads:
        list(uploads.map(upload, ["one.tar", "two.tar"]))
    # all but the last quarter of a second's worth was waited for
    assert time.now_s == pytest.approx(4.0 - 0.25, abs=0.01)
    assert {done for name, done in progress if name == "one.tar"} >= {1_000_000, 2_000_000}


class Unreadable:
    username = "you"

    def token(self) -> str | None:
        raise ConfigError(["/etc/t is readable by others (chmod 600)"], hint="chmod 600")

    def password(self) -> str | None:
        return self.token()


@pytest.mark.parametrize("read", [token_of, login_of])
def test_credentials_that_cannot_be_read_pause_the_destination(read):
    with pytest.raises(AuthError, match="chmod 600") as caught:
        read(Unreadable())
    assert caught.value.hint == "chmod 600"


def test_given_credentials_are_not_shown():
    given = Given("you", CANARY, CANARY)
    assert CANARY not in repr(given)
    with pytest.raises(AuthError) as caught:
        token_of(Given(token_text=f"{CANARY} "))
    assert CANARY not in texts_of(caught.value)
