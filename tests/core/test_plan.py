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
)


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
