"""`prograde status`: the phase of a Rollout, by default until it is healthy or degraded; made for pipelines."""

import asyncio
import contextlib
from collections.abc import Callable

import click
import msgspec

from prograde.api.scalars import parse_duration
from prograde.cli.connect import Session, in_session, stop_on_signals
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, command, flag
from prograde.cli.observe import observe_rollout, read_rollout
from prograde.dashboard.views import RolloutView

__all__ = ["status"]

_FINAL = ("Healthy", "Degraded")


@command(
    "status",
    usage="ROLLOUT_NAME [flags]",
    text="Watch rollout until it finishes or the timeout is exceeded. Returns success if the rollout is healthy upon "
    "completion and an error otherwise.",
    examples=(
        "# Watch the rollout until it succeeds\nprograde status guestbook\n\n"
        "# Show the rollout status\nprograde status guestbook --watch=false\n\n"
        "# Watch the rollout until it succeeds, fail if it takes more than 60 seconds\n"
        "prograde status --timeout 60s guestbook"
    ),
)
@click.argument("name")
@flag("-w", "--watch", default=True, help="Watch the status of the rollout until it's done")
@click.option("-t", "--timeout", default="0s", metavar="duration",
              help="The length of time to watch before giving up. Zero means wait forever")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Output format: text or json")
@connection_flags
def status(*, name: str, watch: bool, timeout: str, output: str) -> None:
    try:
        seconds = parse_duration(timeout).total_seconds()
    except ValueError as err:
        raise CliError(f'invalid argument "{timeout}" for "-t, --timeout" flag: {err}') from err

    def show(view: RolloutView) -> str:
        if output == "json":
            return msgspec.json.encode(
                {"name": view.name, "namespace": view.namespace, "phase": view.status, "message": view.message}
            ).decode()
        return _watched_line(view) if watch else _line(view)

    async def work(session: Session) -> None:
        if not watch:
            _, view = await read_rollout(session, name)
            click.echo(show(view))
            _fail_if_degraded(view)
            return
        last = await _follow(session, name, seconds, show)
        _fail_if_degraded(last)
        if last.status != "Healthy":
            raise CliError("Rollout status watch exceeded timeout")

    in_session(work)


def _line(view: RolloutView) -> str:
    """Return the answer to a single look. The dash stays when there is nothing to say after it."""
    return view.status if view.status in _FINAL else f"{view.status} - {view.message}"


def _watched_line(view: RolloutView) -> str:
    return f"{view.status} - {view.message}" if view.message else view.status


async def _follow(session: Session, name: str, seconds: float, show: Callable[[RolloutView], str]) -> RolloutView:
    """Print every new line until the end, the time-out (0: none) or a signal; return the last state.

    Raises:
        CliError: the Rollout was deleted meanwhile.
    """
    last: RolloutView | None = None

    async def follow() -> None:
        nonlocal last
        printed = ""
        async with observe_rollout(session, name) as views:
            async for view in views:
                if view is None:
                    raise CliError(f'rollout.argoproj.io "{name}" was deleted')
                last = view
                if show(view) != printed:
                    printed = show(view)
                    click.echo(printed)
                if view.status in _FINAL:
                    return

    async with stop_on_signals() as stop:
        follower, stopper = asyncio.create_task(follow()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({follower, stopper}, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
            if follower.done():
                follower.result()
        finally:
            for task in (follower, stopper):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, CliError):
                    await task
    if last is None:
        # Stopped before the first state was known.
        _, last = await read_rollout(session, name)
    return last


def _fail_if_degraded(view: RolloutView) -> None:
    if view.status == "Degraded":
        raise CliError(f"The rollout is in a degraded state with message: {view.message}")
