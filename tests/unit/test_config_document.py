"""YAML with positions: what stands where, and what is refused."""

# ruff: noqa: E501  a case is a line: what is written, and what is said of it

import pytest

from depositd.config.document import Mark, Scalar, read_document, show_path


def messages(text: str) -> list[str]:
    return [finding.line("f") for finding in read_document(text).findings]


def test_every_key_and_value_has_its_place():
    document = read_document("a: x\nb:\n  - ü: {c: 1}\n")
    assert document.data == {"a": "x", "b": [{"ü": {"c": Scalar("1", "int")}}]}
    assert document.keys["b", 0, "ü"] == Mark(3, 5)
    assert document.values["b", 0, "ü", "c"] == Mark(3, 12)
    assert document.findings == []


@pytest.mark.parametrize("text", ["6E23", "0123", "1_000", "off", "Yes", "2026-11-21", "1:30", "0x1F", "1.50", ".inf"])
def test_what_yaml_takes_for_something_else_keeps_its_text(text: str):
    value = read_document(f"a: {text}").data["a"]
    assert getattr(value, "text", value) == text


def test_quotes_and_an_explicit_tag_make_text():
    assert read_document("a: '1'\nb: !!str 1").data == {"a": "1", "b": "1"}


def test_anchors_aliases_and_merge_keys():
    document = read_document("a: &a {x: p, y: q}\nb: {<<: *a, y: r}\nc: *a\nd: {<<: [{x: s}, *a]}\n")
    assert document.data["b"] == {"x": "p", "y": "r"}
    assert document.data["c"] == {"x": "p", "y": "q"}
    assert document.data["d"] == {"x": "s", "y": "q"}
    assert document.values["b", "x"] == Mark(1, 11)
    assert document.findings == []


@pytest.mark.parametrize(("occurrence", "value", "line"), [(0, "1", 1), (1, "2", 2), (2, "3", 3), (9, "3", 3)])
def test_any_value_of_a_repeated_key_can_be_taken(occurrence: int, value: str, line: int):
    document = read_document("a: {b: '1'}\na: {b: '2'}\na: {b: '3'}", occurrence=occurrence)
    assert document.data == {"a": {"b": value}}
    assert (document.keys["a",], document.values["a", "b"]) == (Mark(line, 1), Mark(line, 8))
    assert document.occurrences == 3
    assert [finding.mark.line for finding in document.findings] == [2, 3]


def test_a_nested_merge_is_followed():
    assert read_document("a: &a {x: p}\nb: &b {<<: *a, y: q}\nc: {<<: *b}").data["c"] == {"y": "q", "x": "p"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1:1: document: is empty (keys and values in YAML)"),
        ("# nothing\n", "1:1: document: is empty (keys and values in YAML)"),
        ("a: 1\na: 2", "2:1: a: stands twice (once; it is on line 1 already)"),
        ("a:\n\tb: 1", "2:1: document: a tab cannot indent or stand here (spaces)"),
        ("a: 1\n b: 2", "2:3: document: a colon stands where none can (quotes around a value that contains ': ')"),
        ("a:\n  - b\n - c", "3:2: document: this line's indentation fits no line above it (as many spaces as its neighbours)"),
        ("a: b\nfoo\nc: d", "3:1: document: a key without its colon (key: value)"),
        ("a: [b", "1:6: document: a bracket or brace is not closed, or a comma is missing (, ] or })"),
        ("a: {b: c]", "1:9: document: a bracket or brace is not closed, or a comma is missing (, ] or })"),
        ('a: "b', "1:6: document: a quote is opened and never closed (the closing quote)"),
        ('a: "\\q"', "1:6: document: an escape that YAML does not know (single quotes around a text with backslashes)"),
        ("a: %b", "1:4: document: this character cannot begin a value (quotes around the value)"),
        ("a: *b", "1:4: document: an alias that no anchor defines (quotes around a value that begins with *)"),
        ("a: &x 1\nb: &x 2", "2:4: document: an anchor that is defined twice (another name after &)"),
        ("a: * b", "1:5: document: a name must follow * or & (quotes around a value that begins with one)"),
        ("a: 1\n---\nb: 2", "2:1: document: a second document begins (one document, without ---)"),
        ("a: \x07", "1:4: document: the character U+0007 cannot stand in YAML (remove it)"),
        ("ok: 1\na: b\x00", "2:5: document: the character U+0000 cannot stand in YAML (remove it)"),
        ("a: !!python/object/apply:os.system [x]", "1:4: a: has a tag (a plain list)"),
        ("a: !!python/name:os.system", "1:4: a: has a tag (quotes around a value that begins with !)"),
        ("a: !!set {b}", "1:4: a: has a tag (a plain mapping)"),
        ("a: !!binary aGk=", "1:4: a: has a tag (quotes around a value that begins with !)"),
        ("? [a]\n: b", "1:3: document: has a key that is not a word (key: value)"),
        ("a:", "1:3: a: is empty (a value, or leave the key out)"),
        ("a: ~", "1:4: a: is empty (a value, or leave the key out)"),
        ("a: &a\n  b: *a", "1:4: a.b: contains itself by an alias (a value of its own)"),
        ("a: &a\n  <<: *a", "1:4: a: contains itself by an alias (a value of its own)"),
        ("a: {<<: 5}", "1:9: a: merges something that is not a mapping (<<: *anchor of a mapping)"),
        ("a: |x\n b", "1:5: document: this is not YAML: expected chomping or indentation indicators, but found 'x' (key: value)"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_place(text: str, line: str):
    found = messages(text)
    assert found[0] == f"f:{line}"


def test_all_that_can_be_known_is_told():
    assert messages("a: 1\na: 2\nb:\nb: ~\nc: !x y") == [
        "f:2:1: a: stands twice (once; it is on line 1 already)",
        "f:3:3: b: is empty (a value, or leave the key out)",
        "f:4:1: b: stands twice (once; it is on line 3 already)",
        "f:5:4: c: has a tag (quotes around a value that begins with !)",
    ]


def bomb(levels: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("levels", [5, 30])
def test_aliases_cannot_multiply_without_end(levels: int):
    assert messages(bomb(levels)) == [
        "f:1:1: document: aliases multiply to more than 50,000 values (fewer aliases of aliases)"
    ]


def test_merges_cannot_multiply_without_end():
    lines = ["m0: &m0 {a: x}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert "aliases multiply" in messages("\n".join(lines))[0]


def test_depth_number_and_size_are_bounded():
    assert messages("[" * 10_000) == ["f:1:64: document: values are nested more than 64 deep (flatter)"]
    assert "more than 50,000 values" in messages("[" + "a," * 50_001 + "]")[0]
    assert messages("#" * (2**20 + 1)) == ["f:1:1: document: has 1,048,577 characters (at most 1,048,576)"]


def test_paths_are_shown_as_people_write_them():
    assert show_path(("rules", 0, "settle")) == "rules[0].settle"
    assert show_path(("destinations", "a\nb", "url")) == "destinations.a\\nb.url"
    assert show_path(("destinations", "qc", "token", "hunter2")) == "destinations.qc.token"
    assert show_path(("destinations", "qc", "token", 0, "file")) == "destinations.qc.token"
    assert show_path(("destinations", "qc", "token", "fille", "hunter2")) == "destinations.qc.token.fille"
    assert show_path(()) == "document"
