"""``depositd sandbox``: its help, its options, and that what it prints leads on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
import requests
import typer
from typer.testing import CliRunner

from depositd.cli.sandbox import HELP, sandbox
from depositd.sandbox import FAULTS
from depositd.sandbox.scenarios import SCENARIOS

TIMEOUT_S = 20


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)
    app.command(help=HELP)(sandbox)
    return app


def test_help_names_every_scenario_and_fault_within_80_columns(app):
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output

    for name in (*SCENARIOS, *FAULTS):
        assert re.search(rf"^    {name}  ", shown, re.MULTILINE), name
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--scenario", "lost"], "there is no scenario 'lost'"),
        (["--fault", "418"], "there is no fault '418'"),
        (["--mode", "ancient"], "ancient is not a mode"),
        (["--pace", "soon"], "soon"),
        (["--process", "-1s"], "-1s"),
        (["--limit", "much"], "much"),
    ],
)
def test_a_wrong_option_is_a_usage_error_with_what_would_be_right(app, options, problem):
    refused = CliRunner().invoke(app, options)

    assert refused.exit_code == 2
    assert problem in " ".join(refused.output.split())


OPTIONS = ["--port", "0", "--scenario", "refused-data", "--existing", "1abc", "--detect", "1abc", "--limit", "1kB"]
RUN = "import typer; from depositd.cli.sandbox import sandbox; typer.run(sandbox)"


def test_options_take_effect_and_the_greeting_leads_on():
    with subprocess.Popen([sys.executable, "-c", RUN, *OPTIONS], stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            while not lines or not lines[-1].startswith("Scenario refused-data: "):
                lines.append(process.stdout.readline())
                assert lines[-1]
            greeting = "".join(lines)
            server = re.search(r"pdi list --server (\S+)", greeting)[1]
            token = re.search(r"export SANDBOX_PDI_TOKEN=(\w+)", greeting)[1]
            pqc_token = re.search(r"export SANDBOX_PQC_TOKEN=(\w+)", greeting)[1]
            root = server.removesuffix("api/v1/")
            headers = {"Authorization": f"Token {token}"}
            files = {"dataset_file": ("a.tar", bytes(10_240))}
            uploaded = requests.post(f"{server}upload/", headers=headers, files=files, timeout=TIMEOUT_S).json()
            too_large = requests.post(
                f"{root}api/upload/raw",
                headers={"Authorization": f"Token {pqc_token}"},
                files={"orig_file": ("a.raw", bytes(2000))},
                timeout=TIMEOUT_S,
            )
            page = requests.get(f"{root}sandbox/", timeout=TIMEOUT_S).text
        finally:
            process.send_signal(signal.SIGINT)

    assert (uploaded["pdbid"], uploaded["is_pdb_exists"]) == ("1ABC", True)
    assert too_large.status_code == 413
    assert uploaded["token"] in page
    assert process.returncode == 0
