"""How many pods each side of a routed canary gets, when that is reached, and which superseded pods may go."""

from datetime import timedelta
from typing import Any

import pytest
from tests.core.rollout.builders import (
    NAME,
    NOW,
    canary_scale,
    hash_for,
    pause,
    replace,
    replica_set,
    rollout,
    service,
    weight,
)
from tests.core.rollout.routing_world import TABLE, V1, V2, V3, TableRouter, facts, routed, weights

from prograde.api import names
from prograde.api.rollout import (
    CanaryStatus,
    CanaryStrategy,
    IstioDestinationRule,
    IstioTrafficRouting,
    IstioVirtualService,
    PingPong,
    ReplicaProgressThreshold,
    TrafficRouting,
    WeightDestination,
)
from prograde.api.scalars import format_time
from prograde.api.workloads import ReplicaSet
from prograde.core.objects import Objects
from prograde.core.plan import PatchReplicaSet
from prograde.core.rollout import routed as subject
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.destinationrules import destination_rule_of
from prograde.core.rollout.draft import Draft


def counts(context: RolloutContext) -> tuple[int, int]:
    found = subject.wanted_counts(context, Draft(context), context.traffic_weights)
    return found.canary, found.stable


# ---- What each side is to have ----------------------------------------------------------------------------------

SCALED = canary_scale


