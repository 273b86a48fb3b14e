"""When a message is sent: the first at once, then at most one in a while, and again where it was not taken.

One thread of its own sends; telling it something costs a lock and never waits for a network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from depositd.config import NewsKind
from depositd.errors import DepositdError
from depositd.notify.bundle import Message, Notice, message_of
from depositd.retry import RetryPolicy, wait_s

MOST_WAITING = 500
"""Notices that wait for one target; of more only their number is told."""
RETRIES = RetryPolicy(first_s=30.0, longest_s=600.0)
MOST_ATTEMPTS = 5
"""Attempts for one message; what nobody takes within about half an hour is in ``depositd status`` all the same."""
COMPLAIN_EVERY_S = 3600.0
_IDLE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Target:
    """Who is told: ``name`` is how messages of ours call it (never its URL), ``send`` raises where it was not taken."""

    name: str
    on: tuple[NewsKind, ...]
    at_most_every_s: float
    send: Callable[[Message], None]


@dataclass(slots=True)
class Outbox:
    """What waits for one target, and when it may go; times are of a monotonic clock."""

    target: Target
    waiting: list[Notice] = field(default_factory=list)
    left_out: int = 0
    attempts: int = 0
    next_s: float = float("-inf")
    complained_s: float = float("-inf")

    def add(self, notice: Notice) -> None:
        """Keep a notice, or its number where too many wait."""
        if notice.kind not in self.target.on:
            return
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append(notice)
        else:
            self.left_out += 1

    def due_in_s(self, now_s: float) -> float | None:
        """Return how long until something can be sent, None where nothing waits."""
        return max(self.next_s - now_s, 0.0) if self.waiting else None

    def taken(self, count: int, left_out: int, now_s: float) -> None:
        """Forget what was sent; the next one waits its time."""
        del self.waiting[:count]
        self.left_out -= left_out
        self.attempts = 0
        self.next_s = now_s + self.target.at_most_every_s

    def refused(self, count: int, left_out: int, now_s: float) -> bool:
        """Try again later; True where it is given up."""
        self.attempts += 1
        if self.attempts >= MOST_ATTEMPTS:
            self.taken(count, left_out, now_s)
            return True
        self.next_s = now_s + wait_s(RETRIES, self.attempts, 0.5)
        return False

    def may_complain(self, now_s: float) -> bool:
        """Say whether a failure is to be logged: once in an hour."""
        if now_s - self.complained_s < COMPLAIN_EVERY_S:
            return False
        self.complained_s = now_s
        return True


class Notifier:
    """Tells the targets; ``complain`` is called with a sentence and a hint where one of them cannot be told."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        host: str,
        complain: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._complain = complain
        self._clock = clock
        self._changed = threading.Condition()
        self._stopping = False
        self._outboxes = [Outbox(target) for target in targets]
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def tell(self, notices: Sequence[Notice]) -> None:
        """Let the targets know; returns at once."""
        with self._changed:
            for notice in notices:
                for outbox in self._outboxes:
                    outbox.add(notice)
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """Send what waits, without waiting for its time, and end; gives up after ``timeout_s``."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def send_due(self, *, at_once: bool = False) -> None:
        """Send what is due to each target; ``at_once`` sends what waits for its time as well."""
        for outbox in self._outboxes:
            with self._changed:
                due_s = outbox.due_in_s(self._clock())
                if due_s is None or (due_s > 0 and not at_once):
                    continue
                notices, left_out = list(outbox.waiting), outbox.left_out
            self._send(outbox, notices, left_out)

    def _send(self, outbox: Outbox, notices: Sequence[Notice], left_out: int) -> None:
        count = len(notices)
        try:
            outbox.target.send(message_of(notices, self._host, left_out))
        except Exception as error:  # noqa: BLE001 - whatever a service's library does, the next message is sent
            self._not_taken(outbox, error, count, left_out)
        else:
            with self._changed:
                outbox.taken(count, left_out, self._clock())

    def _not_taken(self, outbox: Outbox, error: Exception, count: int, left_out: int) -> None:
        with self._changed:
            is_over = outbox.refused(count, left_out, self._clock())
            may_complain = outbox.may_complain(self._clock())
        if may_complain:
            # what a library says may contain the URL: only our own sentences are repeated
            why = str(error) if isinstance(error, DepositdError) else f"unforeseen {type(error).__name__}"
            hint = error.hint if isinstance(error, DepositdError) else "please report it"
            what = "is given up after several attempts" if is_over else "is tried again"
            self._complain(f"a notification to {outbox.target.name} {what}: {why}", hint)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._stopping:
                    self._changed.wait(self._wait_s())
                stopping = self._stopping
            self.send_due(at_once=stopping)
            if stopping:
                return

    def _wait_s(self) -> float:
        now_s = self._clock()
        waits = [due_s for outbox in self._outboxes if (due_s := outbox.due_in_s(now_s)) is not None]
        return min([*waits, _IDLE_S])
