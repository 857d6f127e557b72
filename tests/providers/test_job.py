"""Jobs as measurements, against the embedded cluster's Jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.providers.measuring import metric_of

from prograde.api.analysis import AnalysisRun, AnalysisRunStatus, Measurement, MetricResult
from prograde.api.meta import ObjectMeta
from prograde.kube.client import Client
from prograde.providers.base import Provider, ProviderContext, ProviderError
from prograde.providers.http import Http
from prograde.providers.job import job_name
from prograde.providers.registry import build_provider
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer

UID = "01234567-0123-4567-8901-0123456789ab"
RUN = AnalysisRun(metadata=ObjectMeta(name="run", namespace="default", uid=UID))


def after(count: int = 0, error: int = 0, name: str = "m", run: AnalysisRun = RUN) -> AnalysisRun:
    results = (MetricResult(name=name, count=count, error=error),)
    return msgspec.structs.replace(run, status=AnalysisRunStatus(metric_results=results))


def job_of(script: str = "exit 0", *, image: str = "busybox", **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": image, "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container], **more.pop("pod", {})}
    spec = {"backoffLimit": 0, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}
    return {"spec": {**spec, **more.pop("spec", {})}, **more}


class Bench:
    """An embedded cluster whose time moves when a test says so, and the provider on it."""

    def __init__(self, http: Http) -> None:
        self.sandbox = Sandbox(profile="instant")
        self.client = Client(self.sandbox.transport("controller"), qps=0)
        self.http = http
        body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "run"}}
        # A real one: Jobs whose owner does not exist are collected.
        self.uid = self.sandbox.create({**body, "spec": {"metrics": []}})["metadata"]["uid"]
        self.run = AnalysisRun(metadata=ObjectMeta(name="run", namespace="default", uid=self.uid))

    async def provider(
        self, job: dict[str, Any] | None = None, run: AnalysisRun | None = None, name: str = "m", **environment: str
    ) -> Provider:
        context = ProviderContext(
            run=run or self.run, client=self.client, http=self.http, now=self.sandbox.clock, environment=environment
        )
        metric = msgspec.structs.replace(metric_of({"job": job or job_of()}), name=name)
        return await build_provider(metric, context)

    def jobs(self, namespace: str = "default") -> list[dict[str, Any]]:
        return self.sandbox.list("jobs", namespace)

    def names(self) -> list[str]:
        return [job["metadata"]["name"] for job in self.jobs()]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Http(environment_proxies=False) as http:
        yield Bench(http)


def in_flight(bench: Bench, **metadata: str) -> Measurement:
    now = bench.sandbox.clock()
    return Measurement(phase="Running", started_at=now, resume_at=now, metadata=metadata)


async def test_a_measurement_starts_a_job_that_belongs_to_the_run(bench: Bench) -> None:
    wanted = job_of(metadata={"labels": {"team": "shop"}, "annotations": {"note": "x"}})
    measurement = await (await bench.provider(wanted)).run()
    (job,) = bench.jobs()
    assert job["metadata"]["name"] == f"{bench.uid}.m.1"
    assert job["metadata"]["labels"] == {"team": "shop", "analysisrun.argoproj.io/uid": bench.uid}
    assert job["metadata"]["annotations"] == {
        "note": "x",
        "analysisrun.argoproj.io/name": "run",
        "analysisrun.argoproj.io/namespace": "default",
        "analysisrun.argoproj.io/metric-name": "m",
    }
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "name": "run",
        "uid": bench.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert (labels["a"], labels["analysisrun.argoproj.io/uid"]) == ("b", bench.uid)
    now = bench.sandbox.clock().replace(microsecond=0)
    assert measurement == Measurement(
        phase="Running",
        started_at=now,
        resume_at=now,
        metadata={"job-name": f"{bench.uid}.m.1", "job-namespace": "default"},
    )


@pytest.mark.parametrize(("run", "number"), [(RUN, 1), (after(1), 2), (after(3, 2), 6), (after(4, name="other"), 1)])
def test_jobs_are_numbered_by_what_has_been_measured(run: AnalysisRun, number: int) -> None:
    assert job_name(run, "m") == f"{UID}.m.{number}"


@pytest.mark.parametrize(
    ("metric", "middle"),
    [
        ("a" * 24, "a" * 24),
        ("error.rate", "error.rate"),
        ("a" * 60, f"{'a' * 17}-11ee39"),
        ("Error Rate", "error-rate-bf7d53"),
        ("errors-of-the-big-checkout", "errors-of-the-big-55228f"),
        ("errors-of-the-bi-checkout", "errors-of-the-bi-fc381a"),
        ("-", "3973e0"),
    ],
)
def test_names_are_cut_and_made_valid(metric: str, middle: str) -> None:
    assert job_name(RUN, metric) == f"{UID}.{middle}.1"


def test_a_long_name_uses_all_the_room_and_names_that_are_cut_alike_differ() -> None:
    first, second = job_name(RUN, "a" * 60), job_name(RUN, "a" * 61)
    assert (len(first), len(second)) == (63, 63)
    assert first != second


async def test_a_job_that_was_created_before_a_crash_is_taken_up(bench: Bench) -> None:
    provider = await bench.provider()
    first = await provider.run()
    assert await provider.run() == first
    assert len(bench.jobs()) == 1


async def test_the_job_of_somebody_else_is_not_taken_up(bench: Bench) -> None:
    foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"{bench.uid}.m.1"}, **job_of()}
    bench.sandbox.create(foreign)
    with pytest.raises(ProviderError) as caught:
        await (await bench.provider()).run()
    assert str(caught.value) == f'jobs.batch "{bench.uid}.m.1" already exists'


async def test_the_job_of_another_metric_is_not_taken_up(bench: Bench) -> None:
    await (await bench.provider()).run()
    annotations = {"metadata": {"annotations": {"analysisrun.argoproj.io/metric-name": "other"}}}
    bench.sandbox.patch("jobs", f"{bench.uid}.m.1", annotations)
    with pytest.raises(ProviderError, match="already exists"):
        await (await bench.provider()).run()


async def test_a_job_that_cannot_be_read_leaves_the_error_of_its_creation(bench: Bench) -> None:
    await (await bench.provider()).run()
    bench.sandbox.faults.add(Answer(403), verbs="get", resource="jobs")
    with pytest.raises(ProviderError, match="already exists"):
        await (await bench.provider()).run()


async def test_a_job_that_is_refused_is_an_error_with_the_words_of_the_cluster(bench: Bench) -> None:
    with pytest.raises(ProviderError, match=r"spec\.template\.spec\.restartPolicy"):
        await (await bench.provider(job_of(pod={"restartPolicy": "Always"}))).run()
    assert bench.jobs() == []


@pytest.mark.parametrize(
    ("script", "phase"), [("exit 0", "Successful"), ("sleep 3; exit 0", "Successful"), ("exit 1", "Failed")]
)
async def test_the_end_of_the_job_is_the_verdict(bench: Bench, script: str, phase: str) -> None:
    provider = await bench.provider(job_of(script))
    measurement = await provider.run()
    bench.sandbox.advance(10)
    ended = await provider.resume(measurement)
    assert (ended.phase, ended.value, ended.message, ended.resume_at) == (phase, "", "", None)
    assert ended.finished_at == bench.sandbox.clock().replace(microsecond=0)
    assert ended.metadata == measurement.metadata


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 1), (10, 4), (60, 10), (3600, 84)])
async def test_a_job_that_works_is_looked_at_less_and_less_often(bench: Bench, elapsed: int, wait: int) -> None:
    provider = await bench.provider(job_of("sleep 7200"))
    measurement = await provider.run()
    bench.sandbox.advance(elapsed)
    now = bench.sandbox.clock().replace(microsecond=0)
    assert measurement.started_at is not None
    again = await provider.resume(measurement)
    assert again == msgspec.structs.replace(measurement, resume_at=again.resume_at)
    assert again.resume_at is not None
    assert timedelta(seconds=wait) <= again.resume_at - now <= timedelta(seconds=wait + 1)


async def test_a_failing_container_that_is_started_again_is_not_hopeless(bench: Bench) -> None:
    provider = await bench.provider(job_of("exit 1", pod={"restartPolicy": "OnFailure"}, spec={"backoffLimit": 100}))
    measurement = await provider.run()
    bench.sandbox.advance(60)
    (pod,) = bench.sandbox.list("pods")
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (await provider.resume(measurement)).phase == "Running"


@pytest.mark.parametrize(
    ("image", "reasons"),
    [("does-not-exist:1", ("ErrImagePull", "ImagePullBackOff")), ("Not An Image", ("InvalidImageName",))],
)
@pytest.mark.parametrize("is_init", [False, True])
async def test_an_image_that_cannot_be_had_is_inconclusive(
    bench: Bench, image: str, reasons: tuple[str, ...], is_init: bool
) -> None:
    broken = {"name": "broken", "image": image}
    pod = {"initContainers": [broken]} if is_init else {"containers": [broken]}
    provider = await bench.provider(job_of(pod=pod))
    measurement = await provider.run()
    bench.sandbox.advance(30)
    ended = await provider.resume(measurement)
    (made,) = bench.sandbox.list("pods")
    assert ended.phase == "Inconclusive"
    assert ended.finished_at is not None
    starts = [f"Pod {made['metadata']['name']}, container broken has terminal error ({each}): " for each in reasons]
    assert ended.message.startswith(tuple(starts))
    assert ended.message.endswith("\n")
    assert len(bench.jobs()) == 1


async def test_a_job_that_is_gone_is_an_error(bench: Bench) -> None:
    with pytest.raises(ProviderError) as caught:
        await (await bench.provider()).resume(in_flight(bench, **{"job-name": "gone", "job-namespace": "default"}))
    assert str(caught.value) == 'job.batch "gone" not found'


@pytest.mark.parametrize("metadata", [{}, {"job-name": ""}, {"job-namespace": "default"}])
async def test_a_measurement_that_names_no_job_is_an_error(bench: Bench, metadata: dict[str, str]) -> None:
    provider = await bench.provider()
    for work in (provider.resume, provider.terminate):
        with pytest.raises(ProviderError, match="job metadata reference missing"):
            await work(in_flight(bench, **metadata))


async def test_without_a_namespace_the_job_is_looked_for_next_to_the_run(bench: Bench) -> None:
    provider = await bench.provider()
    await provider.run()
    bench.sandbox.advance(10)
    assert (await provider.resume(in_flight(bench, **{"job-name": f"{bench.uid}.m.1"}))).phase == "Successful"


async def test_the_end_of_a_run_deletes_the_job_and_its_pods(bench: Bench) -> None:
    provider = await bench.provider(job_of("sleep 600"))
    measurement = await provider.run()
    bench.sandbox.advance(5)
    ended = await provider.terminate(measurement)
    assert (ended.phase, ended.message) == ("Inconclusive", "")
    assert ended.finished_at is not None
    bench.sandbox.advance(60)
    assert (bench.jobs(), bench.sandbox.list("pods")) == ([], [])
    assert (await provider.terminate(measurement)).phase == "Inconclusive"


async def test_a_job_that_cannot_be_deleted_is_an_error(bench: Bench) -> None:
    provider = await bench.provider(job_of("sleep 600"))
    measurement = await provider.run()
    bench.sandbox.faults.add(Answer(403), verbs="delete", resource="jobs")
    with pytest.raises(ProviderError):
        await provider.terminate(measurement)


async def started(bench: Bench, count: int, name: str = "m", script: str = "exit 0") -> None:
    for number in range(count):
        await (await bench.provider(job_of(script), after(number, name=name, run=bench.run), name)).run()
        bench.sandbox.advance(5)


async def test_the_oldest_jobs_beyond_the_limit_are_deleted(bench: Bench) -> None:
    await started(bench, 12)
    await (await bench.provider()).collect_garbage(10)
    bench.sandbox.advance(10)
    assert sorted(bench.names()) == sorted(f"{bench.uid}.m.{number}" for number in range(3, 13))


async def test_jobs_of_other_metrics_and_jobs_that_work_are_left_alone(bench: Bench) -> None:
    await started(bench, 3, "other")
    await started(bench, 1, script="sleep 7200")
    await (await bench.provider(run=after(1, run=bench.run))).run()
    bench.sandbox.advance(5)
    await (await bench.provider()).collect_garbage(0)
    bench.sandbox.advance(10)
    assert sorted(bench.names()) == [f"{bench.uid}.m.1", *(f"{bench.uid}.other.{number}" for number in (1, 2, 3))]


async def test_jobs_can_be_sent_to_another_namespace_where_the_run_cannot_own_them(bench: Bench) -> None:
    bench.sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobs"}})
    provider = await bench.provider(ARGO_ROLLOUTS_ANALYSIS_JOB_NAMESPACE="jobs")
    measurement = await provider.run()
    assert measurement.metadata["job-namespace"] == "jobs"
    (job,) = bench.jobs("jobs")
    assert "ownerReferences" not in job["metadata"]
    assert await provider.run() == measurement
    foreign = {"metadata": {"labels": {"analysisrun.argoproj.io/uid": "x"}}}
    bench.sandbox.patch("jobs", f"{bench.uid}.m.1", foreign, "jobs")
    with pytest.raises(ProviderError, match="already exists"):
        await provider.run()


@asynccontextmanager
async def another_cluster() -> AsyncIterator[tuple[Sandbox, str]]:
    other = Sandbox(profile="instant")
    async with other.serving() as endpoint:
        yield other, str(endpoint.kubeconfig)


async def test_jobs_can_be_sent_to_another_cluster(bench: Bench) -> None:
    async with another_cluster() as (other, path):
        provider = await bench.provider(ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG=path)
        measurement = await provider.run()
        (job,) = other.list("jobs", "default")
        assert "ownerReferences" not in job["metadata"]
        other.advance(10)
        assert (await provider.resume(measurement)).phase == "Successful"
    assert bench.jobs() == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/does/not/exist", "ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG: /does/not/exist does not exist"),
        ("in-cluster", "not inside a cluster"),
    ],
)
async def test_a_cluster_that_is_not_configured_is_an_error(bench: Bench, where: str, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        await bench.provider(ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG=where)


async def test_a_spec_of_another_shape_is_an_error_that_names_the_metric(bench: Bench) -> None:
    with pytest.raises(ProviderError, match=r"job\.spec of metric 'm' is no JobSpec"):
        await (await bench.provider({"spec": {"template": [1]}})).run()


async def test_the_type_is_job_and_there_is_nothing_else_to_tell(bench: Bench) -> None:
    provider = await bench.provider()
    assert (provider.type_name, provider.metadata()) == ("Job", {})
