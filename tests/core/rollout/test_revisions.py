"""Numbers of revisions, what a Rollout gives its ReplicaSets, the history, and anti-affinity."""

from datetime import timedelta

import msgspec
import pytest
from tests.core.rollout.builders import (
    NOW,
    World,
    hash_for,
    pause,
    replace,
    replica_set,
    rollout,
    service,
    template,
    weight,
)

from prograde.api import names
from prograde.api.analysis import AnalysisRun, PodTemplateMetadata
from prograde.api.experiment import Experiment
from prograde.api.meta import ObjectMeta
from prograde.api.rollout import (
    AntiAffinity,
    BlueGreenStrategy,
    CanaryStrategy,
    PreferredAntiAffinity,
    RequiredAntiAffinity,
    RolloutStatus,
)
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import (
    CreateReplicaSet,
    DeleteAnalysisRun,
    DeleteExperiment,
    DeleteReplicaSet,
    PatchReplicaSet,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.revisions import claim


def idle(**options: object) -> World:
    world = World(rollout(**options))  # type: ignore[arg-type]
    world.run_to_phase("Healthy")
    world.events.clear()
    return world


# ---- Numbers ----------------------------------------------------------------------------------------------------


def test_a_template_that_returns_takes_the_next_number_and_keeps_its_old_ones() -> None:
    world = idle()
    for image in ("v2", "v1", "v2"):
        world.set_image(image)
        world.run_to_phase("Healthy")
    assert (world.revision("v1"), world.revision("v2")) == (3, 4)
    assert world.of_image("v1").metadata.annotations[names.REVISION_HISTORY_ANNOTATION] == "1"
    assert world.of_image("v2").metadata.annotations[names.REVISION_HISTORY_ANNOTATION] == "2"
    assert world.rollout.metadata.annotations[names.REVISION_ANNOTATION] == "4"
    updated = [each.message for each in world.events if each.reason == "RolloutUpdated"]
    assert updated == [f"Rollout updated to revision {number}" for number in (2, 3, 4)]


def test_a_number_never_goes_down_when_older_revisions_are_gone() -> None:
    world = idle()
    world.set_image("v2")
    world.run_to_phase("Healthy")
    del world.replica_sets[world.of_image("v1").metadata.name]
    assert world.plan().writes_nothing
    assert world.revision("v2") == 2


def test_a_number_that_cannot_be_read_is_left_alone() -> None:
    world = idle()
    marked = world.of_image("v1")
    annotations = {**marked.metadata.annotations, names.REVISION_ANNOTATION: "many"}
    world.replica_sets[marked.metadata.name] = replace(
        marked, metadata=replace(marked.metadata, annotations=annotations)
    )
    assert world.plan().writes_nothing


def test_a_replica_set_without_a_number_gets_the_next_one() -> None:
    older = replica_set("v1", revision=6, age=timedelta(hours=1))
    world = World(rollout(image="v2"), older, replica_set("v2", revision=None))
    world.step()
    assert world.revision("v2") == 7
    assert names.REVISION_HISTORY_ANNOTATION not in world.of_image("v2").metadata.annotations


def test_a_rollout_that_has_the_number_already_is_not_written_and_the_creation_is_still_announced() -> None:
    world = World(rollout(annotations={names.REVISION_ANNOTATION: "1"}))
    plan = world.plan()
    assert [type(each) for each in plan.actions] == [CreateReplicaSet]
    assert [each.reason for each in plan.all_events] == ["NewReplicaSetCreated"]


def test_a_replica_set_without_the_hash_label_is_none_of_ours() -> None:
    stranger = replica_set("v1", size=3)
    stranger = replace(stranger, metadata=replace(stranger.metadata, labels={"app": "cart"}))
    assert claim(rollout(), [stranger]).owned == ()


def test_a_rollout_that_lost_its_number_gets_it_back_from_the_replica_set() -> None:
    world = idle()
    world.rollout = replace(world.rollout, metadata=replace(world.rollout.metadata, annotations={}))
    world.step()
    assert world.rollout.metadata.annotations == {names.REVISION_ANNOTATION: "1"}
    assert world.plan().writes_nothing


def test_changed_annotations_of_the_rollout_are_copied_without_growing_the_history() -> None:
    """Argo Rollouts appends the unchanged revision to the history whenever an annotation is copied."""
    world = idle()
    annotations = {**world.rollout.metadata.annotations, "team": "a", names.NOTIFIED_ANNOTATION: "{}"}
    world.rollout = replace(world.rollout, metadata=replace(world.rollout.metadata, annotations=annotations))
    world.step()
    found = world.of_image("v1").metadata.annotations
    assert found["team"] == "a"
    assert names.NOTIFIED_ANNOTATION not in found
    assert names.REVISION_HISTORY_ANNOTATION not in found
    assert world.plan().writes_nothing


def test_an_annotation_that_was_taken_off_the_rollout_stays_on_the_replica_set() -> None:
    world = idle(annotations={"team": "a"})
    kept = {names.REVISION_ANNOTATION: "1"}
    world.rollout = replace(world.rollout, metadata=replace(world.rollout.metadata, annotations=kept))
    assert world.plan().writes_nothing
    assert world.of_image("v1").metadata.annotations["team"] == "a"


def test_min_ready_seconds_reaches_the_new_replica_set() -> None:
    world = idle()
    world.change_spec(min_ready_seconds=7)
    world.run_to_phase("Healthy")
    assert world.of_image("v1").spec.min_ready_seconds == 7


def test_all_that_is_decided_about_a_replica_set_is_one_patch() -> None:
    world = idle()
    world.change_spec(min_ready_seconds=7, replicas=5)
    (action,) = world.plan().actions
    assert isinstance(action, PatchReplicaSet)
    assert (action.replicas, action.min_ready_seconds) == (5, 7)
    assert action.annotations == {names.DESIRED_REPLICAS_ANNOTATION: "5"}


# ---- History ----------------------------------------------------------------------------------------------------


def with_history(*old: ReplicaSet, limit: int | None = None) -> World:
    return World(
        rollout(
            image="now",
            revision_history_limit=limit,
            status=RolloutStatus(
                stable_rs=hash_for("now"), current_pod_hash=hash_for("now"), current_step_hash="5ffbfbbd64"
            ),
        ),
        *old,
        replica_set("now", size=3, revision=99, age=timedelta(minutes=1)),
    )


def old(number: int, **options: object) -> ReplicaSet:
    """Return an old ReplicaSet; a lower number is older."""
    return replica_set(f"v{number}", revision=number, age=timedelta(hours=100 - number), **options)  # type: ignore[arg-type]


def deleted(world: World) -> list[str]:
    return [each.name for each in world.plan().actions if isinstance(each, DeleteReplicaSet)]


@pytest.mark.parametrize(
    ("limit", "count", "expected"),
    [(None, 10, []), (None, 11, [1]), (2, 4, [1, 2]), (0, 2, [1, 2]), (5, 5, [])],
)
def test_the_oldest_beyond_the_limit_are_deleted(limit: int | None, count: int, expected: list[int]) -> None:
    world = with_history(*(old(number) for number in range(1, count + 1)), limit=limit)
    assert deleted(world) == [f"cart-{hash_for(f'v{number}')}" for number in expected]


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param({"actual": 1}, id="pods left"),
        pytest.param({"size": 1}, id="wants pods"),
    ],
)
def test_one_that_still_has_pods_stays_and_no_younger_one_goes_instead(busy: dict[str, object]) -> None:
    world = with_history(old(1, **busy), old(2), old(3), limit=2)
    assert deleted(world) == []


