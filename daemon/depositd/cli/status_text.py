"""``depositd status`` as lines: first what needs somebody, then what goes on by itself, then what is done.

Pure: the journal's view, the time and the daemon's pid go in, lines come out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.cli.dataset_text import (
    STYLES,
    Json,
    ago,
    delivery_lines,
    evidence,
    run_clause,
    standing,
    transfer_line,
    what,
)
from depositd.cli.output import Line, line
from depositd.units import parse_utc, printable, show_count, show_duration

WIDEST_NAME = 40
"""A longer name is shown whole and puts its own row out of line, not all others."""
MOST_DONE = 10
"""Datasets that are done and shown without ``--all``."""
MOST_GROWING = 20
"""Growing datasets that are shown without ``--all``."""
OVERDUE_S = 600.0
"""A source that was not swept for this long, although a daemon runs, is worth a word: its journal may be full."""


class Section(enum.StrEnum):
    """Where a dataset stands in the list, in this order."""

    NEEDS_YOU = "needs you"
    ON_ITS_WAY = "on its way"
    GROWING = "growing"
    DELIVERED = "delivered"
    SET_ASIDE = "set aside"


_PLURALS = {Section.NEEDS_YOU: "need you", Section.ON_ITS_WAY: "on their way"}
_DONE = (Section.DELIVERED, Section.SET_ASIDE)


@dataclass(frozen=True, slots=True)
class Picture:
    """What ``status`` shows: the journal's view at one moment, and the daemon's pid (None: none runs).

    ``problem`` is what keeps a daemon that runs from writing its journal, where the directory shows that.
    """

    view: Json
    now: datetime
    pid: int | None
    everything: bool = False
    problem: str | None = None


def section_of(dataset: Json) -> Section:
    """Return the section of a dataset."""
    states = {delivery["state"] for delivery in dataset["deliveries"]}
    behind = any(one["state"] == "waiting" and one.get("hold") for one in dataset["deliveries"])
    if states & {"held", "failed"} or behind or dataset.get("waits_for"):
        return Section.NEEDS_YOU
    if dataset["state"] == "growing":
        return Section.GROWING
    if states - {"delivered", "skipped"}:
        return Section.ON_ITS_WAY
    return Section.DELIVERED if "delivered" in states else Section.SET_ASIDE


def status_lines(picture: Picture) -> list[Line]:
    """Return everything that ``status`` says."""
    sections: dict[Section, list[Json]] = {section: [] for section in Section}
    for dataset in picture.view["datasets"]:
        sections[section_of(dataset)].append(dataset)
    lines = [_summary(picture, sections), _daemon_line(picture), *_disk_lines(picture), *_journal_lines(picture)]
    # what a daemon that is no more was doing is no progress
    moving = picture.view["transfers"] if picture.pid is not None else ()
    transfers = {transfer["subject"]: transfer for transfer in moving}
    columns = _Columns.of(_shown(picture, sections))
    for section, datasets in sections.items():
        count = _count(picture, section, datasets)
        if count:
            lines += [line(), line((f"{section.value.upper()} ({count:,})", "bold"))]
            lines += _section_lines(picture, section, datasets, transfers, columns)
    return lines + _backlog_lines(picture) + _destination_lines(picture) + _source_lines(picture)


def _journal_lines(picture: Picture) -> list[Line]:
    """Return what somebody should know of the journal itself."""
    lines = []
    for one in picture.view.get("journal", {}).get("problems", ()):
        lines.append(line((printable(one["reason"]), "yellow")))
        if one["hint"]:
            lines.append(line((f"→ {printable(one['hint'])}", "bold"), indent=2))
    return lines


def _summary(picture: Picture, sections: Mapping[Section, Sequence[Json]]) -> Line:
    counts = {section: _count(picture, section, datasets) for section, datasets in sections.items()}
    total = sum(counts.values())
    if not total:
        return line("nothing recorded yet")
    pieces: list[str | tuple[str, str]] = [f"{show_count(total, 'dataset')}: "]
    for section, count in counts.items():
        if not count:
            continue
        word = _PLURALS.get(section, section.value) if count > 1 else section.value
        style = {Section.NEEDS_YOU: "bold yellow", Section.DELIVERED: "green"}.get(section, "")
        pieces += [(f"{count:,} {word}", style), ", "]
    if not counts[Section.NEEDS_YOU] and not _troubles(picture):
        pieces.append(("nothing needs you", "green"))
    else:
        pieces.pop()
    pieces += [(f"; {trouble}", "bold yellow") for trouble in _troubles(picture)]
    return line(*pieces)


def _troubles(picture: Picture) -> list[str]:
    lost = sum(1 for source in picture.view["sources"] if source["state"] == "unavailable")
    found = ["the journal has no room"] if picture.problem is not None else []
    filling = len(_filling_disks(picture))
    if filling:
        found.append(f"{show_count(filling, 'disk')} filling up")
    for state in ("paused", "away"):
        stopped = sum(1 for destination in picture.view["destinations"] if destination["state"] == state)
        if stopped:
            found.append(f"{show_count(stopped, 'destination')} {state}")
    if lost:
        found.append(f"{show_count(lost, 'source')} unavailable")
    overdue = sum(1 for source in picture.view["sources"] if _is_overdue(source, picture))
    if overdue:
        found.append(f"{show_count(overdue, 'source')} not swept for long: see the log")
    return found


def _is_overdue(source: Json, picture: Picture) -> bool:
    if picture.pid is None or source["state"] != "watched" or not source["swept_at"]:
        return False
    longest_s = max(OVERDUE_S, 20 * (source["duration_s"] or 0.0))
    return (picture.now - parse_utc(source["swept_at"])).total_seconds() > longest_s


def _daemon_line(picture: Picture) -> Line:
    if picture.pid is None:
        return line(("depositd is not running: nothing is found or sent until it is started", "yellow"))
    number = f" (pid {picture.pid})" if picture.pid else ""
    if picture.problem is not None:
        return line(f"depositd is running{number}, but ", (picture.problem, "bold yellow"))
    return line(f"depositd is running{number}")


def _count(picture: Picture, section: Section, datasets: Sequence[Json]) -> int:
    """Return how many datasets stand in a section; of what is done the view may hold the newest alone."""
    totals = picture.view.get("totals")
    return len(datasets) if totals is None or section not in _DONE else int(totals[section])


def _shown(picture: Picture, sections: Mapping[Section, Sequence[Json]]) -> list[Json]:
    return [dataset for section in sections for dataset in _part(picture, section, sections[section])]


def _part(picture: Picture, section: Section, datasets: Sequence[Json]) -> Sequence[Json]:
    """Return those of a section that are shown: all that needs somebody, the newest of what is done."""
    if section is Section.GROWING and not picture.everything:
        return datasets[:MOST_GROWING]
    if section not in _DONE:
        return datasets
    newest_first = list(reversed(datasets))
    return newest_first if picture.everything else newest_first[:MOST_DONE]


@dataclass(frozen=True, slots=True)
class _Columns:
    """The widths of a dataset's columns, the same in all sections, and the names that several places have."""

    number: int
    name: int
    what: int
    shared: frozenset[str]

    @classmethod
    def of(cls, datasets: Sequence[Json]) -> _Columns:
        return cls(
            max((len(str(dataset["id"])) for dataset in datasets), default=0),
            min(max((len(printable(dataset["name"])) for dataset in datasets), default=0), WIDEST_NAME),
            max((len(what(dataset)) for dataset in datasets), default=0),
            frozenset(name for name, places in _places_of(datasets).items() if len(places) > 1),
        )


