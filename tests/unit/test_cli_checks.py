"""The findings of ``check`` that are decided on values."""

from __future__ import annotations

from pathlib import Path

import pytest

from depositd.cli import checks
from depositd.cli.checks import Level, credential, gentle, inotify, room, sqlite_version, web
from depositd.config import SecretSource, parse_config
from depositd.watch.inotify import WatchLimit


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 40, 1), Level.WARNING),
        ((3, 44, 5), Level.WARNING),
        ((3, 44, 6), Level.OK),
        ((3, 45, 0), Level.WARNING),
        ((3, 50, 7), Level.OK),
        ((3, 51, 2), Level.WARNING),
        ((3, 51, 3), Level.OK),
        ((3, 52, 0), Level.OK),
    ],
)
def test_a_sqlite_whose_log_can_be_damaged_is_named(version, level):
    finding = sqlite_version(version)
    assert finding.level is level
    assert ".".join(map(str, version)) in finding.sentence


@pytest.mark.parametrize(
    ("watches", "instances", "directories", "counted_all", "level"),
    [
        (100_000, 128, 5_000, True, Level.OK),
        (4_000, 128, 5_000, True, Level.WARNING),
        (4_000, 128, 100, True, Level.OK),
        (4_000, 128, 100, False, Level.WARNING),
        (100_000, 1, 100, True, Level.PROBLEM),
    ],
)
def test_inotify_limits_are_compared_with_what_is_watched(watches, instances, directories, counted_all, level):
    limit = WatchLimit("fs.inotify.max_user_watches", watches)
    finding = inotify(limit, instances, 2, directories, counted_all=counted_all)
    assert finding.level is level
    assert bool(finding.hint) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("file_system", "is_idle", "level", "word"),
    [
        ("ext4", True, Level.OK, "and at idle I/O priority"),
        ("nfs4", True, Level.OK, "does not hear"),
        ("ext4", False, Level.WARNING, "not possible here"),
        (None, False, Level.WARNING, "not possible here"),
    ],
)
def test_a_gentle_source_says_what_its_gentleness_is_worth(file_system, is_idle, level, word):
    finding = gentle("/data", 20_000_000, file_system, is_idle=is_idle)
    assert (finding.subject, finding.level) == ("source /data", level)
    assert "20.0 MB a second" in finding.sentence
    assert word in finding.sentence
    assert bool(finding.hint) is (level is Level.WARNING)


def test_a_floor_of_free_space_that_is_broken_is_a_problem():
    assert room("spool", Path("/s"), 3_000, 2_000).level is Level.OK
    assert room("spool", Path("/s"), 2_000, 2_000).level is Level.PROBLEM


@pytest.mark.parametrize(
    ("source", "environ", "level"),
    [
        (SecretSource("env", "TOKEN"), {"TOKEN": "a-secret-word"}, Level.OK),
        (SecretSource("env", "TOKEN"), {}, Level.WARNING),
        (SecretSource("env", "TOKEN"), {"TOKEN": ""}, Level.PROBLEM),
        (SecretSource("credential", "token"), {}, Level.WARNING),
    ],
)
def test_a_secret_that_only_the_service_has_is_no_problem(source, environ, level):
    finding = credential("destination qc", "token", source, environ)
    assert finding.level is level
    assert "a-secret-word" not in finding.sentence + finding.hint


@pytest.mark.parametrize(
    ("host", "level"),
    [("127.0.0.1", Level.OK), ("::1", Level.OK), ("localhost", Level.OK), ("0.0.0.0", Level.WARNING)],
)
def test_a_page_that_others_can_reach_is_warned_of(host, level):
    assert web(host, 8471).level is level


def test_the_proxy_that_everything_goes_through_is_named():
    text = """
state_dir: /s
destinations: {irrmc: {type: proteindiffraction, url: "https://srv.example/", token: {env: T}, proxy: "http://p:3128"}}
rules: [{name: r, watch: /w, format: frames, deliver: irrmc}]
"""
    settings = parse_config(text, "c.yaml").destinations["irrmc"]
    found = [one.sentence for one in checks._destination("irrmc", settings, {"T": "token"}, online=False)]
    assert "everything to https://srv.example/ goes through the proxy http://p:3128" in found
