"""Kubernetes Jobs: the measurement is whether the Job completes. Conditions of the metric play no part.

    run ──▶ Job created, or found again ──▶ Running ──resume──▶ Complete?  Successful
                                                    ──resume──▶ Failed?    Failed
                                                    ──resume──▶ an image that cannot be had?  Inconclusive
                                                    ──end of the run──▶ Job deleted, Inconclusive

The name of a Job follows from the run, the metric and the number of the measurement. So a controller that dies between
creating a Job and writing it down finds it again instead of starting a second one.
"""

import hashlib
import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from prograde import __version__
from prograde.api import names
from prograde.api.analysis import AnalysisRun, JobMetric, Measurement, Metric
from prograde.api.jobs import JOB_COMPLETE, Job, job_outcome
from prograde.api.meta import NO_RAW, OwnerReference, controller_of
from prograde.api.scalars import whole_seconds
from prograde.api.selectors import format_selector
from prograde.api.workloads import Pod
from prograde.core.analysis.schedule import JOB_NAME, result_of
from prograde.kube.client import Client
from prograde.kube.config import ConnectionConfig, load_in_cluster, load_kubeconfig
from prograde.kube.errors import AlreadyExists, ApiError, ConfigError, KubeError, NotFound
from prograde.kube.http import HttpTransport
from prograde.kube.resources import JOBS, PODS
from prograde.providers.base import ProviderContext, ProviderError
from prograde.providers.jobplace import KUBECONFIG_VARIABLE, is_elsewhere, job_namespace

__all__ = ["JOB_NAMESPACE", "JobProvider", "build", "job_name"]

JOB_NAMESPACE: Final = "job-namespace"
"""Next to the name of the Job in what a measurement in flight keeps."""

IN_CLUSTER: Final = "in-cluster"

NAME_LENGTH_MAX: Final = 63
"""Names of Jobs become labels of their pods."""

POLL_SECONDS_MIN: Final = 1.0
"""Times are stored in whole seconds; less would ask again and again within the first."""

HASH_LENGTH: Final = 6
"""What tells apart metrics whose names are alike once cut: one in 16 million pairs is mistaken."""

HOPELESS_REASONS: Final = frozenset(("ErrImagePull", "ImagePullBackOff", "InvalidImageName"))
"""Why a container waits that will not start by waiting. CrashLoopBackOff is none: the Job's own limit ends it."""

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


async def build(metric: Metric, context: ProviderContext) -> "JobProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: the cluster that Jobs are to run in is not configured as it should be.
    """
    config = metric.provider.job
    assert config is not None
    return JobProvider(metric, config, context, _connection(context.environment, context.now))


def _connection(environment: Mapping[str, str], now: Callable[[], datetime]) -> ConnectionConfig | None:
    """Return how to reach the cluster of the Jobs; None when it is the controller's own."""
    if not is_elsewhere(environment):
        return None
    where = environment[KUBECONFIG_VARIABLE]
    try:
        if where == IN_CLUSTER:
            return load_in_cluster(environment)
        path = Path(where)
        if not path.exists():
            raise ConfigError(f"{KUBECONFIG_VARIABLE}: {where} does not exist")
        return load_kubeconfig([path], environ=environment, now=now)
    except ConfigError as err:
        raise ProviderError(str(err)) from err


def job_name(run: AnalysisRun, metric: str) -> str:
    """Return the name of the Job of the next measurement: ``<uid of the run>.<metric>.<number>``.

    The numbers never repeat. The name of a metric that is too long or that no Job may have is cut and made valid, and
    a hash is added to what is left of it.
    """
    result = result_of(run, metric)
    number = result.count + result.error + 1 if result is not None else 1
    before, after = f"{run.metadata.uid}.", f".{number}"
    room = NAME_LENGTH_MAX - len(before) - len(after)
    if len(metric) <= room and _LABEL.fullmatch(metric):
        return before + metric + after
    digest = hashlib.sha256(metric.encode()).hexdigest()[:HASH_LENGTH]
    head = re.sub("[^-a-z0-9]+", "-", metric.lower()).strip("-")[: max(0, room - HASH_LENGTH - 1)].rstrip("-")
    return f"{before}{head}-{digest}{after}" if head else before + digest + after