def _places_of(datasets: Sequence[Json]) -> Mapping[str, set[str]]:
    places: dict[str, set[str]] = {}
    for dataset in datasets:
        places.setdefault(dataset["name"], set()).add(dataset["path"])
    return places


def _place(dataset: Json, columns: _Columns) -> list[str | tuple[str, str]]:
    """Return where a dataset lies, if its name alone does not tell it from another one."""
    return [(f"  in {printable(dataset['path'])}", "bright_black")] if dataset["name"] in columns.shared else []


def _section_lines(
    picture: Picture, section: Section, datasets: Sequence[Json], transfers: Mapping[str, Json], columns: _Columns
) -> list[Line]:
    lines: list[Line] = []
    part = _part(picture, section, datasets)
    for dataset in part:
        if section in _DONE:
            lines.append(_done_line(dataset, columns))
        else:
            lines += _open_lines(picture, dataset, transfers, columns)
    rest = _count(picture, section, datasets) - len(part)
    if rest > 0:
        lines.append(line((f"and {rest:,} more: depositd status --all", "bright_black"), indent=2))
    return lines


def _row(dataset: Json, columns: _Columns) -> list[str | tuple[str, str]]:
    generation = f" (generation {dataset['generation']})" if dataset.get("generation", 1) > 1 else ""
    return [
        (f"{dataset['id']:>{columns.number}}", "bright_black"),
        "  ",
        (f"{printable(dataset['name']):<{columns.name}}", "bold"),
        f"  {what(dataset):<{columns.what}}  ",
        generation.lstrip() + ("  " if generation else ""),
    ]


def _done_line(dataset: Json, columns: _Columns) -> Line:
    pieces = _row(dataset, columns)
    if not dataset["deliveries"]:
        pieces.append((dataset["state"], STYLES.get(dataset["state"], "")))
    for position, delivery in enumerate(dataset["deliveries"]):
        status = f" ({printable(delivery['remote_status'], 60)})" if delivery["remote_status"] else ""
        state = delivery["state"]
        pieces += [
            "; " if position else "",
            f"{printable(delivery['destination'])} ",
            (state, STYLES.get(state, "")),
            status,
            *_run_pieces(delivery.get("run")),
        ]
    return line(*pieces, *_place(dataset, columns), indent=2)


