"""Whole releases with a router, pass by pass: what each pass writes, in the order in which it is written.

A line is one pass that changed something: the sizes of the ReplicaSets (oldest first), who gets how much traffic after
it, and what it wrote to Services, router and ReplicaSets on the way.
"""

from datetime import timedelta

import pytest
from tests.core.rollout.builders import NAME, canary_scale, pause, replace, weight
from tests.core.rollout.routing_world import (
    TABLE,
    RoutedWorld,
    header,
    managing,
    mirror,
    released,
    routed,
    updating,
)

from prograde.api import names
from prograde.api.rollout import CanaryStrategy, PingPong, ReplicaProgressThreshold, RollbackWindow, TrafficRouting
from prograde.api.scalars import format_time
from prograde.core.plan import WaitReason
from prograde.core.rollout.replicasets import scale_down_deadline_of, size_of
from prograde.core.rollout.status import phase_and_message


def trace(world: RoutedWorld) -> list[str]:
    """Run until nothing changes; return what each pass did that did anything visible."""
    lines: list[str] = []
    world.journal.clear()

    def each() -> None:
        line = f"{world.shape()} {world.live}"
        if world.journal:
            line += f": {', '.join(world.journal)}"
        if world.journal or not lines or not lines[-1].startswith(line):
            lines.append(line)
        world.journal.clear()

    world.run(each=each)
    return [line for line in lines if ":" in line]


def resume(world: RoutedWorld) -> None:
    world.change_status(pause_conditions=())


def deadline(world: RoutedWorld, image: str) -> str | None:
    found = scale_down_deadline_of(world.of_image(image))
    return None if found is None or found.at is None else format_time(found.at)


# ---- Updates ------------------------------------------------------------------------------------------------------


def test_a_first_deployment_asks_the_router_once_it_is_complete() -> None:
    world = released(routed(weight(10), pause()))
    assert world.shape() == "10"
    assert world.live == world.recorded == "v1=0 v1=100"
    assert world.status.current_step_index == 2
    assert (world.selected("stable"), world.selected("canary")) == (world.hash("v1"), world.hash("v1"))


def test_an_update_moves_pods_first_when_it_grows_and_traffic_first_when_it_is_over() -> None:
    world = released(routed(weight(10), pause(), weight(50)))
    world.set_image("v2")
    assert trace(world) == [
        "10/1 v2=0 v1=100: hash v2 v1, v2 to 1",
        "10/1 v2=10 v1=90: canary selects v2, weight 10",
    ]
    assert world.status.phase == "Paused"
    resume(world)
    assert trace(world) == [
        "10/5 v2=10 v1=90: v2 to 5",
        "10/5 v2=50 v1=50: weight 50",
        "10/10 v2=50 v1=50: v2 to 10",
        "10/10 v2=100 v1=0: weight 100",
        "10/10 v2=0 v2=100: stable selects v2, hash v2 v2, weight 0",
    ]
    assert world.status.phase == "Healthy"
    assert world.recorded == "v2=0 v2=100"
    assert deadline(world, "v1") == format_time(world.now + timedelta(seconds=30))
    world.tick(31)
    assert trace(world) == ["0/10 v2=0 v2=100: v1 to 0"]
    assert deadline(world, "v1") is None
    assert world.plan().writes_nothing
    assert world.plan().requeue_at is None


def test_a_release_right_after_a_promotion_leaves_the_former_stable_pods_their_delay() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    resume(world)
    for _ in range(20):
        if world.status.stable_rs == world.hash("v2"):
            break
        world.step()
        world.settle_pods()
    assert (world.status.stable_rs, world.live) == (world.hash("v2"), "v2=100 v1=0"), "promoted, and nothing since"
    world.set_image("v3")
    world.run()
    assert size_of(world.of_image("v1")) == 4
    assert deadline(world, "v1") == format_time(world.now + timedelta(seconds=30))
    world.tick(31)
    world.run()
    assert size_of(world.of_image("v1")) == 0