@pytest.mark.parametrize(
    ("strategy", "replicas", "given", "expected"),
    [
        pytest.param(routed(weight(10)), 10, {}, (1, 10), id="a weight"),
        pytest.param(
            routed(SCALED(replicas=9), weight(100)), 1, {"index": 1}, (9, 1), id="a fixed size beyond the wanted pods"
        ),
        pytest.param(routed(SCALED(weight=200), weight(100)), 4, {"index": 1}, (8, 4), id="a scale weight beyond all"),
        pytest.param(
            routed(weight(20), SCALED(replicas=9, weight=100, match_traffic_weight=True)),
            10,
            {"index": 1},
            (2, 10),
            id="matchTrafficWeight wins over what stands beside it",
        ),
        pytest.param(routed(weight(5), min_pods_per_replica_set=2), 10, {}, (2, 10), id="no fewer than two"),
        pytest.param(
            routed(weight(5), min_pods_per_replica_set=2), 1, {"promote_full": True}, (1, 1), id="two, but not of one"
        ),
        pytest.param(
            routed(SCALED(replicas=1), abort_scale_down_delay_seconds=0),
            1,
            {"abort": True, "new": (1, 1), "stable": (1, 1)},
            (1, 1),
            id="aborted, never scaled down: what the first step says",
        ),
        pytest.param(
            routed(SCALED(replicas=1), abort_scale_down_delay_seconds=30),
            1,
            {"abort": True, "new": (1, 1), "stable": (1, 1)},
            (0, 1),
            id="aborted, scaled down after a delay",
        ),
        pytest.param(
            routed(weight(10), weight(50), abort_scale_down_delay_seconds=0),
            10,
            {"abort": True, "new": (5, 5), "stable": (10, 10)},
            (5, 10),
            id="aborted, never scaled down: the pods that are there, whatever the weights say",
        ),
        pytest.param(
            routed(weight(200), routing=replace(TABLE, max_traffic_weight=1000)), 10, {}, (2, 10), id="of a thousand"
        ),
        pytest.param(
            routed(weight(10), dynamic_stable_scale=True), 10, {"recorded": weights(10)}, (1, 9), id="dynamic, arrived"
        ),
        pytest.param(
            routed(weight(20), dynamic_stable_scale=True),
            10,
            {"recorded": weights(10)},
            (2, 9),
            id="dynamic: stable waits until its traffic has left",
        ),
        pytest.param(
            routed(weight(20), weight(60), dynamic_stable_scale=True),
            10,
            {"abort": True, "recorded": weights(60), "new": (6, 6), "stable": (4, 4)},
            (6, 8),
            id="dynamic, aborted: stable grows by a step and the canary keeps what it carries",
        ),
        pytest.param(
            routed(weight(20), weight(60), dynamic_stable_scale=True),
            10,
            {"abort": True, "recorded": weights(60), "new": (1, 1), "stable": (4, 4)},
            (6, 8),
            id="dynamic, aborted with few canaries",
        ),
        pytest.param(
            routed(weight(20), weight(60), dynamic_stable_scale=True),
            10,
            {"abort": True, "recorded": weights(60), "new": (2, 2), "stable": (8, 4)},
            (6, 8),
            id="dynamic, aborted, stable is growing",
        ),
        pytest.param(
            routed(weight(50), weight(10)), 10, {"index": 1, "recorded": weights(50)}, (5, 10), id="less: weight first"
        ),
        pytest.param(
            routed(weight(10)),
            10,
            {"recorded": weights(50, of=V3)},
            (1, 10),
            id="what another revision carries",
        ),
        pytest.param(routed(pause(), weight(10)), 10, {}, (0, 10), id="no weight yet"),
        pytest.param(routed(weight(10)), 10, {"index": 1}, (10, 10), id="all steps done"),
        pytest.param(routed(), 10, {}, (10, 10), id="no steps"),
        pytest.param(
            routed(SCALED(replicas=1), weight(10)),
            10,
            {"promote_full": True, "index": 1},
            (10, 10),
            id="full promotion",
        ),
    ],
)
def test_sizes_follow_step_scale_and_traffic(
    strategy: CanaryStrategy, replicas: int, given: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert counts(facts(strategy, replicas=replicas, **given)) == expected


TOUR = (
    pause(),
    SCALED(weight=25),
    pause(),
    weight(50),
    pause(),
    SCALED(replicas=3),
    pause(),
    SCALED(match_traffic_weight=True),
    pause(),
)


@pytest.mark.parametrize(
    ("index", "canary"), [(0, 0), (2, 1), (4, 1), (6, 3), (8, 2), (9, 4)], ids=lambda value: str(value)
)
def test_a_canary_scale_stays_in_force_across_later_weights(index: int, canary: int) -> None:
    assert counts(facts(routed(*TOUR), replicas=4, index=index)) == (canary, 4)


@pytest.mark.parametrize(
    ("delay", "stable_available", "expected"),
    [
        pytest.param(None, 9, 10, id="the canary still has its pods"),
        pytest.param(30, 5, 10, id="held: what stable lacks counts"),
        pytest.param(30, 9, 0, id="held: stable lacks nothing that a step needs"),
        pytest.param(0, 9, 0, id="kept for good: its pods must not hold up the weight for good"),
    ],
)
def test_the_weight_goes_back_by_steps_while_stable_gets_its_pods(
    delay: int | None, stable_available: int, expected: int
) -> None:
    strategy = routed(weight(10), weight(50), dynamic_stable_scale=True, abort_scale_down_delay_seconds=delay)
    context = facts(strategy, abort=True, new=(5, 5), stable=(10, stable_available))
    assert subject.weight_while_handing_back(context) == expected


# ---- Has it arrived? ----------------------------------------------------------------------------------------------


def threshold(kind: str, value: int) -> ReplicaProgressThreshold:
    return ReplicaProgressThreshold(type=kind, value=value)


@pytest.mark.parametrize(
    ("new", "stable", "members", "expected"),
    [
        pytest.param((5, 5), (10, 10), {}, True, id="all there"),
        pytest.param((5, 4), (10, 10), {}, False, id="a canary is missing"),
        pytest.param((6, 5), (10, 10), {}, False, id="the canary has not shrunk"),
        pytest.param((5, 5), (10, 3), {}, True, id="stable need not be available"),
        pytest.param((5, 5), (9, 9), {}, False, id="stable has not grown"),
        pytest.param((5, 5), (9, 9), {"dynamic_stable_scale": True}, True, id="a dynamic stable side may move on"),
        pytest.param((5, 4), (10, 10), {"replica_progress_threshold": threshold("Percent", 80)}, True, id="80 %"),
        pytest.param((5, 3), (10, 10), {"replica_progress_threshold": threshold("Percent", 80)}, False, id="not 80 %"),
        pytest.param((5, 4), (10, 10), {"replica_progress_threshold": threshold("Pods", 4)}, True, id="four pods"),
        pytest.param((5, 5), (10, 10), {"replica_progress_threshold": threshold("Pods", 9)}, True, id="capped at all"),
    ],
)
def test_a_step_is_reached_when_the_canary_is_complete_and_stable_has_its_size(
    new: tuple[int, int], stable: tuple[int, int], members: dict[str, Any], expected: bool
) -> None:
    context = facts(routed(weight(50), **members), new=new, stable=stable)
    assert subject.is_at_target(context, Draft(context), None) is expected


def test_a_stable_pod_that_is_still_terminating_keeps_a_step_from_being_reached() -> None:
    context = facts(routed(weight(50)), new=(5, 5), stable=(10, 10))
    assert context.stable is not None
    leaving = replace(context.stable, status=replace(context.stable.status, replicas=11))
    context = replace(context, stable=leaving, replica_sets=(leaving, *context.replica_sets[1:]))
    assert not subject.is_at_target(context, Draft(context), None)


def test_without_a_stable_replica_set_no_step_is_reached() -> None:
    context = replace(facts(routed(weight(50)), new=(5, 5), stable=(10, 10)), stable=None)
    assert not subject.is_at_target(context, Draft(context), None)


@pytest.mark.parametrize(
    ("replicas", "available", "expected"), [(10, 3, 30), (3, 1, 33), (3, 2, 66), (10, 12, 100), (0, 0, 100)]
)
def test_pods_bear_their_share_and_never_more_than_all(replicas: int, available: int, expected: int) -> None:
    context = facts(routed(), replicas=replicas, new=(available, available))
    assert subject.bearable_weight(context, context.new) == expected


def test_large_weights_are_exact() -> None:
    context = facts(routed(weight(10**8), routing=replace(TABLE, max_traffic_weight=10**8)), replicas=23)
    assert counts(context) == (23, 23)


# ---- Scaling ------------------------------------------------------------------------------------------------------


def scaled(context: RolloutContext, **changes: Any) -> dict[str, PatchReplicaSet]:
    """Return the patches of one pass by image; `changes` set attributes of the draft."""
    draft = Draft(context)
    for key, value in changes.items():
        setattr(draft, key, value)
    subject.scale(context, draft)
    images = {hash_for(image): image for image in ("v0", "v1", "v2", "v3")}
    found = [action for action in draft.to_plan(None).actions if isinstance(action, PatchReplicaSet)]
    return {images[each.name.removeprefix(f"{NAME}-")]: each for each in found}


def sizes(context: RolloutContext, **changes: Any) -> dict[str, int]:
    found = scaled(context, **changes).items()
    return {image: patch.replicas for image, patch in found if patch.replicas is not None}


def test_stable_moves_before_the_canary_and_each_pass_moves_one() -> None:
    strategy = routed(weight(50))
    assert sizes(facts(strategy, stable=(4, 4), new=(1, 1))) == {"v1": 10}
    assert sizes(facts(strategy, stable=(10, 10), new=(1, 1))) == {"v2": 5}


def test_stable_shrinks_one_pass_after_its_traffic_has_left() -> None:
    strategy = routed(weight(50), dynamic_stable_scale=True)
    given: dict[str, Any] = {"stable": (9, 9), "new": (5, 5)}
    assert sizes(facts(strategy, recorded=weights(10), **given), weights=weights(50)) == {}
    assert sizes(facts(strategy, recorded=weights(50), **given), weights=weights(50)) == {"v1": 5}


def test_stable_keeps_its_pods_as_long_as_no_router_has_been_asked() -> None:
    """An update that begins before the first version is complete: all requests go to the little that is there."""
    context = facts(routed(dynamic_stable_scale=True), replicas=4, index=None, stable=(4, 0), new=(4, 1))
    assert sizes(replace(context, routers=(TableRouter(),))) == {}


def test_the_canary_shrinks_one_pass_after_its_traffic_has_left() -> None:
    strategy = routed(weight(50), weight(10))
    given: dict[str, Any] = {"stable": (10, 10), "new": (5, 5), "index": 1}
    assert sizes(facts(strategy, recorded=weights(50), **given), weights=weights(10)) == {}
    assert sizes(facts(strategy, recorded=weights(10), **given), weights=weights(10)) == {"v2": 1}


def test_nobody_shrinks_while_the_weights_are_not_known_to_be_in_force() -> None:
    strategy = routed(weight(50), weight(10), dynamic_stable_scale=True)
    unverified = weights(10, verified=False)
    given: dict[str, Any] = {"new": (5, 5), "index": 1, "recorded": unverified}
    old = replica_set("v0", size=3, revision=0, age=timedelta(hours=3))
    assert sizes(facts(strategy, stable=(10, 10), others=(old,), **given)) == {}
    assert sizes(facts(strategy, stable=(8, 8), others=(old,), **given)) == {"v1": 9}, "but growing is fine"


def test_a_revision_that_comes_back_into_service_loses_its_deadline() -> None:
    context = facts(routed(weight(50)), stable=(10, 10), new=(5, 5))
    due = {names.SCALE_DOWN_DEADLINE_ANNOTATION: format_time(NOW)}
    both = tuple(
        replace(each, metadata=replace(each.metadata, annotations={**each.metadata.annotations, **due}))
        for each in context.replica_sets
    )
    patches = scaled(replace(context, replica_sets=both, stable=both[0], new=both[1]))
    assert {image: dict(each.annotations) for image, each in patches.items()} == {
        image: {names.SCALE_DOWN_DEADLINE_ANNOTATION: None} for image in ("v1", "v2")
    }


@pytest.mark.parametrize(
    ("index", "new", "stable", "expected"),
    [
        pytest.param(0, (4, 4), (10, 10), {"v1": 20, "v2": 8}, id="twice as many"),
        pytest.param(0, (1, 1), (10, 10), {"v1": 20, "v2": 2}, id="a canary that has not grown yet grows no further"),
    ],
)
def test_a_changed_number_of_pods_keeps_the_proportion_while_nothing_may_move(
    index: int, new: tuple[int, int], stable: tuple[int, int], expected: dict[str, int]
) -> None:
    context = facts(routed(weight(40)), new=new, stable=stable, index=index)
    spec = replace(context.spec, replicas=20, paused=True)
    context = replace(context, rollout=replace(context.rollout, spec=spec))
    draft = Draft(context)
    subject.keep_proportion(context, draft)
    images = {f"{NAME}-{V1}": "v1", f"{NAME}-{V2}": "v2"}
    found = [each for each in draft.to_plan(None).actions if isinstance(each, PatchReplicaSet)]
    assert {images[each.name]: each.replicas for each in found} == expected


def test_a_changed_number_of_pods_never_goes_below_what_the_traffic_needs() -> None:
    strategy = routed(weight(40), dynamic_stable_scale=True)
    context = facts(strategy, replicas=10, new=(1, 1), stable=(6, 6), recorded=weights(40))
    draft = Draft(context)
    subject.keep_proportion(context, draft)
    found = {each.name: each.replicas for each in draft.to_plan(None).actions if isinstance(each, PatchReplicaSet)}
    assert found == {f"{NAME}-{V2}": 4}


# ---- An aborted canary --------------------------------------------------------------------------------------------


def aborted(*, delay: int | None = 5, deadline: timedelta | None = None, **given: Any) -> RolloutContext:
    strategy = routed(weight(50), abort_scale_down_delay_seconds=delay, **given.pop("members", {}))
    context = facts(strategy, **{"new": (5, 5), "stable": (10, 10), "abort": True, "recorded": weights(0), **given})
    if deadline is None:
        return context
    assert context.new is not None
    notes = {**context.new.metadata.annotations, names.SCALE_DOWN_DEADLINE_ANNOTATION: format_time(NOW + deadline)}
    new = replace(context.new, metadata=replace(context.new.metadata, annotations=notes))
    return replace(context, new=new, replica_sets=(context.replica_sets[0], new))


def marks(context: RolloutContext) -> tuple[int | None, str | None]:
    """Return size and deadline that a pass gives to v2; None for what stays as it is."""
    patch = scaled(context).get("v2")
    return (None, None) if patch is None else (patch.replicas, patch.annotations.get(DEADLINE, None))


DEADLINE = names.SCALE_DOWN_DEADLINE_ANNOTATION


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, (None, format_time(NOW + timedelta(seconds=5))), id="stable is complete: the delay begins"),
        pytest.param({"stable": (10, 9)}, (None, None), id="stable lacks a pod: no delay yet"),
        pytest.param({"recorded": weights(50)}, (None, None), id="its traffic has not left before this pass"),
        pytest.param({"recorded": weights(0, verified=False)}, (None, None), id="nobody knows that it has left"),
        pytest.param({"deadline": timedelta(seconds=1)}, (None, None), id="the delay runs"),
        pytest.param({"deadline": timedelta(hours=1), "delay": 3600}, (None, None), id="a long delay runs as long"),
        pytest.param({"deadline": timedelta(seconds=-1)}, (0, None), id="the delay is over"),
        pytest.param(
            {"deadline": timedelta(seconds=-1), "recorded": weights(50)}, (None, None), id="over, but there is traffic"
        ),
        pytest.param({"delay": 0}, (None, None), id="kept for good"),
        pytest.param(
            {"members": {"dynamic_stable_scale": True}, "delay": None, "new": (5, 5)},
            (0, None),
            id="dynamic without an explicit delay: goes with its traffic",
        ),
        pytest.param(
            {"members": {"dynamic_stable_scale": True}, "delay": 5},
            (None, format_time(NOW + timedelta(seconds=5))),
            id="dynamic with an explicit delay",
        ),
        pytest.param(
            {"services": (service("canary", selects=V2, managed_by=NAME),)},
            (None, None),
            id="the canary Service still selects it",
        ),
    ],
)
def test_an_aborted_canary_keeps_its_pods_until_traffic_and_delay_are_over(
    given: dict[str, Any], expected: tuple[int | None, str | None]
) -> None:
    assert marks(aborted(**given)) == expected


