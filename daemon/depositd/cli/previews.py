"""``show --preview``: the picture of a dataset, written beside everything else and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

from depositd import portable
from depositd.errors import DepositdError, NoPicture
from depositd.model import Dataset, DatasetState
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.journal import DatasetRecord, Journal

STDOUT = "-"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_preview(config: Config, journal: Journal, dataset_id: int, target: str) -> str:
    """Draw a dataset and write the picture; return the absolute path of the file, or ``-`` for stdout.

    Raises DepositdError where the file must not be written, or where there is no picture.
    """
    record = journal.datasets.get(dataset_id)
    assert record is not None, "its caller has shown it"
    path = target if target == STDOUT else os.path.abspath(target)
    if path == STDOUT:
        _check_stdout()
    else:
        _check_target(path, [*(root.as_posix() for rule in config.rules for root in rule.watch), record.root])
    content = _picture(config, journal, record)
    if path == STDOUT:
        sys.stdout.buffer.write(content)
    else:
        _write(path, content)
    return path


def _picture(config: Config, journal: Journal, record: DatasetRecord) -> bytes:
    from depositd.preview import picture

    return picture(record.root, _dataset_of(config, journal, record), record.header)


def _dataset_of(config: Config, journal: Journal, record: DatasetRecord) -> Dataset:
    """Return a dataset with its files: those that it ended with, or those that are there while it grows."""
    files = journal.datasets.files(record.id)
    if files and record.state is not DatasetState.GROWING:
        path = record.path[len(record.root) :].lstrip("/")
        return Dataset(record.name, record.format, record.directory, record.key, path, files)
    found = _found_again(config, record)
    if found is None:
        raise NoPicture(
            f"the files of {printable(record.name)} are no longer there, or no rule of the config takes them any more",
            hint=f"depositd explain {record.id} tells more",
        )
    return found


def _found_again(config: Config, record: DatasetRecord) -> Dataset | None:
    from depositd.engine.matching import RuleMatcher, take_all
    from depositd.engine.scanning import listing_at

    matchers = [RuleMatcher(rule) for rule in config.rules if rule.name == record.rule]
    listing = listing_at(record.root, record.directory, matchers) if matchers else None
    if listing is None:
        return None
    found = (taken.dataset for taken in take_all(matchers, listing))
    return next((one for one in found if (one.format, one.key) == (record.format, record.key)), None)


def _check_stdout() -> None:
    if sys.stdout.isatty():
        raise DepositdError("a picture cannot be shown on a terminal", hint="redirect stdout, or name a file")


def _check_target(path: str, roots: list[str]) -> None:
    """Raise DepositdError where a picture would lie among source data, or take the place of something else."""
    directory = os.path.realpath(os.path.dirname(path))
    for root in roots:
        real_root = os.path.realpath(root)
        if os.path.commonpath((directory, real_root)) == real_root:
            raise DepositdError(
                f"{printable(path)} lies in the watched directory {printable(root)}, where nothing is ever written",
                hint="name a file somewhere else",
            )
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise DepositdError(
            f"{printable(path)} is there and is no regular file", hint="name another file, or - for stdout"
        )
    with open(path, "rb") as there:
        begins = there.read(len(_SIGNATURE))
    if begins not in (b"", _SIGNATURE):
        raise DepositdError(f"{printable(path)} is there and is no PNG, so it is kept", hint="name another file")


def _write(path: str, content: bytes) -> None:
    """Write a file that appears under its name only when it is whole; raises DepositdError where that fails."""
    directory, name = os.path.split(path)
    part = os.path.join(directory, f".{name[:200]}.{os.getpid()}.part")
    try:
        try:
            with open(part, "xb") as file:
                file.write(content)
                file.flush()
                portable.fsync(file.fileno())
            portable.replace(part, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise
    except OSError as error:
        raise DepositdError(f"{printable(path)} cannot be written: {error.strerror}") from None
