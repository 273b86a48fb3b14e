"""The SQLite file: opening, pragmas, migrations and integrity.

WAL with ``synchronous=FULL``: a fact that was acknowledged survives a power cut.  Each process writes through one
connection behind a lock and in short ``BEGIN IMMEDIATE`` transactions, so that the command line and the daemon
take turns.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from depositd import io_priority
from depositd.errors import JournalError, JournalLost
from depositd.journal.ballast import Ballast, free_bytes
from depositd.journal.mark import Mark
from depositd.moments import Moment, reached
from depositd.units import show_size

_OF_THE_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another process's short transaction."""
WAL_RETRY_S = 0.05

LOST_HINT = (
    "depositd run puts the newest sound backup in its place and keeps this file; by hand: depositd journal restore, or"
    " depositd journal rebuild where no backup is to be trusted"
)

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "gpfs", "lustre", "beegfs", "ceph", "fuse.sshfs", "9p", "afs", "glusterfs"}
)
"""File systems on which SQLite's write-ahead log is not safe (sqlite.org/wal.html, "Disadvantages")."""


class Database:
    """One connection to the journal file, shared by the threads of a process."""

    def __init__(self, path: Path, *, read_only: bool = False, ballast: Ballast | None = None) -> None:
        self.path = path
        self.ballast = ballast
        self.trouble: JournalError | None = None
        """Why the last transaction could not be written, None where it was."""
        self._lock = threading.RLock()
        self._writing = self._reading = False
        self._mark = Mark(path)
        # first the mark, then the journal: that only grows meanwhile
        marked = self._mark.read()
        if marked:
            _refuse_empty(path)
        try:
            self._connection = _connect_reading(path) if read_only else _connect_writing(path, ballast)
        except sqlite3.DatabaseError as error:
            raise _explained(error, path) from error
        try:
            _refuse_newer(self._connection, path)
            if not read_only:
                _migrate(self._connection, path)
                _refuse_older(self._connection, path, marked)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise _explained(error, path) from error
        except JournalError:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one durable transaction; an exception undoes all of it.

        Inside another one it is a part of that: nothing is true before the outermost block has ended.  Raises
        JournalError where the disk is full or the file is damaged.
        """
        # all threads wait for whoever holds the lock
        with io_priority.not_idle(), self._lock:
            if self._writing:
                yield self._connection
                return
            if self.ballast is not None:
                self.ballast.spend_when_low()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._writing = True
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._roll_back()
                explained = _explained(error, self.path)
                if _is_about_the_disk(error):
                    # SQLite has rolled back by itself: whoever takes the step again finds room
                    explained.made_room = self.ballast is not None and self.ballast.give_up()
                    self.trouble = explained
                raise explained from error
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writing = False
            self.trouble = None
            self._note_last_line()
            reached(Moment.RECORDED)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run queries that see one state of the journal."""
        with io_priority.not_idle(), self._lock:
            if self._writing or self._reading:
                yield self._connection
                return
            try:
                self._connection.execute("BEGIN")
                self._reading = True
                yield self._connection
            except sqlite3.DatabaseError as error:
                raise _explained(error, self.path) from error
            finally:
                self._reading = False
                self._roll_back()

    @property
    def is_empty(self) -> bool:
        """True where somebody is making this journal just now, or was killed while doing so."""
        with self._lock:
            return _version(self._connection) == 0

    def recover(self) -> None:
        """Make the ballast again where there is room for it, and after trouble write what changes nothing.

        Raises JournalError where it still cannot be written.
        """
        with self._lock:
            if self.ballast is not None:
                self.ballast.make()
            if self.trouble is not None:
                with self.transaction() as connection:
                    connection.execute(f"PRAGMA user_version = {_version(connection)}")

    def _roll_back(self) -> None:
        # SQLite may have rolled back by itself (disk full): a second one would hide the cause
        with suppress(sqlite3.DatabaseError):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _note_last_line(self) -> None:
        with suppress(sqlite3.DatabaseError):  # what was committed is committed
            self._mark.note(last_line(self._connection))

    def problems(self) -> list[str]:
        """Return what a full integrity check finds, an empty list for a sound journal."""
        with self._lock:
            try:
                found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
                broken = [
                    f"table {row[0]}: row {row[1]} points to a missing row of {row[2]}"
                    for row in self._connection.execute("PRAGMA foreign_key_check")
                ]
            except sqlite3.DatabaseError as error:
                return [str(error)]
        return [line for line in found if line != "ok"] + broken

    def require_sound(self) -> None:
        """Raise JournalError where a quick check finds damage: nothing may be decided on a damaged journal."""
        with self._lock:
            try:
                found = [str(row[0]) for row in self._connection.execute("PRAGMA quick_check(1)")]
            except sqlite3.DatabaseError as error:
                raise _explained(error, self.path) from error
        if found != ["ok"]:
            raise _explained(sqlite3.DatabaseError(f"malformed: {found[0]}"), self.path)

    def backup(self, target: Path) -> None:
        """Copy the journal to a new file while it is in use; raises JournalError where the target exists."""
        if target.exists():
            raise JournalError(f"{target} exists already", hint="name a file that does not exist")
        with self._lock:
            try:
                _copy(self._connection, target)
            except sqlite3.DatabaseError as error:
                target.unlink(missing_ok=True)
                raise JournalError(f"the backup to {target} failed: {error}") from error

    def close(self) -> None:
        """Close the connection; the write-ahead log is folded into the file."""
        with self._lock:
            self._connection.close()
            self._mark.close()


