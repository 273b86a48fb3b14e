"""Which rule takes which files."""

from __future__ import annotations

import pytest
from engine_support import rule_of
from format_files import listing_of, stat_of
from hypothesis import given
from hypothesis import strategies as st

from depositd.engine.matching import RuleMatcher, glob_literal, has_marker, take_all
from depositd.model import Listing

SERIES = ("lyso_1_00001.cbf", "lyso_1_00002.cbf")


def matcher(**keys):
    return RuleMatcher(rule_of(**keys))


def taken(listing, *matchers):
    return [
        (one.rule, one.dataset.name, [file.name for file in one.dataset.files]) for one in take_all(matchers, listing)
    ]


def names(listing, *matchers):
    return [name for _rule, name, _files in taken(listing, *matchers)]


def test_the_first_rule_takes_a_file_and_the_next_gets_what_is_left():
    first, second = matcher(include="['run1/lyso*']"), matcher()
    found = taken(listing_of(*SERIES, "thau_1_00001.cbf"), first, second)
    assert [(rule, name) for rule, name, _ in found] == [(first.rule, "lyso_1"), (second.rule, "thau_1")]


def test_a_file_is_taken_by_one_rule_only():
    first, second = matcher(), matcher(format="file")
    found = taken(listing_of(*SERIES, "notes.txt"), first, second)
    assert [files for _rule, _name, files in found] == [list(SERIES), ["notes.txt"]]


def test_include_and_exclude_decide_by_the_path_below_the_watched_directory():
    listing = listing_of(*SERIES, directory="mx1/run")
    assert names(listing, matcher(include="['**/*.cbf']")) == ["lyso_1"]
    assert names(listing, matcher(include="['*.cbf']")) == []
    assert names(listing, matcher(exclude="['mx1/**']")) == []
    assert names(listing, matcher(exclude="['**/*_00002.cbf']")) == ["lyso_1"]
    assert taken(listing, matcher(exclude="['**/*_00002.cbf']"))[0][2] == ["lyso_1_00001.cbf"]


def test_an_excluded_directory_is_pruned_and_never_claimed():
    rule = matcher(format="waters-raw", exclude="['**/processed/**']")
    assert rule.prunes("a/processed")
    assert not rule.claims("a/processed/x.raw")
    assert rule.claims("a/x.raw")
    assert not rule.prunes("a")


def test_sidecars_and_markers_belong_to_no_dataset():
    listing = listing_of("a.txt", "deposit.yaml", "a.deposit.yaml", "a.done")
    assert names(listing, matcher(format="file", marker="'*.done'")) == ["a"]


def test_a_dataset_gets_its_own_sidecar_after_the_directorys():
    listing = listing_of(*SERIES, "thau_1_00001.cbf", "deposit.yaml", "lyso_1.deposit.yaml")
    sidecars = {one.dataset.name: one.sidecars for one in take_all([matcher()], listing)}
    assert sidecars == {
        "lyso_1": ("run1/deposit.yaml", "run1/lyso_1.deposit.yaml"),
        "thau_1": ("run1/deposit.yaml",),
    }


def test_a_directory_takes_its_sidecar_from_inside_and_from_beside():
    trees = {"a": (stat_of("a/deposit.yaml"), stat_of("a/x"), stat_of("a/below/deposit.yaml"))}
    listing = listing_of("deposit.yaml", "a.deposit.yaml", directory="", trees=trees)
    (one,) = take_all([matcher(format="directory")], listing)
    assert one.sidecars == ("a/deposit.yaml", "a.deposit.yaml")
    assert [file.path for file in one.dataset.files] == ["a/x"]


@pytest.mark.parametrize(
    ("pattern", "name", "candidates", "neighbours", "present"),
    [
        ("*.done", "lyso_1", ["lyso_1.done"], ["lyso_1", "lyso_2"], True),
        ("*.done", "lyso_2", ["lyso_1.done"], ["lyso_1", "lyso_2"], False),
        ("*.done", "lyso_2", ["all.done"], ["lyso_1", "lyso_2"], True),
        ("*.done", "lyso_1", ["lyso_10.done"], ["lyso_1", "lyso_10"], False),
        ("*.done", "lyso_10", ["lyso_10.done"], ["lyso_1", "lyso_10"], True),
        ("*.done", "lyso_1", ["lyso_1.DONE"], ["lyso_1"], False),
        ("{name}.done", "lyso_1", ["lyso_1.done"], ["lyso_1"], True),
        ("{name}.done", "lyso_1", ["all.done"], ["lyso_1"], False),
        ("{name}.done", "a[1]*", ["a[1]*.done"], ["a[1]*"], True),
        ("{name}.done", "a[1]*", ["a1x.done"], ["a[1]*"], False),
        ("*.done", "lyso_1", [], ["lyso_1"], False),
    ],
)
def test_a_marker_ends_the_dataset_whose_name_it_bears_or_all(pattern, name, candidates, neighbours, present):
    assert has_marker(pattern, name, candidates, neighbours) is present


def test_a_marker_may_lie_beside_or_directly_inside_a_directory():
    rule = matcher(format="directory", marker="'*.done'")
    for where, present in (("a/x.done", True), ("a/below/x.done", False)):
        trees = {"a": (stat_of("a/x"), stat_of(where))}
        (one,) = take_all([rule], Listing("", (), trees))
        assert one.terms.marker_present is present
    (one,) = take_all([rule], Listing("", (stat_of("a.done"),), {"a": (stat_of("a/x"),)}))
    assert one.terms.marker_present


def test_the_terms_are_the_rules():
    (one,) = take_all([matcher(settle="7s", expect="{frames: 9}", marker="'*.done'")], listing_of(*SERIES))
    assert (one.terms.settle_s, one.terms.expected_frames) == (7, 9)
    assert (one.terms.marker_pattern, one.terms.marker_present) == ("*.done", False)


def test_the_directory_format_takes_the_top_directories_or_those_included():
    assert matcher(format="directory").claims("a")
    assert not matcher(format="directory").claims("a/b")
    deeper = matcher(format="directory", include="['*/*']")
    assert (deeper.claims("a"), deeper.claims("a/b"), deeper.claims("a/b/c")) == (False, True, False)


def test_an_include_may_name_a_directory_or_what_lies_in_it():
    trees = {"x.raw": (stat_of("x.raw/_FUNC001.DAT"), stat_of("x.raw/_HEADER.TXT"))}
    for include, count in (("['x.raw']", 2), ("['**/_FUNC001.DAT']", 2), ("['y.raw']", 0)):
        found = take_all([matcher(format="waters-raw", include=include)], Listing("", (), trees))
        assert sum(len(one.dataset.files) for one in found) == count


def test_an_exclude_leaves_files_of_a_directory_out():
    trees = {"x.raw": (stat_of("x.raw/_FUNC001.DAT"), stat_of("x.raw/scratch.tmp"))}
    (one,) = take_all([matcher(format="waters-raw", exclude="['**/*.tmp']")], Listing("", (), trees))
    assert [file.name for file in one.dataset.files] == ["_FUNC001.DAT"]


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1), st.text(st.characters(exclude_characters="/\0")))
def test_a_literal_matches_itself_alone(name, other):
    pattern = glob_literal(name) + ".done"
    assert has_marker(pattern, name, [f"{name}.done"], [name])
    if other != name:
        assert not has_marker(pattern, name, [f"{other}.done"], [])
