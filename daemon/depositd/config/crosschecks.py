"""What is wrong between the parts of a config although each part is right by itself.

These look at the raw document, so that they speak up in the same go as everything else, whatever else is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from depositd.config.document import Document, Finding, KeyPath, Mark, Scalar
from depositd.config.globs import Globs, check_glob
from depositd.config.problems import value_at
from depositd.config.wording import quoted

_DIRECTORY_FORMATS = frozenset({"waters-raw", "frames", "eiger", "directory"})


def destination_types(data: Any) -> dict[str, str]:
    """Return the type of each destination, ``""`` where it cannot be told."""
    destinations = value_at(data, ("destinations",))
    if not isinstance(destinations, dict):
        return {}
    return {name: _text(value_at(section, ("type",))) for name, section in destinations.items()}


def cross_check(document: Document) -> Iterator[Finding]:
    """Give what is wrong between rules, destinations and directories."""
    rules = value_at(document.data, ("rules",))
    entries = list(enumerate(rules)) if isinstance(rules, list) else []
    yield from _repeated_names(entries, document)
    for index, rule in entries:
        yield from _single_files_only(("rules", index), rule, document)
        yield from _own_output_watched(("rules", index), rule, document)


def _repeated_names(entries: list[tuple[int, Any]], document: Document) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, rule in entries:
        name = _text(value_at(rule, ("name",)))
        path = ("rules", index, "name")
        if name and name in first:
            yield Finding(
                _mark(document, path),
                path,
                f"{quoted(name)} is the name of rules[{first[name]}] too (a name of its own)",
            )
        first.setdefault(name, index)


def _single_files_only(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    format_name = _text(value_at(rule, ("format",)))
    if format_name not in _DIRECTORY_FORMATS:
        return
    types = destination_types(document.data)
    for path, name in _deliveries(where, rule):
        accepts = _text(value_at(document.data, ("destinations", name, "accept_archives"))).lower()
        if types.get(name) == "proteomicsqc" and accepts not in ("true", "yes", "on"):
            message = (
                f"ProteomicsQC takes single .raw files; a dataset of format {format_name} is a directory or many files "
                f"(accept_archives: true in destination {name} if that server takes archives, or another destination)"
            )
            yield Finding(_mark(document, path), path, message)


def _deliveries(where: KeyPath, rule: Any) -> Iterator[tuple[KeyPath, str]]:
    deliver = value_at(rule, ("deliver",))
    if isinstance(deliver, str | Scalar):
        yield (*where, "deliver"), _text(deliver)
    for index, entry in enumerate(deliver if isinstance(deliver, list) else []):
        if isinstance(entry, dict):
            yield (*where, "deliver", index, "to"), _text(entry.get("to"))
        else:
            yield (*where, "deliver", index), _text(entry)


def _own_output_watched(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    for watch_path, watched in _watched(where, rule):
        for output in _outputs(document.data):
            relative = os.path.relpath(output, watched)
            if relative == ".." or relative.startswith("../") or _pruned(rule, relative):
                continue
            message = (
                f"{quoted(output)}, where depositd itself writes, lies in {quoted(watched)} "
                "and would be taken for data (another directory, or an exclude that covers it)"
            )
            yield Finding(_mark(document, watch_path), watch_path, message)


def _watched(where: KeyPath, rule: Any) -> Iterator[tuple[KeyPath, str]]:
    watch = value_at(rule, ("watch",))
    if isinstance(watch, list):
        named = [((*where, "watch", index), _text(item)) for index, item in enumerate(watch)]
    else:
        named = [((*where, "watch"), _text(watch))]
    yield from ((path, os.path.normpath(text)) for path, text in named if text.startswith("/"))


def _outputs(data: Any) -> list[str]:
    places = [value_at(data, ("state_dir",)), value_at(data, ("spool", "path"))]
    places += [
        value_at(data, ("destinations", name, "path"))
        for name, kind in destination_types(data).items()
        if kind == "directory"
    ]
    return [os.path.normpath(_text(place)) for place in places if _text(place).startswith("/")]


def _pruned(rule: Mapping[str, Any], relative: str) -> bool:
    exclude = rule.get("exclude")
    patterns = [_text(item) for item in (exclude if isinstance(exclude, list) else [exclude]) if item is not None]
    try:
        for pattern in patterns:
            check_glob(pattern)
    except ValueError:
        return True  # the exclude itself is reported already
    return relative != "." and Globs(exclude=patterns).prunes(relative)


def _text(value: Any) -> str:
    return value.text if isinstance(value, Scalar) else value if isinstance(value, str) else ""


def _mark(document: Document, path: KeyPath) -> Mark:
    return document.values.get(path, Mark(1, 1))
