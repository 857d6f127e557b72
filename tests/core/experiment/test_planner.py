"""The phase of an Experiment, its conditions, when it is looked at again, and what an invalid spec does to it."""

from datetime import timedelta

import pytest
from tests.core.experiment.builders import (
    NAME,
    NOW,
    after,
    ago,
    analysis,
    analysis_template,
    done,
    entry,
    experiment,
    judged,
    look,
    replace,
    replica_set,
    run,
    state,
    status_of,
    template,
    told,
)

from prograde.api.experiment import ExperimentStatus
from prograde.api.meta import Condition, LabelSelector
from prograde.core.experiment.context import is_terminating
from prograde.core.experiment.planner import status_patch
from prograde.core.plan import WaitReason

REQUIRED = "required"


def situation(templates, phases, required=(), *, phase="Running", **spec):
    """Return an Experiment and its objects: templates by how they come out, analyses by the phases of their runs."""
    spec = {"duration": "1h", "scale_down_delay_seconds": 0, **spec}
    names = [f"t{number}" for number, _ in enumerate(templates)]
    entries = tuple(
        entry(name, status if status in ("Successful", "Failed", "Error") else "Running", message=message_of(status))
        for name, status in zip(names, templates, strict=True)
    )
    analyses = tuple(
        analysis(f"a{number}", required_for_completion=number in required) for number, _ in enumerate(phases)
    )
    judgements = tuple(
        judged(f"a{number}", "Pending" if each and each != "Pending" else each) for number, each in enumerate(phases)
    )
    status = state(*entries, phase=phase, analysis_runs=judgements)
    one = experiment(*(template(name) for name in names), status=status, analyses=analyses, **spec)
    objects = [
        replica_set(one, name, size=1, available=0 if status == "Progressing" else 1)
        for name, status in zip(names, templates, strict=True)
    ]
    runs = [run(f"a{number}", each, f"it {each}") for number, each in enumerate(phases) if each]
    return one, (*objects, *runs)


def message_of(status):
    return f"it {status}" if status in ("Failed", "Error") else ""


# ---- The phase -------------------------------------------------------------------------------------------------------

TABLE = [
    # templates, analyses, which are required, phase, message
    (["Running"], [], (), "Running", ""),
    (["Progressing"], [], (), "Pending", ""),
    (["Running", "Progressing"], [], (), "Pending", ""),
    (["Successful"], [], (), "Successful", ""),
    (["Successful", "Running"], [], (), "Running", ""),
    (["Failed", "Running"], [], (), "Failed", "it Failed"),
    (["Error", "Failed"], [], (), "Failed", "it Failed"),
    (["Error", "Progressing"], [], (), "Error", "it Error"),
    (["Failed"], ["Error"], (), "Failed", "it Failed"),
    (["Error"], ["Failed"], (0,), "Error", "it Error"),
    (["Running"], ["Running"], (), "Running", ""),
    (["Running"], ["Successful"], (), "Running", ""),
    (["Running"], ["Failed"], (), "Failed", "it Failed"),
    (["Running"], ["Error"], (), "Error", "it Error"),
    (["Progressing"], ["Inconclusive"], (), "Inconclusive", "it Inconclusive"),
    (["Running"], ["Inconclusive", "Error", "Failed"], (), "Failed", "it Failed"),
    (["Running"], ["Inconclusive", "Error"], (), "Error", "it Error"),
    (["Running"], ["Successful", "Failed"], (0,), "Failed", "it Failed"),
    (["Running"], ["Failed", "Successful"], (), "Failed", "it Failed"),
    (["Running"], ["Successful"], (0,), "Successful", "Required AnalysisRuns completed"),
    (["Progressing"], ["Successful"], (0,), "Successful", "Required AnalysisRuns completed"),
    (["Running"], ["Successful", "Running"], (0,), "Running", "it Running"),
    (["Running"], ["Successful", "Successful"], (0,), "Successful", "Required AnalysisRuns completed"),
    (["Running"], ["Successful", "Running"], (0, 1), "Running", ""),
    (["Running"], ["Running", "Successful"], (), "Running", ""),
    (["Successful"], ["Running"], (), "Successful", ""),
    (["Successful"], ["Pending"], (), "Successful", ""),
    (["Successful"], ["Running"], (0,), "Running", "it Running"),
    (["Successful"], ["Running", "Successful"], (1,), "Running", "it Running"),
    (["Successful"], ["Pending", "Successful"], (0,), "Running", "it Pending"),
    (["Successful"], ["Successful", "Successful"], (0, 1), "Successful", "Required AnalysisRuns completed"),
    (["Successful"], ["Failed", "Successful"], (0, 1), "Failed", "it Failed"),
    (["Successful"], ["Successful", "Failed"], (0, 1), "Failed", "it Failed"),
    (["Successful"], ["Inconclusive"], (), "Inconclusive", "it Inconclusive"),
    (["Successful"], ["Successful"], (), "Successful", "it Successful"),
]


