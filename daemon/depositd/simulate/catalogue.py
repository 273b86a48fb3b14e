"""What can be simulated: instruments, faults, and which of them go together."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from depositd.units import printable

DETECTORS: Mapping[str, str] = {
    "pilatus": "Pilatus: miniCBF (.cbf)",
    "cbf": "full imgCIF with the categories of the CIF dictionary (.cbf)",
    "smv": "ADSC: SMV (.img)",
    "marccd": "Rayonix: marCCD (.mccd)",
    "raxis": "Rigaku R-AXIS (.osc)",
    "bruker": "Bruker, with NFRAMES in each header (.sfrm)",
    "mar345": "marresearch image plate, packed (.mar2300)",
    "oxford": "Oxford Diffraction, OD SAPPHIRE with TY1 packing (.img)",
    "tiff": "plain TIFF (.tif)",
}
"""Detectors that write one file for each frame."""

SIMULATORS: Mapping[str, str] = {
    **DETECTORS,
    "eiger": "Eiger: an HDF5 master at arm, data files one after another",
    "diamond": "Eiger at Diamond: .nxs with a virtual dataset, _meta.h5, data files; end_time at the end",
    "thermo-raw": "Thermo: one .raw file that grows and is marked when the run ends",
    "waters-raw": "Waters: a .raw directory whose function files grow side by side",
    "bruker-d": "Bruker timsTOF: a .d directory, its SQLite index in WAL mode until the end",
    "agilent-d": "Agilent MassHunter: a .d directory, AcqStatus 0, 1 and at the end 2",
    "sciex": "Sciex: .wiff and its companions; .wiff.scan has 44 bytes until the end",
    "file": "any instrument that appends to one file (.dat)",
    "directory": "any instrument that fills one directory, file by file",
    "frames": "the same as pilatus, by the name that rules use",
}
"""Names for ``depositd simulate FORMAT DIR`` with one line each."""

_ALIASES = {"frames": "pilatus"}


class Fault(enum.StrEnum):
    """What can go wrong on request."""

    ABORT = "abort"
    GAP = "gap"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    RESTART = "restart"
    LATE = "late"
    SLOW = "slow"
    RENAME = "rename"
    OLD_MTIMES = "old-mtimes"
    FUTURE_MTIMES = "future-mtimes"
    PREALLOCATED = "preallocated"
    TWO_WAVELENGTHS = "two-wavelengths"
    INTERLEAVED = "interleaved"


FAULTS: Mapping[Fault, str] = {
    Fault.ABORT: "The run stops half-way: the rest never comes, and nothing is tidied up.",
    Fault.GAP: "One frame in the middle (HDF5: one data file, Waters: one function) is never written.",
    Fault.TRUNCATED: "The last data file ends after 60 % of its bytes.",
    Fault.CORRUPT: "One frame in the middle has zeros for pixels; what is no frame ends in a block of zeros.",
    Fault.RESTART: "The run stops half-way and begins again under the same name, over what it wrote.",
    Fault.LATE: "One frame in the middle (HDF5: one data file) comes last, 20 periods after all others.",
    Fault.SLOW: "Everything comes ten times slower than the headers say, as over a crowded network.",
    Fault.RENAME: "Everything is written under a hidden temporary name and renamed into place when whole.",
    Fault.OLD_MTIMES: "Files are copied in as rsync does, with modification times of a week ago.",
    Fault.FUTURE_MTIMES: "The clock of the instrument's computer is a day ahead.",
    Fault.PREALLOCATED: "Each file has its final size from the start and is filled afterwards.",
    Fault.TWO_WAVELENGTHS: "Half-way the headers change to another wavelength under the same name.",
    Fault.INTERLEAVED: "Two series, NAME and NAME_b (half a turn on), are written in turn.",
}
"""Faults with one sentence each."""

_HDF5 = ("eiger", "diamond")
_ONE_FILE = ("thermo-raw", "file")
_APPENDING = ("waters-raw", "bruker-d", "agilent-d", "sciex")
_SPECTRA = ("thermo-raw", *_APPENDING)


def _refusals() -> Iterator[tuple[str, Fault, str]]:
    """Yield what makes no sense: the instrument, the fault, and why."""
    for name in _ONE_FILE:
        yield name, Fault.GAP, "one file has no frame that could be missing"
        yield name, Fault.LATE, "one file has no frame that could come late"
    for name in _APPENDING:
        yield name, Fault.LATE, "scans are appended in order"
    for name in ("bruker-d", "agilent-d", "sciex"):
        yield name, Fault.GAP, "scans are appended to one file, so none can be missing"
    yield "thermo-raw", Fault.RESTART, "Xcalibur gives a second run another name"
    yield "bruker-d", Fault.RESTART, "the software numbers its runs, so no name comes twice"
    yield "sciex", Fault.RESTART, "a second run becomes a second sample of the same .wiff"
    yield "diamond", Fault.RESTART, "the beamline numbers its scans, so no name comes twice"
    for name in _HDF5:
        yield name, Fault.PREALLOCATED, "HDF5 files grow with their images"
        yield name, Fault.TWO_WAVELENGTHS, "its one master names one wavelength"
    yield "sciex", Fault.PREALLOCATED, "its .wiff.scan is known by its 44 bytes"
    yield "tiff", Fault.TWO_WAVELENGTHS, "a plain TIFF names no wavelength"
    for name in (*_SPECTRA, "file", "directory"):
        yield name, Fault.TWO_WAVELENGTHS, "nothing in it names a wavelength"
    for name in (*_HDF5, *_SPECTRA, "file", "directory"):
        yield name, Fault.INTERLEAVED, "only numbered frames can be written in turn"


_SENSELESS: Mapping[tuple[str, Fault], str] = {(name, fault): reason for name, fault, reason in _refusals()}


def instrument_of(name: str) -> str:
    """Return an instrument's own name; raises ValueError, with those that there are, for an unknown one."""
    if name not in SIMULATORS:
        raise ValueError(f"{printable(name)!r} cannot be simulated (one of {', '.join(SIMULATORS)})")
    return _ALIASES.get(name, name)


def fault_of(name: str, format_name: str) -> Fault:
    """Return the fault of that name; raises ValueError where there is none, or none for this format."""
    if name not in FAULTS:
        raise ValueError(f"{printable(name)!r} is not a fault (one of {', '.join(FAULTS)})")
    fault = Fault(name)
    reason = _SENSELESS.get((instrument_of(format_name), fault))
    if reason is not None:
        raise ValueError(
            f"{fault} makes no sense for {format_name}: {reason} (one of {', '.join(faults_of(format_name))})"
        )
    return fault


def faults_of(format_name: str) -> tuple[Fault, ...]:
    """Return the faults that make sense for a format; raises ValueError for an unknown one."""
    instrument = instrument_of(format_name)
    return tuple(fault for fault in Fault if (instrument, fault) not in _SENSELESS)


def scope_of(fault: Fault) -> str:
    """Return which formats a fault goes with, in as few words as say it: empty where it goes with all of them."""
    able = [name for name in SIMULATORS if name not in _ALIASES and (name, fault) not in _SENSELESS]
    unable = [name for name in SIMULATORS if (name, fault) in _SENSELESS]
    if not unable:
        return ""
    if able == list(DETECTORS):
        return "Detectors with a file for each frame only."
    if set(able) < set(DETECTORS):
        others = " and ".join(name for name in DETECTORS if name not in able)
        return f"Detectors with a file for each frame only, and not {others}."
    return f"Not {', '.join(unable)}."
