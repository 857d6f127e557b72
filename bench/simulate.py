"""How many releases a core simulates in an hour, and where the time goes: controller, cluster, or the simulator itself.

    .venv/bin/python bench/simulate.py [SEEDS]

Counts processor time and not the clock on the wall, so that a busy machine gives the same numbers. A history is the
whole life of one Rollout with all its accidents; a release is one template that is rolled out in it, the first too.
"""

import cProfile
import gc
import pstats
import sys
import time
from collections import Counter

from prograde.simulator.runs import run_seed

SEEDS = 100
PROFILED = 20

AREAS = {
    "/core/": "controller: decisions",
    "/api/": "controller: types and validation",
    "/controller/": "controller: shell",
    "/traffic/": "controller: routers",
    "/kube/": "controller: client, informers, queues",
    "/sandbox/": "embedded cluster",
    "/simulator/": "simulator",
    "/asyncio/": "event loop",
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    run_seed(0)
    gc.collect()
    gc.freeze()
    releases = requests = failed = 0
    started = time.process_time()
    for seed in range(1, count + 1):
        run = run_seed(seed)
        releases, requests, failed = releases + run.releases, requests + run.requests, failed + bool(run.failure)
        if not seed % 20:
            gc.collect()
    seconds = time.process_time() - started
    print(f"{count} histories, {releases} releases, {requests} requests of the controller, {failed} failed")
    print(f"{1000 * seconds / count:.1f} ms per history, {1000 * seconds / max(releases, 1):.1f} ms per release")
    print(f"{3600 * count / seconds:,.0f} histories and {3600 * releases / seconds:,.0f} releases per core-hour")
    print("(goal: 50,000 releases per core-hour)")
    profile()


def profile() -> None:
    """Print which share of the time each part of the program takes."""
    profiler = cProfile.Profile()
    profiler.enable()
    for seed in range(1, PROFILED + 1):
        run_seed(seed)
    profiler.disable()
    times: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        times[next((name for part, name in AREAS.items() if part in file), "Python and its libraries")] += own
    total = sum(times.values())
    for name, own in times.most_common():
        print(f"{own / total:6.0%}  {name}")


if __name__ == "__main__":
    main()
