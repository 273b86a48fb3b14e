"""The mutants that no test kills, and why that is well: ``tests/mutations.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutant changes: the lines that it takes out of a function, and those that it puts there.

    Lines are told without their indentation, joined by a space; so a change is still the same when the code moves.
    """

    module: str
    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.module}: {self.function}\n    - {self.was}\n    + {self.becomes}"


def read(path: Path) -> dict[Change, str]:
    """Return the survivors that are known, each with the sentence why it is equivalent or harmless."""
    with path.open("rb") as file:
        listed = tomllib.load(file)
    return {
        Change(module, entry["function"], entry["was"], entry["becomes"]): entry["why"]
        for module, entries in listed.items()
        for entry in entries
    }


def change_of(module: str, mutant: str, difference: str) -> Change:
    """Return what a mutant changes, from mutmut's name of it (``depositd.retry.x_wait_s__mutmut_7``) and its diff."""
    mangled = mutant.rpartition("__mutmut_")[0].rpartition(".")[2]
    # a method is named xǁClassǁname, a function x_name
    function = mangled.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in mangled else mangled.removeprefix("x_")
    hunk = [line for line in difference.splitlines() if not line.startswith(("---", "+++", "# "))]
    was, becomes = (" ".join(line[1:].strip() for line in hunk if line.startswith(sign)) for sign in "-+")
    return Change(module, function, was, becomes)


def as_toml(changes: list[Change]) -> str:
    """Return survivors as they are listed, their reasons still to be given."""
    entries = []
    for change in changes:
        told = {"function": change.function, "was": change.was, "becomes": change.becomes, "why": ""}
        lines = [f"{key} = {_quoted(value)}" for key, value in told.items()]
        entries.append("\n".join([f"[[{change.module}]]", *lines]))
    return "\n\n".join(entries)


def _quoted(text: str) -> str:
    for quote in ("'", "'''"):
        if quote not in text and not text.endswith("'"):
            return f"{quote}{text}{quote}"
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
