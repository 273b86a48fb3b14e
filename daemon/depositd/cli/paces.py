"""How fast transfers go, as several looks at the journal's progress tell; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depositd.journal import Progress

WINDOW_S = 10.0
"""A rate is that of the last seconds: long enough to be calm, short enough to show that something became slow."""
STILL_AFTER_S = 20.0
"""A transfer that has not moved for this long is said to stand still, instead of a rate that no longer means much."""


class Paces:
    """Remembers the transfers of the looks before, as long as they go on."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}

    def look(self, transfers: Iterable[Progress], now: datetime) -> list[dict[str, Any]]:
        """Return the transfers as ``status --json`` has them, with what is known of their pace.

        ``rate_bytes_per_s`` and ``left_s`` (seconds to the end at that rate) are there from the second progress on,
        ``still_s`` (seconds) only where it has not moved for :data:`STILL_AFTER_S`.
        """
        courses: dict[str, _Course] = {}
        for transfer in transfers:
            course = self._courses.get(transfer.subject)
            if course is None or transfer.done_bytes < course.last.done_bytes:  # begun, or begun again
                course = _Course(transfer, deque([transfer]))
            course.saw(transfer)
            courses[transfer.subject] = course
        self._courses = courses
        return [course.json(now) for course in courses.values()]


@dataclass(slots=True)
class _Course:
    """How far one transfer was, and when: two points at least once there were two, and those of the window."""

    last: Progress
    points: deque[Progress]

    def saw(self, now: Progress) -> None:
        """Remember a point; one without progress is none, so that the last point says when it moved."""
        self.last = now
        if now.done_bytes > self.points[-1].done_bytes:
            self.points.append(now)
        # the first point is the last one that is older than the window
        while len(self.points) > 2 and (now.at - self.points[1].at).total_seconds() >= WINDOW_S:
            self.points.popleft()

    def json(self, now: datetime) -> dict[str, Any]:
        """Return how far it is, and its pace."""
        return {
            "subject": self.last.subject,
            "activity": self.last.activity,
            "done_bytes": self.last.done_bytes,
            "total_bytes": self.last.total_bytes,
            **self._pace(now),
        }

    def _pace(self, now: datetime) -> dict[str, float]:
        began, moved = self.points[0], self.points[-1]
        still_s = (now - moved.at).total_seconds()
        if still_s >= STILL_AFTER_S:
            return {"still_s": still_s}
        seconds = (moved.at - began.at).total_seconds()
        if seconds <= 0.0:  # one point, or a clock that was set back
            return {}
        rate = (moved.done_bytes - began.done_bytes) / seconds
        return {"rate_bytes_per_s": rate, "left_s": max(self.last.total_bytes - moved.done_bytes, 0) / rate}
