"""The words of a rollout: which ReplicaSet is what, and what kind of update this is."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NAME, NOW, World, hash_for, pause, paused_for, replica_set, rollout, weight

from prograde.api import names
from prograde.api.rollout import BlueGreenStrategy, CanaryStrategy, RollbackWindow, RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import EvictPod, PatchService
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicas import Limits
from prograde.core.rollout.replicasets import hash_of


def context(*sets: ReplicaSet, new: str = "", stable: str = "", **options: object) -> RolloutContext:
    """Return a context in which the ReplicaSets of these images are the new and the stable one."""
    status = RolloutStatus(stable_rs=hash_for(stable) if stable else "", current_pod_hash=hash_for(new) if new else "")
    found = rollout(**{"status": status, **options})  # type: ignore[arg-type]
    by_image = {World.image_of(each): each for each in sets}
    return RolloutContext(
        snapshot=World(found, *sets).snapshot(),
        now=NOW,
        rollout=found,
        computed_hash="computed",
        step_hash="",
        replica_sets=sets,
        new=by_image.get(new),
        stable=by_image.get(stable),
    )


# ---- Which is what ----------------------------------------------------------------------------------------------


def test_older_are_all_but_new_and_others_are_neither_new_nor_stable() -> None:
    first, second, third = (replica_set(image) for image in ("v1", "v2", "v3"))
    found = context(first, second, third, new="v3", stable="v2")
    assert found.older == (first, second)
    assert found.others == (first,)
    assert found.separate_stable is second


def test_one_replica_set_may_be_new_and_stable() -> None:
    only = replica_set("v1")
    found = context(only, new="v1", stable="v1")
    assert (found.older, found.others, found.separate_stable) == ((), (), None)
    assert found.is_back_on_stable


def test_a_revision_that_is_yet_to_be_created_has_the_computed_hash() -> None:
    assert context().pod_hash == "computed"
    assert context(replica_set("v1"), new="v1").pod_hash == hash_for("v1")


def test_nothing_reconciled_counts_as_fully_promoted_but_not_as_changed() -> None:
    empty = context(replica_set("v1"), new="v1", status=RolloutStatus())
    assert empty.is_fully_promoted
    assert not empty.is_template_changed


# ---- Rollbacks --------------------------------------------------------------------------------------------------

A, B, C, D, E, F = (
    replica_set(
        image,
        age=timedelta(minutes=10 - number),
        annotations={names.EXPERIMENT_NAME_ANNOTATION: "x"} if image == "e" else {},
    )
    for number, image in enumerate("abcdef")
)


@pytest.mark.parametrize(
    ("stable", "new", "revisions", "expected"),
    [
        ("b", "a", 1, True),
        ("c", "a", 2, True),
        ("d", "a", 2, False),
        ("d", "a", 3, True),
        pytest.param("f", "d", 1, True, id="the ReplicaSet of an Experiment does not count"),
        pytest.param("a", "b", 1, False, id="forward"),
        pytest.param("a", "", 1, False, id="nothing new"),
        pytest.param("b", "a", 0, False, id="switched off"),
    ],
)
def test_the_rollback_window_covers_one_revision_more_than_its_documentation_says(
    stable: str, new: str, revisions: int, expected: bool
) -> None:
    """Kept: a window of 1 reaches the revision just before, a window of 2 the one before that, counted by age."""
    window = RollbackWindow(revisions=revisions)
    found = context(A, B, C, D, E, F, new=new, stable=stable, rollback_window=window)
    assert found.is_within_rollback_window is expected
    assert found.is_fast_rollback is expected


def test_a_rollback_is_to_stable_or_to_something_older() -> None:
    assert context(A, B, new="a", stable="b").is_rollback
    assert context(A, B, new="b", stable="b").is_rollback
    assert not context(A, B, new="b", stable="a").is_rollback


def test_coming_back_within_the_scale_down_delay_is_fast_for_blue_green_only() -> None:
    deadline = {names.SCALE_DOWN_DEADLINE_ANNOTATION: "2026-01-02T03:04:35Z"}
    kept = replica_set("a", age=timedelta(hours=2), annotations=deadline)
    blue_green = BlueGreenStrategy(active_service="active")
    assert context(kept, B, new="a", stable="b", blue_green=blue_green).is_fast_rollback
    assert not context(kept, B, new="a", stable="b").is_fast_rollback


# ---- Limits and halts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        (CanaryStrategy(), 10, Limits(surge=3, unavailable=2)),
        (CanaryStrategy(max_surge=0, max_unavailable="0%"), 10, Limits(surge=0, unavailable=1)),
        (BlueGreenStrategy(active_service="a"), 10, Limits(surge=0, unavailable=2)),
        (BlueGreenStrategy(active_service="a"), 3, Limits(surge=0, unavailable=0)),
        (BlueGreenStrategy(active_service="a", max_unavailable=1), 3, Limits(surge=0, unavailable=1)),
    ],
)
def test_blue_green_has_no_surge_and_may_be_unavailable_by_nothing(
    strategy: CanaryStrategy | BlueGreenStrategy, replicas: int, expected: Limits
) -> None:
    canary = strategy if isinstance(strategy, CanaryStrategy) else None
    blue_green = strategy if isinstance(strategy, BlueGreenStrategy) else None
    assert context(canary=canary, blue_green=blue_green, replicas=replicas).limits == expected


@pytest.mark.parametrize(
    ("paused", "reason", "expected"),
    [
        (True, None, "user paused"),
        (False, names.PAUSE_INCONCLUSIVE_ANALYSIS, "inconclusive analysis"),
        (False, names.PAUSE_INCONCLUSIVE_EXPERIMENT, ""),
        (False, names.PAUSE_CANARY_STEP, ""),
        (False, None, ""),
    ],
)
def test_only_users_and_inconclusive_analyses_halt(paused: bool, reason: str | None, expected: str) -> None:
    status = RolloutStatus(pause_conditions=(paused_for(reason),) if reason else ())
    assert context(paused=paused, status=status).halted_by == expected


@pytest.mark.parametrize(("index", "expected"), [(None, 0), (0, 0), (2, 2), (9, 2), (-1, 0)])
def test_the_step_index_stays_within_the_steps(index: int | None, expected: int) -> None:
    canary = CanaryStrategy(steps=(weight(1), pause()))
    found = context(canary=canary, status=RolloutStatus(current_step_index=index))
    assert found.step_index == expected
    assert context(status=RolloutStatus(current_step_index=index)).step_index is None


# ---- The draft --------------------------------------------------------------------------------------------------


def test_actions_go_out_in_the_order_of_their_stages_whatever_was_decided_first() -> None:
    one = replica_set("v1", size=1)
    draft = Draft(context(one, new="v1"))
    draft.act(Stage.PODS, EvictPod(name="p", uid="u"))
    draft.scale(one, 2)
    draft.act(Stage.SERVICES, PatchService(name="s"))
    kinds = [[type(each).__name__ for each in group] for group in draft.to_plan(None).groups]
    assert kinds == [["PatchService"], ["PatchReplicaSet"], ["EvictPod"]]


def test_a_new_size_is_announced_with_the_revision_and_recorded_with_the_rollouts_own() -> None:
    one = replica_set("v1", size=1, desired=1, revision=4)
    draft = Draft(context(one, new="v1", replicas=7))
    assert draft.scale(one, 5)
    (action,) = draft.to_plan(None).actions
    assert action.merge_patch() == {  # type: ignore[attr-defined]
        "metadata": {"resourceVersion": "1", "annotations": {names.DESIRED_REPLICAS_ANNOTATION: "7"}},
        "spec": {"replicas": 5},
    }
    assert [each.message for each in action.events] == [
        f"Scaled up ReplicaSet {NAME}-{hash_of(one)} (revision 4) from 1 to 5"
    ]
    assert draft.size_after(one) == 5


def test_a_size_that_is_right_only_gets_its_record_put_right_and_is_not_announced() -> None:
    one = replica_set("v1", size=7, desired=1)
    draft = Draft(context(one, new="v1", replicas=7))
    assert not draft.scale(one, 7)
    (action,) = draft.to_plan(None).actions
    assert not action.events
    nothing = replica_set("v2", size=7, desired=7)
    draft = Draft(context(nothing, new="v2", replicas=7))
    assert not draft.scale(nothing, 7)
    assert draft.to_plan(None).writes_nothing


def test_a_replica_set_that_goes_to_nothing_loses_its_deadline() -> None:
    deadline = {names.SCALE_DOWN_DEADLINE_ANNOTATION: "2026-01-02T03:00:00Z"}
    one = replica_set("v1", size=2, annotations=deadline)
    draft = Draft(context(one, new="v1"))
    draft.scale(one, 0)
    (action,) = draft.to_plan(None).actions
    assert action.merge_patch()["metadata"]["annotations"] == {  # type: ignore[attr-defined]
        names.SCALE_DOWN_DEADLINE_ANNOTATION: None
    }


def test_looking_again_happens_at_the_earliest_time_that_was_asked_for() -> None:
    draft = Draft(context())
    for seconds in (30, 10, 20):
        draft.look_again(NOW + timedelta(seconds=seconds))
    assert draft.to_plan(None).requeue_at == NOW + timedelta(seconds=10)