def _run_pieces(run: Json | None) -> list[str | tuple[str, str]]:
    """Return one clause on a run that was flagged or rejected, or that is overdue."""
    return [", run ", (run_clause(run), "yellow")] if run and run["reason"] else []


def _open_lines(picture: Picture, dataset: Json, transfers: Mapping[str, Json], columns: _Columns) -> list[Line]:
    said = standing(dataset)
    pieces = [*_row(dataset, columns), (said, STYLES.get(dataset["state"], "")), f": {evidence(dataset)}"]
    lines = [line(*pieces, *_place(dataset, columns), indent=2)]
    deeper = columns.number + 4
    packing = transfers.get(f"dataset {dataset['id']}")
    if packing is not None:
        lines.append(transfer_line(packing, deeper))
    waits = dataset.get("waits_for")
    if waits:
        lines.append(line(("archiving waits: ", "yellow"), printable(waits["reason"]), indent=deeper))
        lines.append(line((f"→ {printable(waits['hint'] or '')}", "bold"), indent=deeper + 4))
        lines.append(line(f"next attempt {ago(waits['next_attempt_at'], picture.now)}", indent=deeper + 4))
    stopped = {destination["name"]: destination["state"] for destination in picture.view["destinations"]}
    width = max((len(printable(delivery["destination"])) for delivery in dataset["deliveries"]), default=0)
    for delivery in dataset["deliveries"]:
        transfer = transfers.get(f"delivery {delivery['id']}")
        state = stopped.get(delivery["destination"], "")
        lines += delivery_lines(delivery, picture.now, indent=deeper, width=width, transfer=transfer, stopped=state)
    return lines


def _filling_disks(picture: Picture) -> list[Json]:
    """Return the disks of which there is something to be said; a daemon that is no more does not fill them."""
    return [disk for disk in picture.view.get("disks", ()) if disk["sentence"]] if picture.pid is not None else []


def _disk_lines(picture: Picture) -> list[Line]:
    filling = _filling_disks(picture)
    if not filling:
        return []
    lines = [line(), line(("DISKS", "bold"))]
    for disk in filling:
        style = "yellow" if disk["level"] == "warning" else "bold red"
        lines.append(line((printable(disk["sentence"]), style), indent=2))
        lines.append(line((f"→ {printable(disk['hint'])}", "bold"), indent=6))
    return lines


def _backlog_lines(picture: Picture) -> list[Line]:
    """Return what waits for long, and until when; what will soon be done is no backlog."""
    notable = [one for one in picture.view.get("backlog", ()) if one["notable"]] if picture.pid is not None else []
    if not notable:
        return []
    return [line(), line(("BACKLOG", "bold")), *(line(printable(one["sentence"]), indent=2) for one in notable)]


def _destination_lines(picture: Picture) -> list[Line]:
    stopped = picture.view["destinations"]
    if not stopped:
        return []
    lines = [line(), line(("DESTINATIONS THAT TAKE NOTHING", "bold"))]
    for destination in stopped:
        clauses = ", ".join(_stopped_clauses(destination, picture.now))
        lines.append(line((printable(destination["name"]), "bold"), f"  {clauses}", indent=2))
        lines.append(line((printable(destination["reason"]), "yellow"), indent=6))
        if destination["hint"]:
            lines.append(line((f"→ {printable(destination['hint'])}", "bold"), indent=6))
    return lines


def _stopped_clauses(destination: Json, now: datetime) -> list[str]:
    """Return since when a destination takes nothing, how often it was asked, when it is next, and what waits."""
    again = f"asked again {ago(destination['next_probe_at'], now)}"
    if destination["state"] == "paused":
        clauses = [f"paused {ago(destination['since'], now)}", again]
    else:
        for_s = max((now - parse_utc(destination["since"])).total_seconds(), 0.0)
        asked = f"asked {show_count(destination['failures'], 'time')} in vain"
        clauses = [f"away for {show_duration(for_s)}", asked, again]
    waiting = destination.get("waiting", 0)
    return [*clauses, f"{show_count(waiting, 'delivery', 'deliveries')} waiting"] if waiting else clauses


def _source_lines(picture: Picture) -> list[Line]:
    sources = picture.view["sources"]
    if not sources:
        return []
    lines = [line(), line(("SOURCES", "bold"))]
    width = max(len(printable(source["path"])) for source in sources)
    for source in sources:
        lost = source["state"] == "unavailable"
        watched = "watched" if picture.pid is not None else "was watched while the daemon ran"
        state = ("unavailable", "bold yellow") if lost else (f"{watched} ({printable(source['means'])})", "")
        swept = f", last sweep {ago(source['swept_at'], picture.now)}" if source["swept_at"] else ""
        files = f" saw {show_count(source['files'], 'file')}" if source["files"] is not None else ""
        lines.append(line(f"{printable(source['path']):<{width}}  ", state, swept + files, indent=2))
        if source["problem"]:
            lines.append(line((printable(source["problem"]), "yellow"), indent=6))
    return lines
