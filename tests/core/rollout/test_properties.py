"""What holds for every canary, whatever people and pods do: random histories, checked after every plan.

A history is a list of things that people do and of ways in which pods come and go; between them the controller plans
and acts, sometimes only half. What must never happen is checked at every plan. At the end everybody leaves the Rollout
in peace, and it must come to rest with all pods of the wanted revision, whatever had happened before.
"""

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.rollout.builders import World, canary_scale, pause, replace, rollout, service, weight

from prograde.api import defaults
from prograde.api.rollout import CanaryStrategy, RolloutStatus
from prograde.api.scalars import IntOrString
from prograde.core.plan import PatchReplicaSet, Plan
from prograde.core.rollout.replicas import limits
from prograde.core.rollout.replicasets import hash_of, size_of

STEP_LISTS = (
    (),
    (weight(20), pause()),
    (weight(10), pause(5), weight(50), pause(5), weight(100), weight(30)),
    (pause(), weight(100), pause(1), weight(0)),
)

LIMITS: tuple[tuple[IntOrString | None, IntOrString | None], ...] = (
    (None, None),
    (0, 1),
    (1, 0),
    ("50%", 0),
    (0, "50%"),
    ("100%", "100%"),
)
"""maxSurge and maxUnavailable."""


@dataclass(frozen=True)
class Deed:
    """One thing that happens; `value` means something to some of them."""

    name: str
    value: int = 0


DEEDS = st.one_of(
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("settle")),
    st.builds(Deed, st.just("step")),
    st.builds(Deed, st.just("crash"), st.integers(0, 3)),
    st.builds(Deed, st.just("image"), st.integers(1, 4)),
    st.builds(Deed, st.just("replicas"), st.integers(0, 8)),
    st.builds(Deed, st.just("tick"), st.sampled_from([1, 6, 700])),
    st.builds(
        Deed,
        st.sampled_from(["resume", "skip", "abort", "retry", "full", "pause", "unpause"]),
    ),
    st.builds(Deed, st.just("steps"), st.integers(0, len(STEP_LISTS) - 1)),
)


def do(world: World, deed: Deed) -> None:
    """Let one thing happen."""
    match deed.name:
        case "pods":
            move_pods(world, deed.value)
        case "settle":
            world.settle_pods()
        case "image":
            world.set_image(f"v{deed.value}")
        case "replicas":
            world.change_spec(replicas=deed.value)
        case "tick":
            world.tick(deed.value)
        case "resume":
            world.change_status(pause_conditions=())
        case "skip":
            world.change_status(current_step_index=(world.status.current_step_index or 0) + 1)
        case "abort":
            world.change_status(abort=True)
        case "retry":
            world.change_status(abort=False)
        case "full":
            world.change_status(promote_full=True)
        case "pause":
            world.change_spec(paused=True)
        case "unpause":
            world.change_spec(paused=False)
        case "steps":
            world.change_strategy(steps=STEP_LISTS[deed.value])


def move_pods(world: World, seed: int) -> None:
    """Let each ReplicaSet have some number of its pods, and some of those available; a size of 0 empties it."""
    for name, each in sorted(world.replica_sets.items()):
        seed, actual = divmod(seed, size_of(each) + 1)
        seed, available = divmod(seed, actual + 1)
        status = replace(
            each.status,
            replicas=actual,
            ready_replicas=available,
            available_replicas=available,
            observed_generation=each.metadata.generation,
        )
        world.replica_sets[name] = replace(each, status=status)


# ---- What must hold at every plan -------------------------------------------------------------------------------


def check_plan(world: World, plan: Plan[RolloutStatus]) -> None:
    """Check one plan against the world that it was made for."""
    check_sizes(world, plan)
    check_status(world, plan)
    if plan.status is not None and plan.status.phase not in ("Healthy", ""):
        assert plan.waits, "whoever is not healthy waits for something"


def check_sizes(world: World, plan: Plan[RolloutStatus]) -> None:
    spec = world.rollout.spec
    total = spec.replicas if spec.replicas is not None else 1
    bounds = limits(total, defaults.effective_max_surge(spec), defaults.effective_max_unavailable(spec))
    sizes = {name: size_of(each) for name, each in world.replica_sets.items()}
    after = dict(sizes)
    for action in plan.actions:
        if isinstance(action, PatchReplicaSet) and action.replicas is not None:
            after[action.name] = action.replicas
    assert all(size >= 0 for size in after.values())
    if sum(sizes.values()) <= total + bounds.surge:
        assert sum(after.values()) <= total + bounds.surge, (sizes, after)
    available = {name: each.status.available_replicas for name, each in world.replica_sets.items()}
    lasting = sum(min(available[name], sizes[name]) for name in sizes)
    kept = sum(min(available[name], after[name]) for name in sizes)
    assert kept >= min(lasting, total - bounds.unavailable), (sizes, after, available)


