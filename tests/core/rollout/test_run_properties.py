"""Random histories of releases that are measured: what must hold whatever people, runs and crashes do.

A run counts for one attempt: from the moment at which a template is seen, or an abort is taken back, to the next one.
"""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.rollout.bluegreen_world import BlueGreenWorld
from tests.core.rollout.builders import World, hash_for, pause, weight
from tests.core.rollout.runs_world import (
    RunsWorld,
    analysis,
    analysis_step,
    analysis_template,
    background,
    check_runs,
    deployed,
    experiment_step,
    is_stopped,
    plugin_step,
    set_experiment,
    set_phase,
)

from prograde.api import names
from prograde.api.analysis import AnalysisRun
from prograde.core.rollout.snapshot import PluginAnswer

PHASES = ("Pending", "Running", "Successful", "Failed", "Error", "Inconclusive")
FINISHED = names.COMPLETED_RUN_PHASES


class Deed(NamedTuple):
    """One thing that happens to a release."""

    kind: str
    value: Any = None


DEEDS = st.one_of(
    st.builds(Deed, st.just("image"), st.sampled_from(["v1", "v2", "v3"])),
    st.builds(Deed, st.just("phase"), st.tuples(st.integers(0, 5), st.sampled_from(PHASES))),
    st.builds(Deed, st.just("all"), st.sampled_from(["Successful", "Successful", *PHASES])),
    st.builds(Deed, st.just("answer"), st.sampled_from(["Running", "Successful", "Failed", "Error", ""])),
    st.builds(Deed, st.just("replicas"), st.integers(1, 4)),
    st.builds(Deed, st.just("crash"), st.integers(0, 3)),
    st.builds(Deed, st.just("steps"), st.integers(1, 4)),
    st.builds(Deed, st.just("tick"), st.sampled_from([1, 31, 700])),
    st.sampled_from(
        [Deed(each) for each in ("resume", "promote", "abort", "retry", "pause", "unpause", "full", "lose", "settle")]
    ),
)


def do(world: Any, deed: Deed) -> None:
    match deed.kind:
        case "image":
            world.set_image(deed.value)
        case "phase":
            _end_one(world, *deed.value)
        case "all":
            settle(world)
            for position in range(3):
                _end_one(world, position, deed.value)
            settle(world)
        case "answer":
            world.plugin = lambda call: PluginAnswer(call=call, phase=deed.value)
        case "replicas":
            world.change_spec(replicas=deed.value)
        case "crash":
            world.apply(world.plan(), stop_after=deed.value)
        case "steps":
            for _ in range(deed.value):
                world.step()
                world.settle_pods()
        case "tick":
            world.tick(deed.value)
        case "resume" | "promote":
            world.promote() if deed.kind == "promote" else world.change_status(pause_conditions=())
        case "abort":
            world.abort()
        case "retry":
            world.retry()
        case "pause" | "unpause":
            world.change_spec(paused=deed.kind == "pause")
        case "full":
            if world.status.stable_rs != world.status.current_pod_hash:
                world.change_status(promote_full=True)
        case "lose":
            world.analysis_runs = world.analysis_runs[:-1]
        case "settle":
            settle(world)


def _end_one(world: World, position: int, phase: str) -> None:
    """Let a run that is at work come to a phase."""
    at_work = [each for each in (*world.analysis_runs, *world.experiments) if each.status.phase not in FINISHED]
    if at_work:
        chosen = at_work[position % len(at_work)]
        set_one = set_phase if isinstance(chosen, AnalysisRun) else set_experiment
        set_one(world, chosen.metadata.name, phase)


def settle(world: World) -> None:
    """Go on until nothing is written any more; that this comes to an end is a property, too."""
    for _ in range(80):
        plan = world.step()
        assert plan.requeue_at is None or plan.requeue_at > world.now, "a plan that wants to be made again at once"
        moved = world.settle_pods()
        if plan.writes_nothing and not moved:
            return
    raise AssertionError(f"does not come to rest: {plan}")


def recorded(world: World) -> set[str]:
    """Return the names of the runs that the status records."""
    canary, blue_green = world.status.canary, world.status.blue_green
    entries = (
        canary.current_step_analysis_run_status,
        canary.current_background_analysis_run_status,
        blue_green.pre_promotion_analysis_run_status,
        blue_green.post_promotion_analysis_run_status,
    )
    return {each.name for each in entries if each is not None} | {canary.current_experiment} - {""}


def check_rest(world: World) -> None:
    """What holds when nothing moves any more."""
    check_runs(world)
    for each in (*world.analysis_runs, *world.experiments):
        if each.status.phase not in FINISHED and not is_stopped(each):
            assert each.metadata.name in recorded(world), "a run is at work that nobody waits for"
            assert not world.status.abort, "a run goes on although the update is aborted"
            assert world.status.stable_rs != world.status.current_pod_hash, "a run goes on after the promotion"


def runs_of_attempt(world: World, kind: str, pod_hash: str, since: datetime) -> list[AnalysisRun]:
    return [
        each
        for each in world.analysis_runs
        if each.metadata.labels[names.ROLLOUT_TYPE_LABEL] == kind
        and each.metadata.labels[names.POD_TEMPLATE_HASH_LABEL] == pod_hash
        and each.metadata.creation_timestamp is not None
        and each.metadata.creation_timestamp >= since
    ]


# ---- Canary ----------------------------------------------------------------------------------------------------------


