import io
import json
import logging

import pytest
import structlog

from depositd.systemd.libraries import LibraryHandler
from depositd.systemd.logs import LogMode, choose_mode, configure_logging, get_logger, leads_to_journal, processors
from depositd.systemd.redaction import LONGEST_TRACEBACK, LONGEST_VALUE, Redactor, clean, register_secret

CANARY = "canary-3f9c/Zu+17=="


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream():
    """JSON lines in memory."""
    text = io.StringIO()
    configure_logging(LogMode.JSON, "debug", text, environ={})
    return text


def fail(message):
    raise ValueError(message)


def events(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_that_begins_with_when_and_how_bad(stream):
    get_logger("depositd.engine").warning("spool is full", free_bytes=12, path="/data/a")
    (event,) = events(stream)
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]
    assert event["level"] == "warning"
    assert event["logger"] == "depositd.engine"
    assert event["event"] == "spool is full"
    assert event["free_bytes"] == 12
    assert event["timestamp"].endswith("Z")


@pytest.mark.fault(13)
@pytest.mark.parametrize("mode", [LogMode.JSON, LogMode.PLAIN])
def test_names_from_disk_cannot_forge_lines_or_drive_the_terminal(mode):
    stream = io.StringIO()
    configure_logging(mode, "info", stream, environ={})
    get_logger("x").info("seen\x1b[2J", path="a\n2026-01-01 forged\udcff", nested={"k\r": ["\u202e"]})
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "\\xff" in line


@pytest.mark.fault(33)
def test_a_secret_is_replaced_wherever_it_hides(stream):
    register_secret(CANARY)
    try:
        fail(f"server said: token {CANARY} is unknown")
    except ValueError:
        get_logger("x").exception(
            f"sent {CANARY}",
            url="https://h/?token=canary-3f9c%2FZu%2B17%3D%3D",
            body={"deep": [CANARY.encode()]},
            header={"Authorization": "Token unregistered-one"},
            **{CANARY: 1},
        )
    text = stream.getvalue()
    assert "canary-3f9c" not in text
    assert text.count("[redacted]") >= 5
    assert "unregistered-one" not in text
    assert "unregistered-one" not in clean("headers: {'Authorization': 'Token unregistered-one'}")


def test_an_exception_message_cannot_pass_for_a_log_line():
    stream = io.StringIO()
    configure_logging(LogMode.PLAIN, "info", stream, environ={})
    try:
        fail("first\n2026-01-01T00:00:00Z [info] forged")
    except ValueError:
        get_logger("x").exception("it failed")
    first, *rest = stream.getvalue().splitlines()
    assert "it failed" in first
    assert any("forged" in line for line in rest)
    assert all(line.startswith("    ") for line in rest if line)


def test_values_and_tracebacks_are_bounded(stream):
    try:
        fail("y" * 100_000)
    except ValueError:
        get_logger("x").exception("long", value="x" * 100_000)
    (event,) = events(stream)
    assert len(event["value"]) == LONGEST_VALUE
    assert len(event["exception"]) == LONGEST_TRACEBACK + 1


def test_a_level_below_the_chosen_one_is_silent_and_an_unknown_one_is_refused():
    stream = io.StringIO()
    configure_logging(LogMode.JSON, "warning", stream, environ={})
    get_logger("x").info("no")
    get_logger("x").warning("yes")
    assert [event["event"] for event in events(stream)] == ["yes"]
    with pytest.raises(ValueError, match="'loud' is not a log level"):
        configure_logging(LogMode.JSON, "loud", stream, environ={})


def test_libraries_are_heard_from_warning_on(stream):
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("line %d of\n%s", 3, "file")
    assert [(event["logger"], event["event"]) for event in events(stream)] == [("some.library", "line 3 of\\nfile")]


def test_a_noisy_place_in_a_library_is_bounded_and_what_was_left_out_is_counted(stream):
    now = [0.0]
    handler = LibraryHandler(get_logger, burst=3, window_s=60.0, monotonic=lambda: now[0])
    for number in range(1000):
        handler.handle(logging.LogRecord("wd", logging.WARNING, "a.py", 7, "overflow %d", (number,), None))
    assert len(events(stream)) == 3
    now[0] = 60.0
    handler.handle(logging.LogRecord("wd", logging.WARNING, "a.py", 7, "overflow", (), None))
    assert events(stream)[-1]["left_out"] == 997
    handler.handle(logging.LogRecord("wd", logging.WARNING, "a.py", 8, "another place", (), None))
    assert events(stream)[-1]["event"] == "another place"


def test_a_broken_record_of_a_library_does_no_harm(stream):
    LibraryHandler(get_logger).handle(logging.LogRecord("wd", logging.ERROR, "a.py", 7, "%d", ("no number",), None))
    assert events(stream)[0]["event"] == "%d"


def test_a_full_disk_or_a_closed_stream_does_not_end_the_daemon():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    configure_logging(LogMode.JSON, "info", Full(), environ={})
    get_logger("x").info("lost")
    closed = io.StringIO()
    configure_logging(LogMode.JSON, "info", closed, environ={})
    closed.close()
    get_logger("x").info("lost")


def test_the_journal_gets_the_level_as_a_prefix():
    *_, renderer = processors(LogMode.JSON, to_journal=True)
    assert renderer(None, "error", {"level": "error", "event": "e"}) == '<3>{"level": "error", "event": "e"}'
    *_, renderer = processors(LogMode.JSON, to_journal=False)
    assert renderer(None, "error", {"level": "error", "event": "e"}).startswith("{")


@pytest.mark.parametrize(
    ("to_journal", "is_terminal", "environ", "expected"),
    [
        (True, False, {}, LogMode.JSON),
        (False, True, {}, LogMode.CONSOLE),
        (False, True, {"NO_COLOR": "1"}, LogMode.PLAIN),
        (False, True, {"TERM": "dumb"}, LogMode.PLAIN),
        (False, False, {}, LogMode.PLAIN),
    ],
)
def test_auto_goes_by_where_stderr_leads(to_journal, is_terminal, environ, expected):
    assert choose_mode(LogMode.AUTO, to_journal=to_journal, is_terminal=is_terminal, environ=environ) is expected
    assert choose_mode(LogMode.PLAIN, to_journal=to_journal, is_terminal=is_terminal, environ=environ) is LogMode.PLAIN


def test_a_stream_without_a_descriptor_does_not_lead_to_the_journal():
    assert not leads_to_journal(io.StringIO(), {"JOURNAL_STREAM": "8:1234"})
    assert not leads_to_journal(io.StringIO(), {})


def test_short_secrets_are_left_alone_and_long_ones_win_over_their_parts():
    redactor = Redactor()
    redactor.register("abc")
    redactor.register("abcd")
    redactor.register("abcd-efgh")
    redactor.register("pass\tword\udcff")
    assert redactor.redact("abc abcd-efgh abcd") == "abc [redacted] [redacted]"
    assert redactor.redact("pass\\tword\\xff") == "[redacted]"


def test_clean_keeps_numbers_and_ends_at_any_depth():
    loop = []
    loop.append(loop)
    assert clean({"a": 1, "b": 1.5, "c": None, "d": True}) == {"a": 1, "b": 1.5, "c": None, "d": True}
    assert "[...]" in str(clean(loop))
