import pytest
from format_files import stat_of

from depositd.formats.ladder import Findings, Shortfall, broken_sentence, decide
from depositd.model import Dataset, FileKind, Probe, Quiet, Terms, VerdictKind

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
