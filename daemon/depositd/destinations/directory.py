"""A verified copy in another directory: another disk, a mounted share, a tape system's inbox.

The archive is copied beside its future name, forced to the disk, read back and compared, and only then given its name.
What is read is hashed by several threads where its blocks are known (:mod:`depositd.destinations.checked`).  The file
system is asked for no shortcut: what it clones shares its blocks with the spool, and a fault in one is a fault in both.
Nothing is ever overwritten, and the directory itself is never created: an unmounted share must not fill the disk
below its mount point.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from depositd import portable
from depositd.destinations.base import Measures, Outcome, Report
from depositd.destinations.checked import BLOCK_BYTES, Altered, Promise, Readable, checked
from depositd.destinations.inside import TAR_SUFFIXES, tar_md5
from depositd.errors import ArchiveInvalid, Rejected, Unavailable
from depositd.model import Archive, Delivery, DeliveryState, Metadata, Packing, Problem
from depositd.moments import Moment, reached
from depositd.rate_limit import RateLimit
from depositd.states import DeliveryEvent
from depositd.units import printable, show_size

LONGEST_NAME_BYTES = 255
LEAST_FREE_BYTES = 64 << 10
"""Who has less takes not even the smallest archive."""
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})

_HINTS = {
    errno.ENOENT: "mount or create the directory; depositd does not create it by itself",
    errno.ENOTDIR: "the path in the config is not a directory",
    errno.ENOSPC: "free some space; it is tried again by itself",
    errno.EDQUOT: "free some of the quota; it is tried again by itself",
    errno.EACCES: "let the user of the daemon write there; it is tried again by itself",
    errno.EPERM: "let the user of the daemon write there; it is tried again by itself",
    errno.EROFS: "mount it writable, and add it to ReadWritePaths= of the unit; it is tried again by itself",
}


Progress = Callable[[int, int], None]


class DirectoryDestination:
    """One configured directory.  Every OSError becomes Unavailable: disks come back, and nothing is lost meanwhile."""

    def __init__(self, name: str, path: str | os.PathLike[str], *, rate_limit: RateLimit | None = None) -> None:
        self._name = name
        self._path = os.fspath(path)
        self._rate_limit = rate_limit

    @property
    def name(self) -> str:
        """The name in the config."""
        return self._name

    @property
    def idempotent(self) -> bool:
        """True: a copy that is there is recognised by its content."""
        return True

    @property
    def publishes(self) -> bool:
        """False: a directory is as public as its permissions."""
        return False

    @property
    def place(self) -> str:
        """The directory."""
        return self._path

    @property
    def measures(self) -> Measures | None:
        """None: a directory measures nothing."""
        return None

    def packing(self, single_file: bool) -> Packing | None:
        """Return ARCHIVE."""
        del single_file
        return Packing.ARCHIVE

    def known_as(self, archive_name: str) -> str | None:
        """Return None: content is told apart by its hash."""
        del archive_name
        return None

    def problems(self, metadata: Metadata) -> list[Problem]:
        """Return nothing: a directory asks for no metadata."""
        del metadata
        return []

    def whoami(self) -> str:
        """Say where copies go and how much room is there; raises Unavailable where they could not be written."""
        with self._unavailable():
            self._check_directory()
            if not os.access(self._path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self._path)
            free = shutil.disk_usage(self._path).free
            if free < LEAST_FREE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        return f"copies go to {printable(self._path)}, which has {show_size(free)} free"

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Copy the archive, or find it there.  Raises Unavailable, ArchiveInvalid, or Rejected for a foreign file.

        What may have been copied before (unconfirmed) is only looked for.
        """
        del metadata
        with self._unavailable():
            self._check_directory()
            if delivery.state is DeliveryState.UNCONFIRMED:
                outcome = self._looked_for(archive, lambda: report.progress(0, archive.size_bytes))
                _remove(self._part_path(archive, delivery))
                _fsync_directory(self._path)
                return outcome
            final, there = self._free_name(archive, report.progress)
            part = self._part_path(archive, delivery)
            if there:
                _remove(part)
                _fsync_directory(self._path)
                return _delivered(final, "is there already, with the same content")
            self._check_room(archive, part)
            try:
                self._copy(archive, part, report.progress)
                reached(Moment.COPY_SEALED, part)
                final = self._named(part, final, archive, report.progress)
            except BaseException:
                _remove(part)
                raise
            reached(Moment.COPY_NAMED, final)
            _fsync_directory(self._path)
        return _delivered(final, f"is a copy whose {archive.size_bytes:,} bytes were read back and compared")

    def _looked_for(self, archive: Archive, tick: Callable[[], None]) -> Outcome:
        """Return whether a copy is there: of these bytes, or of the same tar packed at another level or otherwise."""
        own_names = (archive.name, with_hash(archive.name, archive.sha256))
        for path in (os.path.join(self._path, name) for name in own_names):
            if _is_file(path) and os.stat(path).st_size == archive.size_bytes and _is_copy(path, archive, tick):
                return _delivered(path, "is there already, with the same content")
        stem, suffix = split_suffix(archive.name)
        if suffix in TAR_SUFFIXES:
            for name in sorted(os.listdir(self._path)):
                path = os.path.join(self._path, name)
                if is_name_of(stem, name) and _is_file(path) and _tar_md5(path, tick) == archive.inner_md5:
                    return _delivered(path, "is there already: it holds the same tar, packed otherwise")
        return Outcome(DeliveryEvent.ABSENT, reason=f"{printable(self._path)} has no copy of it")

    def _named(self, part: str, final: str, archive: Archive, on_progress: Progress) -> str:
        """Give the copy its name, or the next one where another delivery took it in the same instant."""
        try:
            _give_name(part, final)
        except FileExistsError:
            final, is_there = self._free_name(archive, on_progress)
            if is_there:
                _remove(part)
            else:
                _give_name(part, final)
        return final

    def remove(self, remote_id: str) -> None:
        """Refuse: what was copied is never deleted; raises Rejected."""
        raise Rejected(
            f"the copy {printable(remote_id)} is not deleted: depositd deletes nothing that it has delivered",
            hint="delete it by hand; depositd retry then copies it again",
        )

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _check_directory(self) -> None:
        if not stat.S_ISDIR(os.stat(self._path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path)

    def _check_room(self, archive: Archive, part: str) -> None:
        """Raise Unavailable where a copy would not fit: nobody gains from one that ends half-way, again and again."""
        _remove(part)  # of a copy that was cut off; it would be overwritten
        free = shutil.disk_usage(self._path).free
        if free < archive.size_bytes:
            room = f"{show_size(free)} are free, and {printable(archive.name)} takes {show_size(archive.size_bytes)}"
            full = f"{printable(self._path)}: {os.strerror(errno.ENOSPC)}"
            raise Unavailable(f"{full}: {room}", hint=_HINTS[errno.ENOSPC])

    def _free_name(self, archive: Archive, on_progress: Progress) -> tuple[str, bool]:
        """Return the path for the copy, and whether it is there: a name that is taken gets a piece of the hash."""
        for name in (archive.name, with_hash(archive.name, archive.sha256)):
            path = os.path.join(self._path, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                return path, False
            same_size = stat.S_ISREG(found.st_mode) and found.st_size == archive.size_bytes
            if same_size and _is_copy(path, archive, lambda: on_progress(0, archive.size_bytes)):
                return path, True
        raise Rejected(
            f"{printable(path)} is there with another content than its name says",
            hint="look at that file, move it away if it is not wanted, then retry",
        )

    def _part_path(self, archive: Archive, delivery: Delivery) -> str:
        """Return a hidden name of this delivery's own, so that two datasets of one name do not write into one file."""
        name = f".{archive.name}.{delivery.id}.part"
        if len(os.fsencode(name)) > LONGEST_NAME_BYTES:
            name = f".{archive.sha256}.{delivery.id}.part"
        return os.path.join(self._path, name)

    def _copy(self, archive: Archive, part: str, on_progress: Progress) -> None:
        done_bytes = 0

        def tell() -> None:
            on_progress(done_bytes, archive.size_bytes)

        with _opened(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as target:
            for block in _packed(archive, self._rate_limit.block_bytes if self._rate_limit else BLOCK_BYTES):
                _write_all(target, block)
                done_bytes += len(block)
                if self._rate_limit is not None:
                    self._rate_limit.take(len(block), tell)
                tell()
            reached(Moment.COPY_WRITTEN, part)
            portable.fsync(target)
            portable.drop_from_cache(target)  # so that it is read back from the disk
        if not _is_copy(part, archive, tell):
            raise Unavailable(
                f"{printable(part)} does not read back as it was written",
                hint="check the disk or share below it; it is copied again by itself",
            )

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = error.strerror or type(error).__name__
            number = error.errno or 0
            where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else self._path
            raise Unavailable(
                f"{printable(where)}: {what}", hint=_HINTS.get(number, "check the disk or share; it is tried again")
            ) from error


def with_hash(name: str, sha256: str) -> str:
    """Return a name with the first 8 digits of the hash before its suffix: ``lyso_1-0a1b2c3d.tar.zst``."""
    stem, suffix = split_suffix(name)
    return f"{stem}-{sha256[:8]}{suffix}"


def split_suffix(name: str) -> tuple[str, str]:
    """Split a name before its suffix, where ``.tar.zst`` is one suffix."""
    stem, suffix = os.path.splitext(name)
    inner_stem, inner_suffix = os.path.splitext(stem)
    return (inner_stem, inner_suffix + suffix) if inner_suffix == ".tar" else (stem, suffix)


def is_name_of(stem: str, name: str) -> bool:
    """Say whether a tar of this name may be a copy of the archive with this stem: with or without a piece of a hash."""
    own_stem, suffix = split_suffix(name)
    rest = own_stem.removeprefix(stem) if own_stem.startswith(stem) else None
    return suffix in TAR_SUFFIXES and rest is not None and re.fullmatch(r"(-[0-9a-f]{8})?", rest) is not None


def _is_file(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def _tar_md5(path: str, tick: Callable[[], None]) -> str | None:
    with open(path, "rb") as file:
        return tar_md5(file, path, tick)


def _delivered(path: str, what: str) -> Outcome:
    return Outcome(DeliveryEvent.DELIVERED, remote_id=path, remote_status="copied", reason=f"{printable(path)} {what}")


def _give_name(part: str, final: str) -> None:
    """Rename without overwriting, also when somebody else writes there at the same time."""
    try:
        portable.link(part, final)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(final):  # a file system without hard links cannot do both at once
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from error
        portable.replace(part, final)
        return
    reached(Moment.COPY_LINKED, final)
    os.unlink(part)


def _packed(archive: Archive, most: int) -> Iterator[memoryview]:
    """Yield the archive in the spool in blocks of ``most`` bytes, each valid until the next.

    Raises ArchiveInvalid where it is not what was packed.
    """
    pieces = checked(lambda: _file(archive.path), Promise.of_archive(archive))
    with contextlib.closing(pieces):
        while True:
            try:
                piece = next(pieces, None)
            except OSError as error:
                raise _unreadable(archive, error) from error
            except Altered as altered:
                raise ArchiveInvalid(
                    f"{printable(archive.name)} in the spool is not what was packed: it {altered}",
                    hint="the dataset is packed again and copied then",
                ) from altered
            if piece is None:
                return
            yield from (piece[at : at + most] for at in range(0, len(piece), most))


def _is_copy(path: str, archive: Archive, tick: Callable[[], None]) -> bool:
    """Say whether a file holds what was packed; ``tick`` is called all along, and may raise to stop."""
    pieces = checked(lambda: _file(path), Promise.of_archive(archive))
    with contextlib.closing(pieces):
        try:
            for _ in pieces:
                tick()
        except Altered:
            return False
    return True


def _file(path: str) -> Readable:
    return open(portable.open_to_read(path), "rb", buffering=0)


def _unreadable(archive: Archive, error: OSError) -> ArchiveInvalid:
    return ArchiveInvalid(
        f"{printable(archive.name)} cannot be read from the spool ({error.strerror})",
        hint="the dataset is packed again and copied then",
    )


def _write_all(descriptor: int, block: memoryview) -> None:
    while block:
        block = block[os.write(descriptor, block) :]


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = portable.open_to_write(path, flags, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _fsync_directory(path: str) -> None:
    try:
        portable.fsync_directory(path)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some shares cannot, and then there is nothing to be done
            raise
