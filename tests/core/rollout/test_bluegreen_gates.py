"""The facts that blue-green decides on, as tables."""

from datetime import timedelta
from typing import Any

import pytest
from tests.core.rollout.builders import NOW, hash_for, replica_set, rollout

from prograde.api import names
from prograde.api.analysis import AnalysisTemplateRef
from prograde.api.rollout import (
    BlueGreenStatus,
    BlueGreenStrategy,
    PauseCondition,
    RolloutAnalysis,
    RolloutStatus,
)
from prograde.api.workloads import ReplicaSet
from prograde.core.rollout.bluegreen_gates import BlueGreenGates, is_configured
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.snapshot import RolloutSnapshot

V1, V2 = hash_for("v1"), hash_for("v2")


def gates(
    *,
    new: ReplicaSet | None = None,
    stable: ReplicaSet | None = None,
    others: tuple[ReplicaSet, ...] = (),
    selected: str = V1,
    replicas: int = 3,
    status: dict[str, Any] | None = None,
    paused: bool = False,
    now: timedelta = timedelta(),
    **strategy: Any,
) -> BlueGreenGates:
    """Gates of an update from v1 to v2, unless told otherwise."""
    stable = replica_set("v1", size=3, age=timedelta(hours=1)) if stable is None else stable
    new = replica_set("v2", size=3) if new is None else new
    members: dict[str, Any] = {
        "stable_rs": V1,
        "current_pod_hash": V2,
        "blue_green": BlueGreenStatus(active_selector=V1),
    }
    blue_green = BlueGreenStrategy(active_service="active", **strategy)
    owner = rollout(
        blue_green=blue_green,
        replicas=replicas,
        image="v2",
        status=RolloutStatus(**{**members, **(status or {})}),
        paused=paused,
    )
    replica_sets = (stable, *others, new)
    context = RolloutContext(
        snapshot=RolloutSnapshot(rollout=owner, replica_sets=replica_sets),
        now=NOW + now,
        rollout=owner,
        computed_hash=V2,
        step_hash="",
        replica_sets=replica_sets,
        new=new,
        stable=stable if owner.status.stable_rs else None,
    )
    return BlueGreenGates(context=context, strategy=blue_green, selected_hash=selected)


def paused_since(*ago_seconds: int) -> tuple[PauseCondition, ...]:
    return tuple(
        PauseCondition(reason=names.PAUSE_BLUE_GREEN, start_time=NOW - timedelta(seconds=ago)) for ago in ago_seconds
    )


INCONCLUSIVE = (PauseCondition(reason=names.PAUSE_INCONCLUSIVE_ANALYSIS, start_time=NOW),)
CHECKPOINT = {"blue_green": BlueGreenStatus(active_selector=V1, scale_up_preview_check_point=True)}


# ---- The wanted size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preview_size", "options", "expected"),
    [
        pytest.param(None, {}, 10, id="no preview size"),
        pytest.param(1, {"status": {"blue_green": BlueGreenStatus()}}, 10, id="nothing is active"),
        pytest.param(1, {"status": {"blue_green": BlueGreenStatus(active_selector=V2)}}, 10, id="it is active itself"),
        pytest.param(
            1, {"status": {"blue_green": BlueGreenStatus(active_selector="gone")}}, 10, id="the active is gone"
        ),
        pytest.param(1, {}, 1, id="another one is active"),
        pytest.param(1, {"status": CHECKPOINT}, 10, id="past the checkpoint"),
        pytest.param(1, {"status": {"promote_full": True}}, 10, id="full promotion"),
        pytest.param(
            1, {"status": {**CHECKPOINT, "current_pod_hash": "baz"}}, 1, id="the checkpoint is another revision's"
        ),
        pytest.param(1, {"status": CHECKPOINT, "paused": True}, 1, id="paused by its user past the checkpoint"),
        pytest.param(
            1, {"status": {**CHECKPOINT, "pause_conditions": INCONCLUSIVE}}, 1, id="paused by an analysis past it"
        ),
        pytest.param(12, {}, 12, id="a preview larger than the whole"),
        pytest.param(0, {}, 0, id="a preview of nothing"),
        pytest.param(1, {"status": {"stable_rs": V2}}, 10, id="back on stable"),
    ],
)
def test_the_wanted_size_is_the_preview_size_until_the_checkpoint(preview_size, options, expected):
    assert gates(replicas=10, preview_replica_count=preview_size, **options).wanted == expected


