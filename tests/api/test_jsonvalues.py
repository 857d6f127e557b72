import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.jsonvalues import json_equal, merge_patch_between
from prograde.kube.patches import merge_patch

scalars = st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab/~$", max_size=3)
without_nulls = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc/~", max_size=2), without_nulls, max_size=4)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, None, True),
        (None, 0, False),
        ({"a": [1, {"b": 2}]}, {"a": [1.0, {"b": 2}]}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ([True], [1], False),
        ({"a": 1}, [1], False),
    ],
)
def test_values_compare_as_json(left: Any, right: Any, expected: bool) -> None:
    assert json_equal(left, right) is expected


@given(objects, objects)
def test_the_patch_between_two_documents_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    assert json_equal(merge_patch(old, merge_patch_between(old, new)), new)


@given(objects)
def test_there_is_no_patch_between_equal_documents(document: Any) -> None:
    assert merge_patch_between(document, copy.deepcopy(document)) == {}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"a": 1}, {"a": 1}, {}, id="the same"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="changed"),
        pytest.param({"a": 1}, {}, {"a": None}, id="gone"),
        pytest.param({}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="new object"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="gone within an object"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1}}, {}, id="the same object"),
        pytest.param({"a": [1, 2]}, {"a": [2]}, {"a": [2]}, id="lists are replaced whole"),
        pytest.param({"a": 1}, {"a": True}, {"a": True}, id="one is not true"),
        pytest.param({"a": {"b": 1}}, {"a": 1}, {"a": 1}, id="another type"),
        pytest.param({"a": "x"}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="an object for a value"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}, id="emptied"),
        pytest.param({"a": 1}, {"a": 1.0}, {}, id="the same number"),
    ],
)
def test_the_patch_between_two_documents_holds_only_what_differs(
    old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merge_patch_between(old, new) == patch
