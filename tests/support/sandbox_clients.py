"""Clients of the sandbox that know nothing: they send what they are told and return what they get."""

from __future__ import annotations

import io
import re
import tarfile

import requests

from depositd.sandbox import Sandbox

CBF = b"###CBF: VERSION 1.5\r\n# Detector: PILATUS 6M, S/N 60-0100\r\n# Wavelength 0.9795 A\r\nX-Binary-Size: 4\r\n"
UPLOAD = "/api/v1/upload/"
TIMEOUT_S = 20


def tar(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, content in enumerate(contents):
            entry = tarfile.TarInfo(f"set/{number:05}.cbf")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


TAR = tar(CBF)


class Pdi:
    """One user of the diffraction server."""

    def __init__(self, sandbox: Sandbox, token: str | None = None) -> None:
        self.sandbox = sandbox
        self.headers = {"Authorization": f"Token {token or sandbox.pdi_token}"}

    def ask(self, method: str, path: str, **details: object) -> requests.Response:
        url = f"{self.sandbox.pdi_url}{path}"
        headers = details.pop("headers", self.headers)
        return requests.request(method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **details)

    def upload(self, content: bytes = TAR, name: str = "dataset.tar", **details: object) -> requests.Response:
        return self.ask("POST", "upload/", files={"dataset_file": (name, content)}, **details)

    def submit(self, token: str, **values: object) -> requests.Response:
        return self.ask("POST", "submit/", json={"token": token, **values})

    def status(self, token: str) -> str:
        return self.ask("GET", f"submissions/{token}/").json()["status"]


class Pqc:
    """One user of ProteomicsQC, with a token or with a session."""

    def __init__(self, sandbox: Sandbox, *, with_token: bool = True) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        if with_token:
            self.session.headers["Authorization"] = f"Token {sandbox.pqc_token}"

    def page(self, path: str = "") -> requests.Response:
        return self.session.get(self.sandbox.pqc_url + path, timeout=TIMEOUT_S, allow_redirects=False)

    def csrf_token(self) -> str:
        found = re.search('name="csrfmiddlewaretoken" value="([^"]*)"', self.page().text)
        assert found is not None
        return found[1]

    def login(self, password: str | None = None, **values: str) -> requests.Response:
        form = {
            "csrfmiddlewaretoken": self.csrf_token(),
            "username": self.sandbox.username,
            "password": password or self.sandbox.password,
            "next": "/",
            **values,
        }
        headers = {"Referer": self.sandbox.pqc_url}
        url, verify = self.sandbox.pqc_url, self.session.verify
        answer = self.session.post(
            url, data=form, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, verify=verify
        )
        if answer.status_code == 302:
            self.session.headers["X-CSRFToken"] = self.csrf_token()
        return answer

    def post(self, path: str, method: str = "POST", **details: object) -> requests.Response:
        url = f"{self.sandbox.pqc_url}api/{path}"
        return self.session.request(method, url, timeout=TIMEOUT_S, allow_redirects=False, **details)

    def upload(self, name: str = "sample1.raw", content: bytes = b"RAW", **details: object) -> requests.Response:
        form = {"pid": details.pop("pid", self.sandbox.pid)}
        return self.post("upload/raw", data=form, files={"orig_file": (name, content)}, **details)

    def of_pipeline(self, **values: object) -> dict[str, object]:
        return {"project": self.sandbox.project, "pipeline": self.sandbox.pipeline, **values}

    def qc_data(self, **values: object) -> dict[str, list]:
        return self.post("qc-data", json=self.of_pipeline(data_range=100, **values)).json()
