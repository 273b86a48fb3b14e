"""YAML, read so that everything in it can be found again by its line and column.

Two habits of YAML 1.1 cost facilities data: ``pdb_code: 6E23`` is a number and ``web: off`` is a
boolean.  So nothing is converted here.  Text stays text; what YAML would take for something else
becomes a :class:`Scalar`, which keeps the text as it was written, and the field that reads it decides.

Anchors, aliases and merge keys work.  Size, depth and the number of nodes *after* aliases are followed are
bounded, so that a hostile or mistaken file costs a sentence and not the memory of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from depositd.config.wording import nearest_word
from depositd.units import printable

LONGEST_CHARACTERS = 2**20
MOST_NODES = 50_000
DEEPEST = 64

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys of mappings and indices of lists from the top."""

SECRET_KEYS = frozenset({"token", "password"})
"""Keys below which nothing is repeated in a message but :data:`SECRET_KINDS` and what must be meant for one."""

SECRET_KINDS = ("file", "env", "credential")
_WORDS_FOR_PLACES = frozenset({"path", "environment", "variable", "value", "command", "systemd"})

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({_TAG + "str", _TAG + "value"})
_SCALAR_TAGS = frozenset(_TAG + kind for kind in ("bool", "int", "float", "timestamp"))


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; both numbers begin at 1, and a column is a character."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """An unquoted value that YAML takes for something other than text, as it was written.

    ``kind`` is ``bool``, ``int``, ``float`` or ``timestamp``.
    """

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where it stands, which key it is about, and a sentence.

    ``blank`` says that nothing is wrong but that nothing is there: a form may be left blank, a config may not.
    ``repeated`` says that the key stands twice, which says nothing about its values.
    """

    mark: Mark
    path: KeyPath
    message: str
    blank: bool = False
    repeated: bool = False

    def line(self, file: str) -> str:
        """Return ``FILE:LINE:COLUMN: key.path: what is wrong (what would be right)``."""
        place = f"{printable(file)}:{self.mark.line}:{self.mark.column}"
        return f"{place}: {show_path(self.path)}: {printable(self.message)}"


@dataclass(slots=True)
class Document:
    """What a YAML text says, and where.

    ``data`` is made of dict, list, str and :class:`Scalar`; None stands where nothing could be read, and then
    ``findings`` says why.  ``keys`` and ``values`` map key paths to the marks of a key and of its value.
    ``occurrences`` is how often the key stands that one mapping repeats the most: 1 where all is well.
    """

    data: Any = None
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    occurrences: int = 1

    def finding(self, path: KeyPath, message: str) -> Finding:
        """Return a finding about the value at a path, where it stands."""
        return Finding(self.values.get(path, Mark(1, 1)), path, message)


def show_path(path: KeyPath) -> str:
    """Return ``rules[0].settle``; below a secret's key only what cannot be the secret itself is shown."""
    shown = ""
    below_secret = False
    for step in path:
        if below_secret and not _names_a_place(step):
            break
        if isinstance(step, int):
            shown += f"[{step}]"
        else:
            shown += ("." if shown else "") + printable(step, longest=80)
            # the address of a notification holds passwords and tokens, that of a destination does not
            below_secret = below_secret or step in SECRET_KEYS or (step == "url" and path[0] == "notify")
    return shown or "document"


def _names_a_place(step: str | int) -> bool:
    word = str(step)
    return word in _WORDS_FOR_PLACES or nearest_word(word, SECRET_KINDS) is not None


def read_document(
    text: str, *, longest_characters: int = LONGEST_CHARACTERS, most_nodes: int = MOST_NODES, occurrence: int = 0
) -> Document:
    """Read one YAML document; never raises for what the text contains, all that is wrong is in ``findings``.

    Of a key that stands more than once, the value with the index ``occurrence`` is taken, or the last that there is.
    """
    document = Document()
    if len(text) > longest_characters:
        message = f"has {len(text):,} characters (at most {longest_characters:,})"
        document.findings.append(Finding(Mark(1, 1), (), message))
        return document
    try:
        root = _compose(text, most_nodes)
    except yaml.reader.ReaderError as error:
        message = f"the character U+{_code(error.character):04X} cannot stand in YAML (remove it)"
        document.findings.append(Finding(mark_at(text, error.position), (), message))
    except yaml.MarkedYAMLError as error:
        document.findings.append(_syntax_finding(error))
    else:
        if root is None:
            document.findings.append(Finding(Mark(1, 1), (), "is empty (keys and values in YAML)", blank=True))
        else:
            _Builder(document, occurrence, most_nodes).start(root)
    document.findings.sort(key=lambda finding: finding.mark)
    return document


