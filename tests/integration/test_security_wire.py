"""What goes over the wire, and to whom: proxies, TLS, redirects, cookies, and an environment that means harm."""

from __future__ import annotations

import json
import os
import socket
import traceback

import pytest
from http_support import CANARY, texts_of
from tls_support import Authority
from wire_support import Said, proxy, wire

from depositd.config import Credentials, SecretSource, parse_config
from depositd.destinations.body import Body, FilePart
from depositd.destinations.credentials import Given
from depositd.destinations.http import Session
from depositd.destinations.proteindiffraction import Client as PdiClient
from depositd.destinations.proteomicsqc import Client as PqcClient
from depositd.errors import AuthError, ConfigError, Rejected, RemoteError, Unavailable, Unconfirmed

LIST = b"[]"
PAGE = {"Content-Type": "text/html"}
FREE = "127.0.0.1:9"


def listing(_asked):
    return Said(body=LIST)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue()


def pdi(url, **options):
    return PdiClient(url, token=CANARY, **options)


def upload(client, tmp_path):
    file = tmp_path / "x.tar"
    file.write_bytes(b"abc")
    return client.upload(file)


# --- the proxy ----------------------------------------------------------------------------------------------------


def test_https_goes_through_the_tunnel_of_the_proxy_which_sees_no_token(certificate, authority):
    with wire(listing, certificate) as server, proxy() as between:
        assert pdi(server.url, proxy=between.url, ca_file=authority.certificate).submissions() == []
    (tunnel,) = between.asked
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"127.0.0.1:{server.port}")
    assert CANARY not in tunnel.text
    assert server.asked[0].headers["Authorization"] == f"Token {CANARY}"


def test_https_goes_through_a_proxy_that_speaks_tls_itself(certificate, authority):
    with wire(listing, certificate) as server, proxy(certificate=certificate) as between:
        client = pdi(server.url, proxy=between.url, ca_file=authority.certificate)
        assert client.submissions() == []
        assert [asked.method for asked in between.asked] == ["CONNECT"]
        with pytest.raises(Unavailable, match=r"the proxy https://127.* shows a TLS certificate that is not trusted"):
            pdi(server.url, proxy=between.url).submissions()
    assert len(server.asked) == 1


def test_http_goes_through_the_proxy_too_even_to_loopback():
    with wire(listing) as server, proxy() as between:
        assert PqcClient(server.url, token=CANARY, proxy=between.url).projects() == []
    assert [asked.target for asked in between.asked] == [f"{server.url}api/projects"]


def test_an_upload_goes_through_the_proxy_in_large_blocks(certificate, authority, tmp_path):
    answer = b'{"token": "t", "md5hash": "0", "filename": "x.tar", "filesize": 3, "status": "uploaded"}'
    with wire(lambda _: Said(201, answer), certificate) as server, proxy() as between:
        client = pdi(server.url, proxy=between.url, ca_file=authority.certificate)
        assert upload(client, tmp_path).token == "t"
        pools = client._session._requests.get_adapter(server.url).proxy_manager[between.url]
    assert pools.connection_pool_kw["blocksize"] == 1 << 20
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in pools.connection_pool_kw["socket_options"]
    assert b"abc" in server.asked[0].body


@pytest.mark.parametrize(
    ("status", "hint"), [(407, "wants a login"), (403, "whoever runs the proxy"), (503, "whoever runs the proxy")]
)
def test_a_tunnel_that_is_refused_is_no_verdict_on_data(certificate, tmp_path, status, hint):
    refusal = Said(status, f"<title>no, {CANARY}</title>".encode(), PAGE)
    with wire(listing, certificate) as server, proxy(refusal) as between, pytest.raises(Unavailable) as caught:
        upload(pdi(server.url, proxy=between.url), tmp_path)
    assert f"the proxy {between.url} answered with {status}" in str(caught.value)
    assert hint in caught.value.hint
    assert CANARY not in texts_of(caught.value)
    assert not server.asked


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Unconfirmed),
        (401, AuthError),
        (403, AuthError),
        (404, Unavailable),
        (407, Unavailable),
        (409, Unconfirmed),
        (413, Rejected),
        (429, Unavailable),
        (451, Unconfirmed),
        (502, Unconfirmed),
        (503, Unconfirmed),
    ],
)
@pytest.mark.fault(24)
def test_a_page_from_a_proxy_is_no_verdict_on_data(tmp_path, status, expected):
    page = Said(status, b"<html><head><title>ERROR: Access Denied</title></head></html>", PAGE)
    with wire(listing) as server, proxy(page) as between, pytest.raises(RemoteError) as caught:
        upload(pdi(server.url, proxy=between.url), tmp_path)
    assert type(caught.value) is expected
    assert "ERROR: Access Denied" in str(caught.value)
    assert caught.value.hint


