"""Sets of field paths: the algebra, by comparison with plain sets of path texts."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.sandbox.fieldsets import (
    FieldSet,
    compare,
    difference,
    fields_of,
    intersection,
    item_step,
    kind_for,
    paths,
    union,
)
from prograde.sandbox.shapes import UNTYPED, Shape

STEPS = ("f:a", "f:b", 'k:{"name":"x"}')


def trie(members: Iterable[tuple[str, ...]]) -> FieldSet:
    """Build a set from paths, each a tuple of steps, in the form that the API writes."""
    root: dict[str, Any] = {}
    for path in members:
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    return tidied(root)


def tidied(node: dict[str, Any]) -> dict[str, Any]:
    inner = {step: tidied(child) for step, child in node.items() if step != "."}
    return {".": {}, **inner} if inner and "." in node else inner


def plain(fields: FieldSet) -> set[str]:
    return set(paths(fields))


field_sets = st.sets(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3).map(tuple), max_size=6).map(trie)


@given(field_sets, field_sets)
def test_union_difference_and_intersection_are_those_of_sets(left: FieldSet, right: FieldSet) -> None:
    assert plain(union(left, right)) == plain(left) | plain(right)
    assert plain(difference(left, right)) == plain(left) - plain(right)
    assert plain(intersection(left, right)) == plain(left) & plain(right)


@given(field_sets, field_sets)
def test_equal_sets_are_written_equally(left: FieldSet, right: FieldSet) -> None:
    assert union(left, right) == union(right, left)
    assert intersection(left, right) == intersection(right, left)
    assert union(difference(left, right), intersection(left, right)) == left


@given(field_sets, field_sets)
def test_a_result_shares_but_never_changes_its_operands(left: FieldSet, right: FieldSet) -> None:
    before = (plain(left), plain(right))
    union(left, right)
    difference(left, right)
    intersection(left, right)
    assert (plain(left), plain(right)) == before


def test_paths_read_as_people_write_them() -> None:
    fields = {
        "f:spec": {
            ".": {},
            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}}},
            "f:tags": {'v:"a"': {}},
            "f:list": {"i:2": {}},
        }
    }
    assert list(paths(fields)) == [
        ".spec",
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].name',
        '.spec.tags[="a"]',
        ".spec.list[2]",
    ]


KEYED = Shape(
    {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["protocol", "port"],
        "items": {
            "type": "object",
            "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
        },
    }
)


@pytest.mark.parametrize(
    ("item", "step"),
    [
        ({"protocol": "UDP", "port": 53}, 'k:{"port":53,"protocol":"UDP"}'),
        ({"port": 53}, 'k:{"port":53,"protocol":"TCP"}'),
        ("no object", None),
    ],
)
def test_the_keys_of_an_item_are_sorted_and_filled_in(item: Any, step: str | None) -> None:
    assert item_step(item, KEYED) == step


@pytest.mark.parametrize(
    ("value", "raw", "kind"),
    [
        ({}, {"type": "object"}, "map"),
        ({}, {"type": "object", "x-kubernetes-map-type": "atomic"}, "leaf"),
        ({}, {"type": "string"}, "leaf"),
        ([], {"type": "array"}, "leaf"),
        ([], {"type": "array", "x-kubernetes-list-type": "set"}, "list-set"),
        ({}, {"type": "array", "x-kubernetes-list-type": "set"}, "leaf"),
        (1, {"x-kubernetes-int-or-string": True}, "leaf"),
        ({}, None, "map"),
        ([], None, "leaf"),
    ],
)
def test_how_a_value_merges_follows_from_its_schema(value: Any, raw: Any, kind: str) -> None:
    assert kind_for(value, Shape(raw)) == kind


json_objects = st.recursive(
    st.integers(0, 2) | st.text("ab", max_size=1),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), json_objects, max_size=3)


@given(documents)
def test_nothing_differs_from_itself(document: Any) -> None:
    assert compare(document, document, UNTYPED) == ({}, {})


@given(documents, documents)
def test_changed_paths_are_in_the_new_value_and_removed_ones_are_not(old: Any, new: Any) -> None:
    changed, removed = compare(old, new, UNTYPED)
    everything = plain(fields_of(new, UNTYPED, marks_containers=True))
    assert plain(changed) <= everything
    assert not plain(removed) & everything


def test_schemas_that_allow_other_members_say_how_those_merge() -> None:
    labels = Shape({"type": "object", "additionalProperties": {"type": "string"}})
    assert labels.member("any") is labels.member("other")
    assert not labels.declares("any")
    closed = Shape({"type": "object", "properties": {"a": {"type": "string"}}})
    assert closed.member("a") is closed.member("a")
    assert closed.declares("a")
    assert closed.member("b") is None
    assert Shape({"type": "object", "additionalProperties": True}).member("b") is UNTYPED
    assert Shape({"type": "object", "x-kubernetes-preserve-unknown-fields": True}).member("b") is UNTYPED
