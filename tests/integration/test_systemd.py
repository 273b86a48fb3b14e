import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from depositd.systemd.notify import (
    NoSupervisor,
    SystemdSupervisor,
    find_supervisor,
    library_sender,
    own_sender,
    watchdog_interval_s,
)
from depositd.systemd.redaction import register_secret


@pytest.fixture
def manager(tmp_path):
    """What systemd has at the other end: a datagram socket; its path is short enough for sun_path."""
    path = os.path.relpath(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(5)
        yield channel


def test_one_datagram_says_all(manager):
    supervisor = SystemdSupervisor(own_sender(manager.getsockname()), monotonic_ns=lambda: 123_456_789)
    supervisor.notify(ready=True, status="watching 3 sources", watchdog=True)
    assert manager.recv(4096) == b"READY=1\nSTATUS=watching 3 sources\nWATCHDOG=1"
    supervisor.notify(reloading=True)
    assert manager.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=123456"
    supervisor.notify(stopping=True, extend_timeout_s=30)
    assert manager.recv(4096) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000"


def test_nothing_to_say_sends_nothing(manager):
    supervisor = SystemdSupervisor(own_sender(manager.getsockname()))
    supervisor.notify()
    supervisor.notify(watchdog=True)
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_status_cannot_smuggle_in_other_words(manager):
    register_secret("status-canary-1")
    supervisor = SystemdSupervisor(own_sender(manager.getsockname()))
    supervisor.notify(status="archiving a\nWATCHDOG=1\udcff with status-canary-1 " + "x" * 10_000)
    message = manager.recv(65536).decode()
    assert message.startswith("STATUS=archiving a\N{SET MINUS}nWATCHDOG=1\N{SET MINUS}xff with [redacted]")
    assert "\n" not in message
    assert len(message) <= 310


def test_an_abstract_address_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("")  # the kernel chooses a free abstract name
        channel.settimeout(5)
        name = channel.getsockname().decode().replace("\0", "@", 1)
        own_sender(name)("READY=1")
        assert channel.recv(100) == b"READY=1"


def test_a_supervisor_that_went_away_does_not_end_the_daemon(tmp_path):
    supervisor = SystemdSupervisor(own_sender(str(tmp_path / "nobody")))
    with capture_logs() as events:
        supervisor.notify(ready=True)
        supervisor.notify(watchdog=True)
    assert [event["event"] for event in events] == ["systemd cannot be told how we are, and may restart us"]


def test_without_a_socket_nobody_is_told():
    supervisor = find_supervisor({})
    assert isinstance(supervisor, NoSupervisor)
    supervisor.notify(ready=True, status="x", stopping=True, reloading=True, watchdog=True, extend_timeout_s=1)


def run_notifier(address, *, with_library):
    """Notify from a fresh interpreter, as a service would; without the library by hiding it from the import."""
    hide = "" if with_library else "sys.modules['systemd'] = None; sys.modules['systemd.daemon'] = None;"
    code = f"import sys; {hide} from depositd.systemd import find_supervisor; find_supervisor().notify(ready=True)"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NOTIFY_SOCKET": address},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_without_systemd_python_the_service_still_becomes_ready_and_says_so(manager):
    outcome = run_notifier(manager.getsockname(), with_library=False)
    assert manager.recv(100) == b"READY=1"
    assert "systemd-python is not installed" in outcome.stdout + outcome.stderr


def test_the_installed_library_is_used_where_there_is_one(manager):
    """Where the extra is installed, it must be what sends; where not, None and our own sender."""
    installed = importlib.util.find_spec("systemd.daemon") is not None if importlib.util.find_spec("systemd") else False
    assert (library_sender() is not None) == installed
    outcome = run_notifier(str(Path(manager.getsockname()).resolve()), with_library=True)
    assert manager.recv(100) == b"READY=1"
    assert ("systemd-python is not installed" in outcome.stdout + outcome.stderr) == (not installed)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "180000000"}, 90.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "42"}, 90.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_answered_twice_per_budget(environ, expected):
    assert watchdog_interval_s(environ, pid=42) == expected
