"""A process that writes facts is killed at random moments: whatever it acknowledged is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from engine_support import archived, frames

from depositd.journal import Journal
from depositd.model import DeliveryState

KILLS = 20

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from depositd.journal import Fact, Journal
from depositd.states import DeliveryEvent as E
journal = Journal(Path(sys.argv[1]))
NOW = datetime(2026, 11, 21, tzinfo=UTC)
for lost in journal.deliveries.recover(NOW):
    journal.deliveries.apply(1, Fact(E.ABSENT), NOW)
while True:
    delivery = journal.deliveries.get(1).delivery
    journal.deliveries.begin_send(1, {"attempts": delivery.attempts}, NOW)
    sys.stdout.write("sending\\n")
    sys.stdout.flush()
    delivery = journal.deliveries.apply(1, Fact(E.POSTPONE, f"{delivery.attempts + 1}", attempt=True), NOW)
    sys.stdout.write(f"postponed {delivery.attempts}\\n")
    sys.stdout.flush()
    journal.deliveries.get(1)
"""


@pytest.mark.fault(27)
def test_nothing_that_was_acknowledged_is_lost_by_kill_9(tmp_path):
    path, chance = tmp_path / "journal.db", random.Random(7)
    journal = Journal(path)
    archived(journal, frames())
    journal.close()
    in_doubt = 0
    for _ in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 30))]
        writer.kill()
        lines += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        last_attempt = max([int(line.split()[1]) for line in lines if line.startswith("postponed")], default=0)

        journal = Journal(path)
        assert journal.database.problems() == []
        found = journal.deliveries.get(1).delivery
        assert found.attempts >= last_attempt
        if lines[-1] == "sending\n" and found.attempts == last_attempt:
            # it was acknowledged that a send began, and no answer was: that is what must be known now
            assert found.sent_at is not None
        in_doubt += found.sent_at is not None
        shown = journal.view.show(1)
        assert shown is not None
        told = [line["event"] for line in shown["history"]]
        assert told.count("postponed") + told.count("answer lost") == found.attempts
        assert found.state is DeliveryState.WAITING
        journal.close()
    assert in_doubt, "no kill came between a send and its answer"
