"""Whatever in the documents can go stale is a test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from depositd.config import parse_config
from depositd.formats import FORMATS
from depositd.formats.table import table
from depositd.preview import kinds
from depositd.states import DATASET_TRANSITIONS, DELIVERY_TRANSITIONS, diagram

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "daemon" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "transitions"), [("datasets", DATASET_TRANSITIONS), ("deliveries", DELIVERY_TRANSITIONS)]
)
def test_the_state_diagrams_are_those_of_the_code(name, transitions):
    shown = re.search(rf"<!-- diagram: {name} -->\n```mermaid\n(.*?)\n```\n<!-- end -->", ARCHITECTURE, re.DOTALL)
    assert shown is not None
    assert shown[1] == diagram(transitions)


def test_the_table_of_formats_is_that_of_the_code():
    shown = re.search(r"<!-- formats -->\n(.*?)\n<!-- end -->", ARCHITECTURE, re.DOTALL)
    assert shown is not None
    assert shown[1] == table(kinds())


def test_the_readme_config_is_one_that_loads():
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        config = parse_config(block, "README.md")
        assert config.rules


def test_the_readme_names_every_format():
    for name in FORMATS:
        assert f"`{name}`" in README


def test_every_command_that_the_readme_shows_exists():
    # in code alone: after a prompt, or in backticks (which may hold a line break)
    shown = set(re.findall(r"(?:\$ (?:sudo )?|`)depositd\s+([a-z]+)\b", README))
    listed = subprocess.run(
        [sys.executable, "-m", "depositd", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = set(re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE))
    assert len(shown) > 5
    assert shown <= commands


def test_every_file_that_the_documents_link_to_is_there():
    for base, text in ((ROOT, README), (ROOT / "daemon", ARCHITECTURE)):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (base / target).exists(), target


def test_the_rooms_of_the_architecture_are_the_folders_of_the_package():
    package = ROOT / "daemon" / "depositd"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    named = set(re.findall(r"`(\w+)`", "".join(line for line in ARCHITECTURE.splitlines() if line.startswith("| "))))
    assert rooms - {"__init__", "__main__"} <= named
