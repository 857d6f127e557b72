"""AnalysisRuns of a canary: when they begin, what they are made of, and what their results do."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NOW, UID, owner, pause, replace, weight
from tests.core.rollout.runs_world import (
    V1,
    V2,
    V3,
    RunsWorld,
    analysis_step,
    analysis_template,
    background,
    cluster_template,
    deployed,
    find_run,
    is_stopped,
    messages,
    run,
    run_names,
    set_phase,
    updating,
)

from prograde.api.analysis import (
    AnalysisTemplateRef,
    AnalysisTemplateSpec,
    Argument,
    ArgumentValueFrom,
    DryRun,
    FieldRef,
    MeasurementRetention,
    PodTemplateMetadata,
    SecretKeyRef,
)
from prograde.api.meta import LabelSelector
from prograde.api.rollout import (
    AnalysisArgument,
    AnalysisArgumentValueFrom,
    AnalysisRunStrategy,
    CanaryStrategy,
    RollbackWindow,
    RolloutAnalysis,
    RolloutAnalysisRunStatus,
)
from prograde.core.plan import CreateAnalysisRun, Event, RunRef, TerminateAnalysisRun, WaitReason
from prograde.core.rollout.planner import plan_rollout

STEP = f"cart-{V2}-2-0"
BACKGROUND = f"cart-{V2}-2"


# ---- A step ----------------------------------------------------------------------------------------------------------


def test_a_step_creates_its_run_and_records_it_in_the_same_pass():
    world = deployed(analysis_step(), pause())
    world.set_image("v2")
    for _ in range(10):
        plan = world.step()
        if any(isinstance(each, CreateAnalysisRun) for each in plan.actions):
            break
    assert world.step_entry == (STEP, "")
    assert run_names(world) == [STEP]


def test_a_successful_run_completes_its_step_and_is_forgotten_with_it():
    world = updating(analysis_step(), pause())
    assert (world.index, world.step_entry) == (0, (STEP, ""))
    set_phase(world, STEP, "Running")
    world.run()
    assert (world.index, world.step_entry) == (0, (STEP, "Running"))
    set_phase(world, STEP, "Successful")
    world.step()
    assert (world.index, world.step_entry) == (1, None)
    assert "Rollout step 1/2 completed (analysis)" in messages(world, "RolloutStepCompleted")


def test_an_idle_pass_over_a_running_analysis_writes_nothing():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Running")
    world.run()
    assert world.step().writes_nothing


@pytest.mark.parametrize("phase", ["Failed", "Error"])
@pytest.mark.parametrize(("message", "suffix"), [("", ""), ("errors: 7 of 5", ": errors: 7 of 5")])
def test_a_failed_run_aborts_with_its_message_in_a_warning(phase, message, suffix):
    world = updating(weight(50), analysis_step())
    name = f"cart-{V2}-2-1"
    set_phase(world, name, phase, message)
    world.step()
    text = f"Rollout aborted update to revision 2: Step-based analysis phase error/failed{suffix}"
    assert world.status.abort
    assert world.status.message == f"RolloutAborted: {text}"
    assert messages(world, "RolloutAborted") == [text]
    assert {each.type for each in world.events if each.reason == "RolloutAborted"} == {"Warning"}
    world.run()
    assert world.step_entry is None
    assert world.index == 0
    assert world.shape() == "2/0"


def test_an_unclear_result_pauses_and_starts_nothing_while_the_pause_lasts():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Inconclusive", "neither nor")
    world.step()
    assert world.pauses == ["InconclusiveAnalysisRun"]
    assert world.status.controller_pause
    assert (world.status.phase, world.status.message) == ("Paused", "InconclusiveAnalysisRun")
    assert world.step_entry == (STEP, "Inconclusive")
    world.run()
    assert run_names(world) == [STEP]
    assert world.step().writes_nothing


def test_a_resume_after_an_unclear_result_measures_again_under_another_name():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Inconclusive")
    world.run()
    world.resume()
    world.run()
    assert run_names(world) == [STEP, f"{STEP}.1"]
    assert world.step_entry == (f"{STEP}.1", "")
    assert (world.pauses, world.status.controller_pause, world.index) == ([], False, 0)
    set_phase(world, f"{STEP}.1", "Inconclusive")
    world.run()
    world.resume()
    world.run()
    assert world.step_entry == (f"{STEP}.2", "")


def test_a_promotion_after_an_unclear_result_accepts_it():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Inconclusive")
    world.run()
    world.promote()
    world.run()
    assert run_names(world) == [STEP]
    assert (world.index, world.pauses, world.step_entry) == (1, ["CanaryPauseStep"], None)


def test_an_unclear_result_that_meets_a_kept_resume_still_pauses():
    """A user's pause keeps our mark of a resume, which must not be taken for one again and again."""
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Inconclusive")
    world.run()
    world.change_spec(paused=True)
    world.resume()
    world.run()
    assert run_names(world) == [STEP, f"{STEP}.1"]
    assert world.status.controller_pause
    set_phase(world, f"{STEP}.1", "Inconclusive")
    world.run()
    assert world.pauses == ["InconclusiveAnalysisRun"]
    assert run_names(world) == [STEP, f"{STEP}.1"]


