"""The real daemon in a process of its own: started, asked, killed, and told what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 15.0
TIMED_OUT = 124
"""The exit status that timeout(1) gives."""
COMMAND = (sys.executable, "-P", "-m", "depositd")


class Daemon:
    """One daemon after another on one config; safe between threads.

    ``is_up`` says whether it answers on its page: from then on it listens to signals.  ``ended_badly`` collects a
    sentence for each one that ended by itself, or not as it was told to.
    """

    def __init__(self, config: Path, log: Path, is_up: Callable[[], bool]) -> None:
        self.ended_badly: list[str] = []
        self._is_up = is_up
        self._config = config
        self._log = log
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        with self._lock:
            return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start it, without waiting for it."""
        command = [*COMMAND, "--config", str(self._config), "run", "--log-format", "plain"]
        with self._lock, self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def require_up(self) -> None:
        """Wait until it answers; raises RuntimeError with its log where it does not."""
        if not self._is_listening():
            raise RuntimeError(f"the daemon does not answer:\n{self._log.read_text(errors='replace')[-3000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def terminate(self) -> None:
        """Ask it to end, as systemd does, and see that it does."""
        with self._lock:
            if not self._is_listening() or self._process is None:
                return
            self._process.send_signal(signal.SIGTERM)
            try:
                status = self._process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.ended_badly.append(f"it did not stop within {STOPS_WITHIN_S:.0f} s")
                self.kill()
            else:
                if status:
                    self.ended_badly.append(f"it ended with exit status {status} when it was told to stop")

    def replace(self, *, killed: bool) -> None:
        """End it, as a power cut or as systemd does, and start another one."""
        with self._lock:
            (self.kill if killed else self.terminate)()
            self.start()

    def reload(self) -> None:
        """Let it read its config again."""
        with self._lock:
            if self._is_listening() and self._process is not None:
                self._process.send_signal(signal.SIGHUP)

    def _is_listening(self) -> bool:
        """Wait until it answers; before that, a signal would end it as it ends any program."""
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while self._process is not None and self._process.poll() is None:
            if self._is_up():
                return True
            if time.monotonic() > deadline_s:
                self.ended_badly.append(f"it did not answer within {STARTS_WITHIN_S:.0f} s of its start")
                return False
            time.sleep(0.1)
        return False

    def keep_alive(self) -> None:
        """Start it again where it has ended by itself, and remember that."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self.ended_badly.append(f"it ended by itself with exit status {self._process.returncode}")
                self.start()


def command(config: Path, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end; one that takes too long has the exit status TIMED_OUT."""
    line = [*COMMAND, "--config", str(config), *arguments]
    try:
        return subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, TIMED_OUT, "", f"it did not end within {timeout_s:.0f} s")
