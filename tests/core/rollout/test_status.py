"""Status fields, phase and message, and the patch that is written."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import (
    NOW,
    World,
    condition,
    hash_for,
    pause,
    paused_for,
    progressing,
    replace,
    replica_set,
    rollout,
    weight,
)

from prograde.api import names
from prograde.api.analysis import AnalysisTemplateRef
from prograde.api.meta import LabelSelector, LabelSelectorRequirement
from prograde.api.rollout import (
    AlbStatus,
    BlueGreenStatus,
    BlueGreenStrategy,
    CanaryStatus,
    CanaryStrategy,
    RolloutAnalysis,
    RolloutAnalysisRunStatus,
    RolloutStatus,
    RolloutStrategy,
    TrafficRouting,
    TrafficWeights,
)
from prograde.core.rollout.status import (
    compute_phase,
    differ_in_counts_only,
    is_generation_observed,
    phase_and_message,
    status_patch,
)

# ---- Fields -----------------------------------------------------------------------------------------------------


def test_counts_are_sums_over_all_replica_sets_and_updated_is_the_new_one() -> None:
    status = RolloutStatus(
        stable_rs=hash_for("v1"), current_pod_hash=hash_for("v2"), current_step_hash="5ffbfbbd64", collision_count=2
    )
    world = World(
        rollout(image="v2", status=status, paused=True),
        replica_set("v0", size=0, actual=1, available=0, age=timedelta(hours=2)),
        replica_set("v1", size=3, available=2, ready=3, age=timedelta(hours=1)),
        replica_set("v2", size=2, available=1, revision=2),
    )
    world.step()
    found = world.status
    assert (found.replicas, found.hpa_replicas) == (6, 6)
    assert (found.updated_replicas, found.ready_replicas, found.available_replicas) == (2, 4, 3)
    assert found.current_pod_hash == hash_for("v2")
    assert found.stable_rs == hash_for("v1")
    assert found.collision_count == 2
    assert found.observed_generation == "1"
    assert found.selector == "app=cart"


def test_the_selector_is_written_as_autoscalers_read_it() -> None:
    selector = LabelSelector(
        match_labels={"app": "cart"},
        match_expressions=(LabelSelectorRequirement(key="tier", operator="NotIn", values=("b", "a")),),
    )
    world = World(rollout(selector=selector))
    world.run_to_phase("Healthy")
    assert world.status.selector == "app=cart,tier notin (a,b)"


def test_what_belongs_to_routers_and_runs_is_dropped_without_them() -> None:
    run = RolloutAnalysisRunStatus(name="r", status="Running")
    world = World(rollout())
    world.run_to_phase("Healthy")
    world.change_status(
        canary=CanaryStatus(
            weights=TrafficWeights(),
            current_step_analysis_run_status=run,
            current_experiment="e",
            stable_ping_pong="pong",
        ),
        alb=AlbStatus(ingress="i"),
    )
    world.run_to_phase("Healthy")
    assert world.status.canary == CanaryStatus(stable_ping_pong="pong")
    assert world.status.alb == AlbStatus(ingress="i")


def test_a_reset_clears_all_that_belonged_to_the_attempt_before() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(weight(20), pause()))))
    world.run_to_phase("Healthy")
    world.change_status(promote_full=True)
    world.set_image("v2")
    world.step()
    world.step()
    found = world.status
    assert (found.promote_full, found.abort, found.pause_conditions, found.current_step_index) == (False, False, (), 0)


# ---- Phase ------------------------------------------------------------------------------------------------------

READY = {"updated_replicas": 3, "available_replicas": 3, "replicas": 3, "current_pod_hash": "new", "stable_rs": "new"}
ANALYSIS = RolloutAnalysis(templates=(AnalysisTemplateRef(template_name="t"),))


def blue_green(**options: object) -> dict[str, object]:
    strategy = BlueGreenStrategy(active_service="active", **options)  # type: ignore[arg-type]
    return {"strategy": RolloutStrategy(blue_green=strategy)}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        pytest.param({}, READY, ("Healthy", ""), id="all there"),
        pytest.param(
            {},
            {**READY, "conditions": (condition("InvalidSpec", "False", "InvalidSpec", message="bad"),)},
            ("Degraded", "InvalidSpec: bad"),
            id="an InvalidSpec condition of any status",
        ),
        pytest.param(
            {"paused": True},
            {**READY, "conditions": (progressing("RolloutAborted", "False", message="gone"),)},
            ("Degraded", "RolloutAborted: gone"),
            id="aborted wins over paused",
        ),
        pytest.param(
            {},
            {**READY, "conditions": (progressing("ProgressDeadlineExceeded", "False", message="late"),)},
            ("Degraded", "ProgressDeadlineExceeded: late"),
        ),
        pytest.param({"paused": True}, READY, ("Paused", "manually paused")),
        pytest.param(
            {},
            {**READY, "pause_conditions": (paused_for("BlueGreenPause"), paused_for("InconclusiveAnalysisRun"))},
            ("Paused", "BlueGreenPause"),
            id="the first pause",
        ),
        pytest.param({"restart_at": NOW}, READY, ("Progressing", "rollout is restarting")),
        pytest.param({"restart_at": NOW}, {**READY, "restarted_at": NOW}, ("Healthy", "")),
        pytest.param({}, {**READY, "updated_replicas": 2}, ("Progressing", "more replicas need to be updated")),
        pytest.param(
            {},
            {**READY, "available_replicas": 2},
            ("Progressing", "updated replicas are still becoming available"),
        ),
        pytest.param({}, {**READY, "replicas": 4}, ("Progressing", "old replicas are pending termination")),
        pytest.param({}, {**READY, "stable_rs": "old"}, ("Progressing", "waiting for all steps to complete")),
        pytest.param(
            {},
            {**READY, "stable_rs": "", "current_pod_hash": ""},
            ("Progressing", "waiting for all steps to complete"),
            id="nothing reconciled yet",
        ),
        pytest.param(
            {"strategy": RolloutStrategy(canary=CanaryStrategy(traffic_routing=TrafficRouting()))},
            {**READY, "replicas": 6},
            ("Healthy", ""),
            id="with a router old pods may stay",
        ),
        pytest.param(blue_green(), READY, ("Progressing", "active service cutover pending")),
        pytest.param(
            blue_green(),
            {**READY, "replicas": 6, "blue_green": BlueGreenStatus(active_selector="new")},
            ("Healthy", ""),
        ),
        pytest.param(
            blue_green(),
            {**READY, "stable_rs": "old", "blue_green": BlueGreenStatus(active_selector="new")},
            ("Progressing", "waiting for post-promotion verification to complete"),
        ),
        pytest.param(
            blue_green(post_promotion_analysis=ANALYSIS),
            {**READY, "stable_rs": "old", "blue_green": BlueGreenStatus(active_selector="new")},
            ("Progressing", "waiting for analysis to complete"),
        ),
        pytest.param(
            blue_green(post_promotion_analysis=ANALYSIS),
            {
                **READY,
                "stable_rs": "old",
                "blue_green": BlueGreenStatus(
                    active_selector="new",
                    post_promotion_analysis_run_status=RolloutAnalysisRunStatus(name="r", status="Successful"),
                ),
            },
            ("Progressing", "waiting for post-promotion verification to complete"),
        ),
        pytest.param({"replicas": 0}, {"current_pod_hash": "new", "stable_rs": "new"}, ("Healthy", ""), id="no pods"),
    ],
)
def test_the_first_rule_that_applies_gives_the_phase(
    spec: dict[str, object], status: dict[str, object], expected: tuple[str, str]
) -> None:
    assert compute_phase(rollout(**spec, status=RolloutStatus(**status))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observed", "generation", "expected"),
    [("4", 5, False), ("5", 5, True), ("6", 5, True), ("abc", 5, True), ("", 5, True)],
)
def test_only_a_lower_number_means_that_the_spec_has_not_been_observed(
    observed: str, generation: int, expected: bool
) -> None:
    status = RolloutStatus(observed_generation=observed, phase="Healthy")
    found = rollout(generation=generation, status=status)
    assert is_generation_observed(found) is expected
    waiting = ("Progressing", "waiting for rollout spec update to be observed")
    assert phase_and_message(found) == (("Healthy", "") if expected else waiting)


def test_a_resume_that_nobody_has_acted_on_is_shown_as_such() -> None:
    status = RolloutStatus(controller_pause=True, phase="Paused", message="CanaryPauseStep")
    assert phase_and_message(rollout(status=status)) == ("Progressing", "waiting for rollout to unpause")


@pytest.mark.parametrize(
    ("paused", "phase", "message"),
    [
        pytest.param(True, "Paused", "manually paused", id="the user holds it"),
        pytest.param(False, "Degraded", "ProgressDeadlineExceeded: timed out", id="its pods do not come up"),
        pytest.param(False, "Progressing", "more replicas need to be updated", id="its pods are on their way"),
    ],
)
def test_a_resume_that_is_kept_for_later_does_not_hide_what_holds_the_rollout(
    paused: bool, phase: str, message: str
) -> None:
    status = RolloutStatus(controller_pause=True, phase=phase, message=message)
    assert phase_and_message(rollout(paused=paused, status=status)) == (phase, message)


@pytest.mark.parametrize(
    ("annotation", "observed", "is_waiting"),
    [("3", "2", True), ("3", "3", False), (None, "2", False), ("3", "", False)],
)
def test_a_changed_workload_that_has_not_been_observed_is_shown_as_such(
    annotation: str | None, observed: str, is_waiting: bool
) -> None:
    annotations = {names.WORKLOAD_GENERATION_ANNOTATION: annotation} if annotation else {}
    status = RolloutStatus(workload_observed_generation=observed, phase="Healthy")
    found = rollout(annotations=annotations, status=status)
    text = "waiting for rollout spec update to be observed for the reference workload"
    expected = ("Progressing", text) if is_waiting else ("Healthy", "")
    assert phase_and_message(found, is_template_resolved=True) == expected
    assert phase_and_message(found) == ("Healthy", "")


def test_clients_compute_the_phase_of_a_rollout_that_was_never_written() -> None:
    assert phase_and_message(rollout()) == ("Progressing", "more replicas need to be updated")


# ---- Writing ----------------------------------------------------------------------------------------------------


def test_a_patch_holds_what_changed_and_nulls_for_what_is_gone() -> None:
    old = RolloutStatus(replicas=3, abort=True, current_step_index=1, pause_conditions=(paused_for("CanaryPauseStep"),))
    new = replace(old, replicas=4, abort=False, current_step_index=0, pause_conditions=(), stable_rs="x")
    assert status_patch(old, new) == {
        "status": {
            "replicas": 4,
            "abort": None,
            "currentStepIndex": 0,
            "pauseConditions": None,
            "stableRS": "x",
        }
    }
    assert status_patch(old, old) == {}


def test_nested_fields_are_patched_one_by_one_and_times_in_whole_seconds() -> None:
    old = RolloutStatus(blue_green=BlueGreenStatus(active_selector="a", preview_selector="b"))
    new = replace(old, blue_green=BlueGreenStatus(active_selector="c"), aborted_at=NOW)
    assert status_patch(old, new) == {
        "status": {
            "blueGreen": {"activeSelector": "c", "previewSelector": None},
            "abortedAt": "2026-01-02T03:04:05Z",
        }
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ready_replicas": 2, "available_replicas": 1}, True),
        ({"ready_replicas": 2, "phase": "Healthy"}, False),
        ({"current_step_index": 1}, False),
        ({"conditions": (progressing("ReplicaSetUpdated", ago=timedelta(seconds=5)),)}, True),
        ({"conditions": (progressing("NewReplicaSetAvailable"),)}, False),
    ],
)
def test_only_changed_counts_may_wait_for_more_of_their_kind(changes: dict[str, object], expected: bool) -> None:
    old = RolloutStatus(conditions=(progressing("ReplicaSetUpdated", ago=timedelta(seconds=90)),))
    assert differ_in_counts_only(old, replace(old, **changes)) is expected


def test_a_status_without_any_difference_is_not_written_but_its_order_counts() -> None:
    world = World(rollout())
    world.run_to_phase("Healthy")
    reordered = tuple(reversed(world.status.conditions))
    world.change_status(conditions=reordered)
    assert world.plan().writes_nothing
