"""Frame series: CBF, SMV and marCCD images with numbered names, plain or as ``.gz`` or ``.bz2``.

Names
    Grouped by directory, prefix, extension and compression.  Frames whose digits are padded to another width are
    split off; what outgrows its padding (``x_999``, ``x_1000``) stays in its series.  A bare numeric suffix
    (``name.0001``) is not taken for a frame: by name alone it cannot be told from a log or a volume of a split archive.
More frames than expected
    ``corrupt``: the series is not what the rule or its headers describe, and may be a mixture of two.
Several datasets in one series
    See :mod:`depositd.formats.splitting`.  A disagreement that makes no datasets is ``corrupt``, naming both values and
    the frame: the diffraction server would refuse the archive as a mixture.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from depositd.formats import facts, frame_probe, series, splitting
from depositd.formats.base import ContentCheck, Defaults
from depositd.formats.ladder import Findings, Shortfall, broken_sentence, count_unread, decide, is_whole, unwritten
from depositd.formats.names import is_temporary
from depositd.model import (
    Dataset,
    FileStat,
    Frames,
    Listing,
    Metadata,
    Probe,
    Quiet,
    Terms,
    Verdict,
    VerdictKind,
)
from depositd.units import printable, show_count, show_numbers, show_period

_NAME = re.compile(
    r"(?P<prefix>.*?[_.\-]?)(?P<number>[0-9]+)"
    r"(?P<suffix>\.(?:cbf|img|osc|mccd|sfrm|rodhypix|tiff?|mar[0-9]{4})(?:\.(?:gz|bz2|xz|zst))?)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"([0-9]+)\.[^/0-9][^/.]*(?:\.(?:gz|bz2|xz|zst))?$", re.IGNORECASE)
"""The number at the end of a name that is known to be a frame's: of ``lyso2.native_0007.cbf`` it is 7."""
_UNKNOWN_PACE_S = 120.0
"""The quiet time of a frame whose header tells no exposure, until a second one tells the pace: a minute is usual."""
_QUIET_PERIODS = 20


