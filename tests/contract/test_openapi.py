"""The sandbox and our clients, both held to the servers' APIs as OpenAPI documents.

schemathesis makes requests of the documents, right ones and wrong ones, and the sandbox must answer each as documented.
A walk through every method of both clients is recorded, and openapi-core checks every request and every answer in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.exceptions import OpenAPIError
from requests.adapters import HTTPAdapter
from sandbox_clients import CBF, TIMEOUT_S, Pqc, tar
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from depositd.destinations import proteindiffraction, proteomicsqc
from depositd.errors import AuthError, Conflict, NotFound, Rejected, RemoteError, Unconfirmed
from depositd.sandbox import Sandbox, running
from depositd.sandbox.access import Mode
from depositd.sandbox.openapi import document

EXAMPLES = 8
"""Requests made of each operation, right and wrong ones."""

METHODS = ("get", "post", "delete")


def operations(name: str, mode: Mode) -> list[str]:
    paths = document(name, mode)["paths"]
    return [parts[method]["operationId"] for parts in paths.values() for method in METHODS if method in parts]


EVERYTHING = [
    pytest.param(name, mode, operation, id=f"{name}-{mode}-{operation}")
    for name, mode in (("proteindiffraction", "modern"), ("proteomicsqc", "modern"), ("proteomicsqc", "older"))
    for operation in operations(name, mode)
]


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[Mode, Sandbox]]:
    with running(pace_s=0, process_s=0) as modern, running(pace_s=0, process_s=0, pqc_mode="older") as older:
        yield {"modern": modern, "older": older}


# --- what the sandbox answers -----------------------------------------------------------------------------------------


@cache
def schema_of(name: str, mode: Mode) -> Any:
    return schemathesis.openapi.from_dict(document(name, mode))


class Somebody:
    """Who sends generated requests: right credentials, and values that exist in every other request."""

    def __init__(self, sandbox: Sandbox, name: str, mode: Mode) -> None:
        self.base_url = sandbox.url.rstrip("/") + ("/api/v1" if name == "proteindiffraction" else "")
        self.session = requests.Session()
        self.session.trust_env = False
        self.known: dict[str, Any] = {"project": sandbox.project, "pipeline": sandbox.pipeline, "pid": sandbox.pid}
        if name == "proteindiffraction":
            self.session.headers["Authorization"] = f"Token {sandbox.pdi_token}"
        elif mode == "modern":
            self.session.headers["Authorization"] = f"Token {sandbox.pqc_token}"
        else:
            pqc = Pqc(sandbox, with_token=False)
            assert pqc.login().status_code == 302
            self.session = pqc.session

    def send(self, case: Any, *, with_known: bool) -> Any:
        if with_known and isinstance(case.body, dict):
            case.body.update({key: value for key, value in self.known.items() if key in case.body})
        case.headers = {key: value for key, value in (case.headers or {}).items() if key.lower() == "content-type"}
        case.cookies = {}
        return case.call(
            base_url=self.base_url, session=self.session, allow_redirects=False, timeout=TIMEOUT_S, proxies={}
        )


@pytest.mark.parametrize(("name", "mode", "operation"), EVERYTHING)
def test_whatever_is_asked_the_sandbox_answers_as_documented(sandboxes, name, mode, operation):
    asked = schema_of(name, mode).find_operation_by_id(operation)
    somebody = Somebody(sandboxes[mode], name, mode)
    answered = []
    modes = schemathesis.GenerationMode
    cases = asked.as_strategy(generation_mode=modes.POSITIVE) | asked.as_strategy(generation_mode=modes.NEGATIVE)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases, with_known=strategies.booleans())
    def ask(case: Any, with_known: bool) -> None:
        response = somebody.send(case, with_known=with_known)
        answered.append(response.status_code)
        case.validate_response(
            response, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
        )

    ask()

    assert answered


# --- what our clients send and get ------------------------------------------------------------------------------------


class Recorder(HTTPAdapter):
    """An adapter that remembers what it has sent and got, whole."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[requests.PreparedRequest, requests.Response]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **details: Any) -> requests.Response:
        if request.body is not None and not isinstance(request.body, bytes | str):
            request.body = b"".join(iter(request.body.read, b""))
        response = super().send(request, *args, **details)
        assert response.content is not None
        self.seen.append((request.copy(), response))
        return response


def check(recorder: Recorder, sandbox: Sandbox, name: str, mode: Mode) -> dict[str, set[int]]:
    """Hold everything recorded to the document; return the statuses that each operation was answered with."""
    described = document(name, mode)
    described["servers"] = [{"url": sandbox.url.rstrip("/") + described["servers"][0]["url"].rstrip("/")}]
    api = OpenAPI.from_dict(described)
    seen: dict[str, set[int]] = {}
    for sent, got in recorder.seen:
        request = RequestsOpenAPIRequest(sent)
        try:
            api.validate_request(request)
            api.validate_response(request, RequestsOpenAPIResponse(got))
        except OpenAPIError as error:
            # the error holds the whole body, which may be an archive
            why = [str(error)[:200], *(each.message[:300] for each in getattr(error.__cause__, "schema_errors", ()))]
            pytest.fail(f"{sent.method} {sent.path_url} {sent.headers.get('Content-Type')} {got.status_code}: {why}")
        found = api.request_validator._find_path(request)
        seen.setdefault(found.operation["operationId"], set()).add(got.status_code)
    return seen