def test_a_held_canary_learns_the_wanted_number_without_changing_its_size() -> None:
    context = aborted(deadline=timedelta(seconds=3))
    context = replace(context, rollout=replace(context.rollout, spec=replace(context.spec, replicas=8)))
    patches = scaled(replace(context, stable=replica_set("v1", size=8, desired=8)))
    assert patches["v2"].replicas is None
    assert patches["v2"].annotations == {names.DESIRED_REPLICAS_ANNOTATION: "8"}


# ---- Superseded revisions -----------------------------------------------------------------------------------------


def superseded(image: str, size: int, revision: int, *, deadline: timedelta | None = None) -> ReplicaSet:
    notes = {} if deadline is None else {DEADLINE: format_time(NOW + deadline)}
    return replica_set(
        image, size=size, revision=revision, desired=10, annotations=notes, age=timedelta(hours=3 - revision / 10)
    )


def promoted(*others: ReplicaSet, **members: Any) -> RolloutContext:
    """Return the facts after v1 has become stable again, with other revisions left."""
    context = facts(routed(weight(50), **members), others=others, stable=(10, 10), new=(10, 10), image="v1", index=1)
    one = context.replica_sets[1]
    status = replace(context.status, stable_rs=V1, canary=CanaryStatus(weights=weights(0, of=V1)))
    return replace(
        context,
        rollout=replace(context.rollout, status=status),
        replica_sets=(one, *others),
        new=one,
        stable=one,
    )


