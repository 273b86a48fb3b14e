"""This machine as Windows would be to depositd: run by tests in a process of its own.

``python elsewhere.py '[["check"], ["status"]]'`` runs commands of depositd one after the other.  What depositd imports
as ``os``, ``signal``, ``socket`` and ``sys`` lacks what Windows lacks: flags, calls, descriptors of directories,
signals, sockets by name, passed descriptors; some modules and the kernel's own files are gone.  For everybody, a file
that is open can neither be renamed nor removed (winerror 32), and ``rename`` overwrites nothing.  Python's own library
and the other packages keep what they need: they have other ways on Windows.  There are no backslashes and no drives.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

DAEMON = Path(__file__).parents[2] / "daemon" / "depositd"


def _words(text: str) -> list[str]:
    return text.split()


GONE_FROM_OS = _words(
    "O_CLOEXEC O_NOFOLLOW O_NONBLOCK O_NOCTTY O_DIRECTORY O_NOATIME O_SYNC O_DSYNC O_PATH SEEK_HOLE SEEK_DATA"
    " RWF_NOWAIT POSIX_FADV_DONTNEED"
    " pread preadv pwrite pwritev readv writev posix_fadvise posix_fallocate statvfs fstatvfs sched_getaffinity geteuid"
    " getuid getegid getgid fchmod fchown chown lchown killpg getpgid setsid fork mkfifo mknod sysconf uname getloadavg"
    " sendfile copy_file_range fdatasync nice getpriority"
)
GONE_SIGNALS = _words("SIGHUP SIGKILL SIGPROF SIGBUS SIGTRAP SIGIO SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE")
GONE_FROM_SIGNAL = [*GONE_SIGNALS, *_words("setitimer getitimer ITIMER_PROF alarm pause pthread_kill")]
GONE_FROM_SOCKET = _words("AF_UNIX SOCK_CLOEXEC send_fds recv_fds")
GONE_MODULES = _words("fcntl pwd grp resource termios tty pty syslog posix")


class Held(PermissionError):
    """What Windows raises for a file that somebody has open."""

    winerror = 32


def main(commands: list[list[str]]) -> int:
    """Go there, import everything, run the commands; return the first exit status that is not 0."""
    import_the_rest()
    with there():
        for name in modules():
            importlib.import_module(name)
    keep_what_is_open()
    from depositd.cli.app import program
    from depositd.cli.failing import run_app

    worst = 0
    for words in commands:
        sys.argv = ["depositd", *words]
        status = run_app(program(sys.argv[1:]))
        sys.stdout.flush()
        worst = worst or status
    return worst


def modules() -> list[str]:
    """Return every module of depositd that is not for Linux alone."""
    found = [one.name for one in pkgutil.walk_packages([str(DAEMON)], "depositd.")]
    return [name for name in found if name not in ("depositd.__main__", "depositd.watch.inotify_observer")]


def import_the_rest() -> None:
    """Import what depositd imports from elsewhere, wherever it does so."""
    names: set[str] = set()
    for path in DAEMON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    for name in sorted(names):
        if name.partition(".")[0] != "depositd":
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


@contextlib.contextmanager
def there():
    """Have whatever is imported in this block see what Windows has."""
    kept = dict(sys.modules)
    sys.modules |= {"os": _os(), "signal": _signal(), "socket": _without(socket, GONE_FROM_SOCKET)}
    sys.modules |= {"sys": _without(sys, (), platform="win32")}
    sys.modules |= dict.fromkeys(GONE_MODULES)
    from watchdog.utils import platform

    platform.is_linux = lambda: False
    yield
    for name in ("os", "signal", "socket", "sys", *GONE_MODULES):
        if name in kept:
            sys.modules[name] = kept[name]
        else:
            del sys.modules[name]
    # the kernel's own files are opened in one place
    machine = sys.modules["depositd.portable.machine"]
    machine.open = _no_such_file
    machine.os.readlink = _no_such_file


def _without(module: ModuleType, gone: Iterable[str], **changed: object) -> ModuleType:
    there = ModuleType(module.__name__)
    there.__dict__.update({name: value for name, value in vars(module).items() if name not in gone})
    there.__dict__.update(changed)
    return there


def _os() -> ModuleType:
    plain = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND

    def opened(path, flags, mode=0o777, *, dir_fd=None):
        assert dir_fd is None, "no descriptor of a directory leads anywhere here"
        assert not flags & ~plain, f"these flags are not all known here: {flags:o}"
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return os.open(path, flags, mode)

    def linked(source, target):
        os.link(source, target)

    def exists(path):
        return not os.fspath(path).startswith("/proc") and os.path.exists(path)

    return _without(
        os,
        GONE_FROM_OS,
        open=opened,
        link=linked,
        stat_result=type("stat_result", (), {}),
        path=_without(os.path, (), exists=exists),
        supports_dir_fd=set(),
        supports_fd=set(),
        supports_follow_symlinks={os.stat},
        # by name, so that they are what keep_what_is_open() makes of them
        **{name: _late(name) for name in ("replace", "rename", "unlink", "remove", "rmdir")},
    )


def _late(name: str):
    def call(*arguments, **options):
        return getattr(os, name)(*arguments, **options)

    return call


def _signal() -> ModuleType:
    members = {name: number for name, number in signal.Signals.__members__.items() if name not in GONE_SIGNALS}

    class Signals:
        __members__ = members

        def __class_getitem__(cls, name):
            return members[name]

        def __new__(cls, number):
            return signal.Signals(number)

    return _without(signal, GONE_FROM_SIGNAL, Signals=Signals)


def _no_such_file(path, *_arguments, **_options):
    raise FileNotFoundError(2, "No such file or directory", path)


def keep_what_is_open() -> None:
    """Let nobody rename or remove a file that this process has open."""
    for name in ("replace", "rename", "unlink", "remove", "rmdir"):
        setattr(os, name, _refusing(name, getattr(os, name)))


def _refusing(name, real):
    def call(path, *arguments, **options):
        for one in (path, *arguments):
            if _is_open_here(one):
                raise Held(13, "The process cannot access the file because it is being used by another process", one)
        if name == "rename" and os.path.lexists(arguments[0]):
            raise FileExistsError(17, "File exists", arguments[0])
        return real(path, *arguments, **options)

    return call


def _is_open_here(path) -> bool:
    try:
        asked = os.lstat(path)
    except (OSError, TypeError):
        return False
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            there = os.fstat(int(number))
            if (there.st_dev, there.st_ino) == (asked.st_dev, asked.st_ino):
                return True
    return False


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
