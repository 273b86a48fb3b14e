"""Destinations that are away: nobody sends there, little is asked, nothing else waits, and afterwards all goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clock_support import ManualClock
from depot_support import Depot, asked, irrmc, qc, stopping_aside, watched
from engine_support import FakeDestination

from depositd.destinations.base import Outcome
from depositd.engine.idle import Rest
from depositd.engine.words import speak
from depositd.errors import AuthError, Rejected, Unavailable, Unconfirmed
from depositd.journal import PauseKind
from depositd.model import DeliveryState
from depositd.states import DeliveryEvent

S, E = DeliveryState, DeliveryEvent
HOUR_S = 3600.0
MOST_REQUESTS_A_NIGHT = 150
"""Ten hours of five minutes each, and what comes before the wait has grown so far; instead of bodies without end."""


class Server(FakeDestination):
    """A server that is there, away, or fails at some datasets alone; counts what it is asked."""

    def __init__(self, name, *, idempotent=True):
        super().__init__(name, idempotent=idempotent)
        self.down: Exception | None = None
        self.poison: dict[str, Exception] = {}
        self.takes_before_it_breaks: int | None = None
        self.steps, self.questions = [], 0

    def whoami(self):
        self.questions += 1
        if self.down is not None:
            raise self.down
        return "somebody"

    def step(self, delivery, archive, metadata, report):
        self.steps.append(delivery.dataset_id)
        if self.takes_before_it_breaks == 0:
            self.down = Unavailable("reset")
        error = self.down or self.poison.get(archive.name)
        if error is not None:
            raise error
        if self.takes_before_it_breaks is not None:
            self.takes_before_it_breaks -= 1
        return Outcome(E.DELIVERED, remote_id=archive.name)


class Site(Depot):
    """A depot whose destinations are in memory."""

    def __init__(self, directory, *servers, more="retry: {first: 15s, longest: 1h}"):
        self.servers = {one.name: one for one in servers}
        settings = [f"{one.name}: {{type: directory, path: {directory}/{one.name}}}" for one in servers]
        super().__init__(directory, settings, ManualClock(), more=more)

    def _built(self, name, settings):
        return self.servers[name]

    def datasets(self, count, *to, first=0):
        return [self.dataset(f"d_{first + number}", b"%d" % (first + number), *to) for number in range(count)]

    def states(self, numbers, to=None):
        return [self.delivery(number, to).state for number in numbers]

    @property
    def away(self):
        return self.journal.surroundings.pauses()


@pytest.fixture
def site(tmp_path):
    made = []

    def make(*servers, **more):
        made.append(Site(tmp_path / str(len(made)), *servers, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def box(clock):
    one = watched(clock)
    one.start()
    with stopping_aside() as stop:
        yield one
        stop(one)


@pytest.fixture
def depots(tmp_path, clock):
    made = []

    def make(*settings, **more):
        made.append(Depot(tmp_path / "depot", settings, clock, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


# a night


@pytest.mark.fault(24)
def test_a_server_that_answers_503_all_night_is_asked_a_little_and_gets_everything_when_it_is_back(
    depots, box, tmp_path
):
    depot = depots(irrmc(box, tmp_path / "secret"))
    box.fault("*", "503", times=None, retry_after_s=0)
    numbers = [depot.dataset(f"lyso_{number}", b"%d" % number, "irrmc") for number in range(50)]
    began = depot.clock()
    depot.run_for(10 * HOUR_S)
    in_the_night = len(asked(box))
    assert 100 < in_the_night <= MOST_REQUESTS_A_NIGHT
    assert not any(request.startswith("POST /api/v1/upload") for request in asked(box)), "a body was sent in vain"
    assert len(depot.paused) == 1
    view = depot.journal.view.status()
    (away,) = view["destinations"]
    assert (away["name"], away["state"], away["waiting"]) == ("irrmc", "away", 50)
    assert away["since"] == began.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {one["deliveries"][0]["error"] for one in view["datasets"]} == {away["reason"]}
    assert away["reason"].startswith("irrmc is away: ")
    assert "503" in away["reason"]

    box.faults.clear()
    pause = depot.journal.surroundings.pauses()["irrmc"]
    assert pause.next_probe_at - depot.clock() <= timedelta(minutes=6)
    depot.clock.now = pause.next_probe_at
    depot.run_for(60.0)
    assert all(depot.delivery(number).remote_id is not None for number in numbers), "one was not uploaded at once"
    depot.run_for(120.0)  # the poll after the submit
    assert {depot.delivery(number).state for number in numbers} == {S.DELIVERED}
    assert len(box.submissions) == 50
    assert asked(box).count("POST /api/v1/upload/") == 50


@pytest.mark.fault(24)
def test_a_server_that_asks_for_ten_minutes_is_left_alone_for_ten_minutes_and_no_longer(depots, box, tmp_path):
    depot = depots(irrmc(box, tmp_path / "secret"))
    box.fault("*", "429", retry_after_s=600)
    numbers = [depot.dataset(f"lyso_{number}", b"%d" % number, "irrmc") for number in range(5)]
    began = depot.clock()
    depot.tick()
    assert len(asked(box)) == 1, "the others did not try as well"
    depot.run_for(599.0)
    assert len(asked(box)) == 1
    depot.clock.now = began + timedelta(seconds=600)
    depot.tick()
    depot.tick()
    assert all(depot.delivery(number).remote_id is not None for number in numbers)
    assert depot.clock() == began + timedelta(seconds=600)


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("where", "says"), [("refused", "refused the connection"), ("no such name", "is a name that cannot be resolved")]
)
def test_one_destination_is_away_and_the_other_goes_on(depots, box, tmp_path, where, says):
    settings = irrmc(box, tmp_path / "secret")
    if where == "no such name":
        settings = settings.replace(box.pdi_url, "https://nowhere.invalid/api/v1/")
    else:
        settings = settings.replace(box.pdi_url, "http://127.0.0.1:1/api/v1/")
    depot = depots(settings, qc(box, tmp_path / "other"))
    frames = [depot.dataset(f"lyso_{number}", b"%d" % number, "irrmc") for number in range(5)]
    runs = [depot.dataset(f"hela_{number}", b"%d" % number, "qc", raw=True) for number in range(5)]
    depot.run_for(HOUR_S)
    assert {depot.delivery(number).state for number in runs} == {S.DELIVERED}
    assert {depot.delivery(number).state for number in frames} == {S.WAITING}
    assert sum(depot.delivery(number).attempts for number in frames) == 3
    (pause,) = depot.journal.surroundings.pauses().values()
    assert says in pause.reason
    assert not Rest(depot.journal).idle, "--until-idle waits for it, as for any retry"
    assert Rest(depot.journal).needs_operator == 0


# who is away, and who is not


def test_three_failures_and_a_question_in_vain_open_it_and_a_success_between_them_does_not(site):
    server = Server("one")
    s = site(server)
    s.datasets(1, "one")
    for _ in range(2):
        server.down = Unavailable("reset")
        s.tick()
        s.wait()
    assert not s.away
    server.down = None
    s.tick()
    s.datasets(2, "one", first=1)
    server.down = Unavailable("reset")
    s.tick()
    assert (s.away, server.questions) == ({}, 0)
    s.datasets(1, "one", first=3)
    s.tick()
    assert (list(s.away), server.questions) == (["one"], 1)


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    "error", [Unavailable("500"), Unavailable("503", retry_after_s=900.0)], ids=["500", "503 with Retry-After"]
)
def test_poison_among_good_ones_keeps_its_own_backoff_and_never_holds_them_up(site, error):
    server = Server("one")
    server.poison = {"d_0.tar.zst": error}
    s = site(server)
    (poison,) = s.datasets(1, "one")
    began = s.clock()
    s.run_for(HOUR_S)
    late = []
    for number in range(1, 60):
        (good,) = s.datasets(1, "one", first=number)
        s.tick()
        if s.delivery(good).state is not S.DELIVERED:
            late.append(good)
        s.run_for(60.0)
    assert late == []
    assert s.delivery(poison).state is S.WAITING
    tries = server.steps.count(poison)
    assert 5 <= tries <= 12, "every hour, not more often for the others' sake"
    assert (s.clock() - began).total_seconds() > 1.9 * HOUR_S
    assert len(s.paused) <= (1 if error.retry_after_s else 0), "what asks for time is believed once"
    assert not s.away
    assert server.questions <= tries


@pytest.mark.fault(25)
def test_what_waited_for_the_server_goes_at_once_and_poison_when_its_own_wait_is_over(site):
    server = Server("one")
    server.poison = {"d_0.tar.zst": Unavailable("500")}
    s = site(server)
    (poison,) = s.datasets(1, "one")
    s.run_for(1.2 * HOUR_S)
    own_wait = s.delivery(poison).next_attempt_at
    assert own_wait - s.clock() > timedelta(minutes=10)
    good = s.datasets(5, "one", first=1)
    server.down = Unavailable("reset")
    s.tick()
    assert list(s.away) == ["one"]
    s.wait()
    server.down = None
    tried = server.steps.count(poison)
    s.tick()
    s.tick()
    assert s.states(good) == [S.DELIVERED] * 5
    assert (server.steps.count(poison), s.delivery(poison).next_attempt_at) == (tried, own_wait)


def test_many_datasets_that_a_server_cannot_bear_do_not_make_it_away(site):
    server = Server("one")
    server.poison = {f"d_{number}.tar.zst": Unavailable("500") for number in range(6)}
    s = site(server)
    s.datasets(6, "one")
    (good,) = s.datasets(1, "one", first=6)
    s.tick()
    assert s.delivery(good).state is S.DELIVERED
    s.run_for(6 * HOUR_S)
    assert (s.away, s.paused) == ({}, [])


def test_questions_count_as_well_and_are_put_off_as_well(site):
    server = Server("one")
    s = site(server)
    numbers = s.datasets(10, "one")
    for number in numbers:
        standing = s.journal.deliveries.of_dataset(number)[0]
        assert s.journal.deliveries.begin_send(standing.delivery.id, {}, s.clock())
    s.journal.deliveries.recover(s.clock())
    server.down = Unavailable("timeout")
    s.run_for(2 * HOUR_S)
    assert set(s.states(numbers)) == {S.UNCONFIRMED}
    assert len(server.steps) == 3
    server.down = None
    s.run_for(360.0)
    assert set(s.states(numbers)) == {S.DELIVERED}


def test_answers_lost_three_times_are_a_reason_to_ask_too(site):
    server = Server("one")
    s = site(server)
    s.datasets(5, "one")
    server.down = Unconfirmed("the connection broke")
    s.tick()
    assert list(s.away) == ["one"]
    assert len(server.steps) == 3


@pytest.mark.parametrize("error", [Rejected("422"), None])
def test_whoever_answers_is_there_also_where_it_refuses(site, error):
    server = Server("one")
    s = site(server)
    s.datasets(2, "one")
    server.down = Unavailable("reset")
    s.tick()
    server.down = error
    s.datasets(1, "one", first=2)
    s.tick()
    server.down = Unavailable("reset")
    s.datasets(2, "one", first=3)
    s.tick()
    assert not s.away


def test_a_server_that_comes_back_and_refuses_our_credentials_is_paused_and_began_to_take_nothing_when_it_did(site):
    server = Server("one")
    s = site(server)
    s.datasets(3, "one")
    server.down = Unavailable("reset")
    s.tick()
    since = s.away["one"].since
    server.down = AuthError("401", hint="a new token")
    s.wait()
    s.tick()
    pause = s.away["one"]
    assert (pause.kind, pause.reason, pause.since) == (PauseKind.PAUSED, "one is paused: 401", since)
    assert Rest(s.journal).idle
    assert Rest(s.journal).needs_operator == 3


# coming back


def test_those_that_failed_do_not_sit_out_their_own_wait_when_it_is_back(site):
    server = Server("one")
    s = site(server, more="retry: {first: 2h, longest: 6h}")
    numbers = s.datasets(5, "one")
    server.down = Unavailable("reset")
    began = s.clock()
    s.tick()
    assert [s.delivery(number).next_attempt_at is not None for number in numbers] == [True] * 3 + [False] * 2
    server.down = None
    s.wait()
    s.tick()
    s.tick()
    assert set(s.states(numbers)) == {S.DELIVERED}
    assert s.clock() - began <= timedelta(minutes=6)


def test_retry_asks_at_once_and_sends_nothing_while_it_is_away_still(site):
    server = Server("one")
    s = site(server)
    numbers = s.datasets(5, "one")
    server.down = Unavailable("reset")
    s.run_for(2 * HOUR_S)
    steps, questions = len(server.steps), server.questions
    speak(s.journal, "retry", numbers[0], None, {}, s.clock())
    s.tick()
    assert (len(server.steps), server.questions) == (steps, questions + 1)
    server.down = None
    speak(s.journal, "retry", numbers[0], None, {}, s.clock())
    s.tick()
    s.tick()
    assert set(s.states(numbers)) == {S.DELIVERED}


def test_a_power_cut_forgets_neither_that_it_is_away_nor_who_waits(site):
    server = Server("one")
    s = site(server)
    numbers = s.datasets(5, "one")
    server.down = Unavailable("reset")
    s.run_for(2 * HOUR_S)
    pause, steps = s.away["one"], len(server.steps)
    s.die()
    assert s.away["one"] == pause
    s.run_for(HOUR_S)
    assert len(server.steps) == steps
    server.down = None
    s.wait()
    s.tick()
    assert s.clock() - pause.since < timedelta(hours=3.2)
    s.tick()
    assert set(s.states(numbers)) == {S.DELIVERED}


def test_a_server_that_only_answers_and_takes_nothing_is_tried_ever_more_seldom(site):
    """It answers the question, and breaks as soon as it is sent something."""
    server = Server("one")
    s = site(server)
    numbers = s.datasets(50, "one")
    since = s.clock()
    server.takes_before_it_breaks = 0
    end = since + timedelta(hours=10)
    while s.clock() < end:
        if s.away:
            s.clock.now = s.away["one"].next_probe_at
            server.down = None  # for as long as it is asked, and no longer
        s.tick()
        if not s.away:
            s.tick()
    assert len(server.steps) <= MOST_REQUESTS_A_NIGHT
    assert s.away["one"].since == since, "it was never really back"
    server.takes_before_it_breaks, server.down = None, None
    s.run_for(360.0)
    assert set(s.states(numbers)) == {S.DELIVERED}


def test_a_server_that_flaps_gets_a_few_each_time_and_in_the_end_everything_once(site):
    server = Server("one", idempotent=False)
    s = site(server)
    numbers = s.datasets(50, "one")
    flaps = 0
    while S.WAITING in s.states(numbers):
        flaps += 1
        server.down, server.takes_before_it_breaks = None, 5
        s.run_for(60.0)
    assert flaps <= 12
    assert len(server.steps) <= 50 + 4 * flaps
    assert sorted(set(server.steps)) == numbers
    assert set(s.states(numbers)) == {S.DELIVERED}


def test_what_is_under_way_when_it_goes_away_ends_as_it_ends(site):
    """A long upload is not broken off; where it fails, it waits with the others, and goes on with them."""
    server = Server("one")
    s = site(server)
    long, *others = s.datasets(6, "one")
    steps = server.step

    def slow(delivery, archive, metadata, report):
        if delivery.dataset_id == long and server.questions == 0:
            server.down = Unavailable("reset")
            s.tick()  # the others fail while this one is sent
            assert list(s.away) == ["one"]
        return steps(delivery, archive, metadata, report)

    server.step = slow
    s.tick()
    assert s.delivery(long).failures == 1
    server.down = None
    s.wait()
    s.tick()
    s.tick()
    assert set(s.states([long, *others])) == {S.DELIVERED}


# a directory


def test_a_vault_that_is_not_mounted_is_away_and_takes_everything_once_it_is(tmp_path):
    vault = tmp_path / "vault"
    depot = Depot(tmp_path / "depot", [f"vault: {{type: directory, path: {vault}}}"], ManualClock())
    numbers = [depot.dataset(f"lyso_{number}", b"%d" % number, "vault") for number in range(20)]
    depot.run_for(2 * HOUR_S)
    (pause,) = depot.journal.surroundings.pauses().values()
    assert pause.reason == f"vault is away: {vault}: No such file or directory"
    assert pause.hint.startswith(
        "mount or create the directory; depositd does not create it by itself; nothing is sent"
    )
    assert sum(depot.delivery(number).attempts for number in numbers) == 3
    vault.mkdir()
    depot.run_for(360.0)
    assert len(list(vault.iterdir())) == 20
    depot.close()
