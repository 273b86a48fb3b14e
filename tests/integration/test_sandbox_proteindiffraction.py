"""The sandbox's Protein Diffraction Image Server over real sockets: every endpoint and every documented status."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest
import requests
import zstandard
from clock_support import ManualClock
from sandbox_clients import CBF, TAR, Pdi, tar

from depositd.sandbox import Sandbox, running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    with running(clock) as sandbox:
        yield sandbox


@pytest.fixture
def pdi(sandbox: Sandbox) -> Pdi:
    return Pdi(sandbox)


class TestProteinDiffraction:
    @pytest.mark.parametrize("how", ["data", "json"])
    def test_email_and_password_are_exchanged_for_a_token(self, sandbox, pdi, how):
        credentials = {"username": sandbox.username, "password": sandbox.password}

        answer = pdi.ask("POST", "auth/token/", headers={}, **{how: credentials})

        assert answer.status_code == 200
        assert answer.json() == {"token": sandbox.pdi_token, "user_id": 42, "email": sandbox.username}

    @pytest.mark.parametrize(
        ("credentials", "status"),
        [
            ({"username": "you@lab.edu", "password": "wrong"}, 401),
            ({"username": "you@lab.edu"}, 400),
            ({}, 400),
        ],
    )
    def test_a_wrong_password_is_401_and_a_missing_one_400(self, pdi, credentials, status):
        answer = pdi.ask("POST", "auth/token/", data=credentials)

        assert answer.status_code == status
        assert list(answer.json()) == ["error"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "upload/"),
            ("POST", "submit/"),
            ("GET", "submissions/"),
            ("GET", "submissions/x/"),
            ("DELETE", "submissions/x/"),
            ("GET", "equipment/"),
        ],
    )
    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Token wrong"}, {"Authorization": "Bearer x"}])
    def test_nothing_is_answered_without_a_valid_token(self, pdi, method, path, headers):
        answer = pdi.ask(method, path, headers=headers)

        assert answer.status_code == 401
        assert list(answer.json()) == ["error"]

    def test_an_upload_is_answered_as_documented_with_the_inner_archive(self, sandbox, pdi):
        packed = zstandard.compress(TAR)

        answer = pdi.upload(packed, "set_1abc.tar.zst")

        token = answer.json()["token"]
        assert answer.status_code == 201
        assert re.fullmatch(r"[0-9a-f]{40}", token)
        assert answer.json() == {
            "token": token,
            "md5hash": hashlib.md5(TAR).hexdigest(),
            "filename": "set_1abc.tar",
            "size": len(TAR),
            "pdbid": "1ABC",
            "is_pdb_exists": False,
        }
        [stored] = sandbox.uploads
        assert (stored.sent_md5, stored.sent_size_bytes) == (hashlib.md5(packed).hexdigest(), len(packed))
        assert sandbox.submissions == ()

    def test_a_server_may_hash_the_file_that_was_sent(self):
        packed = zstandard.compress(TAR)
        with running(hash_of="sent") as sandbox:
            pdi = Pdi(sandbox)
            answer = pdi.upload(packed, "a.tar.zst").json()
            listed = pdi.ask("GET", "submissions/").json()

        assert (answer["md5hash"], answer["filename"]) == (hashlib.md5(packed).hexdigest(), "a.tar.zst")
        assert (listed[0]["md5hash"], listed[0]["original_filename"]) == (answer["md5hash"], "a.tar.zst")

    def test_the_same_content_is_a_conflict_whoever_sends_it_and_however_it_is_packed(self, sandbox, pdi):
        pdi.upload()

        answer = Pdi(sandbox, sandbox.other_pdi_token).upload(zstandard.compress(TAR), "other.tar.zst")

        assert answer.status_code == 409
        assert hashlib.md5(TAR).hexdigest() in answer.json()["error"]
        assert len(sandbox.uploads) == 1

    def test_a_pdb_id_that_has_a_dataset_is_told(self, clock):
        with running(clock, existing_pdb_ids=frozenset({"1ABC"})) as sandbox:
            pdi = Pdi(sandbox)
            known = pdi.upload(name="x_1abc.tar").json()
            fresh = pdi.upload(tar(CBF, CBF), name="x_2abc.tar").json()
            pdi.submit(fresh["token"], pdb_code="2abc")
            again = pdi.upload(tar(CBF, CBF, CBF), name="y_2abc.tar").json()

        assert (known["is_pdb_exists"], fresh["is_pdb_exists"], again["is_pdb_exists"]) == (True, False, True)

    def test_a_pdb_id_is_detected_in_the_content_before_the_name(self, pdi):
        named = pdi.upload(name="x_2abc.tar").json()
        written = pdi.upload(tar(CBF, b"data_1ABC\n"), name="x_2abc.tar").json()

        assert (named["pdbid"], written["pdbid"]) == ("2ABC", "1ABC")

    def test_the_server_detects_what_it_is_told_to(self, clock):
        with running(clock, detect_pdb_id="9XYZ", existing_pdb_ids=frozenset({"9xyz"})) as sandbox:
            answer = Pdi(sandbox).upload(name="x_1abc.tar").json()

        assert (answer["pdbid"], answer["is_pdb_exists"]) == ("9XYZ", True)

    @pytest.mark.parametrize(
        ("final_status", "details"),
        [
            ("inconsistent_datasets", "The sandbox was told to end every submission like this."),
            ("under_review", "The sandbox was told to end every submission like this."),
            ("published", None),
        ],
    )
    def test_a_submission_ends_as_the_server_is_told_to_end_it(self, clock, final_status, details):
        with running(clock, final_status=final_status) as sandbox:
            pdi = Pdi(sandbox)
            token = pdi.upload(tar(b"no image")).json()["token"]
            pdi.submit(token, pdb_code="1ABC")
            clock.advance(10)
            shown = pdi.ask("GET", f"submissions/{token}/").json()

        assert (shown["status"], shown["status_details"]) == (final_status, details)

    @pytest.mark.parametrize(
        "body",
        [
            {"files": {"dataset_file": ("notes.txt", b"hello")}},
            {"files": {"dataset_file": ("a.tar", b"not a tar")}},
            {"files": {"dataset_file": ("a.tar.zst", zstandard.compress(TAR)[:-5])}},
            {"files": {"dataset_file": ("a.tar", b"")}},
            {"files": {"other_field": ("a.tar", TAR)}},
            {"files": {"dataset_file": ("a.tar", TAR)}, "data": {"dataset_type": "nonsense"}},
            {"data": {"dataset_file": "a.tar"}},
            {"json": {"dataset_file": "a.tar"}},
        ],
    )
    def test_a_wrong_file_or_field_is_400_and_stores_nothing(self, sandbox, pdi, body):
        answer = pdi.ask("POST", "upload/", **body)

        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]
        assert sandbox.uploads == ()

    def test_a_body_without_its_last_boundary_is_400(self, sandbox, pdi):
        whole = requests.Request("POST", "http://x/", files={"dataset_file": ("a.tar", TAR)}).prepare()
        headers = {**pdi.headers, "Content-Type": whole.headers["Content-Type"]}

        answer = pdi.ask("POST", "upload/", data=whole.body[:-10], headers=headers)

        assert answer.status_code == 400
        assert "last boundary" in answer.json()["error"]
        assert sandbox.uploads == ()

    def test_a_submission_is_published_step_by_step(self, clock, pdi):
        token = pdi.upload().json()["token"]
        statuses = [pdi.status(token)]
        answer = pdi.submit(token, pdb_code="1ABC")
        for _ in range(4):
            statuses.append(pdi.status(token))
            clock.advance(1.0)

        assert (answer.status_code, answer.json()) == (200, {"status": "submitted", "token": token})
        assert statuses == ["uploaded", "submitted", "pending", "validated", "published"]

    def test_a_submission_object_has_all_documented_fields(self, clock, pdi):
        token = pdi.upload().json()["token"]
        pdi.submit(
            token,
            dataset_type="other",
            project_title="High-resolution structure",
            project_authors="Smith J., Doe A.",
            synchrotron_id=25,
            beamline_id=42,
        )
        clock.advance(2.0)

        assert pdi.ask("GET", f"submissions/{token}/").json() == {
            "token": token,
            "original_filename": "dataset.tar",
            "md5hash": hashlib.md5(TAR).hexdigest(),
            "pdbid": None,
            "dataset_type": "other",
            "project_title": "High-resolution structure",
            "project_authors": "Smith J., Doe A.",
            "synchrotron": {"id": 25, "short": "APS"},
            "beamline": {"id": 42, "short": "24-ID-C"},
            "equipment_other": None,
            "status": "validated",
            "status_details": None,
            "inserted": "2026-11-21T02:14:07Z",
            "updated": "2026-11-21T02:14:09Z",
        }

    @pytest.mark.parametrize(
        ("values", "key"),
        [
            ({}, "pdb_code"),
            ({"pdb_code": "ABCD"}, "pdb_code"),
            ({"pdb_code": "1ABCD"}, "pdb_code"),
            ({"dataset_type": "foo", "pdb_code": "1ABC"}, "dataset_type"),
            ({"pdb_code": "1ABC", "project_title": "short"}, "project_title"),
            ({"dataset_type": "other", "project_authors": "A", "equipment_other": "B"}, "project_title"),
            ({"dataset_type": "other", "project_title": "T" * 10, "equipment_other": "B"}, "project_authors"),
            ({"dataset_type": "other", "project_title": "T" * 10, "project_authors": "A"}, "equipment_other"),
            (
                {"dataset_type": "other", "project_title": "T" * 10, "project_authors": "A", "synchrotron_id": 25},
                "beamline_id",
            ),
            ({"pdb_code": "1ABC", "synchrotron_id": 999, "beamline_id": 42}, "synchrotron_id"),
            ({"pdb_code": "1ABC", "synchrotron_id": 25, "beamline_id": 71}, "beamline_id"),
            ({"pdb_code": "1ABC", "synchrotron_id": "APS", "beamline_id": 42}, "synchrotron_id"),
            ({"pdb_code": "1ABC", "synchrotron_id": 25, "beamline_id": 4.2}, "beamline_id"),
            ({"pdb_code": "1ABC", "synchrotron_id": True, "beamline_id": 42}, "synchrotron_id"),
            ({"pdb_code": {"code": "1ABC"}}, "pdb_code"),
            ({"pdb_code": "1ABC", "beamline_id": 42}, "beamline_id"),
        ],
    )
    def test_metadata_that_the_document_requires_are_required(self, pdi, values, key):
        token = pdi.upload().json()["token"]

        answer = pdi.submit(token, **values)

        assert answer.status_code == 400
        assert key in answer.json()["error"]
        assert pdi.status(token) == "uploaded"

    @pytest.mark.parametrize(
        "values",
        [
            {"pdb_code": "1abc"},
            {"pdb_code": "1ABC", "synchrotron_id": 25, "beamline_id": "42"},
            {
                "dataset_type": "other",
                "project_title": "T" * 10,
                "project_authors": "A",
                "equipment_other": "home source",
            },
        ],
    )
    def test_enough_metadata_are_taken(self, pdi, values):
        assert pdi.submit(pdi.upload().json()["token"], **values).status_code == 200

    def test_metadata_that_are_not_json_are_400(self, pdi):
        headers = {**pdi.headers, "Content-Type": "application/json"}

        for body in ("{", "[]", "5"):
            answer = pdi.ask("POST", "submit/", data=body, headers=headers)
            assert (answer.status_code, list(answer.json())) == (400, ["error"])

    def test_metadata_may_come_as_a_form(self, pdi):
        token = pdi.upload().json()["token"]

        answer = pdi.ask("POST", "submit/", data={"token": token, "pdb_code": "1ABC"})

        assert answer.json() == {"status": "submitted", "token": token}

    def test_a_body_of_another_kind_is_400(self, pdi):
        headers = {**pdi.headers, "Content-Type": "text/xml"}

        answer = pdi.ask("POST", "submit/", data="<token/>", headers=headers)

        assert (answer.status_code, list(answer.json())) == (400, ["error"])

    def test_a_second_submit_is_a_conflict(self, pdi):
        token = pdi.upload().json()["token"]
        pdi.submit(token, pdb_code="1ABC")

        assert pdi.submit(token, pdb_code="1ABC").status_code == 409

    def test_submit_wants_a_token_that_exists_and_is_ours(self, sandbox, pdi):
        token = pdi.upload().json()["token"]
        other = Pdi(sandbox, sandbox.other_pdi_token)

        assert pdi.submit("", pdb_code="1ABC").status_code == 400
        assert pdi.submit("0" * 40, pdb_code="1ABC").status_code == 404
        assert other.submit(token, pdb_code="1ABC").status_code == 403

    def test_the_list_holds_the_users_own_newest_first(self, sandbox, pdi):
        tokens = [pdi.upload(tar(*[CBF] * count)).json()["token"] for count in (1, 2, 3)]
        Pdi(sandbox, sandbox.other_pdi_token).upload(tar(CBF, b"other"))

        listed = [each["token"] for each in pdi.ask("GET", "submissions/").json()]

        assert listed == tokens[::-1]

    def test_one_submission_is_for_its_owner_only(self, sandbox, pdi):
        token = pdi.upload().json()["token"]
        other = Pdi(sandbox, sandbox.other_pdi_token)

        assert other.ask("GET", f"submissions/{token}/").status_code == 403
        assert other.ask("DELETE", f"submissions/{token}/").status_code == 403
        assert pdi.ask("GET", f"submissions/{'0' * 40}/").status_code == 404
        assert pdi.ask("DELETE", f"submissions/{'0' * 40}/").status_code == 404
        assert len(sandbox.uploads) == 1

    @pytest.mark.parametrize(
        ("elapsed_s", "status"), [(None, 204), (0, 409), (1, 409), (2, 204), (3, 409)]
    )  # uploaded, submitted, pending, validated, published
    def test_a_submission_is_deleted_only_where_its_status_allows_it(self, clock, sandbox, pdi, elapsed_s, status):
        token = pdi.upload().json()["token"]
        if elapsed_s is not None:
            pdi.submit(token, pdb_code="1ABC")
            clock.advance(elapsed_s)

        answer = pdi.ask("DELETE", f"submissions/{token}/")

        assert answer.status_code == status
        assert answer.content == b"" if status == 204 else "cannot be deleted" in answer.json()["error"]
        assert len(sandbox.uploads) == (status != 204)

    @pytest.mark.parametrize(
        ("contents", "status", "deleted"),
        [
            ([b"notes"], "error_no_data", 204),
            ([b"###CBF: VERSION 1.5\r\n"], "header_not_readable", 409),
            ([CBF, CBF.replace(b"0.9795", b"1.2")], "inconsistent_datasets", 409),
        ],
    )
    def test_bad_archives_end_in_the_documented_statuses(self, clock, pdi, contents, status, deleted):
        token = pdi.upload(tar(*contents)).json()["token"]
        pdi.submit(token, pdb_code="1ABC")
        clock.advance(10)

        shown = pdi.ask("GET", f"submissions/{token}/").json()

        assert shown["status"] == status
        assert shown["status_details"]
        assert pdi.ask("DELETE", f"submissions/{token}/").status_code == deleted

    def test_equipment_is_listed_as_documented(self, pdi):
        listed = pdi.ask("GET", "equipment/").json()

        assert listed[0]["id"] == 25
        assert listed[0]["short"] == "APS"
        assert {"id": 42, "short": "24-ID-C", "fullname": None, "url": None} in listed[0]["beamlines"]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "upload/", 405),
            ("PUT", "submissions/", 405),
            ("GET", "nothing/", 404),
            ("GET", "submissions/x/y/", 404),
        ],
    )
    def test_what_is_not_there_is_an_error_in_json(self, pdi, method, path, status):
        answer = pdi.ask(method, path)

        assert answer.status_code == status
        assert list(answer.json()) == ["error"]

    def test_a_method_that_is_not_there_is_told_those_that_are(self, pdi):
        assert pdi.ask("PUT", f"submissions/{'0' * 40}/").headers["Allow"] == "DELETE, GET, HEAD"

    def test_the_scheme_of_a_token_is_read_in_any_case(self, sandbox, pdi):
        answer = pdi.ask("HEAD", "equipment/", headers={"Authorization": f"token {sandbox.pdi_token}"})

        assert (answer.status_code, answer.content) == (200, b"")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "upload"),
            ("POST", "submit"),
            ("GET", "submissions"),
            ("GET", "submissions/x"),
            ("GET", "equipment"),
        ],
    )
    def test_without_its_last_slash_a_path_is_redirected_and_nothing_is_stored(self, sandbox, pdi, method, path):
        answer = pdi.ask(method, f"{path}?a=b", files={"dataset_file": ("a.tar", TAR)} if path == "upload" else None)

        assert answer.status_code == 301
        assert answer.headers["Location"] == f"/api/v1/{path}/?a=b"
        assert sandbox.uploads == ()
