"""The process that reads images out of HDF5 files for a picture: started by :mod:`depositd.preview.eiger`, once a file.

The HDF5 library and its filters crash on some damaged files and never return from others; here they end a process that
has nothing else to do.  It gets an open descriptor, lives within limits, and answers on its standard output: one line
of JSON, and behind it the pixels of the image where it has one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import numpy as np

from depositd.errors import NoPicture
from depositd.formats.hdf5_child import live_within_limits
from depositd.formats.hdf5_values import ANGLES_IN_DEG, is_external, is_virtual, plain, real, whole_attribute
from depositd.formats.reading import PARSE_ERRORS
from depositd.model import FileStat
from depositd.portable import end_after
from depositd.preview.reading import EXTRA_HINT, Frame, broken, check_pixels
from depositd.units import printable

IMAGE, IS_FLAT_ON = "image", "is_flat_on"
"""What can be asked for: the first image of a data file, and whether a master says that the detector stands square."""

_STACKS = ("entry/data/data", "data", "entry/data/data_000001", "entry/instrument/detector/data")
_TWO_THETA = ("entry/instrument/detector/goniometer/two_theta", "entry/instrument/detector/transformations/two_theta")
_FILTERS = {32004: "LZ4", 32008: "bitshuffle-LZ4", 32001: "Blosc", 32015: "Zstandard"}
_MOST_LOOKED_AT = 1000
_SWUNG_DEG = 0.05
_LONGEST_S = 20.0
_MOST_BYTES = 3 << 30
"""Three times the largest image that is drawn: packed, unpacked, and on its way."""
_LIBRARY_ERRORS = (OSError, RuntimeError, AttributeError, MemoryError, SystemError, *PARSE_ERRORS)


def main(descriptor: int, name: str, what: str) -> None:
    """Answer one question about an open file; ``name`` is what errors call it."""
    import h5py

    live_within_limits(_MOST_BYTES)
    end_after(_LONGEST_S)
    file = FileStat(name, os.fstat(descriptor).st_size, 0)
    said: dict[str, Any] = {}
    pixels = b""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as raw, h5py.File(raw, "r") as opened:
            if what == IS_FLAT_ON:
                said = {IS_FLAT_ON: abs(real(opened, _TWO_THETA, ANGLES_IN_DEG) or 0.0) <= _SWUNG_DEG}
            elif (frame := _image_in(file, opened)) is not None:
                kind = frame.pixels.dtype.newbyteorder("<")
                pixels = np.ascontiguousarray(frame.pixels, kind).tobytes()
                said = {"shape": frame.pixels.shape, "dtype": kind.str, "number": frame.number}
    except NoPicture as error:
        said, pixels = {"problem": str(error), "hint": error.hint}, b""
    except _LIBRARY_ERRORS as error:
        problem = broken(file, f"cannot be read as HDF5: {printable(str(error), 160)}", retry=True)
        said, pixels = {"problem": str(problem), "hint": problem.hint}, b""
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + pixels)
    sys.stdout.buffer.flush()


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
    first = whole_attribute(stack, "image_nr_low")
    return Frame(pixels, number=index + (1 if first is None else first))


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
