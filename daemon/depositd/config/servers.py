"""The destinations: what is known of each server and directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from depositd.config import values as v
from depositd.config.credentials import Credentials, SecretSource
from depositd.config.sections import PLACES_OF_SECRETS, Retry, Secret, Section, on_section
from depositd.config.wording import quoted
from depositd.urls import is_in_the_clear


class DestinationSettings(Section):
    """What every destination has."""

    retry: Retry | None = None
    rate_limit_bytes_per_s: v.Rate | None = Field(default=None, alias="rate_limit")
    window: v.TimeWindow | None = None
    parallel: v.Parallel = 2


class ServerSettings(DestinationSettings):
    """What every server has."""

    insecure_http: v.Switch = False
    proxy: v.Proxy | None = None
    url: v.Url
    ca_file: v.AbsolutePath | None = None
    token: Secret | None = None
    username: v.Text | None = None
    password: Secret | None = Field(default=None, validate_default=True)
    poll_every_s: v.Interval = Field(default=60.0, alias="poll_every")
    confirm_within_s: v.Duration = Field(default=1800.0, alias="confirm_within")

    @field_validator("url")
    @classmethod
    def _encrypted(cls, url: str, info: ValidationInfo) -> str:
        proxy = info.data.get("proxy")
        if is_in_the_clear(url, proxy) and not info.data.get("insecure_http", True):
            way = f" on the way through the proxy {quoted(proxy)}" if proxy and not is_in_the_clear(url) else ""
            raise ValueError(
                f"{quoted(url)} would send the credentials and the data readable to anyone in between{way} "
                "(https://…, or insecure_http: true where the network is trusted)"
            )
        return url

    @field_validator("password")
    @classmethod
    def _one_kind_of_credentials(cls, password: SecretSource | None, info: ValidationInfo) -> SecretSource | None:
        if not {"token", "username"} <= info.data.keys():
            return password
        token, username = info.data["token"], info.data["username"]
        if token and (username or password):
            raise on_section("has two kinds of credentials (token alone, or username and password)")
        if not token and not (username and password):
            missing = "username" if password else "password" if username else "token, or username and password"
            raise on_section(f"has no {missing} (token: {PLACES_OF_SECRETS}, or username and password)")
        return password

    @property
    def credentials(self) -> Credentials:
        """Who we are there; secrets are read when they are used."""
        return Credentials(self.token, self.username, self.password)


class ProteinDiffractionSettings(ServerSettings):
    """The Protein Diffraction Image Server."""

    type: Literal["proteindiffraction"] = "proteindiffraction"
    existing: Literal["hold", "submit"] = "hold"


class ProteomicsQCSettings(ServerSettings):
    """ProteomicsQC."""

    type: Literal["proteomicsqc"] = "proteomicsqc"
    accept_archives: v.Switch = False
    project: v.Text | None = None
    pipeline: v.Text | None = None
    pid: v.Uuid | None = Field(default=None, validate_default=True)

    @field_validator("pid")
    @classmethod
    def _where_to(cls, pid: str | None, info: ValidationInfo) -> str | None:
        if not {"project", "pipeline"} <= info.data.keys():
            return pid
        if not pid and not (info.data["project"] and info.data["pipeline"]):
            raise on_section("does not say which pipeline (pid: UUID, or project and pipeline as in the server's URLs)")
        return pid


class DirectorySettings(DestinationSettings):
    """A verified copy in another directory."""

    type: Literal["directory"] = "directory"
    path: v.AbsolutePath


AnyDestination = ProteinDiffractionSettings | ProteomicsQCSettings | DirectorySettings
DESTINATION_SECTIONS: Mapping[str, type[AnyDestination]] = {
    "proteindiffraction": ProteinDiffractionSettings,
    "proteomicsqc": ProteomicsQCSettings,
    "directory": DirectorySettings,
}
