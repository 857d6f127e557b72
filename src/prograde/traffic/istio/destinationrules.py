"""How a DestinationRule should look whose subsets stand for the versions of a Rollout.

The Rollout owns the whole list of subsets: one each for the canary, the stable version and every destination of a
running Experiment. Any other subset is dropped, as with Argo Rollouts; subsets for other purposes need a
DestinationRule of their own. What a kept subset says besides the hash stays as it is.
"""

from collections.abc import Iterator

from prograde.api.names import MANAGED_BY_ANNOTATION
from prograde.api.rollout import IstioDestinationRule
from prograde.api.workloads import ReplicaSet
from prograde.core.objects import Json, JsonObject
from prograde.core.rollout.destinationrules import with_hash
from prograde.core.rollout.replicasets import hash_of, is_fully_available, size_of
from prograde.core.routing import RoutingIntent
from prograde.traffic.documents import list_in, object_in, text_in

__all__ = ["incomplete_replica_sets", "with_hashes"]


def with_hashes(obj: JsonObject, rule: IstioDestinationRule, intent: RoutingIntent) -> JsonObject:
    """Return the DestinationRule with the hashes of the intent, marked as managed by the Rollout."""
    metadata = object_in(obj, "metadata")
    annotations = object_in(metadata, "annotations") | {MANAGED_BY_ANNOTATION: intent.rollout.metadata.name}
    hashes = _wanted_hashes(rule, intent)
    kept = [subset for subset in list_in(object_in(obj, "spec"), "subsets") if text_in(subset, "name") in hashes]
    present = {text_in(subset, "name") for subset in kept}
    kept += [{"name": name} for name in hashes if name not in present]
    subsets: list[Json] = [with_hash(subset, hashes[text_in(subset, "name")]) for subset in kept]
    return {
        **obj,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**object_in(obj, "spec"), "subsets": subsets},
    }


def incomplete_replica_sets(obj: JsonObject, rule: IstioDestinationRule, intent: RoutingIntent) -> Iterator[ReplicaSet]:
    """Return the ReplicaSets that a subset is to be switched to although not all of their pods are available.

    Where no Service stands for a version, nothing else has looked at its pods before requests reach them. But there is
    nothing to wait for if no request does: a canary may be known by its hash before it has pods. Waiting for those of a
    broken version would keep the progress deadline from ever being looked at.
    """
    canary = intent.rollout.spec.strategy.canary
    if canary is None or canary.canary_service or canary.stable_service:
        return
    gets_requests = (intent.weight > 0 or bool(intent.routes)) and not intent.is_going_back
    current = {text_in(subset, "name"): subset for subset in list_in(object_in(obj, "spec"), "subsets")}
    switched = set()
    for name, pod_hash in (
        (rule.canary_subset_name, intent.canary_hash if gets_requests else ""),
        (rule.stable_subset_name, intent.stable_hash),
    ):
        subset = current.get(name, {})
        if pod_hash and with_hash(subset, pod_hash) is not subset:
            switched.add(pod_hash)
    for replica_set in intent.replica_sets:
        if hash_of(replica_set) in switched and size_of(replica_set) > 0 and not is_fully_available(replica_set):
            yield replica_set


def _wanted_hashes(rule: IstioDestinationRule, intent: RoutingIntent) -> dict[str, str]:
    """Return the hash for each subset by name; a destination of an Experiment has a subset named like its Service."""
    versions = {rule.canary_subset_name: intent.canary_hash, rule.stable_subset_name: intent.stable_hash}
    extras = {each.service_name: each.pod_template_hash for each in intent.additional if each.service_name}
    return versions | {name: extras[name] for name in extras if name not in versions}
