"""What the judge promises, measured: false failures, delay and power of the sequential judge, by seeded simulation.

python bench/judge.py [RUNS]

Prints one table, what becomes of 240 incidents, and what a look costs; writes docs/judge/delay.svg.
"""

import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from prograde.core.judge.sequential import RateState, updated_rate

ALPHA = 0.05
MARGIN, SAFE_MARGIN = 1.25, 1.5
Interval = tuple[tuple[float, float], tuple[float, float]]


def poisson(rng: random.Random, mean: float) -> int:
    """Draw from a Poisson distribution: exactly if the mean is small, else from the normal one beside it."""
    if mean > 60:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def traffic(
    rng: random.Random, per_minute: float, rate: float, ratio: float, minutes: int, burst: int = 1, wander: float = 0.0
) -> Iterator[Interval]:
    """Yield minutes of a canary at 5 %; `wander` moves the rate of both, `burst` errors come at once."""
    level = 0.0
    for _ in range(minutes):
        level = 0.9 * level + rng.gauss(0, wander) if wander else 0.0
        now = min(0.5, rate * math.exp(level))
        n, m = poisson(rng, per_minute * 0.05), poisson(rng, per_minute * 0.95)
        x = poisson(rng, n * now * ratio / burst) * burst
        y = poisson(rng, m * now / burst) * burst
        yield (min(x, n), n), (min(y, m), m)


def found_after(minutes: Iterator[Interval], margin: float = MARGIN) -> int | None:
    """Return after how many minutes the judge says harm."""
    state = RateState()
    for i, (canary, stable) in enumerate(minutes, 1):
        state = updated_rate(state, canary, stable, margin=margin, safe_margin=SAFE_MARGIN)
        if state.largest >= 1 / ALPHA:
            return i
    return None


def upper_bound(hits: int, runs: int) -> float:
    """Return the upper 99 % bound of a share (Wilson)."""
    z, p = 2.326, hits / runs
    middle = p + z * z / (2 * runs)
    return (middle + z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))) / (1 + z * z / runs)


