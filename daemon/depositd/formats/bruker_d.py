"""Bruker ``.d`` directories: what the index of a timsTOF says must be what its data hold.

Proven whole: no journal of SQLite's lies beside the index, and ``analysis.tdf_bin`` ends where the last frame of
``analysis.tdf`` ends (a little may follow, nothing may lack).  An ``analysis.tsf``, ``.baf`` or ``.yep`` cannot be
checked: those end by quiescence, and the verdict says so.  ``ClosedProperly`` in the index is believed where it says
no; what it says while an instrument writes was not seen.

Agilent's directories have the same suffix.  What lies in one decides: Bruker's data are named ``analysis.*``.  Where
the rule says ``bruker-d``, a directory that shows neither is taken too, so that it is not lost from sight, and waits
for its data; under ``auto`` it is nobody's until one format recognises it (``/etc/conf.d`` is no acquisition).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from depositd.formats import bruker_tdf, facts
from depositd.formats.agilent_d import is_agilent
from depositd.formats.base import About, Defaults
from depositd.formats.bruker_tdf import DATA_SUFFIX, JOURNAL_SUFFIXES, WAL_SUFFIX, Seen
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, count_unread, decide
from depositd.formats.reading import probe_file
from depositd.formats.trees import broken, dataset_of, facts_of, has_suffix, members_of
from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_size

_TDF, _TSF = "analysis.tdf", "analysis.tsf"
_UNCHECKED = (_TSF, "analysis.baf", "analysis.yep", "ser", "fid")
_DATA = frozenset({_TDF, _TDF + DATA_SUFFIX, _TSF + DATA_SUFFIX, *_UNCHECKED})
_SMALLEST_INDEX_BYTES = 50 * 1024
"""PNNL takes no smaller index for a finished one; it counts only where nothing proves the end."""

_STALLED_S = 600.0
_TOLERANCE_BYTES = 64 * 1024
_MOST_HOLES = 0.01
_TOLERANCE = 0.001
"""What may follow the last frame is the larger of 64 KiB and 0.1 % of the data."""


class BrukerD(Defaults):
    """One Bruker ``.d`` directory with everything below it.

    With ``recognised_only`` a directory is taken once it holds Bruker's data, and not while it holds nobody's.
    """

    name = "bruker-d"
    about = (
        About(
            "Bruker .d (timsTOF)",
            "one directory with all below it",
            "the last frame of the index (analysis.tdf) ends where analysis.tdf_bin ends, and no journal is left",
            ("instrument", "instrument_serial", "sample", "date", "frames", "run_time_min"),
        ),
        About(
            "Bruker .d (.tsf, .baf, .yep)",
            "one directory with all below it",
            "a marker, else quiescence of an hour",
            ("instrument", "instrument_serial", "sample", "date"),
        ),
    )

    def __init__(self, *, recognised_only: bool = False) -> None:
        self._recognised_only = recognised_only

    def claims(self, directory: str) -> bool:
        """Say whether a directory's name ends in ``.d``."""
        return has_suffix(directory, ".d")

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each ``.d`` tree that holds Bruker's data, or nobody's yet."""
        for directory, files in listing.trees.items():
            if files and self.claims(directory) and self._takes(directory, files):
                yield dataset_of(directory, tuple(files), self.name)

    def _takes(self, directory: str, files: Iterable[FileStat]) -> bool:
        return is_bruker(directory, files) or not (self._recognised_only or is_agilent(directory, files))

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the index, and in the data the frame that it names last; other files are only opened."""
        name = stat.name.lower()
        if name == _TDF:
            return bruker_tdf.probe_index(path)
        if name == _TDF + DATA_SUFFIX:
            return bruker_tdf.probe_data(path)
        if name == _TSF:
            return bruker_tdf.probe_metadata(path)
        return probe_file(path, lambda _descriptor, size: Probe(facts={"bytes": size}))

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by index against data, else by quiescence."""
        return decide(dataset, _findings(dataset, probes), quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the index says of instrument, sample and run."""
        members = members_of(dataset)
        return facts.metadata_of(_pair(members, probes) or facts_of(members.get(_TSF), probes))


