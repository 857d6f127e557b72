"""Patches of all three types, against the worked cases of their standards and of the API server's own habits."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.jsonvalues import json_equal
from prograde.kube.patches import (
    JSON_PATCH_OPERATIONS_MAX,
    PatchError,
    json_patch,
    merge_patch,
    strategic_merge_patch,
)

scalars = st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab/~$", max_size=3)
without_nulls = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc/~", max_size=2), without_nulls, max_size=4)


# ---------------------------------------------------------------------------------------------------- JSON Patch


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        pytest.param({"a": 1}, [], {"a": 1}, id="nothing to do"),
        pytest.param({}, [{"op": "add", "path": "/a", "value": None}], {"a": None}, id="add null"),
        pytest.param({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}, id="add replaces a member"),
        pytest.param([1, 3], [{"op": "add", "path": "/1", "value": 2}], [1, 2, 3], id="add inserts"),
        pytest.param([1], [{"op": "add", "path": "/1", "value": 2}], [1, 2], id="add at the end by index"),
        pytest.param([1], [{"op": "add", "path": "/-", "value": 2}], [1, 2], id="add at the end by dash"),
        pytest.param({"a": 1}, [{"op": "add", "path": "", "value": [1]}], [1], id="add the whole document"),
        pytest.param({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}, id="the empty member name"),
        pytest.param({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}], {"m~n": 2}, id="escaped slash"),
        pytest.param({"~1": 1}, [{"op": "replace", "path": "/~01", "value": 2}], {"~1": 2}, id="escaped tilde first"),
        pytest.param([1, 2, 3], [{"op": "remove", "path": "/1"}], [1, 3], id="remove an item"),
        pytest.param({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}, id="move"),
        pytest.param([1, 2, 3], [{"op": "move", "from": "/0", "path": "/2"}], [2, 3, 1], id="move within a list"),
        pytest.param({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}, id="move onto itself"),
        pytest.param({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}, id="copy"),
        pytest.param({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}, id="numbers test by value"),
        pytest.param({}, [{"op": "test", "path": "/a", "value": None}], {}, id="absent tests as null"),
    ],
)
def test_json_patch_yields_the_document_of_the_standard(document: Any, operations: Any, expected: Any) -> None:
    assert json_patch(document, operations) == expected


@pytest.mark.parametrize(
    ("document", "operations", "kind"),
    [
        pytest.param({}, {"op": "add"}, "malformed", id="not a list"),
        pytest.param({}, ["add"], "malformed", id="operation is not an object"),
        pytest.param({}, [{"op": "add", "path": "a", "value": 1}], "malformed", id="path without slash"),
        pytest.param({}, [{"op": "add", "value": 1}], "malformed", id="path missing"),
        pytest.param({}, [{"op": "add", "path": "/a"}], "malformed", id="value missing"),
        pytest.param({}, [{"op": "merge", "path": "/a", "value": 1}], "malformed", id="unknown op"),
        pytest.param({"a": {}}, [{"op": "move", "from": "/a", "path": "/a/b"}], "malformed", id="move into child"),
        pytest.param({}, [{"op": "replace", "path": "/a", "value": 1}], "missing-path", id="replace missing"),
        pytest.param({}, [{"op": "remove", "path": "/a"}], "missing-path", id="remove missing"),
        pytest.param({}, [{"op": "add", "path": "/a/b", "value": 1}], "missing-path", id="add without a parent"),
        pytest.param({"a": 1}, [{"op": "add", "path": "/a/b", "value": 1}], "missing-path", id="add below a scalar"),
        pytest.param({"a": 1}, [{"op": "remove", "path": "/a/b"}], "missing-path", id="remove below a scalar"),
        pytest.param([1], [{"op": "add", "path": "/2", "value": 1}], "missing-path", id="index past the end"),
        pytest.param([1], [{"op": "replace", "path": "/1", "value": 1}], "missing-path", id="replace at the end"),
        pytest.param([1], [{"op": "replace", "path": "/-", "value": 1}], "missing-path", id="replace at dash"),
        pytest.param([1, 2], [{"op": "remove", "path": "/01"}], "missing-path", id="index with leading zero"),
        pytest.param([1, 2], [{"op": "remove", "path": "/-1"}], "missing-path", id="negative index"),
        pytest.param({}, [{"op": "copy", "from": "/a", "path": "/b"}], "missing-path", id="copy from nowhere"),
        pytest.param({"a": 1}, [{"op": "test", "path": "/a", "value": True}], "test-failed", id="true is not 1"),
        pytest.param({}, [{"op": "test", "path": "/a/b", "value": 1}], "test-failed", id="test of an absent path"),
        pytest.param(
            {}, [{"op": "test", "path": "", "value": {}}] * (JSON_PATCH_OPERATIONS_MAX + 1), "malformed", id="too long"
        ),
    ],
)
def test_json_patch_that_cannot_apply_says_of_which_kind_the_failure_is(
    document: Any, operations: Any, kind: str
) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch(document, operations)
    assert caught.value.kind == kind


def test_json_patch_leaves_its_inputs_alone_even_when_it_fails_half_way() -> None:
    document = {"a": [1, {"b": 2}]}
    operations = [
        {"op": "add", "path": "/a/1/c", "value": {"d": 1}},
        {"op": "replace", "path": "/a/1/c/d", "value": 2},
        {"op": "remove", "path": "/nowhere"},
    ]
    before = copy.deepcopy((document, operations))
    with pytest.raises(PatchError):
        json_patch(document, operations)
    assert (document, operations) == before


# --------------------------------------------------------------------------------------------------- merge patch


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_merge_patch_follows_the_table_of_the_standard(document: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(document, patch) == expected


@given(objects, objects)
def test_merging_is_idempotent_and_leaves_its_inputs_alone(document: Any, patch: Any) -> None:
    before = copy.deepcopy((document, patch))
    once = merge_patch(document, patch)
    assert json_equal(merge_patch(once, patch), once)
    assert (document, patch) == before


# ----------------------------------------------------------------------------------------------- strategic merge


def pod(*containers: Any, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        pytest.param(
            pod({"name": "a", "image": "1", "tty": True}, {"name": "b"}),
            pod({"name": "a", "image": "2", "tty": None}),
            pod({"name": "a", "image": "2"}, {"name": "b"}),
            id="items merge by key, null deletes inside",
        ),
        pytest.param(
            pod({"name": "a"}), pod({"name": "b", "tty": None}), pod({"name": "a"}, {"name": "b"}), id="new is appended"
        ),
        pytest.param(
            pod({"name": "a"}, {"name": "b"}),
            pod({"name": "a", "$patch": "delete"}),
            pod({"name": "b"}),
            id="delete an item",
        ),
        pytest.param(
            pod({"name": "a"}, {"name": "b"}),
            pod({"name": "c"}, {"$patch": "replace"}),
            pod({"name": "c"}),
            id="replace a keyed list",
        ),
        pytest.param(
            pod({"name": "a", "image": "1", "tty": True}),
            pod({"name": "a", "$patch": "merge", "image": "2"}),
            pod({"name": "a", "image": "2", "tty": True}),
            id="the merge directive is the default",
        ),
        pytest.param(
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
            id="retain keys drops the rest",
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"a": "1"}}},
            {"spec": {"nodeSelector": {"$patch": "replace", "b": "2"}}},
            {"spec": {"nodeSelector": {"b": "2"}}},
            id="replace a map",
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"a": "1"}}},
            {"spec": {"nodeSelector": {"$patch": "delete"}}},
            {"spec": {"nodeSelector": {}}},
            id="delete a map's content",
        ),
        pytest.param(
            pod({"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81}]}),
            pod({"name": "a", "ports": [{"containerPort": 81, "name": "x"}]}),
            pod({"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "x"}]}),
            id="container ports merge by containerPort",
        ),
        pytest.param(
            {"spec": {"ports": [{"port": 80, "targetPort": 1}, {"port": 443}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": 2}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": 2}, {"port": 443}]}},
            id="service ports merge by port",
        ),
        pytest.param(
            {"ports": [{"port": 80}]},
            {"ports": [{"port": 81}]},
            {"ports": [{"port": 81}]},
            id="ports of an EndpointSlice are replaced",
        ),
        pytest.param(
            pod({"name": "a", "command": ["x", "y"]}, tolerations=[{"key": "k"}]),
            pod({"name": "a", "command": ["z"]}, tolerations=[{"key": "l"}]),
            pod({"name": "a", "command": ["z"]}, tolerations=[{"key": "l"}]),
            id="other lists are replaced",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "gate", "status": "False"}]}},
            {"status": {"conditions": [{"type": "gate", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "gate", "status": "True"}]}},
            id="conditions merge by type",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            id="finalizers are a set",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            id="delete from a set",
        ),
        pytest.param(
            pod({"name": "a"}, {"name": "b"}, {"name": "server-only"}, {"name": "c"}),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "new"}, {"name": "a"}, {"name": "b"}],
                    "containers": [{"name": "new", "image": "1"}],
                }
            },
            pod({"name": "server-only"}, {"name": "c"}, {"name": "new", "image": "1"}, {"name": "a"}, {"name": "b"}),
            id="element order sorts what it names",
        ),
        pytest.param(
            pod({"name": "a"}, {"name": "b"}),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            pod({"name": "b"}, {"name": "a"}),
            id="element order alone",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["c", "b", "a"]}},
            id="element order of a set",
        ),
        pytest.param({"data": {"$x": "1"}}, {"data": {"$y": "2"}}, {"data": {"$x": "1", "$y": "2"}}, id="dollar keys"),
        pytest.param({"spec": {"a": 1}}, {"spec": None}, {}, id="null deletes a member"),
        pytest.param({}, {"spec": {"a": None, "b": {"c": None}}}, {"spec": {"b": {}}}, id="nulls never get stored"),
        pytest.param({"spec": 1}, {"spec": {"containers": "x"}}, {"spec": {"containers": "x"}}, id="types may change"),
    ],
)
def test_strategic_merge_yields_what_the_api_server_stores(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((document, patch))
    assert strategic_merge_patch(document, patch) == expected
    assert (document, patch) == before


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param([], id="not an object"),
        pytest.param({"spec": {"$patch": "explode"}}, id="unknown directive"),
        pytest.param(pod({"image": "x"}), id="item without its key"),
        pytest.param({"spec": {"$retainKeys": "type"}}, id="retain keys is no list"),
        pytest.param({"spec": {"$setElementOrder/containers": "a", "containers": [{"name": "a"}]}}, id="order no list"),
    ],
)
def test_a_malformed_strategic_merge_patch_is_refused(patch: Any) -> None:
    with pytest.raises(PatchError) as caught:
        strategic_merge_patch(pod({"name": "a"}), patch)
    assert caught.value.kind == "malformed"


@given(objects, objects)
def test_without_directives_and_keyed_lists_strategic_merge_equals_merge_patch(document: Any, patch: Any) -> None:
    assert json_equal(strategic_merge_patch(document, patch), merge_patch(document, patch))
