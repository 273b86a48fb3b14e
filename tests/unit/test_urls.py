from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from depositd.urls import has_login, is_in_the_clear, is_loopback, proxy_url, web_url

PIECES = st.sampled_from(
    [
        *("http://", "https://", "//", "127.0.0.1", "localhost", "evil.example", "[::1]", "[", "]", "0", "80"),
        *("@", ":", "/", "\\", "#", "?", "%2f", "%40", ".", "..", "a", "é", "。", " ", "\t"),
    ]
)


@given(st.lists(PIECES, max_size=8).map("".join))
@example("http://[::1].evil.example/")
@example("http://127.0.0.1\\@evil.example/")
@example("http://127.0.0.1#@evil.example/")
def test_what_is_a_url_here_names_the_same_host_to_who_sends_the_request(text):
    parts = web_url(text)
    if parts is None:
        return
    assert parse_url(text).host.strip("[]") == parts.hostname
    assert parse_url(text).scheme == parts.scheme


def test_that_test_can_fail():
    """What our reader alone would take for this machine, the sender of requests does not."""
    with pytest.raises(LocationParseError):
        parse_url("http://[::1].evil.example/")


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.255.1.2", "::1", "[::1]"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "x.localhost",
        "localhost.",
        "localhost.localdomain",
        "127.0.0.1.nip.io",
        "127.1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
    ],
)
def test_not_this_machine_for_sure(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "proxy", "clear"),
    [
        ("https://srv.example/", None, False),
        ("https://srv.example/", "http://proxy.example:3128", False),
        ("http://srv.example/", None, True),
        ("HTTP://srv.example/", None, True),
        ("http://srv.example/", "http://127.0.0.1:3128", True),
        ("http://127.0.0.1/", None, False),
        ("http://127.0.0.1/", "http://localhost:3128", False),
        ("http://127.0.0.1/", "https://proxy.example:3128", True),
    ],
)
def test_what_others_could_read(url, proxy, clear):
    assert is_in_the_clear(url, proxy) is clear


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example.org:3128", "http://proxy.example.org:3128"),
        ("https://proxy.example.org/", "https://proxy.example.org"),
        ("HTTP://Proxy.example.org", "http://Proxy.example.org"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://proxy.example.org/x", None),
        ("http://proxy.example.org#x", None),
        ("http://me@proxy.example.org", None),
        ("proxy.example.org:3128", None),
        ("socks5h://proxy.example.org:1080", None),
    ],
)
def test_a_proxy(text, proxy):
    assert proxy_url(text) == proxy


@pytest.mark.parametrize(
    "text", ["https://me@h/", "https://me:pw@h/", "me:pw@h", "https://me:p/w@h/", "http://a@[::1/"]
)
def test_what_might_be_a_login(text):
    assert has_login(text)


@pytest.mark.parametrize("text", ["https://h/~me@lab/", "https://h/?to=me@lab", "h.example", "https://[::1/"])
def test_what_is_none(text):
    assert not has_login(text)
