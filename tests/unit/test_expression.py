"""A question about columns: what it means, what it refuses, and that nothing can make it raise, hang or run."""

import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from depositd.expression import DEEPEST, LONGEST_CHARACTERS, MOST_TOKENS, Expression, show_value
from depositd.units import printable

ROW = {
    "N_peptides": 412,
    "N_text": "412",
    "MS/MS Identified [%]": 28.5,
    "Uploader": "you@lab.edu",
    "Flagged": False,
    "Said": "true",
    "Nothing": None,
    "NaN": math.nan,
    "Huge": 10**400,
    "List": [1],
    "and": 7,
    "Zero": 0,
}


def answer(text: str) -> bool | None:
    return Expression.parse(text).evaluate(ROW)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("N_peptides < 500", True),
        ("N_peptides >= 412.0", True),
        ("N_peptides == 412", True),
        ("N_peptides != 412", False),
        ("400 < N_peptides <= 412", True),
        ("400 < N_peptides < 412 < 500", False),
        ("N_text < 500", True),
        ("N_text == N_peptides", True),
        ("'412' == N_peptides", True),
        ("`MS/MS Identified [%]` < 30", True),
        ("`and` == 7", True),
        ("N_peptides - 12 == 4 * 100", True),
        ("1 + 2 * 3 < N_peptides / 2", True),
        ("(1 + 2) * -N_peptides == -1.236e3", True),
        ("+N_peptides > .5", True),
        ("not N_peptides < 500", False),
        ("not Flagged", True),
        ("Flagged or Said", True),
        ("Flagged == false and Said != FALSE", True),
        ("N_peptides < 5 or N_peptides > 400 and not Flagged", True),
        ("(N_peptides < 5 or N_peptides > 400) and Flagged", False),
        ("Uploader == 'you@lab.edu'", True),
        ('Uploader > "a"', True),
        # what is not known
        ("Missing < 500", None),
        ("Nothing < 500", None),
        ("NaN < 500", None),
        ("Huge > 500", None),
        ("List == 1", None),
        ("N_peptides < Uploader", None),
        ("Uploader < 500", None),
        ("Flagged < true", None),
        ("Flagged == 0", None),
        ("N_peptides", None),
        ("N_peptides / Zero > 1", None),
        ("N_peptides * 1e308 * 1e308 > 1", None),
        ("-Uploader < 1", None),
        ("not Missing", None),
        # three values: what is known decides where it can
        ("Missing > 1 and N_peptides > 500", False),
        ("N_peptides > 500 and Missing > 1", False),
        ("Missing > 1 or N_peptides < 500", True),
        ("Missing > 1 and N_peptides < 500", None),
        ("Missing > 1 or N_peptides > 500", None),
        ("500 < N_peptides < Missing", False),
        ("400 < N_peptides < Missing", None),
    ],
)
def test_what_it_means(text, meaning):
    assert answer(text) is meaning


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is empty (a comparison, such as N_peptides < 500)"),
        ("  ", "is empty (a comparison, such as N_peptides < 500)"),
        ("N = 1", "has '=' (==)"),
        ("N > 1 && M > 1", "has '&' (and)"),
        ("N > 1 || M > 1", "has '|' (or)"),
        ("!N", "has '!' (not)"),
        ("N > 'x", "has ''x', which is not closed (another ')"),
        ("`N > 1", "has '`N > 1', which is not closed (another `)"),
        ("`` > 1", "has a name of no characters in backticks (the name of a column)"),
        ("N", None),
        ("N + 1", "'N + 1' is a value and no question (a comparison, such as N_peptides < 500)"),
        ("1 < 2", "'1 < 2' names no column (a column without quotes, such as N_peptides < 500)"),
        ("'N' < 2", "''N' < 2' names no column (a column without quotes, such as N_peptides < 500)"),
        ("N and 5", "'N and 5' joins values with and, or, not (comparisons, such as N_peptides < 500)"),
        ("(N > 1) > 2", "'(N > 1) > 2' calculates with an answer (and, or, not between comparisons)"),
    ],
)
def test_what_is_said_of_what_is_wrong(text, wrong):
    if wrong is None:
        assert Expression.parse(text).columns == (text,)
        return
    with pytest.raises(ValueError) as caught:
        Expression.parse(text)
    assert str(caught.value) == wrong


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "f(N) > 1",
        "N.real > 1",
        "N[0] > 1",
        "N ** 9 ** 9 > 1",
        "N // 2 > 1",
        "N % 2 > 1",
        "lambda: N",
        "[N for N in M]",
        "{N: 1}",
        "N if M else K",
        "N in M",
        "N is M",
        "(N := 1) > 1",
        "N > 1, M > 1",
        "N > 1; M > 1",
        "*N > 1",
        "await N",
        "~N > 1",
        "N > 0x10",
        "N > 1_000",
        "N > 1j",
        "N > 1or M",
        "N > f'{M}'",
        "N > b'x'",
        "é > 1",
        "N > 1 # M",
        "N > 1 \\\n",
        "N > 1 AND M > 1",
        "N M",
        "(N > 1",
        ")N > 1(",
        "not",
        "N <> 1",
        "\x00",
        "\ud800 > 1",
    ],
)
def test_nothing_else_is_taken(text):
    with pytest.raises(ValueError):
        Expression.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * DEEPEST + "(N > 1)" + ")" * DEEPEST,
        "not " * (DEEPEST + 1) + "N",
        "-" * (DEEPEST + 1) + "N > 1",
        "1 + " * (DEEPEST + 1) + "N > 1",
        " or ".join(["N > 1"] * (MOST_TOKENS // 4 + 1)),
        "N > 1".ljust(LONGEST_CHARACTERS + 1),
        "(" * 900,
    ],
)
def test_it_is_bounded(text):
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"deep|more than|longer"):
        Expression.parse(text)
    assert time.monotonic() - began < 1


