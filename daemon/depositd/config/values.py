"""The single values of the config: read from what was written, refused in one plain sentence.

Each reader takes text or a :class:`~depositd.config.document.Scalar` (from a file) or the finished value (from Python),
and raises ValueError with ``what is wrong (what would be right)``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, InstanceOf

from depositd import portable
from depositd.config.document import Scalar
from depositd.config.globs import check_glob
from depositd.config.patterns import PathPattern
from depositd.config.templates import template_fields
from depositd.config.window import Window, parse_window
from depositd.config.wording import quoted, shape
from depositd.expression import Expression
from depositd.units import parse_duration_s, parse_rate_bytes_per_s, parse_size_bytes, printable
from depositd.urls import has_login, proxy_url, web_url

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NUMBER = re.compile(r"[\d_.]+")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_METADATA_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_SHORT_CHARACTERS = 60
_LONGEST_DURATION_S = 3660 * 86_400.0
_LARGEST_BYTES = 2**63 - 1
_LONGEST_COLUMN_CHARACTERS = 200
_MOST_THREADS = 64


def read_text(value: Any) -> str:
    """Return text as it was written: ``6E23``, ``off`` and ``2026-11-21`` are text where text is wanted."""
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, str | os.PathLike):
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    raise ValueError(f"is {shape(value)} (one text)")


def read_short_text(value: Any) -> str:
    """Return text that can be a number with a unit: nothing longer is parsed or repeated."""
    text = read_text(value)
    if len(text) > _LONGEST_SHORT_CHARACTERS:
        raise ValueError(f"{quoted(text)} is too long (at most {_LONGEST_SHORT_CHARACTERS} characters)")
    return text


def read_filled_text(value: Any) -> str:
    """Return text that is not empty."""
    text = read_text(value)
    if not text.strip():
        raise ValueError("is empty (a value, or leave the key out)")
    return text


def read_name(value: Any) -> str:
    """Return the name of a rule or destination."""
    text = read_text(value)
    if not is_name(text):
        raise ValueError(f"{quoted(text)} is not a name (letters, digits, '.', '_' and '-')")
    return text


def is_name(text: str) -> bool:
    """Say whether a text is made of letters, digits, '.', '_' and '-' alone."""
    return _NAME.fullmatch(text) is not None


def read_uuid(value: Any) -> str:
    """Return a UUID as it was written."""
    text = read_text(value)
    if not _UUID.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a UUID (such as 01234567-89ab-cdef-0123-456789abcdef)")
    return text


def read_switch(value: Any) -> bool:
    """Return true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Scalar) and value.kind == "bool":
        return value.text.lower() in ("true", "yes", "on")
    raise ValueError(f"{quoted(read_text(value))} is neither true nor false (true or false, without quotes)")


def read_whole_number(value: Any) -> int:
    """Return an int, written in plain decimal digits without quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = read_text(value)
    if isinstance(value, Scalar) and _WHOLE_NUMBER.fullmatch(text):
        return int(text[:20])
    raise ValueError(f"{quoted(text)} is not a whole number (digits without quotes, such as 4)")


def whole_number(least: int, most: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers between two bounds."""

    def read(value: Any) -> int:
        number = read_whole_number(value)
        if not least <= number <= most:
            raise ValueError(f"{number} is out of range ({least:,} to {most:,})")
        return number

    return read


def read_threads(value: Any) -> int | None:
    """Return a number of threads, None for ``auto``."""
    if value is None or value == "auto":
        return None
    try:
        number = read_whole_number(value)
    except ValueError:
        raise ValueError(f"{quoted(read_text(value))} is not a number of threads (auto, or a whole number)") from None
    if not 1 <= number <= _MOST_THREADS:
        raise ValueError(f"{number} is out of range (auto, or 1 to {_MOST_THREADS})")
    return number


def read_duration_or_off(value: Any) -> float | None:
    """Return a duration of at least a second, None for ``off``."""
    if value is None:
        return None
    if isinstance(value, str | Scalar) and read_text(value).strip().lower() == "off":
        return None
    return duration(least_s=1.0)(value)


