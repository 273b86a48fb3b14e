"""What can be lacking in an Eiger dataset: one check each, in the order in which they matter."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from depositd.formats.eiger_names import Role, parse_name, role_of
from depositd.formats.eiger_series import Link, Series
from depositd.formats.hdf5 import OPEN_FACT
from depositd.formats.ladder import LONG_QUIET_S, Shortfall, broken_sentence
from depositd.formats.series import MOST_MISSING, missing_numbers
from depositd.model import VerdictKind
from depositd.units import printable, show_count, show_numbers


def shortfall(series: Series) -> Shortfall | None:
    """Return the first thing that is lacking, None where nothing is.

    Where the master says that the acquisition has finished and every file is there and closed, nothing more is waited
    for: no writer is left who could mend it.
    """
    for check in _CHECKS:
        if (found := check(series)) is not None:
            return replace(found, after_s=0.0) if _has_finished(series) else found
    return None


def _has_finished(series: Series) -> bool:
    probes = [series.probes.get(file.path) for file in series.dataset.files]
    closed = all(probe is not None and probe.problem is None for probe in probes)
    return "end_time" in series.header and closed and not _absent_files(series)


def _two_masters(series: Series) -> Shortfall | None:
    masters = [file for file in series.masters if role_of(file.name) is Role.MASTER]
    if len(masters) < 2:
        return None
    names = " and ".join(printable(file.path) for file in masters[:2])
    return Shortfall(VerdictKind.CORRUPT, f"two masters, {names}, share their data files' names")


def _unreachable(series: Series) -> Shortfall | None:
    """Refuse links to what an archive of this dataset could not hold."""
    here = series.here
    for link in series.links:
        if link.path not in here and (why := _why_unreachable(link, series)):
            return Shortfall(VerdictKind.CORRUPT, f"the master links to {printable(link.said, 200)}, {why}")
    return None


def _why_unreachable(link: Link, series: Series) -> str | None:
    top = series.dataset.directory
    if link.path is None or (top and not link.path.startswith(f"{top}/")):
        return "outside the dataset's directory"
    directory, name = posixpath.split(link.path)
    seen = {top, *(file.directory for file in series.dataset.files)}
    if len(seen) == 1 and directory != top:
        return "in a directory below it that this rule does not look into (gather: in the rule takes both together)"
    named = parse_name(name)
    if (named is None or named.stem != series.dataset.key) and _lacks_frames(series):
        return f"which by its name is no part of {printable(series.dataset.name)} (rename all its files alike, or none)"
    return None


def _lacks_frames(series: Series) -> bool:
    return series.expected is None or series.present < series.expected


def _open(series: Series) -> Shortfall | None:
    for file in series.dataset.files:
        if (probe := series.probes.get(file.path)) is not None and probe.facts.get(OPEN_FACT):
            sentence = f"{printable(file.name)} {probe.problem}"
            return Shortfall(VerdictKind.ABORTED, sentence, max(series.floor_s, LONG_QUIET_S))
    return None


def _broken(series: Series) -> Shortfall | None:
    sentence = broken_sentence(series.dataset.files, series.probes)
    return Shortfall(VerdictKind.CORRUPT, sentence, series.floor_s) if sentence else None


def _no_master(series: Series) -> Shortfall | None:
    if series.masters:
        return None
    return Shortfall(
        VerdictKind.TRUNCATED, f"no master file ({printable(series.dataset.name)}_master.h5)", series.floor_s
    )


_PICTURE = (
    # key in a data file, key in a master, what people call it
    ("image_width_px", "width_px", "pixels wide"),
    ("image_height_px", "height_px", "pixels high"),
    ("image_bits", "header_bits", "bits deep"),
)


def _disagreement(series: Series) -> Shortfall | None:
    """Compare the images' sizes: the diffraction server would refuse the archive as a mixture."""
    for key, in_master, called in _PICTURE:
        first: tuple[str, Any] | None = None
        if in_master in series.header:
            first = ("the master says", series.header[in_master])
        for name, value in _sizes(series, key):
            if first is None:
                first = (f"those of {name} are", value)
            elif value != first[1]:
                sentence = f"images of {name} are {value} {called}, but {first[0]} {first[1]}"
                return Shortfall(VerdictKind.CORRUPT, sentence)
    return None


