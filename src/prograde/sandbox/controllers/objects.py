"""Reading Kubernetes objects as JSON values: owners, pod state, times, label selectors.

The built-in controllers and the kubelet work on the same dictionaries that the API server stores; these are the few
questions that several of them ask.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from prograde.sandbox.kinds import Object

__all__ = [
    "WAIT_SECONDS_MAX",
    "available_at",
    "condition_of",
    "controller_of",
    "find_condition",
    "format_time",
    "is_active",
    "is_deleting",
    "is_pod_ready",
    "is_terminal",
    "labels_of",
    "later",
    "matches",
    "owner_reference",
    "parse_time",
    "with_condition",
]

WAIT_SECONDS_MAX = 1e9
"""Manifests may ask for waits that no calendar holds."""


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """Return the aware UTC time of an RFC 3339 text that the server wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


@lru_cache(maxsize=4096)
def format_time(moment: datetime) -> str:
    """Return `moment` as the API prints times: UTC, cut to whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def later(moment: datetime, seconds: float) -> datetime:
    """Return the instant so many seconds after; a wait beyond all reason, infinity too, is cut to three decades."""
    return moment + timedelta(seconds=min(seconds, WAIT_SECONDS_MAX))


def labels_of(obj: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels


def is_deleting(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the managing controller, if there is one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return None


def owner_reference(owner: Object, api_version: str, kind: str) -> Object:
    """Return a controlling reference to `owner` that blocks its foreground deletion."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def find_condition(conditions: Any, type_: str) -> Object | None:
    for condition in conditions or ():
        if condition.get("type") == type_:
            found: Object = condition
            return found
    return None


def condition_of(obj: Object, type_: str) -> Object | None:
    """Return the status condition of that type."""
    return find_condition((obj.get("status") or {}).get("conditions"), type_)


def with_condition(conditions: list[Object], condition: Object) -> list[Object]:
    """Return `conditions` with one replaced or added, everything else in place."""
    replaced = [condition if known["type"] == condition["type"] else known for known in conditions]
    return replaced if any(known is condition for known in replaced) else [*replaced, condition]


def is_terminal(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Return whether a pod counts as a replica: neither finished nor on its way out."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_pod_ready(pod: Object) -> bool:
    ready = condition_of(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def available_at(pod: Object, min_ready_seconds: int) -> datetime | None:
    """Return when a pod is (or was) ready long enough; None while it is not ready."""
    ready = condition_of(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    since = parse_time(ready.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return later(since, min_ready_seconds)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether labels satisfy a label selector object; an empty selector matches all, None nothing."""
    if selector is None:
        return False
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    return all(_matches_expression(term, labels) for term in selector.get("matchExpressions") or ())


def _matches_expression(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(term["key"])
    values = term.get("values") or ()
    match term["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise ValueError(f"label selector: operator {other!r} is none of In, NotIn, Exists, DoesNotExist")
