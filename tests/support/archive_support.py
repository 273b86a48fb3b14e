"""Sources on disk, and plans to pack them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depositd.archive import SUFFIXES, PackPlan, PackTools, pack
from depositd.model import Archive, FileStat, Packing

MIB = 1 << 20

WEIRD_NAMES = (
    b"plain.cbf",
    b"empty",
    b"with space and 'quotes'",
    b"new\nline",
    b"tab\tand\x1bescape",
    b"-starts-with-a-dash",
    "Größe_\u202eµm.cbf".encode(),
    b"not-utf8-\xff\xfe.bin",
    b"x" * 255,
    b"y" * 99,
    b"y" * 100,
    b"y" * 101,
    b"/".join([b"z" * 200, b"deep", b"q" * 200]),
    b"below/the/top/leaf",
)


def noise(size_bytes: int, seed: int = 1) -> bytes:
    """Return bytes that do not compress."""
    return random.Random(seed).randbytes(size_bytes)


def write_tree(root: Path, contents: dict[bytes | str, bytes]) -> None:
    for name, content in contents.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def stat_file(root: Path, relative: str) -> FileStat:
    now = os.lstat(os.path.join(root, relative))
    return FileStat(relative, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_blocks * 512)


def stat_tree(root: Path) -> tuple[FileStat, ...]:
    found = []
    for directory, _, names in os.walk(root):
        found += [stat_file(root, os.path.relpath(os.path.join(directory, name), root)) for name in names]
    return tuple(found)


def plan_for(root: Path, **changes: Any) -> PackPlan:
    """Return a plan for all files below ``root``, by default as ``lyso_1.tar.zst``."""
    packing = changes.get("packing", Packing.ARCHIVE)
    files = changes.pop("files", None) or stat_tree(root)
    suffix = SUFFIXES[changes.get("compression", "zstd")]
    names = {
        "top": "",
        "dataset_name": "lyso_1",
        "file_name": files[0].name if packing is Packing.FILE else "lyso_1" + suffix,
    }
    return PackPlan(root=str(root), files=files, **{**names, **changes})


def pack_it(plan: PackPlan, target: Path, **changes: Any) -> Archive:
    check = changes.pop("content_check", None)
    if check is not None:
        changes["content_check"] = check
    return pack(plan, str(target), PackTools(**changes))


def once(action: Callable[[], None], when: Callable[[int, int], bool] = lambda done, _total: done > 0) -> Any:
    """Return a *progress* that takes one action at the first moment for which ``when`` holds."""
    taken = []

    def progress(done: int, total: int) -> None:
        if not taken and when(done, total):
            taken.append(True)
            action()

    return progress


def entries(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.exists() else []
