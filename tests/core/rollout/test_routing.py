"""Where the traffic of a canary goes: the weight, who is told what in which order, and what is recorded of it."""

from datetime import timedelta
from typing import Any

import pytest
from tests.core.rollout.builders import (
    NAME,
    NAMESPACE,
    NOW,
    canary_scale,
    pause,
    paused_for,
    replace,
    replica_set,
    service,
    weight,
)
from tests.core.rollout.routing_world import (
    TABLE,
    TABLES,
    V1,
    V2,
    V3,
    TableRouter,
    facts,
    header,
    managing,
    mirror,
    routed,
    weights,
)

from prograde.api import names
from prograde.api.experiment import Experiment, ExperimentStatus, ExperimentTemplateStatus
from prograde.api.meta import ObjectMeta
from prograde.api.rollout import (
    CanaryStatus,
    CanaryStep,
    CanaryStrategy,
    ExperimentStep,
    ExperimentStepTemplate,
    PingPong,
    ReplicaProgressThreshold,
    TrafficRouting,
    TrafficWeights,
    WeightDestination,
)
from prograde.api.scalars import format_time
from prograde.core.objects import JsonObject, ObjectRef, Objects
from prograde.core.plan import Event, PatchObject, PatchReplicaSet, PatchService, WaitReason
from prograde.core.rollout.context import PlannerSettings, RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.routing import route
from prograde.core.rollout.services import register_pods_to_come, switch_canary_services
from prograde.core.routing import Routed, RoutingIntent, Wanted

STEPS = (weight(10), pause(), weight(50))
REVISION_2 = {names.REVISION_ANNOTATION: "2"}


class Pass:
    """What one pass does about the traffic, over tables that say nothing yet or what `tables` says."""

    def __init__(
        self, context: RolloutContext, *, tables: dict[str, JsonObject] | None = None, revision: int = 2, **draft: Any
    ) -> None:
        known = {"table": {}} if tables is None else tables
        found = {ObjectRef(TABLES, NAMESPACE, name): {"spec": {}, **table} for name, table in known.items()}
        snapshot = replace(context.snapshot, objects=Objects(found=found))
        self.context = replace(context, snapshot=snapshot, routers=tuple(TableRouter(name) for name in known))
        self.draft = Draft(self.context)
        self.draft.revision = revision
        for key, value in draft.items():
            setattr(self.draft, key, value)
        self.goes_on = route(self.context, self.draft)
        self.plan = self.draft.to_plan(None)
        self.order: list[str] = []
        """Which part was written when, with the table's name if it is another one than the first."""
        self.spec: dict[str, Any] = {}
        for group in self.plan.groups:
            for action in group:
                if isinstance(action, PatchObject):
                    part = action.patch["spec"]
                    assert isinstance(part, dict)
                    prefix = "" if action.ref.name == "table" else f"{action.ref.name} "
                    self.order.append(prefix + ("weight" if "weight" in part else "hash"))
                    self.spec.update(part)

    @property
    def is_routed(self) -> bool:
        return self.draft.has_routed

    @property
    def weight(self) -> int | None:
        return self.spec.get("weight")

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(each.reason, each.message) for each in self.plan.events]

    @property
    def reasons(self) -> list[WaitReason]:
        return [each.reason for each in self.plan.waits]

    @property
    def recorded(self) -> TrafficWeights | None:
        return self.draft.weights


def promoted_context(available: int, *, recorded: TrafficWeights | None, dynamic: bool = False) -> RolloutContext:
    """Return the facts after the template of v1, the stable revision, has come back over that of v2."""
    strategy = routed(*STEPS, dynamic_stable_scale=dynamic)
    v2 = replica_set("v2", size=3, revision=2, age=timedelta(minutes=30))
    context = facts(
        strategy, image="v1", new=(10, available), stable=(10, available), index=3, recorded=recorded, others=(v2,)
    )
    one = context.replica_sets[1]
    return replace(context, replica_sets=(one, v2), new=one, stable=one)


# ---- The weight ---------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {"stable": (10, 10)}
DYNAMIC: dict[str, Any] = {"dynamic_stable_scale": True}


