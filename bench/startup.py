"""Start-up: `prograde --help` against `python -c 'import click'`, as a ratio of medians over interleaved runs."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
PROGRADE = str(Path(sys.executable).with_name("prograde"))


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    commands = {"import click": [sys.executable, "-c", "import click"], "prograde --help": [PROGRADE, "--help"]}
    for command in commands.values():
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    for name, taken in times.items():
        print(f"{name:<16} median {statistics.median(taken) * 1000:6.1f} ms of {RUNS} runs")
    ratios = [ours / theirs for ours, theirs in zip(times["prograde --help"], times["import click"], strict=True)]
    print(f"ratio            median {statistics.median(ratios):6.2f} (goal: at most 2)")


if __name__ == "__main__":
    main()
