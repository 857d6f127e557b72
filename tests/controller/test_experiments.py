"""The reconciler of Experiments against a real API server: what it writes, what it asks, what it makes of refusals."""

import asyncio
from typing import Any

import pytest
from tests.controller.test_rights import installed_rules, limited, refused
from tests.kube.virtual_time import virtual_time
from tests.scenarios.analyst import analyst
from tests.scenarios.test_experiments import (
    BLUE,
    GREEN,
    NAME,
    TEMPLATE,
    analysis,
    both,
    is_in,
    names,
    phase,
    reasons,
    services,
    status,
    templates_of,
)

from prograde.api.meta import NamespacedName, ObjectMeta, OwnerReference
from prograde.api.workloads import ReplicaSet
from prograde.controller.experiments import experiment_of
from prograde.controller.settings import ControllerSettings
from prograde.sandbox.faults import Answer
from prograde.simulator.world import World, world

INSTANCE = "argo-rollouts.argoproj.io/controller-instance-id"


def requests(it: World, verb: str, resource: str) -> list[tuple[str, int]]:
    """Return the names and the answers of what the controller has asked for."""
    return [
        (each.name, each.status)
        for each in it.sandbox.request_log
        if (each.verb, each.resource, each.client) == (verb, resource, "rollouts-controller")
    ]


@pytest.mark.parametrize(
    ("kind", "is_controller", "expected"),
    [
        ("Experiment", True, NamespacedName("shop", "x")),
        ("Experiment", None, None),
        ("Rollout", True, None),
    ],
)
def test_children_are_known_by_their_controller(kind: str, is_controller: bool | None, expected: Any) -> None:
    owner = OwnerReference(kind=kind, name="x", uid="u", controller=is_controller)
    child = ReplicaSet(metadata=ObjectMeta(name="c", namespace="shop", owner_references=(owner,)))
    assert experiment_of(child) == expected


@virtual_time
async def test_one_refusal_does_not_repeat_what_was_done_beside_it() -> None:
    async with world() as it:
        it.sandbox.faults.add(Answer(422), verbs="create", resource="replicasets", times=1)
        it.apply(both(scaleDownDelaySeconds=0))
        await it.until(is_in(it, "Error"))
        await it.until(lambda: sorted(templates_of(it).values()) == ["Error", "Successful"])
        assert sorted(code for _, code in requests(it, "create", "replicasets")) == [201, 422]
        assert {"ReplicaSetCreateError", "TemplateError", "ExperimentError"} <= set(reasons(it))


@pytest.mark.parametrize("code", [401, 408, 429, 500, 503])
def test_a_failure_that_may_pass_is_tried_again(code: int) -> None:
    @virtual_time
    async def check() -> None:
        async with world() as it:
            it.sandbox.faults.add(Answer(code), verbs="create", resource="replicasets", times=2)
            it.apply(both())
            await it.until(is_in(it, "Running"))

    check()


@pytest.mark.parametrize("code", [400, 403, 405, 413, 422])
def test_a_failure_that_cannot_heal_is_final(code: int) -> None:
    @virtual_time
    async def check() -> None:
        async with world() as it:
            it.sandbox.faults.add(Answer(code), verbs="create", resource="analysisruns", times=1)
            it.apply(TEMPLATE)
            it.apply(both(analyses=[analysis()]))
            await it.until(is_in(it, "Error"))
            text = "Failed to create AnalysisRun for analysis 'errors': "
            assert status(it)["message"].startswith(text)

    check()


@virtual_time
async def test_a_size_that_is_refused_is_an_error() -> None:
    async with world() as it:
        it.sandbox.faults.add(Answer(403), verbs="patch", resource="replicasets", name="compare-new", times=1)
        it.apply(both())
        await it.until(is_in(it, "Error"))
        text = "Unable to scale ReplicaSet for template 'new' to desired replica count '2': "
        assert status(it)["message"].startswith(text)
        assert "ReplicaSetUpdateError" in reasons(it)


@virtual_time
async def test_a_conflict_changes_nothing_and_is_tried_again() -> None:
    async with world() as it:
        it.sandbox.faults.add(Answer(409), verbs="patch", resource="replicasets", times=3)
        it.apply(both())
        await it.until(is_in(it, "Running"))
        assert it.metrics.experiment_reconcile_error.value("default", NAME) == 0


@pytest.mark.parametrize(
    ("is_readable", "cause"),
    [
        (True, "service compare-old already exists and is not owned by experiment template old"),
        (False, "did not get existing service with name compare-old: "),
    ],
)
def test_a_service_of_somebody_else_is_not_taken(is_readable: bool, cause: str) -> None:
    @virtual_time
    async def check() -> None:
        async with world() as it:
            ports = [{"port": 80}]
            it.apply(
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "compare-old"}, "spec": {"ports": ports}}
            )
            if not is_readable:
                it.sandbox.faults.add(Answer(403), verbs="get", resource="services")
            it.apply(both())
            await it.until(is_in(it, "Error"))
            text = "Failed to create Service compare-old for template 'old': "
            assert status(it)["message"].startswith(text + cause)

    check()


