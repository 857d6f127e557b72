"""Analyses around the switch of a blue-green update, and what they do to the gates."""

from datetime import timedelta

import pytest
from tests.core.rollout.bluegreen_world import ACTIVE, BlueGreenWorld
from tests.core.rollout.builders import replace, service
from tests.core.rollout.runs_world import (
    V2,
    V3,
    analysis,
    check_runs,
    find_run,
    is_stopped,
    messages,
    paused,
    run_names,
    set_phase,
    updating_blue_green,
)

from prograde.api.rollout import BlueGreenStatus, RollbackWindow, RolloutAnalysis, RolloutAnalysisRunStatus
from prograde.core.plan import CreateAnalysisRun, WaitReason

PRE, POST = f"cart-{V2}-2-pre", f"cart-{V2}-2-post"
MANUAL = {"auto_promotion_enabled": False}


def entry(world: BlueGreenWorld, kind: str) -> tuple[str, str] | None:
    status = world.status.blue_green
    found = status.pre_promotion_analysis_run_status if kind == "pre" else status.post_promotion_analysis_run_status
    return None if found is None else (found.name, found.status)


def before(**options: object) -> BlueGreenWorld:
    """An update that waits for its analysis before the switch."""
    world = updating_blue_green(pre_promotion_analysis=analysis(), **options)
    assert entry(world, "pre") == (PRE, "")
    return world


def after(**options: object) -> BlueGreenWorld:
    """An update that has switched and waits for its analysis."""
    world = updating_blue_green(post_promotion_analysis=analysis(), **options)
    assert (world.active, world.stable) == ("v2", "v1")
    assert entry(world, "post") == (POST, "")
    return world


# ---- Before the switch -----------------------------------------------------------------------------------------------


def test_the_switch_waits_for_the_analysis_and_follows_its_success():
    world = before()
    assert (world.active, world.preview) == ("v1", "v2")
    set_phase(world, PRE, "Running")
    world.settle()
    assert world.active == "v1"
    set_phase(world, PRE, "Successful")
    world.step()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    assert entry(world, "pre") == (PRE, "Successful")


def test_labels_and_name_say_which_analysis_it_is():
    world = updating_blue_green(pre_promotion_analysis=analysis(), post_promotion_analysis=analysis("latency"))
    assert find_run(world, PRE).metadata.labels["rollout-type"] == "PrePromotion"
    set_phase(world, PRE, "Successful")
    world.settle()
    assert find_run(world, POST).metadata.labels["rollout-type"] == "PostPromotion"
    assert "step-index" not in find_run(world, POST).metadata.labels


def test_the_analysis_waits_for_all_pods_and_then_does_without_them():
    world = BlueGreenWorld.deployed(replicas=2)
    world.templates = dict(updating_blue_green().templates)
    world.edit_strategy(pre_promotion_analysis=analysis())
    world.settle()
    world.set_image("v2")
    world.steps(3)
    world.set_pods("v2", available=1)
    world.steps(2)
    assert world.analysis_runs == []
    world.set_pods("v2", available=2)
    world.step()
    assert run_names(world) == [PRE]
    world.set_pods("v2", available=1)
    world.steps(2)
    assert entry(world, "pre") == (PRE, "")
    assert not is_stopped(find_run(world, PRE))


@pytest.mark.parametrize(("available", "runs"), [(2, []), (3, [PRE])])
def test_a_preview_of_its_own_size_is_complete_at_that_size(available, runs):
    world = updating_blue_green(replicas=5, preview_replica_count=3)
    assert world.sizes["v2"] == 5
    world = BlueGreenWorld.deployed(replicas=5, preview_replica_count=3, **MANUAL)
    world.templates = dict(updating_blue_green().templates)
    world.edit_strategy(pre_promotion_analysis=analysis())
    world.settle()
    world.set_image("v2")
    world.steps(3)
    world.set_pods("v2", available=available)
    world.step()
    assert run_names(world) == runs


