"""Templates with plain fields."""

import pytest

from depositd.config import MissingFieldError, render, render_file_name
from depositd.config.templates import template_fields


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{sample}, raw", "lyso, raw"),
        ("{{{sample}}}", "{lyso}"),
        ("{{sample}}", "{sample}"),
        ("nothing", "nothing"),
        ("", ""),
        ("{number}-{number}", "7-7"),
        ("{tricky}", "{sample}"),
    ],
)
def test_render(template: str, text: str):
    assert render(template, {"sample": "lyso", "number": 7, "tricky": "{sample}"}) == text


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    "template", ["{", "}", "{a", "a}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{ a }", "{a{b}}"]
)
def test_what_is_not_a_template(template: str):
    with pytest.raises(ValueError, match=r"\(.+\)$"):
        template_fields(template)


def test_fields_are_named_once_in_their_order():
    assert template_fields("{b} {a} {b} {{c}}") == ("b", "a")


def test_missing_fields_are_all_named():
    with pytest.raises(MissingFieldError) as caught:
        render("{a} {b} {c}", {"b": 1})
    assert caught.value.fields == ("a", "c")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("lyso_1", "lyso_1.raw data"),
        ("a/../b", "a_.._b.raw data"),
        ("..", "___raw data"),
        ("a\nb\x00\x9b", "a_b__.raw data"),
        ("a\udcff", "a_.raw data"),
        ("ä" * 300, "ä" * 100),
    ],
)
def test_file_names_are_visible_and_stay_where_they_are(value: str, name: str):
    assert render_file_name("{name}.raw data", {"name": value}) == name


def test_a_file_name_is_never_empty():
    assert render_file_name("{a}", {"a": " "}) == "_"