def duration(least_s: float = 0.0) -> Callable[[Any], float]:
    """Return a reader of durations, in seconds, that are at least ``least_s``."""

    def read(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        else:
            text = read_short_text(value)
            _refuse_bare_number(text, "s")
            seconds = parse_duration_s(text)
        if not least_s <= seconds <= _LONGEST_DURATION_S:
            shown = quoted(str(value) if isinstance(value, int | float) else read_text(value))
            raise ValueError(f"{shown} is out of range ({least_s:g}s to 3660d)")
        return seconds

    return read


def read_size_bytes(value: Any) -> int:
    """Return bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = read_short_text(value)
    _refuse_bare_number(text, "GiB")
    return _bounded_bytes(parse_size_bytes, text, "20GiB")


def read_quota_bytes(value: Any) -> int:
    """Return the most bytes that something may take: not none at all."""
    size_bytes = read_size_bytes(value)
    if size_bytes <= 0:
        raise ValueError("'0' leaves no room for any archive (such as 500GiB, or leave the key out)")
    return size_bytes


def read_rate_bytes_per_s(value: Any) -> int:
    """Return bytes per second."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = read_short_text(value)
    _refuse_bare_number(text, "MB/s")
    return _bounded_bytes(_parse_rate_bytes_per_s, text, "50MB/s")


def _parse_rate_bytes_per_s(text: str) -> int:
    try:
        return parse_rate_bytes_per_s(text)
    except ValueError:
        # its own sentence may speak of the size alone, and what was written is the whole
        raise ValueError(f"{quoted(text)} is not a rate (a size above zero per second, such as 50MB/s)") from None


def _bounded_bytes(parse: Callable[[str], int], text: str, example: str) -> int:
    try:
        size_bytes = parse(text)
    except OverflowError:
        size_bytes = _LARGEST_BYTES + 1
    if size_bytes > _LARGEST_BYTES:
        raise ValueError(f"{quoted(text)} is more than there is (such as {example})")
    return size_bytes


def _refuse_bare_number(text: str, unit: str) -> None:
    if _NUMBER.fullmatch(text.strip()) and text.strip() != "0":
        raise ValueError(f"{quoted(text)} has no unit (such as {printable(text.strip(), longest=20)}{unit})")


def read_absolute_path(value: Any) -> Path:
    """Return an absolute path."""
    text = read_filled_text(value)
    if "\0" in text:
        raise ValueError("contains a NUL character (an absolute path)")
    if not portable.is_absolute(text):
        raise ValueError(f"{quoted(text)} is not absolute ({portable.EXAMPLE_PATH})")
    return Path(os.path.normpath(text))


def read_file_name_glob(value: Any) -> str:
    """Return a glob, or a plain name, of files in one directory."""
    text = read_filled_text(value)
    if "/" in text or "\0" in text or text in (".", ".."):
        raise ValueError(f"{quoted(text)} is not a file name (a name without a directory, such as *.done)")
    return text


def read_sidecar(value: Any) -> str | None:
    """Return the name of the sidecar, None where it is ``off``."""
    off = value is None or (isinstance(value, Scalar) and value.kind == "bool" and not read_switch(value))
    return None if off else read_file_name_glob(value)


def read_glob(value: Any) -> str:
    """Return a glob relative to a watched directory."""
    text = read_text(value)
    check_glob(text)
    return text


def read_list(value: Any) -> Any:
    """Return one text, or a list of them, as a tuple for the items' own readers."""
    if isinstance(value, dict):
        raise ValueError("is a mapping (one value, or a list of them)")  # noqa: TRY004  pydantic collects ValueErrors alone
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def filled_list(right: str) -> Callable[[Any], Any]:
    """Return a reader as :func:`read_list`, but of at least one item; ``right`` is what should stand there."""

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError(f"is a mapping ({right})")  # noqa: TRY004  pydantic collects ValueErrors alone
        items = read_list(value)
        if not items:
            raise ValueError("is an empty list (at least one)")
        return items

    return read


def read_pattern(value: Any) -> PathPattern:
    """Return a compiled regular expression with at least one named group."""
    return value if isinstance(value, PathPattern) else PathPattern.parse(read_filled_text(value))


def read_template(value: Any) -> str:
    """Return a ``{field}`` template."""
    text = read_text(value)
    template_fields(text)
    return text


def read_archive_name(value: Any) -> str:
    """Return the template of an archive's name."""
    text = read_template(read_filled_text(value))
    if "/" in text:
        raise ValueError(f"{quoted(text)} contains a slash (a name without a directory, such as {{name}})")
    return text


def read_metadata_key(value: Any) -> str:
    """Return a metadata key."""
    text = read_text(value)
    if not _METADATA_KEY.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a metadata key (letters, digits and '_', such as project_title)")
    return text


def read_window(value: Any) -> Window:
    """Return a window of local time."""
    return value if isinstance(value, Window) else parse_window(read_short_text(value))


def read_expression(value: Any) -> Expression:
    """Return a question about columns."""
    return value if isinstance(value, Expression) else Expression.parse(read_text(value))


def read_column(value: Any) -> str:
    """Return the name of a column, as the server writes it."""
    text = read_filled_text(value)
    if len(text) > _LONGEST_COLUMN_CHARACTERS or not text.isprintable():
        raise ValueError(f"{quoted(text)} is no name of a column (at most {_LONGEST_COLUMN_CHARACTERS} characters)")
    return text


def read_url(value: Any) -> str:
    """Return an http or https URL that ends with a slash.  A password inside of it is refused, and not repeated."""
    text = read_filled_text(value).strip()
    right = "such as https://server.example.org/"
    try:
        _host, _port = urlsplit(text).hostname, urlsplit(text).port  # what cannot be read is not repeated
    except ValueError:
        raise ValueError(f"is not a URL ({right})") from None
    if has_login(text):
        raise ValueError("contains a username or password (token, or username and password, as keys of their own)")
    parts = web_url(text)
    if parts is None:
        raise ValueError(f"{quoted(text)} is not an http or https URL ({right})")
    if parts.query or parts.fragment:
        raise ValueError(f"ends with a query or fragment ({right})")
    return text if text.endswith("/") else text + "/"


def read_proxy(value: Any) -> str:
    """Return the URL of a proxy.  A password inside of it is refused, and not repeated."""
    text = read_filled_text(value).strip()
    right = "such as http://proxy.example.org:3128"
    if has_login(text):
        raise ValueError(f"contains a username or password, and a proxy is sent none ({right})")
    proxy = proxy_url(text)
    if proxy is None:
        raise ValueError(f"{quoted(text)} is not an http or https URL of a proxy ({right})")
    return proxy


def read_listen(value: Any) -> tuple[str, int]:
    """Return the host and port of ``127.0.0.1:8471`` or ``[::1]:8471``; port 0 takes any that is free."""
    if isinstance(value, tuple):
        host, port = value
        return str(host), int(port)
    text = read_text(value).strip()
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})", text, re.ASCII)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{quoted(text)} is not a host and port (such as 127.0.0.1:8471)")
    try:
        host = str(ipaddress.IPv6Address(match[1])) if match[1] else match[2]
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IPv6 address and port (such as [::1]:8471)") from None
    return host, int(match[3])


