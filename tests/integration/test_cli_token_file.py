"""A token in a file: who could read it, and what is in its way."""

from __future__ import annotations

import os
import stat

import pytest

from depositd.cli.servers import Place
from depositd.cli.token_file import default_path, keep_token, path_of, remove_token, write_token
from depositd.config import ProteinDiffractionSettings, SecretSource
from depositd.destinations.credentials import Given
from depositd.errors import DepositdError

TOKEN = "643df60b0f9156255757c5f641d5ea95bb043198"


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_we_can_read_it_and_its_directories_whatever_the_umask(tmp_path, umask):
    path = tmp_path / "one" / "two" / "x.token"
    before = os.umask(umask)
    try:
        write_token(str(path), TOKEN)
    finally:
        os.umask(before)
    assert path.read_text() == f"{TOKEN}\n"
    assert [mode_of(each) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert [each.name for each in path.parent.iterdir()] == ["x.token"]


def test_what_it_writes_the_config_can_read(tmp_path):
    path = tmp_path / "x.token"
    write_token(str(path), TOKEN)
    assert SecretSource("file", str(path)).read({}) == TOKEN


def test_an_older_token_is_replaced_and_its_readers_lose_their_right(tmp_path):
    path = tmp_path / "x.token"
    path.write_text("older")
    path.chmod(0o644)
    with path.open() as reader:
        write_token(str(path), TOKEN)
        assert reader.read() == "older"
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("kind", ["symlink", "dangling", "directory", "fifo"])
def test_what_is_no_regular_file_is_left_as_it_is(tmp_path, kind):
    path, target = tmp_path / "x.token", tmp_path / "target"
    target.write_text("precious")
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target if kind == "symlink" else tmp_path / "nowhere")
    for act in (lambda: write_token(str(path), TOKEN), lambda: remove_token(str(path))):
        with pytest.raises(DepositdError, match="no regular file"):
            act()
    assert target.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_place_that_cannot_be_written_is_told_without_the_token(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(DepositdError, match="cannot be kept") as raised:
        write_token(str(blocker / "x.token"), TOKEN)
    assert TOKEN not in str(raised.value) + raised.value.hint


def test_a_token_is_removed_once(tmp_path):
    path = str(tmp_path / "x.token")
    write_token(path, TOKEN)
    assert remove_token(path) is True
    assert remove_token(path) is False


def test_it_says_where_and_never_what(tmp_path):
    said = []
    keep_token(str(tmp_path / "x.token"), TOKEN, said.append)
    assert str(tmp_path / "x.token") in said[0]
    assert said[1].endswith(f'token: {{file: "{tmp_path}/x.token"}}')
    assert TOKEN not in "".join(said)


def test_it_lies_where_it_is_asked_for_where_the_config_reads_it_or_in_the_users_own_directory(tmp_path):
    settings = ProteinDiffractionSettings.model_construct(token=SecretSource("file", "/etc/depositd/x.token"))
    configured = Place("https://x.org", Given(), "irrmc", settings)
    plain = Place("https://x.org:8443", Given())
    environ = {"HOME": "/home/me"}
    assert path_of(configured, str(tmp_path / "t"), environ) == str(tmp_path / "t")
    assert path_of(configured, None, environ) == "/etc/depositd/x.token"
    assert path_of(plain, None, environ) == "/home/me/.config/depositd/x.org_8443.token"


def test_the_users_own_directory_is_that_of_the_specification():
    assert default_path("x.org", {"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == "/c/depositd/x.org.token"
    assert default_path("x.org", {"XDG_CONFIG_HOME": "c", "HOME": "/h"}) == "/h/.config/depositd/x.org.token"
    assert default_path("[::1]:80", {"HOME": "/h"}) == "/h/.config/depositd/___1__80.token"
    with pytest.raises(DepositdError, match="no home directory"):
        default_path("x.org", {})
