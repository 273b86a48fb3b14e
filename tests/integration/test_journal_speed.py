"""A journal of many datasets is asked what is due, and how things stand, in steps that do not grow with the past.

Steps are those of SQLite's virtual machine: they are the same on every machine, however busy it is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.large import build
from depositd.cli.status_text import MOST_DONE, Picture, Section, section_of, status_lines
from depositd.config import parse_config
from depositd.engine.outlook import beside_datasets
from depositd.journal import FILE_NAME, Journal
from depositd.journal.document import document
from depositd.journal.view import AT_ONCE
from depositd.service.daemon import Daemon
from depositd.systemd import NoSupervisor

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SMALL, LARGE, UNSETTLED = 1_000, 10_000, 70
STEPS_AT_ONCE = 10
NOISE = 200
"""Steps by which the depth of a tree, and what is left of an index, may differ."""


@pytest.fixture(scope="module")
def journals(tmp_path_factory) -> Iterator[tuple[Journal, Journal]]:
    opened = []
    for datasets in (SMALL, LARGE):
        path = tmp_path_factory.mktemp(str(datasets)) / FILE_NAME
        build(path, datasets, UNSETTLED, NOW, blob_bytes=50)
        opened.append(Journal(path))
    yield opened[0], opened[1]
    for journal in opened:
        journal.close()


def one_delivery(journal: Journal) -> Any:
    found = journal.deliveries.get(5)
    assert found is not None
    return found.delivery


def nobody(_name: str) -> bool:
    return False


QUESTIONS: dict[str, Callable[[Journal], Any]] = {
    "sends due": lambda j: j.deliveries.sends_due(NOW, "irrmc", 10),
    "sends due, newest first": lambda j: j.deliveries.sends_due(
        NOW, "irrmc", 10, newest_first=True, at_most_bytes=10**15
    ),
    "asks due": lambda j: j.deliveries.asks_due(NOW, "irrmc", 10),
    "due anywhere": lambda j: j.deliveries.due(NOW),
    "due elsewhere": lambda j: j.deliveries.due_elsewhere(NOW, ["irrmc"]),
    "unfinished": lambda j: j.deliveries.unfinished(),
    "progress": lambda j: j.deliveries.can_progress(()),
    "same content": lambda j: j.deliveries.same_content(one_delivery(j), f"{7:064x}", ["irrmc"]),
    "namesakes": lambda j: j.deliveries.namesakes(one_delivery(j), nobody, NOW - timedelta(hours=1), ["irrmc"]),
    "earlier generation": lambda j: j.deliveries.earlier_generation(one_delivery(j)),
    "clamped waits": lambda j: j.deliveries.clamp_waits(NOW, 1e6),
    "packable": lambda j: j.datasets.packable(NOW),
    "growing": lambda j: j.datasets.growing(),
    "unsettled": lambda j: j.datasets.unsettled_of("/data/beamline_1"),
    "removable archives": lambda j: j.datasets.removable_archives("pilatus", NOW),
    "paths in the spool": lambda j: j.datasets.spool_paths(),
    "may be archived": lambda j: j.spooled.unpacked(),
    "sizes in the spool": lambda j: j.spooled.sizes(),
    "kept in the spool": lambda j: j.spooled.kept(),
    "shrinkage": lambda j: j.spooled.shrinkage("pilatus", 20),
    "to archive": lambda j: j.backlog.to_archive(),
    "to send": lambda j: j.backlog.to_send(),
    "put off": lambda j: j.backlog.put_off(NOW),
    "results due": lambda j: j.results.is_due("irrmc", NOW),
    "results awaited": lambda j: j.results.awaited("irrmc", 100),
    "unexplained": lambda j: j.results.unexplained(["irrmc"], NOW - timedelta(hours=1), ()),
    "what is new": lambda j: j.view.happenings(j.view.last_happening(), 100),
    "one dataset": lambda j: j.view.show(5),
    "what is held": lambda j: j.view.held(),
}


def steps_of(journal: Journal, question: Callable[[Journal], Any]) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += STEPS_AT_ONCE
        return 0

    connection = journal.database._connection
    connection.set_progress_handler(count, STEPS_AT_ONCE)
    try:
        question(journal)
    finally:
        connection.set_progress_handler(None, 0)
    return counted


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_what_ended_long_ago_costs_no_step_of_what_is_asked_all_the_time(journals, question):
    few, many = (steps_of(journal, question) for journal in journals)
    assert many <= 1.1 * few + NOISE


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_no_question_reads_a_table_from_end_to_end(journals, question):
    asked: list[str] = []
    connection = journals[1].database._connection
    connection.set_trace_callback(asked.append)
    try:
        question(journals[1])
    finally:
        connection.set_trace_callback(None)
    plans = [
        row["detail"]
        for sql in asked
        if sql.lstrip().startswith("SELECT")
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]
    scans = [plan for plan in plans if re.match(r"SCAN (datasets|deliveries|archives|history|results|[davhr])\b", plan)]
    assert plans
    # an index that holds nothing else than what is asked for is read from end to end
    assert [plan for plan in scans if not plan.endswith((" datasets_put_off", " archives_in_spool"))] == []


def test_how_things_stand_reads_no_row_of_what_ended_long_ago(journals):
    few, many = (steps_of(journal, lambda one: one.view.overview()) for journal in journals)
    # what is left is the counting of an index's entries: one for each dataset, two for its deliveries
    assert (many - few) / (LARGE - SMALL) < 20


def test_the_overview_says_what_the_whole_status_says_of_what_it_shows(journals):
    view = journals[1].view
    everything, overview = view.status(), view.overview()
    shown = {dataset["id"]: dataset for dataset in everything["datasets"]}
    assert all(shown[dataset["id"]] == dataset for dataset in overview["datasets"])
    sections = dict.fromkeys(Section, 0)
    for dataset in everything["datasets"]:
        sections[section_of(dataset)] += 1
    assert overview["totals"] == {
        "datasets": LARGE,
        "delivered": sections[Section.DELIVERED],
        "set aside": sections[Section.SET_ASIDE],
    }
    unsettled = [one["id"] for one in everything["datasets"] if section_of(one) not in ("delivered", "set aside")]
    assert [one["id"] for one in overview["datasets"]][: len(unsettled)] == unsettled
    assert len(unsettled) == UNSETTLED
    assert [one["id"] for one in overview["datasets"]][-MOST_DONE:] == list(
        range(LARGE - UNSETTLED - MOST_DONE + 1, LARGE - UNSETTLED + 1)
    )
    assert overview["sources"] == everything["sources"]


def test_the_table_is_the_same_whether_all_is_read_or_what_it_shows(journals):
    view, beside = journals[1].view, {"disks": [], "backlog": []}
    tables = [
        [line.plain for line in status_lines(Picture({**found, **beside}, NOW, 1))]
        for found in (view.status(), view.overview())
    ]
    assert tables[0] == tables[1]
    assert f"  and {LARGE - UNSETTLED - MOST_DONE:,} more: depositd status --all" in tables[1]


def test_what_is_set_aside_is_counted_and_shown_where_it_was_lately(tmp_path):
    path = tmp_path / FILE_NAME
    build(path, 50, 7, NOW, blob_bytes=50)
    with closing(Journal(path)) as journal:
        with journal.together() as connection:
            connection.execute("UPDATE deliveries SET state = 'skipped' WHERE dataset_id IN (1, 40)")
            connection.execute("UPDATE datasets SET state = 'gone' WHERE id = 2")
            connection.execute("DELETE FROM deliveries WHERE dataset_id = 2")
            connection.execute("UPDATE datasets SET pack_error = 'no room' WHERE id = 3")
        overview = journal.view.overview()
        sections = {one["id"]: section_of(one) for one in overview["datasets"]}
        counted = [section_of(one) for one in journal.view.status()["datasets"]]
    assert {number for number, section in sections.items() if section is Section.SET_ASIDE} == {1, 2, 40}
    assert sections[3] is Section.NEEDS_YOU
    assert overview["totals"]["set aside"] == counted.count(Section.SET_ASIDE) == 3
    assert overview["totals"]["delivered"] == counted.count(Section.DELIVERED) == 39


def test_what_is_held_is_given_alone_with_all_that_stands_beside(journals):
    view = journals[1].view
    everything, held = view.status(), view.held()
    expected = [one for one in everything["datasets"] if any(to["state"] == "held" for to in one["deliveries"])]
    assert held["datasets"] == expected
    assert len(expected) == UNSETTLED // 7
    assert held["sources"] == everything["sources"]


def test_the_document_is_whole_in_one_moment_or_in_pages(journals):
    view = journals[1].view
    pages = list(view.pages())
    assert max(map(len, pages)) == AT_ONCE
    everything = view.status()
    text = "".join(document(pages, view.surroundings()))
    assert json.loads(text) == everything
    assert text.isascii()
    assert text.count("\n") < LARGE + 20


def test_an_empty_document_is_one():
    assert json.loads("".join(document((), {"sources": []}))) == {"datasets": [], "sources": []}


def test_a_reader_that_takes_its_time_over_the_status_keeps_nobody_from_writing(tmp_path):
    path = tmp_path / FILE_NAME
    build(path, 2 * AT_ONCE, 7, NOW, blob_bytes=50)
    config = parse_config(json.dumps(_config(tmp_path)), "depositd.yaml")
    with closing(Journal(path)) as journal:
        daemon = Daemon(config, journal, NoSupervisor())
        pieces = daemon.status()
        begun = [next(pieces), next(pieces)]  # it stands in the middle of the datasets
        writer = threading.Thread(target=journal.deliveries.clamp_waits, args=(NOW - timedelta(days=900), 0.0))
        writer.start()
        writer.join(20)
        assert not writer.is_alive()
        waits = journal.database._connection.execute("SELECT max(next_attempt_at) FROM deliveries").fetchone()[0]
        assert waits.startswith("2024")
        with journal.database._lock:  # nor does anybody who writes keep it from going on
            rest = threading.Thread(target=lambda: begun.extend(pieces))
            rest.start()
            rest.join(20)
            assert not rest.is_alive()
        status = json.loads("".join(begun))
        assert len(status["datasets"]) == 2 * AT_ONCE
        assert set(status) == {"datasets", *journal.view.surroundings(), *beside_datasets(config, journal, NOW)}
        daemon._shut_down()


def _config(directory: Any) -> dict[str, Any]:
    vault = {"type": "directory", "path": str(directory / "vault")}
    rule = {"name": "pilatus", "watch": "/data", "format": "frames", "deliver": ["vault"]}
    return {"state_dir": str(directory), "destinations": {"vault": vault}, "rules": [rule]}