@pytest.mark.parametrize(
    ("status", "why"),
    [
        pytest.param({"stable_rs": V2}, "it is stable", id="stable"),
        pytest.param({"blue_green": BlueGreenStatus()}, "nothing has the traffic", id="no active selector"),
        pytest.param({"blue_green": BlueGreenStatus(active_selector=V2)}, "it has the traffic", id="active"),
    ],
)
def test_no_analysis_before_a_switch_that_is_not_to_come(status, why):
    world = updating_blue_green(**MANUAL)
    world.edit_strategy(pre_promotion_analysis=analysis())
    world.change_status(pause_conditions=(), controller_pause=False, **status)
    assert not [each for each in world.plan().actions if isinstance(each, CreateAnalysisRun)], why


def test_a_first_deployment_is_neither_analysed_nor_paused():
    world = BlueGreenWorld.create(replicas=2, pre_promotion_analysis=analysis(), **MANUAL)
    world.templates = dict(updating_blue_green().templates)
    world.settle()
    assert (world.status.phase, world.analysis_runs, world.pauses) == ("Healthy", [], [])


def test_the_pause_begins_when_the_analysis_has_succeeded():
    world = before(auto_promotion_seconds=10)
    world.tick(60)
    world.settle()
    assert world.pauses == []
    set_phase(world, PRE, "Successful")
    world.settle()
    assert world.pauses == ["BlueGreenPause"]
    world.tick(9)
    world.settle()
    assert world.active == "v1"
    world.tick(2)
    world.settle()
    assert (world.active, world.status.phase) == ("v2", "Healthy")


def test_a_manual_pause_follows_a_success_too():
    world = before(**MANUAL)
    set_phase(world, PRE, "Successful")
    world.settle()
    assert (world.pauses, world.active) == (["BlueGreenPause"], "v1")
    world.promote()
    world.settle()
    assert (world.active, world.stable) == ("v2", "v2")


def test_a_left_over_pause_without_a_gate_ends_with_the_success():
    world = before()
    world.change_status(pause_conditions=paused("BlueGreenPause"), controller_pause=True)
    set_phase(world, PRE, "Successful")
    world.settle()
    assert (world.active, world.pauses) == ("v2", [])


def test_a_small_preview_grows_only_after_its_analysis():
    world = before(replicas=3, preview_replica_count=1)
    assert world.sizes["v2"] == 1
    set_phase(world, PRE, "Successful")
    world.settle()
    assert (world.sizes["v2"], world.active, world.stable) == (3, "v2", "v2")
    assert run_names(world) == [PRE]


@pytest.mark.parametrize("phase", ["Failed", "Error"])
@pytest.mark.parametrize(("message", "suffix"), [("", ""), ("too slow", ": too slow")])
def test_a_failure_before_the_switch_aborts_and_the_traffic_never_moved(phase, message, suffix):
    world = before()
    world.change_status(pause_conditions=paused("BlueGreenPause"), controller_pause=True)
    world.events.clear()
    set_phase(world, PRE, phase, message)
    world.step()
    text = f"Rollout aborted update to revision 2: Blue/green pre-promotion analysis phase error/failed{suffix}"
    assert messages(world, "RolloutAborted") == [text]
    assert (world.status.abort, world.pauses, world.status.controller_pause) == (True, [], False)
    assert (world.status.phase, world.active) == ("Degraded", "v1")
    assert messages(world, f"AnalysisRun{phase}")[0].startswith(f"PrePromotion Analysis Run '{PRE}'")
    world.settle()
    assert entry(world, "pre") == (PRE, phase), "the result of an aborted update stays to be seen"


