"""Everything that makes instrument files in one place: bytes for single files, writers for HDF5."""

from depositd.simulate.bruker_sfrm import bruker_frame
from depositd.simulate.diamond import DiamondWriter
from depositd.simulate.eiger import EigerWriter, write_eiger
from depositd.simulate.frames import cbf_frame, full_cbf_frame, marccd_frame, smv_frame
from depositd.simulate.mar345 import mar345_frame
from depositd.simulate.oxford import oxford_frame
from depositd.simulate.raxis import raxis_frame
from depositd.simulate.thermo import thermo_raw_bytes
from depositd.simulate.tiff import tiff_frame
from depositd.simulate.waters import waters_files

__all__ = [
    "DiamondWriter",
    "EigerWriter",
    "bruker_frame",
    "cbf_frame",
    "full_cbf_frame",
    "mar345_frame",
    "marccd_frame",
    "oxford_frame",
    "raxis_frame",
    "smv_frame",
    "thermo_raw_bytes",
    "tiff_frame",
    "waters_files",
    "write_eiger",
]
