"""``depositd pdi``: the whole API of the diffraction server by hand, against the sandbox."""

from __future__ import annotations

import hashlib
import io
import os
import pty
import re
import subprocess
import tarfile

import pytest
import zstandard
from command_support import DEPOSITD, Command
from format_files import cbf_bytes

from depositd.sandbox import running

NOWHERE = "http://127.0.0.1:1/api/v1/"


@pytest.fixture
def sandbox():
    with running(pace_s=0.0, existing_pdb_ids=frozenset({"9XYZ"})) as one:
        yield one


@pytest.fixture
def pdi(tmp_path, sandbox):
    return Command(tmp_path, {"DEPOSITD_TOKEN": sandbox.pdi_token})


@pytest.fixture
def at(sandbox):
    return ("--server", sandbox.pdi_url)


def data(home, name="lyso", *, images=3):
    directory = home / name
    directory.mkdir()
    for number in range(images):
        (directory / f"{name}_{number:05}.cbf").write_bytes(cbf_bytes(number))
    (directory / "notes.txt").write_text(name)
    return directory


def archive(home, name="lyso.tar", *, images=3):
    source = data(home, f"of_{name}", images=images)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(source, arcname="set")
    content = buffer.getvalue()
    (home / name).write_bytes(zstandard.compress(content) if name.endswith(".zst") else content)
    return home / name


def facts(text):
    return dict(line.split(None, 1) for line in text.splitlines())


# --- what the reference client's commands do --------------------------------------------------------------------------


def test_submit_packs_uploads_submits_and_waits_until_it_is_published(tmp_path):
    with running(pace_s=0.7) as sandbox:
        pdi = Command(tmp_path, {"DEPOSITD_TOKEN": sandbox.pdi_token})
        data(tmp_path)
        done = pdi.run("pdi", "submit", "lyso", "--server", sandbox.pdi_url, "--set", "pdb_code=1abc", "--wait")
        (upload,) = sandbox.uploads
    assert facts(done.stdout) == {"token": upload.token, "status": "published"}
    told = [line.split("  ")[-1].split(",")[0] for line in done.stderr.splitlines()[1:]]
    assert told[:2] == ["uploaded", "submitted"]
    assert told[-1] == "published"
    assert len(told) == len(set(told))
    assert upload.metadata["pdb_code"] == "1ABC"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".zst")]


def test_submit_without_waiting_ends_when_it_is_submitted(pdi, at, sandbox):
    data(pdi.home)
    shown = pdi.json("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC")
    assert shown["token"] == sandbox.uploads[0].token
    assert shown["status"] == "published"  # as it is now: this sandbox needs no time
    assert len(sandbox.submissions) == 1


def test_names_of_equipment_become_ids(pdi, at, sandbox):
    data(pdi.home)
    values = {
        "project_title": "A title that is long enough",
        "project_authors": "Smith J., Doe A.",
        "synchrotron": "Advanced Photon Source",
        "beamline": "24-ID-C",
    }
    pdi.run("pdi", "submit", "lyso", *at, *(word for pair in values.items() for word in ("--set", "=".join(pair))))
    (upload,) = sandbox.uploads
    assert (upload.metadata["synchrotron"]["id"], upload.metadata["beamline"]["id"]) == (25, 42)


def test_an_archive_is_sent_as_it_is(pdi, at, sandbox):
    path = archive(pdi.home, "ready.tar.zst")
    pdi.run("pdi", "submit", path, *at, "--set", "pdb_code=1ABC")
    (upload,) = sandbox.uploads
    assert upload.sent_md5 == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert upload.sent_filename == "ready.tar.zst"


def test_the_same_again_sends_nothing_and_goes_on_from_what_is_there(pdi, at, sandbox):
    data(pdi.home)
    words = ("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC", "--wait")
    first = pdi.run(*words)
    assert pdi.run(*words).stdout == first.stdout
    assert len(sandbox.uploads) == 1
    assert sandbox.requests["POST /api/v1/upload/"] == 1
    assert sandbox.requests["POST /api/v1/submit/"] == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("upload", "commit-then-drop"),
        ("upload", "commit-then-502"),
        ("submit", "commit-then-500"),
        ("submit", "drop-before-body"),
    ],
)
def test_a_lost_answer_leads_to_a_question_and_to_one_submission(pdi, at, sandbox, kind, path):
    data(pdi.home)
    sandbox.fault(f"/api/v1/{path}/", kind)
    pdi.run("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC", "--wait")
    assert len(sandbox.uploads) == len(sandbox.submissions) == 1


