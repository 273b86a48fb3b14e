"""Paths as people and other programs write them; inside depositd those of sources have slashes on every system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import ModuleType

_POSIX = os.sep == "/"

EXAMPLE_PATH = "a path that begins with /" if _POSIX else "a path such as C:/data"
"""What an absolute path looks like here, for messages."""


def is_absolute(path: str, flavour: ModuleType = os.path) -> bool:
    """Say whether a path says all of where it leads: on Windows its drive, or its server and share, too."""
    if not flavour.isabs(path):
        return False
    return bool(flavour.sep == "/" or flavour.splitdrive(path)[0])


def slashed(path: str, separator: str = os.sep) -> str:
    """Return a path with slashes, which Windows takes as well as its own; elsewhere a backslash is part of a name."""
    return path if separator == "/" else path.replace(separator, "/")


def lies_in(path: str, directory: str, flavour: ModuleType = os.path) -> bool:
    """Say whether an absolute path is a directory or lies below it, by the letters of the two alone."""
    if flavour.sep == "/":
        return path == directory or path.startswith(directory.rstrip("/") + "/")
    path, directory = flavour.normcase(path), flavour.normcase(directory)
    return bool(path == directory or path.startswith(directory.rstrip("\\") + "\\"))


def config_home(environ: Mapping[str, str], flavour: ModuleType = os.path) -> str | None:
    """Return the directory of a user's own settings, None where there is none.

    That is ``$XDG_CONFIG_HOME`` (the XDG specification: a relative path there is to be ignored) or ``~/.config``, on
    Windows ``%APPDATA%``.
    """
    for name, below in (("XDG_CONFIG_HOME", ""), ("APPDATA", ""), ("HOME", ".config")):
        if (name == "APPDATA") == (flavour.sep == "/"):
            continue
        directory = environ.get(name, "")
        if is_absolute(directory, flavour):
            return str(flavour.join(directory, below)) if below else directory
    return None
