"""Durations, sizes, rates, times and names: read from text, and written for people."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
_SIZE_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)", re.ASCII | re.IGNORECASE)


def parse_duration_s(text: str) -> float:
    """Return the seconds of ``30s``, ``5m``, ``2h``, ``7d``, ``1h30m``, ``250ms`` or ``0``.

    Raises ValueError with a sentence that says what would be right.
    """
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    parts = _DURATION.findall(stripped)
    if not parts or _DURATION.sub("", stripped).strip():
        raise ValueError(f"{text!r} is not a duration (a number with ms, s, m, h, d or w, such as 30s or 5m)")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_size_bytes(text: str) -> int:
    """Return the bytes of ``20GiB``, ``50MB`` or ``0``; raises ValueError with what would be right."""
    stripped = text.strip()
    if stripped == "0":
        return 0
    match = _SIZE.fullmatch(stripped)
    if match is None:
        raise ValueError(f"{text!r} is not a size (a number with B, kB, MB, GB, KiB, MiB, GiB …, such as 20GiB)")
    return round(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def parse_rate_bytes_per_s(text: str) -> int:
    """Return the bytes per second of ``50MB/s``; raises ValueError with what would be right."""
    size, slash, per = text.strip().rpartition("/")
    if not slash or per.strip() != "s":
        raise ValueError(f"{text!r} is not a rate (a size per second, such as 50MB/s)")
    rate = parse_size_bytes(size)
    if rate <= 0:
        raise ValueError(f"{text!r} is not a rate above zero (such as 50MB/s)")
    return rate


def show_duration(seconds: float) -> str:
    """Return a duration in at most two units: ``0.2 s``, ``41 s``, ``3 min 6 s``, ``12 min``, ``2 h 5 min``."""
    if seconds < 0:
        return "-" + show_duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 600:
        return _in_two_units(whole, 60, "min", "s")
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return _in_two_units(minutes, 60, "h", "min") if minutes >= 60 else f"{minutes} min"
    return _in_two_units(minutes // 60, 24, "d", "h")


def _in_two_units(count: int, base: int, large: str, small: str) -> str:
    whole, rest = divmod(count, base)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def show_period(seconds: float) -> str:
    """Return the time between two frames: ``2 ms``, ``0.1 s``, ``60 s``."""
    return f"{seconds * 1000:.3g} ms" if seconds < 0.095 else show_duration(seconds)


def show_size(size_bytes: float) -> str:
    """Return a size with three significant digits in decimal units, as disks and networks are sold."""
    if size_bytes < 1000:
        return f"{round(size_bytes)} B"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000.0
        if value < 999.5 or unit == "PB":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def show_count(count: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 frame``, ``1,800 frames``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def show_numbers(numbers: tuple[int, ...] | list[int], most: int = 5) -> str:
    """Return sorted numbers with runs folded: ``3, 7-9, 12 and 4 more``.  ``most`` bounds the items."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:most]]
    rest = sum(last - first + 1 for first, last in runs[most:])
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def printable(text: str, longest: int | None = None) -> str:
    r"""Return a path or a server's words so that they cannot harm a terminal, a log or a page.

    Control characters, line separators and bidirectional overrides become ``\n``, ``\x1b`` or ``\u202e``;
    bytes that are not UTF-8 become ``\xff``.  ``longest`` cuts with an ellipsis.
    """
    # Python calls those printable that are left as they are here, and a few less
    shown = text if text.isprintable() else "".join(_printable_character(character) for character in text)
    if longest is not None and len(shown) > longest:
        shown = shown[: max(longest - 1, 0)] + "…"
    return shown


def _printable_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def utc_text(moment: datetime) -> str:
    """Return a time as UTC ISO 8601 with seconds, ``2026-11-21T02:14:07Z``."""
    return moment.astimezone(UTC).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> datetime:
    """Return the aware datetime of an ISO 8601 text; raises ValueError where there is none."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
