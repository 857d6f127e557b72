import copy
from typing import Any

import pytest

from prograde.cli.framework import CliError
from prograde.cli.undo import find_revision, is_contained, template_to_restore


def replica_set(name: str, revision: str | None) -> dict[str, Any]:
    annotations = {"rollout.argoproj.io/revision": revision} if revision is not None else {}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"template": {}}}


SETS = [replica_set("one", "1"), replica_set("ten", "10"), replica_set("nine", "9"), replica_set("broken", "x")]


@pytest.mark.parametrize(("to_revision", "name"), [(0, "nine"), (1, "one"), (10, "ten")])
def test_the_revision_asked_for_is_found_and_zero_means_the_one_before_the_last(to_revision: int, name: str) -> None:
    assert find_revision(SETS, to_revision, "cart")["metadata"]["name"] == name


def test_a_replica_set_without_revision_counts_as_zero() -> None:
    found = find_revision([replica_set("none", None), replica_set("one", "1")], 0, "cart")
    assert found["metadata"]["name"] == "none"


@pytest.mark.parametrize(
    ("sets", "to_revision", "message"),
    [
        (SETS, 7, "unable to find specified revision 7 in history"),
        (SETS[:1], 0, 'no revision found for rollout "cart"'),
        ([], 0, 'no revision found for rollout "cart"'),
        (SETS, -1, 'no revision found for rollout "cart"'),
    ],
)
def test_a_revision_that_is_not_there_is_an_error(sets: list[dict[str, Any]], to_revision: int, message: str) -> None:
    with pytest.raises(CliError, match=message):
        find_revision(sets, to_revision, "cart")


def test_the_restored_template_has_neither_the_hash_nor_the_metadata_of_a_role() -> None:
    old = {
        "spec": {
            "template": {
                "metadata": {
                    "labels": {"app": "cart", "role": "canary", "rollouts-pod-template-hash": "abc"},
                    "annotations": {"note": "canary"},
                },
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            }
        }
    }
    rollout = {
        "spec": {
            "strategy": {
                "canary": {"canaryMetadata": {"labels": {"role": "canary"}, "annotations": {"note": "canary"}}}
            },
            "template": {"metadata": {"labels": {"app": "cart"}}},
        }
    }
    assert template_to_restore(rollout, old) == {
        "metadata": {"labels": {"app": "cart"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    assert old["spec"]["template"]["metadata"]["labels"]["role"] == "canary", "the original is untouched"


def test_a_label_that_the_users_template_sets_itself_is_kept() -> None:
    old = {"spec": {"template": {"metadata": {"labels": {"role": "canary"}}}}}
    rollout = {
        "spec": {
            "strategy": {"canary": {"canaryMetadata": {"labels": {"role": "canary"}}}},
            "template": {"metadata": {"labels": {"role": "canary"}}},
        }
    }
    assert template_to_restore(rollout, old)["metadata"]["labels"] == {"role": "canary"}


def anti_affinity(*keys: str) -> dict[str, Any]:
    terms = [{"labelSelector": {"matchExpressions": [{"key": key, "operator": "In", "values": ["x"]}]}} for key in keys]
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("found", "restored"),
    [
        (anti_affinity("rollouts-pod-template-hash"), {}),
        (anti_affinity("app", "rollouts-pod-template-hash"), {"affinity": anti_affinity("app")}),
        (anti_affinity("app"), {"affinity": anti_affinity("app")}),
    ],
    ids=["nothing else is left", "the user's own term stays", "nothing was injected"],
)
def test_the_term_that_kept_new_pods_off_stable_ones_is_not_the_users(
    found: dict[str, Any], restored: dict[str, Any]
) -> None:
    old = {"spec": {"template": {"spec": {"affinity": found}}}}
    before = copy.deepcopy(old)
    assert template_to_restore({"spec": {}}, old) == {"spec": restored}
    assert old == before, "the original is untouched"


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        ({}, {"a": 1}, True),
        ({"a": {}}, {"b": 1}, True),
        ({"a": None, "b": "", "c": []}, {}, True),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [1]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": {"b": 1}}, {"a": 1}, False),
        ({"a": [1]}, {}, False),
        ([{"name": "x"}], [{"name": "x", "image": "y"}], True),
    ],
)
def test_containment_ignores_what_the_wanted_side_leaves_out(wanted: Any, actual: Any, expected: bool) -> None:
    assert is_contained(wanted, actual) is expected