def _connect_writing(path: Path, ballast: Ballast | None) -> sqlite3.Connection:
    is_new = not path.exists()
    try:
        connection = _prepared(path)
    except sqlite3.DatabaseError as error:
        if not (_is_about_the_disk(error) and ballast is not None and ballast.give_up()):
            raise
        connection = _prepared(path)
    if is_new:
        path.chmod(0o600)
    return connection


def _prepared(path: Path) -> sqlite3.Connection:
    connection = _connected(path, "mode=rwc")
    try:
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Open a journal that nobody may write: beside whoever writes it, and on a disk that is full or read-only."""
    connection = _connected(path, "mode=ro")
    try:
        _version(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        # SQLite wants to make the files that several processes share.  Where that cannot be and no log is left, nobody
        # has the journal open, and nobody can write it: it is read as it is.
        if not _is_about_the_disk(error) or _has_log(path):
            raise
        return _connected(path, "mode=ro&immutable=1")
    return connection


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for this lock by itself, and two processes may open a new journal at the same moment
    for _ in range(round(BUSY_TIMEOUT_S / WAL_RETRY_S)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def migrations() -> list[tuple[int, str]]:
    """Return the numbered SQL migrations, oldest first."""
    folder = resources.files("depositd.journal") / "migrations"
    found = [(int(entry.name[:4]), entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(found)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    version, newest = _version(connection), migrations()[-1][0]
    if version > newest:
        raise JournalError(
            f"the journal {path} was written by a newer depositd (schema {version}, this one knows {newest})",
            hint="install that version again, or restore a backup made before the update",
        )


def refuse_gone(path: Path) -> None:
    """Raise JournalLost where there is no journal any more, and there was one; nothing where there never was."""
    if Mark(path).read():
        _refuse_empty(path)


def _refuse_empty(path: Path) -> None:
    """Raise JournalLost where a journal that was written to is gone or empty: another one would know of no send."""
    try:
        if path.stat().st_size:
            return
        what = "is empty"
    except FileNotFoundError:
        what = "is gone"
    except OSError:
        return  # opening it says better what is wrong
    raise JournalLost(f"the journal {path} {what}, and there was one", hint=LOST_HINT)


def _refuse_older(connection: sqlite3.Connection, path: Path, marked: int) -> None:
    found = last_line(connection)
    if found < marked:
        raise JournalLost(
            f"the journal {path} ends with line {found:,} of its history, and line {marked:,} was written: it is an"
            " older copy, or its write-ahead log was removed",
            hint=LOST_HINT,
            is_sound=True,
        )


def last_line(connection: sqlite3.Connection) -> int:
    """Return the number of the last line that the history ever had, 0 where it had none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'history'").fetchone()
    return 0 if row is None else int(row[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    for number, script in migrations():
        version = _version(connection)
        if number <= version:
            continue
        if version:
            _backup_before(connection, path, version)
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.DatabaseError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            # the daemon and a command may open a new journal at the same moment: then the other one has done it
            if _version(connection) < number:
                raise


def _backup_before(connection: sqlite3.Connection, path: Path, version: int) -> None:
    target = path.with_name(f"{path.name}.schema-{version}.backup")
    if not target.exists():
        _copy(connection, target)


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    target.touch(mode=0o600)
    copy = sqlite3.connect(target)
    try:
        connection.backup(copy)
    finally:
        copy.close()


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Say whether an error is about what stands in the file, not about reading or writing it."""
    text = str(error)
    return "malformed" in text or "not a database" in text


def _is_about_the_disk(error: sqlite3.DatabaseError) -> bool:
    """Say whether it is the disk that does not take or give what it should: full, failing, read-only."""
    code = getattr(error, "sqlite_errorcode", None)  # what Python itself finds wrong has none
    return code is not None and code & 0xFF in _OF_THE_DISK


def _explained(error: sqlite3.DatabaseError, path: Path) -> JournalError:
    text = str(error)
    if path.is_dir():
        return JournalError(
            f"{path} is a directory, and should be the journal",
            hint="depositd journal restore moves it away and puts the newest backup in its place",
        )
    if is_damage(error):
        return JournalLost(f"the journal {path} cannot be used: {text}", hint=LOST_HINT)
    if "disk is full" in text or "disk I/O" in text:
        hint = f"make space on the disk that holds {path.parent}{_free(path)}; work goes on by itself"
    elif "unable to open" in text or "readonly" in text or "permission" in text.lower():
        hint = (
            f"check that {path.parent} is not mounted read-only, and that the user who runs depositd may write there;"
            " work goes on by itself"
        )
    elif "locked" in text:
        hint = "another process has held the journal for long; see which one with fuser"
    else:
        hint = "run: depositd journal check"
    return JournalError(f"the journal {path} cannot be used: {text}", hint=hint)


def _free(path: Path) -> str:
    try:
        return f" ({show_size(free_bytes(str(path.parent)))} are free)"
    except OSError:
        return ""


def refuse_network_file_system(path: Path, file_system: str | None) -> None:
    """Raise JournalError where the journal would lie on a network file system."""
    if file_system in NETWORK_FILE_SYSTEMS:
        raise JournalError(
            f"the state directory {path} lies on a network file system ({file_system}), where SQLite can lose facts",
            hint="set state_dir to a directory on a local disk",
        )
