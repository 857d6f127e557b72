"""Services of templates: made before the pods, gone after them."""

import msgspec
import pytest
from tests.core.experiment.builders import (
    NAME,
    NAMESPACE,
    NOW,
    OWNER,
    after,
    done,
    entry,
    experiment,
    look,
    replace,
    replica_set,
    service,
    state,
    status_of,
    template,
    with_service,
)

from prograde.core.experiment.snapshot import Refusal
from prograde.core.plan import CreateService, DeleteService

RS = f"{NAME}-a"


def fields_of(plan, one):
    (found,) = status_of(plan, one).template_statuses
    return found.service_name, found.pod_template_hash


def hash_in(replica):
    return replica.metadata.labels["rollouts-pod-template-hash"]


def test_a_service_comes_with_the_second_pass_and_before_the_pods():
    one = experiment(with_service())
    assert done(look(one)) == [("CreateReplicaSet", RS)]
    plan = look(one, replica_set(one, size=0))
    assert [[type(each).__name__ for each in group] for group in plan.groups] == [
        ["CreateService"],
        ["PatchReplicaSet"],
    ]
    assert fields_of(plan, one) == (RS, hash_in(replica_set(one)))


def test_a_service_selects_by_all_labels_and_has_every_port_of_the_containers():
    ports = [
        {"name": "http", "containerPort": 80, "protocol": "TCP", "hostPort": 8},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"containerPort": 9},
    ]
    one = experiment(with_service(ports=ports))
    replica = replica_set(one, size=0)
    create = next(each for each in look(one, replica).actions if isinstance(each, CreateService))
    assert create.manifest == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": RS,
            "namespace": NAMESPACE,
            "annotations": {"experiment.argoproj.io/name": NAME, "experiment.argoproj.io/template-name": "a"},
            "ownerReferences": [msgspec.to_builtins(OWNER)],
        },
        "spec": {
            "selector": dict(replica.metadata.labels),
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80},
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
                {"port": 9, "targetPort": 9},
            ],
        },
    }


def test_ports_of_init_containers_serve_nobody():
    body = {
        "spec": {
            "initContainers": [{"name": "first", "ports": [{"containerPort": 1}]}],
            "containers": [{"name": "web"}],
        }
    }
    one = experiment(with_service(template=msgspec.Raw(msgspec.json.encode(body))))
    assert done(look(one, replica_set(one))) == []


def test_without_ports_there_is_no_service_and_the_experiment_goes_on():
    one = experiment(with_service(ports=()))
    plan = look(one, replica_set(one))
    assert (done(plan), fields_of(plan, one), plan.status.phase) == ([], ("", ""), "Running")


@pytest.mark.parametrize(
    ("wanted", "there", "in_status", "expected"),
    [
        ("", [RS], RS, []),
        ("mine", ["mine"], "mine", []),
        ("mine", [RS], RS, [("CreateService", "mine")]),
        ("mine", [RS, "mine"], RS, []),
        ("mine", [RS, "mine"], "mine", [("DeleteService", RS)]),
        ("", ["mine"], "mine", [("CreateService", RS)]),
        ("", ["mine", RS], RS, [("DeleteService", "mine")]),
    ],
    ids=["there", "there by its name", "renamed", "both, not told", "both, told", "renamed back", "both again"],
)
def test_a_service_is_made_again_under_another_name_and_the_former_goes_later(wanted, there, in_status, expected):
    before = state(entry(service_name=in_status, pod_template_hash="h"))
    one = experiment(with_service(service=wanted), status=before)
    plan = look(one, replica_set(one), *(service(each) for each in there))
    assert done(plan) == expected
    assert fields_of(plan, one)[0] == (wanted or RS)


@pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        ({"message": "invalid"}, "cannot create service: invalid"),
        (
            {"message": "x", "existing": service("svc", uid="other")},
            "service svc already exists and is not owned by experiment template a",
        ),
        (
            {"message": "x", "existing": service("svc", "b")},
            "service svc already exists and is not owned by experiment template a",
        ),
        (
            {"message": "forbidden", "is_unreadable": True},
            "did not get existing service with name svc: forbidden",
        ),
    ],
)
def test_a_service_that_cannot_be_made_is_an_error(refusal, cause):
    one = experiment(with_service(service="svc"))
    if "existing" in refusal:
        held = refusal["existing"]
        owner = replace(held.metadata.owner_references[0], name="other")
        refusal["existing"] = (
            held
            if owner.uid == OWNER.uid
            else replace(held, metadata=replace(held.metadata, owner_references=(owner,)))
        )
    refused = Refusal(action=CreateService(name="svc", manifest={}), **refusal)
    plan = look(one, replica_set(one, size=0), refusals=(refused,))
    (found,) = plan.status.template_statuses
    message = f"Failed to create Service svc for template 'a': {cause}"
    assert (found.status, found.message, found.service_name) == ("Error", message, "")
    assert (plan.status.phase, plan.status.message) == ("Error", message)
    assert done(plan) == [], "no pods without their Service"


def test_a_service_that_exists_already_and_is_ours_is_taken():
    one = experiment(with_service(service="svc"))
    refused = Refusal(action=CreateService(name="svc", manifest={}), message="x", existing=service("svc"))
    plan = look(one, replica_set(one), refusals=(refused,))
    assert (done(plan), fields_of(plan, one)[0]) == ([], "svc")


def test_the_service_of_an_earlier_experiment_of_the_same_name_is_waited_for():
    one = experiment(with_service(service="svc"))
    refused = Refusal(action=CreateService(name="svc", manifest={}), message="x", existing=service("svc", uid="before"))
    plan = look(one, replica_set(one), refusals=(refused,))
    assert plan.requeue_at == after(1)
    assert status_of(plan, one).template_statuses[0].status == "Running"


@pytest.mark.parametrize("available", [1, 0])
def test_a_service_stays_as_long_as_a_pod_is_available(available):
    before = state(entry(status="Successful", available=1, service_name=RS, pod_template_hash="h"), phase="Successful")
    one = experiment(with_service(), status=before)
    plan = look(one, replica_set(one, size=0, available=available), service(RS))
    assert done(plan) == ([] if available else [("DeleteService", RS)])
    assert fields_of(plan, one) == ((RS, "h") if available else ("", ""))


def test_a_service_that_left_the_spec_is_deleted_at_once():
    one = experiment(template(), status=state(entry(service_name=RS, pod_template_hash="h")))
    plan = look(one, replica_set(one), service(RS))
    (delete,) = plan.actions
    assert delete == DeleteService(name=RS, uid=f"uid-{RS}")
    assert fields_of(plan, one) == ("", "")


def test_one_that_is_being_deleted_is_left_alone():
    one = experiment(template(), status=state(entry()))
    leaving = service(RS)
    leaving = replace(leaving, metadata=replace(leaving.metadata, deletion_timestamp=NOW))
    assert done(look(one, replica_set(one), leaving)) == []


def test_a_service_that_cannot_be_deleted_is_an_error():
    one = experiment(template(), status=state(entry(service_name=RS)))
    refused = Refusal(action=DeleteService(name=RS, uid=""), message="forbidden")
    plan = look(one, replica_set(one), service(RS), refusals=(refused,))
    (found,) = plan.status.template_statuses
    message = "Failed to delete Service for template 'a': forbidden"
    assert (found.status, found.message, found.service_name) == ("Error", message, RS)


def test_a_service_of_another_experiment_is_not_ours():
    one = experiment(with_service(), status=state(entry(service_name=RS)))
    foreign = service(RS, **{"experiment.argoproj.io/name": "other"})
    assert done(look(one, replica_set(one), foreign)) == [("CreateService", RS)]
