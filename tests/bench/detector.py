"""A detector in a process of its own: frames of a Pilatus at a steady pace, one series after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from depositd.simulate.frames import cbf_frame, encode_cbf
from depositd.simulate.images import Album

SHAPE = (100, 100)
_PICTURES = 24  # as many different ones as an album holds


@dataclass(frozen=True, slots=True)
class Acquired:
    """What a detector did: when it began, and when it closed the last frame of each series, by the wall clock."""

    began_at: float
    ended_at: tuple[float, ...]

    @property
    def duration_s(self) -> float:
        """From the first frame to the last one."""
        return self.ended_at[-1] - self.began_at


def acquire(directory: Path, series: int, frames: int, rate_hz: float) -> Acquired:
    """Write ``series`` directories with one series of ``frames`` each, in another process."""
    command = [sys.executable, "-P", "-m", "bench.detector", str(directory), str(series), str(frames), str(rate_hz)]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Acquired(said["began_at"], tuple(said["ended_at"]))


class Camera:
    """Makes the bytes of frames: each has a header of its own, and one of a few pictures that were packed before."""

    def __init__(self, shape: tuple[int, int] = SHAPE, rate_hz: float = 1000.0) -> None:
        self._shape = shape
        self._period_s = 1 / rate_hz
        self._began = datetime.now(UTC)
        self._album = Album(encode_cbf, shape=shape)

    def frame(self, number: int) -> bytes:
        """Return frame ``number``, counted from 1."""
        return cbf_frame(
            number,
            date=self._began + timedelta(seconds=number * self._period_s),
            shape=self._shape,
            exposure_s=self._period_s * 0.98,
            period_s=self._period_s,
            encoded=self._album.picture(number),
        )

    def write(self, directory: Path, first: int, last: int) -> None:
        """Write frames as fast as the disk takes them."""
        for number in range(first, last + 1):
            (directory / f"lyso_1_{number:06d}.cbf").write_bytes(self.frame(number))


def main() -> None:
    """Write the series, and print when what happened as JSON."""
    directory, series, frames, rate_hz = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    camera = Camera(rate_hz=rate_hz)
    camera.frame(_PICTURES)  # packs every picture before the clock runs
    began_at, began_s = time.time(), time.monotonic()
    ended_at = []
    for index in range(series):
        sample = directory / f"sample_{index + 1:03d}"
        sample.mkdir()
        for number in range(1, frames + 1):
            due_s = began_s + (index * frames + number) / rate_hz
            if (wait_s := due_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            camera.write(sample, number, number)
        ended_at.append(time.time())
    json.dump({"began_at": began_at, "ended_at": ended_at}, sys.stdout)


if __name__ == "__main__":
    main()
