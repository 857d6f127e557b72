"""What the embedded cluster can bear: requests per second, long lists, many watchers, many objects, start-up.

    .venv/bin/python bench/sandbox.py [NAME...]

The cluster runs in a child process and is asked over plain HTTP by a client that costs next to nothing, but shares the
machine's cores with it. Each number is the median of several rounds. Beside the rate as measured stands the CPU time
that the server took per request, which says what it would reach on a core of its own.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prograde.kube.transport import Request
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.loop import run_virtually
from prograde.simulator.world import world
from support.processes import Cluster, resident_bytes, served, usage_of
from support.rawhttp import Connection, connect, request_bytes, send_all

CONNECTIONS = 8
ROUNDS = 5
PODS = "/api/v1/namespaces/default/pods"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = "application/merge-patch+json"


def pod(name: str) -> dict[str, Any]:
    """Return a pod as a ReplicaSet makes it, about 1 kB when stored."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "shop", "rollouts-pod-template-hash": "6bd9764d5"}},
        "spec": {
            "containers": [
                {
                    "name": "shop",
                    "image": "argoproj/rollouts-demo:blue",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
                }
            ]
        },
    }


def rollout(name: str, replicas: int) -> dict[str, Any]:
    """Return a Rollout with a canary of three steps."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod("")["spec"]}
    steps = [{"setWeight": 20}, {"pause": {"duration": "10s"}}, {"setWeight": 60}]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
            "strategy": {"canary": {"steps": steps}},
        },
    }


def fill_pods(sandbox: Sandbox, count: int = 10_000) -> None:
    for number in range(count):
        sandbox.create(pod(f"pod-{number:05}"))


def fill_rollout(sandbox: Sandbox) -> None:
    sandbox.create(pod("pod-00000"))
    sandbox.create(rollout("shop", 5))


def show(what: str, measured: str, goal: str, *, is_met: bool, note: str = "") -> None:
    print(f"{what:<44} {measured:>12}  goal {goal:<12} {'met' if is_met else 'MISSED':<7}{note}", flush=True)


def show_rate(what: str, rate: float, goal: int, note: str = "") -> None:
    show(what, f"{rate:,.0f}/s", f">= {goal:,}/s", is_met=rate >= goal, note=f"{rate / goal:5.2f} x  {note}")


def show_time(what: str, seconds: float, goal_seconds: float, note: str = "") -> None:
    measured, goal = (
        (f"{seconds:.1f} s", f"<= {goal_seconds:.0f} s")
        if goal_seconds >= 5
        else (f"{seconds * 1000:,.1f} ms", f"<= {goal_seconds * 1000:,.0f} ms")
    )
    show(what, measured, goal, is_met=seconds <= goal_seconds, note=f"{seconds / goal_seconds:5.2f} x  {note}")


# -- requests per second --------------------------------------------------------------------------------------------


async def rate_over_http(cluster: Cluster, batches: Iterator[list[bytes]]) -> tuple[float, float]:
    """Send one batch per round; return requests per second and the server's CPU seconds per request."""
    connections = await connect(cluster.port, CONNECTIONS)
    rates, costs = [], []
    for _ in range(ROUNDS + 1):
        batch = next(batches)
        cpu = usage_of(cluster.pid)[0]
        started = time.perf_counter()
        await send_all(connections, batch)
        seconds = time.perf_counter() - started
        costs.append((usage_of(cluster.pid)[0] - cpu) / len(batch))
        rates.append(len(batch) / seconds)
    for connection in connections:
        connection.close()
    return statistics.median(rates[1:]), statistics.median(costs[1:])  # the first round warms up


def gets() -> Iterator[list[bytes]]:
    request = request_bytes("GET", f"{PODS}/pod-00000")
    while True:
        yield [request] * 5_000


def creates() -> Iterator[list[bytes]]:
    number = 0
    while True:
        names = [f"made-{number + i:06}" for i in range(1_000)]
        number += len(names)
        yield [request_bytes("POST", PODS, json.dumps(pod(name)).encode(), "application/json") for name in names]


def status_patches() -> Iterator[list[bytes]]:
    number = 0
    while True:
        bodies = [json.dumps({"status": {"readyReplicas": number + i}}).encode() for i in range(1_000)]
        number += len(bodies)
        yield [request_bytes("PATCH", f"{ROLLOUTS}/shop/status", body, MERGE) for body in bodies]


