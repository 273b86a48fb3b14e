"""``depositd pqc``: the whole API of ProteomicsQC by hand, against both generations of the sandbox."""

from __future__ import annotations

import csv
import time

import pytest
from command_support import Command

from depositd.sandbox import running

DEMO = ("--project", "demo-project", "--pipeline", "tmt-qc-demo")


@pytest.fixture
def sandbox():
    with running(process_s=0.0) as one:
        yield one


@pytest.fixture
def older():
    with running(process_s=0.0, pqc_mode="older") as one:
        yield one


@pytest.fixture
def pqc(tmp_path, sandbox):
    return Command(tmp_path, {"DEPOSITD_TOKEN": sandbox.pqc_token})


def login(sandbox):
    return {"DEPOSITD_USERNAME": sandbox.username, "DEPOSITD_PASSWORD": sandbox.password, "DEPOSITD_TOKEN": ""}


def at(sandbox):
    return ("--server", sandbox.pqc_url)


def target(sandbox):
    return (*at(sandbox), "--project", sandbox.project, "--pipeline", sandbox.pipeline)


def demo(sandbox):
    return (*at(sandbox), *DEMO)


def raw(home, name="s1.raw", content=b"not really"):
    (home / name).write_bytes(content)
    return home / name


# --- what there is ----------------------------------------------------------------------------------------------------


def test_projects_pipelines_and_uploaders(pqc, sandbox):
    assert pqc.text("pqc", "projects", *at(sandbox)).splitlines()[1].startswith("demo-project")
    assert pqc.json("pqc", "projects", *at(sandbox))[0]["slug"] == "demo-project"
    listed = pqc.json("pqc", "pipelines", "--project", "demo-project", *at(sandbox))
    assert {one["uuid"] for one in listed} >= {sandbox.pid}
    assert sandbox.pid in pqc.text("pqc", "pipelines", "--project", "demo-project", *at(sandbox))
    assert pqc.json("pqc", "uploaders", *demo(sandbox)) == [{"label": "you@lab.edu", "value": "you@lab.edu"}]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("pipelines",), 2, "the server shows: demo-project"),
        (("pipelines", "--project", "demo"), 1, "nearest that it shows: demo-project"),
        (("uploaders", "--project", "demo-project", "--pipeline", "tmt"), 1, "nearest that it shows: tmt-qc"),
        (("uploaders",), 2, "which pipeline?"),
        (("uploaders", "--pid", "12"), 2, "is no UUID"),
        (("uploaders", "--pid", "99999999-9999-4999-8999-999999999999"), 1, "no pipeline with pid"),
        (("protein-groups", *DEMO), 2, "which protein groups?"),
        (("flag", *DEMO), 2, "name runs by their keys"),
        (("qc-data", *DEMO, "--data-range", "0"), 2, "--data-range"),
        (("qc-data", *DEMO, "--json", "--csv", "-"), 2, "one of --csv and --json"),
    ],
)
def test_what_is_missing_or_misspelt_is_told_with_what_would_be_right(pqc, sandbox, words, status, says):
    assert says in pqc.run("pqc", *words, *at(sandbox), status=status).stderr


# --- upload -----------------------------------------------------------------------------------------------------------


def test_files_are_uploaded_each_as_a_run(pqc, sandbox):
    raw(pqc.home), raw(pqc.home, "s2.raw")
    done = pqc.run("pqc", "upload", "s1.raw", "s2.raw", *target(sandbox))
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["s1.raw", "/media/upload/s1.raw"],
        ["s2.raw", "/media/upload/s2.raw"],
    ]
    assert [run.name for run in sandbox.runs] == ["s1.raw", "s2.raw"]


def test_json_is_the_servers_answer_a_list_of_them_for_several_files(pqc, sandbox):
    raw(pqc.home), raw(pqc.home, "s2.raw"), raw(pqc.home, "s3.raw")
    assert pqc.json("pqc", "upload", "s1.raw", *target(sandbox))["orig_file"] == "/media/upload/s1.raw"
    several = pqc.json("pqc", "upload", "s2.raw", "s3.raw", "--pid", sandbox.pid, *at(sandbox))
    assert [one["orig_file"] for one in several] == ["/media/upload/s2.raw", "/media/upload/s3.raw"]


