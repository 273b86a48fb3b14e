"""Our side of the protocol, against a real systemd: ready, status, reload, watchdog, stop."""

import subprocess
import sys

import pytest
from systemd_support import SYSTEMD_USER

SERVICE = """
import pathlib, signal, sys, time
from depositd.systemd import find_supervisor, watchdog_interval_s
supervisor, interval_s = find_supervisor(), watchdog_interval_s()
here = pathlib.Path(sys.argv[1])
reloads = 0
def reload(*_):
    global reloads
    reloads += 1
    supervisor.notify(reloading=True)
    supervisor.notify(ready=True, status=f"reloaded {reloads} \\\\")
def stop(*_):
    supervisor.notify(stopping=True, status="draining", extend_timeout_s=10)
    raise SystemExit
signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGTERM, stop)
supervisor.notify(ready=True, status=f"first line\\nWATCHDOG=trigger, ping every {interval_s} s")
while not (here / "hang").exists():
    supervisor.notify(watchdog=True)
    time.sleep(0.05)
(here / "hang").unlink()
time.sleep(60)
"""

UNIT = """
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=main
WatchdogSec=2
Restart=on-failure
RestartSec=100ms
TimeoutStartSec=20
ExecStart={python} {here}/service.py {here}
ExecReload=/bin/kill -HUP $MAINPID
StandardOutput=append:{here}/log
StandardError=append:{here}/log
"""

STORY = """
set -eu
show() { systemctl --user show told -p ActiveState -p StatusText -p NRestarts -p Result | sort | tr '\\n' ' '; echo; }
until_shown() { for _ in $(seq 200); do case $(show) in *$1*) return;; esac; sleep 0.05; done; show; exit 9; }
systemctl --user start told
until_shown StatusText=first; show
systemctl --user reload told
until_shown 'StatusText=reloaded 1'; show
touch "$1/hang"
until_shown NRestarts=1
until_shown ActiveState=active; show
systemctl --user stop told
show
"""


@pytest.mark.systemd
def test_systemd_hears_us_and_restarts_what_hangs(tmp_path):
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "config/systemd/user").mkdir(parents=True)
    (tmp_path / "config/systemd/user/told.service").write_text(UNIT.format(python=sys.executable, here=tmp_path))
    outcome = subprocess.run(
        [SYSTEMD_USER, tmp_path, "bash", "-c", STORY, "story", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    log = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr + log
    started, reloaded, restarted, stopped = outcome.stdout.splitlines()
    assert "ActiveState=active" in started
    assert "StatusText=first line\N{SET MINUS}nWATCHDOG=trigger, ping every 1.0 s" in started
    assert "ActiveState=active" in reloaded
    assert "NRestarts=0" in reloaded
    assert "NRestarts=1" in restarted
    assert "ActiveState=inactive" in stopped
    assert "Result=success" in stopped
