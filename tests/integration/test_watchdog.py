"""What the watchdog asks of real threads, and what the wait for a real server tells it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from depositd.destinations.body import Body, FilePart
from depositd.destinations.http import LONGEST_CONNECT_S, Session, in_turn, read_timeout_s
from depositd.errors import RemoteError
from depositd.formats.hdf5_reader import Reader
from depositd.sandbox import running
from depositd.service.threads import is_in, stack_of, waits_for_files

SUPPORT = Path(__file__).parents[1] / "support"
ON_A_GONE_SERVER = """
import sys, threading, time, os
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from gone_file_server import mount
from depositd.service.threads import waits_for_files
device = mount(sys.argv[1])
def ask():
    try:
        os.listdir(sys.argv[1])
    except OSError:
        pass
asks = threading.Thread(target=ask)
asks.start()
for _ in range(200):
    if waits_for_files(asks):
        break
    time.sleep(0.05)
print(waits_for_files(asks))
os.close(device)
asks.join(20)
print(asks.is_alive())
"""


def blocked(work, *arguments):
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    deadline_s = time.monotonic() + 20
    while "S" not in Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return thread


@pytest.mark.fault(35)
def test_a_thread_that_waits_for_a_lock_a_pipe_or_a_child_is_not_taken_for_one_at_a_disk():
    lock = threading.Lock()
    lock.acquire()
    reads, writes = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    waiting = [blocked(lock.acquire), blocked(os.read, reads, 1), blocked(child.wait)]
    assert [waits_for_files(thread) for thread in waiting] == [False] * 3
    lock.release()
    os.write(writes, b"x")
    assert child.stdin is not None
    child.stdin.close()
    for thread in waiting:
        thread.join(20)
        assert not thread.is_alive()
    os.close(reads)
    os.close(writes)
    assert not waits_for_files(waiting[0])  # it has ended


@pytest.mark.fuse
@pytest.mark.fault(35)
def test_a_thread_that_waits_for_a_file_server_that_is_gone_is_known_as_such(tmp_path):
    command = ["unshare", "--mount", "--propagation", "private", "--"]
    command += [sys.executable, "-c", ON_A_GONE_SERVER, str(tmp_path), str(SUPPORT)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert told.stdout.split() == ["True", "False"], told.stderr


def test_a_stack_names_places_and_no_values():
    line: queue.SimpleQueue[str] = queue.SimpleQueue()

    def waits_with(secret):
        assert line.get(timeout=20) == secret

    thread = blocked(waits_with, "value-canary")
    where = stack_of(thread)
    assert "waits_with" in where
    assert "value-canary" not in where
    assert is_in(thread, __name__)
    assert not is_in(thread, "depositd.journal")
    line.put("value-canary")
    thread.join(20)
    assert stack_of(thread) == "(it has ended)"


@pytest.mark.fault(35)
def test_the_wait_for_an_answer_is_told_with_its_exact_limit_when_it_begins():
    told: list[tuple[str, float]] = []
    with running() as box, tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 3_000_000)
        file.flush()
        session = Session(box.pdi_url, insecure_http=True, on_wait=lambda longest_s: told.append(("wait", longest_s)))
        with pytest.raises(RemoteError):
            session.request("GET", "submissions/", expected=(200,))
        assert told == [("wait", LONGEST_CONNECT_S + read_timeout_s(0))]
        told.clear()
        body = Body.multipart(
            [], "dataset_file", FilePart.of_path(file.name), on_progress=lambda done, _all: told.append(("sent", done))
        )
        with pytest.raises(RemoteError):
            session.request("POST", "upload/", expected=(201,), body=body)
        session.close()
    assert told[0] == ("wait", LONGEST_CONNECT_S)
    assert told[-1] == ("wait", read_timeout_s(len(body)))
    assert told[-2] == ("sent", 3_000_000)
    assert [what for what, _ in told].count("wait") == 2


def test_who_waits_for_another_says_so_until_it_is_his_turn():
    lock, told = threading.Lock(), []
    with lock:

        def takes_a_turn():
            with in_turn(lock, told.append, 0.02):
                told.append("had it")

        thread = threading.Thread(target=takes_a_turn)
        thread.start()
        deadline_s = time.monotonic() + 20
        while len(told) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    thread.join(20)
    assert told[0] == 0.02
    assert told[-1] == "had it"
    assert not lock.locked()


@pytest.mark.fault(35)
def test_a_reader_of_hdf5_files_that_is_stopped_is_given_up_ended_and_replaced(tmp_path):
    path = tmp_path / "no.h5"
    path.write_bytes(b"no HDF5")
    reader = Reader(longest_s=30.0)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        first = reader.ask(descriptor, "data")
        assert first.problem
        assert "cannot be read as HDF5" in first.problem
        stopped = reader._child
        assert stopped is not None
        os.kill(stopped.pid, signal.SIGSTOP)
        assert reader._link is not None
        reader._link.settimeout(0.3)
        asked = reader.ask(descriptor, "data")
        assert asked.retry
        assert asked.problem
        assert "could not be read within" in asked.problem
        assert stopped.returncode == -signal.SIGKILL
        assert reader.ask(descriptor, "data").problem == first.problem
    finally:
        os.close(descriptor)
        reader.close()
