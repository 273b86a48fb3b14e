"""What somebody should be told, read from the journal: whoever wrote it there, it is told once, in the same words."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from depositd.config import Config, NewsKind, NotifyTarget
from depositd.journal import Happening, Journal, Pause, PauseKind
from depositd.model import HoldKind
from depositd.notify import Message, Notice, Notifier, Target, require_installed, secrets_in, send
from depositd.service.clock import utc_now
from depositd.systemd import get_logger, redact, register_secret
from depositd.units import printable

log = get_logger("depositd")

MOST = 1000
"""Lines of history that are read at once."""
IN_VAIN = 4
"""So often a destination that is away was asked before somebody is told: for some 2 min, with the usual backoff."""
_ROUTINE = frozenset({HoldKind.APPROVAL, HoldKind.METADATA})
"""Holds that wait for an operator as a matter of course."""
_RUNS = frozenset({"flagged", "rejected", "noticed", "not marked"})


class News:
    """Reads what is new in a journal since it was asked last."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = utc_now) -> None:
        self._journal = journal
        self._clock = clock
        self._troubles: frozenset[str] = frozenset()
        self._last = journal.view.last_happening()
        self._paused: frozenset[str] = frozenset()
        self._away: frozenset[str] = frozenset()

    def read(self) -> list[Notice]:
        """Return what has become true since the last time and is still so."""
        happenings = self._journal.view.happenings(self._last, MOST)
        if happenings:
            self._last = happenings[-1].number
        told = [notice for one in happenings if (notice := notice_of(one)) is not None]
        return told + self._of_destinations() + self._of_sources() + self._of_journal()

    def _of_destinations(self) -> list[Notice]:
        pauses = {name: one for name, one in self._journal.surroundings.pauses().items() if _is_news(one)}
        before, self._paused = self._paused, frozenset(pauses)
        return [Notice("paused", "", one.reason, one.hint) for name, one in pauses.items() if name not in before]

    def _of_journal(self) -> list[Notice]:
        troubles = {one.name: one for one in self._journal.notes.troubles(self._clock())}
        before, self._troubles = self._troubles, frozenset(troubles)
        return [
            Notice("needs_you", "", one.text, one.hint or "") for name, one in troubles.items() if name not in before
        ]

    def _of_sources(self) -> list[Notice]:
        away = {one.root: one for one in self._journal.surroundings.sources() if one.state == "unavailable"}
        before, self._away = self._away, frozenset(away)
        return [Notice("source", "", one.problem or "", "") for root, one in away.items() if root not in before]


def _is_news(pause: Pause) -> bool:
    """Say whether a destination that takes nothing is worth a message: none for a server that was only restarted."""
    return pause.kind is PauseKind.PAUSED or pause.failures >= IN_VAIN


def notice_of(one: Happening) -> Notice | None:
    """Return what a line of history tells somebody, None where it needs nobody (any more)."""
    about = f"dataset {one.dataset_id}, {printable(one.dataset_name, 80)}"
    if one.event == "archiving waits":
        return Notice("needs_you", about, f"archiving waits: {one.detail}", one.pack_hint or "")
    about += f", to {printable(one.destination or '', 80)}"
    if one.event in ("held", "failed") and one.event == one.state and one.hold is not HoldKind.OPERATOR:
        kind: NewsKind = "release" if one.hold in _ROUTINE else "needs_you"
        return Notice(kind, about, f"{one.state}: {one.error or one.detail}", one.hint or "")
    if one.event in _RUNS:
        run = f"run {one.run_key}" if one.run_key else "run"
        return Notice("qc", about, f"{run} {one.detail}", one.run_hint or "")
    return None


class Teller:
    """Tells the targets of a config what is new; does nothing where it names none."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._news = News(journal)
        self._targets: tuple[NotifyTarget, ...] = ()
        self._notifier: Notifier | None = None

    def follow(self, config: Config) -> None:
        """Tell those that a config names from now on; raises ConfigError where Apprise is not installed."""
        if config.notify:
            require_installed(str(config.source_file))
        if config.notify == self._targets:
            return
        self.stop(0.0)
        before, self._targets = self._targets, config.notify
        if config.notify:
            if not before:
                self._news = News(self._journal)  # what was before anybody was to be told is no news
            self._notifier = Notifier(targets_of(config), host=socket.gethostname(), complain=_complain)
            self._notifier.start()

    def tell(self) -> None:
        """Pass on what is new; never waits for a network."""
        if self._notifier is None:
            return
        notices = self._news.read()
        if notices:
            self._notifier.tell(notices)

    def pass_on(self, notices: Sequence[Notice]) -> None:
        """Tell what does not stand in the journal's history: a disk that fills up."""
        if self._notifier is not None and notices:
            self._notifier.tell(notices)

    def stop(self, timeout_s: float) -> None:
        """Send what still waits, and end."""
        if self._notifier is not None:
            self._notifier.stop(timeout_s)
            self._notifier = None


def targets_of(config: Config) -> list[Target]:
    """Return who is told; each URL is read when it is used, and known to the log as a secret before."""
    return [
        Target(name_of(number, one), one.on, one.at_most_every_s, partial(_send, one))
        for number, one in enumerate(config.notify)
    ]


def name_of(number: int, target: NotifyTarget) -> str:
    """Return how messages call a target: by where its URL stands, for the URL itself is a secret."""
    return f"notify[{number}] ({target.url.kind} {printable(target.url.name, 200)})"


def read_url(target: NotifyTarget, environ: Mapping[str, str], on_secret: Callable[[str], None]) -> str:
    """Return the URL, after all of it that must not be shown was made known; raises ConfigError."""
    url = target.url.read(environ)
    for secret in secrets_in(url):
        on_secret(secret)
    return url


def _send(target: NotifyTarget, message: Message) -> None:
    # the sentences come from the journal, which holds no secret; whatever slipped through ends here
    send(read_url(target, os.environ, register_secret), Message(redact(message.title), redact(message.body)))


def _complain(sentence: str, hint: str) -> None:
    log.error(sentence, hint=hint)
