"""Play many random histories: ``python -m prograde.simulator --seeds 1000 --start 0 --jobs 2``."""

import collections
import gc
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import click

from prograde.simulator.histories import VERSION, History, history_of
from prograde.simulator.runs import Run, run_history
from prograde.simulator.shrink import read_history, shrink, written_history

SECONDS_PER_SEED_MAX: Final = 60
"""Of real time. A run takes less than a second; one that never ends is a loop that spins."""

CHUNK: Final = 8
"""Seeds that a process takes at once."""

TELL_EVERY: Final = 1000
"""Seeds between two lines that say that it goes on."""

COLLECT_EVERY: Final = 20
"""Runs between two collections of garbage: it is off within a run, and a run leaves some megabytes."""


class Outcome(NamedTuple):
    """What is left of a run: small enough to be sent between processes."""

    seed: int
    failure: str
    story: str
    releases: int
    log: str


@click.command(name="prograde.simulator")
@click.option("--seeds", default=100, show_default=True, help="How many histories to play.")
@click.option("--start", default=0, show_default=True, help="The first seed.")
@click.option("--jobs", default=1, show_default=True, help="How many processes play.")
@click.option("--twice", is_flag=True, help="Play each history twice and compare the two, write for write.")
@click.option("--log", is_flag=True, help="Print every write of every run.")
@click.option("--keep-going", is_flag=True, help="Tell all failures in one line each, not only the first in full.")
@click.option("--shrink", "to_shrink", type=int, metavar="SEED", help="Cut the history of a failing seed down.")
@click.option("--replay", type=click.Path(path_type=Path), metavar="FILE", help="Play a history from a file.")
@click.option("--write", type=click.Path(path_type=Path), metavar="FILE", help="Where to put a history cut down.")
def main(
    *,
    seeds: int,
    start: int,
    jobs: int,
    twice: bool,
    log: bool,
    keep_going: bool,
    to_shrink: int | None,
    replay: Path | None,
    write: Path | None,
) -> None:
    """Play random histories of a Rollout, its users and its accidents, each reproducible from its seed."""
    if replay is not None:
        history = read_history(replay)
        sys.exit(_show(history if to_shrink is None else _smallest(history, write), with_log=log))
    if to_shrink is not None:
        sys.exit(_show(_smallest(history_of(to_shrink), write), with_log=log))
    began = time.perf_counter()
    failures: collections.Counter[str] = collections.Counter()
    releases = 0
    for outcome in _outcomes(range(start, start + seeds), jobs, twice=twice, with_log=log):
        releases += outcome.releases
        if outcome.seed > start and not outcome.seed % TELL_EVERY:
            click.echo(f"{outcome.seed - start} histories, {sum(failures.values())} failed", err=True)
        if log:
            click.echo(outcome.log)
        if outcome.failure:
            failures[outcome.failure.partition(":")[0]] += 1
            click.echo(f"seed {outcome.seed}: {outcome.failure}" if keep_going else outcome.story)
            if not keep_going:
                sys.exit(1)
    seconds = time.perf_counter() - began
    click.echo(
        f"{seeds} histories from seed {start} (version {VERSION}), {releases} releases, in {seconds:.0f} s: "
        f"{sum(failures.values())} failed{''.join(f', {count} x {name}' for name, count in failures.most_common())}"
    )
    sys.exit(1 if failures else 0)


def _outcomes(seeds: Iterable[int], jobs: int, *, twice: bool, with_log: bool) -> Iterator[Outcome]:
    """Yield what came of each seed, in order."""
    work = ((seed, twice, with_log) for seed in seeds)
    if jobs <= 1:
        yield from map(_played, work)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=_settle_in) as pool:
        yield from pool.imap(_played, work, chunksize=CHUNK)


def _settle_in() -> None:
    """Keep what all runs share out of the collector's way."""
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us


def _played(work: tuple[int, bool, bool]) -> Outcome:
    seed, twice, with_log = work
    run = _play(history_of(seed))
    if twice and not run.failure and (again := _play(history_of(seed))).digest != run.digest:
        pairs = zip(run.log, again.log, strict=False)
        where = next((f"{one!r} and {other!r}" for one, other in pairs if one != other), "the lengths")
        run.failure = f"determinism: the second run is another one: {where}"
    if not seed % COLLECT_EVERY:
        gc.collect()
    story = run.story() if run.failure else ""
    return Outcome(seed, run.failure, story, run.releases, "\n".join(run.log) if with_log else "")


def _play(history: History) -> Run:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(SECONDS_PER_SEED_MAX)
    try:
        return run_history(history)
    except Exception as err:
        run = Run(history)
        run.failure = f"exception: {type(err).__name__}: {err}"
        return run
    finally:
        signal.alarm(0)


def _give_up(_: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"not done after {SECONDS_PER_SEED_MAX} s; it spins around {frame}")


def _smallest(history: History, write: Path | None) -> History:
    run = _play(history)
    if not run.failure:
        click.echo(f"seed {history.seed} (version {VERSION}) does not fail")
        return history
    smallest = shrink(run, lambda text: click.echo(text, err=True)).history
    text = written_history(smallest)
    if write is not None:
        write.write_text(text)
        click.echo(f"again: python -m prograde.simulator --replay {write}")
    else:
        click.echo(text)
    return smallest


def _show(history: History, *, with_log: bool) -> int:
    """Play one history, print what came of it, and return the exit code."""
    run = _play(history)
    if with_log:
        click.echo("\n".join(run.log))
    click.echo(run.story() if run.failure else "nothing is broken")
    return 1 if run.failure else 0


if __name__ == "__main__":
    main()
