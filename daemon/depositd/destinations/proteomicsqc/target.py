"""Where a file goes: the pipeline that the config names, as the server shows it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.records import Pipeline, Project
from depositd.errors import AuthError, NotFound, Rejected
from depositd.units import printable


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the config says of a pipeline: its slugs, its UUID, or both."""

    project: str | None = None
    pipeline: str | None = None
    pid: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes: the pipeline's UUID, and the slugs by which its runs are asked for, where they are known.

    ``number`` is the database's, where the server tells it.  ``older`` is True where it does not tell UUIDs: it heeds
    no run keys either, and takes each name once in a pipeline.
    """

    pid: str
    project: str | None
    pipeline: str | None
    number: int | None = None
    older: bool = False


class Held(Exception):
    """The operator has to say where the file goes: the text is the reason."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def find_target(client: Client, wanted: Wanted, projects: Sequence[Project]) -> Target:
    """Return where files go; raises Held where the config and the server do not agree on that, and RemoteError."""
    if wanted.pid is not None and (wanted.project is None or wanted.pipeline is None):
        return _target_of_pid(client, wanted.pid, projects)
    project, found = named_pipeline(client, wanted, projects)
    return Target(_pid_of(client, found, wanted.pid), project, found.slug, found.number, older=found.uuid is None)


def named_pipeline(client: Client, wanted: Wanted, projects: Sequence[Project]) -> tuple[str, Pipeline]:
    """Return the pipeline of some slugs, with its project's; raises Held where it is not shown, and RemoteError."""
    project, pipeline = checked_project(client, wanted.project or "", projects), wanted.pipeline or ""
    try:
        pipelines = client.pipelines(project)
    except (NotFound, Rejected) as error:
        raise Held(str(error), "correct project in the config, or ask its owner to add us, then release") from error
    found = next((one for one in pipelines if one.slug == pipeline), None)
    if found is None:
        hint = _nearest(pipeline, [one.slug for one in pipelines])
        raise Held(f"{client.host} shows us no pipeline {pipeline!r} in project {project!r}", hint)
    return project, found


def checked_project(client: Client, project: str, projects: Sequence[Project]) -> str:
    """Return a project's slug that the server shows; raises Held with the nearest where it does not."""
    slugs = [one.slug for one in projects]
    if project not in slugs:
        raise Held(f"{client.host} shows us no project {project!r}", _nearest(project, slugs))
    return project


def pipeline_of_pid(client: Client, pid: str, projects: Sequence[Project]) -> tuple[str, Pipeline] | None:
    """Return the pipeline of a UUID, with its project's slug; None where no project shows it."""
    for project in projects:
        for pipeline in _pipelines_of(client, project):
            if pipeline.uuid is not None and same_uuid(pipeline.uuid, pid):
                return project.slug, pipeline
    return None


def is_other_pipeline(answered: Any, target: Target) -> bool:
    """True where the answer to an upload names a pipeline that can be compared with ours, and it is another."""
    if isinstance(answered, int) and not isinstance(answered, bool):
        return target.number is not None and answered != target.number
    if isinstance(answered, str):
        return "-" in answered and len(answered) == 36 and not same_uuid(answered, target.pid)
    return False


def _pid_of(client: Client, found: Pipeline, wanted_pid: str | None) -> str:
    shown = None if found.uuid is None else printable(found.uuid, 60)
    if wanted_pid is not None and found.uuid is not None and not same_uuid(found.uuid, wanted_pid):
        raise Held(
            f"pipeline {found.slug!r} has pid {shown}, but the config says {wanted_pid}",
            "correct pid, or project and pipeline, in the config",
        )
    pid = wanted_pid or found.uuid
    if pid is None:
        raise Held(
            f"{client.host} does not tell the pid of pipeline {found.slug!r} (it is an older server)",
            "set pid, the pipeline's UUID, in the config, then release",
        )
    return _checked(pid)


def _checked(pid: str) -> str:
    """Return a UUID; the server answers an upload for anything else with 500, after all of it was sent."""
    try:
        return str(UUID(pid))
    except ValueError:
        raise Held(
            f"the pipeline's pid {printable(pid, 60)} is not a UUID",
            "set pid, the pipeline's UUID, in the config, then release",
        ) from None


def _target_of_pid(client: Client, pid: str, projects: Sequence[Project]) -> Target:
    """Look for the slugs of a pipeline known by its UUID; without them it can be sent to, but not asked about."""
    pid = _checked(pid)
    found = pipeline_of_pid(client, pid, projects)
    if found is None:
        return Target(pid, None, None)
    project, pipeline = found
    return Target(pid, project, pipeline.slug, pipeline.number)


def _pipelines_of(client: Client, project: Project) -> list[Pipeline]:
    try:
        return client.pipelines(project.slug)
    except (NotFound, Rejected, AuthError):
        return []  # a project that is listed, and not for us


def place_of(url: str, wanted: Wanted) -> str:
    """Return a pipeline's place, the same for every spelling of the server's URL and of a UUID."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.port not in (None, {"http": 80, "https": 443}.get(parts.scheme)):
        host = f"{host}:{parts.port}"
    within = wanted.pid.replace("-", "").lower() if wanted.pid else f"{wanted.project}/{wanted.pipeline}"
    return f"{host}{parts.path.rstrip('/')}/{within}"


def same_uuid(one: str, other: str) -> bool:
    """True for two spellings of one UUID."""
    return one.replace("-", "").lower() == other.replace("-", "").lower()


def _nearest(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=3, cutoff=0.4) or list(known[:8])
    listed = ", ".join(printable(one, 60) for one in nearest)
    return f"correct it in the config, then release; the nearest that it shows: {listed or 'none at all'}"
