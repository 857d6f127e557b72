"""The situations in which people ask why a Rollout waits, each of them played.

Every function brings the cluster to the moment of the question; what is then answered is in `test_explain`.
"""

import asyncio
from typing import Any

from tests.cli.stuck import NAME, Situation, canary, rollout, service, updating

from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.world import World

__all__ = ["SITUATIONS"]

SITUATIONS: dict[str, Situation] = {}


def situation(function: Situation) -> Situation:
    SITUATIONS[function.__name__] = function
    return function


# ---- Pods ---------------------------------------------------------------------------------------------------------


@situation
async def the_image_cannot_be_pulled(it: World) -> None:
    await updating(it, "web:does-not-exist", after_seconds=60)


@situation
async def the_container_crashes(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    template: Any = rollout(image="web:crash")["spec"]["template"]
    template["metadata"]["annotations"] = {"sandbox.prograde.io/ready-after": "20s"}
    it.patch(NAME, {"spec": {"template": template}})
    await asyncio.sleep(120)


@situation
async def the_readiness_probe_fails(it: World) -> None:
    await updating(it, "web:never-ready", after_seconds=60)


@situation
async def no_node_has_room(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    template: Any = rollout(image="web:2")["spec"]["template"]
    template["spec"]["nodeSelector"] = {"disk": "fast"}
    it.patch(NAME, {"spec": {"template": template}})
    await asyncio.sleep(60)


def quota(**hard: str) -> dict[str, Any]:
    named = {name.replace("__", "/").replace("_", "."): most for name, most in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": named}}


@situation
async def a_quota_has_no_room_for_pods(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    it.apply(quota(pods="4"))
    it.set_image(NAME, "web:2")
    await asyncio.sleep(60)


@situation
async def a_quota_has_no_room_for_the_replica_set(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    it.apply(quota(count__replicasets_apps="1"))
    it.set_image(NAME, "web:2")
    await asyncio.sleep(60)


@situation
async def pods_are_not_ready_for_long_enough(it: World) -> None:
    await updating(it, after_seconds=20, minReadySeconds=60)


@situation
async def the_stable_version_is_broken(it: World) -> None:
    # The second step gives pods back to the stable version, which gets none of them ready.
    steps = canary({"setWeight": 75}, {"pause": {"duration": 30}}, {"setWeight": 25}, {"pause": {}})
    it.apply(rollout(steps))
    await it.until_phase(NAME, "Healthy")
    stable = next(iter(it.sandbox.list("replicasets")))
    annotations = {"sandbox.prograde.io/never-ready": "true"}
    it.set_image(NAME, "web:2")
    await it.until_phase(NAME, "Paused")
    it.sandbox.patch(
        "replicasets", stable["metadata"]["name"], {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    )
    await asyncio.sleep(90)


@situation
async def the_replica_set_is_being_deleted(it: World) -> None:
    await updating(it, after_seconds=30)
    new = next(each for each in it.sandbox.list("replicasets") if "web:2" in str(each["spec"]["template"]))
    name = new["metadata"]["name"]
    it.sandbox.patch("replicasets", name, {"metadata": {"finalizers": ["example.com/keep"]}})
    it.sandbox.delete("replicasets", name)
    for pod in it.sandbox.list("pods"):
        if pod["metadata"]["name"].startswith(name):
            it.sandbox.delete("pods", pod["metadata"]["name"])
    it.promote(NAME)
    await asyncio.sleep(60)


# ---- Deadlines ----------------------------------------------------------------------------------------------------


@situation
async def the_deadline_is_near(it: World) -> None:
    await updating(it, "web:does-not-exist", after_seconds=55, progressDeadlineSeconds=60)


@situation
async def the_deadline_has_passed(it: World) -> None:
    await updating(it, "web:does-not-exist", after_seconds=120, progressDeadlineSeconds=60)


# ---- People -------------------------------------------------------------------------------------------------------


@situation
async def a_user_has_paused_it(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    it.patch(NAME, {"spec": {"paused": True}})
    it.set_image(NAME, "web:2")
    await asyncio.sleep(60)


@situation
async def a_step_pauses_until_somebody_resumes(it: World) -> None:
    await updating(it, after_seconds=60)


@situation
async def a_step_pauses_for_a_while(it: World) -> None:
    await updating(it, strategy=canary({"setWeight": 25}, {"pause": {"duration": "10m"}}), after_seconds=60)


@situation
async def the_switch_waits_for_a_person(it: World) -> None:
    it.apply(service("active"))
    strategy = {"blueGreen": {"activeService": "active", "autoPromotionEnabled": False}}
    await updating(it, strategy=strategy, after_seconds=60)


@situation
async def the_switch_comes_by_itself(it: World) -> None:
    it.apply(service("active"))
    strategy = {"blueGreen": {"activeService": "active", "autoPromotionSeconds": 300}}
    await updating(it, strategy=strategy, after_seconds=60)


@situation
async def the_old_version_stays_for_a_while(it: World) -> None:
    it.apply(service("active"))
    strategy = {"blueGreen": {"activeService": "active", "scaleDownDelaySeconds": 600}}
    await updating(it, strategy=strategy, after_seconds=60)


@situation
async def the_update_was_aborted(it: World) -> None:
    await updating(it, after_seconds=30)
    it.abort(NAME)
    await asyncio.sleep(60)


# ---- What is wrong with the spec ----------------------------------------------------------------------------------


@situation
async def the_spec_is_invalid(it: World) -> None:
    it.apply(rollout(canary({"setWeight": 120})))
    await asyncio.sleep(60)


@situation
async def a_service_is_missing(it: World) -> None:
    it.apply(rollout({"blueGreen": {"activeService": "active"}}))
    await asyncio.sleep(60)


@situation
async def a_service_belongs_to_another_rollout(it: World) -> None:
    it.apply(service("active", annotations={"argo-rollouts.argoproj.io/managed-by-rollouts": "other"}))
    it.apply(rollout({"blueGreen": {"activeService": "active"}}))
    await asyncio.sleep(60)


@situation
async def a_service_selects_other_pods(it: World) -> None:
    other: Any = service("active")
    other["spec"]["selector"] = {"app": "other"}
    it.apply(other)
    it.apply(rollout({"blueGreen": {"activeService": "active"}}))
    await asyncio.sleep(60)


# ---- Sizes --------------------------------------------------------------------------------------------------------


@situation
async def no_pods_are_wanted(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    it.patch(NAME, {"spec": {"replicas": 0}})
    await asyncio.sleep(60)


@situation
async def an_autoscaler_does_nothing_at_zero(it: World) -> None:
    target = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "cart-scaler"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9},
    }
    it.apply(scaler)
    await no_pods_are_wanted(it)


@situation
async def a_restart_is_held_by_a_disruption_budget(it: World) -> None:
    it.apply(rollout())
    await it.until_phase(NAME, "Healthy")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "cart-budget"},
        "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": NAME}}},
    }
    it.apply(budget)
    await asyncio.sleep(5)
    now = it.sandbox.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    it.patch(NAME, {"spec": {"restartAt": now}})
    await asyncio.sleep(60)


# ---- Traffic ------------------------------------------------------------------------------------------------------

PAIR = {"stableService": "stable", "canaryService": "fresh"}
GATEWAY = {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "cart", "namespace": "default"}}}
ISTIO = {"istio": {"virtualService": {"name": "cart", "routes": ["primary"]}}}
NGINX = {"nginx": {"stableIngress": "cart"}}


