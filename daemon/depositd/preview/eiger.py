"""The first image that was written into the first data file of an Eiger series.

HDF5 files are opened by another process, :mod:`depositd.preview.eiger_child`: what one does to the library ends that
process, and is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from depositd.archive.source import SourceTree
from depositd.errors import NoPicture
from depositd.formats.eiger_names import Role, role_of
from depositd.formats.hdf5_reader import died_of, reader_environment
from depositd.model import FileStat, Metadata, Probe
from depositd.preview import diffraction
from depositd.preview.eiger_child import IMAGE, IS_FLAT_ON
from depositd.preview.reading import Frame, Source, broken, regular
from depositd.units import printable

SHOWS = "the first image written, on a logarithmic grey scale, with beam centre and resolution rings"

_CHILD = "import sys; from depositd.preview import eiger_child; eiger_child.main(int(sys.argv[1]), *sys.argv[2:])"
_LONGEST_S = 60.0


def draw(source: Source, metadata: Metadata) -> bytes:
    """Return the picture of the first written image; raises NoPicture, SourceChanged or SourceUnreadable."""
    masters = [file for file in regular(source.dataset) if role_of(file.name) in (Role.MASTER, Role.NEXUS)]
    frame = replace(_first_image(source), is_flat_on=_is_flat_on(source.tree, masters))
    said = _masters_say(source, masters) | metadata
    return diffraction.draw(frame, source.dataset.name, said)


def _masters_say(source: Source, masters: list[FileStat]) -> Metadata:
    """Return what the masters' headers say; a broken one says nothing, and the image is there all the same."""
    probes: dict[str, Probe] = {}
    for file in masters:
        with contextlib.suppress(NoPicture):
            probes[file.path] = source.probe(file)
    said = source.metadata(probes)
    said.pop("frames", None)  # the data files, which say how many there are, were not asked
    return said


def _is_flat_on(tree: SourceTree, masters: list[FileStat]) -> bool:
    """Say whether the detector stands square to the beam: so it does unless a master says otherwise."""
    for file in masters:
        with contextlib.suppress(NoPicture):
            said, _pixels = ask(tree, file, IS_FLAT_ON)
            if not said[IS_FLAT_ON]:
                return False
    return True


def _first_image(source: Source) -> Frame:
    """Return the first image of the first file that holds one; a data file may be there and still be empty."""
    reasons: list[NoPicture] = []
    data_first = sorted(regular(source.dataset), key=lambda file: role_of(file.name) is not Role.DATA)
    for file in data_first:
        try:
            source.probe(file)
            frame = _image_of(source.tree, file)
        except NoPicture as error:
            reasons.append(error)
            continue
        if frame is not None:
            return frame
    if reasons:
        raise reasons[0]
    raise NoPicture(
        f"no image of {printable(source.dataset.name)} was written yet",
        hint="ask again when the detector has sent some",
    )


def _image_of(tree: SourceTree, file: FileStat) -> Frame | None:
    """Return the first image that was written into a file, None where there is none."""
    said, content = ask(tree, file, IMAGE)
    if not said:
        return None
    pixels = np.frombuffer(content, np.dtype(said["dtype"])).reshape(said["shape"])
    unmeasured = int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else None
    return Frame(pixels, unmeasured=unmeasured, number=said["number"])


def ask(tree: SourceTree, file: FileStat, what: str, program: str = _CHILD) -> tuple[dict[str, Any], bytes]:
    """Return what a process of its own says of an HDF5 file, and the bytes behind it; raises NoPicture where it cannot.

    It reads through our own descriptor: the library can follow no link to the file and takes no lock.
    """
    with tree.open(file) as opened:
        descriptor = opened.descriptor
        try:
            answer = subprocess.run(  # noqa: S603 - our own interpreter and module
                (sys.executable, "-P", "-c", program, "0", file.name, what),
                check=False,
                stdin=descriptor,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=reader_environment(os.environ),
                timeout=_LONGEST_S,
            )
        except subprocess.TimeoutExpired:
            raise broken(file, f"could not be read within {_LONGEST_S:.0f} s", retry=True) from None
        opened.confirm_unchanged()
    if answer.returncode:
        ended = f"could not be read: its reader ended (exit status {answer.returncode})"
        raise broken(file, died_of(answer.returncode) or ended)
    line, _newline, content = answer.stdout.partition(b"\n")
    said: dict[str, Any] = json.loads(line)
    if "problem" in said:
        raise NoPicture(said["problem"], hint=said["hint"])
    return said, content
