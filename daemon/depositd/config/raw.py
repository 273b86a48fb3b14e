"""Looking things up in a document as it was written, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from depositd.config.document import KeyPath, Scalar


def value_at(data: Any, path: Iterable[str | int]) -> Any:
    """Return what stands at a path of raw data, None where there is nothing."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


def as_text(value: Any) -> str:
    """Return a single value as it was written, ``""`` where it is none."""
    return value.text if isinstance(value, Scalar) else value if isinstance(value, str) else ""


def destination_types(data: Any) -> dict[str, str]:
    """Return the type of each destination, ``""`` where it cannot be told."""
    destinations = value_at(data, ("destinations",))
    if not isinstance(destinations, dict):
        return {}
    return {name: as_text(value_at(section, ("type",))) for name, section in destinations.items()}


def rules(data: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Give each rule with its path."""
    entries = value_at(data, ("rules",))
    for index, rule in enumerate(entries if isinstance(entries, list) else []):
        yield ("rules", index), rule


def deliveries(where: KeyPath, rule: Any) -> Iterator[tuple[KeyPath, str]]:
    """Give the names of a rule's destinations, each with the path where it stands."""
    deliver = value_at(rule, ("deliver",))
    if isinstance(deliver, str | Scalar):
        yield (*where, "deliver"), as_text(deliver)
    for index, entry in enumerate(deliver if isinstance(deliver, list) else []):
        if isinstance(entry, dict):
            yield (*where, "deliver", index, "to"), as_text(entry.get("to"))
        else:
            yield (*where, "deliver", index), as_text(entry)
