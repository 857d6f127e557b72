"""The order of the decisions: what ends a plan early, what freezes a Rollout, and what is done before the strategy."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.rollout.builders import (
    NAME,
    NAMESPACE,
    NOW,
    UID,
    World,
    hash_for,
    owner,
    pause,
    progressing,
    replace,
    replica_set,
    rollout,
    service,
    template,
    weight,
)

from prograde.api import names
from prograde.api.meta import LabelSelector, LabelSelectorRequirement
from prograde.api.rollout import (
    AlbTrafficRouting,
    AmbassadorTrafficRouting,
    ApisixTrafficRouting,
    AppMeshTrafficRouting,
    BackgroundAnalysis,
    BlueGreenStatus,
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    PingPong,
    RolloutAnalysis,
    RolloutStatus,
    RolloutStrategy,
    SmiTrafficRouting,
    TraefikTrafficRouting,
    TrafficRouting,
)
from prograde.core.plan import AdoptReplicaSet, CreateReplicaSet, PatchRollout, Plan, ReleaseReplicaSet, WaitReason
from prograde.core.rollout.revisions import claim
from prograde.core.rollout.snapshot import CreateFailure
from prograde.core.rollout.status import phase_and_message

STEPS = CanaryStrategy(steps=(weight(20), pause()))


def promoted(**options: object) -> World:
    """Return a world with revision 1 of a canary promoted and idle."""
    world = World(rollout(**{"canary": STEPS, "replicas": 10, **options}))  # type: ignore[arg-type]
    world.run_to_phase("Healthy")
    world.events.clear()
    world.writes.clear()
    world.status_writes = 0
    return world


# ---- What ends a plan before it begins --------------------------------------------------------------------------


def test_a_rollout_that_is_being_deleted_is_left_alone() -> None:
    deleted = rollout()
    deleted = replace(deleted, metadata=replace(deleted.metadata, deletion_timestamp=NOW))
    assert World(deleted, replica_set(size=3, actual=0)).plan() == Plan()


def test_an_absent_number_of_replicas_is_written_as_1_and_nothing_else() -> None:
    plan = World(rollout(replicas=None), replica_set()).plan()
    assert [action.merge_patch() for action in plan.actions if isinstance(action, PatchRollout)] == [
        {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}}
    ]
    assert len(list(plan.actions)) == 1
    assert plan.status is None


def test_the_default_of_replicas_comes_after_the_creation_of_the_replica_set() -> None:
    world = World(rollout(replicas=None))
    assert isinstance(next(world.step().actions), CreateReplicaSet)
    world.step()
    assert world.rollout.spec.replicas == 1
    world.run_to_phase("Healthy")


# ---- Frozen -----------------------------------------------------------------------------------------------------


def routed_by(**routers: Any) -> CanaryStrategy:
    return CanaryStrategy(canary_service="c", stable_service="s", traffic_routing=TrafficRouting(**routers))


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        (routed_by(alb=AlbTrafficRouting(ingress="i")), "spec.strategy.canary.trafficRouting.alb"),
        (routed_by(smi=SmiTrafficRouting()), "spec.strategy.canary.trafficRouting.smi"),
        (routed_by(ambassador=AmbassadorTrafficRouting()), "spec.strategy.canary.trafficRouting.ambassador"),
        (routed_by(app_mesh=AppMeshTrafficRouting()), "spec.strategy.canary.trafficRouting.appMesh"),
        (routed_by(traefik=TraefikTrafficRouting()), "spec.strategy.canary.trafficRouting.traefik"),
        (routed_by(apisix=ApisixTrafficRouting()), "spec.strategy.canary.trafficRouting.apisix"),
        (
            routed_by(plugins={"argoproj-labs/gatewayAPI": msgspec.Raw(b"{}"), "acme/edge": msgspec.Raw(b"{}")}),
            'spec.strategy.canary.trafficRouting.plugins["acme/edge"]',
        ),
    ],
)
def test_a_rollout_that_needs_what_is_not_supported_is_frozen_and_names_the_field(
    strategy: CanaryStrategy, field: str
) -> None:
    world = World(rollout(canary=strategy), replica_set(size=1), services=[service(name) for name in ("c", "s")])
    plan = world.step()
    assert not list(plan.actions)
    assert world.status.phase == "Degraded"
    text = f"{field}: Forbidden: not yet supported by this version of Prograde"
    assert world.status.message == f'InvalidSpec: The Rollout "{NAME}" is invalid: {text}'
    assert plan.waits[0].reason is WaitReason.NOT_SUPPORTED
    assert plan.waits[0].field == field
    assert plan.requeue_at == NOW + timedelta(seconds=20)
    assert world.plan().writes_nothing


def test_an_analysis_without_templates_counts_as_not_configured() -> None:
    steps = (CanaryStep(analysis=RolloutAnalysis()), weight(50))
    world = promoted(canary=CanaryStrategy(steps=steps, analysis=BackgroundAnalysis()))
    world.set_image("v2")
    world.run_to_phase("Healthy")
    assert "Rollout step 1/2 completed (analysis)" in [each.message for each in world.events]


def missing(name: str) -> str:
    """Return the message about a canary Service that does not exist."""
    text = f'spec.strategy.canary.canaryService: Invalid value: "{name}": service "{name}" not found'
    return f'The Rollout "{NAME}" is invalid: {text}'


def test_an_invalid_rollout_is_frozen_before_anything_is_claimed_or_created() -> None:
    world = World(rollout(canary=CanaryStrategy(canary_service="a")), replica_set(owners=(), size=3))
    plan = world.step()
    assert not list(plan.actions)
    assert not plan.events
    condition = world.condition("InvalidSpec")
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == ("True", "InvalidSpec", missing("a"))
    assert world.status.observed_generation == "1"
    assert (world.status.phase, world.status.message) == ("Degraded", f"InvalidSpec: {missing('a')}")
    wait = plan.waits[0]
    assert (wait.reason, wait.field) == (WaitReason.INVALID_SPEC, "spec.strategy.canary.canaryService")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"selector": None}, "spec.selector: Required value: Rollout has missing field '.spec.selector'"),
        ({"selector": LabelSelector()}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        (
            {"selector": LabelSelector(match_expressions=(LabelSelectorRequirement(key="a", operator="Is"),))},
            'spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
        ),
    ],
)
def test_a_selector_that_selects_nothing_or_everything_touches_no_replica_set(
    changes: dict[str, object], text: str
) -> None:
    world = World(rollout(**changes), replica_set(size=3), replica_set("v2", owners=()))  # type: ignore[arg-type]
    plan = world.step()
    assert not list(plan.actions)
    assert world.status.message == f'InvalidSpec: The Rollout "{NAME}" is invalid: {text}'


def test_an_invalid_rollout_whose_error_is_the_same_as_before_is_not_written_again() -> None:
    world = World(rollout(canary=CanaryStrategy(canary_service="a")))
    world.step()
    world.tick(60)
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.waits[0].since == NOW
    assert plan.requeue_at == NOW + timedelta(seconds=80)


def test_another_error_replaces_the_condition_with_new_times() -> None:
    world = World(rollout(canary=CanaryStrategy(canary_service="a")))
    world.step()
    world.tick(60)
    world.change_strategy(canary_service="b")
    world.step()
    condition = world.condition("InvalidSpec")
    assert condition is not None
    assert condition.last_transition_time == condition.last_update_time == world.now
    assert condition.message == missing("b")


@pytest.mark.parametrize(
    ("strategy", "path"),
    [
        (CanaryStrategy(canary_service="gone"), "spec.strategy.canary.canaryService"),
        (CanaryStrategy(stable_service="gone"), "spec.strategy.canary.stableService"),
        (
            CanaryStrategy(ping_pong=PingPong(ping_service="gone", pong_service="there")),
            "spec.strategy.canary.pingPong.pingService",
        ),
        (
            CanaryStrategy(ping_pong=PingPong(ping_service="there", pong_service="gone")),
            "spec.strategy.canary.pingPong.pongService",
        ),
    ],
)
def test_every_service_that_is_named_must_exist(strategy: CanaryStrategy, path: str) -> None:
    world = World(rollout(canary=strategy), services=[service("there")])
    plan = world.step()
    assert not list(plan.actions)
    text = f'{path}: Invalid value: "gone": service "gone" not found'
    assert world.status.message == f'InvalidSpec: The Rollout "{NAME}" is invalid: {text}'


def test_a_service_of_another_rollout_is_not_taken_over() -> None:
    world = World(
        rollout(canary=CanaryStrategy(canary_service="a")), services=[service("a", managed_by="somebody-else")]
    )
    world.step()
    assert 'Service "a" is managed by another Rollout' in world.status.message
    assert world.selected("a") == ""


def test_the_condition_goes_when_the_service_turns_up() -> None:
    world = promoted()
    world.change_strategy(canary_service="a")
    world.run_to_phase("Degraded")
    world.services["a"] = service("a")
    world.run_to_phase("Healthy")
    assert world.condition("InvalidSpec") is None


def test_an_attempt_stands_still_while_the_rollout_is_invalid() -> None:
    world = promoted()
    world.set_image("v2")
    world.run()
    running = world.status.duration
    world.tick(100)
    world.change_strategy(canary_service="a")
    world.step()
    assert world.status.duration == running


# ---- Ownership --------------------------------------------------------------------------------------------------


def test_a_matching_orphan_is_adopted_and_no_replica_set_is_created() -> None:
    world = World(rollout(), replica_set(owners=(), size=3))
    plan = world.step()
    (action,) = plan.actions
    assert isinstance(action, AdoptReplicaSet)
    assert action.owner_uid == UID
    assert world.of_image("v1").metadata.owner_references == (owner(),)
    assert not any(isinstance(each, CreateReplicaSet) for each in world.plan().actions)


@pytest.mark.parametrize(
    "orphan",
    [
        pytest.param(replica_set(owners=(), labels={"app": "other"}), id="another selector"),
        pytest.param(replica_set(owners=(), deleting=True), id="being deleted"),
        pytest.param(replica_set(owners=(owner(uid="other"),)), id="owned by another Rollout"),
    ],
)
def test_a_replica_set_that_is_not_ours_to_take_is_ignored(orphan: object) -> None:
    plan = World(rollout(), orphan).plan()  # type: ignore[arg-type]
    assert [type(each) for each in plan.actions] == [CreateReplicaSet, PatchRollout]


def test_a_replica_set_of_ours_that_is_no_longer_selected_is_released() -> None:
    strayed = replica_set("v0", labels={"app": "other"}, size=1)
    world = World(rollout(), replica_set(), strayed)
    (action,) = world.step().actions
    assert isinstance(action, ReleaseReplicaSet)
    assert world.of_image("v0").metadata.owner_references == ()


@pytest.mark.parametrize("selector", [None, LabelSelector()], ids=["absent", "empty"])
def test_without_a_selector_nothing_is_adopted_or_released(selector: LabelSelector | None) -> None:
    ours, orphan = replica_set("v1"), replica_set("v2", owners=())
    claimed = claim(rollout(selector=selector), [ours, orphan])
    assert claimed.owned == (ours,)
    assert not claimed.adopt
    assert not claimed.release


# ---- A new revision ---------------------------------------------------------------------------------------------


def test_a_new_revision_gets_a_replica_set_without_pods_and_the_plan_ends() -> None:
    world = World(rollout(annotations={"team": "a", names.LAST_APPLIED_ANNOTATION: "{}"}, min_ready_seconds=5))
    plan = world.step()
    create = next(plan.actions)
    assert isinstance(create, CreateReplicaSet)
    pod_hash = hash_for("v1")
    labels = {"app": "cart", names.POD_TEMPLATE_HASH_LABEL: pod_hash}
    assert create.manifest == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{NAME}-{pod_hash}",
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": {
                "team": "a",
                names.REVISION_ANNOTATION: "1",
                names.DESIRED_REPLICAS_ANNOTATION: "3",
            },
            "ownerReferences": [
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Rollout",
                    "name": NAME,
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": 5,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "v1"}]},
            },
        },
    }
    assert [(each.reason, each.message) for each in plan.all_events] == [
        ("RolloutUpdated", "Rollout updated to revision 1"),
        ("NewReplicaSetCreated", f"Created ReplicaSet {NAME}-{pod_hash} (revision 1)"),
    ]
    condition = world.condition("Progressing")
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == (
        "True",
        "NewReplicaSetCreated",
        f'Created new replica set "{NAME}-{pod_hash}"',
    )


def test_the_creation_does_not_say_that_the_new_generation_was_observed() -> None:
    """Otherwise clients would take the phase of the revision before for that of the new one."""
    world = promoted()
    world.set_image("v2")
    world.step()
    assert world.status.observed_generation == "1"
    assert world.status.phase == "Healthy"


def test_the_revision_is_one_more_than_the_highest_that_can_be_read() -> None:
    world = World(
        rollout(image="v9"),
        replica_set("v1", revision=4, age=timedelta(minutes=3)),
        replica_set("v2", revision="many", age=timedelta(minutes=2)),
        replica_set("v3", revision=None, age=timedelta(minutes=1)),
    )
    world.step()
    assert world.revision("v9") == 5
    assert world.rollout.metadata.annotations[names.REVISION_ANNOTATION] == "5"


def test_a_name_that_is_taken_by_something_else_raises_the_collision_count_and_changes_the_name() -> None:
    world = World(rollout())
    wanted = next(world.plan().actions)
    assert isinstance(wanted, CreateReplicaSet)
    taken = replica_set("something else", pod_hash=hash_for("v1"))
    world.create_failure = CreateFailure(name=wanted.name, message="exists", existing=taken)
    plan = world.step()
    assert not list(plan.actions)
    assert world.status.collision_count == 1
    assert plan.requeue_at == NOW
    world.create_failure = None
    again = next(world.plan().actions)
    assert isinstance(again, CreateReplicaSet)
    assert again.name != wanted.name


def test_a_name_that_is_taken_by_our_own_replica_set_is_used_without_an_event_of_creation() -> None:
    world = World(rollout())
    own = replica_set("v1", size=0)
    world.create_failure = CreateFailure(name=own.metadata.name, message="exists", existing=own)
    plan = world.plan()
    assert "NewReplicaSetCreated" not in [each.reason for each in plan.all_events]
    assert not any(isinstance(each, CreateReplicaSet) for each in plan.actions)
    assert plan.status is not None
    assert plan.status.collision_count is None


def test_any_other_failure_to_create_is_reported_and_tried_again() -> None:
    world = World(rollout())
    name = f"{NAME}-{hash_for('v1')}"
    world.create_failure = CreateFailure(name=name, message="exceeded quota")
    plan = world.step()
    message = f'Failed to create new replica set "{name}": exceeded quota'
    assert [(each.type, each.reason, each.message) for each in plan.events] == [
        ("Warning", "ReplicaSetCreateError", message)
    ]
    condition = world.condition("Progressing")
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == ("False", "ReplicaSetCreateError", message)
    assert plan.waits[0].reason is WaitReason.WRITE_FAILED
    assert plan.requeue_at is not None
    assert plan.requeue_at > NOW


def test_a_revision_that_cannot_be_created_does_not_look_healthy_to_clients() -> None:
    """Argo Rollouts calls the generation observed here, while the phase is still about the revision before."""
    world = promoted()
    world.set_image("v2")
    name = f"{NAME}-{hash_for('v2')}"
    world.create_failure = CreateFailure(name=name, message="exceeded quota")
    world.step()
    assert phase_and_message(world.rollout) == ("Progressing", "waiting for rollout spec update to be observed")
    world.create_failure = None
    world.run_to_phase("Paused")


def test_quantities_in_another_notation_make_no_new_revision() -> None:
    resources = {"limits": {"cpu": "2000m", "memory": "1024Mi"}}
    same = {"limits": {"cpu": 2, "memory": "1Gi"}}

    def with_resources(value: object) -> object:
        return template(containers=[{"name": "main", "image": "v1", "resources": value}])

    world = World(rollout(template=with_resources(resources)))
    world.run_to_phase("Healthy")
    world.change_spec(template=with_resources(same))
    world.run_to_phase("Healthy")
    assert len(world.replica_sets) == 1


@pytest.mark.parametrize("strategy", ["canary", "blue-green"])
def test_a_replica_set_with_a_foreign_hash_but_the_same_template_is_the_new_one(strategy: str) -> None:
    """Another way of hashing must not redeploy everything, and the label stays the identity."""
    services = [service("active", selects="oldhash", managed_by=NAME)]
    blue_green = BlueGreenStrategy(active_service="active") if strategy == "blue-green" else None
    status = RolloutStatus(
        current_pod_hash="oldhash",
        stable_rs="oldhash",
        current_step_hash="" if blue_green else "5ffbfbbd64",
        observed_generation="1",
        blue_green=BlueGreenStatus(active_selector="oldhash") if blue_green else BlueGreenStatus(),
        conditions=(progressing("NewReplicaSetAvailable"),),
    )
    world = World(
        rollout(blue_green=blue_green, status=status, annotations={names.REVISION_ANNOTATION: "1"}),
        replica_set("v1", size=3, pod_hash="oldhash"),
        services=services,
    )
    world.run_to_phase("Healthy")
    assert world.status.current_pod_hash == world.status.stable_rs == "oldhash"
    assert len(world.replica_sets) == 1
    assert "SkipSteps" not in world.event_reasons()


def test_a_found_replica_set_without_any_progressing_condition_gets_one() -> None:
    world = World(rollout(), replica_set("v1", size=3, available=0))
    world.rollout = replace(
        world.rollout,
        status=RolloutStatus(
            current_pod_hash=hash_for("v1"),
            current_step_hash="5ffbfbbd64",
            stable_rs=hash_for("v1"),
            replicas=3,
            updated_replicas=3,
        ),
    )
    world.step()
    assert world.reason() == "FoundNewReplicaSet"


# ---- Strategy switch, size and template together ----------------------------------------------------------------


def test_a_switch_from_blue_green_to_canary_redeploys_nothing_and_drops_the_other_block() -> None:
    world = World(rollout(blue_green=BlueGreenStrategy(active_service="active")), services=[service("active")])
    world.run_to_phase("Healthy")
    assert world.status.blue_green.active_selector == hash_for("v1")
    duration = world.status.duration
    world.change_spec(strategy=RolloutStrategy(canary=STEPS))
    world.run_to_phase("Healthy")
    assert world.status.blue_green == BlueGreenStatus()
    assert world.status.current_step_index == 2
    assert world.status.current_step_hash != ""
    assert world.status.selector == "app=cart"
    assert world.shape() == "3"
    assert world.status.duration == duration


def test_size_and_template_changed_together_create_the_replica_set_first() -> None:
    world = promoted()
    world.change_spec(replicas=12, template=template("v2"))
    assert isinstance(next(world.step().actions), CreateReplicaSet)
    scaling = world.step()
    assert scaling.status is not None
    assert world.shape() == "12/0"
    assert "SkipSteps" not in world.event_reasons()
    world.run_to_phase("Paused")
    assert world.shape() == "10/3"


def test_a_changed_template_is_not_called_observed_because_its_size_was_followed_first() -> None:
    """A client would see the phase of the revision before as that of the new one, and call it healthy."""
    world = promoted()
    world.change_spec(replicas=8, template=template("v2"))
    world.step()
    world.step()
    assert phase_and_message(world.rollout) == ("Progressing", "waiting for rollout spec update to be observed")
    world.run_to_phase("Paused")


def test_the_status_of_an_unchanged_rollout_is_not_written() -> None:
    world = promoted()
    plan = world.plan()
    assert plan.writes_nothing
    assert plan.waits == ()
    assert plan.requeue_at is None
