"""The part of the process that watches and works: what is followed, whom a change wakes, and who does the work.

    cluster ──▶ informers ──▶ subscribers, which note a key ──▶ queues ──▶ reconcilers

What every Rollout needs is followed from the start, and nothing is reconciled before all of it has been listed. What
only some need (objects of routers, analysis templates, workloads that are referred to) is followed from its first use.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, key_of
from prograde.api.names import (
    EVENT_ROLLOUT_ADDED_TO_INFORMER,
    EVENT_ROLLOUT_DELETED,
    EVENT_WARNING,
    MANAGED_BY_ANNOTATION,
    POD_TEMPLATE_HASH_LABEL,
)
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.workloads import ReplicaSet, Service
from prograde.controller.analysisruns import AnalysisRunReconciler
from prograde.controller.destinationrules import DestinationRuleReconciler, is_managed_destination_rule
from prograde.controller.expectations import Expectations
from prograde.controller.experiments import ExperimentReconciler, experiment_of
from prograde.controller.gather import Caches, by_controller, by_service, rollout_of
from prograde.controller.jobs import Jobs
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.ondemand import InformersOnDemand
from prograde.controller.questions import CallPlugin, no_plugins
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, REPLICA_SETS, ROLLOUTS, SERVICES
from prograde.controller.rollouts import RolloutReconciler
from prograde.controller.routing import RoutingObject, RoutingObjects, by_object
from prograde.controller.services import ServiceReconciler
from prograde.controller.settings import ControllerSettings, instance_selector
from prograde.controller.templates import Templates, by_analysis
from prograde.controller.workers import BASE_DELAY_SECONDS, MAX_DELAY_SECONDS, Reconciler, run_workers
from prograde.controller.workloads import Workloads, by_workload
from prograde.core.analysis.outline import outlined
from prograde.core.objects import ObjectKind
from prograde.core.plan import Event, Plan
from prograde.core.rollout.destinationrules import destination_rule_of
from prograde.core.routing import RoutersOf
from prograde.kube.client import Client
from prograde.kube.events import EventRecorder, ObjectReference
from prograde.kube.informer import Informer
from prograde.kube.resources import Key, Resource
from prograde.kube.workqueue import WorkQueue
from prograde.providers.http import Http
from prograde.telemetry.logs import fields
from prograde.traffic.registry import routers_of

__all__ = ["Controller"]

log = logging.getLogger(__name__)

SYNC_WARNING_SECONDS: Final = 30.0
"""Long enough for the first lists of a large cluster, short enough for whoever watches an installation fail."""

T = TypeVar("T", bound=Rollout | ReplicaSet | Service | AnalysisRun | Experiment)


class Controller:
    """The part of the process that watches and works, on any transport and any event loop.

    Args:
        client: throttled; shared by informers and workers.
        now: the wall clock, aware.
        rng: spreads retries.
        routers_of: knows the traffic routers.
        planned: is told of every plan that was carried out, with the reasons why it waits.
        call_plugin: calls step plugins.
        http: what metric providers send their queries with; without it AnalysisRuns are left to somebody else.
        environment: where providers look for addresses and credentials.
    """

    def __init__(
        self,
        client: Client,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
        routers_of: RoutersOf = routers_of,
        planned: Callable[[Rollout, Plan[RolloutStatus]], None] = lambda rollout, plan: None,
        call_plugin: CallPlugin = no_plugins,
        http: Http | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._recorder = recorder
        self._rng = rng
        self._expectations = Expectations()
        self._rollout_queue = self._queue("Rollouts")
        self._service_queue = self._queue("Services")
        self._destination_rule_queue = self._queue("DestinationRules")
        self.caches = self._make_caches(routers_of)
        self._on_demand = InformersOnDemand()
        objects = RoutingObjects(
            client,
            self._on_demand,
            self.caches.rollouts,
            routers_of,
            wake=self._wake,
            changed=self._on_routing_object,
            rng=rng,
            versions=settings.versions,
            namespace=settings.namespace,
            ingress_classes=settings.ingress_classes,
        )
        templates = Templates(
            client,
            self._on_demand,
            self.caches.rollouts,
            wake=self._wake,
            rng=rng,
            namespace=settings.namespace,
            label_selector=instance_selector(settings.instance_id),
        )
        workloads = Workloads(
            client,
            self._on_demand,
            self.caches.rollouts,
            wake=self._wake,
            rng=rng,
            namespace=settings.namespace,
        )
        rollouts = RolloutReconciler(
            client,
            self.caches,
            self._expectations,
            metrics,
            objects,
            templates,
            workloads,
            now=now,
            record=self._record,
            routers_of=routers_of,
            planned=planned,
            call_plugin=call_plugin,
            settings=settings,
        )
        services = ServiceReconciler(client, self.caches, self._rollout_queue.add)
        destination_rules = DestinationRuleReconciler(client, self.caches.rollouts, objects, self._rollout_queue.add)
        self._analysis_run_queue = self._queue("AnalysisRuns")
        self._measuring: AnalysisRunReconciler | None = None
        if http is not None:
            jobs = Jobs(
                client,
                self._on_demand,
                wake=self._analysis_run_queue.add,
                rng=rng,
                namespace=settings.namespace,
                environment=environment or {},
            )
            self._measuring = AnalysisRunReconciler(
                client,
                self.caches.analysis_runs,
                http,
                now=now,
                record=self._record_about,
                wake=self._analysis_run_queue.add,
                ended_jobs=jobs.ended,
                environment=environment or {},
                own_namespace=settings.own_namespace,
            )
        self._experiment_queue = self._queue("Experiments")
        experiments = ExperimentReconciler(client, self.caches, templates, now=now, record=self._record_about)
        templates.also_wake(self.caches.experiments, lambda key, urgent: self._experiment_queue.add(key, urgent=urgent))
        self._experiments = Reconciler(
            "experiment",
            self._experiment_queue,
            experiments.reconcile,
            failed=self._on_experiment_failed,
            finished=self._on_experiment_finished,
        )
        self._rollouts = Reconciler(
            "rollout",
            self._rollout_queue,
            rollouts.reconcile,
            failed=self._on_failed,
            finished=self._on_finished,
        )
        self._services = Reconciler("service", self._service_queue, services.reconcile)
        self._destination_rules = Reconciler(
            "destinationrule", self._destination_rule_queue, destination_rules.reconcile
        )
        metrics.collect_from(self.caches.rollouts.all, self.caches.analysis_runs.all, self.caches.experiments.all)
        metrics.collect_templates_from(templates.all)
        self._subscribe()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch and work until `stop` is set; then finish what is in hand, within the grace period.

        When cancelled, everything ends at once.
        """
        log.info("Started controller", extra=fields(namespace=self._settings.namespace))
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(self._recorder.run())
            informers = [group.create_task(informer.run()) for informer in self.caches.all]
            informers.append(group.create_task(self._on_demand.run()))
            workers: list[asyncio.Task[None]] = []
            if await self._are_synced(stop):
                workers = [
                    group.create_task(run_workers(self._rollouts, self._settings.rollout_workers)),
                    group.create_task(run_workers(self._experiments, self._settings.experiment_workers)),
                    group.create_task(run_workers(self._services, self._settings.service_workers)),
                    group.create_task(run_workers(self._destination_rules, self._settings.ingress_workers)),
                ]
                if self._measuring is not None:
                    workers.append(group.create_task(self._measure(self._measuring)))
                await stop.wait()
                log.info("Shutting down workers")
                await self._drain()
            for task in (*workers, *informers):
                task.cancel()
            self._recorder.close()
            await recording

    async def _are_synced(self, stop: asyncio.Event) -> bool:
        """Wait until all caches have their first list; return False when `stop` came first.

        A cache that gets none, because a permission or a definition is missing, keeps everything waiting, so it is
        named again and again; its own log lines say what the server answers.
        """
        stopped = asyncio.create_task(stop.wait())
        synced = asyncio.create_task(self._all_synced())
        try:
            while True:
                await asyncio.wait((stopped, synced), timeout=SYNC_WARNING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done() or synced.done():
                    return not stop.is_set()
                missing = [each.resource.qualified for each in self.caches.all if not each.has_synced]
                log.warning(
                    "Nothing is reconciled yet: still no list of %s. See the warnings of these lists; usually the "
                    "custom resource definitions are not installed, or the controller's role lacks list and watch",
                    ", ".join(missing),
                )
        finally:
            stopped.cancel()
            synced.cancel()

    async def _all_synced(self) -> None:
        for informer in self.caches.all:
            await informer.wait_synced()

    async def _drain(self) -> None:
        """Let the workers finish what is in hand or due by now; delayed keys are left to the next leader."""
        try:
            async with asyncio.timeout(self._settings.grace_period.total_seconds()):
                await asyncio.gather(
                    self._rollout_queue.drain(),
                    self._experiment_queue.drain(),
                    self._service_queue.drain(),
                    self._destination_rule_queue.drain(),
                    self._analysis_run_queue.drain(),
                )
        except TimeoutError:
            log.warning("Work in hand did not finish within %s and is cut short", self._settings.grace_period)

    async def _measure(self, measuring: AnalysisRunReconciler) -> None:
        """Work on AnalysisRuns until the queue is shut down; what is being measured then is given up."""
        reconciler = Reconciler(
            "analysisrun",
            self._analysis_run_queue,
            measuring.reconcile,
            failed=lambda key: self._metrics.analysis_run_reconcile_error.inc(*key),
            finished=lambda key, seconds: self._metrics.analysis_run_reconcile.observe(seconds, *key),
        )
        try:
            await run_workers(reconciler, self._settings.analysis_workers)
        finally:
            await measuring.close()

    # --- wiring -----------------------------------------------------------------------------------------------------

    def _queue(self, name: str) -> WorkQueue[NamespacedName]:
        queue: WorkQueue[NamespacedName] = WorkQueue(
            name,
            base_delay_seconds=BASE_DELAY_SECONDS,
            max_delay_seconds=MAX_DELAY_SECONDS,
            observer=self._metrics.observe_queue(name),
        )
        self._metrics.watch_unfinished(name, queue.unfinished_seconds)
        return queue

    def _make_caches(self, routers_of: RoutersOf) -> Caches:
        selector = instance_selector(self._settings.instance_id)
        decode_run = msgspec.json.Decoder(AnalysisRun).decode
        return Caches(
            rollouts=Informer(
                self._client,
                ROLLOUTS,
                msgspec.json.Decoder(Rollout).decode,
                rng=self._rng,
                namespace=self._settings.namespace,
                label_selector=selector,
                indexers={
                    "service": by_service,
                    "object": by_object(routers_of),
                    "analysis": by_analysis,
                    "workload": by_workload,
                },
                resync_seconds=self._settings.resync_period.total_seconds(),
                on_undecodable=lambda failure: (
                    self._rollout_queue.add(NamespacedName(*failure.key)) if failure.key else None
                ),
            ),
            # Server-side: the ReplicaSets of Deployments never reach this process.
            replica_sets=self._children(REPLICA_SETS, ReplicaSet, POD_TEMPLATE_HASH_LABEL),
            services=Informer(
                self._client,
                SERVICES,
                msgspec.json.Decoder(Service).decode,
                rng=self._rng,
                namespace=self._settings.namespace,
                indexers={"controller": by_controller},
            ),
            analysis_runs=Informer(
                self._client,
                ANALYSIS_RUNS,
                # There may be thousands of finished ones.
                lambda body: outlined(decode_run(body)),
                rng=self._rng,
                namespace=self._settings.namespace,
                label_selector=selector,
                indexers={"controller": by_controller},
            ),
            experiments=Informer(
                self._client,
                EXPERIMENTS,
                msgspec.json.Decoder(Experiment).decode,
                rng=self._rng,
                namespace=self._settings.namespace,
                label_selector=selector,
                indexers={"controller": by_controller, "analysis": by_analysis},
                resync_seconds=self._settings.resync_period.total_seconds(),
            ),
        )

    def _children(self, resource: Resource, kind: type[T], label_selector: str) -> Informer[T]:
        return Informer(
            self._client,
            resource,
            msgspec.json.Decoder(kind).decode,
            rng=self._rng,
            namespace=self._settings.namespace,
            label_selector=label_selector,
            indexers={"controller": by_controller},
        )

    def _subscribe(self) -> None:
        self.caches.rollouts.subscribe(self._on_rollout)
        self.caches.replica_sets.subscribe(self._on_replica_set)
        self.caches.analysis_runs.subscribe(self._on_analysis_run)
        self.caches.experiments.subscribe(self._on_experiment)
        self.caches.services.subscribe(self._on_service)

    # --- changes become keys ------------------------------------------------------------------------------------------

    def _on_rollout(self, old: Rollout | None, new: Rollout | None) -> None:
        if new is None:
            assert old is not None
            self._forget(old)
            return
        if old is None:
            message = f"Rollout resource added to informer: {key_of(new)}"
            self._record(new, Event(reason=EVENT_ROLLOUT_ADDED_TO_INFORMER, message=message))
        else:
            still_used = frozenset(by_service(new))
            self._queue_services(key for key in by_service(old) if key not in still_used)
            if destination_rule_of(old) != destination_rule_of(new):
                self._queue_destination_rule(old)
        # The first list and resyncs (the same object twice) can wait behind what changes.
        self._rollout_queue.add(key_of(new), urgent=old is not new and self.caches.rollouts.has_synced)

    def _forget(self, rollout: Rollout) -> None:
        metadata = rollout.metadata
        message = f"Rollout {metadata.name}/{metadata.namespace} is deleted."
        self._record(rollout, Event(reason=EVENT_ROLLOUT_DELETED, message=message))
        self._queue_services(by_service(rollout))
        self._queue_destination_rule(rollout)
        self._metrics.forget(key_of(rollout))
        # One more pass, after any that is under way, finds nothing and forgets what we know about it.
        self._rollout_queue.add(key_of(rollout), urgent=False)

    def _on_replica_set(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        changed = new if new is not None else old
        assert changed is not None
        for owner in dict.fromkeys(rollout_of(each) for each in (old, new) if each is not None):
            if owner is None:
                continue
            if new is None:
                self._expectations.settle(owner, REPLICA_SETS, key_of(changed))
            self._rollout_queue.add(owner, urgent=self.caches.replica_sets.has_synced)
        self._enqueue_experiment_of(changed)

    def _on_analysis_run(self, old: AnalysisRun | None, new: AnalysisRun | None) -> None:
        changed = new if new is not None else old
        assert changed is not None
        if self._measuring is not None:
            self._analysis_run_queue.add(key_of(changed))
            if new is None:
                self._metrics.forget_analysis_run(key_of(changed))
        if old is not None and new is not None and old.status.phase == new.status.phase:
            return
        self._enqueue_owner(changed)
        self._enqueue_experiment_of(changed)

    def _on_experiment(self, old: Experiment | None, new: Experiment | None) -> None:
        changed = new if new is not None else old
        assert changed is not None
        is_resync = old is new
        if new is None:
            self._metrics.forget_experiment(key_of(changed))
        # After a deletion as well: that pass forgets what we know about it.
        self._experiment_queue.add(key_of(changed), urgent=not is_resync and self.caches.experiments.has_synced)
        if not is_resync:
            self._enqueue_owner(changed)

    def _enqueue_experiment_of(self, child: ReplicaSet | Service | AnalysisRun) -> None:
        owner = experiment_of(child)
        if owner is not None:
            self._experiment_queue.add(owner, urgent=self.caches.experiments.has_synced)

    def _enqueue_owner(self, child: AnalysisRun | Experiment | None) -> None:
        owner = rollout_of(child) if child is not None else None
        if owner is not None:
            self._rollout_queue.add(owner)

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        service = new if new is not None else old
        assert service is not None
        key = key_of(service)
        self._service_queue.add(key)
        self._enqueue_experiment_of(service)
        if old is None or new is None or _is_redirected(old, new):
            # Rollouts that name it may become valid or invalid, or have to point it at their pods again.
            for rollout in self.caches.rollouts.find("service", str(key)):
                self._rollout_queue.add(key_of(rollout), urgent=self.caches.services.has_synced)

    def _on_routing_object(self, kind: ObjectKind, obj: RoutingObject) -> None:
        if is_managed_destination_rule(kind, obj):
            self._destination_rule_queue.add(key_of(obj))

    def _queue_destination_rule(self, left_by: Rollout) -> None:
        rule = destination_rule_of(left_by)
        if rule is not None:
            self._destination_rule_queue.add(NamespacedName(rule.namespace, rule.name))

    def _wake(self, key: NamespacedName, urgent: bool) -> None:
        self._rollout_queue.add(key, urgent=urgent)

    def _on_failed(self, key: NamespacedName) -> None:
        if self.caches.rollouts.get(Key(*key)) is not None:
            self._metrics.reconcile_error.inc(*key)

    def _on_finished(self, key: NamespacedName, seconds: float) -> None:
        # Keys of other instances' and of deleted Rollouts come from their ReplicaSets; nobody would drop their series.
        if self.caches.rollouts.get(Key(*key)) is not None:
            self._metrics.reconcile.observe(seconds, *key)

    def _on_experiment_failed(self, key: NamespacedName) -> None:
        if self.caches.experiments.get(Key(*key)) is not None:
            self._metrics.experiment_reconcile_error.inc(*key)

    def _on_experiment_finished(self, key: NamespacedName, seconds: float) -> None:
        if self.caches.experiments.get(Key(*key)) is not None:
            self._metrics.experiment_reconcile.observe(seconds, *key)

    def _queue_services(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._service_queue.add(NamespacedName.parse(key))

    def _record(self, rollout: Rollout, event: Event) -> None:
        """Write an Event about a Rollout, count it, and mirror it in the log."""
        self._metrics.observe_event(rollout, event)
        self._record_about(rollout, event)

    def _record_about(self, obj: Rollout | AnalysisRun | Experiment, event: Event) -> None:
        """Write an Event, and mirror it in the log."""
        metadata = obj.metadata
        about = ObjectReference(
            api_version=obj.API_VERSION,
            kind=obj.KIND,
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
        )
        # At a start there is one for every Rollout, and what happens meanwhile matters more.
        is_minor = event.reason == EVENT_ROLLOUT_ADDED_TO_INFORMER
        self._recorder.record(about, event.type, event.reason, event.message, is_minor=is_minor)
        level = logging.WARNING if event.type == EVENT_WARNING else logging.INFO
        named = {obj.KIND.lower(): metadata.name}
        log.log(
            level, "%s", event.message, extra=fields(namespace=metadata.namespace, event_reason=event.reason, **named)
        )


def _is_redirected(old: Service, new: Service) -> bool:
    """Say whether a Service selects other pods now, or is somebody else's."""
    managers = [each.metadata.annotations.get(MANAGED_BY_ANNOTATION) for each in (old, new)]
    return old.spec.selector != new.spec.selector or managers[0] != managers[1]
