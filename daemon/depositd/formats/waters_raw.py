"""Waters ``.raw`` directories: no flag says when one has ended, but its index and its data must agree in bytes.

Proven whole: each ``_FUNCnnn.DAT`` has its ``.IDX`` and is exactly as long as the index says; ``_FUNCTNS.INF`` has 416
bytes for each function; the last retention time reaches the inlet's run time, which is rounded.  High-resolution data
cannot be checked that way, and where no inlet tells the run time the end cannot be known: those end by quiescence, and
the verdict says so.  A file that is shorter than the others say is ``truncated``; what disagrees otherwise is
``corrupt``.  File names are case-insensitive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from depositd.formats import facts, waters_files
from depositd.formats.base import About, Defaults
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, broken_sentence, count_unread, decide
from depositd.formats.names import stem_of_directory
from depositd.formats.reading import guarded, probe_file, reader
from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_size

_FUNCTION = re.compile(r"_FUNC(?P<number>[0-9]{3,4})\.(?P<kind>DAT|IDX)")
_FUNCTION_BYTES = 416
_SMALLEST_FUNCTION_BYTES = 2 * 1024
"""PNNL takes no smaller function for a finished one; it counts only where its index does not prove its length."""

_SHORT_RUN = 0.95
_STALLED_S = 600.0


class WatersRaw(Defaults):
    """One ``.raw`` directory with everything below it."""

    name = "waters-raw"
    about = (
        About(
            "Waters .raw",
            "one directory with all below it",
            "index and data agree in bytes, every function of the table, the planned run time; else quiescence",
            ("instrument", "sample", "date", "run_time_min"),
        ),
    )

    def claims(self, directory: str) -> bool:
        """Say whether a directory's name ends in ``.raw``."""
        name = directory.rpartition("/")[2]
        return name.lower().endswith(".raw") and not name.startswith(".")

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each ``.raw`` tree that holds anything, also where no function is there yet."""
        for directory, files in listing.trees.items():
            if files and self.claims(directory):
                key = directory.rpartition("/")[2]
                name = stem_of_directory(directory)
                yield Dataset(name, self.name, listing.directory, key, directory, tuple(files))

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read an index's first and last records, the run time, or the header; other files are only opened."""
        name = stat.name.upper()
        match = _FUNCTION.fullmatch(name)
        if match and match["kind"] == "IDX":
            return probe_file(path, lambda fd, size: guarded(waters_files.index_facts, reader(fd), size))
        if name == "_INLET.INF":
            return probe_file(path, lambda fd, size: guarded(waters_files.inlet_facts, reader(fd), size))
        if name == "_HEADER.TXT":
            return probe_file(path, lambda fd, size: guarded(waters_files.header_facts, reader(fd), size))
        return probe_file(path, lambda _fd, _size: Probe())

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by index against data, functions against their table, and the last scan against the run time."""
        return decide(dataset, _findings(dataset, probes), quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what ``_HEADER.TXT`` says, and the run's length."""
        said = facts.metadata_of(_facts_of(_members(dataset).get("_HEADER.TXT"), probes))
        last_min = _last_min(dataset, probes)
        return said | ({} if last_min is None else {"run_time_min": last_min})


def _members(dataset: Dataset) -> dict[str, FileStat]:
    """Return the files directly in the directory, by upper-case name."""
    return {file.name.upper(): file for file in dataset.files if file.directory == dataset.path}


def _functions(members: Mapping[str, FileStat]) -> list[str]:
    """Return the functions' names, ``_FUNC001`` …, of which data or index is there."""
    return sorted({name[:-4] for name in members if _FUNCTION.fullmatch(name)})


def _facts_of(file: FileStat | None, probes: Mapping[str, Probe]) -> Mapping[str, Any]:
    probe = None if file is None else probes.get(file.path)
    return {} if probe is None else probe.facts


def _findings(dataset: Dataset, probes: Mapping[str, Probe]) -> Findings:
    members = _members(dataset)
    functions = _functions(members)
    unproven = [name for name in functions if "data_bytes" not in _facts_of(members.get(f"{name}.IDX"), probes)]
    shortfall = _shortfall(dataset, probes, members, functions, unproven)
    unknown_time = "planned_min" not in _facts_of(members.get("_INLET.INF"), probes)
    remarks = []
    if functions and unproven and shortfall is None:
        remarks.append(f"{printable(unproven[0])} is not of the kind whose length can be checked")
    if "_FUNCTNS.INF" not in members:
        remarks.append("no _FUNCTNS.INF tells how many functions there should be")
    if functions and unknown_time:
        remarks.append("no _INLET.INF tells the planned run time")
    return Findings(
        (show_count(len(functions), "function"), *remarks),
        proven=bool(functions) and not remarks,
        shortfall=shortfall,
        quiet_s=_STALLED_S if unknown_time else 0.0,
        unread=count_unread(dataset.files, probes),
        agreement=_agreement(functions, unproven, shortfall),
        count=_run_time(dataset, probes, members),
    )


def _agreement(functions: list[str], unproven: list[str], shortfall: Shortfall | None) -> str:
    if shortfall is not None:
        return shortfall.sentence
    proven = len(functions) - len(unproven)
    return f"as long as their index says: {proven} of {show_count(len(functions), 'function')}" if proven else ""