@pytest.mark.parametrize(
    ("steps", "members", "given", "expected"),
    [
        pytest.param(STEPS, {}, {"new": (0, 0)}, 0, id="no canary pods"),
        pytest.param(STEPS, {}, {"new": (1, 0)}, 0, id="a canary that is not available"),
        pytest.param(
            STEPS, {}, {"new": (0, 5), "index": 2}, 0, id="pods that are still counted although nobody asks for them"
        ),
        pytest.param(STEPS, {}, {"new": (1, 1)}, 10, id="the weight of the step, once its pods are there"),
        pytest.param(STEPS, {}, {"new": (1, 1), "index": 1}, 10, id="a pause keeps it"),
        pytest.param(STEPS, {}, {"new": (1, 1), "index": 2}, 10, id="the step before, until the pods are there"),
        pytest.param(STEPS, {}, {"new": (5, 5), "index": 2}, 50, id="then the step"),
        pytest.param(STEPS, {}, {"new": (5, 5), "index": 3}, 50, id="after the last step: its weight, until all are"),
        pytest.param(STEPS, {}, {"new": (10, 10), "index": 3}, 100, id="then everything"),
        pytest.param((weight(20), weight(50)), {}, {"new": (1, 1), "index": 0}, 0, id="the first step has none before"),
        pytest.param((pause(), canary_scale(replicas=2)), {}, {"new": (2, 2), "index": 1}, 0, id="no weight at all"),
        pytest.param((), {}, {"new": (10, 10), "index": None}, 0, id="no steps"),
        pytest.param(
            (weight(40), weight(60)),
            {},
            {"new": (6, 1), "index": 1},
            10,
            id="a step that was skipped before its pods came",
        ),
        pytest.param(
            (weight(40), weight(60)),
            {},
            {"new": (6, 1), "index": 1, "recorded": weights(40)},
            40,
            id="what it carries already it keeps",
        ),
        pytest.param(
            (weight(50), weight(10)),
            {},
            {"new": (5, 5), "index": 1, "recorded": weights(50)},
            10,
            id="less comes at once, before its pods leave",
        ),
        pytest.param(
            (weight(50), weight(10)),
            {"replica_progress_threshold": ReplicaProgressThreshold(type="Percent", value=80)},
            {"new": (5, 4)},
            50,
            id="a threshold is enough",
        ),
        pytest.param(
            STEPS, {}, {"new": (4, 4), "index": 3, "promote_full": True, "recorded": weights(5)}, 5, id="full"
        ),
        pytest.param(STEPS, {}, {"new": (4, 4), "index": 3, "promote_full": True}, 0, id="full, nothing recorded"),
        pytest.param(
            STEPS,
            {},
            {"new": (4, 4), "index": 3, "promote_full": True, "recorded": weights(50, of=V3)},
            40,
            id="full, but another revision had the traffic: as much as the pods bear",
        ),
        pytest.param(
            STEPS,
            DYNAMIC,
            {"new": (10, 5), "index": 3, "promote_full": True, "recorded": weights(10)},
            50,
            id="full with a dynamic stable side: as the pods come",
        ),
        pytest.param(
            STEPS,
            DYNAMIC,
            {"new": (10, 12), "index": 3, "promote_full": True, "recorded": weights(10)},
            100,
            id="and never more than all",
        ),
        pytest.param(STEPS, {}, {"new": (5, 5), "abort": True, "recorded": weights(50)}, 0, id="aborted"),
        pytest.param(STEPS, {}, {"new": (5, 5), "promote_full": True, "abort": True}, 0, id="abort comes first"),
        pytest.param(
            (weight(20), weight(60)),
            {"traffic_routing": replace(TABLE, max_traffic_weight=1000)},
            {"new": (1, 1)},
            20,
            id="of a thousand",
        ),
    ],
)
def test_the_weight_follows_step_and_pods(
    steps: tuple[CanaryStep, ...], members: dict[str, Any], given: dict[str, Any], expected: int
) -> None:
    strategy = replace(routed(*steps), **members)
    assert Pass(facts(strategy, **{**FULL, **given})).weight == expected


@pytest.mark.parametrize("paused_by", ["user", "analysis"])
def test_a_halted_rollout_keeps_the_weight_that_it_has(paused_by: str) -> None:
    context = facts(routed(*STEPS), new=(5, 5), index=2, recorded=weights(10), **FULL)
    if paused_by == "user":
        context = replace(context, rollout=replace(context.rollout, spec=replace(context.spec, paused=True)))
    else:
        status = replace(context.status, pause_conditions=(paused_for(names.PAUSE_INCONCLUSIVE_ANALYSIS),))
        context = replace(context, rollout=replace(context.rollout, status=status))
    assert Pass(context).weight == 10


def test_an_abort_that_this_pass_adds_counts() -> None:
    found = Pass(facts(routed(*STEPS), new=(5, 5), index=2, recorded=weights(50), **FULL), abort_message="broken")
    assert found.weight == 0