def test_it_says_what_it_was_asked_of():
    one = Expression.parse("N_peptides   <\n500")
    assert (one.text, one.columns) == ("N_peptides < 500", ("N_peptides",))
    assert one.with_values(ROW) == "N_peptides < 500 (412)"
    two = Expression.parse("`MS/MS Identified [%]` < 30 or Missing > N_peptides or N_peptides < 3")
    assert two.columns == ("MS/MS Identified [%]", "Missing", "N_peptides")
    assert two.with_values(ROW).endswith("(MS/MS Identified [%] 28.5, Missing not measured, N_peptides 412)")
    assert (
        Expression.parse("a == 'x'").with_values({"a": "\x1b[2J" + "y" * 99}) == "a == 'x' (\\x1b[2J" + "y" * 52 + "…)"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not measured"),
        (True, "true"),
        (False, "false"),
        (16000, "16000"),
        (28.123456789, "28.1235"),
        (3, "3"),
        (1e300, "1e+300"),
        (10**400, "a number beyond bounds"),
        ("x\n", "x\\n"),
        ([1], "[1]"),
    ],
)
def test_values_as_people_read_them(value, shown):
    assert show_value(value) == shown


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["12", "true", " 1e3 "]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
SIGNS = ["<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "(", ")", ".", ",", "[", "]", "**", "\n", "\t", "é"]
WORDS = st.sampled_from(["a", "`c d`", "1", "1e999", "'x'", '"12"', "true", "and", "or", "not", "if", "lambda", *SIGNS])
LEAVES = st.sampled_from(["a", "b", "`c d`", "1", "0", "2.5", "'x'", "'12'"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join).map("({})".format) | inner.map("-{}".format)
    ),
    max_leaves=6,
)
COMPARISONS = st.lists(VALUES, min_size=2, max_size=3).flatmap(
    lambda parts: st.sampled_from(["<", "<=", ">", ">=", "==", "!="]).map(lambda how: f" {how} ".join(parts))
)
QUESTIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join).map("({})".format)
        | inner.map("(not {})".format)
    ),
    max_leaves=4,
).map("a < 1 or {}".format)
ROWS = st.dictionaries(st.sampled_from(["a", "b", "c d"]), ANYTHING)


def parsed(text: str) -> Expression | str:
    """Return the question, or what is said of the text; anything else is a failure."""
    try:
        return Expression.parse(text)
    except ValueError as error:
        return str(error)


@given(st.text(max_size=60) | st.lists(WORDS, max_size=30).map(" ".join), ROWS)
@example("\x85", {})
@example("a < 1 \x1c\u2003", {})
@settings(max_examples=400)
def test_parsing_raises_nothing_but_value_errors_and_evaluating_nothing(text, row):
    question = parsed(text)
    if isinstance(question, str):
        assert printable(question) == question
        assert question.endswith(")")
        return
    assert question.columns
    assert question.evaluate(row) in (True, False, None)
    shown = question.with_values(row)
    assert printable(shown) == shown


@given(QUESTIONS, ROWS)
@settings(max_examples=300)
def test_a_well_formed_question_is_taken_and_answered(text, row):
    question, opposite = parsed(text), parsed(f"not ({text})")
    if isinstance(question, str) or isinstance(opposite, str):
        assert re.search("deep|more than|longer", f"{question} {opposite}")
        return
    answer = question.evaluate(row)
    assert opposite.evaluate(row) is {True: False, False: True, None: None}[answer]


NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_it_means_what_python_means(a, b, c):
    row = {"a": a, "b": b, "c": c}
    for text in ("a < b or b < c and not a < c", "a < b <= c", "a + b * 2 - c > 0", "not a == b != c", "-a > b - -c"):
        assert Expression.parse(text).evaluate(row) is bool(eval(text, {}, row))
