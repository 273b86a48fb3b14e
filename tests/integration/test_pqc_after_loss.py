"""A run whose journal was lost is sent again only where the server shows for certain that it does not have it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from clock_support import ManualClock
from http_support import FakeServer, Recorder, Reply

from depositd.destinations.proteomicsqc import Client, ProteomicsQC
from depositd.destinations.proteomicsqc.client import MOST_PAGES
from depositd.model import FORGOTTEN, Archive, Delivery, DeliveryState, HoldKind, Packing
from depositd.states import DeliveryEvent

NOW = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
UUID = "0a1b2c3d-0000-4000-8000-000000000001"
PAGE = "GET /proteomics/detail/demo-project/tmt-qc-demo"
NONE_PROCESSED = Reply(200, {"RawFile": [], "RunKey": [], "Uploader": []})


def rows(*names):
    cells = "".join(
        f'<tr data-run-name="{name}" data-overall-status="queued"><td><a href="/{name}">{name}</a></td></tr>'
        for name in names
    )
    return Reply(200, f"<table><tbody>{cells}</tbody></table>".encode())


def server_with(page, processed=NONE_PROCESSED):
    server = FakeServer()
    server.on("POST /api/projects", Reply(201, [{"pk": 1, "slug": "demo-project", "name": "D", "description": ""}]))
    pipeline = {"uuid": UUID, "slug": "tmt-qc-demo", "name": "T", "path_as_str": "/p", "pk": 1}
    server.on("POST /api/pipelines", Reply(201, [pipeline]))
    server.on("POST /api/qc-data", processed)
    server.on(PAGE, page)
    server.on(f"{PAGE}?page=2", Reply(404, b""))
    return server


@pytest.fixture
def look(tmp_path):
    """Return what looks for a run long after the journal was lost, and long after the start."""
    path = tmp_path / "spooled"
    path.write_bytes(b"thermo")
    md5, sha256 = hashlib.md5(b"thermo").hexdigest(), hashlib.sha256(b"thermo").hexdigest()
    archive = Archive(str(path), "mine.raw", Packing.FILE, 6, md5, md5, sha256)

    def outcome(server, namesakes=0):
        clock = ManualClock(NOW - timedelta(days=1))
        client = Client("https://qc.example/", adapter=server, token="t" * 40)
        settings = {"project": "demo-project", "pipeline": "tmt-qc-demo", "confirm_within_s": 60.0}
        destination = ProteomicsQC("qc", client, now=clock, **settings)
        clock.advance(86_400.0)
        baseline = {FORGOTTEN: "2026-11-20T00:00:00.000000Z", "namesakes": namesakes}
        delivery = Delivery(1, 12, "qc", DeliveryState.UNCONFIRMED, baseline=baseline, sent_at=NOW - timedelta(hours=9))
        return destination.step(delivery, archive, {}, Recorder())

    return outcome


@pytest.mark.fault(29)
def test_a_run_that_is_there_was_sent_unless_another_dataset_has_its_name(look):
    assert look(server_with(rows("mine", "other"))).event is DeliveryEvent.DELIVERED
    held = look(server_with(rows("mine", "other")), namesakes=1)
    assert (held.event, held.hold) == (DeliveryEvent.HOLD, HoldKind.UNCONFIRMED)


@pytest.mark.fault(29)
def test_a_pipeline_that_shows_all_its_runs_and_not_this_one_does_not_have_it(look):
    assert look(server_with(rows("other"))).event is DeliveryEvent.ABSENT
    assert look(server_with(rows())).event is DeliveryEvent.ABSENT


@pytest.mark.fault(29)
def test_a_page_of_something_else_while_the_other_list_is_broken_does_not_say_so(look):
    maintenance = Reply(200, b"<html><title>Back soon</title></html>")
    held = look(server_with(maintenance, processed=Reply(500, b"")))
    assert (held.event, held.hold) == (DeliveryEvent.HOLD, HoldKind.UNCONFIRMED)


@pytest.mark.fault(29)
def test_more_pages_than_are_read_do_not_say_so(look):
    server = server_with(rows("other_1"))
    for number in range(2, MOST_PAGES + 2):
        server.on(f"{PAGE}?page={number}", rows(f"other_{number}"))
    held = look(server)
    assert (held.event, held.hold) == (DeliveryEvent.HOLD, HoldKind.UNCONFIRMED)