def is_bruker(directory: str, files: Iterable[FileStat]) -> bool:
    """Say whether a tree holds data by Bruker's names, directly in its directory."""
    return any(file.directory == directory and file.name.lower() in _DATA for file in files)


def _pair(members: Mapping[str, FileStat], probes: Mapping[str, Probe]) -> Mapping[str, Any]:
    """Return what a probe said of index and data as they are now.

    Each of the two is read when it is still, and looks at the other: the one read last saw both in their final state.
    """
    index, data = members.get(_TDF), members.get(_TDF + DATA_SUFFIX)
    if index is None or data is None:
        return {}
    now = Seen(index.size_bytes, index.mtime_ns, data.size_bytes, data.mtime_ns)
    for file in (index, data):
        said = facts_of(file, probes)
        if said.get("seen") == list(now):
            return said
    return {}


def _findings(dataset: Dataset, probes: Mapping[str, Probe]) -> Findings:
    members = members_of(dataset)
    said = _pair(members, probes)
    shortfall = _being_written(members) or broken(dataset, probes, _STALLED_S) or _without_data(members)
    if _TDF in members:
        shortfall = shortfall or _tdf_shortfall(said, members)
    proven = "last_offset" in said and shortfall is None
    if not proven:
        shortfall = shortfall or _too_small(members)
    return Findings(
        (_counted(dataset, said), *_remarks(members, said, probes)),
        proven=proven,
        shortfall=shortfall,
        quiet_s=0.0 if proven else LONG_QUIET_S,
        unread=count_unread(dataset.files, probes),
        flag=_flag(said or facts_of(members.get(_TSF), probes)),
        agreement=_agreement(said, members) if proven else shortfall.sentence if shortfall and said else "",
    )


def _counted(dataset: Dataset, said: Mapping[str, Any]) -> str:
    return show_count(said["frames"], "frame") if "frames" in said else show_size(dataset.size_bytes)


def _remarks(members: Mapping[str, FileStat], said: Mapping[str, Any], probes: Mapping[str, Probe]) -> Iterable[str]:
    if said.get("wal_mode") or facts_of(members.get(_TSF), probes).get("wal_mode"):
        yield "the index is in WAL mode: a program that opens it in the usual way can change it"
    if "unknown" in said:
        yield printable(str(said["unknown"]), 160)
    if _TDF not in members and (kind := _unchecked(members)):
        yield f"nothing in {kind} says when it is whole"


def _unchecked(members: Mapping[str, FileStat]) -> str | None:
    return next((name for name in _UNCHECKED if name in members), None)


def _flag(said: Mapping[str, Any]) -> str:
    told = {"0": "was not closed properly", "1": "was closed properly"}.get(str(said.get("closed_properly", "")))
    return f"its index says that it {told}" if told else ""


def _agreement(said: Mapping[str, Any], members: Mapping[str, FileStat]) -> str:
    end, size = said["last_offset"] + said["last_bytes"], members[_TDF + DATA_SUFFIX].size_bytes
    return f"the last frame of the index ends at byte {end:,} of analysis.tdf_bin, which has {size:,}"


def _being_written(members: Mapping[str, FileStat]) -> Shortfall | None:
    """Name a journal of SQLite's: a writer has not ended, or died."""
    for name, file in members.items():
        if name.endswith(JOURNAL_SUFFIXES) or (name.endswith(WAL_SUFFIX) and file.size_bytes > 0):
            sentence = f"{printable(file.name)} ({show_size(file.size_bytes)}) is there: a database is being written"
            return Shortfall(VerdictKind.ABORTED, sentence, LONG_QUIET_S)
    return None


