"""Metadata that the operator gives late: checked as the destination would, before anything is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from depositd.config import ProteinDiffractionSettings, nearest_api_key
from depositd.engine.planning import Plan
from depositd.model import Delivery, Metadata, Problem


def wrong_values(plan: Plan, delivery: Delivery, values: Metadata) -> list[Problem]:
    """Return what the destination of a delivery would refuse of ``values``, whatever else it may still miss."""
    destination = plan.destinations.get(delivery.destination)
    if destination is None:
        return []
    # what is given is judged together with what was given before: a beamline needs its synchrotron
    problems = destination.problems({**delivery.values, **values})
    refused = [problem for problem in problems if problem.where in values]
    settings = plan.config.destinations.get(delivery.destination)
    return refused + (_misspelt(values) if isinstance(settings, ProteinDiffractionSettings) else [])


def _misspelt(values: Metadata) -> list[Problem]:
    near = ((key, nearest_api_key(key)) for key in values)
    return [Problem(key, "is no key of the server", f"{word}?") for key, word in near if word is not None]


def sentence(problems: Sequence[Problem]) -> str:
    """Return problems as one sentence, each with what would be right."""
    told = (f"{one.where}: {one.what}" + (f" ({one.hint})" if one.hint else "") for one in problems)
    return "; ".join(told)
