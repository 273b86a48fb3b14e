"""The table of formats in ``daemon/README.md``, made from what each format says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from depositd.formats import FORMATS
from depositd.formats.facts import KEYS


def table(previews: Mapping[str, str]) -> str:
    """Return the table as Markdown; ``previews`` says by a format's name what its picture shows."""
    lines = ["| format | files | grouped by | what proves the end | metadata | picture |", "|---|---|---|---|---|---|"]
    for name, form in FORMATS.items():
        for about in form.about:
            metadata = "all keys of `formats/facts.py`" if len(about.metadata) == len(KEYS) else _listed(about.metadata)
            picture = previews.get(name, "none")
            lines.append(
                f"| `{name}` | {about.kind} | {about.grouping} | {about.completion} | {metadata} | {picture} |"
            )
    return "\n".join(lines)


def _listed(keys: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys) if keys else "none"
