"""Where one series of numbered frames is several datasets: other numbering, other settings, an earlier acquisition.

A prefix is not an acquisition.  Frames whose settings differ (wavelength, detector, distance, increment …) belong to
different datasets, which the diffraction server would refuse in one archive as ``inconsistent_datasets``; frames that
are dated before the first one are what is left of an acquisition that was begun again under the same name.

One frame that disagrees in the middle of a series is no dataset, and a hundred different settings are a scan (of the
energy, of the distance): such frames are left where they stand, and what holds them is judged corrupt.

A part's key is made of what is true of its own first frame, in comparison with the frames before it: it stays the same
while frames come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from depositd.formats import gaps, series
from depositd.formats.facts import date_of
from depositd.model import Dataset, FileStat, Part, Probe
from depositd.units import show_count

_SEPARATOR = "\0"
_MOST_SETTINGS = 100
_NARROWEST_COUNTER = 3
"""Digits of a counter that is believed to wrap round: 9 or 99 frames are a dataset of 9 or 99 frames."""


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
    missing: list[tuple[tuple[int, ...], int]] = []
    for by_width in _widths(list(frames)):
        by_width.frames = _in_order(by_width.frames)
        kept, *remains = _acquisitions(by_width, probes)
        parts = [*_settings(kept, probes), *remains]
        missing += _missing(by_width.frames, parts) if len(parts) > 1 else [_holes(by_width.frames)]
        found += parts
    if len(found) == 1:
        return [replace(dataset, files=tuple(frame.file for frame in found[0].frames))]
    names: set[str] = set()
    datasets = []
    for rank, (piece, (numbers, total)) in enumerate(zip(found, missing, strict=True)):
        name = f"{dataset.name}{piece.name or (f'-{rank + 1}' if rank else '')}"
        if name in names:
            name = f"{name}-{rank + 1}"
        names.add(name)
        files = tuple(frame.file for frame in piece.frames)
        part = Part(piece.why, numbers, total, piece.remains)
        datasets.append(replace(dataset, name=name, key=dataset.key + piece.suffix, files=files, part=part))
    return datasets


def _unwrapped(frames: Sequence[Numbered]) -> list[int]:
    return series.unwrapped([frame.number for frame in frames], frames[0].width)


def _holes(frames: Sequence[Numbered]) -> tuple[tuple[int, ...], int]:
    return series.missing_numbers(_unwrapped(frames))


def _missing(frames: Sequence[Numbered], parts: Sequence[_Piece]) -> list[tuple[tuple[int, ...], int]]:
    """Return what each part lacks of the numbers that are absent from all of them."""
    number_of = dict(zip((frame.file.path for frame in frames), _unwrapped(frames), strict=True))
    return gaps.shared_out([[number_of[frame.file.path] for frame in part.frames] for part in parts])


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
    # the first one keeps the key, also when frames of another width come later
    in_time = sorted(split, key=lambda width: (min(frame.file.mtime_ns for frame in split[width]), -width))
    first = in_time[0]
    found = []
    for width in in_time:
        digits = show_count(width, "digit") if width else "as many digits as it takes"
        why = f"its numbers are written with {digits}; others of the same prefix are not and are another dataset"
        found.append(_Piece(split[width], "" if width == first else f"{_SEPARATOR}{width} digits", why=why))
    return found


def _in_order(frames: list[Numbered]) -> list[Numbered]:
    """Sort by number; where the counter wrapped round (…9998, 9999, 0000, 0001…) the low numbers come last."""
    frames = sorted(frames, key=lambda frame: (frame.number, frame.file.path))
    width = frames[0].width
    is_full = frames[-1].number == 10**width - 1 and frames[-1].width == width
    if width < _NARROWEST_COUNTER or frames[0].number > 1 or not is_full:
        return frames
    after_gap = max(range(1, len(frames)), key=lambda at: frames[at].number - frames[at - 1].number, default=0)
    low, high = frames[:after_gap], frames[after_gap:]
    if not low or not high or high[0].number - low[-1].number <= 1:
        return frames
    # files that were copied in any order tell nothing: then what is absent is missing
    last_ns = max(frame.file.mtime_ns for frame in high)
    return high + low if min(frame.file.mtime_ns for frame in low) > last_ns else frames


# --- settings ---------------------------------------------------------------------------------------------------


def _settings(piece: _Piece, probes: Mapping[str, Probe]) -> list[_Piece]:
    """Split where the headers tell of different settings."""
    read = (probes[frame.file.path].facts for frame in piece.frames if frame.file.path in probes)
    if len({id(series.settings_of(said)) for said in read if said}) < 2:
        return [piece]
    classes = _Classes()
    members: list[int] = []
    for frame in piece.frames:
        probe = probes.get(frame.file.path)
        # what cannot be read belongs where it stands
        members.append(
            classes.of(probe.facts) if probe is not None and probe.facts else (members[-1] if members else 0)
        )
        if len(classes.differences) > _MOST_SETTINGS:
            return [piece]
    _put_back_strays(members)
    if len(set(members)) < 2:
        return [piece]
    by_class: dict[int, list[Numbered]] = defaultdict(list)
    for frame, member in zip(piece.frames, members, strict=True):
        by_class[member].append(frame)
    second = next(member for member in by_class if member)
    found = []
    for member, frames in by_class.items():
        difference = classes.differences[member or second]
        here, there = (difference.mine, difference.first) if member else (difference.first, difference.mine)
        at = by_class[0 if member else second][0].number
        shared = f"{len(by_class)} datasets share this series"
        why = f"{difference.called} is {here} here, but {there} in frame {at}: {shared}"
        why = "; ".join(filter(None, (why, piece.why)))
        suffix = f"{_SEPARATOR}{difference.key}={here}" if member else ""
        # others can differ from the first in the same, and from this one in something else
        same = classes.differences[1:member].count(difference)
        suffix += f" ({same + 1})" if same else ""
        found.append(_Piece(frames, piece.suffix + suffix, piece.name, why))
    return found


def _put_back_strays(members: list[int]) -> None:
    """Leave a frame that stands alone in the middle with the one before it: one bad header is no dataset."""
    counts = Counter(members)
    for at in range(1, len(members) - 1):
        if counts[members[at]] == 1 and members[at] != members[0]:
            members[at] = members[at - 1]


class _Difference(NamedTuple):
    """The first setting in which frames differ from those of the first class, and both values."""

    key: str
    called: str
    first: str
    mine: str


class _Classes:
    """Settings that were met, each with what its frames say of them, the first frame's word first.

    ``differences`` says of each class how its first frame differed from the very first class when it was met; that of
    the first class itself says nothing.
    """

    def __init__(self) -> None:
        self.differences: list[_Difference] = []
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
            difference = series.first_difference(self._first[0], settings) if self._first else ("", "", "", "")
            assert difference is not None
            self.differences.append(_Difference(*difference))
            self._first.append(dict(settings))
            found = len(self._first) - 1
        else:
            self._first[found] = {**settings, **self._first[found]}
        self._known[id(settings)] = (settings, found)  # kept alive, so that its id stays its own
        return found


# --- acquisitions -----------------------------------------------------------------------------------------------


def _acquisitions(piece: _Piece, probes: Mapping[str, Probe]) -> list[_Piece]:
    """Split off what is left of an earlier acquisition: frames dated before the first one of the series."""
    dates = [date for frame in piece.frames if (date := _date(frame, probes)) is not None]
    if dates == sorted(dates):
        return [piece]
    begun: str | None = None
    last: tuple[str, int] | None = None
    is_old = False
    kept: list[Numbered] = []
    left: list[Numbered] = []
    for frame in piece.frames:
        date = _date(frame, probes)
        # a frame without a date belongs where it stands
        if date is not None:
            if begun is None or (not is_old and last is not None and _is_put_back(date, frame, *last)):
                begun = date
            is_old = series.seconds_back(date, begun) > series.CLOCK_JITTER_S
            last = date, frame.file.mtime_ns
        (left if is_old else kept).append(frame)
    if not left:
        return [piece]
    said = f"{_numbers(left)} left from an acquisition before {begun}"
    again = f"{said} under the same name: it was begun again, and they are kept apart"
    now = _Piece(kept, piece.suffix, piece.name, "; ".join(filter(None, (piece.why, again))))
    why = f"{said}, which overwrote the others"
    return [now, _Piece(left, f"{piece.suffix}{_SEPARATOR}remains", "-remains", why, remains=True)]


def _is_put_back(date: str, frame: Numbered, before: str, before_ns: int) -> bool:
    """Say whether the clock was put back by an hour between two frames, the end of summer time."""
    return frame.file.mtime_ns >= before_ns and series.is_end_of_summer_time(series.seconds_back(date, before))


def _date(frame: Numbered, probes: Mapping[str, Probe]) -> str | None:
    probe = probes.get(frame.file.path)
    return None if probe is None else date_of(probe.facts)


def _numbers(frames: Sequence[Numbered]) -> str:
    if len(frames) == 1:
        return f"frame {frames[0].number} is"
    return f"{show_count(len(frames), 'frame')} ({frames[0].number} to {frames[-1].number}) are"
