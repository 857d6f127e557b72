"""From the flags of a command to a client, and from failures of a cluster to one line of error."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from prograde.api.meta import ObjectMeta
from prograde.cli.flags import ConnectionFlags, connection_of
from prograde.cli.framework import CliError
from prograde.controller.resources import ROLLOUTS
from prograde.kube.client import Client
from prograde.kube.errors import ApiError, KubeError

__all__ = ["Session", "connect", "in_session", "list_rollout_names", "stop_on_signals"]


@dataclass(frozen=True, slots=True)
class Session:
    """A cluster and the namespace that the user means."""

    client: Client
    namespace: str


class _Named(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


@asynccontextmanager
async def connect(flags: ConnectionFlags) -> AsyncIterator[Session]:
    """Connect as the flags and the kubeconfig say.

    Raises:
        CliError: the flags or the configuration cannot be used.
    """
    raise NotImplementedError
    yield


def in_session(work: Callable[[Session], Awaitable[None]]) -> None:
    """Run `work` with a session for the current command's flags.

    Raises:
        CliError: the cluster refused, could not be reached, or is not configured.
    """
    flags = connection_of()

    async def run() -> None:
        async with connect(flags) as session:
            await work(session)

    try:
        asyncio.run(run())
    except (KubeError, OSError) as err:
        raise _as_cli_error(err) from err
    except BaseExceptionGroup as group:
        # Of several tasks that fail together, the first failure tells the story.
        known, bugs = group.split((CliError, KubeError, OSError))
        if known is None or bugs is not None:
            raise
        raise _as_cli_error(_first_leaf(known)) from group


def _as_cli_error(err: BaseException) -> CliError:
    if isinstance(err, CliError):
        return err
    return CliError(err.message if isinstance(err, ApiError) else str(err))


def _first_leaf(err: BaseException) -> BaseException:
    while isinstance(err, BaseExceptionGroup):
        err = err.exceptions[0]
    return err


async def list_rollout_names(flags: ConnectionFlags) -> list[str]:
    """Return the names of all Rollouts in the namespace, for shell completion."""
    async with connect(flags) as session:
        listing = await session.client.list(ROLLOUTS, session.namespace)
        return [named.metadata.name for named in listing.to(_Named)]


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; a second one ends the process at once with code 1."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