def test_the_events_of_an_update_tell_its_story() -> None:
    world = updating(routed(weight(50), pause()), replicas=2)
    resume(world)
    world.run()
    told = [each.reason for each in world.events]
    assert told == [
        "RolloutUpdated",
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "ScalingReplicaSet",
        "SwitchService",
        "TrafficWeightUpdated",
        "RolloutStepCompleted",
        "RolloutPaused",
        "RolloutStepCompleted",
        "ScalingReplicaSet",
        "TrafficWeightUpdated",
        "RolloutCompleted",
        "SwitchService",
        "TrafficWeightUpdated",
    ]


def test_a_lower_weight_takes_the_traffic_away_before_the_pods() -> None:
    world = updating(routed(weight(50), pause(), weight(10), pause()))
    resume(world)
    assert trace(world) == ["10/5 v2=10 v1=90: weight 10", "10/1 v2=10 v1=90: v2 to 1"]
    assert world.status.phase == "Paused"
    assert world.status.current_step_index == 3


def test_a_scale_of_nothing_takes_all_traffic_away_before_the_pods() -> None:
    world = updating(routed(weight(50), pause(), canary_scale(weight=0), pause()), replicas=4)
    resume(world)
    assert trace(world) == ["4/2 v2=0 v1=100: weight 0", "4/0 v2=0 v1=100: v2 to 0"]
    assert (world.status.current_step_index, world.status.phase) == (3, "Paused")


def test_weightless_steps_give_the_canary_everything_at_their_end() -> None:
    world = updating(routed(canary_scale(replicas=2), pause()), replicas=4)
    assert (world.shape(), world.live) == ("4/2", "v2=0 v1=100")
    resume(world)
    assert trace(world)[:2] == ["4/4 v2=0 v1=100: v2 to 4", "4/4 v2=100 v1=0: weight 100"]


def test_without_steps_the_new_pods_take_over_by_the_stable_service_alone() -> None:
    world = released(routed(), replicas=3)
    world.set_image("v2")
    assert trace(world) == [
        "3/3 v2=0 v1=100: hash v2 v1, v2 to 3",
        "3/3 v2=0 v1=100: canary selects v2",
        "3/3 v2=0 v2=100: stable selects v2, hash v2 v2",
    ]


def test_with_a_dynamic_stable_side_the_pods_follow_the_traffic() -> None:
    world = updating(routed(weight(25), pause(), weight(75), pause(), dynamic_stable_scale=True), replicas=4)
    assert (world.shape(), world.live) == ("3/1", "v2=25 v1=75")
    resume(world)
    assert trace(world) == [
        "3/3 v2=25 v1=75: v2 to 3",
        "3/3 v2=75 v1=25: weight 75",
        "1/3 v2=75 v1=25: v1 to 1",
    ]
    resume(world)
    assert trace(world) == [
        "1/4 v2=75 v1=25: v2 to 4",
        "1/4 v2=100 v1=0: weight 100",
        "1/4 v2=0 v2=100: stable selects v2, hash v2 v2, weight 0",
        "0/4 v2=0 v2=100: v1 to 0",
    ]


def test_a_drift_is_put_right_in_every_pass_and_at_every_pause() -> None:
    world = updating(routed(weight(20), pause()))
    world.drift(weight=77)
    assert trace(world) == ["10/2 v2=20 v1=80: weight 20"]
    assert world.status.phase == "Paused"


def test_a_router_that_is_taken_out_of_the_spec_takes_the_weights_off_the_record() -> None:
    world = updating(routed(weight(20), pause()))
    world.change_strategy(traffic_routing=None)
    world.run()
    assert world.status.canary.weights is None


def test_routing_without_routers_has_sizes_and_no_weights() -> None:
    world = updating(routed(weight(20), pause(), routing=TrafficRouting()))
    assert (world.shape(), world.status.canary.weights) == ("10/2", None)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    assert world.selected("canary") == world.hash("v1")
    world.tick(31)
    world.run()
    assert world.shape() == "10/0"


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_a_change_of_size_at_a_pause_moves_the_pods_and_not_the_step(replicas: int) -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.change_spec(replicas=replicas)
    world.run_to_phase("Paused")
    assert world.shape() == f"{replicas}/{-(-replicas // 2)}"
    assert world.status.current_step_index == 1