# ---- Going back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "given", "expected"),
    [
        pytest.param(
            (weight(50), pause()),
            {"stable": (5, 3), "new": (4, 4), "recorded": weights(100)},
            50,
            id="down to the step that needs fewer pods",
        ),
        pytest.param(
            (pause(),), {"stable": (5, 1), "new": (5, 5), "recorded": weights(100)}, 80, id="as stable gets its pods"
        ),
        pytest.param(
            (weight(50), pause()), {"stable": (5, 4), "new": (0, 0), "recorded": weights(0)}, 0, id="nothing to give"
        ),
        pytest.param(
            (weight(50), pause()),
            {"stable": (5, 5), "new": (0, 0), "recorded": weights(20)},
            0,
            id="complete",
        ),
        pytest.param(
            (weight(50), pause()),
            {"stable": (5, 4), "new": (1, 0), "recorded": weights(20)},
            0,
            id="a canary without pods gets nothing, though stable lacks one",
        ),
        pytest.param(
            (weight(20), weight(60)),
            {"stable": (5, 2), "new": (3, 3), "recorded": weights(60)},
            60,
            id="stable is still growing",
        ),
        pytest.param((weight(50),), {"stable": (5, 3), "new": (4, 4)}, 50, id="nothing recorded: at least the step"),
        pytest.param((weight(50),), {"stable": (5, 3), "new": (4, 1)}, 20, id="but no more than its pods can carry"),
    ],
)
def test_with_a_dynamic_stable_side_an_abort_goes_back_as_stable_grows(
    steps: tuple[CanaryStep, ...], given: dict[str, Any], expected: int
) -> None:
    found = Pass(facts(routed(*steps, dynamic_stable_scale=True), replicas=5, abort=True, **given))
    assert found.recorded is not None
    assert found.recorded.canary.weight == expected


def test_an_abort_without_any_wanted_pods_goes_to_zero() -> None:
    found = Pass(facts(routed(*STEPS, dynamic_stable_scale=True), replicas=0, abort=True, recorded=weights(10)))
    assert found.weight == 0


@pytest.mark.parametrize(
    ("available", "recorded", "expected"),
    [
        pytest.param(10, 50, 0, id="complete"),
        pytest.param(9, 50, 10, id="stable takes what it can"),
        pytest.param(6, 50, 40, id="and no more"),
        pytest.param(6, 20, 20, id="the canary never gets more than it has"),
    ],
)
def test_an_abort_hands_over_what_stable_can_take(available: int, recorded: int, expected: int) -> None:
    found = Pass(facts(routed(*STEPS), stable=(10, available), new=(5, 5), abort=True, recorded=weights(recorded)))
    assert (found.weight if found.is_routed else recorded) == expected
    assert found.recorded is not None
    assert found.recorded.canary.weight == expected
    waits = [each.message for each in found.plan.waits if each.reason is WaitReason.STABLE_CAPACITY]
    told = {
        10: f"the canary keeps a weight of 10 for now: stable ReplicaSet {NAME}-{V1} has 9 of 10 available pods",
        40: f"the canary keeps a weight of 40 for now: stable ReplicaSet {NAME}-{V1} has 6 of 10 available pods",
        20: f"the canary keeps a weight of 20 for now: stable ReplicaSet {NAME}-{V1} has 6 of 10 available pods",
    }
    assert waits == ([told[expected]] if expected else [])


def test_an_abort_before_the_next_revision_has_pods_leaves_the_rest_with_the_one_that_serves() -> None:
    v2 = replica_set("v2", size=5, revision=2, age=timedelta(minutes=90))
    found = Pass(facts(routed(*STEPS), image="v3", stable=(10, 8), abort=True, recorded=weights(50), others=(v2,)))
    assert (found.weight, found.spec["canary"]) == (20, V2)


@pytest.mark.parametrize(
    ("available", "recorded", "dynamic", "expected"),
    [
        pytest.param(7, weights(30), True, (30, V2), id="stable is still growing"),
        pytest.param(9, weights(30), True, (30, V2), id="it lacks one pod"),
        pytest.param(10, weights(30), True, (0, V1), id="it is complete"),
        pytest.param(9, weights(30, of=V1), True, (None, None), id="it has the canary's traffic itself"),
        pytest.param(8, weights(30), False, (20, V2), id="not dynamic, two pods restarting"),
        pytest.param(10, weights(30), False, (0, V1), id="not dynamic, complete"),
    ],
)
def test_the_abandoned_revision_serves_until_the_stable_one_that_came_back_is_complete(
    available: int, recorded: TrafficWeights, dynamic: bool, expected: tuple[int | None, str | None]
) -> None:
    found = Pass(promoted_context(available, recorded=recorded, dynamic=dynamic))
    if expected[0] is None:
        expected = (0, V1)  # the very same pods under another name: nothing to wait for
    assert (found.weight, found.spec.get("canary")) == expected


def test_a_revision_that_was_abandoned_without_pods_serves_nothing() -> None:
    context = promoted_context(7, recorded=weights(30), dynamic=True)
    gone = replica_set("v2", size=3, available=0, revision=2, age=timedelta(minutes=30))
    found = Pass(replace(context, replica_sets=(context.replica_sets[0], gone)))
    assert (found.weight, found.spec["canary"], found.spec["stable"]) == (0, V1, V1)


