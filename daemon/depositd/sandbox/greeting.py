"""The text that greets who starts a sandbox: all that a newcomer needs, to be copied and pasted."""

from __future__ import annotations

import os
import tempfile

from depositd.sandbox.access import Mode
from depositd.sandbox.seed import DEMO, OTHER, OWNER, OWNER_PDI_TOKEN, OWNER_PQC_TOKEN, UPLOAD_PIPELINE


def greeting(pdi_url: str, pqc_url: str, mode: Mode) -> str:
    """Return URLs, credentials, commands and a config to paste, and how to ask for faults."""
    by_token = mode == "modern"
    with_token = "token: {env: SANDBOX_PQC_TOKEN}"  # noqa: S105 - a line of config that names a variable
    with_password = f"username: {OWNER.email}\n    password: {{env: SANDBOX_PASSWORD}}"
    as_user = f'DEPOSITD_USERNAME={OWNER.email} DEPOSITD_PASSWORD="$SANDBOX_PASSWORD"'
    return _GREETING.format(
        pdi_url=pdi_url,
        pqc_url=pqc_url,
        mode=mode,
        user=OWNER,
        other=OTHER,
        pdi_token=OWNER_PDI_TOKEN,
        pqc_token=OWNER_PQC_TOKEN,
        credentials=with_token if by_token else with_password,
        as_pqc_user='DEPOSITD_TOKEN="$SANDBOX_PQC_TOKEN"' if by_token else as_user,
        project=DEMO.slug,
        pipeline=UPLOAD_PIPELINE.slug,
        pid=UPLOAD_PIPELINE.uuid,
        place=os.path.join(tempfile.gettempdir(), "depositd-sandbox"),
    )


_GREETING = """\
The sandbox is up. It forgets everything when it ends (Ctrl+C).

  Protein Diffraction   {pdi_url}
  ProteomicsQC          {pqc_url}  ({mode})
  user                  {user.email}, password "{user.password}" (and {other.email}, the same password)
  what it holds         {pqc_url}sandbox/  (in a browser)

1. Credentials, for the shell that runs depositd:

  export SANDBOX_PDI_TOKEN={pdi_token}
  export SANDBOX_PQC_TOKEN={pqc_token}
  export SANDBOX_PASSWORD='{user.password}'

2. By hand:

  depositd simulate pilatus {place}/dataset_1abc --frames 10
  export DEPOSITD_TOKEN="$SANDBOX_PDI_TOKEN"
  depositd pdi submit {place}/dataset_1abc --set pdb_code=1ABC --wait --server {pdi_url}
  depositd pdi list --server {pdi_url}
  {as_pqc_user} depositd pqc projects --server {pqc_url}

3. By the daemon, with this as depositd.yaml:

state_dir: {place}/state

destinations:
  sandbox-pdi:
    type: proteindiffraction
    url: {pdi_url}
    token: {{env: SANDBOX_PDI_TOKEN}}
    poll_every: 1s
  sandbox-pqc:
    type: proteomicsqc
    url: {pqc_url}
    {credentials}
    project: {project}
    pipeline: {pipeline}
    pid: {pid}

rules:
  - name: frames
    watch: {place}/frames
    format: auto
    settle: 5s
    metadata: {{set: {{pdb_code: 1ABC}}}}
    deliver: [{{to: sandbox-pdi, approve: auto}}]
  - name: runs
    watch: {place}/runs
    format: auto
    settle: 5s
    deliver: [sandbox-pqc]

  depositd simulate pilatus {place}/frames --frames 20
  depositd simulate thermo-raw {place}/runs
  depositd --config depositd.yaml run --until-idle
  depositd --config depositd.yaml status

4. With a fault, while it runs:

  curl {pqc_url}sandbox/faults -d '{{"path": "/api/v1/upload/", "kind": "commit-then-drop"}}'
  curl {pqc_url}sandbox/faults              all faults, armed ones and kinds
  curl -X DELETE {pqc_url}sandbox/faults    disarms them
  curl -X POST {pqc_url}sandbox/revoke      every token and session is worthless
  curl {pqc_url}sandbox/state               uploads, runs, requests
"""
