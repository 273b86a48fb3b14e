"""Packs complete datasets into single files of the spool, and proves that they are what was read.

``plan``       what to pack, and into what
``source``     reads files without following, blocking or trusting; any change while they are read is an error
``tar``        the deterministic tar, cut into frames; ``zip`` the same for zip
``encoders``   compression of frames, and the strict way back
``part``       a file that becomes visible only when it is whole
``packing``    all of it together: *pack*
``verifying``  reads back and compares: *verify*
``compress``   a directory or a file at the word of a person or a script: *compress*
``ready``      an archive that somebody else made: *ready_archive*
``spool``      the datasets' directories: *discard*, *sweep_orphans*
"""

from depositd.archive.compress import compress
from depositd.archive.packing import pack
from depositd.archive.plan import AUTO_LEVELS, LEVELS, SUFFIXES, Compression, PackPlan
from depositd.archive.ready import READY_SUFFIXES, is_ready, ready_archive
from depositd.archive.spool import dataset_directory, discard, sweep_orphans
from depositd.archive.verifying import unchanged, verify

__all__ = [
    "AUTO_LEVELS",
    "LEVELS",
    "READY_SUFFIXES",
    "SUFFIXES",
    "Compression",
    "PackPlan",
    "compress",
    "dataset_directory",
    "discard",
    "is_ready",
    "pack",
    "ready_archive",
    "sweep_orphans",
    "unchanged",
    "verify",
]
