"""Finding, reading and checking the config: all that is wrong at once, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from depositd.config.crosschecks import cross_check
from depositd.config.diffraction import check_diffraction_metadata
from depositd.config.document import Document, Finding, Mark, mark_at, read_document
from depositd.config.models import Config
from depositd.config.problems import findings_of
from depositd.config.raw import destination_types
from depositd.config.sections import Surroundings
from depositd.errors import ConfigError
from depositd.portable import config_home
from depositd.units import printable

LARGEST_BYTES = 2**20
_MOST_OCCURRENCES = 8
_MANY_FINDINGS = 1_000
"""With so many, the file is no config at all: to read it again for each repeated key would tell nothing more."""
SYSTEM_CONFIG = Path("/etc/depositd/config.yaml")


def find_config(explicit: Path | None, environ: Mapping[str, str], cwd: Path, *, system: Path = SYSTEM_CONFIG) -> Path:
    """Return the path of the config: the given one, ``$DEPOSITD_CONFIG``, or the first that exists.

    Raises ConfigError that lists where it was looked for.
    """
    named = explicit or (Path(environ["DEPOSITD_CONFIG"]) if environ.get("DEPOSITD_CONFIG") else None)
    if named is not None:
        return cwd / named
    places = [cwd / "depositd.yaml", *_user_config(environ), system]
    for path in places:
        if path.is_file():
            return path
    looked = ", ".join(printable(str(path)) for path in places)
    hint = "--config FILE, or DEPOSITD_CONFIG; config.example.yaml is a start"
    raise ConfigError([f"no config found; looked for $DEPOSITD_CONFIG (not set), {looked} ({hint})"])


def _user_config(environ: Mapping[str, str]) -> list[Path]:
    directory = config_home(environ)
    return [Path(directory) / "depositd" / "config.yaml"] if directory else []


def load_config(path: Path) -> Config:
    """Read and check a config file; raises ConfigError with one line for each thing that is wrong."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise _config_error(file, [_at_start(f"cannot be read: {error.strerror} (a readable file)")]) from None
    if len(content) > LARGEST_BYTES:
        raise _config_error(file, [_at_start(f"is larger than {LARGEST_BYTES:,} bytes (a config)")])
    return parse_config(decode_config(content, file), file)


def decode_config(content: bytes, file: str) -> str:
    """Return a config's text; raises ConfigError with the place of the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the positions of the error count from behind a byte order mark, as error.object does
        before = error.object[: error.start].decode("utf-8")
        finding = Finding(
            mark_at(before, len(before)),
            (),
            f"byte 0x{error.object[error.start]:02x} is not UTF-8 (the file saved as UTF-8)",
        )
        raise _config_error(file, [finding]) from None


def parse_config(text: str, file: str) -> Config:
    """Check a config given as text; ``file`` is its name in messages.  Raises ConfigError as :func:`load_config`."""
    document = read_document(text)
    if not isinstance(document.data, dict):
        if not document.findings:
            document.findings.append(_at_start("is not a mapping (keys and values: state_dir, destinations, rules)"))
        raise _config_error(file, document.findings)
    # of a key that stands twice either value may be the one that is kept: each is checked
    occurrences = document.occurrences if len(document.findings) < _MANY_FINDINGS else 1
    repeats = range(1, min(occurrences, _MOST_OCCURRENCES))
    documents = [document, *(read_document(text, occurrence=occurrence) for occurrence in repeats)]
    types = {name: kind for each in documents for name, kind in destination_types(each.data).items()}
    results = [_validated(each, Surroundings(file, types)) for each in documents]
    config = results[0][0]
    findings = [finding for _config, found in results for finding in found]
    if config is None or findings:
        raise _config_error(file, findings)
    return config


def _validated(document: Document, surroundings: Surroundings) -> tuple[Config | None, list[Finding]]:
    if not isinstance(document.data, dict):
        return None, document.findings
    findings = [*document.findings, *cross_check(document), *check_diffraction_metadata(document)]
    try:
        config = Config.model_validate(document.data, context=surroundings, by_alias=True, by_name=False)
    except ValidationError as error:
        # not chained: pydantic's own words could repeat a secret
        return None, findings + findings_of(error, document)
    return config, findings


def _at_start(message: str) -> Finding:
    return Finding(Mark(1, 1), (), message)


def _config_error(file: str, findings: list[Finding]) -> ConfigError:
    ordered = sorted(findings, key=lambda finding: finding.mark)
    return ConfigError(list(dict.fromkeys(finding.line(file) for finding in ordered)))
