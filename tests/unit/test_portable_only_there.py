"""What not every system has is named in ``depositd.portable`` alone: mypy cannot see all of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import depositd

DAEMON = Path(depositd.__file__).parent

MODULES = frozenset(
    ("fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty", "winreg", "_winapi")
)
NAMES = {
    "os": re.compile(
        r"O_(?!(RDONLY|WRONLY|RDWR|CREAT|EXCL|TRUNC|APPEND)$)\w+|P_\w+|RWF_\w+|POSIX_\w+|SEEK_(HOLE|DATA)|W[A-Z]+"
        r"|p(read|write)v?|readv|writev|posix_\w+|f?statvfs|sched_\w+|[gs]et(e|res)?[ug]ids?|(f|l)chmod|(f|l)?chown"
        r"|(f|l)?chflags|umask|fsync|fdatasync|sync|link|rename|renames|replace|fork|forkpty|wait\w*|kill|killpg"
        r"|[gs]et(pg|s)id|setsid|setpgid|[gs]etpriority|nice|getloadavg|sysconf|confstr|f?pathconf|mkfifo|mknod|uname"
        r"|sendfile|copy_file_range|splice|openpty|ttyname|[gs]etxattr|listxattr|removexattr|memfd_create|eventfd\w*"
        r"|major|minor|makedev|startfile|fwalk|fchdir|chroot"
    ),
    "signal": re.compile(
        r"SIG(?!(INT|TERM|ABRT|FPE|ILL|SEGV|_IGN|_DFL)$)[A-Z]\w*|ITIMER_\w+|[gs]etitimer|alarm|pause|sigwait\w*|siginterrupt|sigpending|set_wakeup_fd|pthread_\w+"
    ),
    "socket": re.compile(
        r"AF_(UNIX|NETLINK|PACKET)|SOCK_(CLOEXEC|NONBLOCK)|(send|recv)_fds|SCM_\w+|SO_REUSEPORT|fromshare"
    ),
    "ctypes": re.compile(r"CDLL|PyDLL|WinDLL|OleDLL|cdll|windll|wintypes|util"),
    "shutil": re.compile(r"chown|move"),
    "time": re.compile(r"CLOCK_\w+|clock_\w+|pthread_\w+"),
    "subprocess": re.compile(r"STARTUPINFO|CREATE_\w+"),
}
OF_ANY_VALUE = frozenset({"st_blocks", "st_blksize", "st_rdev", "st_flags", "lchmod", "readv", "pread"})
OPTIONS = frozenset({"dir_fd", "src_dir_fd", "dst_dir_fd", "preexec_fn", "process_group", "start_new_session", "umask"})
KERNEL = re.compile(r"/(proc|sys|dev)(/|$)")


def named(source: str) -> list[str]:
    """Return what a module names that not every system has, as ``line: name``."""
    tree = ast.parse(source)
    _forget_words(tree)
    return sorted({f"{line}: {what}" for line, what in _found(tree)})


def _forget_words(tree: ast.AST) -> None:
    """Take out what is not run: annotations and docstrings."""
    for node in ast.walk(tree):
        for part in ("annotation", "returns"):
            if getattr(node, part, None) is not None:
                setattr(node, part, ast.Constant(None))
        if isinstance(getattr(node, "body", None), list):
            node.body = [one for one in node.body if not _is_text(one)]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _found(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from ((node.lineno, name) for name in _imported(node))
            case ast.Attribute(value=ast.Name(id=module), attr=name) if _is_named(module, name):
                yield node.lineno, f"{module}.{name}"
            case ast.Attribute(attr=name) if name in OF_ANY_VALUE:
                yield node.lineno, f".{name}"
            case ast.Call(func=ast.Attribute(value=value, attr="rename" | "replace"), args=[_], keywords=[]):
                if not (isinstance(value, ast.Name) and value.id == "portable"):
                    yield node.lineno, "a path's rename"
            case ast.keyword(arg=str(name)) if name in OPTIONS:
                yield node.value.lineno, f"{name}="
            case ast.Constant(value=str(text)) if KERNEL.match(text):
                yield node.lineno, text


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
    yield from (module for module in modules if module.partition(".")[0] in MODULES)
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{one.name}" for one in node.names if _is_named(node.module or "", one.name))


def _is_named(module: str, name: str) -> bool:
    return module in NAMES and NAMES[module].fullmatch(name) is not None


MODULES_OF_DEPOSITD = sorted(path for path in DAEMON.rglob("*.py") if path.parent != DAEMON / "portable")


@pytest.mark.parametrize("path", MODULES_OF_DEPOSITD, ids=lambda path: str(path.relative_to(DAEMON)))
def test_a_module_names_nothing_that_only_some_systems_have(path):
    assert named(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("os.open(path, os.O_RDONLY | os.O_NOFOLLOW)", "os.O_NOFOLLOW"),
        ("os.pread(descriptor, 1, 0)", "os.pread"),
        ("os.statvfs(path)", "os.statvfs"),
        ("from os import geteuid", "os.geteuid"),
        ("import fcntl", "fcntl"),
        ("def f():\n    import pwd", "pwd"),
        ("from resource import setrlimit", "resource"),
        ("signal.signal(signal.SIGHUP, stop)", "signal.SIGHUP"),
        ("socket.socket(socket.AF_UNIX)", "socket.AF_UNIX"),
        ("ctypes.CDLL(None)", "ctypes.CDLL"),
        ("os.stat(name, dir_fd=parent)", "dir_fd="),
        ("os.replace(part, path)", "os.replace"),
        ("path.rename(target)", "a path's rename"),
        ("Path('x').replace(target)", "a path's rename"),
        ("open('/proc/self/stat')", "/proc/self/stat"),
        ("open(f'/proc/{pid}/stat')", "/proc/"),
        ("status.st_blocks * 512", ".st_blocks"),
        ("os.fsync(descriptor)", "os.fsync"),
    ],
)
def test_what_only_some_systems_have_is_seen(line, what):
    assert what in [one.partition(": ")[2] for one in named(line)]


@pytest.mark.parametrize(
    "line",
    [
        '"""Reads /proc/self/mounts."""',
        "text.replace('a', 'b')",
        "moment.replace(tzinfo=UTC)",
        "portable.replace(part, path)",
        "def f() -> ctypes.CDLL: ...",
        "os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)",
        "signal.signal(signal.SIGTERM, stop)",
    ],
)
def test_what_every_system_has_is_left_alone(line):
    assert named(line) == []
