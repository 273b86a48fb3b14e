"""The two lists in which a server shows the runs of a pipeline, as far as they can be seen."""

from __future__ import annotations

from dataclasses import dataclass

from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.pages import PageRun
from depositd.destinations.proteomicsqc.records import ASKED_COLUMNS, QcRun, qc_runs
from depositd.destinations.proteomicsqc.runs import RECENT_RUNS
from depositd.destinations.proteomicsqc.target import Target
from depositd.errors import NotFound, Rejected, Unavailable


@dataclass(frozen=True, slots=True)
class Lists:
    """The runs of one pipeline; None stands for a list that cannot be seen.

    ``processed`` are those of ``qc-data``, among the most recent ones; ``page`` are those of the pipeline's page, which
    shows every run at once, for a web session alone.
    """

    processed: tuple[QcRun, ...] | None = None
    page: tuple[PageRun, ...] | None = None

    @classmethod
    def ask(cls, client: Client, target: Target, *, whole: bool = False) -> Lists:
        """Ask for both lists (a page that is not ``whole`` cannot be seen); raises AuthError, and Unavailable."""
        if target.project is None or target.pipeline is None:
            return cls()
        processed = _processed(client, target.project, target.pipeline)
        page = client.runs_on_page(target.project, target.pipeline, whole=whole)
        if not page and processed:
            page = None  # something else answered in its place: the page shows all that was processed, and more
        return cls(processed, None if page is None else tuple(page))


def _processed(client: Client, project: str, pipeline: str) -> tuple[QcRun, ...] | None:
    try:
        return tuple(qc_runs(client.qc_data(project, pipeline, data_range=RECENT_RUNS, columns=ASKED_COLUMNS)))
    except (NotFound, Rejected):
        return None
    except Unavailable as error:
        # 500 is how the older server says that none has been processed yet
        if error.status != 500:
            raise
        return None
