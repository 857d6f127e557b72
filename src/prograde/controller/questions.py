"""What a plan asks for instead of deciding: pods, runs that a cache may not have yet, answers of step plugins.

A plan that is a question is carried out by finding the answer, putting it into the snapshot and planning again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import is_controlled_by
from prograde.api.names import ANALYSIS_RUN
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.selectors import format_selector
from prograde.api.workloads import Pod
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, PODS
from prograde.core.plan import Plan, PluginCall, RunRef
from prograde.core.rollout.snapshot import PluginAnswer, RolloutSnapshot
from prograde.core.rollout.workload import resolve
from prograde.kube.client import Client
from prograde.kube.errors import NotFound

__all__ = ["CallPlugin", "answered", "no_plugins"]

CallPlugin: TypeAlias = Callable[[Rollout, PluginCall], Awaitable[PluginAnswer]]
"""Calls a step plugin for a Rollout. Never raises: what goes wrong is in the answer."""


async def no_plugins(rollout: Rollout, call: PluginCall) -> PluginAnswer:
    """Answer for plugins where there are none."""
    return PluginAnswer(call=call, unusable=f"plugin {call.name} not configured in configmap")


async def answered(
    client: Client, call_plugin: CallPlugin, snapshot: RolloutSnapshot, plan: Plan[RolloutStatus]
) -> RolloutSnapshot:
    """Return the snapshot with the answers to what `plan` asks for.

    Raises:
        ApiError, Unreachable: the API server could not be asked.
    """
    if plan.wants_pods:
        return msgspec.structs.replace(snapshot, pods=await _pods(client, resolve(snapshot)))
    if plan.wants_runs:
        return await _with_runs(client, snapshot, plan.wants_runs)
    answers = snapshot.plugin_answers
    for call in plan.wants_plugin_calls:
        answers += (await call_plugin(snapshot.rollout, call),)
    return msgspec.structs.replace(snapshot, plugin_answers=answers)


async def _pods(client: Client, rollout: Rollout) -> tuple[Pod, ...]:
    selector = format_selector(rollout.spec.selector)
    listing = await client.list(PODS, rollout.metadata.namespace, label_selector=selector)
    return tuple(listing.to(Pod))


async def _with_runs(client: Client, snapshot: RolloutSnapshot, wanted: tuple[RunRef, ...]) -> RolloutSnapshot:
    """Look up runs by name; one that belongs to somebody else is not the one that is meant."""
    metadata = snapshot.rollout.metadata
    found = await asyncio.gather(*(_run(client, metadata.namespace, ref) for ref in wanted))
    own = [run for run in found if run is not None and is_controlled_by(run, metadata.uid)]
    return msgspec.structs.replace(
        snapshot,
        analysis_runs=snapshot.analysis_runs + tuple(run for run in own if isinstance(run, AnalysisRun)),
        experiments=snapshot.experiments + tuple(run for run in own if isinstance(run, Experiment)),
        looked_up=snapshot.looked_up | frozenset(wanted),
    )


async def _run(client: Client, namespace: str, ref: RunRef) -> AnalysisRun | Experiment | None:
    try:
        if ref.kind == ANALYSIS_RUN:
            return (await client.get(ANALYSIS_RUNS, namespace, ref.name)).to(AnalysisRun)
        return (await client.get(EXPERIMENTS, namespace, ref.name)).to(Experiment)
    except NotFound:
        return None