def show_http(what: str, cluster: Cluster, batches: Iterator[list[bytes]], goal: int) -> None:
    rate, cost = asyncio.run(rate_over_http(cluster, batches))
    show_rate(what, rate, goal, f"server CPU {cost * 1e6:.0f} us each = {1 / max(cost, 1e-9):,.0f}/s of a core")


def requests_over_http() -> None:
    with served(fill_rollout, controllers=False) as cluster:
        show_http("GET by name, HTTP", cluster, gets(), 8_000)
        show_http("create a pod, HTTP, managedFields full", cluster, creates(), 1_000)
        show_http("patch a Rollout's status, HTTP, full", cluster, status_patches(), 1_000)
    with served(fill_rollout, controllers=False, managed_fields="off") as cluster:
        show_http("create a pod, HTTP, managedFields off", cluster, creates(), 2_500)
        show_http("patch a Rollout's status, HTTP, off", cluster, status_patches(), 2_500)


async def rate_in_process(sandbox: Sandbox, batches: Iterator[list[Request]]) -> float:
    transport = sandbox.transport("bench")
    rates = []
    for _ in range(ROUNDS + 1):
        batch = next(batches)
        started = time.process_time()
        for request in batch:
            answer = await transport.request(request)
        rates.append(len(batch) / (time.process_time() - started))
        assert answer.status < 300, answer.body
    return statistics.median(rates[1:])


def in_process(batches: Iterator[list[bytes]]) -> Iterator[list[Request]]:
    """Turn requests as they go over the wire into those of the in-process transport."""
    for batch in batches:
        requests = []
        for raw in batch:
            head, _, body = raw.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = dict(line.split(": ", 1) for line in lines)
            requests.append(Request(method=method, path=path, headers=headers, body=body))
        yield requests


def requests_in_process() -> None:
    sandbox = Sandbox(controllers=False, managed_fields="off")
    fill_rollout(sandbox)

    def look_up() -> float:
        started = time.process_time()
        for _ in range(20_000):
            sandbox.get(("", "pods"), "pod-00000")
        return 20_000 / (time.process_time() - started)

    show_rate("GET by name, in process, as object", statistics.median(look_up() for _ in range(ROUNDS)), 50_000)
    rate = asyncio.run(rate_in_process(sandbox, in_process(gets())))
    show_rate("GET by name, in process, as bytes", rate, 50_000)
    rate = asyncio.run(rate_in_process(sandbox, in_process(creates())))
    show_rate("create a pod, in process, off", rate, 8_000)
    rate = asyncio.run(rate_in_process(sandbox, in_process(status_patches())))
    show_rate("patch a Rollout's status, in process, off", rate, 8_000)


# -- lists and watches ----------------------------------------------------------------------------------------------


def lists() -> None:
    async def median_of(cluster: Cluster, accept: str) -> tuple[float, int]:
        connections = await connect(cluster.port)
        times = []
        for _ in range(ROUNDS + 1):
            before = connections[0].received_bytes
            started = time.perf_counter()
            await send_all(connections, [request_bytes("GET", PODS, accept=accept)])
            times.append(time.perf_counter() - started)
        connections[0].close()
        return statistics.median(times[1:]), connections[0].received_bytes - before

    with served(fill_pods, controllers=False) as cluster:
        for what, accept, goal in (("JSON", "application/json", 0.25), ("Table", TABLE, 0.6)):
            seconds, size = asyncio.run(median_of(cluster, accept))
            show_time(f"list 10,000 pods, {what}", seconds, goal, f"{size / 1e6:.1f} MB")


WATCHERS = 100
CHANGES_PER_SECOND = 500
WATCH_SECONDS = 8


class Lag:
    """Notes when each change reaches each of the watchers; changes carry the moment at which they were sent."""

    MARK = b'"sent":"'

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, data: bytes) -> None:
        now = time.perf_counter()
        at = data.find(self.MARK)
        while at >= 0:
            at += len(self.MARK)
            end = data.find(b'"', at)
            if end > 0:
                self.seconds.append(now - float(data[at:end]))
            at = data.find(self.MARK, at)


