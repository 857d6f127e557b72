"""The reconciler of Experiments: gather, plan, carry out.

    key ──▶ snapshot from the caches ──▶ plan (pure) ──▶ API calls
                 ▲                        │
                 └── refusals, answers ───┘   facts that a plan ran into, or asked for

A write that fails for now fails the pass, which is tried again. One that the API server refuses for good is a fact to
decide on: the pass plans again with it, and with what its other writes have made.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment, ExperimentStatus
from prograde.api.meta import NamespacedName, ObjectMeta, controller_of, is_controlled_by, key_of
from prograde.api.names import ROLLOUT
from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet, Service
from prograde.controller.expectations import Expectations
from prograde.controller.gather import Caches, is_behind
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, FIELD_MANAGER, REPLICA_SETS, SERVICES
from prograde.controller.templates import Templates
from prograde.controller.workers import Result, StateOfTheWorld
from prograde.core.experiment.analyses import concerns_owner
from prograde.core.experiment.planner import plan_experiment, status_patch
from prograde.core.experiment.snapshot import ExperimentSnapshot, Refusal
from prograde.core.plan import (
    Action,
    CreateAnalysisRun,
    CreateReplicaSet,
    CreateService,
    DeleteReplicaSet,
    DeleteService,
    Event,
    JsonObject,
    PatchReplicaSet,
    Plan,
    RunRef,
    TerminateAnalysisRun,
)
from prograde.kube.client import Client
from prograde.kube.errors import AlreadyExists, ApiError, NotFound
from prograde.kube.resources import Key, Resource
from prograde.telemetry.logs import fields

__all__ = ["ExperimentReconciler", "experiment_of"]

log = logging.getLogger(__name__)

STALE_CACHE_SECONDS: Final = 0.1
"""How soon to look again when a cache lags behind our own write; its watch event usually comes first."""

FIRST_LIST_SECONDS: Final = 1.0
"""How soon to look again when templates have just been asked for; their first list wakes the Experiment before."""

PLANS_PER_PASS_MAX: Final = 20
"""A pass plans again for what it asked for, and for every round of refusals; each name that is taken is one."""

_PASSING: Final = frozenset({401, 404, 408, 409, 429})
"""Refusals that another try may not meet: a token that has expired, an object that is on its way out, a race."""

Child = ReplicaSet | Service | AnalysisRun
T = TypeVar("T", bound=Child)


class _PassFailed(StateOfTheWorld):
    """Something outside keeps an Experiment's pass from going on; the message names it."""


