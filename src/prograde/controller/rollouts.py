"""The reconciler of Rollouts: gather, plan, apply, and nothing else.

key ──▶ snapshot from the caches ──▶ plan (pure) ──▶ API calls
             ▲                        │
             └── answers, failures ───┘   facts that a plan asked for, or ran into
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from prograde.api.meta import NamespacedName, key_of
from prograde.api.names import EVENT_TRAFFIC_ROUTING_ERROR, EVENT_WARNING, REASON_INVALID_SPEC
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.controller.apply import Applied, Applier
from prograde.controller.expectations import Expectations
from prograde.controller.gather import Caches, is_behind, snapshot_of
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.questions import CallPlugin, answered
from prograde.controller.resources import FIELD_MANAGER, ROLLOUTS
from prograde.controller.routing import FirstListMissing, RoutingObjects
from prograde.controller.settings import ControllerSettings
from prograde.controller.templates import Templates
from prograde.controller.workers import Result, StateOfTheWorld
from prograde.controller.workloads import Workloads
from prograde.core.plan import Event, Plan
from prograde.core.rollout.context import PlannerSettings
from prograde.core.rollout.duration import finished_attempt
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.rollout.status import differ_in_counts_only
from prograde.core.rollout.unreadable import unreadable_patch
from prograde.core.routing import RoutersOf
from prograde.kube.client import Client
from prograde.kube.errors import Forbidden, NotFound
from prograde.kube.informer import Informer, Undecodable
from prograde.kube.resources import Key, Resource
from prograde.telemetry.logs import fields

__all__ = ["PassFailed", "RolloutReconciler"]

log = logging.getLogger(__name__)

STALE_CACHE_SECONDS: Final = 0.1
"""How soon to look again when a cache lags behind our own write; its watch event usually comes first."""

FIRST_LIST_SECONDS: Final = 1.0
"""How soon to look again when a kind has just been asked for; its first list wakes the Rollout before."""

COUNTS_HELD_SECONDS: Final = 1.0
"""Long enough for most pods of one scaling step to come up, short enough that nobody takes the counts for stuck."""

COUNTS_HELD_SECONDS_MIN: Final = 0.001
"""Less than this is over: the rest of a difference of floating-point times may be too short for a clock to pass."""

PLANS_PER_PASS_MAX: Final = 10
"""A pass plans again for every answer that it was given, when a create failed, and for every name of a run that is
taken by somebody else's."""


class PassFailed(StateOfTheWorld):
    """Something outside keeps a Rollout's pass from going on; the message names it."""


