"""From a file to its figures: sent to the sandbox's ProteomicsQC, measured there, and rejected as the rule says."""

from __future__ import annotations

import hashlib

import pytest
from clock_support import ManualClock
from engine_support import config_of, plan_of, sighting, tools_of
from format_files import stat_of

from depositd.destinations import build
from depositd.engine.delivering import deliver
from depositd.engine.measuring import look
from depositd.journal import Journal
from depositd.model import Archive, Dataset, DeliveryState, Packing
from depositd.sandbox import Sandbox, running


class Site:
    """A journal, a rule and the sandbox as its destination, all on one clock."""

    def __init__(self, tmp_path, sandbox: Sandbox, clock: ManualClock, qc: str):
        (tmp_path / "token").write_text(sandbox.pqc_token)
        (tmp_path / "token").chmod(0o600)
        known = (
            f"qc: {{type: proteomicsqc, url: '{sandbox.pqc_url}', token: {{file: {tmp_path}/token}},"
            " project: demo-project, pipeline: tmt-qc}"
        )
        rule = f"{{name: r, watch: {tmp_path}/data, format: thermo-raw, settle: 0s, deliver: [qc], qc: {qc}}}"
        config = config_of(tmp_path, rules=rule, destinations=known)
        self.root, self.clock = tmp_path / "data", clock
        self.root.mkdir()
        self.destination = build("qc", config.destinations["qc"], now=clock)
        self.plan = plan_of(config, self.destination)
        self.journal = Journal(tmp_path / "journal.db")

    def deliver(self, name: str, directory: str):
        """Let the daemon's own step send one file."""
        content = f"\x01\xa1F\0i\0{directory}".encode()
        (self.root / directory).mkdir()
        path = self.root / directory / name
        path.write_bytes(content)
        relative = f"{directory}/{name}"
        dataset = Dataset(name.removesuffix(".raw"), "thermo-raw", directory, name, relative, (stat_of(relative, 9),))
        seen = sighting(dataset, root=str(self.root))
        record = self.journal.datasets.record(seen, self.plan.planned(self.plan.rule("r")), self.clock()).record
        md5 = hashlib.md5(content).hexdigest()
        archive = Archive(str(path), name, Packing.FILE, len(content), md5, md5, hashlib.sha256(content).hexdigest())
        assert self.journal.datasets.archived(record.id, record.fingerprint, [archive], self.clock())
        standing = self.journal.deliveries.of_dataset(record.id)[0]
        after = deliver(self.plan, self.journal, standing, self.tools())
        assert after.state is DeliveryState.DELIVERED, after
        return after

    def tools(self):
        return tools_of(self.clock)

    def look(self, after_s: float):
        self.clock.advance(after_s)
        return [(one.event, one.sentence) for one in look(self.plan, self.journal, self.destination, self.tools())]

    def run(self, delivery):
        return self.journal.view.show(delivery.dataset_id)["deliveries"][0]["run"]

    def close(self):
        self.destination.close()
        self.journal.close()


@pytest.fixture
def make(tmp_path):
    sites = []
    clock = ManualClock()
    with running(clock, process_s=600) as sandbox:

        def made(qc: str) -> tuple[Site, Sandbox]:
            sites.append(Site(tmp_path, sandbox, clock, qc))
            return sites[-1], sandbox

        yield made
        for site in sites:
            site.close()


def test_a_run_comes_back_and_is_rejected(make):
    site, sandbox = make('{columns: ["MS/MS Identified [%]"], reject_if: N_peptides < 20000}')
    sent = site.deliver("sample 1.raw", "monday")
    # processing takes the server ten minutes
    assert site.look(60) == []
    assert site.run(sent) is None
    [(event, sentence)] = site.look(600)
    run = site.run(sent)
    assert event == "rejected"
    assert sentence == f"rejected by the rule: N_peptides < 20000 ({run['columns']['N_peptides']})"
    assert 8_000 <= run["columns"]["N_peptides"] <= 16_000
    assert 28 <= run["columns"]["MS/MS Identified [%]"] <= 52
    assert run["marked_at"]
    [there] = [one for one in sandbox.runs if one.name.startswith("sample")]
    assert (run["key"], there.use_downstream, there.flagged) == (there.key, False, False)
    assert site.look(86_400) == []


def test_two_runs_of_one_name_are_told_apart(make):
    site, sandbox = make("{columns: N_peptides, flag_if: N_peptides > 0}")
    first = site.deliver("sample.raw", "monday")
    assert site.look(700) == [("flagged", site.run(first)["reason"])]
    second = site.deliver("sample.raw", "tuesday")
    assert site.look(60) == []
    assert site.look(700) == [("flagged", site.run(second)["reason"])]
    keys = [site.run(first)["key"], site.run(second)["key"]]
    there = {one.key: one for one in sandbox.runs if one.name == "sample.raw"}
    assert sorted(keys) == sorted(there)
    assert all(one.flagged for one in there.values())
