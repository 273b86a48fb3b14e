"""Where one series of numbered frames is several datasets: other numbering, other settings, an earlier acquisition.

A prefix is not an acquisition.  Frames whose settings differ (wavelength, detector, distance, increment …) belong to
different datasets, which the diffraction server would refuse in one archive as ``inconsistent_datasets``; frames that
are dated before the first one are what is left of an acquisition that was begun again under the same name.

One frame that disagrees in the middle of a series is no dataset: the series is left whole, and judged corrupt.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from depositd.formats import series
from depositd.model import Dataset, FileStat, Part, Probe
from depositd.units import show_count

_SEPARATOR = "\0"


class Numbered(NamedTuple):
    """A frame by its name: ``width`` is the number of its digits, ``padded`` where they begin with a zero."""

    number: int
    width: int
    padded: bool
    file: FileStat


@dataclass(slots=True)
class _Piece:
    """Frames that belong together; ``suffix`` makes the key, ``why`` the sentence."""

    frames: list[Numbered]
    suffix: str = ""
    name: str = ""
    why: str = ""
    remains: bool = False


def pieces(dataset: Dataset, frames: Iterable[Numbered], probes: Mapping[str, Probe]) -> list[Dataset]:
    """Return the datasets that a series is; the first one keeps the series' name and key."""
    found: list[_Piece] = []
    whole: list[list[Numbered]] = []
    for by_width in _widths(list(frames)):
        in_order = _in_order(by_width.frames)
        whole.append(in_order)
        by_width.frames = in_order
        for piece in _settings(by_width, probes):
            found += _acquisitions(piece, probes)
    if len(found) == 1:
        return [replace(dataset, files=tuple(frame.file for frame in found[0].frames))]
    missing = [gap for frames_ in whole for gap in _gaps(frames_)]
    return [_part(dataset, piece, rank, missing) for rank, piece in enumerate(found)]


def _part(dataset: Dataset, piece: _Piece, rank: int, gaps: Sequence[tuple[str, int, int]]) -> Dataset:
    mine = {frame.file.path for frame in piece.frames}
    missing: list[int] = []
    total = 0
    for path, first, last in gaps:
        if path in mine:
            total += last - first + 1
            missing.extend(range(first, min(last + 1, first + series.MOST_MISSING - len(missing))))
    part = Part(piece.why, tuple(missing), total, piece.remains)
    name = f"{dataset.name}{piece.name or (f'-{rank + 1}' if rank else '')}"
    files = tuple(frame.file for frame in piece.frames)
    return replace(dataset, name=name, key=dataset.key + piece.suffix, files=files, part=part)


def _gaps(frames: Sequence[Numbered]) -> list[tuple[str, int, int]]:
    """Return the holes between frames: the path of the frame before, the first and the last number that is absent."""
    numbers = series.unwrapped([frame.number for frame in frames], frames[0].width if frames else 0)
    return [
        (frame.file.path, before + 1, after - 1)
        for frame, (before, after) in zip(frames, itertools.pairwise(numbers), strict=False)
        if after - before > 1
    ]


# --- numbering --------------------------------------------------------------------------------------------------


def _widths(frames: list[Numbered]) -> list[_Piece]:
    """Split by padded width, 0 being "not padded"; a full-width number belongs to the padded series it continues."""
    widths = sorted({frame.width for frame in frames if frame.padded}, reverse=True)
    split: dict[int, list[Numbered]] = defaultdict(list)
    for frame in frames:
        fitting = frame.width if frame.padded else next((width for width in widths if width <= frame.width), 0)
        split[fitting].append(frame)
    if len(split) == 1:
        return [_Piece(frames)]
    first = max(split)
    found = []
    for width in sorted(split, reverse=True):
        digits = show_count(width, "digit") if width else "as many digits as it takes"
        why = f"its numbers are written with {digits}; others of the same prefix are not and are another dataset"
        found.append(_Piece(split[width], "" if width == first else f"{_SEPARATOR}{width} digits", why=why))
    return found


def _in_order(frames: list[Numbered]) -> list[Numbered]:
    """Sort by number; where the counter wrapped round (…9998, 9999, 0000, 0001…) the low numbers come last."""
    frames = sorted(frames, key=lambda frame: (frame.number, frame.file.path))
    width = frames[0].width
    if frames[0].number > 1 or frames[-1].number != 10**width - 1 or frames[0].width != frames[-1].width:
        return frames
    after_gap = max(range(1, len(frames)), key=lambda at: frames[at].number - frames[at - 1].number, default=0)
    low, high = frames[:after_gap], frames[after_gap:]
    if not low or not high or high[0].number - low[-1].number <= 1:
        return frames
    return high + low if low[0].file.mtime_ns >= high[-1].file.mtime_ns else frames