def test_a_user_pause_holds_pods_and_weights_but_not_a_change_of_size() -> None:
    world = released(routed(weight(50), pause(), weight(100)), replicas=4)
    world.set_image("v2")
    world.step()
    world.step()
    world.change_spec(paused=True)
    world.run()
    assert (world.shape(), world.live) == ("4/0", "v2=0 v1=100")
    world.change_spec(replicas=6)
    world.run()
    assert (world.shape(), world.live) == ("6/0", "v2=0 v1=100")
    world.change_spec(paused=False)
    world.run()
    assert (world.shape(), world.live) == ("6/3", "v2=50 v1=50")


def test_a_user_pause_after_the_pods_have_come_holds_the_weight() -> None:
    world = released(routed(weight(50), pause()), replicas=4)
    world.set_image("v2")
    while world.shape() != "4/2":
        world.settle_pods()
        world.step()
    world.settle_pods()
    world.change_spec(paused=True)
    world.run()
    assert world.live == "v2=0 v1=100"
    world.change_spec(paused=False)
    world.run()
    assert world.live == "v2=50 v1=50"


def test_a_step_that_is_skipped_before_its_pods_have_come_sends_no_traffic_to_them() -> None:
    world = released(routed(weight(40), weight(60), pause()))
    world.broken_images.add("v2")
    world.set_image("v2")
    world.run()
    world.change_status(current_step_index=1)
    world.run()
    assert (world.shape(), world.live) == ("10/6", "v2=0 v1=100")
    world.broken_images.clear()
    world.run()
    assert world.live == "v2=60 v1=40"


def test_the_fix_of_a_broken_stable_version_is_rolled_out() -> None:
    world = released(routed(weight(50), pause()), replicas=4)
    world.broken_images.add("v1")
    world.settle_pods()
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert world.live == "v2=50 v1=50"
    resume(world)
    world.run_to_phase("Healthy")
    assert world.live == "v2=0 v2=100"


def test_scaled_to_nothing_before_the_stable_service_has_moved_no_pod_is_left() -> None:
    world = released(routed(), replicas=1)
    world.set_image("v2")
    while world.status.stable_rs != world.status.current_pod_hash or world.status.stable_rs == world.hash("v1"):
        world.step()
        world.settle_pods()
    world.broken_images.add("v2")
    world.settle_pods()
    world.change_spec(replicas=0)
    world.run()
    world.tick(31)
    world.run()
    assert world.selected("stable") == world.hash("v1"), "there are no pods to move on to"
    assert world.shape() == "0/0"


# ---- Full promotion -----------------------------------------------------------------------------------------------


def test_a_full_promotion_keeps_the_weight_until_every_pod_is_there() -> None:
    world = updating(routed(weight(20), pause(), weight(50)))
    world.change_status(promote_full=True)
    assert trace(world) == [
        "10/10 v2=20 v1=80: v2 to 10",
        "10/10 v2=0 v2=100: stable selects v2, hash v2 v2, weight 0",
    ]
    assert world.status.phase == "Healthy"


def test_a_full_promotion_with_a_dynamic_stable_side_brings_the_weight_with_the_pods() -> None:
    world = updating(routed(weight(20), pause(), dynamic_stable_scale=True))
    world.change_status(promote_full=True)
    world.step()
    grown = world.of_image("v2")
    assert size_of(grown) == 10
    status = replace(grown.status, replicas=10, ready_replicas=6, available_replicas=6)
    world.replica_sets[grown.metadata.name] = replace(grown, status=status)
    world.step()
    assert world.live == "v2=60 v1=40"
    world.run()
    assert (world.shape(), world.live) == ("0/10", "v2=0 v2=100")


# ---- Abort --------------------------------------------------------------------------------------------------------


def test_an_abort_takes_service_and_weight_back_at_once_and_the_pods_after_a_delay() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.change_status(abort=True)
    assert trace(world) == ["4/2 v2=0 v1=100: canary selects v1, weight 0"]
    assert world.status.phase == "Degraded"
    assert deadline(world, "v2") == format_time(world.now + timedelta(seconds=30))
    assert world.plan().writes_nothing, "the canary Service does not swing back and forth"
    assert world.plan().requeue_at is not None
    world.tick(31)
    assert trace(world) == ["4/0 v2=0 v1=100: v2 to 0"]
    world.tick(1000)
    assert world.plan().writes_nothing


