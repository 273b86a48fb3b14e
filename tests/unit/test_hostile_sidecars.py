"""Sidecars that were written to stop the watch, to run something, or by accident."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.config import parse_sidecar
from depositd.config.document import read_document
from depositd.config.load import parse_config
from depositd.errors import ConfigError


def laughs(first, each):
    anchors = [f"a0: &a0 {first}"] + [
        f"a{number}: &a{number} {each.format(','.join([f'*a{number - 1}'] * 9))}" for number in range(1, 12)
    ]
    return "\n".join(anchors).encode()


REFUSED = {
    "a billion laughs": (laughs("[x]", "[{}]"), "aliases multiply to more than 5,000 values"),
    "a billion merges": (laughs("{k: v}", "{{<<: [{}]}}"), "aliases multiply to more than 5,000 values"),
    "itself": (b"a: &a {b: *a}", "contains itself by an alias"),
    "itself merged": (b"a: &a {<<: *a}", "contains itself by an alias"),
    "deep lists": (b"a: " + b"[" * 60_000, "nested more than 64 deep"),
    "deep mappings": (b"a: " + b"{b: " * 15_000, "nested more than 64 deep"),
    "deep blocks": (b"\n".join(b" " * depth + b"a:" for depth in range(350)), "nested more than 64 deep"),
    "dashes": (b"- " * 30_000, "nested more than 64 deep"),
    "a key again and again": (b"a: 1\n" * 13_000, "more than 5,000 values"),
    "a list without end": (b"a: [" + b"x," * 30_000 + b"]", "more than 5,000 values"),
    "nothing but colons": (b":" * 65_000, "a colon stands where none can"),
    "a NUL": (b"a: b\0c", r"U\+0000 cannot stand in YAML"),
    "an escape": (b"a: \x1b[2J", r"U\+001B cannot stand in YAML"),
    "an image": (b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(4096), "not UTF-8 text"),
    "UTF-16": ("a: 1".encode("utf-16"), "not UTF-8 text"),
    "Latin-1": ("a: Müller".encode("latin-1"), "not UTF-8 text"),
    "a command": (b'a: !!python/object/apply:os.system ["touch owned"]', "has a tag"),
    "an object": (b"!!python/object/new:os.system {a: 1}", "has a tag"),
    "a module": (b"a: !!python/module:this ''", "has a tag"),
    "a tag of their own": (b"a: !secret x", "has a tag"),
    "binary": (b"a: !!binary aGVsbG8=", "has a tag"),
    "a key that is a list": (b"? [a, b]\n: c", "has a key that is not a word"),
    "a key that is an attribute": (b"a.__class__: x", "'a.__class__' is not a metadata key"),
    "two documents": (b"a: 1\n---\nb: 2", "a second document begins"),
    "more than is read": (b"#" * 65_537, "larger than 65,536 bytes"),
}

TAKEN = {
    "digits without end": (b"a: " + b"9" * 60_000, "9" * 60_000),
    "sexagesimals without end": (b"a: " + b"1:" * 30_000 + b"1", "1:" * 30_000 + "1"),
    "a float beyond floats": (b"a: 1e400", "1e400"),
    "infinity": (b"a: .inf", ".inf"),
    "no date at all": (b"a: 2026-99-99", "2026-99-99"),
    "a date": (b"a: 2026-11-21T02:14:07Z", "2026-11-21T02:14:07Z"),
    "Norway": (b"a: no", "no"),
    "a byte order mark": (b"\xef\xbb\xbfa: x", "x"),
    "a template": (b'a: "{x.__class__}"', "{x.__class__}"),
    "a merge": (b"_: &m {}\n<<: *m\na: x", None),
    "an escape in quotes": (rb'a: "\e[2J\u202e\0"', "\x1b[2J\u202e\0"),
    "text without end": (b"a: " + b"x " * 30_000, ("x " * 30_000).strip()),
    "lines without end": (b'a: "' + b"\n" * 60_000 + b'"', "\n" * 59_999),
    "a comment without end": (b"a: 1 " + b"#" * 60_000, "1"),
}


def parsed_in_time(content):
    began = time.process_time()
    try:
        return parse_sidecar(content)
    finally:
        assert time.process_time() - began < 1.0


@pytest.mark.fault(13)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_sidecar_is_refused_in_a_sentence_and_in_time(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, sentence = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"^the sidecar.*{sentence}"):
        parsed_in_time(content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", TAKEN)
def test_a_value_is_text_whatever_it_looks_like(kind):
    content, text = TAKEN[kind]
    if text is None:
        with pytest.raises(ValueError, match="_ is a mapping or a list"):
            parsed_in_time(content)
    else:
        assert parsed_in_time(content)["a"] == text


@given(st.binary(max_size=300) | st.text(alphabet=" \n:-[]{}?!&*#|>%@`\"'\\,ab1<", max_size=200).map(str.encode))
def test_anything_at_all_is_values_or_a_sentence(content):
    try:
        values = parse_sidecar(content)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - it may be a sidecar as well
    else:
        assert all(isinstance(value, str) for value in values.values())


@pytest.mark.fault(13)
@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in ("UTF-16", "Latin-1", "an image")])
def test_a_hostile_config_is_refused_in_time_as_well(kind):
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse_config(REFUSED[kind][0].decode(), "c.yaml")
    assert time.process_time() - began < 5.0
    assert all(line.startswith("c.yaml:") and line.isprintable() for line in caught.value.problems)


def test_nothing_of_yaml_is_made_into_an_object():
    document = read_document("a: !!python/name:os.system\nb: !!set {x}\nc: 1.0e+400\nd: 9" + "9" * 5_000)
    assert document.data["a"] is None
    assert type(document.data["c"]).__name__ == type(document.data["d"]).__name__ == "Scalar"