def test_a_promotion_over_a_running_analysis_stops_it_and_the_next_step_gets_its_own_run():
    world = updating(analysis_step(), analysis_step("latency"), pause())
    set_phase(world, STEP, "Running")
    world.run()
    world.promote()
    world.step()
    assert world.step_entry is None
    assert is_stopped(find_run(world, STEP))
    assert run_names(world) == [STEP]
    world.step()
    assert world.step_entry == (f"cart-{V2}-2-1", "")
    assert find_run(world, f"cart-{V2}-2-1").metadata.labels["step-index"] == "1"


def test_a_step_without_templates_is_complete_at_once():
    world = deployed(analysis_step(), pause())
    world.change_strategy(steps=(replace(analysis_step(), analysis=RolloutAnalysis()), pause()))
    world.run()
    world.set_image("v2")
    world.run()
    assert (world.index, run_names(world), world.pauses) == (1, [], ["CanaryPauseStep"])


def test_a_paused_user_does_not_stop_an_analysis_but_its_success_waits():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Running")
    world.run()
    world.change_spec(paused=True)
    world.run()
    assert not is_stopped(find_run(world, STEP))
    set_phase(world, STEP, "Successful")
    world.run()
    assert (world.index, world.step_entry) == (0, (STEP, "Successful"))
    world.change_spec(paused=False)
    world.run()
    assert world.index == 1


def test_the_wait_for_a_step_says_what_is_measured_and_how_to_go_on():
    world = updating(analysis_step("errors", "latency"), pause())
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.ANALYSIS]
    assert wait.message == (
        f"step 1/2 waits for AnalysisRun {STEP}, which has not been started yet; it measures errors, latency"
    )
    assert (wait.object, wait.field) == (f"AnalysisRun {STEP}", "status.phase")
    assert wait.remedy == "to go on without its result: prograde promote cart; to go back: prograde abort cart"
    assert wait.since == find_run(world, STEP).metadata.creation_timestamp
    set_phase(world, STEP, "Running")
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.ANALYSIS]
    assert "which is running" in wait.message


def test_an_analysis_that_takes_longer_than_the_progress_deadline_is_no_failure():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Running")
    world.run()
    world.tick(3600)
    world.run()
    assert world.status.phase == "Progressing"


# ---- In the background -----------------------------------------------------------------------------------------------


def test_a_background_run_begins_with_the_update_and_holds_nothing_up():
    world = updating(weight(50), pause(), analysis=background())
    assert world.background_entry == (BACKGROUND, "")
    assert (world.index, world.pauses) == (1, ["CanaryPauseStep"])
    assert "Analysis" not in [str(each.reason) for each in world.plan().waits]
    labels = find_run(world, BACKGROUND).metadata.labels
    assert labels["rollout-type"] == "Background"
    assert "step-index" not in labels


