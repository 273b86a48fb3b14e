"""What became of each acquisition, by what the servers and the vault hold and not by what our journal says."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, assert_never

import zstandard

from depositd.cli.demo_stage import Act, Ending
from depositd.destinations.proteomicsqc import Client
from depositd.errors import DepositdError
from depositd.sandbox import Sandbox
from depositd.units import printable, show_count


@dataclass(frozen=True, slots=True)
class Proof:
    """One acquisition's end: whether it is as it should be, and the sentence that says why (not)."""

    act: Act
    ok: bool
    sentence: str


class NotAsItShouldBe(Exception):
    """The text is the sentence that says what is not."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who is asked: the servers, the vault, and the journal's ``status`` for what should be there.

    ``watched`` are the datasets that were in the journal while their instrument still wrote.
    """

    sandbox: Sandbox
    vault: Path
    status: Mapping[str, Any]
    watched: Collection[str]

    def dataset(self, act: Act) -> Mapping[str, Any]:
        """Return the one dataset of an acquisition in the journal."""
        found = [dataset for dataset in self.status["datasets"] if dataset["name"] == act.name]
        _require(len(found) == 1, f"the journal has {show_count(len(found), 'dataset')} of this name, not one")
        dataset: Mapping[str, Any] = found[0]
        return dataset

    def delivery(self, act: Act, state: str) -> Mapping[str, Any]:
        """Return the one delivery of an acquisition, which must be in this state."""
        deliveries: list[Mapping[str, Any]] = self.dataset(act)["deliveries"]
        shown = ", ".join(f"{each['state']} for {each['destination']}" for each in deliveries) or "not known"
        reason = next((f" ({printable(each['error'], 300)})" for each in deliveries if each["error"]), "")
        expected = [(state, act.destination)]
        found = [(each["state"], each["destination"]) for each in deliveries]
        _require(found == expected, f"its delivery is {shown}{reason}, not {state} for {act.destination}")
        return deliveries[0]


def prove(acts: Sequence[Act], witnesses: Witnesses) -> list[Proof]:
    """Return the proof for each acquisition; what cannot be asked or read is not proven."""
    return [_prove(act, witnesses) for act in acts]


def _prove(act: Act, witnesses: Witnesses) -> Proof:
    try:
        _require(act.name in witnesses.watched, "it was not found while it grew")
        match act.ending:
            case Ending.PUBLISHED:
                sentence = _published(act, witnesses)
            case Ending.RUN:
                sentence = _run(act, witnesses)
            case Ending.COPIED:
                sentence = _copied(act, witnesses)
            case Ending.HELD:
                sentence = _held(act, witnesses)
            case _:
                assert_never(act.ending)
    except NotAsItShouldBe as problem:
        return Proof(act, ok=False, sentence=str(problem))
    except (DepositdError, OSError, tarfile.TarError, zstandard.ZstdError) as error:
        return Proof(act, ok=False, sentence=f"this could not be looked at: {printable(str(error), 300)}")
    return Proof(act, ok=True, sentence=sentence)


def _published(act: Act, witnesses: Witnesses) -> str:
    witnesses.delivery(act, "delivered")
    archive = witnesses.dataset(act)["archive"]
    sandbox = witnesses.sandbox
    there = [upload for upload in sandbox.uploads if _is_named_after(act, upload.sent_filename)]
    _require(len(there) == 1, f"the server has it {show_count(len(there), 'time')}, not once")
    asked = sandbox.requests.get("POST /api/v1/upload/", 0)
    _require(asked == len(sandbox.uploads), f"the server was sent {asked} uploads for {len(sandbox.uploads)} datasets")
    upload = there[0]
    status = sandbox.proteindiffraction.describe(upload)["status"]
    _require(status == "published", f"the server calls it {status}, not published")
    sent = _unpacked(Path(archive["path"]))
    _require(upload.sent_md5 == sent.md5, f"the server received MD5 {upload.sent_md5}, the archive has {sent.md5}")
    _require(upload.md5 == sent.inner_md5, f"the server keeps MD5 {upload.md5}, the tar has {sent.inner_md5}")
    _compare(sent.members, act)
    return f"published, sent once, MD5 {upload.md5}; {_as_written(act)}"


def _run(act: Act, witnesses: Witnesses) -> str:
    witnesses.delivery(act, "delivered")
    sandbox = witnesses.sandbox
    there = [run for run in sandbox.runs if _is_named_after(act, run.name)]
    _require(len(there) == 1, f"the server has {show_count(len(there), 'run')} of it, not one")
    (source,) = act.sources()
    written = _md5(source.read_bytes())
    _require(there[0].md5 == written, f"the server received MD5 {there[0].md5}, the file has {written}")
    client = Client(sandbox.pqc_url, token=sandbox.pqc_token)
    try:
        shown = client.qc_data(sandbox.project, sandbox.pipeline, data_range=100)
    finally:
        client.close()
    stems = [printable(str(stem)) for stem in shown.get("RawFile", [])]
    _require(
        stems.count(act.name) == 1, f"the QC data of {sandbox.pipeline} show the runs {stems}, not {act.name} once"
    )
    return f"run {there[0].key} of {sandbox.pipeline}, processed, once, MD5 {written}; as written"


def _copied(act: Act, witnesses: Witnesses) -> str:
    witnesses.delivery(act, "delivered")
    promised = witnesses.dataset(act)["archive"]
    there = sorted(witnesses.vault.iterdir())
    names = [path.name for path in there]
    _require(names == [promised["name"]], f"the vault holds {names}, not {promised['name']} alone")
    sha256 = _sha256(there[0].read_bytes())
    _require(sha256 == promised["sha256"], f"the copy has SHA-256 {sha256}, the archive {promised['sha256']}")
    _compare(_unpacked(there[0]).members, act)
    return f"vault/{names[0]}, SHA-256 {sha256[:16]}…; {_as_written(act)}"


def _held(act: Act, witnesses: Witnesses) -> str:
    reason = witnesses.delivery(act, "held")["error"] or ""
    _require(reason.startswith("truncated"), f"it is held for another reason: {printable(reason, 300)}")
    sandbox = witnesses.sandbox
    sent = [upload.sent_filename for upload in sandbox.uploads if _is_named_after(act, upload.sent_filename)]
    _require(not sent, f"the server has {', '.join(sent)}, though it was never whole")
    return printable(reason, 300)


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """An archive, taken apart without our own archive code; ``members`` maps base names to SHA-256."""

    md5: str
    inner_md5: str
    members: Mapping[str, str]


def _unpacked(path: Path) -> _Unpacked:
    """Take a ``.tar.zst`` apart, in memory: the demo's are a few MB."""
    packed = path.read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
        plain = stream.read()
    members = {}
    with tarfile.open(fileobj=BytesIO(plain)) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            if opened is not None:
                members[member.name.rpartition("/")[2]] = _sha256(opened.read())
    return _Unpacked(_md5(packed), _md5(plain), members)


def _compare(members: Mapping[str, str], act: Act) -> None:
    """Require that an archive holds exactly what the instrument wrote."""
    written = {path.name: _sha256(path.read_bytes()) for path in act.sources()}
    for name in sorted(members.keys() | written.keys()):
        _require(name in members, f"{name} was written, but is not in the archive")
        _require(name in written, f"{name} is in the archive, but was not written")
        _require(members[name] == written[name], f"{name} in the archive is not what was written")


def _as_written(act: Act) -> str:
    return f"{show_count(len(act.sources()), 'file')} as written"


def _is_named_after(act: Act, file_name: str) -> bool:
    return file_name.startswith(f"{act.name}.")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotAsItShouldBe(otherwise)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
