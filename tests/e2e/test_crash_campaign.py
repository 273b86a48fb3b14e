"""The daemon dies at each of its moments, and lives again: everything is there once, and nothing else has changed.

Each test is a life of the installed command that ends by SIGKILL at a named moment (``depositd.moments``), and the
lives that it takes to set all right.  What must be true then stands in ``campaign_support``: every dataset once at
every destination, with the right bytes; sources untouched; nothing left in the spool; a sound journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from beamline_support import until
from campaign_support import ANSWERS, Campaign
from lives import KILLED, End, Recorder

from depositd.moments import Moment
from depositd.sandbox import running
from depositd.states import DatasetEvent, DeliveryEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

M, D, V = Moment, DatasetEvent, DeliveryEvent

UPLOAD, SUBMIT, LIST, RAW = "POST upload/", "POST submit/", "GET submissions/", "POST api/upload/raw"
SIDE_EFFECTS = [
    *(End(moment) for moment in (M.PART_OPENED, M.PART_WRITTEN, M.FRAME_NOTED, M.PART_SEALED, M.PART_NAMED)),
    *(End(M.PART_PUBLISHED, after=after) for after in (0, 1, 2)),
    *(
        End(moment, request)
        for moment in (M.REQUEST_BEGINS, M.ANSWER_BEGUN, M.ANSWER_READ)
        for request in (UPLOAD, SUBMIT, LIST, RAW)
    ),
    *(End(moment, after=after) for moment in (M.BODY_BEGUN, M.BODY_SENT) for after in (0, 1)),
    *(End(moment) for moment in (M.COPY_WRITTEN, M.COPY_SEALED, M.COPY_LINKED, M.COPY_NAMED)),
]
NIGHT = ("seen", D.COMPLETED, D.ARCHIVED, V.SENDING, V.UPLOADED, V.SUBMITTED, V.DELIVERED)
"""What the history of a night without trouble is made of."""
WORTH_A_NOTE_BYTES = 70 << 20


def at(*events: str) -> list[End]:
    """Return the moments around each transition: it is written but not true, and it is true but nothing followed."""
    return [End(moment, str(event)) for event in events for moment in (M.RECORDING, M.RECORDED)]


@pytest.fixture
def campaign(tmp_path):
    with running(pace_s=0.1) as box:
        yield Campaign(tmp_path, box)


@pytest.mark.fault(27)
@pytest.mark.parametrize("end", [*SIDE_EFFECTS, *at(*NIGHT)], ids=str)
def test_wherever_it_dies_each_dataset_is_there_once(campaign, end):
    large = {"large_bytes": WORTH_A_NOTE_BYTES} if end.moment is M.FRAME_NOTED else {}
    campaign.measure(**large)
    assert campaign.live(end=end) == KILLED, campaign.told
    campaign.end_well()
    campaign.check()


def test_every_moment_of_a_night_is_in_the_campaign(campaign, tmp_path):
    campaign.measure(large_bytes=WORTH_A_NOTE_BYTES)
    assert campaign.live(end=Recorder(str(tmp_path / "moments"))) == 0, campaign.told
    campaign.check()
    came = [line.split("\t") for line in (tmp_path / "moments").read_text().splitlines()]
    tried = {end.moment for end in [*SIDE_EFFECTS, *at(*NIGHT)]}
    assert {Moment[name] for name, _ in came} == tried
    assert tried | {M.ARCHIVE_REMOVED} == set(Moment)
    assert {detail for name, detail in came if name == M.RECORDING.name} == set(NIGHT)


# --- nights with trouble: what they add to the history --------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """What goes wrong, what is recorded of it, and what an operator answers."""

    events: Sequence[str]
    begins: Callable[[Campaign], None]
    answers: Mapping[str, Sequence[str]] = field(default_factory=lambda: ANSWERS)


def fault(path: str, kind: str, **more: object) -> Callable[[Campaign], None]:
    return lambda campaign: campaign.box.fault(path, kind, **more)


def frame_is_missing(campaign: Campaign) -> None:
    campaign.measure_series()[-1].unlink()
    campaign.remember()


def frame_is_corrupt(campaign: Campaign) -> None:
    frame = campaign.measure_series()[1]
    content = bytearray(frame.read_bytes())
    content[len(content) // 3] ^= 1
    frame.write_bytes(content)
    campaign.remember()


def title_is_missing(campaign: Campaign) -> None:
    text = campaign.config.read_text()
    campaign.config.write_text(text.replace('project_title: "A title that is long enough",', ""))


def archive_is_lost(campaign: Campaign) -> None:
    """The server is away, and somebody clears the spool by hand."""
    campaign.box.fault("/api/v1/*", "503", times=None, retry_after_s=0)
    life = campaign.begin("run")
    try:
        until(lambda: any(one["archive"] for one in campaign.datasets()), what=campaign.told)
    finally:
        life.kill()
    for path in (campaign.state / "spool").rglob("*.tar.zst"):
        path.unlink()
    campaign.box.faults.clear()


TROUBLES = {
    "an answer is lost": Trouble([V.LOST], fault("/api/v1/upload/", "commit-then-drop")),
    "a body is lost": Trouble([V.LOST, V.ABSENT], fault("/api/v1/upload/", "drop-mid-body")),
    "the server is away": Trouble([V.POSTPONE], fault("/api/v1/*", "503", times=2, retry_after_s=0)),
    "it is refused": Trouble([V.FAILED], fault("/api/v1/upload/", "413"), {"failed": ["retry"]}),
    "it is not finished": Trouble([D.ENDED_INCOMPLETE, V.HOLD], frame_is_missing, {"incomplete": ["release"]}),
    "it is corrupt": Trouble([D.FOUND_CORRUPT, V.HOLD], frame_is_corrupt, {"incomplete": ["release"]}),
    "something is not known": Trouble(
        [V.HOLD], title_is_missing, {"metadata": ["release", "--set", "project_title=A title of four words"]}
    ),
    "the archive is lost": Trouble([D.ARCHIVE_LOST], archive_is_lost),
}


@pytest.mark.long
@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("name", "end"), [(name, end) for name, trouble in TROUBLES.items() for end in at(*trouble.events)], ids=str
)
def test_wherever_it_dies_in_trouble_each_dataset_is_there_once(campaign, name, end):
    campaign.measure_series()
    TROUBLES[name].begins(campaign)
    assert campaign.live(end=end) == KILLED, campaign.told
    campaign.end_well(TROUBLES[name].answers)
    campaign.check()


@pytest.mark.fault(27)
@pytest.mark.parametrize("moment", [M.RECORDING, M.RECORDED], ids=lambda moment: moment.name.lower())
@pytest.mark.parametrize("word", ["release", "skip", "hold", "retry"])
def test_an_operators_word_that_dies_can_be_said_again(campaign, word, moment):
    if word == "retry":
        campaign.measure_series()
        campaign.box.fault("/api/v1/upload/", "413")
    else:
        frame_is_missing(campaign)
    assert campaign.live() == 3, campaign.told
    assert campaign.live(word, "1", end=End(moment, word)) == KILLED, campaign.told
    answers = {"incomplete": ["release"], "operator": ["release"], "failed": ["retry"]}
    campaign.end_well(answers)
    (dataset,) = campaign.datasets()
    skipped = [one["destination"] for one in dataset["deliveries"] if one["state"] == "skipped"]
    assert bool(skipped) == (word == "skip" and moment is M.RECORDED)
    for destination in skipped:  # what was skipped is an end, unless somebody says otherwise
        assert campaign.live("release", "1", "--to", destination) == 0
    campaign.end_well(answers)
    campaign.check()


@pytest.mark.fault(27)
def test_it_dies_after_it_removed_an_archive_whose_time_is_over(campaign):
    campaign.measure()
    campaign.end_well()
    assert campaign.live(end=End(M.ARCHIVE_REMOVED)) == KILLED, campaign.told
    campaign.end_well()
    campaign.check()
    assert not list((campaign.state / "spool").rglob("lyso*")), "its time is over"
