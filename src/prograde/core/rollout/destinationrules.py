"""What DestinationRules of Istio say about a Rollout's pods, and what becomes of one that no Rollout uses any more.

A subset stands for one version by the label with the pod-template hash. Left behind, that label would some day select
no pods at all, and whoever is routed to the subset would get errors.
"""

import msgspec

from prograde.api.jsonvalues import merge_patch_between
from prograde.api.meta import NamespacedName, key_of
from prograde.api.names import MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout
from prograde.core.objects import DESTINATION_RULES, Json, JsonObject, ObjectRef
from prograde.core.plan import PatchObject

__all__ = [
    "DestinationRuleDecision",
    "destination_rule_of",
    "manager_of",
    "plan_destination_rule",
    "subset_hashes",
    "with_hash",
]


def destination_rule_of(rollout: Rollout) -> ObjectRef | None:
    """Return the DestinationRule whose subsets stand for the Rollout's versions; None when it names none."""
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary is not None else None
    rule = routing.istio.destination_rule if routing is not None and routing.istio is not None else None
    if rule is None or not rule.name:
        return None
    return ObjectRef(DESTINATION_RULES, rollout.metadata.namespace, rule.name)


def manager_of(destination_rule: JsonObject) -> str:
    """Return the name of the Rollout that the DestinationRule says it is managed by; empty when it says so of none."""
    name = _annotations(destination_rule).get(MANAGED_BY_ANNOTATION)
    return name if isinstance(name, str) else ""


def subset_hashes(destination_rule: JsonObject) -> frozenset[str]:
    """Return the pod-template hashes that its subsets select."""
    return frozenset(
        found for subset in _subsets(destination_rule) if isinstance(found := _labels(subset).get(_HASH), str) and found
    )


class DestinationRuleDecision(msgspec.Struct, frozen=True):
    """What to do about one DestinationRule: hand it to a Rollout's own pass, or clean it, or nothing."""

    rollout: NamespacedName | None = None
    """The Rollout to reconcile, because it uses the DestinationRule."""
    action: PatchObject | None = None


def plan_destination_rule(obj: JsonObject, rollout: Rollout | None) -> DestinationRuleDecision:
    """Decide about a DestinationRule that a Rollout uses or has used.

    `rollout` is the one that `manager_of` names, in the namespace of the DestinationRule; None only if that Rollout
    does not exist (any other failure to read it must not lead here). Without a manager there is nothing to do.
    """
    if not manager_of(obj):
        return DestinationRuleDecision()
    metadata = obj.get("metadata")
    assert isinstance(metadata, dict)
    ref = ObjectRef(DESTINATION_RULES, str(metadata.get("namespace", "")), str(metadata.get("name", "")))
    if rollout is not None and destination_rule_of(rollout) == ref:
        return DestinationRuleDecision(rollout=key_of(rollout))
    patch: JsonObject = {
        "metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": {MANAGED_BY_ANNOTATION: None}}
    }
    before = _subsets(obj)
    after: list[Json] = [with_hash(subset, "") for subset in before]
    if merge_patch_between({"subsets": before}, {"subsets": after}):
        patch["spec"] = {"subsets": after}
    return DestinationRuleDecision(action=PatchObject(ref=ref, patch=patch))


def with_hash(subset: Json, pod_hash: str) -> Json:
    """Return the subset for the pods of `pod_hash`, or without the label if that is empty; all else stays."""
    if not isinstance(subset, dict):
        return subset
    labels = _labels(subset)
    if labels.get(_HASH) == (pod_hash or None):
        return subset
    labels = {**labels, _HASH: pod_hash} if pod_hash else {key: labels[key] for key in labels if key != _HASH}
    if labels:
        return {**subset, "labels": labels}
    return {key: value for key, value in subset.items() if key != "labels"}


_HASH = POD_TEMPLATE_HASH_LABEL


def _annotations(obj: JsonObject) -> JsonObject:
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return annotations if isinstance(annotations, dict) else {}


def _subsets(obj: JsonObject) -> list[Json]:
    spec = obj.get("spec")
    subsets = spec.get("subsets") if isinstance(spec, dict) else None
    return subsets if isinstance(subsets, list) else []


def _labels(subset: Json) -> JsonObject:
    labels = subset.get("labels") if isinstance(subset, dict) else None
    return labels if isinstance(labels, dict) else {}
