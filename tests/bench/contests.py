"""Archiving beside tar and zstd, uploading beside curl."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import data, sink
from bench.measuring import Contest, Contestant, Run, hold, run_command, run_here
from depositd.archive import PackPlan, pack
from depositd.destinations.proteindiffraction import Client
from depositd.formats import FORMATS

_ARCHIVE_NOTES = (
    "depositd: also fsync, MD5 and SHA-256 of the archive, MD5 of the tar inside, SHA-256 of each file, checksums in",
    "the frames, and all of that compared with what is read back; the same by hand: tar, sync, sha256sum of the files,",
    "md5sum and sha256sum of the archive, zstd -d into md5sum",
)
_BY_HAND = """
tar -I 'zstd -1 -T0' -cf {target} -C {parent} {name}
sync {target}
find {source} -type f -exec sha256sum {{}} +
md5sum {target}
sha256sum {target}
zstd -dcq {target} | md5sum
"""


def pack_plan(source: Path) -> PackPlan:
    """Return the plan that the daemon would make for a series."""
    name = source.name
    files = data.files_below(source)
    return PackPlan(str(source), files, "", name, f"{name}.tar.zst", workers=os.cpu_count() or 1)


def pack_series(source: Path, spool: Path, format_name: str) -> Path:
    """Pack a series as the daemon does and return the archive's path."""
    plan = pack_plan(source)
    check = FORMATS[format_name].content_check
    return Path(pack(plan, str(spool), content_check=check, progress=lambda _done, _total: None).path)


def archive(source: Path, format_name: str, spool: Path, rounds: int) -> Contest:
    """Measure archiving a series."""
    spool.mkdir()
    pack_it = partial(run_here, partial(pack_series, source, spool, format_name))
    contestants = [_maker("depositd", spool / f"{source.name}.tar.zst", pack_it)]
    for options in ("-T0", "-1 -T0"):
        target = spool / f"tar{options.replace(' ', '')}.tar.zst"
        command = ["tar", "-I", f"zstd {options}", "-cf", str(target), "-C", str(source.parent), source.name]
        contestants.append(_maker(f"tar -I 'zstd {options}'", target, partial(run_command, command)))
    target = spool / "hand.tar.zst"
    paths = {"target": target, "parent": source.parent, "name": source.name, "source": source}
    script = _BY_HAND.format(**{key: shlex.quote(str(path)) for key, path in paths.items()})
    contestants.append(_maker("the same by hand", target, partial(run_command, ["sh", "-euc", script])))
    size_bytes = data.total_bytes(data.files_below(source))
    contest = hold(f"archive {format_name}", size_bytes, "B", contestants, rounds, _ARCHIVE_NOTES)
    for file in spool.iterdir():
        file.unlink()
    return contest


def upload(file: Path, rounds: int) -> Contest:
    """Measure uploading a file to a server on loopback."""
    with sink.running() as url:
        client = Client(url, token="bench")
        command = [
            *("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--header", "Authorization: Token bench"),
            *("--form", f"dataset_file=@{file}", f"{url}upload/"),
        ]
        contestants = [
            Contestant("depositd", partial(run_here, partial(client.upload, file))),
            Contestant("curl -F", partial(run_command, command)),
        ]
        notes = ("depositd hashes what it sends, and withholds the end of the request where the MD5 is another",)
        contest = hold("upload to loopback", file.stat().st_size, "B", contestants, rounds, notes)
        client.close()
        return contest


def _maker(name: str, target: Path, run: Callable[[], Run]) -> Contestant:
    """Return a contestant that makes a file; removing the last one takes none of its time."""

    def run_anew() -> Run:
        target.unlink(missing_ok=True)
        return run()

    return Contestant(name, run_anew, lambda: target.stat().st_size)