def row(name: str, make: Callable[[random.Random], Iterator[Interval]], runs: int, margin: float = MARGIN) -> list[int]:
    """Print one row, and return the delays in ascending order."""
    delays = sorted(
        delay for seed in range(runs) if (delay := found_after(make(random.Random(seed)), margin)) is not None
    )
    at = [f"{delays[i - 1]:5}" if (i := math.ceil(runs * q)) <= len(delays) else "never" for q in (0.5, 0.9)]
    share = len(delays) / runs
    print(f"{name:62} {runs:6} {share:8.2%} {upper_bound(len(delays), runs):8.2%} {at[0]} {at[1]}", flush=True)
    return delays


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"{'case':62} {'runs':>6} {'harm':>8} {'99 % <=':>8} {'p50':>5} {'p90':>5}")
    for margin in (1.0, MARGIN):
        row(f"healthy, 600/min, 60 looks, margin {margin}", lambda r: traffic(r, 600, 0.01, 1, 60), runs, margin)
    row("at the margin, 600/min, 60 looks", lambda r: traffic(r, 600, 0.01, MARGIN, 60), runs)
    row("healthy, 600/min, 1,440 looks, margin 1", lambda r: traffic(r, 600, 0.01, 1, 1440), max(runs // 20, 50), 1.0)
    for burst in (3, 10):
        row(f"healthy, bursts of {burst}, wandering load", lambda r: traffic(r, 600, 0.01, 1, 60, burst, 0.3), runs)  # noqa: B023
    few = max(runs // 4, 100)
    for margin in (1.0, MARGIN):
        row(f"1 % to 5 %, 600/min, margin {margin}", lambda r: traffic(r, 600, 0.01, 5, 60), few, margin)
        row(f"1 % to 2 %, 6,000/min, margin {margin}", lambda r: traffic(r, 6000, 0.01, 2, 60), few, margin)
    row("1 % to 5 %, 600/min, bursts of 10", lambda r: traffic(r, 600, 0.01, 5, 60, 10), few)
    curves = {
        f"{ratio:g} x at {per_minute}/min": row(
            f"1 % to {ratio:g} %, {per_minute}/min",
            lambda r: traffic(r, per_minute, 0.01, ratio, 60),  # noqa: B023
            few,
        )
        for per_minute, ratio in ((600, 2.0), (600, 3.0), (600, 5.0), (6000, 1.5), (6000, 2.0))
    }
    (Path(__file__).parent.parent / "docs/judge/delay.svg").write_text(plot(curves, few))
    judge_incidents()
    state, started_at = RateState(), time.perf_counter()
    for _ in range(10_000):
        state = updated_rate(state, (3, 30), (6, 570), margin=MARGIN, safe_margin=SAFE_MARGIN)
    print(f"one update of a signal: {(time.perf_counter() - started_at) / 10:.4f} ms", end=", ")
    print(f"state: {len(msgspec.json.encode(state))} bytes")


def incidents() -> Iterator[tuple[str, bool, Iterator[Interval]]]:
    """Yield 240 seeded hours: what happens, whether it is harm of at least twice the errors, and what is seen."""
    per_minute = 6000
    for seed in range(30):
        rng = random.Random(seed)
        ratio = rng.uniform(2, 8)
        steady = [*traffic(rng, per_minute, 0.01, ratio, 60)]
        healthy = [*traffic(rng, per_minute, 0.01, 1, 60)]
        leak = [next(traffic(rng, per_minute, 0.01, 1 + 3 * i / 60, 1)) for i in range(60)]
        ramp = [next(traffic(rng, per_minute * (0.5 + (i % 20) / 20), 0.01, 1, 1)) for i in range(60)]
        gap = [minute if i % 4 else ((0.0, 0.0), (0.0, 0.0)) for i, minute in enumerate(healthy)]
        warm_up = [*traffic(rng, per_minute, 0.01, 3, 2), *healthy[2:]]
        yield "error jump", True, iter(steady)
        yield "jump after 20 minutes", True, iter(healthy[:20] + steady[20:])
        yield "slow leak, up to 4 x", True, iter(leak)
        yield "one bad pod of three, 6 x", True, traffic(rng, per_minute, 0.01, 8 / 3, 60)
        yield "traffic shift", False, iter(ramp)
        yield "data gap", False, iter(gap)
        yield "retry storm at both", False, traffic(rng, per_minute, 0.01, 1, 60, 5, 0.3)
        yield "warm-up of 2 minutes, 3 x", False, iter(warm_up)


def judge_incidents() -> None:
    """Print what the judge says to each kind of incident, with precision and recall of all."""
    found: dict[tuple[str, bool], list[bool]] = {}
    for kind, is_harm, minutes in incidents():
        found.setdefault((kind, is_harm), []).append(found_after(minutes) is not None)
    for (kind, is_harm), verdicts in found.items():
        print(f"{kind:40} {'harm' if is_harm else 'healthy':8} {sum(verdicts):4} of {len(verdicts)} found harmful")
    hits = sum(sum(verdicts) for (_, is_harm), verdicts in found.items() if is_harm)
    harmful = sum(len(verdicts) for (_, is_harm), verdicts in found.items() if is_harm)
    alarms = sum(sum(verdicts) for verdicts in found.values())
    print(f"precision {hits / max(alarms, 1):.1%}, recall {hits / harmful:.1%}")


def plot(curves: dict[str, list[int]], runs: int) -> str:
    """Draw the share of bad canaries that are found, by minute."""
    colors = ("#1b6ca8", "#c8553d", "#4c956c", "#7d5ba6", "#d19a20")
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="340" font-family="sans-serif" font-size="12">',
        '<rect width="640" height="340" fill="white"/>',
        '<text x="50" y="18">Bad canaries found, by minute (baseline 1 % errors, canary 5 % of traffic)</text>',
    ]
    for tick in range(0, 61, 10):
        parts.append(f'<text x="{50 + tick * 6.5:g}" y="325" text-anchor="middle">{tick}</text>')
    for tick in range(0, 101, 25):
        y = 305 - tick * 2.7
        parts.append(f'<line x1="50" x2="440" y1="{y:g}" y2="{y:g}" stroke="#ddd"/>')
        parts.append(f'<text x="44" y="{y + 4:g}" text-anchor="end">{tick} %</text>')
    for i, (name, delays) in enumerate(curves.items()):
        shares = [(minute, sum(delay <= minute for delay in delays) / runs) for minute in range(61)]
        points = " ".join(f"{50 + minute * 6.5:g},{305 - share * 270:.1f}" for minute, share in shares)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colors[i]}" stroke-width="2"/>')
        parts.append(f'<text x="455" y="{60 + 20 * i}" fill="{colors[i]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
