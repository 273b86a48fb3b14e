"""Errors as lines and exit status."""

from __future__ import annotations

import errno

import pytest

from depositd.cli.failing import Failure, failure_of, run_app
from depositd.errors import ConfigError, DepositdError, LockedError


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (DepositdError("it\nfailed", hint="mend it"), Failure(("depositd: it\\nfailed", "hint: mend it"), 1)),
        (LockedError("another runs"), Failure(("depositd: another runs",), 1)),
        (ConfigError(["f:1:1: a: b (c)", "f:2:1: d: e (f)"]), Failure(("f:1:1: a: b (c)", "f:2:1: d: e (f)"), 2)),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x\udcff"),
            Failure(("depositd: Permission denied: /x\\xff",), 1),
        ),
        (FileExistsError("it is there already"), Failure(("depositd: it is there already",), 1)),
    ],
)
def test_foreseen_errors_are_one_line_and_a_hint(error, failure):
    assert failure_of(error) == failure


def raising(error):
    def app():
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(3), 3),
        (SystemExit(None), 0),
        (SystemExit("words"), 1),
        (KeyboardInterrupt(), 130),
        (DepositdError("no"), 1),
        (ConfigError(["no"]), 2),
    ],
)
def test_the_exit_status_follows_the_error(error, status, capsys):
    assert run_app(raising(error)) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_app(raising(ZeroDivisionError()))
