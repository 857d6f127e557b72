"""Two versions of one thing, converted there and back."""

import copy
from typing import Any

import pytest

from prograde.sandbox.views import autoscaler_from_v1, autoscaler_to_v1, event_from_core, event_to_core

CORE_EVENT = {
    "metadata": {"name": "e", "namespace": "shop"},
    "involvedObject": {"kind": "Rollout", "name": "cart"},
    "reason": "RolloutUpdated",
    "message": "text",
    "source": {"component": "prograde"},
    "firstTimestamp": "2026-11-25T10:00:00Z",
    "lastTimestamp": "2026-11-25T10:01:00Z",
    "count": 2,
    "type": "Normal",
    "eventTime": None,
    "reportingComponent": "prograde",
    "reportingInstance": "pod-1",
    "action": "Update",
}
NEW_EVENT = {
    "metadata": {"name": "e", "namespace": "shop"},
    "regarding": {"kind": "Rollout", "name": "cart"},
    "reason": "RolloutUpdated",
    "note": "text",
    "deprecatedSource": {"component": "prograde"},
    "deprecatedFirstTimestamp": "2026-11-25T10:00:00Z",
    "deprecatedLastTimestamp": "2026-11-25T10:01:00Z",
    "deprecatedCount": 2,
    "type": "Normal",
    "eventTime": None,
    "reportingController": "prograde",
    "reportingInstance": "pod-1",
    "action": "Update",
}


def test_an_event_reads_the_same_in_both_groups() -> None:
    assert event_from_core(copy.deepcopy(CORE_EVENT)) == NEW_EVENT
    assert event_to_core(copy.deepcopy(NEW_EVENT)) == CORE_EVENT


def cpu(member: str, **value: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", member: value}}


def test_an_autoscaler_of_v1_is_stored_with_a_cpu_metric() -> None:
    old = {
        "spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 70},
        "status": {"currentReplicas": 1, "currentCPUUtilizationPercentage": 40},
    }
    new = {
        "spec": {"maxReplicas": 5, "metrics": [cpu("target", type="Utilization", averageUtilization=70)]},
        "status": {"currentReplicas": 1, "currentMetrics": [cpu("current", averageUtilization=40)]},
    }
    assert autoscaler_from_v1(copy.deepcopy(old)) == new
    assert autoscaler_to_v1(copy.deepcopy(new)) == old


def test_v1_does_not_see_what_it_has_no_words_for() -> None:
    new = {
        "spec": {
            "maxReplicas": 5,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}},
            "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"averageUtilization": 1}}},
                {"type": "Pods", "pods": {}},
            ],
        },
        "status": {"conditions": [{"type": "AbleToScale"}]},
    }
    assert autoscaler_to_v1(new) == {"spec": {"maxReplicas": 5}, "status": {}}


@pytest.mark.parametrize("convert", [event_to_core, event_from_core, autoscaler_from_v1, autoscaler_to_v1])
def test_an_empty_object_stays_empty(convert: Any) -> None:
    assert convert({"metadata": {}}) == {"metadata": {}}
