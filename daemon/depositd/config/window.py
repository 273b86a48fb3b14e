"""A time of day in which a destination may be sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from depositd.config.wording import quoted

_WINDOW = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)
_RIGHT = "from and to in local time, such as 20:00-06:00"


@dataclass(frozen=True, slots=True)
class Window:
    """From ``opens`` until just before ``closes``, local time; over midnight where it closes earlier than it opens."""

    opens: time
    closes: time

    def open_at(self, local: time) -> bool:
        """Say whether the window is open at a local time of day."""
        if self.opens < self.closes:
            return self.opens <= local < self.closes
        return local >= self.opens or local < self.closes

    def opens_in_s(self, now_local: datetime) -> float:
        """Return the seconds until the window opens, 0 while it is open.

        The clock on the wall is counted, so a change to or from summer time in between shifts the answer by its hour;
        whoever waits asks again when the time has passed.
        """
        now = now_local.replace(tzinfo=None)
        if self.open_at(now.time()):
            return 0.0
        opening = datetime.combine(now.date(), self.opens)
        if opening <= now:
            opening += timedelta(days=1)
        return (opening - now).total_seconds()

    def after_s(self, now_local: datetime, work_s: float) -> float:
        """Return the seconds after which ``work_s`` seconds of work are done, if it rests while the window is closed.

        The clock on the wall is counted, as by :meth:`opens_in_s`.
        """
        now = now_local.replace(tzinfo=None)
        wait_s = self.opens_in_s(now)
        begins = now + timedelta(seconds=wait_s)
        closing = datetime.combine(begins.date(), self.closes)
        if closing <= begins:
            closing += timedelta(days=1)
        first_s = (closing - begins).total_seconds()
        if work_s <= first_s:
            return wait_s + work_s
        day_s = timedelta(days=1).total_seconds()
        length_s = (datetime.combine(now, self.closes) - datetime.combine(now, self.opens)).total_seconds() % day_s
        days, rest_s = divmod(work_s - first_s, length_s)
        if rest_s == 0:  # done when a window closes, not when the next one opens
            days, rest_s = days - 1, length_s
        return wait_s + first_s + (days + 1) * day_s - length_s + rest_s

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"


def parse_window(text: str) -> Window:
    """Return the window of ``20:00-06:00``; raises ValueError with what would be right."""
    match = _WINDOW.fullmatch(text.strip())
    opens_h, opens_min, closes_h, closes_min = map(int, match.groups()) if match else (24, 0, 24, 0)
    if opens_h == 24 or (closes_h == 24 and closes_min):
        raise ValueError(f"{quoted(text)} is not a window ({_RIGHT})")
    window = Window(time(opens_h, opens_min), time(closes_h % 24, closes_min))
    if window.opens == window.closes:
        raise ValueError(f"{quoted(text)} has no length ({_RIGHT})")
    return window