LATER, SOON = format_time(NOW + timedelta(seconds=30)), timedelta(seconds=10)


@pytest.mark.parametrize(
    ("others", "members", "expected"),
    [
        pytest.param((superseded("v2", 10, 2),), {}, {"v2": (None, LATER)}, id="keeps its pods for 30 s"),
        pytest.param((superseded("v2", 10, 2, deadline=SOON),), {}, {}, id="the delay runs"),
        pytest.param((superseded("v2", 10, 2, deadline=-SOON),), {}, {"v2": (0, None)}, id="the delay is over"),
        pytest.param(
            (superseded("v2", 10, 2),), {"scale_down_delay_seconds": 0}, {"v2": (0, None)}, id="0 means at once"
        ),
        pytest.param(
            (superseded("v2", 10, 2),), {"dynamic_stable_scale": True}, {"v2": (0, None)}, id="dynamic: at once"
        ),
        pytest.param(
            (superseded("v0", 5, 0, deadline=SOON), superseded("v2", 5, 2, deadline=SOON)),
            {"scale_down_delay_revision_limit": 1},
            {"v0": (0, None)},
            id="only the newest waits",
        ),
    ],
)
def test_a_revision_that_was_stable_keeps_its_pods_for_the_delay(
    others: tuple[ReplicaSet, ...], members: dict[str, Any], expected: dict[str, tuple[int | None, str | None]]
) -> None:
    patches = scaled(promoted(*others, **members))
    found = {image: (each.replicas, each.annotations.get(DEADLINE)) for image, each in patches.items()}
    assert found == expected
    for image, (size, _) in expected.items():
        if size == 0 and any(DEADLINE in each.metadata.annotations for each in others):
            assert DEADLINE in patches[image].annotations, "the deadline has done its work"


