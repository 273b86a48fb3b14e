"""Request bodies that know their exact length, how far they were sent, and whether they are what was promised.

``requests`` would hold a file twice in memory; here it passes through in blocks of 1 MiB, is hashed on its way (see
:mod:`depositd.destinations.checked`), and the closing boundary of the multipart body is withheld when a hash or the
length differs from the archive's.  The server then has an unfinished request, and nothing wrong is ever stored whole.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from depositd.destinations.checked import BLOCK_BYTES, Altered, Promise, Readable, checked
from depositd.errors import ArchiveInvalid
from depositd.model import Archive, Block
from depositd.moments import Moment, reached
from depositd.rate_limit import RateLimit
from depositd.units import printable

_NOTHING = memoryview(b"")

Progress = Callable[[int, int], None]
"""Told the file's bytes handed to the connection, and all of them; may raise to stop the transfer."""


def _open_unbuffered(path: str) -> Readable:
    return open(path, "rb", buffering=0)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file to be sent: ``sha256`` is what its content must hash to, None where nobody knows it yet.

    ``blocks`` are the hashes of its blocks, where they are known: it is then hashed by several threads.
    """

    path: str
    name: str
    size_bytes: int
    sha256: str | None = None
    opener: Callable[[str], Readable] = _open_unbuffered
    blocks: Sequence[Block] = ()

    @classmethod
    def of_path(cls, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Return the part for a file of one's own; raises OSError."""
        text = os.fspath(path)
        return cls(path=text, name=name or os.path.basename(text), size_bytes=os.stat(text).st_size)

    @classmethod
    def of_archive(cls, archive: Archive) -> Self:
        """Return the part for a packed dataset, which must still be what was packed."""
        return cls(archive.path, archive.name, archive.size_bytes, archive.sha256, blocks=archive.blocks)

    @classmethod
    def of(cls, file: str | os.PathLike[str] | Archive | FilePart) -> FilePart:
        """Return the part for whatever a client is given; raises OSError for a path that cannot be looked at."""
        if isinstance(file, FilePart):
            return file
        return cls.of_archive(file) if isinstance(file, Archive) else cls.of_path(file)

    def pieces(self) -> Generator[memoryview, None, None]:
        """Yield the content as :func:`~depositd.destinations.checked.checked` does."""
        return checked(lambda: self.opener(self.path), Promise(self.size_bytes, self.sha256, self.blocks))


class Body:
    """A request body: some bytes, at most one file, some bytes.

    ``began`` and ``whole`` tell how much of it was handed to the connection; on them rests whether a failed request
    may have been acted on.  ``on_whole`` is called with the last byte.  There is deliberately no ``tell`` or ``seek``:
    nothing below may send it again.
    """

    def __init__(
        self,
        content_type: str,
        head: bytes,
        file: FilePart | None = None,
        tail: bytes = b"",
        *,
        rate_limit: RateLimit | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self.content_type = content_type
        self._head = head
        self._file = file
        self._tail = tail
        self._rate_limit = rate_limit
        self._on_progress = on_progress
        self.on_whole: Callable[[], None] | None = None
        self._file_bytes = file.size_bytes if file else 0
        self._pieces: Generator[memoryview, None, None] | None = None
        self._piece = _NOTHING
        self._at = 0

    @classmethod
    def json(cls, value: Any) -> Self:
        """Return a JSON body."""
        return cls("application/json", json.dumps(value, ensure_ascii=True, allow_nan=False).encode())

    @classmethod
    def form(cls, fields: Sequence[tuple[str, str]]) -> Self:
        """Return a form body; a repeated name is a list."""
        return cls("application/x-www-form-urlencoded", urlencode(fields, errors="surrogateescape").encode())

    @classmethod
    def multipart(
        cls,
        fields: Sequence[tuple[str, str]],
        file_field: str,
        file: FilePart,
        *,
        rate_limit: RateLimit | None = None,
        on_progress: Progress | None = None,
        boundary: str | None = None,
    ) -> Self:
        """Return a ``multipart/form-data`` body with text fields and one file, which comes last."""
        boundary = boundary or f"depositd-{secrets.token_hex(16)}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
            for name, value in fields
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file_field)}"; '
            f'filename="{_quoted(file.name)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        head = "".join(parts).encode("utf-8", "surrogateescape")
        tail = f"\r\n--{boundary}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={boundary}"
        return cls(content_type, head, file, tail, rate_limit=rate_limit, on_progress=on_progress)

    @property
    def began(self) -> bool:
        """True once a byte was handed to the connection."""
        return self._at > 0

    @property
    def whole(self) -> bool:
        """True once the last byte was handed to the connection."""
        return self._at == len(self)

    def rewind(self) -> None:
        """Start again from the first byte, after an answer that says that nothing was done."""
        self.close()
        self._at = 0

    def close(self) -> None:
        """Close the file, and let the threads end that read and hash it."""
        self._piece = _NOTHING
        if self._pieces is not None:
            self._pieces.close()
            self._pieces = None

    def __len__(self) -> int:
        return len(self._head) + self._file_bytes + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield bytes(block)

    def read(self, size: int = BLOCK_BYTES) -> bytes | memoryview:
        """Return the next bytes, at most ``size`` and at most 1 MiB, which are valid until the next call.

        Raises ArchiveInvalid where the file changed.
        """
        if self.began:
            reached(Moment.BODY_SENT if self.whole else Moment.BODY_BEGUN)
        most = min(size, BLOCK_BYTES) if size > 0 else BLOCK_BYTES
        file_at = self._at - len(self._head)
        tail_at = file_at - self._file_bytes
        block: bytes | memoryview
        if file_at < 0:
            block = self._head[self._at : self._at + most]
        elif tail_at < 0:
            block = self._file_block(most)
        else:
            if tail_at == 0 and self._file is not None:
                self._end_file(self._file)
            block = self._tail[tail_at : tail_at + most]
        self._at += len(block)
        if self._on_progress and tail_at < 0 <= file_at:
            self._on_progress(file_at + len(block), self._file_bytes)
        if self.on_whole is not None and block and self.whole:
            self.on_whole()
        return block

    def _file_block(self, most: int) -> memoryview:
        assert self._file is not None
        if not self._piece:
            self._piece = self._next_piece(self._file)
        if self._rate_limit is not None:
            most = min(most, self._rate_limit.block_bytes)
        block, self._piece = self._piece[:most], self._piece[most:]
        if self._rate_limit is not None:
            self._rate_limit.take(len(block), self._tell)
        return block

    def _tell(self) -> None:
        """Say how far it is; may raise to stop the transfer."""
        if self._on_progress is not None:
            self._on_progress(self._at - len(self._head), self._file_bytes)

    def _end_file(self, file: FilePart) -> None:
        """Raise ArchiveInvalid unless the file ends here, and all of it was right."""
        self._next_piece(file)  # there is none: asked for it, the last checks are made
        self.close()

    def _next_piece(self, file: FilePart) -> memoryview:
        if self._pieces is None:
            self._pieces = file.pieces()
        try:
            return next(self._pieces, _NOTHING)
        except Altered as altered:
            raise self._changed(str(altered)) from altered
        except OSError as error:
            raise self._changed(f"cannot be read ({error.strerror or type(error).__name__})") from error

    def _changed(self, what: str) -> ArchiveInvalid:
        assert self._file is not None
        self.close()
        return ArchiveInvalid(
            f"{printable(self._file.name)} {what}, so its upload was broken off before the server could keep it",
            hint="the dataset is packed again and sent then",
        )


def _quoted(name: str) -> str:
    """Return a name for a quoted string of a multipart header, escaped as browsers do."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
