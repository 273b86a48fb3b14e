"""Which metadata a delivery carries."""

import pytest

from depositd.config import MetadataRules, parse_assignments, parse_sidecar, resolve

EXTRA = {"name": "lyso_1", "format": "frames", "rule": "pilatus", "date": "2026-11-21"}
RULES = MetadataRules(
    path=r"(?P<proposal>mx\d+)/(?P<sample>[^/]+)/",
    set={"project_title": "{sample}, raw diffraction data", "detector": "{detector} of {rule}"},
)


def resolved(rules=RULES, path="mx1/lyso/a.cbf", header=None, delivery=None, sidecar=None, operator=None):
    return resolve(header or {}, path, rules, delivery or {}, sidecar or {}, operator or {}, EXTRA)


def test_later_beats_earlier_layer_by_layer():
    layers = {
        "header": {"key": "header"},
        "path": "mx1/path/",
        "rules": MetadataRules(path="mx1/(?P<key>[^/]+)", set={"key": "set"}),
        "delivery": {"key": "delivery"},
        "sidecar": {"key": "sidecar"},
        "operator": {"key": "operator"},
    }
    found = [resolved(**layers).values["key"]]
    for layer in ("operator", "sidecar", "delivery"):
        del layers[layer]
        found.append(resolved(**layers).values["key"])
    layers["rules"] = MetadataRules(path=layers["rules"].path)
    found.append(resolved(**layers).values["key"])
    layers["rules"] = MetadataRules()
    found.append(resolved(**layers).values["key"])
    assert found == ["operator", "sidecar", "delivery", "set", "path", "header"]


def test_templates_see_header_path_and_the_names_of_things():
    result = resolved(header={"detector": "Pilatus 6M"}, delivery={"note": "{project_title} ({date})"})
    assert result.values == {
        "detector": "Pilatus 6M of pilatus",
        "proposal": "mx1",
        "sample": "lyso",
        "project_title": "lyso, raw diffraction data",
        "note": "lyso, raw diffraction data (2026-11-21)",
    }
    assert result.problems == ()


def test_names_of_things_are_no_metadata():
    assert resolved(rules=MetadataRules()).values == {}


def test_templates_of_one_layer_do_not_see_each_other():
    (problem,) = resolved(rules=MetadataRules(set={"a": "x", "b": "{a}"})).problems
    assert problem.what == "b needs {a}, which nothing gives"


def test_a_missing_field_leaves_its_key_out_and_says_why():
    result = resolved(path="elsewhere/a.cbf", header={"detector": "Eiger", "project_title": "from the header"})
    assert result.values == {"detector": "Eiger of pilatus"}
    (problem,) = result.problems
    assert problem.where == "metadata.set.project_title"
    assert problem.what == (
        "project_title needs {sample}, which nothing gives; metadata.path does not match elsewhere/a.cbf"
    )
    assert problem.hint == "give it with release --set project_title=…, or in the sidecar"


@pytest.mark.parametrize("layer", ["delivery", "sidecar", "operator"])
def test_a_later_layer_makes_a_missing_field_harmless(layer: str):
    result = resolved(path="x", header={"detector": "Eiger"}, **{layer: {"project_title": "given"}})
    assert result.values["project_title"] == "given"
    assert result.problems == ()


def test_a_delivery_that_lacks_a_field_does_not_fall_back():
    result = resolved(rules=MetadataRules(set={"a": "set"}), delivery={"a": "{nothing}"})
    assert result.values == {}
    assert result.problems[0].where == "deliver.metadata.a"


def test_groups_that_took_no_part_are_no_metadata():
    rules = MetadataRules(path=r"(?P<a>x)|(?P<b>y)|(?P<c>)")
    assert resolved(rules=rules, path="y").values == {"b": "y"}


def test_a_path_that_is_not_utf_8_is_not_sent_to_anyone():
    result = resolved(path="mx1/lys\udcff/", header={"detector": "d"})
    assert result.values == {"proposal": "mx1", "detector": "d of pilatus"}
    assert result.problems[0].what.endswith("sample in the path is not UTF-8")


def test_a_path_without_end_is_not_searched():
    result = resolved(path="mx1/lyso/" + "x" * 4096, header={"detector": "d"})
    assert result.problems[-1].what == "was not tried: the path has more than 4,096 characters"


def test_a_value_that_looks_like_a_template_is_only_a_value():
    result = resolved(header={"detector": "{name}"}, operator={"x": "{name}"})
    assert result.values["detector"] == "{name} of pilatus"
    assert result.values["x"] == "{name}"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"pdb_code: 6E23\n", {"pdb_code": "6E23"}),
        (b"pdb_code: 1E10\nother: 0123\n", {"pdb_code": "1E10", "other": "0123"}),
        (b"date: 2026-11-21\ntime: 2026-11-21 02:14:07\n", {"date": "2026-11-21", "time": "2026-11-21 02:14:07"}),
        (b"flag: yes\nwavelength: 0.9790\n", {"flag": "yes", "wavelength": "0.9790"}),
        (b"title: |\n  two\n  lines\n", {"title": "two\nlines\n"}),
        (b"pdb_code:\ntitle: x\n", {"title": "x"}),
        (b"\xef\xbb\xbfa: \xc3\xa4\r\n", {"a": "ä"}),
        (b"", {}),
        (b"# to be filled in\n", {}),
    ],
)
def test_a_sidecar_gives_text_as_it_was_written(content: bytes, values: dict[str, str]):
    assert parse_sidecar(content) == values


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: [1]", "the sidecar, line 1: a is a mapping or a list (one value)"),
        (b"b: 1\na: {x: 1}", "the sidecar, line 2: a is a mapping or a list (one value)"),
        (b"- a", "the sidecar is not a mapping of keys to values (such as pdb_code: 1ABC)"),
        (b"just text", "the sidecar is not a mapping of keys to values (such as pdb_code: 1ABC)"),
        (b"a: 1\na: 2", "the sidecar, line 2: stands twice (once; it is on line 1 already)"),
        (b"a b: 1", "the sidecar, line 1: 'a b' is not a metadata key"),
        (b"a: !!python/name:os.system", "the sidecar, line 1: has a tag (quotes around a value that begins with !)"),
        (b"a: \xff", "the sidecar is not UTF-8 text"),
        (b"\ta: 1", "the sidecar, line 1: a tab cannot indent or stand here (spaces)"),
        (b"#" * 65_537, "the sidecar is larger than 65,536 bytes"),
    ],
)
def test_what_is_not_a_sidecar(content: bytes, sentence: str):
    with pytest.raises(ValueError) as caught:
        parse_sidecar(content)
    assert str(caught.value) == sentence


def test_assignments():
    assert parse_assignments([]) == {}
    assert parse_assignments(["pdb_code=6E23", "title = a=b "]) == {"pdb_code": "6E23", "title": "a=b"}


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (["pdb_code"], "'pdb_code' is not an assignment (key=value, such as pdb_code=1ABC)"),
        (["=1"], "'=1' is not an assignment (key=value, such as pdb_code=1ABC)"),
        (["a b=1"], "'a b=1' is not an assignment (key=value, such as pdb_code=1ABC)"),
        (["a="], "'a=' gives no value (key=value, such as pdb_code=1ABC)"),
        (["a=1", "a=2"], "a is given twice (once)"),
    ],
)
def test_what_is_not_an_assignment(assignments: list[str], sentence: str):
    with pytest.raises(ValueError) as caught:
        parse_assignments(assignments)
    assert str(caught.value) == sentence
