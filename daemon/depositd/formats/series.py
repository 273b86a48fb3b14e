"""What makes numbered frames one series: no gap, one geometry, one sweep, one clock.  All of it is pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from depositd.formats.facts import SharedFacts
from depositd.model import FileStat

MOST_MISSING = 1000
LONGEST_INTERVAL_S = 3600.0
_CLOCK_JITTER_S = 60.0
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
    """Return the median interval between successive writes in seconds, None where there is none.

    Pauses of more than an hour and files of equal time (copied, or written by parallel writers) say nothing.
    """
    times_ns = sorted(file.mtime_ns for file in files)
    intervals = [(after - before) / 1e9 for before, after in itertools.pairwise(times_ns)]
    told = [interval for interval in intervals if 0 < interval <= LONGEST_INTERVAL_S]
    return statistics.median(told) if told else None


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
    return facts.settings if isinstance(facts, SharedFacts) else facts


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
    return bool(abs(one - other) <= max(absolute, relative * abs(one)) * (1 + 1e-9) + 1e-9)


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
        if (start := f.get("start_angle_deg")) is not None and (increment := f.get("increment_deg")) is not None
    ]
    if len({start for _number, start, _increment in told}) < 2:
        return None
    for (before, start, increment), (number, angle, _increment) in itertools.pairwise(told):
        steps = number - before
        if all(_is_off(start, angle, taken, increment) for taken in {steps, 1}):
            return (
                f"frame {number} starts at {_shown(float(angle))}°, but frame {before} and an increment of"
                f" {_shown(float(increment))}° lead to {_shown(float(start + steps * increment))}°"
            )
    return None


def _is_off(start: float, angle: float, steps: int, increment: float) -> bool:
    off = (angle - start - steps * increment + 180.0) % 360.0 - 180.0
    return bool(abs(off) > 2e-3 + 1e-4 * steps + 0.01 * abs(increment))


def _clock_backwards(frames: Sequence[NumberedFacts]) -> str | None:
    """Find a frame that is dated before its predecessor: the prefix was used again, and this is a mixture."""
    told = [(number, date) for number, facts in frames if (date := facts.get("date")) is not None]
    for (before, earlier), (number, later) in itertools.pairwise(told):
        if later < earlier and is_before(later, earlier):
            return f"frame {number} is dated {later}, before frame {before} ({earlier}): two acquisitions share a name"
    return None


def is_before(one: str, other: str) -> bool:
    """Say whether an ISO 8601 date lies before another one by more than clocks disagree.

    A minute is granted to the clocks of parallel writers, and one hour back is the end of summer time.
    """
    if one >= other:
        return False
    back_s = (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
    return back_s > _CLOCK_JITTER_S and abs(back_s - _CLOCK_CHANGE_S) > _CLOCK_JITTER_S


INODE = "inode "
"""Begins the origin of a series whose headers name no date."""


def begun_again(before: str | None, now: str | None) -> bool:
    """Say whether the origins of two looks at one name (a header's date, or an inode) are of two acquisitions.

    A first frame that comes late makes the date earlier, which is no new acquisition.
    """
    if before is None or now is None or before.startswith(INODE) is not now.startswith(INODE):
        return False
    return before != now if now.startswith(INODE) else is_before(before, now)


def unwrapped(numbers: Sequence[int], width: int) -> list[int]:
    """Return numbers of frames in the order of acquisition, going on where a counter of ``width`` digits wrapped."""
    found: list[int] = []
    offset = 0
    for number in numbers:
        if found and number + offset < found[-1]:
            offset += 10**width if number == 0 else 10**width - number
        found.append(number + offset)
    return found
