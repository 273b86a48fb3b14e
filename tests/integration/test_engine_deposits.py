"""Metadata in time: the table of what becomes known months later, and the words that replace what was refused."""

import os
from datetime import timedelta

import pytest
from engine_support import (
    NOW,
    FakeDestination,
    an_archive,
    archived,
    changed,
    config_of,
    frames,
    history,
    plan_of,
    record,
    sighting,
    tools_of,
)
from format_files import stat_of

from depositd import destinations
from depositd.destinations.base import Outcome
from depositd.engine.delivering import deliver
from depositd.engine.deposits import WrongTable, apply_table, read_table, summary
from depositd.engine.planning import Plan, hold_waiting
from depositd.engine.words import NoSuchDelivery, WrongValues, release, replace_refused
from depositd.errors import Conflict, Unavailable
from depositd.journal import Fact, Journal, PlannedDelivery
from depositd.model import DatasetState, DeliveryState, HoldKind, VerdictKind
from depositd.states import DeliveryEvent

IRRMC = "irrmc: {type: proteindiffraction, url: 'http://127.0.0.1:9/api/v1/', token: {env: T}}"


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.db")
    yield opened
    opened.close()


@pytest.fixture
def plan(tmp_path):
    rule = "{name: r, watch: /data, format: frames, deliver: [{to: irrmc, approve: auto}]}"
    config = config_of(tmp_path, rule, IRRMC)
    reached = {name: destinations.build(name, settings) for name, settings in config.destinations.items()}
    yield Plan(config, reached)
    for destination in reached.values():
        destination.close()


def held(plan, journal, *names):
    """Record datasets without metadata: each is held for it."""
    for name in names:
        one = record(journal, frames(name=name), VerdictKind.COMPLETE, "irrmc")
        hold_waiting(plan, journal, one, NOW)


def delivery(journal, dataset_id):
    return journal.deliveries.of_dataset(dataset_id)[0].delivery


def problems_of(plan, journal, text):
    with pytest.raises(WrongTable) as wrong:
        apply_table(plan, journal, read_table(text.encode()), NOW)
    return wrong.value.problems


@pytest.mark.parametrize(
    "text",
    [
        "dataset,pdb_code\n1,1abc\n2,\n",
        "\ufeffdataset;pdb_code\r\n1;1abc\r\n2;\r\n",
        "name\tpdb_code\nlyso_1\t1abc\nlyso_2\t\n",
        "path,name,pdb_code\n/data/run,lyso_1,1abc\n,lyso_2,\n",
        "dataset,name,destination,waits_for,pdb_code\n1,lyso_1,irrmc,metadata,1abc\n2,lyso_2,irrmc,metadata,\n",
    ],
)
def test_a_table_frees_the_datasets_that_it_fills_in_and_no_other(plan, journal, text):
    held(plan, journal, "lyso_1", "lyso_2")
    applied = apply_table(plan, journal, read_table(text.encode()), NOW)
    assert delivery(journal, 1).state is DeliveryState.WAITING
    assert delivery(journal, 1).values == {"pdb_code": "1abc"}
    assert delivery(journal, 2).state is DeliveryState.HELD
    assert summary(applied) == "1 delivery freed, 1 row not filled in yet"


def test_a_table_with_one_wrong_cell_changes_nothing_and_names_every_mistake_with_its_line(plan, journal):
    held(plan, journal, "lyso_1", "lyso_2", "lyso_3", "lyso_4")
    text = (
        "dataset,name,pdb_code,project_title\n1,lyso_1,1ABC,\n2,,ABCD,\n3,,,short\n9,,1ABC,\n4,thau,1ABC,\n"
        ",nobody,1ABC,\n1,,2ABC,\nx,,1ABC,\n"
    )
    found = problems_of(plan, journal, text)
    assert [problem.partition(":")[0] for problem in found] == [f"line {n}" for n in (5, 6, 7, 9, 8, 3, 4)]
    shown = "\n".join(found)
    for told in ("'ABCD' is no PDB code", "has 5 characters", "no dataset 9", "is lyso_4, not thau", "named 'nobody'"):
        assert told in shown
    assert "in line 2 already" in shown
    assert [delivery(journal, number).state for number in (1, 2, 3, 4)] == [DeliveryState.HELD] * 4
    assert delivery(journal, 1).values == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"pdb_code\n1ABC\n", "no column says which dataset"),
        (b"dataset,pdb code\n", "'pdb code' is no metadata key"),
        (b"dataset,pdb_code,pdb_code\n", "is there twice"),
        (b"dataset,pdb_code\n1,1ABC,more\n", "more cells"),
        (b'dataset,pdb_code\n1,"1ABC\n', "cannot be read as CSV"),
        (b"dataset,pdb_code\n1,\xff\n", "not UTF-8"),
        (b"PK\x03\x04\x00\x00", "is no metadata key"),
        (b"dataset," * 3_000_000, "at most"),
    ],
)
def test_a_table_that_is_none_is_refused_with_what_would_be_right(content, told):
    with pytest.raises(WrongTable, match=told):
        read_table(content)