Name = Annotated[str, BeforeValidator(read_name)]
Text = Annotated[str, BeforeValidator(read_filled_text)]
Uuid = Annotated[str, BeforeValidator(read_uuid)]
Switch = Annotated[bool, BeforeValidator(read_switch)]
Parallel = Annotated[int, BeforeValidator(whole_number(1, 64))]
FrameCount = Annotated[int, BeforeValidator(whole_number(1, 100_000_000))]
Duration = Annotated[float, BeforeValidator(duration())]
Interval = Annotated[float, BeforeValidator(duration(least_s=0.1))]
DurationOrOff = Annotated[float | None, BeforeValidator(read_duration_or_off)]
BackupCount = Annotated[int, BeforeValidator(whole_number(1, 1000))]
Threads = Annotated[int | None, BeforeValidator(read_threads)]
Size = Annotated[int, BeforeValidator(read_size_bytes)]
Quota = Annotated[int, BeforeValidator(read_quota_bytes)]
Rate = Annotated[int, BeforeValidator(read_rate_bytes_per_s)]
AbsolutePath = Annotated[Path, BeforeValidator(read_absolute_path)]
FileNameGlob = Annotated[str, BeforeValidator(read_file_name_glob)]
Sidecar = Annotated[str | None, BeforeValidator(read_sidecar)]
Glob = Annotated[str, BeforeValidator(read_glob)]
GlobList = Annotated[tuple[Glob, ...], BeforeValidator(read_list)]
PathList = Annotated[tuple[AbsolutePath, ...], BeforeValidator(filled_list("an absolute path, or a list of them"))]
Pattern = Annotated[InstanceOf[PathPattern], BeforeValidator(read_pattern)]
ArchiveName = Annotated[str, BeforeValidator(read_archive_name)]
TimeWindow = Annotated[Window, BeforeValidator(read_window)]
Question = Annotated[InstanceOf[Expression], BeforeValidator(read_expression)]
ColumnList = Annotated[
    tuple[Annotated[str, BeforeValidator(read_column)], ...],
    BeforeValidator(filled_list("the name of a column, or a list of them")),
]
Url = Annotated[str, BeforeValidator(read_url)]
Proxy = Annotated[str, BeforeValidator(read_proxy)]
Listen = Annotated[tuple[str, int], BeforeValidator(read_listen)]
MetadataKey = Annotated[str, BeforeValidator(read_metadata_key)]
MetadataTemplate = Annotated[str, BeforeValidator(read_template)]
