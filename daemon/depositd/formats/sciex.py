"""Sciex acquisitions: ``NAME.wiff`` or ``NAME.wiff2`` with ``NAME.wiff.scan`` and what else begins with the name.

Nothing in them says when they are whole, and only Sciex's own programs read them.  What can be seen from outside:
``NAME.wiff.scan`` stays at some 44 bytes until the sample is converted; a ``.wiff`` is a structured storage (a compound
file), whose table of sectors shows how far it must reach; PNNL takes none below 50 KiB for finished.  Then an hour of
silence, or the next sample in the same directory, is the end, and the verdict says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from depositd.formats import compound_file
from depositd.formats.base import About, Defaults
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, count_unread, decide
from depositd.formats.names import ending_with, is_temporary
from depositd.formats.reading import guarded, probe_file, reader
from depositd.formats.trees import broken
from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_size

_MEMBER = re.compile(
    r"(?P<stem>.+?)\.(?P<kind>wiff|wiff2|wiff\.scan|wiff2\.scan|timeseries\.data|dad\.scan)", re.IGNORECASE | re.DOTALL
)
_SMALLEST_WIFF_BYTES = 50 * 1024
_UNCONVERTED_BYTES = 144


class Sciex(Defaults):
    """All files of one Sciex acquisition."""

    name = "sciex"
    about = (
        About(
            "Sciex .wiff, .wiff2",
            "the name before .wiff, .wiff2, .wiff.scan, .timeseries.data, .dad.scan",
            "no flag: .wiff.scan converted (more than 144 bytes), then an hour of silence or the next sample",
        ),
    )

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group files by their name before the suffix."""
        groups: dict[str, list[FileStat]] = defaultdict(list)
        for file in ending_with(listing.files, ".wiff", ".wiff2", ".scan", ".data"):
            match = None if is_temporary(file.name) else _MEMBER.fullmatch(file.name)
            if match:
                groups[match["stem"]].append(file)
        for stem, files in groups.items():
            members = tuple(sorted(files, key=lambda file: file.path))
            yield Dataset(stem, self.name, listing.directory, stem, listing.directory, members)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the sector table of a ``.wiff``, and say of every file whether it begins with data."""
        check = compound_file.compound_facts if _kind(stat) == "wiff" else compound_file.written_facts
        return probe_file(path, lambda fd, size: guarded(check, reader(fd), size))

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by what lacks, else by quiescence or the next sample."""
        return decide(dataset, _findings(dataset, probes), quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return nothing: only Sciex's own programs read these files."""
        return {}


def _kind(file: FileStat) -> str:
    match = _MEMBER.fullmatch(file.name)
    return match["kind"].lower() if match else ""


def _findings(dataset: Dataset, probes: Mapping[str, Probe]) -> Findings:
    members = {_kind(file): file for file in dataset.files}
    shortfall = broken(dataset, probes, LONG_QUIET_S) or _unconverted(members) or _too_small(members)
    remarks = [] if any(kind.endswith("wiff.scan") for kind in members) else ["no .wiff.scan beside it"]
    return Findings(
        (show_count(len(dataset.files), "file"), show_size(dataset.size_bytes), *remarks),
        shortfall=shortfall,
        quiet_s=LONG_QUIET_S,
        unread=count_unread(dataset.files, probes),
        # the next sample may begin while this one is converted
        ends_with_next=shortfall is None,
    )


def _unconverted(members: Mapping[str, FileStat]) -> Shortfall | None:
    for kind in ("wiff.scan", "wiff2.scan"):
        scan = members.get(kind)
        if scan is not None and scan.size_bytes <= _UNCONVERTED_BYTES:
            size = show_count(scan.size_bytes, "byte")
            sentence = f"{printable(scan.name)} has {size}: not converted yet (then more than {_UNCONVERTED_BYTES})"
            return Shortfall(VerdictKind.ABORTED, sentence, LONG_QUIET_S)
    if not {"wiff", "wiff2"} & members.keys():
        sentence = "its .wiff or .wiff2 is missing"
        return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)
    return None


def _too_small(members: Mapping[str, FileStat]) -> Shortfall | None:
    for kind in ("wiff", "wiff2"):
        file = members.get(kind)
        if file is not None and file.size_bytes < _SMALLEST_WIFF_BYTES:
            sentence = (
                f"{printable(file.name)} has only {show_size(file.size_bytes)} (finished ones have 50 KiB and more)"
            )
            return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)
    return None