def fast_config(pdi, sandbox):
    """Write a config that looks twice a second."""
    text = CONFIG.format(home=pdi.home, url=sandbox.pdi_url).replace("poll_every: 1s", "poll_every: 500ms")
    (pdi.home / "depositd.yaml").write_text(text)
    (pdi.home / "irrmc.token").write_text(sandbox.pdi_token)
    (pdi.home / "irrmc.token").chmod(0o600)


def test_what_did_not_arrive_is_looked_for_seen_to_be_and_then_sent_again(pdi, sandbox):
    data(pdi.home)
    fast_config(pdi, sandbox)
    sandbox.fault("/api/v1/upload/", "drop-mid-body")
    done = pdi.run("pdi", "submit", "lyso", "--to", "irrmc", "--set", "pdb_code=1ABC", "--wait")
    assert "has it yet" in done.stderr
    assert re.search(r"looked for .*; again in ", done.stderr)
    assert len(sandbox.uploads) == len(sandbox.submissions) == 1
    assert sandbox.requests["POST /api/v1/upload/"] == 2


def test_what_somebody_else_has_ends_with_3_after_looking_for_it(pdi, sandbox):
    data(pdi.home)
    fast_config(pdi, sandbox)
    other = Command(pdi.home, {"DEPOSITD_TOKEN": sandbox.other_pdi_token})
    other.run("pdi", "submit", "lyso", "--server", sandbox.pdi_url, "--set", "pdb_code=1ABC")
    done = pdi.run("pdi", "submit", "lyso", "--to", "irrmc", "--set", "pdb_code=1ABC", status=3)
    assert "(409)" in done.stderr
    assert "failed: " in done.stderr
    assert "already, but not among our submissions" in done.stderr
    assert "hint: depositd pdi list --to irrmc" in done.stderr
    assert sandbox.requests["POST /api/v1/upload/"] == 2


def test_what_was_published_for_another_entry_ends_with_3(pdi, at, sandbox):
    data(pdi.home)
    pdi.run("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC", "--wait")
    done = pdi.run("pdi", "submit", "lyso", *at, "--set", "pdb_code=2XYZ", "--wait", status=3)
    (upload,) = sandbox.uploads
    assert f"submission {upload.token}, published with PDB ID 1ABC, and our pdb_code is 2XYZ" in done.stderr
    assert "hint: it may be right as it is: depositd pdi list" in done.stderr
    by_token = pdi.run("pdi", "submit", upload.token, *at, "--set", "pdb_code=2XYZ")
    assert "warning: the server has it published with PDB ID 1ABC, not 2XYZ" in by_token.stderr


def test_refused_data_end_with_3_and_what_to_do(pdi, at):
    path = archive(pdi.home, images=0)
    done = pdi.run("pdi", "submit", path, *at, "--set", "pdb_code=1ABC", "--wait", status=3)
    token = facts(done.stdout)["token"]
    assert facts(done.stdout)["status"] == "error_no_data"
    assert f"hint: Delete and re-upload a corrected archive: depositd pdi delete {token} --server" in done.stderr
    assert f"{token} is deleted" in pdi.text("pdi", "delete", token, *at)


def test_list_equipment_status_and_delete(pdi, at, sandbox):
    assert pdi.text("pdi", "list", *at) == ""
    token = pdi.json("pdi", "upload", archive(pdi.home), *at)["token"]
    titles, row = pdi.text("pdi", "list", *at).splitlines()
    assert titles.split() == ["TOKEN", "STATUS", "PDB", "INSERTED", "FILE", "TITLE"]
    assert row.split()[:2] == [token, "uploaded"]
    assert pdi.json("pdi", "list", *at)[0]["token"] == token
    assert pdi.json("pdi", "status", token, *at)["md5hash"] == sandbox.uploads[0].md5
    assert "Call POST /submit/" in facts(pdi.text("pdi", "status", token, *at))["next"]
    assert pdi.json("pdi", "delete", token, *at) == {}
    assert sandbox.uploads == ()
    gone = pdi.run("pdi", "delete", token, *at, status=1)
    assert "404" in gone.stderr
    assert gone.stdout == ""


