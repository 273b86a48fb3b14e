"""MD5 and SHA-256 whose state can be kept, so that an archive that was cut off goes on where it stopped.

``hashlib`` keeps the state of a hash to itself.  The library below it, OpenSSL's libcrypto, has for each of the two
a function that works on a plain structure, as fast and without Python's lock; its bytes are the state.  Where Python
was built in another way, ``hashlib`` does the work and there is no state: what was hashed is then hashed again.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
from typing import Literal, NamedTuple, Protocol

from depositd.portable import load_library

Name = Literal["md5", "sha256"]
Bytes = bytes | bytearray | memoryview


class Hash(Protocol):
    """One hash of one stream."""

    def update(self, data: Bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""

    def state(self) -> bytes | None:
        """Return what :func:`resumed` goes on from, None where it cannot be kept."""


class _Kind(NamedTuple):
    functions: str
    structure_bytes: int
    digest_bytes: int


_KINDS: dict[Name, _Kind] = {"md5": _Kind("MD5", 92, 16), "sha256": _Kind("SHA256", 112, 32)}
"""The structures ``MD5_CTX`` and ``SHA256_CTX`` of ``openssl/md5.h`` and ``openssl/sha.h``."""
_ARGUMENTS = {
    "Init": (ctypes.c_void_p,),
    "Update": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
    "Final": (ctypes.c_void_p, ctypes.c_void_p),
}
_ROOM_BYTES = 256
"""More than either structure has, should a library use more of it."""


def new(name: Name, *, in_one_go: bool = False) -> Hash:
    """Return a hash of nothing yet, whose state can be kept wherever that is possible.

    A hash of what is at hand ``in_one_go`` needs no state, and is quicker to have: that counts for many small files.
    """
    return _Native(name) if keeps_states() and not in_one_go else _Opaque(name)


def resumed(name: Name, state: bytes) -> Hash:
    """Return the hash that :meth:`Hash.state` was taken from; raises ValueError for what is no such state."""
    if not keeps_states() or len(state) != _KINDS[name].structure_bytes:
        raise ValueError(f"this is no state of {name} that can be gone on from")
    return _Native(name, state)


def platform_name() -> str:
    """Say which machine and library a state belongs to: another one hashes again what was hashed."""
    return f"{platform.machine()}, {_library_name()}, {'with' if keeps_states() else 'without'} states"


@functools.cache
def keeps_states() -> bool:
    """Say whether states can be kept here: tried out once, in the middle of a block."""
    if _library() is None:
        return False
    text = bytes(range(256)) * 3
    for name in _KINDS:
        before = _Native(name)
        before.update(text[:333])
        after = _Native(name, before.state())
        after.update(text[333:])
        if after.hexdigest() != hashlib.new(name, text, usedforsecurity=False).hexdigest():
            return False
    return True


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Return the libcrypto that Python's own hashes use, None where its functions cannot be reached."""
    try:
        import _hashlib

        library = load_library(_hashlib.__file__)  # a look-up in it finds what it is linked with
        if library is None:
            return None
        for kind in _KINDS.values():
            for step, arguments in _ARGUMENTS.items():
                getattr(library, f"{kind.functions}_{step}").argtypes = arguments
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    return library


def _library_name() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


class _Native:
    """A hash in a structure of our own."""

    def __init__(self, name: Name, state: bytes | None = None) -> None:
        self._kind = _KINDS[name]
        self._structure = ctypes.create_string_buffer(_ROOM_BYTES)
        library = _library()
        assert library is not None
        functions = self._kind.functions
        self._update = getattr(library, f"{functions}_Update")
        self._final = getattr(library, f"{functions}_Final")
        if state is None:
            getattr(library, f"{functions}_Init")(self._structure)
        else:
            ctypes.memmove(self._structure, state, len(state))

    def update(self, data: Bytes, /) -> None:
        size_bytes = len(data)
        if isinstance(data, bytes):
            self._update(self._structure, data, size_bytes)
        elif size_bytes:
            view = memoryview(data)
            if view.readonly:
                self._update(self._structure, bytes(view), size_bytes)
            else:
                # the first byte stands for all: an array would be a type of its own for each size
                self._update(self._structure, ctypes.byref(ctypes.c_char.from_buffer(view)), size_bytes)

    def hexdigest(self) -> str:
        copy = ctypes.create_string_buffer(self._structure.raw, _ROOM_BYTES)
        digest = ctypes.create_string_buffer(self._kind.digest_bytes)
        self._final(digest, copy)
        return digest.raw.hex()

    def state(self) -> bytes:
        return self._structure.raw[: self._kind.structure_bytes]


class _Opaque:
    """A hash of hashlib's."""

    def __init__(self, name: Name) -> None:
        self._hash = hashlib.new(name, usedforsecurity=False)
        self.update = self._hash.update
        self.hexdigest = self._hash.hexdigest

    def state(self) -> None:
        return None
