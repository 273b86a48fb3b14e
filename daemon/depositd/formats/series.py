"""What makes numbered frames one series: no gap, one geometry, one sweep, one clock.  All of it is pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from depositd.formats.facts import SharedFacts, date_of, start_of
from depositd.model import FileStat

MOST_MISSING = 1000
_ANGLE_DEG = 2e-3
"""Headers round their angles."""
LONGEST_INTERVAL_S = 3600.0
CLOCK_JITTER_S = 60.0
_CLOCK_CHANGE_S = 3600.0

NumberedFacts = tuple[int, Mapping[str, Any]]


def missing_numbers(numbers: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Return the first 1,000 numbers absent from inside a sorted series, and how many there are in all.

    A name such as ``scan_20261121`` beside ``scan_1`` must not cost twenty million numbers.
    """
    missing: list[int] = []
    total = 0
    for before, after in itertools.pairwise(numbers):
        gap = after - before - 1
        if gap > 0:
            total += gap
            missing.extend(range(before + 1, min(after, before + 1 + MOST_MISSING - len(missing))))
    return tuple(missing), total


def cadence_s(files: Iterable[FileStat]) -> float | None:
    """Return the time between successive frames in seconds, None where their times do not tell.

    That is the median interval between the times of their last writes, or between those at which they came to where
    they are (a copying program keeps the former, and a rename sets the latter), whichever is longer.
    """
    files = list(files)
    found = [_median_interval_s(file.mtime_ns for file in files), _median_interval_s(file.ctime_ns for file in files)]
    return max((interval_s for interval_s in found if interval_s is not None), default=None)


def _median_interval_s(times_ns: Iterable[int]) -> float | None:
    """Return the median of intervals; pauses of more than an hour and equal times say nothing."""
    in_order = sorted(times_ns)
    most_ns = int(LONGEST_INTERVAL_S * 1e9)
    told = [after - before for before, after in itertools.pairwise(in_order) if 0 < after - before <= most_ns]
    return statistics.median(told) / 1e9 if told else None


def disagreement(frames: Sequence[NumberedFacts]) -> str | None:
    """Return a sentence about the first frame that cannot belong to the series of the others, or None."""
    return _different_setting(frames) or _broken_sweep(frames) or _clock_backwards(frames)


_SETTINGS = (
    # key, what people call it, unit, relative tolerance, absolute tolerance
    ("kind", "the image kind", "", 0.0, 0.0),
    ("detector", "the detector", "", 0.0, 0.0),
    ("detector_serial", "the detector's serial number", "", 0.0, 0.0),
    ("width_px", "the width", " pixels", 0.0, 0.0),
    ("height_px", "the height", " pixels", 0.0, 0.0),
    ("pixel_x_um", "the pixel size", " µm", 1e-3, 0.0),
    ("wavelength_A", "the wavelength", " Å", 1e-4, 0.0),
    ("distance_mm", "the distance", " mm", 0.0, 0.1),
    ("increment_deg", "the increment", "°", 1e-2, 1e-4),
)


