"""Play many random histories: ``python -m prograde.simulator --seeds 1000 --start 0``."""

import collections
import signal
import sys
from types import FrameType

import click

from prograde.simulator.runs import Run, run_seed

SECONDS_PER_SEED_MAX = 60
"""Of real time. A run takes less than a second; one that never ends is a loop that spins."""


@click.command(name="prograde.simulator")
@click.option("--seeds", default=100, show_default=True, help="How many histories to play.")
@click.option("--start", default=0, show_default=True, help="The first seed.")
@click.option("--twice", is_flag=True, help="Play each history twice and compare the two, write for write.")
@click.option("--log", is_flag=True, help="Print every write of every run.")
@click.option("--keep-going", is_flag=True, help="Tell all failures in one line each, not only the first in full.")
def main(*, seeds: int, start: int, twice: bool, log: bool, keep_going: bool) -> None:
    """Play random histories of a Rollout, its users and its accidents, each reproducible from its seed."""
    signal.signal(signal.SIGALRM, _give_up)
    failures: collections.Counter[str] = collections.Counter()
    for seed in range(start, start + seeds):
        run = _play(seed)
        if twice and not run.failure and (again := _play(seed)).digest != run.digest:
            pairs = enumerate(zip(run.log, again.log, strict=False))
            where = next((f"{one!r} and {other!r}" for _, (one, other) in pairs if one != other), "the lengths")
            run.failure = f"the second run is another one: {where}"
        if log:
            click.echo("\n".join(run.log))
        if run.failure:
            failures[run.failure] += 1
            click.echo(f"seed {seed}: {run.failure}" if keep_going else run.story())
            if not keep_going:
                sys.exit(1)
    click.echo(f"{seeds} histories from seed {start}: {sum(failures.values())} failed")
    sys.exit(1 if failures else 0)


def _play(seed: int) -> Run:
    signal.alarm(SECONDS_PER_SEED_MAX)
    try:
        return run_seed(seed)
    except BaseException:
        click.echo(f"seed {seed} ends with an exception:", err=True)
        raise
    finally:
        signal.alarm(0)


def _give_up(_: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"not done after {SECONDS_PER_SEED_MAX} s; it spins around {frame}")


if __name__ == "__main__":
    main()