def test_a_retry_takes_the_deadline_off_and_begins_at_the_first_step() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.change_status(abort=False)
    assert trace(world) == ["4/2 v2=50 v1=50: canary selects v2, weight 50"]
    assert (deadline(world, "v2"), world.status.phase) == (None, "Paused")


def test_an_abort_waits_for_the_weight_that_a_stable_side_in_trouble_cannot_take() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.change_status(abort=True)
    stable = world.of_image("v1")
    world.replica_sets[stable.metadata.name] = replace(stable, status=replace(stable.status, available_replicas=3))
    plan = world.step()
    assert world.live == "v2=25 v1=75"
    assert world.selected("canary") == world.hash("v2")
    assert any(each.object == f"ReplicaSet {stable.metadata.name}" for each in plan.waits)
    world.run_to_phase("Degraded")
    assert world.live == "v2=0 v1=100"
    assert world.selected("canary") == world.hash("v1")


@pytest.mark.parametrize("delay", [0, 3600])
def test_an_aborted_canary_keeps_its_pods_as_long_as_the_user_says(delay: int) -> None:
    """Longer than any resync, and for ever if that is wanted, whatever the first step says."""
    world = updating(routed(weight(50), pause(), abort_scale_down_delay_seconds=delay), replicas=4)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.tick(3500)
    world.run()
    assert (world.shape(), world.live) == ("4/2", "v2=0 v1=100")
    assert (deadline(world, "v2") is None) is (delay == 0)
    world.tick(200)
    world.run()
    assert world.shape() == ("4/0" if delay else "4/2")


def test_a_change_of_size_reaches_a_held_canary_as_a_note_only() -> None:
    world = updating(routed(weight(50), pause()), replicas=6)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.change_spec(replicas=4)
    world.run()
    assert world.shape() == "4/3"
    assert world.of_image("v2").metadata.annotations[names.DESIRED_REPLICAS_ANNOTATION] == "4"
    world.drift(weight=9)
    world.run()
    assert world.live == "v2=0 v1=100", "the traffic is looked after again"


def test_with_a_dynamic_stable_side_an_abort_goes_back_step_by_step() -> None:
    world = updating(routed(weight(25), weight(75), pause(), dynamic_stable_scale=True), replicas=4)
    world.change_status(abort=True)
    assert trace(world) == [
        "3/3 v2=75 v1=25: v1 to 3",
        "3/3 v2=25 v1=75: weight 25",
        "3/1 v2=25 v1=75: v2 to 1",
        "4/1 v2=25 v1=75: v1 to 4",
        "4/1 v2=0 v1=100: canary selects v1, weight 0",
        "4/0 v2=0 v1=100: v2 to 0",
    ]


def test_with_a_dynamic_stable_side_and_a_delay_the_canary_keeps_all_its_pods_meanwhile() -> None:
    world = updating(
        routed(weight(25), weight(75), pause(), dynamic_stable_scale=True, abort_scale_down_delay_seconds=15),
        replicas=4,
    )
    world.change_status(abort=True)
    assert trace(world) == [
        "3/3 v2=75 v1=25: v1 to 3",
        "4/3 v2=25 v1=75: weight 25, v1 to 4",
        "4/3 v2=0 v1=100: canary selects v1, weight 0",
    ]
    assert deadline(world, "v2") == format_time(world.now + timedelta(seconds=15))
    world.tick(16)
    assert trace(world) == ["4/0 v2=0 v1=100: v2 to 0"]


def test_with_a_dynamic_stable_side_and_a_canary_kept_for_good_an_abort_ends_at_zero_all_the_same() -> None:
    world = updating(
        routed(weight(25), weight(75), pause(), dynamic_stable_scale=True, abort_scale_down_delay_seconds=0),
        replicas=4,
    )
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    assert (world.shape(), world.live) == ("4/3", "v2=0 v1=100")


def test_a_full_promotion_takes_an_abort_back() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    world.change_status(promote_full=True)
    world.run_to_phase("Healthy")
    assert world.live == "v2=0 v2=100"


# ---- Going back, and on to the next revision ----------------------------------------------------------------------