def test_one_whose_change_has_not_been_observed_stays() -> None:
    unobserved = old(1)
    unobserved = replace(unobserved, metadata=replace(unobserved.metadata, generation=2))
    assert deleted(with_history(unobserved, old(2), limit=1)) == []


def test_one_that_is_being_deleted_does_not_count() -> None:
    assert deleted(with_history(old(1, deleting=True), old(2), limit=1)) == []


def run_of(image: str, name: str, *, phase: str = "Successful", age: int = 1) -> AnalysisRun:
    labels = {names.POD_TEMPLATE_HASH_LABEL: hash_for(image)} if image else {}
    metadata = ObjectMeta(name=name, uid=name, labels=labels, creation_timestamp=NOW - timedelta(minutes=age))
    run = AnalysisRun(metadata=metadata)
    return replace(run, status=replace(run.status, phase=phase))


def test_the_runs_and_experiments_of_a_deleted_revision_go_with_it() -> None:
    world = with_history(old(1), old(2), limit=1)
    world.analysis_runs = [run_of("v1", "gone"), run_of("v2", "kept")]
    labels = {names.POD_TEMPLATE_HASH_LABEL: hash_for("v1")}
    experiment = Experiment(metadata=ObjectMeta(name="tried", uid="tried", labels=labels))
    world.experiments = [replace(experiment, status=replace(experiment.status, phase="Failed"))]
    actions = list(world.plan().actions)
    assert actions.count(DeleteExperiment(name="tried", uid="tried")) == 1
    assert DeleteAnalysisRun(name="gone", uid="gone") in actions
    assert DeleteExperiment(name="tried", uid="tried") in actions
    assert DeleteAnalysisRun(name="kept", uid="kept") not in actions


