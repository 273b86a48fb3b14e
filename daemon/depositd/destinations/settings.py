"""What a destination needs to know from the config; the config's own objects fit, and so does anything alike."""

from __future__ import annotations

from os import PathLike
from typing import Protocol

from depositd.destinations.credentials import Credentials


class AnySettings(Protocol):
    """What every destination has."""

    @property
    def type(self) -> str:
        """The type's name, a key of :data:`depositd.destinations.DESTINATIONS`."""

    @property
    def rate_limit_bytes_per_s(self) -> float | None:
        """The limit of all transfers together, None for none."""


class ServerSettings(AnySettings, Protocol):
    """What every server has."""

    @property
    def url(self) -> str:
        """The base URL."""

    @property
    def credentials(self) -> Credentials:
        """Who we are there."""

    @property
    def ca_file(self) -> PathLike[str] | None:
        """A CA bundle of its own, None for the usual ones."""

    @property
    def insecure_http(self) -> bool:
        """Whether ``http://`` is allowed beyond loopback."""

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy that all goes through, None for none."""


class ProteinDiffractionSettings(ServerSettings, Protocol):
    """The Protein Diffraction Image Server."""

    @property
    def poll_every_s(self) -> float:
        """The time between two looks at a submission."""

    @property
    def existing(self) -> str:
        """``hold`` or ``submit``, where the PDB entry has data already."""


class ProteomicsQCSettings(ServerSettings, Protocol):
    """ProteomicsQC."""

    @property
    def project(self) -> str | None:
        """The project's slug."""

    @property
    def pipeline(self) -> str | None:
        """The pipeline's slug."""

    @property
    def pid(self) -> str | None:
        """The pipeline's UUID."""

    @property
    def confirm_within_s(self) -> float:
        """How long a run whose answer was lost is looked for."""

    @property
    def accept_archives(self) -> bool:
        """Whether directories are sent as archives."""


class DirectorySettings(AnySettings, Protocol):
    """A verified copy in another directory."""

    @property
    def path(self) -> str | PathLike[str]:
        """The directory, which must be there."""
