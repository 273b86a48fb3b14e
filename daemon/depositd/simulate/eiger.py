"""Eiger HDF5 series: a master at *arm* that links to data files which come later.

Images are compressed with bitshuffle-LZ4 where ``hdf5plugin`` is installed (extra ``preview``), as the
detector does, and with gzip otherwise: what decides completion is the same in both.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from depositd.simulate import images as pictures

_SOME_NIGHT = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
_GAP = np.uint32(2**32 - 1)
_PIXEL_M = 75e-6


class EigerWriter:
    """Writes one series image by image; a data file is closed as soon as the next one begins.

    ``images`` is per trigger: ``images * ntrigger`` in all.  ``exposure`` multiplies the counts.  ``place`` turns
    a file name into the path to write to (default: in ``directory``, refusing what is there); ``finished`` hears of
    each file that was closed.
    """

    DATA_PATH = "entry/data/data"
    """Where a data file holds its images."""

    def __init__(
        self,
        directory: Path,
        prefix: str,
        *,
        images: int,
        images_per_file: int = 100,
        ntrigger: int = 1,
        shape: tuple[int, int] = (256, 256),
        frame_time_s: float = 0.01,
        seed: int = 0,
        date: datetime = _SOME_NIGHT,
        wavelength_A: float = 0.9763,  # noqa: N803 - the unit's own spelling
        distance_m: float = 0.2,
        increment_deg: float = 0.1,
        exposure: float = 1.0,
        place: Callable[[str], Path] | None = None,
        finished: Callable[[str], None] | None = None,
    ) -> None:
        self.prefix = prefix
        self.images = images
        self.images_per_file = images_per_file
        self.ntrigger = ntrigger
        self.shape = shape
        self.frame_time_s = frame_time_s
        self.date = date
        self.wavelength_A = wavelength_A
        self.distance_m = distance_m
        self.increment_deg = increment_deg
        self._directory = directory
        self._seed = seed
        self._exposure = exposure
        self.place = place or self._refuse_existing
        self._finished = finished
        self._compression = _compression()
        self._file: Any = None
        self._file_number = 0

    @property
    def total_images(self) -> int:
        """Images of all triggers."""
        return self.images * self.ntrigger

    def file_number(self, image: int) -> int:
        """Return the data file, counted from 1, that image ``image``, counted from 1, belongs to."""
        return (image - 1) // self.images_per_file + 1

    @property
    def files(self) -> int:
        """Data files of all triggers."""
        return self.file_number(self.total_images)

    def arm(self) -> None:
        """Write the master with links to all data files; none of them is there yet."""
        import h5py

        name = f"{self.prefix}_master.h5"
        with h5py.File(self.place(name), "w") as master:
            self.describe(master)
            data = master.create_group("entry/data")
            data.attrs["NX_class"] = "NXdata"
            for number in range(1, self.files + 1):
                data[f"data_{number:06d}"] = h5py.ExternalLink(self.data_name(number), f"/{self.DATA_PATH}")
        self.tell(name)

    def add_image(self, image: int, *, corrupt: bool = False) -> None:
        """Append image ``image``, counted from 1, to its data file and flush it to the disk.

        A ``corrupt`` image has zeros where its packed pixels should be: HDF5 cannot unpack them.
        """
        number = self.file_number(image)
        if self._file is None or number != self._file_number:
            self.close_data()
            self._open(number, image)
        data = self._file[self.DATA_PATH]
        data.resize(data.shape[0] + 1, axis=0)
        counts = pictures.frame(
            image, shape=self.shape, seed=self._seed, tiling=pictures.EIGER, exposure=self._exposure
        )
        pixels = counts.view(np.uint32)
        # unsigned: what Pilatus marks with negative numbers is the largest number here
        pixels[counts < 0] = _GAP
        data[-1] = pixels
        if corrupt:
            packed_bytes = data.id.get_chunk_info_by_coord((data.shape[0] - 1, 0, 0)).size
            data.id.write_direct_chunk((data.shape[0] - 1, 0, 0), bytes(packed_bytes))
        data.attrs["image_nr_high"] = image
        self._file.flush()

    def describe(self, master: Any) -> None:
        """Write what a master says of the experiment into an open file."""
        _write_tree(master, _metadata(self))
        master["entry"].attrs["NX_class"] = "NXentry"
        master["entry/sample/goniometer/omega"] = np.arange(self.total_images) * self.increment_deg

    def close(self) -> None:
        """Close all files that are open."""
        self.close_data()

    def close_data(self) -> None:
        """Close the data file that is open, if one is."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self.tell(self.data_name(self._file_number))

    def end(self, ended: datetime) -> None:  # noqa: ARG002 - other writers of the same files do say when
        """End the series; an Eiger's own files do not say that it has ended."""
        self.close()

    def _open(self, number: int, image: int) -> None:
        import h5py

        # "latest" marks a file that is open for writing in its superblock, as the detector's files are marked
        self._file = h5py.File(self.place(self.data_name(number)), "w", libver="latest")
        self._file_number = number
        data = self._file.create_dataset(
            self.DATA_PATH,
            shape=(0, *self.shape),
            maxshape=(self.images_per_file, *self.shape),
            chunks=(1, *self.shape),
            dtype="<u4",
            **self._compression,
        )
        data.attrs["image_nr_low"] = image
        data.attrs["image_nr_high"] = image

    def data_name(self, number: int) -> str:
        """Return the name of data file ``number``, counted from 1."""
        return f"{self.prefix}_data_{number:06d}.h5"

    def _refuse_existing(self, name: str) -> Path:
        path = self._directory / name
        if os.path.lexists(path):
            raise FileExistsError(f"{path} is there already: a simulated Eiger never writes over a file")
        return path

    def tell(self, name: str) -> None:
        """Say that a file was closed."""
        if self._finished is not None:
            self._finished(name)