def _sizes(series: Series, key: str) -> Iterator[tuple[str, Any]]:
    if key in series.header:
        yield "the master", series.header[key]
    for data in (*series.counted, *series.spare):
        if key in data.said:
            yield printable(data.file.name), data.said[key]


def _absent_files(series: Series) -> list[str]:
    """Return linked files that are not there, a meta file too."""
    here = series.here
    absent = [link.path or link.said for link in series.absent]
    return absent + [link.said for link in series.also_links if link.path not in here and _is_own_meta(link, series)]


def _absent(series: Series) -> Shortfall | None:
    absent = _absent_files(series)
    if not absent:
        return None
    more = f" (and {show_count(len(absent) - 1, 'more file')})" if len(absent) > 1 else ""
    name = printable(posixpath.basename(absent[0]))
    return Shortfall(VerdictKind.ABORTED, f"{name} never came{more}", series.floor_s)


def _is_own_meta(link: Link, series: Series) -> bool:
    named = parse_name(posixpath.basename(link.path or ""))
    return named is not None and named.role is Role.META and named.stem == series.dataset.key


def missing_images(series: Series) -> tuple[tuple[int, ...], int]:
    """Return the image numbers that lie between those of the data files, where all files tell theirs, and how many.

    Where two files have the same images, all others of those expected are missing too.
    """
    told = series.images
    if not told or len(told) < len(series.counted):
        return (), 0
    ends = [(each.low, each.high) for each in told]
    first = told[0].low
    if series.twice and series.expected is not None:
        first = min(first, 1)
        ends.append((first + series.expected, 0))
    gaps: list[int] = []
    total, last = 0, first - 1
    for low, high in ends:
        missing, count = missing_numbers([last, max(low, last + 1)])
        gaps.extend(missing[: MOST_MISSING - len(gaps)])
        total += count
        last = max(high, last)
    return tuple(gaps), total


def _twice(series: Series) -> Shortfall | None:
    """Refuse images that two data files say they have: one is a copy of the other, or of another series."""
    if not series.twice:
        return None
    first, second = series.twice[0]
    low, high = second.low, min(first.high, second.high)
    images = f"image {low:,} is" if low == high else f"images {low:,}-{high:,} are"
    names = " and ".join(sorted(printable(each.file.name) for each in (first, second)))
    return Shortfall(VerdictKind.CORRUPT, f"{images} in two data files: {names}", series.floor_s)


def _holes(series: Series) -> Shortfall | None:
    missing, total = missing_images(series)
    if total:
        noun = "image" if total == 1 else "images"
        sentence = f"{noun} {show_numbers(missing)} missing between data files"
        return Shortfall(VerdictKind.GAPPED, sentence, series.floor_s)
    numbers = sorted(data.number for data in series.counted)
    if series.links or not numbers:
        return None
    # writers count their files from 1, a few from 0
    files, count = missing_numbers([0, *numbers] if numbers[0] > 1 else numbers)
    if count:
        noun = "data file" if count == 1 else "data files"
        return Shortfall(VerdictKind.GAPPED, f"{noun} {show_numbers(files)} missing", series.floor_s)
    return None


def count_sentence(present: int, expected: int | None) -> str:
    """Say how many frames there are of how many."""
    if expected is None:
        return show_count(present, "frame")
    if present > expected:
        return f"{present:,} frames, {expected:,} expected: {show_count(present - expected, 'frame')} too many"
    return f"{present:,} of {show_count(expected, 'frame')}"


def _too_many(series: Series) -> Shortfall | None:
    if series.expected is None or series.present <= series.expected:
        return None
    return Shortfall(VerdictKind.CORRUPT, count_sentence(series.present, series.expected), series.floor_s)


def _too_few(series: Series) -> Shortfall | None:
    if series.present == 0:
        return Shortfall(VerdictKind.ABORTED, "no frame was written", series.floor_s)
    if series.expected is None or series.present >= series.expected:
        return None
    lacking = show_count(series.expected - series.present, "frame")
    return Shortfall(VerdictKind.ABORTED, f"{lacking} never came", series.floor_s)


_CHECKS: tuple[Callable[[Series], Shortfall | None], ...] = (
    _two_masters,
    _unreachable,
    _open,
    _broken,
    _no_master,
    _disagreement,
    _twice,
    _too_many,
    _absent,
    _holes,
    _too_few,
)
