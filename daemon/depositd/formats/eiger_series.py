"""One Eiger dataset as its names, links and counts show it: plain values that the checks decide on."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from depositd.formats.eiger_names import Role, parse_name
from depositd.formats.ladder import LONG_QUIET_S
from depositd.model import Dataset, FileStat, Probe, Terms

_SHORTEST_FLOOR_S = 600.0
_FLOOR_FILES = 10
_DEFAULT_IMAGES_PER_FILE = 1000


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a master to images: in its own words, and the path in the source; None where that is outside."""

    said: str
    path: str | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file: its entry, its number and its probe's facts, empty where it could not be read."""

    file: FileStat
    number: int
    said: Mapping[str, Any]


class Images(NamedTuple):
    """The first and the last number of the images in a data file, as the file tells them."""

    low: int
    high: int
    file: FileStat


@dataclass(frozen=True, slots=True)
class Series:
    """What an Eiger dataset consists of.

    ``header`` are the masters' facts, those of ``_master.h5`` before those of ``.nxs``.  ``counted`` are the data files
    whose frames count, ``spare`` those that no master links to and that nothing needs.  ``images`` are the numbers that
    they tell, the lowest first, ``twice`` those pairs of them that have images in common; ``present`` counts each image
    once.  ``floor_s`` is the quiet after which no further file will come.
    """

    dataset: Dataset
    probes: Mapping[str, Probe]
    header: Mapping[str, Any]
    masters: tuple[FileStat, ...]
    links: tuple[Link, ...]
    also_links: tuple[Link, ...]
    counted: tuple[DataFile, ...]
    spare: tuple[DataFile, ...]
    images: tuple[Images, ...]
    twice: tuple[tuple[Images, Images], ...]
    present: int
    expected: int | None
    floor_s: float

    @property
    def here(self) -> frozenset[str]:
        """The paths of all members."""
        return frozenset(file.path for file in self.dataset.files)

    @property
    def absent(self) -> tuple[Link, ...]:
        """Links to files that are not there, where frames are lacking.

        Some file writers link to a round number of files when they are armed; where the count is met, links to files
        that were never needed lead nowhere and do no harm.
        """
        if self.expected is not None and self.present >= self.expected:
            return ()
        here = self.here
        return tuple(link for link in self.links if link.path not in here)


def series_of(dataset: Dataset, probes: Mapping[str, Probe], terms: Terms | None = None) -> Series:
    """Return what a dataset consists of, by its names and what its probes said."""
    roles = [(file, parse_name(file.name)) for file in dataset.files]
    nexus = [file for file, named in roles if named and named.role is Role.NEXUS]
    masters = [file for file, named in roles if named and named.role is Role.MASTER]
    header: dict[str, Any] = {}
    for file in (*nexus, *masters):
        header |= _facts(file, probes)
    links = _links(dataset, (*masters, *nexus), probes, "links")
    data = [
        DataFile(file, named.number, _facts(file, probes)) for file, named in roles if named and named.role is Role.DATA
    ]
    own = max((int(_facts(file, probes).get("own_frames", 0)) for file in (*masters, *nexus)), default=0)
    told = (header.get("expected_frames"), terms.expected_frames if terms else None)
    expected = max((count for count in told if count is not None), default=None)
    counted, spare = _split(data, links, own, expected)
    images = _images(counted)
    twice = _twice(images)
    common = sum(min(one.high, other.high) - other.low + 1 for one, other in twice)
    present = own + max(_frames(counted) - common, 0)
    return Series(
        dataset,
        probes,
        header,
        (*masters, *nexus),
        links,
        _links(dataset, (*masters, *nexus), probes, "also_links"),
        counted,
        spare,
        images,
        twice,
        present,
        expected,
        _floor_s(header, counted, expected, terms.settle_s if terms else 0.0),
    )


def _facts(file: FileStat, probes: Mapping[str, Probe]) -> Mapping[str, Any]:
    probe = probes.get(file.path)
    return {} if probe is None else probe.facts


def _frames(files: tuple[DataFile, ...]) -> int:
    return sum(int(data.said.get("frames", 0)) for data in files)


def _images(files: tuple[DataFile, ...]) -> tuple[Images, ...]:
    told = (data for data in files if {"image_low", "image_high"} <= data.said.keys())
    return tuple(sorted(Images(int(data.said["image_low"]), int(data.said["image_high"]), data.file) for data in told))


def _twice(images: tuple[Images, ...]) -> tuple[tuple[Images, Images], ...]:
    """Return each file's numbers with those of the one before it that reaches into them."""
    pairs: list[tuple[Images, Images]] = []
    farthest: Images | None = None
    for each in images:
        if farthest is not None and each.low <= farthest.high:
            pairs.append((farthest, each))
        if farthest is None or each.high > farthest.high:
            farthest = each
    return tuple(pairs)


def _floor_s(header: Mapping[str, Any], counted: tuple[DataFile, ...], expected: int | None, settle_s: float) -> float:
    """Return ten times what one data file takes, ten minutes at least, in seconds."""
    counts = [int(data.said.get("frames", 0)) for data in counted]
    most = min(expected or _DEFAULT_IMAGES_PER_FILE, _DEFAULT_IMAGES_PER_FILE)
    images_per_file = header.get("images_per_file") or max(counts, default=0) or most
    frame_time_s = header.get("frame_period_s", 0.0)
    fill_s = min(frame_time_s * images_per_file, LONG_QUIET_S) if frame_time_s > 0 else 0.0
    return max(_FLOOR_FILES * fill_s, settle_s, _SHORTEST_FLOOR_S)


def _split(
    data: list[DataFile], links: tuple[Link, ...], own: int, expected: int | None
) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...]]:
    """Return the data files that count, and the others: what no master links to counts only where it is needed."""
    linked = {link.path for link in links}
    named = tuple(each for each in data if each.file.path in linked)
    if not links or (expected is not None and own + _frames(named) < expected):
        return tuple(data), ()
    return named, tuple(each for each in data if each.file.path not in linked)


def _links(dataset: Dataset, masters: tuple[FileStat, ...], probes: Mapping[str, Probe], key: str) -> tuple[Link, ...]:
    """Return the masters' links, each file once; a link of a master to itself is none."""
    here = frozenset(file.path for file in dataset.files)
    found: dict[str, Link] = {}
    for master in masters:
        for said in _facts(master, probes).get(key, ()):
            path = _resolved(said, master.directory, here)
            if path != master.path:
                found.setdefault(path or said, Link(said, path))
    return tuple(found[place] for place in sorted(found))


def _resolved(said: str, directory: str, here: frozenset[str]) -> str | None:
    """Return a link's path in the source, None where it leads out of it.

    HDF5 looks for an absolute name that is not there by its last part beside the master, so that one is meant
    where it is here.
    """
    if posixpath.isabs(said):
        beside = posixpath.join(directory, posixpath.basename(said))
        return beside if beside in here else None
    path = posixpath.normpath(posixpath.join(directory, said))
    return None if path in (".", "..") or path.startswith("../") else path
