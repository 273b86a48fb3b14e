"""How long a dataset has not changed, by our own clock."""

import pytest
from format_files import stat_of

from depositd.model import FileKind
from depositd.watch.quiet import fingerprint

ONE, TWO = stat_of("run/a", 10, 5.0), stat_of("run/b", 20, 6.0)


@pytest.mark.parametrize(
    "changed",
    [
        ONE._replace(size_bytes=11),
        ONE._replace(mtime_ns=1),
        ONE._replace(kind=FileKind.SYMLINK),
        ONE._replace(path="run/c"),
        ONE._replace(path="run/\udcff"),
    ],
)
def test_every_change_that_matters_changes_the_fingerprint(changed):
    assert fingerprint([changed], "run") != fingerprint([ONE], "run")


def test_what_a_backup_program_touches_does_not_change_the_fingerprint():
    touched = ONE._replace(ctime_ns=99, inode=7, allocated_bytes=4096)
    assert fingerprint([touched], "run") == fingerprint([ONE], "run")


def test_the_same_files_have_the_same_fingerprint_in_any_directory():
    moved = [file._replace(path=f"elsewhere/deep/{file.name}") for file in (ONE, TWO)]
    assert fingerprint(moved, "elsewhere/deep") == fingerprint([ONE, TWO], "run")