def test_going_back_to_stable_takes_the_traffic_back_at_once_and_keeps_the_pods_for_the_delay() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.set_image("v1")
    assert trace(world) == ["4/2 v1=0 v1=100: canary selects v1, hash v1 v1, weight 0"]
    assert world.status.phase == "Healthy"
    assert deadline(world, "v2") == format_time(world.now + timedelta(seconds=30))
    world.tick(31)
    assert trace(world) == ["4/0 v1=0 v1=100: v2 to 0"]


def test_going_back_to_a_small_stable_side_waits_for_its_pods() -> None:
    world = updating(routed(weight(25), pause(), dynamic_stable_scale=True), replicas=4)
    world.set_image("v1")
    world.step()
    world.step()
    assert (world.shape(), world.live) == ("4/1", "v2=25 v1=75")
    assert world.selected("canary") == world.hash("v2")
    assert trace(world) == [
        "4/1 v1=0 v1=100: canary selects v1, hash v1 v1, weight 0",
        "4/0 v1=0 v1=100: v2 to 0",
    ]


def test_a_superseded_canary_serves_until_its_weight_has_gone_and_its_pods_stay_for_the_delay() -> None:
    world = updating(routed(weight(50), pause()), replicas=4)
    world.set_image("v3")
    assert trace(world) == [
        "4/2/2 v3=0 v1=100: weight 0, hash v3 v1, v3 to 2",
        "4/2/2 v3=50 v1=50: canary selects v3, weight 50",
    ]
    assert deadline(world, "v2") is not None
    world.tick(31)
    assert trace(world) == ["4/0/2 v3=50 v1=50: v2 to 0"]


def test_a_superseded_canary_without_a_successor_that_works_is_left_alone() -> None:
    """Its pods would be the way back to the last state that worked."""
    world = updating(routed(weight(50), pause(), dynamic_stable_scale=True), replicas=4)
    assert world.shape() == "2/2"
    world.broken_images.add("v3")
    world.set_image("v3")
    world.run()
    assert (world.live, world.selected("canary")) == ("v2=50 v1=50", world.hash("v2"))
    assert size_of(world.of_image("v2")) == 2


def test_a_rollback_within_the_window_goes_to_pods_that_are_there() -> None:
    strategy = routed(weight(50), pause(), scale_down_delay_seconds=600)
    world = released(strategy, replicas=4, rollback_window=RollbackWindow(revisions=1))
    world.set_image("v2")
    world.run_to_phase("Paused")
    resume(world)
    world.run_to_phase("Healthy")
    assert world.shape() == "4/4"
    world.set_image("v1")
    assert trace(world) == [
        "4/4 v1=100 v2=0: canary selects v1, hash v1 v2, weight 100",
        "4/4 v1=0 v1=100: stable selects v1, hash v1 v1, weight 0",
    ]


def test_going_back_and_forth_within_the_delay_costs_no_pods() -> None:
    world = updating(routed(weight(50), pause(), scale_down_delay_revision_limit=1), replicas=4)
    resume(world)
    world.run_to_phase("Healthy")
    world.set_image("v3")
    world.run_to_phase("Paused")
    resume(world)
    world.run_to_phase("Healthy")
    assert world.shape() == "0/4/4"
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert (world.shape(), deadline(world, "v2")) == ("0/2/4", None)


def test_a_delay_of_zero_lets_the_old_pods_go_at_once() -> None:
    world = updating(routed(weight(50), pause(), scale_down_delay_seconds=0), replicas=4)
    resume(world)
    world.run_to_phase("Healthy")
    assert world.shape() == "0/4"
    assert world.plan().requeue_at is None


# ---- Routers that cannot, or cannot tell --------------------------------------------------------------------------


def test_while_a_router_fails_nothing_is_scaled_and_no_step_taken() -> None:
    world = updating(routed(weight(20), pause(), weight(50)))
    resume(world)
    world.tell_table(broken="TrafficTable table: closed")
    before = (world.shape(), world.status.current_step_index, world.status.canary.weights)
    for _ in range(3):
        plan = world.step()
        assert plan.error == "TrafficTable table: closed"
        assert plan.waits[0].reason is WaitReason.TRAFFIC_NOT_ROUTED
    assert plan.status is None
    assert (world.shape(), world.status.current_step_index, world.status.canary.weights) == before
    world.tell_table(broken=None)
    world.run()
    assert (world.shape(), world.live) == ("10/10", "v2=0 v2=100")