class Direction:
    """A router that only says which way the traffic goes."""

    name = "direction"

    def wanted(self) -> Wanted:
        return Wanted()

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        return Routed(events=(Event("Asked", "back" if intent.is_going_back else "on"),))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        pytest.param(facts(routed(*STEPS), new=(1, 1), stable=(10, 10)), "on", id="a step"),
        pytest.param(facts(routed(*STEPS), new=(1, 1), stable=(10, 10), abort=True), "back", id="aborted"),
        pytest.param(promoted_context(10, recorded=weights(0, of=V1)), "on", id="idle"),
        pytest.param(promoted_context(10, recorded=weights(30)), "back", id="the stable template has come back"),
        pytest.param(promoted_context(9, recorded=weights(30), dynamic=True), "back", id="and waits for its pods"),
    ],
)
def test_routers_are_told_which_way_it_goes(context: RolloutContext, expected: str) -> None:
    context = replace(context, routers=(Direction(),))
    draft = Draft(context)
    assert route(context, draft)
    assert draft.events[0].message == expected


# ---- Can stable take it? ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "threshold", "is_called"),
    [
        pytest.param(4, 80, True, id="enough by the threshold"),
        pytest.param(3, 80, False, id="not enough by the threshold"),
        pytest.param(4, None, False, id="all are needed"),
        pytest.param(5, None, True, id="all are there"),
    ],
)
def test_nothing_moves_while_stable_could_not_take_its_share(
    available: int, threshold: int | None, is_called: bool
) -> None:
    wanted = None if threshold is None else ReplicaProgressThreshold(type="Percent", value=threshold)
    context = facts(
        routed(weight(10), replica_progress_threshold=wanted), replicas=5, stable=(5, available), new=(0, 0)
    )
    found = Pass(context)
    assert (found.is_routed, bool(found.order)) == (is_called, is_called)
    assert found.goes_on
    if not is_called:
        wait = found.plan.waits[0]
        assert (wait.reason, wait.object) == (WaitReason.STABLE_CAPACITY, f"ReplicaSet {NAME}-{V1}")
        assert "has 3 of the 5" in wait.message or "has 4 of the 5" in wait.message
        assert wait.remedy


@pytest.mark.parametrize(("available", "is_called"), [(0, False), (1, True)])
def test_however_small_a_share_comes_back_stable_needs_a_pod_for_it(available: int, is_called: bool) -> None:
    strategy = routed(weight(90), dynamic_stable_scale=True)
    context = facts(strategy, replicas=1, stable=(1, available), new=(1, 1), recorded=weights(100))
    assert Pass(context).is_routed is is_called


def test_large_weights_overflow_nothing() -> None:
    large = replace(TABLE, max_traffic_weight=100_000_000)
    strategy = routed(weight(50_000_000), routing=large)
    more = weights(60_000_000, max_weight=100_000_000)
    assert Pass(facts(strategy, replicas=2, stable=(2, 1), new=(1, 1), recorded=more)).weight == 50_000_000
    assert not Pass(facts(strategy, replicas=2, stable=(2, 0), new=(1, 1), recorded=more)).is_routed


@pytest.mark.parametrize(
    ("recorded", "is_called"),
    [
        pytest.param(weights(5), True, id="the canary gets more"),
        pytest.param(weights(10), True, id="nothing changes"),
        pytest.param(weights(20), False, id="stable would get more"),
        pytest.param(None, True, id="nothing is known"),
    ],
)
def test_a_broken_stable_version_does_not_keep_its_fix_from_getting_traffic(
    recorded: TrafficWeights | None, is_called: bool
) -> None:
    found = Pass(facts(routed(weight(10)), stable=(10, 3), new=(1, 1), recorded=recorded))
    assert found.is_routed is is_called


@pytest.mark.parametrize(
    ("available", "threshold", "is_called"), [(4, 80, True), (3, 80, False), (4, None, False), (5, None, True)]
)
def test_a_share_comes_back_to_stable_when_enough_of_its_pods_are_there(
    available: int, threshold: int | None, is_called: bool
) -> None:
    wanted = None if threshold is None else ReplicaProgressThreshold(type="Percent", value=threshold)
    strategy = routed(weight(40), weight(0), replica_progress_threshold=wanted)
    found = Pass(
        facts(strategy, replicas=5, stable=(5, available), new=(2, 2), index=1, recorded=weights(40)),
    )
    assert found.is_routed is is_called


def test_the_first_deployment_asks_no_router() -> None:
    context = replace(facts(routed(*STEPS), new=(10, 10)), stable=None)
    assert Pass(context).order == []


def test_a_superseded_canary_goes_on_serving_what_a_small_stable_side_cannot_take() -> None:
    v2 = replica_set("v2", size=9, revision=2, age=timedelta(minutes=90))
    strategy = routed(*STEPS, dynamic_stable_scale=True)
    found = Pass(facts(strategy, image="v3", stable=(1, 1), recorded=weights(90), others=(v2,)))
    assert found.order == []
    assert found.recorded == weights(90)


