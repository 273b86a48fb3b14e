"""Any file and any directory: nothing inside says when it ends, so a marker, a count or silence does.

A preallocated file has its whole size from the first moment.  ``st_blocks`` shows that, but a file
system that allocates late reports no blocks for fresh data, and small files can live in the inode: so it is
only said, and the file is taken as written once it has settled, like any other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping

from depositd import portable
from depositd.formats.base import About, Defaults
from depositd.formats.ladder import Findings, Shortfall, broken_sentence, count_unread, decide, unwritten
from depositd.formats.names import is_temporary
from depositd.formats.reading import probe_file
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
from depositd.units import show_count, show_size


class PlainFile(Defaults):
    """Every file is a dataset of its own; temporary names of copying programs are left out."""

    name = "file"
    about = (About("any file", "one file", "a marker, else quiescence"),)

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each file."""
        for file in listing.files:
            if not is_temporary(file.name):
                stem = os.path.splitext(file.name)[0]
                yield Dataset(stem, self.name, listing.directory, file.name, file.path, (file,))

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Say whether the file can be read, and whether it ends in a hole."""
        return _probe(path)

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the marker or by quiescence; an expected count of frames means nothing to a single file."""
        counted = (show_size(dataset.size_bytes), *_unwritten(dataset.files, probes))
        findings = Findings(counted, shortfall=_broken(dataset, probes), unread=count_unread(dataset.files, probes))
        return decide(dataset, findings, quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return nothing: the file is not understood."""
        return {}


class PlainDirectory(Defaults):
    """Every directory tree that a rule selects is a dataset.

    The format claims nothing by itself, since any directory could be one: the rule's globs say which
    are, and the caller hands those over as the listing's trees.
    """

    name = "directory"
    about = (About("any directory", "one directory tree that a glob names", "a marker, a count, else quiescence"),)

    def group(self, listing: Listing) -> Iterable[Dataset]:
        """Return one dataset for each tree that holds anything."""
        for directory, files in listing.trees.items():
            if files:
                name = directory.rpartition("/")[2]
                yield Dataset(name, self.name, listing.directory, name, directory, tuple(files))

    def probe(self, path: str, stat: FileStat) -> Probe | None:
        """Say whether the file can be read, and whether it ends in a hole."""
        return _probe(path)

    def judge(self, dataset: Dataset, probes: Mapping[str, Probe], quiet: Quiet, terms: Terms) -> Verdict:
        """Judge by the marker, the expected number of files, or quiescence."""
        present, expected = len(dataset.files), terms.expected_frames
        frames = None if expected is None else Frames(present, expected)
        short = None
        if expected is not None and present < expected:
            short = Shortfall(VerdictKind.TRUNCATED, f"{show_count(expected - present, 'file')} fewer than expected")
        findings = Findings(
            (_files_of(present, expected), show_size(dataset.size_bytes), *_unwritten(dataset.files, probes)),
            frames,
            proven=present == expected,
            shortfall=_broken(dataset, probes) or short,
            unread=count_unread(dataset.files, probes),
            count="" if expected is None else _files_of(present, expected),
            awaits=show_count(expected - present, "more file") if expected is not None and present < expected else "",
        )
        return decide(dataset, findings, quiet, terms)

    def metadata(self, dataset: Dataset, probes: Mapping[str, Probe]) -> Metadata:
        """Return nothing: the files are not understood."""
        return {}


def _files_of(present: int, expected: int | None) -> str:
    return show_count(present, "file") if expected is None else f"{present} of {expected} files"


def _probe(path: str) -> Probe:
    return probe_file(path, lambda descriptor, size: Probe(facts={"hole_at_end": _ends_in_hole(descriptor, size)}))


def _ends_in_hole(descriptor: int, size_bytes: int) -> bool:
    """Say whether no data was ever written to the last byte; False where the file system cannot say."""
    if size_bytes == 0:
        return False
    try:
        portable.next_data(descriptor, size_bytes - 1)
    except OSError as error:
        return error.errno == errno.ENXIO
    return False


def _broken(dataset: Dataset, probes: Mapping[str, Probe]) -> Shortfall | None:
    sentence = broken_sentence(dataset.files, probes)
    return Shortfall(VerdictKind.CORRUPT, sentence) if sentence else None


def _unwritten(files: tuple[FileStat, ...], probes: Mapping[str, Probe]) -> tuple[str, ...]:
    """Say which files have more size than allocated data, so far as that can be known."""
    holes = {path for path, probe in probes.items() if probe.facts.get("hole_at_end")}
    return unwritten(files, holes)
