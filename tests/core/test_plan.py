"""What a plan is made of: patches hold what changes and nothing else."""

import pytest

from prograde.core.plan import (
    AdoptReplicaSet,
    Event,
    EvictPod,
    PatchPodMetadata,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    ReleaseReplicaSet,
    merge_patch,
)


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
        pytest.param({"a": None}, {}, {}, id="null is as good as gone"),
    ],
)
def test_a_merge_patch_holds_what_differs(old: dict, new: dict, patch: dict) -> None:  # type: ignore[type-arg]
    assert merge_patch(old, new) == patch


@pytest.mark.parametrize(
    ("action", "patch"),
    [
        (PatchReplicaSet(name="a", resource_version="7"), {"metadata": {"resourceVersion": "7"}}),
        (
            PatchReplicaSet(
                name="a",
                resource_version="7",
                replicas=0,
                min_ready_seconds=0,
                annotations={"x": None},
                template_labels={"l": "1"},
                template_annotations={"m": None},
                affinity={"podAntiAffinity": None},
            ),
            {
                "metadata": {"resourceVersion": "7", "annotations": {"x": None}},
                "spec": {
                    "replicas": 0,
                    "minReadySeconds": 0,
                    "template": {
                        "metadata": {"labels": {"l": "1"}, "annotations": {"m": None}},
                        "spec": {"affinity": {"podAntiAffinity": None}},
                    },
                },
            },
        ),
        (PatchService(name="s", selector={"hash": "1"}), {"spec": {"selector": {"hash": "1"}}}),
        (
            PatchService(name="s", selector={"hash": None}, annotations={"by": None}),
            {"metadata": {"annotations": {"by": None}}, "spec": {"selector": {"hash": None}}},
        ),
        (PatchRollout(name="r", annotations={"a": "1"}), {"metadata": {"annotations": {"a": "1"}}}),
        (
            PatchRollout(name="r", replicas=1, resource_version="3"),
            {"metadata": {"resourceVersion": "3"}, "spec": {"replicas": 1}},
        ),
        (
            PatchPodMetadata(name="p", uid="u", labels={"a": "b"}, annotations={"c": None}),
            {"metadata": {"uid": "u", "labels": {"a": "b"}, "annotations": {"c": None}}},
        ),
    ],
)
def test_a_patch_says_only_what_was_decided(action: PatchReplicaSet, patch: dict) -> None:  # type: ignore[type-arg]
    assert action.merge_patch() == patch


def test_adoption_and_release_name_the_object_by_its_uid() -> None:
    adopt = AdoptReplicaSet(
        name="a", uid="u", owner_api_version="v", owner_kind="Rollout", owner_name="r", owner_uid="o"
    )
    assert adopt.strategic_merge_patch()["metadata"] == {
        "uid": "u",
        "ownerReferences": [
            {
                "apiVersion": "v",
                "kind": "Rollout",
                "name": "r",
                "uid": "o",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    release = ReleaseReplicaSet(name="a", uid="u", owner_uid="o")
    assert release.strategic_merge_patch() == {
        "metadata": {"uid": "u", "ownerReferences": [{"$patch": "delete", "uid": "o"}]}
    }


def test_the_events_of_a_plan_are_those_of_its_actions_and_then_its_own() -> None:
    first, second, last = Event("A", "a"), Event("B", "b"), Event("C", "c")
    plan: Plan[None] = Plan(
        groups=((EvictPod(name="p", uid="1", events=(first,)),), (EvictPod(name="q", uid="2", events=(second,)),)),
        events=(last,),
    )
    assert plan.all_events == (first, second, last)
    assert [each.name for each in plan.actions if isinstance(each, EvictPod)] == ["p", "q"]
    assert not plan.writes_nothing
    assert Plan().writes_nothing
    assert not Plan(wants_pods=True).writes_nothing
