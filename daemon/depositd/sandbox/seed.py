"""Who and what is there when a sandbox starts: two users, two projects, three pipelines, three processed runs."""

from __future__ import annotations

from datetime import datetime, timedelta

from depositd.sandbox.state import Account, Pipeline, Project, Run

OWNER = Account(user_id=42, email="you@lab.edu", password="open sesame")  # noqa: S106 - it opens nothing but the sandbox
OTHER = Account(user_id=43, email="other@lab.edu", password="open sesame")  # noqa: S106 - as above
OWNER_PDI_TOKEN = "643df60b0f9156255757c5f641d5ea95bb043198"  # noqa: S105 - as above; it is the document's example
OTHER_PDI_TOKEN = "b" * 40
OWNER_PQC_TOKEN = "c0ffee" + "0" * 34
OTHER_PQC_TOKEN = "d" * 40

DEMO = Project(1, "Demo Project", "demo-project", "Seeded demo project for first-run onboarding.", frozenset({42, 43}))
PRIVATE = Project(2, "Private Project", "private-project", "Only the other user sees this one.", frozenset({43}))
PIPELINES = (
    Pipeline(1, DEMO, "TMT QC Demo", "tmt-qc-demo", "11111111-1111-4111-8111-111111111111"),
    Pipeline(2, DEMO, "TMT QC", "tmt-qc", "22222222-2222-4222-8222-222222222222"),
    Pipeline(3, PRIVATE, "Private QC", "private-qc", "33333333-3333-4333-8333-333333333333"),
)
UPLOAD_PIPELINE = PIPELINES[1]
"""Where uploads go; the document wants none in the demo pipeline."""

DEMO_RUNS = 3
"""How many runs the demo pipeline begins with."""


def demo_runs(now: datetime) -> list[Run]:
    """Return the demo pipeline's runs, a day old and so processed."""
    return [
        Run(
            number=number,
            pipeline=PIPELINES[0].pk,
            name=f"demo_run_{number:02}.raw",
            size_bytes=1,
            md5=f"{number:032x}",
            uploader=OWNER.email,
            user_id=OWNER.user_id,
            uploaded_at=now - timedelta(days=1),
        )
        for number in range(1, DEMO_RUNS + 1)
    ]
