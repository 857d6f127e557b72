"""Why is it waiting? The first line of the answer in every situation in which people have asked."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.cli.situations import SITUATIONS
from tests.cli.stuck import NAME, assert_like, canary, diagnosis, explained, rollout, updating
from tests.kube.virtual_time import virtual_time

from prograde.api.crd import custom_resource_definitions
from prograde.api.rollout import RolloutStatus
from prograde.cli.connect import Session
from prograde.cli.diagnosis import ControllerSign, Diagnosis, Surroundings, diagnose, pending_since
from prograde.cli.explain import examine, explanation, first_line
from prograde.cli.framework import CliError
from prograde.cli.plan import plan_live
from prograde.cli.relatives import last_change, read_relatives, read_scene
from prograde.controller.resources import ROLLOUTS
from prograde.core.objects import Objects
from prograde.core.plan import Plan
from prograde.core.rollout.planner import plan_rollout
from prograde.core.routing import Routed, RoutingIntent, Wanted
from prograde.kube.client import Client
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import run_virtually, wall_clock
from prograde.simulator.world import World, world

FIRST_LINES: dict[str, str] = {
    "the_image_cannot_be_pulled": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; pod cart-POD: "
        'container web waits: ImagePullBackOff: Back-off pulling image "web:does-not-exist"'
        " · Pod cart-POD, status.containerStatuses[web].state.waiting"
        " · for <60s>"
        " · is the image web:does-not-exist there, and may it be pulled?"
        " · looks again in <541s>, and at the next change"
    ),
    "the_container_crashes": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; pod cart-POD: "
        "container web waits: CrashLoopBackOff after 4 restarts"
        " · Pod cart-POD, status.containerStatuses[web].state.waiting"
        " · for <120s>"
        " · see why it ends: kubectl logs cart-POD -c web --previous"
        " · looks again in <481s>, and at the next change"
    ),
    "the_readiness_probe_fails": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; pod cart-POD: "
        "container web runs and is not ready"
        " · Pod cart-POD, status.containerStatuses[web].ready"
        " · for <60s>"
        " · see what its readiness probe says: kubectl describe pod cart-POD"
        " · looks again in <541s>, and at the next change"
    ),
    "no_node_has_room": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; pod cart-POD: "
        "cannot be scheduled: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        " · Pod cart-POD, status.conditions[PodScheduled]"
        " · for <60s>"
        " · make room for the pod, or ask for less in spec.template"
        " · looks again in <541s>, and at the next change"
    ),
    "a_quota_has_no_room_for_pods": (
        "Rollout default/cart is Progressing: pods cannot be created: pods is forbidden: exceeded quota: "
        "small, requested: pods=1, used: pods=4, limited: pods=4"
        " · Rollout cart, status.conditions[ReplicaFailure]"
        " · for <60s>"
        " · make room, or let the pods in: quotas and admission policies are the usual causes"
        " · looks again in <540s>, and at the next change"
    ),
    "a_quota_has_no_room_for_the_replica_set": (
        'Rollout default/cart is Progressing: Failed to create new replica set "cart-HASH": replicasets.apps '
        '"cart-HASH" is forbidden: exceeded quota: small, requested: count/replicasets.apps=1, used: '
        "count/replicasets.apps=1, limited: count/replicasets.apps=1"
        " · ReplicaSet cart-HASH, status.conditions[Progressing]"
        " · for <60s>"
        " · it is tried again; quotas and admission policies are the usual causes"
        " · looks again in <10s>, and at the next change"
    ),
    "pods_are_not_ready_for_long_enough": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; 1 ready, to "
        "stay so for 60 s (minReadySeconds)"
        " · ReplicaSet cart-HASH, status.availableReplicas"
        " · for <19s>"
        " · ends by itself in <39s>"
        " · looks again in <581s>, and at the next change"
    ),
    "the_stable_version_is_broken": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 1 of 2 pods available; pod cart-POD: "
        "container web runs and is not ready"
        " · Pod cart-POD, status.containerStatuses[web].ready"
        " · for <60s>"
        " · see what its readiness probe says: kubectl describe pod cart-POD"
        " · looks again in <540s>, and at the next change"
    ),
    "the_replica_set_is_being_deleted": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH is being deleted and gets no more pods; "
        "when it is gone, it is created anew"
        " · ReplicaSet cart-HASH, metadata.deletionTimestamp"
        " · for <60s>"
        " · deletion waits for the finalizers example.com/keep: whoever set them must remove them"
        " · looks again in <540s>, and at the next change"
    ),
    "the_deadline_is_near": (
        "Rollout default/cart is Progressing: ReplicaSet cart-HASH has 0 of 1 pod available; pod cart-POD: "
        'container web waits: ImagePullBackOff: Back-off pulling image "web:does-not-exist"'
        " · Pod cart-POD, status.containerStatuses[web].state.waiting"
        " · for <55s>"
        " · is the image web:does-not-exist there, and may it be pulled?"
        " · looks again in <6s>, and at the next change"
    ),
    "the_deadline_has_passed": (
        'Rollout default/cart is Degraded: ReplicaSet "cart-HASH" has timed out progressing. ReplicaSet '
        "cart-HASH has 0 of 1 pod available; pod cart-POD: container web waits: ImagePullBackOff: Back-off "
        'pulling image "web:does-not-exist".'
        " · Rollout cart, spec.progressDeadlineSeconds"
        " · for <58s>"
        " · goes on when pods become available; to go back: prograde undo cart"
        " · looks again at the next change"
    ),
    "a_user_has_paused_it": (
        "Rollout default/cart is Paused: paused by a user; nothing moves until that is taken back"
        " · Rollout cart, spec.paused"
        " · for <60s>"
        " · to go on: prograde promote cart"
        " · looks again at the next change"
    ),
    "a_step_pauses_until_somebody_resumes": (
        "Rollout default/cart is Paused: paused at step 2/2 until somebody resumes"
        " · Rollout cart, status.pauseConditions"
        " · for <60s>"
        " · to go on: prograde promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "a_step_pauses_for_a_while": (
        "Rollout default/cart is Paused: paused at step 2/2 for <600s>"
        " · Rollout cart, status.pauseConditions"
        " · for <60s>"
        " · ends by itself in <539s>"
        " · to go on now: prograde promote cart"
        " · looks again in <539s>, and at the next change"
    ),
    "the_switch_waits_for_a_person": (
        "Rollout default/cart is Paused: paused before the switch until somebody promotes"
        " · Rollout cart, spec.strategy.blueGreen.autoPromotionEnabled"
        " · for <60s>"
        " · to go on: prograde promote cart"
        " · looks again at the next change"
    ),
    "the_switch_comes_by_itself": (
        "Rollout default/cart is Paused: paused before the switch, which follows by itself at "
        "2026-01-01T00:21:40Z"
        " · Rollout cart, spec.strategy.blueGreen.autoPromotionSeconds"
        " · for <60s>"
        " · ends by itself in <239s>"
        " · to go on now: prograde promote cart"
        " · looks again in <239s>, and at the next change"
    ),
    "the_old_version_stays_for_a_while": (
        "Rollout default/cart is Healthy and waits for nothing: ReplicaSet cart-HASH keeps its 4 pods until "
        "its scale-down deadline: its traffic has gone to a newer revision"
        " · ReplicaSet cart-HASH, metadata.annotations[scale-down-deadline]"
        " · for <60s>"
        " · ends by itself in <539s>"
    ),
    "the_update_was_aborted": (
        "Rollout default/cart is Degraded: Rollout aborted update to revision 2"
        " · Rollout cart, status.abort"
        " · for <60s>"
        " · to try again: prograde retry rollout cart; or change the template"
        " · looks again at the next change"
    ),
    "the_spec_is_invalid": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: spec.strategy.steps[0].setWeight: '
        "Invalid value: 120: SetWeight needs to be between 0 and 100"
        " · Rollout cart, spec.strategy.steps[0].setWeight"
        " · for <60s>"
        " · change the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "a_service_is_missing": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.blueGreen.activeService: Invalid value: "active": service "active" not found'
        " · Service active, spec.strategy.blueGreen.activeService"
        " · for <60s>"
        " · create what is missing, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "a_service_belongs_to_another_rollout": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.blueGreen.activeService: Invalid value: "active": Service "active" is managed by '
        "another Rollout"
        " · Service active, spec.strategy.blueGreen.activeService"
        " · for <60s>"
        " · change it, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "a_service_selects_other_pods": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.blueGreen.activeService: Invalid value: "active": Service "active" has unmatch label '
        '"app" in rollout'
        " · Service active, spec.strategy.blueGreen.activeService"
        " · for <60s>"
        " · change it, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "no_pods_are_wanted": (
        "Rollout default/cart is Healthy and waits for nothing: no pods are wanted: spec.replicas is 0"
        " · Rollout cart, spec.replicas"
        " · for <60s>"
        " · to have pods: kubectl scale rollout cart --replicas=1"
    ),
    "an_autoscaler_does_nothing_at_zero": (
        "Rollout default/cart is Healthy and waits for nothing: no pods are wanted: spec.replicas is 0, and "
        "HorizontalPodAutoscaler cart-scaler scales nothing that is at 0"
        " · Rollout cart, spec.replicas"
        " · for <60s>"
        " · to have pods: kubectl scale rollout cart --replicas=1"
    ),
    "a_restart_is_held_by_a_disruption_budget": (
        "Rollout default/cart is Progressing: pod cart-POD is to be restarted, and disruption budget "
        "cart-budget allows no eviction: 4 pods are healthy, 4 must be"
        " · PodDisruptionBudget cart-budget, status.disruptionsAllowed"
        " · for <60s>"
        " · let more pods become healthy, or let the budget allow a disruption"
        " · looks again in <30s>, and at the next change"
    ),
    "the_ingress_is_missing": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.trafficRouting.nginx.stableIngress: Invalid value: "cart": '
        'ingress.networking.k8s.io "cart" not found'
        " · Ingress cart, spec.strategy.canary.trafficRouting.nginx.stableIngress"
        " · for <60s>"
        " · create what is missing, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "istio_is_not_installed": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.trafficRouting.istio.virtualService.name: Invalid value: "cart": '
        'virtualservices.networking.istio.io "cart" not found: Istio\'s definitions are not installed, or not '
        "in the version that --istio-api-version names"
        " · VirtualService cart, spec.strategy.canary.trafficRouting.istio.virtualService.name"
        " · for <59s>"
        " · install what is missing, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "the_gateway_api_is_not_installed": (
        "Rollout default/cart is Progressing: failed to set weight via plugin: the API server does not know "
        "httproutes.gateway.networking.k8s.io"
        " · CustomResourceDefinition httproutes.gateway.networking.k8s.io, "
        "spec.strategy.canary.trafficRouting.plugins[argoproj-labs/gatewayAPI]"
        " · for <59s>"
        " · install the definitions (CRDs) of the Gateway API"
        " · tried again with growing pauses"
    ),
    "the_route_is_missing": (
        "Rollout default/cart is Progressing: failed to set weight via plugin: "
        'httproutes.gateway.networking.k8s.io "cart" not found'
        " · HTTPRoute cart, spec.strategy.canary.trafficRouting.plugins[argoproj-labs/gatewayAPI]"
        " · for <60s>"
        " · create the HTTPRoute, or name one that exists"
        " · tried again with growing pauses"
    ),
    "the_route_disappears_in_the_middle": (
        "Rollout default/cart is Progressing: failed to set weight via plugin: "
        'httproutes.gateway.networking.k8s.io "cart" not found'
        " · HTTPRoute cart, spec.strategy.canary.trafficRouting.plugins[argoproj-labs/gatewayAPI]"
        " · for <60s>"
        " · create the HTTPRoute, or name one that exists"
        " · tried again with growing pauses"
    ),
    "the_virtual_service_has_no_such_route": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.trafficRouting.istio.virtualService.name: Invalid value: "cart": Istio '
        "VirtualService has invalid HTTP routes. Error: HTTP Route 'primary' is not found in the defined "
        "Virtual Service."
        " · VirtualService cart, spec.strategy.canary.trafficRouting.istio.virtualService.name"
        " · for <60s>"
        " · create what is missing, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "a_step_pauses_with_a_router": (
        "Rollout default/cart is Paused: paused at step 2/2 until somebody resumes"
        " · Rollout cart, status.pauseConditions"
        " · for <60s>"
        " · to go on: prograde promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "a_plugin_is_not_known": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.trafficRouting.plugins["example/router"]: Forbidden: not yet supported by this '
        "version of Prograde"
        ' · Rollout cart, spec.strategy.canary.trafficRouting.plugins["example/router"]'
        " · for <60s>"
        " · change the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "another_rollout_manages_the_same_route": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.trafficRouting.managedRoutes[0].name: Invalid value: "by-header": the route of '
        'VirtualService cart is managed by another Rollout, "first"'
        " · Rollout cart, spec.strategy.canary.trafficRouting.managedRoutes[0].name"
        " · for <30s>"
        " · name something else in the field, or let the other Rollout go; until then the Rollout is left as "
        "it is"
        " · looks again in <20s>, and at the next change"
    ),
    "the_stable_version_cannot_take_the_traffic_back": (
        "Rollout default/cart is Degraded: Rollout aborted update to revision 2; on the way back ReplicaSet "
        "cart-HASH has 1 of 4 pods available; pod cart-POD: container web runs and is not ready"
        " · Rollout cart, status.abort"
        " · for <60s>"
        " · to try again: prograde retry rollout cart; or change the template"
        " · looks again at the next change"
    ),
    "an_aborted_version_keeps_its_pods_for_a_while": (
        "Rollout default/cart is Degraded: Rollout aborted update to revision 2"
        " · Rollout cart, status.abort"
        " · for <60s>"
        " · to try again: prograde retry rollout cart; or change the template"
        " · looks again in <239s>, and at the next change"
    ),
    "an_analysis_template_is_missing": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.steps[1].analysis.templates: Invalid value: "success-rate": AnalysisTemplate '
        "'success-rate' not found"
        " · AnalysisTemplate success-rate, spec.strategy.canary.steps[1].analysis.templates"
        " · for <60s>"
        " · create what is missing, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "an_argument_of_a_template_is_missing": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: '
        'spec.strategy.canary.steps[1].analysis.templates: Invalid value: "templateNames: [success-rate]": '
        "args.service was not resolved"
        " · Rollout cart, spec.strategy.canary.steps[1].analysis.templates"
        " · for <60s>"
        " · change it, or name another in the field; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "a_run_is_not_taken_up": (
        "Rollout default/cart is Progressing: step 2/2 waits for AnalysisRun cart-HASH-2-1, which has not "
        "been started yet; it measures rate; no controller has taken it up"
        " · AnalysisRun cart-HASH-2-1, status.phase"
        " · for <60s>"
        " · start a controller for objects of kind AnalysisRun; to go on without its result: prograde "
        "promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "a_run_is_measuring": (
        "Rollout default/cart is Progressing: step 2/2 waits for AnalysisRun cart-HASH-2-1, which is "
        "running; it measures rate"
        " · AnalysisRun cart-HASH-2-1, status.phase"
        " · for <60s>"
        " · to go on without its result: prograde promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "a_run_is_inconclusive": (
        "Rollout default/cart is Paused: paused because AnalysisRun cart-HASH-2-1 came to no clear result"
        " · AnalysisRun cart-HASH-2-1, status.phase"
        " · for <60s>"
        " · to go on: prograde promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "an_experiment_is_running": (
        "Rollout default/cart is Progressing: step 1/1 waits for Experiment cart-HASH-2-0, which is running; "
        "it runs baseline, candidate"
        " · Experiment cart-HASH-2-0, status.phase"
        " · for <90s>"
        " · to go on without its result: prograde promote cart; to go back: prograde abort cart"
        " · looks again at the next change"
    ),
    "the_workload_is_missing": (
        'Rollout default/cart is Degraded: The Rollout "cart" is invalid: deployments.apps "default/web" not '
        "found"
        " · Deployment web, spec.workloadRef"
        " · for <60s>"
        " · create the workload, or change the reference; until then the Rollout is left as it is"
        " · looks again in <20s>, and at the next change"
    ),
    "old_pods_have_to_go_first": (
        "Rollout default/cart is Progressing: pod cart-POD and 3 more of another version are not gone yet; "
        "ReplicaSet cart-HASH starts after that"
        " · Pod cart-POD, spec.strategy.recreate"
        " · ends by itself in <780s>"
        " · looks again in <1s>, and at the next change"
    ),
    "no_controller_is_running": (
        "Rollout default/cart is Progressing: the controller has not acted for <210s>: a write is due (patch "
        "Rollout cart status), and there is no lease argo-rollouts-controller-lock"
        " · Rollout cart, status"
        " · for <210s>"
        " · start the controller"
        " · nobody looks again"
    ),
    "the_lease_has_run_out": (
        "Rollout default/cart is Progressing: the controller has not acted for <210s>: a write is due (patch "
        "Rollout cart status), and the lease argo-rollouts/argo-rollouts-controller-lock is held by pod-1, "
        "renewed <180s> ago"
        " · Lease argo-rollouts-controller-lock, spec.renewTime"
        " · for <210s>"
        " · start the controller"
        " · nobody looks again"
    ),
    "the_controller_holds_its_lease_and_does_nothing": (
        "Rollout default/cart is Progressing: the controller has not acted for <210s>: a write is due (patch "
        "Rollout cart status), and the lease argo-rollouts/argo-rollouts-controller-lock is held by pod-1, "
        "renewed <0s> ago"
        " · Rollout cart, status"
        " · for <210s>"
        " · see the controller's log; does it watch this namespace and instance ID, and may it write?"
        " · looks again in <600s>, and at the next change"
    ),
    "the_controller_has_not_seen_the_new_spec": (
        "Rollout default/cart is Progressing: the controller has not acted for <180s>: 3 writes are due "
        "(create ReplicaSet cart-HASH first), and there is no lease argo-rollouts-controller-lock; the spec "
        "is generation 3, observed is 2"
        " · Rollout cart, status.observedGeneration"
        " · for <180s>"
        " · start the controller"
        " · nobody looks again"
    ),
    "another_controller_is_meant": (
        "Rollout default/cart is Progressing: the controller has not acted for <180s>: 3 writes are due "
        "(create ReplicaSet cart-HASH first), and there is no lease argo-rollouts-controller-lock-blue"
        " · Rollout cart, status"
        " · for <180s>"
        " · start the controller"
        " · nobody looks again"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_first_line_names_the_true_blocker(name: str) -> None:
    async def main() -> None:
        async with world() as it:
            await SITUATIONS[name](it)
            assert_like((await explained(it))[0], FIRST_LINES[name])

    run_virtually(main())


def test_every_situation_has_its_answer() -> None:
    assert SITUATIONS.keys() == FIRST_LINES.keys()
    assert len(SITUATIONS) >= 30


WITH_CONTROLLER = [name for name in SITUATIONS if "controller" not in name and "lease" not in name]


@pytest.mark.parametrize("name", WITH_CONTROLLER)
def test_a_controller_at_work_is_never_called_idle_and_there_is_always_a_reason(name: str) -> None:
    async def ask_again_and_again(it: World, asked: list[Diagnosis]) -> None:
        while True:
            await asyncio.sleep(7.3)
            if any(each["metadata"]["name"] == NAME for each in it.sandbox.list("rollouts")):
                asked.append(await diagnosis(it))

    async def main() -> None:
        asked: list[Diagnosis] = []
        async with world() as it:
            asking = asyncio.create_task(ask_again_and_again(it, asked))
            await SITUATIONS[name](it)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert len(asked) > 3
        assert all(each.waits or each.phase == "Healthy" for each in asked)
        assert not [wait for each in asked for wait in each.waits if wait.reason == "ControllerIdle"]

    run_virtually(main())


@virtual_time
async def test_a_rollout_that_is_done_waits_for_nothing() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        assert await explained(it) == ["Rollout default/cart is Healthy and waits for nothing"]
        assert (await diagnosis(it)).waits == ()


@virtual_time
async def test_a_write_that_has_just_become_due_is_nobodys_fault() -> None:
    async with world() as it:
        await updating(it, after_seconds=30)
        await it.stop_controller()
        it.set_image(NAME, "web:3")
        await asyncio.sleep(5)
        assert not (await explained(it))[0].startswith("Rollout default/cart is Progressing: the controller")
        await asyncio.sleep(10)
        assert (await explained(it))[0].startswith("Rollout default/cart is Progressing: the controller has not acted")


@virtual_time
async def test_a_pause_that_has_just_ended_is_not_held_against_the_controller() -> None:
    # What is due by the clock is due since then, not since the last write.
    async with world() as it:
        await updating(it, strategy=canary({"setWeight": 25}, {"pause": {"duration": "10m"}}), after_seconds=60)
        await it.stop_controller()
        await asyncio.sleep(530)
        before = await diagnosis(it)
        await asyncio.sleep(25)
        after = await diagnosis(it)
        assert before.waits[0].reason == "PauseStep"
        assert after.waits[0].reason == "ControllerIdle"
        assert after.waits[0].since is not None
        assert timedelta(seconds=10) < wall_clock() - after.waits[0].since < timedelta(seconds=30)


@virtual_time
async def test_a_rollout_that_is_being_deleted_says_what_holds_it() -> None:
    async with world() as it:
        manifest = rollout()
        manifest["metadata"]["finalizers"] = ["example.com/keep"]
        it.apply(manifest)
        await it.until_phase(NAME, "Healthy")
        it.sandbox.delete("rollouts", NAME)
        await asyncio.sleep(60)
        assert_like(
            (await explained(it))[0],
            "Rollout default/cart is Progressing: it is being deleted, which waits for the finalizers example.com/keep"
            " · Rollout cart, metadata.deletionTimestamp · for <60s> · whoever set the finalizers must remove them"
            " · looks again at the next change",
        )


@virtual_time
async def test_an_unverified_weight_is_named() -> None:
    async with world() as it:
        await SITUATIONS["a_step_pauses_with_a_router"](it)
        client = Client(it.sandbox.transport("prograde"), qps=0)
        body = (await client.get(ROLLOUTS, "default", NAME)).body
        scene = await read_scene(client, body, await read_relatives(client, "default"))
        snapshot = scene.snapshot()
        around = Surroundings(rollout=body, controller=ControllerSign(lease="lock"))
        found = diagnose(snapshot, lambda at: plan_rollout(snapshot, at, lambda _: (Unsure(),)), around, wall_clock())
        weights = next(each for each in found.waits if each.reason == "WeightNotVerified")
        assert (weights.object, weights.field) == ("Rollout cart", "status.canary.weights.verified")
        assert weights.message == "the weight of 25 is set, but not known to be in force"


class Unsure:
    """A router that has written everything and cannot say that it is in force."""

    name = "Unsure"

    def wanted(self) -> Wanted:
        return Wanted()

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        return Routed(verified=False)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("card", 'rollout.argoproj.io "card" not found in namespace default; did you mean cart?'),
        ("zebra", 'rollout.argoproj.io "zebra" not found in namespace default, which has cart'),
    ],
)
def test_a_rollout_that_is_missing(asked: str, expected: str) -> None:
    async def main() -> None:
        async with world() as it:
            it.apply(rollout())
            with pytest.raises(CliError) as raised:
                await diagnosis(it, asked)
            assert str(raised.value) == expected

    run_virtually(main())


async def test_a_cluster_that_does_not_know_rollouts() -> None:
    client = Client(Sandbox(crds=()).transport("prograde"), qps=0)
    with pytest.raises(CliError, match="install the CustomResourceDefinitions first"):
        await examine(client, "default", [NAME], wall_clock())


def loose_definitions() -> list[dict[str, Any]]:
    """Return definitions that let anything in."""
    loose: list[dict[str, Any]] = [dict(each) for each in custom_resource_definitions()]
    for definition in loose:
        versions = msgspec.json.decode(msgspec.json.encode(definition["spec"]["versions"]))
        versions[0]["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        definition["spec"] = {**definition["spec"], "versions": versions}
    return loose


async def test_a_rollout_that_cannot_be_read() -> None:
    sandbox = Sandbox(crds=loose_definitions())
    sandbox.apply(rollout(replicas="many"))
    client = Client(sandbox.transport("prograde"), qps=0)
    (found,) = await examine(client, "default", [NAME], sandbox.clock())
    line = first_line(found, sandbox.clock())
    assert line.startswith(
        "Rollout default/cart is Degraded: it cannot be read, so the controller leaves it alone: spec.replicas: "
    )
    assert (found.waits[0].object, found.waits[0].field) == ("Rollout cart", "spec.replicas")
    assert "give spec.replicas a value of the right type" in line
    assert found.waits[0].since == sandbox.clock(), "the field was written just now"
    with pytest.raises(CliError, match=r"Rollout default/cart: spec\.replicas: .*; its controller leaves the Rollout"):
        await plan_live(Session(client, "default"), NAME, sandbox.clock())


@pytest.mark.parametrize("width", [60, 80, 100])
@virtual_time
async def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    async with world() as it:
        await SITUATIONS["the_image_cannot_be_pulled"](it)
        found, now = await diagnosis(it), wall_clock()
        narrow = explanation(found, now, width=width)
        assert max(map(len, narrow.splitlines())) <= width
        assert narrow.replace(" · ", " ").split() == explanation(found, now).replace(" · ", " ").split()


@virtual_time
async def test_colours_are_around_the_reason_and_nowhere_else() -> None:
    async with world() as it:
        await SITUATIONS["the_update_was_aborted"](it)
        found, now = await diagnosis(it), wall_clock()
        coloured, plain = explanation(found, now, colour=True), explanation(found, now)
        assert coloured.startswith("\x1b[1m\x1b[31mRollout default/cart is Degraded: ")
        assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


@virtual_time
async def test_a_server_that_does_not_tell_who_wrote_what_accuses_nobody() -> None:
    async with world() as it:
        await updating(it, after_seconds=30)
        await it.stop_controller()
        it.promote(NAME)
        await asyncio.sleep(180)
        client = Client(it.sandbox.transport("prograde"), qps=0)
        body = (await client.get(ROLLOUTS, "default", NAME)).body
        scene = await read_scene(client, body, await read_relatives(client, "default"))
        assert last_change(scene, scene.snapshot()) is not None
        bare = msgspec.json.decode(body)
        del bare["metadata"]["managedFields"]
        unsigned = msgspec.structs.replace(scene, rollout=msgspec.json.encode(bare))
        assert last_change(unsigned, unsigned.snapshot()) is None


@virtual_time
async def test_pods_on_their_way_out_are_no_news_from_the_future() -> None:
    async with world() as it:
        await SITUATIONS["old_pods_have_to_go_first"](it)
        client = Client(it.sandbox.transport("prograde"), qps=0)
        body = (await client.get(ROLLOUTS, "default", NAME)).body
        scene = await read_scene(client, body, await read_relatives(client, "default"))
        changed = last_change(scene, scene.snapshot())
        assert changed is not None
        assert changed <= wall_clock()


def plan_writing(at: Callable[[datetime], bool], requeue: Callable[[datetime], datetime | None]) -> Any:
    """Return a planner that has something to write at some moments, and looks again at others."""

    def plan_at(now: datetime) -> Plan[RolloutStatus]:
        return Plan(status=RolloutStatus() if at(now) else None, requeue_at=requeue(now))

    return plan_at


T0 = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


def minutes(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


@pytest.mark.parametrize(
    ("is_due", "requeue", "changed", "expected"),
    [
        pytest.param(lambda _: False, lambda _: None, T0, None, id="nothing is due"),
        pytest.param(lambda _: True, lambda _: None, T0, T0, id="due since the last write"),
        pytest.param(lambda _: True, lambda _: None, None, minutes(10), id="unknown: as if since now"),
        pytest.param(lambda at: at >= minutes(4), lambda _: minutes(4), T0, minutes(4), id="due by the clock"),
        pytest.param(
            lambda at: at >= minutes(6), lambda at: at + timedelta(minutes=2), T0, minutes(6), id="after three looks"
        ),
        pytest.param(lambda at: at >= minutes(4), lambda _: None, T0, minutes(10), id="nobody would have looked"),
        pytest.param(lambda at: at >= minutes(4), lambda at: at, T0, minutes(10), id="a look that does not move on"),
        pytest.param(lambda at: at >= minutes(9), lambda _: minutes(30), T0, minutes(10), id="the look is to come"),
        pytest.param(lambda _: True, lambda _: None, minutes(20), minutes(10), id="clocks that differ"),
        pytest.param(
            lambda at: at >= minutes(9),
            lambda at: at + timedelta(seconds=1),
            T0,
            minutes(10),
            id="more looks than anybody counts",
        ),
    ],
)
def test_since_when_something_is_due(
    is_due: Callable[[datetime], bool],
    requeue: Callable[[datetime], datetime | None],
    changed: datetime | None,
    expected: datetime | None,
) -> None:
    assert pending_since(plan_writing(is_due, requeue), changed, minutes(10)) == expected