def routed(routing: dict[str, Any], *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return canary(*(steps or ({"setWeight": 25}, {"pause": {}})), trafficRouting=routing, **PAIR, **more)


def services(it: World) -> None:
    it.apply([service("stable"), service("fresh")])


@situation
async def the_ingress_is_missing(it: World) -> None:
    services(it)
    it.apply(rollout(routed(NGINX)))
    await asyncio.sleep(60)


@situation
async def istio_is_not_installed(it: World) -> None:
    services(it)
    it.apply(rollout(routed(ISTIO)))
    await asyncio.sleep(60)


@situation
async def the_gateway_api_is_not_installed(it: World) -> None:
    services(it)
    it.apply(rollout(routed(GATEWAY)))
    await asyncio.sleep(60)


def virtual_service(prefix: str = "") -> dict[str, Any]:
    hosts = {f"{prefix}stable": 100, f"{prefix}fresh": 0}
    targets = [{"destination": {"host": host}, "weight": weight} for host, weight in hosts.items()]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": NAME},
        "spec": {"hosts": ["cart.example"], "http": [{"name": "primary", "route": targets}]},
    }


def http_route() -> dict[str, Any]:
    refs = [{"name": "stable", "port": 80}, {"name": "fresh", "port": 80}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME},
        "spec": {"rules": [{"backendRefs": refs}]},
    }


