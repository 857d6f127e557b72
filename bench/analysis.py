"""What AnalysisRuns cost the controller process: 1,000 that measure, and 10,000 that have finished.

    .venv/bin/python bench/analysis.py [running] [finished]

The cluster runs in one child process, the server of metrics in another, the controller in a third. Runs are created
over one interval, as releases would; three metrics each are measured every 10 s, with a query of their own or the same
for all.

A measurement is due 10 s after the whole second in which the one before has finished. Its lag is from then on until its
query arrives. Answers near the end of a second are left out, for they may have been noted in the next one.
"""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiohttp import web

from idle import IDLE_SECONDS, idle_controller, kubeconfig
from prograde.sandbox.cluster import Sandbox
from support.processes import Cluster, resident_bytes, served, usage_of

RUNNING = 1_000
FINISHED = 10_000
METRICS = ("errors", "latency", "saturation")
INTERVAL_SECONDS = 10
WARM_UP_SECONDS = 12
MEASURED_SECONDS = 40
LATE_IN_SECOND = 0.85

RUNS_PATH = "/apis/argoproj.io/v1alpha1/namespaces/default/analysisruns"


def run_of(name: str, address: str, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "metrics": [
                {
                    "name": metric,
                    "interval": f"{INTERVAL_SECONDS}s",
                    "successCondition": "result >= 0.95",
                    "failureCondition": "result < 0.9",
                    "provider": {"web": {"url": f"{address}/{metric}", "jsonPath": "{$.rate}"}},
                }
                for metric in METRICS
            ],
            "args": [{"name": "service", "value": name}],
        },
        **({"status": status} if status else {}),
    }


def fill(sandbox: Sandbox) -> None:
    """Create finished runs as they are after ten measurements of each metric."""
    at = "2026-03-01T12:00:00Z"
    measurement = {"phase": "Successful", "value": "0.987654321", "startedAt": at, "finishedAt": at}
    results = [
        {
            "name": metric,
            "phase": "Successful",
            "count": 10,
            "successful": 10,
            "consecutiveSuccess": 10,
            "measurements": [measurement] * 10,
        }
        for metric in METRICS
    ]
    summary = {"count": len(METRICS), "successful": len(METRICS)}
    for number in range(FINISHED):
        status = {"phase": "Successful", "metricResults": results, "runSummary": summary, "dryRunSummary": {}}
        sandbox.create(run_of(f"done-{number:05}", "http://metrics", **status, startedAt=at, completedAt=at))


# ---- The server of metrics ------------------------------------------------------------------------------------------


class Measured:
    """Answers every query at once, and notes how late it came."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.queries = 0
        self._last: dict[str, float] = {}

    async def answer(self, request: web.Request) -> web.Response:
        now = time.time()
        self.queries += 1
        before = self._last.get(request.path_qs)
        if before is not None and before % 1 < LATE_IN_SECOND:
            self.lags.append(now - (before // 1 + INTERVAL_SECONDS))
        self._last[request.path_qs] = now
        return web.json_response({"rate": 0.99})

    async def report(self, _: web.Request) -> web.Response:
        lags, queries = sorted(self.lags), self.queries
        self.lags, self.queries = [], 0
        return web.json_response({"lags": lags, "queries": queries})


def serve_metrics(pipe: Connection) -> None:
    async def run() -> None:
        measured = Measured()
        app = web.Application()
        app.router.add_get("/report", measured.report)
        app.router.add_get("/{path:.*}", measured.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await ended.wait()
        await runner.cleanup()

    asyncio.run(run())


@contextmanager
def metrics_server() -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=serve_metrics, args=(theirs,), daemon=True)
    child.start()
    try:
        yield ours.recv()
    finally:
        ours.close()
        child.join(timeout=10)
        if child.is_alive():
            child.kill()


# ---- Running ---------------------------------------------------------------------------------------------------------


def ask(url: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


@contextmanager
def controller(cluster: Cluster) -> Iterator[int]:
    command = [str(Path(sys.executable).with_name("prograde")), "controller", "--leader-elect=false"]
    command += ["--metricsPort", "0", "--healthzPort", "0", "--qps", "1000", "--burst", "1000", "--loglevel", "warn"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KUBECONFIG": kubeconfig(cluster, folder)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            yield process.pid
            assert process.poll() is None, "the controller has ended"
        finally:
            process.terminate()
            process.wait(timeout=20)


def measured_so_far(cluster: Cluster) -> int:
    runs = ask(cluster.url + RUNS_PATH)["items"]
    bad = [run for run in runs if run.get("status", {}).get("phase") != "Running"]
    assert not bad, bad[0]
    return sum(result["count"] for run in runs for result in run["status"]["metricResults"])


def show_running(*, is_shared: bool) -> None:
    with served(profile="instant") as cluster, metrics_server() as address, controller(cluster) as pid:
        time.sleep(2)
        base = resident_bytes(pid)
        started = time.monotonic()
        for number in range(RUNNING):
            name = f"run-{number:04}"
            ask(cluster.url + RUNS_PATH, run_of(name, address if is_shared else f"{address}/{name}"))
            time.sleep(max(0.0, started + INTERVAL_SECONDS * (number + 1) / RUNNING - time.monotonic()))
        time.sleep(WARM_UP_SECONDS)
        ask(f"{address}/report")
        before, count, began = usage_of(pid)[0], measured_so_far(cluster), time.monotonic()
        time.sleep(MEASURED_SECONDS)
        seconds = time.monotonic() - began
        cpu, memory = usage_of(pid)[0] - before, resident_bytes(pid)
        report = ask(f"{address}/report")
        taken = measured_so_far(cluster) - count
    print(
        f"{RUNNING:,} runs with {len(METRICS)} metrics, {'the same queries' if is_shared else 'queries of their own'}:"
    )
    print(f"  {cpu / seconds:.1%} of a core, {cpu / taken * 1e3:.2f} ms per measurement")
    print(f"  {taken / seconds:.0f} measurements/s by {report['queries'] / seconds:.0f} queries/s")
    print(f"  {(memory - base) / 1e6:.1f} MB, {(memory - base) / RUNNING:,.0f} B per run")
    lags = report["lags"]
    if lags and not is_shared:
        p50, p99 = (lags[int(len(lags) * part)] for part in (0.5, 0.99))
        print(f"  lag of {len(lags):,} measurements: median {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms", flush=True)


def show_finished() -> None:
    with served(profile="instant") as cluster:
        base, idle, _ = idle_controller(cluster)
    with served(fill, profile="instant") as cluster:
        memory, cpu, asked = idle_controller(cluster)
    print(f"{FINISHED:,} finished runs: {(cpu - idle) / IDLE_SECONDS:.2%} of a core (goal <= 0.2 %), {asked} requests")
    print(f"  {(memory - base) / 1e6:.1f} MB, {(memory - base) / FINISHED:,.0f} B each", flush=True)


def main() -> None:
    wanted = sys.argv[1:] or ["running", "finished"]
    if "running" in wanted:
        show_running(is_shared=False)
        show_running(is_shared=True)
    if "finished" in wanted:
        show_finished()


if __name__ == "__main__":
    main()
