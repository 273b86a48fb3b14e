"""The config as frozen, validated values: attribute names carry their units, YAML keys are their aliases.

Checks that need two keys of one section are validators of the later key, never of the whole section: pydantic runs
those only where all keys are right by themselves, and a config is to be mended in one go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from depositd.config import values as v
from depositd.config.document import Scalar
from depositd.config.rules import RULE_EXAMPLE, Rule
from depositd.config.sections import NOTIFY_EXAMPLE, JournalCare, NotifyTarget, Retry, Section, Spool, Surroundings, Web
from depositd.config.servers import AnyDestination
from depositd.config.wording import quoted
from depositd.portable import usable_cores
from depositd.retry import RetryPolicy

MOST_AUTO_WORKERS = 8
"""What ``workers: auto`` takes at most: a machine with more cores has other work to do, and disks are no faster."""


class Config(Section):
    """The whole config, as checked; ``load_config`` and ``parse_config`` make it."""

    state_dir: v.AbsolutePath
    spool: Spool = Field(default={}, validate_default=True)
    web: Web | None = None
    retry: Retry = RetryPolicy()
    sweep_every_s: v.Interval = Field(default=60.0, alias="sweep_every")
    thorough_every_s: v.Interval = Field(default=600.0, alias="thorough_every")
    workers: v.Threads = None
    order: Literal["oldest-first", "newest-first"] = "oldest-first"
    journal: JournalCare = Field(default_factory=JournalCare)
    destinations: dict[v.Name, Annotated[AnyDestination, Field(discriminator="type")]]
    rules: Annotated[tuple[Rule, ...], BeforeValidator(v.filled_list(f"a list of rules, such as [{RULE_EXAMPLE}]"))]

    notify: Annotated[
        tuple[NotifyTarget, ...], BeforeValidator(v.filled_list(f"a list of targets, such as [{NOTIFY_EXAMPLE}]"))
    ] = ()

    _source_file: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: Any, /) -> None:
        """Remember which file it was."""
        if isinstance(context, Surroundings):
            self._source_file = Path(context.file)

    @property
    def source_file(self) -> Path:
        """The file that it was read from."""
        return self._source_file

    @property
    def worker_count(self) -> int:
        """How many threads compress, for all archives together; ``auto`` is the cores that we may use, at most 8."""
        return self.workers or min(usable_cores(), MOST_AUTO_WORKERS)

    @property
    def backup_directory(self) -> Path:
        """Where backups of the journal lie."""
        return self.journal.backup_to or self.state_dir / "backups"

    @property
    def newest_first(self) -> bool:
        """Whether what ended last is archived and sent first."""
        return self.order == "newest-first"

    def retry_for(self, destination: str) -> RetryPolicy:
        """Return the backoff of one destination."""
        return self.destinations[destination].retry or self.retry

    @field_validator("spool", mode="before")
    @classmethod
    def _spool_in_state_dir(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, dict) and "path" not in value:
            return {**value, "path": info.data.get("state_dir", Path("/")) / "spool"}
        return value

    @field_validator("web", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        if isinstance(value, str | Scalar):
            if v.read_text(value).lower() in ("off", "false", "no"):
                return None
            raise ValueError(f"{quoted(v.read_text(value))} says not where ({{listen: 127.0.0.1:8471}}, or off)")
        return value

    @field_validator("destinations", mode="before")
    @classmethod
    def _some_destination(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value:
            raise ValueError("is empty (at least one destination)")
        return value