def test_equipment_is_narrowed_by_a_name(pdi, at):
    rows = pdi.text("pdi", "equipment", *at).splitlines()
    assert rows[1].split()[:4] == ["25", "APS", "42", "24-ID-C"]
    assert [one["short"] for one in pdi.json("pdi", "equipment", *at)] == ["APS", "ESRF"]
    assert [one["short"] for one in pdi.json("pdi", "equipment", "esrf", *at)] == ["ESRF"]
    assert "nearest: " in pdi.run("pdi", "equipment", "ESRG-XX", *at, status=1).stderr


def test_status_poll_waits_and_tells_each_change_once(pdi, at):
    data(pdi.home)
    token = pdi.json("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC")["token"]
    done = pdi.run("pdi", "status", token, "--poll", *at)
    assert facts(done.stdout)["status"] == "published"
    assert done.stderr.count("published: Done") == 1


def test_status_poll_ends_with_3_where_the_data_are_refused(pdi, at):
    token = pdi.json("pdi", "submit", archive(pdi.home, images=0), *at, "--set", "pdb_code=1ABC")["token"]
    assert pdi.run("pdi", "status", token, "--poll", "--json", *at, status=3).stdout.count("error_no_data") == 1
    assert facts(pdi.text("pdi", "status", token, *at))["status"] == "error_no_data"


def test_ctrl_c_while_polling_ends_with_130(pdi, at, sandbox):
    token = pdi.json("pdi", "upload", archive(pdi.home), *at)["token"]
    before = sum(sandbox.requests.values())
    status, out, _err = pdi.interrupted(
        "pdi", "status", token, "--poll", *at, when=lambda: sum(sandbox.requests.values()) > before
    )
    assert (status, out) == (130, "")


def test_ctrl_c_while_it_is_submitted_says_how_to_go_on(tmp_path):
    with running(pace_s=60) as sandbox:
        pdi = Command(tmp_path, {"DEPOSITD_TOKEN": sandbox.pdi_token})
        data(tmp_path)
        words = ("pdi", "submit", "lyso", "--server", sandbox.pdi_url, "--set", "pdb_code=1ABC", "--wait")
        status, _out, err = pdi.interrupted(*words, when=lambda: len(sandbox.submissions) == 1)
        assert status == 130
        assert f"depositd pdi status {sandbox.uploads[0].token}" in err or "depositd pdi submit" in err


# --- upload -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.tar", "x.tar.zst"])
def test_upload_compares_the_hashes(pdi, at, sandbox, name):
    done = pdi.run("pdi", "upload", archive(pdi.home, name), *at, "--set", "dataset_type=other")
    assert facts(done.stdout)["md5hash"] == sandbox.uploads[0].md5
    assert ("inside" in done.stderr) is name.endswith(".zst")
    assert sandbox.uploads[0].dataset_type == "other"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("lyso.cbf", b"###CBF: VERSION 1.5", "is no archive by its name"),
        ("lyso.tar.zst", b"not compressed at all", "does not begin as a .zst file does"),
        ("lyso.tgz", b"PK\x03\x04", "does not begin as a .tgz file does"),
        ("lyso.tar", b"x" * 1000, "does not begin as a .tar file does"),
        ("lyso.zip", b"\x1f\x8b", "does not begin as a .zip file does"),
    ],
)
def test_what_is_no_archive_is_refused_before_anything_is_asked(pdi, at, sandbox, name, content, says):
    (pdi.home / name).write_bytes(content)
    assert says in pdi.run("pdi", "upload", name, *at, status=1).stderr
    assert not sandbox.requests


def test_upload_warns_of_an_entry_that_has_data(pdi, at):
    done = pdi.run("pdi", "upload", archive(pdi.home, "dataset_9XYZ.tar"), *at)
    assert facts(done.stdout)["pdbid"] == "9XYZ"
    assert "warning: the repository has a dataset for 9XYZ already" in done.stderr


def test_what_is_there_already_is_shown_and_not_an_error(pdi, at, sandbox):
    path = archive(pdi.home, "x.tar.zst")
    first = pdi.json("pdi", "upload", path, *at)
    again = pdi.run("pdi", "upload", path, *at)
    assert facts(again.stdout)["token"] == first["token"]
    assert "already" in again.stderr
    assert len(sandbox.uploads) == 1


