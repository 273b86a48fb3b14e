"""What a step needs of the outside: the clock, chance, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from depositd.journal import Pause
from depositd.systemd import redact


@dataclass(frozen=True, slots=True)
class Tools:
    """What a step needs of the outside.

    ``progress`` is called with (done, total) bytes and may raise :class:`~depositd.engine.interrupt.Interrupted`;
    ``chance`` in [0, 1) sets the jitter of a retry; ``unforeseen`` hears of errors that nobody thought of, ``paused``
    of a destination that takes nothing any more, once.  ``monotonic`` measures how long a send takes.
    """

    progress: Callable[[int, int], None]
    clock: Callable[[], datetime]
    chance: float
    unforeseen: Callable[[Exception], None]
    paused: Callable[[Pause], None]
    monotonic: Callable[[], float] = time.monotonic


def unforeseen_sentence(error: Exception) -> str:
    """Return an error that nobody thought of as it may be kept: its text can hold anything, a request's headers too."""
    return redact(f"unforeseen {type(error).__name__}: {error}")
