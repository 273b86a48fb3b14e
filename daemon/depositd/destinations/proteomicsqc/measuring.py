"""What the server measured of the files that it was sent: fetched, assigned to deliveries, and marked."""

from __future__ import annotations

from collections.abc import Sequence

from depositd.destinations.base import AwaitedRun, MeasuredRun, RunAction
from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.marking import FLAGGED, SHOWN_AS, USED, mark
from depositd.destinations.proteomicsqc.matching import assigned
from depositd.destinations.proteomicsqc.records import (
    ASKED_COLUMNS,
    Columns,
    QcRun,
    has_column,
    qc_runs,
    switch_at,
    value_at,
)
from depositd.destinations.proteomicsqc.runs import RECENT_RUNS, may_be_ours
from depositd.destinations.proteomicsqc.target import Held, Target, Wanted, find_target
from depositd.errors import AuthError, Rejected, Unavailable
from depositd.units import printable


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

        What is sent is :func:`depositd.destinations.proteomicsqc.marking.mark`.  Raises Unavailable where the change
        does not show, Rejected where we may not change it or the pipeline cannot be asked about, AuthError.
        """
        target = self._target()
        column, _wanted = SHOWN_AS[action]
        slugs = (target.project or "", target.pipeline or "")
        keys, names = ([run.run_key], []) if run.run_key else ([], [run.raw_file])

        def ask(data_range: int) -> Columns:
            return self._qc_data(target, [*ASKED_COLUMNS, column], data_range)

        try:
            marked = mark(self._client, slugs, action, ask, run_keys=keys, raw_files=names)
        except AuthError as error:
            raise self._not_for_us(error, f"{action} run {_name_of(run)}") from error
        if not has_column(marked.table, column) or (len(marked.runs) == 1 and not marked.unmoved):
            return
        if len(marked.runs) == 1:
            shown = f"{column}: {printable(str(value_at(marked.table, column, marked.runs[0].row)), 60)}"
        else:
            shown = "no such run"
        status = marked.answer.get("status")
        said = f" ({printable(status, 100)})" if isinstance(status, str) and status else ""
        raise Unavailable(
            f"{self._client.host} answered {action} of run {_name_of(run)} with success{said}, but shows {shown}",
            hint=f"it is tried again by itself; where that does not help, {action} it on the pipeline's page",
        )

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

    def _qc_data(self, target: Target, columns: Sequence[str], data_range: int = RECENT_RUNS) -> Columns:
        project, pipeline = target.project or "", target.pipeline or ""
        asked = list(dict.fromkeys(columns))
        try:
            return self._client.qc_data(project, pipeline, data_range=data_range, columns=asked)
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


def _name_of(run: MeasuredRun) -> str:
    name = printable(run.raw_file, 120)
    return f"{printable(run.run_key, 60)} ({name})" if run.run_key else name