@pytest.mark.parametrize(("kind", "status"), [("commit-then-drop", 0), ("drop-mid-body", 1)])
def test_a_lost_answer_to_an_upload_is_looked_into(pdi, at, sandbox, kind, status):
    sandbox.fault("/api/v1/upload/", kind)
    done = pdi.run("pdi", "upload", archive(pdi.home, "x.tar.zst"), *at, status=status)
    assert ("it is not there" in done.stderr) is bool(status)
    assert len(sandbox.uploads) == 1 - status
    assert sandbox.requests["POST /api/v1/upload/"] == 1


def test_a_lost_answer_that_cannot_be_asked_about_is_unconfirmed(pdi, at, sandbox):
    sandbox.fault("/api/v1/upload/", "commit-then-drop")
    sandbox.fault("/api/v1/submissions/", "503", after=1)
    done = pdi.run("pdi", "upload", archive(pdi.home), *at, "--json", status=3)
    assert "unconfirmed" in done.stderr
    assert done.stdout == ""


# --- holds and metadata -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("pdb_code=ABCD", "no PDB code"),
        ("pdb_cod=1ABC", "nearest: pdb_code"),
        ("nonsense", "is not an assignment"),
    ],
)
def test_wrong_values_are_told_before_anything_is_asked(pdi, at, sandbox, value, says):
    data(pdi.home)
    done = pdi.run("pdi", "submit", "lyso", *at, "--set", value, status=2)
    assert says in done.stderr
    assert sum(sandbox.requests.values()) == 0


def test_an_unknown_synchrotron_is_told_with_the_nearest_before_anything_is_sent(pdi, at, sandbox):
    data(pdi.home)
    values = ("--set", "pdb_code=1ABC", "--set", "synchrotron=APX", "--set", "beamline=24-ID-C")
    assert "APS" in pdi.run("pdi", "submit", "lyso", *at, *values, status=2).stderr
    assert sandbox.uploads == ()


def test_missing_metadata_hold_it_before_anything_is_sent(pdi, at, sandbox):
    data(pdi.home)
    done = pdi.run("pdi", "submit", "lyso", *at, status=3)
    assert "held: pdb_code: is missing" in done.stderr
    assert "depositd pdi submit lyso --server" in done.stderr
    assert sandbox.uploads == ()


def test_an_entry_that_has_data_holds_it_and_the_token_submits_it_all_the_same(pdi, at, sandbox):
    path = archive(pdi.home, "dataset_9XYZ.tar")
    held = pdi.run("pdi", "submit", path, *at, "--set", "pdb_code=9XYZ", "--wait", status=3)
    token = facts(held.stdout)["token"]
    assert f"depositd pdi submit {token}" in held.stderr
    assert sandbox.submissions == ()
    done = pdi.run("pdi", "submit", token, *at, "--set", "pdb_code=9XYZ", "--wait")
    assert facts(done.stdout) == {"token": token, "status": "published"}
    assert len(sandbox.uploads) == 1


def test_a_token_that_was_submitted_is_waited_for_and_not_submitted_again(pdi, at, sandbox):
    data(pdi.home)
    token = pdi.json("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC")["token"]
    assert facts(pdi.text("pdi", "submit", token, *at, "--wait"))["status"] == "published"
    assert sandbox.requests["POST /api/v1/submit/"] == 1


def test_neither_path_nor_token_is_told(pdi, at):
    assert (
        "no file or directory" in pdi.run("pdi", "submit", "./no.tar", *at, "--set", "pdb_code=1ABC", status=1).stderr
    )
    unknown = pdi.run("pdi", "submit", "f" * 40, *at, "--set", "pdb_code=1ABC", status=1)
    assert "404" in unknown.stderr
    assert "no file or directory of that name here either" in unknown.stderr


def test_links_are_refused_by_name(pdi, at, sandbox):
    directory = data(pdi.home)
    (directory / "link.cbf").symlink_to("/etc/hostname")
    done = pdi.run("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC", status=1)
    assert "link.cbf is a symbolic link" in done.stderr
    assert sandbox.uploads == ()


# --- who we are -------------------------------------------------------------------------------------------------------