def settings_of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what frames share: an object of their own for all that say the same, where the probe made it so."""
    return facts.settings if type(facts) is SharedFacts else facts


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    """Return the first setting in which two frames differ (key, what people call it, both values), or None.

    What one of them does not say is no difference.
    """
    for key, called, unit, relative, absolute in _SETTINGS:
        mine, theirs = one.get(key), other.get(key)
        if mine is not None and theirs is not None and not _agree(theirs, mine, relative, absolute):
            return key, called, f"{_shown(mine)}{unit}", f"{_shown(theirs)}{unit}"
    return None


def _different_setting(frames: Sequence[NumberedFacts]) -> str | None:
    """Compare each frame with the first one that says the same key: they are one dataset only if all agree."""
    distinct: dict[int, tuple[int, Mapping[str, Any]]] = {}
    for number, facts in frames:
        settings = settings_of(facts)
        distinct.setdefault(id(settings), (number, settings))
    for key, called, unit, relative, absolute in _SETTINGS:
        first: tuple[int, Any] | None = None
        for number, settings in distinct.values():
            value = settings.get(key)
            if value is None:
                continue
            if first is None:
                first = (number, value)
            elif not _agree(first[1], value, relative, absolute):
                shown, shown_first = f"{_shown(value)}{unit}", f"{_shown(first[1])}{unit}"
                return f"{called} is {shown} in frame {number}, but {shown_first} in frame {first[0]}"
    return None


def _agree(one: Any, other: Any, relative: float, absolute: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    # a hair more than the tolerance: 200.1 - 200.0 is not 0.1 in binary
    return bool(abs(one - other) <= max(absolute, relative * max(abs(one), abs(other))) * (1 + 1e-9) + 1e-9)


def _shown(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _broken_sweep(frames: Sequence[NumberedFacts]) -> str | None:
    """Check angle(n) = start + (n - n₀) · increment from frame to frame, modulo 360°.

    Headers round the increment to four digits, so the sum over a long sweep drifts by more than one frame; from
    one frame to the next it does not.  Where every frame starts at the same angle there is no sweep (a raster scan
    covers the same wedge at each point; some beamlines never update the header), and nothing is checked.  Where
    datasets take turns in one series, a step is from one frame to the next that is there.
    """
    told = [
        (n, start, increment)
        for n, f in frames
        if (start := start_of(f)) is not None and (increment := settings_of(f).get("increment_deg")) is not None
    ]
    if len({start for _number, start, _increment in told}) < 2:
        return None
    for (before, start, increment), (number, angle, _increment) in itertools.pairwise(told):
        steps = number - before
        if -_ANGLE_DEG < angle - start - steps * increment < _ANGLE_DEG:
            continue
        if all(_is_off(start, angle, taken, increment) for taken in {steps, 1}):
            return (
                f"frame {number} starts at {_shown(float(angle))}°, but frame {before} and an increment of"
                f" {_shown(float(increment))}° lead to {_shown(float(start + steps * increment))}°"
            )
    return None


def _is_off(start: float, angle: float, steps: int, increment: float) -> bool:
    off = (angle - start - steps * increment + 180.0) % 360.0 - 180.0
    return bool(abs(off) > _ANGLE_DEG + 1e-4 * steps + 0.01 * abs(increment))


def _clock_backwards(frames: Sequence[NumberedFacts]) -> str | None:
    """Find a frame that is dated before its predecessor: the prefix was used again, and this is a mixture."""
    told = [(number, date) for number, facts in frames if (date := date_of(facts)) is not None]
    dates = [date for _number, date in told]
    if dates == sorted(dates):
        return None
    for (before, earlier), (number, later) in itertools.pairwise(told):
        if later < earlier and is_before(later, earlier):
            return f"frame {number} is dated {later}, before frame {before} ({earlier}): two acquisitions share a name"
    return None


def is_before(one: str, other: str) -> bool:
    """Say whether an ISO 8601 date lies before another one by more than clocks disagree.

    A minute is granted to the clocks of parallel writers, and one hour back is the end of summer time.
    """
    back_s = seconds_back(one, other)
    return back_s > CLOCK_JITTER_S and not is_end_of_summer_time(back_s)


def seconds_back(one: str, other: str) -> float:
    """Return by how many seconds an ISO 8601 date lies before another one, 0 where it does not."""
    if one >= other:
        return 0.0
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


def is_end_of_summer_time(back_s: float) -> bool:
    """Say whether a clock that went back by so many seconds may have been put back by an hour."""
    return abs(back_s - _CLOCK_CHANGE_S) <= CLOCK_JITTER_S


_INODE = "inode "
"""Begins the origin of a series whose headers name no date."""


def origin_by_inode(first: FileStat) -> str:
    """Return what tells one acquisition from another by its first file alone."""
    return f"{_INODE}{first.inode} of {first.name}"


def begun_again(before: str | None, now: str | None) -> bool:
    """Say whether the origins of two looks at one name (a header's date, or an inode) are of two acquisitions.

    A first frame that comes late makes the date earlier, or is another file, which is no new acquisition.
    """
    if before is None or now is None or before.startswith(_INODE) is not now.startswith(_INODE):
        return False
    if not now.startswith(_INODE):
        return is_before(before, now)
    return before != now and before.partition(" of ")[2] == now.partition(" of ")[2]


def unwrapped(numbers: Sequence[int], width: int) -> list[int]:
    """Return numbers of frames in the order of acquisition, going on where a counter of ``width`` digits wrapped."""
    found: list[int] = []
    offset = 0
    for number in numbers:
        if found and number + offset < found[-1]:
            offset += 10**width if number == 0 else 10**width - number
        found.append(number + offset)
    return found
