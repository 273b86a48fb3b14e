"""What every format must be able to do.

A format is one file and one line in :data:`depositd.formats.FORMATS`.  Of its five methods only *probe* does
I/O; the others decide on values, so each can be tested with nothing but values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from depositd.model import Dataset, FileStat, Listing, Metadata, Probe, Quiet, Terms, Verdict


class ContentCheck(Protocol):
    """A file's own checksum, verified while the archive reads the file anyway."""

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the file."""

    def problem(self) -> str | None:
        """After the last byte: None, or a clause that names what is wrong."""


class Format(Protocol):
    """One kind of acquisition on disk."""

    @property
    def name(self) -> str:
        """The name that rules use (``format: frames``)."""

    def claims(self, directory: str) -> bool:
        """Say whether a directory (relative path) is a dataset by itself, judged by its name alone.

        A claimed directory is walked as one tree and never grouped from inside.
        """

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Group a listing's files and trees into datasets; files of no dataset are left out.

        Entries that are not regular files but carry a member's name belong to the dataset, so that
        *judge* can refuse them by name.
        """

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Read the little of one regular file that *judge* and *metadata* need; None where nothing is needed.

        ``path`` is absolute.  The file is opened read-only, without following links or blocking, and
        never raises for what a file contains or for an OSError: that becomes ``Probe.problem``.
        """

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge a dataset, with evidence.  ``probes`` are keyed by the files' relative paths."""

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return what the headers say: ``detector``, ``wavelength_A`` … (see :mod:`depositd.formats.facts`)."""

    def content_check(self, name: str) -> ContentCheck | None:
        """Return a fresh check for a member by its file name, or None where the format carries no checksum."""