@pytest.mark.parametrize(("starting_step", "runs"), [(None, 1), (0, 1), (1, 1), (2, 0)])
def test_a_background_run_waits_for_its_starting_step(starting_step, runs):
    world = updating(weight(50), pause(), pause(), analysis=background(starting_step=starting_step))
    assert world.index == 1
    assert len(world.analysis_runs) == runs
    world.resume()
    world.run()
    assert world.index == 2
    assert len(world.analysis_runs) == 1


def test_a_background_run_needs_no_steps():
    world = deployed(analysis=background())
    world.broken_images = {"v2"}
    world.set_image("v2")
    world.run()
    assert world.background_entry == (BACKGROUND, "")


def test_a_first_deployment_has_no_background_run():
    world = deployed(pause(), analysis=background())
    assert world.analysis_runs == []
    assert world.background_entry is None


def test_a_status_without_current_hash_starts_no_background_run():
    world = updating(pause(), analysis=background())
    world.analysis_runs.clear()
    canary = replace(world.status.canary, current_background_analysis_run_status=None)
    world.change_status(current_pod_hash="", canary=canary)
    assert not [each for each in world.plan().actions if isinstance(each, CreateAnalysisRun)]


def test_a_background_run_before_its_starting_step_is_stopped():
    world = updating(pause(), analysis=background())
    world.change_strategy(analysis=background(starting_step=1))
    world.run()
    assert is_stopped(find_run(world, BACKGROUND))
    assert world.background_entry is None


@pytest.mark.parametrize("changed", [None, background("latency")])
def test_a_background_run_is_stopped_when_it_is_not_configured_any_more(changed):
    world = updating(pause(), analysis=background())
    set_phase(world, BACKGROUND, "Running")
    world.change_strategy(analysis=replace(changed, templates=()) if changed else None)
    world.run()
    assert is_stopped(find_run(world, BACKGROUND))
    assert world.background_entry is None


def test_a_failed_background_run_aborts():
    world = updating(weight(50), pause(), analysis=background())
    set_phase(world, BACKGROUND, "Failed", "too many errors")
    world.run()
    assert world.status.message.endswith("Background analysis phase error/failed: too many errors")
    assert world.shape() == "2/0"


def test_a_background_run_that_succeeds_early_is_left_alone():
    world = updating(weight(50), pause(), analysis=background())
    set_phase(world, BACKGROUND, "Successful")
    world.run()
    assert world.background_entry == (BACKGROUND, "Successful")
    assert run_names(world) == [BACKGROUND]


def test_an_unclear_background_run_pauses_and_a_resume_measures_again():
    world = updating(weight(50), pause(), pause(), analysis=background())
    set_phase(world, BACKGROUND, "Inconclusive")
    world.run()
    assert set(world.pauses) == {"CanaryPauseStep", "InconclusiveAnalysisRun"}
    assert run_names(world) == [BACKGROUND]
    assert world.background_entry == (BACKGROUND, "Inconclusive")
    world.resume()
    world.run()
    assert world.background_entry == (f"{BACKGROUND}.1", "")


def test_steps_do_not_move_while_a_background_result_is_unclear():
    world = updating(analysis_step(), weight(50), pause(), analysis=background("latency"))
    set_phase(world, BACKGROUND, "Inconclusive")
    world.run()
    set_phase(world, STEP, "Successful")
    world.run()
    assert (world.index, world.shape()) == (0, "2/0")


def test_a_step_is_judged_when_the_pause_for_something_else_is_over():
    world = updating(analysis_step(), pause(), analysis=background("latency"))
    set_phase(world, BACKGROUND, "Inconclusive")
    world.run()
    set_phase(world, STEP, "Failed")
    world.run()
    assert (world.status.abort, world.step_entry) == (False, (STEP, "Failed"))
    world.resume()
    world.step()
    assert world.status.abort


def test_a_promoted_rollout_stops_its_background_run_and_forgets_it():
    world = updating(weight(50), pause(), analysis=background())
    set_phase(world, BACKGROUND, "Running")
    world.run()
    world.resume()
    world.run_to_phase("Healthy")
    assert is_stopped(find_run(world, BACKGROUND))
    assert world.background_entry is None


