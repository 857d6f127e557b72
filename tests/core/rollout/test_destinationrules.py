"""What becomes of a DestinationRule when its Rollout stays, leaves it, or is gone."""

from typing import Any

import pytest

from prograde.api.meta import NamespacedName, ObjectMeta
from prograde.api.rollout import (
    CanaryStrategy,
    IstioDestinationRule,
    IstioTrafficRouting,
    Rollout,
    RolloutSpec,
    RolloutStrategy,
    TrafficRouting,
)
from prograde.core.objects import DESTINATION_RULES, ObjectRef
from prograde.core.rollout.destinationrules import (
    DestinationRuleDecision,
    destination_rule_of,
    manager_of,
    plan_destination_rule,
    subset_hashes,
)
from prograde.kube.patches import merge_patch

HASH = "rollouts-pod-template-hash"
MANAGER = "argo-rollouts.argoproj.io/managed-by-rollouts"
REF = ObjectRef(DESTINATION_RULES, "shop", "web-dr")


def rule(*subsets: Any, manager: str | None = "web", **spec: Any) -> dict[str, Any]:
    annotations = {"team": "web", **({MANAGER: manager} if manager is not None else {})}
    return {
        "metadata": {"name": "web-dr", "namespace": "shop", "resourceVersion": "7", "annotations": annotations},
        "spec": {"host": "web", **spec, "subsets": list(subsets)},
    }


def rollout(name: str | None) -> Rollout:
    """A Rollout that names this DestinationRule; None for one without."""
    named = None if name is None else IstioDestinationRule(name=name, canary_subset_name="c", stable_subset_name="s")
    routing = TrafficRouting(istio=IstioTrafficRouting(destination_rule=named))
    return Rollout(
        metadata=ObjectMeta(name="web", namespace="shop"),
        spec=RolloutSpec(strategy=RolloutStrategy(canary=CanaryStrategy(traffic_routing=routing))),
    )


CANARY = {"name": "canary", "labels": {HASH: "abc", "version": "v3"}, "trafficPolicy": {"tls": {}}}
STABLE = {"name": "stable", "labels": {HASH: "def"}}


def test_a_destination_rule_in_use_is_handed_to_its_rollout() -> None:
    decision = plan_destination_rule(rule(CANARY, STABLE), rollout("web-dr"))
    assert decision == DestinationRuleDecision(rollout=NamespacedName("shop", "web"))


@pytest.mark.parametrize("manager", [None, ""])
def test_a_destination_rule_without_manager_is_left_alone(manager: str | None) -> None:
    assert plan_destination_rule(rule(CANARY, manager=manager), None) == DestinationRuleDecision()


@pytest.mark.parametrize("former", [None, rollout(None), rollout("other")], ids=["deleted", "without", "another"])
def test_a_destination_rule_that_is_left_loses_the_hashes_and_the_annotation(former: Rollout | None) -> None:
    obj = rule(CANARY, STABLE, {"name": "mine", "labels": {"a": "b"}}, trafficPolicy={"x": 1})
    decision = plan_destination_rule(obj, former)
    assert decision.rollout is None
    assert decision.action is not None
    assert decision.action.ref == REF
    patch = decision.action.patch
    assert patch["metadata"] == {"resourceVersion": "7", "annotations": {MANAGER: None}}
    after = merge_patch(obj, patch)
    assert after["spec"] == {
        "host": "web",
        "trafficPolicy": {"x": 1},
        "subsets": [
            {"name": "canary", "labels": {"version": "v3"}, "trafficPolicy": {"tls": {}}},
            {"name": "stable"},
            {"name": "mine", "labels": {"a": "b"}},
        ],
    }
    assert after["metadata"]["annotations"] == {"team": "web"}
    assert plan_destination_rule(after, former) == DestinationRuleDecision()


def test_without_hashes_only_the_annotation_is_removed() -> None:
    decision = plan_destination_rule(rule({"name": "mine"}), None)
    assert decision.action is not None
    assert decision.action.patch == {"metadata": {"resourceVersion": "7", "annotations": {MANAGER: None}}}


@pytest.mark.parametrize("spec", [{"subsets": "x"}, {"subsets": ["x", 5, {"labels": 3}]}, "x", None])
def test_odd_subsets_are_left_as_they_are(spec: Any) -> None:
    obj = {**rule(), "spec": spec}
    decision = plan_destination_rule(obj, None)
    assert decision.action is not None
    assert "spec" not in decision.action.patch


def test_what_a_destination_rule_says_is_read() -> None:
    assert manager_of(rule()) == "web"
    assert manager_of({}) == ""
    assert subset_hashes(rule(CANARY, STABLE, {"name": "x"}, "odd")) == {"abc", "def"}
    assert subset_hashes({"spec": {}}) == frozenset()


def test_a_rollout_names_a_destination_rule_of_its_own_namespace() -> None:
    assert destination_rule_of(rollout("web-dr")) == REF
    assert destination_rule_of(rollout(None)) is None
    assert destination_rule_of(rollout("")) is None
    assert destination_rule_of(Rollout()) is None
