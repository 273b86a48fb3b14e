"""Reading requests: JSON, form data, and multipart bodies of any size in constant memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs

import python_multipart
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_LIMIT_BYTES = 1 << 20
"""The most that all fields of one request (files aside) may hold."""


class BadRequest(Exception):
    """A body is not what its content type promises; ``str()`` is the sentence for the client."""


class UnsupportedMedia(Exception):
    """A body is of a kind that no parser takes; ``str()`` is the sentence for the client."""


@dataclass(slots=True)
class ReceivedFile:
    """One file of a multipart body: hashed while it came, and kept in ``content`` where that was asked for."""

    filename: str
    content: IO[bytes] | None = None
    size_bytes: int = 0
    _md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    @property
    def md5(self) -> str:
        """The MD5 of what has come, lower-case hex."""
        return str(self._md5.hexdigest())

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._md5.update(data)
        self.size_bytes += len(data)
        if self.content is not None:
            self.content.write(data)

    def close(self) -> None:
        """Throw the content away."""
        if self.content is not None:
            self.content.close()


Values = Mapping[str, list[Any]]
"""Field names to all their values."""


def text_of(values: Values, key: str) -> str:
    """Return a field's first value as text, ``""`` where there is none; raises BadRequest for JSON that is no value."""
    given = values.get(key) or [""]
    if isinstance(given[0], dict | list):
        raise BadRequest(f"{key}: not a valid string.")
    return str(given[0]).strip()


@dataclass(slots=True)
class Form:
    """A multipart body, read to its end."""

    fields: dict[str, list[Any]] = field(default_factory=dict)
    files: dict[str, ReceivedFile] = field(default_factory=dict)

    def close(self) -> None:
        """Throw all files away."""
        for file in self.files.values():
            file.close()


def media_type(request: Request) -> str:
    """Return the content type without its parameters, lower-case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_values(request: Request, *, take_json: bool = True) -> Values:
    """Return the fields of a JSON object or a form, URL-encoded or multipart; raises BadRequest, UnsupportedMedia.

    A JSON list becomes the field's values.  With ``take_json`` false, JSON is read and ignored.
    """
    kind = media_type(request)
    if kind == "multipart/form-data":
        form = await read_form(request, lambda: None)
        form.close()
        return form.fields
    if kind != "application/json":
        body = await _read_small(request)
        if body and kind not in ("", "application/x-www-form-urlencoded"):
            raise UnsupportedMedia(f'Unsupported media type "{kind}" in request.')
        return dict(parse_qs(body.decode(errors="replace"), keep_blank_values=True))
    document = await read_json(request)
    if not take_json:
        return {}
    return {key: value if isinstance(value, list) else [value] for key, value in document.items() if value is not None}


async def read_json(request: Request) -> dict[str, Any]:
    """Return a body's JSON object, an empty one for an empty body; raises BadRequest."""
    body = await _read_small(request)
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise BadRequest(f"JSON parse error - {error}") from None
    if not isinstance(document, dict):
        raise BadRequest("Invalid data. Expected a JSON object.")
    return document


async def _read_small(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FIELD_LIMIT_BYTES:
            raise BadRequest(f"The request holds more than {FIELD_LIMIT_BYTES:,} bytes of fields.")
    return bytes(body)


class _FormReader:
    """The callbacks of the multipart parser; what must be written is queued, because writing may block."""

    def __init__(self, boundary: bytes, open_file: Callable[[], IO[bytes] | None]) -> None:
        self.form = Form()
        self.to_write: list[tuple[ReceivedFile, bytes]] = []
        self.whole = False
        self._open_file = open_file
        self._header: list[bytes] = [b"", b""]
        self._disposition = b""
        self._name = ""
        self._file: ReceivedFile | None = None
        self._field = bytearray()
        self._field_bytes = 0
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self.parser = python_multipart.MultipartParser(boundary, callbacks)

    def _part_begins(self) -> None:
        self._disposition = b""
        self._field = bytearray()

    def _add_to_header(self, index: int, data: bytes) -> None:
        self._header[index] += data

    def _header_ends(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _headers_end(self) -> None:
        _, options = python_multipart.multipart.parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadRequest("A part of the body has no name.")
        self._name = options[b"name"].decode(errors="replace")
        self._file = None
        if b"filename" in options:
            if self._name in self.form.files:
                raise BadRequest(f"{self._name}: more than one file.")
            self._file = ReceivedFile(options[b"filename"].decode(errors="replace"), self._open_file())
            self.form.files[self._name] = self._file

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self.to_write.append((self._file, data[start:end]))
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELD_LIMIT_BYTES:
            raise BadRequest(f"The request holds more than {FIELD_LIMIT_BYTES:,} bytes of fields.")
        self._field += data[start:end]

    def _part_ends(self) -> None:
        if self._file is None:
            self.form.fields.setdefault(self._name, []).append(self._field.decode(errors="replace"))

    def _ends(self) -> None:
        self.whole = True


async def read_form(request: Request, open_file: Callable[[], IO[bytes] | None]) -> Form:
    """Read a multipart body; each file is hashed and goes into what ``open_file`` returns, or nowhere for None.

    Raises BadRequest where the body is not a whole multipart body, ClientDisconnect where it never ends.
    """
    _, options = python_multipart.multipart.parse_options_header(request.headers.get("content-type", ""))
    if b"boundary" not in options:
        raise BadRequest("Multipart form parse error - Invalid boundary in multipart: None")
    reader = _FormReader(options[b"boundary"], open_file)
    try:
        async for chunk in _in_blocks(request.stream()):
            await run_in_threadpool(_take, reader, chunk)
    except FormParserError as error:
        reader.form.close()
        raise BadRequest(f"Multipart form parse error - {error}") from error
    except BaseException:
        reader.form.close()
        raise
    if not reader.whole:
        reader.form.close()
        raise BadRequest("Multipart form parse error - the body ends before its last boundary.")
    return reader.form


def _take(reader: _FormReader, chunk: bytes) -> None:
    reader.parser.write(chunk)
    for file, data in reader.to_write:
        file.write(data)
    reader.to_write.clear()


async def _in_blocks(stream: AsyncIterator[bytes], block_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
    """Join small chunks, because each block costs one hop to a thread."""
    block = bytearray()
    async for chunk in stream:
        block += chunk
        if len(block) >= block_bytes:
            yield bytes(block)
            block = bytearray()
    if block:
        yield bytes(block)
