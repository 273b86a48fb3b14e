"""Configs and secrets in real files."""

import os
from pathlib import Path

import pytest

from depositd.config import Credentials, SecretSource, find_config, load_config
from depositd.config.credentials import _check_privacy
from depositd.errors import ConfigError

CONFIG = """\
state_dir: /s
destinations: {vault: {type: directory, path: /v}}
rules: [{name: r, watch: /w, format: file, deliver: vault}]
"""


def place(path: Path, content: str | bytes = CONFIG, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def refused(source: SecretSource, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        source.read(environ or {})
    assert caught.value.hint
    return caught.value


def test_a_config_is_read_from_its_file(tmp_path: Path):
    path = place(tmp_path / "c.yaml")
    assert load_config(path).source_file == path


def test_a_byte_order_mark_does_no_harm(tmp_path: Path):
    assert load_config(place(tmp_path / "c.yaml", b"\xef\xbb\xbf" + CONFIG.encode())).state_dir == Path("/s")


def test_a_file_that_cannot_be_read_has_a_line_too(tmp_path: Path):
    for path, reason in ((tmp_path / "no.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert caught.value.problems == [f"{path}:1:1: document: cannot be read: {reason} (a readable file)"]


def test_a_file_that_is_too_large(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"is larger than 1,048,576 bytes"):
        load_config(place(tmp_path / "c.yaml", b"#" * (2**20 + 1)))


def test_where_a_config_is_looked_for(tmp_path: Path):
    named, here = place(tmp_path / "named.yaml"), place(tmp_path / "cwd" / "depositd.yaml")
    xdg = place(tmp_path / "xdg" / "depositd" / "config.yaml")
    home = place(tmp_path / "home" / ".config" / "depositd" / "config.yaml")
    environ = {
        "DEPOSITD_CONFIG": str(named),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "HOME": str(tmp_path / "home"),
    }
    cwd = tmp_path / "cwd"
    assert find_config(Path("given.yaml"), environ, cwd) == cwd / "given.yaml"
    assert find_config(None, environ, cwd) == named
    del environ["DEPOSITD_CONFIG"]
    assert find_config(None, environ, cwd) == here
    here.unlink()
    assert find_config(None, environ, cwd) == xdg
    del environ["XDG_CONFIG_HOME"]
    assert find_config(None, environ, cwd) == home


def test_a_named_config_is_taken_even_where_it_is_not(tmp_path: Path):
    assert find_config(None, {"DEPOSITD_CONFIG": "/no/such.yaml"}, tmp_path) == Path("/no/such.yaml")


def test_no_config_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        find_config(None, {"HOME": "/no/home"}, tmp_path, system=tmp_path / "etc.yaml")
    assert caught.value.problems == [
        (
            f"no config found; looked for $DEPOSITD_CONFIG (not set), {tmp_path}/depositd.yaml, "
            f"/no/home/.config/depositd/config.yaml, {tmp_path}/etc.yaml "
            "(--config FILE, or DEPOSITD_CONFIG; config.example.yaml is a start)"
        )
    ]


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_a_secret_in_a_file(tmp_path: Path, content: str):
    path = place(tmp_path / "token", content)
    assert SecretSource("file", str(path)).read({}) == "s3cret"


def test_a_secret_is_read_each_time(tmp_path: Path):
    path = place(tmp_path / "token", "old")
    credentials = Credentials(SecretSource("file", str(path)), environ={})
    assert credentials.token() == "old"
    place(path, "new")
    assert credentials.token() == "new"
    assert credentials.password() is None
    assert "new" not in repr(credentials)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int):
    path = place(tmp_path / "token", "s3cret", mode)
    error = refused(SecretSource("file", str(path)))
    assert str(error) == f"the secret in {path} can be used by others (mode {mode:04o})"
    assert error.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("s3cret\nsecond", "has more than one line or a control character"),
        (b"s3cret\xff", "is not UTF-8 text"),
        ("s3cret" * 20_000, "is longer than 65,536 bytes"),
    ],
)
def test_a_file_that_is_no_secret(tmp_path: Path, content: str | bytes, reason: str):
    path = place(tmp_path / "token", content)
    error = refused(SecretSource("file", str(path)))
    assert str(error) == f"the secret in {path} {reason}"
    assert "s3cret" not in str(error) + error.hint


def test_a_pipe_does_not_stop_the_daemon(tmp_path: Path):
    os.mkfifo(tmp_path / "token", 0o600)
    assert str(refused(SecretSource("file", str(tmp_path / "token")))).endswith("is not a regular file")


def test_a_directory_is_no_secret(tmp_path: Path):
    (tmp_path / "token").mkdir(0o700)
    assert str(refused(SecretSource("file", str(tmp_path / "token")))).endswith("is not a regular file")


def test_a_link_is_as_private_as_what_it_leads_to(tmp_path: Path):
    target, link = place(tmp_path / "target", "s3cret"), tmp_path / "token"
    link.symlink_to(target)
    assert SecretSource("file", str(link)).read({}) == "s3cret"
    target.chmod(0o644)
    assert str(refused(SecretSource("file", str(link)))) == f"the secret in {link} can be used by others (mode 0644)"


@pytest.mark.parametrize(("owner", "problem"), [(0, None), (os.geteuid(), None), (4711, "belongs to user 4711")])
def test_a_file_belongs_to_us_or_to_root(owner: int, problem: str | None):
    status = os.stat_result((0o100600, 1, 1, 1, owner, 0, 6, 0, 0, 0))
    if problem is None:
        _check_privacy("/t", status)
        return
    with pytest.raises(ConfigError, match=problem) as caught:
        _check_privacy("/t", status)
    assert caught.value.hint == f"chown {os.geteuid()} /t"


def test_a_file_that_is_not_there(tmp_path: Path):
    assert "No such file" in str(refused(SecretSource("file", str(tmp_path / "token"))))


def test_a_secret_in_the_environment():
    source = SecretSource("env", "PQC_TOKEN")
    assert source.read({"PQC_TOKEN": "s3cret"}) == "s3cret"
    assert str(refused(source)) == "the environment variable PQC_TOKEN is not set"
    assert str(refused(source, {"PQC_TOKEN": ""})) == "the secret in the environment variable PQC_TOKEN is empty"


def test_a_credential_of_systemd(tmp_path: Path):
    place(tmp_path / "irrmc", "s3cret\n", 0o440)
    source = SecretSource("credential", "irrmc")
    assert source.read({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "s3cret"
    assert "LoadCredential=irrmc:" in refused(source).hint