def test_a_name_that_is_there_is_not_sent_again_unless_asked(pqc, sandbox):
    raw(pqc.home), raw(pqc.home, "s2.raw")
    pqc.run("pqc", "upload", "s1.raw", *target(sandbox))
    done = pqc.run("pqc", "upload", "s1.raw", "s2.raw", *target(sandbox), status=1)
    assert "s1.raw was not sent: the pipeline has a run of s1 (rf4) already" in done.stderr
    assert [run.name for run in sandbox.runs] == ["s1.raw", "s2.raw"]
    pqc.run("pqc", "upload", "s1.raw", "--again", *target(sandbox))
    assert [run.name for run in sandbox.runs] == ["s1.raw", "s2.raw", "s1.raw"]


def test_the_same_name_twice_in_one_go_is_sent_once(pqc, sandbox):
    (pqc.home / "other").mkdir()
    raw(pqc.home), raw(pqc.home / "other", "S1.RAW")
    pqc.run("pqc", "upload", "s1.raw", "other/S1.RAW", *target(sandbox), status=1)
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("kind", ["commit-then-drop", "commit-then-502", "drop-mid-body", "500"])
def test_a_lost_answer_is_unconfirmed_and_nothing_is_sent_again(pqc, sandbox, kind):
    raw(pqc.home), raw(pqc.home, "s2.raw")
    sandbox.fault("/api/upload/raw", kind)
    done = pqc.run("pqc", "upload", "s1.raw", "s2.raw", *target(sandbox), status=3)
    assert "s1.raw is unconfirmed" in done.stderr
    assert "--again" in done.stderr
    assert "1 file uploaded, 1 unconfirmed" in done.stderr
    assert sandbox.requests["POST /api/upload/raw"] == 2


def test_what_the_server_refuses_is_told_and_the_others_go_on(pqc, sandbox):
    raw(pqc.home, "a.txt"), raw(pqc.home, "b.raw")
    done = pqc.run("pqc", "upload", "a.txt", "b.raw", *target(sandbox), status=1)
    assert "Unsupported file extension" in done.stderr
    assert [run.name for run in sandbox.runs] == ["b.raw"]


@pytest.mark.parametrize(
    ("name", "says"), [("none.raw", "No such file"), ("empty.raw", "is empty"), (".", "no regular")]
)
def test_what_cannot_be_sent_is_told_before_anything_is(pqc, sandbox, name, says):
    raw(pqc.home), raw(pqc.home, "empty.raw", b"")
    assert says in pqc.run("pqc", "upload", "s1.raw", name, *target(sandbox), status=1).stderr
    assert sandbox.runs == ()


def test_the_older_server_is_asked_by_its_page_and_needs_the_pid(tmp_path, older):
    pqc = Command(tmp_path, login(older))
    raw(tmp_path)
    assert "give it with --pid UUID" in pqc.run("pqc", "upload", "s1.raw", *target(older), status=1).stderr
    words = ("pqc", "upload", "s1.raw", *target(older), "--pid", older.pid)
    pqc.run(*words)
    assert "would fail on this older server" in pqc.run(*words, status=1).stderr
    assert len(older.runs) == 1


# --- figures ----------------------------------------------------------------------------------------------------------


def test_qc_data_as_table_json_and_csv(pqc, sandbox):
    table = pqc.run("pqc", "qc-data", *demo(sandbox), "--data-range", "2")
    titles, *rows = table.stdout.splitlines()
    assert titles.split()[:2] == ["RunKey", "RawFile"]
    assert [row.split()[:2] for row in rows] == [["rf2", "demo_run_02"], ["rf3", "demo_run_03"]]
    shown = pqc.json("pqc", "qc-data", *demo(sandbox), "--columns", "RawFile,N_peptides", "--columns", "RunKey")
    assert list(shown) == ["RawFile", "N_peptides", "RunKey"]
    pqc.run("pqc", "qc-data", *demo(sandbox), "--columns", "RunKey,N_peptides", "--csv", "out.csv")
    with (pqc.home / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["N_peptides"]) for row in rows] == shown["N_peptides"]
    everything = pqc.text("pqc", "qc-data", *demo(sandbox), "--csv", "-")
    assert len(next(csv.reader([everything.splitlines()[0]]))) > 40
    assert sorted(path.name for path in pqc.home.iterdir()) == ["out.csv"]


