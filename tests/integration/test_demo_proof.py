"""The demo's proof, where journal and servers disagree: it must believe the servers, and name the line."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from depositd.cli.demo_proof import Proof, Witnesses, prove
from depositd.cli.demo_show import conclusion
from depositd.cli.demo_stage import Act, Ending
from depositd.destinations.proteindiffraction import Client as DiffractionClient
from depositd.destinations.proteomicsqc import Client as ProteomicsClient
from depositd.errors import Conflict
from depositd.sandbox import Sandbox, running
from depositd.simulate.frames import cbf_frame
from depositd.simulate.plan import Plan


@pytest.fixture(scope="module")
def module_sandbox() -> Iterator[Sandbox]:
    with running(pace_s=0.0, process_s=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(pace_s=0.0, process_s=0.0) as fresh:
        yield fresh


@pytest.fixture
def vault(tmp_path) -> Path:
    (tmp_path / "vault").mkdir()
    return tmp_path / "vault"


def act_of(directory: Path, ending: Ending, destination="there", files="lyso_1_*.cbf") -> Act:
    return Act("Pilatus", "frames", Plan("pilatus", directory, "lyso_1"), files, destination, ending)


def status_of(state: str, archive: Path | None = None, error: str | None = None, destination="there") -> dict[str, Any]:
    return {
        "datasets": [
            {
                "name": "lyso_1",
                "archive": archive
                and {
                    "path": str(archive),
                    "name": archive.name,
                    "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                },
                "deliveries": [{"destination": destination, "state": state, "error": error}],
            }
        ]
    }


def written(directory: Path, frames=2) -> dict[str, bytes]:
    """Write a series, and return it by file name."""
    directory.mkdir()
    series = {
        f"lyso_1_{number:05d}.cbf": cbf_frame(number, date=datetime(2026, 11, 21, tzinfo=UTC), shape=(16, 16))
        for number in range(1, frames + 1)
    }
    for name, content in series.items():
        (directory / name).write_bytes(content)
    return series


def packed(path: Path, files: dict[str, bytes]) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"lyso_1/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path


def published(sandbox: Sandbox, archive: Path) -> None:
    client = DiffractionClient(sandbox.pdi_url, token=sandbox.pdi_token)
    upload = client.upload(str(archive))
    client.submit(upload.token, pdb_code="1ABC")
    client.close()


def proof_of(act: Act, sandbox: Sandbox, vault: Path, status: dict[str, Any], watched=("lyso_1",)) -> Proof:
    (proof,) = prove([act], Witnesses(sandbox, vault, status, watched))
    return proof


def test_what_the_server_has_published_once_and_whole_is_proven(tmp_path, sandbox, vault):
    series = written(tmp_path / "data")
    archive = packed(tmp_path / "lyso_1.tar.zst", series)
    published(sandbox, archive)
    proof = proof_of(act_of(tmp_path / "data", Ending.PUBLISHED), sandbox, vault, status_of("delivered", archive))
    assert proof.ok, proof.sentence
    assert "2 files as written" in proof.sentence


def test_a_journal_that_says_delivered_is_not_believed_where_the_server_has_nothing(tmp_path, module_sandbox, vault):
    archive = packed(tmp_path / "lyso_1.tar.zst", written(tmp_path / "data"))
    act = act_of(tmp_path / "data", Ending.PUBLISHED)
    proof = proof_of(act, module_sandbox, vault, status_of("delivered", archive))
    assert (proof.ok, proof.sentence) == (False, "the server has it 0 times, not once")
    assert str(conclusion([proof])[0]) == f"Not as it should be: lyso_1: {proof.sentence}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda series: series.pop("lyso_1_00002.cbf"), "was written, but is not in the archive"),
        (lambda series: series.update({"lyso_1_00003.cbf": b"more"}), "is in the archive, but was not written"),
        (
            lambda series: series.update({"lyso_1_00002.cbf": series["lyso_1_00001.cbf"]}),
            "lyso_1_00002.cbf in the archive is not what was written",
        ),
    ],
)
def test_an_archive_that_is_not_what_was_written_is_named(tmp_path, sandbox, vault, change, sentence):
    series = written(tmp_path / "data")
    change(series)
    archive = packed(tmp_path / "lyso_1.tar.zst", series)
    published(sandbox, archive)
    proof = proof_of(act_of(tmp_path / "data", Ending.PUBLISHED), sandbox, vault, status_of("delivered", archive))
    assert not proof.ok
    assert sentence in proof.sentence


def test_a_server_that_received_other_bytes_is_named(tmp_path, sandbox, vault):
    series = written(tmp_path / "data")
    published(sandbox, packed(tmp_path / "lyso_1.tar.zst", {"lyso_1_00001.cbf": series["lyso_1_00001.cbf"]}))
    archive = packed(tmp_path / "lyso_1.tar.zst", series)
    proof = proof_of(act_of(tmp_path / "data", Ending.PUBLISHED), sandbox, vault, status_of("delivered", archive))
    assert not proof.ok
    assert "the server received MD5" in proof.sentence


def test_an_upload_that_was_sent_twice_is_named_though_the_server_refused_the_second(tmp_path, sandbox, vault):
    archive = packed(tmp_path / "lyso_1.tar.zst", written(tmp_path / "data"))
    published(sandbox, archive)
    with pytest.raises(Conflict):
        published(sandbox, archive)
    proof = proof_of(act_of(tmp_path / "data", Ending.PUBLISHED), sandbox, vault, status_of("delivered", archive))
    assert (proof.ok, proof.sentence) == (False, "the server was sent 2 uploads for 1 datasets")


def test_a_run_is_proven_once_and_not_twice(tmp_path, sandbox, vault):
    (tmp_path / "lyso_1.raw").write_bytes(b"scans")
    client = ProteomicsClient(sandbox.pqc_url, token=sandbox.pqc_token)
    act = act_of(tmp_path, Ending.RUN, files="lyso_1.raw")
    sentences = []
    for _ in range(2):
        client.upload_raw(str(tmp_path / "lyso_1.raw"), pid=sandbox.pid)
        sentences.append(proof_of(act, sandbox, vault, status_of("delivered")))
    client.close()
    assert [proof.ok for proof in sentences] == [True, False]
    assert sentences[1].sentence == "the server has 2 runs of it, not one"


def test_a_copy_is_proven_and_one_that_rotted_is_named(tmp_path, module_sandbox, vault):
    archive = packed(tmp_path / "lyso_1.tar.zst", written(tmp_path / "data"))
    (vault / archive.name).write_bytes(archive.read_bytes())
    act, status = act_of(tmp_path / "data", Ending.COPIED), status_of("delivered", archive)
    assert proof_of(act, module_sandbox, vault, status).ok
    (vault / archive.name).write_bytes(archive.read_bytes()[:-1] + b"?")
    rotten = proof_of(act, module_sandbox, vault, status)
    assert not rotten.ok
    assert "the copy has SHA-256" in rotten.sentence


def test_what_is_held_shows_its_reason_and_must_not_have_been_sent(tmp_path, sandbox, vault):
    act, status = act_of(tmp_path / "data", Ending.HELD), status_of("held", error="truncated: 24 of 48 frames")
    proof = proof_of(act, sandbox, vault, status)
    assert (proof.ok, proof.sentence) == (True, "truncated: 24 of 48 frames")
    published(sandbox, packed(tmp_path / "lyso_1.tar.zst", written(tmp_path / "data")))
    sent = proof_of(act, sandbox, vault, status)
    assert (sent.ok, sent.sentence) == (False, "the server has lyso_1.tar.zst, though it was never whole")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ({"datasets": []}, "the journal has 0 datasets of this name, not one"),
        (
            status_of("failed", error="413"),
            "its delivery is failed for there (413), not delivered for there",
        ),
        (
            status_of("delivered", destination="elsewhere"),
            "its delivery is delivered for elsewhere, not delivered for there",
        ),
    ],
)
def test_a_delivery_that_did_not_end_as_it_should_is_named(tmp_path, module_sandbox, vault, status, sentence):
    proof = proof_of(act_of(tmp_path, Ending.PUBLISHED), module_sandbox, vault, status)
    assert (proof.ok, proof.sentence) == (False, sentence)


def test_a_dataset_that_was_found_only_afterwards_is_named(tmp_path, module_sandbox, vault):
    status = status_of("held", error="truncated: 24 of 48 frames")
    proof = proof_of(act_of(tmp_path, Ending.HELD), module_sandbox, vault, status, watched=())
    assert (proof.ok, proof.sentence) == (False, "it was not found while it grew")


def test_what_cannot_be_read_is_not_proven(tmp_path, sandbox, vault):
    archive = packed(tmp_path / "lyso_1.tar.zst", written(tmp_path / "data"))
    published(sandbox, archive)
    status = status_of("delivered", archive)
    archive.unlink()
    proof = proof_of(act_of(tmp_path / "data", Ending.PUBLISHED), sandbox, vault, status)
    assert not proof.ok
    assert "could not be looked at" in proof.sentence