def test_traffic_to_pods_that_are_gone_goes_to_stable_whatever_that_has() -> None:
    found = Pass(facts(routed(*STEPS), stable=(10, 9), new=(5, 0), index=1, recorded=weights(50)))
    assert found.weight == 0


def test_stable_pods_that_are_about_to_go_can_take_nothing() -> None:
    strategy = routed(*STEPS, dynamic_stable_scale=True)
    found = Pass(facts(strategy, stable=(5, 10), new=(5, 5), index=2, recorded=weights(50), abort=True))
    assert found.weight in (None, 50)


def test_traffic_stays_where_it_is_when_nobody_can_serve_it() -> None:
    assert not Pass(facts(routed(*STEPS), stable=(10, 0), new=(5, 0), index=1, recorded=weights(50))).is_routed


# ---- Who is told what, in which order -----------------------------------------------------------------------------


def test_hashes_come_before_weights() -> None:
    found = Pass(facts(routed(*STEPS), new=(1, 1), recorded=weights(0), **FULL))
    assert found.order == ["hash", "weight"]
    assert (found.spec["canary"], found.spec["stable"], found.spec["max"]) == (V2, V1, 100)


@pytest.mark.parametrize(
    ("new", "recorded", "expected"),
    [
        pytest.param((0, 0), weights(5), ["weight", "hash"], id="the successor has no pods"),
        pytest.param((0, 0), weights(0), ["hash", "weight"], id="there is no traffic to take away"),
        pytest.param((1, 1), weights(50), ["weight", "hash"], id="the successor is too small for that"),
        pytest.param((5, 5), weights(50), ["hash", "weight"], id="the successor bears it"),
    ],
)
def test_the_weight_goes_before_the_hash_when_the_next_revision_could_not_serve_it(
    new: tuple[int, int], recorded: TrafficWeights, expected: list[str]
) -> None:
    v2 = replica_set("v2", size=5, revision=2, age=timedelta(minutes=90))
    found = Pass(facts(routed(*STEPS), image="v3", new=new, recorded=recorded, others=(v2,), **FULL))
    assert found.order == expected
    assert found.spec["canary"] == V3


def test_several_routers_are_told_the_same_one_after_the_other_and_one_event_says_so() -> None:
    tables: dict[str, JsonObject] = {"table": {}, "other": {}}
    found = Pass(facts(routed(*STEPS), new=(1, 1), recorded=weights(0), **FULL), tables=tables)
    assert found.order == ["hash", "weight", "other hash", "other weight"]
    assert found.events == [("TrafficWeightUpdated", "Traffic weight updated from 0 to 10")]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param((None, None), None),
        pytest.param((True, None), True),
        pytest.param((True, False), False),
        pytest.param((False, None), False),
        pytest.param((True, True), True),
    ],
)
def test_the_weight_is_verified_only_if_nobody_says_no(answers: tuple[bool | None, ...], expected: bool | None) -> None:
    in_force = {True: 10, False: 0}
    spec: JsonObject = {"weight": 10, "max": 100, "additional": [], "routes": [], "canary": V2, "stable": V1}
    tables: dict[str, JsonObject] = {}
    for name, answer in zip(("table", "other"), answers, strict=True):
        tables[name] = {"spec": {**spec}}
        if answer is not None:
            tables[name]["inForce"] = in_force[answer]
    found = Pass(facts(routed(*STEPS), new=(1, 1), recorded=weights(10), **FULL), tables=tables)
    assert found.recorded == weights(10, verified=expected)
    assert found.goes_on
    assert found.events == []
    is_asked_again = found.plan.requeue_at == NOW + timedelta(seconds=10)
    assert is_asked_again is (expected is False)
    assert (WaitReason.WEIGHT_NOT_VERIFIED in found.reasons) is (expected is False)


@pytest.mark.parametrize("index", [pytest.param(0, id="at a step"), pytest.param(3, id="at the end")])
def test_a_weight_that_cannot_be_verified_is_announced_and_stops_nothing(index: int) -> None:
    tables: dict[str, JsonObject] = {"table": {"unverifiable": "the road cannot be seen"}, "other": {}}
    share, pods = (10, 1) if index == 0 else (100, 10)
    context = facts(routed(*STEPS), new=(pods, pods), index=index, recorded=weights(share), **FULL)
    found = Pass(context, tables=tables)
    assert found.goes_on
    assert found.plan.error == ""
    assert found.order == ["hash", "weight", "other hash", "other weight"], "the other router is asked as well"
    assert found.recorded == weights(share)
    assert found.events == [("WeightVerifyError", "Failed to verify weight: the road cannot be seen")]
    assert found.plan.requeue_at is None


def test_the_operator_says_how_soon_an_unverified_weight_is_asked_for_again() -> None:
    context = replace(
        facts(routed(*STEPS), new=(1, 1), **FULL), settings=PlannerSettings(verify_retry=timedelta(seconds=3))
    )
    assert Pass(context, tables={"table": {"inForce": 0}}).plan.requeue_at == NOW + timedelta(seconds=3)


