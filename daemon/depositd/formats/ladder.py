"""The ladder of evidence: one way from what a format found to its verdict.

Theory of operation
-------------------
A format looks at a dataset and states its :class:`Findings`, none of which depends on the time: what it
counted, what proves the end, and what is lacking.  :func:`decide` adds the time.  It climbs, and stops
at the first step that holds:

1. a member that is no regular file: ``corrupt`` once settled;
2. a member that a program here holds open for writing: ``growing``; after an hour of silence that is said, and not
   waited for any more (a viewer that opens everything to read and write must not hold a dataset back for ever);
3. a marker that the rule asks for and that is not there: ``growing``, after an hour ``aborted``;
4. something is lacking: the shortfall's own verdict, after the time that a writer at work might need;
5. the format proves the end, or the marker is there: ``complete`` once settled;
6. nothing but silence: ``complete by quiescence``, after the format's own quiet time.

Before its time has passed, each of these is ``growing``, and ``recheck_s`` says how long that still is.
``settle`` is the floor of every wait.  A marker that is there ends all longer waits, and so does a newer dataset of
the same instrument where the format says that this means the end.

Every verdict carries the six rungs, from the format's own flag down to mere silence, each with its finding, for
``depositd explain``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from depositd.model import Dataset, FileKind, FileStat, Frames, Probe, Quiet, Rung, Terms, Verdict, VerdictKind
from depositd.units import printable, show_count, show_duration, show_size

_INLINE_BYTES = 4096
"""Below one block a file may need no block of its own."""
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

    ``flag`` (what the format's own flag says), ``agreement`` (how index and data agree in bytes) and ``count`` (how
    many there are of how many) are the findings of the first three rungs, empty where the format has none.
    ``awaits`` names what would end a wait at once.  ``ends_with_next`` is true where a newer dataset of the same
    instrument means that this one has ended.  ``learnt`` is said wherever time decided, after the last write.
    """

    counted: tuple[str, ...]
    frames: Frames | None = None
    proven: bool = False
    shortfall: Shortfall | None = None
    quiet_s: float = 0.0
    unread: int = 0
    flag: str = ""
    agreement: str = ""
    count: str = ""
    awaits: str = ""
    ends_with_next: bool = False
    learnt: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """The step that holds, and the quiet seconds that it needs."""

    kind: VerdictKind
    reasons: tuple[str, ...]
    needs_s: float
    by_quiescence: bool = False


def decide(dataset: Dataset, findings: Findings, quiet: Quiet, terms: Terms) -> Verdict:
    """Return the verdict on a dataset from what was found, how quiet it is and what the rule asks."""
    written = (f"last write {_ago(quiet.last_write_s)}", *((findings.learnt,) if findings.learnt else ()))
    part = (dataset.part.why,) if dataset.part else ()
    counted = (*findings.counted, *part)
    if findings.unread:
        reason = f"{show_count(findings.unread, 'file')} not read yet"
        wait_s = max(terms.settle_s, 1.0)
        ladder = _ladder(findings, quiet, terms, terms.settle_s)
        awaits = "headers that can be read"
        return Verdict(VerdictKind.GROWING, (*counted, reason, *written), findings.frames, wait_s, awaits, ladder)
    step = _step(dataset, findings, quiet, terms)
    is_open = quiet.open_name is not None and not _special(dataset.files)
    needs_s = max(step.needs_s, LONG_QUIET_S) if is_open else step.needs_s
    left_s = needs_s - quiet.quiet_s
    ladder = _ladder(findings, quiet, terms, needs_s)
    silence = _silence(quiet, needs_s)
    if is_open:
        reason = f"{printable(quiet.open_name or '')} is open for writing"
        if left_s > 0:
            awaits = f"that its writer closes it, or {_more_silence(left_s)}"
            wait_s = min(max(terms.settle_s, 1.0), left_s)
            return Verdict(VerdictKind.GROWING, (*counted, reason, *written), findings.frames, wait_s, awaits, ladder)
        counted = (*counted, f"{reason}, but nothing was written to it for {show_duration(quiet.quiet_s)}")
    if left_s > 0:
        evidence = (*counted, *step.reasons, silence, *written)
        awaits = _awaits(findings, terms, left_s)
        return Verdict(VerdictKind.GROWING, evidence, findings.frames, left_s, awaits, ladder)
    reasons = (f"complete by quiescence: {silence}",) if step.by_quiescence else step.reasons
    at_last = written[:1] if findings.proven and step.kind is VerdictKind.COMPLETE else written
    evidence = (*counted, *reasons, *at_last)
    return Verdict(step.kind, evidence, findings.frames, None, "", ladder, step.by_quiescence)


def _silence(quiet: Quiet, needs_s: float) -> str:
    return f"quiet for {show_duration(quiet.quiet_s)} (needs {show_duration(needs_s)})"


