"""scripts/install, into a staged root: what it puts where, what it never touches, and what uninstalling leaves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout of only what the script reads, with an example config of our own."""
    checkout = tmp_path / "check out"
    for name in ("scripts", "systemd"):
        shutil.copytree(PROJECT / name, checkout / name)
    (checkout / "config.example.yaml").write_text("state_dir: /var/lib/depositd\n")
    return checkout


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    return root


def install(checkout, *arguments, expect=0, **environment):
    outcome = subprocess.run(
        [checkout / "scripts" / "install", *map(str, arguments)],
        cwd="/",
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert outcome.returncode == expect, outcome.stdout + outcome.stderr
    return outcome


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def mode(path):
    return oct(path.stat().st_mode & 0o777)


def test_everything_has_its_place_and_its_mode(checkout, root):
    outcome = install(checkout, "--root", root, "--no-venv")
    assert mode(root / "etc/depositd") == "0o750"
    assert mode(root / "etc/depositd/credentials") == "0o700"
    assert mode(root / "etc/depositd/config.yaml") == "0o640"
    assert mode(root / "var/lib/depositd") == "0o750"
    assert mode(root / "etc/systemd/system/depositd.service") == "0o644"
    unit = (root / "etc/systemd/system/depositd.service").read_text()
    assert unit == (PROJECT / "systemd/depositd.service").read_text()
    assert (root / "usr/local/bin/depositd").readlink() == Path("/opt/depositd/bin/depositd")
    assert "systemctl enable --now depositd" in outcome.stdout


def test_prefix_and_user_reach_the_unit(checkout, root):
    install(checkout, "--root", root, "--no-venv", "--prefix", "/srv/dep-1", "--user=ingest")
    unit = (root / "etc/systemd/system/depositd.service").read_text()
    assert "ExecStart=/srv/dep-1/bin/depositd run --config /etc/depositd/config.yaml" in unit
    assert "\nUser=ingest\nGroup=ingest\n" in unit
    assert "/opt/depositd" not in unit


def test_a_second_time_keeps_the_config_and_the_operators_unit(checkout, root):
    install(checkout, "--root", root, "--no-venv")
    config = root / "etc/depositd/config.yaml"
    unit = root / "etc/systemd/system/depositd.service"
    config.write_text("mine\n")
    unit.write_text("edited\n")
    outcome = install(checkout, "--root", root, "--no-venv")
    assert config.read_text() == "mine\n"
    assert "Kept as it is" in outcome.stderr
    assert unit.with_name("depositd.service.old").read_text() == "edited\n"
    assert "Type=notify" in unit.read_text()
    install(checkout, "--root", root, "--no-venv")
    assert unit.with_name("depositd.service.old").read_text() == "edited\n"


def test_a_dry_run_changes_nothing_and_shows_all(checkout, root):
    outcome = install(checkout, "--root", root, "--dry-run", "--python", sys.executable)
    assert tree(root) == []
    for word in ("mkdir", "venv", "pip install", "config.yaml", "depositd.service"):
        assert word in outcome.stdout


def test_uninstalling_keeps_what_cannot_be_made_again_until_purged(checkout, root):
    install(checkout, "--root", root, "--no-venv")
    journal = root / "var/lib/depositd/journal.db"
    journal.write_text("facts")
    outcome = install(checkout, "--root", root, "--uninstall")
    assert "Kept:" in outcome.stderr
    assert journal.read_text() == "facts"
    assert (root / "etc/depositd/config.yaml").exists()
    assert not (root / "etc/systemd/system/depositd.service").exists()
    assert not (root / "usr/local/bin/depositd").is_symlink()
    install(checkout, "--root", root, "--uninstall", "--purge")
    assert not journal.parent.exists()
    assert not (root / "etc/depositd").exists()
    install(checkout, "--root", root, "--uninstall", "--purge")


def test_a_directory_of_somebody_else_is_neither_used_nor_removed(checkout, root):
    foreign = root / "opt/depositd/precious.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("x")
    outcome = install(checkout, "--root", root, "--python", sys.executable, expect=1)
    assert "is not from this script" in outcome.stderr
    install(checkout, "--root", root, "--uninstall", "--purge")
    assert foreign.read_text() == "x"


def test_a_command_that_is_there_already_is_not_replaced(checkout, root):
    other = root / "usr/local/bin/depositd"
    other.parent.mkdir(parents=True)
    other.write_text("another")
    install(checkout, "--root", root, "--no-venv")
    install(checkout, "--root", root, "--uninstall")
    assert other.read_text() == "another"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prefix", "relative"],
        ["--prefix", "/"],
        ["--prefix", "/opt/../etc"],
        ["--prefix", "/opt/a b"],
        ["--prefix", "/opt/a|b"],
        ["--user", "root"],
        ["--user", "a;b"],
        ["--root", "/nowhere/at/all"],
        ["--purge"],
        ["--prefix"],
        ["--unknown"],
    ],
)
def test_a_mistake_is_named_before_anything_happens(checkout, root, arguments):
    outcome = install(checkout, "--root", root, "--no-venv", *arguments, expect=2)
    assert outcome.stderr.startswith("install: ")
    assert tree(root) == []


def test_the_program_itself_is_installed_and_does_not_name_the_stage(checkout, root, tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "wheels")]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=100)
    (wheel,) = (tmp_path / "wheels").glob("depositd-*.whl")
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    install(checkout, "--root", root, "--python", sys.executable, "--source", wheel, **offline)
    program = root / "opt/depositd/bin/depositd"
    assert os.access(program, os.X_OK)
    assert program.read_text().splitlines()[0] == "#!/opt/depositd/bin/python"
    naming_the_stage = [
        path.name for path in program.parent.iterdir() if not path.is_symlink() and str(root) in path.read_text()
    ]
    assert naming_the_stage == []
    (packages,) = (root / "opt/depositd/lib").glob("python*/site-packages")
    assert (packages / "depositd" / "py.typed").exists()
    install(checkout, "--root", root, "--uninstall")
    assert not (root / "opt/depositd").exists()