def test_at_the_end_an_unverified_weight_ends_the_pass_so_that_nothing_is_scaled_down() -> None:
    context = facts(routed(*STEPS), new=(10, 10), index=3, recorded=weights(50), **FULL)
    found = Pass(context, tables={"table": {"inForce": 50}})
    assert not found.goes_on
    assert found.plan.error == "end of rollout, desired weight 100 not yet verified"
    assert found.weight == 100
    assert found.plan.requeue_at == NOW + timedelta(seconds=10)
    assert found.events == [], "it is announced when it is recorded"


def test_an_unverified_weight_of_all_in_the_middle_is_only_asked_for_again() -> None:
    context = facts(routed(weight(100), pause()), new=(10, 10), index=1, recorded=weights(100), **FULL)
    assert Pass(context, tables={"table": {"inForce": 50}}).goes_on


def test_a_router_that_fails_ends_the_pass_after_what_it_could_do() -> None:
    tables: dict[str, JsonObject] = {"table": {"broken": "TrafficTable table: the road is closed"}, "other": {}}
    found = Pass(facts(routed(*STEPS), new=(1, 1), recorded=weights(0), **FULL), tables=tables)
    assert not found.goes_on
    assert found.order == ["hash", "weight"], "the other router is not asked"
    assert found.plan.error == "TrafficTable table: the road is closed"
    event = found.plan.events[0]
    assert (event.type, event.reason, event.message) == ("Warning", "TrafficRoutingError", found.plan.error)
    assert found.recorded == weights(0)
    wait = found.plan.waits[0]
    assert (wait.reason, wait.message) == (WaitReason.TRAFFIC_NOT_ROUTED, found.plan.error)
    assert (wait.object, wait.field) == (f"Rollout {NAME}", "spec.strategy.canary.trafficRouting")


def test_a_router_says_first_what_is_the_matter_with_its_objects() -> None:
    context = facts(routed(*STEPS), new=(1, 1), **FULL)
    bare = replace(context, routers=(TableRouter("missing"),))
    draft = Draft(bare)
    assert not route(bare, draft)
    assert [each.reason for each in draft.events] == ["TableNotFound", "TrafficRoutingError"]


# ---- Header and mirror routes -------------------------------------------------------------------------------------

MANAGED = managing("second", "first")
TOUR = (
    canary_scale(replicas=2),
    header("first"),
    mirror("second"),
    weight(10),
    header("first", off=True),
    header("first"),
    mirror("second", off=True),
)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, []),
        (1, ["first"]),
        (2, ["second", "first"]),
        (3, ["second", "first"]),
        (4, ["second"]),
        (5, ["second", "first"]),
        (6, ["first"]),
        (7, ["first"]),
    ],
)
def test_routes_are_in_force_from_their_step_on_in_the_order_in_which_they_are_managed(
    index: int, expected: list[str]
) -> None:
    found = Pass(facts(routed(*TOUR, routing=MANAGED), index=index, new=(2, 2), **FULL))
    assert found.spec["routes"] == expected
    assert found.draft.keeps_routes


def test_the_last_word_on_a_route_counts() -> None:
    steps = (canary_scale(replicas=1), mirror("first"), header("first"), mirror("first", off=True))
    for index, expected in ((1, ["first"]), (2, ["first"]), (3, [])):
        found = Pass(facts(routed(*steps, routing=MANAGED), index=index, new=(1, 1), **FULL))
        assert found.spec["routes"] == expected


@pytest.mark.parametrize(
    ("given", "draft"),
    [
        pytest.param({}, {"revision": 1}, id="the first revision"),
        pytest.param({"new": (2, 0)}, {}, id="no canary pods"),
        pytest.param({"new": (0, 5)}, {}, id="canary pods that are about to go"),
        pytest.param({"abort": True, "recorded": weights(10)}, {}, id="aborted"),
        pytest.param({"promote_full": True, "recorded": weights(10)}, {}, id="full promotion"),
        pytest.param({"current_pod_hash": V1}, {}, id="promoted"),
    ],
)
def test_no_route_is_in_force_unless_the_steps_are(given: dict[str, Any], draft: dict[str, Any]) -> None:
    found = Pass(facts(routed(*TOUR, routing=MANAGED), index=3, **{**FULL, "new": (2, 2), **given}), **draft)
    assert found.is_routed
    assert found.spec["routes"] == []


def test_a_halted_rollout_begins_no_route() -> None:
    context = facts(routed(*TOUR, routing=MANAGED), index=1, new=(2, 2), **FULL)
    context = replace(context, rollout=replace(context.rollout, spec=replace(context.spec, paused=True)))
    assert Pass(context).spec["routes"] == []


# ---- What is recorded ---------------------------------------------------------------------------------------------


