"""Progress of one transfer among lines that are told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from depositd.cli.output import Advance, progress


class Bar:
    """A progress bar on stderr that appears with the first bytes and goes when the next line is told."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._stack = ExitStack()
        self._advance: Advance | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show ``done`` of ``total`` bytes."""
        if self._advance is None:
            self._advance = self._stack.enter_context(progress(self._activity, in_bytes=True))
        self._advance(done, total)

    def end(self) -> None:
        """Take the bar away."""
        self._stack.close()
        self._advance = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