def test_an_unclear_result_pauses_beside_the_pause_that_is_there_and_nothing_moves():
    world = before(**MANUAL)
    world.change_status(pause_conditions=paused("BlueGreenPause"), controller_pause=True)
    world.settle()
    set_phase(world, PRE, "Inconclusive")
    world.step()
    assert world.pauses == ["BlueGreenPause", "InconclusiveAnalysisRun"]
    assert entry(world, "pre") == (PRE, "Inconclusive")
    world.settle()
    assert world.step().writes_nothing
    assert (world.active, run_names(world)) == ("v1", [PRE])


def test_a_resume_after_an_unclear_result_measures_again_and_does_not_skip_the_pause():
    world = before(**MANUAL)
    set_phase(world, PRE, "Inconclusive")
    world.settle()
    world.promote()
    world.settle()
    assert run_names(world) == [PRE, f"{PRE}.1"]
    assert (world.active, world.pauses) == ("v1", [])
    set_phase(world, f"{PRE}.1", "Successful")
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])


def test_a_full_promotion_stops_the_analysis_and_goes_on():
    world = before()
    set_phase(world, PRE, "Running")
    world.settle()
    world.promote_full()
    world.settle()
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")
    assert is_stopped(find_run(world, PRE))
    assert run_names(world) == [PRE]


def test_an_abort_stops_the_analysis_and_keeps_its_entry():
    world = before()
    world.abort()
    world.settle()
    assert is_stopped(find_run(world, PRE))
    assert entry(world, "pre") == (PRE, "")
    set_phase(world, PRE, "Successful")
    world.settle()
    assert entry(world, "pre") == (PRE, "Successful")
    assert len(messages(world, "AnalysisRunSuccessful")) == 1


@pytest.mark.parametrize("phase", ["Successful", "Failed", "Inconclusive"])
def test_a_retry_measures_again_whatever_came_of_the_attempt_before(phase):
    """In Argo Rollouts an old success opens the gate for the new attempt."""
    world = before(abort_scale_down_delay_seconds=0)
    if phase == "Successful":
        set_phase(world, PRE, phase)
        world.edit_strategy(auto_promotion_enabled=False)
        world.settle()
        assert world.active == "v1"
    else:
        set_phase(world, PRE, phase)
        world.settle()
    world.abort()
    world.settle()
    world.retry()
    world.step()
    assert (world.active, entry(world, "pre")) == ("v1", (f"{PRE}.1", ""))
    set_phase(world, f"{PRE}.1", "Successful")
    world.settle()
    assert world.status.phase in ("Healthy", "Paused")


def test_a_retry_waits_for_the_pods_before_it_measures_again():
    world = before(replicas=2)
    set_phase(world, PRE, "Failed")
    world.settle()
    world.tick(60)
    world.settle()
    assert world.sizes["v2"] == 0
    world.retry()
    world.step()
    world.step()
    assert entry(world, "pre") is None
    world.settle()
    assert entry(world, "pre") == (f"{PRE}.1", "")


def test_a_retry_that_meets_a_changed_size_still_measures_again():
    world = before(replicas=2, abort_scale_down_delay_seconds=0)
    set_phase(world, PRE, "Failed")
    world.settle()
    world.retry()
    world.change_spec(replicas=3)
    world.settle()
    assert not world.status.abort
    assert entry(world, "pre") == (f"{PRE}.1", "")


def test_the_wait_names_the_run_and_both_ways_on():
    world = before()
    (wait,) = [each for each in world.plans[-1].waits if each.reason is WaitReason.ANALYSIS]
    assert wait.message == (
        f"the pre-promotion gate waits for AnalysisRun {PRE}, which has not been started yet; it measures errors"
    )
    assert wait.remedy == "to go on without its result: prograde promote cart --full; to go back: prograde abort cart"


# ---- After the switch ------------------------------------------------------------------------------------------------


