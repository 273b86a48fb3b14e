"""What the files of an Eiger dataset say, read with h5py from files that are closed.

Links are read, never followed; pixels are never read at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from depositd.formats import eiger_header, facts
from depositd.formats.hdf5_values import is_external, is_virtual, plain, text, whole, whole_attribute
from depositd.formats.reading import Malformed

_STACKS = ("entry/data/data", "data", "entry/data/data_000001", "entry/instrument/detector/data")
_STACK_KEY = re.compile(r"data(?:_[0-9]+)?")
_LINKING = ("entry/data", "entry", "entry/instrument/detector", "entry/instrument/detector/detectorSpecific")
_MOST_LINKS = 100_000
_MOST_CHUNKS = 500_000
_MOST_FRAMES = 1_000_000_000
"""More frames than any acquisition has: writers put such a count where they do not know it."""


def data_facts(opened: Any) -> dict[str, Any]:
    """Return the number of frames written into a data file, their size, and the first and last image number."""
    stack = next(_stacks(opened), None)
    if stack is None:
        raise Malformed("holds no stack of images")
    low, high = (whole_attribute(stack, name) for name in ("image_nr_low", "image_nr_high"))
    numbers = {"image_low": low, "image_high": high} if low is not None and high is not None and low <= high else {}
    uncounted = {"uncounted": True} if _chunks(stack) > _MOST_CHUNKS else {}
    return {"frames": _written(stack), **uncounted, **_picture(stack), **numbers}


def other_facts(_opened: Any) -> dict[str, Any]:
    """Return nothing: that the file is closed and opens is all there is to know."""
    return {}


def master_facts(opened: Any) -> dict[str, Any]:
    """Return what a master asks for, links to and holds, and its metadata.

    ``links`` are the files of its images in the links' own words, ``also_links`` all others; ``planned_frames`` is the
    length of a virtual stack, which is the planned one from the start; ``own_frames`` are those in the file itself.
    """
    links, also, planned = _links(opened)
    own = list(_stacks(opened, _numbered(opened)))
    said = {
        **_asked(opened, planned),
        "planned_frames": planned,
        "end_time": text(opened, ("entry/end_time",)),
        **(_picture(own[0]) if own else {}),
        **eiger_header.metadata(opened),
    }
    return facts.clean(said) | {"links": links, "also_links": also, "own_frames": sum(map(_written, own))}


def _asked(opened: Any, planned: int | None) -> dict[str, Any]:
    """Return how many frames were asked for, or the clause that says why that is not known."""
    images, triggers, in_file = (
        whole(opened, f"{eiger_header.SPECIFIC}/{name}") for name in ("nimages", "ntrigger", "nimages_per_file")
    )
    said: dict[str, Any] = {"images_per_file": in_file if in_file and 0 < in_file <= _MOST_FRAMES else None}
    if images is None:
        return said | {"expected_frames": planned}
    frames = images * (1 if triggers is None else triggers)
    if 0 < images <= frames <= _MOST_FRAMES:
        return said | {"expected_frames": frames}
    product = f"nimages {images:,}" + ("" if triggers is None else f", ntrigger {triggers:,}")
    return said | {"odd_count": f"the master asks for an impossible number of frames ({product})"}


def _links(opened: Any) -> tuple[list[str], list[str], int | None]:
    """Return the files linked for images, other linked files, and the length of a virtual stack."""
    import h5py

    names: set[str] = set()
    also: set[str] = set()
    planned: int | None = None
    for place in _LINKING:
        group = plain(opened, place)
        if not isinstance(group, h5py.Group) or len(group) > _MOST_LINKS:
            continue
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                of_images = place == "entry/data" or key.startswith("data")
                (names if of_images else also).add(str(link.filename))
        for key in ("data", "data_000001"):
            found = plain(group, key) if place != "entry" else None
            if isinstance(found, h5py.Dataset) and is_virtual(found):
                sources, length = _mapping(found)
                names |= sources
                planned = length if planned is None else planned
    return sorted(names), sorted(also - names), planned


def _mapping(stack: Any) -> tuple[set[str], int | None]:
    """Return the files behind a virtual stack and its length, without asking the library to look into them."""
    made = stack.id.get_create_plist()
    count = min(made.get_virtual_count(), _MOST_LINKS)
    names = {str(made.get_virtual_filename(number)) for number in range(count)} - {"."}
    shape: tuple[int, ...] = made.get_virtual_vspace(0).shape if count else ()
    return names, int(shape[0]) if len(shape) in (3, 4) and 0 < shape[0] <= _MOST_FRAMES else None


def _numbered(opened: Any) -> list[str]:
    """Return where a master that holds its images itself may have them."""
    import h5py

    group = plain(opened, "entry/data")
    few = isinstance(group, h5py.Group) and len(group) <= _MOST_LINKS
    keys = [key for key in group if _STACK_KEY.fullmatch(key)] if few else []
    inside = [key for key in keys if not isinstance(group.get(key, getlink=True), h5py.ExternalLink)]
    return [f"entry/data/{key}" for key in inside]


def _stacks(opened: Any, paths: Iterable[str] = ()) -> Iterator[Any]:
    """Find the stacks of images in a file, each once, by whatever names it has."""
    import h5py

    seen: list[Any] = []
    for path in (*_STACKS, *paths):
        found = plain(opened, path)
        if not isinstance(found, h5py.Dataset) or is_virtual(found) or found in seen:
            continue
        if found.ndim in (3, 4) and found.dtype.kind in "iuf":
            seen.append(found)
            yield found


def _picture(stack: Any) -> dict[str, Any]:
    height, width = (int(size) for size in stack.shape[-2:])
    return {"image_width_px": width, "image_height_px": height, "image_bits": 8 * int(stack.dtype.itemsize)}


def _written(stack: Any) -> int:
    """Return how many frames have all their chunks: the shape is set before the frames are written.

    Of more chunks than can be counted in a moment the shape alone tells.
    """
    frames = int(stack.shape[0])
    if is_external(stack):
        raise Malformed("keeps its images in a file of another kind")
    if not stack.chunks:
        in_frame = math.prod(int(size) for size in stack.shape[1:]) * int(stack.dtype.itemsize)
        stored = min(int(stack.id.get_storage_size()), int(stack.file.id.get_filesize()))
        return min(frames, stored // max(in_frame, 1))
    if frames > _MOST_FRAMES:
        raise Malformed(f"is said to hold {frames:,} frames")
    planned = _chunks(stack)
    if planned > _MOST_CHUNKS:
        return frames
    deep = int(stack.chunks[0])
    in_layer = planned // max(-(-frames // deep), 1)
    return min(frames, int(stack.id.get_num_chunks()) // max(in_layer, 1) * deep)


def _chunks(stack: Any) -> int:
    """Return into how many chunks a stack is cut, written or not."""
    return math.prod(-(-int(size) // int(chunk)) for size, chunk in zip(stack.shape, stack.chunks or (), strict=False))
