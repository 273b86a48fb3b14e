"""Reading the JSON of a server: each function returns what is documented or raises Undocumented with a clause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Undocumented(ValueError):
    """A value is not what the server's document says; the text is a clause, "it has no 'token'"."""


def an_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise Undocumented("the body is not a JSON object")
    return value


def list_of(parse: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """Return a reader for a JSON array of ``parse``."""

    def read(value: Any) -> list[T]:
        if not isinstance(value, list):
            raise Undocumented("the body is not a JSON array")
        return [parse(item) for item in value]

    return read


def text(raw: Mapping[str, Any], key: str) -> str:
    """Return a text that must be there."""
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise Undocumented(f"it has no {key!r}")
    return value


def text_or_none(raw: Mapping[str, Any], key: str) -> str | None:
    """Return a text, None where it is missing, null or empty."""
    value = raw.get(key)
    return value if isinstance(value, str) and value else None


def integer(raw: Mapping[str, Any], key: str) -> int:
    """Return a whole number that must be there."""
    value = integer_or_none(raw, key)
    if value is None:
        raise Undocumented(f"it has no {key!r}")
    return value


def integer_or_none(raw: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number, None where it is missing or something else."""
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def object_or_none(raw: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """Return a JSON object, None where it is missing or something else."""
    value = raw.get(key)
    return value if isinstance(value, dict) else None
