"""Keys, owners and conditions."""

import pytest

from prograde.api import names
from prograde.api.meta import (
    Condition,
    NamespacedName,
    ObjectMeta,
    OwnerReference,
    controller_of,
    find_condition,
    is_controlled_by,
    key_of,
)
from prograde.api.workloads import ReplicaSet


@pytest.mark.parametrize(("text", "key"), [("shop/cart", ("shop", "cart")), ("cart", ("", "cart"))])
def test_a_key_reads_back_what_it_wrote(text, key):
    assert NamespacedName.parse(text) == NamespacedName(*key)
    assert str(NamespacedName(*key)) == text


def test_the_controller_is_the_owner_that_says_so():
    owners = (
        OwnerReference(uid="1", controller=False),
        OwnerReference(uid="2", controller=True),
        OwnerReference(uid="3"),
    )
    owned = ReplicaSet(metadata=ObjectMeta(namespace="shop", name="cart-1", owner_references=owners))
    assert controller_of(owned) is owners[1]
    assert is_controlled_by(owned, "2")
    assert not is_controlled_by(owned, "1")
    assert controller_of(ReplicaSet()) is None
    assert not is_controlled_by(ReplicaSet(), "")
    assert key_of(owned) == ("shop", "cart-1")


def test_a_condition_is_found_by_its_type():
    conditions = (Condition(type="A"), Condition(type="B", status="True"))
    assert find_condition(conditions, "B") is conditions[1]
    assert find_condition(conditions, "C") is None


def test_annotations_that_belong_to_one_object_are_not_copied():
    assert {
        "kubectl.kubernetes.io/last-applied-configuration",
        "rollout.argoproj.io/revision",
        "rollout.argoproj.io/revision-history",
        "rollout.argoproj.io/workload-generation",
        "rollout.argoproj.io/desired-replicas",
        "notified.notifications.argoproj.io",
    } == names.ANNOTATIONS_NOT_COPIED


def test_the_phases_of_runs_are_ordered_from_best_to_worst():
    assert names.RUN_PHASES_BEST_FIRST == ("Successful", "Running", "Pending", "Inconclusive", "Error", "Failed")
    assert {"Successful", "Failed", "Error", "Inconclusive"} == names.COMPLETED_RUN_PHASES


@pytest.mark.parametrize("name", ["POD_TEMPLATE_HASH_LABEL", "MANAGED_BY_ANNOTATION", "SCALE_DOWN_DEADLINE_ANNOTATION"])
def test_names_that_live_objects_carry_never_change(name):
    assert (
        getattr(names, name)
        == {
            "POD_TEMPLATE_HASH_LABEL": "rollouts-pod-template-hash",
            "MANAGED_BY_ANNOTATION": "argo-rollouts.argoproj.io/managed-by-rollouts",
            "SCALE_DOWN_DEADLINE_ANNOTATION": "scale-down-deadline",
        }[name]
    )
