"""What is mutated, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A module of pure decisions, and the tests that prove it, below ``tests/``."""

    path: str
    tests: tuple[str, ...]


TARGETS = {
    "states": Target("states.py", ("unit/test_states.py",)),
    "retry": Target("retry.py", ("unit/test_retry.py",)),
    "verifying": Target("archive/verifying.py", ("integration/test_archive_verifying.py",)),
    "ladder": Target("formats/ladder.py", ("unit/test_formats_ladder.py",)),
    "gaps": Target("formats/gaps.py", ("unit/test_formats_gaps.py",)),
    "circuit": Target("engine/circuit.py", ("unit/test_engine_circuit.py",)),
    "gates": Target("engine/gates.py", ("unit/test_engine_gates.py",)),
}
SHORT = ("states", "retry")
"""What every run of continuous integration mutates; its own job mutates all."""
