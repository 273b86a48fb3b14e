"""Formats: what a dataset is on disk, and when it is whole.

A format is one file and one line in :data:`FORMATS`.

Bruker's and Agilent's directories both end in ``.d``: what lies in one decides.  Under ``auto`` one that shows neither
kind of data is left out until it does, which takes a real acquisition moments: what it is called never changes.
"""

from __future__ import annotations

from dataclasses import replace

from depositd.formats.agilent_d import AgilentD
from depositd.formats.base import ContentCheck, Format
from depositd.formats.bruker_d import BrukerD
from depositd.formats.eiger import Eiger
from depositd.formats.frames import FrameSeries
from depositd.formats.plain import PlainDirectory, PlainFile
from depositd.formats.sciex import Sciex
from depositd.formats.thermo_raw import ThermoRaw
from depositd.formats.waters_raw import WatersRaw
from depositd.model import Dataset, Listing

__all__ = ["AUTO", "FORMATS", "ContentCheck", "Format", "claims", "group"]

FORMATS: dict[str, Format] = {
    "frames": FrameSeries(),
    "eiger": Eiger(),
    "thermo-raw": ThermoRaw(),
    "waters-raw": WatersRaw(),
    "bruker-d": BrukerD(),
    "agilent-d": AgilentD(),
    "sciex": Sciex(),
    "file": PlainFile(),
    "directory": PlainDirectory(),
}
"""Every format by the name that rules use."""

AUTO: tuple[str, ...] = ("waters-raw", "bruker-d", "agilent-d", "eiger", "thermo-raw", "sciex", "frames")
"""The order in which ``format: auto`` asks; what one format takes is not offered to the next."""

_AUTO = {**FORMATS, "bruker-d": BrukerD(recognised_only=True)}


def claims(directory: str, format_name: str) -> bool:
    """Say whether a directory is a dataset by itself for a format or ``auto``; raises KeyError for unknown names."""
    return any(format_.claims(directory) for format_ in _asked(format_name))


def group(listing: Listing, format_name: str) -> list[Dataset]:
    """Return a listing's datasets for a format or ``auto``, ``dataset.format`` being the format that took each.

    Raises KeyError for an unknown name.
    """
    datasets: list[Dataset] = []
    for format_ in _asked(format_name):
        found = list(format_.group(listing))
        datasets += found
        taken = {file.path for dataset in found for file in dataset.files}
        listing = replace(
            listing,
            files=tuple(file for file in listing.files if file.path not in taken),
            trees={
                directory: files
                for directory, files in listing.trees.items()
                if not any(file.path in taken for file in files)
            },
        )
    return datasets


def _asked(format_name: str) -> tuple[Format, ...]:
    return tuple(_AUTO[name] for name in AUTO) if format_name == "auto" else (FORMATS[format_name],)
