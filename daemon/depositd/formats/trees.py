"""What formats share whose dataset is a directory: its name, its members, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depositd.formats.ladder import Shortfall, broken_sentence
from depositd.formats.names import stem_of_directory
from depositd.model import Dataset, FileStat, Probe, VerdictKind

UNFINISHED = "unfinished"
"""The fact that tells a file that lacks something, which may still come, from one that is wrong."""
WAITS = "waits"
"""The fact of a file that cannot be understood for what lies, or does not lie, beside it.

Its probe has a problem and ``retry``, so that it is read again at each look: what stands in its way comes and goes
without changing it.  It is not the file that is broken.
"""


def has_suffix(directory: str, suffix: str) -> bool:
    """Say whether a directory's own name ends in a suffix (lower-case, with its dot) and is not hidden."""
    name = directory.rpartition("/")[2]
    return name.lower().endswith(suffix) and not name.startswith(".")


def dataset_of(directory: str, files: tuple[FileStat, ...], format_name: str) -> Dataset:
    """Return the dataset that a directory is with everything below it."""
    parent, _slash, key = directory.rpartition("/")
    return Dataset(stem_of_directory(directory), format_name, parent, key, directory, files)


def members_of(dataset: Dataset) -> dict[str, FileStat]:
    """Return all files by their lower-case path below the dataset: instruments run Windows, where case says nothing."""
    below = len(dataset.path) + 1
    return {file.path[below:].lower(): file for file in dataset.files}


def facts_of(file: FileStat | None, probes: Mapping[str, Probe]) -> Mapping[str, Any]:
    """Return what a member's probe said, nothing where there is no member or no probe."""
    probe = None if file is None else probes.get(file.path)
    return {} if probe is None else probe.facts


def broken(dataset: Dataset, probes: Mapping[str, Probe], after_s: float = 0.0) -> Shortfall | None:
    """Return what files with a problem make of a dataset: truncated where each of them only lacks something."""
    told = {path: probe for path, probe in probes.items() if not probe.facts.get(WAITS)}
    sentence = broken_sentence(dataset.files, told)
    if sentence is None:
        return None
    found = [probe for file in dataset.files if (probe := told.get(file.path)) is not None and probe.problem]
    unfinished = all(probe.facts.get(UNFINISHED) for probe in found)
    return Shortfall(VerdictKind.TRUNCATED if unfinished else VerdictKind.CORRUPT, sentence, after_s)
