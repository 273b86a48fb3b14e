"""Request bodies that know their exact length, how far they were sent, and whether they are what was promised.

``requests`` would hold a file twice in memory; here it passes through in blocks of 1 MiB, is hashed on its way, and
the closing boundary of the multipart body is withheld when the hash or the length differs from the archive's.  The
server then has an unfinished request, and nothing wrong is ever stored whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Self
from urllib.parse import urlencode

from depositd.errors import ArchiveInvalid
from depositd.model import Archive
from depositd.rate_limit import RateLimit
from depositd.units import printable

BLOCK_BYTES = 1 << 20
WORTH_A_THREAD_BYTES = 16 * BLOCK_BYTES
MOST_AHEAD = 4
"""Blocks that wait to be hashed: they bound the memory."""

Progress = Callable[[int, int], None]
"""Told the file's bytes handed to the connection, and all of them; may raise to stop the transfer."""


def _open_unbuffered(path: str) -> BinaryIO:
    return open(path, "rb", buffering=0)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file to be sent: ``sha256`` is what its content must hash to, None where nobody knows it yet."""

    path: str
    name: str
    size_bytes: int
    sha256: str | None = None
    opener: Callable[[str], BinaryIO] = _open_unbuffered

    @classmethod
    def of_path(cls, path: str | os.PathLike[str], name: str | None = None) -> Self:
        """Return the part for a file of one's own; raises OSError."""
        text = os.fspath(path)
        return cls(path=text, name=name or os.path.basename(text), size_bytes=os.stat(text).st_size)

    @classmethod
    def of_archive(cls, archive: Archive) -> Self:
        """Return the part for a packed dataset, which must still be what was packed."""
        return cls(path=archive.path, name=archive.name, size_bytes=archive.size_bytes, sha256=archive.sha256)


class _Hash:
    """The SHA-256 of what is sent; much of it is hashed in a thread, since hashing and sending each take a core."""

    def __init__(self, size_bytes: int) -> None:
        self._digest = hashlib.sha256()
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "upload-hash") if size_bytes >= WORTH_A_THREAD_BYTES else None

    def update(self, block: bytes) -> None:
        """Take the next bytes; waits where hashing falls behind."""
        if self._thread is None:
            self._digest.update(block)
            return
        while len(self._pending) >= MOST_AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._digest.update, block))

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        while self._pending:
            self._pending.popleft().result()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
            self._pending.clear()


class Body:
    """A request body: some bytes, at most one file, some bytes.

    ``began`` and ``whole`` tell how much of it was handed to the connection; on them rests whether a failed request
    may have been acted on.  There is deliberately no ``tell`` or ``seek``: nothing below may send it again.
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
        self._file_bytes = file.size_bytes if file else 0
        self._stream: BinaryIO | None = None
        self._hash = _Hash(0)
        self.rewind()

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
        self._hash = _Hash(self._file_bytes)

    def close(self) -> None:
        """Close the file."""
        self._hash.close()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __len__(self) -> int:
        return len(self._head) + self._file_bytes + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes, at most ``size`` and at most 1 MiB; raises ArchiveInvalid where the file changed."""
        most = min(size, BLOCK_BYTES) if size > 0 else BLOCK_BYTES
        file_at = self._at - len(self._head)
        tail_at = file_at - self._file_bytes
        if file_at < 0:
            block = self._head[self._at : self._at + most]
        elif tail_at < 0:
            block = self._file_block(min(most, -tail_at))
        else:
            if tail_at == 0 and self._file is not None:
                self._check_file(self._file)
            block = self._tail[tail_at : tail_at + most]
        self._at += len(block)
        if self._on_progress and tail_at < 0 <= file_at:
            self._on_progress(file_at + len(block), self._file_bytes)
        return block

    def _file_block(self, most: int) -> bytes:
        if self._rate_limit is not None:
            most = min(most, self._rate_limit.block_bytes)
        block = self._from_file(most)
        if not block:
            sent_bytes = self._at - len(self._head)
            raise self._changed(f"ends after {sent_bytes:,} of {self._file_bytes:,} bytes")
        self._hash.update(block)
        if self._rate_limit is not None:
            self._rate_limit.take(len(block), self._tell)
        return block

    def _tell(self) -> None:
        """Say how far it is; may raise to stop the transfer."""
        if self._on_progress is not None:
            self._on_progress(self._at - len(self._head), self._file_bytes)

    def _check_file(self, file: FilePart) -> None:
        if self._from_file(1):
            raise self._changed(f"has grown beyond its {self._file_bytes:,} bytes")
        sha256 = self._hash.hexdigest()
        self.close()
        if file.sha256 is not None and sha256 != file.sha256:
            raise self._changed(f"has SHA-256 {sha256[:12]}… instead of {file.sha256[:12]}…")

    def _from_file(self, most: int) -> bytes:
        assert self._file is not None
        try:
            if self._stream is None:
                self._stream = self._file.opener(self._file.path)
            return self._stream.read(most)
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