def test_a_misspelt_key_is_not_taken_for_metadata(plan, journal):
    held(plan, journal, "lyso_1")
    assert "pdb_code?" in problems_of(plan, journal, "dataset,pdb_codes\n1,1ABC\n")[0]


def test_names_that_several_datasets_have_need_their_number(plan, journal):
    record(journal, frames(name="lyso_1", directory="a"), VerdictKind.COMPLETE, "irrmc")
    record(journal, frames(name="lyso_1", directory="b"), VerdictKind.COMPLETE, "irrmc")
    assert "2 datasets are named 'lyso_1': 1, 2" in problems_of(plan, journal, "name,pdb_code\nlyso_1,1ABC\n")[0]
    apply_table(plan, journal, read_table(b"name,path,pdb_code\nlyso_1,/data/b,1ABC\n"), NOW)
    assert delivery(journal, 2).values == {"pdb_code": "1ABC"}


def test_a_table_gives_metadata_to_what_is_held_for_another_reason_and_leaves_it_held(plan, journal):
    one = record(journal, frames(), VerdictKind.GAPPED, "irrmc")
    hold_waiting(plan, journal, one, NOW)
    assert delivery(journal, 1).hold is HoldKind.INCOMPLETE
    applied = apply_table(plan, journal, read_table(b"dataset,pdb_code\n1,1ABC\n"), NOW)
    assert delivery(journal, 1).state is DeliveryState.HELD
    assert delivery(journal, 1).values == {"pdb_code": "1ABC"}
    assert summary(applied) == "0 deliveries freed, 1 still held"
    assert "metadata" in history(journal, 1)


def test_the_same_table_again_leaves_what_is_on_its_way(plan, journal):
    held(plan, journal, "lyso_1")
    rows = read_table(b"dataset,pdb_code\n1,1ABC\n")
    apply_table(plan, journal, rows, NOW)
    journal.deliveries.apply(1, Fact(DeliveryEvent.DELIVERED), NOW)
    before = history(journal, 1)
    assert apply_table(plan, journal, rows, NOW).settled == 1
    assert history(journal, 1) == before


def test_a_release_with_a_wrong_value_changes_nothing(plan, journal):
    held(plan, journal, "lyso_1")
    with pytest.raises(WrongValues, match="'ABCD' is no PDB code"):
        release(plan, journal, 1, None, {"pdb_code": "ABCD"}, NOW)
    assert delivery(journal, 1).state is DeliveryState.HELD


def test_a_release_that_still_misses_something_is_held_again_at_once(plan, journal):
    held(plan, journal, "lyso_1")
    (after,) = release(plan, journal, 1, None, {"project_title": "Lysozyme at 100 K"}, NOW).followed
    assert after.state is DeliveryState.HELD
    assert "project_authors" in (after.error or "")
    values = {"project_authors": "Smith J.", "equipment_other": "in-house source"}
    (after,) = release(plan, journal, 1, None, values, NOW + timedelta(days=365)).followed
    assert after.state is DeliveryState.WAITING


def test_a_release_that_does_not_free_approves_nothing(tmp_path, journal):
    """Months later a sidecar completes the metadata: what was never approved must ask."""
    rule = "{name: r, watch: /data, format: frames, deliver: [{to: irrmc, approve: manual}]}"
    config = config_of(tmp_path, rule, IRRMC)
    reached = {name: destinations.build(name, settings) for name, settings in config.destinations.items()}
    plan = Plan(config, reached)
    one = record(journal, frames(), VerdictKind.COMPLETE, "irrmc:manual")
    hold_waiting(plan, journal, one, NOW)
    apply_table(plan, journal, read_table(b"dataset,project_authors\n1,Smith J.\n"), NOW)
    release(plan, journal, 1, None, {"project_title": "Lysozyme at 100 K"}, NOW)
    assert delivery(journal, 1).state is DeliveryState.HELD
    assert journal.deliveries.of_dataset(1)[0].consents == frozenset()
    (after,) = release(plan, journal, 1, None, {"pdb_code": "1ABC"}, NOW).followed
    assert after.state is DeliveryState.WAITING
    assert HoldKind.APPROVAL in journal.deliveries.of_dataset(1)[0].consents
    for destination in reached.values():
        destination.close()


