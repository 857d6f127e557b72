"""Effective values of absent fields."""

import json
from datetime import timedelta

import pytest

from prograde.api import defaults
from prograde.api.analysis import Metric
from prograde.api.codec import decode
from prograde.api.experiment import ExperimentSpec, ExperimentTemplate
from prograde.api.rollout import AlbTrafficRouting, CanaryStrategy, NginxTrafficRouting, RolloutSpec
from prograde.core.rollout.replicas import limits


def spec(**fields) -> RolloutSpec:
    return decode(json.dumps(fields).encode(), RolloutSpec)


def canary(**fields) -> RolloutSpec:
    return spec(strategy={"canary": fields})


def blue_green(**fields) -> RolloutSpec:
    return spec(strategy={"blueGreen": fields})


ROUTED = {"trafficRouting": {}}


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        (defaults.effective_replicas, spec(), 1),
        (defaults.effective_replicas, spec(replicas=0), 0),
        (defaults.effective_revision_history_limit, spec(), 10),
        (defaults.effective_revision_history_limit, spec(revisionHistoryLimit=0), 0),
        (defaults.effective_successful_run_history_limit, spec(), 5),
        (defaults.effective_successful_run_history_limit, spec(analysis={}), 5),
        (defaults.effective_successful_run_history_limit, spec(analysis={"successfulRunHistoryLimit": 0}), 0),
        (defaults.effective_unsuccessful_run_history_limit, spec(), 5),
        (defaults.effective_unsuccessful_run_history_limit, spec(analysis={"unsuccessfulRunHistoryLimit": 1}), 1),
        (defaults.effective_progress_deadline_seconds, spec(), 600),
        (defaults.effective_progress_deadline_seconds, spec(progressDeadlineSeconds=0), 0),
        (defaults.effective_progress_deadline_seconds, ExperimentSpec(), 600),
        (defaults.effective_max_surge, spec(), "25"),
        (defaults.effective_max_surge, canary(), "25"),
        (defaults.effective_max_surge, canary(maxSurge=0), 0),
        (defaults.effective_max_surge, canary(maxSurge="10%"), "10%"),
        (defaults.effective_max_unavailable, spec(), "25"),
        (defaults.effective_max_unavailable, canary(maxUnavailable=2), 2),
        (defaults.effective_max_unavailable, blue_green(maxUnavailable="1%"), "1%"),
        (
            defaults.effective_max_unavailable,
            spec(strategy={"blueGreen": {"maxUnavailable": 1}, "canary": {"maxUnavailable": 2}}),
            1,
        ),
        (defaults.effective_scale_down_delay_seconds, spec(), 0),
        (defaults.effective_scale_down_delay_seconds, blue_green(), 30),
        (defaults.effective_scale_down_delay_seconds, blue_green(scaleDownDelaySeconds=0), 0),
        (defaults.effective_scale_down_delay_seconds, canary(), 0),
        (defaults.effective_scale_down_delay_seconds, canary(scaleDownDelaySeconds=5), 0),
        (defaults.effective_scale_down_delay_seconds, canary(**ROUTED), 30),
        (defaults.effective_scale_down_delay_seconds, canary(**ROUTED, scaleDownDelaySeconds=5), 5),
        (defaults.effective_scale_down_delay_revision_limit, spec(), None),
        (defaults.effective_scale_down_delay_revision_limit, canary(scaleDownDelayRevisionLimit=2), 2),
        (defaults.effective_scale_down_delay_revision_limit, blue_green(scaleDownDelayRevisionLimit=0), 0),
        (defaults.effective_abort_scale_down_delay, spec(), timedelta()),
        (defaults.effective_abort_scale_down_delay, canary(), timedelta()),
        (defaults.effective_abort_scale_down_delay, canary(abortScaleDownDelaySeconds=9), timedelta()),
        (defaults.effective_abort_scale_down_delay, canary(**ROUTED), timedelta(seconds=30)),
        (defaults.effective_abort_scale_down_delay, canary(**ROUTED, abortScaleDownDelaySeconds=0), None),
        (defaults.effective_abort_scale_down_delay, blue_green(abortScaleDownDelaySeconds=9), timedelta(seconds=9)),
        (defaults.effective_abort_scale_down_delay, blue_green(), timedelta(seconds=30)),
        (defaults.effective_abort_scale_down_delay, blue_green(abortScaleDownDelaySeconds=0), None),
        (defaults.has_explicit_abort_scale_down_delay, spec(), False),
        (defaults.has_explicit_abort_scale_down_delay, canary(**ROUTED), False),
        (defaults.has_explicit_abort_scale_down_delay, canary(**ROUTED, abortScaleDownDelaySeconds=0), False),
        (defaults.has_explicit_abort_scale_down_delay, canary(**ROUTED, abortScaleDownDelaySeconds=9), True),
        (defaults.has_explicit_abort_scale_down_delay, canary(abortScaleDownDelaySeconds=9), False),
        (defaults.has_explicit_abort_scale_down_delay, blue_green(abortScaleDownDelaySeconds=9), True),
        (defaults.effective_auto_promotion_enabled, spec(), True),
        (defaults.effective_auto_promotion_enabled, blue_green(), True),
        (defaults.effective_auto_promotion_enabled, blue_green(autoPromotionEnabled=True), True),
        (defaults.effective_auto_promotion_enabled, blue_green(autoPromotionEnabled=False), False),
        (defaults.effective_max_traffic_weight, spec(), 100),
        (defaults.effective_max_traffic_weight, canary(**ROUTED), 100),
        (defaults.effective_max_traffic_weight, canary(trafficRouting={"maxTrafficWeight": 1000}), 1000),
        (defaults.effective_workload_scale_down, spec(), "never"),
        (defaults.effective_workload_scale_down, spec(workloadRef={}), "never"),
        (defaults.effective_workload_scale_down, spec(workloadRef={"scaleDown": "onSuccess"}), "never"),
        (defaults.effective_workload_scale_down, spec(workloadRef={"scaleDown": "onsuccess"}), "onsuccess"),
        (defaults.effective_workload_scale_down, spec(workloadRef={"scaleDown": "progressively"}), "progressively"),
        (defaults.effective_nginx_annotation_prefix, NginxTrafficRouting(), "nginx.ingress.kubernetes.io"),
        (defaults.effective_nginx_annotation_prefix, NginxTrafficRouting(annotation_prefix="x"), "x"),
        (defaults.effective_alb_annotation_prefix, AlbTrafficRouting(), "alb.ingress.kubernetes.io"),
        (defaults.effective_starting_step, CanaryStrategy(), 0),
        (defaults.effective_experiment_replicas, ExperimentTemplate(), 1),
        (defaults.effective_experiment_replicas, ExperimentTemplate(replicas=0), 0),
        (defaults.effective_experiment_scale_down_delay_seconds, ExperimentSpec(), 30),
        (defaults.effective_experiment_scale_down_delay_seconds, ExperimentSpec(scale_down_delay_seconds=0), 0),
        (defaults.effective_count, Metric(), 1),
        (defaults.effective_count, Metric(count=0), 1),
        (defaults.effective_count, Metric(interval="1m"), None),
        (defaults.effective_count, Metric(interval="1m", count="0"), None),
        (defaults.effective_count, Metric(interval="1m", count="3"), 3),
        (defaults.effective_consecutive_error_limit, Metric(), 4),
        (defaults.effective_consecutive_error_limit, Metric(consecutive_error_limit=0), 0),
    ],
)
def test_an_absent_field_has_an_effective_value(function, argument, expected):
    assert function(argument) == expected
    assert type(function(argument)) is type(expected)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        (None, None, 10, (3, 2)),
        (None, None, 1, (1, 0)),
        (0, 0, 5, (0, 1)),
        (0, "1%", 5, (0, 1)),
        ("0%", "nonsense", 5, (0, 1)),
        (0, 0, 0, (0, 0)),
        (1, 9, 5, (1, 5)),
        ("100%", 0, 4, (4, 0)),
    ],
)
def test_the_limits_are_never_both_zero_and_within_the_replicas(surge, unavailable, replicas, expected):
    spec = canary(maxSurge=surge, maxUnavailable=unavailable)
    resolved = limits(replicas, defaults.effective_max_surge(spec), defaults.effective_max_unavailable(spec))
    assert (resolved.surge, resolved.unavailable) == expected