def _run_time(dataset: Dataset, probes: Mapping[str, Probe], members: Mapping[str, FileStat]) -> str:
    """Return how far the last scan reaches into the planned run, where both are known."""
    said, last_min = _facts_of(members.get("_INLET.INF"), probes), _last_min(dataset, probes)
    if "planned_min" not in said or last_min is None:
        return ""
    return f"the last scan is at {facts.minutes_of(last_min, said['planned_min'])} planned"


def _shortfall(
    dataset: Dataset,
    probes: Mapping[str, Probe],
    members: Mapping[str, FileStat],
    functions: list[str],
    unproven: list[str],
) -> Shortfall | None:
    if sentence := broken_sentence(dataset.files, probes):
        return Shortfall(_kind_of_broken(dataset, probes), sentence)
    if not functions:
        return Shortfall(VerdictKind.CORRUPT, "it holds no _FUNC*.DAT, so no Waters data", LONG_QUIET_S)
    for name in functions:
        if problem := _function_problem(name, members, probes):
            return problem
    return (
        _lacking_functions(members, functions, unproven)
        or _short_run(dataset, probes, members)
        or _small_function(members, unproven)
    )


def _kind_of_broken(dataset: Dataset, probes: Mapping[str, Probe]) -> VerdictKind:
    """Return what files with a problem make of a dataset: truncated where each of them only lacks its end."""
    broken = [probes[file.path] for file in dataset.files if file.path in probes and probes[file.path].problem]
    unfinished = all(probe.facts.get(waters_files.UNFINISHED) for probe in broken)
    return VerdictKind.TRUNCATED if unfinished else VerdictKind.CORRUPT


def _function_problem(name: str, members: Mapping[str, FileStat], probes: Mapping[str, Probe]) -> Shortfall | None:
    """Return what is wrong between one function's index and data, or None."""
    data, index = members.get(f"{name}.DAT"), members.get(f"{name}.IDX")
    if data is None:
        return Shortfall(VerdictKind.CORRUPT, f"{name}.IDX stands alone: its .DAT is missing")
    if index is None:
        return Shortfall(VerdictKind.CORRUPT, f"{name}.DAT stands alone: its .IDX is missing")
    return _disagreement(name, data.size_bytes, _facts_of(index, probes))


def _disagreement(name: str, data_bytes: int, said: Mapping[str, Any]) -> Shortfall | None:
    """Compare the size of a function's data with what its index says."""
    if said.get("records") == 0:
        return Shortfall(VerdictKind.TRUNCATED, f"{name}.IDX has no record")
    if "data_bytes" not in said:
        return None
    if rest := said.get("rest_bytes"):
        return Shortfall(VerdictKind.TRUNCATED, f"{name}.IDX ends inside a record, {rest} bytes into it")
    off = data_bytes - said["data_bytes"]
    if off == 0:
        return None
    kind, word = (VerdictKind.CORRUPT, "longer") if off > 0 else (VerdictKind.TRUNCATED, "shorter")
    return Shortfall(kind, f"{name}.DAT is {show_count(abs(off), 'byte')} {word} than its index says")


def _lacking_functions(members: Mapping[str, FileStat], functions: list[str], unproven: list[str]) -> Shortfall | None:
    table = members.get("_FUNCTNS.INF")
    if table is None or unproven or table.size_bytes == _FUNCTION_BYTES * len(functions):
        return None
    planned, rest = divmod(table.size_bytes, _FUNCTION_BYTES)
    if rest:
        return Shortfall(VerdictKind.TRUNCATED, f"_FUNCTNS.INF ends inside an entry, {rest} bytes into it")
    sentence = f"{show_count(len(functions), 'function')}, but _FUNCTNS.INF tells of {planned}"
    return Shortfall(VerdictKind.TRUNCATED, sentence, _STALLED_S)


def _small_function(members: Mapping[str, FileStat], unproven: list[str]) -> Shortfall | None:
    for name in unproven:
        size_bytes = members[f"{name}.DAT"].size_bytes
        if size_bytes < _SMALLEST_FUNCTION_BYTES:
            sentence = f"{name}.DAT has only {show_size(size_bytes)} (finished ones have 2 KiB and more)"
            return Shortfall(VerdictKind.TRUNCATED, sentence, LONG_QUIET_S)
    return None


def _last_min(dataset: Dataset, probes: Mapping[str, Probe]) -> float | None:
    members = _members(dataset)
    said = [_facts_of(members.get(f"{name}.IDX"), probes) for name in _functions(members)]
    return max((facts["last_min"] for facts in said if "last_min" in facts), default=None)


def _short_run(dataset: Dataset, probes: Mapping[str, Probe], members: Mapping[str, FileStat]) -> Shortfall | None:
    """Compare the last scan of any function with the inlet's run time: a stopped run ends before it."""
    said = _facts_of(members.get("_INLET.INF"), probes)
    last_min = _last_min(dataset, probes)
    if "planned_min" not in said or last_min is None:
        return None
    if last_min >= (said["planned_min"] - said["rounding_min"]) * _SHORT_RUN:
        return None
    return Shortfall(VerdictKind.TRUNCATED, _run_time(dataset, probes, members), _STALLED_S)