def test_weights_are_recorded_with_services_and_hashes() -> None:
    found = Pass(facts(routed(*STEPS), new=(1, 1), **FULL))
    assert found.recorded == TrafficWeights(
        canary=WeightDestination(weight=10, service_name="canary", pod_template_hash=V2),
        stable=WeightDestination(weight=90, service_name="stable", pod_template_hash=V1),
    )
    assert found.events == [("TrafficWeightUpdated", "Traffic weight updated to 10")]


def test_a_pair_has_no_names_in_the_record() -> None:
    pair = PingPong(ping_service="ping", pong_service="pong")
    strategy = CanaryStrategy(steps=STEPS, ping_pong=pair, traffic_routing=TABLE)
    found = Pass(facts(strategy, new=(1, 1), **FULL))
    assert found.recorded is not None
    assert (found.recorded.canary.service_name, found.recorded.stable.service_name) == ("", "")


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        pytest.param(weights(10), [], id="nothing changed"),
        pytest.param(weights(10, verified=True), [], id="only that it is verified"),
        pytest.param(weights(5), ["Traffic weight updated from 5 to 10"], id="another weight"),
        pytest.param(weights(10, of=V3), [], id="only another hash"),
        pytest.param(
            weights(10, additional=(WeightDestination(weight=5, service_name="e", pod_template_hash=V3),)),
            ["Traffic weight updated additional: []"],
            id="no further destination any more",
        ),
    ],
)
def test_a_change_of_weights_is_announced(recorded: TrafficWeights, expected: list[str]) -> None:
    found = Pass(facts(routed(*STEPS), new=(1, 1), recorded=recorded, **FULL))
    assert [message for reason, message in found.events] == expected


@pytest.mark.parametrize("routing", [TABLE, TrafficRouting()], ids=["a router", "no router"])
def test_without_routers_no_weights_are_on_record(routing: TrafficRouting) -> None:
    context = facts(routed(*STEPS, routing=routing), new=(1, 1), recorded=weights(10), **FULL)
    draft = Draft(context)
    assert route(context, draft)
    assert draft.weights is None


# ---- Experiments --------------------------------------------------------------------------------------------------


