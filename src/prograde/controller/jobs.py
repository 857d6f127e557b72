"""The Jobs that measure: followed from the first run with such a metric on, so that one that ends is noticed at once.

A provider asks for its Job at growing intervals. The watch makes that a mere precaution: a Job that ends wakes its run,
and its measurement is due whatever the interval says. Jobs in another cluster are not followed; the intervals remain.
"""

import random
from collections.abc import Callable, Iterable, Mapping

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.jobs import Job, job_outcome
from prograde.api.meta import NamespacedName, controller_of
from prograde.api.names import (
    ANALYSIS_RUN,
    JOB_RUN_NAME_ANNOTATION,
    JOB_RUN_NAMESPACE_ANNOTATION,
    JOB_RUN_UID_LABEL,
)
from prograde.controller.ondemand import InformersOnDemand, OnDemand
from prograde.kube.client import Client
from prograde.kube.informer import Informer
from prograde.kube.resources import JOBS
from prograde.providers.jobplace import is_elsewhere, job_namespace

__all__ = ["Jobs", "run_of"]


def run_of(job: Job) -> NamespacedName | None:
    """Return the run that a Job measures for: its controller, or, where it can have none, who is noted on it."""
    owner = controller_of(job)
    if owner is not None and owner.kind == ANALYSIS_RUN:
        return NamespacedName(job.metadata.namespace, owner.name)
    noted = job.metadata.annotations
    if not job.metadata.labels.get(JOB_RUN_UID_LABEL) or not noted.get(JOB_RUN_NAME_ANNOTATION):
        return None
    return NamespacedName(noted.get(JOB_RUN_NAMESPACE_ANNOTATION, ""), noted[JOB_RUN_NAME_ANNOTATION])


def _by_run(job: Job) -> Iterable[str]:
    uid = job.metadata.labels.get(JOB_RUN_UID_LABEL)
    return (uid,) if uid else ()


class Jobs:
    """Knows which Jobs of a run have ended.

    Args:
        informers: runs the informer.
        wake: told which run to look at.
        namespace: the one that is watched; empty for all.
        environment: of the controller; it may send Jobs to another namespace or cluster.
    """

    def __init__(
        self,
        client: Client,
        informers: InformersOnDemand,
        *,
        wake: Callable[[NamespacedName], None],
        rng: random.Random,
        namespace: str,
        environment: Mapping[str, str],
    ) -> None:
        self._wake = wake
        self._are_elsewhere = is_elsewhere(environment)
        informer = Informer(
            client,
            JOBS,
            msgspec.json.Decoder(Job).decode,
            rng=rng,
            namespace=job_namespace(environment, namespace),
            label_selector=JOB_RUN_UID_LABEL,
            indexers={"run": _by_run},
        )
        informer.subscribe(self._on_change)
        self._jobs = OnDemand(informers, informer, synced=lambda: None)

    def ended(self, run: AnalysisRun) -> frozenset[str]:
        """Return the names of the run's Jobs that have ended, as far as is known."""
        if self._are_elsewhere or not any(metric.provider.job is not None for metric in run.spec.metrics):
            return frozenset()
        jobs = self._jobs.use().find("run", run.metadata.uid)
        return frozenset(job.metadata.name for job in jobs if job_outcome(job))

    def _on_change(self, old: Job | None, new: Job | None) -> None:
        # One that is gone has ended as well: its measurement will say so.
        job = new if new is not None else old
        assert job is not None
        run = run_of(job)
        if run is not None and (new is None or job_outcome(job)):
            self._wake(run)
