"""Both APIs as OpenAPI 3.1 documents, written by hand from the servers' documents (seeds 1 and 2).

They are what the servers promise; the sandbox is held to them, and so is every request of our clients and every answer
that these get.  Gateways and faults are no part of them.
"""

from __future__ import annotations

from typing import Any

from depositd.sandbox.access import Mode
from depositd.sandbox.openapi import proteindiffraction, proteomicsqc

NAMES = ("proteindiffraction", "proteomicsqc")
"""The APIs."""


def document(name: str, mode: Mode) -> dict[str, Any]:
    """Return an API's OpenAPI document; ``mode`` is the generation of ProteomicsQC."""
    return proteindiffraction.document() if name == "proteindiffraction" else proteomicsqc.document(mode)
