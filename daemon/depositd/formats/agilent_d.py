"""Agilent ``.d`` directories: MassHunter says itself when an acquisition has ended; its table of scans must agree.

Proven whole: ``AcqData/Contents.xml`` has ``AcqStatus`` 2, every record of ``MSScan.bin`` lies inside ``MSPeak.bin`` or
``MSProfile.bin``, and there are as many as ``MSTS.xml`` tells, where there is one.

``AcqStatus`` 2 alone proves nothing: a program that copies a directory can bring that small file first.  Such a run
ends by an hour of quiescence, and the verdict says so, where there is no ``MSScan.bin`` (other detectors alone), where
its records cannot be checked (``MSScan.xsd`` is not there, or declares something else), or where half of what another
detector writes is missing (``FID1.cd`` without ``FID1.cg``).  So does a ChemStation directory (``data.ms`` or ``*.ch``
without ``AcqData``), which says nothing of itself.  File names are case-insensitive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from depositd.formats import agilent_files, facts
from depositd.formats.base import About, Defaults
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, count_unread, decide
from depositd.formats.reading import ReadAt, guarded, probe_file, reader
from depositd.formats.trees import WAITS, broken, dataset_of, facts_of, has_suffix, members_of
from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_size

_ACQDATA = "acqdata"
_CONTENTS = "acqdata/contents.xml"
_SCANS = "acqdata/msscan.bin"
_SCHEMA = "acqdata/msscan.xsd"
_SEGMENTS = "acqdata/msts.xml"
_SAMPLE = "acqdata/sample_info.xml"
_DEVICES = "acqdata/devices.xml"
_SPECTRA = ("acqdata/mspeak.bin", "acqdata/msprofile.bin")
_OTHER_DATA = (".cd", ".cg", ".sd", ".sp")
"""Suffixes of chromatograms and spectra of other detectors in ``AcqData``."""
_HALVES = {".cd": ".cg", ".cg": ".cd", ".sd": ".sp", ".sp": ".sd"}
"""What describes the data of such a detector, and the data, by each other's suffix."""

_CHEMSTATION_SUFFIXES = (".ms", ".ch", ".uv")
_CHEMSTATION_NAMES = frozenset({"runstart.txt", "pre_post.ini", "acqmeth.txt", "gc.ini", "acq.macaml"})
_SAYS_NOTHING = "no AcqData: nothing in a ChemStation directory says when it is whole"
_STALLED_S = 600.0
_PARSERS: dict[str, Callable[[ReadAt, int], Probe]] = {
    "contents.xml": agilent_files.contents_facts,
    "mspeak.bin": agilent_files.peak_facts,
    "msprofile.bin": agilent_files.profile_facts,
    "msts.xml": agilent_files.segment_facts,
    "devices.xml": agilent_files.device_facts,
    "sample_info.xml": agilent_files.sample_facts,
}


