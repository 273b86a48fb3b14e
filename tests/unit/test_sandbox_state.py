from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from depositd.sandbox.proteindiffraction import status_at
from depositd.sandbox.proteomicsqc import valid_name
from depositd.sandbox.qcdata import CHANNELS, PROTEINS, REPORTER, protein_groups, protein_names, qc_table
from depositd.sandbox.state import Inspection, Run, Runs, Upload, Uploads

NOW = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)

UPLOAD = Upload(
    token="t" * 40,
    user_id=1,
    filename="a.tar",
    size_bytes=10,
    md5="a" * 32,
    sent_filename="a.tar.zst",
    sent_size_bytes=5,
    sent_md5="b" * 32,
    pdb_id=None,
    dataset_type="pdb",
    inspection=Inspection(1),
    inserted_at=NOW,
)
RUN = Run(0, 1, "Sample1.raw", 10, "a" * 32, "you@lab.edu", 1, NOW)


@pytest.mark.parametrize(
    ("elapsed_s", "status"),
    [(-5, "submitted"), (0, "submitted"), (2, "pending"), (4, "validated"), (6, "published"), (9999, "published")],
)
def test_a_good_submission_goes_through_all_statuses_at_its_pace(elapsed_s, status):
    submitted = replace(UPLOAD, submitted_at=NOW)

    assert status_at(submitted, NOW + timedelta(seconds=elapsed_s), 2.0)[0] == status


def test_a_bad_submission_ends_with_what_is_wrong():
    bad = replace(UPLOAD, submitted_at=NOW, inspection=Inspection(0, "error_no_data", "None."))

    statuses = [status_at(bad, NOW + timedelta(seconds=second), 1.0)[0] for second in range(4)]

    assert statuses == ["submitted", "pending", "error_no_data", "error_no_data"]


def test_without_submission_nothing_moves():
    assert status_at(UPLOAD, NOW + timedelta(days=30), 1.0) == ("uploaded", NOW)


def test_no_pace_means_at_once():
    assert status_at(replace(UPLOAD, submitted_at=NOW), NOW, 0.0)[0] == "published"


def test_the_same_content_is_stored_once_and_submitted_once():
    uploads = Uploads()

    assert uploads.add(UPLOAD)
    assert not uploads.add(replace(UPLOAD, token="u" * 40, user_id=2))
    assert uploads.submit(UPLOAD.token, NOW, {"pdb_code": "1ABC"})
    assert not uploads.submit(UPLOAD.token, NOW, {})
    assert [each.metadata for each in uploads.all()] == [{"pdb_code": "1ABC"}]


def test_a_deleted_content_can_be_stored_again():
    uploads = Uploads()
    uploads.add(UPLOAD)
    uploads.delete(UPLOAD.token)

    assert uploads.add(UPLOAD)


def test_a_repeated_name_is_a_new_run_or_none():
    runs = Runs()
    runs.add(RUN, unique=True)

    assert runs.add(RUN, unique=True) is None
    assert runs.add(RUN, unique=False).key == "rf2"
    assert runs.add(replace(RUN, pipeline=2), unique=True).key == "rf3"


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("with space (1).raw", "with_space_1.raw"),
        ("sample1.raw", "sample1.raw"),
        ("../../etc/sample.raw", "sample.raw"),
        ("C:\\data\\sample.raw", "sample.raw"),
        ("probe_µ.raw", "probe_µ.raw"),
    ],
)
def test_names_are_sanitised_as_django_does(name, stored):
    assert valid_name(name) == stored


def test_qc_columns_have_one_value_for_each_run_and_the_same_every_time():
    runs = [replace(RUN, number=1), replace(RUN, number=2, md5="c" * 32)]

    table = qc_table(runs, None)

    assert table["RawFile"] == ["Sample1", "Sample1"]
    assert table["RunKey"] == ["rf1", "rf2"]
    assert {len(column) for column in table.values()} == {2}
    assert f"TMT{CHANNELS}_protein_group_count" in table
    assert table == qc_table(runs, None)
    assert table["N_peptides"][0] != table["N_peptides"][1]


def test_only_known_columns_are_given():
    assert list(qc_table([RUN], ["Uploader", "Nonsense"])) == ["Uploader"]


def test_contaminants_and_reversed_sequences_can_be_left_out():
    everything = protein_names([RUN], contaminants=True, reversed_sequences=True)
    clean = protein_names([RUN], contaminants=False, reversed_sequences=False)

    assert len(everything["protein_names"]) == len(PROTEINS)
    assert not [name for name in clean["protein_names"] if name.startswith(("CON__", "REV__"))]
    assert protein_names([], contaminants=True, reversed_sequences=True)["Score"] == []


def test_reporter_intensities_expand_to_every_channel():
    groups = protein_groups([RUN], ["P02769", "unknown"], [REPORTER])

    assert groups["Majority protein IDs"] == ["P02769"]
    assert [f"{REPORTER} {channel}" in groups for channel in range(1, CHANNELS + 1)] == [True] * CHANNELS
