"""Selectors of a canary's Services, and the Services that nobody uses any more."""

import pytest
from tests.core.rollout.builders import (
    NAME,
    NAMESPACE,
    World,
    hash_for,
    owner,
    pause,
    replace,
    replica_set,
    rollout,
    service,
    weight,
)

from prograde.api import names
from prograde.api.meta import NamespacedName
from prograde.api.podtemplate import step_hash
from prograde.api.rollout import BlueGreenStrategy, CanaryStrategy, PingPong, RolloutStatus
from prograde.core.plan import PatchService, WaitReason
from prograde.core.rollout.services import ServiceDecision, plan_service, referenced_services

CANARY = CanaryStrategy(steps=(weight(50), pause()), canary_service="canary", stable_service="stable")


def world_with_new(size: int, available: int, *, managed: bool) -> World:
    """Return a world in which the canary Service may move to revision 2, or not."""
    status = RolloutStatus(
        stable_rs=hash_for("v1"),
        current_pod_hash=hash_for("v2"),
        current_step_index=1,
        current_step_hash=step_hash(CANARY.steps),
    )
    return World(
        rollout(canary=CANARY, image="v2", replicas=3, status=status),
        replica_set("v1", size=3),
        replica_set("v2", size=size, available=available, revision=2),
        services=[
            service("canary", managed_by=NAME if managed else None),
            service("stable", selects=hash_for("v1"), managed_by=NAME),
        ],
    )


@pytest.mark.parametrize(
    ("size", "available", "managed", "switches"),
    [
        pytest.param(0, 0, False, False),
        pytest.param(2, 0, False, False),
        pytest.param(2, 1, False, False, id="adoption needs all pods"),
        pytest.param(2, 2, False, True),
        pytest.param(3, 0, True, False),
        pytest.param(3, 1, True, True, id="one pod is enough for a Service of ours"),
    ],
)
def test_a_selector_moves_only_to_pods_that_are_there(size: int, available: int, managed: bool, switches: bool) -> None:
    world = world_with_new(size, available, managed=managed)
    plan = world.step()
    assert (world.selected("canary") == hash_for("v2")) is switches
    reasons = [each.reason for each in plan.waits]
    assert (WaitReason.SERVICE_NOT_SWITCHED in reasons) is not switches


def test_a_switch_marks_the_service_keeps_its_other_keys_and_says_so() -> None:
    world = world_with_new(2, 2, managed=False)
    plan = world.step()
    assert world.services["canary"].spec.selector == {"app": "cart", names.POD_TEMPLATE_HASH_LABEL: hash_for("v2")}
    assert world.services["canary"].metadata.annotations == {names.MANAGED_BY_ANNOTATION: NAME}
    messages = [each.message for each in plan.all_events if each.reason == "SwitchService"]
    assert messages == [f"Switched selector for service 'canary' from '' to '{hash_for('v2')}'"]


def test_a_service_that_selects_the_right_pods_already_is_not_even_marked() -> None:
    world = world_with_new(2, 2, managed=True)
    world.services["canary"] = service("canary", selects=hash_for("v2"))
    plan = world.step()
    assert not any(isinstance(each, PatchService) for each in plan.actions)


def test_the_stable_service_moves_in_the_plan_after_the_promotion() -> None:
    world = World(rollout(canary=CANARY), services=[service("canary"), service("stable")])
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.change_status(pause_conditions=())
    while world.status.stable_rs != hash_for("v2"):
        assert world.selected("stable") == hash_for("v1")
        world.step()
        world.settle_pods()
    assert world.selected("stable") == hash_for("v1")
    world.step()
    assert world.selected("stable") == hash_for("v2")


def test_services_move_before_pods_are_taken_away() -> None:
    world = world_with_new(3, 3, managed=True)
    world.change_status(current_step_index=2)
    plan = world.plan()
    kinds = [type(each).__name__ for each in plan.actions]
    assert kinds.index("PatchService") < kinds.index("PatchReplicaSet")


def test_a_canary_service_stays_on_the_superseded_revision_until_the_newest_has_a_pod() -> None:
    world = World(rollout(canary=CANARY), services=[service("canary"), service("stable")])
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.run_to_phase("Paused")
    world.broken_images.add("v3")
    world.set_image("v3")
    world.run()
    assert world.selected("canary") == hash_for("v2")


# ---- Services that nobody uses ----------------------------------------------------------------------------------

USER = rollout(canary=CANARY)


@pytest.mark.parametrize(
    ("found", "manager", "candidates", "decision"),
    [
        pytest.param(service("x"), None, (), ServiceDecision(), id="without a hash it is none of our business"),
        pytest.param(
            service("canary", selects="h", managed_by=NAME),
            USER,
            (),
            ServiceDecision(rollout=NamespacedName(NAMESPACE, NAME)),
            id="its manager uses it",
        ),
        pytest.param(
            service("old", selects="h", managed_by=NAME),
            USER,
            (USER,),
            ServiceDecision(
                action=PatchService(
                    name="old",
                    selector={names.POD_TEMPLATE_HASH_LABEL: None},
                    annotations={names.MANAGED_BY_ANNOTATION: None},
                )
            ),
            id="its manager uses it no longer",
        ),
        pytest.param(
            service("canary", selects="h", managed_by="gone"),
            None,
            (USER,),
            ServiceDecision(
                action=PatchService(
                    name="canary",
                    selector={names.POD_TEMPLATE_HASH_LABEL: None},
                    annotations={names.MANAGED_BY_ANNOTATION: None},
                )
            ),
            id="its manager is gone",
        ),
        pytest.param(
            service("canary", selects="h"),
            None,
            (rollout(), USER),
            ServiceDecision(rollout=NamespacedName(NAMESPACE, NAME)),
            id="somebody uses it without a mark",
        ),
        pytest.param(
            service("canary", selects="h"),
            None,
            (rollout(),),
            ServiceDecision(action=PatchService(name="canary", selector={names.POD_TEMPLATE_HASH_LABEL: None})),
            id="nobody uses it and the hash goes even without a mark",
        ),
    ],
)
def test_a_service_is_handed_on_or_cleaned(
    found: object, manager: object, candidates: tuple[object, ...], decision: ServiceDecision
) -> None:
    assert plan_service(found, manager, candidates) == decision  # type: ignore[arg-type]


def test_a_service_of_an_experiment_is_left_to_it() -> None:
    found = service("experiment-a", selects="h")
    owned = replace(
        found, metadata=replace(found.metadata, owner_references=(owner("uid", "Experiment", "experiment"),))
    )
    assert plan_service(owned, None, ()) == ServiceDecision()
    assert plan_service(found, None, ()).action is not None


def test_all_services_of_a_strategy_count_as_used() -> None:
    pair = PingPong(ping_service="ping", pong_service="pong")
    canary = replace(CANARY, ping_pong=pair)
    assert referenced_services(rollout(canary=canary)) == ("canary", "stable", "ping", "pong")
    blue_green = BlueGreenStrategy(active_service="active", preview_service="preview")
    assert referenced_services(rollout(blue_green=blue_green)) == ("active", "preview")
    assert referenced_services(rollout()) == ()