def with_experiment(phase: str, *, index: int = 1, extra: int = 5, canary: int = 10) -> RolloutContext:
    templates = (
        ExperimentStepTemplate(name="weighted", spec_ref="canary", weight=extra),
        ExperimentStepTemplate(name="plain", spec_ref="stable"),
    )
    steps = (weight(canary), CanaryStep(experiment=ExperimentStep(templates=templates)), pause())
    running = Experiment(
        metadata=ObjectMeta(name="e", namespace=NAMESPACE),
        status=ExperimentStatus(
            phase=phase,
            template_statuses=tuple(
                ExperimentTemplateStatus(name=name, service_name=f"e-{name}", pod_template_hash=f"hash-{name}")
                for name in ("weighted", "plain")
            ),
        ),
    )
    context = facts(routed(*steps), new=(canary // 10, canary // 10), index=index, **FULL)
    status = replace(context.status, canary=CanaryStatus(current_experiment="e", weights=weights(canary)))
    return replace(
        context,
        rollout=replace(context.rollout, status=status),
        snapshot=replace(context.snapshot, experiments=(running,)),
    )


def test_a_running_experiment_gets_its_weight_from_stable() -> None:
    found = Pass(with_experiment("Running"))
    assert found.spec["additional"] == [{"weight": 5, "service": "e-weighted", "hash": "hash-weighted"}]
    assert found.recorded is not None
    assert (found.recorded.canary.weight, found.recorded.stable.weight) == (10, 85)
    assert [each.weight for each in found.recorded.additional] == [5]
    assert found.events == [
        ("TrafficWeightUpdated", "Traffic weight updated additional: [{5 e-weighted hash-weighted}]")
    ]


@pytest.mark.parametrize("phase", ["Pending", "Successful", "Failed"])
def test_an_experiment_that_is_not_running_gets_nothing(phase: str) -> None:
    assert Pass(with_experiment(phase)).spec["additional"] == []


@pytest.mark.parametrize("change", ["abort", "promote_full"])
def test_an_experiment_gets_nothing_once_its_steps_are_given_up(change: str) -> None:
    context = with_experiment("Running")
    status = replace(context.status, **{change: True})
    assert Pass(replace(context, rollout=replace(context.rollout, status=status))).spec["additional"] == []


def test_after_the_last_step_an_experiment_gets_nothing() -> None:
    assert Pass(with_experiment("Running", index=3)).spec["additional"] == []


def test_no_weight_is_ever_negative() -> None:
    found = Pass(with_experiment("Running", canary=90, extra=20))
    assert not found.goes_on
    assert found.order == []
    assert found.plan.error == (
        f"Rollout {NAME}: the canary's weight 90 and the weights of its experiment, 20, are more than 100:"
        " lower the weights in spec.strategy.canary.steps"
    )


# ---- What follows at once -----------------------------------------------------------------------------------------


def switched(found: Pass) -> dict[str, str | None]:
    patches = [each for each in found.plan.actions if isinstance(each, PatchService)]
    return {each.name: each.selector[names.POD_TEMPLATE_HASH_LABEL] for each in patches}


@pytest.mark.parametrize(
    ("strategy", "stable", "recorded", "expected"),
    [
        pytest.param(routed(*STEPS), (10, 10), 50, {"canary": V1}, id="with the weight"),
        pytest.param(routed(*STEPS), (10, 8), 50, {}, id="not before the last weight has gone"),
        pytest.param(routed(*STEPS, dynamic_stable_scale=True), (5, 5), 50, {}, id="dynamic: not before"),
        pytest.param(routed(*STEPS, dynamic_stable_scale=True), (10, 10), 10, {"canary": V1}, id="dynamic: then"),
    ],
)
def test_the_canary_service_of_an_aborted_update_goes_to_stable_when_no_weight_is_left(
    strategy: CanaryStrategy, stable: tuple[int, int], recorded: int, expected: dict[str, str]
) -> None:
    services = (service("canary", selects=V2, managed_by=NAME), service("stable", selects=V1, managed_by=NAME))
    new = (5, 5) if recorded == 50 else (0, 0)
    found = Pass(facts(strategy, stable=stable, new=new, abort=True, recorded=weights(recorded), services=services))
    assert switched(found) == expected
    if expected:
        kinds = [type(each).__name__ for each in found.plan.actions]
        assert kinds.index("PatchService") < kinds.index("PatchObject"), "the Service first, for it leads to good pods"


def test_the_canary_service_never_goes_to_a_stable_revision_without_pods() -> None:
    services = (service("canary", selects=V2, managed_by=NAME),)
    found = Pass(facts(routed(*STEPS), replicas=0, stable=(0, 0), new=(0, 0), abort=True, services=services))
    assert switched(found) == {}


@pytest.mark.parametrize(
    ("new", "recorded", "expected"),
    [
        pytest.param((1, 1), weights(50), {}, id="one pod for half of the traffic"),
        pytest.param((5, 5), weights(50), {"canary": V3}, id="enough pods"),
        pytest.param((1, 1), weights(0), {"canary": V3}, id="no traffic"),
        pytest.param((1, 1), None, {"canary": V3}, id="nothing known"),
        pytest.param((0, 0), weights(0), {}, id="no pods"),
    ],
)
@pytest.mark.parametrize("is_pair", [False, True], ids=["canary Service", "of a pair"])
def test_a_canary_service_moves_to_the_next_revision_once_that_can_serve_what_it_gets(
    new: tuple[int, int], recorded: TrafficWeights | None, expected: dict[str, str], is_pair: bool
) -> None:
    pair = PingPong(ping_service="ping", pong_service="pong")
    strategy = CanaryStrategy(steps=STEPS, ping_pong=pair, traffic_routing=TABLE) if is_pair else routed(*STEPS)
    names_of = ("pong", "ping") if is_pair else ("stable", "canary")
    services = tuple(
        service(name, selects=each, managed_by=NAME) for name, each in zip(names_of, (V1, V2), strict=True)
    )
    context = facts(strategy, image="v3", new=new, recorded=recorded, services=services, **FULL)
    context = replace(context, routers=(TableRouter(),))
    draft = Draft(context)
    switch_canary_services(context, draft)
    register_pods_to_come(context, draft)
    patches = [each for each in draft.to_plan(None).actions if isinstance(each, PatchService)]
    found = {each.name: each.selector[names.POD_TEMPLATE_HASH_LABEL] for each in patches}
    if is_pair:
        # No pods are needed without traffic: they are to be registered before they get any.
        expected = {"ping": V3} if expected or recorded == weights(0) else {}
    assert found == expected


@pytest.mark.parametrize(
    ("members", "recorded", "expected"),
    [
        pytest.param({}, weights(50), format_time(NOW + timedelta(seconds=30)), id="it had traffic until now"),
        pytest.param({}, weights(0), None, id="it had none"),
        pytest.param({"scale_down_delay_seconds": 0}, weights(50), None, id="no delay is wanted"),
        pytest.param({"dynamic_stable_scale": True}, weights(50), None, id="pods are to be saved"),
    ],
)
def test_superseded_pods_that_lose_their_traffic_stay_for_the_delay(
    members: dict[str, Any], recorded: TrafficWeights, expected: str | None
) -> None:
    v2 = replica_set("v2", size=5, revision=2, age=timedelta(minutes=90))
    found = Pass(facts(routed(*STEPS, **members), image="v3", recorded=recorded, others=(v2,), **FULL))
    patches = [each for each in found.plan.actions if isinstance(each, PatchReplicaSet)]
    deadlines = [each.annotations[names.SCALE_DOWN_DEADLINE_ANNOTATION] for each in patches]
    assert deadlines == ([] if expected is None else [expected])
