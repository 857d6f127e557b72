"""`prograde get rollout`: the state of one Rollout as a tree, once or live."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import click
import msgspec

from prograde.cli.connect import Session, in_session, stop_on_signals
from prograde.cli.flags import connection_flags
from prograde.cli.framework import Entry, KubectlGroup, command, flag
from prograde.cli.observe import observe_experiment, observe_rollout, read_experiment, read_rollout
from prograde.cli.tree import experiment_text, rollout_text
from prograde.dashboard.views import ExperimentView, RolloutView

__all__ = ["get", "get_experiment", "get_rollout", "wants_colour"]

V = TypeVar("V")

REDRAW_SECONDS: Final = 0.2
"""No more redraws than five a second, however much happens: a person cannot read faster."""

TICK_SECONDS: Final = 1.0
"""Ages grow without any event."""

_CLEAR = "\x1b[H\x1b[2J\x1b[0;0H"


def wants_colour(no_color: bool) -> bool:
    """Say whether to colour: on a terminal, unless a flag, ``TERM=dumb`` or ``NO_COLOR`` forbids it."""
    if no_color or os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return False
    return sys.stdout.isatty()


@command(
    "rollout",
    usage="ROLLOUT_NAME [flags]",
    aliases=("ro", "rollouts"),
    text="Get details about and visual representation of a rollout. It returns a bunch of metadata on a resource and a "
    "tree view of the child resources created by the parent.",
    examples=(
        "# Get a rollout\nprograde get rollout guestbook\n\n# Watch progress of a rollout\n"
        "prograde get rollout guestbook -w\n\n# Get the same as JSON\nprograde get rollout guestbook -o json"
    ),
)
@click.argument("name")
@flag("-w", "--watch", help="Watch live updates to the rollout")
@flag("--no-color", help="Do not colorize output")
@click.option("--timeout-seconds", type=int, default=0, help="End a watch after this many seconds; 0 means never")
@click.option("-o", "--output", type=click.Choice(["tree", "json"]), default="tree", help="Output format: tree or json")
@connection_flags
def get_rollout(*, name: str, watch: bool, no_color: bool, timeout_seconds: int, output: str) -> None:
    colour = wants_colour(no_color)

    def show(view: RolloutView) -> str:
        if output == "json":
            return msgspec.json.encode(view).decode() + "\n"
        return rollout_text(view, datetime.now(UTC), colour=colour)

    async def work(session: Session) -> None:
        if not watch:
            _, view = await read_rollout(session, name)
            click.echo(show(view), nl=False)
            return
        async with stop_on_signals() as stop, observe_rollout(session, name) as views:
            deadline = asyncio.get_running_loop().time() + timeout_seconds if timeout_seconds else None
            await _redraw(views, show, stop, deadline, is_screen=output == "tree" and sys.stdout.isatty())

    in_session(work)


async def _redraw(
    views: AsyncIterator[V | None],
    show: Callable[[V], str],
    stop: asyncio.Event,
    deadline: float | None,
    *,
    is_screen: bool,
) -> None:
    """Print the latest view at every change until stopped or `deadline` (loop time).

    A screen is cleared before, and drawn again every second so that ages grow; a file or a pipe gets one text after
    the other. After a deletion the last state stays, as it does for somebody who looks at the terminal.
    """
    latest: list[V] = []
    news = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def follow() -> None:
        async for view in views:
            if view is not None:
                latest[:] = [view]
                news.set()

    async def draw() -> None:
        while deadline is None or loop.time() < deadline:
            if latest and (is_screen or news.is_set()):
                news.clear()
                click.echo((_CLEAR if is_screen else "") + show(latest[0]), nl=False)
            await asyncio.sleep(REDRAW_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS - REDRAW_SECONDS):
                    await news.wait()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (draw(), stop.wait(), follow())]
        await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


@command(
    "experiment",
    usage="EXPERIMENT_NAME [flags]",
    aliases=("exp", "experiments"),
    text="Get details about an experiment and the child resources that it created.",
    examples="# Get an experiment\nprograde get experiment my-experiment\n\n# Watch progress of an experiment\n"
    "prograde get experiment my-experiment -w",
)
@click.argument("name")
@flag("-w", "--watch", help="Watch live updates to the experiment")
@flag("--no-color", help="Do not colorize output")
@connection_flags
def get_experiment(*, name: str, watch: bool, no_color: bool) -> None:
    colour = wants_colour(no_color)

    def show(view: ExperimentView) -> str:
        return experiment_text(view, datetime.now(UTC), colour=colour)

    async def work(session: Session) -> None:
        if not watch:
            click.echo(show(await read_experiment(session, name)), nl=False)
            return
        async with stop_on_signals() as stop, observe_experiment(session, name) as views:
            await _redraw(views, show, stop, None, is_screen=sys.stdout.isatty())

    in_session(work)


get = KubectlGroup(
    "get",
    {
        "rollout": Entry("prograde.cli.get:get_rollout", "Get details about a rollout", aliases=("ro", "rollouts")),
        "experiment": Entry(
            "prograde.cli.get:get_experiment", "Get details about an experiment", aliases=("exp", "experiments")
        ),
    },
    usage_lines=("<rollout|experiment> RESOURCE_NAME [flags]", "[command]"),
    help="This command consists of multiple subcommands which can be used to get extended information about a rollout "
    "or experiment.",
)
