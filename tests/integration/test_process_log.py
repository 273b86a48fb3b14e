import json
import os
import socket
import subprocess
import sys

CHURN = """
import pathlib, sys, warnings
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer
from depositd.systemd import configure_logging
configure_logging()
observer = Observer()
observer.schedule(FileSystemEventHandler(), sys.argv[1], recursive=True)
observer.start()
for number in range(600):
    (pathlib.Path(sys.argv[1]) / str(number) / "a" / "b").mkdir(parents=True)
observer.stop()
observer.join()
# whether the churn above provokes the warning is a matter of luck; this is how it is raised
for number in range(600):
    text = f"Callback with id {number} already exists " + "x" * 1000
    warnings.warn_explicit(text, RuntimeWarning, "inotify.py", 365, module="watchdog.observers.inotify")
warnings.warn_explicit("of somebody else", RuntimeWarning, "other.py", 1, module="other")
"""


def test_a_busy_source_does_not_flood_the_log_with_watchdogs_warnings(tmp_path):
    outcome = subprocess.run(
        [sys.executable, "-W", "always", "-c", CHURN, str(tmp_path)],
        env=dict(os.environ),
        capture_output=True,
        check=True,
        timeout=60,
    )
    said = outcome.stdout + outcome.stderr
    assert b"Callback with id" not in said
    assert b"of somebody else" in said
    assert len(said) < 10_000


STRAYS = """
import threading, warnings
from depositd.systemd import capture_strays, configure_logging, register_secret
configure_logging()
capture_strays()
register_secret("stray-canary")
def work():
    raise RuntimeError("thread knows stray-canary\\nand forges lines")
thread = threading.Thread(target=work, name="worker-7")
thread.start()
thread.join()
warnings.warn("warning knows stray-canary")
raise RuntimeError("main knows stray-canary")
"""


def run(code, stderr=subprocess.PIPE, **environ):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=False,
        timeout=60,
    )


def test_uncaught_exceptions_and_warnings_are_logged_without_secrets():
    outcome = run(STRAYS)
    said = outcome.stderr.decode()
    assert outcome.returncode == 1
    assert outcome.stdout == b""
    assert "stray-canary" not in said
    assert "worker-7" in said
    assert said.count("knows [redacted]") >= 3
    assert not any(line.startswith("and forges") for line in said.splitlines())


def test_under_the_journal_each_line_is_json_behind_its_level():
    """A socket stands in for journald's; only the one that JOURNAL_STREAM names counts."""
    code = "from depositd.systemd import *; configure_logging(); get_logger('x').error('it', n=1)"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        run(code, stderr=theirs, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
        run(code, stderr=theirs, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino + 1}")
        ours.settimeout(5)
        journal, other = ours.recv(65536).decode().splitlines()
    assert journal.startswith("<3>{")
    assert json.loads(journal[3:])["event"] == "it"
    assert not other.startswith(("<", "{"))
