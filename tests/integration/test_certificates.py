"""When a certificate that is out of date began or ended."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from http_support import CANARY
from hypothesis import given
from hypothesis import strategies as st
from tls_support import Authority
from wire_support import Said, wire

from depositd.destinations.certificates import certificate_times, times_of
from depositd.destinations.proteindiffraction import Client
from depositd.errors import Unavailable


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def _der(pem):
    return subprocess.run(["openssl", "x509", "-in", pem, "-outform", "DER"], check=True, capture_output=True).stdout


@pytest.mark.fault(24)
def test_an_expired_certificate_is_said_with_the_time_at_which_it_ended_and_what_to_do(authority):
    pem, key = authority.issue(days=-1)
    asked = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-enddate"], check=True, capture_output=True)
    ended = datetime.strptime(asked.stdout.decode().strip(), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    with wire(lambda _asked: Said(body=b"[]"), (pem, key)) as server:
        with pytest.raises(Unavailable, match="certificate has expired") as caught:
            Client(server.url, token=CANARY, ca_file=authority.certificate).submissions()
        assert str(caught.value).endswith(f"; it ended at {ended:%Y-%m-%dT%H:%M:%SZ}")
        assert "renew its certificate" in caught.value.hint
        assert server.asked == []


def test_of_a_server_that_shows_no_certificate_no_time_is_said():
    with wire(lambda _asked: Said(body=b"[]")) as server:
        assert certificate_times("127.0.0.1", server.port) is None
    assert certificate_times("127.0.0.1", 1) is None


def test_the_times_are_those_of_the_certificate_before_and_after_2050(authority):
    begins, ends = times_of(_der(authority.issue(days=2)[0]))
    assert ends - begins == timedelta(days=2)
    begins, ends = times_of(_der(authority.issue("DNS:long.example", days=20_000)[0]))
    assert ends - begins == timedelta(days=20_000)
    assert ends.year > 2050


@given(junk=st.binary(max_size=200))
def test_what_is_no_certificate_has_no_times(junk):
    with pytest.raises((ValueError, IndexError)):
        times_of(junk)


def test_a_certificate_that_is_cut_off_anywhere_harms_nobody(authority):
    whole = _der(authority.issue()[0])
    for length in range(len(whole)):
        try:
            times_of(whole[:length])
        except (ValueError, IndexError):
            continue
        assert length > 60, "both times are there"
