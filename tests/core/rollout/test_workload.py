"""`spec.workloadRef`: the template, the generation, and what becomes of the Deployment's own pods."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.rollout.builders import (
    NAMESPACE,
    NOW,
    UID,
    World,
    hash_for,
    pause,
    pod,
    replace,
    replica_set,
    rollout,
    service,
    template,
    weight,
)

from prograde.api import names
from prograde.api.meta import NO_RAW, LabelSelector, ObjectMeta
from prograde.api.rollout import (
    BlueGreenStrategy,
    CanaryStrategy,
    RecreateStrategy,
    Rollout,
    RolloutStrategy,
    WorkloadRef,
)
from prograde.api.workloadref import Workload
from prograde.api.workloads import Deployment, DeploymentSpec, Pod, PodTemplate, ReplicaSet, ReplicaSetSpec
from prograde.core.objects import DEPLOYMENTS, ObjectRef
from prograde.core.plan import PatchRollout, ScaleWorkload, WaitReason
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.rollout.status import phase_and_message
from prograde.core.rollout.workload import resolve

SELECTOR = LabelSelector(match_labels={"app": "cart"})
DEPLOYMENT = WorkloadRef(api_version="apps/v1", kind="Deployment", name="web")
GENERATION = names.WORKLOAD_GENERATION_ANNOTATION


def deployment(image: str = "v1", *, size: int | None = 3, generation: int = 1, **marks: str) -> Deployment:
    annotations = {names.REPLACED_BY_ANNOTATION: marks.get("replaced_by", "")} if "replaced_by" in marks else {}
    if "before" in marks:
        annotations[names.REPLICAS_BEFORE_ANNOTATION] = marks["before"]
        annotations[names.SCALED_BY_ANNOTATION] = marks.get("scaled_by", UID)
    return Deployment(
        metadata=ObjectMeta(
            name="web", namespace=NAMESPACE, uid="uid-of-web", generation=generation, annotations=annotations
        ),
        spec=DeploymentSpec(replicas=size, selector=SELECTOR, template=template(image)),
    )


def referring(scale_down: str = "", reference: WorkloadRef = DEPLOYMENT, **arguments: Any) -> Rollout:
    """Return a Rollout without template and selector of its own."""
    return rollout(
        **{
            "workload_ref": replace(reference, scale_down=scale_down),
            "template": NO_RAW,
            "selector": None,
            **arguments,
        }
    )


def world(scale_down: str = "", found: Workload | None = None, **arguments: Any) -> World:
    made = World(referring(scale_down, **arguments))
    made.workload = found if found is not None else deployment()
    return made


def deployed(scale_down: str = "", **arguments: Any) -> World:
    made = world(scale_down, **arguments)
    made.run_to_phase(names.PHASE_HEALTHY)
    return made


def change(made: World, **changes: Any) -> None:
    """Change the Deployment as a user does; its generation rises."""
    old = made.workload
    assert isinstance(old, Deployment)
    metadata = replace(old.metadata, generation=old.metadata.generation + 1)
    made.workload = replace(old, metadata=metadata, spec=replace(old.spec, **changes))


def size(made: World) -> int | None:
    assert isinstance(made.workload, Deployment)
    return made.workload.spec.replicas


# ---- The template ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "workload"),
    [
        ("Deployment", deployment()),
        (
            "ReplicaSet",
            ReplicaSet(
                metadata=ObjectMeta(name="web", generation=1),
                spec=ReplicaSetSpec(selector=SELECTOR, template=template()),
            ),
        ),
    ],
)
def test_template_and_selector_are_those_of_the_workload(kind: str, workload: Workload) -> None:
    made = world(found=workload, workload_ref=replace(DEPLOYMENT, kind=kind))
    made.run_to_phase(names.PHASE_HEALTHY)
    new = made.of_image("v1")
    assert new.metadata.name == f"cart-{hash_for('v1')}"
    assert new.spec.selector is not None
    assert new.spec.selector.match_labels == {"app": "cart", names.POD_TEMPLATE_HASH_LABEL: hash_for("v1")}
    assert made.status.selector == "app=cart"
    assert made.rollout.spec.template is NO_RAW
    assert made.rollout.spec.selector is None


POD_TEMPLATE = WorkloadRef(api_version="v1", kind="PodTemplate", name="web")


def test_a_pod_template_needs_a_selector_in_the_rollout() -> None:
    found = PodTemplate(metadata=ObjectMeta(name="web", generation=4), template=template())
    made = world(found=found, workload_ref=POD_TEMPLATE, selector=SELECTOR)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.status.workload_observed_generation == "4"
    lacking = world(found=found, workload_ref=POD_TEMPLATE)
    lacking.step()
    assert lacking.status.phase == names.PHASE_DEGRADED
    assert not lacking.replica_sets


def test_a_selector_of_the_rollout_wins() -> None:
    own = LabelSelector(match_expressions=())
    made = world(selector=replace(own, match_labels={"app": "other"}))
    made.step()
    assert made.status.phase == names.PHASE_DEGRADED
    assert "`selector` does not match template `labels`" in made.status.message


def test_a_changed_template_is_a_new_revision() -> None:
    made = deployed()
    change(made, template=template("v2"))
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"
    assert made.rollout.metadata.annotations[names.REVISION_ANNOTATION] == "2"
    assert made.rollout.metadata.generation == 1


def test_a_changed_template_in_the_middle_starts_over() -> None:
    made = deployed(canary=CanaryStrategy(steps=(weight(34), pause())))
    change(made, template=template("v2"))
    made.run_to_phase(names.PHASE_PAUSED)
    assert made.status.current_step_index == 1
    change(made, template=template("v3"))
    made.step()
    made.step()
    assert made.status.current_step_index == 0
    assert made.status.current_pod_hash == hash_for("v3")


def test_an_other_change_of_the_workload_is_none() -> None:
    made = deployed()
    change(made, replicas=7)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3"


# ---- The generation --------------------------------------------------------------------------------------------------


def test_the_generation_of_the_workload_is_kept_and_observed() -> None:
    made = deployed()
    assert made.rollout.metadata.annotations[GENERATION] == "1"
    assert made.status.workload_observed_generation == "1"
    change(made, replicas=7)
    plan = made.step()
    assert [type(action) for action in plan.actions] == [PatchRollout]
    assert made.rollout.metadata.annotations[GENERATION] == "2"
    assert made.status.workload_observed_generation == "2"
    assert made.plan().writes_nothing


def test_a_changed_template_is_not_called_observed_because_a_changed_size_was_followed_first() -> None:
    made = deployed()
    made.change_spec(replicas=5)
    change(made, template=template("v2"))
    observed = []
    for _ in range(4):
        made.step()
        phase = phase_and_message(resolve(made.snapshot()), is_template_resolved=True)[0]
        observed.append((made.status.workload_observed_generation, phase))
    assert list(dict.fromkeys(observed)) == [("1", "Progressing"), ("2", "Progressing")]
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/5"


def test_revision_and_generation_are_one_write() -> None:
    made = deployed()
    change(made, template=template("v2"))
    plan = made.step()
    patches = [action for action in plan.actions if isinstance(action, PatchRollout)]
    assert [dict(patch.annotations) for patch in patches] == [{GENERATION: "2", names.REVISION_ANNOTATION: "2"}]


def test_replica_sets_do_not_carry_the_generation() -> None:
    made = deployed()
    change(made, replicas=7)
    made.run()
    assert GENERATION not in made.of_image("v1").metadata.annotations
    assert names.REVISION_HISTORY_ANNOTATION not in made.of_image("v1").metadata.annotations


def test_without_the_reference_both_are_gone_and_nothing_is_redeployed() -> None:
    made = deployed()
    made.change_spec(workload_ref=None, template=template(), selector=SELECTOR)
    made.workload = None
    made.run_to_phase(names.PHASE_HEALTHY)
    assert GENERATION not in made.rollout.metadata.annotations
    assert made.status.workload_observed_generation == ""
    assert made.shape() == "3"
    assert made.revision("v1") == 1
    assert made.plan().writes_nothing


# ---- Nothing to fill in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "error", "message"),
    [
        (referring(), "", 'deployments.apps "shop/web" not found'),
        (
            referring(workload_ref=replace(DEPLOYMENT, kind="ReplicaSet")),
            "",
            'replicasets.apps "shop/web" not found',
        ),
        (referring(workload_ref=POD_TEMPLATE), "", 'podtemplates "shop/web" not found'),
        (
            referring(workload_ref=replace(DEPLOYMENT, kind="StatefulSet")),
            "",
            "workload of type apps/StatefulSet is not supported",
        ),
        (
            referring(),
            "failed to sync informer for apps/v1, Kind=Deployment",
            "failed to sync informer for apps/v1, Kind=Deployment",
        ),
        (referring(template=template()), "", "template must be empty for workload reference rollout"),
    ],
)
def test_a_rollout_that_cannot_be_resolved_is_frozen_and_says_why(subject: Rollout, error: str, message: str) -> None:
    own = replica_set(size=3)
    orphan = replica_set("v0", owners=())
    snapshot = RolloutSnapshot(rollout=subject, replica_sets=(own, orphan), workload_error=error)
    plan = plan_rollout(snapshot, NOW)
    assert plan.groups == ()
    assert plan.status is not None
    whole = f'The Rollout "cart" is invalid: {message}'
    (invalid,) = plan.status.conditions
    assert (invalid.type, invalid.status, invalid.message) == (names.CONDITION_INVALID_SPEC, "True", whole)
    assert (plan.status.phase, plan.status.message) == (names.PHASE_DEGRADED, f"InvalidSpec: {whole}")
    assert plan.requeue_at == NOW + timedelta(seconds=20)
    assert plan.error == ""
    (wait,) = plan.waits
    assert subject.spec.workload_ref is not None
    assert (wait.reason, wait.field) == (WaitReason.WORKLOAD, "spec.workloadRef")
    assert wait.object == f"{subject.spec.workload_ref.kind} web"
    assert wait.remedy.startswith("create the workload, or change the reference")
    again = plan_rollout(replace(snapshot, rollout=replace(subject, status=plan.status)), NOW)
    assert again.writes_nothing


def test_the_condition_goes_when_the_workload_is_there() -> None:
    made = world()
    found, made.workload = made.workload, None
    made.step()
    assert made.condition(names.CONDITION_INVALID_SPEC) is not None
    made.workload = found
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.condition(names.CONDITION_INVALID_SPEC) is None


def test_what_is_wrong_with_a_workloads_template_is_observed_too() -> None:
    made = deployed()
    change(made, template=template("v2", restartPolicy="Never"))
    plan = made.step()
    assert made.status.phase == names.PHASE_DEGRADED
    assert [type(action) for action in plan.actions] == [PatchRollout]
    assert made.rollout.metadata.annotations[GENERATION] == "2"
    assert made.status.workload_observed_generation == "2"
    assert made.plan().writes_nothing


def test_a_workload_that_vanishes_costs_no_replica_set_its_owner() -> None:
    made = deployed()
    made.workload = None
    made.run()
    assert made.shape() == "3"
    assert made.of_image("v1").metadata.owner_references
    assert made.status.phase == names.PHASE_DEGRADED


def test_a_template_without_labels_counts_as_empty() -> None:
    made = world(template=msgspec.Raw(b'{"spec":{"containers":[]}}'))
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3"


# ---- What becomes of the Deployment ----------------------------------------------------------------------------------


def scalings(made: World) -> list[ScaleWorkload]:
    return [action for plan in made.plans for action in plan.actions if isinstance(action, ScaleWorkload)]


@pytest.mark.parametrize("scale_down", ["", "never", "Onsuccess", "whatever"])
def test_by_default_it_is_left_alone(scale_down: str) -> None:
    made = deployed(scale_down)
    assert scalings(made) == []
    assert size(made) == 3


def test_on_success_it_goes_to_0_when_the_rollout_is_healthy() -> None:
    made = world("onsuccess")
    made.run(each=lambda: check_capacity(made))
    assert scalings(made) == [
        ScaleWorkload(
            ref=ObjectRef(DEPLOYMENTS, NAMESPACE, "web"),
            uid="uid-of-web",
            replicas=0,
            annotations={
                names.REPLACED_BY_ANNOTATION: UID,
                names.SCALED_BY_ANNOTATION: UID,
                names.REPLICAS_BEFORE_ANNOTATION: "3",
            },
            events=scalings(made)[0].events,
        )
    ]
    (event,) = scalings(made)[0].events
    assert (event.reason, event.message) == ("ScalingDeployment", "Scaled down Deployment web from 3 to 0")


def check_capacity(made: World) -> None:
    available = sum(each.status.available_replicas for each in made.replica_sets.values())
    assert (size(made) or 0) + available >= 3


def progressing(available: int, *, found: Deployment, replicas: int = 5, **arguments: Any) -> World:
    """Return a first deployment under way with so many available pods."""
    made = world("progressively", found, replicas=replicas, **arguments)
    made.step()
    new = made.of_image("v1")
    made.step()
    made.replica_sets[new.metadata.name] = replica_set(
        "v1", size=replicas, available=available, desired=replicas, age=timedelta(0)
    )
    made.step()
    return made


@pytest.mark.parametrize(
    ("available", "found", "expected"),
    [
        pytest.param(3, deployment(size=5), 2, id="ready 3 of 5"),
        pytest.param(1, deployment(size=0, before="5"), 4, id="back up when pods are lost"),
        pytest.param(5, deployment(size=5), 0, id="all there"),
        pytest.param(4, deployment(size=1, before="5"), 1, id="already right"),
        pytest.param(0, deployment(size=5), 5, id="nothing is there yet"),
        pytest.param(0, deployment(size=9), 9, id="nothing is there yet, and the Deployment is larger"),
        pytest.param(1, deployment(size=9), 4, id="larger than the Rollout"),
        pytest.param(1, deployment(size=2), 2, id="smaller than the Rollout: never made larger than it was"),
        pytest.param(4, deployment(size=2), 1, id="smaller than the Rollout, and most are there"),
        pytest.param(1, deployment(size=0), 0, id="never had pods"),
        pytest.param(1, deployment(size=0, before="5", scaled_by="another"), 0, id="taken by somebody else"),
        pytest.param(4, deployment(size=3, before="5", scaled_by="another"), 1, id="somebody else goes on"),
        pytest.param(0, deployment(size=1, before="5"), 5, id="all lost"),
        pytest.param(3, deployment(size=1, before="x"), 1, id="an unreadable number says nothing"),
        pytest.param(2, deployment(size=None), 1, id="one pod, which is not written"),
    ],
)
def test_progressively_it_has_what_the_rollout_lacks(available: int, found: Deployment, expected: int) -> None:
    made = progressing(available, found=found)
    assert (size(made) if size(made) is not None else 1) == expected


def test_progressively_the_number_it_had_is_remembered() -> None:
    made = progressing(3, found=deployment(size=5))
    assert isinstance(made.workload, Deployment)
    assert made.workload.metadata.annotations == {
        names.REPLICAS_BEFORE_ANNOTATION: "5",
        names.SCALED_BY_ANNOTATION: UID,
    }
    (event,) = scalings(made)[-1].events
    assert event.message == "Scaled down Deployment web from 5 to 2"


def test_progressively_pods_that_this_very_plan_takes_away_do_not_count() -> None:
    canary = CanaryStrategy(max_surge=0, max_unavailable=1)
    made = progressing(4, found=deployment(size=1, before="5"), canary=canary)
    ready = replica_set("v1", size=5, desired=5, age=timedelta(0))
    made.replica_sets[ready.metadata.name] = ready
    change(made, template=template("v2"))
    while made.shape() != "4/0":
        made.step()
    # All five were available, and one of them has just been given up for the new revision.
    assert size(made) == 1


def test_progressively_pods_of_all_revisions_count() -> None:
    made = progressing(1, found=deployment(size=4, before="5"))
    change(made, template=template("v2"))
    made.run()
    assert size(made) == 0
    assert made.status.phase == names.PHASE_HEALTHY


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_a_failed_first_revision_does_not_keep_it_for_ever(scale_down: str) -> None:
    made = world(scale_down)
    made.broken_images.add("v1")
    made.run()
    made.tick(601)
    made.run_to_phase(names.PHASE_DEGRADED)
    assert size(made) == 3
    change(made, template=template("v2"))
    made.run(each=lambda: check_capacity(made))
    assert made.status.phase == names.PHASE_HEALTHY
    assert made.rollout.metadata.annotations[names.REVISION_ANNOTATION] == "2"
    assert size(made) == 0


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_the_move_happens_once(scale_down: str) -> None:
    made = deployed(scale_down)
    assert size(made) == 0
    # Somebody goes back.
    change(made, replicas=3)
    made.broken_images.add("v1")
    made.run()
    made.broken_images.clear()
    made.run_to_phase(names.PHASE_HEALTHY)
    change(made, template=template("v2"))
    made.run_to_phase(names.PHASE_HEALTHY)
    assert size(made) == 3


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_it_is_marked_even_if_it_has_no_pods_to_give(scale_down: str) -> None:
    made = world(scale_down, deployment(size=0))
    made.run_to_phase(names.PHASE_HEALTHY)
    (scaling,) = scalings(made)
    assert (scaling.replicas, scaling.events) == (0, ())
    change(made, replicas=3)
    made.run()
    assert size(made) == 3


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_the_mark_of_another_rollout_says_nothing(scale_down: str) -> None:
    made = world(scale_down, deployment(replaced_by="uid-of-one-long-gone", before="3"))
    made.run_to_phase(names.PHASE_HEALTHY)
    assert size(made) == 0


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_rollouts_with_the_same_deployment_come_to_rest(scale_down: str) -> None:
    both = [world(scale_down), world(scale_down)]
    both[1].rollout = replace(both[1].rollout, metadata=replace(both[1].rollout.metadata, uid="another"))
    shared, writes = deployment(size=3), 0
    for turn in range(60):
        made = both[turn % 2]
        made.workload = shared
        made.step()
        if turn % 3 == 0:
            made.settle_pods()
        assert isinstance(made.workload, Deployment)
        writes += made.workload is not shared
        shared = made.workload
    assert [each.status.phase for each in both] == [names.PHASE_HEALTHY] * 2
    assert shared.spec.replicas == 0
    assert set(shared.metadata.annotations[names.REPLACED_BY_ANNOTATION].split(",")) == {UID, "another"}
    assert writes <= 5


def test_a_deployment_remembers_the_last_few_rollouts() -> None:
    made = world("onsuccess", deployment(replaced_by=",".join(f"uid-{number}" for number in range(20))))
    made.run()
    assert isinstance(made.workload, Deployment)
    remembered = made.workload.metadata.annotations[names.REPLACED_BY_ANNOTATION].split(",")
    assert remembered == [*(f"uid-{number}" for number in range(13, 20)), UID]


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_a_rollout_that_wants_no_pods_replaces_nothing(scale_down: str) -> None:
    made = world(scale_down, replicas=0)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert size(made) == 3
    made.change_spec(replicas=3)
    made.run(each=lambda: check_capacity(made))
    assert size(made) == 0


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_a_pause_an_abort_and_a_missed_deadline_are_no_success(scale_down: str) -> None:
    made = world(scale_down)
    made.broken_images.add("v1")
    made.run()
    made.tick(601)
    made.run_to_phase(names.PHASE_DEGRADED)
    made.change_spec(paused=True)
    made.run()
    assert size(made) == 3


@pytest.mark.parametrize("kind", ["ReplicaSet", "PodTemplate"])
@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_only_deployments_are_scaled(kind: str, scale_down: str) -> None:
    found: Workload = PodTemplate(metadata=ObjectMeta(name="web"), template=template())
    if kind == "ReplicaSet":
        found = ReplicaSet(
            metadata=ObjectMeta(name="web"),
            spec=ReplicaSetSpec(replicas=3, selector=SELECTOR, template=template()),
        )
    reference = WorkloadRef(
        api_version="apps/v1" if kind == "ReplicaSet" else "v1", kind=kind, name="web", scale_down=scale_down
    )
    made = world(found=found, workload_ref=reference, selector=SELECTOR)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert scalings(made) == []


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_blue_green_moves_as_well(scale_down: str) -> None:
    made = World(
        referring(scale_down, blue_green=BlueGreenStrategy(active_service="active")), services=[service("active")]
    )
    made.workload = deployment()
    made.run(each=lambda: check_capacity(made))
    assert made.status.phase == names.PHASE_HEALTHY
    assert made.selected("active") == hash_for("v1")
    assert size(made) == 0


def test_the_deployment_is_scaled_last_of_all() -> None:
    made = world("onsuccess")
    made.run()
    plan = next(plan for plan in made.plans if any(isinstance(action, ScaleWorkload) for action in plan.actions))
    assert [type(action) for action in plan.groups[-1]] == [ScaleWorkload]
    assert plan.status is not None
    assert plan.status.phase == names.PHASE_HEALTHY


# ---- With Recreate ---------------------------------------------------------------------------------------------------

RECREATE = RolloutStrategy(recreate=RecreateStrategy())


def pod_of_deployment(name: str = "web-abc-1") -> Pod:
    parent = replica_set("v1", owners=())
    metadata = replace(parent.metadata, name="web-abc", uid="uid-of-web-abc", labels={"app": "cart"})
    return pod(name, replace(parent, metadata=metadata), labels={"pod-template-hash": "abc"})


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
def test_with_recreate_the_deployment_goes_before_the_first_pod_comes(scale_down: str) -> None:
    made = world(scale_down, strategy=RECREATE)
    made.pods = [pod_of_deployment()]
    made.run()
    assert size(made) == 0
    assert made.shape() == "0"
    wait = made.plans[-1].waits[0]
    assert (wait.reason, wait.object) == (WaitReason.PODS_TERMINATING, "Pod web-abc-1")
    assert wait.message.startswith("pod web-abc-1 of another version is not gone yet; ReplicaSet cart-")
    made.pods = []
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3"
    change(made, replicas=3)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert size(made) == 3


def test_with_recreate_and_a_deployment_that_stays_the_rollout_waits_for_a_person() -> None:
    made = world("never", strategy=RECREATE)
    made.run()
    assert (size(made), made.shape()) == (3, "0")
    wait = made.plans[-1].waits[0]
    assert (wait.reason, wait.object) == (WaitReason.WORKLOAD, "Deployment web")
    assert wait.remedy == "kubectl scale deployment web --replicas=0"
    change(made, replicas=0)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "3"


def test_with_recreate_a_deployment_that_was_scaled_up_again_holds_up_the_next_version() -> None:
    made = deployed("onsuccess", strategy=RECREATE)
    change(made, replicas=1, template=template("v2"))
    made.run()
    assert (size(made), made.shape()) == (1, "0/0")
    assert made.plans[-1].waits[0].remedy == "kubectl scale deployment web --replicas=0"
    change(made, replicas=0)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert made.shape() == "0/3"


def test_with_recreate_a_paused_rollout_leaves_the_deployment_alone() -> None:
    made = world("onsuccess", strategy=RECREATE, paused=True)
    made.run()
    assert (size(made), made.shape()) == (3, "0")
    made.change_spec(paused=False)
    made.run_to_phase(names.PHASE_HEALTHY)
    assert size(made) == 0
