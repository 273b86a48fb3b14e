"""A machine that fails: disks that fill up, clocks that jump, limits that are reached."""

from __future__ import annotations

import functools
import glob
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from beamline_support import Beamline

from depositd.journal import FILE_NAME, Journal


@functools.cache
def libfaketime() -> str | None:
    """Return the library that tells a process another time, None where it is not installed."""
    if shutil.which("faketime") is None:
        return None
    # no deeper: some systems have links below that lead around in circles
    places = ("/usr/lib*/faketime", "/usr/lib*/*/faketime")
    found = sorted(path for place in places for path in glob.glob(f"{place}/libfaketimeMT.so.1"))
    return found[0] if found else None


def why_no_faketime() -> str | None:
    """Return why no process can be told another time here, None where it can."""
    return None if libfaketime() else "faketime not installed"


def fill(directory: Path, name: str = "filler") -> Path:
    """Write a file until nothing is free any more."""
    path = directory / name
    with suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def problems_of(log: str) -> tuple[int, list[str]]:
    """Ask the status page whose address stands in a log: its code and what it says is wrong."""
    address = re.findall(r"http://127\.0\.0\.1:\d+/", log)[-1]
    try:
        with urllib.request.urlopen(f"{address}healthz", timeout=10) as answer:
            return answer.status, []
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["problems"]


def look(beamline: Beamline) -> dict[str, Any]:
    """Return what the journal says now, as ``status --json`` does, without the command's start."""
    path = beamline.state / FILE_NAME
    if not path.exists():
        return {"datasets": [], "transfers": []}
    journal = Journal(path, read_only=True)
    try:
        return {"datasets": [], "transfers": []} if journal.database.is_empty else journal.view.status()
    finally:
        journal.close()


def state_of(beamline: Beamline, name: str, destination: str = "vault") -> str | None:
    """Return the state of one delivery, None while there is none."""
    found = [to for one in look(beamline)["datasets"] if one["name"] == name for to in one["deliveries"]]
    return next((to["state"] for to in found if to["destination"] == destination), None)


def events_of(beamline: Beamline, dataset_id: int) -> Counter[str]:
    """Count what the history of a dataset tells."""
    journal = Journal(beamline.state / FILE_NAME, read_only=True)
    try:
        shown = journal.view.show(dataset_id)
    finally:
        journal.close()
    assert shown is not None
    return Counter(line["event"] for line in shown["history"])


def assert_delivered_once(beamline: Beamline, names: list[str]) -> None:
    """Assert that each dataset was delivered to the vault, and is there once; and that the journal is sound."""
    found: dict[str, dict[str, Any]] = {one["name"]: one for one in look(beamline)["datasets"]}
    assert sorted(found) == sorted(names)
    for name in names:
        assert [one["state"] for one in found[name]["deliveries"]] == ["delivered"], found[name]
        assert events_of(beamline, found[name]["id"])["delivered"] == 1
    assert sorted(os.listdir(beamline.vault)) == sorted(f"{name}.tar.zst" for name in names)
    assert beamline.run("journal", "check").returncode == 0


def limit(pid: int, *limits: str) -> None:
    """Set limits of a process that runs (``prlimit --nofile=30``)."""
    subprocess.run(["prlimit", f"--pid={pid}", *limits], check=True, timeout=10)
