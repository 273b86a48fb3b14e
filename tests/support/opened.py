"""Put before a process as ``sitecustomize``: writes down how Python opens and changes files, in it and its children.

The audit events of CPython come before the system calls, so nothing that Python's own code does can pass them by.  What
a C library opens by itself (SQLite) is named in the event of the module that wraps it.
"""

import os
import sys

_LOG = os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
_CHANGES = [
    "os.chflags",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.mkfifo",
    "os.mknod",
    "os.remove",
    "os.removexattr",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.move",
    "shutil.rmtree",
]


def _text(value):
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else repr(value)


def _note(event, arguments):
    if event == "open":
        path, _mode, flags = arguments
        said = (event, str(flags), _text(path))
    elif event == "sqlite3.connect":
        said = (event, "0", _text(arguments[0]))
    elif event in _CHANGES:
        said = (event, "0", *map(_text, arguments))
    else:
        return
    os.write(_LOG, ("\0".join(said) + "\n\0").encode("utf-8", "surrogateescape"))


sys.addaudithook(_note)
