"""Reading one Rollout with everything below it: once, or again at every change."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import Object
from prograde.api.rollout import Rollout
from prograde.api.workloadref import UnresolvedWorkload, Workload, workload_type
from prograde.api.workloads import Deployment, Pod, PodTemplate, ReplicaSet
from prograde.cli.connect import Session
from prograde.cli.framework import CliError
from prograde.controller.resources import (
    ANALYSIS_RUNS,
    DEPLOYMENTS,
    EXPERIMENTS,
    POD_TEMPLATES,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
)
from prograde.dashboard.views import ExperimentView, RolloutView, experiment_view, rollout_view
from prograde.kube.errors import Forbidden, NotFound
from prograde.kube.informer import Informer
from prograde.kube.resources import Key, Resource

__all__ = ["not_found", "observe_experiment", "observe_rollout", "read_experiment", "read_rollout"]

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
    sets, pods, runs, experiments, workload = await asyncio.gather(
        client.list(REPLICA_SETS, namespace),
        client.list(PODS, namespace),
        client.list(ANALYSIS_RUNS, namespace),
        client.list(EXPERIMENTS, namespace),
        _workload(session, rollout),
    )
    view = rollout_view(
        rollout,
        replica_sets=sets.to(ReplicaSet),
        pods=pods.to(Pod),
        analysis_runs=runs.to(AnalysisRun),
        experiments=experiments.to(Experiment),
        workload=workload,
    )
    return rollout, view


@asynccontextmanager
async def observe_rollout(session: Session, name: str) -> AsyncIterator[AsyncIterator["RolloutView | None"]]:
    """Yield an iterator of views: the present one, then one whenever anything changed; None once it is deleted.

    Raises:
        CliError: there is no such Rollout.
    """
    # Informers wait for ever for a server or a permission that may come back; a person wants to know now.
    await read_rollout(session, name)
    informers = _Informers(session)
    async with informers.running():
        yield _rollout_views(session, informers, name)


@asynccontextmanager
async def observe_experiment(session: Session, name: str) -> AsyncIterator[AsyncIterator["ExperimentView | None"]]:
    """Do for an Experiment what `observe_rollout` does for a Rollout."""
    await read_experiment(session, name)
    informers = _Informers(session, with_rollouts=False)
    async with informers.running():
        yield _experiment_views(session, informers, name)


async def read_experiment(session: Session, name: str) -> ExperimentView:
    """Read the Experiment and what belongs to it once.

    Raises:
        CliError: there is no such Experiment.
    """
    client, namespace = session.client, session.namespace
    try:
        experiment = (await client.get(EXPERIMENTS, namespace, name)).to(Experiment)
    except NotFound as err:
        raise CliError(f'experiment.argoproj.io "{name}" not found') from err
    sets, pods, runs = await asyncio.gather(
        client.list(REPLICA_SETS, namespace), client.list(PODS, namespace), client.list(ANALYSIS_RUNS, namespace)
    )
    return experiment_view(
        experiment, replica_sets=sets.to(ReplicaSet), pods=pods.to(Pod), analysis_runs=runs.to(AnalysisRun)
    )


def not_found(name: str) -> CliError:
    """Return the error of commands that read from caches: they name the kind in the singular."""
    return CliError(f'rollout.argoproj.io "{name}" not found')


class _Informers:
    """Live copies of what a view is made of. Rollouts are no part of an Experiment's."""

    def __init__(self, session: Session, *, with_rollouts: bool = True) -> None:
        self._session = session
        self.changed = asyncio.Event()
        self._rng = random.Random()
        self.rollouts = self._informer(ROLLOUTS, Rollout)
        self.replica_sets = self._informer(REPLICA_SETS, ReplicaSet)
        self.pods = self._informer(PODS, Pod)
        self.analysis_runs = self._informer(ANALYSIS_RUNS, AnalysisRun)
        self.experiments = self._informer(EXPERIMENTS, Experiment)
        children = (self.replica_sets, self.pods, self.analysis_runs, self.experiments)
        self._all = (self.rollouts, *children) if with_rollouts else children

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the server; the first lists are there when the context is entered."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(informer.run()) for informer in self._all]
            try:
                await asyncio.gather(*(informer.wait_synced() for informer in self._all))
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def _informer(self, resource: Resource, kind: type[T]) -> Informer[T]:
        informer = Informer(
            self._session.client,
            resource,
            msgspec.json.Decoder(kind).decode,
            rng=self._rng,
            namespace=self._session.namespace,
        )
        informer.subscribe(lambda _, __: self.changed.set())
        return informer


async def _rollout_views(session: Session, informers: _Informers, name: str) -> AsyncIterator[RolloutView | None]:
    last: RolloutView | None = None
    while True:
        informers.changed.clear()
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
            workload=await _workload(session, rollout),
        )
        if view != last:
            last = view
            yield view
        await informers.changed.wait()


async def _experiment_views(session: Session, informers: _Informers, name: str) -> AsyncIterator[ExperimentView | None]:
    last: ExperimentView | None = None
    while True:
        informers.changed.clear()
        experiment = informers.experiments.get(Key(session.namespace, name))
        if experiment is None:
            yield None
            return
        view = experiment_view(
            experiment,
            replica_sets=informers.replica_sets.all(),
            pods=informers.pods.all(),
            analysis_runs=informers.analysis_runs.all(),
        )
        if view != last:
            last = view
            yield view
        await informers.changed.wait()


async def _workload(session: Session, rollout: Rollout) -> Workload | None:
    """Read what the Rollout refers to; None without a reference, and when it does not exist or may not be read."""
    reference = rollout.spec.workload_ref
    if reference is None:
        return None
    try:
        kind = workload_type(reference)
        return (await session.client.get(_WORKLOADS[kind], session.namespace, reference.name)).to(kind)
    except (UnresolvedWorkload, NotFound, Forbidden):
        return None


_WORKLOADS: Final[dict[type[Workload], Resource]] = {
    Deployment: DEPLOYMENTS,
    ReplicaSet: REPLICA_SETS,
    PodTemplate: POD_TEMPLATES,
}
