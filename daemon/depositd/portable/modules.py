"""Python's own modules that not every system has."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType


@functools.cache
def optional(name: str) -> ModuleType | None:
    """Return a module (``fcntl``, ``pwd``, ``resource``), None where this system has none of that name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
