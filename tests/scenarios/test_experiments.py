"""Whole Experiments in a cluster: templates, analyses, traffic and the end of them all, on a virtual clock."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.analyst import analyst
from tests.scenarios.test_gateway_api_canary import NAME as ROLLOUT
from tests.scenarios.test_gateway_api_canary import YELLOW, rules, started, with_steps

from prograde.sandbox.faults import Answer, Disconnect
from prograde.simulator.world import World, world

NAME = "compare"
BLUE, GREEN, BROKEN = (f"argoproj/rollouts-demo:{each}" for each in ("blue", "green", "does-not-exist"))

TEMPLATE = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: hash}]
  metrics:
  - name: error-rate
    interval: 1s
    successCondition: result < 0.05
    provider:
      web: {url: "http://metrics.example/{{args.hash}}", jsonPath: "{$.value}"}
"""


def template(name: str, image: str, **members: Any) -> dict[str, Any]:
    return {
        "name": name,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 8080}]}]},
        },
        **members,
    }


def experiment(*templates: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": NAME},
        "spec": {"templates": list(templates), **spec},
    }


def analysis(**members: Any) -> dict[str, Any]:
    argument = {"name": "hash", "value": "{{templates.new.podTemplateHash}}"}
    return {"name": "errors", "templateName": "errors", "args": [argument], **members}


def both(**spec: Any) -> dict[str, Any]:
    return experiment(template("old", BLUE, service={}), template("new", GREEN, replicas=2), **spec)


def status(it: World, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = it.sandbox.get("experiments", name).get("status") or {}
    return found


def phase(it: World, name: str = NAME) -> str:
    return str(status(it, name).get("phase", ""))


def is_in(it: World, wanted: str) -> Callable[[], bool]:
    return lambda: phase(it) == wanted


def templates_of(it: World) -> dict[str, str]:
    return {each["name"]: each["status"] for each in status(it).get("templateStatuses", ())}


def reasons(it: World, about: str = f"experiment/{NAME}") -> list[str]:
    return [each["reason"] for each in it.sandbox.events(about)]


def names(it: World, kind: str) -> list[str]:
    return sorted(each["metadata"]["name"] for each in it.sandbox.list(kind))


def services(it: World) -> list[str]:
    return [each for each in names(it, "services") if each != "kubernetes"]


# ---- On its own ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_experiment_runs_its_templates_for_a_while_and_clears_up() -> None:
    async with world() as it, analyst(it) as who:
        it.apply(TEMPLATE)
        it.apply(both(duration="1m", scaleDownDelaySeconds=10, analyses=[analysis()]))
        await it.until(is_in(it, "Running"))
        assert it.sizes() == {BLUE: 1, GREEN: 2}
        assert services(it) == ["compare-old"]
        old = next(each for each in status(it)["templateStatuses"] if each["name"] == "old")
        selector = it.sandbox.get("services", "compare-old")["spec"]["selector"]
        assert selector == {"app": "old", "rollouts-pod-template-hash": old["podTemplateHash"]}
        assert old["serviceName"] == "compare-old"
        await it.until(lambda: who.runs() == {"compare-errors": "Running"})
        new_hash = it.sandbox.get("replicasets", "compare-new")["metadata"]["labels"]["rollouts-pod-template-hash"]
        assert it.sandbox.get("analysisruns", "compare-errors")["spec"]["args"][0]["value"] == new_hash
        await it.until(is_in(it, "Successful"), seconds=70)
        assert it.sizes() == {BLUE: 1, GREEN: 2}, "the pods stay for the delay"
        await it.until(lambda: who.runs() == {"compare-errors": "Successful"})
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0}, seconds=15)
        await it.until(lambda: not services(it))
        assert "serviceName" not in status(it)["templateStatuses"][0]
        (condition,) = status(it)["conditions"]
        assert condition["reason"] == "ExperimentCompleted"
        told = reasons(it)
        for reason in ("ExperimentPending", "ExperimentRunning", "ExperimentSuccessful", "TemplateRunning"):
            assert told.count(reason) == 1 + (reason == "TemplateRunning")
        assert {"ScalingReplicaSet", "AnalysisRunPending", "AnalysisRunTerminating"} <= set(told)


@virtual_time
async def test_an_analysis_that_fails_ends_it_at_once() -> None:
    async with world() as it, analyst(it, errors="Failed"):
        it.apply(TEMPLATE)
        it.apply(both(scaleDownDelaySeconds=0, analyses=[analysis()]))
        await it.until(is_in(it, "Failed"))
        assert status(it)["message"] == "decided Failed"
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0})
        assert "AnalysisRunFailed" in reasons(it)