def test_runs_beyond_the_limits_go_and_unfinished_ones_are_stopped() -> None:
    world = with_history()
    world.analysis_runs = [
        *(run_of("now", f"good-{number}", age=number) for number in range(7)),
        *(run_of("now", f"bad-{number}", phase="Failed", age=number) for number in range(6)),
        run_of("now", "running", phase="Running", age=500),
        run_of("", "unlabelled"),
        run_of("never", "of no revision"),
    ]
    world.step()
    left = {each.metadata.name for each in world.analysis_runs}
    assert left == {f"good-{number}" for number in range(5)} | {f"bad-{number}" for number in range(5)} | {"running"}
    assert TerminateAnalysisRun(name="running") in world.plans[-1].actions
    assert all(each.spec.terminate for each in world.analysis_runs if each.metadata.name == "running")


def test_experiments_that_nobody_waits_for_are_stopped_and_those_being_deleted_are_left_alone() -> None:
    world = with_history()
    labels = {names.POD_TEMPLATE_HASH_LABEL: hash_for("now")}
    running = Experiment(metadata=ObjectMeta(name="running", uid="running", labels=labels))
    leaving = Experiment(metadata=ObjectMeta(name="leaving", uid="leaving", deletion_timestamp=NOW))
    world.experiments = [
        replace(running, status=replace(running.status, phase="Running")),
        replace(leaving, status=replace(leaving.status, phase="Successful")),
    ]
    actions = list(world.plan().actions)
    assert TerminateExperiment(name="running") in actions
    assert not any(isinstance(each, DeleteExperiment) for each in actions)


# ---- Anti-affinity ----------------------------------------------------------------------------------------------

REQUIRED = AntiAffinity(required_during_scheduling_ignored_during_execution=RequiredAntiAffinity())
PREFERRED = AntiAffinity(preferred_during_scheduling_ignored_during_execution=PreferredAntiAffinity(weight=7))


def term(pod_hash: str) -> dict[str, object]:
    return {
        "labelSelector": {
            "matchExpressions": [{"key": names.POD_TEMPLATE_HASH_LABEL, "operator": "In", "values": [pod_hash]}]
        },
        "namespaces": ["shop"],
        "topologyKey": "kubernetes.io/hostname",
    }


def affinity_of(world: World, image: str) -> object:
    return msgspec.json.decode(world.of_image(image).spec.template)["spec"].get("affinity")


def test_a_first_revision_gets_no_term() -> None:
    world = idle(canary=CanaryStrategy(anti_affinity=REQUIRED))
    assert affinity_of(world, "v1") is None