@pytest.mark.parametrize(("templates", "phases", "required", "phase", "message"), TABLE)
def test_the_phase_is_what_templates_and_analyses_come_to(templates, phases, required, phase, message):
    one, objects = situation(templates, phases, required)
    status = status_of(look(one, *objects), one)
    assert (status.phase, status.message) == (phase, message)


@pytest.mark.parametrize("phase", ["Successful", "Failed", "Error", "Inconclusive"])
def test_a_phase_that_is_final_never_changes(phase):
    one, objects = situation(["Failed", "Running"], ["Error"], phase=phase)
    status = status_of(look(one, *objects), one)
    assert (status.phase, status.message) == (phase, "")


def test_without_templates_the_analyses_decide():
    one = replace(experiment(), spec=replace(experiment().spec, templates=()))
    assert look(one).status.phase == "Successful"


def test_all_templates_available_for_the_first_time_begin_the_experiment():
    one = experiment(template("a"), template("b"))
    partly = look(one, replica_set(one, "a"), replica_set(one, "b", available=0))
    assert (status_of(partly, one).phase, status_of(partly, one).available_at) == ("Pending", None)
    plan = look(one, replica_set(one, "a"), replica_set(one, "b"))
    assert (plan.status.phase, plan.status.available_at) == ("Running", NOW)
    assert told(plan)[-1] == ("Normal", "ExperimentRunning", "Experiment transitioned from Pending -> Running")


def test_a_pod_that_is_lost_brings_it_back_to_pending_and_the_clock_runs_on():
    one = experiment(status=state(entry()), duration="1h")
    plan = look(one, replica_set(one, available=0))
    assert (plan.status.phase, plan.status.available_at) == ("Pending", ago(10))
    assert told(plan)[-1] == ("Normal", "ExperimentPending", "Experiment transitioned from Running -> Pending")


def test_a_template_without_entry_in_the_status_is_not_there_yet():
    one = experiment(template("a"), template("b"), status=state(entry("a")))
    plan = look(one, replica_set(one, "a"))
    assert [(each.name, each.status) for each in plan.status.template_statuses] == [
        ("a", "Running"),
        ("b", "Progressing"),
    ]
    assert plan.status.phase == "Pending"


def test_the_end_of_the_duration_is_the_end_of_everything_in_one_pass():
    one = experiment(template("a"), template("b"), status=state(entry("a"), entry("b")), duration="10s")
    plan = look(one, replica_set(one, "a"), replica_set(one, "b"))
    assert {each.status for each in plan.status.template_statuses} == {"Successful"}
    assert plan.status.phase == "Successful"
    assert plan.requeue_at is None
    (condition,) = plan.status.conditions
    assert (condition.status, condition.reason) == ("False", "ExperimentCompleted")
    assert condition.message == f'Experiment "{NAME}" has successfully ran and completed.'
    assert done(plan) == [], "pods go in the next pass"


def test_one_that_is_short_of_pods_then_waits_or_fails():
    one = experiment(template("a"), template("b"), status=state(entry("a"), entry("b")), duration="10s")
    plan = look(one, replica_set(one, "a"), replica_set(one, "b", available=0))
    assert [each.status for each in plan.status.template_statuses] == ["Successful", "Progressing"]
    assert plan.status.phase == "Pending"
    late = look(replace(one, status=plan.status), replica_set(one, "b", available=0), at=after(600))
    assert late.status.phase == "Failed"


