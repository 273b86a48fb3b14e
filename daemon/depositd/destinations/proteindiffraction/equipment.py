"""Synchrotrons and beamlines: the names and ids of a delivery against the server's own list.

The list is asked once and kept, and asked once more before something is called unknown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from depositd.destinations.proteindiffraction.metadata import is_given, text_of
from depositd.destinations.proteindiffraction.records import Beamline, Synchrotron
from depositd.errors import Unavailable
from depositd.model import Metadata, Problem
from depositd.units import printable

MOST_SHOWN = 8
"""How many names a hint lists."""

Key = Literal["synchrotron", "beamline"]
Place = TypeVar("Place", Synchrotron, Beamline)
Ids = dict[str, int]


class Equipment:
    """The server's list of equipment, fetched by ``ask`` when it is needed."""

    def __init__(self, ask: Callable[[], Sequence[Synchrotron]]) -> None:
        self._ask = ask
        self._listed: Sequence[Synchrotron] | None = None

    def ids(self, metadata: Metadata) -> tuple[Ids, list[Problem]]:
        """Return ``synchrotron_id`` and ``beamline_id`` of right metadata, or what the server does not list.

        Raises Unavailable where a name cannot be looked up; ids that cannot be are left to the server's own check.
        """
        keys: tuple[Key, ...] = ("synchrotron", "beamline")
        given = {f"{key}_id": int(text_of(metadata, f"{key}_id")) for key in keys if is_given(metadata, f"{key}_id")}
        names = {key: text_of(metadata, key) for key in keys if f"{key}_id" not in given and is_given(metadata, key)}
        if not given and not names:
            return {}, []
        if self._listed is not None:
            ids, unknown = resolved(given, names, self._listed)
            if not unknown:
                return ids, []
        try:
            self._listed = self._ask()
        except Unavailable as error:
            if not names:
                return given, []
            raise Unavailable(
                str(error),
                hint=f"{error.hint}; synchrotron_id and beamline_id instead of names need no look-up",
                status=error.status,
                body=error.body,
                retry_after_s=error.retry_after_s,
            ) from error
        return resolved(given, names, self._listed)


def resolved(ids: Ids, names: dict[Key, str], equipment: Sequence[Synchrotron]) -> tuple[Ids, list[Problem]]:
    """Return both ids, or the first problem; ``ids`` and ``names`` together hold one synchrotron and one beamline."""
    synchrotron = _found(_Wanted("synchrotron", ids.get("synchrotron_id"), names.get("synchrotron")), equipment)
    if isinstance(synchrotron, Problem):
        return {}, [synchrotron]
    wanted = _Wanted("beamline", ids.get("beamline_id"), names.get("beamline"), at=synchrotron.short)
    beamline = _found(wanted, synchrotron.beamlines)
    if isinstance(beamline, Problem):
        elsewhere = _elsewhere(wanted, [one for one in equipment if one.id != synchrotron.id])
        hint = f"{elsewhere}; {beamline.hint}" if elsewhere else beamline.hint
        return {}, [Problem(beamline.where, beamline.what, hint)]
    return {"synchrotron_id": synchrotron.id, "beamline_id": beamline.id}, []


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is looked for: by its id where there is one, else by its name; a beamline ``at`` its synchrotron."""

    key: Key
    id: int | None
    name: str | None
    at: str = ""

    def among(self, places: Iterable[Place]) -> Place | None:
        """Return the place that is meant."""
        if self.id is not None:
            return next((place for place in places if place.id == self.id), None)
        name = _plain(self.name or "")
        return next((place for place in places if name in (_plain(place.short), _plain(place.fullname or ""))), None)


def _found(wanted: _Wanted, places: Sequence[Place]) -> Place | Problem:
    found = wanted.among(places)
    return found if found is not None else _unknown(wanted, places)


def _unknown(wanted: _Wanted, places: Sequence[Place]) -> Problem:
    at = f" at {printable(wanted.at, 60)}" if wanted.at else ""
    by_id = wanted.id is not None
    shown = str(wanted.id) if by_id else repr(printable(wanted.name or "", 60))
    where = f"{wanted.key}_id" if by_id else wanted.key
    what = f"the server {'lists' if by_id else 'knows'} no {wanted.key} {shown}{at}"
    if not places:
        return Problem(where, what, f"the server lists no {wanted.key}{at} at all; use equipment_other")
    if by_id:
        return Problem(where, what, f"it lists{at} {_listed([f'{one.id} ({one.short})' for one in places])}")
    near = _nearest(wanted.name or "", places)
    if near:
        return Problem(where, what, f"the nearest that it knows{at}: {_listed(near)}")
    return Problem(where, what, f"it knows{at} {_listed([place.short for place in places])}")


def _nearest(name: str, places: Sequence[Place]) -> list[str]:
    names = {known.casefold(): known for place in places for known in (place.fullname, place.short) if known}
    return [names[near] for near in difflib.get_close_matches(name.casefold(), list(names), n=3, cutoff=0.4)]


def _elsewhere(wanted: _Wanted, others: Sequence[Synchrotron]) -> str:
    found = ((wanted.among(other.beamlines), other) for other in others)
    there = [f"{one.short} ({one.id}) is at {other.short} ({other.id})" for one, other in found if one is not None]
    return _listed(there) if there else ""


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_SHOWN} more" if len(words) > MOST_SHOWN else ""
    return ", ".join(printable(word, 80) for word in words[:MOST_SHOWN]) + more


def _plain(name: str) -> str:
    """Return a name without what does not matter: case and spaces."""
    return "".join(name.split()).casefold()