def test_an_unknown_column_is_told_with_the_nearest(pqc, sandbox):
    done = pqc.run("pqc", "qc-data", *demo(sandbox), "--columns", "N_peptide", status=1)
    assert "nearest: N_peptides" in done.stderr
    assert "nearest: N_peptides" in pqc.run("pqc", "trend", "N_peptide", *demo(sandbox), status=1).stderr


def test_a_csv_that_cannot_be_written_is_told(pqc, sandbox):
    assert "cannot be written" in pqc.run("pqc", "qc-data", *demo(sandbox), "--csv", "no/x.csv", status=1).stderr


def test_protein_names_and_groups(pqc, sandbox):
    names = pqc.json("pqc", "protein-names", *demo(sandbox), "--data-range", "3")
    assert "CON__P00761" not in names["protein_names"]
    with_all = pqc.json("pqc", "protein-names", *demo(sandbox), "--with-contaminants", "--with-reversed")
    assert {"CON__P00761", "REV__P38720"} <= set(with_all["protein_names"])
    groups = ("pqc", "protein-groups", *demo(sandbox), "--protein-names", "QC1|Peptide1,P02769")
    chosen = pqc.json(*groups, "--raw-files", "demo_run_01")
    assert chosen["Majority protein IDs"] == ["QC1|Peptide1", "P02769"]
    assert any(name.startswith("Reporter intensity corrected ") for name in chosen)
    assert pqc.text(*groups, "--columns", "Score").splitlines()[0].split()[-1] == "Score"


def test_trend_draws_each_run_with_the_median(pqc, sandbox):
    pqc.run("pqc", "reject", "rf2", *demo(sandbox))
    lines = pqc.text("pqc", "trend", "N_peptides", *demo(sandbox)).splitlines()
    assert "demo_run_01 (rf1)" in lines[0]
    assert lines[1].endswith("rejected")
    assert lines[-1].startswith("N_peptides: median ")
    assert list(pqc.json("pqc", "trend", "N_peptides", *demo(sandbox)))[-1] == "N_peptides"
    assert "no number" in pqc.run("pqc", "trend", "RawFile", *demo(sandbox), status=1).stderr


# --- the four words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "shown"),
    [("flag", ["yes", "yes"]), ("unflag", ["no", "yes"]), ("accept", ["no", "yes"]), ("reject", ["no", "no"])],
)
@pytest.mark.parametrize("generation", ["modern", "older"])
@pytest.mark.parametrize("chosen", [("rf1",), ("--raw-files", "demo_run_01")])
def test_a_word_is_read_back(tmp_path, action, shown, generation, chosen):
    with running(process_s=0.0, pqc_mode=generation) as one:
        pqc = Command(tmp_path, login(one))
        row = pqc.text("pqc", action, *chosen, *demo(one)).splitlines()[1]
        assert row.split() == ["rf1", "demo_run_01", *shown]
        assert pqc.json("pqc", action, *chosen, *demo(one)) == {}


def test_unknown_runs_are_named_and_nothing_is_done(pqc, sandbox):
    done = pqc.run("pqc", "reject", "rf1", "rf77", *demo(sandbox), status=1)
    assert "rf77" in done.stderr
    assert "nearest: rf" in done.stderr
    assert "POST /api/rawfile" not in sandbox.requests


def test_a_run_that_is_not_ours_stays_as_it_is_and_that_is_told(pqc, sandbox):
    done = pqc.run("pqc", "flag", "rf1", *demo(sandbox), status=1, DEPOSITD_TOKEN=sandbox.other_pqc_token)
    assert "1 run not flagged, although the server took it: rf1" in done.stderr
    assert done.stderr.index("our own runs only") < done.stderr.index("older server") < done.stderr.index("--raw-files")
    by_name = ("pqc", "flag", "--raw-files", "demo_run_01", *demo(sandbox))
    done = pqc.run(*by_name, status=1, DEPOSITD_TOKEN=sandbox.other_pqc_token)
    assert "our own runs only" in done.stderr
    assert "older server" not in done.stderr