def test_an_unreferenced_revision_in_the_middle_of_an_update_goes_at_once() -> None:
    old = superseded("v2", 5, 2)
    context = facts(routed(weight(50)), image="v3", others=(old,), stable=(10, 10), new=(5, 5))
    assert sizes(context) == {"v2": 0}


def test_superseded_pods_stay_while_too_few_others_are_available() -> None:
    old = superseded("v2", 5, 2)
    context = facts(routed(weight(50), max_unavailable=1), image="v3", others=(old,), stable=(10, 1), new=(5, 3))
    assert sizes(context) == {}


def test_a_broken_superseded_revision_goes_however_few_others_are_available() -> None:
    old = replica_set("v2", size=5, available=0, revision=2, desired=10)
    context = facts(routed(weight(50), max_unavailable=0), image="v3", others=(old,), stable=(10, 1), new=(5, 3))
    assert sizes(context) == {"v2": 0}


RULED = TrafficRouting(
    istio=IstioTrafficRouting(
        virtual_service=IstioVirtualService(name="vs"), destination_rule=IstioDestinationRule(name="dr")
    )
)
PAIR = PingPong(ping_service="ping", pong_service="pong")


def rule(*hashes: str) -> Objects:
    subsets: list[Any] = [{"name": each, "labels": {names.POD_TEMPLATE_HASH_LABEL: each}} for each in hashes]
    ref = destination_rule_of(rollout(canary=routed(routing=RULED)))
    assert ref is not None
    return Objects(found={ref: {"spec": {"subsets": subsets}}})