def stored(directory: Path, name: str, *contents: bytes) -> Path:
    path = directory / name
    path.write_bytes(tar(*contents) if name.endswith(".tar") else contents[0])
    return path


@pytest.mark.parametrize("with_token", [True, False], ids=["token", "password"])
def test_what_the_diffraction_client_sends_and_gets_is_documented(tmp_path, with_token):
    recorder = Recorder()
    with running(pace_s=0) as sandbox:
        login = {"username": sandbox.username, "password": sandbox.password}
        how = {"token": sandbox.pdi_token} if with_token else login
        client = proteindiffraction.Client(sandbox.pdi_url, adapter=recorder, **how)
        if not with_token:
            client.login()
        client.equipment()
        one = client.upload(stored(tmp_path, "dataset_1abc.tar", CBF))
        with pytest.raises(Conflict):
            client.upload(stored(tmp_path, "dataset_1abc.tar", CBF))
        two = client.upload(stored(tmp_path, "other.tar", CBF, CBF), dataset_type="other")
        three = client.upload(stored(tmp_path, "empty.tar", b"notes"))
        client.submit(one.token, pdb_code="1ABC")
        with pytest.raises(Conflict):
            client.submit(one.token, pdb_code="1ABC")
        about = {"project_title": "High-resolution structure", "project_authors": "Smith J."}
        client.submit(two.token, dataset_type="other", synchrotron_id=25, beamline_id=42, **about)
        client.submit(three.token, pdb_code="1ABC", equipment_other="APS 24-ID-C beamline")
        client.submissions()
        ends = [client.wait(token, sleep=lambda _: None).status for token in (one.token, two.token, three.token)]
        client.delete(three.token)
        with pytest.raises(Conflict):
            client.delete(one.token)
        with pytest.raises(NotFound):
            client.submission("0" * 40)
        with pytest.raises(Rejected):
            client.upload(stored(tmp_path, "notes.txt", b"notes"))
        stranger = proteindiffraction.Client(sandbox.pdi_url, adapter=recorder, token=sandbox.other_pdi_token)
        with pytest.raises(RemoteError):
            stranger.submission(one.token)
        nobody = proteindiffraction.Client(sandbox.pdi_url, adapter=recorder, token="f" * 40)
        with pytest.raises(RemoteError):
            nobody.submissions()

        seen = check(recorder, sandbox, "proteindiffraction", "modern")

    assert ends == ["published", "published", "error_no_data"]
    assert seen == {
        **({} if with_token else {"token": {200}}),
        "equipment": {200},
        "upload": {201, 400, 409},
        "submit": {200, 409},
        "submissions": {200, 401},
        "submission": {200, 403, 404},
        "delete": {204, 409},
    }


@pytest.mark.parametrize(("mode", "with_token"), [("modern", True), ("modern", False), ("older", False)])
def test_what_the_proteomics_client_sends_and_gets_is_documented(tmp_path, mode, with_token):
    recorder = Recorder()
    raw = tmp_path / "Sample 1.raw"
    raw.write_bytes(b"RAW")
    (tmp_path / "notes.txt").write_bytes(b"notes")
    with running(process_s=0, pqc_mode=mode, upload_limit_bytes=10_000) as sandbox:
        login = {"username": sandbox.username, "password": sandbox.password}
        how = {"token": sandbox.pqc_token} if with_token else login
        client = proteomicsqc.Client(sandbox.pqc_url, adapter=recorder, **how)
        place = (sandbox.project, sandbox.pipeline)
        client.projects()
        client.pipelines(sandbox.project)
        client.upload_raw(raw, pid=sandbox.pid)
        with pytest.raises(Rejected):
            client.upload_raw(tmp_path / "notes.txt", pid=sandbox.pid)
        with pytest.raises(Unconfirmed):
            client.upload_raw(raw, pid="99999999-9999-4999-8999-999999999999")
        client.uploaders(*place)
        client.qc_data(*place, columns=["RawFile", "Flagged"])
        client.qc_data(*place, data_range=3)
        client.protein_names(*place)
        client.protein_names(*place, raw_files=["Sample_1"], remove_contaminants=False)
        client.protein_groups(*place, protein_names=["QC1|Peptide1"], columns=["Reporter intensity corrected"])
        for action in proteomicsqc.client.ACTIONS:
            client.rawfile(action, *place, raw_files=["Sample_1.raw"])
        client.rawfile("flag", *place, run_keys=["rf4", "rf5"])
        client.flag_create(*place, raw_file_ids=[4])
        client.flag_delete(*place, run_keys=["rf4"])
        rows = client.runs_on_page(*place)
        if mode == "modern" and not with_token:
            client.token()
            client.revoke_token()
        # a session that the server has forgotten is refused once and opened again
        sandbox.proteomicsqc.sessions.end_all()
        client.projects()
        if mode == "modern":
            stranger = proteomicsqc.Client(sandbox.pqc_url, adapter=recorder, token="0" * 40)
            with pytest.raises(AuthError):
                stranger.projects()

        seen = check(recorder, sandbox, "proteomicsqc", mode)

    assert (rows is None) == with_token
    if mode == "older":
        expected = set(operations("proteomicsqc", mode))
    else:
        expected = set(operations("proteomicsqc", mode)) - (
            {"home", "login", "token", "revoke"} if with_token else set()
        )
    assert set(seen) == expected
    assert seen["upload"] == {201, 400, 500}
    assert seen["projects"] == {200, 403}
