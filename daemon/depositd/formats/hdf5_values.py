"""Small values out of an open HDF5 file: one element at most, and nothing that leads out of the file.

A path is walked step by step.  Soft links are followed inside the file, a few times; external links are not.  A value
is read only where that costs little and touches nothing else: no virtual or external storage, no large chunk, no
filter that is not built in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

LENGTHS_IN_M = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "nm": 1e-9}
LENGTHS_IN_A = {"å": 1.0, "a": 1.0, "angstrom": 1.0, "nm": 10.0, "pm": 1e-2, "m": 1e10}
TIMES_IN_S = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
ANGLES_IN_DEG = {"deg": 1.0, "degree": 1.0, "°": 1.0, "rad": 180.0 / math.pi, "radian": 180.0 / math.pi}
"""Units, singular and in lower case, to the factor that leads to the one in the name."""

_MOST_LINKS = 16
_MOST_ELEMENTS = 1_000_000
_LARGEST_CHUNK_BYTES = 4 << 20
_LARGEST_PACKED_BYTES = 32 << 10  # deflate makes at most a thousand times as much of it, whatever the chunk's size
_LARGEST_ITEM_BYTES = 1 << 16
_BUILT_IN_FILTERS = frozenset({1, 2, 3})  # deflate, shuffle, fletcher32


def plain(opened: Any, path: str) -> Any:
    """Return the group or dataset at a path, None where nothing is or where the way leads out of the file."""
    import h5py

    parts = [part for part in path.split("/") if part]
    found, walked, links = opened, [], 0
    while parts:
        part = parts.pop(0)
        if not isinstance(found, h5py.Group):
            return None
        link = found.get(part, getlink=True)
        if isinstance(link, h5py.HardLink):
            found = found[part]
            walked.append(part)
        elif isinstance(link, h5py.SoftLink) and links < _MOST_LINKS:
            target = str(link.path)
            start = [] if target.startswith("/") else walked
            parts = [*start, *(step for step in target.split("/") if step not in ("", ".")), *parts]
            found, walked, links = opened, [], links + 1
        else:
            return None
    return found


def is_virtual(dataset: Any) -> bool:
    """Say whether a dataset maps others; unlike its shape, that can be asked without a look at the others."""
    import h5py

    return bool(dataset.id.get_create_plist().get_layout() == h5py.h5d.VIRTUAL)


def is_external(dataset: Any) -> bool:
    """Say whether a dataset's values lie in files of any kind, anywhere."""
    return bool(dataset.id.get_create_plist().get_external_count() > 0)


def value(opened: Any, path: str, index: int = 0) -> Any:
    """Return a scalar, or element ``index`` of an array (of more dimensions: the first), or None."""
    import h5py

    found = plain(opened, path)
    if not isinstance(found, h5py.Dataset) or is_virtual(found) or is_external(found):
        return None
    if found.shape is None or not 0 < found.size <= _MOST_ELEMENTS or found.dtype.itemsize > _LARGEST_ITEM_BYTES:
        return None
    if found.shape == ():
        return found[()] if index == 0 else None
    place = (index,) + (0,) * (found.ndim - 1)
    return found[place] if index < found.shape[0] and _is_cheap(found, place) else None


def real(opened: Any, paths: Iterable[str], units: Mapping[str, float] | None = None, index: int = 0) -> float | None:
    """Return the first number that one of the paths gives, in the unit of ``units``; None where none does.

    A dataset's ``units`` attribute counts where it is one of ``units``; without one the number is taken as it is.
    """
    for path in paths:
        try:
            number = float(value(opened, path, index))
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            # detectors store single precision
            return float(f"{number * _factor(opened, path, units or {}):.7g}")
    return None


def whole(opened: Any, path: str) -> int | None:
    """Return a whole number, whatever its sign; None where there is none."""
    try:
        return int(value(opened, path))
    except (TypeError, ValueError, OverflowError):
        return None


def text(opened: Any, paths: Iterable[str]) -> str | None:
    """Return the first text that one of the paths gives."""
    for path in paths:
        if shown := _text(value(opened, path)):
            return shown
    return None


def attribute(found: Any, name: str) -> Any:
    """Return a small attribute, None where it is absent or large."""
    if name not in found.attrs:
        return None
    kind = found.attrs.get_id(name)
    small = kind.dtype.itemsize <= _LARGEST_ITEM_BYTES and math.prod(kind.shape) <= 1
    if not small:
        return None
    read = found.attrs[name]
    return read[(0,) * read.ndim] if getattr(read, "ndim", 0) and read.size else read


def whole_attribute(found: Any, name: str) -> int | None:
    """Return an attribute that is a whole number, or None."""
    try:
        return int(attribute(found, name))
    except (TypeError, ValueError, OverflowError):
        return None


def _text(read: Any) -> str | None:
    if isinstance(read, bytes):
        return read.decode("utf-8", "replace")
    return read if isinstance(read, str) else None


def _factor(opened: Any, path: str, units: Mapping[str, float]) -> float:
    if not units:
        return 1.0
    unit = (_text(attribute(plain(opened, path), "units")) or "").strip(" \0").lower()
    return units.get(unit, units.get(unit.removesuffix("s"), 1.0))


def _is_cheap(dataset: Any, place: tuple[int, ...]) -> bool:
    """Say whether one element costs little: it may sit in a chunk, which is read and decompressed as a whole."""
    if not dataset.chunks:
        return True
    if math.prod(dataset.chunks) * dataset.dtype.itemsize > _LARGEST_CHUNK_BYTES:
        return False
    made = dataset.id.get_create_plist()
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not filters:
        return True
    start = tuple(at // chunk * chunk for at, chunk in zip(place, dataset.chunks, strict=True))
    return filters <= _BUILT_IN_FILTERS and dataset.id.get_chunk_info_by_coord(start).size <= _LARGEST_PACKED_BYTES