def test_a_required_run_may_end_it_before_its_pods_are_gone():
    one, objects = situation(["Running"], ["Successful"], (0,), duration="")
    plan = look(one, *objects)
    assert (plan.status.phase, plan.status.message) == ("Successful", "Required AnalysisRuns completed")
    assert [each.replicas for each in look(replace(one, status=plan.status), *objects).actions] == [0]


def test_the_end_stops_what_is_not_required_and_waits_for_what_is():
    one, objects = situation(["Successful"], ["Running"], phase="Successful")
    assert ("TerminateAnalysisRun", f"{NAME}-a0") in done(look(one, *objects))
    one, objects = situation(["Successful"], ["Running"], (0,))
    plan = look(one, *objects)
    assert [type(each).__name__ for each in plan.actions] == ["PatchReplicaSet"], "the pods go, the run stays"


# ---- Terminating -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, state(entry()), False),
        ({"terminate": True}, state(entry()), True),
        ({}, state(entry(), phase="Successful"), True),
        ({}, state(entry(), phase="Inconclusive"), True),
        ({}, state(entry(status="Successful")), False),
        ({}, state(entry(status="Failed")), True),
        ({}, state(entry(), entry("gone", status="Error")), True),
        ({}, state(entry(), analysis_runs=(judged("gone", "Failed"),)), True),
        ({}, state(entry(), analysis_runs=(judged(phase="Error"),)), True),
        ({}, state(entry(), analysis_runs=(judged(phase="Inconclusive"),)), True),
        ({}, state(entry(), analysis_runs=(judged(phase="Successful"),)), False),
        ({"analyses": (analysis(),)}, state(entry(), analysis_runs=(judged(phase="Successful"),)), False),
        (
            {"analyses": (analysis(required_for_completion=True), analysis("b"))},
            state(entry(), analysis_runs=(judged(phase="Successful"), judged("b"))),
            True,
        ),
        (
            {"analyses": (analysis(required_for_completion=True), analysis("b", required_for_completion=True))},
            state(entry(), analysis_runs=(judged(phase="Successful"),)),
            False,
        ),
    ],
)
def test_what_winds_an_experiment_up(spec, status, expected):
    assert is_terminating(experiment(**spec).spec, status) is expected


def test_termination_before_anything_has_begun_is_success():
    one = experiment(analyses=(analysis(required_for_completion=True),), terminate=True)
    plan = look(one, replica_set(one, size=0), analysis_template())
    assert (plan.status.phase, status_of(plan, one).template_statuses[0].status) == ("Successful", "Successful")
    assert done(plan) == []


def test_termination_while_a_run_is_under_way_takes_one_pass_when_nothing_is_required():
    one, objects = situation(["Running"], ["Running"], terminate=True)
    plan = look(one, *objects)
    assert plan.status.phase == "Successful"
    assert ("TerminateAnalysisRun", f"{NAME}-a0") in done(plan)


def test_termination_ends_even_when_a_required_run_is_under_way():
    one, objects = situation(["Running"], ["Running"], (0,), terminate=True)
    first = look(one, *objects)
    assert first.status.phase == "Running"
    stopped = run("a0", "Successful", "Run Terminated", terminate=True)
    second = look(replace(one, status=first.status), objects[0], stopped)
    assert second.status.phase == "Successful"


def test_early_success_ends_even_when_another_run_is_under_way():
    one, objects = situation(["Running"], ["Successful", "Running"], (0,), duration="")
    first = look(one, *objects)
    assert first.status.phase == "Running"
    second = look(replace(one, status=first.status), *objects)
    assert ("TerminateAnalysisRun", f"{NAME}-a1") in done(second)
    stopped = (*objects[:2], run("a1", "Successful", "Run Terminated", terminate=True))
    third = look(replace(one, status=status_of(second, one)), *stopped)
    assert (third.status.phase, third.status.message) == ("Successful", "Required AnalysisRuns completed")