def test_an_abort_is_acknowledged_although_a_router_fails() -> None:
    world = updating(routed(weight(20), pause(), weight(50)))
    world.tell_table(broken="TrafficTable table: closed")
    world.change_status(abort=True)
    world.step()
    message = "RolloutAborted: Rollout aborted update to revision 2"
    assert phase_and_message(world.rollout) == ("Degraded", message)
    assert world.status.aborted_at is not None
    assert world.plan().status is None
    world.tell_table(broken=None)
    world.run()
    assert (phase_and_message(world.rollout), world.live) == (("Degraded", message), "v2=0 v1=100")


def test_the_progress_deadline_runs_again_when_a_pause_has_been_ended_but_a_router_fails() -> None:
    world = updating(routed(weight(20), pause(), weight(50)), progress_deadline_seconds=60)
    world.tick(2000)
    world.run_to_phase("Paused")
    world.tell_table(broken="TrafficTable table: closed")
    resume(world)
    plan = world.step()
    assert (world.status.phase, world.status.current_step_index) == ("Progressing", 1)
    assert plan.requeue_at == world.now + timedelta(seconds=61), "it is there when the deadline passes"
    world.tick(62)
    world.step()
    assert (world.status.phase, world.status.current_step_index) == ("Degraded", 1)
    assert "timed out" in world.status.message
    world.tell_table(broken=None)
    world.run_to_phase("Healthy")


def test_the_progress_deadline_passes_although_a_router_fails() -> None:
    world = released(routed(weight(20), weight(50)), progress_deadline_seconds=60)
    world.set_image("v2")
    world.broken_images.add("v2")
    world.run()
    world.tell_table(broken="TrafficTable table: closed")
    world.tick(120)
    assert world.step().error == "TrafficTable table: closed"
    phase, message = phase_and_message(world.rollout)
    assert (phase, message.partition(":")[0]) == ("Degraded", "ProgressDeadlineExceeded")
    assert world.plan().status is None


def test_a_router_that_fails_while_all_is_well_is_shown_all_the_same() -> None:
    world = released(routed(weight(20)))
    del world.objects[world.ref()]
    plan = world.plan()
    assert plan.error == "TrafficTable table not found"
    assert plan.waits[0].reason is WaitReason.TRAFFIC_NOT_ROUTED


def test_a_step_waits_until_its_weight_is_in_force() -> None:
    world = released(routed(weight(20), pause()))
    world.tell_table(inForce=0)
    world.set_image("v2")
    world.run()
    assert (world.live, world.status.current_step_index) == ("v2=20 v1=80", 0)
    assert world.status.canary.weights is not None
    assert world.status.canary.weights.verified is False
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.requeue_at == world.now + timedelta(seconds=10)
    assert any(each.reason is WaitReason.WEIGHT_NOT_VERIFIED for each in plan.waits)
    world.tell_table(inForce=20)
    world.run_to_phase("Paused")
    assert world.status.canary.weights.verified is True


def test_a_verification_that_is_lost_again_is_part_of_the_status() -> None:
    world = released(routed(weight(20), pause()))
    world.set_image("v2")
    world.run()
    for in_force, expected in ((20, True), (3, False), (None, None)):
        world.tell_table(inForce=in_force)
        world.run()
        assert world.status.canary.weights is not None
        assert world.status.canary.weights.verified is expected


def test_the_last_weight_must_be_in_force_before_the_old_pods_may_go() -> None:
    world = released(routed(weight(50)), replicas=4)
    world.set_image("v2")
    for _ in range(30):
        world.step()
        world.settle_pods()
        if world.table()["weight"] == 100:
            break
        world.tell_table(inForce=world.table()["weight"])
    world.tell_table(inForce=50)
    for _ in range(3):
        plan = world.step()
        assert plan.error == "end of rollout, desired weight 100 not yet verified"
        assert world.status.stable_rs == world.hash("v1")
        assert world.shape() == "4/4"
    world.tell_table(inForce=100)
    world.step()
    assert world.status.stable_rs == world.hash("v2")