def test_a_page_of_403_refuses_no_submission():
    with wire(lambda _: Said(403, b"<h1>blocked</h1>", PAGE)) as server, pytest.raises(Unconfirmed) as caught:
        pdi(server.url).submit("t", pdb_code="1ABC")
    assert "in between" in caught.value.hint
    refusal = Said(403, b'{"error": "not yours"}')
    with wire(lambda _: refusal) as server, pytest.raises(Rejected, match="not yours"):
        pdi(server.url).submit("t", pdb_code="1ABC")


def test_a_proxy_that_is_not_there_is_named(certificate):
    with wire(listing, certificate) as server:
        with pytest.raises(Unavailable, match=f"the proxy http://{FREE} refused the connection"):
            pdi(server.url, proxy=f"http://{FREE}").submissions()
        with pytest.raises(Unavailable, match=f"the proxy http://{FREE} refused the connection"):
            PqcClient("http://127.0.0.1:8/", token=CANARY, proxy=f"http://{FREE}").projects()


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "days", "own_ca", "words"),
    [
        ("IP:127.0.0.1", 2, False, "unable to get local issuer certificate"),
        ("IP:127.0.0.1", -1, True, "certificate has expired"),
        ("DNS:other.example", 2, True, "not valid for '127.0.0.1'"),
        ("IP:127.0.0.2", 2, True, "not valid for '127.0.0.1'"),
    ],
)
@pytest.mark.fault(24)
def test_a_certificate_that_is_not_right_is_refused_before_anything_is_sent(authority, name, days, own_ca, words):
    with wire(listing, authority.issue(name, days=days)) as server:
        for client in (PdiClient, PqcClient):
            one = client(server.url, token=CANARY, ca_file=authority.certificate if own_ca else None)
            ask = one.equipment if client is PdiClient else one.projects
            with pytest.raises(Unavailable, match="not trusted") as caught:
                ask()
            assert words in str(caught.value)
            assert "ca_file" in caught.value.hint
    assert not server.asked


@pytest.mark.fault(23)
def test_a_server_below_an_authority_of_ones_own_is_trusted_by_the_config_alone(authority, certificate, monkeypatch):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, authority.certificate)
    with wire(listing, certificate) as server:
        with pytest.raises(Unavailable, match="not trusted"):
            pdi(server.url).submissions()
        assert pdi(server.url, ca_file=authority.certificate).submissions() == []
    assert len(server.asked) == 1


@pytest.mark.fault(23)
def test_an_authority_of_the_environment_does_not_replace_that_of_the_config(
    authority, certificate, tmp_path, monkeypatch
):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, authority.certificate)
    with wire(listing, certificate) as server, pytest.raises(Unavailable, match="not trusted"):
        pdi(server.url, ca_file=other.certificate).submissions()
    assert not server.asked


# --- the environment ----------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Return a proxy that listens to everything, in an environment and a home that lead to it."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login mallory password netrc-password\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with proxy() as between:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, between.url)
            monkeypatch.setenv(variable.lower(), between.url)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        yield between


@pytest.mark.fault(23)
def test_proxies_and_netrc_of_the_environment_are_ignored(hostile, certificate, authority):
    with wire(listing, certificate) as server:
        pdi(server.url, ca_file=authority.certificate).submissions()
    with wire(listing) as clear:
        PqcClient(clear.url, token=CANARY).projects()
    assert not hostile.asked
    for asked in (*server.asked, *clear.asked):
        assert asked.headers["Authorization"] == f"Token {CANARY}"


