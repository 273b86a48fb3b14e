"""What makes numbered frames one series: no gap, one geometry, one sweep, one clock.  All of it is pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

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


def _different_setting(frames: Sequence[NumberedFacts]) -> str | None:
    """Compare each frame with the first one that says the same key: they are one dataset only if all agree."""
    for key, called, unit, relative, absolute in _SETTINGS:
        first: tuple[int, Any] | None = None
        for number, facts in frames:
            value = facts.get(key)
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
    covers the same wedge at each point; some beamlines never update the header), and nothing is checked.
    """
    told = [
        (n, f["start_angle_deg"], f["increment_deg"])
        for n, f in frames
        if {"start_angle_deg", "increment_deg"} <= f.keys()
    ]
    if len({start for _number, start, _increment in told}) < 2:
        return None
    for (before, start, increment), (number, angle, _increment) in itertools.pairwise(told):
        steps = number - before
        planned = start + steps * increment
        off = (angle - planned + 180.0) % 360.0 - 180.0
        if abs(off) > 2e-3 + 1e-4 * steps + 0.01 * abs(increment):
            return (
                f"frame {number} starts at {_shown(float(angle))}°, but frame {before} and an increment of"
                f" {_shown(float(increment))}° lead to {_shown(float(planned))}°"
            )
    return None


def _clock_backwards(frames: Sequence[NumberedFacts]) -> str | None:
    """Find a frame that is dated before its predecessor: the prefix was used again, and this is a mixture.

    A minute is granted to the clocks of parallel writers, and one hour back is the end of summer time.
    """
    told = [(number, facts["date"]) for number, facts in frames if "date" in facts]
    for (before, earlier), (number, later) in itertools.pairwise(told):
        if later >= earlier:
            continue
        back_s = (datetime.fromisoformat(earlier) - datetime.fromisoformat(later)).total_seconds()
        if back_s > _CLOCK_JITTER_S and abs(back_s - _CLOCK_CHANGE_S) > _CLOCK_JITTER_S:
            return f"frame {number} is dated {later}, before frame {before} ({earlier}): two acquisitions share a name"
    return None