@virtual_time
async def test_a_run_is_looked_for_before_it_counts_as_gone() -> None:
    async with world() as it, analyst(it) as who:
        it.apply(TEMPLATE)
        it.apply(both(analyses=[analysis()]))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        it.sandbox.delete("analysisruns", "compare-errors")
        await it.until(is_in(it, "Error"), seconds=10)
        assert status(it)["message"] == 'analysisruns.argoproj.io "compare-errors" not found'
        assert requests(it, "get", "analysisruns") == [("compare-errors", 404)]


@virtual_time
async def test_a_run_that_only_the_cache_lacks_is_followed() -> None:
    async with world() as it, analyst(it, errors="Successful") as who:
        it.apply(TEMPLATE)
        it.apply(both(analyses=[analysis(requiredForCompletion=True)]))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        # Another controller's label takes it out of our cache, but not out of the cluster.
        it.sandbox.patch("analysisruns", "compare-errors", {"metadata": {"labels": {INSTANCE: "other"}}})
        await it.until(lambda: list(who.runs().values()) == ["Successful"])
        it.sandbox.patch("experiments", NAME, {"metadata": {"annotations": {"look": "again"}}})
        await it.until(is_in(it, "Successful"), seconds=10)
        assert ("compare-errors", 200) in requests(it, "get", "analysisruns")


@virtual_time
async def test_a_template_that_appears_in_time_is_found() -> None:
    async with world() as it, analyst(it) as who:
        it.sandbox.faults.add(Answer(500), verbs="create", resource="replicasets", times=2)
        nested = TEMPLATE.replace("name: errors}", "name: outer}").replace("args: [{name: hash}]", "args: []")
        it.apply(nested.replace("  metrics:", "  templates: [{templateName: errors}]\n  metrics:").replace("rate", "x"))
        it.apply(both(analyses=[{**analysis(), "templateName": "outer"}]))
        it.apply(TEMPLATE)
        await it.until(lambda: len(who.runs()) == 1)
        metrics = it.sandbox.get("analysisruns", "compare-errors")["spec"]["metrics"]
        assert sorted(each["name"] for each in metrics) == ["error-rate", "error-x"]


@virtual_time
async def test_a_template_that_vanishes_too_early_is_noticed_at_once() -> None:
    async with world() as it:
        it.apply(TEMPLATE)
        spec = both(analyses=[analysis()])["spec"]
        spec["templates"][1]["template"]["spec"]["containers"][0]["image"] = "argoproj/rollouts-demo:does-not-exist"
        it.apply({**both(), "spec": spec})
        await it.until(lambda: templates_of(it) == {"old": "Running", "new": "Progressing"})
        await asyncio.sleep(60)
        it.sandbox.delete("analysistemplates", "errors")
        await it.until(is_in(it, "Error"), seconds=2)


@virtual_time
async def test_two_replica_sets_for_one_template_are_counted_as_an_error() -> None:
    async with world() as it:
        it.apply(both())
        await it.until(is_in(it, "Running"))
        double = it.sandbox.get("replicasets", "compare-new")
        metadata = {key: double["metadata"][key] for key in ("labels", "annotations", "ownerReferences")}
        spec = {**double["spec"], "replicas": 0}
        it.apply({**double, "metadata": {**metadata, "name": "double"}, "spec": spec, "status": {}})
        await it.until(lambda: it.metrics.experiment_reconcile_error.value("default", NAME) > 0)
        assert phase(it) == "Running"
        it.sandbox.delete("replicasets", "double")
        it.sandbox.patch("experiments", NAME, {"spec": {"terminate": True}})
        await it.until(is_in(it, "Successful"), seconds=60)


@virtual_time
async def test_only_experiments_of_the_own_instance_are_looked_after() -> None:
    async with world(settings=ControllerSettings(instance_id="blue")) as it, analyst(it) as who:
        mine = both(analyses=[analysis()])
        other = {**both(), "metadata": {"name": "other"}}
        it.apply(other)
        it.apply(TEMPLATE.replace("{name: errors}", f"{{name: errors, labels: {{{INSTANCE}: blue}}}}"))
        it.apply({**mine, "metadata": {"name": NAME, "labels": {INSTANCE: "blue"}}})
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        assert it.sandbox.get("analysisruns", "compare-errors")["metadata"]["labels"] == {INSTANCE: "blue"}
        assert phase(it, "other") == ""
        assert names(it, "replicasets") == ["compare-new", "compare-old"]


@virtual_time
async def test_an_experiment_needs_no_more_than_the_role() -> None:
    async with limited(installed_rules()) as it, analyst(it):
        it.apply(TEMPLATE)
        it.apply(both(duration="20s", scaleDownDelaySeconds=5, analyses=[analysis()]))
        await it.until(is_in(it, "Successful"))
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0} and not services(it))
        assert refused(it) == set()


@virtual_time
async def test_of_a_watched_namespace_alone_the_others_are_left_alone() -> None:
    async with world(settings=ControllerSettings(namespace="shop")) as it:
        it.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        it.sandbox.apply(both(), namespace="shop")
        it.apply(both())
        await it.until(
            lambda: it.sandbox.get("experiments", NAME, "shop").get("status", {}).get("phase", "") == "Running"
        )
        assert phase(it) == ""
