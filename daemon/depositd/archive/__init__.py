"""Packs complete datasets into single files of the spool, and proves that they are what was read.

``plan``       what to pack, and into what
``source``     reads files without following, blocking or trusting; any change while they are read is an error
``tar``        the deterministic tar, cut into frames; ``zip`` the same for zip
``encoders``   compression of frames, and the strict way back
``part``       a file that becomes visible only when it is whole
``packing``    all of it together: *pack*
``verifying``  reads back and compares: *verify*
``spool``      the datasets' directories: *discard*, *sweep_orphans*
"""

from depositd.archive.packing import pack
from depositd.archive.plan import AUTO_LEVELS, LEVELS, SUFFIXES, Compression, PackPlan
from depositd.archive.spool import dataset_directory, discard, sweep_orphans
from depositd.archive.verifying import unchanged, verify

__all__ = [
    "AUTO_LEVELS",
    "LEVELS",
    "SUFFIXES",
    "Compression",
    "PackPlan",
    "dataset_directory",
    "discard",
    "pack",
    "sweep_orphans",
    "unchanged",
    "verify",
]