def test_old_pods_stay_while_the_traffic_is_not_known_to_have_left_them() -> None:
    world = updating(routed(weight(50), pause(), scale_down_delay_seconds=0), replicas=4)
    resume(world)
    world.run_to_phase("Healthy")
    world.tell_table(inForce=0)
    world.set_image("v3")
    world.tell_table(inForce=None)
    world.run_to_phase("Paused")
    resume(world)
    for _ in range(30):
        world.step()
        world.settle_pods()
        if world.recorded == "v3=0 v3=100":
            break
    world.tell_table(inForce=99)
    world.run()
    assert size_of(world.of_image("v2")) == 4
    world.tell_table(inForce=0)
    world.run()
    assert size_of(world.of_image("v2")) == 0


def test_two_routers_are_told_the_same() -> None:
    strategy = routed(weight(50), pause())
    world = released(strategy, replicas=2)
    both = RoutedWorld(
        world.rollout, *world.replica_sets.values(), routers=("table", "other"), services=list(world.services.values())
    )
    both.set_image("v2")
    both.run_to_phase("Paused")
    assert both.table("table") == both.table("other")
    assert both.event_reasons().count("TrafficWeightUpdated") == 1, "once per change, not once per router"


# ---- Header and mirror routes -------------------------------------------------------------------------------------

MANAGED = managing("beta", "shadow")


def routes(world: RoutedWorld) -> list[str]:
    return list(world.table()["routes"])


def test_routes_come_with_their_step_and_go_with_the_update() -> None:
    world = updating(
        routed(canary_scale(replicas=1), header("beta"), pause(), mirror("shadow"), pause(), routing=MANAGED),
        replicas=4,
    )
    assert (routes(world), world.status.current_step_index) == (["beta"], 2)
    world.drift(routes=[])
    world.run()
    assert routes(world) == ["beta"], "put right like any other drift"
    resume(world)
    world.run()
    assert routes(world) == ["beta", "shadow"]
    resume(world)
    world.run_to_phase("Healthy")
    assert routes(world) == []


def test_a_route_waits_for_the_pods_that_it_leads_to() -> None:
    world = released(routed(canary_scale(replicas=1), header("beta"), pause(), routing=MANAGED), replicas=4)
    world.broken_images.add("v2")
    world.set_image("v2")
    world.run()
    world.change_status(current_step_index=1)
    world.run()
    assert (routes(world), world.status.current_step_index) == ([], 1)
    world.broken_images.clear()
    world.run_to_phase("Paused")
    assert (routes(world), world.status.current_step_index) == (["beta"], 2)


def test_a_route_to_a_canary_that_is_not_to_have_pods_yet_comes_with_them() -> None:
    world = updating(routed(header("beta"), pause(), weight(50), pause(), routing=MANAGED), replicas=4)
    assert (routes(world), world.status.current_step_index) == ([], 1)
    resume(world)
    world.run_to_phase("Paused")
    assert (routes(world), world.live) == (["beta"], "v2=50 v1=50")


def test_a_route_step_is_not_complete_in_a_pass_that_could_not_ask_the_router() -> None:
    steps = (weight(50), pause(), weight(25), header("beta"), pause())
    world = updating(routed(*steps, routing=MANAGED), replicas=4)
    stable = world.of_image("v1")
    down = replace(stable, status=replace(stable.status, available_replicas=0, ready_replicas=0))
    world.replica_sets[stable.metadata.name] = down
    world.change_status(pause_conditions=(), controller_pause=False, current_step_index=3)
    for _ in range(4):
        plan = world.step()
    assert (routes(world), world.status.current_step_index, world.live) == ([], 3, "v2=50 v1=50")
    assert any(each.reason is WaitReason.STABLE_CAPACITY for each in plan.waits)
    world.run_to_phase("Paused")
    assert (routes(world), world.status.current_step_index, world.live) == (["beta"], 4, "v2=25 v1=75")


def test_an_abort_takes_the_routes_away_and_they_stay_away() -> None:
    world = updating(routed(header("beta"), canary_scale(replicas=1), pause(), routing=MANAGED), replicas=4)
    assert routes(world) == ["beta"]
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    assert routes(world) == []
    assert world.plan().writes_nothing