class JobProvider:
    """One Job for each measurement."""

    type_name = "Job"

    def __init__(
        self, metric: Metric, config: JobMetric, context: ProviderContext, connection: ConnectionConfig | None
    ) -> None:
        self._metric = metric
        self._config = config
        self._context = context
        self._run = context.run
        self._connection = connection
        self._namespace = job_namespace(context.environment, context.run.metadata.namespace)

    def metadata(self) -> Mapping[str, str]:
        return {}

    async def run(self) -> Measurement:
        """Create the Job, or take the one that an earlier attempt has created."""
        started_at = whole_seconds(self._context.now())
        name = job_name(self._run, self._metric.name)
        async with self._reach() as client:
            try:
                await client.create(JOBS, self._namespace, self._job(name), name=name)
            except AlreadyExists as err:
                if not await self._is_ours(client, name):
                    raise ProviderError(err.message) from err
        return Measurement(
            phase=names.RUN_RUNNING,
            metadata={JOB_NAME: name, JOB_NAMESPACE: self._namespace},
            started_at=started_at,
            resume_at=started_at,
        )

    async def resume(self, measurement: Measurement) -> Measurement:
        """Look what has become of the Job."""
        namespace, name = self._reference(measurement)
        async with self._reach() as client:
            try:
                job = (await client.get(JOBS, namespace, name)).to(Job)
            except NotFound:
                raise ProviderError(f'job.batch "{name}" not found') from None
            outcome = job_outcome(job)
            if outcome:
                phase = names.RUN_SUCCESSFUL if outcome == JOB_COMPLETE else names.RUN_FAILED
                return self._finished(measurement, phase)
            problem = await self._hopeless_container(client, job, namespace)
        if problem:
            return self._finished(measurement, names.RUN_INCONCLUSIVE, problem)
        return msgspec.structs.replace(measurement, resume_at=self._next_look(measurement))

    async def terminate(self, measurement: Measurement) -> Measurement:
        """Delete the Job; its pods go first."""
        namespace, name = self._reference(measurement)
        async with self._reach() as client:
            await _delete(client, namespace, name)
        return self._finished(measurement, names.RUN_INCONCLUSIVE)

    async def collect_garbage(self, limit: int) -> None:
        """Delete the oldest Jobs of this metric, those that work excepted, until `limit` of all are left."""
        async with self._reach() as client:
            selector = f"{names.JOB_RUN_UID_LABEL}={self._run.metadata.uid}"
            listing = await client.list(JOBS, self._namespace, label_selector=selector)
            jobs = [each for each in listing.to(Job) if self._measures_this(each)]
            jobs.sort(key=lambda each: (each.metadata.creation_timestamp or self._context.now(), each.metadata.name))
            for job in jobs[: max(0, len(jobs) - limit)]:
                if job_outcome(job) and job.metadata.deletion_timestamp is None:
                    await _delete(client, job.metadata.namespace, job.metadata.name)

    # ---- The Job ----------------------------------------------------------------------------------------------------

    def _job(self, name: str) -> dict[str, object]:
        run, wanted = self._run.metadata, self._config.metadata
        metadata: dict[str, object] = {
            "name": name,
            "namespace": self._namespace,
            "labels": {**wanted.labels, names.JOB_RUN_UID_LABEL: run.uid},
            "annotations": {
                **wanted.annotations,
                names.JOB_RUN_NAME_ANNOTATION: run.name,
                names.JOB_RUN_NAMESPACE_ANNOTATION: run.namespace,
                names.JOB_METRIC_NAME_ANNOTATION: self._metric.name,
            },
        }
        if self._is_next_to_the_run:
            owner = OwnerReference(
                api_version=AnalysisRun.API_VERSION,
                kind=AnalysisRun.KIND,
                name=run.name,
                uid=run.uid,
                controller=True,
                block_owner_deletion=True,
            )
            metadata["ownerReferences"] = [owner]
        return {"apiVersion": Job.API_VERSION, "kind": Job.KIND, "metadata": metadata, "spec": self._labelled_spec()}

    def _labelled_spec(self) -> dict[str, Any]:
        """Return the spec with the run's label in its pod template."""
        spec = self._config.spec
        try:
            decoded = {} if bytes(spec) == bytes(NO_RAW) else msgspec.json.decode(spec, type=dict[str, Any])
            template = {**(decoded.get("template") or {})}
            metadata = {**(template.get("metadata") or {})}
            labels = {**(metadata.get("labels") or {}), names.JOB_RUN_UID_LABEL: self._run.metadata.uid}
        except (msgspec.DecodeError, TypeError, AttributeError) as err:
            raise ProviderError(f"job.spec of metric '{self._metric.name}' is no JobSpec: {err}") from err
        return {**decoded, "template": {**template, "metadata": {**metadata, "labels": labels}}}

    @property
    def _is_next_to_the_run(self) -> bool:
        """Whether the run can own its Jobs: an owner lives in the same namespace of the same cluster."""
        return self._connection is None and self._namespace == self._run.metadata.namespace

    async def _is_ours(self, client: Client, name: str) -> bool:
        """Tell whether the Job that has the name already was created for this measurement."""
        try:
            job = (await client.get(JOBS, self._namespace, name)).to(Job)
        except KubeError:
            return False
        if self._is_next_to_the_run:
            owner = controller_of(job)
            if owner is None or owner.uid != self._run.metadata.uid:
                return False
        elif job.metadata.labels.get(names.JOB_RUN_UID_LABEL) != self._run.metadata.uid:
            return False
        return self._measures_this(job)

    def _measures_this(self, job: Job) -> bool:
        return job.metadata.annotations.get(names.JOB_METRIC_NAME_ANNOTATION) == self._metric.name

    # ---- Measurements -----------------------------------------------------------------------------------------------

    def _reference(self, measurement: Measurement) -> tuple[str, str]:
        name = measurement.metadata.get(JOB_NAME, "")
        if not name:
            raise ProviderError("job metadata reference missing")
        return measurement.metadata.get(JOB_NAMESPACE) or self._run.metadata.namespace, name

    async def _hopeless_container(self, client: Client, job: Job, namespace: str) -> str:
        """Return what keeps a pod of the Job from ever starting; ``""`` when nothing does."""
        selector = format_selector(job.spec.selector) if job.spec.selector is not None else ""
        if not selector:
            return ""
        pods = (await client.list(PODS, namespace, label_selector=selector)).to(Pod)
        for pod in pods:
            for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
                waiting = container.state.waiting
                if waiting is not None and waiting.reason in HOPELESS_REASONS:
                    return (
                        f"Pod {pod.metadata.name}, container {container.name} has terminal error "
                        f"({waiting.reason}): {waiting.message}\n"
                    )
        return ""

    def _next_look(self, measurement: Measurement) -> datetime:
        """Return when to ask again: the longer a Job takes, the longer the wait. Its watch usually is earlier."""
        now = self._context.now()
        elapsed = max(0.0, (now - (measurement.started_at or now)).total_seconds())
        return whole_seconds(now + timedelta(seconds=max(POLL_SECONDS_MIN, math.sqrt(2 * elapsed))))

    def _finished(self, measurement: Measurement, phase: str, message: str = "") -> Measurement:
        return msgspec.structs.replace(
            measurement, phase=phase, message=message, finished_at=whole_seconds(self._context.now()), resume_at=None
        )

    # ---- The cluster ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _reach(self) -> AsyncIterator[Client]:
        """Offer a client of the cluster that the Jobs run in; whatever it refuses fails the measurement."""
        try:
            if self._connection is None:
                yield self._context.client
                return
            transport = HttpTransport(self._connection, user_agent=f"prograde/{__version__} (analysis jobs)")
            client = Client(transport)
            try:
                yield client
            finally:
                await client.close()
        except ApiError as err:
            raise ProviderError(err.message) from err
        except KubeError as err:
            raise ProviderError(str(err)) from err


async def _delete(client: Client, namespace: str, name: str) -> None:
    try:
        await client.delete(JOBS, namespace, name, propagation="Foreground")
    except NotFound:
        return