def test_a_token_is_exchanged_kept_for_us_alone_and_never_shown(pdi, at, sandbox):
    login = {"DEPOSITD_USERNAME": sandbox.username, "DEPOSITD_PASSWORD": sandbox.password, "DEPOSITD_TOKEN": ""}
    done = pdi.run("pdi", "token", *at, **login)
    path = next((pdi.home / ".config" / "depositd").iterdir())
    assert path.read_text().strip() == sandbox.pdi_token
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(path) in done.stdout
    assert sandbox.pdi_token not in done.stdout + done.stderr
    assert pdi.json("pdi", "token", *at, **login)["token"] == sandbox.pdi_token


def test_a_wrong_password_or_token_is_told_without_it(pdi, at):
    for environ in (
        {"DEPOSITD_TOKEN": "canary" * 6},
        {"DEPOSITD_TOKEN": "", "DEPOSITD_USERNAME": "you@lab.edu", "DEPOSITD_PASSWORD": "canary" * 6},
    ):
        done = pdi.run("pdi", "list", *at, status=1, **environ)
        assert "401" in done.stderr
        assert "check the token, or username and password" in done.stderr
        assert "canary" not in done.stdout + done.stderr


def test_a_refused_token_costs_nothing_not_even_the_packing(pdi, at, sandbox):
    (pdi.home / "lyso").mkdir()  # nothing in it: packing would fail
    done = pdi.run("pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC", status=1, DEPOSITD_TOKEN="x")
    assert "401" in done.stderr
    assert sandbox.body_bytes("/api/v1/upload/") == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("--server", NOWHERE), 1, "refused the connection"),
        (("--server", "http://example.org/api/v1/"), 2, "in the clear"),
        (("--server", "nonsense"), 2, "is not a server's url"),
        (("--server", "https://me:secret@example.org/"), 2, "holds a username or password"),
        (("--server", NOWHERE, "--to", "irrmc"), 2, "one of --to and --server"),
        ((), 2, "--server URL"),
    ],
)
def test_a_server_that_cannot_be_is_told(pdi, words, status, says):
    done = pdi.run("pdi", "list", *words, status=status)
    assert says in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


def test_without_credentials_the_variables_are_named(pdi, at):
    assert "DEPOSITD_TOKEN" in pdi.run("pdi", "list", *at, status=2, DEPOSITD_TOKEN="").stderr


CONFIG = """\
state_dir: {home}/state
destinations:
  irrmc: {{type: proteindiffraction, url: {url}, token: {{file: {home}/irrmc.token}}, poll_every: 1s}}
  vault: {{type: directory, path: {home}/vault}}
rules:
  - {{name: one, watch: {home}/data, format: auto, deliver: [irrmc]}}
"""


def test_the_config_gives_server_and_token_and_keeps_a_new_one_where_it_reads_it(pdi, sandbox):
    (pdi.home / "depositd.yaml").write_text(CONFIG.format(home=pdi.home, url=sandbox.pdi_url))
    login = {"DEPOSITD_USERNAME": sandbox.username, "DEPOSITD_PASSWORD": sandbox.password}
    pdi.environ.clear()
    pdi.run("pdi", "token", "--to", "irrmc", **login)
    assert (pdi.home / "irrmc.token").read_text().strip() == sandbox.pdi_token
    done = pdi.run("pdi", "list")
    assert "server: irrmc" in done.stderr
    for words in (("pdi", "list", "-c"), ("pdi", "-c"), ("-c",)):
        rest = () if "list" in words else ("list",) if words[0] == "pdi" else ("proteindiffraction", "list")
        assert pdi.json(*words, pdi.home / "depositd.yaml", *rest) == []
    wrong = pdi.run("pdi", "list", "--to", "vault", status=2).stderr
    assert "is no proteindiffraction server" in wrong
    assert "irrmc" in wrong
    (pdi.home / "irrmc.token").chmod(0o644)
    assert "chmod 600" in pdi.run("pdi", "list", "--to", "irrmc", status=1).stderr


def test_on_a_terminal_it_asks_before_anything_becomes_public(pdi, at, sandbox):
    data(pdi.home)
    words = [DEPOSITD, "pdi", "submit", "lyso", *at, "--set", "pdb_code=1ABC"]
    master, terminal = pty.openpty()
    try:
        os.write(master, b"n\n")
        ended = subprocess.run(
            words, cwd=pdi.home, env=pdi.env({}), stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, check=False
        )
        told = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(terminal)
    assert "It becomes public when it is published" in told
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert sandbox.uploads == ()
