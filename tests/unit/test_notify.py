"""Messages: what is in one, when it is sent, and what happens where nobody takes it.  No threads, no network."""

from __future__ import annotations

import pytest

from depositd.errors import Unavailable
from depositd.notify import Message, Notice, Notifier, Target, message_of, secrets_in, wrong_with
from depositd.notify.bundle import MOST_LINES
from depositd.notify.notifier import MOST_ATTEMPTS, MOST_WAITING

HELD = Notice("needs_you", "dataset 7, lyso_1, to irrmc", "held: gapped: 3 of 1,800 missing", "depositd release 7")
PAUSED = Notice("paused", "", "irrmc is paused: the token is refused", "mend it")


def test_one_thing_in_one_message():
    message = message_of([HELD], "beam1")
    assert message == Message(
        "depositd on beam1: 1 needs you",
        "dataset 7, lyso_1, to irrmc: held: gapped: 3 of 1,800 missing → depositd release 7",
    )


def test_many_things_in_one_message():
    many = [Notice("release", f"dataset {number}", "held: awaits approval") for number in range(50)]
    message = message_of([*many, PAUSED, PAUSED], "beam1", left_out=3)
    assert message.title == "depositd on beam1: 1 destination paused, 50 wait for your release"
    lines = message.body.split("\n")
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "and 34 other things: depositd status"
    assert message_of([PAUSED] * 4, "b").body == "irrmc is paused: the token is refused → mend it (4 times)"


def test_what_is_told_cannot_harm_who_reads_it():
    message = message_of([Notice("qc", "dataset 1, a\x1b[2J", "run \u202e" + "x" * 5000)], "ho\nst")
    assert message.title == "depositd on ho\\nst: 1 run to look at"
    assert message.body.startswith("dataset 1, a\\x1b[2J: run \\u202exx")
    assert len(message.body) == 600


class Bench:
    """A notifier whose thread was not started, a clock, and a target that takes messages or does not."""

    def __init__(self, on=("needs_you", "paused"), at_most_every_s=600.0):
        self.now_s, self.sent, self.complaints, self.says = 1000.0, [], [], []
        target = Target("notify[0] (env URL)", on, at_most_every_s, self.take)
        self.notifier = Notifier(
            [target], host="h", complain=lambda *said: self.complaints.append(said), clock=lambda: self.now_s
        )

    def take(self, message):
        said = self.says.pop(0) if self.says else None
        if said is not None:
            raise said
        self.sent.append(message)

    def tell(self, *notices, after_s=0.0, at_once=False):
        self.now_s += after_s
        self.notifier.tell(notices)
        self.notifier.send_due(at_once=at_once)
        return len(self.sent)


def test_the_first_at_once_and_the_rest_together():
    bench = Bench()
    assert bench.tell(HELD) == 1
    assert bench.tell(PAUSED, HELD, after_s=1) == 1
    assert bench.tell(HELD, after_s=598) == 1
    assert bench.tell(after_s=1) == 2
    assert bench.sent[1].title == "depositd on h: 1 needs you, 1 destination paused"
    assert bench.sent[1].body.count("(2 times)") == 1
    assert bench.tell(after_s=600) == 2
    # after a quiet time the next one is the first again
    assert bench.tell(PAUSED) == 3


def test_nobody_is_told_of_what_they_did_not_ask_for():
    bench = Bench(on=("qc",))
    assert bench.tell(HELD, PAUSED) == 0
    assert bench.tell(Notice("qc", "", "run rf1 rejected by the rule")) == 1


def test_what_waits_is_sent_at_the_end():
    bench = Bench()
    bench.tell(HELD)
    assert bench.tell(PAUSED) == 1
    assert bench.tell(at_once=True) == 2


def test_a_storm_is_bounded():
    bench = Bench()
    bench.tell(HELD)
    bench.tell(*(Notice("needs_you", f"dataset {number}", "failed") for number in range(MOST_WAITING + 100)))
    assert bench.tell(after_s=600) == 2
    assert bench.sent[1].body.endswith(f"and {MOST_WAITING + 100 - MOST_LINES} other things: depositd status")
    assert bench.tell(PAUSED, after_s=600) == 3
    assert "other" not in bench.sent[2].body


def test_what_is_not_taken_is_tried_again_and_complained_of_once_an_hour():
    bench = Bench()
    bench.says = [Unavailable("the service did not take it", hint="check the URL")] * 2
    assert bench.tell(HELD) == 0
    assert bench.tell(after_s=29) == 0
    assert len(bench.says) == 1
    assert bench.tell(PAUSED, after_s=1) == 0
    assert bench.complaints == [
        ("a notification to notify[0] (env URL) is tried again: the service did not take it", "check the URL")
    ]
    assert bench.tell(after_s=60) == 1
    assert bench.sent[0].title == "depositd on h: 1 needs you, 1 destination paused"


def test_what_nobody_takes_is_given_up_and_the_next_is_tried():
    bench = Bench()
    bench.says = [Unavailable("away")] * MOST_ATTEMPTS
    bench.tell(HELD)
    for _ in range(MOST_ATTEMPTS):
        bench.tell(after_s=600)
    assert bench.says == []
    assert bench.sent == []
    assert len(bench.complaints) == 1
    bench.says = [RuntimeError("json://user:s3cret@host")]
    bench.tell(PAUSED, after_s=3600)
    assert bench.complaints[1] == (
        "a notification to notify[0] (env URL) is tried again: unforeseen RuntimeError",
        "please report it",
    )
    assert bench.tell(after_s=60) == 1
    assert "irrmc is paused" in bench.sent[0].body


def test_our_own_words_and_hosts_are_no_secrets():
    url = "mailto://depositd:s3cret-pass@example.org/beamline?smtp=mail.example.org"
    assert not {"depositd", "example", "example.org", "mail.example.org", "beamline"} & set(secrets_in(url))
    assert "s3cret-pass" in secrets_in(url)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("json://user:s3cretpass@host:8080/x", {"s3cretpass"}),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", {"T1JJ3T3L2", "TIiajkdnlazkcOXrIdevi7FQ"}),
        ("mailto://u%40x.org:p%40ssw0rd@x.org?to=a@b.org", {"p%40ssw0rd", "p@ssw0rd"}),
        ("tgram://123456789:abcdefg_hijklmnop/987654321", {"abcdefg_hijklmnop"}),
        ("ntfy://host/topic?token=tk_0123456789", {"tk_0123456789"}),
        ("http://[::1", {"http://[::1"}),
    ],
)
def test_the_parts_of_a_url_that_are_never_shown(url, secrets):
    found = set(secrets_in(url))
    assert secrets | {url} <= found
    assert not found & {"json", "host", "x", "x.org"}


@pytest.mark.parametrize(
    "url", ["nosuch://s3cret@host", "s3cret", "slack://s3cret", "mailto://u:s3cret", "", "json://"]
)
def test_a_url_that_is_none_is_not_repeated(url, capfd, caplog):
    wrong = wrong_with(url)
    assert wrong is not None
    assert wrong.startswith("the URL is none that Apprise knows")
    captured = capfd.readouterr()
    assert "s3cret" not in wrong + captured.out + captured.err + caplog.text
    assert wrong_with("json://user:pass@127.0.0.1/") is None
