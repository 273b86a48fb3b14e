"""The ways in which systems like this one fail, and which tests prove that ours does not: ``tests/FAULTS.md``.

A test that proves a row is marked ``@pytest.mark.fault(11)``.  A run of the whole suite with ``--faults FILE`` writes
the table, and fails where a row has no test that passed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

RECORDED = "fault"
"""Under this name a test's report holds its rows, so that they come from the processes of pytest-xdist as well."""

SECTIONS: Mapping[str, Mapping[int, str]] = {
    "Watching": {
        1: "inotify's queue overflows and events are dropped",
        2: "the thread that reads events dies, and says it is alive",
        3: "an exception in a handler ends the delivery of events",
        4: "watches run out below the root, and nobody is told",
        5: "close events are missing for files written just after their directory was made",
        6: "the watcher's library warns without end",
        7: "the root is removed, made anew, renamed or unmounted",
        8: "network file systems take watches and send no events",
        9: "directories are moved in; old, future and equal modification times",
        10: "a dataset changes after it was archived or delivered",
    },
    "Archive and spool": {
        11: "an archive is cut off or altered, and decompresses without an error",
        12: "a file grows, shrinks or is replaced while it is archived",
        13: "links out of the tree, devices, pipes, sockets, and names of every kind",
        14: "the power fails after a rename; an fsync fails once",
        15: "the spool is full",
    },
    "Upload": {
        16: "a library holds the file in memory, twice",
        17: "small blocks make the upload slow",
        18: "the time limit for connecting ends a slow upload",
        19: "a redirect turns a POST into a GET that is answered with 200",
        20: "an early refusal over TLS arrives as a broken pipe",
        21: "the body is sent again although it arrived",
        22: "the file grows after its length was announced",
        23: "~/.netrc and the environment replace our token and our certificates",
        24: "bad certificate, no DNS, a proxy's page, 429 and 503 for a night",
        25: "one bad dataset blocks the queue",
    },
    "Journal": {
        26: "several writers corrupt the write-ahead log",
        27: "a commit is lost, or is there and nobody was told",
        28: "the disk of the journal is full",
        29: "the journal lies on a share, is corrupt, or is newer than the program",
        30: "the clock jumps a year ahead or back",
        31: "two daemons work on one state directory",
    },
    "Security and systemd": {
        32: "the unit runs wide open",
        33: "a token stands in a readable file, a log, a traceback, the journal, a page or the process list",
        34: "the page: DNS rebinding, forged requests, names as HTML",
        35: "the watchdog is fed by a timer while a worker hangs",
        36: "newlines in STATUS=, a reload without its time, a start limit that ends the night",
    },
}
ROWS: Mapping[int, str] = {number: text for rows in SECTIONS.values() for number, text in rows.items()}

_HEAD = """# Faults, and the tests that prove what depositd makes of them

Written by the suite itself: `scripts/test --long --faults tests/FAULTS.md`.
A test says by its mark, `@pytest.mark.fault(11)`, which row it proves.
Left out are those that a machine cannot run, and the end of the run says why.
"""


@dataclass(frozen=True)
class Proof:
    """What became of one case of a test: ``passed``, ``failed`` or ``left out``."""

    row: int
    test: str
    """``tests/e2e/test_cli.py::test_name``, without parameters."""
    outcome: str


def table(proofs: Iterable[Proof]) -> str:
    """Return the page: each row with its tests, each of which passed in every case, or did not."""
    outcomes: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for proof in proofs:
        outcomes[proof.row][proof.test].add(proof.outcome)
    lines = [_HEAD]
    for section, rows in SECTIONS.items():
        lines += [f"## {section}", "", "| # | what happens | proven by | |", "|---|---|---|---|"]
        for number, text in rows.items():
            tests = sorted(outcomes[number])
            shown = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests)
            lines.append(f"| {number} | {text} | {shown} | {_verdict(outcomes[number].values())} |")
        lines.append("")
    return "\n".join(lines)


def unproven(proofs: Iterable[Proof]) -> list[str]:
    """Return a sentence for each row that no test has proven."""
    proven = {proof.row for proof in proofs if proof.outcome == "passed"}
    return [f"row {number} is proven by no test: {text}" for number, text in ROWS.items() if number not in proven]


def _verdict(outcomes: Iterable[set[str]]) -> str:
    found = set().union(*outcomes)
    if "failed" in found:
        return "**failed**"
    return "passed" if "passed" in found else "**left out**" if found else "**no test**"
