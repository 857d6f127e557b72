"""The decisions about a Deployment, as pure functions on JSON values.

Counts first (how far each ReplicaSet may go in one pass), then the status and its conditions. Words as everywhere: the
*new* ReplicaSet has the Deployment's present template, all others are *old*; *spec* counts are what was asked of a
ReplicaSet, *available* counts what it has.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from prograde.sandbox.controllers.objects import find_condition, format_time, parse_time
from prograde.sandbox.kinds import Object

__all__ = [
    "DESIRED_ANNOTATION",
    "HASH_LABEL",
    "HISTORY_ANNOTATION",
    "MAX_ANNOTATION",
    "REVISION_ANNOTATION",
    "Limits",
    "available_count",
    "deployment_status",
    "is_complete",
    "is_saturated",
    "is_scaling",
    "limits_of",
    "new_replica_count",
    "old_replica_counts",
    "progress_deadline",
    "proportional_counts",
    "replicas_of",
    "revision_of",
    "same_template",
    "set_condition",
    "template_hash",
    "with_progress",
]

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_ANNOTATION = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"

_SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods an update may add and how many may be missing, as counts."""

    desired: int
    max_surge: int
    max_unavailable: int

    @property
    def max_total(self) -> int:
        return self.desired + self.max_surge

    @property
    def min_available(self) -> int:
        return self.desired - self.max_unavailable


def replicas_of(obj: Object) -> int:
    count: int = obj["spec"].get("replicas", 1)
    return count


def available_count(replica_set: Object) -> int:
    count: int = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return count


