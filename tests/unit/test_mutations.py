"""The list of the mutants that survive, and how it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mutation.survivors import Change, as_toml, change_of, read
from mutation.targets import SHORT, TARGETS

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "daemon" / "depositd"
LISTED = read(TESTS / "mutations.toml")

DIFFERENCE = """\
# depositd.retry.x_wait_s__mutmut_7: survived
--- depositd/retry.py
+++ depositd/retry.py
@@ -4,7 +4,6 @@
     first
-    wait = min(
-        a, b)
+    wait = min(a)
     last
"""


@pytest.mark.parametrize("change", LISTED, ids=lambda change: f"{change.module}.{change.function}")
def test_every_listed_survivor_is_of_code_that_is_still_there_and_has_its_reason(change):
    code = " ".join(line.strip() for line in (PACKAGE / TARGETS[change.module].path).read_text().splitlines())
    assert change.was in code, "the code has changed: run scripts/mutate and list what survives now"
    assert change.function.rpartition(".")[2] in code
    assert change.becomes != change.was
    assert len(LISTED[change].split()) > 3


def test_every_target_is_there_with_its_tests():
    assert set(SHORT) < set(TARGETS)
    for target in TARGETS.values():
        assert (PACKAGE / target.path).is_file()
        assert all((TESTS / test).is_file() for test in target.tests)


@pytest.mark.parametrize(
    ("mutant", "function"),
    [
        ("depositd.retry.x_wait_s__mutmut_7", "wait_s"),
        ("depositd.retry.x__hint__mutmut_12", "_hint"),
        ("depositd.formats.gaps.xǁ_Rhythmǁclaim__mutmut_1", "_Rhythm.claim"),
    ],
)
def test_a_change_is_told_by_its_lines_wherever_they_stand(mutant, function):
    assert change_of("retry", mutant, DIFFERENCE) == Change("retry", function, "wait = min( a, b)", "wait = min(a)")


def test_what_is_printed_to_be_listed_is_read_back(tmp_path):
    changes = [
        Change("retry", "wait_s", "a = 'x'", 'a = "\\n"'),
        Change("retry", "wait_s", 'it\'s "both" \\n', "c"),
        Change("gaps", "f", "b", "c"),
    ]
    file = tmp_path / "list.toml"
    file.write_text(as_toml(changes), encoding="utf-8")
    assert list(read(file)) == changes
    assert tomllib.loads(as_toml(changes))["retry"][0]["why"] == ""