# ---- Conditions ------------------------------------------------------------------------------------------------------


def progressing(reason, status="True", message="m"):
    times = {"last_update_time": ago(50), "last_transition_time": ago(50)}
    return Condition(type="Progressing", status=status, reason=reason, message=message, **times)


def test_progress_is_always_written_anew_and_keeps_the_time_since_when():
    one = experiment(
        template(replicas=2),
        status=state(entry(available=0), conditions=(progressing("ReplicaSetUpdated"),)),
    )
    (condition,) = look(one, replica_set(one, size=2, available=1)).status.conditions
    assert (condition.last_update_time, condition.last_transition_time) == (NOW, ago(50))
    assert condition.message == f'Experiment "{NAME}" is progressing.'


@pytest.mark.parametrize(
    ("before", "one", "expected"),
    [
        ("ReplicaSetUpdated", {}, ("True", "NewReplicaSetAvailable", f'Experiment "{NAME}" is running.')),
        ("NewReplicaSetAvailable", {}, ("True", "NewReplicaSetAvailable", "m")),
        ("ReplicaSetUpdated", {"available_ago": None}, ("True", "ReplicaSetUpdated", "m")),
    ],
)
def test_a_running_experiment_says_so(before, one, expected):
    running = experiment(status=state(entry(), conditions=(progressing(before),), **one), duration="1h")
    (condition,) = status_of(look(running, replica_set(running)), running).conditions
    assert (condition.status, condition.reason, condition.message) == expected


def test_one_that_fails_keeps_its_last_condition():
    failing, objects = situation(["Running"], ["Failed"], duration="5s")
    failing = replace(failing, status=replace(failing.status, conditions=(progressing("NewReplicaSetAvailable"),)))
    assert look(failing, *objects).status.conditions == failing.status.conditions


# ---- When to look again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "spec", "available", "expected"),
    [
        (state(entry()), {}, 1, None),
        (state(entry()), {"duration": "30s"}, 1, after(20)),
        (state(entry()), {"duration": "1h"}, 1, ago(10) + timedelta(hours=1)),
        (state(entry(), available_ago=None, phase="Pending"), {"duration": "30s"}, 1, None),
        (state(entry(available=0, last_transition_time=NOW)), {}, 0, after(600)),
        (state(entry(available=0, last_transition_time=ago(5))), {"progress_deadline_seconds": 9}, 0, after(4)),
        (state(entry(available=0, last_transition_time=NOW)), {"duration": "30s"}, 0, after(20)),
        (state(entry(available=0, last_transition_time=NOW)), {"terminate": True}, 0, after(30)),
        (state(entry(status="Failed", available=0), phase="Failed"), {"duration": "1h"}, 0, after(30)),
    ],
    ids=[
        "no end",
        "the end",
        "a far end",
        "not begun",
        "a deadline",
        "of its own",
        "the end comes first",
        "terminating",
        "over",
    ],
)
def test_an_experiment_is_looked_at_again_when_something_is_due(status, spec, available, expected):
    one = experiment(status=status, **spec)
    assert look(one, replica_set(one, available=available)).requeue_at == expected


def test_an_experiment_that_has_failed_does_not_wait_for_its_duration():
    one = experiment(status=state(entry(status="Failed", available=0), phase="Failed"), duration="1h")
    assert look(one, replica_set(one, size=0)).requeue_at is None
    failing, objects = situation(["Running"], ["Failed"], duration="1h")
    assert look(failing, *objects).requeue_at is None


def test_a_steady_state_writes_nothing():
    one = experiment(status=state(entry(), conditions=(progressing("NewReplicaSetAvailable"),)), duration="1h")
    assert look(one, replica_set(one)).writes_nothing


# ---- An invalid spec -------------------------------------------------------------------------------------------------