def test_the_analysis_after_the_switch_begins_when_the_switch_is_recorded_and_promotes():
    world = updating_blue_green(**MANUAL, post_promotion_analysis=analysis())
    world.promote()
    world.step()
    assert (world.active, world.stable, world.analysis_runs) == ("v2", "v1", [])
    world.step()
    assert entry(world, "post") == (POST, "")
    assert world.status.message == "waiting for analysis to complete"
    set_phase(world, POST, "Successful")
    world.step()
    assert (world.stable, world.status.phase) == ("v2", "Healthy")
    assert world.deadline("v1") is None, "the old revision goes in a later pass"
    world.step()
    assert world.deadline("v1") is not None


@pytest.mark.parametrize("phase", ["Failed", "Error"])
def test_a_failure_after_the_switch_gives_the_traffic_back_in_the_same_pass(phase):
    world = after()
    set_phase(world, POST, phase, "too slow")
    world.step()
    assert (world.active, world.status.abort) == ("v1", True)
    assert world.status.message.endswith("Blue/green post-promotion analysis phase error/failed: too slow")
    world.settle()
    assert (world.active, world.preview, world.status.phase) == ("v1", "v2", "Degraded")


def test_a_failure_gives_the_traffic_back_even_if_the_new_pods_crash():
    world = after(replicas=2)
    world.broken_images = {"v2"}
    world.set_pods("v2", available=0)
    set_phase(world, POST, "Failed")
    world.step()
    assert world.active == "v1"


def test_an_abort_after_the_switch_gives_the_traffic_back_and_status_and_counts_follow():
    world = after()
    world.abort()
    world.step()
    status = world.status
    assert (world.active, world.version_of(status.blue_green.active_selector)) == ("v1", "v1")
    assert status.selector.endswith(status.stable_rs)
    assert status.phase == "Degraded"
    world.settle()
    assert is_stopped(find_run(world, POST))


def test_a_retry_after_a_failure_behind_the_switch_is_a_new_attempt():
    """Argo Rollouts judges the old run again, and aborts at once, for ever."""
    world = after(abort_scale_down_delay_seconds=0)
    set_phase(world, POST, "Failed")
    world.settle()
    world.retry()
    world.settle()
    assert (world.status.abort, world.active) == (False, "v2")
    assert entry(world, "post") == (f"{POST}.1", "")
    set_phase(world, f"{POST}.1", "Successful")
    world.settle()
    assert (world.stable, world.status.phase) == ("v2", "Healthy")


def test_an_unclear_result_after_the_switch_pauses_and_scales_nothing_down():
    world = after(scale_down_delay_seconds=5)
    world.replica_sets["extra"] = replace(
        world.of_image("v1"),
        metadata=replace(
            world.of_image("v1").metadata,
            name="extra",
            uid="extra",
            labels={"app": "cart", "rollouts-pod-template-hash": "other"},
        ),
    )
    set_phase(world, POST, "Inconclusive")
    world.step()
    assert world.pauses == ["InconclusiveAnalysisRun"]
    world.step()
    extra = world.replica_sets["extra"]
    assert (extra.spec.replicas, "scale-down-deadline" in extra.metadata.annotations) == (1, False)
    assert (world.active, world.status.phase) == ("v2", "Paused")


@pytest.mark.parametrize(("delay", "waits"), [(None, True), (30, False)])
def test_superseded_revisions_wait_for_the_analysis_unless_the_user_has_set_a_delay(delay, waits):
    world = after(scale_down_delay_seconds=delay)
    old = world.of_image("v1")
    labels = {"app": "cart", "rollouts-pod-template-hash": "other"}
    world.replica_sets["extra"] = replace(old, metadata=replace(old.metadata, name="extra", uid="extra", labels=labels))
    world.step()
    assert ("scale-down-deadline" not in world.replica_sets["extra"].metadata.annotations) is waits
    set_phase(world, POST, "Successful")
    world.step()
    world.step()
    assert "scale-down-deadline" in world.replica_sets["extra"].metadata.annotations


def test_a_run_after_the_switch_goes_on_when_pods_fail():
    world = after(replicas=2)
    world.set_pods("v2", available=1)
    world.steps(2)
    assert entry(world, "post") == (POST, "")
    assert not is_stopped(find_run(world, POST))


