"""Manifests: the YAML dialect of Kubernetes, JSON, lines in errors, and YAML out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.manifests import ManifestError, check_fields, decode_document, dump_yaml, load_documents
from prograde.api.rollout import Rollout


def value_of(text: str):
    (document,) = load_documents(text)
    return document.value


# --- Scalars --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("Yes", True), ("YES", True), ("y", True), ("Y", True), ("on", True), ("On", True),
        ("true", True), ("True", True), ("TRUE", True), ("no", False), ("n", False), ("N", False), ("off", False),
        ("OFF", False), ("false", False), ("tRue", "tRue"), ("yEs", "yEs"),
        ("null", None), ("~", None), ("Null", None), ("nil", "nil"),
        ("1", 1), ("+1", 1), ("-1", -1), ("0", 0), ("1_000", 1000), ("0644", 420), ("0o17", 15), ("0x1F", 31),
        ("-0x10", -16), ("0b101", 5), ("08", 8), ("09.5", 9.5),
        ("1e3", 1000), ("1E3", 1000), ("1e+3", 1000), ("1.5e3", 1500), ("1e-2", 0.01), ("1.0", 1), ("1.50", 1.5),
        (".5", 0.5), ("1.", 1), ("1e21", 1e21), ("123456789012345678901234567890", 1.2345678901234568e29),
        ("18446744073709551615", 18446744073709551615),
        ("2001-12-14", "2001-12-14"), ("2001-12-14T21:59:43.10-05:00", "2001-12-14T21:59:43.10-05:00"),
        ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("1.2.3", "1.2.3"), ("0.15.1", "0.15.1"), ("e3", "e3"),
        ("0x", "0x"), ("1e", "1e"), ("+", "+"), (".", "."), ("=", "="), ("1k", "1k"), ("8192M", "8192M"),
        ("100m", "100m"), ("50%", "50%"), ("1" * 400, "1" * 400), ("٣", "٣"),
        ('"1"', "1"), ("'yes'", "yes"), ("|\n  1", "1"), ("!!str 1", "1"), ("!!str yes", "yes"), ("!!int '3'", 3),
        ("!!float 1", 1), ("!!bool 'yes'", True), ("!!null ''", None), ("!custom 5", "5"), ("!!binary aGk=", "hi"),
        ("!!timestamp 2001-12-14", "2001-12-14"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_it_means_to_kubernetes(text, value):
    assert value_of(f"a: {text}")["a"] == value
    assert type(value_of(f"a: {text}")["a"]) is type(value)


def test_keys_are_text():
    assert value_of("{on: 1, 1: 2, 1.5: 3, null: 4, yes-no: 5}") == {
        "true": 1,
        "1": 2,
        "1.5": 3,
        "null": 4,
        "yes-no": 5,
    }


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan", "!!int x", "!!bool 3", "!!binary '*'"])
def test_a_scalar_without_json_form_is_an_error(text):
    with pytest.raises(ManifestError) as caught:
        load_documents(f"\na: {text}", "f.yaml")
    assert str(caught.value).startswith("f.yaml:2: ")


# --- Structure ------------------------------------------------------------------------------------------------


def test_several_documents_are_read_and_empty_ones_left_out():
    documents = load_documents("# nothing\n---\na: 1\n---\n---\nnull\n---\n- b\n...\n", "f.yaml")
    assert [(document.value, document.line, document.source) for document in documents] == [
        ({"a": 1}, 3, "f.yaml"),
        (["b"], 8, "f.yaml"),
    ]


@pytest.mark.parametrize("text", ["", "---", "# only a comment", "\n\n", "\ufeff", "null"])
def test_a_manifest_without_documents_is_empty(text):
    assert load_documents(text.encode()) == []


def test_anchors_and_merges():
    text = "base: &b {q: 1, r: [2]}\na: {<<: *b, r: 3}\nb: {r: 4, <<: *b}\nc: {<<: [{q: 9, z: 1}, *b]}\nd: *b"
    assert value_of(text) == {
        "base": {"q": 1, "r": [2]},
        "a": {"q": 1, "r": 3},
        "b": {"q": 1, "r": 4},
        "c": {"q": 9, "z": 1, "r": [2]},
        "d": {"q": 1, "r": [2]},
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [1,\n", 2, "did not find expected node content"),
        ("a: 1\n\tb: 2", 2, "a tab character that violates indentation"),
        ("a: b: c", 1, "mapping values are not allowed in this context"),
        ("ok: 1\n---\n'open", 3, "unexpected end of stream"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: &x\n  b: *x", 1, "containing itself"),
        ("? [a]\n: 1", 1, "a list or a map cannot be a key"),
        ("a: {<<: 5}", 1, "map merge requires a map"),
        ("a: \x01", 1, "control characters are not allowed"),
        ("[" * 5000, 1, "exceeded maximum nesting depth"),
        ("- " * 5000, 1, "exceeded maximum nesting depth"),
    ],
)
def test_malformed_yaml_is_an_error_with_file_and_line(text, line, message):
    with pytest.raises(ManifestError) as caught:
        load_documents(text, "cart.yaml")
    assert str(caught.value).startswith(f"cart.yaml:{line}: ")
    assert message in caught.value.message


def test_text_that_is_not_utf_8_is_an_error_with_its_line():
    with pytest.raises(ManifestError, match=r"f\.yaml:2: not UTF-8 text"):
        load_documents(b"a: 1\nb: \xff\n", "f.yaml")


def test_aliases_that_multiply_without_end_are_an_error():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(ManifestError, match="aliases resolved"):
        load_documents(text)


# --- JSON -----------------------------------------------------------------------------------------------------


def test_json_documents_may_follow_each_other():
    documents = load_documents('{"a": 1}\n\n {"b": "\\ud83d\\ude00\\/"} null [1]', "f.json")
    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 1), ({"b": "😀/"}, 3), ([1], 3)]


def test_flow_style_yaml_that_begins_like_json_is_read_as_yaml():
    assert value_of("{a: yes}") == {"a": True}
    assert value_of("[a, b]") == ["a", "b"]


def test_json_may_be_indented_with_tabs():
    assert value_of('{\n\t"a": 1\n}') == {"a": 1}


def test_numbers_that_are_not_json_are_errors():
    with pytest.raises(ManifestError):
        load_documents('{"a": .NaN}')
    assert value_of('{"a": NaN}') == {"a": "NaN"}


# --- Strict reading -------------------------------------------------------------------------------------------

BROKEN = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: cart
spec:
  replicas: "3"
  replica: 3
  minReadySeconds: 1
  minReadySeconds: 2
  strategy:
    canary:
      steps:
      - setWeight: 5
      - setweight: 20
        pause: {duration: 10s, until: noon}
      trafficRouting:
        plugins:
          example/router: {anything: [goes]}
  template:
    anything: goes
status:
  phaze: x
"""


