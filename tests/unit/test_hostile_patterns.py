"""Regular expressions and globs of the config against names that were made to stop the watch."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.config import PATH, Globs, MetadataRules, resolve
from depositd.config.globs import check_glob
from depositd.config.patterns import SEARCH_WITHIN_S, PathPattern, TooSlowError
from depositd.engine.matching import has_marker

SLOW = r"(?P<sample>(a|aa)+)$"
NAME = "a" * 255
LONG = "/".join([NAME] * 15)


@contextmanager
def within(seconds):
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds, f"{took:.2f} s"


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    "text",
    [
        SLOW,
        r"(?P<x>(.*a){20})$",
        r"(?P<x>(x+x+)+y|(a+a+)+y)",
        r"(?P<x>^(([a-z])+.)+[A-Z]([a-z])+$)",
        r"(?P<x>(?=(a+)+b)a)",
        r"(?P<x>(a*)*\2*\2*\2*\2*b)",
        r"(?P<x>(?:a?){500}a{500})",
    ],
)
@pytest.mark.parametrize("path", [NAME, LONG, LONG + "!", "x" * 4000])
def test_a_search_of_a_path_ends_in_time(text, path):
    pattern = PathPattern.parse(text)
    with within(4 * SEARCH_WITHIN_S):
        try:
            pattern.search(path)
        except TooSlowError as error:
            assert "took more than 0.2 s on a path of" in str(error)  # noqa: PT017 - it may end in time as well


def test_that_test_can_fail():
    """What it searches is not searched in time without the bound."""
    with pytest.raises(TooSlowError, match=r"'\(\?P<sample>\(a\|aa\)\+\)\$' took more than"):
        PathPattern.parse(SLOW).search(NAME + "!")


def test_what_took_too_long_once_is_not_tried_again():
    pattern = PathPattern.parse(SLOW)
    path = NAME + "?"
    with pytest.raises(TooSlowError):
        pattern.search(path)
    with within(0.05), pytest.raises(TooSlowError):
        pattern.search(path)


@pytest.mark.parametrize(
    "text",
    [
        r"(?P<x>(?:a|b|c){99999999})",
        r"(?P<x>((((a{99}){99}){99}){99}))",
        r"(?P<x>[^/]{9999999})",
        "(?P<x>" + "a" * 2000 + ")",
    ],
)
def test_an_expression_that_would_fill_the_memory_is_refused(text):
    with within(1.0), pytest.raises(ValueError, match=r"too large|longer than 2,000 characters"):
        PathPattern.parse(text)


@pytest.mark.parametrize(
    ("text", "path", "groups"),
    [
        (r"(?P<proposal>mx\d+)/(?P<sample>[^/]+)/", "a/mx12/lyso/x.cbf", {"proposal": "mx12", "sample": "lyso"}),
        (r"^(?P<a>[^/]*)/(?:x|(?P<b>y))", "p/x", {"a": "p", "b": None}),
        (r"(?i)(?P<a>LYSO)", "lyso_1", {"a": "lyso"}),
        (r"(?x) (?P<a>\d+)  # ) a number (", "run 7", {"a": "7"}),
        (r"(?P<a>[]\[()]+)", "x[]()", {"a": "[]()"}),
        (r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<time>\d{6})", "2026-11-21_021407", {"date": "2026-11-21", "time": "021407"}),
        (r"(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", "/01234567-89ab-cdef-0123-456789abcdef/",
         {"id": "01234567-89ab-cdef-0123-456789abcdef"}),
        (r"(?P<a>x)(?=.*(?P<b>y))(?<!z)", "xay", {"a": "x", "b": "y"}),
        (r"(?P<a>.)(?P=a)", "abba", {"a": "b"}),
        (r"(?P<a>\w+)\Z", "ä\udcff/ö", {"a": "ö"}),
        (r"(?P<a>a++)(?>b)", "aab", {"a": "aa"}),
        (r"(?P<a>\d{1,100000})", "123", {"a": "123"}),
        (r"(?P<a>x)", "none", None),
    ],
)  # fmt: skip
def test_what_python_documents_works(text, path, groups):
    assert PathPattern.parse(text).search(path) == groups
    found = re.search(text, path)
    assert (found and found.groupdict()) == groups


ATOM = st.sampled_from(["a", "b", "/", r"\d", r"\w", ".", "[^/]", "[ab]", "(?:a|b)", "(?:ab)", "^", "$", r"\b"])
REPEAT = st.sampled_from(["", "", "+", "*", "?", "{2}", "{1,3}", "+?", "*?", "??"])
PIECES = st.lists(st.tuples(ATOM, REPEAT), min_size=1, max_size=6)


@given(PIECES, PIECES, st.text(alphabet="ab1/_é\udcff", max_size=12))
def test_it_finds_what_re_finds(before, inside, path):
    def written(pieces):
        return "".join(atom + (repeat if atom not in ("^", "$", r"\b") else "") for atom, repeat in pieces)

    text = f"{written(before)}(?P<x>{written(inside)})"
    found = re.search(text, path)
    assert PathPattern.parse(text).search(path) == (found and found.groupdict())


# --- what becomes of it -------------------------------------------------------------------------------------------

HELD = (
    "'(?P<sample>(a|aa)+)$' took more than 0.2 s on a path of 256 characters and was given up, so the path gave nothing"
)


def resolved(path, header=None, sidecar=None, operator=None, **rules):
    return resolve(header or {}, path, MetadataRules(path=SLOW, **rules), {}, sidecar or {}, operator or {}, {})


def test_what_the_path_may_hold_is_a_problem_and_not_a_default():
    result = resolved(NAME + "!", {"sample": "from the header", "detector": "Eiger"})
    assert result.values == {"detector": "Eiger"}
    (problem,) = result.problems
    assert (problem.where, problem.what) == (PATH, HELD)
    assert problem.hint.endswith("or give sample with release --set or in the sidecar")


@pytest.mark.parametrize("layer", ["sidecar", "operator"])
def test_whoever_gives_it_later_is_believed(layer):
    result = resolved(NAME + "!", **{layer: {"sample": "lyso"}})
    assert (result.values, result.problems) == ({"sample": "lyso"}, ())


def test_a_template_that_needs_it_says_so_besides():
    result = resolved(NAME + "!", set={"title": "{sample}"})
    assert [problem.where for problem in result.problems] == ["metadata.set.title", PATH]


# --- globs --------------------------------------------------------------------------------------------------------

GLOBS = [
    "**/*a*a*a*a*a*a*a*a*b",
    "*a" * 50 + "b",
    "**/" + "?*" * 40 + "b",
    "**/[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*b",
    "**/" + "*{a,aa}" * 4 + "b",
    "**/a*/**/a*/**/b",
    "**/" + "*" * 100 + "b",
]
DEEP = "/".join(["a"] * 50)


@pytest.mark.fault(13)
@pytest.mark.parametrize("pattern", GLOBS)
@pytest.mark.parametrize("path", [NAME, NAME + "c", LONG, DEEP])
def test_no_glob_takes_long_on_any_name(pattern, path):
    check_glob(pattern)
    included, excluded = Globs([pattern]), Globs((), [pattern])
    with within(0.5):
        included.selects(path)
        excluded.prunes(path)


def test_a_glob_of_many_double_stars_is_refused():
    check_glob("**/mx*/**/raw/**/*.cbf")
    check_glob("{a,b}/**/*.{cbf,h5}")
    with pytest.raises(ValueError, match=r"has more than 3 \*\* \(fewer, or two globs\)"):
        check_glob("**/a/**/a/**/a/**/b")


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*a*a*b", "{name}*a*a*a*a*a*a*a*b", "[a-z]*" * 20 + "b"])
def test_no_marker_takes_long_on_any_name(pattern):
    with within(0.2):
        has_marker(pattern, NAME, [NAME, NAME + "c"], [])
