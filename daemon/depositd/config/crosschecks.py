"""What is wrong between the parts of a config although each part is right by itself.

These look at the raw document, so that they speak up in the same go as everything else, whatever else is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from depositd.config.document import Document, Finding, KeyPath, show_path
from depositd.config.globs import Globs, check_glob
from depositd.config.raw import as_text, deliveries, destination_types, rules, value_at
from depositd.config.wording import quoted
from depositd.portable import is_absolute

_DIRECTORY_FORMATS = frozenset({"waters-raw", "bruker-d", "agilent-d", "sciex", "frames", "eiger", "directory"})


def cross_check(document: Document) -> Iterator[Finding]:
    """Give what is wrong between rules, destinations and directories."""
    yield from _repeated_names(document)
    for where, rule in rules(document.data):
        yield from _repeated_deliveries(where, rule, document)
        yield from _watched_twice(where, rule, document)
        yield from _single_files_only(where, rule, document)
        yield from _nothing_measured(where, rule, document)
        yield from _own_output_watched(where, rule, document)


def _repeated_names(document: Document) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for where, rule in rules(document.data):
        name = as_text(value_at(rule, ("name",)))
        if name and name in first:
            message = f"{quoted(name)} is the name of {first[name]} too (a name of its own)"
            yield document.finding((*where, "name"), message)
        first.setdefault(name, show_path(where))


def _repeated_deliveries(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    seen = set()
    for path, name in deliveries(where, rule):
        if name and name in seen:
            message = f"{quoted(name)} is delivered to more than once (each destination once)"
            yield document.finding(path, message)
        seen.add(name)


def _watched_twice(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    watched = list(_watched(where, rule))
    for index, (path, directory) in enumerate(watched):
        others = [other for _path, other in watched]
        above = next((other for other in others if other != directory and _lies_in(directory, other)), None)
        if directory in others[:index]:
            yield document.finding(path, f"{quoted(directory)} is named twice (once)")
        elif above is not None:
            message = f"{quoted(directory)} lies in {quoted(above)}, which is watched too (one of them)"
            yield document.finding(path, message)


def _single_files_only(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    format_name = as_text(value_at(rule, ("format",)))
    if format_name not in _DIRECTORY_FORMATS:
        return
    types = destination_types(document.data)
    for path, name in deliveries(where, rule):
        accepts = as_text(value_at(document.data, ("destinations", name, "accept_archives"))).lower()
        if types.get(name) == "proteomicsqc" and accepts not in ("true", "yes", "on"):
            message = (
                f"ProteomicsQC takes single .raw files; a dataset of format {format_name} is a directory or many files "
                f"(accept_archives: true in destination {name} if that server takes archives, or another destination)"
            )
            yield document.finding(path, message)


def _nothing_measured(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    types = destination_types(document.data)
    names = [name for _path, name in deliveries(where, rule)]
    # a name that is no destination is reported as such, and may be meant for one that measures
    if isinstance(value_at(rule, ("qc",)), dict) and all(
        types.get(name, "proteomicsqc") != "proteomicsqc" for name in names
    ):
        message = "no destination of this rule measures anything (deliver to one of type proteomicsqc, or leave qc out)"
        yield document.finding((*where, "qc"), message)


def _own_output_watched(where: KeyPath, rule: Any, document: Document) -> Iterator[Finding]:
    for watch_path, watched in _watched(where, rule):
        for output in _outputs(document.data):
            if not _lies_in(output, watched) or _pruned(rule, os.path.relpath(output, watched)):
                continue
            message = (
                f"{quoted(output)}, where depositd itself writes, lies in {quoted(watched)} "
                "and would be taken for data (another directory, or an exclude that covers it)"
            )
            yield document.finding(watch_path, message)


def _watched(where: KeyPath, rule: Any) -> Iterator[tuple[KeyPath, str]]:
    watch = value_at(rule, ("watch",))
    if isinstance(watch, list):
        named = [((*where, "watch", index), as_text(item)) for index, item in enumerate(watch)]
    else:
        named = [((*where, "watch"), as_text(watch))]
    yield from ((path, os.path.normpath(text)) for path, text in named if is_absolute(text))


def _outputs(data: Any) -> list[str]:
    places = [value_at(data, ("state_dir",)), value_at(data, ("spool", "path"))]
    places += [
        value_at(data, ("destinations", name, "path"))
        for name, kind in destination_types(data).items()
        if kind == "directory"
    ]
    return [os.path.normpath(as_text(place)) for place in places if is_absolute(as_text(place))]


def _lies_in(path: str, directory: str) -> bool:
    relative = os.path.relpath(path, directory)
    return relative != ".." and not relative.startswith("../")


def _pruned(rule: Mapping[str, Any], relative: str) -> bool:
    exclude = rule.get("exclude")
    patterns = [as_text(item) for item in (exclude if isinstance(exclude, list) else [exclude]) if item is not None]
    try:
        for pattern in patterns:
            check_glob(pattern)
    except ValueError:
        return True  # the exclude itself is reported already
    return relative != "." and Globs(exclude=patterns).prunes(relative)
