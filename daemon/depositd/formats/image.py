"""What one image file must tell: its kind, its facts, and where it ends.

The kinds are told apart by their first bytes, never by the extension: ``.img`` alone is written by
five makers.  What a parser cannot do without reading more it asks for with :class:`NeedsMore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A parsed header.

    A whole file has at least ``whole_bytes`` bytes.  Where ``closing`` is not empty, those bytes stand
    within ``closing_within`` bytes after that.
    """

    facts: Mapping[str, Any]
    whole_bytes: int
    closing: bytes = b""
    closing_within: int = 0


class NeedsMore(Exception):
    """The header goes on beyond the bytes at hand."""