def test_no_variable_leads_past_the_proxy_of_the_config(hostile, monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1,localhost,*")
    with wire(listing) as server, proxy() as ours:
        PqcClient(server.url, token=CANARY, proxy=ours.url).projects()
    assert len(ours.asked) == 1
    assert not hostile.asked


# --- redirects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.fault(19)
def test_no_redirect_is_followed_nor_shown(status, method):
    with wire(listing) as elsewhere:
        away = Said(status, b"", {"Location": f"{elsewhere.url}?token={CANARY}"})
        with wire(lambda _: away) as server:
            one = Session(server.url)
            one.keep_secret(CANARY)
            headers = {"Authorization": f"Token {CANARY}"}
            body = Body.json({"a": 1}) if method == "POST" else None
            with pytest.raises(Unavailable, match=f"with {status}") as caught:
                one.request(method, "thing", expected=(200,), headers=headers, body=body)
        assert len(server.asked) == 1
    assert not elsewhere.asked
    assert CANARY not in texts_of(caught.value)
    assert "redirects" in caught.value.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.fault(19)
def test_an_upload_is_not_led_from_https_to_http(status, certificate, authority, tmp_path):
    with wire(listing) as clear, wire(lambda _: Said(status, b"", {"Location": clear.url}), certificate) as server:
        client = pdi(server.url, ca_file=authority.certificate)
        with pytest.raises(Unconfirmed):
            upload(client, tmp_path)
    assert not clear.asked


def test_the_login_to_a_web_session_is_not_led_elsewhere():
    form = b'<form><input name="csrfmiddlewaretoken" value="csrf-canary-0123456789"></form>'

    def answer(asked):
        if asked.method == "GET":
            return Said(200, form, PAGE)
        cookie = {"Set-Cookie": "sessionid=session-canary-0123456789; Path=/"}
        return Said(302, b"", {"Location": elsewhere.url, **cookie}) if asked.target == "/" else Said(201, LIST)

    with wire(listing) as elsewhere, wire(answer) as server:
        assert PqcClient(server.url, username="you", password=CANARY).projects() == []
    assert not elsewhere.asked


# --- cookies and headers stay with their server ---------------------------------------------------------------------


def test_cookies_of_one_server_never_go_to_another():
    def answer(_asked):
        return Said(201, LIST, {"Set-Cookie": "sessionid=of-one; Path=/"})

    with wire(answer) as one, wire(answer) as other:
        clients = [PqcClient(server.url, token=CANARY) for server in (one, other)]
        for client in (*clients, clients[0]):
            client.projects()
    assert "Cookie" not in other.asked[0].headers
    assert one.asked[1].headers["Cookie"] == "sessionid=of-one"


# --- where credentials may go in the clear --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://LOCALHOST:80/",
        "http://127.0.0.1/",
        "http://127.8.9.1:8000/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]:8000/",
    ],
)
def test_http_may_be_spoken_to_this_machine(url):
    assert Session(url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://srv.example/",
        "http://localhost.evil.example/",
        "http://localhost./",
        "http://x.localhost/",
        "http://127.0.0.1.nip.io/",
        "http://127.0.0.1./",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:8.8.8.8]/",
        "http://[::1].evil.example/",
        "http://evil.example[::1]/",
        "http://[::1",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1\\.evil.example/",
        "http://127.0.0.1\t.evil.example/",
        "http://127.0.0.1%2eevil.example/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
        "http:/127.0.0.1/",
        "http:127.0.0.1/",
        "HTTP://srv.example/",
        " http://127.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
    ],
)
def test_http_is_not_spoken_to_any_other(url):
    with pytest.raises(ConfigError):
        Session(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "https://you:s3cret-w0rd@srv.example/",
        "https://s3cret-w0rd@srv.example/",
        "https://you:s3cret-w0rd@[::1/",
        "you:s3cret-w0rd@srv.example",
        "https:you:s3cret-w0rd@srv.example",
        "https://you:s3/cret-w0rd@srv.example/",
        "https://you:s3cret-w0rd\\@srv.example/",
    ],
)
def test_a_login_in_a_url_is_refused_and_not_repeated(url):
    for options in ({"url": url}, {"url": "https://srv.example/", "proxy": url}):
        with pytest.raises(ConfigError, match="username or password") as caught:
            Session(**options)
        assert "cret" not in texts_of(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example/path",
        "http://proxy.example?a=b",
        "http://",
        "http://pro xy.example:3128",
        "direct://",
    ],
)
def test_a_proxy_is_one_by_its_url(url):
    with pytest.raises(ConfigError, match=r"is not a proxy's url \(such as http://proxy.example.org:3128\)"):
        Session("https://srv.example/", proxy=url)


