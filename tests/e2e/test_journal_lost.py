"""The journal is lost in every way that we know: each dataset is at each destination exactly once all the same."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from beamline_support import Beamline, until, write_run, write_series

from depositd.sandbox.server import Sandbox

RULES = """
  - name: pilatus
    watch: {data}
    format: frames
    settle: 200ms
    metadata: {{set: {{pdb_code: 1ABC}}}}
    deliver: [{{to: irrmc, approve: auto}}, vault]
  - name: orbitrap
    watch: {runs}
    format: thermo-raw
    settle: 200ms
    deliver: [qc, vault]
"""


@pytest.fixture
def box():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def beamline(tmp_path, box):
    place = Beamline(tmp_path, box)
    (tmp_path / "runs").mkdir()
    place.configure(
        RULES.format(data=place.data, runs=tmp_path / "runs"),
        more="journal: {backup_every: 1h}\n",
    )
    text = place.config.read_text().replace("confirm_within: 20s", "confirm_within: 1s")
    place.config.write_text(text)
    return place


def states(beamline):
    """Return the states of all deliveries, by name and destination; none while there is no journal to be read."""
    query = "SELECT name, destination, v.state FROM deliveries AS v JOIN datasets AS d ON d.id = dataset_id"
    try:
        with closing(sqlite3.connect(f"file:{journal(beamline)}?mode=ro", uri=True)) as connection:
            return {(name.decode(), to): state for name, to, state in connection.execute(query)}
    except sqlite3.DatabaseError:
        return {}


def delivered_all(beamline):
    found = states(beamline)
    return len(found) >= 4 and set(found.values()) == {"delivered"}


def comes_to(beamline, name, destination, state):
    until(lambda: states(beamline).get((name, destination)) == state, 40, f"{name} to {destination} is {state}")


def first_night(beamline):
    """Deliver a series and a run everywhere, and kill the daemon; there is a backup of what was before."""
    write_series(beamline.data / "a", "lyso_1", 3)
    write_run(beamline.directory / "runs", "hela_1")
    with beamline.start() as daemon:
        until(lambda: delivered_all(beamline), 40, "all delivered")
        until(lambda: backups(beamline) != [], 10, "a backup")
        daemon.kill()


def backups(beamline):
    folder = beamline.state / "backups"
    return sorted(folder.glob("journal-*.db")) if folder.exists() else []


def journal(beamline):
    return beamline.state / "journal.db"


def what_is_there(beamline):
    """Return what each destination holds, each thing as often as it is there."""
    box = beamline.sandbox
    return {
        "vault": Counter(path.name for path in beamline.vault.iterdir() if not path.name.startswith(".")),
        "irrmc": Counter(one.md5 for one in box.submissions),
        "qc": Counter(one.name for one in box.runs),
        "posts": [box.requests.get(path, 0) for path in ("POST /api/v1/upload/", "POST /api/upload/raw")],
    }


def truncate(path):
    fold(path)
    os.truncate(path, 6000)


def flip_pages(path):
    fold(path)
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(255 - byte for byte in content[8192:])
    path.write_bytes(content)


def zero_header(path):
    fold(path)
    with path.open("r+b") as file:
        file.write(bytes(100))


def empty(path):
    os.truncate(path, 0)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def remove(path):
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def remove_log(path):
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()


def fold(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


DAMAGES = [truncate, flip_pages, zero_header, empty, remove, remove_log]


@pytest.mark.fault(27, 29)
@pytest.mark.parametrize("damages", [DAMAGES[:3], DAMAGES[3:]], ids=lambda some: "-".join(one.__name__ for one in some))
def test_a_journal_that_is_lost_is_made_anew_and_nothing_is_sent_twice(beamline, damages):
    first_night(beamline)
    before = what_is_there(beamline)
    for number, damage in enumerate(damages, 1):
        damage(journal(beamline))
        with beamline.start() as daemon:
            until(lambda: daemon.log.count("words given since") == number, 20, f"it says so after {damage}")  # noqa: B023 - called here
            until(lambda: delivered_all(beamline), 40, f"asked and adopted after {damage}")
            daemon.kill()
        assert what_is_there(beamline) == before, damage
        assert beamline.run("journal", "check").stdout.endswith("is sound\n"), damage
        told = beamline.run("status").stdout
        assert "destinations say" in told or "stands in its place" in told or "is gone on with" in told, told
    kept = [path for path in beamline.state.glob("journal.db.set-aside-*") if path.name.endswith("Z")]
    assert len(kept) == len(damages) - (remove in damages)


@pytest.mark.fault(29)
def test_a_daemon_whose_journal_is_damaged_ends_and_the_next_start_goes_on_with_a_sound_one(beamline):
    first_night(beamline)
    before = what_is_there(beamline)
    with beamline.start() as daemon:
        until(lambda: daemon.log.count("ready") == 2, 20, "it is ready again")
        flip_pages(journal(beamline))
        # systemd starts again what ends so (Restart=on-failure)
        assert daemon.wait(30) == 1
    write_series(beamline.data / "b", "new_1", 2, seed=9)
    with beamline.start() as daemon:
        comes_to(beamline, "new_1", "vault", "delivered")
        daemon.stop()
    assert what_is_there(beamline)["posts"] == before["posts"]
    assert beamline.run("journal", "check").stdout.endswith("is sound\n")


@pytest.mark.long
@pytest.mark.fault(29)
@pytest.mark.parametrize("way", ["rebuild", "restore"])
def test_by_hand_it_is_rebuilt_or_restored_and_nothing_is_sent_twice(beamline, way):
    first_night(beamline)
    before = what_is_there(beamline)
    remove(journal(beamline))
    journal(beamline).mkdir()
    refused = beamline.run("run", "--until-idle")
    assert refused.returncode == 1
    assert "is a directory" in refused.stderr
    done = beamline.run("journal", way, "--json")
    assert done.returncode == 0, done.stderr
    # what was never there is sent: the new series once it was asked for, and once
    write_series(beamline.data / "b", "new_1", 2, seed=9)
    with beamline.start() as daemon:
        comes_to(beamline, "new_1", "vault", "delivered")
        comes_to(beamline, "lyso_1", "irrmc", "delivered")
        comes_to(beamline, "hela_1", "qc", "delivered")
        # nobody can know any more whether somebody had skipped it, and that server publishes
        comes_to(beamline, "new_1", "irrmc", "held")
        assert "the journal was lost" in beamline.deliveries("new_1")["irrmc"]["error"]
        assert what_is_there(beamline)["posts"] == before["posts"]
        number = str(beamline.dataset("new_1")["id"])
        assert beamline.run("release", number).returncode == 0
        comes_to(beamline, "new_1", "irrmc", "delivered")
        write_series(beamline.data / "c", "later_1", 2, seed=11)
        comes_to(beamline, "later_1", "irrmc", "delivered")
        daemon.stop()
    after = what_is_there(beamline)
    assert after["vault"] == before["vault"] + Counter(["new_1.tar.zst", "later_1.tar.zst"])
    assert sum(after["irrmc"].values()) == 3
    assert after["qc"] == before["qc"]
    assert after["posts"] == [before["posts"][0] + 2, before["posts"][1]]


@pytest.mark.long
@pytest.mark.fault(29)
def test_a_run_that_the_server_does_not_show_is_held_and_not_sent(beamline):
    first_night(beamline)
    assert beamline.run("journal", "rebuild").returncode == 0
    write_run(beamline.directory / "runs", "unknown_1", scans=31)
    with beamline.start() as daemon:
        comes_to(beamline, "unknown_1", "qc", "held")
        said = beamline.deliveries("unknown_1")["qc"]
        assert "cannot be seen" in said["error"]
        assert beamline.sandbox.requests["POST /api/upload/raw"] == 1
        beamline.run("retry", str(beamline.dataset("unknown_1")["id"]), "--to", "qc")
        comes_to(beamline, "unknown_1", "qc", "delivered")
        daemon.stop()
    assert beamline.sandbox.requests["POST /api/upload/raw"] == 2


@pytest.mark.fault(29)
def test_commands_do_not_take_a_lost_journal_for_none(beamline):
    write_series(beamline.data / "a", "lyso_1", 3)
    beamline.run("run", "--until-idle")
    empty(journal(beamline))
    for command in (["status"], ["retry", "1"], ["submit", str(beamline.data / "a"), "--to", "vault"]):
        refused = beamline.run(*command)
        assert refused.returncode == 1, command
        assert "is empty, and there was one" in refused.stderr
        assert "journal restore" in refused.stderr
    assert journal(beamline).stat().st_size == 0


@pytest.mark.fault(29)
def test_a_journal_that_is_lost_again_and_again_waits_for_somebody(beamline):
    beamline.run("run", "--until-idle")
    for number in range(5):
        (beamline.state / f"journal.db.set-aside-2026112{number}T000000Z").touch()
    zero_header(journal(beamline))
    content = journal(beamline).read_bytes()
    refused = beamline.run("run", "--until-idle")
    assert refused.returncode == 1
    assert "was lost 5 times" in refused.stderr
    assert "check the disk" in refused.stderr
    assert journal(beamline).read_bytes() == content


@pytest.mark.fault(29)
def test_a_daemon_that_runs_keeps_its_journal(beamline):
    write_series(beamline.data / "a", "lyso_1", 3)
    with beamline.start() as daemon:
        comes_to(beamline, "lyso_1", "vault", "delivered")
        for way in ("rebuild", "restore"):
            refused = beamline.run("journal", way)
            assert refused.returncode == 1
            assert f"pid {daemon.process.pid}" in refused.stderr
        daemon.stop()
    assert not list(beamline.state.glob("*.set-aside-*"))
