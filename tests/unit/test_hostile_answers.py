"""Answers that were made to take long to read, and one that is cut off in the middle of a secret."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.destinations.classify import server_sentence
from depositd.destinations.proteomicsqc.pages import csrf_token, has_login_form, page_runs
from depositd.secrecy import Secrets

SECRET = "kanarienvogel 0123456789"
BEGINNINGS = [
    *(
        "<",
        "<title>",
        "<title ",
        "</title",
        "<script>",
        "<style></script>",
        "<!--",
        "<![",
        "<a ",
        "<a x='",
        "&#",
        "&lt",
    ),
    *("[", '{"a":', '"', " ", "\\u0000", "<tr data-run-name='a'>"),
]


@pytest.mark.fault(24)
@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_no_answer_takes_long_to_be_told(beginning, kind):
    content = (beginning * 70_000)[:70_000].encode()
    began = time.process_time()
    sentence = server_sentence(kind, content, Secrets("***"))
    assert time.process_time() - began < 0.5
    assert len(sentence) <= 300
    assert sentence.isprintable()


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("read", [csrf_token, has_login_form, page_runs])
def test_no_page_takes_long_to_be_read(beginning, read):
    page = (beginning * 100_000)[:100_000]
    began = time.process_time()
    read(page)
    assert time.process_time() - began < 3.0


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<html><TITLE x='1'> no &amp; more </title><p>x", "no & more"),
        ("<p>a<script>var x = '<b>'</script>b<style>x</style>c", "a b c"),
        ("<p>a<script>never closed", "a never closed"),
        ("<title>never closed <b>bold</b>", "never closed bold"),
        ("a < b <i>c</i>", "a < b c"),
    ],
)
def test_a_page_is_told_by_its_title_or_its_text(page, said):
    assert server_sentence("text/html", page.encode()) == said


@pytest.mark.fault(33)
@given(st.integers(4, len(SECRET) - 1), st.sampled_from(["text/html", "text/plain"]))
def test_a_secret_that_is_cut_off_with_the_answer_leaves_nothing(length, kind):
    secrets = Secrets("***")
    secrets.add(SECRET)
    blanks = 65_536 - length
    content = b"it was " + b" " * (blanks - 7) + SECRET.upper().encode() + b" and more"
    assert server_sentence(kind, content, secrets) == "it was"


def test_what_begins_no_secret_stays():
    secrets = Secrets("***")
    assert secrets.without_begun("text") == "text"
    secrets.add(SECRET)
    assert secrets.without_begun("the end: kan") == "the end: kan"
    assert secrets.without_begun("the end: kana") == "the end: "
    assert secrets.without_begun("") == ""
