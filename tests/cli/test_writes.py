"""Plans as writes: every kind of action, the fields that change, and what the writes leave behind."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from prograde.api.rollout import RolloutStatus
from prograde.cli.relatives import Relatives, Scene
from prograde.cli.writes import Change, Write, carried_out, changes_between, writes_of
from prograde.controller.resources import ANALYSIS_RUNS, DEPLOYMENTS, EXPERIMENTS, PODS, REPLICA_SETS, SERVICES
from prograde.core.objects import VIRTUAL_SERVICES, ObjectKind, ObjectRef, Objects
from prograde.core.plan import (
    Action,
    AdoptReplicaSet,
    CreateAnalysisRun,
    CreateExperiment,
    CreateObject,
    CreateReplicaSet,
    CreateService,
    DeleteAnalysisRun,
    DeleteExperiment,
    DeleteReplicaSet,
    DeleteService,
    EvictPod,
    PatchObject,
    PatchPodMetadata,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    ReleaseReplicaSet,
    ScaleWorkload,
    TerminateAnalysisRun,
    TerminateExperiment,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEPLOYMENT = ObjectKind("apps", "v1", "deployments", "Deployment")
ROUTE = ObjectRef(VIRTUAL_SERVICES, "shop", "cart")
WORKLOAD = ObjectRef(DEPLOYMENT, "shop", "web")


def obj(kind: str, name: str, *, owners: Any = None, spec: Any = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "resourceVersion": "1"}
    metadata["generation"] = 1
    if owners is not None:
        metadata["ownerReferences"] = owners
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {} if spec is None else spec}


def encoded(*objects: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(each) for each in objects)


OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "cart", "uid": "uid-of-cart"}
SCENE = Scene(
    rollout=msgspec.json.encode({**obj("Rollout", "cart", spec={"replicas": None}), "status": {"replicas": 3}}),
    relatives=Relatives(
        namespace="shop",
        lists={
            REPLICA_SETS: encoded(obj("ReplicaSet", "cart-1", owners=[OWNER], spec={"replicas": 3})),
            SERVICES: encoded(obj("Service", "stable", spec={"selector": {"app": "cart"}})),
            PODS: encoded(obj("Pod", "cart-1-x")),
            ANALYSIS_RUNS: encoded(obj("AnalysisRun", "run-1")),
            EXPERIMENTS: encoded(obj("Experiment", "exp-1")),
        },
    ),
    objects=Objects(found={ROUTE: obj("VirtualService", "cart", spec={"weight": 10})}),
    workload=msgspec.json.encode(obj("Deployment", "web", spec={"replicas": 5})),
    workload_resource=DEPLOYMENTS,
)

ADOPTION = AdoptReplicaSet(
    name="cart-1",
    uid="uid-of-cart-1",
    owner_api_version="argoproj.io/v1alpha1",
    owner_kind="Rollout",
    owner_name="other",
    owner_uid="uid-of-other",
)

ACTIONS: list[tuple[Action, str, list[tuple[str, Any, Any]]]] = [
    (
        PatchReplicaSet(name="cart-1", resource_version="1", replicas=5),
        "patch ReplicaSet cart-1",
        [("spec.replicas", 3, 5)],
    ),
    (
        PatchReplicaSet(name="cart-1", resource_version="1", annotations={"a.b/c": "x"}),
        "patch ReplicaSet cart-1",
        [("metadata.annotations[a.b/c]", None, "x")],
    ),
    (
        ReleaseReplicaSet(name="cart-1", uid="uid-of-cart-1", owner_uid="uid-of-cart"),
        "patch ReplicaSet cart-1",
        [(f"metadata.ownerReferences[cart].{key}", value, None) for key, value in OWNER.items()],
    ),
    (
        PatchService(name="stable", selector={"hash": "abc"}),
        "patch Service stable",
        [("spec.selector.hash", None, "abc")],
    ),
    (PatchRollout(name="cart", replicas=1), "patch Rollout cart", [("spec.replicas", None, 1)]),
    (
        PatchPodMetadata(name="cart-1-x", uid="uid-of-cart-1-x", labels={"role": "canary"}),
        "patch Pod cart-1-x",
        [("metadata.labels.role", None, "canary")],
    ),
    (PatchObject(ref=ROUTE, patch={"spec": {"weight": 20}}), "patch VirtualService cart", [("spec.weight", 10, 20)]),
    (
        ScaleWorkload(ref=WORKLOAD, uid="uid-of-web", replicas=0),
        "patch Deployment web",
        [("spec.replicas", 5, 0)],
    ),
    (
        ScaleWorkload(ref=WORKLOAD, uid="uid-of-web", replicas=0, annotations={"why": "rollout"}),
        "patch Deployment web",
        [("metadata.annotations.why", None, "rollout"), ("spec.replicas", 5, 0)],
    ),
    (TerminateAnalysisRun(name="run-1"), "patch AnalysisRun run-1", [("spec.terminate", None, True)]),
    (TerminateExperiment(name="exp-1"), "patch Experiment exp-1", [("spec.terminate", None, True)]),
    (
        CreateReplicaSet(name="cart-2", manifest={"kind": "ReplicaSet", "metadata": {"name": "cart-2"}}),
        "create ReplicaSet cart-2",
        [("metadata.name", None, "cart-2")],
    ),
    (
        CreateService(name="cart-blue", manifest={"kind": "Service", "metadata": {"name": "cart-blue"}}),
        "create Service cart-blue",
        [("metadata.name", None, "cart-blue")],
    ),
    (
        CreateAnalysisRun(name="run-2", manifest={"metadata": {"name": "run-2"}, "spec": {"args": []}}),
        "create AnalysisRun run-2",
        [("metadata.name", None, "run-2"), ("spec.args", None, [])],
    ),
    (
        CreateExperiment(name="exp-2", manifest={"metadata": {"name": "exp-2"}}),
        "create Experiment exp-2",
        [("metadata.name", None, "exp-2")],
    ),
    (
        CreateObject(ref=ObjectRef(VIRTUAL_SERVICES, "shop", "new"), manifest={"metadata": {"name": "new"}}),
        "create VirtualService new",
        [("metadata.name", None, "new")],
    ),
    (DeleteReplicaSet(name="cart-1", uid="", resource_version="1"), "delete ReplicaSet cart-1", []),
    (DeleteService(name="cart-blue", uid=""), "delete Service cart-blue", []),
    (DeleteAnalysisRun(name="run-1", uid=""), "delete AnalysisRun run-1", []),
    (DeleteExperiment(name="exp-1", uid=""), "delete Experiment exp-1", []),
    (EvictPod(name="cart-1-x", uid=""), "evict Pod cart-1-x", []),
]


def words(write: Write) -> str:
    return f"{write.verb} {write.object}"


def fields(write: Write) -> list[tuple[str, Any, Any]]:
    return [(each.field, each.old, each.new) for each in write.changes]


@pytest.mark.parametrize(("action", "expected", "changes"), ACTIONS)
def test_an_action_as_a_write(action: Action, expected: str, changes: list[tuple[str, Any, Any]]) -> None:
    (write,) = writes_of(Plan(groups=((action,),)), SCENE)
    assert words(write) == expected
    assert sorted(fields(write), key=str) == sorted(changes, key=str)


def test_an_adoption_adds_an_owner_and_keeps_the_others() -> None:
    (write,) = writes_of(Plan(groups=((ADOPTION,),)), SCENE)
    assert {each.old for each in write.changes} == {None}
    assert ("metadata.ownerReferences[other].uid", None, "uid-of-other") in fields(write)


def test_every_action_has_its_words() -> None:
    told = {type(action) for action, *_ in ACTIONS} | {AdoptReplicaSet}
    assert told == set(Action.__subclasses__())


def test_the_status_is_written_last_and_only_what_changes_of_it() -> None:
    plan = Plan(groups=((PatchService(name="stable", selector={"a": "b"}),),), status=RolloutStatus(replicas=4))
    first, last = writes_of(plan, SCENE)
    assert (words(first), words(last), last.subresource) == ("patch Service stable", "patch Rollout cart", "status")
    assert fields(last) == [("status.replicas", 3, 4)]
    assert writes_of(Plan(status=RolloutStatus(replicas=3)), SCENE) == ()


# ---- Differences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="equal"),
        pytest.param({"a": 1}, {"a": 1.0}, [], id="equal numbers"),
        pytest.param({"a": 1}, {"a": True}, [("a", 1, True)], id="true is not 1"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, [("a.b", 1, 2), ("a.c", None, 3)], id="nested"),
        pytest.param({"a": {"b": 1}}, {}, [("a.b", 1, None)], id="removed with all that is in it"),
        pytest.param({}, {"a": [1, 2]}, [("a[0]", None, 1), ("a[1]", None, 2)], id="a new list"),
        pytest.param({"a": [1, 2, 3]}, {"a": [1, 3]}, [("a[1]", 2, 3), ("a[2]", 3, None)], id="lists by position"),
        pytest.param(
            {"a": [{"name": "x", "v": 1}, {"name": "y", "v": 2}]},
            {"a": [{"name": "y", "v": 3}, {"name": "x", "v": 1}]},
            [("a[y].v", 2, 3)],
            id="lists by name",
        ),
        pytest.param(
            {"a": [{"type": "Ready", "status": "False"}]},
            {"a": [{"type": "Ready", "status": "True"}]},
            [("a[Ready].status", "False", "True")],
            id="lists by type",
        ),
        pytest.param(
            {"a": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]},
            {"a": [{"name": "x", "v": 1}, {"name": "x", "v": 3}]},
            [("a[1].v", 2, 3)],
            id="names that are not unique",
        ),
        pytest.param({"a": {"b/c.d": 1}}, {"a": {"b/c.d": 2}}, [("a[b/c.d]", 1, 2)], id="keys with dots"),
        pytest.param({"a": {"b": 1}}, {"a": 5}, [("a", {"b": 1}, 5)], id="another kind of value"),
        pytest.param({}, {"a": {}}, [("a", None, {})], id="an empty object"),
        pytest.param({"a": []}, {}, [("a", [], None)], id="an empty list is gone"),
    ],
)
def test_what_differs(old: Any, new: Any, expected: list[tuple[str, Any, Any]]) -> None:
    found = [(each.field, each.old, each.new) for each in changes_between(old, new)]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert all(isinstance(each, Change) for each in changes_between(old, new))


# ---- What is left behind ------------------------------------------------------------------------------------------


def after(*actions: Action, status: RolloutStatus | None = None) -> Scene:
    return carried_out(SCENE, writes_of(Plan(groups=(actions,), status=status), SCENE), NOW)


def names(scene: Scene, resource: Any) -> list[str]:
    return [json.loads(item)["metadata"]["name"] for item in scene.relatives.lists[resource]]


def test_what_is_created_is_there_with_what_a_server_adds() -> None:
    scene = after(CreateReplicaSet(name="cart-2", manifest={"metadata": {"name": "cart-2"}, "spec": {"replicas": 0}}))
    assert names(scene, REPLICA_SETS) == ["cart-1", "cart-2"]
    metadata = json.loads(scene.relatives.lists[REPLICA_SETS][1])["metadata"]
    assert (metadata["namespace"], metadata["generation"]) == ("shop", 1)
    assert metadata["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert metadata["uid"]
    routed = after(CreateObject(ref=ObjectRef(VIRTUAL_SERVICES, "shop", "new"), manifest={"metadata": {"name": "new"}}))
    assert [ref.name for ref in sorted(routed.objects.found)] == ["cart", "new"]


def test_what_is_deleted_is_gone() -> None:
    scene = after(
        DeleteReplicaSet(name="cart-1", uid="", resource_version="1"),
        DeleteAnalysisRun(name="run-1", uid=""),
        DeleteExperiment(name="exp-1", uid=""),
    )
    assert [names(scene, each) for each in (REPLICA_SETS, ANALYSIS_RUNS, EXPERIMENTS)] == [[], [], []]


def test_what_is_patched_has_changed_and_its_generation_with_its_spec() -> None:
    scene = after(
        PatchReplicaSet(name="cart-1", resource_version="1", replicas=5),
        PatchService(name="stable", annotations={"a": "b"}),
        PatchObject(ref=ROUTE, patch={"spec": {"weight": 20}}),
        ScaleWorkload(ref=WORKLOAD, uid="uid-of-web", replicas=0),
        PatchRollout(name="cart", replicas=1),
        status=RolloutStatus(replicas=4),
    )
    replica_set = json.loads(scene.relatives.lists[REPLICA_SETS][0])
    assert (replica_set["spec"]["replicas"], replica_set["metadata"]["generation"]) == (5, 2)
    service = json.loads(scene.relatives.lists[SERVICES][0])
    assert (service["metadata"]["annotations"], service["metadata"]["generation"]) == ({"a": "b"}, 1)
    assert scene.objects.found[ROUTE]["spec"] == {"weight": 20}
    assert scene.workload is not None
    assert json.loads(scene.workload)["spec"]["replicas"] == 0
    rollout = json.loads(scene.rollout)
    assert (rollout["spec"]["replicas"], rollout["status"]["replicas"]) == (1, 4)
    assert rollout["metadata"]["generation"] == 2, "a status has no part in it"


def test_a_release_takes_one_owner_away() -> None:
    scene = after(ReleaseReplicaSet(name="cart-1", uid="uid-of-cart-1", owner_uid="uid-of-cart"))
    assert json.loads(scene.relatives.lists[REPLICA_SETS][0])["metadata"]["ownerReferences"] == []


def test_an_evicted_pod_stays_for_all_that_is_known() -> None:
    assert after(EvictPod(name="cart-1-x", uid="")) == SCENE


def test_a_patch_of_something_that_is_not_there_leaves_nothing_behind() -> None:
    assert after(TerminateAnalysisRun(name="gone")) == SCENE