def _awaits(findings: Findings, terms: Terms, left_s: float) -> str:
    """Say what would end the wait: more data, a marker, or so much more silence."""
    wanted = [findings.awaits] if findings.awaits else []
    if terms.marker_pattern is not None and not terms.marker_present:
        wanted.append(f"a file matching {printable(terms.marker_pattern)}")
    silence = _more_silence(left_s)
    return ", or ".join((", ".join(wanted), silence)) if len(wanted) > 1 else " or ".join((*wanted, silence))


def _more_silence(left_s: float) -> str:
    return f"{show_duration(left_s)} more without any change"


def _ladder(findings: Findings, quiet: Quiet, terms: Terms, needs_s: float) -> tuple[Rung, ...]:
    """Return every rung with its finding, the strongest evidence first."""
    flag = findings.flag or "the format has none that could be read"
    if terms.marker_pattern is not None:
        there = "is there" if terms.marker_present else "is not there yet"
        marker = f"the marker {printable(terms.marker_pattern)} {there}"
        flag = f"{marker}; {findings.flag}" if findings.flag else marker
    asked = "not asked (it counts only where silence alone decides, and only the files' owner or root can ask)"
    if quiet.writers_asked:
        asked = "none on this machine (a writer elsewhere cannot be seen)"
    writer = f"{printable(quiet.open_name)} is open for writing" if quiet.open_name else asked
    follows = f"{printable(quiet.next_name)} has begun" if quiet.next_name else "none has begun"
    if not findings.ends_with_next:
        follows += "; it would prove nothing, for in this format one can begin before another ends"
    return (
        Rung("an explicit flag", flag),
        Rung("index and data agree", findings.agreement or "the format has no index that could be compared"),
        Rung("the expected count", findings.count or "nothing says how many there should be"),
        Rung("no open writer", writer),
        Rung("a newer dataset of the same instrument", follows),
        Rung("nothing changes", _silence(quiet, needs_s)),
    )


def _step(dataset: Dataset, findings: Findings, quiet: Quiet, terms: Terms) -> _Step:
    """Return the step that holds, and the quiet seconds that it needs."""
    settle_s = terms.settle_s
    if special := _special(dataset.files):
        return _Step(VerdictKind.CORRUPT, (special,), settle_s)
    shortfall = findings.shortfall
    waits_s = (settle_s, shortfall.after_s if shortfall else findings.quiet_s)
    if terms.marker_pattern is not None and not terms.marker_present:
        return _without_marker(terms.marker_pattern, shortfall, max(*waits_s, LONG_QUIET_S))
    followed = findings.ends_with_next and quiet.next_name is not None
    needs_s = settle_s if terms.marker_present or followed else max(waits_s)
    if shortfall is not None:
        return _Step(shortfall.kind, (shortfall.sentence,), needs_s)
    reasons: tuple[str, ...] = ()
    if terms.marker_present:
        reasons = (f"a file matching {printable(terms.marker_pattern or 'the marker')} is there",)
    elif followed and not findings.proven:
        reasons = (f"{printable(quiet.next_name or '')} has begun on the same instrument",)
    elif not findings.proven:
        return _Step(VerdictKind.COMPLETE, (), needs_s, by_quiescence=True)
    return _Step(VerdictKind.COMPLETE, reasons, settle_s)


def _without_marker(pattern: str, shortfall: Shortfall | None, needs_s: float) -> _Step:
    reasons: tuple[str, ...] = (f"no file matching {printable(pattern)} yet",)
    if shortfall is not None:
        reasons = (shortfall.sentence, *reasons)
        if shortfall.kind is VerdictKind.CORRUPT:
            return _Step(VerdictKind.CORRUPT, reasons, needs_s)
    return _Step(VerdictKind.ABORTED, reasons, needs_s)


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


def unwritten(files: Iterable[FileStat], ending_in_holes: Container[str] = ()) -> tuple[str, ...]:
    """Say of the first file with more size than allocated data that it is sparse or preallocated.

    File systems that compress or allocate late show the same, so it is said and decides nothing.
    """
    for file in files:
        sparse = 0 < file.allocated_bytes < file.size_bytes - _INLINE_BYTES
        if file.kind is FileKind.REGULAR and (sparse or file.path in ending_in_holes):
            known = f"{show_size(file.allocated_bytes)} of " if sparse else ""
            return (f"{printable(file.name)} is sparse or preallocated ({known}{show_size(file.size_bytes)})",)
    return ()


def count_unread(files: Iterable[FileStat], probes: Mapping[str, Probe]) -> int:
    """Return how many regular files have no probe."""
    return sum(1 for file in files if file.kind is FileKind.REGULAR and file.path not in probes)


def is_whole(file: FileStat, probes: Mapping[str, Probe]) -> bool:
    """Say whether a regular file was read as it is now and found whole."""
    probe = probes.get(file.path)
    return file.kind is FileKind.REGULAR and probe is not None and probe.problem is None


def _problem(probe: Probe | None) -> str | None:
    return None if probe is None else probe.problem


def _and_more(count: int) -> str:
    return f" (and {show_count(count - 1, 'more file')})" if count > 1 else ""


def _ago(age_s: float) -> str:
    if age_s < 0:
        return f"is dated {show_duration(-age_s)} in the future"
    return f"{show_duration(age_s)} ago"
