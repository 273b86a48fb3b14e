"""Eiger: a master file that links to data files, as the detector's file writer and Diamond's write them.

The master appears when the detector is armed and says how many images were asked for; data files follow while
images come, the last one at the end.  After an abort the master links to files that never come.  So a dataset is
complete where the frames in its closed data files are as many as the master says; a master alone means nothing.

The master is ``P_master.h5`` (or ``P.nxs`` beside data files), data are ``P_data_000001.h5`` or ``P_000001.h5``, and
``P_meta.h5`` belongs to it.  Links are read, never followed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from depositd.formats import eiger_files, facts
from depositd.formats.base import About, Defaults
from depositd.formats.hdf5 import OPEN_FACT, probe_hdf5
from depositd.formats.ladder import LONG_QUIET_S, Findings, Shortfall, broken_sentence, count_unread, decide
from depositd.formats.names import is_temporary
from depositd.formats.series import missing_numbers
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
from depositd.units import printable, show_count, show_numbers

_MASTER = re.compile(r"(?P<stem>.+)_master\.h5", re.DOTALL)
_NEXUS = re.compile(r"(?P<stem>.+)\.nxs", re.DOTALL)
_META = re.compile(r"(?P<stem>.+)_meta\.h5", re.DOTALL)
_DATA = re.compile(r"(?P<stem>.+?)(?:_data)?_(?P<number>[0-9]{6})\.h5", re.DOTALL)
_SHORTEST_FLOOR_S = 600.0
_FLOOR_FILES = 10
_DEFAULT_IMAGES_PER_FILE = 1000


class Eiger(Defaults):
    """A master with its data files."""

    name = "eiger"
    about = (
        About(
            "Eiger HDF5 (DECTRIS, Diamond)",
            "the master's stem: master, data files, .nxs, _meta.h5",
            "frames in closed data files = nimages * ntrigger, or NXmx end_time; else quiescence",
            facts.KEYS,
        ),
    )

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group masters and data files by their common stem."""
        groups: dict[str, list[FileStat]] = defaultdict(list)
        joining: dict[str, list[FileStat]] = defaultdict(list)  # these make no dataset by themselves
        for file in listing.files:
            if is_temporary(file.name):
                continue
            if match := _MASTER.fullmatch(file.name) or _DATA.fullmatch(file.name):
                groups[match["stem"]].append(file)
            elif match := _NEXUS.fullmatch(file.name) or _META.fullmatch(file.name):
                joining[match["stem"]].append(file)
        for stem, files in groups.items():
            members = tuple(sorted((*files, *joining[stem]), key=lambda file: file.path))
            yield Dataset(stem, self.name, listing.directory, stem, listing.directory, members)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the superblock, and of a closed file what it counts and links to."""
        if _DATA.fullmatch(stat.name):
            return probe_hdf5(path, eiger_files.data_facts)
        if _is_master(stat.name):
            return probe_hdf5(path, eiger_files.master_facts)
        return probe_hdf5(path, eiger_files.other_facts)

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the master's count against the frames in closed data files."""
        return decide(dataset, _findings(dataset, probes, terms), quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the master says, and the number of frames that are there."""
        said = _master_facts(dataset, probes)
        return facts.metadata_of(said) | {"frames": _present(dataset, probes, said)}


def _is_master(name: str) -> bool:
    return _MASTER.fullmatch(name) is not None or _NEXUS.fullmatch(name) is not None


def _data_files(dataset: Dataset) -> list[FileStat]:
    return [file for file in dataset.files if _DATA.fullmatch(file.name)]


def _master_facts(dataset: Dataset, probes: Mapping[str, Probe]) -> Mapping[str, Any]:
    """Return the facts of the ``_master.h5``, or of the ``.nxs`` where there is none."""
    masters = [file for file in dataset.files if _is_master(file.name)]
    for file in sorted(masters, key=lambda file: not _MASTER.fullmatch(file.name)):
        if (probe := probes.get(file.path)) is not None and probe.facts:
            return probe.facts
    return {}


def _data_facts(dataset: Dataset, probes: Mapping[str, Probe]) -> list[Mapping[str, Any]]:
    return [probe.facts for file in _data_files(dataset) if (probe := probes.get(file.path)) is not None]


def _present(dataset: Dataset, probes: Mapping[str, Probe], master: Mapping[str, Any]) -> int:
    own = int(master.get("own_frames", 0))
    return own + sum(int(said.get("frames", 0)) for said in _data_facts(dataset, probes))


def _findings(dataset: Dataset, probes: Mapping[str, Probe], terms: Terms) -> Findings:
    master = _master_facts(dataset, probes)
    present = _present(dataset, probes, master)
    expected = max((n for n in (master.get("expected_frames"), terms.expected_frames) if n is not None), default=None)
    floor_s = _floor_s(dataset, probes, master, terms)
    missing, missing_total = _missing_images(dataset, probes)
    shortfall = (
        _outside(master)
        or _open(dataset, probes, floor_s)
        or _broken(dataset, probes, floor_s)
        or _no_master(dataset, floor_s)
        or _absent_links(dataset, master, present, expected, floor_s)
        or _holes(missing, missing_total, dataset, floor_s)
        or _too_few(present, expected, floor_s)
    )
    return Findings(
        _counted(present, expected),
        Frames(present, expected, missing),
        proven=present == expected or (expected is None and present > 0 and "end_time" in master),
        shortfall=shortfall,
        quiet_s=floor_s,
        unread=count_unread(dataset.files, probes),
    )


def _floor_s(dataset: Dataset, probes: Mapping[str, Probe], master: Mapping[str, Any], terms: Terms) -> float:
    """Return the quiet after which no further file will come: ten times what one data file takes, in seconds."""
    counts = [int(said.get("frames", 0)) for said in _data_facts(dataset, probes)]
    most = min(master.get("expected_frames") or _DEFAULT_IMAGES_PER_FILE, _DEFAULT_IMAGES_PER_FILE)
    images_per_file = master.get("images_per_file") or max(counts, default=0) or most
    frame_time_s = master.get("frame_period_s", 0.0)
    fill_s = min(frame_time_s * images_per_file, LONG_QUIET_S) if frame_time_s > 0 else 0.0
    return max(_FLOOR_FILES * fill_s, terms.settle_s, _SHORTEST_FLOOR_S)


def _counted(present: int, expected: int | None) -> tuple[str, ...]:
    if expected is None:
        return (f"{present} {'frame' if present == 1 else 'frames'}",)
    if present > expected:
        return (f"{present} frames, {expected} expected: {show_count(present - expected, 'frame')} too many",)
    return (f"{present} of {expected} frames",)


def _outside(master: Mapping[str, Any]) -> Shortfall | None:
    """Refuse links that leave the dataset's directory: an archive could not hold what they name."""
    outside = [name for name in master.get("links", ()) if "/" in name]
    if not outside:
        return None
    return Shortfall(
        VerdictKind.CORRUPT, f"the master links to {printable(outside[0], 200)}, outside the dataset's directory"
    )


def _open(dataset: Dataset, probes: Mapping[str, Probe], floor_s: float) -> Shortfall | None:
    for file in dataset.files:
        if (probe := probes.get(file.path)) is not None and probe.facts.get(OPEN_FACT):
            sentence = f"{printable(file.name)} {probe.problem}"
            return Shortfall(VerdictKind.ABORTED, sentence, max(floor_s, LONG_QUIET_S))
    return None


def _broken(dataset: Dataset, probes: Mapping[str, Probe], floor_s: float) -> Shortfall | None:
    sentence = broken_sentence(dataset.files, probes)
    return Shortfall(VerdictKind.CORRUPT, sentence, floor_s) if sentence else None


def _no_master(dataset: Dataset, floor_s: float) -> Shortfall | None:
    if any(_is_master(file.name) for file in dataset.files):
        return None
    return Shortfall(VerdictKind.TRUNCATED, f"no master file ({printable(dataset.name)}_master.h5)", floor_s)


def _absent_links(
    dataset: Dataset, master: Mapping[str, Any], present: int, expected: int | None, floor_s: float
) -> Shortfall | None:
    """Name linked files that are not there.

    Some file writers link to a round number of files when they are armed; where the count is met, links to
    files that were never needed lead nowhere and do no harm.
    """
    here = {file.name for file in dataset.files}
    absent = sorted(set(master.get("links", ())) - here)
    if not absent or (expected is not None and present >= expected):
        return None
    more = f" (and {show_count(len(absent) - 1, 'more file')})" if len(absent) > 1 else ""
    return Shortfall(VerdictKind.ABORTED, f"{printable(absent[0])} never came{more}", floor_s)


def _missing_images(dataset: Dataset, probes: Mapping[str, Probe]) -> tuple[tuple[int, ...], int]:
    """Return the image numbers that lie between those of the data files, where all files tell theirs."""
    told = _data_facts(dataset, probes)
    if not told or not all({"image_low", "image_high"} <= said.keys() for said in told):
        return (), 0
    ranges = sorted((int(said["image_low"]), int(said["image_high"])) for said in told)
    edges = [ranges[0][0] - 1]
    gaps: list[int] = []
    total = 0
    for low, high in ranges:
        missing, count = missing_numbers([edges[-1], max(low, edges[-1] + 1)])
        gaps.extend(missing)
        total += count
        edges.append(max(high, edges[-1]))
    return tuple(gaps[:1000]), total


def _holes(missing: tuple[int, ...], total: int, dataset: Dataset, floor_s: float) -> Shortfall | None:
    if total:
        noun = "image" if total == 1 else "images"
        return Shortfall(VerdictKind.GAPPED, f"{noun} {show_numbers(missing)} missing between data files", floor_s)
    numbers = sorted(int(match["number"]) for file in dataset.files if (match := _DATA.fullmatch(file.name)))
    files, count = missing_numbers(numbers)
    if count:
        noun = "data file" if count == 1 else "data files"
        return Shortfall(VerdictKind.GAPPED, f"{noun} {show_numbers(files)} missing", floor_s)
    return None


def _too_few(present: int, expected: int | None, floor_s: float) -> Shortfall | None:
    if present == 0:
        return Shortfall(VerdictKind.ABORTED, "no frame was written", floor_s)
    if expected is None or present >= expected:
        return None
    return Shortfall(VerdictKind.ABORTED, f"{show_count(expected - present, 'frame')} never came", floor_s)