def limits_of(deployment: Object) -> Limits:
    """Return the limits; percentages of surge are rounded up and of unavailability down, and one of them is not 0."""
    desired = replicas_of(deployment)
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Limits(desired, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    surge = _scaled(rolling.get("maxSurge", "25%"), desired, round_up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(desired, surge, min(unavailable, desired))


def _scaled(value: int | str, total: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    product = int(value.removesuffix("%")) * total
    return -(-product // 100) if round_up else product // 100


def template_hash(template: Object, collision_count: int) -> str:
    """Return ten characters that name a pod template; another collision count gives another name."""
    digest = hashlib.sha256(
        msgspec.json.encode(template, order="sorted") + str(collision_count or "").encode()
    ).digest()
    return "".join(_SAFE_ALPHABET[byte % len(_SAFE_ALPHABET)] for byte in digest[:_HASH_LENGTH])


def same_template(template: Object, of_replica_set: Object) -> bool:
    """Return whether a ReplicaSet's template is the Deployment's, but for the hash label."""
    meta = of_replica_set.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH_LABEL}
    wanted = template.get("metadata") or {}
    return (
        labels == (wanted.get("labels") or {})
        and (meta.get("annotations") or {}) == (wanted.get("annotations") or {})
        and of_replica_set.get("spec") == template.get("spec")
    )


def revision_of(obj: Object) -> int:
    """Return the revision annotation as a number, 0 without one."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION, "")
    return int(text) if text.isdigit() else 0


# -- counts ----------------------------------------------------------------------------------------------------------


def new_replica_count(limits: Limits, new: int, total: int, *, is_recreate: bool = False) -> int:
    """Return the count of the new ReplicaSet, which has `new` of the `total` pods asked for so far."""
    if is_recreate:
        return limits.desired
    if new > limits.desired:
        return limits.desired
    if total >= limits.max_total:
        return new
    return new + min(limits.max_total - total, limits.desired - new)


def old_replica_counts(limits: Limits, new: Object, old: Sequence[Object]) -> dict[str, int]:
    """Return the lower counts that old ReplicaSets may get now, by name; old ones are given oldest first.

    Pods that are not available go first: they serve nobody. Then available ones, as long as enough are left.
    """
    total = replicas_of(new) + sum(replicas_of(each) for each in old)
    new_unavailable = replicas_of(new) - available_count(new)
    removable = total - limits.min_available - new_unavailable
    if removable <= 0:
        return {}
    counts = {each["metadata"]["name"]: replicas_of(each) for each in old}
    cleaned = 0
    for each in old:
        unhealthy = min(removable - cleaned, replicas_of(each) - available_count(each))
        if unhealthy > 0:
            counts[each["metadata"]["name"]] -= unhealthy
            cleaned += unhealthy
    spare = available_count(new) + sum(available_count(each) for each in old) - limits.min_available
    for each in old:
        name = each["metadata"]["name"]
        taken = max(0, min(counts[name], spare))
        counts[name] -= taken
        spare -= taken
    return {each["metadata"]["name"]: counts[each["metadata"]["name"]] for each in old
            if counts[each["metadata"]["name"]] != replicas_of(each)}  # fmt: skip


def proportional_counts(deployment: Object, limits: Limits, active: Sequence[Object]) -> dict[str, int]:
    """Return the counts of the active ReplicaSets after the Deployment was scaled in the middle of an update.

    Each gets its share of the change by size; what rounding leaves over goes to the biggest.
    """
    total = sum(replicas_of(each) for each in active)
    allowed = limits.max_total if limits.desired > 0 else 0
    to_add = allowed - total
    newest_first = to_add > 0
    ranked = sorted(active, key=lambda each: each["metadata"]["creationTimestamp"], reverse=newest_first)
    ranked.sort(key=replicas_of, reverse=True)
    counts: dict[str, int] = {}
    added = 0
    for each in ranked:
        share = 0
        if to_add and added != to_add:
            fraction, left = _fraction(deployment, limits, each), to_add - added
            share = min(fraction, left) if to_add > 0 else max(fraction, left)
        counts[each["metadata"]["name"]] = replicas_of(each) + share
        added += share
    if ranked and to_add:
        first = ranked[0]["metadata"]["name"]
        counts[first] = max(0, counts[first] + to_add - added)
    return counts


def _fraction(deployment: Object, limits: Limits, replica_set: Object) -> int:
    """Return by how much one ReplicaSet would change if it kept its share of the whole."""
    current = replicas_of(replica_set)
    if limits.desired == 0:
        return -current
    annotated = (replica_set["metadata"].get("annotations") or {}).get(MAX_ANNOTATION, "")
    before = int(annotated) if annotated.isdigit() else (deployment.get("status") or {}).get("replicas", 0)
    if before <= 0:
        return 0
    return int(current * limits.max_total / before + 0.5) - current


def is_scaling(deployment: Object, replica_sets: Sequence[Object]) -> bool:
    """Return whether the Deployment's count changed since its active ReplicaSets were last scaled."""
    for each in replica_sets:
        annotated = (each["metadata"].get("annotations") or {}).get(DESIRED_ANNOTATION, "")
        if replicas_of(each) > 0 and annotated.isdigit() and int(annotated) != replicas_of(deployment):
            return True
    return False


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """Return whether the new ReplicaSet has all the pods, and all of them available."""
    if new is None:
        return False
    desired = replicas_of(deployment)
    annotated = (new["metadata"].get("annotations") or {}).get(DESIRED_ANNOTATION, "")
    return replicas_of(new) == desired and annotated == str(desired) and available_count(new) == desired


# -- status ----------------------------------------------------------------------------------------------------------


def deployment_status(
    deployment: Object, limits: Limits, new: Object | None, replica_sets: Sequence[Object], now: datetime
) -> Object:
    """Return the status without Progressing news: counts, and the conditions Available and ReplicaFailure."""

    def total(field: str) -> int:
        return sum((each.get("status") or {}).get(field, 0) for each in replica_sets)

    available = total("availableReplicas")
    current = deployment.get("status") or {}
    conditions = list(current.get("conditions") or [])
    if available >= limits.min_available:
        why = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        why = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    conditions = set_condition(conditions, "Available", *why, now)
    failure = next(
        (
            found
            for each in ([new] if new is not None else []) + list(replica_sets)
            if (found := find_condition((each.get("status") or {}).get("conditions"), "ReplicaFailure")) is not None
        ),
        None,
    )
    conditions = [each for each in conditions if each["type"] != "ReplicaFailure"]
    if failure is not None:
        known = find_condition(current.get("conditions"), "ReplicaFailure")
        conditions.append(known or _condition("ReplicaFailure", "True", failure["reason"], failure["message"], now))
    return {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": total("replicas") or None,
        "updatedReplicas": ((new or {}).get("status") or {}).get("replicas", 0) or None,
        "readyReplicas": total("readyReplicas") or None,
        "availableReplicas": available or None,
        "unavailableReplicas": max(0, sum(replicas_of(each) for each in replica_sets) - available) or None,
        "conditions": conditions,
    }


def is_complete(deployment: Object, status: Object) -> bool:
    desired = replicas_of(deployment)
    counts = (status["updatedReplicas"], status["replicas"], status["availableReplicas"])
    return all((count or 0) == desired for count in counts)


def with_progress(deployment: Object, status: Object, new: Object | None, now: datetime) -> Object:
    """Return the status with what there is to say about progress."""
    conditions = status["conditions"]
    current = find_condition(conditions, "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if deadline is None:
        return {**status, "conditions": [each for each in conditions if each is not current]}
    is_settled = (status["replicas"] or 0) == (status["updatedReplicas"] or 0)
    if is_settled and current is not None and current["reason"] == "NewReplicaSetAvailable":
        return status
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        conditions = set_condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", message, now)
    elif _has_progressed(deployment.get("status") or {}, status):
        condition = _condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current["status"] == "True":
            condition["lastTransitionTime"] = current["lastTransitionTime"]
        conditions = [*(each for each in conditions if each is not current), condition]
    elif (
        current is not None and current["reason"] != "ProgressDeadlineExceeded" and _is_overdue(current, deadline, now)
    ):
        message = f"{subject} has timed out progressing."
        conditions = set_condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", message, now)
    return {**status, "conditions": conditions}


def progress_deadline(deployment: Object, status: Object) -> datetime | None:
    """Return when lack of progress must be reported, None when it need not be watched."""
    current = find_condition(status["conditions"], "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if deadline is None or current is None or deployment["spec"].get("paused"):
        return None
    if current["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    # A second on top: times in conditions are cut to whole seconds.
    return parse_time(current["lastUpdateTime"]) + timedelta(seconds=deadline + 1)


def _is_overdue(condition: Object, deadline: int, now: datetime) -> bool:
    if condition["reason"] == "NewReplicaSetAvailable":
        return False
    return parse_time(condition["lastUpdateTime"]) + timedelta(seconds=deadline) < now


def _has_progressed(before: Mapping[str, Any], after: Object) -> bool:
    def count(status: Mapping[str, Any], field: str) -> int:
        return status.get(field) or 0

    def outdated(status: Mapping[str, Any]) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    return (
        count(after, "updatedReplicas") > count(before, "updatedReplicas")
        or outdated(after) < outdated(before)
        or count(after, "readyReplicas") > count(before, "readyReplicas")
        or count(after, "availableReplicas") > count(before, "availableReplicas")
    )


def _condition(type_: str, status: str, reason: str, message: str, now: datetime) -> Object:
    moment = format_time(now)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def set_condition(
    conditions: list[Object], type_: str, status: str, reason: str, message: str, now: datetime
) -> list[Object]:
    """Return the conditions with one set; the same status and reason again is no news."""
    known = find_condition(conditions, type_)
    if known is not None and (known["status"], known["reason"]) == (status, reason):
        return conditions
    condition = _condition(type_, status, reason, message, now)
    if known is not None and known["status"] == status:
        condition["lastTransitionTime"] = known["lastTransitionTime"]
    return [*(each for each in conditions if each is not known), condition]
