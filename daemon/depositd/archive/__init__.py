"""Packs complete datasets into single files of the spool, and proves that they are what was read.

``plan``       what to pack, and into what
``source``     reads files without following, blocking or trusting; any change while they are read is an error
``tar``        the layout of the deterministic tar; ``zip`` the same for zip
``frames``     what is packed, cut into frames: hashed, compressed, written and proven side by side
``encoders``   compression of frames, and the strict way back; ``levels`` which level is soonest at the server
``workshop``   the threads and the memory that all archives share; ``hashing`` hashes that can be gone on with
``part``       a file that becomes visible only when it is whole
``framelog``   what is known of the frames of an unfinished archive; ``resuming`` where it can be gone on with
``packing``    all of it together: *pack*, and *follow* while the dataset still grows
``verifying``  reads back and compares: *verify*
``compress``   a directory or a file at the word of a person or a script: *compress*
``ready``      an archive that somebody else made: *ready_archive*
``spool``      the datasets' directories: *discard*, *sweep_orphans*; ``survivors`` what a lost journal left there
"""

from depositd.archive.compress import compress
from depositd.archive.packing import Followed, PackTools, follow, pack
from depositd.archive.plan import AUTO_LEVELS, LEVELS, SUFFIXES, Compression, PackPlan
from depositd.archive.ready import READY_SUFFIXES, is_ready, ready_archive
from depositd.archive.spool import (
    dataset_directory,
    discard,
    discard_unfinished,
    spooled_datasets,
    sweep_orphans,
    written_bytes,
)
from depositd.archive.survivors import Survivors, set_survivors_aside
from depositd.archive.verifying import unchanged, verify
from depositd.archive.workshop import Workshop

__all__ = [
    "AUTO_LEVELS",
    "LEVELS",
    "READY_SUFFIXES",
    "SUFFIXES",
    "Compression",
    "Followed",
    "PackPlan",
    "PackTools",
    "Survivors",
    "Workshop",
    "compress",
    "dataset_directory",
    "discard",
    "discard_unfinished",
    "follow",
    "is_ready",
    "pack",
    "ready_archive",
    "set_survivors_aside",
    "spooled_datasets",
    "sweep_orphans",
    "unchanged",
    "verify",
    "written_bytes",
]
