"""Secrets looked for in everything that a person, a page, a log or a thief of a disk can see."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

BEGINNING = 12
"""Characters of a secret that tell it: none of it may be cut off so late."""
SHORTEST = 6


def forms(secret: str, username: str = "you@lab.edu") -> set[str]:
    """Return what a secret may look like, in lower case: as it is, begun, in a URL, in JSON, and in base64."""
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    for text in (secret, f"{username}:{secret}", f"Token {secret}"):
        for shift in range(3):  # base64 reads differently after one or two other bytes
            encoded = base64.b64encode(b"\0" * shift + text.encode()).decode()
            found.add(encoded[4 if shift else 0 : -4][:24])
    begun = {form.lower()[: max(BEGINNING, len(form) // 3)] for form in found}
    return {form for form in begun if len(form) >= SHORTEST}  # what is left of a short one would be found by chance


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    """Return which forms of which secrets a text holds, each with what stands around it."""
    lower = text.lower()
    return [
        f"{form!r} in {text[max(at - 150, 0) : at + 60]!r}"
        for secret in secrets
        for form in forms(secret)
        if (at := lower.find(form)) >= 0
    ]


def files_below(*directories: Path) -> dict[str, str]:
    """Return the content of every file below some directories, byte for character, by its path; names count too."""
    found = {}
    for directory in directories:
        for path in directory.rglob("*"):
            content = path.read_bytes().decode("latin-1") if path.is_file() and not path.is_symlink() else ""
            found[str(path)] = f"{path.name}\n{content}"
    return found


def processes_below(pid: int) -> dict[str, str]:
    """Return the command line of a process and its children, and what environment the children were given."""
    shown = {f"command line of {pid}": _read(pid, "cmdline")}
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in _read(pid, f"task/{task}/children").split():
            shown[f"environment of {child} ({_read(int(child), 'comm').strip()})"] = _read(int(child), "environ")
            shown |= processes_below(int(child))
    return shown


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().decode("latin-1")
    except OSError:  # it has ended meanwhile
        return ""
