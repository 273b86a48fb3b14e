"""One picture of a dataset, as PNG: its first frame, or its total ion current over time.

Only the file that the picture is made of is read (of an Eiger series the master too), through the same door as an
archive's files: no link is followed, nothing is opened for writing, and a file that is not the one that was looked at
is refused.  Pillow draws it, and hdf5plugin decompresses Eiger data: both come with the extra ``preview``.

Thermo's files have no open reader that could run here.  Waters' index holds the total ion current of every scan, so
no further library is needed: the one that reads Waters data (rainbow-api) loads whole data files into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from depositd.archive.source import SourceTree
from depositd.errors import NoPicture, SourceChanged
from depositd.model import Dataset, Metadata
from depositd.preview import bruker, eiger, frames, waters
from depositd.preview.reading import Source
from depositd.units import printable

__all__ = ["kinds", "picture"]

_Draw = Callable[[Source, Metadata], bytes]

_KINDS: Mapping[str, tuple[_Draw, str]] = MappingProxyType(
    {
        "frames": (frames.draw, frames.SHOWS),
        "eiger": (eiger.draw, eiger.SHOWS),
        "waters-raw": (waters.draw, waters.SHOWS),
        "bruker-d": (bruker.draw, bruker.SHOWS),
    }
)


def kinds() -> Mapping[str, str]:
    """Return what the picture shows, by the name of the format; a format that is absent has none."""
    return {name: shows for name, (_draw, shows) in _KINDS.items()}


def picture(root: str, dataset: Dataset, metadata: Metadata) -> bytes:
    """Return one picture of a dataset as PNG.

    ``root`` is the source's absolute path; ``metadata`` is what is known of the whole dataset (``frames`` and the other
    keys of :mod:`depositd.formats.facts`), and what it lacks is read from the header.  Raises NoPicture, or
    SourceChanged and SourceUnreadable where a file is not what ``dataset`` says or cannot be read.
    """
    if dataset.format not in _KINDS:
        raise NoPicture(_why_none(dataset.format), hint=f"there are pictures of {', '.join(_KINDS)}")
    draw, _shows = _KINDS[dataset.format]
    try:
        with SourceTree(root) as tree:
            return draw(Source(tree, root, dataset), metadata)
    except SourceChanged as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise NoPicture(
                f"the files are no longer there: {error}",
                hint=f"put {printable(dataset.name)} back where it was, or look into its archive",
            ) from None
        raise


def _why_none(format_name: str) -> str:
    if format_name == "thermo-raw":
        return "no picture of a Thermo .raw can be made: there is no open reader for it"
    return f"no picture of this kind of data can be made ({printable(format_name)})"
