from dataclasses import replace

import pytest
from format_files import stat_of

from depositd.formats.ladder import Findings, Shortfall, broken_sentence, count_unread, decide, is_whole, unwritten
from depositd.model import Dataset, FileKind, Frames, Part, Probe, Quiet, Terms, VerdictKind

PLAIN = Dataset("d", "file", "", "d", "d", (stat_of("d"),))
DONE = "*.done"


def verdict(findings, quiet_s, dataset=PLAIN, **terms):
    return decide(dataset, findings, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


def found(**changes):
    return Findings(("3 frames",), **changes)


@pytest.mark.parametrize(
    ("findings", "terms", "needs_s", "kind"),
    [
        (found(proven=True), {}, 30, VerdictKind.COMPLETE),
        (found(proven=True, quiet_s=500), {}, 30, VerdictKind.COMPLETE),
        (found(), {}, 30, VerdictKind.COMPLETE),
        (found(quiet_s=500), {}, 500, VerdictKind.COMPLETE),
        (found(quiet_s=500), {"marker_pattern": DONE, "marker_present": True}, 30, VerdictKind.COMPLETE),
        (found(proven=True), {"marker_pattern": DONE}, 3600, VerdictKind.ABORTED),
        (found(proven=True), {"marker_pattern": DONE, "settle_s": 9000.0}, 9000, VerdictKind.ABORTED),
        (found(shortfall=Shortfall(VerdictKind.GAPPED, "g", 500)), {}, 500, VerdictKind.GAPPED),
        (found(shortfall=Shortfall(VerdictKind.GAPPED, "g", 5)), {}, 30, VerdictKind.GAPPED),
        (found(shortfall=Shortfall(VerdictKind.CORRUPT, "c")), {"marker_pattern": DONE}, 3600, VerdictKind.CORRUPT),
        (found(shortfall=Shortfall(VerdictKind.GAPPED, "g")), {"marker_pattern": DONE}, 3600, VerdictKind.ABORTED),
        (
            found(shortfall=Shortfall(VerdictKind.TRUNCATED, "t", 500)),
            {"marker_pattern": DONE, "marker_present": True},
            30,
            VerdictKind.TRUNCATED,
        ),
    ],
)
def test_each_rung_needs_its_time_and_not_a_second_more(findings, terms, needs_s, kind):
    before = verdict(findings, needs_s - 1, **terms)
    assert before.kind is VerdictKind.GROWING
    assert before.recheck_s == pytest.approx(1)
    after = verdict(findings, needs_s, **terms)
    assert after.kind is kind
    assert after.recheck_s is None


def test_the_sentences_of_completeness():
    assert verdict(found(proven=True), 41).evidence == ("3 frames", "last write 41 s ago")
    assert verdict(found(), 41).evidence == (
        "3 frames",
        "complete by quiescence: quiet for 41 s (needs 30 s)",
        "last write 41 s ago",
    )
    marked = verdict(found(), 41, marker_pattern=DONE, marker_present=True)
    assert marked.evidence == ("3 frames", "a file matching *.done is there", "last write 41 s ago")


def test_a_growing_dataset_says_what_it_waits_for():
    assert verdict(found(), 12).evidence == ("3 frames", "quiet for 12 s (needs 30 s)", "last write 12 s ago")
    assert "no file matching *.done yet" in verdict(found(), 41, marker_pattern=DONE).evidence
    short = found(shortfall=Shortfall(VerdictKind.TRUNCATED, "1 frame fewer than expected", 90))
    assert "1 frame fewer than expected" in verdict(short, 41).evidence


def test_a_special_file_is_named_and_beats_everything_else():
    link = Dataset("d", "f", "", "d", "d", (stat_of("a/ok"), stat_of("a/x\n", kind=FileKind.SYMLINK)))
    judged = verdict(found(proven=True), 30, dataset=link)
    assert judged.kind is VerdictKind.CORRUPT
    assert "x\\n is a symbolic link, not a regular file" in judged.evidence


def test_nothing_is_decided_before_every_file_was_read():
    judged = verdict(found(proven=True, unread=2), 1e6)
    assert judged.kind is VerdictKind.GROWING
    assert "2 files not read yet" in judged.evidence
    assert judged.recheck_s == 30.0


def test_a_file_dated_in_the_future_is_shown_as_such():
    judged = decide(PLAIN, found(proven=True), Quiet(40, -100), Terms(30))
    assert judged.evidence[-1] == "last write is dated 100 s in the future"


def test_broken_files_are_counted_and_the_first_is_named():
    files = [stat_of(f"a/{name}") for name in "xyz"]
    assert broken_sentence(files, {"a/x": Probe(), "a/y": Probe()}) is None
    probes = {"a/x": Probe(), "a/y": Probe("is empty"), "a/z": Probe("is empty")}
    assert broken_sentence(files, probes) == "y is empty (and 1 more file)"


# the rungs


RUNGS = (
    "an explicit flag",
    "index and data agree",
    "the expected count",
    "no open writer",
    "a newer dataset of the same instrument",
    "nothing changes",
)
LACKS = found(shortfall=Shortfall(VerdictKind.GAPPED, "frame 3 is missing", 90))
LINK = Dataset("d", "f", "", "d", "d", (stat_of("a/x", kind=FileKind.SYMLINK),))


@pytest.mark.parametrize(
    ("findings", "quiet", "terms", "dataset"),
    [
        (found(), Quiet(5, 5), {}, PLAIN),
        (found(), Quiet(99, 99), {}, PLAIN),
        (found(proven=True), Quiet(99, 99), {}, PLAIN),
        (found(unread=2), Quiet(99, 99), {}, PLAIN),
        (found(), Quiet(99, 99, open_name="d", writers_asked=True), {}, PLAIN),
        (found(), Quiet(9999, 9999, open_name="d", writers_asked=True), {}, PLAIN),
        (LACKS, Quiet(5, 5), {}, PLAIN),
        (LACKS, Quiet(99, 99), {}, PLAIN),
        (found(shortfall=Shortfall(VerdictKind.CORRUPT, "c")), Quiet(99, 99), {}, PLAIN),
        (found(), Quiet(9999, 9999), {"marker_pattern": DONE}, PLAIN),
        (found(), Quiet(99, 99), {}, LINK),
    ],
)
def test_every_verdict_has_six_rungs_each_with_its_finding(findings, quiet, terms, dataset):
    verdict_ = decide(dataset, findings, quiet, Terms(30.0, **terms))
    assert tuple(rung.asks for rung in verdict_.ladder) == RUNGS
    assert all(rung.finding for rung in verdict_.ladder)
    assert (verdict_.kind is VerdictKind.GROWING) == bool(verdict_.awaits) == (verdict_.recheck_s is not None)


def rung(verdict_, number):
    return verdict_.ladder[number - 1].finding


def test_the_rungs_say_what_the_format_found():
    said = found(flag="Finnigan says done", agreement="all 3 agree", count="3 of 3 frames", proven=True)
    judged = verdict(said, 41)
    assert [rung(judged, n) for n in (1, 2, 3, 6)] == [
        "Finnigan says done",
        "all 3 agree",
        "3 of 3 frames",
        "quiet for 41 s (needs 30 s)",
    ]
    assert rung(verdict(said, 41, marker_pattern=DONE, marker_present=True), 1) == (
        "the marker *.done is there; Finnigan says done"
    )
    assert rung(verdict(found(), 41, marker_pattern=DONE), 1) == "the marker *.done is not there yet"


# what is awaited


def test_what_would_end_the_wait_is_named_and_when_the_verdict_can_change():
    judged = verdict(found(awaits="797 more frames", quiet_s=100), 41, marker_pattern=DONE, expected_frames=1800)
    assert judged.awaits == "797 more frames, a file matching *.done, or 59 min more without any change"
    assert judged.recheck_s == pytest.approx(3559)
    assert verdict(found(), 12).awaits == "18 s more without any change"
    assert verdict(found(unread=1), 12).awaits == "headers that can be read"
    assert verdict(found(), 30).awaits == ""


def test_a_marker_that_is_there_is_not_awaited():
    judged = verdict(found(quiet_s=500), 5, marker_pattern=DONE, marker_present=True)
    assert judged.awaits == "25 s more without any change"


# an open writer


def with_writer(quiet_s, findings=None, dataset=PLAIN, **terms):
    quiet = Quiet(quiet_s, quiet_s, open_name="x\n.raw", writers_asked=True)
    return decide(dataset, findings or found(), quiet, Terms(**{"settle_s": 30.0} | terms))


def test_what_a_program_holds_open_for_writing_is_growing():
    judged = with_writer(99)
    assert judged.kind is VerdictKind.GROWING
    assert judged.evidence == ("3 frames", "x\\n.raw is open for writing", "last write 99 s ago")
    assert judged.awaits == "that its writer closes it, or 58 min more without any change"
    assert judged.recheck_s == 30.0
    assert rung(judged, 4) == "x\\n.raw is open for writing"
    assert rung(judged, 6) == "quiet for 99 s (needs 1 h)"


def test_after_an_hour_of_silence_an_open_writer_is_said_and_not_waited_for():
    last = with_writer(3599.5)
    assert (last.kind, last.recheck_s) == (VerdictKind.GROWING, 0.5)
    judged = with_writer(3600)
    assert (judged.kind, judged.by_quiescence) == (VerdictKind.COMPLETE, True)
    assert "x\\n.raw is open for writing, but nothing was written to it for 1 h" in judged.evidence
    assert "complete by quiescence: quiet for 1 h (needs 1 h)" in judged.evidence


def test_a_quiet_time_longer_than_an_hour_is_waited_out_with_an_open_writer_too():
    assert with_writer(7199, settle_s=7200.0).kind is VerdictKind.GROWING
    assert with_writer(7200, settle_s=7200.0).kind is VerdictKind.COMPLETE
    assert with_writer(7199, found(quiet_s=7200)).kind is VerdictKind.GROWING


def test_an_open_writer_of_what_is_no_regular_file_is_not_waited_for():
    assert with_writer(30, dataset=LINK).kind is VerdictKind.CORRUPT


def test_a_settle_time_of_zero_does_not_ask_for_an_open_writer_without_pause():
    assert with_writer(99, settle_s=0.0).recheck_s == 1.0


def test_whether_writers_could_be_asked_is_said():
    assert rung(verdict(found(), 41), 4).startswith("not asked")
    asked = decide(PLAIN, found(), Quiet(41, 41, writers_asked=True), Terms(30.0))
    assert rung(asked, 4).startswith("none on this machine")


# a newer dataset


def test_a_newer_dataset_ends_the_wait_only_where_the_format_says_so():
    quiet = Quiet(60, 60, next_name="next\x1b")
    slow = found(quiet_s=3600, ends_with_next=True)
    ended = decide(PLAIN, slow, quiet, Terms(30.0))
    assert ended.kind is VerdictKind.COMPLETE
    assert not ended.by_quiescence
    assert "next\\x1b has begun on the same instrument" in ended.evidence
    assert rung(ended, 5) == "next\\x1b has begun"
    not_settled = decide(PLAIN, slow, quiet, Terms(61.0))
    assert (not_settled.kind, not_settled.recheck_s) == (VerdictKind.GROWING, pytest.approx(1))
    waiting = decide(PLAIN, found(quiet_s=3600), quiet, Terms(30.0))
    assert waiting.kind is VerdictKind.GROWING
    assert "would prove nothing" in rung(waiting, 5)
    assert decide(PLAIN, slow, Quiet(60, 60), Terms(30.0)).kind is VerdictKind.GROWING


def test_a_newer_dataset_does_not_stand_in_for_a_marker():
    followed = decide(PLAIN, found(ends_with_next=True), Quiet(60, 60, next_name="n"), Terms(30.0, marker_pattern=DONE))
    assert followed.kind is VerdictKind.GROWING


# parts and the learnt cadence


def test_a_part_says_why_it_is_one_in_every_verdict():
    part = replace(PLAIN, part=Part("the wavelength is 1 Å here"))
    for quiet_s in (5, 99):
        for findings in (found(), found(proven=True), found(unread=1), LACKS):
            assert "the wavelength is 1 Å here" in verdict(findings, quiet_s, dataset=part).evidence


def test_the_learnt_cadence_is_said_wherever_time_decides():
    learnt = {"learnt": "learnt cadence 0.1 s"}
    assert verdict(found(**learnt), 41).evidence[-1] == "learnt cadence 0.1 s"
    assert verdict(found(**learnt), 5).evidence[-1] == "learnt cadence 0.1 s"
    assert "learnt cadence 0.1 s" not in verdict(found(proven=True, **learnt), 41).evidence


def test_every_verdict_carries_the_frames_that_were_counted():
    counted = found(frames=Frames(3, 5))
    growing = (verdict(replace(counted, unread=1), 99), verdict(counted, 5), with_writer(99, counted))
    for judged in (*growing, verdict(counted, 99)):
        assert judged.frames == Frames(3, 5)


def test_what_is_not_read_yet_is_asked_again_after_a_second_at_the_soonest():
    assert [verdict(found(unread=1), 99, settle_s=settle_s).recheck_s for settle_s in (0.0, 1.5)] == [1.0, 1.5]


def test_the_last_second_with_an_open_writer_is_waited_out():
    judged = with_writer(3599.9)
    assert judged.kind is VerdictKind.GROWING
    assert judged.awaits.startswith("that its writer closes it")


def test_one_thing_that_is_awaited_is_told_before_the_silence():
    assert verdict(found(awaits="3 more frames"), 12).awaits == "3 more frames or 18 s more without any change"


def test_a_write_just_now_is_no_write_in_the_future():
    assert [verdict(found(), quiet_s).evidence[-1] for quiet_s in (0, 0.4)] == [
        "last write 0 s ago",
        "last write 0.4 s ago",
    ]


def test_a_rung_without_a_finding_says_so():
    judged = decide(PLAIN, found(ends_with_next=True), Quiet(41, 41), Terms(30.0))
    assert [rung(judged, n) for n in (1, 2, 3, 5)] == [
        "the format has none that could be read",
        "the format has no index that could be compared",
        "nothing says how many there should be",
        "none has begun",
    ]
    nothing = "none has begun; it would prove nothing, for in this format one can begin before another ends"
    assert rung(verdict(found(), 41), 5) == nothing


# what single files tell


@pytest.mark.parametrize(
    ("size_bytes", "allocated_bytes", "said"),
    [
        (1_000_000, 1, "x\\n is sparse or preallocated (1 B of 1.00 MB)"),
        (1_000_000, 995_903, "x\\n is sparse or preallocated (996 kB of 1.00 MB)"),
        (1_000_000, 995_904, None),
        (1_000_000, 1_000_000, None),
        (1_000_000, 0, None),
        (4096, 1, None),
    ],
)
def test_a_file_with_more_size_than_data_is_named(size_bytes, allocated_bytes, said):
    file = stat_of("a/x\n", size_bytes, allocated=allocated_bytes)
    assert unwritten([stat_of("a/plain"), file]) == (() if said is None else (said,))
    assert unwritten([file._replace(kind=FileKind.SYMLINK)]) == ()


def test_a_file_that_ends_in_holes_is_named_whatever_is_allocated():
    file = stat_of("a/x", 5000)
    assert unwritten([file], {"a/y"}) == ()
    assert unwritten([file], {"a/x"}) == ("x is sparse or preallocated (5.00 kB)",)
    assert unwritten([file._replace(kind=FileKind.SYMLINK)], {"a/x"}) == ()


def test_only_regular_files_are_read_and_whole_where_nothing_is_wrong_with_them():
    files = [stat_of("read"), stat_of("bad"), stat_of("new"), stat_of("newer"), stat_of("link", kind=FileKind.SYMLINK)]
    probes = {"read": Probe(), "bad": Probe("is empty"), "link": Probe()}
    assert count_unread(files, probes) == 2
    assert count_unread(files[1:], probes) == 2
    assert count_unread(files[:2], probes) == 0
    assert [file.name for file in files if is_whole(file, probes)] == ["read"]
