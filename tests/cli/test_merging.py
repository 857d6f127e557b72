"""The difference that `kubectl apply` sends, from what was applied, what is to be applied, and what there is."""

from typing import Any

import pytest

from prograde.cli.merging import merge_objects, three_way_patch
from prograde.kube.patches import merge_patch


@pytest.mark.parametrize(
    ("last", "manifest", "live", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {"a": 1}, {}, id="nothing to do"),
        pytest.param({}, {"a": 1}, {}, {"a": 1}, id="a new field"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}, id="another value"),
        pytest.param({"a": 1}, {"a": 1}, {"a": 9}, {"a": 1}, id="somebody has changed it since"),
        pytest.param({"a": 1}, {}, {"a": 1}, {"a": None}, id="a field that has left the manifest"),
        pytest.param({"a": 1}, {}, {}, {}, id="a field that is gone already"),
        pytest.param({}, {}, {"a": 1}, {}, id="a field of somebody else"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2, "d": 3}}, {"a": {"b": None}},
                     id="a nested field that has left"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1}}, {"a": {"b": None, "c": 2}},
                     id="one leaves and one comes"),
        pytest.param({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}, {"a": 5}, id="another kind of value"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}, {"a": [1]}, id="a list is replaced"),
        pytest.param({}, {"a": {}}, {}, {"a": {}}, id="an empty object is a value"),
        pytest.param({}, {"a": None}, {"a": 1}, {}, id="null sets nothing"),
    ],
)  # fmt: skip
def test_the_three_way_difference(last: Any, manifest: Any, live: Any, patch: Any) -> None:
    assert three_way_patch(last, manifest, live) == patch


def test_the_difference_leads_to_the_manifest_and_keeps_what_is_not_its_own() -> None:
    last = {"spec": {"replicas": 3, "paused": True, "template": {"labels": {"a": "1", "b": "2"}}}}
    manifest = {"spec": {"replicas": 5, "template": {"labels": {"a": "1", "c": "3"}}}}
    live = {"spec": {**last["spec"], "replicas": 4, "limit": 10}, "status": {"phase": "Healthy"}}
    merged = merge_patch(live, three_way_patch(last, manifest, live))
    assert merged == {
        "spec": {"replicas": 5, "limit": 10, "template": {"labels": {"a": "1", "c": "3"}}},
        "status": {"phase": "Healthy"},
    }


def test_annotations_of_others_stay_although_the_manifest_has_none() -> None:
    last = {"metadata": {"name": "x", "annotations": {}}}
    live = {"metadata": {"name": "x", "annotations": {"rollout.argoproj.io/revision": "2"}}}
    assert merge_patch(live, three_way_patch(last, {"metadata": {"name": "x"}}, live)) == live


def test_two_patches_become_one() -> None:
    assert merge_objects({"a": {"b": 1}, "c": 2}, {"a": {"d": None}, "e": 3}) == {
        "a": {"b": 1, "d": None},
        "c": 2,
        "e": 3,
    }
