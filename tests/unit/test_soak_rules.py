"""The pure parts of scripts/soak: what is drawn, what is answered, what counts as flat and as arrived."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from depositd.sandbox import FAULTS
from soak import audit, flatness, operator, plan, report
from soak.audit import Copy, Evidence
from soak.flatness import Bound
from soak.instruments import Acquisition, FileFacts
from soak.plan import EDGE, FREQUENCIES, Kind
from soak.records import DatasetRow, DeliveryRow
from soak.sampling import Sample

HOUR_S = 3600.0
MEMORY = Bound("memory", "B", 1.05, 5e6)
PER_DATASET = Bound("log, for each dataset", "B", 1.5, 512)


def noisy(values, share=0.02, seed=1):
    random = Random(seed)
    return [value * random.uniform(1 - share, 1 + share) for value in values]


# flat


def test_noise_around_a_level_is_flat():
    assert flatness.level(MEMORY, noisy([100e6] * 600)).is_flat


def test_what_grows_while_it_warms_up_is_flat():
    warming = [60e6 + 40e6 * min(second / 150, 1) for second in range(600)]
    assert flatness.level(MEMORY, noisy(warming)).is_flat


def test_a_leak_is_not_flat():
    leaking = [100e6 + 60e3 * second for second in range(600)]
    assert flatness.level(MEMORY, noisy(leaking)).is_flat is False


def test_one_descriptor_lost_at_each_reload_is_not_flat():
    reloads = 40
    lost = [20 + second * reloads // 1800 for second in range(1800)]
    assert flatness.level(report.BOUNDS["descriptors"], lost).is_flat is False
    assert flatness.level(report.BOUNDS["descriptors"], [20, 22] * 900).is_flat


def test_a_moment_of_much_memory_is_no_leak():
    values = [100e6] * 600
    values[550:560] = [900e6] * 10
    assert flatness.level(MEMORY, values).is_flat


def test_the_same_bytes_for_each_dataset_are_flat():
    datasets = list(range(600))
    assert flatness.rate(PER_DATASET, datasets, [1200 * number for number in datasets]).is_flat


def test_a_line_for_every_dataset_before_it_is_not_flat():
    datasets = list(range(3600))
    squared = [1200 * number + 2 * number**2 for number in datasets]
    assert flatness.rate(PER_DATASET, datasets, squared).is_flat is False


def test_where_nothing_was_written_there_is_no_rate():
    assert flatness.rate(PER_DATASET, [7] * 600, [100.0] * 600).after == 0.0


@pytest.mark.parametrize("values", [[], [1.0], [1e6, 1e9] * 20])
def test_of_a_short_run_nothing_is_said(values):
    assert flatness.level(MEMORY, values).is_flat is None


# what goes wrong


def test_the_same_seed_draws_the_same_night():
    assert plan.events(7, HOUR_S) == plan.events(7, HOUR_S)
    assert plan.events(7, HOUR_S) != plan.events(8, HOUR_S)


def test_between_the_edges_one_process_lives():
    ends = {Kind.KILL, Kind.TERMINATE}
    at = [event.at_s / HOUR_S for event in plan.events(3, HOUR_S) if event.kind in ends]
    assert len(at) > 20
    assert all(place < EDGE or place > 1 - EDGE for place in at)
    assert min(at) < EDGE < 1 - EDGE < max(at)


def test_what_comes_too_late_for_the_begin_is_left_out():
    early = [event for event in plan.events(3, HOUR_S) if event.kind is Kind.KILL and event.at_s < EDGE * HOUR_S]
    assert early
    assert {event.latest_s for event in early} == {EDGE * HOUR_S}


@pytest.mark.parametrize("duration_s", [36.0, HOUR_S])
def test_everything_that_can_go_wrong_does(duration_s):
    found = plan.events(5, duration_s)
    assert {event.kind for event in found} == set(Kind)
    assert all(0 <= event.at_s <= duration_s for event in found)
    assert found == sorted(found, key=lambda event: event.at_s)
    for kind, how in FREQUENCIES.items():
        assert sum(event.kind is kind for event in found) >= how.least


def test_in_an_hour_every_fault_of_the_sandbox_is_armed():
    assert {event.fault for event in plan.events(1, HOUR_S) if event.kind is Kind.SERVER_FAULT} == set(FAULTS)


# the operator

DELIVERED = DeliveryRow(1, 1, "vault", "delivered", None, None, "/vault/lyso_1.tar.zst")
LYSO = DatasetRow(1, "lyso_1", "/data/lyso", "archived", "complete", 1, True, "i" * 32, (DELIVERED,))


def words(delivery, *, said=0, chance=0.9, there=False):
    dataset = replace(LYSO, deliveries=(delivery,))
    found = operator.answers([dataset], {delivery.id: said}, lambda: chance, lambda *_: there)
    return [word.verb for _, word in found]


@pytest.mark.parametrize(
    ("state", "hold", "more", "expected"),
    [
        ("waiting", None, {}, []),
        ("delivered", None, {}, []),
        ("held", "namesake", {}, []),
        ("failed", None, {}, ["retry"]),
        ("failed", None, {"said": operator.PATIENCE}, ["skip"]),
        ("failed", "gone", {}, ["skip"]),
        ("held", "operator", {}, ["release"]),
        ("held", "gone", {}, ["skip"]),
        ("held", "server", {}, ["retry"]),
        ("held", "unconfirmed", {"there": True}, ["skip"]),
        ("held", "unconfirmed", {"there": False}, ["retry"]),
        ("held", "incomplete", {"chance": 0.9}, ["release"]),
        ("held", "incomplete", {"chance": 0.1}, ["skip"]),
        ("held", "incomplete", {"said": operator.PATIENCE}, ["skip"]),
    ],
)
def test_whatever_needs_somebody_is_answered(state, hold, more, expected):
    assert words(replace(DELIVERED, state=state, hold=hold), **more) == expected


def test_one_command_says_the_same_to_many():
    said = [operator.Word("retry", 1, "qc"), operator.Word("retry", 2, "qc"), operator.Word("skip", 3, "qc")]
    assert operator.grouped(said) == {("retry", "qc"): [1, 2], ("skip", "qc"): [3]}


# whether all arrived

FRAME = Path("/data/lyso/lyso_1_00001.cbf")
WRITTEN = Acquisition(
    name="lyso_1",
    format="pilatus",
    tree=None,
    path=FRAME.parent,
    files={FRAME: FileFacts("s" * 64, "m" * 32, 10, 1)},
    destinations=frozenset({"vault"}),
    whole=True,
    fault="",
    last_write_s=0.0,
)
ARRIVED = Evidence((WRITTEN,), (LYSO,), {1: Copy("i" * 32, {FRAME.name: "s" * 64})}, (), ())


def test_what_arrived_once_as_it_was_written_is_well():
    assert audit.findings(ARRIVED) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"datasets": ()}, "never found"),
        ({"datasets": (replace(LYSO, state="growing"),)}, "has not ended"),
        ({"datasets": (replace(LYSO, deliveries=()),)}, "it is not at vault"),
        ({"datasets": (replace(LYSO, deliveries=(replace(DELIVERED, state="held"),)),)}, "has not ended"),
        ({"copies": {}}, "was never there"),
        ({"copies": {1: Copy("x" * 32, {FRAME.name: "s" * 64})}}, "the journal promises"),
        ({"copies": {1: Copy("i" * 32, {FRAME.name: "x" * 64})}}, "other bytes than were written"),
        ({"copies": {1: Copy("i" * 32, {})}}, "was written and not delivered"),
    ],
)
def test_what_is_missing_or_other_is_found(change, expected):
    found = audit.findings(replace(ARRIVED, **change))
    assert any(expected in sentence for sentence in found), found


def upload(token="t1", **more):
    from depositd.sandbox.state import Inspection, Upload

    values = {
        "token": token, "user_id": 1, "filename": "lyso_1.tar", "size_bytes": 1, "md5": "i" * 32,
        "sent_filename": "lyso_1.tar.zst", "sent_size_bytes": 1, "sent_md5": "z" * 32, "pdb_id": None,
        "dataset_type": "other", "inspection": Inspection(1), "inserted_at": None, "submitted_at": "then",
    }  # fmt: skip
    return Upload(**{**values, **more})


PUBLISHED = replace(ARRIVED, datasets=(
    replace(LYSO, deliveries=(DELIVERED, replace(DELIVERED, id=2, destination="irrmc", remote_id="t1"))),
))  # fmt: skip


@pytest.mark.parametrize(
    ("uploads", "expected"),
    [
        ((), "unknown to irrmc"),
        ((upload(md5="x" * 32),), "with MD5"),
        ((upload(submitted_at=None),), "never told the metadata"),
        ((upload(), upload("t2", md5="y" * 32)), "1 times more than was delivered"),
    ],
)
def test_each_upload_is_there_once_and_is_what_was_packed(uploads, expected):
    assert audit.findings(replace(PUBLISHED, uploads=(upload(),))) == []
    found = audit.findings(replace(PUBLISHED, uploads=uploads))
    assert any(expected in sentence for sentence in found), found


def run_of(number=1):
    from depositd.sandbox.state import Run

    return Run(number, 1, "lyso_1.raw", 10, "m" * 32, "a@b", 1, None)


@pytest.mark.parametrize(("runs", "is_well"), [((), False), ((run_of(),), True), ((run_of(), run_of(2)), False)])
def test_each_run_is_there_once(runs, is_well):
    sent = replace(LYSO, deliveries=(DELIVERED, replace(DELIVERED, id=2, destination="qc", remote_id="rf1")))
    written = replace(WRITTEN, destinations=frozenset({"vault", "qc"}))
    found = audit.findings(replace(ARRIVED, acquisitions=(written,), datasets=(sent,), runs=runs))
    assert (found == []) is is_well, found


def test_a_run_that_nobody_recorded_is_found():
    assert any("qc has lyso_1" in sentence for sentence in audit.findings(replace(ARRIVED, runs=(run_of(),))))


# what is said in the end


def samples(number, pid=1, **growing):
    flat = {
        "rss_bytes": 10**8, "pss_bytes": 10**8, "descriptors": 20, "threads": 20, "children": 1, "cpu_s": 0.0,
        "journal_bytes": 0, "spool_bytes": 0, "log_bytes": 0, "web_s": 0.01,
    }  # fmt: skip
    return tuple(
        Sample(at_s=second, pid=pid, datasets=second, **{**flat, **{key: of(second) for key, of in growing.items()}})
        for second in range(number)
    )


def result(taken, *wrong):
    return report.Result(4, 1.0, 1.0, 3600.0, 3600, {"kills": 2}, {"skip": 1}, {"503": 9}, taken, wrong)


def test_a_calm_night_ends_well_and_says_how_to_repeat_it():
    calm = result(samples(900))
    assert calm.is_well
    assert "scripts/soak --hours 1 --pace 1 --seed 4" in report.as_text(calm)
    assert report.as_json(calm)["well"] is True


@pytest.mark.parametrize(
    "growing",
    [
        {"rss_bytes": lambda second: 10**8 + 10**5 * second},
        {"descriptors": lambda second: 20 + second // 50},
        {"threads": lambda second: 20 + second // 50},
        {"journal_bytes": lambda second: 100 * second**2},
        {"log_bytes": lambda second: 10 * second**2},
    ],
)
def test_whatever_grows_ends_badly(growing):
    leaking = result(samples(900, **growing))
    assert not leaking.is_well
    assert "NOT FLAT" in report.as_text(leaking)


def test_one_finding_ends_badly():
    assert not result(samples(900), "it was sent twice").is_well
    assert "WRONG: it was sent twice" in report.as_text(result(samples(900), "it was sent twice"))


def test_only_the_process_that_lived_longest_is_judged():
    assert {one.pid for one in report.longest(samples(5, pid=1) + samples(50, pid=2) + samples(9, pid=3))} == {2}
