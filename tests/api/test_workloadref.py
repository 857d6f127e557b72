"""Rollouts whose template is that of another workload."""

import pytest

from prograde.api.codec import decode
from prograde.api.meta import LabelSelector
from prograde.api.rollout import Rollout, WorkloadRef
from prograde.api.workloadref import (
    UnresolvedWorkload,
    resolve_workload,
    workload_index_key,
    workload_resource,
    workload_type,
)
from prograde.api.workloads import Deployment, PodTemplate, ReplicaSet

TEMPLATE = b'{"metadata":{"labels":{"app":"cart"}}, "spec":{}}'
SELECTOR = b'{"matchLabels":{"app":"cart"}}'
OWN = b'{"matchLabels":{"own":"x"}}'
GENERATION = "rollout.argoproj.io/workload-generation"


def rollout(kind: str = "Deployment", api_version: str = "apps/v1", extra: bytes = b"") -> Rollout:
    reference = b'"workloadRef":{"apiVersion":"%s","kind":"%s","name":"web"}' % (api_version.encode(), kind.encode())
    return decode(b'{"metadata":{"name":"cart","namespace":"shop"},"spec":{%s%s}}' % (reference, extra), Rollout)


def workload(type_: type):
    if type_ is PodTemplate:
        return decode(b'{"metadata":{"generation":7},"template":%s}' % TEMPLATE, type_)
    return decode(b'{"metadata":{"generation":7},"spec":{"selector":%s,"template":%s}}' % (SELECTOR, TEMPLATE), type_)


@pytest.mark.parametrize("type_", [Deployment, ReplicaSet])
def test_template_and_selector_come_from_the_workload(type_):
    subject = rollout(type_.__name__)
    resolved = resolve_workload(subject, workload(type_))
    assert bytes(resolved.spec.template) == TEMPLATE
    assert resolved.spec.selector == LabelSelector(match_labels={"app": "cart"})
    assert resolved.metadata.annotations == {GENERATION: "7"}
    assert subject.metadata.annotations == {}
    assert workload_type(subject.spec.workload_ref) is type_


def test_an_empty_selector_counts_as_none():
    resolved = resolve_workload(rollout(extra=b',"selector":{}'), workload(Deployment))
    assert resolved.spec.selector == LabelSelector(match_labels={"app": "cart"})


def test_the_rollouts_own_selector_stays():
    resolved = resolve_workload(rollout(extra=b',"selector":%s' % OWN), workload(Deployment))
    assert resolved.spec.selector == LabelSelector(match_labels={"own": "x"})


def test_a_pod_template_has_no_selector_to_give():
    resolved = resolve_workload(rollout("PodTemplate", "v1"), workload(PodTemplate))
    assert bytes(resolved.spec.template) == TEMPLATE
    assert resolved.spec.selector is None


@pytest.mark.parametrize(
    ("subject", "found", "message"),
    [
        (rollout(), None, 'deployments.apps "shop/web" not found'),
        (rollout("ReplicaSet"), None, 'replicasets.apps "shop/web" not found'),
        (rollout("PodTemplate", "v1"), None, 'podtemplates "shop/web" not found'),
        (rollout("StatefulSet"), None, "workload of type apps/StatefulSet is not supported"),
        (rollout("Job", "batch/v1"), None, "workload of type batch/Job is not supported"),
        (rollout("Deployment", "extensions/v1beta1"), None, "workload of type extensions/Deployment is not supported"),
        (rollout("Pod", "v1"), None, "workload of type /Pod is not supported"),
        (
            rollout(extra=b',"template":%s' % TEMPLATE),
            workload(Deployment),
            "template must be empty for workload reference rollout",
        ),
    ],
)
def test_what_cannot_be_resolved_says_why(subject, found, message):
    with pytest.raises(UnresolvedWorkload) as caught:
        resolve_workload(subject, found)
    assert str(caught.value) == message


def test_without_a_reference_the_annotation_goes():
    text = b'{"metadata":{"annotations":{"%s":"7","other":"x"}}}' % GENERATION.encode()
    assert resolve_workload(decode(text, Rollout), None).metadata.annotations == {"other": "x"}
    plain = Rollout()
    assert resolve_workload(plain, None) is plain


def test_rollouts_are_found_by_what_they_refer_to():
    reference = WorkloadRef(api_version="apps/v1", kind="Deployment", name="web")
    assert workload_index_key(workload_type(reference), "shop", reference.name) == "Deployment shop/web"
    assert workload_resource(reference) == ("apps", "deployments")
