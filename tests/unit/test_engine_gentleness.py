"""Which sources are read gently, and how fast."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_support import config_of

from depositd.engine.gentleness import Gentleness

RULES = """
    {name: a, watch: [/data/a, /data/b], format: frames, gentle: true, deliver: [one]},
    {name: b, watch: /data/b, format: eiger, gentle: {read_rate: 5MB/s}, deliver: [one]},
    {name: c, watch: /data/a, format: eiger, deliver: [one]},
    {name: d, watch: /data/d, format: frames, gentle: false, deliver: [one]},
    {name: e, watch: /, format: file, exclude: ["state/**"], deliver: [one]}
"""


@pytest.fixture
def gentleness():
    return Gentleness(config_of(Path("/state"), rules=RULES).rules)


@pytest.mark.parametrize(
    ("root", "rate"),
    [
        ("/data/a", 20_000_000),
        ("/data/b", 5_000_000),
        ("/data/b/below", 5_000_000),
        ("/data/bb", None),
        ("/data/d", None),
        ("/data", None),
        ("/", None),
    ],
)
def test_the_slowest_gentle_rule_of_a_source_counts_for_all_who_read_there(gentleness, root, rate):
    limit = gentleness.limit_of(root)
    assert (limit.rate_bytes_per_s if limit else None) == rate


def test_all_who_read_a_source_share_its_limit(gentleness):
    assert gentleness.limit_of("/data/b/below") is gentleness.limit_of("/data/b")
    assert gentleness.limit_of("/data/a") is not gentleness.limit_of("/data/b")


def test_a_gentle_root_holds_everything():
    rule = "{name: a, watch: /, format: frames, exclude: ['state/**'], gentle: true, deliver: [one]}"
    assert Gentleness(config_of(Path("/state"), rules=rule).rules).limit_of("/data") is not None
