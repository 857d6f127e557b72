"""What holds whenever a Rollout replaces a Deployment's pods, whatever people and pods do meanwhile."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.rollout.builders import UID, World, template
from tests.core.rollout.test_properties import STEP_LISTS, Deed, do
from tests.core.rollout.test_workload import change, deployment, referring

from prograde.api import names
from prograde.api.rollout import CanaryStrategy
from prograde.api.workloads import Deployment
from prograde.core.plan import ScaleWorkload
from prograde.core.rollout.replicasets import size_of

DEEDS = st.one_of(
    st.builds(Deed, st.just("round"), st.integers(1, 4)),
    st.builds(Deed, st.just("pods"), st.integers(0, 10**6)),
    st.builds(Deed, st.just("step")),
    st.builds(Deed, st.just("template"), st.integers(1, 3)),
    st.builds(Deed, st.just("deployment"), st.integers(0, 6)),
    st.builds(Deed, st.just("replicas"), st.integers(0, 6)),
    st.builds(Deed, st.just("tick"), st.sampled_from([1, 700])),
    st.builds(Deed, st.sampled_from(["resume", "abort", "retry", "full", "pause", "unpause"])),
)


def step(made: World, scale_down: str) -> None:
    """Plan, check what the plan does to the Deployment, and carry it out."""
    before, plan = made.workload, made.plan()
    made.apply(plan)
    assert isinstance(before, Deployment)
    for action in plan.actions:
        if isinstance(action, ScaleWorkload):
            check(made, before, action, scale_down)


def check(made: World, before: Deployment, action: ScaleWorkload, scale_down: str) -> None:
    old, wanted = before.spec.replicas or 0, made.rollout.spec.replicas or 0
    lasting = sum(min(size_of(each), each.status.available_replicas) for each in made.replica_sets.values())
    assert wanted > 0, "a Rollout that wants no pods replaces nothing"
    assert before.metadata.annotations.get(names.REPLACED_BY_ANNOTATION) != UID, "the move happens once"
    if action.replicas < old:
        assert action.replicas + lasting >= wanted, "capacity went before its replacement was there"
    if action.replicas > old:
        assert scale_down == names.SCALE_DOWN_PROGRESSIVELY
        found = int(before.metadata.annotations[names.REPLICAS_BEFORE_ANNOTATION])
        assert action.replicas <= found, "more pods than it ever had"
    assert scale_down == names.SCALE_DOWN_PROGRESSIVELY or action.replicas == 0


@pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(STEP_LISTS) - 1), st.lists(DEEDS, max_size=40))
def test_pods_of_the_deployment_go_only_for_others_and_the_move_ends(
    scale_down: str, steps: int, deeds: list[Deed]
) -> None:
    made = World(referring(scale_down, canary=CanaryStrategy(steps=STEP_LISTS[steps])))
    made.workload = deployment(size=4)
    for deed in deeds:
        match deed.name:
            case "step":
                step(made, scale_down)
            case "round":
                for _ in range(deed.value):
                    step(made, scale_down)
                    made.settle_pods()
            case "template":
                change(made, template=template(f"v{deed.value}"))
            case "deployment":
                change(made, replicas=deed.value)
            case _:
                do(made, deed)
    made.change_spec(paused=False, replicas=3)
    made.change_status(abort=False)
    for _ in range(60):
        made.change_status(pause_conditions=())
        step(made, scale_down)
        made.settle_pods()
        if made.status.phase == names.PHASE_HEALTHY and made.plan().writes_nothing:
            break
    assert made.status.phase == names.PHASE_HEALTHY, made.status.message
    assert isinstance(made.workload, Deployment)
    assert made.workload.metadata.annotations[names.REPLACED_BY_ANNOTATION] == UID