class RolloutReconciler:
    """Brings Rollouts closer to their specs; satisfies the contract in `controller.workers`.

    Args:
        now: the wall clock, aware.
        record: takes Kubernetes Events about a Rollout; must not wait or raise.
        routers_of: knows the traffic routers.
        planned: is told of every plan that was carried out; must not wait or raise.
        call_plugin: calls step plugins.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        expectations: Expectations,
        metrics: ControllerMetrics,
        objects: RoutingObjects,
        templates: Templates,
        workloads: Workloads,
        *,
        now: Callable[[], datetime],
        record: Callable[[Rollout, Event], None],
        routers_of: RoutersOf,
        planned: Callable[[Rollout, Plan[RolloutStatus]], None],
        call_plugin: CallPlugin,
        settings: ControllerSettings,
    ) -> None:
        self._client = client
        self._caches = caches
        self._expectations = expectations
        self._metrics = metrics
        self._objects = objects
        self._templates = templates
        self._workloads = workloads
        self._now = now
        self._record = record
        self._routers_of = routers_of
        self._planned = planned
        self._call_plugin = call_plugin
        self._planner_settings = PlannerSettings(verify_retry=settings.verify_retry_interval)
        self._applier = Applier(client, expectations, record, settings)
        self._held_since: dict[NamespacedName, float] = {}
        """When, on the loop's clock, a write of mere counts was first put off."""

    async def reconcile(self, key: NamespacedName) -> Result:
        """Do one pass over the Rollout `key`."""
        loop = asyncio.get_running_loop()
        if is_behind(self._caches, self._expectations, key, loop.time(), self._informer_of):
            log.debug('requeuing "%s" due to stale cache', key, extra=_about(key))
            return Result.after(STALE_CACHE_SECONDS)
        failure = self._caches.rollouts.failures.get(Key(*key))
        if failure is not None:
            await self._report_unreadable(key, failure)
            return Result.done()
        rollout = self._caches.rollouts.get(Key(*key))
        if rollout is None:
            self._expectations.forget(key)
            self._held_since.pop(key, None)
            return Result.done()
        snapshot = await self._gather(rollout)
        if snapshot is None:
            return Result.after(FIRST_LIST_SECONDS)
        if snapshot.rollout is not rollout:
            return Result.after(0.0)
        started_at = loop.time()
        metadata = snapshot.rollout.metadata
        about = fields(
            namespace=key.namespace,
            rollout=key.name,
            generation=metadata.generation,
            resourceVersion=metadata.resource_version,
        )
        log.info("Started syncing rollout", extra=about)
        result = await self._bring_closer(snapshot)
        milliseconds = (loop.time() - started_at) * 1000
        log.info(
            "Reconciliation completed",
            extra=fields(namespace=key.namespace, rollout=key.name, time_ms=round(milliseconds, 3)),
        )
        return result

    async def _gather(self, rollout: Rollout) -> RolloutSnapshot | None:
        """Return everything that the decision may look at; None while a cache has just begun."""
        key = key_of(rollout)
        try:
            objects = await self._objects.read(rollout)
        except FirstListMissing as err:
            log.debug("Waiting for the first list of %s", err, extra=_about(key))
            return None
        except Forbidden as err:
            # It takes a person to put this right, who looks at the Rollout first.
            self._record(rollout, Event(EVENT_TRAFFIC_ROUTING_ERROR, str(err), EVENT_WARNING))
            raise
        templates = self._templates.used_by(rollout)
        if templates is None:
            log.debug("Waiting for the first list of analysis templates", extra=_about(key))
            return None
        found = self._workloads.find(rollout)
        if found.is_pending:
            log.debug("Waiting for the first list of workloads", extra=_about(key))
            return None
        # Last, because everything above may have taken its time.
        snapshot = snapshot_of(self._caches, key)
        if snapshot is None:
            return None
        return msgspec.structs.replace(
            snapshot,
            objects=objects,
            sharing=self._objects.sharing(rollout, objects),
            analysis_templates=templates[0],
            cluster_analysis_templates=templates[1],
            workload=found.workload,
            workload_error=found.error,
        )

    def _informer_of(self, resource: Resource, namespace: str) -> Informer[Any] | None:
        informer = self._objects.informer_of(resource, namespace)
        return informer if informer is not None else self._workloads.informer_of(resource)

    async def _bring_closer(self, snapshot: RolloutSnapshot) -> Result:
        rollout = snapshot.rollout
        for _ in range(PLANS_PER_PASS_MAX):
            now = self._now()
            plan = plan_rollout(snapshot, now, self._routers_of, self._planner_settings)
            if plan.is_question:
                snapshot = await answered(self._client, self._call_plugin, snapshot, plan)
                continue
            hold_seconds = self._hold_seconds(rollout, plan)
            if hold_seconds > 0:
                plan = msgspec.structs.replace(plan, status=None)
            applied = await self._applier.apply(rollout, plan)
            if applied.create_failure is not None:
                snapshot = msgspec.structs.replace(snapshot, create_failure=applied.create_failure)
                continue
            if applied.taken:
                snapshot = msgspec.structs.replace(snapshot, taken=snapshot.taken + applied.taken)
                continue
            self._observe(rollout, plan, applied, now)
            if plan.error:
                raise PassFailed(plan.error)
            if applied.late_failure is not None:
                raise applied.late_failure
            return _result_of(plan, now, hold_seconds)
        raise AssertionError(f"Rollout {key_of(rollout)}: still no plan after {PLANS_PER_PASS_MAX} attempts")

    def _hold_seconds(self, rollout: Rollout, plan: Plan[RolloutStatus]) -> float:
        """Return how long a status that only brings counts of pods up to date may wait for more of the kind.

        Pods of one ReplicaSet become ready one after the other, and each would be a write. Nothing that anybody decides
        on waits: phases, steps, pauses, conditions and every action go out at once.
        """
        key = key_of(rollout)
        if plan.events or plan.status is None or not differ_in_counts_only(rollout.status, plan.status):
            self._held_since.pop(key, None)
            return 0.0
        now_seconds = asyncio.get_running_loop().time()
        left_seconds = self._held_since.setdefault(key, now_seconds) + COUNTS_HELD_SECONDS - now_seconds
        if left_seconds < COUNTS_HELD_SECONDS_MIN:
            del self._held_since[key]
            return 0.0
        return left_seconds

    async def _report_unreadable(self, key: NamespacedName, failure: Undecodable) -> None:
        """Say in the status of a Rollout that its current version cannot be read; it is left as it is otherwise."""
        log.error("Rollout %s is left alone until it can be read: %s", key, failure.message, extra=_about(key))
        try:
            rollout = (await self._client.get(ROLLOUTS, *key)).to(dict[str, Any])
        except NotFound:
            return
        if rollout["metadata"]["resourceVersion"] != failure.resource_version:
            # There is another version already, of which we shall hear.
            return
        patch = unreadable_patch(rollout, failure.message, self._now())
        if not patch:
            return
        await self._client.patch(ROLLOUTS, *key, patch, subresource="status", field_manager=FIELD_MANAGER)
        last_good = self._caches.rollouts.get(Key(*key))
        if last_good is not None:
            self._record(last_good, Event(reason=REASON_INVALID_SPEC, message=failure.message, type=EVENT_WARNING))

    def _observe(self, rollout: Rollout, plan: Plan[RolloutStatus], applied: Applied, now: datetime) -> None:
        if plan.status is not None and not applied.is_held_by_budget:
            attempt = finished_attempt(rollout.status.duration, plan.status.duration, now)
            if attempt is not None:
                self._metrics.observe_attempt(attempt)
        self._planned(rollout, plan)
        for wait in plan.waits[:1]:
            log.info("Waiting: %s", wait.message, extra=_about(key_of(rollout)))


def _result_of(plan: Plan[RolloutStatus], now: datetime, hold_seconds: float) -> Result:
    due = [hold_seconds] if hold_seconds > 0 else []
    if plan.requeue_at is not None:
        due.append((plan.requeue_at - now).total_seconds())
    return Result.after(min(due)) if due else Result.done()


def _about(key: NamespacedName) -> dict[str, object]:
    return fields(namespace=key.namespace, rollout=key.name)
