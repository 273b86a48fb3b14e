from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.secrecy import MOST_SECRETS, Secrets

SECRET = 'pa  ss/w+rd%&"ü"\\<x>'


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        " ".join(SECRET.split()),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET).lower(),
        urlencode({"password": SECRET}),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        html.escape(SECRET),
        repr({"password": SECRET}),
    ],
)
def test_a_secret_is_found_in_every_spelling(spelled):
    secrets = Secrets("***")
    secrets.add(SECRET)
    shown = secrets.redact(f"it said {spelled}.")
    assert "***" in shown
    assert "ss" not in shown.replace("password", "")


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_is_left_whatever_stands_around_it(secret, before, after):
    secrets = Secrets("")
    secrets.add(secret)
    assert secret not in secrets.redact(before) + "\n" or secret == "\n"
    assert len(secrets.redact(before + secret + after)) <= len(before + after)


def test_the_secrets_used_last_are_kept_and_the_rest_bounded():
    secrets = Secrets("***")
    secrets.add("the-token")
    for number in range(3 * MOST_SECRETS):
        secrets.add(f"csrf-{number:06d}")
        secrets.add("the-token")
    assert secrets.redact("the-token csrf-000767 csrf-000001") == "*** *** csrf-000001"


def test_nothing_is_replaced_where_there_is_no_secret():
    secrets = Secrets("***")
    assert secrets.redact("as it is") == "as it is"
    secrets.add("abc")
    assert secrets.redact("abc") == "abc"


def test_the_replacement_is_taken_as_it_is():
    secrets = Secrets(r"\g<0>")
    secrets.add("the-token")
    assert secrets.redact("the-token") == r"\g<0>"
