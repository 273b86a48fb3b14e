"""Sciex acquisitions: ``.wiff`` (an OLE compound file) and the files beside it that carry its name.

No public description says what is in them, so what follows the signature is noise.  What is known is the
behaviour: ``.wiff.scan`` has about 44 bytes until the run has ended and its scans are moved into it.
"""

from __future__ import annotations

import random

SCAN_STUB_BYTES = 44
WIFF_BYTES = 65_536

_OLE_SIGNATURE = bytes.fromhex("d0cf11e0a1b11ae1")
_SCAN_HEADER_BYTES = 256


def wiff_bytes(seed: int = 0) -> bytes:
    """Return a ``.wiff``: the signature of an OLE compound file, version 3, and noise."""
    header = _OLE_SIGNATURE + bytes(16) + bytes.fromhex("3e000300feff0900")
    return header.ljust(512, b"\0") + _noise(f"{seed}/wiff", WIFF_BYTES - 512)


def scan_stub(seed: int = 0) -> bytes:
    """Return ``.wiff.scan`` as it is while the run goes on."""
    return _noise(f"{seed}/stub", SCAN_STUB_BYTES)


def scan_header(seed: int = 0) -> bytes:
    """Return what stands behind the stub, and before the scans, once the run has ended."""
    return _noise(f"{seed}/header", _SCAN_HEADER_BYTES)


def scan_data(number: int, *, frame_bytes: int, seed: int = 0) -> bytes:
    """Return one scan."""
    return _noise(f"{seed}/{number}", frame_bytes)


def _noise(key: str, count: int) -> bytes:
    return random.Random(key).randbytes(count)  # noqa: S311 - noise, not a secret
