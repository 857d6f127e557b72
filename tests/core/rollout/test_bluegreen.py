"""Single blue-green plans, crashes anywhere, and what holds in any history."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.rollout.bluegreen_world import ACTIVE, PREVIEW, BlueGreenWorld
from tests.core.rollout.builders import pod, replace, service

from prograde.api import names
from prograde.api.analysis import AnalysisTemplateRef, PodTemplateMetadata
from prograde.api.rollout import BlueGreenStatus, RolloutAnalysis
from prograde.core.plan import EvictPod, PatchReplicaSet, PatchService
from prograde.core.rollout.replicasets import size_of

MANUAL: dict[str, Any] = {"auto_promotion_enabled": False}


def updating(*, has_settled: bool = True, **options: Any) -> BlueGreenWorld:
    """A world in which version 2 has been pushed, and has come as far as it does by itself."""
    world = BlueGreenWorld.deployed(**options)
    world.set_image("v2")
    if has_settled:
        world.settle()
    return world


# ---- The order of writes ---------------------------------------------------------------------------------------------


def kinds(world: BlueGreenWorld) -> list[list[str]]:
    """Return what the next plan writes, group by group, as kind and object."""
    return [[f"{type(action).__name__} {action.name}" for action in group] for group in world.plan().groups]


def test_the_preview_is_switched_before_its_pods_are_asked_for():
    world = BlueGreenWorld.create(replicas=2)
    world.step()
    name = next(iter(world.replica_sets))
    assert kinds(world) == [[f"PatchService {PREVIEW}"], [f"PatchReplicaSet {name}"]]


def test_an_abort_moves_the_traffic_before_it_touches_the_pods():
    world = updating(replicas=2, has_preview=False)
    world.change_status(stable_rs=world.hash("v1"), abort=True)
    plan = world.plan()
    assert [action.name for action in plan.groups[0]] == [ACTIVE]
    assert all(isinstance(action, PatchReplicaSet) for action in plan.groups[1])
    assert len(plan.groups) == 2


def test_the_switch_comes_after_everything_that_is_sized():
    world = updating(has_settled=False, replicas=2)
    world.steps(3)
    world.settle_pods()
    world.annotate("v1", "scale-down-deadline", "2099-01-01T00:00:00Z")
    assert kinds(world) == [[f"PatchReplicaSet {world.of_image('v1').metadata.name}"], [f"PatchService {ACTIVE}"]]


def test_the_stable_revision_is_brought_to_its_size_in_every_state():
    world = updating(replicas=3, **MANUAL)
    each = world.of_image("v1")
    world.replica_sets[each.metadata.name] = replace(each, spec=replace(each.spec, replicas=1))
    world.abort()
    world.step()
    assert world.sizes["v1"] == 3


def test_one_revision_that_is_new_and_stable_is_written_once():
    world = BlueGreenWorld.deployed(replicas=2)
    world.annotate("v1", "scale-down-deadline", "2099-01-01T00:00:00Z")
    world.change_spec(replicas=3)
    patches = [action for action in world.plan().actions if isinstance(action, PatchReplicaSet)]
    assert len(patches) == 1
    assert patches[0].replicas == 3
    assert patches[0].annotations == {
        names.SCALE_DOWN_DEADLINE_ANNOTATION: None,
        names.DESIRED_REPLICAS_ANNOTATION: "3",
    }


# ---- Status ----------------------------------------------------------------------------------------------------------


def test_while_paused_the_counts_are_those_of_the_active_revision():
    world = updating(**MANUAL)
    world.change_status(
        hpa_replicas=0, ready_replicas=0, available_replicas=0, updated_replicas=0, replicas=0, selector=""
    )
    world.step()
    assert world.counts == (1, 2, 1, 1, 1)
    assert world.status.selector == f"app=cart,rollouts-pod-template-hash={world.hash('v1')}"


def test_without_active_revision_the_counts_are_sums_and_the_selector_is_the_rollouts_own():
    world = BlueGreenWorld.create(replicas=2)
    world.steps(2)
    world.settle_pods()
    world.set_pods("v1", available=1)
    world.step()
    assert world.counts == (2, 2, 2, 1, 1)
    assert world.status.selector == "app=cart"


def test_a_pass_that_only_follows_the_size_changes_two_counts_and_no_selector():
    world = updating(replicas=2, **MANUAL)
    before = world.status
    world.change_spec(replicas=5)
    world.settle_pods()
    world.step()
    after = world.status
    assert (after.hpa_replicas, after.available_replicas) == (2, 2)
    assert (after.blue_green, after.selector, after.current_pod_hash) == (
        before.blue_green,
        before.selector,
        before.current_pod_hash,
    )
    assert after.observed_generation == str(world.rollout.metadata.generation)


def test_available_means_that_the_active_revision_is_complete():
    world = updating(replicas=2, **MANUAL)
    assert world.state("Available") == ("True", "AvailableReason")
    world.set_pods("v1", available=1)
    world.step()
    assert world.state("Available") == ("False", "AvailableReason")


def test_healthy_needs_the_preview_service_on_the_current_revision_too():
    world = BlueGreenWorld.deployed()
    world.change_spec(paused=True)
    world.settle()
    assert world.state("Healthy") == ("False", "RolloutHealthy")
    world.change_spec(paused=False)
    world.settle()
    assert world.state("Healthy") == ("True", "RolloutHealthy")


def test_a_missing_stable_revision_promotes_the_new_one_at_once():
    world = updating(**MANUAL)
    del world.replica_sets[world.of_image("v1").metadata.name]
    world.services[ACTIVE] = service(ACTIVE, managed_by="cart")
    world.change_status(blue_green=BlueGreenStatus())
    world.settle()
    assert (world.active, world.stable) == ("v2", "v2")
    assert any(message.endswith("): Initial deploy") for message in world.messages)


# ---- Analysis around the switch, restarts, metadata ------------------------------------------------------------------


@pytest.mark.parametrize("field", ["pre_promotion_analysis", "post_promotion_analysis"])
def test_a_rollout_whose_analysis_has_no_template_is_frozen_and_says_so(field):
    world = BlueGreenWorld.deployed(replicas=2)
    analysis = RolloutAnalysis(templates=(AnalysisTemplateRef(template_name="errors"),))
    world.edit_strategy(**{field: analysis})
    world.set_image("v2")
    world.settle()
    assert world.sizes == {"v1": 2}
    assert world.waits == ["InvalidSpec"]
    assert "AnalysisTemplate 'errors' not found" in world.status.message
    wire = {"pre_promotion_analysis": "prePromotionAnalysis", "post_promotion_analysis": "postPromotionAnalysis"}[field]
    assert wire in world.plans[-1].waits[0].field
    assert world.status.phase == "Degraded"
    world.edit_strategy(**{field: None})
    world.settle()
    assert (world.active, world.status.phase) == ("v2", "Healthy")


def test_an_analysis_without_templates_stands_in_nobodys_way():
    """With Argo Rollouts the update would wait for a run that is never made."""
    world = updating(pre_promotion_analysis=RolloutAnalysis(), post_promotion_analysis=RolloutAnalysis())
    assert (world.active, world.stable, world.status.phase) == ("v2", "v2", "Healthy")


def test_a_restart_evicts_and_the_pass_goes_on():
    world = updating(replicas=1, **MANUAL)
    world.pods = [pod("old", world.of_image("v1")), pod("preview", world.of_image("v2"))]
    world.change_spec(restart_at=world.now - timedelta(seconds=1))
    world.promote()
    plan = world.step()
    assert [action.name for action in plan.actions if isinstance(action, EvictPod)] == ["old"]
    assert world.active == "v2"
    assert world.status.restarted_at is None
    assert plan.requeue_at is not None


def test_pods_carry_the_metadata_of_their_part():
    world = BlueGreenWorld.create(
        preview_metadata=PodTemplateMetadata(labels={"role": "preview"}),
        active_metadata=PodTemplateMetadata(labels={"role": "active"}),
        **MANUAL,
    )
    world.settle()
    world.wait(timedelta(hours=1))
    world.set_image("v2")
    world.settle()

    def role(version: str) -> str:
        return "preview" if b'"role":"preview"' in bytes(world.of_image(version).spec.template) else "active"

    assert (role("v1"), role("v2")) == ("active", "preview")
    world.promote()
    world.step()
    assert (world.stable, role("v2")) == ("v2", "preview"), "not before the promotion has been recorded"
    world.step()
    assert role("v2") == "active"
    assert b"role" not in bytes(world.of_image("v1").spec.template)


# ---- Crashes ---------------------------------------------------------------------------------------------------------


def plain(world: BlueGreenWorld) -> None:
    world.set_image("v2")
    world.settle()


def promoted(world: BlueGreenWorld) -> None:
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    world.tick(31)
    world.settle()


def aborted(world: BlueGreenWorld) -> None:
    world.set_image("v2")
    world.settle()
    world.abort()
    world.settle()
    world.tick(31)
    world.settle()


def retried(world: BlueGreenWorld) -> None:
    aborted(world)
    world.retry()
    world.settle()
    world.promote()
    world.settle()


def rolled_back(world: BlueGreenWorld) -> None:
    world.set_image("v2")
    world.settle()
    world.promote()
    world.settle()
    world.set_image("v1")
    world.settle()


def resized(world: BlueGreenWorld) -> None:
    world.set_image("v2")
    world.change_spec(replicas=5)
    world.settle()
    world.promote()
    world.settle()


def outcome(world: BlueGreenWorld) -> tuple[Any, ...]:
    status = world.status
    return (
        world.active,
        world.preview,
        world.stable,
        world.sizes,
        world.pauses,
        status.phase,
        status.message,
        status.abort,
    )


@pytest.mark.parametrize("history", [plain, promoted, aborted, retried, rolled_back, resized])
@pytest.mark.parametrize(
    "options",
    [{}, MANUAL, {"preview_replica_count": 1, **MANUAL}, {"has_preview": False}],
    ids=["automatic", "manual", "small preview", "no preview service"],
)
def test_a_crash_after_any_write_changes_nothing_in_the_end(
    history: Callable[[BlueGreenWorld], None], options: dict[str, Any]
):
    whole = BlueGreenWorld.deployed(replicas=2, **options)
    before = len(whole.writes)
    history(whole)
    for count in range(len(whole.writes) - before):
        world = BlueGreenWorld.deployed(replicas=2, **options)
        world.crash_after = count
        history(world)
        assert outcome(world) == outcome(whole), f"crash after {count} writes"


# ---- Any history -----------------------------------------------------------------------------------------------------

OPERATIONS = (
    "push",
    "back",
    "promote",
    "promote full",
    "abort",
    "retry",
    "pause",
    "unpause",
    "scale",
    "break",
    "heal",
    "lose a pod",
    "pods",
    "pass",
    "pass",
    "settle",
    "second",
    "minute",
    "crash",
)

STRATEGIES = st.fixed_dictionaries(
    {},
    optional={
        "auto_promotion_enabled": st.booleans(),
        "auto_promotion_seconds": st.sampled_from([0, 5]),
        "preview_replica_count": st.sampled_from([0, 1, 4]),
        "scale_down_delay_seconds": st.sampled_from([0, 5]),
        "scale_down_delay_revision_limit": st.sampled_from([0, 1]),
        "abort_scale_down_delay_seconds": st.sampled_from([0, 5]),
        "has_preview": st.booleans(),
    },
)


class CheckedWorld(BlueGreenWorld):
    """Remembers the traffic, so that every switch can be judged at the moment when it is made."""

    def _carry_out(self, action: Any) -> None:
        before = self.selected(ACTIVE)
        super()._carry_out(action)
        after = self.selected(ACTIVE)
        if isinstance(action, PatchService) and action.name == ACTIVE and after != before:
            target = self._serving(after)
            available, wanted = target.status.available_replicas, self.rollout.spec.replicas
            is_retreat = self.status.abort and after == self.status.stable_rs
            assert available == wanted or (is_retreat and available > 0), "traffic moves to pods that are not there"

    def step(self) -> Any:
        before = self.status.stable_rs
        plan = super().step()
        assert self.status.stable_rs in (before, self.status.current_pod_hash), "only the current revision gets stable"
        assert (plan.status or self.status).phase == "Healthy" or plan.waits, "it waits and does not say why"
        return plan

    def settle(self, *, moves_pods: bool = True) -> Any:
        plan = super().settle(moves_pods=moves_pods)
        assert self.sizes[self.stable] == self.rollout.spec.replicas, "the way back is short of pods"
        return plan


def perform(world: BlueGreenWorld, operation: str, pushed: int) -> None:
    match operation:
        case "push":
            world.set_image(f"v{pushed}")
        case "back":
            world.set_image(f"v{max(1, pushed - 2)}")
        case "promote":
            world.promote()
        case "promote full":
            world.promote_full()
        case "abort":
            world.abort()
        case "retry":
            world.retry()
        case "pause" | "unpause":
            world.change_spec(paused=operation == "pause")
        case "scale":
            world.change_spec(replicas=(world.rollout.spec.replicas or 0) % 3 + 1)
        case "break" | "heal":
            image = world.image_of(max(world.replica_sets.values(), key=lambda each: each.metadata.creation_timestamp))
            world.broken_images = {image} if operation == "break" else set()
        case "lose a pod":
            each = max(world.replica_sets.values(), key=size_of)
            world.set_pods(world.image_of(each), available=max(0, each.status.available_replicas - 1))
        case "pods":
            world.settle_pods()
        case "pass":
            world.step()
        case "settle":
            world.settle()
        case "second":
            world.tick(1)
        case "minute":
            world.tick(60)
        case "crash":
            world.crash_after = 1
            world.step()
            world.crash_after = None


@settings(max_examples=150, deadline=None)
@given(strategy=STRATEGIES, operations=st.lists(st.sampled_from(OPERATIONS), max_size=25), replicas=st.integers(1, 3))
def test_in_any_history_traffic_only_moves_to_pods_and_everything_can_be_completed(strategy, operations, replicas):
    world = CheckedWorld.create(replicas=replicas, **strategy)
    world.settle()
    pushed = 1
    for operation in operations:
        pushed += operation == "push"
        perform(world, operation, pushed)

    world.broken_images = set()
    world.retry()
    world.promote()
    world.settle()
    for _ in range(8):
        world.promote()
        world.settle()
        world.tick(61)
        plan = world.settle()
    assert plan.requeue_at is None
    assert world.status.phase == "Healthy"
    current = world.version_of(world.status.current_pod_hash)
    assert (world.active, world.stable) == (current, current)
    assert world.sizes == {version: world.rollout.spec.replicas if version == current else 0 for version in world.sizes}
