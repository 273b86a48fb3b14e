"""Include and exclude globs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.config import Globs
from depositd.config.globs import check_glob


@pytest.mark.parametrize(
    ("pattern", "path", "selected"),
    [
        ("**/*.cbf", "a.cbf", True),
        ("**/*.cbf", "x/y/a.cbf", True),
        ("**/*.cbf", "x/y/a.CBF", False),
        ("**/*.cbf", "x/.hidden/.a.cbf", True),
        ("**/*.cbf", "x\ny/a\n.cbf", True),
        ("**/*.cbf", "x\udcff/a\udcfe.cbf", True),
        ("**/*.cbf", "a.cbf.tmp", False),
        ("*.cbf", "a.cbf", True),
        ("*.cbf", "x/a.cbf", False),
        ("**/*.{cbf,img}", "x/a.img", True),
        ("mx*/**/*.h5", "mx1/a.h5", True),
        ("lyso_[12]/*", "lyso_2/a", True),
        ("lyso_[12]/*", "lyso_3/a", False),
        ("[!a]*", "b", True),
        ("a?", "ab", True),
        ("**/*.raw", "x/waters.raw", True),
    ],
)
def test_include(pattern: str, path: str, selected: bool):
    assert Globs(include=[pattern]).selects(path) is selected


@pytest.mark.parametrize(
    ("pattern", "path", "selected"),
    [
        ("**/processed/**", "processed/a.cbf", False),
        ("**/processed/**", "x/processed/y/a.cbf", False),
        ("**/processed/**", "x/unprocessed/a.cbf", True),
        ("**/processed", "x/processed/y/a.cbf", False),
        ("processed/", "processed/a.cbf", False),
        ("processed/", "x/processed/a.cbf", True),
        ("**/blank_*.raw", "x/blank_1.raw/_FUNC001.DAT", False),
        ("**/*.tmp", "a.cbf", True),
    ],
)
def test_exclude(pattern: str, path: str, selected: bool):
    assert Globs(exclude=[pattern]).selects(path) is selected


def test_nothing_said_selects_everything_and_prunes_nothing():
    assert Globs().selects("a/b")
    assert not Globs().prunes("a")
    assert not Globs(include=["*.cbf"]).prunes("a")


def test_exclude_beats_include():
    globs = Globs(["**/*.cbf"], ["**/test_*"])
    assert [globs.selects(path) for path in ("a.cbf", "test_a.cbf", "a.img")] == [True, False, False]


@pytest.mark.parametrize(
    ("pattern", "directory", "pruned"),
    [
        ("**/processed/**", "processed", True),
        ("**/processed/**", "x/processed", True),
        ("**/processed/**", "x/processed/deeper", True),
        ("**/processed/**", "x", False),
        ("**/processed/**", "processed2", False),
        ("**/{processed,tmp}/**", "x/tmp", True),
        ("**/processed", "x/processed/deeper", True),
        ("**/*.tmp", "x/y.tmp", True),
        ("**/processed/*", "x/processed", False),
        ("x/*.cbf", "x", False),
        ("**", "", False),
    ],
)
def test_prunes(pattern: str, directory: str, pruned: bool):
    assert Globs(exclude=[pattern]).prunes(directory) is pruned


SEGMENT = st.sampled_from(["a", "b", "ab", ".a", "a.tmp", "processed"])
PATTERN = st.lists(
    st.sampled_from(["**", "*", "a", "b", "a*", "*.tmp", "{a,b}", "?", "[ab]", "processed"]), min_size=1, max_size=4
)


@given(PATTERN, st.lists(SEGMENT, min_size=1, max_size=3), st.lists(SEGMENT, min_size=1, max_size=3))
def test_nothing_below_a_pruned_directory_is_selected(pattern: list[str], directory: list[str], below: list[str]):
    globs = Globs(exclude=["/".join(pattern)])
    if globs.prunes("/".join(directory)):
        assert not globs.selects("/".join(directory + below))


def test_a_hundred_globs_of_many_alternatives():
    globs = Globs(include=[f"run{number}/{{1..500}}.cbf" for number in range(5)])
    assert globs.selects("run4/500.cbf")


@pytest.mark.parametrize("pattern", ["", " ", "/a", "a/../b", "..", "{1..1001}"])
def test_globs_that_are_refused(pattern: str):
    with pytest.raises(ValueError, match=r"\(.+\)$"):
        check_glob(pattern)