@virtual_time
async def test_a_required_analysis_ends_it_early() -> None:
    async with world() as it, analyst(it, errors="Successful"):
        it.apply(TEMPLATE)
        it.apply(both(analyses=[analysis(requiredForCompletion=True)]))
        await it.until(is_in(it, "Successful"), seconds=60)
        assert status(it)["message"] == "Required AnalysisRuns completed"


@virtual_time
async def test_a_required_analysis_holds_up_its_end() -> None:
    async with world() as it, analyst(it) as who:
        it.apply(TEMPLATE)
        it.apply(both(duration="20s", scaleDownDelaySeconds=0, analyses=[analysis(requiredForCompletion=True)]))
        await it.until(lambda: it.sizes() == {BLUE: 1, GREEN: 2})
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0}, seconds=60)
        assert (phase(it), set(templates_of(it).values())) == ("Running", {"Successful"})
        who.results = {"errors": "Inconclusive"}
        await it.until(is_in(it, "Inconclusive"), seconds=30)


@virtual_time
async def test_terminating_stops_the_runs_and_ends_even_with_a_required_one_under_way() -> None:
    async with world() as it, analyst(it) as who:
        it.apply(TEMPLATE)
        it.apply(both(analyses=[analysis(requiredForCompletion=True)]))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        it.sandbox.patch("experiments", NAME, {"spec": {"terminate": True}})
        await it.until(is_in(it, "Successful"), seconds=10)
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0}, seconds=60)


@virtual_time
async def test_a_template_whose_pods_do_not_come_fails_the_experiment() -> None:
    async with world() as it:
        it.apply(experiment(template("old", BLUE), template("new", BROKEN), progressDeadlineSeconds=30))
        await it.until(is_in(it, "Failed"), seconds=60)
        assert status(it)["message"] == "Template 'new' exceeded its progressDeadlineSeconds (30)"
        await it.until(lambda: it.sizes() == {BLUE: 0, BROKEN: 0}, seconds=60)
        assert templates_of(it) == {"old": "Successful", "new": "Failed"}


@virtual_time
async def test_a_missing_analysis_template_ends_it_before_any_pod_is_up() -> None:
    async with world() as it:
        it.apply(both(analyses=[analysis()]))
        await it.until(is_in(it, "Error"), seconds=10)
        assert status(it)["message"] == (
            "AnalysisTemplate verification failed for analysis 'errors': "
            'analysistemplate.argoproj.io "errors" not found'
        )


@virtual_time
async def test_deleting_it_takes_everything_along_and_one_of_the_same_name_can_follow_at_once() -> None:
    async with world() as it, analyst(it):
        it.apply(TEMPLATE)
        it.apply(both(analyses=[analysis()]))
        await it.until(lambda: names(it, "analysisruns") == ["compare-errors"])
        it.sandbox.delete("experiments", NAME)
        it.apply(both())
        await it.until(is_in(it, "Running"))
        assert templates_of(it) == {"old": "Running", "new": "Running"}
        it.sandbox.delete("experiments", NAME)
        await it.until(lambda: not any(names(it, kind) for kind in ("replicasets", "analysisruns", "pods")))
        assert services(it) == []
        await asyncio.sleep(5)
        assert names(it, "replicasets") == []


@virtual_time
async def test_a_name_that_is_taken_is_an_error_and_no_loop() -> None:
    async with world() as it:
        foreign = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "compare-new"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "x"}},
                "template": template("x", BLUE)["template"],
            },
        }
        it.apply(foreign)
        it.apply(both(scaleDownDelaySeconds=0))
        await it.until(is_in(it, "Error"))
        assert status(it)["message"] == (
            "ReplicaSet 'compare-new' already exists and is not owned by experiment template new"
        )
        await asyncio.sleep(60)
        before = len(it.writes())
        await asyncio.sleep(60)
        assert len(it.writes()) == before


@virtual_time
async def test_an_invalid_spec_is_said_until_it_is_mended() -> None:
    async with world() as it:
        it.apply(both(duration="10"))
        await it.until(lambda: bool(status(it).get("conditions")))
        (condition,) = status(it)["conditions"]
        assert condition["message"] == 'invalid duration string: time: missing unit in duration "10"'
        assert names(it, "replicasets") == []
        it.sandbox.patch("experiments", NAME, {"spec": {"duration": "10s"}})
        await it.until(is_in(it, "Successful"))
        assert [each["type"] for each in status(it)["conditions"]] == ["Progressing"]


@virtual_time
async def test_a_service_that_somebody_deletes_comes_back() -> None:
    async with world() as it:
        it.apply(both())
        await it.until(is_in(it, "Running"))
        it.sandbox.delete("services", "compare-old")
        await it.until(lambda: services(it) == ["compare-old"], seconds=5)