def test_both_results_of_one_pass_are_judged_and_the_first_reason_counts():
    world = updating(analysis_step(), pause(), analysis=background("latency"))
    set_phase(world, STEP, "Failed", "first")
    set_phase(world, BACKGROUND, "Failed", "second")
    world.step()
    assert world.status.message.endswith("Step-based analysis phase error/failed: first")


# ---- When none is needed, or all end ---------------------------------------------------------------------------------


def test_an_abort_stops_every_run_and_a_retry_begins_anew():
    world = updating(analysis_step(), pause(), analysis=background("latency"))
    world.abort()
    world.run()
    assert all(is_stopped(each) for each in world.analysis_runs)
    assert (world.step_entry, world.background_entry) == (None, None)
    for name in (STEP, BACKGROUND):
        set_phase(world, name, "Successful")
    world.run()
    world.retry()
    world.run()
    assert (world.step_entry, world.background_entry) == ((f"{STEP}.1", ""), (f"{BACKGROUND}.1", ""))


def test_a_run_that_was_told_to_stop_is_not_taken_for_a_new_one():
    """It would soon count as successful without having measured anything."""
    world = updating(analysis_step(), pause())
    world.abort()
    world.run()
    world.retry()
    world.run()
    assert world.step_entry == (f"{STEP}.1", "")


def test_a_full_promotion_stops_every_run():
    world = updating(analysis_step(), pause(), analysis=background("latency"))
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    assert all(is_stopped(each) for each in world.analysis_runs)
    assert len(world.analysis_runs) == 2


def test_a_rollback_within_the_window_is_not_analysed():
    world = deployed(weight(50), pause(), analysis=background())
    world.change_spec(rollback_window=RollbackWindow(revisions=1))
    world.set_image("v2")
    world.run()
    set_phase(world, BACKGROUND, "Successful")
    world.resume()
    world.run_to_phase("Healthy")
    world.set_image("v1")
    world.run_to_phase("Healthy")
    assert run_names(world) == [BACKGROUND]


def test_going_back_to_stable_stops_the_runs_of_the_attempt():
    world = updating(weight(50), pause(), analysis=background())
    world.set_image("v1")
    world.run_to_phase("Healthy")
    assert is_stopped(find_run(world, BACKGROUND))


def test_a_new_template_stops_the_runs_of_the_one_before():
    world = updating(weight(50), pause(), analysis=background())
    set_phase(world, BACKGROUND, "Running")
    world.run()
    world.set_image("v3")
    world.run()
    assert is_stopped(find_run(world, BACKGROUND))
    assert world.background_entry == (f"cart-{V3}-3", "")


def test_a_changed_size_leaves_the_runs_alone():
    world = updating(weight(50), analysis_step(), pause())
    name = f"cart-{V2}-2-1"
    set_phase(world, name, "Running")
    world.run()
    world.change_spec(replicas=4)
    world.run()
    assert world.step_entry == (name, "Running")
    assert not is_stopped(find_run(world, name))


def test_a_retry_that_meets_a_changed_size_still_forgets_the_old_runs():
    world = updating(weight(50), analysis_step(), pause())
    name = f"cart-{V2}-2-1"
    set_phase(world, name, "Failed")
    world.step()
    assert world.step_entry == (name, "Failed")
    world.retry()
    world.change_spec(replicas=4)
    world.run()
    assert not world.status.abort
    assert world.step_entry == (f"{name}.1", "")


# ---- Others and history ----------------------------------------------------------------------------------------------


def test_leftover_runs_are_stopped_and_the_current_one_is_not():
    world = updating(analysis_step(), pause(), analysis=background("latency"))
    world.analysis_runs.append(run("older", "Running", step=3))
    canary = world.rollout.spec.strategy.canary
    assert canary is not None
    world.change_strategy(analysis=None)
    world.run()
    assert is_stopped(find_run(world, "older"))
    assert is_stopped(find_run(world, BACKGROUND))
    assert not is_stopped(find_run(world, STEP))


