"""Two versions of one thing: Events in core and in events.k8s.io, autoscalers of v1 and v2.

Objects are stored in one form; these functions turn the fields of the other into it and back. They may change their
argument, which is a private copy, and return it; apiVersion is left to the server.
"""

from typing import Any

from prograde.sandbox.kinds import Object

__all__ = ["autoscaler_from_v1", "autoscaler_to_v1", "event_from_core", "event_to_core"]

_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""Core name -> name in events.k8s.io; all other fields have the same name in both."""


def event_to_core(event: Object) -> Object:
    """Turn an Event of events.k8s.io/v1 into one of v1, the stored form."""
    for core, other in _EVENT_FIELDS.items():
        _rename(event, other, core)
    return event


def event_from_core(event: Object) -> Object:
    """Turn a stored Event into one of events.k8s.io/v1."""
    for core, other in _EVENT_FIELDS.items():
        _rename(event, core, other)
    return event


def _rename(obj: dict[str, Any], before: str, after: str) -> None:
    if before in obj:
        obj[after] = obj.pop(before)


def autoscaler_from_v1(autoscaler: Object) -> Object:
    """Turn a HorizontalPodAutoscaler of autoscaling/v1 into one of v2, the stored form."""
    spec = autoscaler.get("spec")
    if isinstance(spec, dict):
        percent = spec.pop("targetCPUUtilizationPercentage", None)
        if percent is not None:
            spec["metrics"] = [_cpu_metric("target", {"type": "Utilization", "averageUtilization": percent})]
    status = autoscaler.get("status")
    if isinstance(status, dict):
        percent = status.pop("currentCPUUtilizationPercentage", None)
        if percent is not None:
            status["currentMetrics"] = [_cpu_metric("current", {"averageUtilization": percent})]
    return autoscaler


def autoscaler_to_v1(autoscaler: Object) -> Object:
    """Turn a stored HorizontalPodAutoscaler into one of autoscaling/v1, which knows no other metric than CPU."""
    spec = autoscaler.get("spec")
    if isinstance(spec, dict):
        percent = _cpu_utilization(spec.pop("metrics", None), "target")
        if percent is not None:
            spec["targetCPUUtilizationPercentage"] = percent
        spec.pop("behavior", None)
    status = autoscaler.get("status")
    if isinstance(status, dict):
        percent = _cpu_utilization(status.pop("currentMetrics", None), "current")
        if percent is not None:
            status["currentCPUUtilizationPercentage"] = percent
        status.pop("conditions", None)
    return autoscaler


def _cpu_metric(member: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", member: value}}


def _cpu_utilization(metrics: Any, member: str) -> int | None:
    for metric in metrics or ():
        resource = metric.get("resource") or {}
        if metric.get("type") == "Resource" and resource.get("name") == "cpu":
            found: int | None = (resource.get(member) or {}).get("averageUtilization")
            return found
    return None