# ---- Ping and pong ------------------------------------------------------------------------------------------------

PAIR = CanaryStrategy(
    steps=(weight(50), pause()),
    ping_pong=PingPong(ping_service="ping", pong_service="pong"),
    traffic_routing=TABLE,
)


def pair(world: RoutedWorld) -> tuple[str, str, str]:
    """Return which one is stable, and what ping and pong select."""
    return (
        world.status.canary.stable_ping_pong,
        world.image(world.selected("ping")),
        world.image(world.selected("pong")),
    )


def test_a_pair_of_services_takes_turns_and_its_selectors_never_move_at_a_promotion() -> None:
    world = released(PAIR, replicas=2)
    assert pair(world) == ("ping", "v1", "-")
    world.set_image("v2")
    world.run_to_phase("Paused")
    assert pair(world) == ("ping", "v1", "v2")
    resume(world)
    world.run_to_phase("Healthy")
    assert pair(world) == ("pong", "v1", "v2")
    world.tick(31)
    world.run()
    assert world.shape() == "0/2", "the Service that stays behind keeps no pods"
    world.set_image("v3")
    world.run_to_phase("Paused")
    assert pair(world) == ("pong", "v3", "v2")


def test_the_canary_of_a_pair_selects_pods_that_are_yet_to_come_when_the_router_has_spoken() -> None:
    """Whoever has given it traffic by hand must not find nobody there."""
    world = released(PAIR, replicas=2)
    world.drift(weight=100)
    world.set_image("v2")
    assert trace(world)[:2] == [
        "2/1 v2=0 v1=100: hash v2 v1, weight 0, pong selects v2, v2 to 1",
        "2/1 v2=50 v1=50: weight 50",
    ]


def test_an_aborted_pair_stays_as_it_is() -> None:
    world = updating(PAIR, replicas=2)
    world.change_status(abort=True)
    world.run_to_phase("Degraded")
    assert (pair(world), world.live) == (("ping", "v1", "v2"), "v2=0 v1=100")
    world.tick(31)
    world.run()
    assert world.shape() == "2/0"


def test_a_pair_that_goes_back_to_stable_does_not_flip() -> None:
    world = updating(PAIR, replicas=2)
    world.set_image("v1")
    world.run_to_phase("Healthy")
    assert pair(world)[0] == "ping"


# ---- Odds and ends ------------------------------------------------------------------------------------------------


def test_a_threshold_lets_steps_and_promotion_go_on_with_fewer_pods() -> None:
    wanted = ReplicaProgressThreshold(type="Percent", value=80)
    world = released(routed(weight(50), replica_progress_threshold=wanted))
    world.set_image("v2")

    def lose_a_pod() -> None:
        each = world.of_image("v2")
        if (size := size_of(each)) and each.status.replicas == size:
            status = replace(each.status, ready_replicas=size - 1, available_replicas=size - 1)
            world.replica_sets[each.metadata.name] = replace(each, status=status)

    for _ in range(20):
        world.step()
        world.settle_pods()
        if "v2" in {world.image_of(each) for each in world.replica_sets.values()}:
            lose_a_pod()
    assert world.status.stable_rs == world.hash("v2")
    assert world.live == "v2=0 v2=100"


def test_more_than_a_hundred_parts() -> None:
    fine = replace(TABLE, max_traffic_weight=1000)
    world = updating(routed(weight(5), pause(), routing=fine), replicas=4)
    assert (world.live, world.shape()) == ("v2=5 v1=995", "4/1")


def test_a_canary_service_may_be_one_that_never_had_a_hash() -> None:
    world = released(routed(weight(50), pause()), replicas=2)
    assert world.services["canary"].metadata.annotations[names.MANAGED_BY_ANNOTATION] == NAME


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_crash_between_any_two_writes_changes_nothing_about_the_end(stop_after: int) -> None:
    world = released(routed(weight(50), pause(1), weight(20)), replicas=4)
    world.set_image("v2")
    for _ in range(60):
        world.apply(world.plan(), stop_after=stop_after)
        world.step()
        world.settle_pods()
        world.tick(2)
    assert (world.status.phase, world.live) == ("Healthy", "v2=0 v2=100")