# --- settings ---------------------------------------------------------------------------------------------------


def _settings(piece: _Piece, probes: Mapping[str, Probe]) -> list[_Piece]:
    """Split where the headers tell of different settings."""
    classes = _Classes()
    members: list[int] = []
    for frame in piece.frames:
        probe = probes.get(frame.file.path)
        # what cannot be read belongs where it stands
        members.append(
            classes.of(probe.facts) if probe is not None and probe.facts else (members[-1] if members else 0)
        )
    counts = Counter(members)
    if len(counts) < 2 or _is_stray(members, counts):
        return [piece]
    first_of = {member: members.index(member) for member in counts}
    ranked = sorted(counts, key=first_of.__getitem__)
    base = ranked[0]
    found = []
    for member in ranked:
        other = base if member != base else ranked[1]
        key, called, here, there = classes.difference(member, other)
        at = piece.frames[first_of[other]].number
        why = f"{called} is {here} here, but {there} in frame {at}: {len(ranked)} datasets share this series"
        frames = [frame for frame, mine in zip(piece.frames, members, strict=True) if mine == member]
        suffix = "" if member == base else f"{_SEPARATOR}{key}={here}"
        found.append(_Piece(frames, piece.suffix + suffix, piece.name, why))
    return found


def _is_stray(members: Sequence[int], counts: Mapping[int, int]) -> bool:
    """Say whether a frame stands alone in the middle: one bad header, and no dataset."""
    return any(count == 1 and member not in (members[0], members[-1]) for member, count in counts.items())


class _Classes:
    """Settings that were met, each with the facts of the first frame that had them."""

    def __init__(self) -> None:
        self._first: list[dict[str, Any]] = []
        self._known: dict[int, tuple[Mapping[str, Any], int]] = {}

    def of(self, facts: Mapping[str, Any]) -> int:
        """Return the class of a frame's settings; a new one where they agree with none."""
        settings = series.settings_of(facts)
        known = self._known.get(id(settings))
        if known is not None:
            return known[1]
        found = next(
            (at for at, first in enumerate(self._first) if series.first_difference(first, settings) is None), -1
        )
        if found < 0:
            self._first.append(dict(settings))
            found = len(self._first) - 1
        else:
            self._first[found] = {**settings, **self._first[found]}
        self._known[id(settings)] = (settings, found)  # kept alive, so that its id stays its own
        return found

    def difference(self, one: int, other: int) -> tuple[str, str, str, str]:
        """Return the key of the first setting that differs, what people call it, and both values."""
        found = series.first_difference(self._first[one], self._first[other])
        assert found is not None
        return found


# --- acquisitions -----------------------------------------------------------------------------------------------


def _acquisitions(piece: _Piece, probes: Mapping[str, Probe]) -> list[_Piece]:
    """Split off what is left of an earlier acquisition: frames dated before the first one."""
    dates = [
        probe.facts.get("date") if (probe := probes.get(frame.file.path)) is not None else None
        for frame in piece.frames
    ]
    begun = next((date for date in dates if date is not None), None)
    old = [date is not None and begun is not None and series.is_before(date, begun) for date in dates]
    if not any(old):
        return [piece]
    kept = [frame for frame, is_old in zip(piece.frames, old, strict=True) if not is_old]
    left = [frame for frame, is_old in zip(piece.frames, old, strict=True) if is_old]
    said = f"{_numbers(left)} left from an acquisition before {begun}"
    again = f"{said} under the same name: it was begun again, and they are kept apart"
    now = _Piece(kept, piece.suffix, piece.name, "; ".join(filter(None, (piece.why, again))), piece.remains)
    remains = _Piece(
        left, f"{piece.suffix}{_SEPARATOR}remains", "-remains", f"{said}, which overwrote the others", True
    )
    return [now, remains]


def _numbers(frames: Sequence[Numbered]) -> str:
    if len(frames) == 1:
        return f"frame {frames[0].number} is"
    return f"{show_count(len(frames), 'frame')} ({frames[0].number} to {frames[-1].number}) are"
