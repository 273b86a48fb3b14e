"""When a server's TLS certificate ends: what OpenSSL does not say of one that it refuses.

For that sentence alone the server is asked to show it once more.  Nothing is sent over that connection, and nothing
that it shows is trusted.
"""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime

LOOK_WITHIN_S = 10.0
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def certificate_times(host: str, port: int) -> tuple[datetime, datetime] | None:
    """Return from when until when the certificate that a server shows is valid; None where that cannot be seen."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), LOOK_WITHIN_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as shown,
        ):
            der = shown.getpeercert(binary_form=True)
        return times_of(der) if der else None
    except (OSError, ValueError, IndexError):
        return None


def times_of(der: bytes) -> tuple[datetime, datetime]:
    """Return the validity of a DER certificate (RFC 5280, 4.1); raises ValueError or IndexError where it is none."""
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)
    tag, _, after = _element(rest)
    rest = after if tag == _VERSION else rest
    for _ in ("serial number", "signature", "issuer"):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no certificate")
    begin_tag, begin, after = _element(validity)
    end_tag, end, _ = _element(after)
    return _time(begin_tag, begin), _time(end_tag, end)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of the first element, and what follows it."""
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        at = 2 + (length & 0x7F)
        length = int.from_bytes(data[2:at], "big")
    return tag, data[at : at + length], data[at + length :]


def _time(tag: int, text: bytes) -> datetime:
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time")
    year_first = "%y" if tag == _UTC_TIME else "%Y"
    return datetime.strptime(text.decode("ascii"), f"{year_first}%m%d%H%M%SZ").replace(tzinfo=UTC)
