"""Reading one Rollout with everything below it: once, or again at every change."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NO_RAW, Object
from prograde.api.rollout import Rollout
from prograde.api.workloads import Deployment, Pod, PodTemplate, ReplicaSet
from prograde.cli.connect import Session
from prograde.cli.framework import CliError
from prograde.cli.workload import DEPLOYMENTS, POD_TEMPLATES
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, PODS, REPLICA_SETS, ROLLOUTS
from prograde.dashboard.views import RolloutView, rollout_view
from prograde.kube.errors import NotFound
from prograde.kube.informer import Informer
from prograde.kube.resources import Key, Resource

__all__ = ["observe_rollout", "read_rollout"]

T = TypeVar("T", bound=Object)


async def read_rollout(session: Session, name: str) -> tuple[Rollout, RolloutView]:
    """Read the Rollout and what belongs to it once.

    Raises:
        CliError: there is no such Rollout.
    """
    client, namespace = session.client, session.namespace
    try:
        rollout = (await client.get(ROLLOUTS, namespace, name)).to(Rollout)
    except NotFound as err:
        raise not_found(name) from err
    sets, pods, runs, experiments, template = await asyncio.gather(
        client.list(REPLICA_SETS, namespace),
        client.list(PODS, namespace),
        client.list(ANALYSIS_RUNS, namespace),
        client.list(EXPERIMENTS, namespace),
        _workload_template(session, rollout),
    )
    view = rollout_view(
        rollout,
        replica_sets=sets.to(ReplicaSet),
        pods=pods.to(Pod),
        analysis_runs=runs.to(AnalysisRun),
        experiments=experiments.to(Experiment),
        workload_template=template,
    )
    return rollout, view


@asynccontextmanager
async def observe_rollout(session: Session, name: str) -> AsyncIterator[AsyncIterator["RolloutView | None"]]:
    """Yield an iterator of views: the present one, then one whenever anything changed; None once it is deleted.

    Raises:
        CliError: there is no such Rollout.
    """
    try:
        # Informers wait for ever for a server that may come back; a person wants to know now.
        await session.client.get(ROLLOUTS, session.namespace, name)
    except NotFound as err:
        raise not_found(name) from err
    changed = asyncio.Event()
    informers = _Informers(session, changed)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(informer.run()) for informer in informers.all]
        try:
            await asyncio.gather(*(informer.wait_synced() for informer in informers.all))
            yield _views(session, informers, name, changed)
        finally:
            for task in tasks:
                task.cancel()


def not_found(name: str) -> CliError:
    """Return the error of commands that read from caches: they name the kind in the singular."""
    return CliError(f'rollout.argoproj.io "{name}" not found')


class _Informers:
    """Live copies of what a view is made of."""

    def __init__(self, session: Session, changed: asyncio.Event) -> None:
        self._session = session
        self._changed = changed
        self._rng = random.Random()
        self.rollouts = self._informer(ROLLOUTS, Rollout)
        self.replica_sets = self._informer(REPLICA_SETS, ReplicaSet)
        self.pods = self._informer(PODS, Pod)
        self.analysis_runs = self._informer(ANALYSIS_RUNS, AnalysisRun)
        self.experiments = self._informer(EXPERIMENTS, Experiment)
        self.all = (self.rollouts, self.replica_sets, self.pods, self.analysis_runs, self.experiments)

    def _informer(self, resource: Resource, kind: type[T]) -> Informer[T]:
        informer = Informer(
            self._session.client,
            resource,
            msgspec.json.Decoder(kind).decode,
            rng=self._rng,
            namespace=self._session.namespace,
        )
        informer.subscribe(lambda _, __: self._changed.set())
        return informer


async def _views(
    session: Session, informers: _Informers, name: str, changed: asyncio.Event
) -> AsyncIterator[RolloutView | None]:
    last: RolloutView | None = None
    while True:
        changed.clear()
        rollout = informers.rollouts.get(Key(session.namespace, name))
        if rollout is None:
            yield None
            return
        view = rollout_view(
            rollout,
            replica_sets=informers.replica_sets.all(),
            pods=informers.pods.all(),
            analysis_runs=informers.analysis_runs.all(),
            experiments=informers.experiments.all(),
            workload_template=await _workload_template(session, rollout),
        )
        if view != last:
            last = view
            yield view
        await changed.wait()


async def _workload_template(session: Session, rollout: Rollout) -> msgspec.Raw:
    """Read the template that the Rollout refers to; nothing without a reference, or when it may not be read."""
    reference = rollout.spec.workload_ref
    if reference is None:
        return NO_RAW
    client, namespace = session.client, session.namespace
    try:
        if reference.kind == "Deployment":
            return (await client.get(DEPLOYMENTS, namespace, reference.name)).to(Deployment).spec.template
        if reference.kind == "ReplicaSet":
            return (await client.get(REPLICA_SETS, namespace, reference.name)).to(ReplicaSet).spec.template
        if reference.kind == "PodTemplate":
            return (await client.get(POD_TEMPLATES, namespace, reference.name)).to(PodTemplate).template
    except NotFound:
        pass
    return NO_RAW
