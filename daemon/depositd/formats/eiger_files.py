"""What the files of an Eiger dataset say, read with h5py from files that are closed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from depositd.formats import facts

_DETECTOR = "entry/instrument/detector"
_DATA_PATHS = ("entry/data/data", "data", "entry/data/data_000001", "entry/instrument/detector/data")
_MOST_LINKS = 100_000


def data_facts(opened: Any) -> dict[str, Any]:
    """Return the number of frames written into a data file, and the first and last image number."""
    dataset = next(_image_stacks(opened), None)
    if dataset is None:
        raise ValueError("no stack of images in it")
    return {
        "frames": _written(dataset),
        "shape_frames": int(dataset.shape[0]),
        **facts.clean(
            {"image_low": _attribute(dataset, "image_nr_low"), "image_high": _attribute(dataset, "image_nr_high")}
        ),
    }


def other_facts(_opened: Any) -> dict[str, Any]:
    """Return nothing: that the file is closed and opens is all there is to know."""
    return {}


def master_facts(opened: Any) -> dict[str, Any]:
    """Return what a master asks for and links to, and its metadata."""
    specific = f"{_DETECTOR}/detectorSpecific"
    images, triggers = (_whole(opened, f"{specific}/{name}") for name in ("nimages", "ntrigger"))
    links, own_frames = _links(opened)
    said = facts.clean(
        {
            "expected_frames": None if images is None else images * (1 if triggers is None else triggers),
            "images_per_file": _whole(opened, f"{specific}/nimages_per_file"),
            "end_time": _text(opened, "entry/end_time"),
            **_metadata(opened, specific),
        }
    )
    return said | {"links": links, "own_frames": own_frames}


def _metadata(opened: Any, specific: str) -> dict[str, Any]:
    return {
        "detector": _text(opened, f"{_DETECTOR}/description"),
        "detector_serial": _text(opened, f"{_DETECTOR}/detector_number"),
        "instrument": _text(opened, "entry/instrument/name"),
        "sample": _text(opened, "entry/sample/name"),
        "date": facts.iso_date(_text(opened, f"{specific}/data_collection_date") or _text(opened, "entry/start_time")),
        "wavelength_A": _real(opened, "entry/instrument/beam/incident_wavelength"),
        "distance_mm": facts.scaled(_real(opened, f"{_DETECTOR}/detector_distance"), 1e3),
        "exposure_s": _real(opened, f"{_DETECTOR}/count_time"),
        "frame_period_s": _real(opened, f"{_DETECTOR}/frame_time"),
        "start_angle_deg": _real(opened, "entry/sample/goniometer/omega"),
        "increment_deg": _increment(opened),
        "beam_x_px": _real(opened, f"{_DETECTOR}/beam_center_x"),
        "beam_y_px": _real(opened, f"{_DETECTOR}/beam_center_y"),
        "pixel_x_um": facts.scaled(_real(opened, f"{_DETECTOR}/x_pixel_size"), 1e6),
        "width_px": _whole(opened, f"{specific}/x_pixels_in_detector"),
        "height_px": _whole(opened, f"{specific}/y_pixels_in_detector"),
    }


def _links(opened: Any) -> tuple[list[str], int]:
    """Return the names of linked files, in the links' own words, and the frames that the master holds itself."""
    import h5py

    names: set[str] = set()
    frames = 0
    for place in ("entry/data", "entry"):
        group = _plain(opened, place)
        if not isinstance(group, h5py.Group):
            continue
        for key in list(group)[:_MOST_LINKS]:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                names.add(str(link.filename).removeprefix("./"))
            elif place == "entry/data" and isinstance(link, h5py.HardLink) and key.startswith("data"):
                names |= _virtual_sources(group[key])
                frames += _written(group[key]) if _is_stack(group[key]) else 0
    return sorted(names), frames


def _virtual_sources(dataset: Any) -> set[str]:
    """Return the files behind a virtual dataset, whose length is always the planned one."""
    import h5py

    if not (isinstance(dataset, h5py.Dataset) and dataset.is_virtual):
        return set()
    return {str(source.file_name).removeprefix("./") for source in dataset.virtual_sources()} - {"."}


def _is_stack(found: Any) -> bool:
    import h5py

    return isinstance(found, h5py.Dataset) and found.ndim == 3 and not found.is_virtual


def _image_stacks(opened: Any) -> Iterator[Any]:
    for path in _DATA_PATHS:
        found = _plain(opened, path)
        if _is_stack(found):
            yield found


def _plain(opened: Any, path: str) -> Any:
    """Return what stands at a path, None where nothing does or where the way leads through a link."""
    import h5py

    found = opened
    for part in path.split("/"):
        if not isinstance(found, h5py.Group) or not isinstance(found.get(part, getlink=True), h5py.HardLink):
            return None
        found = found[part]
    return found


def _written(dataset: Any) -> int:
    """Return how many frames have all their chunks: the shape is set before the frames are written."""
    frames = int(dataset.shape[0])
    if not dataset.chunks:
        return frames
    in_frame: int = math.prod(
        math.ceil(int(size) / int(chunk)) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    return min(frames, int(dataset.id.get_num_chunks()) // max(in_frame, 1) * int(dataset.chunks[0]))


def _value(opened: Any, path: str) -> Any:
    import h5py

    found = _plain(opened, path)
    if not isinstance(found, h5py.Dataset) or found.size is None or found.size == 0 or found.size > 1_000_000:
        return None
    return found[()] if found.shape == () else found[(0,) * found.ndim]


def _real(opened: Any, path: str) -> float | None:
    value = _value(opened, path)
    try:
        return None if value is None else float(f"{float(value):.7g}")  # detectors store single precision
    except (TypeError, ValueError):
        return None


def _whole(opened: Any, path: str) -> int | None:
    value = _value(opened, path)
    try:
        return None if value is None or int(value) < 0 else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(opened: Any, path: str) -> str | None:
    value = _value(opened, path)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _increment(opened: Any) -> float | None:
    return _real(opened, "entry/sample/goniometer/omega_increment") or _real(
        opened, "entry/sample/goniometer/omega_range_average"
    )


def _attribute(dataset: Any, name: str) -> int | None:
    value = dataset.attrs.get(name)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None