@situation
async def the_route_is_missing(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    it.apply(rollout(routed(GATEWAY)))
    await asyncio.sleep(60)


@situation
async def the_route_disappears_in_the_middle(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    it.apply(http_route())
    await updating(it, strategy=routed(GATEWAY), after_seconds=30)
    it.sandbox.delete("httproutes", NAME)
    it.promote(NAME)
    await asyncio.sleep(60)


@situation
async def the_virtual_service_has_no_such_route(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    other: Any = virtual_service()
    other["spec"]["http"][0]["name"] = "secondary"
    it.apply(other)
    it.apply(rollout(routed(ISTIO)))
    await asyncio.sleep(60)


@situation
async def a_step_pauses_with_a_router(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    it.apply(virtual_service())
    await updating(it, strategy=routed(ISTIO), after_seconds=60)


@situation
async def a_plugin_is_not_known(it: World) -> None:
    services(it)
    it.apply(rollout(routed({"plugins": {"example/router": {}}})))
    await asyncio.sleep(60)


@situation
async def another_rollout_manages_the_same_route(it: World) -> None:
    it.apply(routing_definitions())
    shared: Any = virtual_service()
    shared["spec"]["http"].append({"name": "other", "route": virtual_service("other-")["spec"]["http"][0]["route"]})
    it.apply(shared)
    it.apply([service(name) for name in ("stable", "fresh", "other-stable", "other-fresh")])
    managed = {"managedRoutes": [{"name": "by-header"}]}
    for name, prefix, route in (("first", "other-", "other"), (NAME, "", "primary")):
        routing = {"istio": {"virtualService": {"name": NAME, "routes": [route]}}, **managed}
        strategy = canary(
            {"pause": {}}, trafficRouting=routing, stableService=f"{prefix}stable", canaryService=f"{prefix}fresh"
        )
        made = rollout(strategy)
        made["metadata"]["name"] = name
        it.apply(made)
        await asyncio.sleep(30)


@situation
async def the_stable_version_cannot_take_the_traffic_back(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    it.apply(virtual_service())
    steps = [{"setWeight": 75}, {"pause": {}}]
    await updating(it, strategy=routed(ISTIO, *steps, dynamicStableScale=True), after_seconds=60)
    stable = next(each for each in it.sandbox.list("replicasets") if "web:1" in str(each["spec"]["template"]))
    annotations = {"sandbox.prograde.io/never-ready": "true"}
    it.sandbox.patch(
        "replicasets", stable["metadata"]["name"], {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    )
    it.abort(NAME)
    await asyncio.sleep(60)


@situation
async def an_aborted_version_keeps_its_pods_for_a_while(it: World) -> None:
    services(it)
    it.apply(routing_definitions())
    it.apply(virtual_service())
    await updating(it, strategy=routed(ISTIO, abortScaleDownDelaySeconds=300), after_seconds=60)
    it.abort(NAME)
    await asyncio.sleep(60)


# ---- Analysis -----------------------------------------------------------------------------------------------------


def template(name: str = "success-rate", **spec: Any) -> dict[str, Any]:
    metric = {
        "name": "rate",
        "interval": "10s",
        "count": 30,
        "provider": {"prometheus": {"address": "http://x", "query": "up"}},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": name},
        "spec": {"metrics": [metric], **spec},
    }


ANALYSIS = canary({"setWeight": 25}, {"analysis": {"templates": [{"templateName": "success-rate"}]}})


@situation
async def an_analysis_template_is_missing(it: World) -> None:
    it.apply(rollout(ANALYSIS))
    await asyncio.sleep(60)


@situation
async def an_argument_of_a_template_is_missing(it: World) -> None:
    it.apply(template(args=[{"name": "service"}]))
    it.apply(rollout(ANALYSIS))
    await asyncio.sleep(60)


@situation
async def a_run_is_not_taken_up(it: World) -> None:
    it.apply(template())
    await updating(it, strategy=ANALYSIS, after_seconds=60)


@situation
async def a_run_is_measuring(it: World) -> None:
    await a_run_is_not_taken_up(it)
    (run,) = it.sandbox.list("analysisruns")
    started = it.sandbox.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    it.sandbox.patch("analysisruns", run["metadata"]["name"], {"status": {"phase": "Running", "startedAt": started}})
    await asyncio.sleep(60)


@situation
async def a_run_is_inconclusive(it: World) -> None:
    await a_run_is_not_taken_up(it)
    (run,) = it.sandbox.list("analysisruns")
    it.sandbox.patch("analysisruns", run["metadata"]["name"], {"status": {"phase": "Inconclusive"}})
    await asyncio.sleep(60)


@situation
async def an_experiment_is_running(it: World) -> None:
    templates = [{"name": "baseline", "specRef": "stable"}, {"name": "candidate", "specRef": "canary"}]
    await updating(it, strategy=canary({"experiment": {"templates": templates}}), after_seconds=60)
    (experiment,) = it.sandbox.list("experiments")
    it.sandbox.patch("experiments", experiment["metadata"]["name"], {"status": {"phase": "Running"}})
    await asyncio.sleep(30)


# ---- Workloads ----------------------------------------------------------------------------------------------------


@situation
async def the_workload_is_missing(it: World) -> None:
    manifest: Any = rollout()
    del manifest["spec"]["template"]
    manifest["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    it.apply(manifest)
    await asyncio.sleep(60)


@situation
async def old_pods_have_to_go_first(it: World) -> None:
    first: Any = rollout({"recreate": {}})
    first["spec"]["template"]["metadata"]["annotations"] = {"sandbox.prograde.io/termination": "10m"}
    first["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 900
    it.apply(first)
    await it.until_phase(NAME, "Healthy")
    it.set_image(NAME, "web:2")
    await asyncio.sleep(60)


# ---- The controller -----------------------------------------------------------------------------------------------


@situation
async def no_controller_is_running(it: World) -> None:
    await updating(it, after_seconds=30)
    await it.stop_controller()
    it.promote(NAME)
    await asyncio.sleep(180)


def lease(holder: str, renewed: str) -> list[dict[str, Any]]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
    metadata = {"name": "argo-rollouts-controller-lock", "namespace": "argo-rollouts"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo-rollouts"}},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec},
    ]


@situation
async def the_lease_has_run_out(it: World) -> None:
    await updating(it, after_seconds=30)
    await it.stop_controller()
    it.apply(lease("pod-1", it.sandbox.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")))
    it.promote(NAME)
    await asyncio.sleep(180)


@situation
async def the_controller_holds_its_lease_and_does_nothing(it: World) -> None:
    await updating(it, after_seconds=30)
    await it.stop_controller()
    it.promote(NAME)
    await asyncio.sleep(180)
    it.apply(lease("pod-1", it.sandbox.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")))


@situation
async def the_controller_has_not_seen_the_new_spec(it: World) -> None:
    await updating(it, after_seconds=30)
    await it.crash_controller()
    it.set_image(NAME, "web:3")
    await asyncio.sleep(180)


@situation
async def another_controller_is_meant(it: World) -> None:
    manifest = rollout()
    manifest["metadata"]["labels"] = {"argo-rollouts.argoproj.io/controller-instance-id": "blue"}
    it.apply(manifest)
    await asyncio.sleep(180)
