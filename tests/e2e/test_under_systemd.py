"""The daemon as a service of a real systemd: ready, status, reload, kill, stop."""

from __future__ import annotations

import subprocess
import sys

import pytest
from beamline_support import Beamline, write_series
from systemd_support import SYSTEMD_USER

RULES = """
  - name: px
    watch: {data}
    format: frames
    settle: 1s
    expect: {{frames: 5}}
    deliver: [vault]
"""

UNIT = """
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=main
WatchdogSec=20
Restart=on-failure
RestartSec=100ms
TimeoutStartSec=30
ExecStart={python} -m depositd run --config {config}
ExecReload=/bin/kill -HUP $MAINPID
StandardOutput=append:{log}
StandardError=append:{log}
"""

STORY = """
set -eu
show() { systemctl --user show depositd -p ActiveState -p NRestarts -p Result | sort | tr '\\n' ' '; echo; }
wait_for() { for _ in $(seq 600); do if "$@"; then return; fi; sleep 0.05; done; echo "not so: $*"; show; exit 9; }
logged() { grep -q "$1" "$DIR/service.log"; }
active() { systemctl --user is-active --quiet depositd; }
status() { systemctl --user show depositd -p StatusText --value; }
restarted() { [ "$(systemctl --user show depositd -p NRestarts --value)" = 1 ]; }

systemctl --user start depositd
show
wait_for logged "dataset complete"
wait_for test -e "$DIR/vault/lyso_1.tar.zst"

echo "rules: []" > "$DIR/depositd.yaml.bad"
cp "$DIR/depositd.yaml" "$DIR/depositd.yaml.good"
cp "$DIR/depositd.yaml.bad" "$DIR/depositd.yaml"
systemctl --user reload depositd
wait_for logged "the new config is refused"
cp "$DIR/depositd.yaml.good" "$DIR/depositd.yaml"
systemctl --user reload depositd
wait_for logged "config reloaded"
show

systemctl --user kill --signal=KILL depositd
wait_for restarted
wait_for active
mv "$DIR/later" "$DIR/data/later"
wait_for test -e "$DIR/vault/lyso_2.tar.zst"
show
systemctl --user stop depositd
show
"""


@pytest.mark.systemd
def test_it_is_a_well_behaved_service(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.configure(RULES.format(data=beamline.data))
    write_series(beamline.data, "lyso_1", 5)
    write_series(tmp_path / "later", "lyso_2", 5)
    units = tmp_path / "config/systemd/user"
    units.mkdir(parents=True)
    log = tmp_path / "service.log"
    unit = UNIT.format(python=sys.executable, config=beamline.config, log=log)
    (units / "depositd.service").write_text(unit, encoding="utf-8")
    outcome = subprocess.run(
        [SYSTEMD_USER, tmp_path, "env", f"DIR={tmp_path}", "bash", "-c", STORY],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    told = outcome.stdout + outcome.stderr + (log.read_text(encoding="utf-8") if log.exists() else "")
    assert outcome.returncode == 0, told
    started, reloaded, restarted, stopped = outcome.stdout.splitlines()
    assert "ActiveState=active NRestarts=0 Result=success" in started, told
    assert "ActiveState=active NRestarts=0" in reloaded, told
    assert "ActiveState=active NRestarts=1" in restarted, told
    assert "ActiveState=inactive" in stopped, told
    assert "Result=success" in stopped, told
    assert {one["name"] for one in beamline.status()["datasets"]} == {"lyso_1", "lyso_2"}
