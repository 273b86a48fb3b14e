"""The installed command, run as a shell runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path

DEPOSITD = str(Path(sysconfig.get_path("scripts")) / "depositd")


@dataclass
class Command:
    """``depositd`` in a home directory of its own; ``environ`` is all that it knows of the outside."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def env(self, more):
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.home), "LANG": "C.UTF-8", **self.environ, **more}

    def run(self, *words, status=0, **environ):
        """Run to the end; the exit status is checked, and that nobody sees a traceback."""
        done = subprocess.run(
            [DEPOSITD, *map(str, words)],
            cwd=self.home,
            env=self.env(environ),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        return done

    def text(self, *words, **more):
        return self.run(*words, **more).stdout

    def json(self, *words, **more):
        return json.loads(self.run(*words, "--json", **more).stdout)

    def interrupted(self, *words, when):
        """Start, press Ctrl+C once ``when()`` is true, and return how it ended."""
        process = subprocess.Popen(
            [DEPOSITD, *map(str, words)],
            cwd=self.home,
            env=self.env({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert "Traceback" not in err
        return process.returncode, out, err
