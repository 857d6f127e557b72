"""Scale-down deadlines: who waits, for how long, and who goes at once."""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NOW, replica_set, rollout

from prograde.api import names
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import PatchReplicaSet
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.deadlines import gets_delay_with_routing, hold_after_abort, retire
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.snapshot import RolloutSnapshot

HALF_MINUTE = timedelta(seconds=30)


def text(seconds: int) -> str:
    """Return the annotation of a deadline that many seconds from now."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def old(image: str, size: int = 1, deadline: str = "", *, desired: int = 1) -> ReplicaSet:
    annotations = {names.SCALE_DOWN_DEADLINE_ANNOTATION: deadline} if deadline else {}
    return replica_set(image, size=size, desired=desired, annotations=annotations)


def draft_of(*replica_sets: ReplicaSet, replicas: int = 1) -> Draft:
    owner = rollout(replicas=replicas)
    return Draft(
        RolloutContext(
            snapshot=RolloutSnapshot(rollout=owner, replica_sets=replica_sets),
            now=NOW + timedelta(milliseconds=400),
            rollout=owner,
            computed_hash="new",
            step_hash="",
            replica_sets=replica_sets,
            new=None,
            stable=None,
        )
    )


def patches(draft: Draft, replica_sets: list[ReplicaSet]) -> list[tuple[int | None, str | None]]:
    """Return for each ReplicaSet the new size and the new deadline: None for no change, ``removed`` for none left."""
    found = {action.name: action for action in draft.to_plan(None).actions if isinstance(action, PatchReplicaSet)}
    result: list[tuple[int | None, str | None]] = []
    for each in replica_sets:
        patch = found.get(each.metadata.name)
        if patch is None:
            result.append((None, None))
            continue
        key = names.SCALE_DOWN_DEADLINE_ANNOTATION
        deadline = patch.annotations[key] or "removed" if key in patch.annotations else None
        result.append((patch.replicas, deadline))
    return result


GONE, GONE_WITH_DEADLINE, KEPT, ANNOTATED = (0, None), (0, "removed"), (None, None), (None, text(30))


@pytest.mark.parametrize(
    ("superseded", "limit", "expected"),
    [
        pytest.param([old("v1")], None, [ANNOTATED], id="a first deadline"),
        pytest.param([old("v1", 0)], None, [KEPT], id="nothing to wait for without pods"),
        pytest.param([old("v1", 0, text(-5))], None, [KEPT], id="a left-over deadline without pods"),
        pytest.param([old("v1", 1, text(10))], None, [KEPT], id="ahead"),
        pytest.param([old("v1", 1, text(0))], None, [GONE_WITH_DEADLINE], id="now"),
        pytest.param([old("v1", 1, text(-10))], None, [GONE_WITH_DEADLINE], id="past"),
        pytest.param([old("v1", 1, "Abcd123")], None, [GONE_WITH_DEADLINE], id="unreadable"),
        pytest.param([old("v2"), old("v1")], 1, [ANNOTATED, GONE], id="limit reached without deadline"),
        pytest.param([old("v2")], 0, [GONE], id="limit of none"),
        pytest.param([old("v2", 1, text(9))], 0, [GONE_WITH_DEADLINE], id="limit of none, deadline ahead"),
        pytest.param(
            [old("v2", 1, text(10)), old("v1", 1, text(10))], 1, [KEPT, GONE_WITH_DEADLINE], id="the older one goes"
        ),
        pytest.param([old("v3"), old("v2", 1, text(5)), old("v1")], 2, [ANNOTATED, KEPT, GONE], id="mixed"),
        pytest.param(
            [old("v3", 0), old("v2"), old("v1")], 1, [KEPT, ANNOTATED, GONE], id="one without pods does not count"
        ),
        pytest.param(
            [old("v2", 1, text(-1)), old("v1")], 1, [GONE_WITH_DEADLINE, GONE], id="one that has just expired does"
        ),
    ],
)
def test_superseded_revisions_wait_newest_first(superseded, limit, expected):
    draft = draft_of(*superseded)
    is_scaled = retire(draft, superseded, delay=HALF_MINUTE, revision_limit=limit)
    assert patches(draft, superseded) == expected
    assert is_scaled == any(size is not None for size, _ in expected)


def test_a_delay_of_zero_means_at_once_but_leaves_deadlines_that_run_already():
    superseded = [old("v2"), old("v1", 1, text(10))]
    draft = draft_of(*superseded)
    retire(draft, superseded, delay=timedelta(), revision_limit=None)
    assert patches(draft, superseded) == [GONE, KEPT]


def test_a_waiting_revision_gets_the_size_that_its_strategy_wants():
    superseded = [old("v1", 2, text(10), desired=2)]
    draft = draft_of(*superseded, replicas=3)
    assert retire(draft, superseded, delay=HALF_MINUTE, revision_limit=None, size_while_waiting=lambda each: 3)
    assert patches(draft, superseded) == [(3, None)]


def test_the_plan_looks_again_at_the_earliest_deadline():
    superseded = [old("v2"), old("v1", 1, text(10))]
    draft = draft_of(*superseded)
    retire(draft, superseded, delay=HALF_MINUTE, revision_limit=None)
    assert [wait.until for wait in draft.waits] == [NOW + HALF_MINUTE, NOW + timedelta(seconds=10)]
    assert draft.requeue_at is not None
    assert timedelta() <= draft.requeue_at - (NOW + timedelta(seconds=10)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("new", "is_stable_complete", "has_traffic", "expected"),
    [
        pytest.param(old("v2", 10, text(-5)), True, False, (0, None), id="past: the pods go, the deadline stays"),
        pytest.param(old("v2", 10, "Abcd123"), True, False, (0, None), id="unreadable is past"),
        pytest.param(old("v2", 8, text(5)), True, False, (None, None), id="ahead: the size stays"),
        pytest.param(old("v2", 10), True, False, (None, text(30)), id="none yet"),
        pytest.param(old("v2", 10), False, False, (None, None), id="the stable side is not complete"),
        pytest.param(old("v2", 10), True, True, (None, None), id="the traffic has not left"),
        pytest.param(old("v2", 10, text(-5)), True, True, (None, None), id="past, but the traffic has not left"),
        pytest.param(old("v2", 0, text(-5)), True, False, (None, None), id="gone already"),
    ],
)
def test_an_aborted_revision_is_held_for_its_delay(new, is_stable_complete, has_traffic, expected):
    draft = draft_of(new)
    is_scaled = hold_after_abort(
        draft, new, delay=HALF_MINUTE, is_stable_complete=is_stable_complete, has_traffic=has_traffic
    )
    assert patches(draft, [new]) == [expected]
    assert is_scaled == (expected[0] is not None)


def test_a_held_revision_records_the_wanted_number_so_that_scaling_ends():
    new = old("v2", 10, text(5), desired=10)
    draft = draft_of(new, replicas=7)
    hold_after_abort(draft, new, delay=HALF_MINUTE, is_stable_complete=True, has_traffic=False)
    patch = next(iter(draft.to_plan(None).actions))
    assert isinstance(patch, PatchReplicaSet)
    assert patch.replicas is None
    assert patch.annotations == {names.DESIRED_REPLICAS_ANNOTATION: "7"}


@pytest.mark.parametrize(
    ("is_fully_promoted", "has_deadline", "is_dynamic", "expected"),
    [
        pytest.param(True, False, False, True, id="the former stable revision"),
        pytest.param(False, True, False, True, id="one that waits already"),
        pytest.param(False, False, False, False, id="replaced in the middle of its update"),
        pytest.param(True, True, True, False, id="a dynamic stable side saves pods"),
    ],
)
def test_with_routing_only_former_stable_revisions_wait(is_fully_promoted, has_deadline, is_dynamic, expected):
    delayed = gets_delay_with_routing(
        is_fully_promoted=is_fully_promoted, has_deadline=has_deadline, is_dynamic=is_dynamic
    )
    assert delayed is expected
