"""The config: found, read with positions, checked as a whole, and resolved into metadata."""

from depositd.config.credentials import Credentials, SecretSource
from depositd.config.globs import Globs
from depositd.config.load import find_config, load_config, parse_config
from depositd.config.metadata import Resolved, parse_assignments, parse_sidecar, resolve
from depositd.config.models import Config
from depositd.config.rules import ArchiveRules, Deliver, Expect, FormatName, MetadataRules, Rule
from depositd.config.sections import Spool, Web
from depositd.config.servers import (
    AnyDestination,
    DestinationSettings,
    DirectorySettings,
    ProteinDiffractionSettings,
    ProteomicsQCSettings,
    ServerSettings,
)
from depositd.config.templates import MissingFieldError, render, render_file_name
from depositd.config.window import Window

__all__ = [
    "AnyDestination",
    "ArchiveRules",
    "Config",
    "Credentials",
    "Deliver",
    "DestinationSettings",
    "DirectorySettings",
    "Expect",
    "FormatName",
    "Globs",
    "MetadataRules",
    "MissingFieldError",
    "ProteinDiffractionSettings",
    "ProteomicsQCSettings",
    "Resolved",
    "Rule",
    "SecretSource",
    "ServerSettings",
    "Spool",
    "Web",
    "Window",
    "find_config",
    "load_config",
    "parse_assignments",
    "parse_config",
    "parse_sidecar",
    "render",
    "render_file_name",
    "resolve",
]