def _without_data(members: Mapping[str, FileStat]) -> Shortfall | None:
    """Say which file of Bruker's is missing."""
    if not _DATA & members.keys():
        sentence = "it holds neither Bruker's analysis.tdf, .tsf or .baf nor Agilent's AcqData or .ms, so no data yet"
        return Shortfall(VerdictKind.CORRUPT, sentence, LONG_QUIET_S)
    for index in (_TDF, _TSF):
        if index in members and index + DATA_SUFFIX not in members:
            return Shortfall(VerdictKind.TRUNCATED, f"{index} stands alone: {index}_bin is missing", LONG_QUIET_S)
        if index + DATA_SUFFIX in members and index not in members:
            return Shortfall(VerdictKind.TRUNCATED, f"{index}_bin stands alone: {index} is missing", LONG_QUIET_S)
    empty = next((members[name] for name in sorted(_DATA & members.keys()) if not members[name].size_bytes), None)
    return Shortfall(VerdictKind.TRUNCATED, f"{printable(empty.name)} is empty", LONG_QUIET_S) if empty else None


def _tdf_shortfall(said: Mapping[str, Any], members: Mapping[str, FileStat]) -> Shortfall | None:
    """Say what index and data lack; nothing where the index cannot be understood."""
    if not said:
        sentence = "analysis.tdf and analysis.tdf_bin have not been compared since they changed"
        return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)
    if str(said.get("closed_properly")) == "0":
        return Shortfall(VerdictKind.ABORTED, "its index says that it was not closed properly", LONG_QUIET_S)
    if said.get("frames") == 0:
        return Shortfall(VerdictKind.ABORTED, "its index counts no frame", LONG_QUIET_S)
    if "last_offset" not in said:
        return None
    size_bytes = members[_TDF + DATA_SUFFIX].size_bytes
    return _last_frame(said, size_bytes) or _holes(said, size_bytes)


def _last_frame(said: Mapping[str, Any], size_bytes: int) -> Shortfall | None:
    """Compare the frame that the index names last with what the data hold."""
    offset = int(said["last_offset"])
    if "last_bytes" not in said:
        return Shortfall(VerdictKind.TRUNCATED, _ends_early(offset + 8 - size_bytes, "at least "), _STALLED_S)
    if not said["last_bytes"] or said["last_blank"]:
        zeros = f"analysis.tdf_bin has zeros where its last frame belongs (byte {offset:,}): it was never written"
        return Shortfall(VerdictKind.TRUNCATED, zeros, _STALLED_S)
    if said["last_bytes"] <= 8 or said.get("last_scans", said["last_scans_found"]) != said["last_scans_found"]:
        other = f"analysis.tdf_bin does not hold the last frame where the index has it (byte {offset:,})"
        return Shortfall(VerdictKind.CORRUPT, other, _STALLED_S)
    surplus_bytes = size_bytes - offset - int(said["last_bytes"])
    if surplus_bytes < 0:
        return Shortfall(VerdictKind.TRUNCATED, _ends_early(-surplus_bytes), _STALLED_S)
    return _surplus(surplus_bytes, size_bytes)


def _ends_early(lacking_bytes: int, about: str = "") -> str:
    return f"analysis.tdf_bin ends {about}{show_count(lacking_bytes, 'byte')} before the end of its last frame"


def _surplus(surplus_bytes: int, size_bytes: int) -> Shortfall | None:
    if surplus_bytes <= max(_TOLERANCE_BYTES, size_bytes * _TOLERANCE):
        return None
    sentence = f"analysis.tdf_bin is {show_size(surplus_bytes)} longer than its index says"
    return Shortfall(VerdictKind.TRUNCATED, sentence, _STALLED_S)


def _holes(said: Mapping[str, Any], size_bytes: int) -> Shortfall | None:
    """Refuse data with holes: compressed frames have few zeros that a copying program could leave out."""
    if said.get("holes_bytes", 0) <= size_bytes * _MOST_HOLES:
        return None
    lacking = f"{show_size(said['holes_bytes'])} of {show_size(size_bytes)} were never written"
    return Shortfall(VerdictKind.TRUNCATED, f"analysis.tdf_bin is sparse or preallocated: {lacking}", LONG_QUIET_S)


def _too_small(members: Mapping[str, FileStat]) -> Shortfall | None:
    """Doubt an index that is smaller than any finished one, where nothing else speaks for it."""
    index = members.get(_TDF) or members.get(_TSF)
    if index is None or index.size_bytes >= _SMALLEST_INDEX_BYTES:
        return None
    sentence = f"{printable(index.name)} has only {show_size(index.size_bytes)} (finished ones have 50 KiB and more)"
    return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)