def test_several_runs_are_marked_by_key_on_the_older_server(tmp_path, older):
    pqc = Command(tmp_path, login(older))
    pqc.run("pqc", "reject", "rf1", "rf3", *demo(older))
    table = pqc.json("pqc", "qc-data", *demo(older), "--columns", "RunKey,Use Downstream")
    assert table == {"RunKey": ["rf1", "rf2", "rf3"], "Use Downstream": [False, True, False]}


# --- who we are -------------------------------------------------------------------------------------------------------


def test_a_token_is_minted_used_and_revoked(tmp_path, sandbox):
    pqc = Command(tmp_path, login(sandbox))
    done = pqc.run("pqc", "token", *at(sandbox))
    (path,) = (tmp_path / ".config" / "depositd").iterdir()
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in done.stdout + done.stderr
    with_token = {"DEPOSITD_TOKEN": token, "DEPOSITD_USERNAME": "", "DEPOSITD_PASSWORD": ""}
    assert pqc.json("pqc", "projects", *at(sandbox), **with_token)
    assert pqc.json("pqc", "token", *at(sandbox))["token"] == token
    said = pqc.text("pqc", "token", "--revoke", *at(sandbox))
    assert said == f"no token of the account is valid now, and {path} is deleted\n"
    assert not path.exists()
    assert "403" in pqc.run("pqc", "projects", *at(sandbox), status=1, **with_token).stderr
    # nobody can tell whether there was one to revoke
    assert pqc.text("pqc", "token", "--revoke", *at(sandbox)) == "no token of the account is valid now\n"
    assert "403" in pqc.run("pqc", "token", "--revoke", *at(sandbox), status=1, **with_token).stderr


def test_a_token_revokes_itself(pqc, sandbox):
    assert pqc.text("pqc", "token", "--revoke", *at(sandbox)) == "the token is revoked\n"


def test_what_clings_to_secrets_in_the_environment_is_left_out(tmp_path, sandbox):
    token = {"DEPOSITD_TOKEN": f" {sandbox.pqc_token}\n"}
    assert Command(tmp_path, token).json("pqc", "projects", *at(sandbox))
    password = {**login(sandbox), "DEPOSITD_PASSWORD": f"{sandbox.password}\n"}
    assert Command(tmp_path, password).json("pqc", "projects", *at(sandbox))


def test_an_older_server_gives_no_tokens_and_says_so(tmp_path, older):
    done = Command(tmp_path, login(older)).run("pqc", "token", *at(older), status=1)
    assert "older server" in done.stderr
    assert not (tmp_path / ".config").exists()


def test_a_wrong_password_is_told_without_it(tmp_path, older):
    pqc = Command(tmp_path, {**login(older), "DEPOSITD_PASSWORD": "canary-password"})
    done = pqc.run("pqc", "projects", *at(older), status=1)
    assert "does not accept the username or the password" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_a_server_that_is_away_is_told_at_once(pqc):
    began = time.monotonic()
    assert "refused the connection" in pqc.run("pqc", "projects", "--server", "http://127.0.0.1:1/", status=1).stderr
    assert time.monotonic() - began < 10


def test_the_config_says_which_pipeline(pqc, sandbox):
    (pqc.home / "depositd.yaml").write_text(
        f"state_dir: {pqc.home}/state\n"
        "destinations:\n"
        f"  qc: {{type: proteomicsqc, url: '{sandbox.pqc_url}', token: {{env: QC}},"
        f" project: {sandbox.project}, pipeline: {sandbox.pipeline}}}\n"
        f"rules:\n  - {{name: one, watch: {pqc.home}/data, format: thermo-raw, deliver: [qc]}}\n"
    )
    raw(pqc.home)
    pqc.run("pqc", "upload", "s1.raw", QC=sandbox.pqc_token)
    assert pqc.json("pqc", "qc-data", "--to", "qc", "--columns", "RawFile", QC=sandbox.pqc_token) == {"RawFile": ["s1"]}
    other = pqc.json("pqc", "qc-data", "--pipeline", "tmt-qc-demo", "--columns", "RawFile", QC=sandbox.pqc_token)
    assert len(other["RawFile"]) == 3
    by_pid = ("--pid", "11111111-1111-4111-8111-111111111111", "--columns", "RawFile")
    assert pqc.json("proteomicsqc", "qc-data", *by_pid, QC=sandbox.pqc_token) == other
