"""Specs of AnalysisRuns and Experiments, and what an invalid Rollout says."""

import json

import pytest

from prograde.api.analysis import AnalysisRunSpec
from prograde.api.codec import decode
from prograde.api.experiment import Experiment
from prograde.api.meta import Condition
from prograde.api.rollout import Rollout
from prograde.api.validation import (
    analysis_run_error,
    experiment_error,
    invalid_spec_message,
    says_invalid_already,
    validate_rollout,
    workload_ref_error,
)
from prograde.core.analysis.prepared import selects

# --- AnalysisRun ----------------------------------------------------------------------------------------------


def run_error(*metrics: dict, **fields) -> str | None:
    spec = {"metrics": [{"name": f"m{i}", "provider": {"web": {}}, **each} for i, each in enumerate(metrics)], **fields}
    return analysis_run_error(decode(json.dumps(spec).encode(), AnalysisRunSpec), selects)


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        ({}, None),
        ({"count": 5, "interval": "1m", "failureLimit": 2, "consecutiveSuccessLimit": 3, "inconclusiveLimit": 5}, None),
        ({"consecutiveSuccessLimit": -1}, "consecutiveSuccessLimit must be >= 0"),
        ({"failureLimit": -2}, "failureLimit must be >= 0, or -1 to be disabled"),
        ({"failureLimit": -1}, "failureLimit and consecutiveSuccessLimit cannot both be disabled"),
        ({"failureLimit": "-1", "consecutiveSuccessLimit": "1"}, None),
        ({"inconclusiveLimit": -1}, "inconclusiveLimit must be >= 0"),
        ({"consecutiveErrorLimit": "-1"}, "consecutiveErrorLimit must be >= 0"),
        (
            {"count": 1, "failureLimit": 1, "consecutiveSuccessLimit": 1},
            "count (1) must be >= failureLimit + consecutiveSuccessLimit (1 + 1) if both >= 0",
        ),
        ({"count": 1, "failureLimit": -1, "consecutiveSuccessLimit": 2}, "count must be >= consecutiveSuccessLimit"),
        ({"count": 1, "inconclusiveLimit": 2}, "count must be >= inconclusiveLimit"),
        ({"inconclusiveLimit": 2}, None),
        ({"count": 2}, "interval must be specified when count > 1"),
        ({"count": "not a number", "failureLimit": 5}, None),
        ({"interval": "5"}, 'invalid interval string: time: missing unit in duration "5"'),
        ({"initialDelay": "1d"}, 'invalid startDelay string: time: unknown unit "d" in duration "1d"'),
        ({"provider": {}}, "no provider specified"),
        ({"provider": {"plugin": {}}}, "no provider specified"),
        ({"provider": {"plugin": {"a": {}}}}, None),
        ({"provider": {"plugin": {"a": {}, "b": {}}}}, "multiple providers specified"),
        ({"provider": {"web": {}, "job": {}}}, "multiple providers specified"),
        ({"provider": {"prometheus": {}, "plugin": {"a": {}}}}, "multiple providers specified"),
    ],
)
def test_the_metrics_of_a_run(metric, error):
    assert run_error({}, metric) == (None if error is None else f"metrics[1]: {error}")


def test_a_run_needs_metrics_of_different_names():
    assert run_error() == "no metrics specified"
    assert run_error({"name": "a"}, {"name": "a"}) == "metrics[1]: duplicate name 'a'"


@pytest.mark.parametrize("field", ["dryRun", "measurementRetention"])
@pytest.mark.parametrize(
    ("pattern", "is_match"), [("m0", True), (".*", True), ("", True), ("0$", True), ("*", False), ("other", False)]
)
def test_every_rule_must_match_a_metric_and_a_bare_asterisk_matches_none(field, pattern, is_match):
    error = run_error({}, **{field: [{"metricName": "m"}, {"metricName": pattern}]})
    assert error == (None if is_match else f"{field}[1]: Rule didn't match any metric name(s)")


# --- Experiment -----------------------------------------------------------------------------------------------

SELECTOR = {"matchLabels": {"a": "b"}}


@pytest.mark.parametrize(
    ("template", "spec", "error"),
    [
        ({"name": "b"}, {}, None),
        ({"selector": None}, {}, "Rollout has missing field '.Spec.Templates[1].Selector'"),
        ({"selector": {}}, {}, "This experiment is selecting all pods at index 1. A non-empty selector is required."),
        (
            {"minReadySeconds": 601},
            {},
            "MinReadySeconds cannot be longer than ProgressDeadlineSeconds. Check template index 1",
        ),
        ({"name": "b", "minReadySeconds": 601}, {"progressDeadlineSeconds": 601}, None),
        ({}, {}, "Experiment exp has empty template name at index 1"),
        ({"name": "a"}, {}, "Experiment exp has repeated template name 'a' in templates"),
        ({"name": "b"}, {"duration": "10"}, 'invalid duration string: time: missing unit in duration "10"'),
        ({"name": "b"}, {"duration": "10m"}, None),
    ],
)
def test_the_templates_of_an_experiment(template, spec, error):
    templates = [{"name": "a", "selector": SELECTOR}, {"selector": SELECTOR, **template}]
    value = {"metadata": {"name": "exp"}, "spec": {"templates": templates, **spec}}
    assert experiment_error(decode(json.dumps(value).encode(), Experiment)) == error


def test_an_experiment_without_templates_is_valid():
    assert experiment_error(Experiment()) is None


# --- Invalid Rollouts -----------------------------------------------------------------------------------------


def test_the_condition_of_an_invalid_rollout_names_it_and_its_first_error():
    error = validate_rollout(Rollout())[0]
    message = invalid_spec_message("cart", error)
    assert message == (
        "The Rollout \"cart\" is invalid: spec.selector: Required value: Rollout has missing field '.spec.selector'"
    )
    assert error.body == "Required value: Rollout has missing field '.spec.selector'"
    assert not says_invalid_already((), message)
    assert says_invalid_already((Condition(type="InvalidSpec", status="True", message=message),), message)
    assert not says_invalid_already((Condition(type="InvalidSpec", status="True", message="other"),), message)


def test_an_unresolved_workload_is_an_error_of_its_reference():
    text = b'{"spec":{"workloadRef":{"kind":"Job","name":"x","apiVersion":"batch/v1"}}}'
    reason = "workload of type batch/Job is not supported"
    assert str(workload_ref_error(decode(text, Rollout), reason)) == (
        f'spec.workloadRef: Invalid value: {{"apiVersion":"batch/v1","kind":"Job","name":"x"}}: {reason}'
    )
    assert invalid_spec_message("cart", reason) == f'The Rollout "cart" is invalid: {reason}'
