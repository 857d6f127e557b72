"""`prograde list`: one line a Rollout or Experiment; with `--watch` another line whenever one changes."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import click
import msgspec

from prograde.api.ages import human_duration
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, key_of
from prograde.api.rollout import Rollout
from prograde.api.scalars import format_time, parse_duration
from prograde.cli.connect import Session, in_session, stop_on_signals
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, Entry, KubectlGroup, command, flag
from prograde.cli.table import align
from prograde.controller.resources import EXPERIMENTS, ROLLOUTS
from prograde.core.rollout.status import phase_and_message
from prograde.dashboard.views import canary_weights, step_text, strategy_name
from prograde.kube.backoff import Backoff
from prograde.kube.informer import Informer

__all__ = ["experiment_cells", "list_", "list_experiments", "list_rollouts", "rollout_cells"]

FLUSH_SECONDS: Final = 0.5
"""Lines of one burst are printed together, so that they line up."""

WATCH_ATTEMPTS_MAX: Final = 6
"""Attempts in a row before a watch counts as broken for good; a second lies between two."""

Columns: TypeAlias = Sequence[tuple[str, int]]
"""Titles and least widths."""

_TIMESTAMP = ("TIMESTAMP", 20)
_NAMESPACE = ("NAMESPACE", 9)
_ROLLOUT_COLUMNS = (
    ("NAME", 10),
    ("STRATEGY", 9),
    ("STATUS", 12),
    ("STEP", 4),
    ("SET-WEIGHT", 10),
    ("READY", 5),
    ("DESIRED", 7),
    ("UP-TO-DATE", 10),
    ("AVAILABLE", 9),
)
_EXPERIMENT_COLUMNS = (("NAME", 10), ("STATUS", 6), ("DURATION", 8), ("REMAINING", 9), ("AGE", 3))


def rollout_cells(rollout: Rollout) -> list[str]:
    """Return the cells of one Rollout, from NAME to AVAILABLE."""
    status = rollout.status
    is_canary = rollout.spec.strategy.canary is not None
    return [
        rollout.metadata.name,
        strategy_name(rollout) or "unknown",
        phase_and_message(rollout)[0],
        step_text(rollout) or "-",
        str(canary_weights(rollout)[0]) if is_canary else "-",
        f"{status.ready_replicas}/{status.replicas}",
        str(1 if rollout.spec.replicas is None else rollout.spec.replicas),
        str(status.updated_replicas),
        str(status.available_replicas),
    ]


def experiment_cells(experiment: Experiment, now: datetime) -> list[str]:
    """Return the cells of one Experiment, from NAME to AGE."""
    duration, remaining = "-", "-"
    if experiment.spec.duration:
        try:
            length = parse_duration(str(experiment.spec.duration))
        except ValueError:
            pass
        else:
            duration = human_duration(length)
            available_at = experiment.status.available_at
            is_over = experiment.status.phase in ("Successful", "Failed", "Error", "Inconclusive")
            if available_at is not None and not is_over and available_at + length > now:
                remaining = human_duration(available_at + length - now)
    created_at = experiment.metadata.creation_timestamp
    return [
        experiment.metadata.name,
        experiment.status.phase,
        duration,
        remaining,
        human_duration(now - created_at) if created_at else "",
    ]


@command(
    "rollouts",
    usage="[flags]",
    aliases=("ro", "rollout"),
    text="List rollouts.",
    examples=(
        "# List rollouts\nprograde list rollouts\n\n# List rollouts from all namespaces\n"
        "prograde list rollouts --all-namespaces\n\n# List rollouts and watch for changes\n"
        "prograde list rollouts --watch"
    ),
)
@click.option("--name", default="", help="Only show rollout with specified name")
@flag("-A", "--all-namespaces", help="Include all namespaces")
@flag("-w", "--watch", help="Watch for changes")
@flag("--timestamps", help="Print timestamps on updates")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output: table or json")
@click.argument("ignored", nargs=-1)
@connection_flags
def list_rollouts(
    *, name: str, all_namespaces: bool, watch: bool, timestamps: bool, output: str, ignored: tuple[str, ...]
) -> None:
    del ignored
    columns = [_TIMESTAMP] * timestamps + [_NAMESPACE] * all_namespaces + list(_ROLLOUT_COLUMNS)
    selector = f"metadata.name={name}" if name else ""

    def cells(rollout: Rollout) -> list[str]:
        time = [format_time(datetime.now(UTC))] if timestamps else []
        return time + [rollout.metadata.namespace] * all_namespaces + rollout_cells(rollout)

    async def work(session: Session) -> None:
        namespace = "" if all_namespaces else session.namespace
        listing = await session.client.list(ROLLOUTS, namespace, field_selector=selector)
        rollouts = listing.to(Rollout)
        if output == "json":
            rows = [dict(zip((title for title, _ in columns), cells(each), strict=True)) for each in rollouts]
            click.echo(msgspec.json.encode(rows).decode())
            return
        if rollouts or watch:
            _print([[title for title, _ in columns], *map(cells, rollouts)], columns)
        else:
            click.echo("No resources found.", err=True)
        if watch:
            follower = _Follower(columns, cells, {key_of(each): rollout_cells(each) for each in rollouts})
            await follower.run(session, namespace, selector)

    in_session(work)


class _Patience(Backoff):
    """Waits between attempts to watch, but not for ever: whoever looks at a list should know that it is stale."""

    def __init__(self, rng: random.Random, **seconds: float) -> None:
        super().__init__(rng, **seconds)
        self._left = WATCH_ATTEMPTS_MAX

    async def wait(self, at_least_seconds: float = 0.0) -> None:
        """See `Backoff`.

        Raises:
            CliError: this was the last attempt.
        """
        self._left -= 1
        if self._left == 0:
            raise CliError(f"cannot watch rollouts: gave up after {WATCH_ATTEMPTS_MAX} attempts")
        await super().wait(at_least_seconds)

    def reset(self) -> None:
        super().reset()
        self._left = WATCH_ATTEMPTS_MAX


class _Follower:
    """Prints a line for a Rollout whenever one of its displayed values has changed."""

    def __init__(
        self,
        columns: Columns,
        cells: Callable[[Rollout], list[str]],
        shown: dict[NamespacedName, list[str]],
    ) -> None:
        self._columns = columns
        self._cells = cells
        self._shown = shown
        self._pending: list[list[str]] = []

    async def run(self, session: Session, namespace: str, field_selector: str) -> None:
        """Follow until interrupted."""
        informer = Informer(
            session.client,
            ROLLOUTS,
            msgspec.json.Decoder(Rollout).decode,
            rng=random.Random(),
            namespace=namespace,
            field_selector=field_selector,
            backoff=_Patience(random.Random(), base_seconds=1.0, max_seconds=1.0, jitter=0.0),
        )
        informer.subscribe(self._on_change)
        async with stop_on_signals() as stop, asyncio.TaskGroup() as group:
            tasks = [group.create_task(informer.run()), group.create_task(self._flush())]
            await stop.wait()
            for task in tasks:
                task.cancel()

    def _on_change(self, old: Rollout | None, new: Rollout | None) -> None:
        rollout = new if new is not None else old
        assert rollout is not None
        cells = rollout_cells(rollout)
        if self._shown.get(key_of(rollout)) != cells:
            self._pending.append(self._cells(rollout))
        self._shown[key_of(rollout)] = cells
        if new is None:
            # One that is made again under this name is news.
            del self._shown[key_of(rollout)]

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._pending:
                _print(self._pending, self._columns)
                self._pending = []


def _print(rows: Sequence[Sequence[str]], columns: Columns) -> None:
    for line in align(rows, minimum=[width for _, width in columns]):
        click.echo(line)


@command(
    "experiments",
    usage="[flags]",
    aliases=("exp", "experiment"),
    text="List experiments.",
    examples="# List experiments\nprograde list experiments\n\n# List experiments from all namespaces\n"
    "prograde list experiments --all-namespaces",
)
@flag("-A", "--all-namespaces", help="Include all namespaces")
@click.argument("ignored", nargs=-1)
@connection_flags
def list_experiments(*, all_namespaces: bool, ignored: tuple[str, ...]) -> None:
    del ignored
    columns = [_NAMESPACE] * all_namespaces + list(_EXPERIMENT_COLUMNS)

    async def work(session: Session) -> None:
        listing = await session.client.list(EXPERIMENTS, "" if all_namespaces else session.namespace)
        experiments = listing.to(Experiment)
        if not experiments:
            click.echo("No resources found.", err=True)
            return
        now = datetime.now(UTC)
        rows = [[each.metadata.namespace] * all_namespaces + experiment_cells(each, now) for each in experiments]
        _print([[title for title, _ in columns], *rows], columns)

    in_session(work)


list_ = KubectlGroup(
    "list",
    {
        "rollouts": Entry("prograde.cli.list:list_rollouts", "List rollouts", aliases=("ro", "rollout")),
        "experiments": Entry("prograde.cli.list:list_experiments", "List experiments", aliases=("exp", "experiment")),
    },
    usage_lines=("<rollout|experiment> [flags]", "[command]"),
    help="This command consists of multiple subcommands which can be used to lists all of the rollouts or experiments "
    "for a specified namespace (uses current namespace context if namespace not specified).",
)
