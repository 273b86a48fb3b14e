"""Everything that makes instrument files in one place: bytes for single files, writers for HDF5."""

from depositd.simulate.eiger import EigerWriter, write_eiger
from depositd.simulate.frames import cbf_frame, full_cbf_frame, marccd_frame, smv_frame
from depositd.simulate.thermo import thermo_raw_bytes
from depositd.simulate.waters import waters_files

__all__ = [
    "EigerWriter",
    "cbf_frame",
    "full_cbf_frame",
    "marccd_frame",
    "smv_frame",
    "thermo_raw_bytes",
    "waters_files",
    "write_eiger",
]