@pytest.mark.parametrize(
    ("strategy", "given"),
    [
        pytest.param(routed(weight(50)), {"recorded": weights(20)}, id="recorded as canary"),
        pytest.param(routed(weight(50)), {"recorded": weights(20, of=V3, stable=V2)}, id="recorded as stable"),
        pytest.param(
            routed(weight(50)),
            {
                "recorded": weights(
                    0, of=V3, additional=(WeightDestination(weight=5, service_name="e", pod_template_hash=V2),)
                )
            },
            id="a destination of an experiment",
        ),
        pytest.param(
            routed(weight(50)), {"services": (service("canary", selects=V2),)}, id="selected by the canary Service"
        ),
        pytest.param(
            routed(weight(50)), {"services": (service("stable", selects=V2),)}, id="selected by the stable Service"
        ),
        pytest.param(
            routed(weight(50), ping_pong=PAIR), {"services": (service("ping", selects=V2),)}, id="selected by ping"
        ),
        pytest.param(
            routed(weight(50), ping_pong=PAIR), {"services": (service("pong", selects=V2),)}, id="selected by pong"
        ),
        pytest.param(routed(weight(50), routing=RULED), {"objects": rule(V1, V2)}, id="a subset of the mesh"),
    ],
)
def test_pods_that_may_still_get_traffic_are_left_alone(strategy: CanaryStrategy, given: dict[str, Any]) -> None:
    old = superseded("v2", 5, 2, deadline=-SOON)
    context = facts(strategy, image="v3", others=(old,), stable=(10, 10), new=(5, 5), **given)
    assert V2 in subject.referenced_hashes(context, Draft(context))
    assert sizes(context) == {}


def test_weights_that_this_very_pass_sets_count_as_well() -> None:
    context = facts(routed(weight(50)), image="v3", others=(superseded("v2", 5, 2),), stable=(10, 10), new=(5, 5))
    draft = Draft(context)
    draft.weights = weights(20)
    assert V2 in subject.referenced_hashes(context, draft)


@pytest.mark.parametrize(
    "objects", [pytest.param(Objects(), id="it does not exist"), pytest.param(rule(), id="it has no subsets")]
)
def test_a_mesh_without_subsets_refers_to_nobody(objects: Objects) -> None:
    context = facts(routed(weight(50), routing=RULED), image="v3", stable=(10, 10), objects=objects)
    assert subject.referenced_hashes(context, Draft(context)) == {V1, V3}


def test_after_a_promotion_the_other_service_of_a_pair_keeps_no_pods_alive() -> None:
    """It goes on selecting the pods of the revision before until the next update, but gets no traffic."""
    old = superseded("v2", 10, 2, deadline=-SOON)
    context = promoted(old, ping_pong=PAIR)
    services = {"ping": service("ping", selects=V2), "pong": service("pong", selects=V1)}
    context = replace(context, snapshot=replace(context.snapshot, services=services))
    assert sizes(context) == {"v2": 0}
    assert sizes(context, weights=weights(1, of=V1)) == {}, "unless it gets the least of traffic"
