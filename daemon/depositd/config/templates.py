"""``{field}`` templates: plain names, nothing else.

``str.format`` would also follow attributes and indices and take format specifications; none of that belongs into a
text that is filled with what a stranger's file header says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from depositd.config.wording import quoted

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_UNFIT_FOR_NAMES = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_NAME_BYTES = 200
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class MissingFieldError(KeyError):
    """A template asks for fields that have no value; ``fields`` names them in the order of the template."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(*fields)
        self.fields = fields


def template_fields(template: str) -> tuple[str, ...]:
    """Return the names of a template's fields; raises ValueError with a sentence where it is not one."""
    fields = []
    for match in _PART.finditer(template):
        if match[0] in ("{{", "}}"):
            continue
        if match[1] is None:
            raise ValueError(
                f"{quoted(match[0])} stands alone in {quoted(template)} ({match[0] * 2} for the character itself)"
            )
        if not _FIELD.fullmatch(match[1]):
            raise ValueError(f"{quoted(match[0])} is not a plain field (a name alone, such as {{sample}})")
        fields.append(match[1])
    return tuple(dict.fromkeys(fields))


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Fill a template; raises MissingFieldError, and ValueError as :func:`template_fields`."""
    missing = tuple(name for name in template_fields(template) if name not in fields)
    if missing:
        raise MissingFieldError(missing)

    def fill(match: re.Match[str]) -> str:
        return str(fields[match[1]]) if match[1] else match[0][0]

    return _PART.sub(fill, template)


def render_file_name(template: str, fields: Mapping[str, Any]) -> str:
    """Fill a template so that the result is one visible file name of at most 200 bytes in UTF-8.

    Slashes, control characters and what is not UTF-8 become ``_``, and so do leading dots.  Raises as :func:`render`.
    """
    name = _UNFIT_FOR_NAMES.sub("_", render(template, fields)).strip()
    visible = name.lstrip(".")
    name = "_" * (len(name) - len(visible)) + visible
    while len(name.encode()) > _LONGEST_NAME_BYTES:
        name = name[:-1]
    return name or "_"
