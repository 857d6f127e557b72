"""Releases that are measured: the real controller starts, watches, stops and judges runs that others measure."""

from typing import Any

from tests.kube.virtual_time import virtual_time
from tests.scenarios.analyst import Analyst, analyst

from prograde.simulator.world import World, world

BLUE, GREEN, RED = (f"argoproj/rollouts-demo:{colour}" for colour in ("blue", "green", "red"))
NAME = "guarded"

TEMPLATES = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args:
  - name: hash
  metrics:
  - name: error-rate
    count: 3
    interval: 1s
    successCondition: result < 0.05
    provider:
      web: {url: "http://metrics.example/{{args.hash}}", jsonPath: "{$.value}"}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: latency}
spec:
  metrics:
  - name: p99
    interval: 1s
    successCondition: result < 100
    provider:
      web: {url: "http://metrics.example/p99", jsonPath: "{$.value}"}
"""

HASH = {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}
ERRORS = {"templates": [{"templateName": "errors"}], "args": [HASH]}
LATENCY = {"templates": [{"templateName": "latency"}]}


def rollout(strategy: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": NAME}},
                "spec": {"containers": [{"name": "demo", "image": BLUE}]},
            },
            **spec,
        },
    }


def canary(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    return rollout({"canary": {"steps": list(steps), **members}})


def blue_green(**members: Any) -> list[dict[str, Any]]:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
    }
    return [service, rollout({"blueGreen": {"activeService": NAME, **members}})]


async def updating(it: World, manifest: Any) -> None:
    """Release a first version, and begin with the second."""
    it.apply(TEMPLATES)
    it.apply(manifest)
    await it.until_phase(NAME, "Healthy")
    assert it.sandbox.list("analysisruns") == [], "a first version has nothing to prove"
    it.set_image(NAME, GREEN)


def active_image(it: World) -> str:
    wanted = it.sandbox.get("services", NAME)["spec"]["selector"]["rollouts-pod-template-hash"]
    (found,) = it.sandbox.list("replicasets", labels=f"rollouts-pod-template-hash={wanted}")
    image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def name_of(who: Analyst, part: str, kind: str = "analysisruns") -> str:
    """Return the name of the newest run whose name ends in `part`."""
    return [name for name in who.runs(kind) if name.endswith(part)][-1]


# ---- Canary ----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_canary_whose_analyses_succeed_goes_through() -> None:
    steps = [{"setWeight": 50}, {"analysis": ERRORS}, {"setWeight": 100}]
    async with world() as it, analyst(it, _1="Successful") as who:
        await updating(it, canary(*steps, analysis=LATENCY))
        await it.until(lambda: len(who.runs()) == 2)
        run = it.sandbox.get("analysisruns", name_of(who, "-2-1"))
        new_hash = it.rollout(NAME).status.current_pod_hash
        assert run["spec"]["args"] == [{"name": "hash", "value": new_hash}]
        assert run["metadata"]["ownerReferences"][0]["kind"] == "Rollout"
        await it.until_phase(NAME, "Healthy")
        assert {image: size for image, size in it.sizes().items() if size} == {GREEN: 2}
        await it.until(lambda: set(who.runs().values()) == {"Successful"}, seconds=30)
        assert "AnalysisRunSuccessful" in it.event_reasons(NAME)


@virtual_time
async def test_a_canary_whose_step_fails_goes_back() -> None:
    async with world() as it, analyst(it, _2_1="Failed") as who:
        await updating(it, canary({"setWeight": 50}, {"analysis": ERRORS}, {"pause": {}}, analysis=LATENCY))
        await it.until_phase(NAME, "Degraded")
        text = "Step-based analysis phase error/failed: decided Failed"
        assert it.rollout(NAME).status.message.endswith(text)
        await it.until(lambda: it.sizes() == {BLUE: 2, GREEN: 0})
        await it.until(lambda: sorted(who.runs().values()) == ["Failed", "Successful"])
        assert "AnalysisRunFailed" in it.event_reasons(NAME)


@virtual_time
async def test_a_canary_goes_back_from_wherever_it_is_when_its_background_analysis_fails() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary({"setWeight": 50}, {"pause": {}}, analysis=LATENCY))
        await it.until_phase(NAME, "Paused")
        who.results = {"-2": "Error"}
        await it.until_phase(NAME, "Degraded")
        assert it.rollout(NAME).status.message.endswith("Background analysis phase error/failed: decided Error")
        await it.until(lambda: it.sizes() == {BLUE: 2, GREEN: 0})


@virtual_time
async def test_an_unclear_result_pauses_until_somebody_resumes_and_then_measures_again() -> None:
    async with world() as it, analyst(it, _0="Inconclusive") as who:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}))
        await it.until_phase(NAME, "Paused")
        assert it.rollout(NAME).status.message == "InconclusiveAnalysisRun"
        who.results = {"-0.1": "Successful"}
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert list(who.runs().values()) == ["Inconclusive", "Successful"]


@virtual_time
async def test_an_abort_stops_the_runs_and_a_retry_starts_new_ones() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}, analysis=LATENCY))
        await it.until(lambda: list(who.runs().values()) == ["Running", "Running"])
        it.abort(NAME)
        await it.until_phase(NAME, "Degraded")
        await it.until(lambda: list(who.runs().values()) == ["Successful", "Successful"])
        status = it.rollout(NAME).status.canary
        assert (status.current_step_analysis_run_status, status.current_background_analysis_run_status) == (None, None)
        it.retry(NAME)
        await it.until(lambda: len(who.runs()) == 4)
        who.results = {"-0.1": "Successful"}
        await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_a_new_version_stops_the_runs_of_the_one_before() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        it.set_image(NAME, RED)
        await it.until(lambda: list(who.runs().values()) == ["Successful", "Running"])
        assert it.rollout(NAME).status.canary.current_step_analysis_run_status is not None


@virtual_time
async def test_a_missing_template_freezes_the_rollout_until_it_appears() -> None:
    async with world() as it, analyst(it, _0="Successful") as who:
        it.apply(canary({"analysis": ERRORS}))
        await it.until_phase(NAME, "Degraded")
        assert "AnalysisTemplate 'errors' not found" in it.rollout(NAME).status.message
        it.apply(TEMPLATES)
        await it.until_phase(NAME, "Healthy", seconds=25)
        it.set_image(NAME, GREEN)
        await it.until_phase(NAME, "Progressing")
        await it.until_phase(NAME, "Healthy")
        assert list(who.runs().values()) == ["Successful"]


@virtual_time
async def test_history_keeps_as_many_runs_as_the_spec_says() -> None:
    manifest = canary({"analysis": ERRORS})
    manifest["spec"]["analysis"] = {"successfulRunHistoryLimit": 1, "unsuccessfulRunHistoryLimit": 1}
    async with world() as it, analyst(it, _0="Successful") as who:
        await updating(it, manifest)
        for image in (RED, BLUE, GREEN):
            await it.until_phase(NAME, "Healthy")
            it.set_image(NAME, image)
            await it.until_phase(NAME, "Progressing")
        await it.until_phase(NAME, "Healthy")
        await it.until(lambda: len(who.runs()) == 1, seconds=60)
        (name,) = who.runs()
        assert name.endswith("-5-0"), "the newest stays"


@virtual_time
async def test_a_controller_that_crashes_between_creating_and_recording_a_run_makes_no_second_one() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}))
        await it.until(lambda: len(who.runs()) == 1)
        await it.crash_controller()
        it.patch(NAME, {"status": {"canary": None}}, "status")
        it.start_controller()
        await it.until(lambda: it.rollout(NAME).status.canary.current_step_analysis_run_status is not None)
        who.results = {"-0": "Successful"}
        await it.until_phase(NAME, "Healthy")
        assert list(who.runs().values()) == ["Successful"]


@virtual_time
async def test_a_run_that_was_measured_while_no_controller_was_there_counts() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        await it.crash_controller()
        who.results = {"-0": "Successful"}
        await it.until(lambda: list(who.runs().values()) == ["Successful"])
        it.start_controller()
        await it.until_phase(NAME, "Healthy")
        assert len(who.runs()) == 1


# ---- Experiments -----------------------------------------------------------------------------------------------------

EXPERIMENT = {
    "experiment": {
        "duration": "1m",
        "templates": [{"name": "old", "specRef": "stable"}, {"name": "new", "specRef": "canary"}],
        "analyses": [{"name": "compare", "templateName": "errors", "args": [HASH]}],
    }
}


@virtual_time
async def test_an_experiment_that_succeeds_lets_the_canary_go_on() -> None:
    async with world() as it, analyst(it, _0="Successful") as who:
        await updating(it, canary(EXPERIMENT, {"setWeight": 100}))
        await it.until(lambda: len(who.runs("experiments")) == 1)
        made = it.sandbox.get("experiments", name_of(who, "-2-0", "experiments"))
        images = [each["template"]["spec"]["containers"][0]["image"] for each in made["spec"]["templates"]]
        assert images == [BLUE, GREEN]
        assert made["spec"]["analyses"][0]["args"][0]["value"] == it.rollout(NAME).status.current_pod_hash
        await it.until_phase(NAME, "Healthy")
        assert it.rollout(NAME).status.canary.current_experiment == ""
        assert "ExperimentCreated" in it.event_reasons(NAME)


@virtual_time
async def test_an_experiment_that_fails_takes_the_canary_back() -> None:
    async with world() as it, analyst(it, _0="Failed"):
        await updating(it, canary(EXPERIMENT, {"setWeight": 100}))
        await it.until_phase(NAME, "Degraded")
        text = "Experiment analysis phase is error/failed: decided Failed"
        assert it.rollout(NAME).status.message.endswith(text)


@virtual_time
async def test_an_unclear_experiment_pauses_and_is_not_started_again_by_itself() -> None:
    async with world() as it, analyst(it, _0="Inconclusive") as who:
        await updating(it, canary(EXPERIMENT, {"setWeight": 100}))
        await it.until_phase(NAME, "Paused")
        assert it.rollout(NAME).status.message == "InconclusiveExperiment"
        await it.until(lambda: len(who.runs("experiments")) == 1, seconds=60)
        who.results = {"-0-1": "Successful"}
        it.promote(NAME)
        await it.until_phase(NAME, "Healthy")
        assert list(who.runs("experiments").values()) == ["Inconclusive", "Successful"]


@virtual_time
async def test_an_abort_stops_the_experiment() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, canary(EXPERIMENT, {"setWeight": 100}))
        await it.until(lambda: list(who.runs("experiments").values()) == ["Running"])
        it.abort(NAME)
        await it.until(lambda: list(who.runs("experiments").values()) == ["Successful"])
        assert it.phase(NAME) == "Degraded"


# ---- Blue-green ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_blue_green_update_is_measured_before_and_after_its_switch() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, blue_green(prePromotionAnalysis=ERRORS, postPromotionAnalysis=ERRORS))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        assert active_image(it) == BLUE
        who.results = {"pre": "Successful"}
        await it.until(lambda: active_image(it) == GREEN)
        await it.until(lambda: len(who.runs()) == 2)
        assert it.phase(NAME) == "Progressing"
        who.results = {"post": "Successful"}
        await it.until_phase(NAME, "Healthy")
        assert list(who.runs().values()) == ["Successful", "Successful"]
        assert it.rollout(NAME).status.blue_green.post_promotion_analysis_run_status is not None


@virtual_time
async def test_a_failure_before_the_switch_leaves_the_traffic_where_it_is() -> None:
    async with world() as it, analyst(it, pre="Failed"):
        await updating(it, blue_green(prePromotionAnalysis=ERRORS))
        await it.until_phase(NAME, "Degraded")
        assert active_image(it) == BLUE
        assert "pre-promotion analysis phase error/failed: decided Failed" in it.rollout(NAME).status.message


@virtual_time
async def test_a_failure_after_the_switch_gives_the_traffic_back_and_a_retry_is_a_new_attempt() -> None:
    async with world() as it, analyst(it, post="Failed") as who:
        await updating(it, blue_green(postPromotionAnalysis=ERRORS))
        await it.until(lambda: active_image(it) == GREEN)
        await it.until_phase(NAME, "Degraded")
        await it.until(lambda: active_image(it) == BLUE)
        who.results = {"post.1": "Successful"}
        it.retry(NAME)
        await it.until_phase(NAME, "Healthy")
        assert active_image(it) == GREEN
        assert list(who.runs().values()) == ["Failed", "Successful"]


@virtual_time
async def test_an_abort_during_the_analysis_stops_it() -> None:
    async with world() as it, analyst(it) as who:
        await updating(it, blue_green(prePromotionAnalysis=ERRORS))
        await it.until(lambda: list(who.runs().values()) == ["Running"])
        it.abort(NAME)
        await it.until(lambda: list(who.runs().values()) == ["Successful"])
        assert (it.phase(NAME), active_image(it)) == ("Degraded", BLUE)


# ---- Nobody measures -------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_run_that_nobody_starts_is_waited_for_and_a_promotion_goes_on_without_it() -> None:
    waits = []
    async with world(planned=lambda rollout, plan: waits.append([each.message for each in plan.waits])) as it:
        await updating(it, canary({"analysis": ERRORS}, {"setWeight": 100}))
        await it.until(lambda: len(it.sandbox.list("analysisruns")) == 1)
        await it.until(lambda: any("which has not been started yet" in text for text in waits[-1]))
        status = it.rollout(NAME).status
        assert (status.phase, status.current_step_index) == ("Progressing", 0)
        it.patch(NAME, {"status": {"currentStepIndex": 1}}, "status")
        await it.until_phase(NAME, "Healthy")
        (run,) = it.sandbox.list("analysisruns")
        assert run["spec"]["terminate"] is True
