"""What a request is made of, checked before it is sent: what an older server would ignore or answer with 500.

Every function raises ValueError with what would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from depositd.destinations.base import RunAction


def require(**values: str) -> None:
    """Refuse an empty slug, which an older server answers with 500."""
    for name, value in values.items():
        if not value:
            raise ValueError(f"{name} is empty")


def action_of(action: str) -> RunAction:
    """Return one of the four actions; another one changes nothing, and is answered with 200 all the same."""
    try:
        return RunAction(action)
    except ValueError:
        raise ValueError(f"{action!r} is no action (one of {', '.join(RunAction)})") from None


def uuid_of(pid: str) -> str:
    """Return a pipeline's UUID as the server writes it; another text is answered with 500."""
    try:
        return str(UUID(pid))
    except ValueError:
        raise ValueError(f"pid {pid!r} is not a UUID (Pipeline.uuid, or as the pipeline's page shows it)") from None


def selection(project: str, pipeline: str, data_range: int) -> dict[str, Any]:
    """Return the fields that select the most recent runs of a pipeline."""
    require(project=project, pipeline=pipeline)
    if data_range < 1:
        raise ValueError(f"data_range is {data_range} (the number of most recent runs, at least 1)")
    return {"project": project, "pipeline": pipeline, "data_range": data_range}


def texts(name: str, values: Sequence[str]) -> list[str]:
    """Return a list of names; a single text, which Python would take apart, and empty names are refused."""
    if isinstance(values, str) or not all(values):
        raise ValueError(f"{name} is {values!r} (a list of names, none of them empty)")
    return [str(value) for value in values]


def texts_or_all(name: str, values: Sequence[str] | None) -> list[str] | None:
    """Return names as a list; null stands for all on both servers, an empty list for none on the older one."""
    return texts(name, values) if values else None


def chosen_runs(
    project: str, pipeline: str, run_keys: Sequence[str], raw_file_ids: Sequence[int], raw_files: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the form's fields that choose runs, by exactly one of the three selections."""
    require(project=project, pipeline=pipeline)
    given = {
        "run_keys": texts("run_keys", run_keys),
        "raw_file_ids": [str(number) for number in raw_file_ids],
        "raw_files": texts("raw_files", raw_files),
    }
    named = [(name, values) for name, values in given.items() if values]
    if len(named) != 1:
        raise ValueError("give one of run_keys, raw_file_ids or raw_files")
    name, values = named[0]
    return [("project", project), ("pipeline", pipeline), *((name, value) for value in values)]