def test_a_run_that_was_just_created_is_not_stopped_as_a_leftover():
    """The cache may show it before the status that names it."""
    world = updating(analysis_step(), pause())
    world.change_status(canary=replace(world.status.canary, current_step_analysis_run_status=None))
    plan = world.step()
    assert not [each for each in plan.actions if isinstance(each, TerminateAnalysisRun | CreateAnalysisRun)]
    assert world.step_entry == (STEP, "")


@pytest.mark.parametrize(
    ("extra", "is_deleted"),
    [
        pytest.param(run("a", "Running", labels={}), True, id="no hash label, whatever its phase"),
        pytest.param(run("a", "Successful", pod_hash="gone"), True, id="no ReplicaSet of its hash"),
        pytest.param(run("a", "Running"), False, id="unfinished"),
        pytest.param(run("a", "Successful"), False, id="within the limit"),
    ],
)
def test_history_deletes_runs_without_revision(extra, is_deleted):
    world = updating(pause())
    world.analysis_runs.append(extra)
    world.run()
    assert ("a" not in run_names(world)) is is_deleted


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        pytest.param({}, {"s0", "s1", "s2", "s3", "s4", "f0", "f1", "f2", "f3", "f4"}, id="five and five"),
        pytest.param({"successful_run_history_limit": 1}, {"s0", "f0", "f1", "f2", "f3", "f4"}, id="fewer successes"),
        pytest.param({"successful_run_history_limit": 0, "unsuccessful_run_history_limit": 0}, set(), id="none at all"),
    ],
)
def test_history_keeps_the_newest_finished_runs(limits, kept):
    world = updating(pause())
    phases = ["Failed", "Error", "Inconclusive", "Failed", "Error", "Inconclusive"]
    for age, phase in enumerate(phases):
        world.analysis_runs.append(run(f"s{age}", "Successful", age_seconds=60 * age))
        world.analysis_runs.append(run(f"f{age}", phase, age_seconds=60 * age))
    world.change_spec(analysis=AnalysisRunStrategy(**limits))
    world.run()
    assert set(run_names(world)) == {each for each in kept if each not in ("s5", "f5")}


def test_unfinished_runs_are_stopped_and_never_deleted_for_their_number():
    world = updating(pause())
    world.change_spec(analysis=AnalysisRunStrategy(successful_run_history_limit=0, unsuccessful_run_history_limit=0))
    world.analysis_runs += [run("a", "Running"), run("b", "Pending", step=1)]
    world.run()
    assert run_names(world) == ["a", "b"]
    assert all(is_stopped(each) for each in world.analysis_runs)


def test_a_current_run_never_counts_as_history():
    world = updating(analysis_step(), pause())
    world.change_spec(analysis=AnalysisRunStrategy(successful_run_history_limit=0, unsuccessful_run_history_limit=0))
    set_phase(world, STEP, "Inconclusive")
    world.run()
    assert run_names(world) == [STEP]


# ---- A run that the cache does not know ------------------------------------------------------------------------------


def test_a_recorded_run_that_is_not_in_the_cache_is_asked_for_before_anything_is_decided():
    world = updating(analysis_step(), pause())
    hidden, world.analysis_runs = world.analysis_runs, []
    snapshot = world.snapshot()
    plan = plan_rollout(snapshot, world.now)
    assert plan.wants_runs == (RunRef("AnalysisRun", STEP),)
    assert (plan.groups, plan.status, plan.writes_nothing) == ((), None, False)
    found = replace(snapshot, analysis_runs=tuple(hidden), looked_up=frozenset(plan.wants_runs))
    assert plan_rollout(found, world.now).writes_nothing


def test_a_recorded_run_that_does_not_exist_is_replaced():
    world = updating(analysis_step(), pause())
    world.analysis_runs.clear()
    world.run()
    assert world.step_entry == (STEP, "")
    assert run_names(world) == [STEP]


# ---- What a run is made of -------------------------------------------------------------------------------------------


