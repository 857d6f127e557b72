"""The embedded cluster against its goals: requests, lists, watches, start-up, memory, convergence.

    .venv/bin/python bench/sandbox.py

Each line has a measured value, its goal, and how many times better than the goal it is. Times depend on the machine and
on what else it does; the goals are for two cores.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prograde.kube.transport import Request
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.verbs import ManagedFieldsMode

PODS = "/api/v1/namespaces/default/pods"
JSON = {"content-type": "application/json", "accept": "application/json"}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def pod(name: str) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "nginx:1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "b"}],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
    }
    metadata = {"name": name, "namespace": "default", "labels": {"app": "x"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def show(what: str, value: float, goal: float, unit: str, *, is_smaller_better: bool = False) -> None:
    ratio = goal / value if is_smaller_better else value / goal
    print(f"{what:<58}{value:>10,.1f} {unit:<5} goal {goal:>9,.0f}   x{ratio:.1f}")


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


async def in_process(mode: ManagedFieldsMode) -> None:
    sandbox = Sandbox(now=wall_clock, managed_fields=mode, controllers=False)
    client, transport = sandbox.client(), sandbox.transport()
    count = 10_000
    took = seconds(lambda: [client.create(("", "pods"), "default", pod(f"p{index}")) for index in range(count)])
    patch = {"status": {"phase": "Running", "podIP": "10.0.0.1"}}
    patched = seconds(
        lambda: [
            client.patch(("", "pods"), "default", f"p{index}", patch, subresource="status") for index in range(count)
        ]
    )
    if mode == "off":
        show("create in process, no managed fields", count / took, 8_000, "/s")
        show("status patch in process, no managed fields", count / patched, 8_000, "/s")
        started = time.perf_counter()
        for index in range(count):
            await transport.request(Request(method="GET", path=f"{PODS}/p{index % 500}", headers=JSON))
        show("get in process", count / (time.perf_counter() - started), 50_000, "/s")
    for what, headers, goal in (("list of 10,000 pods", JSON, 250), ("table of 10,000 pods", TABLE, 600)):
        started = time.perf_counter()
        await transport.request(Request(method="GET", path=PODS, headers=headers))
        took = 1000 * (time.perf_counter() - started)
        show(f"{what}, managed fields {mode}", took, goal, "ms", is_smaller_better=True)


CLIENT = """
import asyncio, json, sys, time

async def talk(port, requests):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
        head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
        assert head.startswith(b"http/1.1 20"), head
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\\r")[0]))
    writer.close()

async def rate(port, connections):
    started = time.perf_counter()
    await asyncio.gather(*(talk(port, requests) for requests in connections))
    return sum(map(len, connections)) / (time.perf_counter() - started)

async def main():
    port, path, body = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    head = "HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAccept: application/json\\r\\n"
    gets = [[f"GET {path}/p{i % 100} {head}\\r\\n".encode() for i in range(2000)] for _ in range(8)]
    posts = []
    for connection in range(8):
        posts.append([])
        for index in range(500):
            body["metadata"]["name"] = f"n{connection}-{index}"
            text = json.dumps(body)
            length = f"Content-Type: application/json\\r\\nContent-Length: {len(text)}\\r\\n\\r\\n"
            posts[-1].append(f"POST {path} {head}{length}{text}".encode())
    print(await rate(port, gets), await rate(port, posts))

asyncio.run(main())
"""


async def over_http(mode: ManagedFieldsMode, goal: float) -> None:
    sandbox = Sandbox(now=wall_clock, managed_fields=mode, controllers=False)
    for index in range(100):
        sandbox.create(pod(f"p{index}"))
    async with sandbox.serving(insecure_http=True) as endpoint:
        arguments = (endpoint.url.rpartition(":")[2], PODS, json.dumps(pod("x")))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, *arguments, stdout=subprocess.PIPE)
        output, _ = await process.communicate()
    gets, creates = map(float, output.split())
    if mode == "off":
        show("get over HTTP", gets, 8_000, "/s")
    show(f"create over HTTP, managed fields {mode}", creates, goal, "/s")


async def fan_out() -> None:
    """100 watchers, 500 changes a second: how late is the slowest."""
    sandbox = Sandbox(now=wall_clock, managed_fields="off", controllers=False)
    transport, client = sandbox.transport(), sandbox.client()
    client.create(("", "pods"), "default", pod("p"))
    query = (("watch", "1"), ("resourceVersion", str(sandbox.revision)))
    changes, written, lags = 500, {}, []

    async def watch() -> None:
        seen = 0
        async with transport.stream(Request(method="GET", path=PODS, query=query)) as stream:
            async for chunk in stream.chunks():
                now = time.perf_counter()
                for line in chunk.splitlines():
                    version = int(line.partition(b'"resourceVersion":"')[2].partition(b'"')[0])
                    lags.append(now - written[version])
                    seen += 1
                if seen == changes:
                    return

    watchers = [asyncio.create_task(watch()) for _ in range(100)]
    await asyncio.sleep(0.1)
    started = time.perf_counter()
    for index in range(changes):
        written[sandbox.revision + 1] = time.perf_counter()
        client.patch(("", "pods"), "default", "p", {"metadata": {"labels": {"n": str(index)}}})
        await asyncio.sleep(max(0.0, started + (index + 1) / 500 - time.perf_counter()))
    await asyncio.gather(*watchers)
    lags.sort()
    show(
        "watch lag, 100 watchers, 500 changes/s, 99th of 100",
        1000 * lags[len(lags) * 99 // 100],
        50,
        "ms",
        is_smaller_better=True,
    )


def start_up() -> None:
    Sandbox()
    best = min(seconds(Sandbox) for _ in range(20))
    show("a cluster for a test", 1000 * best, 20, "ms", is_smaller_better=True)


def memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sandbox = Sandbox(managed_fields="full", controllers=False)
    client = sandbox.client()
    for index in range(50_000):
        client.create(("", "pods"), "default", pod(f"p{index}"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    show("memory of 50,000 pods with managed fields", grown, 700, "MiB", is_smaller_better=True)


def convergence() -> None:
    sandbox = Sandbox(profile="instant", managed_fields="off")
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}

    def run() -> None:
        for index in range(1000):
            spec = {"replicas": 10, "selector": {"matchLabels": {"app": "x"}}, "template": template}
            sandbox.create(
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": f"r{index}"}, "spec": spec}
            )
        sandbox.advance(60)

    took = seconds(run)
    ready = sum((each.get("status") or {}).get("readyReplicas", 0) for each in sandbox.list("rs"))
    assert ready == 10_000, ready
    show("1,000 ReplicaSets of 10 pods become ready, instant", took, 15, "s", is_smaller_better=True)


def main() -> None:
    start_up()
    asyncio.run(in_process("off"))
    asyncio.run(in_process("full"))
    asyncio.run(over_http("off", 2_500))
    asyncio.run(over_http("full", 1_000))
    asyncio.run(fan_out())
    convergence()
    # In a process of its own: what is left of the other measurements would count as its memory.
    subprocess.run(
        [sys.executable, "-c", "import sandbox; sandbox.memory()"], check=True, cwd=str(Path(__file__).parent)
    )


if __name__ == "__main__":
    main()
