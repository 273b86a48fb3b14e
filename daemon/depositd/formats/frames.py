"""Frame series: CBF, SMV and marCCD images with numbered names, plain or as ``.gz`` or ``.bz2``.

Names
    Grouped by directory, prefix, extension, compression, and the digits' width where they are zero-padded.  What
    outgrows its padding (``x_999``, ``x_1000``) stays in its series.  A bare numeric suffix (``name.0001``) is not
    taken for a frame: by name alone it cannot be told from a log or a volume of a split archive.
Images that this release cannot read
    Series of other extensions of the field (``.osc``, ``.sfrm``, ``.tif``, ``.mar2300`` …) are grouped all the same
    and judged ``corrupt`` with a sentence that names what is not supported: they must not vanish in silence.
More frames than expected
    The series then is not what the rule described, so the count proves nothing about its end: it is complete
    by quiescence, and the evidence says how many there are too many.
A disagreement inside a series
    ``corrupt``, naming both values and the frame: the diffraction server would refuse the archive as a mixture.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from depositd.formats import facts, frame_probe, series
from depositd.formats.base import ContentCheck, Defaults
from depositd.formats.ladder import Findings, Shortfall, broken_sentence, count_unread, decide
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
from depositd.units import show_count, show_numbers

_NAME = re.compile(
    r"(?P<prefix>.*?[_.\-]?)(?P<number>[0-9]+)"
    r"(?P<suffix>\.(?:cbf|img|osc|mccd|sfrm|rodhypix|tiff?|mar[0-9]{4})(?:\.(?:gz|bz2|xz|zst))?)",
    re.IGNORECASE | re.DOTALL,
)
_QUIET_PERIODS = 20


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    width: int
    padded: bool
    file: FileStat


class FrameSeries(Defaults):
    """A numbered series of single-image files."""

    name = "frames"
    about = frame_probe.ABOUT

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group frames by prefix, suffix and digits' width."""
        found: dict[tuple[str, str], list[_Numbered]] = defaultdict(list)
        for file in listing.files:
            match = None if is_temporary(file.name) else _NAME.fullmatch(file.name)
            if match:
                digits = match["number"]
                padded = len(digits) > 1 and digits.startswith("0")
                found[match["prefix"], match["suffix"]].append(_Numbered(int(digits), len(digits), padded, file))
        for (prefix, suffix), numbered in found.items():
            for width, members in _by_width(numbered).items():
                files = tuple(member.file for member in sorted(members, key=lambda member: member.number))
                key = f"{prefix}{'#' * width if width else '%d'}{suffix}"
                name = prefix.rstrip("_.-") or listing.directory.rpartition("/")[2] or "frames"
                yield Dataset(name, self.name, listing.directory, key, listing.directory, files)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read a frame's header and its end (of a compressed frame: all of it)."""
        return frame_probe.probe_frame(path)

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by frames that are whole, numbers without gap, one geometry, the expected count, or quiescence."""
        present, expected = len(dataset.files), terms.expected_frames
        numbers = [_number(file.name) for file in dataset.files]
        missing, missing_total = series.missing_numbers(numbers)
        told = [
            (n, probes[file.path].facts) for n, file in zip(numbers, dataset.files, strict=True) if file.path in probes
        ]
        quiet_s = _quiet_s(dataset, told)
        shortfall = (
            _corrupt(broken_sentence(dataset.files, probes) or series.disagreement(told), quiet_s)
            or _gapped(missing, missing_total, quiet_s)
            or _truncated(present, expected, numbers, quiet_s)
        )
        findings = Findings(
            _counted(present, expected),
            Frames(present, expected, missing),
            proven=present == expected,
            shortfall=shortfall,
            quiet_s=quiet_s,
            unread=count_unread(dataset.files, probes),
        )
        return decide(dataset, findings, quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the first readable frame says, and the number of frames."""
        for file in dataset.files:
            if (probe := probes.get(file.path)) is not None and facts.metadata_of(probe.facts):
                return facts.metadata_of(probe.facts) | {"frames": len(dataset.files)}
        return {"frames": len(dataset.files)}

    def content_check(self, name: str) -> ContentCheck | None:
        """Return the check of a CBF's ``Content-MD5``; other images carry no checksum."""
        return frame_probe.content_check(name)


def _by_width(numbered: list[_Numbered]) -> dict[int, list[_Numbered]]:
    """Split by padded width, 0 being "not padded"; a full-width number belongs to the padded series it continues."""
    widths = sorted({member.width for member in numbered if member.padded}, reverse=True)
    split: dict[int, list[_Numbered]] = defaultdict(list)
    for member in numbered:
        if member.padded:
            split[member.width].append(member)
        else:
            split[next((width for width in widths if width <= member.width), 0)].append(member)
    return split


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match["number"]) if match else 0


def _quiet_s(dataset: Dataset, told: list[series.NumberedFacts]) -> float:
    """Return twenty periods, by the headers and by the series' own cadence, in seconds."""
    periods = [said.get("frame_period_s") or said.get("exposure_s") or 0.0 for _number, said in told]
    believable = [period for period in periods if 0 < period <= series.LONGEST_INTERVAL_S]
    return _QUIET_PERIODS * max(max(believable, default=0.0), series.cadence_s(dataset.files) or 0.0)


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


def _truncated(present: int, expected: int | None, numbers: list[int], quiet_s: float) -> Shortfall | None:
    if expected is None or present >= expected:
        return None
    lacking = show_count(expected - present, "frame")
    return Shortfall(VerdictKind.TRUNCATED, f"{lacking} fewer than expected, the last is number {numbers[-1]}", quiet_s)
