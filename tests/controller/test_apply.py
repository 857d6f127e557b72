"""Actions of a plan against a real API server, in process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.controller.knobs import KNOB_DEFINITION, KNOBS, knob
from tests.kube.virtual_time import virtual_time

from prograde.api.meta import NamespacedName, key_of
from prograde.api.rollout import PauseCondition, Rollout, RolloutStatus
from prograde.controller.apply import Applied, Applier, OwnerGone
from prograde.controller.expectations import Expectations
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, REPLICA_SETS, ROLLOUTS, resource_of
from prograde.controller.settings import ControllerSettings
from prograde.core.objects import DEPLOYMENTS, INGRESSES, ObjectKind, ObjectRef
from prograde.core.plan import (
    Action,
    AdoptReplicaSet,
    CreateAnalysisRun,
    CreateExperiment,
    CreateObject,
    CreateReplicaSet,
    DeleteAnalysisRun,
    DeleteReplicaSet,
    Event,
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
from prograde.kube.client import Client
from prograde.kube.errors import AlreadyExists, ApiError, Conflict
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer, Delay
from prograde.simulator.loop import EPOCH

TEMPLATE = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
ROLLOUT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "cart"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "cart"}},
        "template": TEMPLATE,
        "strategy": {"canary": {}},
    },
}


def replica_set(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, **metadata},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "cart"}}, "template": TEMPLATE},
    }


class Stage:
    """A cluster with one Rollout, and an applier for it."""

    def __init__(self, settings: ControllerSettings) -> None:
        self.sandbox = Sandbox(now=lambda: EPOCH, profile="instant")
        self.expectations = Expectations()
        self.events: list[str] = []
        self.messages: list[str] = []
        client = Client(self.sandbox.transport("controller"), qps=0)
        self.applier = Applier(client, self.expectations, self._record, settings)
        self.sandbox.apply(ROLLOUT)

    def _record(self, _: Rollout, event: Event) -> None:
        self.events.append(event.reason)
        self.messages.append(event.message)

    @property
    def rollout(self) -> Rollout:
        return msgspec.json.decode(msgspec.json.encode(self.sandbox.get("rollouts", "cart")), type=Rollout)

    async def carry_out(self, *groups: tuple[Action, ...], **plan: Any) -> Applied:
        return await self.applier.apply(self.rollout, Plan(groups=groups, **plan))

    def make(self, obj: dict[str, Any]) -> dict[str, Any]:
        return self.sandbox.create(obj)

    def see(self, resource: str, name: str) -> dict[str, Any]:
        return self.sandbox.get(resource, name)

    def has(self, resource: str, name: str) -> bool:
        return any(each["metadata"]["name"] == name for each in self.sandbox.list(resource, "default"))


@asynccontextmanager
async def stage(settings: ControllerSettings | None = None) -> AsyncIterator[Stage]:
    yield Stage(settings or ControllerSettings())


@virtual_time
async def test_a_replica_set_is_patched_on_the_version_that_was_seen_and_nothing_else_is_lost() -> None:
    async with stage() as on:
        made = on.make(replica_set("cart-1", annotations={"kept": "yes", "removed": "soon"}))
        version = made["metadata"]["resourceVersion"]
        patch = PatchReplicaSet(
            name="cart-1", resource_version=version, replicas=3, annotations={"new": "1", "removed": None}
        )
        await on.carry_out((patch,))
        after = on.see("replicasets", "cart-1")
        assert after["spec"]["replicas"] == 3
        assert after["metadata"]["annotations"] == {"kept": "yes", "new": "1"}
        assert after["spec"]["template"] == made["spec"]["template"]
        expected = on.expectations.expected(key_of(on.rollout))
        assert expected == ((REPLICA_SETS, NamespacedName("default", "cart-1")),)
        with pytest.raises(Conflict):
            await on.carry_out((patch,))


@virtual_time
async def test_affinity_is_patched_within_the_pod_template() -> None:
    async with stage() as on:
        version = on.make(replica_set("cart-1"))["metadata"]["resourceVersion"]
        affinity: Any = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cart"}}}]}}  # fmt: skip
        await on.carry_out((PatchReplicaSet(name="cart-1", resource_version=version, affinity=affinity),))
        after = on.see("replicasets", "cart-1")
        assert after["spec"]["template"]["spec"]["affinity"] == affinity
        version = after["metadata"]["resourceVersion"]
        await on.carry_out(
            (PatchReplicaSet(name="cart-1", resource_version=version, affinity={"podAntiAffinity": None}),)
        )
        assert on.see("replicasets", "cart-1")["spec"]["template"]["spec"]["affinity"] == {}


@virtual_time
async def test_a_created_replica_set_is_expected_in_the_cache() -> None:
    async with stage() as on:
        applied = await on.carry_out((CreateReplicaSet(name="cart-1", manifest=replica_set("cart-1")),))
        assert applied.create_failure is None
        assert on.has("replicasets", "cart-1")
        assert on.expectations.expected(key_of(on.rollout)) == ((REPLICA_SETS, NamespacedName("default", "cart-1")),)


@virtual_time
async def test_a_name_that_is_taken_comes_back_as_a_fact_with_its_holder_and_ends_the_plan() -> None:
    async with stage() as on:
        held = on.make(replica_set("cart-1"))
        create = CreateReplicaSet(name="cart-1", manifest=replica_set("cart-1"), events=(Event("Made", ""),))
        applied = await on.carry_out((create,), (PatchRollout(name="cart", annotations={"later": "1"}),))
        assert applied.create_failure is not None
        assert applied.create_failure.existing is not None
        assert applied.create_failure.existing.metadata.uid == held["metadata"]["uid"]
        assert "already exists" in applied.create_failure.message
        assert on.events == []
        assert "annotations" not in on.see("rollouts", "cart")["metadata"]


@virtual_time
async def test_a_create_that_is_refused_comes_back_with_the_servers_words() -> None:
    async with stage() as on:
        broken = {**replica_set("cart-1"), "spec": {**replica_set("x")["spec"], "selector": {}}}
        applied = await on.carry_out((CreateReplicaSet(name="cart-1", manifest=broken),))
        assert applied.create_failure is not None
        assert applied.create_failure.existing is None
        assert "cart-1" in applied.create_failure.message


@virtual_time
async def test_a_replica_set_that_changed_since_it_was_seen_is_not_deleted() -> None:
    async with stage() as on:
        meta = on.make(replica_set("cart-1"))["metadata"]
        delete = DeleteReplicaSet(name="cart-1", uid=meta["uid"], resource_version=meta["resourceVersion"])
        on.sandbox.patch("replicasets", "cart-1", {"spec": {"replicas": 2}})
        with pytest.raises(Conflict):
            await on.carry_out((delete,))
        assert on.has("replicasets", "cart-1")
        version = on.see("replicasets", "cart-1")["metadata"]["resourceVersion"]
        await on.carry_out((msgspec.structs.replace(delete, resource_version=version),))
        assert not on.has("replicasets", "cart-1")
        await on.carry_out((delete,))  # gone already: no error


def adoption(on: Stage, uid: str) -> AdoptReplicaSet:
    owner = on.rollout
    return AdoptReplicaSet(
        name="cart-1",
        uid=uid,
        owner_api_version="argoproj.io/v1alpha1",
        owner_kind="Rollout",
        owner_name="cart",
        owner_uid=owner.metadata.uid,
    )


@virtual_time
async def test_an_orphan_is_adopted_and_released() -> None:
    async with stage() as on:
        uid = on.make(replica_set("cart-1"))["metadata"]["uid"]
        await on.carry_out((adoption(on, uid),))
        owners = on.see("replicasets", "cart-1")["metadata"]["ownerReferences"]
        assert [(each["name"], each["controller"]) for each in owners] == [("cart", True)]
        owner_uid = on.rollout.metadata.uid
        await on.carry_out((ReleaseReplicaSet(name="cart-1", uid=uid, owner_uid=owner_uid),))
        assert not on.see("replicasets", "cart-1")["metadata"].get("ownerReferences")
        await on.carry_out((ReleaseReplicaSet(name="none", uid=uid, owner_uid=owner_uid),))


@virtual_time
async def test_nothing_is_adopted_for_a_rollout_that_was_replaced_meanwhile() -> None:
    async with stage() as on:
        uid = on.make(replica_set("cart-1"))["metadata"]["uid"]
        stale = msgspec.structs.replace(adoption(on, uid), owner_uid="another-uid")
        with pytest.raises(OwnerGone, match="not adopting ReplicaSet cart-1"):
            await on.carry_out((stale,))
        assert not on.see("replicasets", "cart-1")["metadata"].get("ownerReferences")


@pytest.mark.parametrize(
    "plan",
    [
        Plan(groups=((PatchRollout(name="cart", annotations={"rollout.argoproj.io/revision": "7"}),),)),
        Plan(status=RolloutStatus(current_pod_hash="abc")),
    ],
    ids=["annotations", "status"],
)
@virtual_time
async def test_nothing_is_written_to_a_rollout_that_has_taken_the_name(plan: Plan[RolloutStatus]) -> None:
    async with stage() as on:
        rollout = on.rollout
        on.sandbox.delete("rollouts", "cart")
        on.sandbox.apply(ROLLOUT)
        with pytest.raises(Conflict):
            await on.applier.apply(rollout, plan)
        assert on.rollout.metadata.annotations == {}
        assert on.rollout.status.current_pod_hash == ""


@pytest.mark.parametrize(
    ("create", "what"),
    [
        (CreateReplicaSet(name="cart-1", manifest=replica_set("cart-1")), "ReplicaSet cart-1"),
        (CreateAnalysisRun(name="cart-1", manifest={}), "AnalysisRun cart-1"),
        (CreateExperiment(name="cart-1", manifest={}), "Experiment cart-1"),
        (CreateObject(ref=ObjectRef(INGRESSES, "default", "cart-1"), manifest={}), "Ingress cart-1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@virtual_time
async def test_nothing_is_created_for_a_rollout_that_is_gone(create: Action, what: str) -> None:
    async with stage() as on:
        rollout = on.rollout
        on.sandbox.delete("rollouts", "cart")
        with pytest.raises(OwnerGone, match=f"not creating {what}, because the Rollout has been deleted"):
            await on.applier.apply(rollout, Plan(groups=((create,),)))
        kinds = ("replicasets", "analysisruns", "experiments", "ingresses")
        assert not any(on.has(kind, "cart-1") for kind in kinds)


@virtual_time
async def test_a_service_keeps_the_entries_of_its_selector_that_are_not_ours() -> None:
    async with stage() as on:
        on.make({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart"},
                 "spec": {"selector": {"app": "cart", "hash": "old"}, "ports": [{"port": 80}]}})  # fmt: skip
        await on.carry_out((PatchService(name="cart", selector={"hash": "new"}, annotations={"by": "cart"}),))
        service = on.see("services", "cart")
        assert service["spec"]["selector"] == {"app": "cart", "hash": "new"}
        await on.carry_out((PatchService(name="cart", selector={"hash": None}, annotations={"by": None}),))
        service = on.see("services", "cart")
        assert service["spec"]["selector"] == {"app": "cart"}
        assert not service["metadata"].get("annotations")


@virtual_time
async def test_the_rollout_itself_is_patched_outside_of_its_status() -> None:
    async with stage() as on:
        await on.carry_out((PatchRollout(name="cart", annotations={"revision": "2"}, replicas=7),))
        seen = on.see("rollouts", "cart")
        assert (seen["spec"]["replicas"], seen["metadata"]["annotations"]) == (7, {"revision": "2"})
        with pytest.raises(Conflict):
            await on.carry_out((PatchRollout(name="cart", replicas=1, resource_version="1"),))


@virtual_time
async def test_the_status_goes_out_last_as_a_patch_of_what_changed_and_then_the_events() -> None:
    async with stage() as on:
        on.sandbox.patch(
            "rollouts", "cart", {"status": {"unknownYet": "kept", "phase": "Paused"}}, subresource="status"
        )
        rollout = on.rollout
        pause = PauseCondition(reason="CanaryPauseStep", start_time=EPOCH)
        new = msgspec.structs.replace(rollout.status, phase="", pause_conditions=(pause,))
        action = PatchRollout(name="cart", annotations={"revision": "2"}, events=(Event("First", ""),))
        applied = await on.carry_out((action,), status=new, events=(Event("Second", ""),))
        assert applied.writes == 2
        status = on.see("rollouts", "cart")["status"]
        assert "phase" not in status
        assert [each["reason"] for each in status["pauseConditions"]] == ["CanaryPauseStep"]
        assert on.events == ["First", "Second"]
        assert (ROLLOUTS, NamespacedName("default", "cart")) in on.expectations.expected(key_of(rollout))


@virtual_time
async def test_a_status_that_says_nothing_new_is_not_written() -> None:
    async with stage() as on:
        before = on.sandbox.revision
        applied = await on.carry_out(status=on.rollout.status)
        assert applied.writes == 0
        assert on.sandbox.revision == before


@virtual_time
async def test_a_failure_lets_its_group_finish_and_stops_everything_after_it() -> None:
    async with stage() as on:
        on.make(replica_set("cart-1"))
        stale = PatchReplicaSet(name="cart-1", resource_version="1", replicas=1, events=(Event("Scaled", ""),))
        beside = PatchRollout(name="cart", annotations={"beside": "1"}, events=(Event("Beside", ""),))
        after = PatchRollout(name="cart", annotations={"after": "1"})
        with pytest.raises(Conflict):
            await on.carry_out((stale, beside), (after,), status=RolloutStatus(phase="x"), events=(Event("Late", ""),))
        seen = on.see("rollouts", "cart")
        assert seen["metadata"]["annotations"] == {"beside": "1"}
        assert "status" not in seen
        assert on.events == ["Beside"]


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "cart"}},
    "spec": TEMPLATE["spec"],
}


@virtual_time
async def test_a_pod_is_relabelled_only_if_it_is_still_the_same_pod() -> None:
    async with stage() as on:
        uid = on.make(POD)["metadata"]["uid"]
        patch = PatchPodMetadata(name="p", uid=uid, labels={"role": "canary"}, annotations={"a": "b"})
        await on.carry_out((patch,))
        assert on.see("pods", "p")["metadata"]["labels"] == {"app": "cart", "role": "canary"}
        await on.carry_out((PatchPodMetadata(name="p", uid="other", labels={"role": "wrong"}),))
        assert on.see("pods", "p")["metadata"]["labels"]["role"] == "canary"
        await on.carry_out((PatchPodMetadata(name="gone", uid=uid, labels={"role": "x"}),))
        verbs = {
            each.verb for each in on.sandbox.request_log if each.resource == "pods" and each.client == "controller"
        }
        assert verbs == {"list", "update"}, "the roles of the controller grant nothing else"


@virtual_time
async def test_a_pod_that_changes_while_it_is_relabelled_is_read_again_but_not_for_ever() -> None:
    async with stage() as on:
        uid = on.make(POD)["metadata"]["uid"]
        patch = PatchPodMetadata(name="p", uid=uid, labels={"role": "canary"})
        on.sandbox.faults.add(Answer(409), verbs="update", resource="pods", times=2)
        await on.carry_out((patch,))
        assert on.see("pods", "p")["metadata"]["labels"]["role"] == "canary"
        on.sandbox.faults.add(Answer(409), verbs="update", resource="pods")
        with pytest.raises(Conflict):
            await on.carry_out((patch,))


@virtual_time
async def test_an_eviction_takes_the_pod_and_a_pod_that_is_gone_is_no_error() -> None:
    async with stage() as on:
        uid = on.make(POD)["metadata"]["uid"]
        await on.carry_out((EvictPod(name="p", uid=uid),))
        on.sandbox.settle(60)
        assert not on.has("pods", "p") or "deletionTimestamp" in on.see("pods", "p")["metadata"]
        await on.carry_out((EvictPod(name="gone", uid=uid),))


@virtual_time
async def test_a_disruption_budget_ends_the_plan_before_its_status_without_an_error() -> None:
    async with stage() as on:
        uid = on.make(POD)["metadata"]["uid"]
        on.make({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
                 "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "cart"}}}})  # fmt: skip
        on.sandbox.settle(5)
        new = msgspec.structs.replace(on.rollout.status, phase="Healthy")
        applied = await on.carry_out((EvictPod(name="p", uid=uid),), status=new)
        assert applied.is_held_by_budget
        assert on.has("pods", "p")
        assert "status" not in on.see("rollouts", "cart")


@pytest.mark.parametrize(
    "action", [TerminateAnalysisRun(name="x"), TerminateExperiment(name="x"), DeleteAnalysisRun(name="x", uid="u")]
)
@virtual_time
async def test_children_that_are_gone_need_no_ending(action: Action) -> None:
    async with stage() as on:
        assert (await on.carry_out((action,))).writes == 1


@virtual_time
async def test_a_run_is_asked_to_end() -> None:
    async with stage() as on:
        metric = {"name": "m", "provider": {"web": {"url": "http://x", "jsonPath": "$.x"}}}
        on.make({"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "run"},
                 "spec": {"metrics": [metric]}})  # fmt: skip
        await on.carry_out((TerminateAnalysisRun(name="run"),))
        assert on.see("analysisruns", "run")["spec"]["terminate"] is True


@virtual_time
async def test_independent_actions_go_out_together() -> None:
    async with stage() as on:
        on.sandbox.faults.add(Answer(503, retry_after_seconds=1), verbs="patch", times=2)
        started = asyncio.get_running_loop().time()
        names = ("a", "b", "c")
        await on.carry_out(tuple(PatchRollout(name="cart", annotations={name: "1"}) for name in names))
        assert asyncio.get_running_loop().time() - started < 3, "two waits of a second side by side"
        assert on.see("rollouts", "cart")["metadata"]["annotations"] == dict.fromkeys(names, "1")


@virtual_time
async def test_an_unexpected_refusal_is_raised_as_it_is() -> None:
    async with stage() as on:
        on.sandbox.faults.add(Answer(500), verbs="patch")
        with pytest.raises(ApiError, match="Internal error"):
            await on.carry_out((PatchRollout(name="cart", annotations={"a": "1"}),))


# --- The workload that a Rollout refers to ----------------------------------------------------------------------------


def deployment() -> dict[str, Any]:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"a": "b"}}}
    return {**made, "spec": {**spec, "selector": {"matchLabels": {"app": "cart"}}, "paused": True}}


def scaling(uid: str, replicas: int = 0) -> ScaleWorkload:
    return ScaleWorkload(
        ref=ObjectRef(DEPLOYMENTS, "default", "web"),
        uid=uid,
        replicas=replicas,
        annotations={"mark": "x"},
        events=(Event("ScalingDeployment", ""),),
    )


@virtual_time
async def test_a_workload_gets_its_size_and_its_marks_and_keeps_everything_else() -> None:
    async with stage() as on:
        made = on.make(deployment())
        await on.carry_out((scaling(made["metadata"]["uid"]),))
        after = on.see("deployments", "web")
        assert after["spec"] == {**made["spec"], "replicas": 0}
        assert after["metadata"]["annotations"] == {"a": "b", "mark": "x"}
        assert on.events == ["ScalingDeployment"]
        verbs = [each.verb for each in on.sandbox.request_log if each.client == "controller"]
        # What Argo Rollouts' role grants, with which a controller may be running: no patch.
        assert verbs == ["get", "update"]


@pytest.mark.parametrize("is_replaced", [False, True])
@virtual_time
async def test_a_workload_that_is_gone_is_no_error(is_replaced: bool) -> None:
    async with stage() as on:
        if is_replaced:
            on.make(deployment())
        applied = await on.carry_out((scaling("uid-of-the-one-before"),))
        assert applied.late_failure is None
        if is_replaced:
            assert on.see("deployments", "web")["spec"]["replicas"] == 3


@virtual_time
async def test_a_workload_that_changes_meanwhile_is_scaled_all_the_same() -> None:
    async with stage() as on:
        made = on.make(deployment())
        on.sandbox.faults.add(Answer(409), verbs="update", resource="deployments", times=2)
        await on.carry_out((scaling(made["metadata"]["uid"]),))
        assert on.see("deployments", "web")["spec"]["replicas"] == 0


@virtual_time
async def test_a_workload_that_cannot_be_scaled_holds_up_no_status_and_is_reported() -> None:
    async with stage() as on:
        made = on.make(deployment())
        on.sandbox.faults.add(Answer(403), verbs="update", resource="deployments")
        applied = await on.carry_out((scaling(made["metadata"]["uid"]),), status=RolloutStatus(phase="Healthy"))
        assert on.rollout.status.phase == "Healthy"
        assert isinstance(applied.late_failure, ApiError)
        assert on.events == []


# --- Objects of routers -----------------------------------------------------------------------------------------------

CONFIG_MAPS = ObjectKind("", "v1", "configmaps", "ConfigMap")
REF = ObjectRef(CONFIG_MAPS, "default", "route")
FAILURE = Event("TrafficRoutingError", "cannot write the route", "Warning")


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "route"}, "data": data}


@virtual_time
async def test_an_object_of_any_kind_is_created_and_expected_in_the_cache() -> None:
    async with stage() as on:
        await on.carry_out((CreateObject(ref=REF, manifest=config_map(a="1"), events=(Event("Made", ""),)),))
        assert on.see("configmaps", "route")["data"] == {"a": "1"}
        assert on.events == ["Made"]
        assert on.expectations.expected(key_of(on.rollout)) == (
            (resource_of(CONFIG_MAPS, {}), NamespacedName("default", "route")),
        )


@virtual_time
async def test_an_object_is_changed_by_a_merge_patch_that_may_rest_on_a_version() -> None:
    async with stage() as on:
        version = on.make(config_map(a="1", b="2"))["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "data": {"a": None, "c": "3"}}
        await on.carry_out((PatchObject(ref=REF, patch=patch, failure=FAILURE),))
        assert on.see("configmaps", "route")["data"] == {"b": "2", "c": "3"}
        with pytest.raises(Conflict):
            await on.carry_out((PatchObject(ref=REF, patch=patch, failure=FAILURE),))
        assert on.events == [], "the next snapshot settles a conflict"


@pytest.mark.parametrize("status", [500, 403, 503])
@pytest.mark.parametrize(
    "action",
    [
        CreateObject(ref=REF, manifest=config_map(), failure=FAILURE),
        PatchObject(ref=REF, patch={"data": {"a": "1"}}, failure=FAILURE),
    ],
)
def test_a_refusal_is_told_in_the_servers_words_and_ends_the_plan(action: Action, status: int) -> None:
    @virtual_time
    async def check() -> None:
        async with stage() as on:
            if isinstance(action, PatchObject):
                on.make(config_map())
            on.sandbox.faults.add(Answer(status), resource="configmaps", client="controller")
            with pytest.raises(ApiError) as refused:
                await on.carry_out((action,), (PatchRollout(name="cart", annotations={"later": "1"}),))
            assert on.events == ["TrafficRoutingError"]
            assert on.messages == [f"cannot write the route: {refused.value.message}"]
            assert "annotations" not in on.see("rollouts", "cart")["metadata"]

    check()


@virtual_time
async def test_an_object_that_is_there_already_is_an_error_that_nobody_is_told_of() -> None:
    async with stage() as on:
        on.make(config_map())
        with pytest.raises(AlreadyExists):
            await on.carry_out((CreateObject(ref=REF, manifest=config_map(), failure=FAILURE),))
        assert on.events == []


@virtual_time
async def test_a_version_that_the_operator_has_chosen_is_written_too() -> None:
    async with stage(ControllerSettings(versions={"example.com": "v2"})) as on:
        on.sandbox.apply(KNOB_DEFINITION)
        ref = ObjectRef(KNOBS, "default", "cart")
        await on.carry_out((CreateObject(ref=ref, manifest=knob(weight=1)),))
        await on.carry_out((PatchObject(ref=ref, patch={"spec": {"weight": 2}}),))
        writes = [each.path for each in on.sandbox.request_log if each.is_write and each.resource == "knobs"]
        assert writes == [
            "/apis/example.com/v2/namespaces/default/knobs",
            "/apis/example.com/v2/namespaces/default/knobs/cart",
        ]


# --- Runs -------------------------------------------------------------------------------------------------------------


def run(name: str) -> dict[str, Any]:
    metric = {"name": "m", "provider": {"web": {"url": "http://x", "jsonPath": "$.x"}}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name},
        "spec": {"metrics": [metric]},
    }


def experiment(name: str) -> dict[str, Any]:
    template = {"name": "a", "selector": {"matchLabels": {"app": "cart"}}, "template": TEMPLATE}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {"templates": [template]},
    }


@virtual_time
async def test_runs_are_created_and_expected_in_the_cache() -> None:
    async with stage() as on:
        applied = await on.carry_out(
            (CreateAnalysisRun(name="r", manifest=run("r")), CreateExperiment(name="e", manifest=experiment("e")))
        )
        assert applied.taken == ()
        assert on.has("analysisruns", "r")
        assert on.has("experiments", "e")
        assert on.expectations.expected(key_of(on.rollout)) == (
            (ANALYSIS_RUNS, NamespacedName("default", "r")),
            (EXPERIMENTS, NamespacedName("default", "e")),
        )


@virtual_time
async def test_names_that_are_taken_come_back_with_their_holders_and_end_the_plan_after_their_group() -> None:
    async with stage() as on:
        held = [on.make(run("r"))["metadata"]["uid"], on.make(experiment("e"))["metadata"]["uid"]]
        applied = await on.carry_out(
            (
                CreateAnalysisRun(name="r", manifest=run("r"), events=(Event("Started", ""),)),
                CreateExperiment(name="e", manifest=experiment("e")),
                CreateAnalysisRun(name="free", manifest=run("free")),
            ),
            (PatchRollout(name="cart", annotations={"later": "1"}),),
        )
        assert [holder.metadata.uid for holder in applied.taken] == held
        assert on.has("analysisruns", "free")
        assert on.events == []
        assert "annotations" not in on.see("rollouts", "cart")["metadata"]


@virtual_time
async def test_a_failure_counts_more_than_a_name_that_is_taken() -> None:
    async with stage() as on:
        on.make(run("r"))
        on.sandbox.faults.add(Answer(500), verbs="create", resource="experiments")
        with pytest.raises(ApiError, match="Internal error"):
            await on.carry_out(
                (
                    CreateAnalysisRun(name="r", manifest=run("r")),
                    CreateExperiment(name="e", manifest=experiment("e")),
                )
            )


@virtual_time
async def test_a_run_that_the_server_refuses_is_told_of_in_the_servers_words() -> None:
    async with stage() as on:
        on.sandbox.faults.add(Answer(500), verbs="create", resource="analysisruns")
        failure = Event("ReconciliationError", "AnalysisRun r could not be created", "Warning")
        with pytest.raises(ApiError):
            await on.carry_out((CreateAnalysisRun(name="r", manifest=run("r"), failure=failure),))
        assert on.events == ["ReconciliationError"]
        assert on.messages[0].startswith("AnalysisRun r could not be created: ")


@virtual_time
async def test_pods_are_updated_some_at_a_time() -> None:
    async with stage(ControllerSettings(pod_updates=2)) as on:
        patches = []
        for number in range(6):
            pod = on.make({**POD, "metadata": {**POD["metadata"], "name": f"p{number}"}})
            patches.append(PatchPodMetadata(name=f"p{number}", uid=pod["metadata"]["uid"], labels={"role": "x"}))
        on.sandbox.faults.add(Delay(1.0), verbs="update", resource="pods")
        started = asyncio.get_running_loop().time()
        await on.carry_out(tuple(patches))
        assert asyncio.get_running_loop().time() - started == pytest.approx(3.0, abs=0.1)
