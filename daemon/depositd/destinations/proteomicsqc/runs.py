"""Which runs of a name are there, and whether one of them is new: decided on what was seen before and after a send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depositd.destinations.proteomicsqc.records import QcRun

RECENT_RUNS = 1000
"""How many of the most recent processed runs are looked through for ours."""


@dataclass(frozen=True, slots=True)
class Known:
    """The runs of one name: keys of the processed ones, and the rows on the page; None where neither can be seen.

    ``unkeyed`` are processed runs of a server that gives no keys, ``others`` those that somebody else uploaded.
    ``delivered_before`` is the engine's note of how many files of that name we delivered lately.
    """

    keys: tuple[str, ...] | None = None
    unkeyed: int = 0
    others: int = 0
    rows: int | None = None
    status: str | None = None
    delivered_before: int = 0

    @property
    def yet_to_be_shown(self) -> int:
        """How many runs at most were there already, and may be shown by ``qc-data`` only later."""
        return max(self.delivered_before, (self.rows or 0) - self.processed)

    @property
    def processed(self) -> int:
        """How many runs ``qc-data`` shows, whoever uploaded them."""
        return len(self.keys or ()) + self.unkeyed + self.others

    @property
    def ours(self) -> int:
        """How many runs may be ours: on the page, which does not tell whose they are, or processed."""
        return max(len(self.keys or ()) + self.unkeyed, (self.rows or 0) - self.others)

    @property
    def takes_no_other(self) -> bool:
        """True where a server that takes each name once has it already: processed, or on the page."""
        return bool(self.processed or self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return what is noted before a file is sent."""
        return {
            "keys": None if self.keys is None else list(self.keys),
            "unkeyed": self.unkeyed,
            "others": self.others,
            "rows": self.rows,
        }

    @classmethod
    def of_json(cls, baseline: Mapping[str, Any]) -> Known:
        """Return what was noted."""
        keys = baseline.get("keys")
        return cls(
            keys=None if keys is None else tuple(keys),
            unkeyed=int(baseline.get("unkeyed") or 0),
            others=int(baseline.get("others") or 0),
            rows=baseline.get("rows"),
            delivered_before=int(baseline.get("delivered_before") or 0),
        )


def arrived(before: Known, now: Known) -> bool:
    """Say whether a run came after the baseline was noted.

    Where the page was seen both times it alone decides, for it shows every run at once.  A run that was waiting to be
    processed when we noted the baseline is shown by ``qc-data`` later, and must not be taken for ours: there must be
    more new ones than such.
    """
    if before.rows is not None and now.rows is not None:
        return now.rows > before.rows
    if not comparable(before, now):
        return False
    # a server that learns to give keys gives them to old runs, too
    return len(new_keys(before, now)) + now.unkeyed - before.unkeyed > before.yet_to_be_shown


def comparable(before: Known, now: Known) -> bool:
    """True where one of the two lists was seen both times."""
    seen_keys = before.keys is not None and now.keys is not None
    return seen_keys or (before.rows is not None and now.rows is not None)


def new_keys(before: Known, now: Known) -> list[str]:
    """Return the keys that were not there before, newest first."""
    fresh = list((Counter(now.keys or ()) - Counter(before.keys or ())).elements())
    return sorted(fresh, key=lambda key: (len(key), key), reverse=True)


def own_key(before: Known, now: Known) -> str | None:
    """Return the key of our run, the newest; None while it may still be that of an older run of the same name."""
    fresh = new_keys(before, now)
    return fresh[0] if len(fresh) == before.yet_to_be_shown + 1 else None


def may_be_ours(run: QcRun, username: str | None) -> bool:
    """Leave out what somebody else uploaded under the same name, where both names are known."""
    if not username or not run.uploader or "@" not in run.uploader:
        return True
    return run.uploader.lower() == username.lower()