def test_a_run_has_the_labels_annotations_and_owner_by_which_it_is_recognised():
    world = deployed(
        analysis_step(
            "errors",
            analysis_run_metadata=PodTemplateMetadata(
                labels={"team": "shop", "app": "other", "rollout-type": "Mine", "rollouts-pod-template-hash": "x"},
                annotations={"note": "n", "rollout.argoproj.io/revision": "9"},
            ),
        ),
        pause(),
    )
    metadata = replace(
        world.rollout.metadata, labels={"argo-rollouts.argoproj.io/controller-instance-id": "blue", "own": "label"}
    )
    world.rollout = replace(world.rollout, metadata=metadata)
    world.set_image("v2")
    world.run()
    made = find_run(world, STEP).metadata
    assert made.labels == {
        "team": "shop",
        "app": "cart",
        "rollouts-pod-template-hash": V2,
        "rollout-type": "Step",
        "step-index": "0",
        "argo-rollouts.argoproj.io/controller-instance-id": "blue",
    }
    assert made.annotations == {"rollout.argoproj.io/revision": "9", "note": "n"}
    assert made.owner_references == (owner(),)
    assert made.namespace == "shop"


def test_a_refused_run_has_words_for_people():
    world = deployed(analysis_step(), pause())
    world.set_image("v2")
    world.step()
    world.step()
    (create,) = [each for each in world.plan().actions if isinstance(each, CreateAnalysisRun)]
    assert create.failure == Event(
        "ReconciliationError",
        f"Reconciliation failed with error: AnalysisRun {STEP} could not be created",
        "Warning",
    )


def test_templates_are_collected_through_each_other_and_across_the_cluster():
    group = AnalysisTemplateSpec(
        templates=(
            AnalysisTemplateRef(template_name="errors"),
            AnalysisTemplateRef(template_name="latency"),
            AnalysisTemplateRef(template_name="errors"),
            AnalysisTemplateRef(template_name="saturation", cluster_scope=True),
        )
    )
    world = updating(
        analysis_step(
            "group",
            dry_run=(DryRun(metric_name="errors"),),
            measurement_retention=(MeasurementRetention(metric_name="late.*", limit=2),),
        ),
        pause(),
        templates=[replace(analysis_template("group"), spec=group), cluster_template("saturation", "cpu")],
    )
    spec = find_run(world, STEP).spec
    assert [each.name for each in spec.metrics] == ["errors", "latency", "cpu"]
    assert spec.dry_run == (DryRun(metric_name="errors"),)
    assert spec.measurement_retention == (MeasurementRetention(metric_name="late.*", limit=2),)
    assert spec.ttl_strategy is None


def test_a_run_of_templates_without_metrics_still_has_the_field_that_the_cluster_asks_for():
    empty = replace(analysis_template("empty"), spec=AnalysisTemplateSpec())
    world = deployed(analysis_step("empty"), pause(), templates=[empty])
    world.set_image("v2")
    world.step()
    world.step()
    (create,) = [each for each in world.plan().actions if isinstance(each, CreateAnalysisRun)]
    assert create.manifest["spec"] == {"metrics": []}


def argument(name: str, value: str = "", *, pod_hash: str | None = None, path: str | None = None) -> AnalysisArgument:
    source = AnalysisArgumentValueFrom(
        pod_template_hash_value=pod_hash, field_ref=FieldRef(field_path=path) if path else None
    )
    return AnalysisArgument(name=name, value=value, value_from=source if pod_hash or path else None)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        pytest.param(argument("x", "plain"), "plain", id="as written"),
        pytest.param(argument("x"), "", id="nothing is the empty text and wins over the template"),
        pytest.param(argument("x", pod_hash="Latest"), V2, id="the new revision"),
        pytest.param(argument("x", pod_hash="Stable"), V1, id="the stable revision"),
        pytest.param(argument("x", "v", pod_hash="Other"), "v", id="an unknown revision"),
        pytest.param(argument("x", path="metadata.name"), "cart", id="metadata"),
        pytest.param(argument("x", path="metadata.labels['none']"), "", id="a label that is not there"),
        pytest.param(argument("x", path="spec.replicas"), "2", id="a number"),
        pytest.param(argument("x", path="spec.strategy.canary.steps[1].setWeight"), "50", id="in a list"),
        pytest.param(argument("x", path="status.stableRS"), V1, id="of the status"),
    ],
)
def test_arguments_become_texts_when_the_run_is_created(given, value):
    world = deployed(analysis_step("errors", args=(given,)), weight(50))
    world.templates["errors"] = analysis_template("errors", args=(Argument(name="x", value="default"),))
    world.set_image("v2")
    world.run()
    assert find_run(world, STEP).spec.args == (Argument(name="x", value=value),)


