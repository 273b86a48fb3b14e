"""Metadata that the diffraction server would not take is found with the config, not with the first dataset."""

# ruff: noqa: E501  a case is a line: what is written, and what is said of it

import pytest

from depositd.config import parse_config
from depositd.config.diffraction import API_KEYS, check_diffraction_metadata
from depositd.config.document import read_document
from depositd.destinations.proteindiffraction import metadata as server
from depositd.errors import ConfigError

CONFIG = """\
state_dir: /var/lib/depositd
destinations:
  irrmc: {type: proteindiffraction, url: "https://pdi.example.org/", token: {env: T}}
  again: {type: proteindiffraction, url: "https://pdi.example.org/", token: {env: T}}
  vault: {type: directory, path: /mnt/vault}
rules:
  - name: pilatus
    watch: /data
    format: frames
"""


def problems(rule: str) -> list[str]:
    try:
        parse_config(CONFIG + rule, "c")
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("project_author: Smith J.", "11:22: rules[0].metadata.set.project_author: project_author is no key of the server (project_authors)"),
        ("pdbcode: 1ABC", "11:22: rules[0].metadata.set.pdbcode: pdbcode is no key of the server (pdb_code)"),
        ("beam_line: X", "11:22: rules[0].metadata.set.beam_line: beam_line is no key of the server (beamline)"),
        ("pdb_code: ABCD", "11:32: rules[0].metadata.set.pdb_code: 'ABCD' is no PDB code (a digit and three letters or digits, such as 1ABC)"),
        ("pdb_code: 12345", "11:32: rules[0].metadata.set.pdb_code: '12345' is no PDB code (a digit and three letters or digits, such as 1ABC)"),
        ("dataset_type: saxs", "11:36: rules[0].metadata.set.dataset_type: 'saxs' is no dataset type (pdb or other)"),
        ("project_title: Lyso", "11:37: rules[0].metadata.set.project_title: 'Lyso' has 4 characters (at least 10)"),
        ("project_title: '{{lysozym'", "11:37: rules[0].metadata.set.project_title: '{lysozym' has 8 characters (at least 10)"),
    ],
)  # fmt: skip
def test_what_the_server_would_not_take(given: str, problem: str):
    metadata = f"    metadata: {{set: {{{given}}}}}\n"
    assert problems("    deliver: [vault, irrmc]\n" + metadata) == [f"c:{problem}"]
    assert problems("    deliver: [vault]\n" + metadata) == []


@pytest.mark.parametrize(
    "given",
    [
        "pdb_code: 6E23",
        "pdb_code: 1abc",
        "pdb_code: '{code}'",
        "pdb_code: ''",
        "dataset_type: PDB",
        "dataset_type: other",
        "project_title: '{sample}'",
        "title: Lyso",
        "proposal: mx1",
        "project: mx1",
        "synchrotron_id: 7",
        "project_author: Smith, project_authors: 'A., {project_author}'",
    ],
)
def test_what_is_free_or_cannot_be_known(given: str):
    assert problems(f"    deliver: irrmc\n    metadata: {{set: {{{given}}}}}\n") == []


@pytest.mark.parametrize(
    "user",
    [
        "deliver: [{to: irrmc, metadata: {equipment_other: '{pdbcode}'}}]",
        "deliver: [irrmc, {to: vault, metadata: {note: '{pdbcode}'}}]",
        "{deliver: [irrmc], archive: {name: '{pdbcode}-{name}'}}",
    ],
)
def test_a_key_that_any_template_of_the_rule_uses_is_free(user: str):
    lines = user.strip("{}") if user.startswith("{") else user
    first, _, second = lines.partition(", archive")
    rule = f"    {first}\n    metadata: {{set: {{pdbcode: 1ABC}}}}\n" + (f"    archive{second}}}\n" if second else "")
    assert problems(rule) == []


def test_a_delivery_speaks_for_itself():
    rule = "    deliver:\n      - {to: irrmc, metadata: {pdbcode: 1ABC, pdb_code: x}}\n      - {to: vault, metadata: {pdb_code: y, pdbcode: z}}\n"
    assert problems(rule) == [
        "c:11:32: rules[0].deliver[0].metadata.pdbcode: pdbcode is no key of the server (pdb_code)",
        "c:11:57: rules[0].deliver[0].metadata.pdb_code: 'x' is no PDB code (a digit and three letters or digits, such as 1ABC)",
    ]


def test_a_value_that_every_such_delivery_replaces_never_reaches_the_server():
    ruled = "    metadata: {set: {pdb_code: draft}}\n"
    replaced = "{to: irrmc, metadata: {pdb_code: 1ABC}}"
    assert problems(f"{ruled}    deliver: [vault, {replaced}]\n") == []
    assert len(problems(f"{ruled}    deliver: [again, {replaced}]\n")) == 1


def test_it_is_said_together_with_all_else():
    rule = (
        "    deliver: [irrmc, 5]\n    metadata: {set: {pdbcode: '{', pdb_code: [a], project_title: x}}\n    settle: 3\n"
    )
    assert [line.split(": ")[1] for line in problems(rule)] == [
        "rules[0].deliver[1]",
        "rules[0].metadata.set.pdbcode",
        "rules[0].metadata.set.pdbcode",
        "rules[0].metadata.set.pdb_code",
        "rules[0].metadata.set.project_title",
        "rules[0].settle",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pdb_code", "1abc"),
        ("pdb_code", " 1ABC "),
        ("pdb_code", "abc1"),
        ("pdb_code", "1ab"),
        ("pdb_code", "1ab²"),
        ("dataset_type", "Other"),
        ("dataset_type", "pdbx"),
        ("project_title", "123456789"),
        ("project_title", "1234567890"),
        ("project_title", "12345678  "),
    ],
)
def test_config_and_delivery_are_of_one_mind(key: str, value: str):
    document = read_document(CONFIG + f"    deliver: irrmc\n    metadata: {{set: {{{key}: '{value}'}}}}\n")
    whole = {"project_title": "A long title", "project_authors": "A", "equipment_other": "B"}
    held = [problem for problem in server.problems({**whole, key: value}) if problem.where == key]
    assert bool(list(check_diffraction_metadata(document))) == bool(held)


def test_the_keys_of_the_api_are_those_that_the_client_sends():
    sent = server.payload(dict.fromkeys(API_KEYS, "1"))
    assert {*sent, "synchrotron", "beamline", "synchrotron_id", "beamline_id"} == set(API_KEYS)
