"""Eiger: a master file that links to data files, as the detector's file writer and Diamond's write them.

The master appears when the detector is armed and says how many images were asked for; data files follow while
images come, the last one at the end.  After an abort the master links to files that never come.  So a dataset is
complete where the frames in its closed data files are as many as the master says; a master alone means nothing.

A NeXus master (``P.nxs``, NXmx) may link to its data files, map them to one virtual stack, or hold the images
itself; its ``end_time`` is there only once the acquisition has finished, and not after an abort.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from depositd.formats import eiger_checks, eiger_header, facts
from depositd.formats.base import About, Defaults
from depositd.formats.eiger_names import Role, parse_name
from depositd.formats.eiger_series import Series, series_of
from depositd.formats.hdf5 import OPEN_FACT, probe_hdf5
from depositd.formats.ladder import Findings, count_unread, decide, is_whole
from depositd.formats.names import ending_with
from depositd.model import Dataset, FileStat, Frames, Listing, Metadata, Probe, Quiet, Terms, Verdict
from depositd.units import printable, show_count

_READERS = {Role.DATA: "data", Role.MASTER: "master", Role.NEXUS: "master", Role.META: "meta"}


class Eiger(Defaults):
    """A master with its data files."""

    name = "eiger"
    about = (
        About(
            "Eiger HDF5 (DECTRIS, Diamond), NXmx",
            "the stem: _master.h5, .nxs, data files, _meta.h5",
            "frames in closed data files = nimages * ntrigger or the planned virtual stack, or NXmx end_time;"
            " else quiescence",
            eiger_header.KEYS,
        ),
    )

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group files by the stem that their names share."""
        groups: dict[str, list[FileStat]] = defaultdict(list)
        for file in ending_with(listing.files, ".h5", ".nxs"):
            if (named := parse_name(file.name)) is not None:
                groups[named.stem].append(file)
        for stem, files in groups.items():
            members = tuple(sorted(files, key=lambda file: file.path))
            yield Dataset(stem, self.name, listing.directory, stem, listing.directory, members)

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the superblock, and of a closed file what it counts and links to."""
        named = parse_name(stat.name)
        return probe_hdf5(path, _READERS[named.role] if named else "meta")

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the master's count against the frames in closed data files."""
        return decide(dataset, _findings(series_of(dataset, probes, terms)), quiet, terms)

    def closed(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[FileStat]:
        """Return the data files that were closed; the master is written to until the end."""
        return [file for file in dataset.files if _is_data(file) and is_whole(file, probes)]

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the master says, the images' size where it does not, and the number of frames there are."""
        series = series_of(dataset, probes)
        said = facts.metadata_of(_picture(series) | dict(series.header))
        return said | {"frames": series.present}


def _is_data(file: FileStat) -> bool:
    named = parse_name(file.name)
    return named is not None and named.role is Role.DATA


def _picture(series: Series) -> dict[str, Any]:
    told = [series.header, *(data.said for data in series.counted)]
    said: Mapping[str, Any] = next((said for said in told if "image_width_px" in said), {})
    return {key: said[f"image_{key}"] for key in ("width_px", "height_px") if f"image_{key}" in said}


def _findings(series: Series) -> Findings:
    present, expected = series.present, series.expected
    missing, _total = eiger_checks.missing_images(series)
    count = eiger_checks.count_sentence(present, expected)
    shortfall = eiger_checks.shortfall(series)
    counted = () if shortfall is not None and shortfall.sentence == count else (count,)
    return Findings(
        (*counted, *_remarks(series)),
        Frames(present, expected, missing),
        proven=present == expected or (expected is None and present > 0 and "end_time" in series.header),
        shortfall=shortfall,
        quiet_s=series.floor_s,
        unread=count_unread(series.dataset.files, series.probes),
        flag=_flag(series),
        agreement=_agreement(series),
        count=count if expected is not None else "",
        awaits=_awaits(series),
    )


def _remarks(series: Series) -> tuple[str, ...]:
    """Say what else stands out, whatever the verdict."""
    remarks = [series.header["odd_count"]] if "odd_count" in series.header else []
    uncounted = [data.file.name for data in series.counted if data.said.get("uncounted")]
    if uncounted:
        remarks.append(f"{printable(uncounted[0])} has too many chunks to count: its frames are those of its shape")
    if series.spare:
        verb, first = "is" if len(series.spare) == 1 else "are", printable(series.spare[0].file.name)
        remarks.append(f"{show_count(len(series.spare), 'data file')} {verb} not linked by the master, {first} first")
    return tuple(remarks)


def _flag(series: Series) -> str:
    if "end_time" in series.header:
        return f"the master has an end_time, {series.header['end_time']}: the acquisition has finished"
    return "the master has no end_time (only NXmx has one, once it has finished)" if series.header else ""


def _agreement(series: Series) -> str:
    """Say how many of the files that should be there are closed and as long as their superblocks say."""
    paths = {link.path for link in series.links} if series.links else {data.file.path for data in series.counted}
    closed = sum(1 for path in paths if _is_closed(path, series))
    noun = "linked file" if series.links else "data file"
    return f"{closed} of {show_count(len(paths), noun)} closed and as long as told" if paths else ""


def _is_closed(path: str | None, series: Series) -> bool:
    probe = series.probes.get(path) if path is not None else None
    return probe is not None and probe.problem is None


def _awaits(series: Series) -> str:
    """Say what would end the wait at once: frames, files, or the end of writing."""
    wanted = []
    if series.expected is not None and series.present < series.expected:
        wanted.append(show_count(series.expected - series.present, "more frame"))
    if series.absent:
        wanted.append(show_count(len(series.absent), "more file"))
    writing = [
        file.name
        for file in series.dataset.files
        if (probe := series.probes.get(file.path)) is not None and probe.facts.get(OPEN_FACT)
    ]
    awaited = " in ".join(wanted)
    if not writing:
        return awaited
    return f"{awaited}, {printable(writing[0])} closed" if awaited else f"{printable(writing[0])} closed"