def test_a_secret_of_the_template_stays_and_undeclared_arguments_are_dropped():
    world = deployed(analysis_step("errors", args=(argument("unknown", "x"),)), pause())
    secret = Argument(name="token", value_from=ArgumentValueFrom(secret_key_ref=SecretKeyRef(name="keys", key="token")))
    world.templates["errors"] = analysis_template("errors", args=(secret,))
    world.set_image("v2")
    world.run()
    assert find_run(world, STEP).spec.args == (secret,)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("spec.strategy.canary.steps[x]", "invalid index 'x'", id="no index"),
        pytest.param("spec.strategy.canary.steps[9]", "index 9 out of range", id="beyond the list"),
        pytest.param("spec.none", "invalid path spec.none in rollout", id="no such field"),
        pytest.param(
            "spec.strategy", "path spec.strategy in rollout must terminate in a primitive value", id="an object"
        ),
    ],
)
def test_a_field_path_that_leads_nowhere_fails_the_pass_and_the_wait_names_it(path, words):
    given = (argument("x", path=path), argument("y", path="metadata.name"))
    world = deployed(analysis_step("errors", args=given), pause())
    world.set_image("v2")
    world.step()
    world.step()
    plan = world.step()
    assert words in plan.error
    assert plan.status is None
    assert world.analysis_runs == []
    (wait,) = [each for each in plan.waits if each.reason is WaitReason.ANALYSIS]
    assert words in wait.message
    assert wait.field == "spec.strategy.canary.steps[0].analysis"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"errors": None}, "AnalysisTemplate 'errors' not found", id="a template is missing"),
        pytest.param(
            {"latency": analysis_template("latency", "errors")},
            "two metrics have the same name 'errors'",
            id="a metric is there twice",
        ),
    ],
)
def test_templates_that_do_not_make_a_run_make_the_spec_invalid(change, words):
    world = deployed(analysis_step("errors", "latency"), pause())
    for name, changed in change.items():
        if changed is None:
            del world.templates[name]
        else:
            world.templates[name] = changed
    world.set_image("v2")
    world.run()
    assert world.status.phase == "Degraded"
    assert words in world.status.message
    assert world.analysis_runs == []


# ---- Names that are taken --------------------------------------------------------------------------------------------


def holder(world: RunsWorld, phase: str, **changes: object) -> None:
    """Let the API server have a run of the wanted name that the cache does not know."""
    made = run(STEP, phase, metrics=world.templates["errors"].spec.metrics)
    world.taken.append(replace(made, **changes))


@pytest.mark.parametrize(
    ("phase", "changes", "name"),
    [
        pytest.param("", {}, STEP, id="just created by us"),
        pytest.param("Running", {}, STEP, id="running, ours and the same"),
        pytest.param("Successful", {}, f"{STEP}.1", id="finished"),
        pytest.param("Running", {"spec": run("x").spec}, f"{STEP}.1", id="measures something else"),
        pytest.param(
            "Running",
            {"metadata": replace(run(STEP).metadata, owner_references=(owner(uid="other"),))},
            f"{STEP}.1",
            id="somebody else's",
        ),
        pytest.param(
            "Running",
            {"metadata": replace(run(STEP).metadata, deletion_timestamp=NOW)},
            f"{STEP}.1",
            id="being deleted",
        ),
    ],
)
def test_a_name_that_is_taken_is_shared_or_avoided(phase, changes, name):
    world = deployed(analysis_step(), pause())
    holder(world, phase, **changes)
    world.set_image("v2")
    for _ in range(3):
        world.step()
    entry = world.step_entry
    assert entry is not None
    assert entry[0] == name
    assert run_names(world) == ([name] if name != STEP else [])


