"""Archiving beside tar and zstd, uploading beside curl."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import data, sink
from bench.figures import Figure, speed_beside
from bench.measuring import Contest, Contestant, Run, hold, run_command, run_here
from bench.report import Results
from depositd.archive import PackPlan, PackTools, pack
from depositd.destinations.proteindiffraction import Client
from depositd.formats import FORMATS
from depositd.model import FileStat
from depositd.units import show_size

LEAST_CBF_RATIO, MOST_CBF_SIZE = 2.5, 1.0
LEAST_LEVEL_3_RATIO = 1.0
LEAST_EIGER_RATIO, MOST_EIGER_SIZE = 3.0, 1.03
LEAST_UPLOAD_RATIO = 0.9
_ARCHIVE_NOTES = (
    "depositd also does: fsync, MD5 and SHA-256 of the archive, MD5 of the tar inside, SHA-256 of each file, checksums",
    "in the frames, and compares all of that with what it reads back; tar and zstd only write, to the same disk;",
    "md5sum: of the archive, then of what zstd -dc gives, one after the other; all files are in the kernel's cache",
)
_UPLOAD_NOTES = (
    "the sink reads and forgets; depositd also hashes what it sends, and withholds the end where that is another file",
)
_MD5SUMS = "md5sum {target}; zstd -dcq {target} | md5sum"


def pack_plan(source: Path, files: tuple[FileStat, ...] | None = None, level: int | None = None) -> PackPlan:
    """Return the plan that the daemon would make for a series (or those of its ``files`` that are there yet)."""
    name = source.name
    files = files or data.files_below(source)
    return PackPlan(str(source), files, "", name, f"{name}.tar.zst", level=level, keep_part=True)


def pack_series(source: Path, spool: Path, format_name: str, level: int | None = None) -> Path:
    """Pack a series as the daemon does and return the archive's path."""
    return Path(pack(pack_plan(source, level=level), str(spool), tools_for(format_name)).path)


def tools_for(format_name: str) -> PackTools:
    """Return what the daemon packs a format with."""
    return PackTools(content_check=FORMATS[format_name].content_check)


def archive_cbf(source: Path, spool: Path, rounds: int) -> Results:
    """Measure archiving a CBF series with all hashes, and at a fixed level."""
    spool.mkdir()
    ours = _ours(source, spool, "frames")
    rivals = [
        _tar(source, spool, "-T0", _MD5SUMS),
        _tar(source, spool, "-1 -T0", _MD5SUMS),
        _tar(source, spool, "-1 -T0"),
    ]
    best = _hold("archive CBF", source, [ours, *rivals], rounds)
    fixed = [_ours(source, spool, "frames", 3), _tar(source, spool, "-3 -T0")]
    at_level_3 = _hold("archive CBF at level 3", source, fixed, rounds)
    _empty(spool)
    figures = [
        speed_beside(best, LEAST_CBF_RATIO),
        _size(best, MOST_CBF_SIZE),
        speed_beside(at_level_3, LEAST_LEVEL_3_RATIO),
    ]
    return Results((best, at_level_3), tuple(figures))


def archive_eiger(source: Path, title: str, spool: Path, rounds: int) -> Results:
    """Measure archiving an Eiger series, whose images are compressed already."""
    spool.mkdir()
    contestants = [_ours(source, spool, "eiger"), *(_tar(source, spool, each) for each in ("-T0", "-1 -T0"))]
    contest = _hold(title, source, contestants, rounds)
    _empty(spool)
    return Results((contest,), (speed_beside(contest, LEAST_EIGER_RATIO), _size(contest, MOST_EIGER_SIZE)))


def upload(file: Path, rounds: int) -> Results:
    """Measure uploading a file to a server on loopback."""
    archive = data.hashed(file)
    with sink.running() as url, Client(url, token="bench") as client:
        contestants = [
            Contestant("depositd", partial(run_here, partial(client.upload, archive))),
            Contestant("curl -F", partial(run_command, [*CURL, "--form", f"dataset_file=@{file}", f"{url}upload/"])),
        ]
        contest = hold("upload to loopback", archive.size_bytes, "B", contestants, rounds, _UPLOAD_NOTES)
    return Results((contest,), (speed_beside(contest, LEAST_UPLOAD_RATIO),))


CURL = ("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--header", "Authorization: Token bench")


def _hold(title: str, source: Path, contestants: list[Contestant], rounds: int) -> Contest:
    return hold(title, data.total_bytes(data.files_below(source)), "B", contestants, rounds, _ARCHIVE_NOTES)


def _ours(source: Path, spool: Path, format_name: str, level: int | None = None) -> Contestant:
    work = partial(pack_series, source, spool, format_name, level)
    return _maker("depositd", spool / f"{source.name}.tar.zst", partial(run_here, work))


def _tar(source: Path, spool: Path, options: str, then: str = "") -> Contestant:
    target = spool / "by_hand.tar.zst"
    command = ["tar", "-I", f"zstd {options}", "-cf", str(target), "-C", str(source.parent), source.name]
    script = f"{shlex.join(command)}; {then.format(target=shlex.quote(str(target)))}"
    name = f"tar -I 'zstd {options}'{' and md5sum' if then else ''}"
    return _maker(name, target, partial(run_command, ["sh", "-euc", script]))


def _maker(name: str, target: Path, run: Callable[[], Run]) -> Contestant:
    """Return a contestant that makes a file; removing the last one takes none of its time."""

    def run_anew() -> Run:
        target.unlink(missing_ok=True)
        return run()

    return Contestant(name, run_anew, lambda: target.stat().st_size)


def _size(contest: Contest, most: float) -> Figure:
    ours, rival = contest.standings[:2]
    assert ours.result_bytes is not None
    assert rival.result_bytes is not None
    return Figure(
        f"{contest.title} ({show_size(contest.amount)}), size beside {rival.name}",
        ours.result_bytes / rival.result_bytes,
        "x the size",
        most=most,
        details=f"{show_size(ours.result_bytes)}, {show_size(rival.result_bytes)}",
    )


def _empty(spool: Path) -> None:
    for file in spool.iterdir():
        file.unlink()
