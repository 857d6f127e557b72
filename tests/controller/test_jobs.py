"""AnalysisRuns that measure by Jobs, from the API to the pods and back, in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.controller.test_rights import installed_rules
from tests.kube.virtual_time import virtual_time

from prograde.api.jobs import Job
from prograde.api.meta import NamespacedName, ObjectMeta, OwnerReference
from prograde.api.scalars import parse_time
from prograde.controller.controller import Controller
from prograde.controller.jobs import run_of
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.settings import ControllerSettings
from prograde.kube.client import Client
from prograde.kube.events import EventRecorder
from prograde.providers.http import Http
from prograde.sandbox.auth import User
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.transport import InProcessTransport
from prograde.simulator.loop import wall_clock

CONTROLLER = "limited-controller"


class Cluster:
    """An embedded cluster with a controller that has the installed rights and measures."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def create(self, script: str, name: str = "run", *, image: str = "busybox", **metric: Any) -> None:
        container = {"name": "c", "image": image, "command": ["sh", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        job = {"spec": {"backoffLimit": 0, "template": template}}
        self.sandbox.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisRun",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"metrics": [{"name": "smoke", "provider": {"job": job}, **metric}]},
            }
        )

    def status(self, name: str = "run") -> dict[str, Any]:
        status: dict[str, Any] = self.sandbox.get("analysisruns", name).get("status") or {}
        return status

    def measurements(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self.status().get("metricResults") or [{"measurements": []}]
        measurements: list[dict[str, Any]] = results[0]["measurements"]
        return measurements

    async def until_completed(self, seconds: float = 600) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while self.status().get("phase") not in ("Successful", "Failed", "Error", "Inconclusive"):
                await asyncio.sleep(0.1)
        return self.status()

    def used(self, resource: str) -> list[str]:
        log = self.sandbox.request_log
        return [each.verb for each in log if each.client == CONTROLLER and each.resource == resource]


@asynccontextmanager
async def measuring(**environment: str) -> AsyncIterator[Cluster]:
    sandbox = Sandbox(now=wall_clock, profile="fast")
    rng = random.Random(1)
    user = User("controller", allow=tuple(installed_rules()))
    transport = InProcessTransport(lambda request: sandbox.handle(request, user), user_agent=CONTROLLER)
    async with sandbox.running(), Http(environment_proxies=False) as http:
        client = Client(transport, qps=0, rng=rng)
        recorder = EventRecorder(client, component="rollouts-controller", now=wall_clock, rng=rng)
        controller = Controller(
            client,
            ControllerSettings(),
            ControllerMetrics(),
            recorder,
            now=wall_clock,
            rng=rng,
            http=http,
            environment=environment,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(controller.run(stop))
        try:
            yield Cluster(sandbox)
        finally:
            stop.set()
            await running
        assert [each for each in sandbox.request_log if each.status == 403] == []


@pytest.mark.parametrize(
    ("script", "phase", "counts"),
    [
        ("exit 0", "Successful", {"count": 1, "successful": 1}),
        ("exit 1", "Failed", {"count": 1, "failed": 1}),
    ],
)
def test_the_end_of_a_job_is_the_end_of_its_measurement(script: str, phase: str, counts: dict[str, int]) -> None:
    @virtual_time
    async def check() -> None:
        async with measuring() as cluster:
            cluster.create(script)
            status = await cluster.until_completed()
            assert (status["phase"], status["runSummary"]) == (phase, counts)
            (measurement,) = cluster.measurements()
            assert "value" not in measurement
            (job,) = cluster.sandbox.list("jobs")
            assert measurement["metadata"] == {"job-name": job["metadata"]["name"], "job-namespace": "default"}

    check()


@virtual_time
async def test_a_job_that_ends_is_noticed_at_once() -> None:
    async with measuring() as cluster:
        cluster.create("sleep 3600; exit 0")
        await cluster.until_completed(7200)
        (job,) = cluster.sandbox.list("jobs")
        (measurement,) = cluster.measurements()
        lag = parse_time(measurement["finishedAt"]) - parse_time(job["status"]["completionTime"])
        # Asked at intervals only, it could have been 84 s.
        assert lag <= timedelta(seconds=1)


@virtual_time
async def test_in_another_namespace_the_annotations_lead_back_to_the_run() -> None:
    async with measuring(ARGO_ROLLOUTS_ANALYSIS_JOB_NAMESPACE="jobs") as cluster:
        cluster.sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobs"}})
        cluster.create("sleep 3600; exit 0")
        await cluster.until_completed(7200)
        (job,) = cluster.sandbox.list("jobs", "jobs")
        (measurement,) = cluster.measurements()
        lag = parse_time(measurement["finishedAt"]) - parse_time(job["status"]["completionTime"])
        assert lag <= timedelta(seconds=1)


@virtual_time
async def test_jobs_in_another_cluster_are_not_followed_and_a_wrong_configuration_is_an_error() -> None:
    async with measuring(ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG="/does/not/exist") as cluster:
        cluster.create("exit 0", failureLimit=0, consecutiveErrorLimit=0)
        status = await cluster.until_completed()
        assert status["phase"] == "Error"
        assert "/does/not/exist does not exist" in status["message"]
        assert cluster.used("jobs") == []


@virtual_time
async def test_nobody_follows_jobs_before_a_run_measures_by_one() -> None:
    async with measuring() as cluster:
        await asyncio.sleep(60)
        assert cluster.used("jobs") == []
        cluster.create("exit 0")
        await cluster.until_completed()
        assert {"create", "list", "watch", "get"} <= set(cluster.used("jobs"))


@virtual_time
async def test_an_image_that_cannot_be_had_makes_the_run_inconclusive() -> None:
    async with measuring() as cluster:
        cluster.create("exit 0", image="does-not-exist:1")
        status = await cluster.until_completed()
        assert status["phase"] == "Inconclusive"
        assert "has terminal error" in cluster.measurements()[0]["message"]


@virtual_time
async def test_the_end_of_a_run_deletes_its_job() -> None:
    async with measuring() as cluster:
        cluster.create("sleep 3600")
        async with asyncio.timeout(60):
            while not cluster.measurements():
                await asyncio.sleep(0.1)
        cluster.sandbox.patch("analysisruns", "run", {"spec": {"terminate": True}})
        status = await cluster.until_completed()
        assert status["phase"] == "Inconclusive"
        assert cluster.measurements()[0]["message"] == "Metric Terminated"
        await asyncio.sleep(60)
        assert (cluster.sandbox.list("jobs"), cluster.sandbox.list("pods")) == ([], [])


@virtual_time
async def test_the_next_job_starts_only_after_the_one_before_has_ended() -> None:
    async with measuring() as cluster:
        cluster.create("sleep 30; exit 0", count=3, interval="10s")
        await cluster.until_completed()
        first, second, third = cluster.measurements()
        for before, after in ((first, second), (second, third)):
            assert parse_time(after["startedAt"]) >= parse_time(before["finishedAt"]) + timedelta(seconds=10)
        assert [each["metadata"]["job-name"][-2:] for each in (first, second, third)] == [".1", ".2", ".3"]


@virtual_time
async def test_jobs_of_forgotten_measurements_are_deleted() -> None:
    async with measuring() as cluster:
        cluster.create("exit 0", count=13, interval="5s")
        await cluster.until_completed()
        await asyncio.sleep(30)
        assert len(cluster.measurements()) == 10
        assert len(cluster.sandbox.list("jobs")) == 10


@virtual_time
async def test_the_jobs_of_a_run_that_is_deleted_go_as_well() -> None:
    async with measuring() as cluster:
        cluster.create("sleep 3600")
        async with asyncio.timeout(60):
            while not cluster.measurements():
                await asyncio.sleep(0.1)
        cluster.sandbox.delete("analysisruns", "run")
        await asyncio.sleep(60)
        assert (cluster.sandbox.list("jobs"), cluster.sandbox.list("pods")) == ([], [])


LABELS = {"analysisrun.argoproj.io/uid": "u"}
NOTED = {"analysisrun.argoproj.io/name": "run", "analysisrun.argoproj.io/namespace": "shop"}


@pytest.mark.parametrize(
    ("metadata", "run"),
    [
        (
            {"owner_references": (OwnerReference(kind="AnalysisRun", name="mine", controller=True),)},
            NamespacedName("default", "mine"),
        ),
        ({"labels": LABELS, "annotations": NOTED}, NamespacedName("shop", "run")),
        ({"owner_references": (OwnerReference(kind="CronJob", name="x", controller=True),)}, None),
        ({"labels": LABELS}, None),
        ({"annotations": NOTED}, None),
    ],
)
def test_whom_a_job_measures_for(metadata: dict[str, Any], run: NamespacedName | None) -> None:
    assert run_of(Job(metadata=ObjectMeta(name="j", namespace="default", **metadata))) == run
