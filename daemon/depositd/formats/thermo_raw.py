"""Thermo ``.raw`` files: one file is one dataset, and its header says whether it is still being acquired.

A file of an undocumented version is judged by quiescence, and the verdict says so; one without the Finnigan signature
is refused.  What lacks something (its end, its run header, its scans) is ``truncated``, what cannot be is ``corrupt``.
A run shorter than planned is said, not judged: methods are stopped on purpose.  Xcalibur renames what it could not
finish to ``*_CORRUPTED.raw``.

A file that was given its size before its content has holes.  Few allocated bytes alone prove nothing, since file
systems compress: those are said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from depositd.formats import facts, thermo_header
from depositd.formats.base import About, Defaults
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, broken_sentence, count_unread, decide
from depositd.formats.names import ending_with, is_temporary
from depositd.formats.reading import ReadAt, guarded, hole_bytes, probe_file, reader
from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_size

_NAME = re.compile(r"(?P<stem>.+)\.raw", re.IGNORECASE | re.DOTALL)
_CORRUPTED = re.compile(r".*_corrupted", re.IGNORECASE | re.DOTALL)
_SHORT_RUN = 0.95
_MOSTLY_WRITTEN = 0.9
"""A copying program may leave holes for zeros: at most 3 % of the finished files at hand could be such holes."""

_SMALLEST_BYTES = 30 * 1024
"""PNNL takes no smaller file for a finished one; it counts only where the header proves nothing."""


class ThermoRaw(Defaults):
    """One ``.raw`` file."""

    name = "thermo-raw"
    about = (
        About(
            "Thermo .raw",
            "one file",
            "the header's acquisition flag is 0, and all that it points to begins inside the file (up to the last few "
            "per cent may be missing unnoticed if a copy brought the finished header first); else quiescence",
            ("date", "run_time_min"),
        ),
    )

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each ``.raw`` file."""
        for file in ending_with(listing.files, ".raw"):
            match = None if is_temporary(file.name) else _NAME.fullmatch(file.name)
            if match:
                yield Dataset(match["stem"], self.name, listing.directory, file.name, file.path, (file,))

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the header: its flag, its controllers, its scans; and measure the holes."""
        return probe_file(path, lambda fd, size: probe_header(reader(fd), size, hole_bytes(fd, size)))

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the header's own flag and addresses, else by quiescence."""
        file = dataset.files[0]
        said = probes[file.path].facts if file.path in probes else {}
        findings = Findings(
            (show_size(file.size_bytes), *_remarks(file, said)),
            proven="last_scan" in said,
            shortfall=_shortfall(dataset, probes, said),
            unread=count_unread(dataset.files, probes),
            flag=_flag(said),
            agreement=_agreement(said),
        )
        return decide(dataset, findings, quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return the date and the run's length."""
        probe = probes.get(dataset.files[0].path)
        return facts.metadata_of(probe.facts) if probe else {}


def probe_header(read_at: ReadAt, size_bytes: int, holes_bytes: int = 0) -> Probe:
    """Return the probe of a file that ``read_at`` reads; what is not understood is a fact, not a problem."""
    if size_bytes == 0:
        return Probe("is empty", retry=True)
    try:
        found = guarded(lambda: Probe(facts=thermo_header.parse(read_at, size_bytes)))
    except thermo_header.Unknown as error:
        found = Probe(facts={"unknown": str(error)})
    # a hole can be filled through a memory map, which the time of the last write shows only late
    return Probe(found.problem, True, {**found.facts, "holes_bytes": holes_bytes}) if holes_bytes else found


def _flag(said: Mapping[str, Any]) -> str:
    """Return what the header says of its own acquisition (RFI + 20), where it could be read."""
    if said.get("in_acquisition"):
        return "its header says that acquisition goes on"
    return "its header says that no acquisition goes on" if "last_scan" in said else ""


def _agreement(said: Mapping[str, Any]) -> str:
    if "last_scan" not in said:
        return ""
    scans = f"{said['first_scan']} to {said['last_scan']}"
    if "ends_in_record" not in said:
        return f"what the run header of scans {scans} points to begins inside the file; where it ends, nothing says"
    ends = "not where a scan's record does" if said["ends_in_record"] else "where a scan's record does"
    return f"what the run header of scans {scans} points to begins inside the file, which ends {ends}"


def _shortfall(dataset: Dataset, probes: Mapping[str, Probe], said: Mapping[str, Any]) -> Shortfall | None:
    file = dataset.files[0]
    if _CORRUPTED.fullmatch(dataset.name):
        return Shortfall(VerdictKind.ABORTED, f"the instrument itself named it {printable(file.name)}")
    if file.size_bytes == 0:
        return Shortfall(VerdictKind.ABORTED, f"{printable(file.name)} is empty", LONG_QUIET_S)
    if said.get("in_acquisition"):
        return Shortfall(VerdictKind.ABORTED, "its header says that acquisition goes on", LONG_QUIET_S)
    if _is_hollow(file, said):
        written = f"{show_size(file.size_bytes - said['holes_bytes'])} of {show_size(file.size_bytes)} were written"
        hollow = f"{printable(file.name)} is sparse or preallocated: only {written}"
        return Shortfall(VerdictKind.TRUNCATED, hollow, LONG_QUIET_S)
    sentence = broken_sentence(dataset.files, probes)
    if sentence is not None:
        kind = VerdictKind.TRUNCATED if said.get(thermo_header.UNFINISHED) else VerdictKind.CORRUPT
        return Shortfall(kind, sentence)
    return _ending(file, said) if said.get("ends_in_record") else _too_small(file) if "unknown" in said else None


def _ending(file: FileStat, said: Mapping[str, Any]) -> Shortfall:
    """Say that a file ends inside what its scans' parameters are; a writer may be there still, so it is waited for."""
    found = show_count(said["parameters_bytes"], "byte")
    scans = show_count(said["last_scan"] - said["first_scan"] + 1, "scan")
    sentence = f"{printable(file.name)} ends inside its scans' parameters: {found} are no whole records of {scans}"
    return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)


def _too_small(file: FileStat) -> Shortfall | None:
    if file.size_bytes >= _SMALLEST_BYTES:
        return None
    sentence = f"{printable(file.name)} has only {show_size(file.size_bytes)} (finished ones have 30 KiB and more)"
    return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)


def _is_hollow(file: FileStat, said: Mapping[str, Any]) -> bool:
    return bool(said.get("holes_bytes", 0) > file.size_bytes * (1 - _MOSTLY_WRITTEN))


def _remarks(file: FileStat, said: Mapping[str, Any]) -> Iterable[str]:
    if 0 < file.allocated_bytes < file.size_bytes * _MOSTLY_WRITTEN and not _is_hollow(file, said):
        yield f"takes {show_size(file.allocated_bytes)} on disk (compressed, or written just now)"
    if "unknown" in said:
        yield f"not understood as a Thermo file: {printable(str(said['unknown']), 160)}"
    if "last_scan" in said:
        yield show_count(said["last_scan"] - said["first_scan"] + 1, "scan")
    planned, ran = said.get("planned_min"), said.get("run_time_min")
    if planned and ran and ran / planned < _SHORT_RUN:
        yield f"ran {facts.minutes_of(ran, planned)} planned"