def test_sizes_follow_while_the_analysis_runs():
    world = after(replicas=1)
    world.change_spec(replicas=2)
    world.settle()
    assert world.sizes == {"v1": 2, "v2": 2}
    assert entry(world, "post") == (POST, "")


def test_the_wait_after_the_switch_names_the_run():
    world = after()
    (wait,) = [each for each in world.plans[-1].waits if each.reason is WaitReason.ANALYSIS]
    assert wait.message.startswith(f"the post-promotion gate waits for AnalysisRun {POST}")


# ---- Both, none, and other ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["pre_promotion_analysis", "post_promotion_analysis"])
def test_an_analysis_without_templates_is_no_gate(field):
    world = updating_blue_green(**{field: RolloutAnalysis()})
    assert (world.stable, world.status.phase, world.analysis_runs) == ("v2", "Healthy", [])


def test_an_analysis_that_is_not_configured_any_more_is_stopped_and_forgotten():
    world = before()
    world.edit_strategy(pre_promotion_analysis=None)
    world.step()
    assert is_stopped(find_run(world, PRE))
    world.settle()
    assert (world.stable, entry(world, "pre")) == ("v2", None)


def test_a_fast_rollback_is_not_analysed_and_old_entries_are_gone():
    options = {"pre_promotion_analysis": analysis(), "post_promotion_analysis": analysis("latency")}
    world = updating_blue_green(**options)
    set_phase(world, PRE, "Successful")
    world.settle()
    set_phase(world, POST, "Successful")
    world.settle()
    assert world.stable == "v2"
    world.set_image("v1")
    world.settle()
    assert (world.stable, world.status.phase) == ("v1", "Healthy")
    assert run_names(world) == [PRE, POST]
    assert (entry(world, "pre"), entry(world, "post")) == (None, None)


def test_a_rollback_within_the_window_is_not_analysed():
    world = updating_blue_green(pre_promotion_analysis=analysis())
    world.change_spec(rollback_window=RollbackWindow(revisions=1))
    set_phase(world, PRE, "Successful")
    world.settle()
    world.wait(timedelta(hours=1))
    world.settle()
    world.set_image("v1")
    world.settle()
    assert (world.stable, run_names(world)) == ("v1", [PRE])


def test_a_new_template_stops_the_analysis_of_the_one_before():
    world = before()
    set_phase(world, PRE, "Running")
    world.set_image("v3")
    world.settle()
    assert is_stopped(find_run(world, PRE))
    assert entry(world, "pre") == (f"cart-{V3}-3-pre", "")
    check_runs(world)


def test_an_old_success_does_not_let_a_new_template_through():
    world = before(**MANUAL)
    set_phase(world, PRE, "Successful")
    world.settle()
    world.set_image("v3")
    world.settle()
    assert (world.active, entry(world, "pre")) == ("v1", (f"cart-{V3}-3-pre", ""))


def test_the_results_of_a_finished_update_stay_to_be_seen_and_outlive_the_history():
    world = before()
    set_phase(world, PRE, "Successful")
    world.settle()
    world.tick(3600)
    world.settle()
    assert entry(world, "pre") == (PRE, "Successful")
    assert run_names(world) == [PRE]


def test_a_paused_user_does_not_stop_the_analysis_and_a_success_still_promotes():
    world = after()
    world.change_spec(paused=True)
    set_phase(world, POST, "Running")
    world.settle()
    assert not is_stopped(find_run(world, POST))


def test_an_analysis_that_takes_longer_than_the_progress_deadline_is_no_failure():
    world = before()
    world.change_spec(progress_deadline_abort=True)
    set_phase(world, PRE, "Running")
    world.settle()
    world.tick(3600)
    world.settle()
    assert (world.status.abort, world.status.phase) == (False, "Progressing")


