"""Somebody is told: from the journal through Apprise to a server on loopback, and no secret anywhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from engine_support import NOW, archived, config_of, frames, record
from format_files import cbf_bytes

from depositd.cli.checks import Level, all_findings
from depositd.errors import ConfigError, Unavailable
from depositd.journal import Fact, Journal, Pause, PauseKind, SourceStatus
from depositd.model import HoldKind, VerdictKind
from depositd.notify import Message, require_installed, send
from depositd.service.daemon import Daemon, Options
from depositd.service.news import News
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor

DELIVER = "deliver: [{to: vault, approve: manual}]"
CANARY = "canary0123456789canary"


class Receiver:
    """A server that takes Apprise's JSON messages, or answers with a status of a test's choice."""

    def __init__(self) -> None:
        self.messages, self.paths, self.status = [], [], 200
        self.came = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                self.send_response(receiver.status)
                self.end_headers()
                if receiver.status == 200:
                    receiver.messages.append(json.loads(body))
                    receiver.came.set()

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://you:{CANARY}@127.0.0.1:{self.server.server_port}/{CANARY}-path"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def journal(tmp_path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    yield made
    made.close()


def test_a_message_arrives(receiver):
    send(receiver.url, Message("depositd on h: 1 needs you", "dataset 7: held → release it\n<b>&amp;"))
    [message] = receiver.messages
    assert (message["title"], message["message"]) == (
        "depositd on h: 1 needs you",
        "dataset 7: held → release it\n<b>&amp;",
    )


@pytest.mark.parametrize("what", ["refused", "nobody there", "no such service"])
def test_a_message_that_is_not_taken_says_so_and_not_the_secret(receiver, what, capfd, caplog):
    receiver.status = 500
    url = {"refused": receiver.url, "nobody there": f"json://you:{CANARY}@127.0.0.1:9", "no such service": CANARY}[what]
    with pytest.raises(ConfigError if what == "no such service" else Unavailable) as caught:
        send(url, Message("t", "b"))
    captured = capfd.readouterr()
    assert CANARY not in f"{caught.value} {caught.value.hint} {captured.out} {captured.err} {caplog.text}"


def test_apprise_that_is_not_installed_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as caught:
        require_installed("c.yaml")
    assert caught.value.problems == [
        "c.yaml: notify: needs Apprise, which is not installed (pip install 'depositd[notify]')"
    ]


def told(news: News) -> list[tuple[str, str]]:
    return [(notice.kind, notice.text) for notice in news.read()]


def test_the_news_of_a_journal(journal):
    old = archived(journal, frames(name="old"))
    delivery = journal.deliveries.of_dataset(old.id)[0].delivery
    journal.deliveries.apply(delivery.id, Fact(DeliveryEvent.FAILED, "long ago"), NOW)
    news = News(journal)
    assert told(news) == []

    seen = record(journal, frames(name="lyso_1"), VerdictKind.GAPPED, "one", "two", "three")
    one, two, three = (standing.delivery for standing in journal.deliveries.of_dataset(seen.id))
    journal.deliveries.apply(one.id, Fact(DeliveryEvent.HOLD, "gapped", "release 2", hold=HoldKind.INCOMPLETE), NOW)
    journal.deliveries.apply(two.id, Fact(DeliveryEvent.HOLD, "awaits a yes", hold=HoldKind.APPROVAL), NOW)
    journal.deliveries.apply(three.id, Fact(DeliveryEvent.FAILED, "refused: 400", "correct it"), NOW)
    assert told(news) == [
        ("needs_you", "dataset 2, lyso_1, to one: held: gapped → release 2"),
        ("release", "dataset 2, lyso_1, to two: held: awaits a yes"),
        ("needs_you", "dataset 2, lyso_1, to three: failed: refused: 400 → correct it"),
    ]
    assert told(news) == []
    # what the operator did is no news to them, nor what is over when it is read
    journal.deliveries.word(one.id, DeliveryEvent.WORD_HOLD, {}, NOW)
    journal.deliveries.apply(three.id, Fact(DeliveryEvent.CLEAR), NOW)
    journal.deliveries.apply(three.id, Fact(DeliveryEvent.HOLD, "gapped", hold=HoldKind.INCOMPLETE), NOW)
    journal.deliveries.word(three.id, DeliveryEvent.WORD_RELEASE, {}, NOW)
    assert told(news) == []


def test_a_destination_that_pauses_and_a_source_that_goes_are_told_once(journal):
    news = News(journal)
    pause = Pause("irrmc", "irrmc is paused: the token is refused", "mend it", NOW, 1, NOW + timedelta(minutes=5))
    gone = SourceStatus("/data", "unavailable", "not watched", "source /data is unavailable: it does not exist")
    for _ in range(3):
        journal.surroundings.pause(pause)
        journal.surroundings.source(gone)
        found = told(news)
        assert found in (
            [
                ("paused", "irrmc is paused: the token is refused → mend it"),
                ("source", "source /data is unavailable: it does not exist"),
            ],
            [],
        )
    assert found == []
    journal.surroundings.resume("irrmc")
    assert told(news) == []
    journal.surroundings.pause(pause)
    assert [kind for kind, _text in told(news)] == ["paused"]


def test_a_server_that_is_away_is_told_once_and_not_before_it_was_asked_a_few_times(journal):
    news, found = News(journal), []
    for failures in range(1, 9):
        later = NOW + timedelta(minutes=5)
        journal.surroundings.pause(Pause("irrmc", "irrmc is away: 503", "wait", NOW, failures, later, PauseKind.AWAY))
        found += [(failures, kind, words) for kind, words in told(news)]
    assert found == [(4, "paused", "irrmc is away: 503 → wait")]


def test_the_news_of_a_run(journal):
    dataset = archived(journal, frames(name="a"), "qc")
    delivery = journal.deliveries.of_dataset(dataset.id)[0].delivery
    journal.results.want(delivery.id, NOW, NOW)
    news = News(journal)
    journal.results.found(delivery.id, "a", "rf7", {"N": 412}, NOW)
    journal.results.decided(delivery.id, "reject", "to be rejected by the rule: N < 500 (412)", NOW)
    assert told(news) == []
    journal.results.marked(delivery.id, "rejected", "rejected by the rule: N < 500 (412)", NOW)
    assert told(news) == [("qc", "dataset 1, a, to qc: run rf7 rejected by the rule: N < 500 (412)")]
    journal.results.noted(delivery.id, "noticed", "noticed by the rule: N < 500 (412)", None, NOW)
    journal.results.noted(delivery.id, "not measured", "shows nothing", None, NOW)
    assert [text.rpartition("run ")[2] for _kind, text in told(news)] == ["rf7 noticed by the rule: N < 500 (412)"]


class Site:
    """A source with a gapped series, whose delivery is held, and a daemon that tells a receiver."""

    def __init__(self, tmp_path, url: str, on: str = "[needs_you]"):
        self.state, self.root = tmp_path / "state", tmp_path / "data"
        for directory in (self.state, self.root):
            directory.mkdir()
        (tmp_path / "url").write_text(url + "\n")
        (tmp_path / "url").chmod(0o600)
        self.config = config_of(
            self.state,
            rules=f"{{name: r, watch: {self.root}, format: frames, settle: 0s, {DELIVER}}}",
            destinations=f"vault: {{type: directory, path: {tmp_path}/vault}}",
            more=f"retry: {{first: 1s}}\nsweep_every: 1s\nnotify: [{{url: {{file: {tmp_path}/url}}, on: {on}}}]",
        )
        for number in (1, 2, 3):
            (self.root / f"lyso_1_{number:05}.cbf").write_bytes(cbf_bytes(number))

    def run(self) -> int:
        """Run a daemon until it is idle; what it holds needs somebody."""
        journal = Journal(self.state / "journal.db")
        try:
            return Daemon(self.config, journal, NoSupervisor(), Options(until_idle=True)).run()
        finally:
            journal.close()

    def everything_written(self) -> str:
        found = [path.read_bytes().decode("latin-1") for path in self.state.rglob("*") if path.is_file()]
        return "\n".join(found)


def test_the_daemon_tells_what_it_holds_and_keeps_the_url_to_itself(tmp_path, receiver, capfd):
    site = Site(tmp_path, receiver.url, "[release]")
    assert site.run() == 3
    [message] = receiver.messages
    assert message["title"].endswith(": 1 waits for your release")
    assert "dataset 1, lyso_1, to vault: held: " in message["message"]
    assert "depositd release 1" in message["message"]
    captured = capfd.readouterr()
    assert CANARY not in captured.out + captured.err + site.everything_written()


def test_a_service_that_takes_nothing_stops_no_work(tmp_path, receiver, capfd):
    receiver.status = 500
    site = Site(tmp_path, receiver.url, "[release]")
    assert site.run() == 3
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert said.count("a notification to notify[0]") == 1
    assert CANARY not in said + site.everything_written()
    assert receiver.paths


def test_check_says_whether_somebody_can_be_told_and_sends_nothing(tmp_path, receiver):
    site = Site(tmp_path, receiver.url)

    def about(online: bool):
        found = [one for one in all_findings(site.config, online=online) if one.subject.startswith("notify[0]")]
        assert CANARY not in str(found)
        return [(one.level, one.sentence.partition(" from ")[0]) for one in found]

    assert about(online=False) == [(Level.OK, "url")]
    assert about(online=True) == [(Level.OK, "url"), (Level.OK, "Apprise can read the URL; nothing was sent")]
    (tmp_path / "url").write_text(f"nosuch://{CANARY}")
    assert about(online=True)[1] == (Level.PROBLEM, "the URL is none that Apprise knows (nosuch://…)")
    (tmp_path / "url").chmod(0o644)
    assert [level for level, _sentence in about(online=True)] == [Level.PROBLEM]
    assert receiver.messages == []