class WatchedCanary(RunsWorld):
    """A canary in which every completed step is checked against the runs of the attempt."""

    attempt_began: datetime

    def step(self) -> Any:
        before = self.status
        plan = super().step()
        after = self.status
        if before.current_pod_hash != after.current_pod_hash or (before.aborted_at and not after.aborted_at):
            self.attempt_began = before.aborted_at or self.now.replace(microsecond=0)
        index = before.current_step_index
        if index is not None and after.current_step_index == index + 1 and not after.promote_full:
            self._check_completed(index, before.current_pod_hash)
        return plan

    def _check_completed(self, index: int, pod_hash: str) -> None:
        canary = self.rollout.spec.strategy.canary
        assert canary is not None
        step = canary.steps[index]
        completed = [each.message for each in self.plans[-1].events if each.reason == "RolloutStepCompleted"]
        if step.analysis is not None and completed:
            own = [
                each
                for each in runs_of_attempt(self, names.ANALYSIS_STEP, pod_hash, self.attempt_began)
                if each.metadata.labels[names.STEP_INDEX_LABEL] == str(index)
            ]
            assert any(each.status.phase == names.RUN_SUCCESSFUL for each in own), "a step without its success"
        if step.plugin is not None and completed:
            done = [
                (each.operation, each.phase) for each in self.status.canary.step_plugin_statuses if each.index == index
            ]
            assert done == [("Run", "Successful")], "a step whose plugin has not done its work"


STEPS = st.lists(
    st.sampled_from([weight(50), pause(), analysis_step(), analysis_step("latency"), experiment_step(), plugin_step()]),
    min_size=1,
    max_size=4,
)


@given(steps=STEPS, has_background=st.booleans(), deeds=st.lists(DEEDS, max_size=14))
@settings(max_examples=150, deadline=None)
def test_a_canary_completes_no_step_without_its_own_success_and_always_comes_to_rest(steps, has_background, deeds):
    ready = deployed(*steps, analysis=background("latency") if has_background else None)
    world = WatchedCanary(ready.rollout, *ready.replica_sets.values())
    world.templates, world.now, world.attempt_began = ready.templates, ready.now, ready.now
    world.plugin = lambda call: PluginAnswer(call=call, phase="Running")
    for deed in deeds:
        do(world, deed)
    settle(world)
    check_rest(world)
    assert world.step().writes_nothing


# ---- Blue-green ------------------------------------------------------------------------------------------------------


class WatchedBlueGreen(BlueGreenWorld):
    """A blue-green Rollout in which every switch and every promotion is checked against the runs of the attempt."""

    attempt_began: datetime

    def step(self) -> Any:
        before, active = self.status, self.active
        is_fast = before.promote_full or self.deadline_of_new() is not None
        plan = super().step()
        after = self.status
        if before.current_pod_hash != after.current_pod_hash or (before.aborted_at and not after.aborted_at):
            self.attempt_began = before.aborted_at or self.now.replace(microsecond=0)
        duration = after.duration
        is_fast |= duration is not None and duration.completion_status == names.COMPLETION_FAST_ROLLED_BACK
        new = hash_for(self.image)
        if active != self.active and self.active == self.image and before.stable_rs not in ("", new) and not is_fast:
            self._check("pre", names.ANALYSIS_PRE_PROMOTION, new)
        strategy = self.rollout.spec.strategy.blue_green
        has_post = strategy is not None and strategy.post_promotion_analysis is not None
        if has_post and before.stable_rs not in ("", after.stable_rs) and not is_fast:
            self._check("post", names.ANALYSIS_POST_PROMOTION, after.stable_rs)
        return plan

    @property
    def image(self) -> str:
        return str(msgspec.json.decode(self.rollout.spec.template)["spec"]["containers"][0]["image"])

    def deadline_of_new(self) -> datetime | None:
        is_there = any(self.image_of(each) == self.image for each in self.replica_sets.values())
        return self.deadline(self.image) if is_there else None

    def _check(self, which: str, kind: str, pod_hash: str) -> None:
        own = runs_of_attempt(self, kind, pod_hash, self.attempt_began)
        assert any(each.status.phase == names.RUN_SUCCESSFUL for each in own), f"{which} has not succeeded"


@given(
    has_post=st.booleans(),
    is_manual=st.booleans(),
    preview=st.sampled_from([None, 1]),
    deeds=st.lists(DEEDS, max_size=14),
)
@settings(max_examples=150, deadline=None)
def test_a_blue_green_rollout_passes_no_gate_without_its_success_and_always_comes_to_rest(
    has_post, is_manual, preview, deeds
):
    ready = BlueGreenWorld.deployed(replicas=2, preview_replica_count=preview, auto_promotion_enabled=not is_manual)
    world = WatchedBlueGreen(ready.rollout, *ready.replica_sets.values(), services=list(ready.services.values()))
    world.templates = {each: analysis_template(each) for each in ("errors", "latency")}
    world.now = world.attempt_began = ready.now
    world.edit_strategy(
        pre_promotion_analysis=analysis(), post_promotion_analysis=analysis("latency") if has_post else None
    )
    for deed in deeds:
        do(world, deed if deed.kind != "promote" else replace_with_resume(deed))
    settle(world)
    check_rest(world)
    assert world.step().writes_nothing


def replace_with_resume(deed: Deed) -> Deed:
    """Blue-green has no steps to promote."""
    return deed._replace(kind="resume")