@virtual_time
async def test_a_service_gets_another_name() -> None:
    async with world() as it:
        it.apply(both())
        await it.until(is_in(it, "Running"))
        old, *others = it.sandbox.get("experiments", NAME)["spec"]["templates"]
        renamed = [{**old, "service": {"name": "other"}}, *others]
        it.sandbox.patch("experiments", NAME, {"spec": {"templates": renamed}})
        await it.until(lambda: services(it) == ["other"], seconds=5)
        assert status(it)["templateStatuses"][0]["serviceName"] == "other"


@virtual_time
async def test_a_template_that_leaves_the_spec_goes() -> None:
    async with world() as it:
        it.apply(both(scaleDownDelaySeconds=5))
        await it.until(is_in(it, "Running"))
        templates = it.sandbox.get("experiments", NAME)["spec"]["templates"]
        it.sandbox.patch("experiments", NAME, {"spec": {"templates": templates[1:]}})
        await it.until(lambda: names(it, "replicasets") == ["compare-new"], seconds=30)
        assert (services(it), phase(it), templates_of(it)) == ([], "Running", {"new": "Running"})


@virtual_time
async def test_troubles_that_pass_end_nothing() -> None:
    async with world() as it, analyst(it):
        it.apply(TEMPLATE)
        for action in (Answer(500), Answer(503), Answer(429), Disconnect(), Disconnect(when="after")):
            for verb, resource in (
                ("create", "replicasets"),
                ("create", "services"),
                ("create", "analysisruns"),
                ("patch", "replicasets"),
                ("patch", "experiments"),
            ):
                it.sandbox.faults.add(action, verbs=verb, resource=resource, times=1)
        it.apply(both(duration="30s", analyses=[analysis()]))
        await it.until(is_in(it, "Successful"), seconds=120)
        assert names(it, "replicasets") == ["compare-new", "compare-old"]
        assert names(it, "analysisruns") == ["compare-errors"]


@virtual_time
async def test_a_refusal_is_final() -> None:
    async with world() as it:
        it.sandbox.faults.add(Answer(403), verbs="create", resource="services")
        it.apply(both(scaleDownDelaySeconds=0))
        await it.until(is_in(it, "Error"))
        text = "Failed to create Service compare-old for template 'old': cannot create service: "
        assert status(it)["message"].startswith(text)
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0})


@virtual_time
async def test_a_controller_that_starts_anew_goes_on_where_the_other_was() -> None:
    async with world() as it, analyst(it):
        it.apply(TEMPLATE)
        it.apply(both(duration="1m", scaleDownDelaySeconds=10, analyses=[analysis()]))
        for seconds in (0.05, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 50, 3, 5, 5):
            await asyncio.sleep(seconds)
            await it.crash_controller()
            it.start_controller()
        await it.until(is_in(it, "Successful"))
        await it.until(lambda: it.sizes() == {BLUE: 0, GREEN: 0}, seconds=60)
        assert names(it, "analysisruns") == ["compare-errors"]


@virtual_time
async def test_a_steady_experiment_costs_no_writes() -> None:
    async with world() as it:
        it.apply(both())
        await it.until(is_in(it, "Running"))
        await asyncio.sleep(5)
        before = it.writes()
        await asyncio.sleep(3600)
        assert it.writes() == before


@virtual_time
async def test_experiments_are_measured() -> None:
    async with world() as it:
        it.apply(both())
        await it.until(is_in(it, "Running"))
        assert it.metrics.experiment_reconcile.count("default", NAME) > 2
        text = it.metrics.registry.render().decode()
        assert f'experiment_info{{namespace="default",name="{NAME}",phase="Running"}} 1' in text
        assert f'experiment_phase{{namespace="default",name="{NAME}",phase="Failed"}} 0' in text
        it.sandbox.faults.add(Answer(500), verbs="patch", resource="experiments", times=1)
        it.sandbox.patch("experiments", NAME, {"spec": {"terminate": True}})
        await it.until(is_in(it, "Successful"))
        assert it.metrics.experiment_reconcile_error.value("default", NAME) == 1
        it.sandbox.delete("experiments", NAME)
        await asyncio.sleep(120)
        assert it.metrics.experiment_reconcile.count("default", NAME) == 0
        assert it.metrics.experiment_reconcile_error.value("default", NAME) == 0


# ---- Of a Rollout ----------------------------------------------------------------------------------------------------

WEIGHTED = {
    "experiment": {
        "duration": "30s",
        "scaleDownDelaySeconds": 10,
        "templates": [
            {"name": "old", "specRef": "stable", "weight": 5, "metadata": {"labels": {"part": "old"}}},
            {"name": "new", "specRef": "canary", "weight": 15, "metadata": {"labels": {"part": "new"}}},
        ],
        "analyses": [
            {
                "name": "errors",
                "templateName": "errors",
                "args": [{"name": "hash", "value": "{{templates.new.podTemplateHash}}"}],
            }
        ],
    }
}


