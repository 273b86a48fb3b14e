"""A detector in a process of its own that shows a series again: the files of one that was made before, at its pace."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RATE_BYTES_PER_S = 60_000_000
"""What a Pilatus 6M writes at 10 to 25 Hz, and a disk takes beside everything else."""


def replay(
    source: Path,
    target: Path,
    meanwhile: Callable[[], None] = lambda: None,
    *,
    meanwhile_every_s: float = 1.0,
    rate_bytes_per_s: int = RATE_BYTES_PER_S,
) -> float:
    """Write a series again, and return when its last file was closed, by the wall clock.

    ``meanwhile`` is called again and again while it is written, and may then still be at work for a moment.
    """
    target.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "bench.replay", str(source), str(target), str(rate_bytes_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while True:
            try:
                said, _ = process.communicate(timeout=meanwhile_every_s)
                break
            except subprocess.TimeoutExpired:
                meanwhile()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    ended_at: float = json.loads(said)["ended_at"]
    return ended_at


def main() -> None:
    """Write the files in the order of their names, and print when the last one was closed as JSON."""
    source, target, rate_bytes_per_s = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    began_s, written_bytes = time.monotonic(), 0
    for file in sorted(source.iterdir()):
        content = file.read_bytes()
        written_bytes += len(content)
        if (wait_s := began_s + written_bytes / rate_bytes_per_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        (target / file.name).write_bytes(content)
    json.dump({"ended_at": time.time()}, sys.stdout)


if __name__ == "__main__":
    main()