class AgilentD(Defaults):
    """One Agilent ``.d`` directory with everything below it."""

    name = "agilent-d"
    about = (
        About(
            "Agilent .d (MassHunter)",
            "one directory with all below it",
            "AcqStatus 2 in AcqData/Contents.xml, and every scan of MSScan.bin lies inside the data; "
            "without an MSScan.bin that can be checked: AcqStatus 2 and quiescence of an hour",
            ("instrument", "instrument_serial", "sample", "date", "run_time_min"),
        ),
        About("Agilent .d (ChemStation)", "one directory with all below it", "a marker, else quiescence of an hour"),
    )

    def claims(self, directory: str) -> bool:
        """Say whether a directory's name ends in ``.d``."""
        return has_suffix(directory, ".d")

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each ``.d`` tree that holds what Agilent's programs write."""
        for directory, files in listing.trees.items():
            if self.claims(directory) and is_agilent(directory, files):
                yield dataset_of(directory, tuple(files), self.name)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the status, the table of scans or what describes them; other files are only opened."""
        parse = _parser(path, stat)
        return probe_file(path, lambda fd, size: guarded(parse, reader(fd), size) if parse else Probe())

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the status and the table of scans, else by quiescence."""
        return decide(dataset, _findings(dataset, probes), quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the files of ``AcqData`` say of instrument, sample and run."""
        members = members_of(dataset)
        said: dict[str, Any] = {}
        for name in (_SAMPLE, _DEVICES, _SCANS, _CONTENTS):
            said |= facts_of(members.get(name), probes)
        return facts.metadata_of(said)


def is_agilent(directory: str, files: Iterable[FileStat]) -> bool:
    """Say whether a tree holds what MassHunter or ChemStation write."""
    below = len(directory) + 1
    return any(_is_own(file.path[below:].lower()) for file in files)


def _is_own(name: str) -> bool:
    """Say whether a file is Agilent's by its lower-case path below the ``.d`` directory."""
    if "/" in name:
        return name.startswith(_ACQDATA + "/")
    return name in _CHEMSTATION_NAMES or name.endswith(_CHEMSTATION_SUFFIXES)


def _parser(path: str, stat: FileStat) -> Callable[[ReadAt, int], Probe] | None:
    name, place = stat.name.lower(), stat.directory.lower()
    if place.endswith("/" + _ACQDATA):
        return partial(_scans, path) if name == "msscan.bin" else _PARSERS.get(name)
    return agilent_files.chemstation_facts if place.endswith(".d") and name.endswith(".ms") else None


def _scans(path: str, read_at: ReadAt, size_bytes: int) -> Probe:
    """Read a table of scans by the layout that lies beside it; without one it is read again at each look."""
    text = probe_file(path[: -len("bin")] + "xsd", lambda fd, _size: _schema(reader(fd)))
    if "schema" not in text.facts:
        return _unchecked(f"MSScan.xsd {text.problem}")
    try:
        layout = agilent_files.parse_layout(text.facts["schema"])
        return Probe(facts=agilent_files.scan_facts(read_at, size_bytes, layout))
    except agilent_files.Unknown as unknown:
        return _unchecked(str(unknown))


def _unchecked(why: str) -> Probe:
    return Probe("cannot be checked", retry=True, facts={"unknown": why, WAITS: True})


def _schema(read_at: ReadAt) -> Probe:
    return Probe(facts={"schema": read_at(0, agilent_files.TEXT_BYTES).decode("utf-8-sig", "replace")})


def _findings(dataset: Dataset, probes: Mapping[str, Probe]) -> Findings:
    members = members_of(dataset)
    by_masshunter = any(name.startswith(_ACQDATA + "/") for name in members)
    shortfall = broken(dataset, probes, _STALLED_S)
    if by_masshunter:
        shortfall = shortfall or _status_shortfall(members, probes) or _scans_shortfall(members, probes)
    else:
        shortfall = shortfall or _empty_data(members)
    scans = facts_of(members.get(_SCANS), probes)
    doubts = tuple(_doubts(members, scans)) if by_masshunter else (_SAYS_NOTHING,)
    proven = shortfall is None and not doubts
    return Findings(
        (*_counted(dataset, scans), *(doubts if shortfall is None else ())),
        proven=proven,
        shortfall=shortfall,
        quiet_s=0.0 if proven else LONG_QUIET_S,
        unread=count_unread(dataset.files, probes),
        flag=_flag(facts_of(members.get(_CONTENTS), probes)),
        agreement=_agreement(members, scans),
        count=_count(members, probes),
        awaits="MSScan.xsd, which describes its scans" if _SCANS in members and _SCHEMA not in members else "",
    )


def _counted(dataset: Dataset, scans: Mapping[str, Any]) -> Iterable[str]:
    yield show_count(scans["records"], "scan") if "records" in scans else show_size(dataset.size_bytes)


def _doubts(members: Mapping[str, FileStat], scans: Mapping[str, Any]) -> Iterable[str]:
    """Say why the status of an acquisition does not prove that its data are there."""
    if _SCANS not in members:
        yield "no MSScan.bin: nothing says how long the data of other detectors must be"
    elif _SCHEMA not in members:
        yield "its scans cannot be checked: MSScan.xsd is missing"
    elif "last_end" not in scans:
        yield f"its scans cannot be checked: {printable(str(scans.get('unknown', 'they were not read')), 160)}"
    for name, file in members.items():
        stem, dot, suffix = name.rpartition(".")
        half = _HALVES.get(dot + suffix)
        if half and name.startswith(_ACQDATA + "/") and stem + half not in members:
            yield f"{printable(file.name)} is there without its {half}"


def _flag(contents: Mapping[str, Any]) -> str:
    told = {0: "acquisition has not begun", 1: "acquisition goes on", 2: "acquisition has ended"}
    status = contents.get("status")
    return "" if status is None else f"AcqStatus {status}: {told.get(status, 'a state that is not known')}"


def _status_shortfall(members: Mapping[str, FileStat], probes: Mapping[str, Probe]) -> Shortfall | None:
    """Wait while the instrument's own flag does not say that the acquisition has ended."""
    if _CONTENTS not in members:
        return Shortfall(VerdictKind.TRUNCATED, "AcqData holds no Contents.xml yet", LONG_QUIET_S)
    contents = facts_of(members[_CONTENTS], probes)
    if contents.get("status") != agilent_files.ENDED:
        return Shortfall(VerdictKind.ABORTED, f"Contents.xml has {_flag(contents) or 'no status'}", LONG_QUIET_S)
    return None


def _scans_shortfall(members: Mapping[str, FileStat], probes: Mapping[str, Probe]) -> Shortfall | None:
    """Compare the table of scans with the spectra that it points to and the time segments that count them."""
    present = [name for name in _SPECTRA if name in members]
    if _SCANS not in members:
        return _without_scans(members, present)
    scans = facts_of(members[_SCANS], probes)
    if scans.get("records") == 0:
        return Shortfall(VerdictKind.TRUNCATED, "MSScan.bin counts no scan", LONG_QUIET_S)
    if not present:
        alone = "MSScan.bin stands alone: MSPeak.bin or MSProfile.bin is missing"
        return Shortfall(VerdictKind.TRUNCATED, alone, LONG_QUIET_S)
    planned = facts_of(members.get(_SEGMENTS), probes).get("planned_scans")
    short = _short_spectra(members, scans)
    if short is None and planned is not None and planned != scans.get("records", planned):
        return Shortfall(VerdictKind.TRUNCATED, _count(members, probes), _STALLED_S)
    return short


def _short_spectra(members: Mapping[str, FileStat], scans: Mapping[str, Any]) -> Shortfall | None:
    size_bytes, name = _largest(members)
    if size_bytes == 0:
        return Shortfall(VerdictKind.TRUNCATED, f"{name} is empty", LONG_QUIET_S)
    lacking = scans.get("last_end", 0) - size_bytes
    if lacking <= 0:
        return None
    sentence = f"{name} ends {show_count(lacking, 'byte')} before the end of its last scan"
    return Shortfall(VerdictKind.TRUNCATED, sentence, _STALLED_S)


def _without_scans(members: Mapping[str, FileStat], present: list[str]) -> Shortfall | None:
    """Accept an acquisition of other detectors alone; one that has no data at all is not yet there."""
    if present:
        alone = f"{members[present[0]].name} stands alone: MSScan.bin is missing"
        return Shortfall(VerdictKind.TRUNCATED, printable(alone), LONG_QUIET_S)
    if any(name.endswith(_OTHER_DATA) and file.size_bytes for name, file in members.items()):
        return None
    return Shortfall(VerdictKind.TRUNCATED, "AcqData holds no data yet", LONG_QUIET_S)


def _largest(members: Mapping[str, FileStat]) -> tuple[int, str]:
    """Return size and name of the larger file of spectra.

    Where peaks and profiles are both there, no document says which of them a record points to.
    """
    return max((members[name].size_bytes, printable(members[name].name)) for name in _SPECTRA if name in members)


def _agreement(members: Mapping[str, FileStat], scans: Mapping[str, Any]) -> str:
    if "last_end" not in scans or not any(name in members for name in _SPECTRA):
        return ""
    size_bytes, name = _largest(members)
    return f"the scans of MSScan.bin reach to byte {scans['last_end']:,} of {name}, which has {size_bytes:,}"


def _count(members: Mapping[str, FileStat], probes: Mapping[str, Probe]) -> str:
    planned = facts_of(members.get(_SEGMENTS), probes).get("planned_scans")
    records = facts_of(members.get(_SCANS), probes).get("records")
    if planned is None or records is None:
        return ""
    return f"MSScan.bin holds {records:,} of the {planned:,} scans that MSTS.xml tells of"


def _empty_data(members: Mapping[str, FileStat]) -> Shortfall | None:
    """Wait for data in a ChemStation directory: a method and a log alone are none."""
    data = {name: file for name, file in members.items() if "/" not in name and name.endswith(_CHEMSTATION_SUFFIXES)}
    if not data:
        return Shortfall(VerdictKind.TRUNCATED, "it holds no .ms, .ch or .uv file yet", LONG_QUIET_S)
    empty = next((file for file in data.values() if file.size_bytes == 0), None)
    return Shortfall(VerdictKind.TRUNCATED, f"{printable(empty.name)} is empty", LONG_QUIET_S) if empty else None
