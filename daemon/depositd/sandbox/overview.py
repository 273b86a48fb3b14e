"""The page for people: what the sandbox holds, who asked for what, and which faults wait."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from depositd.units import printable

REFRESH_S = 5
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
"""The page runs nothing and loads nothing."""

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:75rem}"
    "table{border-collapse:collapse;margin-bottom:1.5rem}th,td{padding:.2rem .8rem;text-align:left;"
    "border-bottom:1px solid #8884}td{font-family:ui-monospace,monospace;overflow-wrap:anywhere}"
    ":root{color-scheme:light dark}"
)


def overview_page(state: Mapping[str, Any], faults: Mapping[str, Any]) -> str:
    """Return the page over the documents of ``/sandbox/state`` and ``/sandbox/faults``."""
    uploads = (
        (each["original_filename"], each["status"], each["pdbid"], each["md5hash"], each["token"])
        for each in reversed(state["uploads"])
    )
    runs = ((each["key"], each["name"], f"{each['bytes']:,}", each["md5"]) for each in reversed(state["runs"]))
    armed = (
        (each["kind"], each["path"], each["method"], "always" if each["left"] is None else each["left"])
        for each in faults["armed"]
    )
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>depositd sandbox</title>',
            f'<meta http-equiv="refresh" content="{REFRESH_S}"><style>{_STYLE}</style></head>\n<body>',
            "<h1>depositd sandbox</h1>",
            _table("Protein Diffraction: uploads", ("file", "status", "PDB ID", "md5hash", "token"), uploads),
            _table("ProteomicsQC: runs", ("key", "file", "bytes", "md5"), runs),
            _table("Faults that wait", ("kind", "path", "method", "times left"), armed),
            _table("Requests", ("endpoint", "times"), sorted(state["requests"].items())),
            _table("Kinds of faults", ("kind", "what happens"), faults["kinds"].items()),
            "</body>\n</html>\n",
        )
    )


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    if not lines:
        return f"<h2>{_text(title)}</h2>\n<p>none</p>"
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<h2>{_text(title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _text(value: object) -> str:
    return "" if value is None else html.escape(printable(str(value)))
