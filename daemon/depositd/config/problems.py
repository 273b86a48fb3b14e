"""From pydantic's errors to our own sentences, each at its line and column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from depositd.config.document import Document, Finding, KeyPath, Mark, Scalar
from depositd.config.models import Config
from depositd.config.raw import value_at
from depositd.config.rules import (
    QC_EXAMPLE,
    RULE_EXAMPLE,
    SUPPORTED_FORMATS,
    ArchiveRules,
    Deliver,
    Expect,
    Gentle,
    MetadataRules,
    QcRules,
    Rule,
)
from depositd.config.sections import (
    NOTIFY_EXAMPLE,
    ON_SECTION,
    PLACES_OF_SECRETS,
    JournalCare,
    NotifyTarget,
    RetrySection,
    SecretSection,
    Section,
    Spool,
    Web,
)
from depositd.config.servers import DESTINATION_SECTIONS
from depositd.config.wording import nearest, quoted, shape


def findings_of(error: ValidationError, document: Document) -> list[Finding]:
    """Return one finding for each error; a value that was found wrong before is not found wrong again."""
    known_wrong = {finding.path for finding in document.findings if not finding.repeated}
    findings = []
    for detail in error.errors(include_url=False):
        path = _key_path(detail)
        above = any(path[:length] in known_wrong for length in range(1, len(path) + 1))
        # what a section lacks may be the very key that was found wrong
        below = detail["type"] == ON_SECTION and any(wrong[: len(path)] == path for wrong in known_wrong)
        if not above and not below:
            findings.append(_finding(detail, path, document))
    return findings


def _key_path(detail: ErrorDetails) -> KeyPath:
    path = detail["loc"]
    if path[:1] == ("destinations",) and len(path) > 2 and path[2] != "[key]":
        # pydantic puts the name of the chosen section between the destination and its keys
        path = (*path[:2], *path[3:])
    if detail["type"] == ON_SECTION:
        path = path[:-1]
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid") and not _is_no_section(detail):
        path = (*path, "type")
    return path


def _finding(detail: ErrorDetails, path: KeyPath, document: Document) -> Finding:
    if path[-1:] == ("[key]",):
        return Finding(document.keys.get(path[:-1], Mark(1, 1)), path[:-1], _sentence(detail))
    if detail["type"] == "extra_forbidden":
        message = f"unknown key ({_nearest_key(path, document.data)})"
        return Finding(document.keys.get(path, Mark(1, 1)), path, message)
    shown, mark = place(path, document)
    if _is_no_section(detail):
        return Finding(mark, shown, f"is {_shape(detail['input'])} ({_section_example(shown)})")
    return Finding(mark, shown, _sentence(detail))


def place(path: KeyPath, document: Document) -> tuple[KeyPath, Mark]:
    """Return the path that is shown and where it stands: a missing key stands where its mapping stands.

    A short form (``deliver: [vault]``) has no keys of its own; there the value itself is shown.
    """
    if path in document.values:
        return path, document.values[path]
    parent = path[:-1]
    while parent not in document.values and parent:
        parent = parent[:-1]
    shown = path if isinstance(value_at(document.data, parent), dict) else parent
    return shown, document.values.get(parent, Mark(1, 1))


def _sentence(detail: ErrorDetails) -> str:
    sentence = _SENTENCES.get(detail["type"])
    # the fallback is not reached by any key that is there today; a later one still gets its line
    return sentence(detail) if sentence else f"is not right ({detail['msg']})"


def _unknown_type(detail: ErrorDetails) -> str:
    tag = detail["ctx"]["tag"]
    return f"{quoted(tag)} is no type of destination ({nearest(tag, DESTINATION_SECTIONS)})"


def _missing(detail: ErrorDetails) -> str:
    # the only URL that is a secret
    is_secret = detail["loc"][0] == "notify"
    example = PLACES_OF_SECRETS if is_secret else _EXAMPLES.get(str(detail["loc"][-1]), "a value")
    return f"is missing ({example})"


def _unknown_word(detail: ErrorDetails) -> str:
    return f"{_shown(detail['input'])} is not known here ({detail['ctx']['expected'].replace(chr(39), '')})"


def _shown(value: Any) -> str:
    if isinstance(value, str | Scalar):
        return quoted(value.text if isinstance(value, Scalar) else value)
    return shape(value)


def _shape(value: Any) -> str:
    return "a single value" if isinstance(value, str | Scalar) else "empty" if value is None else shape(value)


_EXAMPLES = {
    "state_dir": "such as /var/lib/depositd",
    "destinations": "at least one destination",
    "rules": "at least one rule",
    "name": "a name of letters, digits, '.', '_' and '-'",
    "watch": "an absolute path, or a list of them",
    "format": ", ".join(SUPPORTED_FORMATS),
    "deliver": "a list of destinations",
    "to": "the name of a destination",
    "url": "such as https://server.example.org/",
    "path": "an absolute path",
    "frames": "the number of frames, such as 1800",
}

_SENTENCES: Mapping[str, Callable[[ErrorDetails], str]] = {
    "value_error": lambda detail: str(detail["ctx"]["error"]),
    ON_SECTION: lambda detail: str(detail["ctx"]["message"]),
    "missing": _missing,
    "union_tag_not_found": lambda _detail: f"is missing ({', '.join(DESTINATION_SECTIONS)})",
    "union_tag_invalid": _unknown_type,
    "literal_error": _unknown_word,
}

_NO_SECTION = frozenset({"model_type", "model_attributes_type", "dict_type"})
"""The types of errors that say that something else stands where a section should."""

_SECTION_EXAMPLES: Mapping[KeyPath, str] = {
    ("spool",): "{path: /scratch/depositd, min_free: 20GiB}",
    ("web",): "{listen: 127.0.0.1:8471}",
    ("retry",): "{first: 15s, longest: 1h}",
    ("destinations",): "{vault: {type: directory, path: /mnt/vault}}",
    ("destinations", "*"): "{type: directory, path: /mnt/vault}",
    ("destinations", "*", "retry"): "{first: 15s, longest: 1h}",
    ("rules",): f"[{RULE_EXAMPLE}]",
    ("rules", "*"): RULE_EXAMPLE,
    ("rules", "*", "expect"): "{frames: 1800}",
    ("rules", "*", "metadata"): '{set: {project_authors: "Smith J., Doe A."}}',
    ("rules", "*", "metadata", "set"): '{project_authors: "Smith J., Doe A."}',
    ("rules", "*", "archive"): "{compression: zstd, level: auto}",
    ("rules", "*", "qc"): QC_EXAMPLE,
    ("notify",): f"[{NOTIFY_EXAMPLE}]",
    ("notify", "*"): NOTIFY_EXAMPLE,
    ("rules", "*", "deliver"): "[vault, {to: vault, approve: auto}]",
    ("rules", "*", "deliver", "*"): "vault, or {to: vault, approve: auto}",
    ("rules", "*", "deliver", "*", "metadata"): "{pdb_code: 1ABC}",
}


def _is_no_section(detail: ErrorDetails) -> bool:
    # a destination's type is looked for first, in whatever stands there
    untyped = detail["type"] == "union_tag_not_found" and not isinstance(detail["input"], dict)
    return untyped or detail["type"] in _NO_SECTION


def _section_example(path: KeyPath) -> str:
    example = _SECTION_EXAMPLES.get(_pattern(path))
    return f"such as {example}" if example else "keys and values"


_SECTIONS: Mapping[KeyPath, type[Section]] = {
    (): Config,
    ("spool",): Spool,
    ("journal",): JournalCare,
    ("web",): Web,
    ("retry",): RetrySection,
    ("destinations", "*", "retry"): RetrySection,
    ("destinations", "*", "token"): SecretSection,
    ("destinations", "*", "password"): SecretSection,
    ("rules", "*"): Rule,
    ("rules", "*", "expect"): Expect,
    ("rules", "*", "gentle"): Gentle,
    ("rules", "*", "metadata"): MetadataRules,
    ("rules", "*", "archive"): ArchiveRules,
    ("rules", "*", "deliver", "*"): Deliver,
    ("rules", "*", "qc"): QcRules,
    ("notify", "*"): NotifyTarget,
    ("notify", "*", "url"): SecretSection,
}


def _nearest_key(path: KeyPath, data: Any) -> str:
    section = _section_at(path[:-1], data)
    return nearest(str(path[-1]), section.keys() if section else ())


def _section_at(path: KeyPath, data: Any) -> type[Section] | None:
    if path[:1] == ("destinations",) and len(path) == 2:
        return DESTINATION_SECTIONS.get(str(value_at(data, (*path, "type"))))
    return _SECTIONS.get(_pattern(path))


def _pattern(path: KeyPath) -> KeyPath:
    """Return a path with ``*`` for the indices of lists and the name of a destination."""
    if path[:1] == ("destinations",) and len(path) > 1:
        path = (path[0], "*", *path[2:])
    return tuple("*" if isinstance(step, int) else step for step in path)