def test_pods_that_do_not_come_up_still_meet_the_progress_deadline():
    world = BlueGreenWorld.deployed(replicas=2)
    world.templates = dict(updating_blue_green().templates)
    world.edit_strategy(pre_promotion_analysis=analysis())
    world.change_spec(progress_deadline_abort=True)
    world.broken_images = {"v2"}
    world.set_image("v2")
    world.settle()
    world.tick(601)
    world.settle()
    assert world.status.abort
    assert "has timed out progressing." in world.status.message


def test_a_promoted_rollout_that_loses_pods_is_never_aborted_by_its_deadline():
    world = before()
    set_phase(world, PRE, "Successful")
    world.change_spec(progress_deadline_abort=True)
    world.settle()
    world.set_pods("v2", available=0)
    world.broken_images = {"v2"}
    world.settle()
    world.tick(3600)
    world.settle()
    assert not world.status.abort


def test_a_recorded_run_that_is_gone_is_replaced_while_its_gate_is_closed():
    world = before()
    world.analysis_runs.clear()
    world.settle()
    assert run_names(world) == [PRE]
    assert entry(world, "pre") == (PRE, "")


def test_a_run_that_was_stopped_because_its_gate_was_over_does_not_open_it_later():
    """Somebody moves the active Service by hand, and back again."""
    world = before(post_promotion_analysis=analysis("latency"))
    stable = world.status.stable_rs
    for pod_hash in (V2, stable):
        world.change_status(blue_green=replace(world.status.blue_green, active_selector=pod_hash))
        world.services[ACTIVE] = service(ACTIVE, selects=pod_hash, managed_by="cart")
        world.step()
    assert is_stopped(find_run(world, PRE))
    set_phase(world, PRE, "Successful")
    world.settle()
    assert (world.active, entry(world, "pre")) == ("v1", (f"{PRE}.1", ""))


def test_a_run_goes_on_while_the_active_service_selects_nothing():
    world = before(replicas=2)
    world.change_status(blue_green=replace(world.status.blue_green, active_selector=""))
    world.step()
    assert not is_stopped(find_run(world, PRE))
    assert entry(world, "pre") == (PRE, "")


# ---- An active Service that was replaced -----------------------------------------------------------------------------


def test_an_active_service_that_was_replaced_gets_its_hash_back_and_the_pause_goes_on():
    world = updating_blue_green(**MANUAL)
    assert world.pauses == ["BlueGreenPause"]
    world.services[ACTIVE] = service(ACTIVE)
    world.step()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])
    world.settle()
    assert (world.active, world.stable, world.pauses) == ("v1", "v1", ["BlueGreenPause"])


def test_a_service_that_is_replaced_before_the_pause_does_not_skip_it():
    world = BlueGreenWorld.deployed(replicas=2, **MANUAL)
    world.set_image("v2")
    world.steps(3)
    world.services[ACTIVE] = service(ACTIVE)
    world.settle()
    assert (world.active, world.pauses) == ("v1", ["BlueGreenPause"])


def test_after_the_switch_a_replaced_service_selects_the_new_revision_again():
    world = after()
    world.services[ACTIVE] = service(ACTIVE)
    world.step()
    assert (world.active, world.stable) == ("v2", "v1")


def test_a_replaced_service_selects_the_stable_revision_when_the_new_one_has_no_pods():
    world = after()
    world.set_pods("v2", available=0)
    world.services[ACTIVE] = service(ACTIVE)
    world.step()
    assert world.active == "v1"


def test_a_status_that_names_a_run_of_before_is_no_gate_key():
    """Entries are names only: what counts is the run behind them."""
    world = before()
    lost = RolloutAnalysisRunStatus(name="never-existed", status="Successful")
    world.change_status(blue_green=replace(world.status.blue_green, pre_promotion_analysis_run_status=lost))
    world.settle()
    assert world.active == "v1"
    assert entry(world, "pre") == (PRE, "")
