"""Which command is built for which arguments."""

from __future__ import annotations

import pytest
import typer

from depositd.cli.app import COMMANDS, named, program


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["status"], "status"),
        (["status", "--json"], "status"),
        (["-c", "check", "run"], "run"),
        (["--config", "check", "run"], "run"),
        (["--config=check", "run"], "run"),
        (["-ccheck", "run"], "run"),
        (["pdi", "list"], "pdi"),
        ([], None),
        (["--help"], None),
        (["--version"], None),
        (["--help", "status"], None),
        (["stauts"], None),
        (["-c"], None),
    ],
)
def test_the_first_word_that_is_no_option_names_it(arguments, command):
    assert named(arguments) == command


def names_of(app):
    return list(typer.main.get_group(app).commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_asked_for_is_built_alone(command):
    assert names_of(program([command])) == [command]


def test_whoever_asks_for_none_is_shown_all():
    assert sorted(names_of(program([]))) == sorted(COMMANDS)


def test_the_version_needs_none():
    assert names_of(program(["--version"])) == []