def test_a_table_reaches_what_is_uploaded_and_not_yet_submitted(plan, journal):
    archived(journal, frames(), "irrmc")
    journal.deliveries.apply(1, Fact(DeliveryEvent.UPLOADED, remote_id="t"), NOW)
    applied = apply_table(plan, journal, read_table(b"dataset,project_title\n1,Lysozyme at 100 K\n"), NOW)
    assert delivery(journal, 1).values == {"project_title": "Lysozyme at 100 K"}
    assert (len(applied.freed), applied.settled) == (1, 0)


# replacing what the server refused


@pytest.fixture
def spool(tmp_path):
    path = tmp_path / "lyso_1.tar.zst"
    path.write_bytes(bytes(an_archive().size_bytes))
    return str(path)


def archive_it(journal, one, path="/spool/second.tar.zst"):
    assert journal.datasets.archived(one.id, one.fingerprint, [an_archive(path, "d" * 64)], NOW)


def refused(journal, spool="/spool/lyso_1.tar.zst", remote="token-1"):
    """Record an archived dataset whose submission was refused."""
    one = archived(journal, path=spool)
    fact = Fact(DeliveryEvent.FAILED, "error_no_data", "delete it", remote_id=remote, remote_status="error_no_data")
    journal.deliveries.apply(delivery(journal, one.id).id, fact, NOW)
    return one


def step(tmp_path, journal, destination, dataset_id):
    plan = plan_of(config_of(tmp_path), destination)
    standing = journal.deliveries.of_dataset(dataset_id)[0]
    return deliver(plan, journal, standing, tools_of(lambda: NOW))


def test_what_was_refused_is_deleted_before_its_correction_is_sent(tmp_path, journal, spool):
    refused(journal, spool)
    (after,) = replace_refused(journal, 1, None, NOW).followed
    assert (after.state, after.replaces) == (DeliveryState.WAITING, "token-1")
    one = FakeDestination()
    after = step(tmp_path, journal, one, 1)
    assert one.removed == ["token-1"]
    assert one.seen == []
    assert (after.state, after.replaces, after.remote_id, after.remote_status) == (
        DeliveryState.WAITING,
        None,
        None,
        None,
    )
    one.script = [one.sending(Outcome(DeliveryEvent.UPLOADED, remote_id="token-2"))]
    assert step(tmp_path, journal, one, 1).remote_id == "token-2"
    assert one.removed == ["token-1"]


def test_a_deletion_that_fails_is_tried_again_and_nothing_is_sent_meanwhile(tmp_path, journal, spool):
    refused(journal, spool)
    replace_refused(journal, 1, None, NOW)
    one = FakeDestination()
    one.remove_says = Unavailable("away")
    after = step(tmp_path, journal, one, 1)
    assert (after.state, after.replaces, after.error) == (DeliveryState.WAITING, "token-1", "away")
    one.remove_says = Conflict("published is not deletable", hint="ask the server's support")
    after = step(tmp_path, journal, one, 1)
    assert (after.state, after.hint) == (DeliveryState.FAILED, "ask the server's support")
    assert one.sends == 0


def test_a_corrected_dataset_takes_the_place_of_its_earlier_generation(tmp_path, journal):
    first = refused(journal)
    journal.deliveries.set_values(1, {"pdb_code": "1ABC"}, NOW)
    more = changed(frames(), *frames().files, stat_of("run/lyso_1_00004.cbf", 100))
    second = record(journal, more, VerdictKind.COMPLETE, "one:manual")
    assert (first.id, second.id, second.generation) == (1, 2, 2)
    (after,) = replace_refused(journal, 1, None, NOW).followed
    assert (after.dataset_id, after.state, after.replaces) == (2, DeliveryState.WAITING, "token-1")
    assert after.values == {"pdb_code": "1ABC"}
    assert delivery(journal, 1).state is DeliveryState.SKIPPED
    assert delivery(journal, 1).remote_id == "token-1"


def test_the_number_of_the_correction_does_as_well(journal):
    refused(journal)
    more = changed(frames(), *frames().files, stat_of("run/lyso_1_00004.cbf", 100))
    record(journal, more, VerdictKind.COMPLETE, "one:manual")
    (after,) = replace_refused(journal, 2, None, NOW).followed
    assert (after.dataset_id, after.replaces) == (2, "token-1")


def test_a_correction_is_held_until_somebody_says_what_becomes_of_what_was_refused(tmp_path, journal):
    refused(journal)
    more = changed(frames(), *frames().files, stat_of("run/lyso_1_00004.cbf", 100))
    archive_it(journal, record(journal, more, VerdictKind.COMPLETE, "one"))
    after = step(tmp_path, journal, FakeDestination(), 2)
    assert (after.state, after.hold) == (DeliveryState.HELD, HoldKind.CHANGED)
    assert after.error == "generation 2: it changed after one refused dataset 1 as error_no_data"
    assert after.hint.startswith("depositd retry 2 --replace")
    (after,) = replace_refused(journal, 2, None, NOW).followed
    assert (after.state, after.replaces) == (DeliveryState.WAITING, "token-1")