# ---- Ready, saturated, fast-tracked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "available", "desired", "is_ready", "is_saturated"),
    [
        pytest.param(3, 3, 3, True, True, id="complete"),
        pytest.param(3, 2, 3, False, False, id="a pod is missing"),
        pytest.param(3, 4, 3, False, False, id="a surplus pod"),
        pytest.param(2, 2, 3, False, False, id="not scaled yet"),
        pytest.param(3, 3, 2, True, False, id="a stale record of the size"),
        pytest.param(3, 3, None, True, False, id="no record of the size"),
        pytest.param(3, 3, "many", True, False, id="an unreadable record of the size"),
    ],
)
def test_ready_counts_pods_and_saturated_also_the_record(size, available, desired, is_ready, is_saturated):
    found = gates(new=replica_set("v2", size=size, available=available, desired=desired))
    assert (found.is_ready, found.is_saturated) == (is_ready, is_saturated)


def test_a_complete_preview_is_ready_but_not_saturated():
    found = gates(new=replica_set("v2", size=1), preview_replica_count=1)
    assert (found.is_ready, found.is_saturated) == (True, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, False, id="an ordinary update"),
        pytest.param({"selected": "", "status": {"stable_rs": ""}}, True, id="nothing else could get the traffic"),
        pytest.param({"selected": ""}, False, id="the active Service has lost its hash"),
        pytest.param({"selected": V2}, True, id="it gets the traffic already"),
        pytest.param({"status": {"promote_full": True}}, True, id="somebody wants it in full"),
        pytest.param({"status": {"stable_rs": V2}}, True, id="it is stable"),
    ],
)
def test_the_fast_track(options, expected):
    assert gates(**options).is_fast_tracked is expected


@pytest.mark.parametrize(
    ("deadline", "new_age", "aborted", "expected"),
    [
        pytest.param("2099-01-01T00:00:00Z", 120, False, True, id="older than stable, within its delay"),
        pytest.param("2020-01-01T00:00:00Z", 120, False, False, id="the delay is over"),
        pytest.param("", 120, False, False, id="no delay"),
        pytest.param("never", 120, False, False, id="an unreadable deadline"),
        pytest.param("2099-01-01T00:00:00Z", 10, False, False, id="younger than stable: forward"),
        pytest.param("2099-01-01T00:00:00Z", 120, True, False, id="the deadline of an abort"),
    ],
)
def test_a_rollback_is_fast_while_the_old_revision_waits_for_its_deadline(deadline, new_age, aborted, expected):
    annotations = {names.SCALE_DOWN_DEADLINE_ANNOTATION: deadline} if deadline else {}
    found = gates(
        new=replica_set("v2", size=3, age=timedelta(minutes=new_age), annotations=annotations),
        status={"aborted_at": NOW} if aborted else {},
    )
    assert found.is_fast_tracked is expected


# ---- The pause -------------------------------------------------------------------------------------------------------

MANUAL: dict[str, Any] = {"auto_promotion_enabled": False}
TIMED: dict[str, Any] = {"auto_promotion_seconds": 10}
RESUMED = {"controller_pause": True}


@pytest.mark.parametrize(
    ("strategy", "status", "expected"),
    [
        pytest.param({}, {}, "not needed", id="automatic"),
        pytest.param({"auto_promotion_enabled": True}, {}, "not needed"),
        pytest.param({}, {"pause_conditions": paused_since(5)}, "not needed", id="a left-over pause"),
        pytest.param(MANUAL, {}, "not begun"),
        pytest.param(MANUAL, {"pause_conditions": paused_since(3600), **RESUMED}, "running"),
        pytest.param(MANUAL, RESUMED, "over", id="somebody has promoted"),
        pytest.param(
            {**MANUAL, **TIMED}, {"pause_conditions": paused_since(3600)}, "running", id="seconds are ignored"
        ),
        pytest.param(TIMED, {}, "not begun"),
        pytest.param(TIMED, {"pause_conditions": paused_since(5)}, "running"),
        pytest.param(TIMED, {"pause_conditions": paused_since(10)}, "running", id="at the very end"),
        pytest.param(TIMED, {"pause_conditions": paused_since(11)}, "over"),
        pytest.param(TIMED, RESUMED, "over", id="promoted before the time"),
        pytest.param(MANUAL, {**CHECKPOINT, "pause_conditions": paused_since(1)}, "over", id="past the checkpoint"),
        pytest.param(TIMED, CHECKPOINT, "over", id="past the checkpoint, timed"),
    ],
)
def test_the_pause_is_over_by_time_by_a_person_or_behind_the_checkpoint(strategy, status, expected):
    found = gates(status=status, **strategy)
    assert found.pause_state == expected
    assert found.is_open is (expected in ("over", "not needed"))


# ---- Analysis --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("analysis", "expected"),
    [
        pytest.param(None, False, id="absent"),
        pytest.param(RolloutAnalysis(), False, id="without templates"),
        pytest.param(RolloutAnalysis(templates=(AnalysisTemplateRef(template_name="errors"),)), True, id="a template"),
    ],
)
def test_an_analysis_without_templates_stands_in_nobodys_way(analysis, expected):
    assert is_configured(analysis) is expected
    assert gates(pre_promotion_analysis=analysis).is_open is not expected