class _Written(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


def experiment_of(obj: ReplicaSet | Service | AnalysisRun) -> NamespacedName | None:
    """Return the key of the Experiment that controls `obj`, None for orphans and for the children of others."""
    owner = controller_of(obj)
    if owner is None or owner.kind != Experiment.KIND:
        return None
    return NamespacedName(obj.metadata.namespace, owner.name)


class ExperimentReconciler:
    """Brings Experiments to their end; satisfies the contract in `controller.workers`.

    Args:
        caches: those of ReplicaSets, Services and AnalysisRuns have the index ``controller``.
        now: the wall clock, aware.
        record: takes Kubernetes Events about an Experiment, or about the Rollout that it belongs to; must not wait or
            raise.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        templates: Templates,
        *,
        now: Callable[[], datetime],
        record: Callable[[Experiment | Rollout, Event], None],
    ) -> None:
        self._client = client
        self._caches = caches
        self._templates = templates
        self._now = now
        self._record = record
        self._expectations = Expectations()

    async def reconcile(self, key: NamespacedName) -> Result:
        """Do one pass over the Experiment `key`."""
        experiment = self._caches.experiments.get(Key(*key))
        if experiment is None:
            self._expectations.forget(key)
            return Result.done()
        if is_behind(self._caches, self._expectations, key, asyncio.get_running_loop().time()):
            return Result.after(STALE_CACHE_SECONDS)
        snapshot = self._gather(experiment)
        if snapshot is None:
            log.debug("Waiting for the first list of analysis templates", extra=_about(experiment))
            return Result.after(FIRST_LIST_SECONDS)
        log.info("Started syncing Experiment", extra=_about(experiment))
        return await self._bring_closer(snapshot)

    def _gather(self, experiment: Experiment) -> ExperimentSnapshot | None:
        """Return everything that the decision may look at; None while a cache has just begun."""
        templates = self._templates.used_by(experiment)
        if templates is None:
            return None
        uid = experiment.metadata.uid
        return ExperimentSnapshot(
            experiment=experiment,
            replica_sets=tuple(self._caches.replica_sets.find("controller", uid)),
            services=tuple(self._caches.services.find("controller", uid)),
            analysis_runs=tuple(self._caches.analysis_runs.find("controller", uid)),
            analysis_templates=templates[0],
            cluster_analysis_templates=templates[1],
        )

    async def _bring_closer(self, snapshot: ExperimentSnapshot) -> Result:
        experiment = snapshot.experiment
        for _ in range(PLANS_PER_PASS_MAX):
            now = self._now()
            plan = plan_experiment(snapshot, now)
            if plan.error:
                raise _PassFailed(plan.error)
            if plan.is_question:
                snapshot = await self._with_runs(snapshot, plan.wants_runs)
                continue
            after = await self._carry_out_actions(snapshot, plan)
            if after is not snapshot:
                snapshot = after
                continue
            if plan.status is not None:
                await self._write_status(experiment, plan.status)
            self._record_all(experiment, plan.events)
            for wait in plan.waits[:1]:
                log.info("Waiting: %s", wait.message, extra=_about(experiment))
            if plan.requeue_at is None:
                return Result.done()
            return Result.after((plan.requeue_at - now).total_seconds())
        raise AssertionError(f"Experiment {key_of(experiment)}: still no plan after {PLANS_PER_PASS_MAX} attempts")

    async def _with_runs(self, snapshot: ExperimentSnapshot, wanted: tuple[RunRef, ...]) -> ExperimentSnapshot:
        """Look up runs by name; one that belongs to somebody else is not the one that is meant."""
        metadata, found = snapshot.experiment.metadata, []
        for ref in wanted:
            try:
                run = (await self._client.get(ANALYSIS_RUNS, metadata.namespace, ref.name)).to(AnalysisRun)
            except NotFound:
                continue
            if is_controlled_by(run, metadata.uid):
                found.append(run)
        return msgspec.structs.replace(
            snapshot,
            analysis_runs=(*snapshot.analysis_runs, *found),
            looked_up=snapshot.looked_up | frozenset(wanted),
        )

    # ---- Carrying out -----------------------------------------------------------------------------------------------

    async def _carry_out_actions(
        self, snapshot: ExperimentSnapshot, plan: Plan[ExperimentStatus]
    ) -> ExperimentSnapshot:
        """Carry out the groups one after the other.

        Returns:
            The snapshot itself when all is done; one with the refusals when there were any. Nothing after the group of
            the first refusal has been done then.

        Raises:
            ApiError, Unreachable: a write has failed that may succeed when it is tried again.
        """
        written: list[tuple[Action, Child]] = []
        for group in plan.groups:
            answers = await asyncio.gather(
                *(self._act(snapshot.experiment, action) for action in group), return_exceptions=True
            )
            failures = [each for each in answers if isinstance(each, BaseException)]
            if failures:
                raise failures[0]
            written += [(action, each) for action, each in zip(group, answers, strict=True) if isinstance(each, Child)]
            refusals = tuple(each for each in answers if isinstance(each, Refusal))
            if refusals:
                return _updated(snapshot, written, refusals)
        return snapshot

    async def _act(self, experiment: Experiment, action: Action) -> Child | Refusal | None:
        """Do one thing and record its events; return what was written as it is now, or why it cannot be done."""
        try:
            written = await self._write(experiment, action)
        except AlreadyExists as err:
            return await self._taken(experiment, action, err)
        except ApiError as err:
            if not 400 <= err.status.code < 500 or err.status.code in _PASSING:
                raise
            return Refusal(action=action, message=err.message)
        self._record_all(experiment, action.events)
        return written

    async def _write(self, experiment: Experiment, action: Action) -> Child | None:
        client, namespace = self._client, experiment.metadata.namespace
        match action:
            case CreateReplicaSet() | CreateService() | CreateAnalysisRun():
                return await self._create(experiment, action)
            case PatchReplicaSet():
                answer = await client.patch(
                    REPLICA_SETS, namespace, action.name, action.merge_patch(), field_manager=FIELD_MANAGER
                )
                replica_set = answer.to(ReplicaSet)
                self._expect(experiment, REPLICA_SETS, replica_set.metadata)
                return replica_set
            case TerminateAnalysisRun():
                body: JsonObject = {"spec": {"terminate": True}}
                try:
                    answer = await client.patch(
                        ANALYSIS_RUNS, namespace, action.name, body, field_manager=FIELD_MANAGER
                    )
                except NotFound:
                    return None
                run = answer.to(AnalysisRun)
                self._expect(experiment, ANALYSIS_RUNS, run.metadata)
                return run
            case DeleteService():
                try:
                    await client.delete(SERVICES, namespace, action.name, uid=action.uid)
                except NotFound:
                    return None
            case DeleteReplicaSet():
                try:
                    await client.delete(
                        REPLICA_SETS,
                        namespace,
                        action.name,
                        uid=action.uid,
                        resource_version=action.resource_version,
                        propagation="Background",
                    )
                except NotFound:
                    return None
            case _:
                raise AssertionError(f"no way to carry out {action!r}")
        return None

    async def _create(
        self, experiment: Experiment, action: CreateReplicaSet | CreateService | CreateAnalysisRun
    ) -> Child:
        resource, kind = _KINDS[type(action)]
        answer = await self._client.create(
            resource, experiment.metadata.namespace, action.manifest, name=action.name, field_manager=FIELD_MANAGER
        )
        made = answer.to(kind)
        self._expect(experiment, resource, made.metadata)
        return made

    async def _taken(self, experiment: Experiment, action: Action, err: AlreadyExists) -> Refusal:
        """Return who holds a name. From the server: our cache may not have it yet, or not at all."""
        namespace = experiment.metadata.namespace
        assert isinstance(action, CreateReplicaSet | CreateService | CreateAnalysisRun)
        resource, kind = _KINDS[type(action)]
        try:
            existing = (await self._client.get(resource, namespace, action.name)).to(kind)
        except ApiError as failure:
            if failure.status.code in _PASSING or failure.status.code >= 500:
                raise
            return Refusal(action=action, message=failure.message, is_unreadable=True)
        return Refusal(action=action, message=err.message, existing=existing)

    async def _write_status(self, experiment: Experiment, status: ExperimentStatus) -> None:
        """Write what changed; Experiments have no status sub-resource."""
        patch = status_patch(experiment.status, status)
        if not patch:
            return
        metadata = experiment.metadata
        # The UID makes the write fail when another Experiment has taken the name meanwhile.
        body: JsonObject = {"metadata": {"uid": metadata.uid}, "status": patch}
        answer = await self._client.patch(
            EXPERIMENTS, metadata.namespace, metadata.name, body, field_manager=FIELD_MANAGER
        )
        self._expect(experiment, EXPERIMENTS, answer.to(_Written).metadata)
        log.info("Patched: %s", msgspec.json.encode(patch).decode(), extra=_about(experiment))

    def _expect(self, experiment: Experiment, resource: Resource, written: ObjectMeta) -> None:
        name = NamespacedName(written.namespace, written.name)
        now_seconds = asyncio.get_running_loop().time()
        self._expectations.note(key_of(experiment), resource, name, written.resource_version, now_seconds)

    def _record_all(self, experiment: Experiment, events: tuple[Event, ...]) -> None:
        for event in events:
            self._record(experiment, event)
            rollout = self._owner_of(experiment) if concerns_owner(event) else None
            if rollout is not None:
                self._record(rollout, event)

    def _owner_of(self, experiment: Experiment) -> Rollout | None:
        owner = next((each for each in experiment.metadata.owner_references if each.kind == ROLLOUT), None)
        if owner is None:
            return None
        rollout = self._caches.rollouts.get(Key(experiment.metadata.namespace, owner.name))
        return rollout if rollout is not None and rollout.metadata.uid == owner.uid else None


_KINDS: Final[dict[type[Action], tuple[Resource, type[ReplicaSet] | type[Service] | type[AnalysisRun]]]] = {
    CreateReplicaSet: (REPLICA_SETS, ReplicaSet),
    CreateService: (SERVICES, Service),
    CreateAnalysisRun: (ANALYSIS_RUNS, AnalysisRun),
}


def _updated(
    snapshot: ExperimentSnapshot, written: list[tuple[Action, Child]], refusals: tuple[Refusal, ...]
) -> ExperimentSnapshot:
    """Return the snapshot with what was refused and with what has been done all the same.

    What has just been created only holds its name: whatever else there is to do with it is left to the next pass, when
    the cache follows it.
    """
    made, changed = [], []
    for action, each in written:
        if type(action) in _KINDS:
            made.append(Refusal(action=action, message="", existing=each))
        else:
            changed.append(each)
    return msgspec.structs.replace(
        snapshot,
        replica_sets=_merged(snapshot.replica_sets, [each for each in changed if isinstance(each, ReplicaSet)]),
        analysis_runs=_merged(snapshot.analysis_runs, [each for each in changed if isinstance(each, AnalysisRun)]),
        refusals=(*snapshot.refusals, *made, *refusals),
    )


def _merged(known: tuple[T, ...], written: list[T]) -> tuple[T, ...]:
    by_name: dict[str, T] = {each.metadata.name: each for each in (*known, *written)}
    return tuple(by_name.values())


def _about(experiment: Experiment) -> dict[str, object]:
    return fields(namespace=experiment.metadata.namespace, experiment=experiment.metadata.name)
