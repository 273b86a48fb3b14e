"""Readiness, status and watchdog pings for systemd, and silence where nobody supervises us.

The protocol is that of ``sd_notify(3)``: one datagram of ``KEY=VALUE`` lines to ``$NOTIFY_SOCKET``.
systemd-python sends it where it is installed; otherwise a few lines of our own do, because a unit of
``Type=notify`` that never hears ``READY=1`` never starts.  A message that cannot be sent is logged once
and never ends the daemon.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from depositd.portable import local_datagrams
from depositd.systemd.logs import get_logger
from depositd.systemd.redaction import redact
from depositd.units import printable

STATUS_LENGTH = 300
"""Characters of a status line; ``systemctl status`` shows it on one."""

SEND_TIMEOUT_S = 5.0
"""Seconds that our own sender waits for a supervisor whose queue is full."""

Send = Callable[[str], object]
"""Sends one message of ``KEY=VALUE`` lines to the supervisor; raises OSError where it cannot."""

log = get_logger(__name__)


class Supervisor(Protocol):
    """Whoever started us and wants to know how we are."""

    def notify(
        self,
        *,
        ready: bool = False,
        status: str | None = None,
        stopping: bool = False,
        reloading: bool = False,
        watchdog: bool = False,
        extend_timeout_s: float | None = None,
    ) -> None:
        """Tell the supervisor any of: ready, a status sentence, stopping, reloading, alive, more time needed."""


class SystemdSupervisor:
    """systemd, or whoever else speaks its protocol on ``$NOTIFY_SOCKET``.

    ``monotonic_ns`` is CLOCK_MONOTONIC, which systemd compares with its own.
    """

    def __init__(self, send: Send, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._send = send
        self._monotonic_ns = monotonic_ns
        self._failing = False

    def notify(
        self,
        *,
        ready: bool = False,
        status: str | None = None,
        stopping: bool = False,
        reloading: bool = False,
        watchdog: bool = False,
        extend_timeout_s: float | None = None,
    ) -> None:
        """Send all that is asked for in one datagram; a failure is logged when it begins."""
        lines = []
        if reloading:
            lines += ["RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}"]
        if ready:
            lines.append("READY=1")
        if stopping:
            lines.append("STOPPING=1")
        if status is not None:
            lines.append(f"STATUS={status_text(status)}")
        if watchdog:
            lines.append("WATCHDOG=1")
        if extend_timeout_s is not None:
            lines.append(f"EXTEND_TIMEOUT_USEC={max(round(extend_timeout_s * 1e6), 1)}")
        if lines:
            self._deliver("\n".join(lines))

    def _deliver(self, message: str) -> None:
        try:
            self._send(message)
        except OSError as error:
            if not self._failing:
                log.warning("systemd cannot be told how we are, and may restart us", error=str(error))
            self._failing = True
        else:
            self._failing = False


class NoSupervisor(SystemdSupervisor):
    """Nobody supervises us: in a terminal, in a test, in a container."""

    def __init__(self) -> None:
        super().__init__(lambda _message: None)


def status_text(status: str) -> str:
    """Return a status as one bounded line that cannot be taken for anything else.

    systemd 252 takes a backslash for an escape: it drops it, at the end of a line it swallows the next line, and at
    the end of a message it refuses the whole message.  A sign that looks the same stands in for it.
    """
    return printable(redact(status), STATUS_LENGTH).replace("\\", "\N{SET MINUS}")


def find_supervisor(environ: Mapping[str, str] = os.environ) -> Supervisor:
    """Return systemd where ``$NOTIFY_SOCKET`` names it, otherwise nobody."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return NoSupervisor()
    return SystemdSupervisor(library_sender() or own_sender(address))


def library_sender() -> Send | None:
    """Return the sender of systemd-python, which reads ``$NOTIFY_SOCKET`` itself; None (and a log line) without it."""
    try:
        daemon = importlib.import_module("systemd.daemon")
    except ImportError:
        log.info("systemd-python is not installed (the extra 'systemd'); a small sender of our own stands in for it")
        return None
    send: Send = daemon.notify
    return send


def own_sender(address: str) -> Send:
    """Return a sender of datagrams to the AF_UNIX socket ``address``; ``@`` begins an abstract name."""
    name = "\0" + address[1:] if address.startswith("@") else address

    def send(message: str) -> None:
        with local_datagrams() as channel:
            channel.settimeout(SEND_TIMEOUT_S)
            channel.sendto(message.encode(), name)

    return send


def watchdog_interval_s(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return the seconds between two watchdog pings, None where systemd asks for none.

    It is half of ``WATCHDOG_USEC``, as ``sd_watchdog_enabled(3)`` recommends.  A ``WATCHDOG_PID`` other
    than ``pid`` (default: this process) means that the environment was inherited and another is asked.
    """
    wanted_pid = environ.get("WATCHDOG_PID")
    if wanted_pid is not None and wanted_pid != str(os.getpid() if pid is None else pid):
        return None
    budget_us = environ.get("WATCHDOG_USEC", "")
    if not (budget_us.isascii() and budget_us.isdigit()) or int(budget_us) == 0:
        return None
    return int(budget_us) / 2e6