def write_eiger(
    directory: Path,
    prefix: str,
    *,
    images: int,
    images_per_file: int = 100,
    ntrigger: int = 1,
    shape: tuple[int, int] = (256, 256),
    frame_time_s: float = 0.01,
    upto_images: int | None = None,
    seed: int = 0,
    date: datetime = _SOME_NIGHT,
) -> None:
    """Write a series at once: ``images * ntrigger`` images, or an aborted one of ``upto_images``.

    Bitshuffle-LZ4 where ``hdf5plugin`` is installed, gzip otherwise.  Raises FileExistsError
    rather than writing over a file.
    """
    writer = EigerWriter(
        directory,
        prefix,
        images=images,
        images_per_file=images_per_file,
        ntrigger=ntrigger,
        shape=shape,
        frame_time_s=frame_time_s,
        seed=seed,
        date=date,
    )
    writer.arm()
    try:
        for image in range(1, (writer.total_images if upto_images is None else upto_images) + 1):
            writer.add_image(image)
    finally:
        writer.close()


def _metadata(writer: EigerWriter) -> Mapping[str, Any]:
    """Return what the master says, by path."""
    rows, columns = writer.shape
    detector = "entry/instrument/detector"
    return {
        "entry/definition": "NXmx",
        "entry/start_time": writer.date.isoformat(),
        "entry/instrument/name": "SIM-1",
        "entry/sample/name": writer.prefix,
        "entry/instrument/beam/incident_wavelength": writer.wavelength_A,
        f"{detector}/description": "Dectris EIGER2 Si 1M",
        f"{detector}/detector_number": "E-02-0101",
        f"{detector}/detector_distance": writer.distance_m,
        f"{detector}/beam_center_x": columns / 2,
        f"{detector}/beam_center_y": rows / 2,
        f"{detector}/count_time": writer.frame_time_s * 0.999,
        f"{detector}/frame_time": writer.frame_time_s,
        f"{detector}/x_pixel_size": _PIXEL_M,
        f"{detector}/y_pixel_size": _PIXEL_M,
        f"{detector}/sensor_thickness": 450e-6,
        f"{detector}/bit_depth_image": np.uint32(32),
        f"{detector}/detectorSpecific/nimages": np.uint32(writer.images),
        f"{detector}/detectorSpecific/ntrigger": np.uint32(writer.ntrigger),
        f"{detector}/detectorSpecific/data_collection_date": writer.date.isoformat(),
        f"{detector}/detectorSpecific/x_pixels_in_detector": np.uint32(columns),
        f"{detector}/detectorSpecific/y_pixels_in_detector": np.uint32(rows),
    }


def _write_tree(master: Any, values: Mapping[str, Any]) -> None:
    for path, value in values.items():
        master[path] = np.bytes_(value.encode("utf-8", "surrogateescape")) if isinstance(value, str) else value


def _compression() -> Mapping[str, Any]:
    if importlib.util.find_spec("hdf5plugin") is None:
        return {"compression": "gzip", "compression_opts": 1}
    import hdf5plugin

    return dict(hdf5plugin.Bitshuffle(cname="lz4"))