def mark_at(text: str, index: int) -> Mark:
    """Return the line and column of a character."""
    before = text[:index]
    return Mark(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _code(character: object) -> int:
    # PyYAML gives the code of a character, its type stubs say the character
    return character if isinstance(character, int) else ord(str(character)[:1])


# --- from text to nodes -----------------------------------------------------------------------------------


class _BoundsError(yaml.MarkedYAMLError):
    """Too much, or too deep; ``problem`` is our own sentence."""


class _BoundedLoader(yaml.SafeLoader):
    """A composer of nodes that stops at too many of them and at too deep a nesting."""

    def __init__(self, text: str, most_nodes: int) -> None:
        super().__init__(text)
        self._most_nodes = most_nodes
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        self._depth += 1
        mark = parent.start_mark if parent else None
        if self._nodes > self._most_nodes:
            raise _BoundsError(problem=f"there are more than {self._most_nodes:,} values (fewer)", problem_mark=mark)
        if self._depth > DEEPEST:
            raise _BoundsError(problem=f"values are nested more than {DEEPEST} deep (flatter)", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _compose(text: str, most_nodes: int) -> yaml.Node | None:
    loader = _BoundedLoader(text, most_nodes)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


_SYNTAX = (
    (r"cannot start any token.*\\t|'\\t'", "a tab cannot indent or stand here (spaces)"),
    (r"cannot start any token", "this character cannot begin a value (quotes around the value)"),
    (r"mapping values are not allowed", "a colon stands where none can (quotes around a value that contains ': ')"),
    (r"expected <block end>", "this line's indentation fits no line above it (as many spaces as its neighbours)"),
    (r"could not find expected ':'", "a key without its colon (key: value)"),
    (r"undefined alias", "an alias that no anchor defines (quotes around a value that begins with *)"),
    (r"second occurrence", "an anchor that is defined twice (another name after &)"),
    (r"but found another document", "a second document begins (one document, without ---)"),
    (r"unexpected end of stream", "a quote is opened and never closed (the closing quote)"),
    (r"expected ',' or '[\]}]'", "a bracket or brace is not closed, or a comma is missing (, ] or })"),
    (r"alphabetic or numeric character", "a name must follow * or & (quotes around a value that begins with one)"),
    (r"unknown escape character", "an escape that YAML does not know (single quotes around a text with backslashes)"),
)  # fmt: skip


def _syntax_finding(error: yaml.MarkedYAMLError) -> Finding:
    # PyYAML's words may repeat what was written, and that may be a password: only our own sentences are shown
    problem = error.problem or "not YAML"
    mark = error.problem_mark or error.context_mark
    place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    if isinstance(error, _BoundsError):
        return Finding(place, (), problem)
    for pattern, sentence in _SYNTAX:
        if re.search(pattern, problem):
            return Finding(place, (), sentence)
    words = re.sub(r"'[^']{4,}'", "…", problem)
    return Finding(place, (), f"this is not YAML: {words} (key: value)")


# --- from nodes to values ---------------------------------------------------------------------------------


class _Builder:
    """Turns nodes into values and remembers where each stood."""

    def __init__(self, document: Document, occurrence: int, most_nodes: int) -> None:
        self._document = document
        self._occurrence = occurrence
        self._budget = self._most_nodes = most_nodes
        self._open: set[int] = set()

    def start(self, root: yaml.Node) -> None:
        try:
            self._document.data = self._value(root, ())
        except _TooManyNodesError:
            message = f"aliases multiply to more than {self._most_nodes:,} values (fewer aliases of aliases)"
            self._document.data = None
            self._document.findings.append(Finding(_mark(root), (), message))

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._spend()
        self._document.values[path] = _mark(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._complain(node, path, "contains itself by an alias (a value of its own)")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return self._sequence(node, path)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | Scalar | None:
        if node.tag in _TEXT_TAGS:
            return str(node.value)
        if node.tag in _SCALAR_TAGS:
            return Scalar(node.value, node.tag.removeprefix(_TAG))
        if node.tag == _TAG + "null":
            message = "is empty (a value, or leave the key out)"
            self._document.findings.append(Finding(_mark(node), path, message, blank=True))
        else:
            self._complain(node, path, "has a tag (quotes around a value that begins with !)")
        return None

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        if node.tag != _TAG + "seq":
            self._complain(node, path, "has a tag (a plain list)")
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        if node.tag != _TAG + "map":
            self._complain(node, path, "has a tag (a plain mapping)")
        found: dict[str, list[tuple[yaml.Node, yaml.Node]]] = {}
        for key, item, own in self._pairs(node, path):
            occurrences = found.setdefault(key.value, [])
            if occurrences and not own:
                continue
            if occurrences:
                self._complain_of_repetition(key, (*path, key.value), _mark(occurrences[0][0]).line)
            occurrences.append((key, item))
        values: dict[str, Any] = {}
        for name, occurrences in found.items():
            self._document.occurrences = max(self._document.occurrences, len(occurrences))
            key, item = occurrences[min(self._occurrence, len(occurrences) - 1)]
            self._document.keys[*path, name] = _mark(key)
            values[name] = self._value(item, (*path, name))
        return values

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Give a mapping's own pairs first, then merged ones: who comes first wins."""
        merges: list[yaml.Node] = []
        for key, item in node.value:
            self._spend()
            if key.tag == _TAG + "merge":
                merges.append(item)
            elif isinstance(key, yaml.ScalarNode) and key.value:
                yield key, item, True
            else:
                self._complain(key, path, "has a key that is not a word (key: value)")
        for merge in merges:
            for source in merge.value if isinstance(merge, yaml.SequenceNode) else [merge]:
                yield from self._merged(source, path)

    def _merged(self, source: yaml.Node, path: KeyPath) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        if not isinstance(source, yaml.MappingNode):
            self._complain(source, path, "merges something that is not a mapping (<<: *anchor of a mapping)")
        elif id(source) in self._open:
            self._complain(source, path, "contains itself by an alias (a value of its own)")
        else:
            self._open.add(id(source))
            try:
                yield from ((key, item, False) for key, item, _own in self._pairs(source, path))
            finally:
                self._open.discard(id(source))

    def _spend(self) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise _TooManyNodesError

    def _complain_of_repetition(self, key: yaml.Node, path: KeyPath, first_line: int) -> None:
        message = f"stands twice (once; it is on line {first_line} already)"
        self._document.findings.append(Finding(_mark(key), path, message, repeated=True))

    def _complain(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self._document.findings.append(Finding(_mark(node), path, message))


class _TooManyNodesError(Exception):
    pass


def _mark(node: yaml.Node) -> Mark:
    mark = node.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
