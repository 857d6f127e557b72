"""Labels, annotations and anti-affinity of raw templates."""

import json

import msgspec
import pytest

from prograde.api.meta import NO_RAW
from prograde.api.podtemplate import template_metadata, with_anti_affinity, with_metadata, without_metadata
from prograde.api.rollout import AntiAffinity, PreferredAntiAffinity, RequiredAntiAffinity

SPEC = b'{"containers" : [ {"name":"a", "x": 1.0} ] }'
TEMPLATE = msgspec.Raw(b'{"spec":%s,"metadata":{"name":"n","labels":{"a":"1"}},"odd":[1, 2]}' % SPEC)
REQUIRED = AntiAffinity(required_during_scheduling_ignored_during_execution=RequiredAntiAffinity())
PREFERRED = AntiAffinity(preferred_during_scheduling_ignored_during_execution=PreferredAntiAffinity(weight=7))
TERM = {
    "labelSelector": {"matchExpressions": [{"key": "rollouts-pod-template-hash", "operator": "In", "values": ["abc"]}]},
    "namespaces": ["shop"],
    "topologyKey": "kubernetes.io/hostname",
}


def affinity_of(template: msgspec.Raw) -> dict:
    return json.loads(bytes(template))["spec"]["affinity"]["podAntiAffinity"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"", {}),
        (b"{}", {}),
        (b'{"metadata":null}', {}),
        (b'{"metadata":{"labels":{"a":"1"}}}', {"a": "1"}),
        (b'{"metadata":{"labels":{"a":"1","b":2}}}', {"a": "1"}),
        (b'{"metadata":{"labels":7}}', {}),
        (b'{"metadata":[]}', {}),
        (b"[]", {}),
    ],
)
def test_the_labels_of_any_template_can_be_read(text, labels):
    assert template_metadata(msgspec.Raw(text)).labels == labels


def test_adding_metadata_leaves_everything_else_byte_for_byte():
    changed = bytes(with_metadata(TEMPLATE, labels={"a": "2", "b": "3"}, annotations={"c": "4"}))
    assert SPEC in changed
    assert b'"odd":[1, 2]' in changed
    assert json.loads(changed)["metadata"] == {"name": "n", "labels": {"a": "2", "b": "3"}, "annotations": {"c": "4"}}
    assert json.loads(bytes(TEMPLATE))["metadata"] == {"name": "n", "labels": {"a": "1"}}


def test_metadata_can_be_added_to_nothing():
    assert bytes(with_metadata(NO_RAW, labels={"a": "1"})) == b'{"metadata":{"labels":{"a":"1"}}}'


def test_removing_metadata_leaves_no_empty_maps():
    changed = with_metadata(TEMPLATE, annotations={"c": "4"})
    assert json.loads(bytes(without_metadata(changed, labels=("a", "x"), annotations=("c",))))["metadata"] == {
        "name": "n"
    }


def test_required_anti_affinity_is_added():
    changed = with_anti_affinity(TEMPLATE, REQUIRED, "abc", "shop")
    assert affinity_of(changed) == {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}
    assert b'{"name":"a", "x": 1.0}' in bytes(changed)


def test_preferred_anti_affinity_comes_after_the_users_terms():
    own = {"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}
    affinity = {"nodeAffinity": {}, "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [own]}}
    template = msgspec.Raw(json.dumps({"spec": {"affinity": affinity}}).encode())
    changed = with_anti_affinity(template, PREFERRED, "abc", "shop")
    weighted = {"weight": 7, "podAffinityTerm": TERM}
    assert affinity_of(changed) == {"preferredDuringSchedulingIgnoredDuringExecution": [own, weighted]}
    assert json.loads(bytes(changed))["spec"]["affinity"]["nodeAffinity"] == {}


def test_a_term_injected_before_is_replaced_even_by_one_of_the_other_kind():
    changed = with_anti_affinity(with_anti_affinity(TEMPLATE, REQUIRED, "old", "shop"), PREFERRED, "abc", "shop")
    assert affinity_of(changed) == {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": TERM}]
    }
