"""A server that is away for a while, through the installed command."""

from __future__ import annotations

import pytest
from beamline_support import Beamline, until, write_run, write_series

from depositd.sandbox import running

RULES = """
  - name: px
    watch: {data}/px
    format: auto
    settle: 200ms
    expect: {{frames: 2}}
    metadata: {{set: {{pdb_code: 1ABC, dataset_type: other}}}}
    deliver: [{{to: irrmc, approve: auto}}, vault]
  - name: ms
    watch: {data}/ms
    format: thermo-raw
    settle: 200ms
    deliver: [qc]
"""
COUNT = 5


@pytest.fixture
def sandbox():
    with running(pace_s=0.2) as box:
        yield box


@pytest.mark.fault(24, 25)
@pytest.mark.parametrize("fault", ["503", None], ids=["503", "refused"])
def test_a_server_that_is_away_is_told_once_and_gets_everything_once_when_it_is_back(tmp_path, sandbox, fault):
    line = Beamline(tmp_path, sandbox)
    for number in range(COUNT):
        write_series(line.data / "px" / f"s{number}", f"lyso_{number}", 2, seed=number)
    write_run(line.data / "ms", "sample1")
    line.configure(RULES.format(data=line.data))
    if fault is None:
        sandbox.stop()
    else:
        sandbox.fault("/api/v1/*", fault, times=None, retry_after_s=0)

    def deliveries(to):
        return [one for data in line.status()["datasets"] for one in data["deliveries"] if one["destination"] == to]

    def away():
        return {one["name"]: one for one in line.status()["destinations"]}

    with line.start() as daemon:
        until(lambda: [one["state"] for one in deliveries("vault")] == ["delivered"] * COUNT)
        until(lambda: away().get("irrmc", {}).get("waiting") == COUNT)
        tried = sum(one["attempts"] for one in deliveries("irrmc"))
        asked = away()["irrmc"]["failures"]
        until(lambda: away()["irrmc"]["failures"] > asked + 1)
        said = away()["irrmc"]
        assert said["state"] == "away"
        assert said["reason"].startswith("irrmc is away: ")
        assert {one["error"].split(":")[0] for one in deliveries("irrmc")} == {"irrmc is away"}
        assert sum(one["attempts"] for one in deliveries("irrmc")) == tried, "it is asked, and nothing is sent"
        told = line.run("status").stdout
        assert told.count("irrmc is away: ") == 1
        assert told.count("the destination is away") >= COUNT
        assert "in vain, asked again" in told
        assert f"{COUNT} deliveries waiting" in told
        if fault is not None:
            until(lambda: deliveries("qc")[0]["state"] == "delivered", what="the other server goes on")
            assert sandbox.requests.get("POST /api/v1/upload/", 0) == 0
            sandbox.faults.clear()
        else:
            sandbox.start()
        until(lambda: [one["state"] for one in deliveries("irrmc")] == ["delivered"] * COUNT)
        until(lambda: deliveries("qc")[0]["state"] == "delivered")
        assert line.status()["destinations"] == []
        assert daemon.log.count("irrmc is away: ") == 1, daemon.log
        again = [row for row in daemon.log.splitlines() if "takes deliveries again" in row and "irrmc" in row]
        assert len(again) == 1, daemon.log
        assert "took_nothing_for" in again[0]
    assert len(sandbox.submissions) == COUNT
    assert sandbox.requests["POST /api/v1/upload/"] == COUNT


def test_until_idle_waits_for_a_server_that_is_away_and_retry_asks_it_at_once(tmp_path, sandbox):
    line = Beamline(tmp_path, sandbox)
    write_series(line.data / "px", "lyso_1", 2)
    (line.data / "ms").mkdir()
    line.configure(RULES.format(data=line.data))
    patient = line.config.read_text().replace(
        "poll_every: 300ms", "poll_every: 300ms, retry: {first: 200ms, longest: 1h}"
    )
    line.config.write_text(patient)
    sandbox.fault("/api/v1/*", "503", times=None, retry_after_s=3000)
    with line.start("--until-idle") as daemon:
        until(lambda: [one["state"] for one in line.status()["destinations"]] == ["away"])
        until(lambda: line.delivery_state("lyso_1", "vault") == "delivered")
        assert daemon.process.poll() is None
        sandbox.faults.clear()
        assert line.run("retry", "1", "--to", "irrmc").returncode == 0
        assert daemon.wait() == 0, daemon.log
    assert len(sandbox.submissions) == 1
