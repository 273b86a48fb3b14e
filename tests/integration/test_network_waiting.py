"""Servers and gateways that want to be left alone for hours, by a clock that tests move: heeded, within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
import requests
from clock_support import ManualClock
from depot_support import Depot, irrmc, qc, uploads_of, watched
from wire_support import Asked, Said, wire

from depositd.destinations.classify import retry_after_s
from depositd.model import DeliveryState

HOUR_S = 3600.0
LONGEST_S = HOUR_S
PAGE = b"<html><head><title>Service Unavailable</title></head></html>"
ABSURD = (
    "999999999",
    "9" * 5000,
    "-5",
    "1e9",
    "inf",
    "nan",
    "",
    "soon",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Thu, 01 Jan 299999211111 00:00:60 +0000",
    "Thu, 01 Jan 2026 00:00:00 +9999944444000",
    "\u0663\u0660",
    "12, 12",
    "\x00",
)


class Gateway:
    """What stands before a server: until a moment it answers by itself, afterwards it passes all on."""

    def __init__(self, box, clock: ManualClock, status: int, retry_after) -> None:
        self._box, self._clock = box, clock
        self._status, self._retry_after = status, retry_after
        self.until = clock.now
        self.refused_at: list[datetime] = []

    def __call__(self, asked: Asked) -> Said:
        now = self._clock.now
        if now < self.until:
            self.refused_at.append(now)
            value = self._retry_after(now)
            head = b"" if value is None else b"Retry-After: " + value.encode("utf-8") + b"\r\n"
            return Said(self._status, PAGE, {"Content-Type": "text/html"}, head)
        headers = {key: value for key, value in asked.headers.items() if key not in ("Host", "Accept-Encoding")}
        with requests.Session() as session:
            session.trust_env = False
            passed = session.request(
                asked.method, self._box.url.rstrip("/") + asked.target, data=asked.body, headers=headers, timeout=10
            )
        return Said(passed.status_code, passed.content, {"Content-Type": passed.headers.get("Content-Type", "")})


def in_seconds(seconds: int):
    return lambda _now: str(seconds)


def at_a_date(seconds: int):
    return lambda now: format_datetime(now.astimezone(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.fixture
def night(tmp_path):
    """Yield a way to begin a night with a gateway before the diffraction server, and the proteomics server as it is."""
    clock = ManualClock()
    with watched(clock) as box:
        opened = []

        def begin(status: int, retry_after):
            gateway = Gateway(box, clock, status, retry_after)
            entered = wire(gateway)
            server = entered.__enter__()
            away = irrmc(box, tmp_path / "s1").replace(box.pdi_url, f"{server.url}api/v1/")
            depot = Depot(tmp_path / "depot", [away, qc(box, tmp_path / "s2")], clock)
            opened.append((entered, depot))
            return gateway, depot, box, clock

        yield begin
        for entered, depot in opened:
            depot.close()
            entered.__exit__(None, None, None)


@pytest.mark.fault(24)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "least_s"),
    [(None, 0.0), (in_seconds(1800), 1800.0), (at_a_date(1800), 1799.0), (in_seconds(86_400 * 365), LONGEST_S)],
    ids=["no wish", "seconds", "date", "a year"],
)
def test_a_server_that_wants_to_be_left_alone_for_hours_is_and_others_go_on(night, status, retry_after, least_s):
    gateway, depot, box, clock = night(status, retry_after or (lambda _now: None))
    began = clock.now
    gateway.until = began + timedelta(hours=8)
    first = depot.dataset("lyso_1", b"one", "irrmc")
    other = depot.dataset("sample1", b"raw", "qc", raw=True)
    depot.run_for(7 * HOUR_S)

    assert depot.delivery(other).state is DeliveryState.DELIVERED
    waiting = depot.delivery(first)
    assert waiting.state is DeliveryState.WAITING
    assert str(status) in waiting.error
    assert "Service Unavailable" in waiting.error
    waits = [(after - before).total_seconds() for before, after in pairwise(gateway.refused_at)]
    assert waits
    # a wish is heeded, but no server can ask for more than the longest wait (and its jitter)
    assert all(least_s <= wait <= LONGEST_S * 1.3 for wait in waits)
    assert len(gateway.refused_at) < 7 * 3600 / 200
    assert not box.uploads

    depot.run_for(8 * HOUR_S)
    assert depot.delivery(first).state is DeliveryState.DELIVERED
    assert len(uploads_of(box, depot.archives[first])) == len(box.uploads) == 1


@pytest.mark.fault(24)
@pytest.mark.parametrize("value", ABSURD, ids=[value[:12] for value in ABSURD])
def test_no_wish_is_so_absurd_that_it_costs_more_than_a_wait(night, value):
    gateway, depot, box, clock = night(503, lambda _now: value)
    gateway.until = clock.now + timedelta(minutes=5)
    first = depot.dataset("lyso_1", b"one", "irrmc")
    depot.run_for(3 * HOUR_S)
    assert gateway.refused_at
    assert depot.delivery(first).state is DeliveryState.DELIVERED
    assert len(box.uploads) == 1


@pytest.mark.fault(24)
@pytest.mark.parametrize("value", ABSURD, ids=[value[:12] for value in ABSURD])
def test_a_wish_is_a_time_or_nothing(value):
    wish = retry_after_s(value, datetime(2026, 1, 1, tzinfo=UTC))
    assert wish is None or wish >= 0.0
