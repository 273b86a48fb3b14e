"""The ladder of evidence: one way from what a format found to its verdict.

Theory of operation
-------------------
A format looks at a dataset and states its :class:`Findings`, none of which depends on the time: what it
counted, what proves the end, and what is lacking.  :func:`decide` adds the time.  It climbs, and stops
at the first rung that holds:

1. a member that is no regular file: ``corrupt`` once settled;
2. a marker that the rule asks for and that is not there: ``growing``, after an hour ``aborted``;
3. something is lacking: the shortfall's own verdict, after the time that a writer at work might need;
4. the format proves the end, or the marker is there: ``complete`` once settled;
5. nothing but silence: ``complete by quiescence``, after the format's own quiet time.

Before its time has passed, each of these is ``growing``, and ``recheck_s`` says how long that still is.
``settle`` is the floor of every wait.  A marker that is there ends all longer waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from depositd.model import Dataset, FileKind, FileStat, Frames, Probe, Quiet, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_duration

LONG_QUIET_S = 3600.0
"""How long a marker, an instrument's own flag or a first byte is waited for, in seconds."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What is lacking: the verdict if nothing more comes, and the quiet seconds after which nothing will."""

    kind: VerdictKind
    sentence: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a format found in a dataset, whatever the time.

    ``counted`` are sentences that hold in any case.  ``proven`` is true where the format itself, or the
    rule's count, says that this is the end.  ``quiet_s`` is the quiet time that counts as the end where
    nothing proves it.  ``unread`` is the number of members that should have a probe and have none.
    """

    counted: tuple[str, ...]
    frames: Frames | None = None
    proven: bool = False
    shortfall: Shortfall | None = None
    quiet_s: float = 0.0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class _Rung:
    kind: VerdictKind
    reasons: tuple[str, ...]
    needs_s: float
    by_quiescence: bool = False


def decide(dataset: Dataset, findings: Findings, quiet: Quiet, terms: Terms) -> Verdict:
    """Return the verdict on a dataset from what was found, how quiet it is and what the rule asks."""
    written = f"last write {_ago(quiet.last_write_s)}"
    if findings.unread:
        reason = f"{show_count(findings.unread, 'file')} not read yet"
        evidence = (*findings.counted, reason, written)
        return Verdict(VerdictKind.GROWING, evidence, findings.frames, max(terms.settle_s, 1.0))
    rung = _rung(dataset, findings, terms)
    silence = f"quiet for {show_duration(quiet.quiet_s)} (needs {show_duration(rung.needs_s)})"
    if quiet.quiet_s < rung.needs_s:
        evidence = (*findings.counted, *rung.reasons, silence, written)
        return Verdict(VerdictKind.GROWING, evidence, findings.frames, rung.needs_s - quiet.quiet_s)
    reasons = (f"complete by quiescence: {silence}",) if rung.by_quiescence else rung.reasons
    return Verdict(rung.kind, (*findings.counted, *reasons, written), findings.frames)


def _rung(dataset: Dataset, findings: Findings, terms: Terms) -> _Rung:
    """Return the rung that holds, and the quiet seconds that it needs."""
    settle_s = terms.settle_s
    if special := _special(dataset.files):
        return _Rung(VerdictKind.CORRUPT, (special,), settle_s)
    shortfall = findings.shortfall
    waits_s = (settle_s, shortfall.after_s if shortfall else findings.quiet_s)
    if terms.marker_pattern is not None and not terms.marker_present:
        return _without_marker(terms.marker_pattern, shortfall, max(*waits_s, LONG_QUIET_S))
    needs_s = settle_s if terms.marker_present else max(waits_s)
    if shortfall is not None:
        return _Rung(shortfall.kind, (shortfall.sentence,), needs_s)
    if terms.marker_present:
        marker = f"a file matching {printable(terms.marker_pattern or 'the marker')} is there"
        return _Rung(VerdictKind.COMPLETE, (marker,), settle_s)
    if findings.proven:
        return _Rung(VerdictKind.COMPLETE, (), settle_s)
    return _Rung(VerdictKind.COMPLETE, (), needs_s, by_quiescence=True)


def _without_marker(pattern: str, shortfall: Shortfall | None, needs_s: float) -> _Rung:
    reasons: tuple[str, ...] = (f"no file matching {printable(pattern)} yet",)
    if shortfall is not None:
        reasons = (shortfall.sentence, *reasons)
        if shortfall.kind is VerdictKind.CORRUPT:
            return _Rung(VerdictKind.CORRUPT, reasons, needs_s)
    return _Rung(VerdictKind.ABORTED, reasons, needs_s)


def _special(files: Iterable[FileStat]) -> str | None:
    """Name the first member that is no regular file: those are never opened, so never archived."""
    special = [file for file in files if file.kind is not FileKind.REGULAR]
    if not special:
        return None
    first = special[0]
    return f"{printable(first.name)} is a {first.kind}, not a regular file{_and_more(len(special))}"


def broken_sentence(files: Iterable[FileStat], probes: Mapping[str, Probe]) -> str | None:
    """Name the first file whose probe found a problem, and how many more there are; None for none."""
    broken = [(file.name, problem) for file in files if (problem := _problem(probes.get(file.path))) is not None]
    if not broken:
        return None
    name, problem = broken[0]
    return f"{printable(name)} {problem}{_and_more(len(broken))}"


def count_unread(files: Iterable[FileStat], probes: Mapping[str, Probe]) -> int:
    """Return how many regular files have no probe."""
    return sum(1 for file in files if file.kind is FileKind.REGULAR and file.path not in probes)


def _problem(probe: Probe | None) -> str | None:
    return None if probe is None else probe.problem


def _and_more(count: int) -> str:
    return f" (and {show_count(count - 1, 'more file')})" if count > 1 else ""


def _ago(age_s: float) -> str:
    if age_s < 0:
        return f"is dated {show_duration(-age_s)} in the future"
    return f"{show_duration(age_s)} ago"
