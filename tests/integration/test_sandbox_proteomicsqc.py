"""The sandbox's ProteomicsQC over real sockets: every endpoint of the newer server and of the older one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from clock_support import ManualClock
from sandbox_clients import Pqc

from depositd.sandbox import Sandbox, running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    with running(clock) as sandbox:
        yield sandbox


@pytest.fixture
def older(clock: ManualClock) -> Iterator[Pqc]:
    with running(clock, pqc_mode="older") as sandbox:
        pqc = Pqc(sandbox, with_token=False)
        assert pqc.login().status_code == 302
        yield pqc


@pytest.fixture
def modern(sandbox: Sandbox) -> Pqc:
    return Pqc(sandbox)


class TestLogin:
    def test_success_is_302_with_a_new_session_and_a_rotated_csrf_token(self, sandbox):
        pqc = Pqc(sandbox, with_token=False)
        before = pqc.csrf_token()
        anonymous = pqc.session.cookies["sessionid"]

        answer = pqc.login()

        assert answer.status_code == 302
        assert answer.headers["Location"] == "/"
        assert pqc.session.cookies["sessionid"] != anonymous
        assert "csrftoken" not in pqc.session.cookies
        pqc.session.headers["X-CSRFToken"] = before
        stale = pqc.post("projects")
        assert (stale.status_code, stale.json()["detail"][:11]) == (403, "CSRF Failed")

    def test_a_wrong_password_is_200_with_the_form_again(self, sandbox):
        pqc = Pqc(sandbox, with_token=False)

        answer = pqc.login("wrong")

        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert 'name="csrfmiddlewaretoken"' in answer.text
        assert pqc.post("projects").status_code == 403

    def test_a_login_without_its_csrf_token_is_403(self, sandbox):
        assert Pqc(sandbox, with_token=False).login(csrfmiddlewaretoken="x" * 64).status_code == 403

    @pytest.mark.parametrize(("target", "location"), [("/a", "/a"), ("//evil.org", "/"), ("https://evil.org/", "/")])
    def test_a_login_leads_to_pages_of_the_server_only(self, sandbox, target, location):
        assert Pqc(sandbox, with_token=False).login(next=target).headers["Location"] == location

    def test_every_page_shows_another_csrf_token_and_all_are_valid(self, older):
        tokens = {older.csrf_token() for _ in range(3)}

        assert len(tokens) == 3
        for token in tokens:
            older.session.headers["X-CSRFToken"] = token
            assert older.post("projects").status_code == 200

    def test_a_session_ends_after_its_time(self, clock, older):
        clock.advance(14 * 86_400 + 1)

        answer = older.post("projects")

        assert answer.status_code == 403
        assert answer.json() == {"detail": "Authentication credentials were not provided."}

    def test_without_a_csrf_token_nothing_is_taken_from_a_session(self, older):
        del older.session.headers["X-CSRFToken"]

        answer = older.upload()

        assert answer.status_code == 403
        assert answer.json() == {"detail": "CSRF Failed: CSRF token missing."}
        assert older.sandbox.runs == ()


class TestToken:
    def test_a_session_makes_fetches_and_revokes_the_token(self, sandbox):
        pqc = Pqc(sandbox, with_token=False)
        pqc.login()

        known = pqc.post("token").json()
        revoked = pqc.post("token", "DELETE")
        refused = Pqc(sandbox).post("projects")
        made = pqc.post("token").json()

        assert known == {"token": sandbox.pqc_token, "created": False}
        assert (revoked.status_code, refused.status_code) == (204, 403)
        assert made["created"] is True
        assert re.fullmatch(r"[0-9a-f]{40}", made["token"])

    def test_a_revoked_token_is_followed_by_another(self, sandbox):
        pqc = Pqc(sandbox, with_token=False)
        pqc.login()
        pqc.post("token", "DELETE")
        minted = pqc.post("token").json()
        fetched = pqc.post("token").json()
        by_token = Pqc(sandbox)
        by_token.session.headers["Authorization"] = f"token {minted['token']}"

        assert fetched == {**minted, "created": False}
        assert minted["token"] != sandbox.pqc_token
        assert by_token.post("projects").status_code == 200

    def test_the_older_server_has_no_tokens(self, older):
        assert older.post("token").status_code == 404
        assert Pqc(older.sandbox).post("projects").status_code == 403

    def test_who_is_not_authenticated_gets_403_with_a_detail(self, sandbox):
        answer = Pqc(sandbox, with_token=False).upload()

        assert answer.status_code == 403
        assert answer.json() == {"detail": "Authentication credentials were not provided."}


class TestProteomicsqcUpload:
    def test_an_upload_is_answered_as_measured(self, modern):
        answer = modern.upload("with space (1).raw", b"RAW content")

        assert answer.status_code == 201
        assert answer.json() == {"orig_file": "/media/upload/with_space_1.raw", "pipeline": 2, "created_by": 42}
        [run] = modern.sandbox.runs
        assert (run.name, run.size_bytes, run.md5) == (
            "with_space_1.raw",
            11,
            hashlib.md5(b"RAW content").hexdigest(),
        )

    def test_a_repeated_name_is_an_independent_run_on_the_newer_server(self, modern):
        assert [modern.upload().status_code for _ in range(2)] == [201, 201]
        assert [run.key for run in modern.sandbox.runs] == ["rf4", "rf5"]

    def test_a_repeated_name_is_500_in_html_on_the_older_server(self, older):
        older.upload()

        answer = older.upload()

        assert answer.status_code == 500
        assert answer.headers["Content-Type"].startswith("text/html")
        assert len(older.sandbox.runs) == 1

    def test_what_a_refused_repeat_left_behind_is_taken_for_another_pipeline(self, older):
        older.upload(content=b"first")
        older.upload(content=b"left behind")

        older.upload(content=b"quite another", pid="11111111-1111-4111-8111-111111111111")

        assert [run.md5 for run in older.sandbox.runs] == [
            hashlib.md5(content).hexdigest() for content in (b"first", b"left behind")
        ]

    @pytest.mark.parametrize(("name", "content"), [("notes.txt", b"text"), ("empty.raw", b"")])
    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_a_wrong_suffix_or_an_empty_file_is_400(self, request, mode, name, content):
        pqc = request.getfixturevalue(mode)

        answer = pqc.upload(name, content)

        assert answer.status_code == 400
        assert answer.json() == {"orig_file": ["Unsupported file extension."]}
        assert pqc.sandbox.runs == ()

    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_a_wrong_pid_or_a_missing_file_is_500_in_html(self, request, mode):
        pqc = request.getfixturevalue(mode)

        wrong_pid = pqc.upload(pid="nonsense")
        no_file = pqc.post("upload/raw", files={"pid": (None, pqc.sandbox.pid)})

        assert (wrong_pid.status_code, no_file.status_code) == (500, 500)
        assert "Server Error (500)" in wrong_pid.text
        assert pqc.sandbox.runs == ()

    def test_a_pipeline_of_a_project_that_we_may_not_see_is_403(self, modern):
        assert modern.upload(pid="33333333-3333-4333-8333-333333333333").status_code == 403

    def test_a_body_that_is_not_multipart_is_415(self, modern):
        answer = modern.post("upload/raw", json={"pid": modern.sandbox.pid})

        assert answer.status_code == 415
        assert answer.json() == {"detail": 'Unsupported media type "application/json" in request.'}

    def test_a_body_in_chunks_over_the_limit_is_413_too(self):
        parts = [b'--bb\r\nContent-Disposition: form-data; name="orig_file"; filename="a.raw"\r\n\r\n', bytes(2000)]
        with running(upload_limit_bytes=1000) as sandbox:
            headers = {"Content-Type": "multipart/form-data; boundary=bb"}
            answer = Pqc(sandbox).post("upload/raw", data=iter([*parts, b"\r\n--bb--\r\n"]), headers=headers)

        assert (answer.status_code, sandbox.runs) == (413, ())

    def test_over_the_limit_is_413_in_plain_text(self):
        with running(upload_limit_bytes=1000) as sandbox:
            answer = Pqc(sandbox).upload(content=bytes(2000))

        assert answer.status_code == 413
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert sandbox.runs == ()

    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_a_client_that_accepts_html_gets_500_after_the_file_was_stored(self, request, mode):
        pqc = request.getfixturevalue(mode)

        answer = pqc.upload(headers={"Accept": "text/html,application/json"})

        assert answer.status_code == 500
        assert len(pqc.sandbox.runs) == 1


class TestProteomicsqcReads:
    def test_projects_and_pipelines_are_listed_as_documented(self, modern):
        projects = modern.post("projects").json()
        pipelines = modern.post("pipelines", json={"project": "demo-project"}).json()

        assert projects == [
            {
                "pk": 1,
                "name": "Demo Project",
                "description": "Seeded demo project for first-run onboarding.",
                "slug": "demo-project",
            }
        ]
        assert [set(pipeline) for pipeline in pipelines] == [{"uuid", "slug", "name", "path_as_str"}] * 2
        assert pipelines[1]["uuid"] == modern.sandbox.pid
        assert modern.post("pipelines", json={"project": "private-project"}).json() == []

    def test_the_older_server_tells_run_keys_and_no_uuids(self, clock, older):
        older.upload()
        clock.advance(2)

        pipelines = older.post("pipelines", json={"project": "demo-project"}).json()

        assert "uuid" not in pipelines[0]
        assert older.qc_data()["RunKey"] == ["rf4"]

    @pytest.mark.parametrize(
        ("path", "values"),
        [
            ("pipelines", {}),
            ("pipeline-uploaders", {"project": "demo-project"}),
            ("qc-data", {"pipeline": "tmt-qc", "data_range": 3}),
            ("protein-groups", {"project": "demo-project", "pipeline": "tmt-qc", "data_range": 3}),
        ],
    )
    def test_a_missing_field_is_400_on_the_newer_and_500_on_the_older_server(self, modern, older, path, values):
        told = modern.post(path, json=values)

        assert (told.status_code, list(told.json().values())) == (400, [["This field is required."]])
        assert older.post(path, json=values).status_code == 500

    def test_qc_data_without_data_range_fails_on_the_older_server_alone(self, modern, older):
        assert modern.post("qc-data", json=modern.of_pipeline()).status_code == 200
        assert older.post("qc-data", json=older.of_pipeline()).status_code == 500

    def test_an_unknown_pipeline_is_404_or_500(self, modern, older):
        asked = {"project": "demo-project", "pipeline": "nonsense", "data_range": 3}

        assert modern.post("qc-data", json=asked).status_code == 404
        assert older.post("qc-data", json=asked).status_code == 500

    def test_the_demo_pipeline_has_three_processed_runs(self, modern):
        asked = {"project": "demo-project", "pipeline": "tmt-qc-demo", "data_range": 3}

        data = modern.post("qc-data", json=asked).json()

        assert data["RawFile"] == ["demo_run_01", "demo_run_02", "demo_run_03"]
        assert data["RunKey"] == ["rf1", "rf2", "rf3"]
        assert {"TMT1_missing_values", "TMT11_peptide_count", "TMT5_protein_group_count"} <= set(data)

    def test_a_run_is_in_qc_data_once_it_was_processed(self, clock, modern):
        modern.upload("Sample1.raw")
        early = modern.qc_data()["RawFile"]
        clock.advance(1.0)
        data = modern.qc_data(columns=["RawFile", "RunKey", "Uploader"])

        assert early == []
        assert data == {"RawFile": ["Sample1"], "RunKey": ["rf4"], "Uploader": ["you@lab.edu"]}

    def test_data_range_takes_the_newest_runs(self, clock, modern):
        for number in range(5):
            modern.upload(f"run{number}.raw")
        clock.advance(2)

        data = modern.post("qc-data", data={**modern.of_pipeline(), "data_range": "2", "columns": "RawFile"}).json()

        assert data == {"RawFile": ["run3", "run4"]}

    def test_uploaders_are_those_of_the_pipeline(self, modern):
        nobody = modern.post("pipeline-uploaders", json=modern.of_pipeline()).json()
        modern.upload()

        assert nobody == []
        assert modern.post("pipeline-uploaders", json=modern.of_pipeline()).json() == [
            {"label": "you@lab.edu", "value": "you@lab.edu"}
        ]

    def test_proteins_are_told_over_the_selected_runs(self, modern):
        demo = {"project": "demo-project", "pipeline": "tmt-qc-demo", "data_range": 3, "raw_files": []}
        clean = {"remove_contaminants": True, "remove_reversed_sequences": True}

        everything = modern.post("protein-names", json=demo).json()["protein_names"]
        cleaned = modern.post("protein-names", json={**demo, **clean}).json()["protein_names"]
        wanted = {"protein_names": ["QC1|Peptide1"], "columns": ["Reporter intensity corrected"]}
        groups = modern.post("protein-groups", json={**demo, "raw_files": ["demo_run_02"], **wanted}).json()

        assert len(everything) == len(cleaned) + 2
        assert groups["RawFile"] == ["demo_run_02"]
        assert len([column for column in groups if column.startswith("Reporter intensity corrected ")]) == 11

    def test_the_older_server_sends_protein_groups_as_json_in_a_text(self, older):
        demo = {"project": "demo-project", "pipeline": "tmt-qc-demo", "data_range": 1}
        wanted = {"protein_names": ["QC1|Peptide1"], "columns": ["Score"]}

        text = older.post("protein-groups", json={**demo, **wanted}).json()

        assert isinstance(text, str)
        assert json.loads(text)["RawFile"] == ["demo_run_03"]

    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_a_body_of_another_kind_is_415(self, request, mode):
        answer = request.getfixturevalue(mode).post("qc-data", data="<a/>", headers={"Content-Type": "text/xml"})

        assert answer.status_code == 415
        assert answer.json() == {"detail": 'Unsupported media type "text/xml" in request.'}

    def test_paths_are_as_documented_without_a_slash_and_for_post_only(self, modern):
        slash, get = modern.post("projects/"), modern.post("projects", "GET")

        assert (slash.status_code, slash.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (get.status_code, get.headers["Allow"]) == (405, "POST")
        assert get.json() == {"detail": 'Method "GET" not allowed.'}


class TestRunsPage:
    def rows(self, pqc: Pqc, query: str = "") -> list[tuple[str, str]]:
        page = pqc.page(f"proteomics/detail/{pqc.sandbox.project}/{pqc.sandbox.pipeline}{query}").text
        return re.findall('data-run-name="([^"]*)" data-overall-status="([^"]*)"', page)

    def test_it_shows_a_fresh_run_lower_cased_with_its_status(self, clock, older):
        older.upload("Sample1.RAW")
        seen = [self.rows(older)]
        for _ in range(2):
            clock.advance(0.5)
            seen.append(self.rows(older))

        assert seen == [[("sample1.raw", status)] for status in ("queued", "running", "done")]

    def test_it_shows_a_hundred_a_page_newest_first(self, older):
        for number in range(101):
            older.upload(f"run{number:03}.raw")

        first, second = self.rows(older), self.rows(older, "?page=2")

        assert (len(first), first[0][0], second) == (100, "run100.raw", [("run000.raw", "queued")])

    def test_it_is_for_sessions_only(self, modern):
        answer = modern.page("proteomics/detail/demo-project/tmt-qc")

        assert answer.status_code == 302
        assert answer.headers["Location"] == "/?next=/proteomics/detail/demo-project/tmt-qc"

    def test_an_unknown_pipeline_has_no_page(self, older):
        assert older.page("proteomics/detail/demo-project/nonsense").status_code == 404


class TestFlags:
    @pytest.mark.parametrize(
        ("path", "values", "column", "before", "after"),
        [
            ("rawfile", {"action": "flag"}, "Flagged", False, True),
            ("flag/create", {}, "Flagged", False, True),
            ("rawfile", {"action": "reject"}, "Use Downstream", True, False),
        ],
    )
    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_form_data_work_on_both_servers(self, request, clock, mode, path, values, column, before, after):
        pqc = request.getfixturevalue(mode)
        pqc.upload("a.raw")
        pqc.upload("b.raw")
        clock.advance(2)
        untouched = pqc.qc_data(columns=[column])[column]

        answer = pqc.post(path, data={**pqc.of_pipeline(), **values, "raw_files": "a"})

        assert (answer.status_code, answer.json()) == (200, {})
        assert untouched == [before, before]
        assert pqc.qc_data(columns=[column])[column] == [after, before]

    def test_they_are_taken_back(self, clock, modern):
        modern.upload("a.raw")
        clock.advance(2)
        chosen = {**modern.of_pipeline(), "run_keys": ["rf4"]}
        seen = []
        for path, values in [
            ("flag/create", {}),
            ("flag/delete", {}),
            ("rawfile", {"action": "flag"}),
            ("rawfile", {"action": "unflag"}),
            ("rawfile", {"action": "reject"}),
            ("rawfile", {"action": "accept"}),
        ]:
            modern.post(path, json={**chosen, **values})
            data = modern.qc_data()
            seen.append((data["Flagged"][0], data["Use Downstream"][0]))

        assert seen == [(True, True), (False, True), (True, True), (False, True), (False, False), (False, True)]

    def test_keys_tell_runs_of_the_same_name_apart(self, clock, modern):
        modern.upload("a.raw")
        modern.upload("a.raw")
        clock.advance(2)

        modern.post("rawfile", json={**modern.of_pipeline(), "action": "flag", "run_keys": ["rf5"]})
        by_key = modern.qc_data()["Flagged"]
        modern.post("rawfile", json={**modern.of_pipeline(), "action": "unflag", "raw_file_ids": [5]})

        assert (by_key, modern.qc_data()["Flagged"]) == ([False, True], [False, False])

    def test_the_older_server_ignores_json_silently(self, clock, older):
        older.upload("a.raw")
        clock.advance(2)

        answer = older.post("rawfile", json={**older.of_pipeline(), "action": "flag", "raw_files": ["a"]})

        assert (answer.status_code, answer.json()) == (200, {})
        assert older.qc_data()["Flagged"] == [False]

    def test_the_older_server_ignores_run_keys_silently(self, clock, older):
        older.upload("a.raw")
        clock.advance(2)

        answer = older.post("rawfile", data={**older.of_pipeline(), "action": "flag", "run_keys": "rf4"})

        assert (answer.status_code, answer.json()) == (200, {})
        assert older.qc_data()["Flagged"] == [False]

    def test_an_unknown_run_is_answered_like_a_known_one(self, modern):
        answer = modern.post("rawfile", json={**modern.of_pipeline(), "action": "flag", "run_keys": ["rf999"]})

        assert (answer.status_code, answer.json()) == (200, {})

    def test_the_runs_of_others_stay_as_they_are(self, clock, sandbox, modern):
        modern.upload("a.raw")
        clock.advance(2)
        other = Pqc(sandbox)
        other.session.headers["Authorization"] = f"Token {sandbox.other_pqc_token}"

        other.post("flag/create", json={**modern.of_pipeline(), "run_keys": ["rf4"]})

        assert modern.qc_data()["Flagged"] == [False]
