"""The config: found, read with positions, checked as a whole, and resolved into metadata."""

from depositd.config.credentials import Credentials, SecretSource
from depositd.config.diffraction import API_KEYS, nearest_api_key
from depositd.config.globs import Globs
from depositd.config.load import find_config, load_config, parse_config
from depositd.config.metadata import PATH, Resolved, parse_assignments, parse_sidecar, resolve
from depositd.config.models import Config
from depositd.config.rules import ArchiveRules, Deliver, Expect, FormatName, MetadataRules, QcRules, Rule
from depositd.config.sections import NewsKind, NotifyTarget, Spool, Web
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
    "API_KEYS",
    "PATH",
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
    "NewsKind",
    "NotifyTarget",
    "ProteinDiffractionSettings",
    "ProteomicsQCSettings",
    "QcRules",
    "Resolved",
    "Rule",
    "SecretSource",
    "ServerSettings",
    "Spool",
    "Web",
    "Window",
    "find_config",
    "load_config",
    "nearest_api_key",
    "parse_assignments",
    "parse_config",
    "parse_sidecar",
    "render",
    "render_file_name",
    "resolve",
]
