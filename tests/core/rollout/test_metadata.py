"""Ephemeral metadata: who gets what, and that exactly what was injected is taken away again."""

from datetime import timedelta

import msgspec
import pytest
from tests.core.rollout.builders import World, pause, pod, replace, replica_set, rollout, weight

from prograde.api import names
from prograde.api.analysis import PodTemplateMetadata
from prograde.api.podtemplate import template_metadata
from prograde.api.rollout import CanaryStrategy
from prograde.core.plan import CreateReplicaSet, PatchPodMetadata, PatchReplicaSet
from prograde.core.rollout.metadata import injected_into
from prograde.core.rollout.planner import plan_rollout

CANARY_MARK = PodTemplateMetadata(labels={"role": "canary"}, annotations={"watch": "closely"})
STABLE_MARK = PodTemplateMetadata(labels={"role": "stable"})
MARKED = CanaryStrategy(steps=(weight(50), pause()), canary_metadata=CANARY_MARK, stable_metadata=STABLE_MARK)


def labels(world: World, image: str) -> dict[str, str]:
    found = template_metadata(world.of_image(image).spec.template).labels
    return {key: value for key, value in found.items() if key == "role"}


def with_pods(world: World) -> World:
    """Give every ReplicaSet one pod that was made from its template as it was when it was created."""
    world.pods = [
        pod(f"pod-{world.image_of(each)}", each, labels=template_metadata(each.spec.template).labels)
        for each in world.replica_sets.values()
    ]
    return world


def test_a_first_revision_is_created_with_the_metadata_of_the_stable_one() -> None:
    world = World(rollout(canary=MARKED))
    create = next(world.plan().actions)
    assert isinstance(create, CreateReplicaSet)
    world.step()
    assert labels(world, "v1") == {"role": "stable"}
    assert injected_into(world.of_image("v1")) == STABLE_MARK
    annotations = world.of_image("v1").metadata.annotations
    assert annotations[names.EPHEMERAL_METADATA_ANNOTATION] == '{"labels":{"role":"stable"}}'


def test_a_second_revision_is_created_as_canary_and_becomes_stable_with_its_pods() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.step()
    assert labels(world, "v2") == {"role": "canary"}
    world.run_to_phase("Paused")
    assert labels(world, "v1") == {"role": "stable"}
    with_pods(world)
    world.change_status(pause_conditions=())
    world.run_to_phase("Healthy")
    assert labels(world, "v2") == {"role": "stable"}
    marked = next(each for each in world.pods if each.metadata.name == "pod-v2")
    assert marked.metadata.labels["role"] == "stable"
    assert "watch" not in marked.metadata.annotations
    assert labels(world, "v1") == {}, "a revision that plays no part carries nothing"
    assert injected_into(world.of_image("v1")) is None


def test_metadata_in_the_template_of_a_replica_set_makes_no_new_revision() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    assert len(world.replica_sets) == 1
    assert world.plan().writes_nothing


def test_pods_are_patched_after_their_replica_set() -> None:
    world = World(rollout(canary=CanaryStrategy()))
    world.run_to_phase("Healthy")
    with_pods(world)
    world.change_strategy(stable_metadata=STABLE_MARK)
    plan = world.step()
    assert [type(each) for each in plan.actions] == [PatchReplicaSet, PatchPodMetadata]
    assert world.pods[0].metadata.labels["role"] == "stable"


def test_a_pod_that_was_missed_is_patched_although_its_replica_set_is_right() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    world.pods = [pod("missed", world.of_image("v1"))]
    (action,) = world.plan().actions
    assert action == PatchPodMetadata(name="missed", uid="uid-of-missed", labels={"role": "stable"})


def test_a_pod_that_is_right_is_left_alone() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    with_pods(world)
    assert world.plan().writes_nothing


def test_other_labels_and_annotations_are_never_touched() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    own = {"role": "stable", "kept": "yes"}
    world.pods = [pod("p", world.of_image("v1"), labels=own, annotations={"mine": "too"})]
    world.change_strategy(stable_metadata=None, canary_metadata=None)
    world.run_to_phase("Healthy")
    assert "role" not in world.pods[0].metadata.labels
    assert world.pods[0].metadata.labels["kept"] == "yes"
    assert world.pods[0].metadata.annotations == {"mine": "too"}


def test_taking_all_metadata_out_of_the_spec_takes_it_off_the_pods() -> None:
    """Argo Rollouts looks at nothing any more once nothing is configured, and leaves it there."""
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    with_pods(world)
    world.change_strategy(stable_metadata=None, canary_metadata=None)
    world.run_to_phase("Healthy")
    assert labels(world, "v1") == {}
    assert "role" not in world.pods[0].metadata.labels
    assert world.plan().writes_nothing


def test_changed_metadata_replaces_what_was_injected() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    with_pods(world)
    world.change_strategy(stable_metadata=PodTemplateMetadata(labels={"tier": "gold"}))
    world.run_to_phase("Healthy")
    pod_labels = world.pods[0].metadata.labels
    assert pod_labels["tier"] == "gold"
    assert "role" not in pod_labels


def test_the_pods_of_a_replica_set_without_any_are_not_asked_for() -> None:
    world = World(rollout(canary=MARKED, replicas=0))
    world.run_to_phase("Healthy")
    assert not plan_rollout(replace(world.snapshot(), pods=None), world.now).wants_pods


def test_pods_are_asked_for_when_metadata_is_configured() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    plan = plan_rollout(replace(world.snapshot(), pods=None), world.now)
    assert plan.wants_pods
    assert not list(plan.actions)


def test_pods_are_not_asked_for_without_metadata() -> None:
    world = World(rollout())
    world.run_to_phase("Healthy")
    assert not plan_rollout(replace(world.snapshot(), pods=None), world.now).wants_pods


@pytest.mark.parametrize("text", ["", "{", '["no"]'])
def test_a_record_that_cannot_be_read_says_that_nothing_was_injected(text: str) -> None:
    marked = replica_set(annotations={names.EPHEMERAL_METADATA_ANNOTATION: text}, age=timedelta(hours=1))
    assert injected_into(marked) is None


def test_the_record_is_the_json_that_other_controllers_read() -> None:
    world = World(rollout(canary=MARKED))
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.step()
    text = world.of_image("v2").metadata.annotations[names.EPHEMERAL_METADATA_ANNOTATION]
    assert text == '{"labels":{"role":"canary"},"annotations":{"watch":"closely"}}'
    assert msgspec.json.decode(text) == {"labels": {"role": "canary"}, "annotations": {"watch": "closely"}}
