"""What the URL of a server or a proxy may look like, and whether it names this machine; nothing is looked up.

Two programs that read one URL differently are how a token gets to another host: whatever could be read in two ways
(backslashes, spaces, brackets in odd places, names beyond ASCII) is no URL here.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_NOT_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f\\]")


def web_url(text: str) -> SplitResult | None:
    """Return the parts of an http or https URL with a plain host, None for anything else."""
    if _NOT_IN_A_URL.search(text):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return None
    return parts if _AUTHORITY.fullmatch(parts.netloc) else None


def has_login(text: str) -> bool:
    """Say whether a text holds, or might hold, a username or password: it must then not be repeated."""
    try:
        authority = urlsplit(text).netloc
    except ValueError:
        return "@" in text
    return "@" in authority or ("@" in text and web_url(text) is None)


def proxy_url(text: str) -> str | None:
    """Return the URL of a proxy without a trailing slash, None for what is none or has a login in it."""
    parts = web_url(text)
    if parts is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its name or address alone.

    Only ``localhost`` itself is a name of this machine: others that end with it are asked of a name server, by many
    resolvers.
    """
    name = host.lower().removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_in_the_clear(url: str, proxy: str | None = None) -> bool:
    """Say whether others could read what is sent to a URL: http to, or through, another machine."""
    hosts = [urlsplit(address).hostname or "" for address in (url, proxy) if address]
    return url.lower().startswith("http:") and not all(is_loopback(host) for host in hosts)
