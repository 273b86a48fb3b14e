"""``status --json`` as text, piece by piece: the document of 100,000 datasets is never in memory at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_as_json = json.JSONEncoder(ensure_ascii=True).encode
"""ASCII, because a path may hold bytes that are not UTF-8: those are written as escapes and read back as they were."""


def document(pages: Iterable[Iterable[Mapping[str, Any]]], rest: Mapping[str, Any]) -> Iterator[str]:
    """Give one JSON document: ``datasets``, a line for each, and then the keys of ``rest``, a line for each."""
    yield '{\n"datasets": ['
    separator = "\n"
    for page in pages:
        yield separator + ",\n".join(map(_as_json, page))
        separator = ",\n"
    yield "\n]"
    for key, value in rest.items():
        yield f",\n{_as_json(key)}: {_as_json(value)}"
    yield "\n}\n"