class FrameSeries(Defaults):
    """A numbered series of single-image files."""

    name = "frames"
    about = frame_probe.ABOUT

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group frames by prefix and suffix."""
        found: dict[tuple[str, str], list[FileStat]] = defaultdict(list)
        for file in listing.files:
            name = file.name
            match = _NAME.fullmatch(name)
            if match and not is_temporary(name):
                found[match["prefix"], match["suffix"]].append(file)
        for (prefix, suffix), files in found.items():
            name = prefix.rstrip("_.-") or listing.directory.rpartition("/")[2] or "frames"
            key = f"{prefix}*{suffix}"
            yield Dataset(name, self.name, listing.directory, key, listing.directory, tuple(files))

    def split(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[Dataset]:
        """Return the datasets that share the series, each with its frames in the order of their numbers."""
        return splitting.pieces(dataset, _numbered(dataset.files), probes)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read a frame's header and its end (of a compressed frame: all of it)."""
        found = frame_probe.probe_frame(path)
        return Probe(found.problem, found.retry, facts.shared(found.facts))

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by frames that are whole, numbers without gap, one geometry, the expected count, or quiescence."""
        present = len(dataset.files)
        digits = _digits(dataset.files)
        numbers = series.unwrapped([int(written) for written in digits], len(digits[0]))
        told = [
            (n, probe.facts)
            for n, file in zip(numbers, dataset.files, strict=True)
            if (probe := probes.get(file.path)) is not None and probe.facts
        ]
        expected = _expected(told, terms)
        missing, missing_total = series.missing_numbers(numbers)
        if dataset.part is not None:
            missing, missing_total = dataset.part.missing, dataset.part.missing_total
        cadence_s = series.cadence_s(dataset.files)
        quiet_s = _quiet_s(cadence_s, told)
        shortfall = (
            _remains(dataset, quiet_s)
            or _corrupt(
                broken_sentence(dataset.files, probes) or _twice(dataset.files, digits) or series.disagreement(told),
                quiet_s,
            )
            or _too_many(present, expected, quiet_s)
            or _gapped(missing, missing_total, quiet_s)
            or _truncated(present, expected, numbers, quiet_s)
        )
        counted = (*_counted(present, expected), *_unproven(told), *unwritten(dataset.files))
        findings = Findings(
            counted,
            Frames(present, expected, missing),
            proven=present == expected,
            shortfall=shortfall,
            quiet_s=quiet_s,
            unread=count_unread(dataset.files, probes),
            agreement=_agreement(present, told, shortfall),
            count="" if expected is None else counted[0],
            awaits=_awaited(present, expected, missing_total),
            learnt="" if cadence_s is None else f"learnt cadence {show_period(cadence_s)}",
        )
        return decide(dataset, findings, quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the first readable frame says, and the number of frames.

        The date and the angle at which the acquisition begins are those of the first frame alone.
        """
        for file in dataset.files:
            if (probe := probes.get(file.path)) is not None and (said := facts.metadata_of(probe.facts)):
                if file is not dataset.files[0]:
                    said = {key: value for key, value in said.items() if key not in facts.OWN}
                return said | {"frames": len(dataset.files)}
        return {"frames": len(dataset.files)}

    def closed(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[FileStat]:
        """Return the frames that are whole by their headers: a detector writes each of them once."""
        return [file for file in dataset.files if is_whole(file, probes)]

    def content_check(self, name: str) -> ContentCheck | None:
        """Return the check of a CBF's ``Content-MD5``; other images carry no checksum."""
        return frame_probe.content_check(name)


def _digits(files: Sequence[FileStat]) -> list[str]:
    """Return the number of each frame of one group as its name writes it.

    They have prefix and suffix in common, so the place of the number in the first name is that in most others.
    """
    first = files[0].path
    match = _NUMBER.search(first)
    begin, behind = (match.start(1), len(first) - match.end(1)) if match else (0, 0)
    head = first[:begin]
    found = []
    for file in files:
        path = file.path
        digits = path[begin : len(path) - behind]
        if path[:begin] != head or not digits.isdecimal():
            other = _NUMBER.search(path)  # gathered from another directory
            digits = other[1] if other else "0"
        found.append(digits)
    return found


def _numbered(files: Sequence[FileStat]) -> list[splitting.Numbered]:
    return [
        splitting.Numbered(int(digits), len(digits), len(digits) > 1 and digits[0] == "0", file)
        for digits, file in zip(_digits(files), files, strict=True)
    ]


def _expected(told: Sequence[series.NumberedFacts], terms: Terms) -> int | None:
    """Return how many frames the rule, or else the headers (Bruker's ``NFRAMES``), tell of."""
    if terms.expected_frames is not None:
        return terms.expected_frames
    return max((facts["expected_frames"] for _n, facts in told if "expected_frames" in facts), default=None)


def _quiet_s(cadence_s: float | None, told: Sequence[series.NumberedFacts]) -> float:
    """Return twenty periods, by the headers and by the series' own cadence, in seconds."""
    distinct = {id(settings): settings for _n, said in told if (settings := series.settings_of(said))}
    periods = [said.get("frame_period_s") or said.get("exposure_s") or 0.0 for said in distinct.values()]
    believable = [period for period in periods if 0 < period <= series.LONGEST_INTERVAL_S]
    if not believable and cadence_s is None:
        return _UNKNOWN_PACE_S
    return _QUIET_PERIODS * max(max(believable, default=0.0), cadence_s or 0.0)


def _twice(files: Sequence[FileStat], digits: Sequence[str]) -> str | None:
    """Name a frame that is there twice, which happens where several directories are gathered."""
    if len(set(digits)) == len(digits):
        return None
    for (before, file), (after, other) in itertools.pairwise(zip(digits, files, strict=True)):
        if before == after:
            return f"frame {int(after)} is there twice: {printable(file.path)} and {printable(other.path)}"
    return None


def _remains(dataset: Dataset, quiet_s: float) -> Shortfall | None:
    if dataset.part is None or not dataset.part.remains:
        return None
    return Shortfall(VerdictKind.ABORTED, "the rest of it was overwritten", quiet_s)


def _agreement(present: int, told: Sequence[series.NumberedFacts], shortfall: Shortfall | None) -> str:
    if shortfall is not None and shortfall.kind is VerdictKind.CORRUPT:
        return shortfall.sentence
    proven = len(told)
    if _unproven(told):
        proven = sum("whole_unproven" not in said for _number, said in told)
    return f"{proven:,} of {show_count(present, 'frame')} proven whole by what their headers say" if proven else ""


def _unproven(told: Sequence[series.NumberedFacts]) -> tuple[str, ...]:
    """Say where nothing in a frame proves that it is whole."""
    distinct = {id(settings): (number, settings) for number, said in told if (settings := series.settings_of(said))}
    for number, settings in distinct.values():
        if "whole_unproven" in settings:
            return (f"that frame {number} is whole cannot be proven: {settings['whole_unproven']}",)
    return ()


def _awaited(present: int, expected: int | None, missing: int) -> str:
    if expected is not None and present < expected:
        return show_count(expected - present, "more frame")
    return show_count(missing, "missing frame") if missing else ""


def _counted(present: int, expected: int | None) -> tuple[str, ...]:
    if expected is None:
        return (f"{present} {'frame' if present == 1 else 'frames'}",)
    if present > expected:
        return (f"{present} frames, {expected} expected: {show_count(present - expected, 'frame')} too many",)
    return (f"{present} of {expected} frames",)


def _corrupt(sentence: str | None, quiet_s: float) -> Shortfall | None:
    return Shortfall(VerdictKind.CORRUPT, sentence, quiet_s) if sentence else None


def _gapped(missing: tuple[int, ...], total: int, quiet_s: float) -> Shortfall | None:
    if not total:
        return None
    noun, verb = ("frame", "is") if total == 1 else ("frames", "are")
    sentence = f"{noun} {show_numbers(missing)} {verb} missing"
    if total > len(missing):
        sentence = f"{total:,} frames are missing, the first of them {show_numbers(missing)}"
    return Shortfall(VerdictKind.GAPPED, sentence, quiet_s)


def _too_many(present: int, expected: int | None, quiet_s: float) -> Shortfall | None:
    if expected is None or present <= expected:
        return None
    return Shortfall(VerdictKind.CORRUPT, "it is not the series that was expected, or two of them", quiet_s)


def _truncated(present: int, expected: int | None, numbers: list[int], quiet_s: float) -> Shortfall | None:
    if expected is None or present >= expected:
        return None
    lacking = show_count(expected - present, "frame")
    there = f"numbers {numbers[0]} to {numbers[-1]} are there"
    return Shortfall(VerdictKind.TRUNCATED, f"{lacking} fewer than expected, {there}", quiet_s)
