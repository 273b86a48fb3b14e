"""Manifests: lines as sha256sum writes them, and the files that became members."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from depositd.cli.manifest import checksum_lines, source_path

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (b"lyso_1/a.cbf", b"%s  lyso_1/a.cbf\n"),
        (b" two  spaces ", b"%s   two  spaces \n"),
        (b"*star", b"%s  *star\n"),
        (b"tab\tand\x1bescape", b"%s  tab\tand\x1bescape\n"),
        (b"not-utf8-\xff\xfe", b"%s  not-utf8-\xff\xfe\n"),
        ("Größe".encode(), "%s  Größe\n".encode()),
        (b"back\\slash", b"\\%s  back\\\\slash\n"),
        (b"new\nline", b"\\%s  new\\nline\n"),
        (b"return\r", b"\\%s  return\\r\n"),
        (b"\\n\n", b"\\%s  \\\\n\\n\n"),
    ],
)
def test_a_line_is_that_of_sha256sum(name, line):
    (found,) = checksum_lines([{"path": os.fsdecode(name), "sha256": SHA}])
    assert found == line.replace(b"%s", SHA.encode())


@pytest.mark.parametrize(
    ("place", "first", "packing", "member", "path"),
    [
        (("run", "run"), "run/lyso_1_1.cbf", "archive", "lyso_1/lyso_1_1.cbf", "/data/run/lyso_1_1.cbf"),
        (("", ""), "lyso_1_1.cbf", "archive", "lyso_1/lyso_1_1.cbf", "/data/lyso_1_1.cbf"),
        (("ms", "ms/x.raw"), "ms/x.raw/_FUNC001.DAT", "archive", "x/_FUNC001.DAT", "/data/ms/x.raw/_FUNC001.DAT"),
        (("ms", "ms/x.d"), "ms/x.d/a/b", "archive", "x/c/d", "/data/ms/x.d/c/d"),
        (("ms", "ms/x.raw"), "ms/x.raw", "archive", "x/x.raw", "/data/ms/x.raw"),
        (("ms", "ms/x.raw"), "ms/x.raw", "file", "x.raw", "/data/ms/x.raw"),
        (("ms", "ms/x"), "ms/x/deep/only.raw", "file", "only.raw", "/data/ms/x/deep/only.raw"),
    ],
)
def test_the_file_that_became_a_member_is_found_again(place, first, packing, member, path):
    directory, shown = place
    record = SimpleNamespace(root="/data", directory=directory, path=f"/data/{shown}".rstrip("/"))
    assert source_path(record, first, packing, member) == path
