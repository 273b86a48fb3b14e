"""What every format must be able to do.

A format is one file and one line in :data:`depositd.formats.FORMATS`.  Of its methods only *probe* does
I/O; the others decide on values, so each can be tested with nothing but values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict


class ContentCheck(Protocol):
    """A file's own checksum, verified while the archive reads the file anyway."""

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the file."""

    def problem(self) -> str | None:
        """After the last byte: None, or a clause that names what is wrong."""


@dataclass(frozen=True, slots=True)
class About:
    """One row of the table of formats in ``daemon/README.md``.

    ``metadata`` are keys of :mod:`depositd.formats.facts` that the headers of this kind can give.
    """

    kind: str
    grouping: str
    completion: str
    metadata: tuple[str, ...] = ()


class Format(Protocol):
    """One kind of acquisition on disk."""

    @property
    def name(self) -> str:
        """The name that rules use (``format: frames``)."""

    @property
    def about(self) -> Sequence[About]:
        """What the format can do, one row for each kind of file that it reads."""

    def claims(self, directory: str) -> bool:
        """Say whether a directory (relative path) is a dataset by itself, judged by its name alone.

        A claimed directory is walked as one tree and never grouped from inside.
        """

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group a listing's files and trees into datasets; files of no dataset are left out.

        Entries that are not regular files but carry a member's name belong to the dataset, so that
        *judge* can refuse them by name.

        Grouping is *local*: whether and where a file (or a tree) belongs follows from its own name alone, never from
        its neighbours, so a watcher groups what is new and adds it to what it knows.
        """

    def split(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[Dataset]:
        """Return the datasets that a group turns out to be once headers are read; most often itself alone.

        The parts hold all of its files, the first one keeps its key, and each of the others has a key of its own that
        does not change while files come.
        """

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the little of one regular file that *judge* and *metadata* need; None where nothing is needed.

        ``path`` is absolute.  The file is opened read-only, without following links or blocking, and
        never raises for what a file contains or for an OSError: that becomes ``Probe.problem``.
        """

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge a dataset, with evidence.  ``probes`` are keyed by the files' relative paths."""

    def closed(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[FileStat]:
        """Return the files of a growing dataset that are whole and that nothing should write to any more.

        They are archived while the rest is still being acquired.  One that changes all the same costs time, not more.
        """

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the headers say: ``detector``, ``wavelength_A`` … (see :mod:`depositd.formats.facts`)."""

    def content_check(self, name: str) -> ContentCheck | None:
        """Return a fresh check for a member by its file name, or None where the format carries no checksum."""


class Defaults:
    """What most formats answer to the questions that only some of them are asked."""

    def claims(self, directory: str) -> bool:
        """Return False: the dataset shares its directory with anything else."""
        return False

    def split(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[Dataset]:
        """Return the dataset alone: its files belong together whatever their headers say."""
        return (dataset,)

    def closed(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Sequence[FileStat]:
        """Return none: it can be archived only once it has ended."""
        return ()

    def content_check(self, name: str) -> ContentCheck | None:
        """Return None: the format carries no documented checksum."""
        return None
