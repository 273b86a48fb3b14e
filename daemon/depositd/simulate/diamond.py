"""Eiger series as Diamond's beamlines write them: ``P.nxs``, ``P_meta.h5`` and data files (``P_000001.h5``).

The ``.nxs`` is an NXmx file whose images are a virtual dataset over all data files, there at arm with its full
length.  It stays open until the end, when ``end_time`` is written; after an abort it is closed without.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from depositd.simulate.eiger import EigerWriter


class DiamondWriter(EigerWriter):
    """Writes one series image by image, as :class:`EigerWriter` does, under Diamond's names."""

    DATA_PATH = "data"

    _nexus: Any = None

    def arm(self) -> None:
        """Write the NeXus file, and leave it open, and the detector's own metadata."""
        import h5py

        self._nexus = h5py.File(self.place(self._nexus_name), "w", libver="latest")
        self.describe(self._nexus)
        exposed = timedelta(seconds=self.total_images * self.frame_time_s)
        self._nexus["entry/end_time_estimated"] = (self.date + exposed).isoformat()
        data = self._nexus.create_group("entry/data")
        data.attrs["NX_class"] = "NXdata"
        data.create_virtual_dataset("data", self._layout(), fillvalue=0)
        meta_name = f"{self.prefix}_meta.h5"
        with h5py.File(self.place(meta_name), "w") as meta:
            meta["_dectris/nimages"] = np.uint64(self.images)
            meta["_dectris/ntrigger"] = np.uint64(self.ntrigger)
            meta["mask"] = np.zeros(self.shape, dtype="<u4")
        self.tell(meta_name)
        self._nexus.flush()

    def close(self) -> None:
        """Close all files, the NeXus file too."""
        self.close_data()
        if self._nexus is not None:
            self._nexus.close()
            self._nexus = None
            self.tell(self._nexus_name)

    def end(self, ended: datetime) -> None:
        """Say when the series ended, as the NXmx standard asks for, and close all files."""
        self._nexus["entry/end_time"] = ended.isoformat()
        self.close()

    def data_name(self, number: int) -> str:
        """Return the name of data file ``number``, counted from 1."""
        return f"{self.prefix}_{number:06d}.h5"

    @property
    def _nexus_name(self) -> str:
        return f"{self.prefix}.nxs"

    def _layout(self) -> Any:
        """Map every planned image to its place in a data file, whether that is there or not."""
        import h5py

        layout = h5py.VirtualLayout(shape=(self.total_images, *self.shape), dtype="<u4")
        for number in range(1, self.files + 1):
            first = (number - 1) * self.images_per_file
            count = min(self.images_per_file, self.total_images - first)
            layout[first : first + count] = h5py.VirtualSource(
                self.data_name(number), f"/{self.DATA_PATH}", shape=(count, *self.shape), dtype="<u4"
            )
        return layout