INVALID = {
    "Rollout has missing field '.Spec.Templates[0].Selector'": {"templates": (template(selector=None),)},
    "This experiment is selecting all pods at index 0. A non-empty selector is required.": {
        "templates": (template(selector=LabelSelector()),)
    },
    "MinReadySeconds cannot be longer than ProgressDeadlineSeconds. Check template index 0": {
        "templates": (template(min_ready_seconds=601),)
    },
    f"Experiment {NAME} has empty template name at index 0": {"templates": (template(""),)},
    f"Experiment {NAME} has repeated template name 'a' in templates": {"templates": (template("a"), template("a"))},
    'invalid duration string: time: missing unit in duration "10"': {"duration": "10"},
}


@pytest.mark.parametrize(("message", "spec"), INVALID.items())
def test_an_invalid_spec_is_said_and_everything_is_left_alone(message, spec):
    one = experiment(status=state(entry()))
    one = replace(one, spec=replace(one.spec, **spec))
    plan = look(one)
    assert (done(plan), plan.requeue_at, plan.status.phase) == ([], None, "Running")
    assert plan.status.conditions == (
        Condition(
            type="InvalidSpec",
            status="True",
            reason="InvalidSpec",
            message=message,
            last_update_time=NOW,
            last_transition_time=NOW,
        ),
    )
    (wait,) = plan.waits
    assert wait.reason == WaitReason.INVALID_SPEC
    assert look(replace(one, status=plan.status), at=after(9)).writes_nothing


def test_another_mistake_replaces_the_condition_and_a_valid_spec_removes_it():
    one = experiment(template(selector=None))
    broken = replace(one, status=look(one).status)
    other = replace(broken, spec=replace(broken.spec, templates=(template(min_ready_seconds=601),)))
    (condition,) = look(other, at=after(9)).status.conditions
    assert condition.message.startswith("MinReadySeconds")
    assert (condition.last_update_time, condition.last_transition_time) == (after(9), after(9))
    fixed = replace(broken, spec=replace(broken.spec, templates=(template(),)))
    assert [each.type for each in look(fixed).status.conditions] == ["Progressing"]


def test_an_invalid_experiment_can_be_terminated():
    one = experiment(status=state(entry(), entry("b"), analysis_runs=()), scale_down_delay_seconds=0)
    kept = replica_set(one)
    broken = replace(one, spec=replace(one.spec, templates=(template(), template("b", selector=None)), terminate=True))
    plan = look(broken, kept)
    assert done(plan) == [("PatchReplicaSet", f"{NAME}-a")], "nothing new is made of it"
    assert plan.status.phase == "Successful"
    assert [each.type for each in plan.status.conditions] == ["Progressing", "InvalidSpec"]


# ---- Writing ---------------------------------------------------------------------------------------------------------


def test_a_patch_holds_what_changed_and_nulls_for_what_is_gone():
    old = ExperimentStatus(phase="Pending", message="x", template_statuses=(entry(),))
    new = ExperimentStatus(phase="Running", available_at=NOW, template_statuses=(entry(),))
    assert status_patch(old, new) == {"phase": "Running", "message": None, "availableAt": "2026-03-04T05:06:07Z"}
    assert status_patch(old, old) == {}


def test_the_entries_of_the_status_are_complete():
    one = experiment(analyses=(analysis(),))
    patch = status_patch(ExperimentStatus(), look(one, analysis_template()).status)
    assert patch["analysisRuns"] == [{"name": "errors", "analysisRun": "", "phase": ""}]
    assert patch["templateStatuses"] == [
        {
            "name": "a",
            "replicas": 0,
            "updatedReplicas": 0,
            "readyReplicas": 0,
            "availableReplicas": 0,
            "status": "Progressing",
            "lastTransitionTime": "2026-03-04T05:06:07Z",
        }
    ]


# ---- Why it waits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "text", "until"),
    [
        ("1m", "the experiment runs until 2026-03-04T05:06:57Z", after(50)),
        ("", "the experiment runs until it is terminated, for it has no duration", None),
    ],
)
def test_a_running_experiment_says_until_when(duration, text, until):
    one = experiment(status=state(entry()), duration=duration)
    (wait,) = look(one, replica_set(one)).waits
    assert (wait.reason, wait.message, wait.until) == (WaitReason.EXPERIMENT, text, until)
