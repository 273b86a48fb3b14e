"""CBF frames, mini (PILATUS, EIGER) and full: a text header, one binary section, its MD5.

Layout: text, then ``--CIF-BINARY-FORMAT-SECTION--`` with MIME headers, then ``0C 1A 04 D5``, then
``X-Binary-Size`` bytes, then padding, then ``--CIF-BINARY-FORMAT-SECTION----``.  A real PILATUS pads with
4,095 zeros (``X-Binary-Size-Padding``).  ``Content-MD5`` is the base64 of the MD5 of the binary bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from depositd.formats import facts, imgcif, mini_header
from depositd.formats.base import About
from depositd.formats.image import GROUPING, ImageHeader, Kind, ends_inside_header, opens_with
from depositd.formats.reading import Malformed, ReadAt

MAGIC = b"###CBF"
LONGEST_HEADER_BYTES = 1 << 20
_HEADER_STEP_BYTES = 1 << 14  # headers end within the first; an image behind it is not copied
_START = b"\x0c\x1a\x04\xd5"
_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_CLOSING = b"--CIF-BINARY-FORMAT-SECTION----"
_LONGEST_PADDING_BYTES = 1 << 16
_UNTOLD_PADDING_BYTES = 8192

# a literal line break and no "^", as in mini_header
_MIME = re.compile(rb"\n(X-Binary-Size(?:-[A-Za-z-]+)?|Content-MD5): *([^\r\n]*)")
Mime = Mapping[bytes, bytes]


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the first bytes of a CBF say; raises Malformed."""
    start = head.find(_START)
    if start < 0:
        head = read_at(0, LONGEST_HEADER_BYTES)
        start = head.find(_START)
    if start < 0:
        if len(head) >= LONGEST_HEADER_BYTES:
            raise Malformed(f"has no binary section in its first {LONGEST_HEADER_BYTES:,} bytes")
        raise ends_inside_header()
    mime = _mime(head[:start])
    size_bytes = _count(mime, b"X-Binary-Size")
    if size_bytes is None:
        raise Malformed("does not say X-Binary-Size")
    padding = _count(mime, b"X-Binary-Size-Padding") or 0
    return ImageHeader(
        facts=_facts(head[:start], mime),
        whole_bytes=start + len(_START) + size_bytes,
        closing=_CLOSING,
        closing_within=min(padding, _LONGEST_PADDING_BYTES) + _UNTOLD_PADDING_BYTES,
    )


KIND = Kind(
    "CBF",
    opens_with(MAGIC),
    parse,
    About(
        "miniCBF, full CBF",
        GROUPING,
        "every frame has all bytes of X-Binary-Size and its closing line; Content-MD5 is checked while archiving",
        (*mini_header.METADATA, "header_beamline", "width_px", "height_px"),
    ),
)


def _mime(header: bytes) -> Mime:
    return dict(_MIME.findall(header, max(header.rfind(_SECTION), 0)))


def _count(mime: Mime, key: bytes) -> int | None:
    digits = mime.get(key, b"").strip()
    return int(digits) if digits.isdigit() and len(digits) < 16 else None


def _facts(header: bytes, mime: Mime) -> dict[str, Any]:
    shape = (
        ("kind", "CBF"),
        ("width_px", _count(mime, b"X-Binary-Size-Fastest-Dimension")),
        ("height_px", _count(mime, b"X-Binary-Size-Second-Dimension")),
    )
    lines = mini_header.read(header)
    if mini_header.has_settings(lines):
        return mini_header.facts_of(lines, shape)
    return facts.clean(imgcif.facts_of(header.decode("latin-1")) | dict(shape))


class BinaryDigest:
    """The MD5 of a CBF's binary section against its ``Content-MD5``, block by block.

    Memory is bounded: the header is kept until the binary section starts, at most 1 MiB.  A file that is no
    CBF, or that carries no ``Content-MD5``, has no problem here.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._expected = ""
        self._left_bytes = 0
        self._reading_header = True

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the (decompressed) file."""
        rest = memoryview(block)
        while self._reading_header and rest:
            rest = rest[self._header(rest[:_HEADER_STEP_BYTES]) :]
        if self._left_bytes and rest:
            part = rest[: self._left_bytes]
            self._md5.update(part)
            self._left_bytes -= len(part)

    def problem(self) -> str | None:
        """After the last byte: None, or what is wrong."""
        if not self._expected:
            return None
        if self._left_bytes:
            return f"ends {self._left_bytes:,} bytes before its binary section does"
        found = base64.b64encode(self._md5.digest()).decode("ascii")
        return None if found == self._expected else f"has the MD5 {found}, but its Content-MD5 says {self._expected}"

    def _header(self, piece: memoryview) -> int:
        """Collect the header and return how many bytes of the piece are done with."""
        known = len(self._head)
        self._head += piece
        start = self._head.find(_START, max(known - len(_START) + 1, 0))
        not_cbf = len(self._head) >= len(MAGIC) and not self._head.startswith(MAGIC)
        if not_cbf or (start < 0 and len(self._head) >= LONGEST_HEADER_BYTES):
            self._reading_header = False
            self._head.clear()
            return len(piece)
        if start < 0:
            return len(piece)
        self._reading_header = False
        mime = _mime(bytes(self._head[:start]))
        self._expected = mime.get(b"Content-MD5", b"").decode("latin-1").strip()
        self._left_bytes = _count(mime, b"X-Binary-Size") or 0
        self._head.clear()
        return start + len(_START) - known
