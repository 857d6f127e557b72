"""Step plugins: which calls a pass asks for, and what the answers do."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.rollout.builders import pause, replace, weight
from tests.core.rollout.runs_world import (
    V2,
    RunsWorld,
    analysis_step,
    deployed,
    messages,
    paused,
    plugin_step,
    set_phase,
)

from prograde.api.rollout import StepPluginStatus
from prograde.core.plan import PluginCall, WaitReason
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.snapshot import PluginAnswer

NAME = "acme/approve"


class Script:
    """A plugin that answers what the test says, the same until told otherwise."""

    def __init__(self, phase: str = "Running", **members: Any) -> None:
        self.answers: dict[str, dict[str, Any]] = {"Run": {"phase": phase, **members}, "Terminate": {}, "Abort": {}}

    def say(self, operation: str = "Run", **members: Any) -> None:
        self.answers[operation] = members

    def __call__(self, call: PluginCall) -> PluginAnswer:
        return PluginAnswer(call=call, **self.answers[call.operation])


def updating(*steps: Any, script: Script | None = None, phase: str = "Running", **members: Any) -> RunsWorld:
    """A canary on its way to v2 whose plugins answer by `script`."""
    world = deployed(*(steps or (plugin_step(), pause())))
    world.plugin = script or Script(phase, **members)
    world.set_image("v2")
    world.run()
    return world


def entries(world: RunsWorld) -> list[tuple[int, str, str]]:
    return [(each.index, each.operation, each.phase) for each in world.status.canary.step_plugin_statuses]


def entry(world: RunsWorld, index: int = 0, operation: str = "Run") -> StepPluginStatus:
    found = world.status.canary.step_plugin_statuses
    return next(each for each in found if (each.index, each.operation) == (index, operation))


def called(world: RunsWorld) -> list[tuple[int, str]]:
    return [(each.index, each.operation) for each in world.plugin_calls]


def said(world: RunsWorld) -> list[tuple[str, str]]:
    return [(each.type, each.message) for each in world.events if each.reason == "StepPluginTransition"]


# ---- Asking ----------------------------------------------------------------------------------------------------------


def test_a_call_is_asked_for_before_anything_is_done():
    world = deployed(plugin_step(config={"change": 7}), pause())
    world.set_image("v2")
    world.step()
    world.step()
    plan = plan_rollout(world.snapshot(), world.now)
    assert plan.wants_plugin_calls == (PluginCall(index=0, name=NAME, operation="Run", config=b'{"change":7}'),)
    assert (plan.groups, plan.status, plan.events, plan.writes_nothing) == ((), None, (), False)


def test_who_only_wants_to_know_the_plan_makes_no_call():
    world = deployed(plugin_step(), pause())
    world.set_image("v2")
    world.step()
    world.step()
    asked = plan_rollout(world.snapshot(), world.now)
    answers = tuple(map(PluginAnswer.not_called, asked.wants_plugin_calls))
    plan = plan_rollout(replace(world.snapshot(), plugin_answers=answers), world.now)
    assert not plan.is_question
    (wait,) = [each for each in plan.waits if each.reason is WaitReason.STEP_PLUGIN]
    assert wait.message == "step 1/2 waits for plugin acme/approve, which is running"


# ---- Run -------------------------------------------------------------------------------------------------------------


def test_a_running_plugin_is_recorded_and_called_again_after_its_backoff():
    world = updating(message="asking", requeue_after=timedelta(minutes=1), status=b'{"ticket":1}')
    made = entry(world)
    assert (made.phase, made.message, made.backoff, made.executions) == ("Running", "asking", "1m0s", 1)
    assert made.started_at == made.updated_at == world.now
    assert (made.finished_at, msgspec.json.decode(made.status)) == (None, {"ticket": 1})
    assert said(world) == [("Normal", "Step plugin acme/approve (step 1) transitioned to Running")]
    plan = world.step()
    assert plan.writes_nothing
    assert plan.requeue_at == world.now + timedelta(seconds=65)
    assert len(world.plugin_calls) == 1
    world.tick(60)
    world.step()
    assert entry(world).executions == 2
    assert world.plugin_calls[-1].status == b'{"ticket":1}', "the plugin gets back what it returned"
    assert len(said(world)) == 1, "no news"


@pytest.mark.parametrize(
    ("requeue_after", "backoff"),
    [(timedelta(0), "30s"), (timedelta(seconds=10), "30s"), (timedelta(seconds=11), "11s")],
)
def test_a_plugin_that_wants_to_be_called_too_soon_gets_the_usual_backoff(requeue_after, backoff):
    assert entry(updating(requeue_after=requeue_after)).backoff == backoff


def test_an_answer_without_phase_means_running():
    assert entry(updating(phase="")).phase == "Running"


def test_a_successful_plugin_completes_its_step_in_the_same_pass_without_an_event_of_its_own():
    world = deployed(plugin_step(), pause())
    world.plugin = Script("Successful", message="approved", status=b"1")
    world.set_image("v2")
    world.step()
    world.step()
    world.step()
    made = entry(world)
    assert (world.index, made.phase, made.finished_at, made.backoff) == (1, "Successful", world.now, "")
    assert said(world) == []
    assert "Rollout step 1/2 completed (plugin: acme/approve)" in messages(world, "RolloutStepCompleted")
    world.run()
    assert called(world) == [(0, "Run")]


def test_a_failed_plugin_aborts_and_names_the_step():
    world = updating(weight(50), plugin_step(), pause(), phase="Failed", message="rejected")
    text = "Rollout aborted update to revision 2: Step Plugin 2 (acme/approve) failed: rejected"
    assert messages(world, "RolloutAborted") == [text]
    assert said(world) == [("Warning", "Step plugin acme/approve (step 2) transitioned to Failed")]
    assert world.shape() == "2/0"
    assert called(world) == [(1, "Run")], "a failed plugin is not aborted"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"exception": "no connection"}, id="the call fails"),
        pytest.param({"phase": "Error", "message": "no connection", "status": b"9"}, id="the plugin says so"),
    ],
)
def test_an_error_is_tried_again_for_ever_and_what_the_plugin_knew_stays(answer):
    script = Script("Running", status=b'"known"')
    world = updating(script=script)
    script.say(**answer)
    world.tick(31)
    world.run()
    made = entry(world)
    assert (made.phase, made.message, made.backoff, made.executions) == ("Error", "no connection", "30s", 2)
    assert bytes(made.status) == b'"known"'
    assert said(world)[-1] == ("Warning", "Step plugin acme/approve (step 1) transitioned to Error")
    assert world.index == 0
    assert world.step().requeue_at == world.now + timedelta(seconds=35)
    script.say(phase="Successful")
    world.tick(30)
    world.run()
    assert (entry(world).executions, world.index) == (3, 1)


def test_a_disabled_plugin_is_passed_over():
    world = updating(phase="", is_disabled=True)
    made = entry(world)
    assert (made.disabled, made.phase, made.executions) == (True, "", 0)
    assert (world.index, said(world)) == (1, [])


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        pytest.param({"unusable": "plugin acme/approve not found"}, "plugin acme/approve not found", id="unknown"),
        pytest.param({"phase": "Odd"}, "could not validate rpc phase: phase 'Odd' is not valid", id="an unknown phase"),
    ],
)
def test_a_plugin_that_cannot_be_called_is_reported_and_tried_again_while_the_pass_goes_on(answer, trouble):
    script = Script()
    script.say(**answer)
    world = deployed(plugin_step(), pause())
    world.plugin = script
    world.set_image("v2")
    world.step()
    world.step()
    world.settle_pods()
    world.change_status(hpa_replicas=99)
    plan = world.step()
    assert world.status.hpa_replicas == 2, "the status is still written"
    assert plan.requeue_at == world.now + timedelta(seconds=30)
    assert plan.error == ""
    (event,) = [each for each in plan.events if each.reason == "ReconciliationError"]
    assert (event.type, event.message) == ("Warning", f"Reconciliation failed with error: {trouble}")
    (wait,) = [each for each in plan.waits if each.reason is WaitReason.STEP_PLUGIN]
    assert wait.message == f"plugin acme/approve of step 1/2 cannot be called: {trouble}"
    assert (world.index, entries(world)) == (0, [])


def test_a_backoff_that_cannot_be_read_counts_as_the_usual_one():
    world = updating()
    broken = replace(entry(world), backoff="soon")
    world.change_status(canary=replace(world.status.canary, step_plugin_statuses=(broken,)))
    assert world.step().requeue_at == world.now + timedelta(seconds=35)
    world.tick(30)
    world.run()
    assert entry(world).executions == 2


@pytest.mark.parametrize("how", ["user", "condition"])
def test_a_paused_rollout_calls_no_plugin(how):
    world = updating()
    calls = len(world.plugin_calls)
    world.tick(31)
    if how == "user":
        world.change_spec(paused=True)
    else:
        world.change_status(pause_conditions=paused("InconclusiveAnalysisRun"), controller_pause=True)
    world.run()
    assert len(world.plugin_calls) == calls


def test_a_plugin_waits_until_nothing_moves():
    world = deployed(weight(50), plugin_step(), pause())
    world.plugin = Script()
    world.broken_images = {"v2"}
    world.set_image("v2")
    world.run()
    assert world.plugin_calls == []
    world.broken_images = set()
    world.run()
    assert called(world) == [(1, "Run")]


def test_a_plugin_that_takes_longer_than_the_progress_deadline_goes_on():
    world = updating()
    for _ in range(30):
        world.tick(60)
        world.run()
    assert world.status.phase == "Progressing"
    assert entry(world).executions == 31


def test_a_success_while_a_user_pauses_is_not_forgotten():
    script = Script()
    world = updating(script=script)
    done = replace(entry(world), phase="Successful")
    world.change_status(canary=replace(world.status.canary, step_plugin_statuses=(done,)))
    world.change_spec(paused=True)
    world.run()
    assert (world.index, entries(world)) == (0, [(0, "Run", "Successful")])
    world.change_spec(paused=False)
    world.run()
    assert (world.index, called(world)) == (1, [(0, "Run")])


def test_the_wait_says_which_plugin_and_in_which_words():
    world = updating(message="nobody has approved yet")
    (wait,) = [each for each in world.plan().waits if each.reason is WaitReason.STEP_PLUGIN]
    assert wait.message == ("step 1/2 waits for plugin acme/approve, which is running: nobody has approved yet")
    assert wait.since == entry(world).started_at
    assert wait.remedy == "to go on without it: prograde promote cart; to go back: prograde abort cart"


# ---- Abort -----------------------------------------------------------------------------------------------------------


def aborted_after_two(**answer: Any) -> tuple[RunsWorld, Script]:
    """A canary that is aborted at its third step: the plugin of the first has succeeded, that of the third runs."""
    script = Script("Successful")
    world = updating(plugin_step(), pause(), plugin_step("acme/load"), pause(), script=script)
    script.say(phase="Running")
    world.resume()
    world.run()
    assert entries(world) == [(0, "Run", "Successful"), (2, "Run", "Running")]
    world.plugin_calls.clear()
    world.events.clear()
    if answer:
        script.say("Abort", **answer)
    world.abort()
    for _ in range(5):
        world.step()
        world.settle_pods()
    return world, script


def test_an_abort_reaches_every_plugin_once_the_last_one_first():
    world, _ = aborted_after_two()
    assert [(each.index, each.name, each.operation) for each in world.plugin_calls] == [
        (2, "acme/load", "Abort"),
        (0, "acme/approve", "Abort"),
    ]
    assert entries(world)[2:] == [(2, "Abort", "Successful"), (0, "Abort", "Successful")]
    assert said(world) == [
        ("Normal", "Step plugin acme/load (step 3) aborted (Successful)"),
        ("Normal", "Step plugin acme/approve (step 1) aborted (Successful)"),
    ]
    assert entry(world, 0, "Abort").finished_at is not None
    assert world.step().writes_nothing


@pytest.mark.parametrize(
    ("answer", "phase", "message"),
    [
        pytest.param({"phase": "Running", "message": "still at it"}, "Failed", "still at it", id="goes on"),
        pytest.param({"exception": "gone"}, "Error", "gone", id="fails to answer"),
        pytest.param({"phase": "Failed", "message": "no"}, "Failed", "no", id="fails"),
    ],
)
def test_whatever_an_abort_comes_to_it_is_not_repeated(answer, phase, message):
    world, _ = aborted_after_two(**answer)
    assert (entry(world, 2, "Abort").phase, entry(world, 2, "Abort").message) == (phase, message)
    assert said(world)[0] == ("Warning", f"Step plugin acme/load (step 3) aborted ({phase})")
    calls = len(world.plugin_calls)
    world.tick(3600)
    world.run()
    assert len(world.plugin_calls) == calls == 2


def test_an_abort_by_a_plugin_that_cannot_be_called_is_tried_again():
    world, script = aborted_after_two(unusable="not there")
    assert entries(world) == [(0, "Run", "Successful"), (2, "Run", "Running")]
    script.say("Abort")
    world.run()
    assert entries(world)[2:] == [(2, "Abort", "Successful"), (0, "Abort", "Successful")]


def test_an_abort_of_a_disabled_plugin_does_nothing_and_says_nothing():
    world, _ = aborted_after_two(is_disabled=True)
    assert entry(world, 2, "Abort").disabled
    assert said(world) == []


@pytest.mark.parametrize("phase", ["Failed", "Error"])
def test_plugins_that_have_not_got_anywhere_are_not_aborted(phase):
    script = Script("Error" if phase == "Error" else "Failed")
    world = updating(script=script)
    world.abort()
    world.run()
    assert {each.operation for each in world.plugin_calls} == {"Run"}


def test_an_abort_waits_neither_for_pods_nor_for_the_pause_of_the_first_step():
    script = Script()
    world = updating(pause(), plugin_step(), pause(), script=script)
    world.resume()
    world.run()
    world.abort()
    world.step()
    assert called(world)[-1] == (1, "Abort")


def test_a_retry_forgets_what_plugins_did_and_begins_anew():
    world, script = aborted_after_two()
    script.say(phase="Running")
    world.retry()
    world.run()
    assert entries(world) == [(0, "Run", "Running")]
    assert entry(world).executions == 1


def test_a_retry_that_meets_a_changed_size_forgets_it_too():
    world, script = aborted_after_two()
    script.say(phase="Running")
    world.retry()
    world.change_spec(replicas=3)
    world.run()
    assert entries(world) == [(0, "Run", "Running")]
    assert world.index == 0


def test_a_new_template_forgets_what_plugins_did():
    world = updating()
    world.set_image("v3")
    world.run()
    assert entries(world) == [(0, "Run", "Running")]
    assert entry(world).executions == 1


# ---- Terminate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "phase"),
    [({}, "Successful"), ({"phase": "Running"}, "Failed"), ({"exception": "gone"}, "Error")],
)
def test_a_full_promotion_terminates_the_plugin_that_still_runs_once(answer, phase):
    script = Script()
    script.say("Terminate", **answer)
    world = updating(script=script)
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    world.tick(3600)
    world.run()
    assert called(world) == [(0, "Run"), (0, "Terminate")]
    assert entries(world) == [(0, "Run", "Running"), (0, "Terminate", phase)]
    kind = "Normal" if phase == "Successful" else "Warning"
    assert said(world)[-1] == (kind, f"Step plugin acme/approve (step 1) terminated ({phase})")


def test_a_skipped_plugin_is_terminated_at_the_end_of_the_update():
    world = updating(plugin_step(), pause())
    world.promote()
    world.run()
    assert called(world) == [(0, "Run")]
    world.resume()
    world.run_to_phase("Healthy")
    assert called(world) == [(0, "Run"), (0, "Terminate")]


@pytest.mark.parametrize("operation", ["Terminate", "Abort"])
def test_a_plugin_that_was_told_to_end_is_not_run_any_more_and_its_step_is_over(operation):
    world = updating()
    ended = replace(entry(world), operation=operation, phase="Successful")
    both = (entry(world), ended)
    world.change_status(canary=replace(world.status.canary, step_plugin_statuses=both))
    world.tick(60)
    world.run()
    assert (world.index, called(world)) == (1, [(0, "Run")])


def test_of_several_plugins_that_run_only_the_last_one_is_terminated():
    world = updating(plugin_step(), plugin_step("acme/load"), pause())
    world.promote()
    world.run()
    world.promote()
    world.run()
    world.resume()
    world.run_to_phase("Healthy")
    assert called(world) == [(0, "Run"), (1, "Run"), (1, "Terminate")]


def test_an_update_whose_plugins_are_done_terminates_none():
    world = updating(phase="Successful")
    world.resume()
    world.run_to_phase("Healthy")
    assert called(world) == [(0, "Run")]


def test_a_plugin_and_an_analysis_take_their_turns():
    world = updating(plugin_step(), analysis_step(), pause(), phase="Successful")
    assert world.step_entry == (f"cart-{V2}-2-1", "")
    set_phase(world, f"cart-{V2}-2-1", "Successful")
    world.run()
    assert world.index == 2
