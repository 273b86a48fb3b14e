"""Detectors: what each writes as one frame, and how a series of frames comes onto the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from depositd.simulate import frames, images
from depositd.simulate.bruker_sfrm import bruker_frame, encode_bruker
from depositd.simulate.diamond import DiamondWriter
from depositd.simulate.eiger import EigerWriter
from depositd.simulate.mar345 import encode_mar345, mar345_frame
from depositd.simulate.oxford import encode_oxford, oxford_frame
from depositd.simulate.plan import Fault, Plan
from depositd.simulate.raxis import encode_raxis, raxis_frame
from depositd.simulate.script import Run, Script
from depositd.simulate.tiff import encode_tiff, tiff_frame

_PILATUS_SHAPE = (195, 487)
_SMALL_SHAPE = (256, 256)
_RAXIS_SHAPE = (200, 720)
_EXPOSED = 0.98  # the rest of a frame's period is read-out
_OTHER_WAVELENGTH_ANGSTROM = 0.9184  # where bromine is measured
_INVERSE_BEAM_DEG = 180.0


def _exposure(plan: Plan, _name: str) -> Mapping[str, Any]:
    return {"exposure_s": plan.period_s * _EXPOSED}


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of frames: its suffix, how a frame is made and its picture encoded, and the size of that.

    ``says`` gives what the header of a plan's series says besides what all headers say.
    """

    suffix: str
    frame: Callable[..., bytes]
    encode: Callable[[images.Image], images.Encoded]
    shape: tuple[int, int] = _SMALL_SHAPE
    says: Callable[[Plan, str], Mapping[str, Any]] = _exposure


DETECTORS: Mapping[str, Detector] = {
    "pilatus": Detector(
        ".cbf",
        frames.cbf_frame,
        frames.encode_cbf,
        _PILATUS_SHAPE,
        lambda plan, name: {**_exposure(plan, name), "name": name, "period_s": plan.period_s},
    ),
    "cbf": Detector(
        ".cbf",
        frames.full_cbf_frame,
        frames.encode_cbf,
        _PILATUS_SHAPE,
        lambda plan, name: {**_exposure(plan, name), "name": name},
    ),
    "smv": Detector(".img", frames.smv_frame, frames.encode_smv),
    "marccd": Detector(".mccd", frames.marccd_frame, frames.encode_marccd),
    "raxis": Detector(".osc", raxis_frame, encode_raxis, _RAXIS_SHAPE),
    "bruker": Detector(
        ".sfrm",
        bruker_frame,
        encode_bruker,
        says=lambda plan, name: {**_exposure(plan, name), "name": name, "frames": plan.frames},
    ),
    "mar345": Detector(".mar2300", mar345_frame, encode_mar345),
    "oxford": Detector(".img", oxford_frame, encode_oxford),
    "tiff": Detector(".tif", tiff_frame, encode_tiff, says=lambda _plan, _name: {}),
}


def write_frames(run: Run, detector: Detector) -> Script:
    """Write one file for each frame, in two goes as a detector's server does."""
    plan = run.plan
    shape = plan.shape or detector.shape
    album = images.Album(detector.encode, shape=shape, seed=plan.seed)
    for number, periods in run.take.waits():
        for name in plan.names:
            yield periods - 0.25
            encoded = album.picture(number)
            data = detector.frame(
                number,
                date=run.now(),
                shape=shape,
                encoded=encoded.blank if plan.is_corrupt(number) else encoded,
                **{**detector.says(plan, name), **_faulty(plan, number, name)},
            )
            with run.output.open(f"{name}_{number:05d}{detector.suffix}", len(data)) as file:
                file.write(data[: len(data) // 2])
                yield 0.25
                file.write(data[len(data) // 2 :])
            run.output.frame_done()


def _faulty(plan: Plan, number: int, name: str) -> Mapping[str, Any]:
    """Return what a fault makes a header say."""
    if plan.fault == Fault.TWO_WAVELENGTHS:
        first = number <= plan.half
        # each of the two runs counts its own frames, where a header does
        counted = {"frames": plan.half if first else plan.frames - plan.half} if plan.instrument == "bruker" else {}
        return counted if first else {**counted, "wavelength_A": _OTHER_WAVELENGTH_ANGSTROM}
    if name != plan.name:
        # a plain TIFF has no angle
        return {} if plan.instrument == "tiff" else {"start_angle_deg": _INVERSE_BEAM_DEG}
    return {}


def write_hdf5(run: Run, writer_class: type[EigerWriter]) -> Script:
    """Write the master at arm, then image after image; a data file is closed when the next one begins."""
    plan = run.plan
    writer = writer_class(
        run.output.root,
        plan.name,
        images=plan.frames,
        images_per_file=plan.hdf5_images_per_file,
        shape=plan.shape or _SMALL_SHAPE,
        frame_time_s=plan.period_s,
        seed=plan.seed,
        date=run.now(),
        place=run.output.place,
        finished=run.output.finished,
    )
    try:
        writer.arm()
        for number, periods in run.take.waits():
            yield periods
            writer.add_image(number, corrupt=plan.is_corrupt(number))
            run.output.frame_done()
        if run.take.ends:
            writer.end(run.now())
    finally:
        writer.close()


HDF5: Mapping[str, type[EigerWriter]] = {"eiger": EigerWriter, "diamond": DiamondWriter}