def test_the_order_of_keys_in_a_stored_run_does_not_matter():
    world = updating(analysis_step(), pause())
    made = find_run(world, STEP)
    world.change_status(canary=replace(world.status.canary, current_step_analysis_run_status=None))
    assert made.metadata.owner_references[0].uid == UID
    world.step()
    assert world.step_entry == (STEP, "")


# ---- Events ----------------------------------------------------------------------------------------------------------


def test_every_change_of_phase_is_told_once():
    world = updating(analysis_step(), pause())
    for phase in ("Pending", "Running", "Running", "Successful"):
        set_phase(world, STEP, phase)
        world.run()
    told = [each for each in world.events if each.reason.startswith("AnalysisRun")]
    text = f"Step Analysis Run '{STEP}' Status New: '{{}}' Previous: '{{}}'"
    assert [(each.reason, each.type, each.message) for each in told] == [
        ("AnalysisRunPending", "Normal", text.format("Pending", "")),
        ("AnalysisRunRunning", "Normal", text.format("Running", "Pending")),
        ("AnalysisRunSuccessful", "Normal", text.format("Successful", "Running")),
    ]


@pytest.mark.parametrize("phase", ["Failed", "Error"])
def test_a_bad_end_is_a_warning(phase):
    world = updating(pause(), analysis=background())
    set_phase(world, BACKGROUND, phase)
    world.step()
    (told,) = [each for each in world.events if each.reason.startswith("AnalysisRun")]
    assert (told.reason, told.type) == (f"AnalysisRun{phase}", "Warning")
    assert told.message.startswith(f"Background Analysis Run '{BACKGROUND}'")


def test_a_run_that_was_found_with_a_phase_is_told_without_a_previous_one():
    world = updating(analysis_step(), pause())
    set_phase(world, STEP, "Running")
    world.change_status(canary=replace(world.status.canary, current_step_analysis_run_status=None))
    world.step()
    assert messages(world, "AnalysisRunRunning") == [
        f"Step Analysis Run '{STEP}' Status New: 'Running' Previous: 'NoPreviousStatus'"
    ]


def test_a_run_that_replaces_another_is_told_of_from_the_next_pass_on():
    world = updating(analysis_step(), pause())
    entry = RolloutAnalysisRunStatus(name="gone", status="Failed")
    set_phase(world, STEP, "Running")
    world.change_status(canary=replace(world.status.canary, current_step_analysis_run_status=entry))
    world.step()
    assert world.step_entry == (STEP, "Running")
    assert messages(world, "AnalysisRunRunning") == []


# ---- Whole updates ---------------------------------------------------------------------------------------------------


def test_a_crash_after_any_write_of_the_pass_that_starts_a_run_leads_to_the_same_end():
    world = deployed(analysis_step(), pause())
    world.set_image("v2")
    world.step()
    world.step()
    plan = world.plan()
    assert any(isinstance(each, CreateAnalysisRun) for each in plan.actions)
    for stop_after in range(1, len(list(plan.actions)) + 1):
        other = deployed(analysis_step(), pause())
        other.set_image("v2")
        other.step()
        other.step()
        other.apply(other.plan(), stop_after=stop_after)
        other.run()
        assert run_names(other) == [STEP]
        assert other.step_entry == (STEP, "")


def test_a_rollout_without_analysis_asks_for_no_runs():
    world = RunsWorld(replace(deployed(weight(50)).rollout))
    assert isinstance(world.rollout.spec.strategy.canary, CanaryStrategy)
    assert plan_rollout(world.snapshot(), world.now + timedelta(seconds=1)).wants_runs == ()


def test_selector_labels_of_the_rollout_are_on_the_run():
    world = deployed(analysis_step(), pause())
    world.change_spec(selector=LabelSelector(match_labels={"app": "cart"}))
    world.set_image("v2")
    world.run()
    assert find_run(world, STEP).metadata.labels["app"] == "cart"
