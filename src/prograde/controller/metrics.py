"""The controller's metrics: counters fed by the shell, and gauges computed from the caches while being scraped.

Names, labels and help texts are what existing dashboards and alerts match. Series about a deleted object go away with
it: gauges at once, because they come from the caches; counters and histograms after `FORGET_AFTER_SECONDS`, which
leaves a scrape the time to see their last value.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable
from typing import Final

from prograde import __version__
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, find_condition, key_of
from prograde.api.names import (
    CONDITION_INVALID_SPEC,
    CONDITION_PROGRESSING,
    REASON_NEW_REPLICA_SET_AVAILABLE,
    REASON_PROGRESS_DEADLINE_EXCEEDED,
    REASON_REPLICA_SET_CREATE_ERROR,
    REASON_ROLLOUT_ABORTED,
    REASON_ROLLOUT_PAUSED,
)
from prograde.api.rollout import Rollout
from prograde.controller.analysismetrics import RUN_PHASES, run_metric_families, template_families
from prograde.core.plan import Event
from prograde.core.rollout.duration import Attempt
from prograde.kube.client import Call
from prograde.telemetry.metrics import Family, Gauge, Registry, Sample
from prograde.telemetry.process import collect_process

__all__ = ["ControllerMetrics", "QueueMetrics", "metric_phase"]

FORGET_AFTER_SECONDS: Final = 65.0
"""A little more than the usual scrape interval of a minute."""

SWEEP_SECONDS: Final = 1.0
"""Series that are due within this time go together."""

_RECONCILE_BUCKETS = (0.01, 0.15, 0.25, 0.5, 1)
_DURATION_BUCKETS = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)
_PROGRESSION_BUCKETS = (30, 60, 120, 300, 600, 900, 1800, 3600)
_MANUAL_PAUSE_BUCKETS = (0, 60, 300, 600, 1800, 3600, 7200, 14400, 28800)
_QUEUE_BUCKETS = (1e-08, 1e-07, 1e-06, 1e-05, 0.0001, 0.001, 0.01, 0.1, 1, 10)

_PHASE_OF_REASON = {
    REASON_NEW_REPLICA_SET_AVAILABLE: "Completed",
    REASON_ROLLOUT_PAUSED: "Paused",
    REASON_REPLICA_SET_CREATE_ERROR: "Error",
    REASON_PROGRESS_DEADLINE_EXCEEDED: "Timeout",
    REASON_ROLLOUT_ABORTED: "Abort",
}
_ROLLOUT_PHASES = ("Completed", "Progressing", "Paused", "Timeout", "Error", "Abort")
_NAMELESS_PLURALS = frozenset({"analysisruns", "events", "experiments", "pods", "replicasets"})
"""Requests about these are counted without the object's name: there is no end of such names."""


def metric_phase(rollout: Rollout) -> str:
    """Return the phase that `rollout_info` shows; it follows the conditions and differs from ``status.phase``."""
    conditions = rollout.status.conditions
    if find_condition(conditions, CONDITION_INVALID_SPEC) is not None:
        return "InvalidSpec"
    progressing = find_condition(conditions, CONDITION_PROGRESSING)
    return _PHASE_OF_REASON.get(progressing.reason, "Progressing") if progressing else "Progressing"


class QueueMetrics:
    """Observes one work queue; satisfies `kube.workqueue.QueueObserver`."""

    def __init__(self, metrics: "ControllerMetrics", name: str) -> None:
        self._metrics = metrics
        self._name = name

    def added(self, depth: int) -> None:
        self._metrics.queue_adds.inc(self._name)
        self._metrics.queue_depth.set(depth, self._name)

    def started(self, depth: int, waited_seconds: float) -> None:
        self._metrics.queue_depth.set(depth, self._name)
        self._metrics.queue_duration.observe(waited_seconds, self._name)

    def finished(self, worked_seconds: float) -> None:
        self._metrics.queue_work.observe(worked_seconds, self._name)

    def retried(self) -> None:
        self._metrics.queue_retries.inc(self._name)


