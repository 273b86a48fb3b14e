"""Packs a dataset into one file of the spool: read once, hashed, compressed, verified, and only then visible."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial

from depositd.archive.encoders import encoder_for
from depositd.archive.lanes import Lane
from depositd.archive.part import PartFile, free_space_bytes
from depositd.archive.plan import PackPlan
from depositd.archive.source import SourceTree
from depositd.archive.tar import TarWriter, judge_content
from depositd.archive.verifying import verify
from depositd.archive.zip import ZipWriter, refuse_names
from depositd.formats.base import ContentCheck
from depositd.model import Archive, Member, Packing
from depositd.rate_limit import RateLimit

ContentChecks = Callable[[str], ContentCheck | None]
Progress = Callable[[int, int], None]

_COPY_BLOCK_BYTES = 1 << 20
_COPY_MOST_BEHIND = 8


def pack(
    plan: PackPlan,
    target_directory: str,
    *,
    content_check: ContentChecks | None,
    progress: Progress,
    read_limit: RateLimit | None = None,
    free_bytes: Callable[[str], int] = free_space_bytes,
    fsync: Callable[[int], None] = os.fsync,
) -> Archive:
    """Pack a dataset into ``target_directory`` (made where it is missing) and return the verified archive.

    ``content_check`` gives a fresh check for a file's name.  ``progress`` is called with the source bytes read and
    their total, often, also while the result is verified; it may raise to stop, which it also may while a
    ``read_limit`` lets the source wait.  Whatever is raised, nothing is left behind and an older file of the same name
    stays as it was.

    Raises SourceChanged or SourceUnreadable for a file that is not what was planned, ContentCorrupt for one that
    contradicts its own checksum, SpoolFull where the floor of free space would be broken, and ArchiveInvalid
    where the spool's disk fails or gives back something else than was written.
    """
    done = _Done(plan.size_bytes, progress)
    checks: ContentChecks = content_check or (lambda _name: None)
    with PartFile(
        os.path.abspath(target_directory),
        plan.file_name,
        min_free_bytes=plan.min_free_bytes,
        free_bytes=free_bytes,
        fsync=fsync,
    ) as part:
        members, inner_md5 = _fill(plan, part, checks, done, read_limit)
        part.seal()
        archive = Archive(
            path=part.path,
            name=plan.file_name,
            packing=plan.packing,
            size_bytes=part.size_bytes,
            md5=part.md5,
            inner_md5=inner_md5 or part.md5,
            sha256=part.sha256,
            members=members,
        )
        verify(archive, partial(done.add, 0))
        part.publish()
        return dataclasses.replace(archive, path=part.final_path)


def _fill(
    plan: PackPlan, part: PartFile, checks: ContentChecks, done: _Done, read_limit: RateLimit | None
) -> tuple[tuple[Member, ...], str | None]:
    """Write the whole content and return its members, and the MD5 of the tar where there is one inside."""
    done.add(0)
    throttle = None if read_limit is None else partial(read_limit.take, waiting=partial(done.add, 0))
    with SourceTree(plan.root, throttle) as tree:
        if plan.packing is Packing.FILE:
            return (_copy(plan, tree, part, checks, done),), None
        if plan.compression == "zip":
            refuse_names(plan.member_paths)
            with ZipWriter(part, plan.actual_level) as zip_writer:
                _add_all(plan, tree, zip_writer, checks, done)
                return zip_writer.finish(), None
        encoder = encoder_for(plan.compression, plan.actual_level)
        with TarWriter(part, encoder, plan.workers) as tar_writer:
            _add_all(plan, tree, tar_writer, checks, done)
            return tar_writer.finish()


def _add_all(
    plan: PackPlan, tree: SourceTree, writer: TarWriter | ZipWriter, checks: ContentChecks, done: _Done
) -> None:
    for path, file in plan.in_order():
        with tree.open(file) as source:
            writer.add(path, source, checks(file.name), done.add)


def _copy(plan: PackPlan, tree: SourceTree, part: PartFile, checks: ContentChecks, done: _Done) -> Member:
    """Copy the one file as it is; reading, writing and checking overlap."""
    (file,) = plan.files
    check = checks(file.name)
    left = file.size_bytes
    with (
        tree.open(file) as source,
        Lane("archive-write", _COPY_MOST_BEHIND) as writing,
        Lane("archive-check", _COPY_MOST_BEHIND) as checking,
    ):
        while left:
            block = memoryview(bytearray(min(left, _COPY_BLOCK_BYTES)))
            block = block[: source.read_into(block)]
            writing.put(partial(part.write, block))
            if check is not None:
                checking.put(partial(check.update, block))
            left -= len(block)
            done.add(len(block))
        source.confirm_unchanged()
        writing.drain()
        checking.drain()
    if check is not None:
        judge_content(file.path, check)
    return Member(plan.file_name, file.size_bytes, file.mtime_ns, part.sha256)


class _Done:
    """How much of the source has been read."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self._done_bytes = 0
        self._total_bytes = total_bytes
        self._progress = progress

    def add(self, count: int) -> None:
        self._done_bytes += count
        self._progress(self._done_bytes, self._total_bytes)