def test_loopback_through_a_proxy_elsewhere_is_in_the_clear():
    with pytest.raises(ConfigError, match=r"in the clear through the proxy http://proxy.example:3128"):
        Session("http://127.0.0.1/", proxy="http://proxy.example:3128/")
    assert Session("https://127.0.0.1/", proxy="http://proxy.example:3128/")
    assert Session("http://127.0.0.1/", proxy="http://proxy.example:3128/", insecure_http=True)


# --- what an object shows of itself ---------------------------------------------------------------------------------


def test_nothing_shows_a_secret_of_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", CANARY)
    (tmp_path / "token").write_text(CANARY)
    (tmp_path / "token").chmod(0o600)
    sources = [SecretSource("env", "CANARY"), SecretSource("file", str(tmp_path / "token"))]
    assert [source.read(os.environ) for source in sources] == [CANARY, CANARY]
    credentials = Credentials(sources[0], "you", sources[1])
    given = Given("you", CANARY, CANARY)
    with wire(listing) as server:
        clients = [client(server.url, credentials=credentials) for client in (PdiClient, PqcClient)]
        assert [clients[0].submissions(), clients[1].projects()] == [[], []]
    sessions = [client._session for client in clients]
    config = parse_config(CONFIG.format(token=tmp_path / "token"), "c.yaml")
    for thing in (*sources, credentials, given, *clients, *sessions, sessions[0]._secrets, config, config.destinations):
        assert CANARY not in f"{thing!r} {thing}"
    assert CANARY not in repr(vars(sessions[0]))


CONFIG = """
state_dir: /s
destinations: {{irrmc: {{type: proteindiffraction, url: "https://srv.example/", token: {{file: {token}}}}}}}
rules: [{{name: r, watch: /w, format: frames, deliver: irrmc}}]
"""


@pytest.mark.fault(33)
@pytest.mark.parametrize("said", [Said(401, b"", PAGE), Said(200, b"{"), Said(302, b"", {"Location": "/"})])
def test_no_traceback_shows_what_was_sent(said):
    with wire(lambda _: said) as server:
        for client in (PdiClient(server.url, token=CANARY), PqcClient(server.url, token=CANARY)):
            with pytest.raises(RemoteError) as caught:
                client.equipment() if isinstance(client, PdiClient) else client.projects()
            assert CANARY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(RemoteError) as caught:
        PdiClient(server.url, token=CANARY).equipment()
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.fault(33)
def test_a_login_leaves_its_session_and_its_form_out_of_what_the_server_repeats():
    told = []

    def answer(asked):
        if asked.method == "GET":
            return Said(200, b'<form><input name="csrfmiddlewaretoken" value="csrf-canary-01234"></form>', PAGE)
        cookie = {"Set-Cookie": "sessionid=session-canary-01234; Path=/"}
        if asked.target == "/":
            return Said(302, b"", {"Location": "/", **cookie})
        return Said(400, json.dumps({"error": f"{asked.headers} {login.text}"}).encode())

    with wire(answer) as server:
        client = PqcClient(server.url, username="you", password="canary p&ss/wörd", on_secret=told.append)
        client.login()
        login = next(asked for asked in server.asked if asked.method == "POST")
        assert "canary+p%26ss%2Fw%C3%B6rd" in login.text
        with pytest.raises(RemoteError) as caught:
            client.pipelines("a")
    assert "***" in str(caught.value)
    assert "canary" not in texts_of(caught.value)
    assert {"session-canary-01234", "csrf-canary-01234", "canary p&ss/wörd"} <= set(told)


def test_a_file_part_is_needed_nowhere_for_a_refusal():
    """A refused URL opens nothing: no file, no socket."""
    opened = []
    part = FilePart("x", "x.tar", 3, None, opened.append)
    with pytest.raises(ConfigError):
        pdi("http://srv.example/").upload(part)
    assert not opened