def backends(it: World) -> dict[str, int]:
    """Return the weights of the route by Service, those without requests left out."""
    (rule,) = rules(it)
    return {each["name"]: each["weight"] for each in rule["backendRefs"] if each["weight"]}


def experiment_of(it: World) -> str:
    (found,) = names(it, "experiments")
    return found


@virtual_time
async def test_a_weighted_experiment_of_a_canary_gets_its_share_while_it_runs() -> None:
    async with started(*with_steps(WEIGHTED, {"setWeight": 50}, {"pause": {}})) as (it, traffic), analyst(it):
        it.apply(TEMPLATE)
        it.set_image(ROLLOUT, YELLOW)
        await it.until(lambda: len(backends(it)) == 3)
        name = experiment_of(it)
        assert phase(it, name) == "Running"
        assert backends(it) == {f"{ROLLOUT}-stable": 80, f"{name}-old": 5, f"{name}-new": 15}
        assert services(it) == sorted([f"{name}-new", f"{name}-old", f"{ROLLOUT}-canary", f"{ROLLOUT}-stable"])
        images = {each["metadata"]["labels"].get("part"): each for each in it.sandbox.list("pods")}
        assert images["new"]["spec"]["containers"][0]["image"] == YELLOW
        await it.until(lambda: phase(it, name) == "Successful", seconds=60)
        await it.until(lambda: backends(it).keys() <= {f"{ROLLOUT}-stable", f"{ROLLOUT}-canary"}, seconds=5)
        await it.until_phase(ROLLOUT, "Paused")
        assert backends(it) == {f"{ROLLOUT}-stable": 50, f"{ROLLOUT}-canary": 50}
        await it.until(lambda: services(it) == [f"{ROLLOUT}-canary", f"{ROLLOUT}-stable"], seconds=60)
        it.promote(ROLLOUT)
        await it.until_phase(ROLLOUT, "Healthy")
        assert traffic.lost == []


@virtual_time
async def test_an_abort_takes_the_traffic_and_the_pods_of_the_experiment() -> None:
    async with started(*with_steps(WEIGHTED, {"pause": {}})) as (it, traffic), analyst(it) as who:
        it.apply(TEMPLATE)
        it.set_image(ROLLOUT, YELLOW)
        await it.until(lambda: len(backends(it)) == 3 and len(who.runs()) == 1)
        name = experiment_of(it)
        it.abort(ROLLOUT)
        await it.until(lambda: phase(it, name) == "Successful", seconds=60)
        await it.until(lambda: backends(it) == {f"{ROLLOUT}-stable": 100})
        await it.until(lambda: services(it) == [f"{ROLLOUT}-canary", f"{ROLLOUT}-stable"], seconds=60)
        assert traffic.lost == []


@virtual_time
async def test_a_failing_analysis_aborts_the_rollout_which_is_told_of_it() -> None:
    async with started(*with_steps(WEIGHTED, {"pause": {}})) as (it, traffic), analyst(it, errors="Failed"):
        it.apply(TEMPLATE)
        it.set_image(ROLLOUT, YELLOW)
        await it.until_phase(ROLLOUT, "Degraded")
        message = it.rollout(ROLLOUT).status.message
        assert message.endswith("Experiment analysis phase is error/failed: decided Failed")
        told = [(each["type"], each["reason"], each["message"]) for each in it.sandbox.events(f"rollout/{ROLLOUT}")]
        text = "AnalysisRun 'errors' transitioned from"
        assert ("Normal", "AnalysisRunPending", f"{text}  -> Pending") in told
        assert ("Warning", "AnalysisRunFailed", f"{text} Running -> Failed: decided Failed") in told
        await it.until(lambda: backends(it) == {f"{ROLLOUT}-stable": 100})
        assert traffic.lost == []


@virtual_time
async def test_an_experiment_that_is_deleted_under_its_step_is_made_again() -> None:
    async with started(*with_steps(WEIGHTED, {"pause": {}})) as (it, _), analyst(it):
        it.apply(TEMPLATE)
        it.set_image(ROLLOUT, YELLOW)
        await it.until(lambda: len(backends(it)) == 3)
        name = experiment_of(it)
        it.sandbox.delete("experiments", name)
        await it.until(lambda: names(it, "experiments") == [] or phase(it, name) == "")
        await it.until(lambda: names(it, "experiments") == [name] and phase(it, name) == "Successful")
        await it.until_phase(ROLLOUT, "Paused")
