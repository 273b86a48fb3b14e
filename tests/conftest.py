"""What every test can use, and which tests this machine can run."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that runs us in the background has it ignored, and every command under test would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent / "support"))

from faults_support import RECORDED, Proof, table, unproven
from gone_file_server import why_no_fuse
from hypothesis import settings
from machine_support import why_no_faketime
from matrix_support import fault_matrix, recorded
from mounts_support import why_no_mounts, why_no_watch_limit
from network_support import why_no_netns
from systemd_support import why_no_systemd

# what the last change broke, and not what luck finds today: scripts/test tries new examples each time
settings.register_profile("steady", derandomize=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-data",
        metavar="DIR",
        help="finished acquisitions of real instruments; without it, tests marked real_data are left out",
    )
    parser.addoption("--long", action="store_true", help="run the tests marked long too, as CI does")
    parser.addoption("--faults", metavar="FILE", help="write which test proves which fault; fail where none does")


def left_out(config: pytest.Config) -> dict[str, str]:
    """Return the marks whose tests cannot run here, each with the reason."""
    reasons = {}
    if not config.getoption("--long"):
        reasons["long"] = "no --long"
    if not config.getoption("--real-data"):
        reasons["real_data"] = "no --real-data DIR"
    if (reason := why_no_systemd()) is not None:
        reasons["systemd"] = reason
    if (reason := why_no_mounts()) is not None:
        reasons["mounts"] = reason
    if (reason := why_no_fuse()) is not None:
        reasons["fuse"] = reason
    if (reason := why_no_watch_limit()) is not None:
        reasons["watch_limit"] = reason
    if (reason := why_no_netns()) is not None:
        reasons["netns"] = reason
    if (reason := why_no_faketime()) is not None:
        reasons["faketime"] = reason
    if shutil.which("systemd-analyze") is None:
        reasons["systemd_analyze"] = "systemd-analyze not installed"
    return reasons


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for mark, reason in left_out(config).items():
        terminalreporter.write_line(f"LEFT OUT: all tests marked {mark}: {reason}", yellow=True)
    if config.getoption("--real-data"):
        reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
        ran = sum(1 for report in reports if "real_data" in report.keywords and report.when == "call")
        terminalreporter.write_line(f"{ran} real_data tests ran")
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    for line in fault_matrix([value for report in reports for value in recorded(report, "fault matrix")]):
        terminalreporter.write_line(line)

    if config.getoption("--faults"):
        Path(config.getoption("--faults")).write_text(
            table(proofs := proven_faults(terminalreporter)), encoding="utf-8"
        )
        for sentence in unproven(proofs):
            terminalreporter.write_line(f"FAULTS: {sentence}", red=True)


def proven_faults(terminalreporter: pytest.TerminalReporter) -> list[Proof]:
    """Return what each test that is marked with rows of the faults has proven."""
    proofs = []
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if not isinstance(report, pytest.TestReport):
                continue  # a file that could not be collected
            test = report.nodeid.partition("[")[0]
            rows = [row for key, row in report.user_properties if key == RECORDED]
            proofs += [Proof(row, test, "passed" if outcome == "passed" else "failed") for row in rows]
    return proofs


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--faults") and reporter is not None and unproven(proven_faults(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("fault"):
        item.user_properties += [(RECORDED, row) for row in mark.args]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marks = left_out(config)
    excluded = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    if excluded:
        items[:] = [item for item in items if item not in excluded]
        config.hook.pytest_deselected(items=excluded)


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """Return the directory given by --real-data."""
    return Path(request.config.getoption("--real-data")).resolve()
