"""The whole controller process: election, start, stop, and what it looks after."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.controller.manager import run_controller
from prograde.controller.settings import LEASE_NAME, ControllerSettings
from prograde.kube.transport import Transport
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.faults import Answer, Delay, Disconnect
from prograde.simulator.loop import wall_clock
from prograde.telemetry.server import PortInUse, serve_healthz

MANIFEST = (EXAMPLES / "canary.yaml").read_text()
NAME = "canary-demo"
LABEL = "argo-rollouts.argoproj.io/controller-instance-id"


def settings(**changes: Any) -> ControllerSettings:
    # The endpoints need real sockets; free ports on loopback are in nobody's way.
    base = {"endpoint_host": "127.0.0.1", "metrics_port": 0, "healthz_port": 0, "own_namespace": "default"}
    return ControllerSettings(**{**base, **changes})


class Process:
    """A controller process in this loop."""

    def __init__(self, transport: Transport, identity: str, chosen: ControllerSettings) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            run_controller(
                transport, chosen, identity=identity, now=wall_clock, rng=random.Random(identity), stop=self.stop
            )
        )


@asynccontextmanager
async def cluster() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(now=wall_clock, profile="fast")
    async with sandbox.running():
        yield sandbox


def holder(sandbox: Sandbox, name: str = LEASE_NAME) -> str:
    leases = [each for each in sandbox.list("leases", "default") if each["metadata"]["name"] == name]
    return str(leases[0]["spec"].get("holderIdentity") or "") if leases else ""


def phase(sandbox: Sandbox, name: str = NAME) -> str:
    return str((sandbox.get("rollouts", name).get("status") or {}).get("phase", ""))


async def until(is_true: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not is_true():
            await asyncio.sleep(0.05)


@virtual_time
async def test_a_leader_works_and_gives_the_lease_back_when_it_stops() -> None:
    async with cluster() as sandbox:
        process = Process(sandbox.transport("a"), "a", settings())
        sandbox.apply(MANIFEST)
        await until(lambda: phase(sandbox) == "Healthy")
        assert holder(sandbox) == "a"
        process.stop.set()
        await process.task
        assert holder(sandbox) == ""


@virtual_time
async def test_only_one_of_two_acts_and_the_other_takes_over_at_once_after_an_orderly_stop() -> None:
    async with cluster() as sandbox:
        first = Process(sandbox.transport("first"), "first", settings())
        await until(lambda: holder(sandbox) == "first")
        second = Process(sandbox.transport("second"), "second", settings())
        sandbox.apply(MANIFEST)
        await until(lambda: phase(sandbox) == "Healthy")
        assert not [each for each in sandbox.request_log if each.client == "second" and each.resource != "leases"]
        first.stop.set()
        await first.task
        await until(lambda: holder(sandbox) == "second", seconds=10)
        second.stop.set()
        await second.task


@virtual_time
async def test_a_leader_that_cannot_renew_stops_before_another_may_begin() -> None:
    async with cluster() as sandbox:
        lost = Process(sandbox.transport("lost"), "lost", settings())
        await until(lambda: holder(sandbox) == "lost")
        loop = asyncio.get_running_loop()
        sandbox.faults.add(Disconnect(), client="lost")
        next_one = Process(sandbox.transport("next"), "next", settings())
        await lost.task
        ended_at = loop.time()
        assert holder(sandbox) == "lost"
        await until(lambda: holder(sandbox) == "next", seconds=30)
        assert loop.time() > ended_at
        next_one.stop.set()
        await next_one.task


@virtual_time
async def test_a_stop_while_waiting_for_leadership_ends_at_once() -> None:
    async with cluster() as sandbox:
        leader = Process(sandbox.transport("leader"), "leader", settings())
        await until(lambda: holder(sandbox) == "leader")
        waiting = Process(sandbox.transport("waiting"), "waiting", settings())
        await asyncio.sleep(5)
        started = asyncio.get_running_loop().time()
        waiting.stop.set()
        await waiting.task
        assert asyncio.get_running_loop().time() - started < 1
        assert holder(sandbox) == "leader"
        leader.stop.set()
        await leader.task


@virtual_time
async def test_work_in_hand_is_finished_before_the_end_but_not_waited_for_for_ever() -> None:
    async with cluster() as sandbox:
        process = Process(sandbox.transport("a"), "a", settings(grace_period=timedelta(seconds=5)))
        await until(lambda: holder(sandbox) == "a")
        sandbox.faults.add(Delay(2.0), verbs="create", resource="replicasets", times=1)
        sandbox.apply(MANIFEST)
        await asyncio.sleep(0.5)
        process.stop.set()
        await process.task
        assert len(sandbox.list("replicasets")) == 1, "the create that was under way came through"

        sandbox.faults.add(Delay(3600.0), verbs="patch", resource="rollouts*")
        process = Process(sandbox.transport("b"), "b", settings(grace_period=timedelta(seconds=5)))
        await until(lambda: holder(sandbox) == "b")
        await asyncio.sleep(1)
        started = asyncio.get_running_loop().time()
        process.stop.set()
        await process.task
        assert asyncio.get_running_loop().time() - started < 15


@virtual_time
async def test_without_election_there_is_no_lease() -> None:
    async with cluster() as sandbox:
        process = Process(sandbox.transport("a"), "a", settings(leader_elect=False))
        sandbox.apply(MANIFEST)
        await until(lambda: phase(sandbox) == "Healthy")
        assert sandbox.list("leases", "default") == []
        process.stop.set()
        await process.task


@virtual_time
async def test_an_instance_looks_after_its_own_rollouts_only_and_has_its_own_lease() -> None:
    async with cluster() as sandbox:
        plain = Process(sandbox.transport("plain"), "plain", settings())
        blue = Process(sandbox.transport("blue"), "blue", settings(instance_id="blue"))
        await until(lambda: holder(sandbox) == "plain" and holder(sandbox, f"{LEASE_NAME}-blue") == "blue")
        sandbox.apply(MANIFEST)
        labelled = MANIFEST.replace(
            "metadata:\n  name: canary-demo", f"metadata:\n  labels: {{{LABEL}: blue}}\n  name: blue-demo", 1
        )
        sandbox.apply(labelled)
        sandbox.apply(
            MANIFEST.replace(NAME, "red-demo").replace(
                "metadata:\n  name: red-demo", f"metadata:\n  labels: {{{LABEL}: red}}\n  name: red-demo", 1
            )
        )
        await until(lambda: phase(sandbox) == "Healthy" and phase(sandbox, "blue-demo") == "Healthy")
        writers = {
            (each.client, each.name)
            for each in sandbox.request_log
            if each.resource == "rollouts/status" and each.is_write
        }
        assert writers == {("plain", NAME), ("blue", "blue-demo")}
        assert phase(sandbox, "red-demo") == ""
        for process in (plain, blue):
            process.stop.set()
            await process.task


@virtual_time
async def test_one_namespace_is_watched_without_asking_for_the_others() -> None:
    async with cluster() as sandbox:
        sandbox.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        process = Process(sandbox.transport("a"), "a", settings(namespace="default"))
        sandbox.apply(MANIFEST)
        sandbox.apply(MANIFEST, namespace="other")
        await until(lambda: phase(sandbox) == "Healthy")
        await asyncio.sleep(30)
        assert "status" not in sandbox.get("rollouts", NAME, "other")
        assert {each.namespace for each in sandbox.request_log if each.client == "a"} == {"default"}
        process.stop.set()
        await process.task


@virtual_time
async def test_replica_sets_of_deployments_never_reach_the_controller() -> None:
    async with cluster() as sandbox:
        process = Process(sandbox.transport("a"), "a", settings())
        await until(lambda: any(each.resource == "replicasets" for each in sandbox.request_log))
        lists = [each.path for each in sandbox.request_log if each.client == "a" and each.verb in ("list", "watch")]
        assert len(lists) == len({*lists}) * 2, "one list and one watch for each kind"
        process.stop.set()
        await process.task


@virtual_time
async def test_a_rollout_that_cannot_be_read_is_left_alone_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster() as sandbox:
        _loosen(sandbox)
        sandbox.apply(MANIFEST)
        process = Process(sandbox.transport("a"), "a", settings())
        await until(lambda: phase(sandbox) == "Healthy")
        sandbox.patch("rollouts", NAME, {"spec": {"replicas": "many"}})
        await asyncio.sleep(5)
        assert phase(sandbox) == "Degraded"
        message = sandbox.get("rollouts", NAME)["status"]["message"]
        assert message.startswith(f'InvalidSpec: The Rollout "{NAME}" is invalid: spec.replicas: Expected `int | null`')
        events = [each for each in sandbox.events(f"rollout/{NAME}") if each["reason"] == "InvalidSpec"]
        assert "replicas" in events[0]["message"]
        writes = len([each for each in sandbox.request_log if each.is_write and each.name == NAME])
        sandbox.apply(MANIFEST.replace(NAME, "other"))
        await until(lambda: phase(sandbox, "other") == "Healthy")
        await asyncio.sleep(3600)
        assert len([each for each in sandbox.request_log if each.is_write and each.name == NAME]) == writes
        assert any("left alone until it can be read" in each.getMessage() for each in caplog.records)
        sandbox.patch("rollouts", NAME, {"spec": {"replicas": 3}})
        await until(lambda: sandbox.get("rollouts", NAME)["status"]["replicas"] == 3)
        await until(lambda: phase(sandbox) == "Healthy")
        process.stop.set()
        await process.task


@virtual_time
async def test_a_rollout_that_could_never_be_read_says_so_too() -> None:
    async with cluster() as sandbox:
        _loosen(sandbox)
        process = Process(sandbox.transport("a"), "a", settings())
        sandbox.apply(MANIFEST)
        sandbox.patch("rollouts", NAME, {"spec": {"strategy": {"canary": "soon"}}})
        await until(lambda: phase(sandbox) == "Degraded")
        assert "spec.strategy.canary: Expected" in sandbox.get("rollouts", NAME)["status"]["message"]
        sandbox.patch("rollouts", NAME, {"spec": {"strategy": {"canary": {}}}})
        await until(lambda: phase(sandbox) == "Healthy")
        conditions = sandbox.get("rollouts", NAME)["status"]["conditions"]
        assert "InvalidSpec" not in {each["type"] for each in conditions}
        process.stop.set()
        await process.task


def _loosen(sandbox: Sandbox) -> None:
    """Take the schema away, as on a cluster with somebody else's or a newer definition."""
    definition = sandbox.get("customresourcedefinitions", "rollouts.argoproj.io")
    versions = [
        {**version, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
        for version in definition["spec"]["versions"]
    ]
    sandbox.patch("customresourcedefinitions", "rollouts.argoproj.io", {"spec": {"versions": versions}})


async def test_a_port_in_use_is_an_error_that_names_the_flag() -> None:
    sandbox = Sandbox(now=wall_clock, controllers=False)
    async with serve_healthz("127.0.0.1", 0) as port:
        with pytest.raises(PortInUse, match="--healthzPort"):
            await run_controller(
                sandbox.transport("a"),
                settings(healthz_port=port),
                identity="a",
                now=wall_clock,
                rng=random.Random(1),
                stop=asyncio.Event(),
            )


@virtual_time
async def test_a_cluster_without_the_custom_resources_is_waited_for() -> None:
    sandbox = Sandbox(now=wall_clock, profile="fast", crds=())
    async with sandbox.running():
        process = Process(sandbox.transport("a"), "a", settings())
        await asyncio.sleep(120)
        requests = len([each for each in sandbox.request_log if each.client == "a" and each.status == 404])
        assert 0 < requests < 200, "asked again, but not in a loop"
        from prograde.api.crd import custom_resource_definitions

        for definition in custom_resource_definitions():
            sandbox.create(definition)
        sandbox.apply(MANIFEST)
        await until(lambda: phase(sandbox) == "Healthy", seconds=120)
        process.stop.set()
        await process.task


@virtual_time
async def test_a_missing_permission_is_named_and_does_not_keep_the_process_from_stopping(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster() as sandbox:
        sandbox.faults.add(Answer(403), verbs="list", resource="experiments")
        process = Process(sandbox.transport("a"), "a", settings())
        await asyncio.sleep(60)
        assert any("still no list of experiments.argoproj.io." in each.getMessage() for each in caplog.records)
        process.stop.set()
        async with asyncio.timeout(10):
            await process.task
        assert holder(sandbox) == "", "the lease is given back"


@virtual_time
async def test_events_are_written_also_when_the_process_stops_right_after_them() -> None:
    async with cluster() as sandbox:
        process = Process(sandbox.transport("a"), "a", settings())
        await until(lambda: holder(sandbox) == "a")
        sandbox.faults.add(Answer(503, retry_after_seconds=1), verbs="create", resource="events", times=1)
        sandbox.apply(MANIFEST)
        await until(lambda: len(sandbox.list("replicasets")) == 1)
        process.stop.set()
        await process.task
        reasons = [each["reason"] for each in sandbox.events(f"rollout/{NAME}")]
        assert "NewReplicaSetCreated" in reasons


@virtual_time
async def test_the_start_with_a_thousand_and_more_rollouts_loses_no_event(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox(now=wall_clock, controllers=False, managed_fields="off")
    broken = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"strategy": {"canary": {}}}}
    for number in range(1200):
        sandbox.create({**broken, "metadata": {"name": f"r{number}"}})
    async with sandbox.running():
        process = Process(sandbox.transport("a"), "a", settings(leader_elect=False, qps=0))
        await until(lambda: len(sandbox.list("events")) >= 1200, seconds=600)
        process.stop.set()
        await process.task
    assert "dropped event" not in caplog.text
    announced = [each["involvedObject"]["name"] for each in sandbox.events() if "added to informer" in each["message"]]
    assert len(announced) == len({*announced}) == 1200
