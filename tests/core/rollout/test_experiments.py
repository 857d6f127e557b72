"""Experiments of a canary: when they begin, what they are made of, and what their results do."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.rollout.builders import NOW, owner, pause, replace, service, weight
from tests.core.rollout.runs_world import (
    V1,
    V2,
    RunsWorld,
    analysis_step,
    background,
    deployed,
    experiment_step,
    find_experiment,
    is_stopped,
    messages,
    set_experiment,
    set_phase,
    updating,
)

from prograde.api.analysis import DryRun, FieldRef, PodTemplateMetadata
from prograde.api.experiment import (
    Experiment,
    ExperimentAnalysis,
    ExperimentService,
    ExperimentStatus,
    ExperimentTemplateStatus,
)
from prograde.api.meta import LabelSelector, ObjectMeta
from prograde.api.rollout import (
    AnalysisArgument,
    AnalysisArgumentValueFrom,
    AnalysisRunStrategy,
    ExperimentStepAnalysis,
    ExperimentStepTemplate,
    TrafficRouting,
    WeightDestination,
)
from prograde.core.plan import CreateExperiment, RunRef, TerminateExperiment, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.experiments import destinations
from prograde.core.rollout.planner import plan_rollout

FIRST = f"cart-{V2}-2-0"


def names_of(world: RunsWorld) -> list[str]:
    return [each.metadata.name for each in world.experiments]


def current(world: RunsWorld) -> str:
    return world.status.canary.current_experiment


# ---- The step --------------------------------------------------------------------------------------------------------


def test_a_step_creates_its_experiment_records_it_and_tells_of_it():
    world = updating(experiment_step(), pause())
    assert names_of(world) == [FIRST]
    assert (current(world), world.index) == (FIRST, 0)
    assert messages(world, "ExperimentCreated") == [f"Created Experiment '{FIRST}'"]
    assert world.step().writes_nothing


@pytest.mark.parametrize("phase", ["", "Pending", "Running"])
def test_an_unfinished_experiment_is_waited_for(phase):
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, phase)
    world.run()
    assert (current(world), world.index, names_of(world)) == (FIRST, 0, [FIRST])


def test_a_successful_experiment_completes_its_step_and_is_forgotten_in_the_same_write():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Successful")
    world.step()
    assert (world.index, current(world)) == (1, "")
    assert "Rollout step 1/2 completed (experiment)" in messages(world, "RolloutStepCompleted")
    world.run()
    assert names_of(world) == [FIRST]


@pytest.mark.parametrize("phase", ["Failed", "Error"])
@pytest.mark.parametrize(("message", "suffix"), [("", ""), ("too slow", ": too slow")])
def test_a_failed_experiment_aborts_with_its_message(phase, message, suffix):
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, phase, message)
    world.step()
    text = f"Rollout aborted update to revision 2: Experiment analysis phase is error/failed{suffix}"
    assert messages(world, "RolloutAborted") == [text]
    assert (world.status.abort, current(world)) == (True, "")


def test_an_unclear_result_pauses_and_starts_no_second_experiment():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Inconclusive")
    world.step()
    assert world.pauses == ["InconclusiveExperiment"]
    world.run()
    assert (current(world), names_of(world)) == (FIRST, [FIRST])
    assert world.step().writes_nothing


def test_a_resume_after_an_unclear_result_starts_another_experiment():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Inconclusive")
    world.run()
    world.resume()
    world.run()
    assert names_of(world) == [FIRST, f"{FIRST}-1"]
    assert (current(world), world.pauses) == (f"{FIRST}-1", [])


def test_a_success_while_a_user_pauses_waits_and_starts_no_second_experiment():
    world = updating(experiment_step(), pause())
    world.change_spec(paused=True)
    world.run()
    set_experiment(world, FIRST, "Successful")
    world.run()
    assert (world.index, current(world), names_of(world)) == (0, FIRST, [FIRST])
    world.change_spec(paused=False)
    world.run()
    assert (world.index, names_of(world)) == (1, [FIRST])


def test_an_unclear_result_that_is_resumed_while_a_user_pauses_waits_for_the_user():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Inconclusive")
    world.run()
    world.change_spec(paused=True)
    world.resume()
    world.run()
    assert (names_of(world), world.pauses) == ([FIRST], [])
    world.change_spec(paused=False)
    world.run()
    assert names_of(world) == [FIRST, f"{FIRST}-1"]


def test_an_unclear_analysis_leaves_the_experiment_as_it_is():
    world = updating(experiment_step(), pause(), analysis=background())
    set_phase(world, f"cart-{V2}-2", "Inconclusive")
    world.run()
    set_experiment(world, FIRST, "Successful")
    world.run()
    assert (world.index, current(world), names_of(world)) == (0, FIRST, [FIRST])
    world.resume()
    world.run()
    assert world.index == 1


def test_without_a_stable_revision_nothing_is_created():
    world = deployed(experiment_step(), pause())
    assert world.experiments == []


def test_a_promotion_over_a_running_experiment_stops_it():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Running")
    world.run()
    world.promote()
    world.run()
    assert is_stopped(find_experiment(world, FIRST))
    assert (current(world), world.index) == ("", 1)


def test_left_over_experiments_are_stopped():
    world = updating(experiment_step(), pause())
    metadata = replace(find_experiment(world, FIRST).metadata, name="left-over", uid="left-over")
    world.experiments.append(Experiment(metadata=metadata, status=ExperimentStatus(phase="Running")))
    plan = world.step()
    assert [each.name for each in plan.actions if isinstance(each, TerminateExperiment)] == ["left-over"]


def test_an_abort_stops_every_experiment_and_a_retry_starts_another():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Running")
    world.abort()
    world.run()
    assert is_stopped(find_experiment(world, FIRST))
    assert current(world) == ""
    set_experiment(world, FIRST, "Successful")
    world.retry()
    world.run()
    assert (names_of(world), current(world)) == ([FIRST, f"{FIRST}-1"], f"{FIRST}-1")


def test_a_full_promotion_stops_every_experiment():
    world = updating(experiment_step(), pause())
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    assert is_stopped(find_experiment(world, FIRST))
    assert current(world) == ""


def test_a_new_template_stops_the_experiment_of_the_one_before():
    world = updating(experiment_step(), pause())
    set_experiment(world, FIRST, "Running")
    world.set_image("v3")
    world.run()
    assert is_stopped(find_experiment(world, FIRST))
    assert len(world.experiments) == 2


def test_a_changed_size_leaves_the_experiment_alone():
    world = updating(weight(50), experiment_step(), pause())
    name = f"cart-{V2}-2-1"
    set_experiment(world, name, "Running")
    world.change_spec(replicas=4)
    world.run()
    assert current(world) == name
    assert not is_stopped(find_experiment(world, name))


def test_an_experiment_and_a_background_run_are_at_work_together():
    world = updating(experiment_step(), pause(), analysis=background())
    assert current(world) == FIRST
    assert world.background_entry == (f"cart-{V2}-2", "")


def test_an_experiment_and_the_run_of_a_later_step_may_have_the_same_name():
    world = updating(experiment_step(), analysis_step(), pause())
    set_experiment(world, FIRST, "Successful")
    world.run()
    assert world.step_entry == (f"cart-{V2}-2-1", "")


def test_the_wait_says_what_runs_for_how_long_and_how_to_go_on():
    world = updating(experiment_step(duration="5m"), pause())
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.EXPERIMENT]
    assert wait.message == (
        f"step 1/2 waits for Experiment {FIRST}, which has not been started yet; it runs canary for 5m"
    )
    assert wait.remedy == "to go on without its result: prograde promote cart; to go back: prograde abort cart"
    set_experiment(world, FIRST, "Pending")
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.EXPERIMENT]
    assert "whose pods are not available yet" in wait.message
    set_experiment(world, FIRST, "Running", available_at=NOW + timedelta(minutes=3))
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.EXPERIMENT]
    assert "which is running" in wait.message
    assert wait.since == NOW + timedelta(minutes=3)


def test_a_recorded_experiment_that_is_not_in_the_cache_is_asked_for():
    world = updating(experiment_step(), pause())
    hidden, world.experiments = world.experiments, []
    snapshot = world.snapshot()
    plan = plan_rollout(snapshot, world.now)
    assert plan.wants_runs == (RunRef("Experiment", FIRST),)
    found = replace(snapshot, experiments=tuple(hidden), looked_up=frozenset(plan.wants_runs))
    assert plan_rollout(found, world.now).writes_nothing


def test_a_recorded_experiment_that_does_not_exist_is_replaced():
    world = updating(experiment_step(), pause())
    world.experiments.clear()
    world.run()
    assert names_of(world) == [FIRST]


# ---- History ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_deleted"),
    [
        pytest.param({"labels": {}}, True, id="no hash label"),
        pytest.param({"labels": {"rollouts-pod-template-hash": "gone"}}, True, id="no ReplicaSet of its hash"),
        pytest.param({}, True, id="beyond the limit"),
        pytest.param({"deletion_timestamp": NOW}, False, id="being deleted already"),
    ],
)
def test_history_deletes_experiments_as_it_does_runs(changes, is_deleted):
    world = updating(experiment_step(), pause())
    world.change_spec(analysis=AnalysisRunStrategy(successful_run_history_limit=0))
    metadata = replace(find_experiment(world, FIRST).metadata, name="old", uid="old", **changes)
    world.experiments.append(Experiment(metadata=metadata, status=ExperimentStatus(phase="Successful")))
    world.run()
    assert ("old" not in names_of(world)) is is_deleted
    assert FIRST in names_of(world)


# ---- What an Experiment is made of -----------------------------------------------------------------------------------


def spec_ref(ref: str, name: str = "t", **members: Any) -> ExperimentStepTemplate:
    return ExperimentStepTemplate(name=name, spec_ref=ref, **members)


def built(*templates: ExperimentStepTemplate, labels: dict[str, str] | None = None, **step: Any) -> Experiment:
    world = deployed(experiment_step(*templates, **step), pause())
    metadata = replace(world.rollout.metadata, labels=labels or {})
    world.rollout = replace(world.rollout, metadata=metadata)
    world.set_image("v2")
    world.run()
    return find_experiment(world, FIRST)


def test_an_experiment_has_the_labels_of_its_rollout_and_belongs_to_it():
    made = built(labels={"team": "shop", "argo-rollouts.argoproj.io/controller-instance-id": "blue"}).metadata
    assert made.labels == {
        "team": "shop",
        "argo-rollouts.argoproj.io/controller-instance-id": "blue",
        "rollouts-pod-template-hash": V2,
    }
    assert made.annotations == {"rollout.argoproj.io/revision": "2"}
    assert made.owner_references == (owner(),)


def test_the_settings_of_the_step_are_those_of_the_experiment():
    made = built(
        duration="10m",
        dry_run=(DryRun(metric_name="errors"),),
        analysis_run_metadata=PodTemplateMetadata(labels={"a": "b"}),
        scale_down_delay_seconds=7,
    ).spec
    assert (made.duration, made.dry_run, made.scale_down_delay_seconds) == (
        "10m",
        (DryRun(metric_name="errors"),),
        7,
    )
    assert made.analysis_run_metadata == PodTemplateMetadata(labels={"a": "b"})
    assert made.progress_deadline_seconds is None
    assert not made.terminate


@pytest.mark.parametrize(("ref", "image", "pod_hash"), [("canary", "v2", V2), ("stable", "v1", V1)])
def test_a_template_runs_what_its_replica_set_runs(ref, image, pod_hash):
    (template,) = built(spec_ref(ref, replicas=3)).spec.templates
    pods = msgspec.json.decode(template.template)
    assert pods["spec"]["containers"][0]["image"] == image
    assert (template.name, template.replicas, template.min_ready_seconds) == ("t", 3, 0)
    assert template.selector == LabelSelector(match_labels={"app": "cart", "rollouts-pod-template-hash": pod_hash})


def test_labels_of_the_step_are_in_template_and_selector_and_the_replica_set_keeps_its_own():
    world = deployed(
        experiment_step(
            spec_ref("canary", metadata=PodTemplateMetadata(labels={"side": "new"}, annotations={"note": "n"}))
        ),
        pause(),
    )
    world.set_image("v2")
    world.run()
    (template,) = find_experiment(world, FIRST).spec.templates
    metadata = msgspec.json.decode(template.template)["metadata"]
    assert metadata["labels"] == {"app": "cart", "rollouts-pod-template-hash": V2, "side": "new"}
    assert metadata["annotations"] == {"note": "n"}
    assert template.selector is not None
    assert template.selector.match_labels["side"] == "new"
    assert "side" not in bytes(world.of_image("v2").spec.template).decode()


def test_a_selector_of_the_step_replaces_that_of_the_replica_set():
    own = LabelSelector(match_labels={"mine": "yes"})
    (template,) = built(spec_ref("canary", selector=own)).spec.templates
    assert template.selector == own


def test_labels_go_into_a_selector_that_has_none():
    step = spec_ref("canary", selector=LabelSelector(), metadata=PodTemplateMetadata(labels={"a": "b"}))
    (template,) = built(step).spec.templates
    assert template.selector == LabelSelector(match_labels={"a": "b"})


@pytest.mark.parametrize(
    ("members", "service"),
    [
        pytest.param({}, None, id="neither weight nor service"),
        pytest.param({"service": ExperimentService()}, ExperimentService(), id="a Service without name"),
        pytest.param({"service": ExperimentService(name="s")}, ExperimentService(name="s"), id="a Service"),
    ],
)
def test_a_template_has_a_service_when_somebody_wants_to_reach_it(members, service):
    (template,) = built(spec_ref("canary", **members)).spec.templates
    assert template.service == service


@pytest.mark.parametrize("named", [None, ExperimentService(name="mine")])
def test_a_template_with_weight_has_a_service(named):
    routing = TrafficRouting(plugins={"argoproj-labs/gatewayAPI": msgspec.Raw(b"{}")})
    step = experiment_step(spec_ref("canary", weight=10, service=named))
    world = deployed(
        step,
        pause(),
        services=[service("canary"), service("stable")],
        canary_service="canary",
        stable_service="stable",
        traffic_routing=routing,
    )
    world.set_image("v2")
    world.run()
    (template,) = find_experiment(world, FIRST).spec.templates
    assert template.service == (named or ExperimentService())


def test_arguments_of_its_analyses_are_texts_when_it_is_created():
    analyses = (
        ExperimentStepAnalysis(
            name="compare",
            template_name="errors",
            cluster_scope=True,
            required_for_completion=True,
            args=(
                AnalysisArgument(name="a", value="v"),
                AnalysisArgument(name="b", value_from=AnalysisArgumentValueFrom(pod_template_hash_value="Stable")),
                AnalysisArgument(
                    name="c", value_from=AnalysisArgumentValueFrom(field_ref=FieldRef(field_path="metadata.name"))
                ),
            ),
        ),
    )
    (made,) = built(analyses=analyses).spec.analyses
    assert isinstance(made, ExperimentAnalysis)
    assert [(each.name, each.value) for each in made.args] == [("a", "v"), ("b", V1), ("c", "cart")]
    assert (made.name, made.template_name, made.cluster_scope, made.required_for_completion) == (
        "compare",
        "errors",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(
            experiment_step(spec_ref("neither")),
            "Invalid template step SpecRef: must be canary or stable",
            id="an unknown version",
        ),
        pytest.param(
            experiment_step(
                analyses=(
                    ExperimentStepAnalysis(
                        name="x",
                        template_name="errors",
                        args=(
                            AnalysisArgument(
                                name="a", value_from=AnalysisArgumentValueFrom(field_ref=FieldRef(field_path="no.way"))
                            ),
                        ),
                    ),
                )
            ),
            "invalid path no.way in rollout",
            id="a field path that leads nowhere",
        ),
    ],
)
def test_what_no_experiment_can_be_made_of_fails_the_pass_and_the_wait_names_it(step, words):
    world = deployed(step, pause())
    world.set_image("v2")
    world.step()
    world.step()
    plan = world.step()
    assert words in plan.error
    assert plan.status is None
    assert world.experiments == []
    (wait,) = [each for each in plan.waits if each.reason is WaitReason.EXPERIMENT]
    assert words in wait.message
    assert wait.field == "spec.strategy.canary.steps[0].experiment"


# ---- Names that are taken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({}, FIRST, id="ours, unfinished, the same"),
        pytest.param({"status": ExperimentStatus(phase="Successful")}, f"{FIRST}-1", id="finished"),
        pytest.param(
            {"metadata": ObjectMeta(name=FIRST, owner_references=(owner(uid="other"),))},
            f"{FIRST}-1",
            id="somebody else's",
        ),
        pytest.param({"spec": Experiment().spec}, f"{FIRST}-1", id="another spec"),
    ],
)
def test_a_name_that_is_taken_is_shared_or_avoided(changes, name):
    original = find_experiment(updating(experiment_step(), pause()), FIRST)
    world = deployed(experiment_step(), pause())
    world.taken.append(replace(original, **changes))
    world.set_image("v2")
    for _ in range(3):
        world.step()
    assert current(world) == name
    assert names_of(world) == ([name] if name != FIRST else [])
    assert len(messages(world, "ExperimentCreated")) == len(world.experiments)


def test_an_experiment_that_was_told_to_stop_is_not_taken_for_a_new_one():
    world = updating(experiment_step(), pause())
    world.abort()
    world.run()
    world.retry()
    world.run()
    assert current(world) == f"{FIRST}-1"


def test_a_crash_after_the_creation_leads_to_the_same_experiment():
    world = deployed(experiment_step(), pause())
    world.set_image("v2")
    world.step()
    world.step()
    plan = world.plan()
    assert any(isinstance(each, CreateExperiment) for each in plan.actions)
    world.apply(plan, stop_after=1)
    world.run()
    assert (names_of(world), current(world)) == ([FIRST], FIRST)


# ---- Traffic ---------------------------------------------------------------------------------------------------------


def context_at(*steps: Any, index: int, phase: str = "Running", recorded: str = FIRST) -> RolloutContext:
    world = updating(experiment_step(), pause())
    statuses = (
        ExperimentTemplateStatus(name="second", service_name="svc-2", pod_template_hash="h2"),
        ExperimentTemplateStatus(name="first", service_name="svc-1", pod_template_hash="h1"),
        ExperimentTemplateStatus(name="third", service_name="svc-3", pod_template_hash="h3"),
    )
    set_experiment(world, FIRST, phase, template_statuses=statuses)
    world.change_strategy(steps=steps)
    canary = replace(world.status.canary, current_experiment=recorded)
    world.change_status(current_step_index=index, canary=canary)
    return RolloutContext(
        snapshot=world.snapshot(),
        now=NOW,
        rollout=world.rollout,
        computed_hash=V2,
        step_hash="",
        replica_sets=tuple(world.replica_sets.values()),
        new=world.of_image("v2"),
        stable=world.of_image("v1"),
    )


WEIGHTED = experiment_step(
    spec_ref("stable", "first", weight=5), spec_ref("canary", "second", weight=10), spec_ref("canary", "third")
)
BOTH = (
    WeightDestination(weight=10, service_name="svc-2", pod_template_hash="h2"),
    WeightDestination(weight=5, service_name="svc-1", pod_template_hash="h1"),
)


@pytest.mark.parametrize(
    ("steps", "options", "expected"),
    [
        pytest.param((WEIGHTED,), {"index": 0}, BOTH, id="in the order of the Experiment's status"),
        pytest.param((WEIGHTED, pause()), {"index": 1}, BOTH, id="the last experiment before the current step"),
        pytest.param((pause(), WEIGHTED), {"index": 0}, (), id="a later step"),
        pytest.param((WEIGHTED,), {"index": 0, "phase": "Pending"}, (), id="not running yet"),
        pytest.param((WEIGHTED,), {"index": 0, "phase": "Successful"}, (), id="not running any more"),
        pytest.param((WEIGHTED,), {"index": 0, "recorded": ""}, (), id="none is recorded"),
        pytest.param((WEIGHTED,), {"index": 0, "recorded": "gone"}, (), id="the recorded one is gone"),
        pytest.param((WEIGHTED, experiment_step()), {"index": 1}, (), id="the current step has no weights"),
        pytest.param((), {"index": 0}, (), id="no steps"),
    ],
)
def test_traffic_goes_to_the_weighted_templates_of_a_running_experiment(steps, options, expected):
    assert destinations(context_at(*steps, **options)) == expected
