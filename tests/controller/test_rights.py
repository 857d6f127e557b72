"""The role that is installed is enough for everything that the controller does.

The controller works as a user who may do what the installed role grants, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.api.crd import custom_resource_definitions
from prograde.kube.transport import Transport
from prograde.sandbox.auth import Rule, User
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.routingkinds import routing_definitions
from prograde.sandbox.transport import InProcessTransport
from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World, world

MANIFESTS = Path(__file__).parents[2] / "manifests"
YELLOW = "argoproj/rollouts-demo:yellow"
CONTROLLER = "limited-controller"


def installed_rules() -> list[Rule]:
    """Return the rights of the controller's role, in the sandbox's words."""
    documents = yaml.load_all((MANIFESTS / "install.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    (role,) = [
        each for each in documents if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "argo-rollouts"
    ]
    return [
        Rule(tuple(rule["verbs"]), (f"{resource}.{group}" if group else resource,))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]


@asynccontextmanager
async def limited(rules: list[Rule]) -> AsyncIterator[World]:
    """Yield a cluster with all kinds, and a controller that may do what `rules` say."""
    sandbox = Sandbox(now=wall_clock, profile="fast", crds=[*custom_resource_definitions(), *routing_definitions()])
    user = User("controller", allow=tuple(rules))

    def wrap(_: Transport) -> Transport:
        return InProcessTransport(lambda request: sandbox.handle(request, user), user_agent=CONTROLLER)

    async with world(sandbox=sandbox, wrap=wrap) as it:
        yield it


def refused(it: World) -> set[tuple[str, str]]:
    return {(each.verb, each.resource) for each in it.sandbox.request_log if each.status == 403}


def used(it: World) -> set[tuple[str, str]]:
    return {(each.verb, each.resource) for each in it.sandbox.request_log if each.client == CONTROLLER}


async def release(it: World, name: str) -> None:
    """Bring out a version and say promote wherever that is waited for."""
    await it.until_phase(name, "Healthy")
    it.set_image(name, YELLOW)
    await it.until(lambda: it.phase(name) != "Healthy")
    for _ in range(10):
        await it.until(lambda: it.phase(name) in ("Paused", "Healthy"))
        if it.phase(name) == "Healthy":
            return
        it.promote(name)
        await it.until(lambda: not it.rollout(name).status.pause_conditions)
    raise AssertionError("still paused")


@pytest.mark.parametrize(
    ("example", "routing"),
    [
        ("canary", set()),
        ("bluegreen", set()),
        ("recreate", set()),
        (
            "canary-nginx",
            {("list", "ingresses"), ("watch", "ingresses"), ("create", "ingresses"), ("patch", "ingresses")},
        ),
        ("canary-gateway-api", {("list", "httproutes"), ("watch", "httproutes"), ("patch", "httproutes")}),
        ("canary-istio", {("list", "virtualservices"), ("watch", "virtualservices"), ("patch", "virtualservices")}),
    ],
)
def test_a_release_needs_no_more_than_the_role(example: str, routing: set[tuple[str, str]]) -> None:
    @virtual_time
    async def check() -> None:
        async with limited(installed_rules()) as it:
            it.apply(EXAMPLES / f"{example}.yaml")
            (rollout,) = it.sandbox.list("rollouts")
            await release(it, rollout["metadata"]["name"])
            it.sandbox.delete("rollouts", rollout["metadata"]["name"])
            await it.until(lambda: not it.sandbox.list("replicasets"))
            assert refused(it) == set()
            assert routing <= used(it)

    check()


def _labels(**more: str) -> dict[str, Any]:
    return {"labels": {"app": "cart", **more}}


TEMPLATE = {"metadata": _labels(), "spec": {"containers": [{"name": "web", "image": "argoproj/rollouts-demo:blue"}]}}

EVERYTHING = [
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "ok"},
        "spec": {"metrics": [{"name": "m", "provider": {"web": {"url": "http://127.0.0.1", "jsonPath": "{$.x}"}}}]},
    }
    for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate")
] + [
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cart"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "cart"}}, "template": TEMPLATE},
    },
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "cart"},
        "spec": {
            "replicas": 2,
            "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "scaleDown": "onsuccess"},
            "strategy": {
                "canary": {
                    "canaryMetadata": {"labels": {"role": "canary"}},
                    "stableMetadata": {"labels": {"role": "stable"}},
                    "steps": [
                        {"setWeight": 50},
                        {"experiment": {"duration": "1m", "templates": [{"name": "a", "specRef": "stable"}]}},
                        {
                            "analysis": {
                                "templates": [
                                    {"templateName": "ok"},
                                ]
                            }
                        },
                        {"pause": {}},
                    ],
                },
            },
        },
    },
]


def set_template(it: World, image: str) -> None:
    containers = [{"name": "web", "image": image}]
    it.sandbox.patch("deployments", "cart", {"spec": {"template": {"spec": {"containers": containers}}}})


def end(it: World, resource: str) -> None:
    """Say of the runs that are under way that they were successful."""
    for run in it.sandbox.list(resource):
        if not run.get("status"):
            it.sandbox.patch(resource, run["metadata"]["name"], {"status": {"phase": "Successful"}})


@virtual_time
async def test_workloads_runs_pods_and_templates_need_no_more_than_the_role() -> None:
    async with limited(installed_rules()) as it:
        it.apply(EVERYTHING)
        await it.until_phase("cart", "Healthy")
        await it.until(lambda: it.sandbox.get("deployments", "cart")["spec"]["replicas"] == 0)
        await asyncio.sleep(5)
        it.patch("cart", {"spec": {"restartAt": wall_clock().strftime("%Y-%m-%dT%H:%M:%SZ")}})
        await it.until(lambda: ("create", "pods/eviction") in used(it))
        await it.until_phase("cart", "Healthy")
        set_template(it, YELLOW)
        await it.until(lambda: len(it.sandbox.list("experiments")) == 1)
        end(it, "experiments")
        await it.until(lambda: len(it.sandbox.list("analysisruns")) == 1)
        end(it, "analysisruns")
        await it.until_phase("cart", "Paused")
        it.promote("cart")
        await it.until_phase("cart", "Healthy")
        await it.until(lambda: ("update", "pods") in used(it))

        set_template(it, "argoproj/rollouts-demo:green")
        await it.until(lambda: len(it.sandbox.list("experiments")) == 2)
        it.abort("cart")
        await it.until(lambda: any(each["spec"].get("terminate") for each in it.sandbox.list("experiments")))
        end(it, "experiments")
        await it.until_phase("cart", "Degraded")
        assert refused(it) == set()
        assert {
            ("list", "analysistemplates"),
            ("list", "clusteranalysistemplates"),
            ("create", "analysisruns"),
            ("create", "experiments"),
            ("patch", "experiments"),
            ("list", "deployments"),
            ("update", "deployments"),
            ("create", "pods/eviction"),
        } <= used(it)


@virtual_time
async def test_what_the_role_does_not_grant_is_refused() -> None:
    rules = [rule for rule in installed_rules() if rule.resources != ("ingresses.networking.k8s.io",)]
    async with limited(rules) as it:
        it.apply(EXAMPLES / "canary-nginx.yaml")
        await it.until(lambda: bool(refused(it)))
        assert refused(it) >= {("list", "ingresses")}


@pytest.mark.parametrize(
    ("verb", "resource", "words"),
    [
        ("patch", "replicasets.apps", "patch replicasets.apps default/canary-demo-"),
        ("patch", "rollouts/status.argoproj.io", "patch rollouts.argoproj.io/status default/canary-demo: "),
    ],
)
def test_a_right_that_is_missing_is_told_by_an_event_on_the_rollout(verb: str, resource: str, words: str) -> None:
    @virtual_time
    async def check() -> None:
        rules = [
            Rule(tuple(each for each in rule.verbs if each != verb), rule.resources)
            if rule.resources == (resource,)
            else rule
            for rule in installed_rules()
        ]
        async with limited(rules) as it:
            it.apply(EXAMPLES / "canary.yaml")
            await it.until(lambda: "ReconciliationError" in it.event_reasons("canary-demo"))
            found = [each for each in it.sandbox.events("rollout/canary-demo") if each["type"] == "Warning"]
            assert {each["reason"] for each in found} == {"ReconciliationError"}
            assert found[0]["message"].startswith(f"Reconciliation failed with error: {words}")

    check()
