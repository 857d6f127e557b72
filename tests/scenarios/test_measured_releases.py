"""Releases that are let through, stopped and taken back by what a server of metrics answers, in real time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.providers.fake_server import FakeServer, server
from tests.scenarios.measured import Cluster, measuring

__all__ = ["server"]

pytestmark = pytest.mark.timeout(60)

NAME = "cart"
BLUE, GREEN, RED = (f"argoproj/rollouts-demo:{colour}" for colour in ("blue", "green", "red"))
HASH_LABEL = "rollouts-pod-template-hash"


def rollout(strategy: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": NAME, "labels": {"region": "north"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": NAME}},
                "spec": {"containers": [{"name": "cart", "image": BLUE}]},
            },
            **spec,
        },
    }


def canary(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    return rollout({"canary": {"steps": list(steps), **members}})


def blue_green(**members: Any) -> list[dict[str, Any]]:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]},
    }
    return [service, rollout({"blueGreen": {"activeService": NAME, "scaleDownDelaySeconds": 30, **members}})]


def metric(server: FakeServer, name: str = "rate", query: str = "", **fields: Any) -> dict[str, Any]:
    conditions = {"successCondition": "result >= 0.95", "failureCondition": "result < 0.9"}
    provider = {"web": {"url": f"{server.url}/{name}{query}", "jsonPath": "{$.rate}"}}
    return {"name": name, "provider": provider, **conditions, **fields}


def template(name: str, *metrics: dict[str, Any], kind: str = "AnalysisTemplate", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"metrics": list(metrics), **spec},
    }


def by(*names: str, **more: Any) -> dict[str, Any]:
    return {"templates": [{"templateName": name} for name in names], **more}


def answers(server: FakeServer, *rates: float, path: str = "/rate") -> None:
    """Answer one rate after the other, and the last one for ever."""
    left = list(rates)

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"rate": left.pop(0) if len(left) > 1 else left[0]})

    server.answers[path] = handler


class Release:
    """A Rollout of two versions, of which the second is on its way."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sandbox = cluster.sandbox

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.sandbox.get("rollouts", NAME).get("status") or {}
        return status

    async def until(self, phase: str) -> None:
        def has_come() -> bool:
            found = self.sandbox.get("rollouts", NAME)
            is_current = (found.get("status") or {}).get("observedGeneration") == str(found["metadata"]["generation"])
            return is_current and found["status"].get("phase") == phase

        try:
            await self.cluster.wait(has_come)
        except TimeoutError:
            raise AssertionError(f"not {phase}: {self.status}") from None

    def update(self, image: str = GREEN) -> None:
        containers = [{"name": "cart", "image": image}]
        self.sandbox.patch("rollouts", NAME, {"spec": {"template": {"spec": {"containers": containers}}}})

    def patch_status(self, **status: Any) -> None:
        self.sandbox.patch("rollouts", NAME, {"status": status}, subresource="status")

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, the oldest first."""
        found = self.sandbox.list("analysisruns")
        return sorted(found, key=lambda each: int(each["metadata"]["resourceVersion"]))

    def phases(self) -> list[str]:
        return sorted(run.get("status", {}).get("phase", "") for run in self.runs())

    def hash_of(self, image: str) -> str:
        for found in self.sandbox.list("replicasets"):
            if found["spec"]["template"]["spec"]["containers"][0]["image"] == image:
                return str(found["metadata"]["labels"][HASH_LABEL])
        raise AssertionError(image)

    @property
    def active(self) -> str:
        return str(self.sandbox.get("services", NAME)["spec"]["selector"][HASH_LABEL])


@asynccontextmanager
async def releasing(*objects: Any) -> AsyncIterator[Release]:
    async with measuring() as cluster:
        for each in objects:
            cluster.sandbox.apply(each)
        release = Release(cluster)
        await release.until("Healthy")
        assert release.runs() == [], "a first version has nothing to prove"
        release.update()
        yield release


# ---- Canary ----------------------------------------------------------------------------------------------------------


async def test_good_metrics_promote_a_canary(server: FakeServer) -> None:
    answers(server, 0.99)
    steps = ({"setWeight": 50}, {"analysis": by("rates")})
    async with releasing(template("rates", metric(server, count=2, interval="1s")), canary(*steps)) as release:
        await release.until("Healthy")
        assert release.status["stableRS"] == release.hash_of(GREEN)
        assert release.phases() == ["Successful"]
    assert len(server.asked) == 2


async def test_bad_metrics_roll_a_canary_back_and_a_retry_measures_again(server: FakeServer) -> None:
    answers(server, 0.5)
    steps = ({"setWeight": 50}, {"analysis": by("rates")})
    async with releasing(template("rates", metric(server)), canary(*steps)) as release:
        await release.until("Degraded")
        assert release.status["abort"] is True
        assert release.status["stableRS"] == release.hash_of(BLUE)
        assert 'Metric "rate" assessed Failed due to failed (1) > failureLimit (0)' in release.status["message"]
        answers(server, 0.99)
        release.patch_status(abort=False)
        await release.until("Healthy")
        assert release.status["stableRS"] == release.hash_of(GREEN)
        assert release.phases() == ["Failed", "Successful"]


async def test_unclear_metrics_pause_a_canary_until_somebody_decides(server: FakeServer) -> None:
    answers(server, 0.93)
    steps = ({"setWeight": 50}, {"analysis": by("rates")})
    async with releasing(template("rates", metric(server)), canary(*steps)) as release:
        await release.until("Paused")
        assert [each["reason"] for each in release.status["pauseConditions"]] == ["InconclusiveAnalysisRun"]
        answers(server, 0.99)
        release.patch_status(pauseConditions=None)
        await release.until("Healthy")
        assert release.phases() == ["Inconclusive", "Successful"]


async def test_metrics_that_turn_bad_during_a_pause_roll_the_canary_back(server: FakeServer) -> None:
    answers(server, 0.99)
    objects = (
        template("rates", metric(server, interval="1s")),
        canary({"setWeight": 50}, {"pause": {}}, analysis=by("rates")),
    )
    async with releasing(*objects) as release:
        await release.until("Paused")
        await release.cluster.wait(lambda: release.phases() == ["Running"])
        answers(server, 0.5)
        await release.until("Degraded")
        assert release.status["stableRS"] == release.hash_of(BLUE)
        assert release.phases() == ["Failed"]


async def test_background_analysis_begins_at_its_step_and_ends_with_the_update(server: FakeServer) -> None:
    answers(server, 0.99)
    objects = (
        template("rates", metric(server, interval="1s")),
        canary({"setWeight": 50}, {"pause": {}}, {"pause": {}}, analysis=by("rates", startingStep=2)),
    )
    async with releasing(*objects) as release:
        await release.until("Paused")
        assert (release.runs(), server.asked) == ([], [])
        release.patch_status(pauseConditions=None)
        await release.cluster.wait(lambda: release.phases() == ["Running"])
        await release.until("Paused")
        release.patch_status(pauseConditions=None)
        await release.until("Healthy")
        await release.cluster.wait(lambda: release.phases() == ["Successful"])
        (run,) = release.runs()
        assert run["status"]["message"] == "Run Terminated"


async def test_an_abort_ends_the_run_that_is_under_way(server: FakeServer) -> None:
    answers(server, 0.99)
    objects = (
        template("rates", metric(server, interval="1s", count=99)),
        canary({"setWeight": 50}, {"analysis": by("rates")}),
    )
    async with releasing(*objects) as release:
        await release.cluster.wait(lambda: release.phases() == ["Running"])
        release.patch_status(abort=True)
        await release.until("Degraded")
        await release.cluster.wait(lambda: release.phases() == ["Successful"])
        (run,) = release.runs()
        assert (run["spec"]["terminate"], run["status"]["message"]) == (True, "Run Terminated")
        assert release.status["stableRS"] == release.hash_of(BLUE)


async def test_a_metric_that_only_tries_stops_no_release(server: FakeServer) -> None:
    answers(server, 0.99)
    answers(server, 0.1, path="/new-idea")
    metrics = (metric(server), metric(server, "new-idea"))
    objects = (
        template("rates", *metrics, dryRun=[{"metricName": "new-.*"}]),
        canary({"setWeight": 50}, {"analysis": by("rates")}),
    )
    async with releasing(*objects) as release:
        await release.until("Healthy")
        (run,) = release.runs()
    assert run["status"]["runSummary"] == {"count": 1, "successful": 1}
    assert run["status"]["dryRunSummary"] == {"count": 1, "failed": 1}
    trial = run["status"]["metricResults"][1]
    assert trial["dryRun"] is True
    assert trial["message"] == "Metric assessed Failed due to failed (1) > failureLimit (0)"


async def test_enough_successes_in_a_row_promote_whatever_came_before(server: FakeServer) -> None:
    answers(server, 0.5, 0.99)
    rule = metric(server, interval="1s", count=5, failureLimit=-1, consecutiveSuccessLimit=2)
    async with releasing(template("rates", rule), canary({"setWeight": 50}, {"analysis": by("rates")})) as release:
        await release.until("Healthy")
        (run,) = release.runs()
    (result,) = run["status"]["metricResults"]
    assert (result["failed"], result["successful"], result["consecutiveSuccess"]) == (1, 2, 2)


async def test_old_runs_are_deleted_and_failed_ones_counted_apart(server: FakeServer) -> None:
    answers(server, 0.5, 0.99)
    limits = {"successfulRunHistoryLimit": 1, "unsuccessfulRunHistoryLimit": 1}
    manifest = canary({"setWeight": 50}, {"analysis": by("rates")})
    manifest["spec"]["analysis"] = limits
    async with releasing(template("rates", metric(server)), manifest) as release:
        await release.until("Degraded")
        for image in (RED, GREEN, BLUE):
            release.update(image)
            await release.until("Healthy")
        await release.cluster.wait(lambda: len(release.runs()) == 2)
        assert release.phases() == ["Failed", "Successful"]
        assert len(server.asked) == 4


# ---- Blue-green ------------------------------------------------------------------------------------------------------


async def test_good_metrics_before_and_after_the_switch_promote_a_blue_green_update(server: FakeServer) -> None:
    answers(server, 0.99)
    objects = (
        template("rates", metric(server)),
        *blue_green(prePromotionAnalysis=by("rates"), postPromotionAnalysis=by("rates")),
    )
    async with releasing(*objects) as release:
        await release.until("Healthy")
        assert release.active == release.status["stableRS"] == release.hash_of(GREEN)
        assert release.phases() == ["Successful", "Successful"]


@pytest.mark.parametrize("hook", ["prePromotionAnalysis", "postPromotionAnalysis"])
async def test_bad_metrics_leave_or_give_back_the_traffic_of_a_blue_green_update(server: FakeServer, hook: str) -> None:
    answers(server, 0.5)
    async with releasing(template("rates", metric(server)), *blue_green(**{hook: by("rates")})) as release:
        await release.until("Degraded")
        assert release.active == release.status["stableRS"] == release.hash_of(BLUE)
        assert release.phases() == ["Failed"]


# ---- Arguments and templates -----------------------------------------------------------------------------------------


async def test_arguments_come_from_hashes_fields_and_secrets(server: FakeServer) -> None:
    answers(server, 0.99)
    query = "?latest={{args.latest}}&stable={{args.stable}}&region={{args.region}}&replicas={{args.replicas}}"
    measured = metric(server, query=query)
    measured["provider"]["web"]["headers"] = [{"key": "X-Token", "value": "{{args.token}}"}]
    declared: list[dict[str, Any]] = [{"name": name} for name in ("latest", "stable", "region", "replicas")]
    declared.append({"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}})
    given: Mapping[str, dict[str, Any]] = {
        "latest": {"podTemplateHashValue": "Latest"},
        "stable": {"podTemplateHashValue": "Stable"},
        "region": {"fieldRef": {"fieldPath": "metadata.labels['region']"}},
        "replicas": {"fieldRef": {"fieldPath": "spec.replicas"}},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"key": "s3cr3t"}}
    args = [{"name": name, "valueFrom": source} for name, source in given.items()]
    objects = (
        secret,
        template("rates", measured, args=declared),
        canary({"setWeight": 50}, {"analysis": by("rates", args=args)}),
    )
    async with releasing(*objects) as release:
        await release.until("Healthy")
        hashes = {"latest": release.hash_of(GREEN), "stable": release.hash_of(BLUE)}
        assert "s3cr3t" not in str([*release.runs(), *release.sandbox.events()])
    (asked,) = server.asked
    assert asked.query == {**hashes, "region": "north", "replicas": "2"}
    assert asked.headers["X-Token"] == "s3cr3t"


async def test_templates_of_templates_and_of_the_cluster_are_measured_together(server: FakeServer) -> None:
    for path in ("/own", "/nested", "/shared"):
        answers(server, 0.99, path=path)
    objects = (
        template("shared", metric(server, "shared"), kind="ClusterAnalysisTemplate"),
        template("nested", metric(server, "nested")),
        template(
            "own",
            metric(server, "own"),
            templates=[{"templateName": "nested"}, {"templateName": "shared", "clusterScope": True}],
        ),
        canary({"setWeight": 50}, {"analysis": by("own", "nested")}),
    )
    async with releasing(*objects) as release:
        await release.until("Healthy")
        (run,) = release.runs()
    assert [each["name"] for each in run["status"]["metricResults"]] == ["own", "nested", "shared"]
    assert sorted(asked.path for asked in server.asked) == ["/nested", "/own", "/shared"]


async def test_templates_that_name_each_other_in_a_circle_are_an_invalid_spec(server: FakeServer) -> None:
    async with measuring() as cluster:
        for name, other in (("a", "b"), ("b", "a")):
            cluster.sandbox.apply(template(name, metric(server, name), templates=[{"templateName": other}]))
        cluster.sandbox.apply(canary({"analysis": by("a")}))
        release = Release(cluster)
        await release.until("Degraded")
        assert "refer to each other in a circle: a -> b -> a" in release.status["message"]
        assert release.runs() == []


async def test_an_argument_that_nobody_gives_makes_no_run(server: FakeServer) -> None:
    measured = metric(server, query="?x={{args.x}}")
    objects = (template("rates", measured, args=[{"name": "x"}]), canary({"analysis": by("rates")}))
    async with measuring() as cluster:
        for each in objects:
            cluster.sandbox.apply(each)
        release = Release(cluster)
        await release.until("Degraded")
        assert "args.x was not resolved" in release.status["message"]
        await asyncio.sleep(0.1)
        assert (release.runs(), server.asked) == ([], [])
