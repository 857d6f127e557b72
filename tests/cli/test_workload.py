from typing import Any

import pytest

from prograde.cli.framework import CliError
from prograde.cli.workload import WorkloadReference, workload_reference
from prograde.controller.resources import DEPLOYMENTS, POD_TEMPLATES, REPLICA_SETS


def rollout(reference: Any) -> dict[str, Any]:
    return {"spec": {"workloadRef": reference}}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Deployment", WorkloadReference(DEPLOYMENTS, "web", ("spec", "template"))),
        ("ReplicaSet", WorkloadReference(REPLICA_SETS, "web", ("spec", "template"))),
        ("PodTemplate", WorkloadReference(POD_TEMPLATES, "web", ("template",))),
    ],
)
def test_the_template_of_each_kind_is_where_it_is(kind: str, expected: WorkloadReference) -> None:
    assert workload_reference(rollout({"kind": kind, "name": "web"})) == expected


@pytest.mark.parametrize("subject", [{}, {"spec": None}, {"spec": {}}, rollout(None), rollout({})])
def test_without_a_reference_there_is_none(subject: dict[str, Any]) -> None:
    assert workload_reference(subject) is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"kind": "Deployment", "name": 3}, "spec.workloadRef.name is not a string: 3"),
        ({"kind": "StatefulSet", "name": "web"}, "workload of type StatefulSet is not supported"),
        ({"name": "web"}, "workload of type  is not supported"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_an_error(reference: Any, message: str) -> None:
    with pytest.raises(CliError) as caught:
        workload_reference(rollout(reference))
    assert str(caught.value) == message
