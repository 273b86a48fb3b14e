"""What a reload leaves behind: nothing."""

import os
import signal

from beamline_support import Beamline, until, write_run, write_series

from depositd.sandbox import running

RULES = """
  - name: px
    watch: {data}/px
    format: frames
    settle: 200ms
    metadata: {{set: {{dataset_type: other, project_title: A title long enough, project_authors: Smith J., equipment_other: x}}}}
    deliver: [{{to: irrmc, approve: auto}}]
  - name: ms
    watch: {data}/ms
    format: thermo-raw
    settle: 200ms
    deliver: [qc]
"""  # noqa: E501  one mapping of YAML
RELOADS = 6


def sockets_of(pid):
    links = (f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


def test_connections_of_the_destinations_before_are_closed(tmp_path):
    with running(pace_s=0.1, process_s=0.1) as box:
        line = Beamline(tmp_path, box)
        for name in ("px", "ms"):
            (line.data / name).mkdir()
        line.configure(RULES.format(data=line.data))
        with line.start() as daemon:
            until(lambda: "ready" in daemon.log, what="it watches")
            held = []
            for number in range(1, RELOADS + 1):
                write_series(line.data / "px" / f"s{number}", f"lyso_{number}", 2, seed=number)
                write_run(line.data / "ms", f"run_{number}", scans=number + 5)
                until(lambda n=number: daemon.log.count("delivery delivered") == 2 * n, what="both are delivered")
                held.append(sockets_of(daemon.process.pid))
                daemon.process.send_signal(signal.SIGHUP)
                until(lambda n=number: daemon.log.count("config reloaded") == n, what="it is reloaded")
            assert held[-1] <= held[0] + 1, held
            assert daemon.stop() == 0
