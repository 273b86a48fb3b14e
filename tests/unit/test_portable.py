from __future__ import annotations

import errno
import ntpath
import os
import posixpath
import signal

import pytest

from depositd import portable
from depositd.portable import sharing
from depositd.portable.links import is_link
from depositd.portable.renaming import replace


class Busy(PermissionError):
    """What Windows raises while another program has a file open."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.EACCES, "The process cannot access the file")
        self.winerror = number


class Renames:
    """A rename that fails some times."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[tuple[str, str]] = []
        self.slept_s: list[float] = []

    def __call__(self, source, target) -> None:
        self.calls.append((source, target))
        if self.errors:
            raise self.errors.pop(0)

    def replace(self) -> None:
        replace("a", "b", rename=self, sleep=self.slept_s.append)


@pytest.mark.parametrize("number", [5, 32])
def test_a_rename_waits_for_a_program_that_looks_at_the_file(number):
    renames = Renames(Busy(number), Busy(number))
    renames.replace()
    assert renames.calls == [("a", "b")] * 3
    assert renames.slept_s == sorted(renames.slept_s)
    assert len(renames.slept_s) == 2


def test_a_rename_waits_no_longer_than_three_seconds():
    renames = Renames(*[Busy(32)] * 100)
    with pytest.raises(Busy):
        renames.replace()
    assert 2.0 < sum(renames.slept_s) <= 3.0


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), PermissionError(13, "no winerror"), Busy(33)])
def test_a_rename_that_fails_for_another_reason_fails_at_once(error):
    renames = Renames(error)
    with pytest.raises(OSError, match=str(error.args[1])):
        renames.replace()
    assert renames.slept_s == []


@pytest.mark.parametrize(
    ("path", "flavour", "is_absolute"),
    [
        ("/data", posixpath, True),
        ("data", posixpath, False),
        ("C:/data", posixpath, False),
        ("C:/data", ntpath, True),
        ("C:\\data", ntpath, True),
        ("\\\\server\\share\\data", ntpath, True),
        ("//server/share/data", ntpath, True),
        ("/data", ntpath, False),
        ("C:data", ntpath, False),
        ("", ntpath, False),
    ],
)
def test_an_absolute_path_says_all_of_where_it_leads(path, flavour, is_absolute):
    assert portable.is_absolute(path, flavour) is is_absolute


def test_slashes_are_taken_for_backslashes_only_where_they_are_the_same():
    assert portable.slashed("C:\\data\\a", "\\") == "C:/data/a"
    assert portable.slashed("/data/a\\b", "/") == "/data/a\\b"


@pytest.mark.parametrize(
    ("path", "directory", "flavour", "lies_in"),
    [
        ("/data/a", "/data", posixpath, True),
        ("/data", "/data", posixpath, True),
        ("/data2", "/data", posixpath, False),
        ("/data", "/", posixpath, True),
        ("C:\\Data\\a", "c:/data", ntpath, True),
        ("C:\\Data2", "c:/data", ntpath, False),
        ("D:\\data\\a", "C:\\data", ntpath, False),
        ("C:\\data", "C:\\", ntpath, True),
    ],
)
def test_what_lies_in_a_directory(path, directory, flavour, lies_in):
    assert portable.lies_in(path, directory, flavour) is lies_in


@pytest.mark.parametrize(
    ("environ", "flavour", "found"),
    [
        ({"HOME": "/home/a"}, posixpath, "/home/a/.config"),
        ({"HOME": "/home/a", "XDG_CONFIG_HOME": "/etc/a"}, posixpath, "/etc/a"),
        ({"HOME": "/home/a", "XDG_CONFIG_HOME": "relative"}, posixpath, "/home/a/.config"),
        ({"HOME": "/home/a", "APPDATA": "/other"}, posixpath, "/home/a/.config"),
        ({"APPDATA": "C:\\Users\\a\\AppData\\Roaming"}, ntpath, "C:\\Users\\a\\AppData\\Roaming"),
        ({}, posixpath, None),
        ({}, ntpath, None),
    ],
)
def test_a_users_own_settings_lie_where_the_system_keeps_them(environ, flavour, found):
    assert portable.config_home(environ, flavour) == found


class Windows:
    """The calls of Windows that open a file."""

    def __init__(self, fails: OSError | None = None) -> None:
        self.fails = fails
        self.opened: list[tuple[object, ...]] = []
        self.closed: list[int] = []

    def calls(self) -> sharing.Calls:
        return sharing.Calls(self.create_file, self.descriptor_of, self.closed.append)

    def create_file(self, *arguments) -> int:
        self.opened.append(arguments)
        return 4711

    def descriptor_of(self, handle: int, flags: int) -> int:
        assert handle == 4711
        if self.fails is not None:
            raise self.fails
        return 7


def test_a_source_is_opened_so_that_others_may_write_rename_and_delete_it():
    windows = Windows()
    assert sharing.open_shared("C:/data/a.raw", os.O_RDONLY, windows.calls) == 7
    ((path, access, shares, disposition, _flags),) = windows.opened
    assert (path, access, shares, disposition) == ("C:/data/a.raw", 0x8000_0000, 1 | 2 | 4, 3)
    assert windows.closed == []


def test_a_handle_that_gets_no_descriptor_is_closed():
    windows = Windows(OSError(errno.EMFILE, "Too many open files"))
    with pytest.raises(OSError, match="Too many"):
        sharing.open_shared("C:/data/a.raw", os.O_RDONLY, windows.calls)
    assert windows.closed == [4711]


class Status:
    def __init__(self, mode: int, tag: int = 0) -> None:
        self.st_mode = mode
        self.st_reparse_tag = tag


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(0o120777), True),
        (Status(0o040755, 0xA0000003), True),
        (Status(0o040755), False),
        (Status(0o100644, 0x8000001B), False),
    ],
)
def test_a_junction_is_a_link_although_it_looks_like_a_directory(status, expected):
    assert is_link(status) is expected


@pytest.mark.parametrize(
    ("status", "crash"),
    [
        (-signal.SIGSEGV, "SIGSEGV"),
        (-signal.SIGTERM, None),
        (0, None),
        (1, None),
        (0xC0000005, "access violation"),
        (0xC0000005 - (1 << 32), "access violation"),
        (0xC0000374, "heap corruption"),
    ],
)
def test_a_crash_has_a_name_on_every_system(status, crash):
    assert portable.crash_of(status) == crash


def test_only_the_timer_means_that_a_process_ran_too_long():
    assert portable.ran_too_long(-signal.SIGPROF)
    assert not portable.ran_too_long(-signal.SIGKILL)
    assert not portable.ran_too_long(0)


def test_every_signal_that_ends_or_reloads_is_heard():
    assert {signal.SIGTERM, signal.SIGINT} <= set(portable.STOP_SIGNALS)
    assert portable.RELOAD_SIGNALS == (signal.SIGHUP,)
