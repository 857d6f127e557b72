"""What 1,000 idle Rollouts cost the controller process: memory, CPU time, requests; and what reading their lists takes.

    .venv/bin/python bench/idle.py

The cluster runs in one child process, the controller in another, over plain HTTP.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet
from prograde.sandbox.cluster import Sandbox
from sandbox import rollout
from support.processes import Cluster, resident_bytes, served, usage_of

COUNT = 1_000
SETTLE_SECONDS_MAX = 90
IDLE_SECONDS = 15
ROUNDS = 9


def fill(sandbox: Sandbox) -> None:
    for number in range(COUNT):
        sandbox.create(rollout(f"shop-{number:04}", 1))


def fetch(cluster: Cluster, path: str) -> bytes:
    with urllib.request.urlopen(cluster.url + path) as answer:
        return bytes(answer.read())


def requests(cluster: Cluster) -> int:
    """Return how many requests the cluster has answered; reading that is one more."""
    text = fetch(cluster, "/metrics").decode()
    return sum(int(count) for count in re.findall(r"^prograde_sandbox_requests_total\{.*\} (\d+)$", text, re.MULTILINE))


def wait_until_quiet(cluster: Cluster) -> None:
    """Return once all Rollouts are healthy and five seconds went by without a request but our own."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        before = requests(cluster)
        time.sleep(5)
        if requests(cluster) - before > 1:
            continue
        items = json.loads(fetch(cluster, "/apis/argoproj.io/v1alpha1/rollouts"))["items"]
        if all((item.get("status") or {}).get("phase") == "Healthy" for item in items):
            return
    raise SystemExit(f"the Rollouts were not healthy and quiet within {SETTLE_SECONDS_MAX} s")


def kubeconfig(cluster: Cluster, folder: str) -> str:
    path = Path(folder, f"kubeconfig-{cluster.port}")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": cluster.url}}],
        "users": [{"name": "bench", "user": {}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


def idle_controller(cluster: Cluster) -> tuple[int, float, int]:
    """Run a controller until it has nothing to do; return its memory, and CPU seconds and requests while idle."""
    command = [str(Path(sys.executable).with_name("prograde")), "controller", "--leader-elect=false"]
    command += ["--metricsPort", "0", "--healthzPort", "0", "--qps", "1000", "--burst", "1000"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KUBECONFIG": kubeconfig(cluster, folder)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until_quiet(cluster)
            cpu, asked = usage_of(process.pid)[0], requests(cluster)
            time.sleep(IDLE_SECONDS)
            used, more = usage_of(process.pid)[0] - cpu, requests(cluster) - asked - 1
            assert process.poll() is None, "the controller has ended"
            return resident_bytes(process.pid), used, more
        finally:
            process.terminate()
            process.wait(timeout=20)


def milliseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times) * 1000


def show_decoding(what: str, body: bytes, kind: type[Any]) -> None:
    items = msgspec.json.decode(body, type=dict[str, Any])["items"]
    encoded = [msgspec.json.encode(item) for item in items]
    decode = msgspec.json.Decoder(kind).decode
    typed = milliseconds(lambda: [decode(item) for item in encoded])
    dicts = milliseconds(lambda: [json.loads(item) for item in encoded])
    size = sum(map(len, encoded))
    print(f"decode {len(encoded):,} {what} of {size:,} B: {typed:.1f} ms, {typed / dicts:.2f} of json.loads into dicts")


def main() -> None:
    with served(profile="instant") as cluster:
        base, cpu, asked = idle_controller(cluster)
        print(f"no Rollouts:    {base / 1e6:6.1f} MB, {cpu / IDLE_SECONDS:.2%} of a core, {asked} requests", flush=True)
    with served(fill, profile="instant") as cluster:
        memory, cpu, asked = idle_controller(cluster)
        print(f"{COUNT:,} Rollouts: {memory / 1e6:6.1f} MB, {cpu / IDLE_SECONDS:.2%} of a core, {asked} requests")
        print(
            f"growth: {(memory - base) / 1e6:.1f} MB, {(memory - base) / COUNT:,.0f} B per Rollout and its ReplicaSet"
        )
        show_decoding("Rollouts", fetch(cluster, "/apis/argoproj.io/v1alpha1/rollouts"), Rollout)
        show_decoding("ReplicaSets", fetch(cluster, "/apis/apps/v1/replicasets"), ReplicaSet)


if __name__ == "__main__":
    main()
