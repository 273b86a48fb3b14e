"""``sandbox``: both servers on loopback, to try depositd with and to train users on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from depositd.cli.help_text import listed
from depositd.cli.output import say
from depositd.sandbox.faults import FAULTS, Fault
from depositd.sandbox.scenarios import SCENARIOS, with_scenarios
from depositd.units import parse_duration_s, parse_size_bytes, printable

T = TypeVar("T")

HELP = "\n\n".join(
    (
        "Serve both servers' APIs on loopback, for trying, testing and training.",
        (
            "It prints URLs, credentials, commands and a config to copy, and serves until Ctrl+C. All is forgotten"
            " then. Nothing that is sent here is published. Open http://127.0.0.1:8470/sandbox/ in a browser to see"
            " what it holds, who asked for what, and which faults wait."
        ),
        (
            "A first walk: start it here; in another shell, paste what it prints. Then start it again with a scenario,"
            " do the same, and see with `depositd status` what becomes of it."
        ),
        listed("Scenarios:", {name: each.sentence for name, each in SCENARIOS.items()}),
        listed("Faults, at the start by --fault, or while it runs by curl, as it prints:", FAULTS),
        "Both APIs as OpenAPI documents: /sandbox/openapi/proteindiffraction.json and proteomicsqc.json.",
    )
)


def sandbox(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes one that is free.")] = 8470,
    mode: Annotated[str, typer.Option(metavar="modern|older", help="The generation of ProteomicsQC.")] = "modern",
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default=False, help="One of the scenarios above; repeatable."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[@PATH]", show_default=False, help="Met once by a request to PATH (a glob); repeatable."
        ),
    ] = None,
    pace: Annotated[str, typer.Option(metavar="TIME", help="How long a submission keeps each status.")] = "1s",
    process: Annotated[str, typer.Option(metavar="TIME", help="How long a RAW file is processed.")] = "1s",
    existing: Annotated[
        list[str] | None,
        typer.Option(metavar="PDB_ID", show_default=False, help="A PDB entry that has a dataset; repeatable."),
    ] = None,
    detect: Annotated[
        str | None,
        typer.Option(metavar="PDB_ID", show_default=False, help="The PDB ID that is detected in whatever is sent."),
    ] = None,
    final_status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", show_default="as the archive deserves", help="How every submission ends."),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", show_default="none", help="The largest upload that ProteomicsQC takes."),
    ] = None,
) -> None:
    """See ``HELP``."""
    from depositd.sandbox import Options, serve

    if mode not in ("modern", "older"):
        raise typer.BadParameter(f"{printable(mode)} is not a mode (modern or older)", param_hint="--mode")
    options = Options(
        host=host,
        port=port,
        pace_s=_read(parse_duration_s, pace, "--pace"),
        process_s=_read(parse_duration_s, process, "--process"),
        existing_pdb_ids=frozenset(existing or ()),
        detect_pdb_id=detect.upper() if detect else None,
        final_status=final_status,
        upload_limit_bytes=None if limit is None else _read(parse_size_bytes, limit, "--limit"),
        faults=tuple(_read(_fault, text, "--fault") for text in fault or ()),
        pqc_mode="older" if mode == "older" else "modern",
    )
    names = scenario or []
    options = _read(lambda _: with_scenarios(options, names), "", "--scenario")
    serve(options, lambda greeting: _announce(greeting, names))


def _read(parse: Callable[[str], T], text: str, option: str) -> T:
    """Return what an option means; a wrong one is a usage error."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint=option) from None


def _fault(text: str) -> Fault:
    kind, _at, path = text.partition("@")
    return Fault(path=path or "*", kind=kind)


def _announce(greeting: str, scenarios: list[str]) -> None:
    say(greeting)
    for name in scenarios:
        say(f"Scenario {name}: {SCENARIOS[name].sentence}")
    sys.stdout.flush()