def check_status(world: World, plan: Plan[RolloutStatus]) -> None:
    old, new = world.status, plan.status
    if new is None:
        return
    count = len(world.rollout.spec.strategy.canary.steps) if world.rollout.spec.strategy.canary else 0
    index = new.current_step_index
    # A plan that only follows a size carries an index over; that it belongs to other steps is for the next one to see.
    assert index in (None, old.current_step_index) or 0 <= index <= count
    before = min(old.current_step_index or 0, count)
    assert index in (None, old.current_step_index, before, before + 1, 0, count), (old.current_step_index, index)
    if new.stable_rs != old.stable_rs:
        assert new.stable_rs == new.current_pod_hash
        stable = [each for each in world.replica_sets.values() if old.stable_rs and hash_of(each) == old.stable_rs]
        promoted = next(each for each in world.replica_sets.values() if hash_of(each) == new.stable_rs)
        assert not stable or promoted.status.available_replicas >= (world.rollout.spec.replicas or 0)
    assert not (new.abort and new.pause_conditions)
    assert old.aborted_at is None or new.aborted_at in (None, old.aborted_at)


def step(world: World, stop_after: int | None = None) -> Plan[RolloutStatus]:
    plan = world.plan()
    check_plan(world, plan)
    world.apply(plan, stop_after)
    return plan


def leave_in_peace(world: World) -> None:
    """Let people stop and pods obey, and the controller work until nothing changes."""
    world.change_spec(paused=False)
    world.change_status(abort=False)
    for _ in range(200):
        plan = step(world)
        settled = world.settle_pods()
        if plan.writes_nothing and not settled:
            if not world.status.pause_conditions:
                return
            world.change_status(pause_conditions=())
        world.tick(1)
    raise AssertionError(f"never at rest: {world.shape()}, {world.status}")


BOUNDS = st.integers(0, len(LIMITS) - 1)
HISTORIES = st.lists(DEEDS, min_size=1, max_size=40)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def history(deeds: list[Deed], replicas: int, steps: int, bounds: int) -> World:
    """Let things happen to a deployed canary with Services."""
    max_surge, max_unavailable = LIMITS[bounds]
    canary = CanaryStrategy(
        steps=STEP_LISTS[steps],
        canary_service="canary",
        stable_service="stable",
        max_surge=max_surge,
        max_unavailable=max_unavailable,
    )
    world = World(rollout(canary=canary, replicas=replicas), services=[service("canary"), service("stable")])
    world.run_to_phase("Healthy")
    for deed in deeds:
        do(world, deed)
        step(world, stop_after=deed.value if deed.name == "crash" else None)
    return world


@QUICK
@given(HISTORIES, st.integers(0, 8), st.integers(0, len(STEP_LISTS) - 1), BOUNDS)
def test_whatever_happens_a_canary_stays_within_its_limits_and_comes_to_rest(
    deeds: list[Deed], replicas: int, steps: int, bounds: int
) -> None:
    world = history(deeds, replicas, steps, bounds)
    leave_in_peace(world)
    promoted = next(each for each in world.replica_sets.values() if hash_of(each) == world.status.stable_rs)
    image = world.image_of(promoted)
    assert world.status.phase == "Healthy", world.status.message
    assert size_of(promoted) == world.rollout.spec.replicas
    assert sum(size_of(each) for each in world.replica_sets.values()) == world.rollout.spec.replicas
    assert world.status.stable_rs == world.status.current_pod_hash
    wanted = world.rollout.spec.template
    assert f'"{image}"'.encode() in bytes(wanted)
    if world.rollout.spec.replicas:
        assert world.selected("stable") == world.selected("canary") == world.status.stable_rs


@QUICK
@given(HISTORIES, st.integers(0, 8), st.integers(0, len(STEP_LISTS) - 1), BOUNDS)
def test_planning_again_after_nothing_but_the_plans_own_effects_comes_to_an_end(
    deeds: list[Deed], replicas: int, steps: int, bounds: int
) -> None:
    """The pods do not move at all; then a bounded number of plans is enough, and the next one is empty."""
    world = history(deeds, replicas, steps, bounds)
    for _ in range(30):
        if step(world).writes_nothing:
            break
    else:
        raise AssertionError(f"still writing: {world.writes[-5:]}")
    assert world.plan().writes_nothing
    requeue_at = world.plan().requeue_at
    assert requeue_at is None or requeue_at > world.now, "looking again at once would be in vain"


@QUICK
@given(HISTORIES, st.integers(1, 6), st.integers(1, len(STEP_LISTS) - 1), BOUNDS, st.data())
def test_a_crash_between_any_two_writes_leads_to_the_same_end(
    deeds: list[Deed], replicas: int, steps: int, bounds: int, data: st.DataObject
) -> None:
    world = history(deeds, replicas, steps, bounds)
    other = World(world.rollout, *world.replica_sets.values(), services=list(world.services.values()))
    other.now = world.now
    leave_in_peace(world)
    for _ in range(data.draw(st.integers(1, 6))):
        step(other, stop_after=data.draw(st.integers(0, 2)))
        other.settle_pods()
    leave_in_peace(other)
    assert {name: size_of(each) for name, each in other.replica_sets.items()} == {
        name: size_of(each) for name, each in world.replica_sets.items()
    }
    assert (other.status.stable_rs, other.status.phase) == (world.status.stable_rs, world.status.phase)


def test_a_scale_step_without_a_router_is_refused() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=(canary_scale(replicas=1),))))
    world.run_to_phase("Degraded")
    assert "SetCanaryScale requires TrafficRouting to be set" in world.status.message


def test_time_that_passes_changes_nothing_about_an_idle_rollout() -> None:
    world = World(rollout(canary=CanaryStrategy(steps=STEP_LISTS[2])))
    world.run_to_phase("Healthy")
    for days in (1, 100):
        world.now += timedelta(days=days)
        plan = world.plan()
        assert plan.writes_nothing
        assert plan.requeue_at is None
