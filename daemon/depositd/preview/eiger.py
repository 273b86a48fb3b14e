"""The first image that was written into the first data file of an Eiger series."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from depositd.archive.source import SourceTree
from depositd.errors import NoPicture
from depositd.formats.eiger_names import Role, role_of
from depositd.formats.hdf5_values import ANGLES_IN_DEG, is_external, is_virtual, plain, real, whole_attribute
from depositd.model import FileStat, Metadata, Probe
from depositd.preview import diffraction
from depositd.preview.reading import EXTRA_HINT, Frame, Source, broken, check_pixels, regular
from depositd.units import printable

SHOWS = "the first image written, on a logarithmic grey scale, with beam centre and resolution rings"

_STACKS = ("entry/data/data", "data", "entry/data/data_000001", "entry/instrument/detector/data")
_TWO_THETA = ("entry/instrument/detector/goniometer/two_theta", "entry/instrument/detector/transformations/two_theta")
_FILTERS = {32004: "LZ4", 32008: "bitshuffle-LZ4", 32001: "Blosc", 32015: "Zstandard"}
_MOST_LOOKED_AT = 1000
_SWUNG_DEG = 0.05


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
        with contextlib.suppress(NoPicture), _opened(tree, file) as opened:
            if abs(real(opened, _TWO_THETA, ANGLES_IN_DEG) or 0.0) > _SWUNG_DEG:
                return False
    return True


def _first_image(source: Source) -> Frame:
    """Return the first image of the first file that holds one; a data file may be there and still be empty."""
    reasons: list[NoPicture] = []
    data_first = sorted(regular(source.dataset), key=lambda file: role_of(file.name) is not Role.DATA)
    for file in data_first:
        try:
            source.probe(file)
            with _opened(source.tree, file) as opened:
                frame = _image_in(file, opened)
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


def _image_in(file: FileStat, opened: Any) -> Frame | None:
    """Return the first image that was written into an open file, None where there is none."""
    stack = _stack(opened)
    if stack is None or 0 in stack.shape:
        return None
    _check_stack(file, stack)
    index = _first_written(stack)
    if index is None:
        return None
    _check_filters(file, stack)
    pixels = np.asarray(stack[(index,) + (0,) * (stack.ndim - 3)])
    unmeasured = int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else None
    first = whole_attribute(stack, "image_nr_low")
    return Frame(pixels, unmeasured=unmeasured, number=index + (1 if first is None else first))


def _stack(opened: Any) -> Any:
    """Return the stack of images that a file holds itself, None where there is none."""
    import h5py

    for path in _STACKS:
        found = plain(opened, path)
        if isinstance(found, h5py.Dataset) and not is_virtual(found) and found.ndim in (3, 4):
            return found
    return None


def _check_stack(file: FileStat, stack: Any) -> None:
    """Raise NoPicture for images whose reading would lead to other files or take too much memory."""
    if stack.dtype.kind not in "iuf":
        raise broken(file, "holds no images with one value for each pixel")
    if is_external(stack):
        raise broken(file, "keeps its images in other files, which are never followed")
    check_pixels(file, stack.shape[-2:])
    if stack.chunks:
        check_pixels(file, stack.chunks)


def _first_written(stack: Any) -> int | None:
    """Return the first image whose first chunk was written: the shape is set before the images are."""
    if not stack.chunks:
        return 0
    deep = stack.chunks[0]
    for index in range(0, min(stack.shape[0], _MOST_LOOKED_AT * deep), deep):
        if stack.id.get_chunk_info_by_coord((index,) + (0,) * (stack.ndim - 1)).size:
            return int(index)
    return None


def _check_filters(file: FileStat, stack: Any) -> None:
    """Raise NoPicture where the images are compressed in a way for which hdf5plugin is needed and missing."""
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401 - it registers its filters when it is imported
    made = stack.id.get_create_plist()
    needed = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    missing = [code for code in needed if not h5py.h5z.filter_avail(code)]
    if missing:
        raise NoPicture(
            f"{printable(file.name)} is compressed with {_FILTERS.get(missing[0], f'HDF5 filter {missing[0]}')}, "
            "which needs the Python package hdf5plugin",
            hint=EXTRA_HINT,
        )


@contextlib.contextmanager
def _opened(tree: SourceTree, file: FileStat) -> Iterator[Any]:
    """Open an HDF5 file through our own descriptor: the library can follow no link to it and takes no lock."""
    import h5py

    with tree.open(file) as opened_file:
        try:
            with os.fdopen(opened_file.descriptor, "rb", closefd=False) as raw, h5py.File(raw, "r") as opened:
                yield opened
        except (OSError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
            raise broken(file, f"cannot be read as HDF5: {printable(str(error), 160)}", retry=True) from None
        opened_file.confirm_unchanged()