def watches() -> None:
    async def run(cluster: Cluster) -> tuple[Lag, float]:
        lag = Lag()
        watchers = await connect(cluster.port, WATCHERS)
        for watcher in watchers:
            watcher.on_data = lag
            watcher.send(request_bytes("GET", f"{PODS}?watch=true"))
        writers = await connect(cluster.port, 4)
        await asyncio.sleep(0.5)
        cpu = usage_of(cluster.pid)[0]
        started = time.perf_counter()
        await asyncio.gather(*(write(writer, index, started) for index, writer in enumerate(writers)))
        await asyncio.sleep(0.5)
        busy = (usage_of(cluster.pid)[0] - cpu) / (time.perf_counter() - started)
        for each in (*watchers, *writers):
            each.close()
        return lag, busy

    async def write(writer: Connection, index: int, started: float) -> None:
        for number in range(index, CHANGES_PER_SECOND * WATCH_SECONDS, 4):
            due = started + number / CHANGES_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = b'{"metadata":{"annotations":{"sent":"%.6f"}}}' % time.perf_counter()
            await writer.exchange(iter([request_bytes("PATCH", f"{PODS}/pod-00000", body, MERGE)]))

    with served(fill_rollout, controllers=False, managed_fields="off") as cluster:
        lag, busy = asyncio.run(run(cluster))
    expected = WATCHERS * CHANGES_PER_SECOND * WATCH_SECONDS
    cuts = statistics.quantiles(lag.seconds, n=100)
    what = f"{WATCHERS} watchers x {CHANGES_PER_SECOND} changes/s, lag"
    seen = f"{len(lag.seconds) / expected:.1%} of events seen, server uses {busy:.0%} of a core"
    show_time(f"{what}, median", cuts[49], 0.05, seen)
    show_time(f"{what}, 99 of 100", cuts[98], 0.05)


# -- many objects ---------------------------------------------------------------------------------------------------


def objects() -> None:
    sandbox = Sandbox(controllers=False)
    before = resident_bytes(os.getpid())
    count = 50_000
    fill_pods(sandbox, count)
    grown = resident_bytes(os.getpid()) - before
    note = (
        f"{grown / 700e6:5.2f} x  {grown / count:,.0f} B each, {len(json.dumps(sandbox.list('pods')[0])):,} B as JSON"
    )
    show(f"memory of {count:,} pods", f"{grown / 1e6:.0f} MB", "<= 700 MB", is_met=grown <= 700e6, note=note)


ROLLOUT_COUNT = 1_000
POD_COUNT = 10_000


def are_converged(sandbox: Sandbox) -> bool:
    """Return whether all Rollouts are healthy and say so."""
    found = sandbox.list("rollouts")
    return all((each.get("status") or {}).get("phase") == "Healthy" for each in found)


async def converge(profile: str) -> None:
    async with world(profile=profile) as it:
        for number in range(ROLLOUT_COUNT):
            it.apply(rollout(f"shop-{number:04}", POD_COUNT // ROLLOUT_COUNT))
        await it.until(lambda: are_converged(it.sandbox))
        assert len(it.sandbox.list("pods")) == POD_COUNT


def convergence() -> None:
    started = time.process_time()
    run_virtually(converge("instant"))
    seconds = time.process_time() - started
    show_time("1,000 Rollouts x 10 pods, instant, CPU", seconds, 15)


# -- start-up -------------------------------------------------------------------------------------------------------


def start_up() -> None:
    prograde = str(Path(sys.executable).with_name("prograde"))
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            command = [prograde, "sandbox", "--port", "0", "--directory", folder, "-o", "json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline()
                times.append(time.perf_counter() - started)
                process.terminate()
    show_time("`prograde sandbox` until ready", statistics.median(times), 1.0)
    times = []
    for _ in range(4 * ROUNDS):
        started = time.perf_counter()
        Sandbox()
        times.append(time.perf_counter() - started)
    show_time("a further cluster in this process", statistics.median(times), 0.02, f"the first took {times[0]:.2f} s")


SECTIONS: dict[str, Callable[[], None]] = {
    "http": requests_over_http,
    "in-process": requests_in_process,
    "lists": lists,
    "watches": watches,
    "objects": objects,
    "convergence": convergence,
    "start-up": start_up,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*SECTIONS, []], help="what to measure; all by default")
    for name in parser.parse_args().names or SECTIONS:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
