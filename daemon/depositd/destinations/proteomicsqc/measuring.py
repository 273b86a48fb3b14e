"""What the server measured of the files that it was sent: fetched, assigned to deliveries, and marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from depositd.destinations.base import AwaitedRun, MeasuredRun, RunAction
from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.matching import assigned
from depositd.destinations.proteomicsqc.records import (
    ASKED_COLUMNS,
    Columns,
    QcRun,
    has_column,
    qc_runs,
    stem_of,
    switch_at,
    value_at,
)
from depositd.destinations.proteomicsqc.runs import RECENT_RUNS, may_be_ours
from depositd.destinations.proteomicsqc.target import Held, Target, Wanted, find_target
from depositd.errors import AuthError, Rejected, Unavailable
from depositd.units import printable

FLAGGED = "Flagged"
USED = "Use Downstream"

_SHOWN_AS: Mapping[RunAction, tuple[str, bool]] = {
    RunAction.FLAG: (FLAGGED, True),
    RunAction.UNFLAG: (FLAGGED, False),
    RunAction.ACCEPT: (USED, True),
    RunAction.REJECT: (USED, False),
}
"""The column that an action changes, and to what."""


class Measuring:
    """The results of one configured pipeline (the :class:`~depositd.destinations.base.Measures` of ProteomicsQC)."""

    def __init__(self, client: Client, wanted: Wanted) -> None:
        self._client = client
        self._wanted = wanted

    def measured(
        self, awaited: Sequence[AwaitedRun], columns: Sequence[str], taken: frozenset[str]
    ) -> list[MeasuredRun]:
        """Return the runs of ``awaited``, in the order of sending, that are among the 1,000 most recent ones.

        ``qc-data`` is asked once for all.  A column that the server does not have is left out; a value that it does not
        know (yet) is None.  Left out are runs that have not been processed, and those that could be another file's
        (:mod:`depositd.destinations.proteomicsqc.matching`).  Raises Rejected where the pipeline that the config names
        cannot be asked about, AuthError, Unavailable.
        """
        if not awaited:
            return []
        target = self._target()
        table = self._qc_data(target, [*ASKED_COLUMNS, FLAGGED, USED, *columns])
        runs = [run for run in qc_runs(table) if may_be_ours(run, self._client.username)]
        found = assigned(awaited, runs, taken)
        return [_measured(one, found[one.delivery_id], table, columns) for one in awaited if one.delivery_id in found]

    def mark(self, run: MeasuredRun, action: RunAction) -> None:
        """Flag, unflag, accept or reject a run, by its key where it has one, and read it back; twice changes nothing.

        The server answers 200 for a run that it does not know or that is not ours, so only what ``qc-data`` shows
        afterwards counts: raises Unavailable where the change does not show.  A server without the column (``Flagged``,
        ``Use Downstream``) shows nothing: there the answer alone has to be believed.  Raises Rejected where we may not
        change it or the pipeline cannot be asked about, AuthError.
        """
        target = self._target()
        said = self._send(target, run, action)
        column, wanted = _SHOWN_AS[action]
        table = self._qc_data(target, [*ASKED_COLUMNS, column])
        if not has_column(table, column):
            return
        row = _row_of(run, qc_runs(table))
        if row is None:
            shown = "no such run"
        elif switch_at(table, column, row) is wanted:
            return
        else:
            shown = f"{column}: {printable(str(value_at(table, column, row)), 60)}"
        raise Unavailable(
            f"{self._client.host} answered {action} of run {_name_of(run)} with success{said}, but shows {shown}",
            hint=f"it is tried again by itself; where that does not help, {action} it on the pipeline's page",
        )

    def _send(self, target: Target, run: MeasuredRun, action: RunAction) -> str:
        """Send the action; returns what the server said besides, as a clause."""
        keys = [run.run_key] if run.run_key else []
        names = [] if keys else _file_names(run.raw_file)
        try:
            said = self._client.rawfile(
                action, target.project or "", target.pipeline or "", run_keys=keys, raw_files=names
            )
        except AuthError as error:
            raise self._not_for_us(error, f"{action} run {_name_of(run)}") from error
        status = said.get("status")
        return f" ({printable(status, 100)})" if isinstance(status, str) and status else ""

    def _target(self) -> Target:
        try:
            target = find_target(self._client, self._wanted, self._client.projects())
        except Held as held:
            raise Rejected(str(held), hint=held.hint) from None
        if target.project is None or target.pipeline is None:
            raise Rejected(
                f"{self._client.host} does not show us the pipeline with pid {target.pid} in any project, so its "
                "results cannot be asked for",
                hint="set project and pipeline as well as pid in the config, or ask the project's owner to add us",
            )
        return target

    def _qc_data(self, target: Target, columns: Sequence[str]) -> Columns:
        project, pipeline = target.project or "", target.pipeline or ""
        asked = list(dict.fromkeys(columns))
        try:
            return self._client.qc_data(project, pipeline, data_range=RECENT_RUNS, columns=asked)
        except AuthError as error:
            raise self._not_for_us(error, f"see the results of {printable(f'{project}/{pipeline}', 120)}") from error
        except Unavailable as error:
            # that is how the older server says that no run has been processed yet
            if target.older and error.status == 500:
                return {}
            raise

    def _not_for_us(self, error: AuthError, what: str) -> AuthError | Rejected:
        """Return what a 403 means of a server that has just let us in: it is about this one thing."""
        if error.status != 403:
            return error
        return Rejected(
            f"{self._client.host} knows us, but does not let us {what}: {error.body}",
            hint="ask the project's owner to add our account",
            status=403,
            body=error.body,
        )


def _measured(one: AwaitedRun, run: QcRun, table: Columns, columns: Sequence[str]) -> MeasuredRun:
    used = switch_at(table, USED, run.row)
    return MeasuredRun(
        delivery_id=one.delivery_id,
        raw_file=run.stem,
        run_key=run.key,
        columns={name: value_at(table, name, run.row) for name in columns if has_column(table, name)},
        flagged=switch_at(table, FLAGGED, run.row),
        rejected=None if used is None else not used,
    )


def _row_of(run: MeasuredRun, runs: Sequence[QcRun]) -> int | None:
    """Return the row of a run, None where it is not there or cannot be told from another."""
    if run.run_key is not None:
        return next((one.row for one in runs if one.key == run.run_key), None)
    rows = [one.row for one in runs if stem_of(one.stem) == stem_of(run.raw_file)]
    return rows[0] if len(rows) == 1 else None


def _file_names(raw_file: str) -> list[str]:
    """Return the names that a run may go by: ``qc-data`` shows the stem, the older server compares the file's name."""
    return [raw_file, *(raw_file + suffix for suffix in (".raw", ".RAW") if not raw_file.endswith(suffix))]


def _name_of(run: MeasuredRun) -> str:
    name = printable(run.raw_file, 120)
    return f"{printable(run.run_key, 60)} ({name})" if run.run_key else name