WEIGHTED = {"weight": 7, "podAffinityTerm": term(hash_for("v1"))}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (REQUIRED, {"requiredDuringSchedulingIgnoredDuringExecution": [term(hash_for("v1"))]}),
        (PREFERRED, {"preferredDuringSchedulingIgnoredDuringExecution": [WEIGHTED]}),
    ],
    ids=["required", "preferred"],
)
def test_a_new_revision_keeps_away_from_the_stable_one_and_stays_so(wanted: AntiAffinity, expected: object) -> None:
    world = idle(canary=CanaryStrategy(anti_affinity=wanted))
    world.set_image("v2")
    world.step()
    assert affinity_of(world, "v2") == {"podAntiAffinity": expected}
    world.run_to_phase("Healthy")
    assert affinity_of(world, "v2") == {"podAntiAffinity": expected}, "promotion must not restart pods"
    assert len(world.replica_sets) == 2


def test_the_term_follows_the_stable_revision() -> None:
    world = idle(canary=CanaryStrategy(anti_affinity=REQUIRED, steps=(weight(50), pause())))
    world.set_image("v2")
    world.run_to_phase("Paused")
    new = world.of_image("v2")
    stale = msgspec.json.decode(new.spec.template)
    stale["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [
        term("gone"),
        {"topologyKey": "zone"},
    ]
    spec = replace(new.spec, template=msgspec.Raw(msgspec.json.encode(stale)))
    world.replica_sets[new.metadata.name] = replace(new, spec=spec)
    world.step()
    assert affinity_of(world, "v2") == {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}, term(hash_for("v1"))]
        }
    }
    assert world.plan().writes_nothing


def test_a_change_from_required_to_preferred_alone_leaves_running_pods_as_they_are() -> None:
    world = idle(canary=CanaryStrategy(anti_affinity=REQUIRED, steps=(weight(50), pause())))
    world.set_image("v2")
    world.run_to_phase("Paused")
    before = affinity_of(world, "v2")
    world.change_strategy(anti_affinity=PREFERRED)
    world.run_to_phase("Paused")
    assert affinity_of(world, "v2") == before
    assert template("v2") == world.rollout.spec.template


def test_blue_green_keeps_its_revisions_apart_as_well() -> None:
    strategy = BlueGreenStrategy(active_service="active", anti_affinity=REQUIRED)
    world = World(rollout(blue_green=strategy), services=[service("active")])
    world.run_to_phase("Healthy")
    world.set_image("v2")
    world.step()
    assert affinity_of(world, "v2") == {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(hash_for("v1"))]}
    }


def test_what_was_injected_under_another_hash_is_no_difference() -> None:
    """A ReplicaSet of a controller that hashes otherwise, with its anti-affinity and its canary labels in it."""
    metadata = PodTemplateMetadata(labels={"role": "canary"})
    canary = CanaryStrategy(anti_affinity=REQUIRED, canary_metadata=metadata, steps=(weight(50), pause()))
    world = idle(canary=canary)
    world.set_image("v2")
    world.run_to_phase("Paused")
    foreign = world.replica_sets.pop(world.of_image("v2").metadata.name)
    labels = {**foreign.metadata.labels, names.POD_TEMPLATE_HASH_LABEL: "otherhash"}
    written = bytes(foreign.spec.template).replace(hash_for("v2").encode(), b"otherhash")
    assert b"canary" in written
    assert b"podAntiAffinity" in written
    renamed = replace(foreign.metadata, name="cart-otherhash", labels=labels)
    world.replica_sets["cart-otherhash"] = replace(
        foreign, metadata=renamed, spec=replace(foreign.spec, template=msgspec.Raw(written))
    )
    world.change_status(current_pod_hash="otherhash")
    world.run_to_phase("Paused")
    assert set(world.replica_sets) == {world.of_image("v1").metadata.name, "cart-otherhash"}
    assert world.status.current_pod_hash == "otherhash"
    assert world.status.current_step_index == 1