def test_strict_reading_names_every_bad_field_with_its_line():
    (document,) = load_documents(BROKEN, "cart.yaml")
    assert [str(problem) for problem in check_fields(document, Rollout)] == [
        "line 6: spec.replicas: expected int, got str",
        'line 7: spec.replica: unknown field "replica"',
        'line 9: spec.minReadySeconds: duplicate field "minReadySeconds"',
        'line 14: spec.strategy.canary.steps[1].setweight: unknown field "setweight"',
        'line 15: spec.strategy.canary.steps[1].pause.until: unknown field "until"',
        'line 22: status.phaze: unknown field "phaze"',
    ]


def test_a_document_is_decoded_with_its_problems_and_the_last_duplicate_counts():
    (document,) = load_documents(BROKEN)
    obj, problems = decode_document(document, Rollout)
    assert obj.spec.min_ready_seconds == 2
    assert [problem.path for problem in problems] == ["spec.replicas"]


def test_duplicates_in_json_are_reported():
    (document,) = load_documents('{"spec": {"replicas": 1, "replicas": 2}}')
    assert [problem.message for problem in check_fields(document, Rollout)] == ['duplicate field "replicas"']


def test_a_document_that_is_no_object_cannot_be_decoded():
    (document,) = load_documents("- 1", "f.yaml")
    with pytest.raises(ManifestError, match=r"f\.yaml:1: not the JSON of a Rollout"):
        decode_document(document, Rollout)


def test_the_line_of_a_path_that_does_not_exist_is_that_of_its_innermost_part():
    (document,) = load_documents("a:\n  b:\n  - x\n  - y: 1\n")
    assert document.line_of(("a", "b", 1, "y")) == 4
    assert document.line_of(("a", "b", 7)) == 2
    assert document.line_of(("nowhere",)) == 1


# --- Writing --------------------------------------------------------------------------------------------------

ODD_TEXTS = [
    "yes",
    "y",
    "1e3",
    "0644",
    "1:30",
    "2001-12-14",
    "~",
    "=",
    "<<",
    "",
    " x ",
    "a: b",
    "# c",
    "a\nb\n",
    "|",
    "1_0",
]
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))) | st.sampled_from(ODD_TEXTS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-/.1", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), json_values, min_size=1))
def test_written_yaml_reads_back_the_same(value):
    assert value_of(dump_yaml(value)) == value


def test_written_yaml_is_sorted_blocks_with_multi_line_texts_as_they_are():
    value = {"b": [{"x": 1, "a": None}], "a": "line 1\nline 2\n", "c": {}, "d": "yes", "e": "1e3"}
    assert dump_yaml(value) == ("a: |\n  line 1\n  line 2\nb:\n- a: null\n  x: 1\nc: {}\nd: 'yes'\ne: '1e3'\n")


def test_shared_values_are_written_out_and_long_lines_not_folded():
    shared = {"k": "word " * 100}
    assert "*" not in dump_yaml([shared, shared])
    assert len(dump_yaml(shared).splitlines()) == 1
