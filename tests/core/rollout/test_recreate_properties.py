"""What holds for every Recreate, whatever people and pods do: random histories, checked after every write.

Pods take their time to end, and the controller plans and acts in between, sometimes only half. At no time may pods of
two versions exist. At the end everybody leaves the Rollout in peace, and it must come to rest with all pods of the
wanted revision.
"""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.rollout.builders import World, pod, replace, rollout

from prograde.api import names
from prograde.api.rollout import RecreateStrategy, RolloutStrategy
from prograde.core.rollout.replicasets import hash_of, size_of


@dataclass(frozen=True)
class Deed:
    """One thing that happens; `value` means something to some of them."""

    name: str
    value: int = 0


DEEDS = st.one_of(
    st.builds(Deed, st.just("step"), st.integers(0, 3)),
    st.builds(Deed, st.just("round"), st.integers(1, 4)),
    st.builds(Deed, st.just("round"), st.integers(1, 4)),
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("end"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("image"), st.integers(1, 3)),
    st.builds(Deed, st.just("replicas"), st.integers(0, 4)),
    st.builds(Deed, st.just("tick"), st.sampled_from([1, 700])),
    st.builds(Deed, st.sampled_from(["abort", "retry", "full", "pause", "unpause", "give up"])),
)


class SlowWorld(World):
    """A world whose pods are objects: they come, are counted until they are terminating, and end some time later."""

    made = 0

    def move_pods(self, seed: int | None) -> None:
        """Let the ReplicaSets' controller do some of its work, and some pods become available; None: all of it."""
        for name, each in sorted(self.replica_sets.items()):
            mine = [one for one in self.alive() if one.metadata.owner_references[0].uid == each.metadata.uid]
            if seed is not None:
                seed, chance = divmod(seed, 3)
                if chance == 0:
                    continue
            for one in mine[size_of(each) :]:
                self.pods[self.pods.index(one)] = replace(
                    one, metadata=replace(one.metadata, deletion_timestamp=self.now)
                )
            for _ in range(size_of(each) - len(mine)):
                self.made += 1
                self.pods.append(pod(f"pod-{self.made}", each))
            count = size_of(each)
            available = count
            if seed is not None:
                seed, available = divmod(seed, count + 1)
            status = replace(
                each.status,
                replicas=count,
                ready_replicas=available,
                available_replicas=available,
                observed_generation=each.metadata.generation,
            )
            self.replica_sets[name] = replace(each, status=status)

    def alive(self) -> list:
        return [each for each in self.pods if each.metadata.deletion_timestamp is None]

    def end_pods(self, seed: int) -> None:
        """Let some terminating pods end."""
        left = []
        for each in self.pods:
            seed, stays = divmod(seed, 2)
            if each.metadata.deletion_timestamp is None or stays:
                left.append(each)
        self.pods = left

    def check(self) -> None:
        versions = {each.metadata.labels[names.POD_TEMPLATE_HASH_LABEL] for each in self.pods}
        assert len(versions) <= 1, versions


def do(world: SlowWorld, deed: Deed) -> None:
    match deed.name:
        case "step":
            plan = world.plan()
            world.apply(plan, deed.value if deed.value and len(list(plan.actions)) >= deed.value else None)
        case "round":
            for _ in range(deed.value):
                world.step()
                world.move_pods(None)
                world.check()
        case "pods":
            world.move_pods(deed.value)
        case "end":
            world.end_pods(deed.value)
        case "image":
            world.set_image(f"v{deed.value}")
        case "replicas":
            world.change_spec(replicas=deed.value)
        case "tick":
            world.tick(deed.value)
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
        case "give up":
            world.change_spec(progress_deadline_abort=True)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DEEDS, max_size=60))
def test_whatever_happens_two_versions_never_meet_and_the_wanted_one_runs_in_the_end(deeds: list[Deed]) -> None:
    world = SlowWorld(rollout(strategy=RolloutStrategy(recreate=RecreateStrategy())))
    do(world, Deed("round", 3))
    for deed in deeds:
        do(world, deed)
        world.check()
    world.change_spec(paused=False, replicas=3, progress_deadline_abort=False)
    world.change_status(abort=False)
    for _ in range(60):
        plan = world.step()
        world.move_pods(None)
        world.check()
        world.end_pods(0)
        if plan.writes_nothing and world.status.phase == names.PHASE_HEALTHY:
            break
    assert world.status.phase == names.PHASE_HEALTHY, world.status.message
    assert {hash_of(each): size_of(each) for each in world.replica_sets.values() if size_of(each)} == {
        world.status.current_pod_hash: 3
    }
    assert len(world.pods) == 3