def test_there_is_nothing_to_replace_where_nothing_was_refused(journal):
    archived(journal)
    (no,) = replace_refused(journal, 1, None, NOW).refused
    assert "there is nothing to replace" in str(no)
    journal.deliveries.apply(1, Fact(DeliveryEvent.SUBMITTED, remote_id="t"), NOW)
    (no,) = replace_refused(journal, 1, None, NOW).refused
    assert "is submitted" in str(no)
    with pytest.raises(NoSuchDelivery):
        replace_refused(journal, 7, None, NOW)


def test_a_correction_that_is_there_already_is_not_sent_twice(journal):
    refused(journal)
    more = changed(frames(), *frames().files, stat_of("run/lyso_1_00004.cbf", 100))
    archived(journal, more)
    journal.deliveries.apply(2, Fact(DeliveryEvent.DELIVERED, remote_id="token-2"), NOW)
    (no,) = replace_refused(journal, 1, None, NOW).refused
    assert "is delivered there already" in str(no)
    assert delivery(journal, 1).state is DeliveryState.FAILED


def test_a_plain_retry_after_a_refused_deletion_sends_without_deleting(tmp_path, journal, spool):
    refused(journal, spool)
    replace_refused(journal, 1, None, NOW)
    one = FakeDestination()
    one.remove_says = Conflict("published is not deletable")
    assert step(tmp_path, journal, one, 1).state is DeliveryState.FAILED
    assert journal.deliveries.word(1, DeliveryEvent.WORD_RETRY, {}, NOW).replaces is None


def test_what_is_to_be_replaced_is_remembered_until_it_is_or_is_left(journal):
    refused(journal)
    replace_refused(journal, 1, None, NOW)
    for event in (DeliveryEvent.WORD_RELEASE, DeliveryEvent.WORD_RETRY, DeliveryEvent.WORD_HOLD):
        assert journal.deliveries.word(1, event, {}, NOW).replaces == "token-1"
    assert journal.deliveries.word(1, DeliveryEvent.WORD_SKIP, {}, NOW).replaces is None


def test_a_correction_that_is_corrected_once_more_replaces_what_was_refused(journal):
    refused(journal)
    journal.deliveries.set_values(1, {"pdb_code": "1ABC"}, NOW)
    files = list(frames().files)
    for number in (4, 5):
        files.append(stat_of(f"run/lyso_1_{number:05}.cbf", 100))
        recorded = journal.datasets.record(sighting(changed(frames(), *files)), [PlannedDelivery("one", "manual")], NOW)
        if number == 4:
            archive_it(journal, recorded.record)
            replace_refused(journal, 1, None, NOW)
    journal.deliveries.set_aside_superseded(NOW)
    assert delivery(journal, 2).state is DeliveryState.SKIPPED
    newest = delivery(journal, 3)
    assert (newest.replaces, newest.values) == ("token-1", {"pdb_code": "1ABC"})
    # what was said of the second generation is no approval of the third
    assert journal.deliveries.of_dataset(3)[0].consents == frozenset()


def test_nothing_is_deleted_where_there_is_nothing_to_send_in_its_place(tmp_path, journal, spool):
    refused(journal, spool)
    replace_refused(journal, 1, None, NOW)
    os.unlink(journal.datasets.archive(1).path)
    one = FakeDestination()
    after = step(tmp_path, journal, one, 1)
    assert (one.removed, after.state, after.replaces) == ([], DeliveryState.WAITING, "token-1")
    assert journal.datasets.get(1).state is DatasetState.COMPLETE


# two names of one place


def test_two_destinations_of_one_place_do_not_get_the_same_bytes_twice(tmp_path, journal):
    one, two = FakeDestination("one"), FakeDestination("two")
    two.place = one.place
    config = config_of(
        tmp_path, destinations=", ".join(f"{n}: {{type: directory, path: {tmp_path}/{n}}}" for n in ("one", "two"))
    )
    plan = plan_of(config, one, two)
    archived(journal, frames(), "one", "two")
    first, second = journal.deliveries.of_dataset(1)
    one.script = [one.sending(Outcome(DeliveryEvent.DELIVERED, remote_id="rf1"))]
    assert deliver(plan, journal, first, tools_of(lambda: NOW)).state is DeliveryState.DELIVERED
    after = deliver(plan, journal, second, tools_of(lambda: NOW))
    assert (after.state, after.hold) == (DeliveryState.HELD, HoldKind.DUPLICATE)
    assert after.error == "the same bytes went to one as dataset 1 (delivered)"
