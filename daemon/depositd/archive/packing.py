"""Packs a dataset into one file of the spool: read once, hashed, compressed, proven, and only then visible."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from depositd import portable
from depositd.archive import framelog
from depositd.archive.encoders import Encoder, encoder_for
from depositd.archive.framelog import Header
from depositd.archive.frames import AS_IT_IS, FRAME_LEAST_BYTES, TAR, FrameWriter
from depositd.archive.hashing import platform_name
from depositd.archive.levels import Choice, choose
from depositd.archive.part import PartFile, free_space_bytes, part_path
from depositd.archive.plan import PackPlan
from depositd.archive.resuming import Resumption, find_start
from depositd.archive.source import SourceTree
from depositd.archive.verifying import verify
from depositd.archive.workshop import Workshop
from depositd.archive.zip import ZipWriter, refuse_names
from depositd.formats.base import ContentCheck
from depositd.model import Archive, Block, Member, Packing
from depositd.rate_limit import RateLimit
from depositd.units import show_size

ContentChecks = Callable[[str], ContentCheck | None]
Progress = Callable[[int, int], None]

WORTH_A_LOG_BYTES = 64 << 20
"""What is smaller is packed in less time than it takes to see what can be gone on with."""


@dataclass(frozen=True, slots=True)
class PackTools:
    """What packing needs beside the plan.

    ``content_check`` gives a fresh check for a file's name.  ``progress`` is called with the source bytes packed and
    their total, often; it may raise to stop, which it also may while a ``read_limit`` lets the source wait.
    ``workshop`` is what archives made at the same time share, None for one of its own.  ``upload_rate_bytes_per_s`` is
    what the way to the server gives, None where nobody knows: a level that is not fixed is chosen by it, and by
    ``expected_bytes``, where the dataset is going to be larger than the plan.  ``say`` hears, in one sentence, of what
    was there already and is gone on with, or cannot be.
    """

    content_check: ContentChecks = lambda _name: None
    progress: Progress = lambda _done, _total: None
    workshop: Workshop | None = None
    upload_rate_bytes_per_s: float | None = None
    expected_bytes: int = 0
    say: Callable[[str], None] = lambda _sentence: None
    read_limit: RateLimit | None = None
    free_bytes: Callable[[str], int] = free_space_bytes
    write: Callable[[int, memoryview], int] = portable.write
    fsync: Callable[[int], None] = portable.fsync


def pack(plan: PackPlan, target_directory: str, tools: PackTools | None = None) -> Archive:
    """Pack a dataset into ``target_directory`` (made where it is missing) and return the verified archive.

    Whatever is raised, an older file of the same name stays as it was, and nothing else is left behind, save with
    ``plan.keep_part`` what the next call goes on with.

    Raises SourceChanged or SourceUnreadable for a file that is not what was planned, ContentCorrupt for one that
    contradicts its own checksum, SpoolFull where the floor of free space would be broken, and ArchiveInvalid
    where the spool's disk fails or gives back something else than was written.
    """
    tools = tools or PackTools()
    done = _Done(plan.size_bytes, tools.progress)
    with contextlib.ExitStack() as reading, _workshop(tools) as workshop:
        tree = reading.enter_context(_tree(plan, tools, done))
        if plan.encoding == "zip":
            return _pack_zip(plan, target_directory, tools, tree, done)
        found = _found(plan, target_directory, tools, tree, workshop, done)
        begin = _Begin(plan, workshop, tools, found)
        with _part(plan, target_directory, tools, found) as part:
            with _writing(plan, part, workshop, begin, found, wants_log=plan.size_bytes >= WORTH_A_LOG_BYTES) as writer:
                _add_all(plan, tree, writer, tools, done, found)
                reading.close()
                packed = writer.finish()
            members = tuple(
                Member(ended.source.path, ended.source.size_bytes, ended.source.mtime_ns, ended.sha256)
                for ended in packed.members
            )
            return _published(plan, part, done, begin.choice, members, packed.inner_md5, packed.blocks)


@dataclass(frozen=True, slots=True)
class Followed:
    """How many bytes of a growing dataset are packed now, and how many packed ones had to be thrown away."""

    source_bytes: int = 0
    lost_bytes: int = 0


def follow(plan: PackPlan, target_directory: str, tools: PackTools | None = None) -> Followed:
    """Pack those files of a growing dataset that are closed, as far as they fill frames.

    The plan has the files that are closed now, all of them.  What is there already and fits is gone on with, as *pack*
    will once the dataset has ended.  Raises what *pack* raises.
    """
    if plan.packing is not Packing.ARCHIVE or not (plan.keep_part and plan.is_resumable):
        return Followed()
    tools = tools or PackTools()
    done = _Done(plan.size_bytes, tools.progress)
    with _workshop(tools) as workshop, _tree(plan, tools, done) as tree:
        directory = os.path.abspath(target_directory)
        found = find_start(plan, directory, None, workshop, partial(done.add, 0))
        there_bytes = _source_bytes(found)
        if plan.size_bytes - there_bytes < FRAME_LEAST_BYTES:
            if there_bytes and not found.lost_bytes:
                workshop.trust(part_path(directory, plan.part_name or plan.file_name))
            return Followed(there_bytes, found.lost_bytes)
        _say_what_was_lost(found, tools)
        begin = _Begin(plan, workshop, tools, found)
        with _part(plan, directory, tools, found) as part:
            with _writing(plan, part, workshop, begin, found, wants_log=True) as writer:
                _add_all(plan, tree, writer, tools, done, found)
                writer.settle()
            part.leave()
        workshop.trust(part.path)
        return Followed(done.count_bytes, found.lost_bytes)


def _tree(plan: PackPlan, tools: PackTools, done: _Done) -> SourceTree:
    throttle = None if tools.read_limit is None else partial(tools.read_limit.take, waiting=partial(done.add, 0))
    return SourceTree(plan.root, throttle)


def _workshop(tools: PackTools) -> contextlib.AbstractContextManager[Workshop]:
    """Return the workshop that is shared, or one that ends with its context."""
    return Workshop() if tools.workshop is None else contextlib.nullcontext(tools.workshop)


def _found(
    plan: PackPlan, directory: str, tools: PackTools, tree: SourceTree, workshop: Workshop, done: _Done
) -> Resumption:
    """Return what can be gone on with, and say so."""
    if not (plan.keep_part and plan.is_resumable):
        return Resumption()
    found = find_start(plan, os.path.abspath(directory), tree, workshop, partial(done.add, 0))
    if found.start.frames:
        tools.say(f"{show_size(_source_bytes(found))} of {show_size(plan.size_bytes)} are packed already, and stay")
    _say_what_was_lost(found, tools)
    return found


def _say_what_was_lost(found: Resumption, tools: PackTools) -> None:
    if found.lost_bytes:
        tools.say(f"{show_size(found.lost_bytes)} of the archive that was begun are packed again: {found.reason}")


def _part(plan: PackPlan, directory: str, tools: PackTools, found: Resumption) -> PartFile:
    return PartFile(
        os.path.abspath(directory),
        plan.file_name,
        min_free_bytes=plan.min_free_bytes,
        free_bytes=tools.free_bytes,
        write=tools.write,
        fsync=tools.fsync,
        part_name=plan.part_name,
        keep=plan.keep_part and plan.is_resumable,
        written=found.written,
    )


@contextlib.contextmanager
def _writing(
    plan: PackPlan, part: PartFile, workshop: Workshop, begin: _Begin, found: Resumption, *, wants_log: bool
) -> Iterator[FrameWriter]:
    layout = TAR if plan.packing is Packing.ARCHIVE else AS_IT_IS
    logged = plan.keep_part and plan.is_resumable and (wants_log or found.header is not None)
    log = part.open_log(found.log_bytes) if logged else None
    begin.note = partial(part.note, log) if log is not None else None
    try:
        with FrameWriter(
            part,
            workshop,
            begin,
            layout,
            compression=plan.encoding,
            log=log,
            start=found.start,
            inner_md5=found.inner_md5,
        ) as writer:
            yield writer
    finally:
        if log is not None:
            log.close()


@dataclass(slots=True)
class _Begin:
    """Chooses the level when the first frame is there, and says so in the log; of what goes on it is known."""

    plan: PackPlan
    workshop: Workshop
    tools: PackTools
    found: Resumption
    note: Callable[[bytes], None] | None = None
    choice: Choice = field(init=False)

    def __post_init__(self) -> None:
        header = self.found.header
        self.choice = Choice(header.level, header.why) if header else _as_configured(self.plan)

    def __call__(self, frame: memoryview) -> Encoder:
        plan = self.plan
        if self.found.header is None:
            if plan.encoding == "zstd" and plan.level is None:
                self.choice = choose(
                    frame,
                    size_bytes=max(plan.size_bytes, self.tools.expected_bytes),
                    upload_rate_bytes_per_s=self.tools.upload_rate_bytes_per_s,
                    workers=self.workshop.workers,
                )
            if self.note is not None:
                header = Header(plan.packing, plan.encoding, self.choice.level, self.choice.why, platform_name())
                self.note(framelog.header_line(header))
        return encoder_for(plan.encoding, self.choice.level)


def _as_configured(plan: PackPlan) -> Choice:
    if plan.packing is Packing.FILE:
        return Choice(0, "the file as it is")
    if plan.compression == "none":
        return Choice(0, "not compressed, as configured")
    how = "" if plan.level is None else ", as configured"
    return Choice(plan.actual_level, f"{plan.compression} level {plan.actual_level}{how}")


def _add_all(
    plan: PackPlan, tree: SourceTree, writer: FrameWriter | ZipWriter, tools: PackTools, done: _Done, found: Resumption
) -> None:
    done.add(_source_bytes(found))
    for path, file in plan.in_order()[len(found.start.members) :]:
        with tree.open(file) as source:
            writer.add(path, source, tools.content_check(file.name), done.add)


def _source_bytes(found: Resumption) -> int:
    """Return how much of the sources is packed already, within a header of a member."""
    whole = sum(ended.source.size_bytes for ended in found.start.members)
    begun = found.start.begun
    return whole + (min(begun.at, begun.source.size_bytes) if begun else 0)


def _pack_zip(plan: PackPlan, directory: str, tools: PackTools, tree: SourceTree, done: _Done) -> Archive:
    refuse_names(plan.member_paths)
    with _part(plan, directory, tools, Resumption()) as part:
        with ZipWriter(part, plan.actual_level) as writer:
            _add_all(plan, tree, writer, tools, done, Resumption())
            members = writer.finish()
        return _published(plan, part, done, _as_configured(plan), members, None)


def _published(
    plan: PackPlan,
    part: PartFile,
    done: _Done,
    choice: Choice,
    members: tuple[Member, ...],
    inner_md5: str | None,
    blocks: tuple[Block, ...] = (),
) -> Archive:
    """Make a packed file durable, let it be seen, and return what it is; without a tar inside, ``inner_md5`` is None.

    Frames (``blocks``) were proven as they were written, a single stream is read back now.
    """
    done.add(0)
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
        blocks=blocks,
        level=choice.level if plan.packing is Packing.ARCHIVE else None,
        why=choice.why,
    )
    if not blocks:
        verify(archive, partial(done.add, 0))
    part.publish()
    return dataclasses.replace(archive, path=part.final_path)


class _Done:
    """How much of the source is packed."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self.count_bytes = 0
        self._total_bytes = total_bytes
        self._progress = progress

    def add(self, count: int) -> None:
        self.count_bytes += count
        self._progress(self.count_bytes, self._total_bytes)
