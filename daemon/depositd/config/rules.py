"""The rules: which datasets are looked for, when one is complete, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from depositd.config import values as v
from depositd.config.document import Scalar
from depositd.config.sections import Metadata, Section, Surroundings
from depositd.config.wording import nearest, quoted

FormatName = Literal[
    "auto", "frames", "eiger", "thermo-raw", "waters-raw", "bruker-d", "agilent-d", "sciex", "file", "directory"
]
SUPPORTED_FORMATS: tuple[str, ...] = get_args(FormatName)
DEFAULT_COLUMNS = (
    "N_peptides",
    "N_protein_groups",
    "N_missing_values",
    "MS/MS Identified [%]",
    "Uncalibrated - Calibrated m/z [ppm] (ave)",
)
QC_EXAMPLE = '{reject_if: "N_peptides < 500"}'
RULE_EXAMPLE = "{name: pilatus, watch: /data, format: auto, deliver: [vault]}"
_LEVELS = {"zstd": (-7, 19), "gzip": (1, 9), "bzip2": (1, 9), "zip": (1, 9)}
_WIDEST_LEVELS = _LEVELS["zstd"]


class Expect(Section):
    """What makes a dataset whole, known beforehand."""

    frames: v.FrameCount


class Gentle(Section):
    """How a source is spared whose instrument needs its disk: read at idle I/O priority, and no faster than this.

    The default is about a tenth of what one hard disk gives, and 1.7 TB a day.
    """

    read_rate_bytes_per_s: v.Rate = Field(default=20_000_000, alias="read_rate")


def _gentle_section(value: Any) -> Any:
    if isinstance(value, dict | Gentle):
        return value
    right = "true, false, or {read_rate: 50MB/s}"
    if isinstance(value, list | tuple):
        raise ValueError(f"is a list ({right})")  # noqa: TRY004  pydantic collects ValueErrors alone
    try:
        return {} if v.read_switch(value) else None
    except ValueError:
        raise ValueError(f"{quoted(v.read_text(value))} is neither true nor false ({right})") from None


class QcRules(Section):
    """What is fetched of a run that ProteomicsQC measured, and what follows from it.

    The default columns are those that tell a bad injection from a good one on either kind of pipeline.
    """

    columns: v.ColumnList = DEFAULT_COLUMNS
    flag_if: v.Question | None = None
    reject_if: v.Question | None = None
    notify_if: v.Question | None = None
    wait_s: v.Duration = Field(default=2 * 86_400.0, alias="wait")

    @property
    def wanted_columns(self) -> tuple[str, ...]:
        """The columns to fetch: those to be kept, and those that a question asks for."""
        asked = [question.columns for question in (self.flag_if, self.reject_if, self.notify_if) if question]
        return tuple(dict.fromkeys([*self.columns, *(name for names in asked for name in names)]))


def _qc_section(value: Any) -> Any:
    if isinstance(value, str | Scalar):
        if v.read_text(value).lower() in ("off", "false", "no"):
            return None
        raise ValueError(f"{quoted(v.read_text(value))} says not what to do ({QC_EXAMPLE}, or off)")
    return value


class MetadataRules(Section):
    """Where metadata comes from besides the files' headers."""

    path: v.Pattern | None = None
    sidecar: v.Sidecar = "deposit.yaml"
    set: Metadata = Field(default_factory=dict)


class ArchiveRules(Section):
    """How a dataset is packed; ``level`` None leaves it to depositd, ``follow`` lets it begin before the last frame."""

    compression: Literal["zstd", "gzip", "bzip2", "none", "zip"] = "zstd"
    level: int | None = None
    name: v.ArchiveName = "{name}"
    follow: v.Switch = True

    @field_validator("level", mode="before")
    @classmethod
    def _within_range(cls, value: Any, info: ValidationInfo) -> int | None:
        if value is None or value == "auto":
            return None
        try:
            level = v.read_whole_number(value)
        except ValueError:
            raise ValueError(f"{quoted(v.read_text(value))} is not a level (auto, or a whole number)") from None
        # a compression that is wrong by itself is not there: then what no compression takes is wrong in any case
        compression = info.data.get("compression", "any compression")
        if compression == "none":
            raise ValueError("compression none has no level (auto, or leave the key out)")
        least, most = _LEVELS.get(compression, _WIDEST_LEVELS)
        if not least <= level <= most:
            raise ValueError(f"{level} is out of range for {compression} (auto, or {least} to {most})")
        return level


class Deliver(Section):
    """One destination of a rule, and who must say yes.

    ``approve`` is ``manual`` by default for ``proteindiffraction``, where uploading publishes, and ``auto`` elsewhere.
    """

    to: v.Name
    approve: Literal["auto", "manual"] = Field(default="", validate_default=True)
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("to")
    @classmethod
    def _known(cls, to: str, info: ValidationInfo) -> str:
        types = _destination_types(info)
        if types and to not in types:
            raise ValueError(f"{quoted(to)} is no destination ({nearest(to, types)})")
        return to

    @field_validator("approve", mode="before")
    @classmethod
    def _default(cls, value: Any, info: ValidationInfo) -> Any:
        if value != "":
            return value
        kind = _destination_types(info).get(info.data.get("to", ""))
        return "auto" if kind in ("proteomicsqc", "directory") else "manual"


def _destination_types(info: ValidationInfo) -> Mapping[str, str]:
    return info.context.destination_types if isinstance(info.context, Surroundings) else {}


def _deliver_section(value: Any) -> Any:
    return {"to": value} if isinstance(value, str | Scalar) else value


Deliveries = Annotated[
    tuple[Annotated[Deliver, BeforeValidator(_deliver_section)], ...],
    BeforeValidator(v.filled_list("a list of destinations, such as [vault, {to: vault, approve: auto}]")),
]


class Rule(Section):
    """Which datasets are looked for, when one is complete, and where it goes."""

    name: v.Name
    watch: v.PathList
    format: FormatName
    include: v.GlobList = ()
    exclude: v.GlobList = ()
    gather: v.GlobList = ()
    settle_s: v.Duration = Field(default=30.0, alias="settle")
    expect: Expect | None = None
    marker: v.FileNameGlob | None = None
    on_incomplete: Literal["hold", "deliver", "ignore"] = "hold"
    metadata: MetadataRules = Field(default_factory=MetadataRules)
    archive: ArchiveRules = Field(default_factory=ArchiveRules)
    deliver: Deliveries
    qc: Annotated[QcRules | None, BeforeValidator(_qc_section)] = Field(default_factory=QcRules)
    keep_archive_s: v.Duration = Field(default=7 * 86_400.0, alias="keep_archive")
    gentle: Annotated[Gentle | None, BeforeValidator(_gentle_section)] = None

    @property
    def expect_frames(self) -> int | None:
        """The number of frames of a whole series, None where the rule does not say."""
        return self.expect.frames if self.expect else None

    @field_validator("format", mode="before")
    @classmethod
    def _supported(cls, value: Any) -> str:
        name = v.read_text(value)
        if name not in SUPPORTED_FORMATS:
            raise ValueError(f"{quoted(name)} is no format ({nearest(name, SUPPORTED_FORMATS)})")
        return name
