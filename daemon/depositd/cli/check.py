"""``check``: everything that can be known to be wrong before data come; nothing is changed."""

from __future__ import annotations

from typing import Annotated

import typer

from depositd.cli.failing import FAILED
from depositd.cli.options import ConfigOption, JsonOption, load
from depositd.cli.output import Line, line, say, say_json, say_lines
from depositd.units import printable, show_count


def check(
    config: ConfigOption = None,
    online: Annotated[bool, typer.Option("--online", help="Also ask each destination who we are.")] = False,
    json: JsonOption = False,
) -> None:
    """Check config, paths, permissions and limits; change nothing.

    Exit status 1 where something keeps depositd from working.
    """
    from depositd.cli.checks import Finding, Level, all_findings

    def lines_of(finding: Finding) -> list[Line]:
        style = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}[finding.level]
        said = [line((f"{finding.level:<7}", style), f"  {printable(finding.subject)}: {printable(finding.sentence)}")]
        return [*said, line((f"→ {printable(finding.hint)}", "bold"), indent=9)] if finding.hint else said

    findings = []
    for finding in all_findings(load(config), online=online):
        findings.append(finding)
        if not json:
            say_lines(lines_of(finding))
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    if json:
        told = [{"level": f.level, "subject": f.subject, "sentence": f.sentence, "hint": f.hint} for f in findings]
        say_json({"findings": told, "problems": problems, "warnings": warnings})
    else:
        say(f"{show_count(problems, 'problem')}, {show_count(warnings, 'warning')}")
    if problems:
        raise typer.Exit(FAILED)
