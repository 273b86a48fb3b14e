"""The base of the config's sections, and the parts that several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from depositd.config import values as v
from depositd.config.credentials import SecretKind, SecretSource
from depositd.config.wording import duration, nearest, quoted
from depositd.portable import is_absolute
from depositd.retry import RetryPolicy

ON_SECTION = "section"
"""The type of an error that is about a whole section although one of its keys found it."""

_GIB = 2**30
PLACES_OF_SECRETS = "{file: /path/of/a/file}, {env: NAME} or {credential: NAME}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a section must know of the rest of the file while it is validated."""

    file: str = ""
    destination_types: Mapping[str, str] = field(default_factory=dict)


class Section(BaseModel):
    """The base of all sections."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        validate_default=False,
        hide_input_in_errors=True,
        # built once for the whole config, with the first one that is read, and not for each section at import
        defer_build=True,
    )

    @classmethod
    def keys(cls) -> list[str]:
        """Return the section's YAML keys in their order."""
        return [info.alias or name for name, info in cls.model_fields.items()]


def on_section(message: str) -> PydanticCustomError:
    """Return an error about the section that a key belongs to."""
    # braces are pydantic's own template syntax, so the sentence comes in as a value
    return PydanticCustomError(ON_SECTION, "{message}", {"message": message})


class RetrySection(Section):
    """The backoff between attempts."""

    first: v.Interval = 15.0
    longest: v.Interval = Field(default=3600.0, validate_default=True)

    @field_validator("longest")
    @classmethod
    def _not_below_first(cls, longest: float, info: ValidationInfo) -> float:
        first = info.data.get("first", longest)
        if longest < first:
            raise ValueError(
                f"the longest wait, {duration(longest)}, is shorter than the first, {duration(first)} "
                f"(at least {duration(first)})"
            )
        return longest


class SecretSection(Section):
    """Where a secret is: one of three."""

    file: Path | None = None
    env: str | None = None
    credential: str | None = None

    @field_validator("file", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Path | None:
        text = None if value is None else v.read_text(value)
        if text is not None and (not is_absolute(text) or "\0" in text):
            raise ValueError("is not an absolute path (such as /etc/depositd/server.token)")
        return None if text is None else Path(text)

    @field_validator("env", "credential", mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> str | None:
        name = None if value is None else v.read_text(value)
        if name is not None and (not v.is_name(name) or name in (".", "..")):
            raise ValueError("is not a name (letters, digits, '.', '_' and '-', such as DEPOSIT_TOKEN)")
        return name


def read_secret(value: Any) -> SecretSource:
    """Return where a secret is; the secret itself in the config is refused, and not repeated."""
    if isinstance(value, SecretSource):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"a secret must not stand in the config itself ({PLACES_OF_SECRETS})")  # noqa: TRY004  pydantic collects ValueErrors alone
    section = SecretSection.model_validate(value)
    places: tuple[tuple[SecretKind, str | Path | None], ...] = (
        ("file", section.file),
        ("env", section.env),
        ("credential", section.credential),
    )
    given = [SecretSource(kind, str(name)) for kind, name in places if name is not None]
    if len(given) != 1:
        raise ValueError(
            f"names {'no place' if not given else 'more than one place'} of the secret ({PLACES_OF_SECRETS})"
        )
    return given[0]


def read_retry(value: Any) -> RetryPolicy:
    """Return the retry policy of a ``retry`` section."""
    if isinstance(value, RetryPolicy):
        return value
    section = RetrySection.model_validate(value)
    return RetryPolicy(first_s=section.first, longest_s=section.longest)


Secret = Annotated[SecretSource, BeforeValidator(read_secret)]
Retry = Annotated[RetryPolicy, BeforeValidator(read_retry)]
Metadata = dict[v.MetadataKey, v.MetadataTemplate]


class Spool(Section):
    """Where archives are built, the free space that is left there in any case, and the most that archives may take."""

    path: v.AbsolutePath
    min_free_bytes: v.Size = Field(default=_GIB, alias="min_free")
    quota_bytes: v.Quota | None = Field(default=None, alias="quota")


class Web(Section):
    """Where the daemon answers a monitor over HTTP."""

    listen: v.Listen = ("127.0.0.1", 8471)

    @property
    def host(self) -> str:
        """The host or address, an IPv6 address without its brackets."""
        return self.listen[0]

    @property
    def port(self) -> int:
        """The port; 0 takes any that is free."""
        return self.listen[1]


class JournalCare(Section):
    """How often the journal is backed up, how many backups stay and where, and how long histories are kept whole."""

    backup_every_s: v.DurationOrOff = Field(default=86_400.0, alias="backup_every")
    keep_backups: v.BackupCount = 7
    backup_to: v.AbsolutePath | None = None
    keep_history_s: v.DurationOrOff = Field(default=365 * 86_400.0, alias="keep_history")


NewsKind = Literal["needs_you", "release", "paused", "source", "qc"]
NEWS_KINDS: tuple[str, ...] = get_args(NewsKind)
NOTIFY_EXAMPLE = "{url: {file: /etc/depositd/notify.url}, on: [needs_you, paused, source, qc]}"


def _kind(value: Any) -> str:
    text = v.read_text(value)
    if text not in NEWS_KINDS:
        raise ValueError(f"{quoted(text)} is nothing that is told ({nearest(text, NEWS_KINDS)})")
    return text


class NotifyTarget(Section):
    """Who is told, of what and how often; the URL is Apprise's, and a secret: it holds passwords and tokens.

    ``release`` (a delivery waits for approval or metadata) is left out by default: it is routine at a beamline.
    """

    url: Secret
    on: Annotated[
        tuple[Annotated[NewsKind, BeforeValidator(_kind)], ...],
        BeforeValidator(v.filled_list(f"a list of {', '.join(NEWS_KINDS)}")),
    ] = ("needs_you", "paused", "source", "qc")
    at_most_every_s: v.Duration = Field(default=600.0, alias="at_most_every")
