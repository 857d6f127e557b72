"""ReplicaSets of templates: how they are made, sized, judged and cleared up."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.experiment.builders import (
    NAME,
    NAMESPACE,
    NOW,
    OWNER,
    after,
    ago,
    done,
    entry,
    experiment,
    look,
    pods,
    replace,
    replica_set,
    service,
    state,
    status_of,
    template,
    told,
)

from prograde.api.experiment import ExperimentStatus
from prograde.api.meta import LabelSelector
from prograde.api.podtemplate import pod_template_hash
from prograde.core.experiment.snapshot import Refusal
from prograde.core.plan import Action, CreateReplicaSet, DeleteReplicaSet, PatchReplicaSet, WaitReason

RS = f"{NAME}-a"


def refused(action: Action, message: str = "no", **members: Any) -> tuple[Refusal, ...]:
    return (Refusal(action=action, message=message, **members),)


CREATE = CreateReplicaSet(name=RS, manifest={})
SCALE = PatchReplicaSet(name=RS, resource_version="7")


# ---- Creating --------------------------------------------------------------------------------------------------------


def test_a_new_experiment_creates_a_replica_set_without_pods_for_each_template():
    new = replace(experiment(template("a"), template("b")), status=ExperimentStatus())
    plan = look(new)
    assert done(plan) == [("CreateReplicaSet", f"{NAME}-a"), ("CreateReplicaSet", f"{NAME}-b")]
    status = status_of(plan, new)
    assert status.phase == "Pending"
    assert [(each.name, each.status, each.last_transition_time) for each in status.template_statuses] == [
        ("a", "Progressing", NOW),
        ("b", "Progressing", NOW),
    ]
    assert told(plan) == [
        ("Normal", "TemplateProgressing", "Template 'a' transitioned from  -> Progressing"),
        ("Normal", "TemplateProgressing", "Template 'b' transitioned from  -> Progressing"),
        ("Normal", "ExperimentPending", "Experiment transitioned from  -> Pending"),
    ]
    (condition,) = status.conditions
    assert (condition.type, condition.status, condition.reason) == ("Progressing", "True", "ReplicaSetUpdated")
    assert condition.message == f'Experiment "{NAME}" is progressing.'


def test_a_replica_set_is_the_templates_under_a_hash_of_its_own():
    inherited = pods("a", **{"rollouts-pod-template-hash": "of-the-rollout", "role": "new"})
    selector = LabelSelector(match_labels={"app": "a", "rollouts-pod-template-hash": "of-the-rollout"})
    one = experiment(template("a", replicas=3, min_ready_seconds=9, template=inherited, selector=selector))
    (create,) = look(one).actions
    assert isinstance(create, CreateReplicaSet)
    pod_hash = pod_template_hash(pods("a", role="new"))
    labels = {"app": "a", "role": "new", "rollouts-pod-template-hash": pod_hash}
    template_of: Any = msgspec.json.decode(pods("a", role="new"))
    template_of["metadata"]["labels"] = labels
    assert msgspec.to_builtins(create.manifest) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": RS,
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": {"experiment.argoproj.io/name": NAME, "experiment.argoproj.io/template-name": "a"},
            "ownerReferences": [msgspec.to_builtins(OWNER)],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": 9,
            "selector": {"matchLabels": {"app": "a", "rollouts-pod-template-hash": pod_hash}},
            "template": template_of,
        },
    }


def test_equal_templates_have_equal_hashes_and_the_collision_count_tells_them_apart():
    same = experiment(template("a", template=pods("x")), template("b", template=pods("x")))
    hashes = [each.manifest["metadata"]["labels"]["rollouts-pod-template-hash"] for each in look(same).actions]
    assert hashes[0] == hashes[1] == pod_template_hash(pods("x"))
    counted = experiment(status=state(entry(collision_count=1), phase="Pending", available_ago=None))
    (create,) = look(counted).actions
    assert create.manifest["metadata"]["labels"]["rollouts-pod-template-hash"] == pod_template_hash(pods("a"), 1)


def test_only_the_replica_set_that_is_missing_is_created():
    two = experiment(template("a"), template("b"))
    assert done(look(two, replica_set(two, "a", size=1))) == [("CreateReplicaSet", f"{NAME}-b")]


@pytest.mark.parametrize(
    "changes",
    [
        {"owner_references": (replace(OWNER, uid="other"),)},
        {"owner_references": ()},
        {"annotations": {"experiment.argoproj.io/name": NAME}},
        {"annotations": {"experiment.argoproj.io/name": "x", "experiment.argoproj.io/template-name": "a"}},
    ],
)
def test_a_replica_set_of_others_is_not_taken(changes):
    one = experiment()
    found = replica_set(one)
    foreign = replace(found, metadata=replace(found.metadata, **changes))
    assert done(look(one, foreign)) == [("CreateReplicaSet", RS)]


def test_two_replica_sets_of_one_template_are_an_error_unless_the_spec_does_not_name_it():
    one = experiment()
    first = replica_set(one)
    second = replace(first, metadata=replace(first.metadata, name="other"))
    plan = look(one, first, second)
    assert plan.error == "multiple ReplicaSets match single experiment template: a"
    assert (done(plan), plan.status) == ([], None)
    left = experiment(template("b"))
    assert look(left, first, second, replica_set(left, "b")).error == ""


def test_one_that_exists_already_and_is_ours_is_taken():
    one = experiment()
    plan = look(one, refusals=refused(CREATE, existing=replica_set(one, size=0)))
    assert done(plan) == []
    (found,) = status_of(plan, one).template_statuses
    assert (found.status, found.last_transition_time) == ("Progressing", NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda each: replace(each, spec=replace(each.spec, template=pods("other"))),
        lambda each: replace(
            each, metadata=replace(each.metadata, owner_references=(replace(OWNER, uid="x", name="other"),))
        ),
        lambda each: replace(each, metadata=replace(each.metadata, owner_references=())),
        lambda each: replace(each, metadata=replace(each.metadata, annotations={"experiment.argoproj.io/name": NAME})),
    ],
    ids=["another template", "another owner", "no owner", "another template name"],
)
def test_a_name_that_is_taken_is_an_error(change):
    one = experiment()
    plan = look(one, refusals=refused(CREATE, existing=change(replica_set(one))))
    status = status_of(plan, one)
    message = f"ReplicaSet '{RS}' already exists and is not owned by experiment template a"
    assert [(each.status, each.message) for each in status.template_statuses] == [("Error", message)]
    assert (status.phase, status.message) == ("Error", message)


@pytest.mark.parametrize(
    "change",
    [
        {"owner_references": (replace(OWNER, uid="of-the-one-before"),)},
        {"owner_references": (), "deletion_timestamp": NOW},
    ],
)
def test_a_name_that_is_about_to_be_given_up_is_waited_for(change):
    one = experiment()
    found = replica_set(one)
    held = replace(found, metadata=replace(found.metadata, **change))
    plan = look(one, refusals=refused(CREATE, existing=held))
    (template_status,) = status_of(plan, one).template_statuses
    assert (template_status.status, plan.requeue_at) == ("Progressing", after(1))


def test_a_refusal_ends_the_experiment_and_is_not_asked_for_again():
    one = experiment()
    plan = look(one, refusals=refused(CREATE, "quota exceeded"))
    message = "Failed to create ReplicaSet for template 'a': quota exceeded"
    assert told(plan) == [
        ("Warning", "ReplicaSetCreateError", f'Failed to create new replica set "{RS}": quota exceeded'),
        ("Warning", "TemplateError", f"Template 'a' transitioned from  -> Error: {message}"),
        ("Warning", "ExperimentError", "Experiment transitioned from Pending -> Error"),
    ]
    after_it = replace(one, status=plan.status)
    assert look(after_it).writes_nothing


def test_the_second_refusal_does_not_keep_the_first_template_from_being_scaled_down_in_the_next_pass():
    two = experiment(template("a"), template("b"), scale_down_delay_seconds=0)
    refusals = refused(CreateReplicaSet(name=f"{NAME}-b", manifest={}))
    plan = look(two, replica_set(two, "a", size=1), refusals=refusals)
    assert [each.status for each in plan.status.template_statuses] == ["Running", "Error"]
    next_one = replace(two, status=plan.status)
    plan = look(next_one, replica_set(two, "a", size=1))
    assert [each.replicas for each in plan.actions] == [0]
    assert [each.status for each in status_of(plan, next_one).template_statuses] == ["Successful", "Error"]


def test_nothing_is_done_about_an_experiment_that_is_being_deleted():
    one = experiment()
    assert look(replace(one, metadata=replace(one.metadata, deletion_timestamp=NOW))).writes_nothing


def test_a_replica_set_that_somebody_deleted_comes_back_without_pods_when_all_is_over():
    one = experiment(status=state(entry(status="Successful", available=0), phase="Successful"))
    plan = look(one)
    assert done(plan) == [("CreateReplicaSet", RS)]
    after_it = replace(one, status=status_of(plan, one))
    assert done(look(after_it, replica_set(one, size=0))) == []


# ---- Sizing ----------------------------------------------------------------------------------------------------------


def test_a_replica_set_is_sized_once_it_is_there():
    one = experiment(template(replicas=3))
    plan = look(one, replica_set(one, size=0))
    (patch,) = plan.actions
    assert patch.merge_patch() == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}}
    assert told(plan)[0] == ("Normal", "ScalingReplicaSet", f"Scaled up ReplicaSet {RS} from 0 to 3")
    assert plan.status.template_statuses[0].last_transition_time == NOW


def test_a_change_of_replicas_is_followed_while_it_runs():
    one = experiment(template(replicas=1), status=state(entry(available=3)))
    plan = look(one, replica_set(one, size=3))
    assert [each.replicas for each in plan.actions] == [1]
    assert told(plan)[0][2] == f"Scaled down ReplicaSet {RS} from 3 to 1"


def over(**members: Any) -> Any:
    return experiment(template(replicas=2), status=state(entry(status="Successful", available=2)), **members)


@pytest.mark.parametrize(
    ("delay", "deadline", "size", "annotations", "target", "requeue"),
    [
        (None, "", 2, {"scale-down-deadline": "2026-03-04T05:06:37Z"}, None, after(30)),
        (5, "", 2, {"scale-down-deadline": "2026-03-04T05:06:12Z"}, None, after(5)),
        (None, "2026-03-04T05:06:20Z", 2, None, None, after(13)),
        (None, "2026-03-04T05:06:20Z", 5, {}, 2, after(13)),
        (None, "2026-03-04T05:06:07Z", 2, {}, 0, None),
        (None, "2026-03-04T05:06:00Z", 2, {}, 0, None),
        (None, "soon", 2, {}, 0, None),
        (0, "2027-03-04T05:06:20Z", 2, {"scale-down-deadline": None}, 0, None),
        (0, "", 2, {}, 0, None),
        (None, "2026-03-04T05:06:20Z", 0, None, None, None),
        (0, "2026-03-04T05:06:20Z", 0, None, None, None),
    ],
    ids=[
        "the delay begins",
        "of its own length",
        "it goes on",
        "the size is held",
        "it is over now",
        "it was over",
        "unreadable",
        "no delay after all",
        "no delay",
        "no pods",
        "no pods, no delay",
    ],
)
def test_pods_that_are_not_wanted_any_more_stay_for_the_delay(delay, deadline, size, annotations, target, requeue):
    one = over(scale_down_delay_seconds=delay, duration="1h")
    plan = look(one, replica_set(one, size=size, deadline=deadline))
    if annotations is None:
        assert done(plan) == []
    else:
        (patch,) = plan.actions
        assert (patch.annotations, patch.replicas) == (annotations, target)
    due = plan.requeue_at
    assert due == requeue or (requeue is None and due == ago(10) + timedelta(hours=1))
    if target is None and annotations is not None:
        assert plan.status is None or plan.status.template_statuses[0].last_transition_time == ago(100)


def test_a_deadline_is_taken_off_when_pods_are_wanted_after_all():
    one = experiment(template(replicas=2), status=state(entry(available=0)))
    (patch,) = look(one, replica_set(one, size=0, deadline="2026-03-04T05:00:00Z")).actions
    assert (patch.replicas, patch.annotations) == (2, {"scale-down-deadline": None})


@pytest.mark.parametrize(
    ("one", "size", "target", "direction"),
    [
        (experiment(template(replicas=2)), 0, 2, "up"),
        (over(scale_down_delay_seconds=0), 2, 0, "down"),
        (experiment(status=state(entry(status="Failed")), scale_down_delay_seconds=0), 1, 0, "down"),
    ],
)
def test_a_size_that_is_refused_is_an_error_even_after_the_end(one, size, target, direction):
    plan = look(one, replica_set(one, size=size), refusals=refused(SCALE, "forbidden"))
    (found,) = plan.status.template_statuses
    text = f"Unable to scale ReplicaSet for template 'a' to desired replica count '{target}': forbidden"
    assert (found.status, found.message) == ("Error", text)
    assert told(plan)[0] == ("Warning", "ReplicaSetUpdateError", f"Failed to scale {RS} {direction}: forbidden")
    assert plan.status.phase == "Error"


def test_a_template_without_pods_is_running_at_once():
    one = experiment(template(replicas=0))
    plan = look(one, replica_set(one, size=0))
    assert done(plan) == []
    assert (plan.status.phase, plan.status.available_at) == ("Running", NOW)
    assert plan.status.template_statuses[0].status == "Running"


# ---- Judging ---------------------------------------------------------------------------------------------------------


def short(available: int, since: float = 100, **members: Any) -> Any:
    """Return an Experiment of two pods that knows of so many."""
    before = members.pop("before", "Progressing")
    status = state(entry(status=before, available=available, last_transition_time=ago(since)), phase="Running")
    return experiment(template(replicas=2), status=status, **members)


@pytest.mark.parametrize(
    ("one", "status", "message"),
    [
        (short(2), "Running", ""),
        (short(2, duration="10s"), "Successful", ""),
        (short(2, duration="11s"), "Running", ""),
        (short(1), "Progressing", ""),
        (short(1, before="Running"), "Progressing", ""),
        (short(3), "Progressing", ""),
        (short(1, duration="5s"), "Progressing", ""),
        (short(1, since=600), "Failed", "Template 'a' exceeded its progressDeadlineSeconds (600)"),
        (short(1, since=599), "Progressing", ""),
        (
            short(1, since=60, progress_deadline_seconds=30),
            "Failed",
            "Template 'a' exceeded its progressDeadlineSeconds (30)",
        ),
        (short(1, terminate=True), "Successful", ""),
        (short(0, terminate=True), "Successful", ""),
        (short(1, since=600, terminate=True), "Successful", ""),
        (short(1, before="Successful"), "Successful", ""),
        (short(2, before="Failed"), "Failed", ""),
        (short(2, before="Error"), "Error", ""),
    ],
)
def test_a_template_is_judged_by_its_pods_and_its_deadline(one, status, message):
    available = one.status.template_statuses[0].available_replicas
    plan = look(one, replica_set(one, size=2, available=available, deadline="2026-03-04T05:07:00Z"))
    (found,) = status_of(plan, one).template_statuses
    assert (found.status, found.message) == (status, message)
    assert found.last_transition_time == one.status.template_statuses[0].last_transition_time


@pytest.mark.parametrize("count", ["replicas", "ready_replicas", "available_replicas"])
def test_any_change_of_the_pods_restarts_the_deadline(count):
    one = short(1, since=599.5)
    plan = look(one, replica_set(one, size=2, available=1, **{count: 0}), at=after(1))
    (found,) = plan.status.template_statuses
    assert (found.status, found.last_transition_time) == ("Progressing", after(1))
    assert (found.updated_replicas, found.replicas) == (found.replicas, 0 if count == "replicas" else 1)


def test_a_clock_that_was_lost_begins_anew():
    one = experiment(template(replicas=2), status=state(entry(available=0, last_transition_time=None)))
    plan = look(one, replica_set(one, size=2, available=0))
    assert plan.status.template_statuses[0].last_transition_time == NOW
    assert plan.requeue_at == after(600)


def test_pods_that_are_to_go_have_no_deadline():
    one = experiment(template(replicas=0), status=state(entry(available=2, last_transition_time=ago(9999))))
    plan = look(one, replica_set(one, size=2, deadline="2026-03-04T05:07:00Z"))
    (found,) = status_of(plan, one).template_statuses
    assert (found.status, plan.requeue_at) == ("Progressing", after(53))
    (wait, _) = plan.waits
    assert (wait.until, wait.remedy) == (None, "")


def test_a_change_is_told_with_its_message():
    one = short(1, since=60, progress_deadline_seconds=30)
    plan = look(one, replica_set(one, size=2, available=1))
    reason = "Template 'a' exceeded its progressDeadlineSeconds (30)"
    assert told(plan) == [
        ("Warning", "TemplateFailed", f"Template 'a' transitioned from Progressing -> Failed: {reason}"),
        ("Warning", "ExperimentFailed", "Experiment transitioned from Running -> Failed"),
    ]


def test_doubles_in_the_status_are_collapsed_to_the_first():
    one = experiment(status=state(entry(), entry(collision_count=1), entry(collision_count=1)))
    plan = look(one, replica_set(one))
    assert plan.status.template_statuses == (entry(),)


# ---- What the spec no longer names -----------------------------------------------------------------------------------


def abandoned(status: str = "Running", **members: Any) -> tuple[Any, Any]:
    """Return an Experiment that has lost its template `b`, and the ReplicaSet of that one."""
    both = experiment(template("a"), template("b"))
    left = experiment(template("a"), status=state(entry("a"), entry("b", status=status)), scale_down_delay_seconds=0)
    return left, replica_set(both, "b", **members)


def test_a_template_that_left_the_spec_is_scaled_down_and_deleted():
    left, old = abandoned()
    kept = replica_set(left, "a")
    (patch,) = look(left, kept, old).actions
    assert (patch.name, patch.replicas) == (f"{NAME}-b", 0)
    left, empty = abandoned(size=0)
    plan = look(left, kept, empty, service("svc", "b"))
    assert done(plan) == [("DeleteService", "svc"), ("DeleteReplicaSet", f"{NAME}-b")]
    assert any(isinstance(each, DeleteReplicaSet) and each.uid == "uid-b" for each in plan.actions)
    assert [each.name for each in look(left, kept).status.template_statuses] == ["a"]


def test_its_pods_stay_for_the_delay_and_its_service_as_long_as_they_do():
    left, old = abandoned(size=3)
    left = replace(left, spec=replace(left.spec, scale_down_delay_seconds=30))
    (patch,) = look(left, replica_set(left, "a"), old, service("svc", "b")).actions
    assert (patch.replicas, patch.annotations) == (None, {"scale-down-deadline": "2026-03-04T05:06:37Z"})


def test_a_failure_is_not_forgotten_with_its_template():
    left, _ = abandoned("Failed")
    plan = look(left, replica_set(left, "a", size=0))
    assert [each.name for each in status_of(plan, left).template_statuses] == ["a", "b"]


# ---- Why it waits ----------------------------------------------------------------------------------------------------


def test_a_template_short_of_pods_says_so():
    one = short(1)
    (wait,) = look(one, replica_set(one, size=2, available=1)).waits
    assert (wait.reason, wait.until) == (WaitReason.PODS_NOT_AVAILABLE, after(500))
    assert wait.message == "template a has 1 of 2 pods available"


def test_a_delay_says_until_when():
    one = over(terminate=True)
    (wait,) = look(one, replica_set(one, size=2)).waits
    assert (wait.reason, wait.until) == (WaitReason.SCALE_DOWN_DELAY, after(30))
    assert wait.message == f"ReplicaSet {RS} keeps its pods until 2026-03-04T05:06:37Z"