class ControllerMetrics:
    """Everything that ``/metrics`` of a controller shows."""

    def __init__(self) -> None:
        self.registry = Registry()
        add = self.registry
        owner = ("namespace", "name")
        self.reconcile = add.histogram(
            "rollout_reconcile", "Rollout reconciliation performance.", _RECONCILE_BUCKETS, owner
        )
        self.reconcile_error = add.counter("rollout_reconcile_error", "Error occurring during the rollout", owner)
        self.analysis_run_reconcile = add.histogram(
            "analysis_run_reconcile", "Analysis Run reconciliation performance.", _RECONCILE_BUCKETS, owner
        )
        self.analysis_run_reconcile_error = add.counter(
            "analysis_run_reconcile_error", "Error occurring during the analysis run", owner
        )
        self.experiment_reconcile = add.histogram(
            "experiment_reconcile", "Experiments reconciliation performance.", _RECONCILE_BUCKETS, owner
        )
        self.experiment_reconcile_error = add.counter(
            "experiment_reconcile_error", "Error occurring during the experiment", owner
        )
        self.events = add.counter(
            "rollout_events_total", "Count of rollout events", ("namespace", "name", "type", "reason")
        )
        self.duration = add.histogram(
            "rollout_duration_seconds",
            "Total wall-clock time for a rollout from start to completion/abort/supersede",
            _DURATION_BUCKETS,
            ("status",),
        )
        self.progression = add.histogram(
            "rollout_progression_duration_seconds",
            "Active progression time for a rollout (excluding manual pause time)",
            _PROGRESSION_BUCKETS,
            ("status",),
        )
        self.manual_pause = add.histogram(
            "rollout_manual_pause_duration_seconds",
            "Time spent in manual pause waiting for human intervention",
            _MANUAL_PAUSE_BUCKETS,
            ("status",),
        )
        self.requests = add.counter(
            "controller_clientset_k8s_request_total",
            "Number of kubernetes requests executed during application reconciliation.",
            ("kind", "namespace", "name", "verb", "status_code"),
        )
        self._add_queue_metrics()
        self._add_build_info()
        self._rollouts: Callable[[], Iterable[Rollout]] = tuple
        self._experiments: Callable[[], Iterable[Experiment]] = tuple
        self._analysis_runs: Callable[[], Iterable[AnalysisRun]] = tuple
        self._leaving_runs: set[NamespacedName] = set()
        self._leaving: dict[NamespacedName, float] = {}
        """Deleted Rollouts, and when on the loop's clock their series go; the earliest first."""
        self._unfinished: dict[str, Callable[[], tuple[float, float]]] = {}
        self.registry.collect_with(collect_process)
        self.registry.collect_with(self._collect_unfinished)

    def _add_queue_metrics(self) -> None:
        add, name = self.registry, ("name",)
        self.queue_adds = add.counter("workqueue_adds_total", "Total number of adds handled by workqueue", name)
        self.queue_depth: Gauge = add.gauge("workqueue_depth", "Current depth of workqueue", name)
        self.queue_duration = add.histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            _QUEUE_BUCKETS,
            name,
        )
        self.queue_work = add.histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            _QUEUE_BUCKETS,
            name,
        )
        self.queue_retries = add.counter(
            "workqueue_retries_total", "Total number of retries handled by workqueue", name
        )

    def _add_build_info(self) -> None:
        version = f"v{__version__}"
        info = self.registry.gauge("argo_rollouts_controller_info", "Running Argo-rollouts version", ("version",))
        info.set(1, version)
        build = self.registry.gauge(
            "build_info",
            "A metric with a constant '1' value labeled by version from which Prograde was built.",
            ("version", "goversion", "goarch", "commit", "pythonversion"),
        )
        build.set(1, version, "", platform.machine(), "", platform.python_version())

    # --- fed by the shell -------------------------------------------------------------------------------------------

    def observe_queue(self, name: str) -> QueueMetrics:
        """Return the observer for the queue of this name."""
        return QueueMetrics(self, name)

    def watch_unfinished(self, name: str, unfinished: Callable[[], tuple[float, float]]) -> None:
        """Ask `unfinished` at every scrape for the sum and the longest of the seconds that keys are in work."""
        self._unfinished[name] = unfinished

    def observe_request(self, call: Call, status: int, seconds: float) -> None:
        """Count a request; the client's observer. `seconds` is of no interest here."""
        del seconds
        resource = call.resource
        if resource is None:
            self.requests.inc("Unknown", "Unknown", "Unknown", "Unknown", str(status))
            return
        has_name = call.name and resource.plural not in _NAMELESS_PLURALS
        self.requests.inc(
            resource.plural, call.namespace or "N/A", call.name if has_name else "N/A", call.verb.title(), str(status)
        )

    def observe_event(self, rollout: Rollout, event: Event) -> None:
        self.events.inc(rollout.metadata.namespace, rollout.metadata.name, event.type, event.reason)

    def observe_attempt(self, attempt: Attempt) -> None:
        """Record a release that has ended."""
        total, paused = attempt.total.total_seconds(), attempt.paused.total_seconds()
        self.duration.observe(total, attempt.completion_status)
        self.progression.observe(total - paused, attempt.completion_status)
        self.manual_pause.observe(paused, attempt.completion_status)

    def forget(self, key: NamespacedName) -> None:
        """Drop the series of a deleted Rollout, a scrape later; with the last one those of its whole namespace.

        Series without a name, of requests about ReplicaSets for example, would otherwise outlive every namespace that
        a pull request has ever had.
        """
        loop = asyncio.get_running_loop()
        if not self._leaving:
            loop.call_later(FORGET_AFTER_SECONDS, self._sweep)
        self._leaving[key] = loop.time() + FORGET_AFTER_SECONDS

    def forget_experiment(self, key: NamespacedName) -> None:
        """Drop the series of a deleted Experiment, a scrape later, unless there is one of that name again."""
        asyncio.get_running_loop().call_later(FORGET_AFTER_SECONDS, self._drop_experiment, key)

    def _drop_experiment(self, key: NamespacedName) -> None:
        if any(key_of(each) == key for each in self._experiments()):
            return
        for metric in (self.experiment_reconcile, self.experiment_reconcile_error):
            metric.discard(lambda labels: (labels["namespace"], labels["name"]) == key)

    def forget_analysis_run(self, key: NamespacedName) -> None:
        """Drop the series of a deleted AnalysisRun, a scrape later; those that are deleted meanwhile go together."""
        if not self._leaving_runs:
            asyncio.get_running_loop().call_later(FORGET_AFTER_SECONDS, self._sweep_runs)
        self._leaving_runs.add(key)

    def _sweep_runs(self) -> None:
        gone = self._leaving_runs - {key_of(run) for run in self._analysis_runs()}
        self._leaving_runs = set()
        for metric in (self.analysis_run_reconcile, self.analysis_run_reconcile_error):
            metric.discard(lambda labels: (labels["namespace"], labels["name"]) in gone)

    def _sweep(self) -> None:
        """Drop all that is due in one go: a sweep looks at every series, and Rollouts are deleted by the thousand."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + SWEEP_SECONDS
        due = {key for key, at in self._leaving.items() if at <= latest}
        for key in due:
            del self._leaving[key]
        if self._leaving:
            loop.call_at(min(self._leaving.values()), self._sweep)
        present = {key_of(rollout) for rollout in self._rollouts()}
        gone = due - present  # what was made again in the meantime goes on counting
        empty = {key.namespace for key in gone} - {key.namespace for key in present}
        self.registry.discard(
            lambda labels: (
                (namespace := labels.get("namespace", "")) in empty or (namespace, labels.get("name", "")) in gone
            )
        )

    # --- computed from the caches -------------------------------------------------------------------------------------

    def collect_from(
        self,
        rollouts: Callable[[], Iterable[Rollout]],
        analysis_runs: Callable[[], Iterable[AnalysisRun]],
        experiments: Callable[[], Iterable[Experiment]],
    ) -> None:
        """Compute the info gauges from these caches at every scrape."""
        self._rollouts = rollouts
        self._experiments = experiments
        self._analysis_runs = analysis_runs
        self.registry.collect_with(lambda: _rollout_families(tuple(rollouts())))
        self.registry.collect_with(lambda: _run_families(tuple(analysis_runs()), tuple(experiments())))
        self.registry.collect_with(lambda: run_metric_families(tuple(analysis_runs())))

    def collect_templates_from(
        self, templates: Callable[[], Iterable[AnalysisTemplate | ClusterAnalysisTemplate]]
    ) -> None:
        """Show the analysis templates that are known whenever somebody asks."""
        self.registry.collect_with(lambda: template_families(tuple(templates())))

    def _collect_unfinished(self) -> Iterable[Family]:
        ages = {name: ask() for name, ask in self._unfinished.items()}
        yield Family(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has done that is in progress and hasn't been observed by work_duration.",
            "gauge",
            ("name",),
            [Sample((name,), total) for name, (total, _) in ages.items()],
        )
        yield Family(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running.",
            "gauge",
            ("name",),
            [Sample((name,), longest) for name, (_, longest) in ages.items()],
        )


def _rollout_families(rollouts: tuple[Rollout, ...]) -> Iterable[Family]:
    owner = ("namespace", "name")
    yield Family(
        "rollout_info",
        "Information about rollout.",
        "gauge",
        ("namespace", "name", "strategy", "traffic_router", "phase"),
        [Sample((*_names(r), _strategy(r), _traffic_router(r), metric_phase(r)), 1) for r in rollouts],
    )
    counts: tuple[tuple[str, Callable[[Rollout], int]], ...] = (
        ("available", lambda r: r.status.available_replicas),
        ("unavailable", lambda r: r.status.replicas - r.status.available_replicas),
        ("desired", lambda r: 1 if r.spec.replicas is None else r.spec.replicas),
        ("updated", lambda r: r.status.updated_replicas),
    )
    for name, count in counts:
        yield Family(
            f"rollout_info_replicas_{name}",
            f"The number of {name} replicas per rollout.",
            "gauge",
            owner,
            [Sample(_names(r), count(r)) for r in rollouts],
        )
    yield Family(
        "rollout_phase",
        "Information about the state of the rollout. Deprecated: use rollout_info.",
        "gauge",
        ("namespace", "name", "strategy", "phase"),
        [
            Sample((*_names(r), _strategy(r), phase), float(metric_phase(r) == phase))
            for r in rollouts
            for phase in _ROLLOUT_PHASES
        ],
    )


def _run_families(runs: tuple[AnalysisRun, ...], experiments: tuple[Experiment, ...]) -> Iterable[Family]:
    labels = ("namespace", "name", "phase")
    for kind, text, objects in (
        ("analysis_run", "analysis run", runs),
        ("experiment", "experiment", experiments),
    ):
        yield Family(
            f"{kind}_info",
            f"Information about {text}.",
            "gauge",
            labels,
            [Sample((o.metadata.namespace, o.metadata.name, o.status.phase), 1) for o in objects],
        )
        yield Family(
            f"{kind}_phase",
            f"Information on the state of the {text}. Deprecated: use {kind}_info.",
            "gauge",
            labels,
            [
                Sample((o.metadata.namespace, o.metadata.name, phase), float((o.status.phase or "Pending") == phase))
                for o in objects
                for phase in RUN_PHASES
            ],
        )


def _names(rollout: Rollout) -> tuple[str, str]:
    return rollout.metadata.namespace, rollout.metadata.name


def _strategy(rollout: Rollout) -> str:
    strategy = rollout.spec.strategy
    if strategy.blue_green is not None:
        return "blueGreen"
    if strategy.canary is not None:
        return "canary"
    return "recreate" if strategy.recreate is not None else "none"


def _traffic_router(rollout: Rollout) -> str:
    canary = rollout.spec.strategy.canary
    routing = canary.traffic_routing if canary else None
    if routing is None:
        return ""
    # The last match counts, as it does for the reference, should several be configured.
    routers = (
        ("ALB", routing.alb),
        ("Ambassador", routing.ambassador),
        ("Istio", routing.istio),
        ("Nginx", routing.nginx),
        ("SMI", routing.smi),
        ("AppMesh", routing.app_mesh),
    )
    return next((name for name, configured in reversed(routers) if configured is not None), "")
