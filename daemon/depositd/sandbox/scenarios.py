"""What to try with a sandbox: situations that everybody meets once, each in one word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from depositd.sandbox.faults import Fault

if TYPE_CHECKING:
    from depositd.sandbox.server import Options


@dataclass(frozen=True, slots=True)
class Scenario:
    """A situation: what it is, and what the sandbox's options and faults must be for it."""

    sentence: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "lost-answer": Scenario(
        "The next upload to each server is stored, its answer lost.  Expect: unconfirmed, a question, one dataset.",
        faults=(Fault("/api/v1/upload/", "commit-then-drop"), Fault("/api/upload/raw", "commit-then-drop")),
    ),
    "lost-and-late": Scenario(
        "As lost-answer, and for 20 s no list shows what was stored.  Expect: asked again later, nothing sent twice.",
        faults=(
            Fault("/api/v1/upload/", "commit-then-drop"),
            Fault("/api/upload/raw", "commit-then-drop"),
            Fault("/api/v1/submissions/", "stale-list", times=None, delay_s=20.0),
            Fault("/api/qc-data", "stale-list", times=None, delay_s=20.0),
            Fault("/proteomics/detail/*", "stale-list", times=None, delay_s=20.0),
        ),
    ),
    "wrong-password": Scenario(
        "All credentials are refused, until the faults are cleared.  Expect: the destinations pause, said once.",
        faults=(Fault("/api/*", "401", times=None),),
    ),
    "refused-data": Scenario(
        "Every submission ends as error_no_data.  Expect: failed, with what the document says to do.",
        changes={"final_status": "error_no_data"},
    ),
    "existing-entry": Scenario(
        "The PDB entry 1ABC has a dataset already; name your dataset dataset_1abc.  Expect: held before submit.",
        changes={"existing_pdb_ids": frozenset({"1ABC"})},
    ),
    "mismatch": Scenario(
        "The server detects 9XYZ in whatever is sent; submit with pdb_code=1ABC.  Expect: held, both codes shown.",
        changes={"detect_pdb_id": "9XYZ"},
    ),
    "server-away": Scenario(
        "The next 20 requests are answered 503, with Retry-After.  Expect: waiting, then delivered by itself.",
        faults=(Fault("/api/*", "503", times=20, retry_after_s=2),),
    ),
    "captive-portal": Scenario(
        "The next 10 requests are answered 200 by somebody's login page.  Expect: not taken for a success.",
        faults=(Fault("/api/*", "portal", times=10),),
    ),
    "queue-down": Scenario(
        "The next RAW file is stored, answered 500 and never processed.  Expect: unconfirmed, then held for your word.",
        faults=(Fault("/api/upload/raw", "queue-down"),),
    ),
    "unknown-status": Scenario(
        "Every submission ends as under_review, which no document knows.  Expect: shown as it is, and polled on.",
        changes={"final_status": "under_review"},
    ),
    "older-server": Scenario(
        "ProteomicsQC as it was before tokens: web session and CSRF.  Expect: the same, by username and password.",
        changes={"pqc_mode": "older"},
    ),
}
"""Every scenario, in one word."""


def with_scenarios(options: Options, names: Sequence[str]) -> Options:
    """Return options under which the named scenarios happen; raises ValueError for a name that is none."""
    for name in names:
        if name not in SCENARIOS:
            raise ValueError(f"there is no scenario {name!r} (one of {', '.join(SCENARIOS)})")
        scenario = SCENARIOS[name]
        options = replace(options, **scenario.changes, faults=(*options.faults, *scenario.faults))
    return options
