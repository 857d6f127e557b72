"""From the flags of a command to a client, and from failures of a cluster to one line of error."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from prograde import __version__
from prograde.api.meta import ObjectMeta
from prograde.api.scalars import parse_duration
from prograde.cli.flags import ConnectionFlags, connection_of
from prograde.cli.framework import CliError
from prograde.controller.resources import ROLLOUTS
from prograde.kube.client import Client
from prograde.kube.config import ConnectionConfig, Overrides, kubeconfig_paths, load_in_cluster, load_kubeconfig
from prograde.kube.errors import ApiError, KubeError
from prograde.kube.http import HttpTransport
from prograde.telemetry.logs import parse_level, set_up_logging

__all__ = [
    "Session",
    "connect",
    "connection_config",
    "in_session",
    "list_rollout_names",
    "raise_as_cli_error",
    "stop_on_signals",
]


RETRIES: Final = 2
"""Enough for a connection that breaks; a person should not wait for a server that is not there."""


@dataclass(frozen=True, slots=True)
class Session:
    """A cluster and the namespace that the user means."""

    client: Client
    namespace: str


class _Named(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


def connection_config(flags: ConnectionFlags, environ: Mapping[str, str]) -> ConnectionConfig:
    """Return where to connect and as whom: the flags over the kubeconfig, or the pod that we run in.

    Raises:
        ConfigError: nothing is configured, or it cannot be used.
    """
    overrides = Overrides(
        context=flags.context,
        cluster=flags.cluster,
        user=flags.user,
        namespace=flags.namespace,
        server=flags.server,
        token=flags.token,
        certificate_authority=flags.certificate_authority,
        client_certificate=flags.client_certificate,
        client_key=flags.client_key,
        tls_server_name=flags.tls_server_name,
        insecure_skip_tls_verify=flags.insecure_skip_tls_verify,
        disable_compression=flags.disable_compression,
        impersonate_user=flags.as_user,
        impersonate_uid=flags.as_uid,
        impersonate_groups=flags.as_groups,
    )
    if flags.kubeconfig:
        paths = [Path(flags.kubeconfig).expanduser()]
        if not paths[0].exists():
            raise CliError(f"--kubeconfig: {flags.kubeconfig} does not exist")
    else:
        paths = kubeconfig_paths(environ.get("KUBECONFIG", ""), Path.home())
        has_file = any(path.exists() for path in paths)
        if not has_file and not flags.server and "KUBERNETES_SERVICE_HOST" in environ:
            return load_in_cluster(environ, namespace=flags.namespace)
    return load_kubeconfig(
        paths, overrides, environ=environ, now=lambda: datetime.now(UTC), is_interactive=sys.stdin.isatty()
    )


@asynccontextmanager
async def connect(flags: ConnectionFlags) -> AsyncIterator[Session]:
    """Connect as the flags and the kubeconfig say.

    Raises:
        CliError, ConfigError: the flags or the configuration cannot be used.
    """
    set_up_logging(_level(flags))
    config = connection_config(flags, os.environ)
    limits = {"read_seconds": seconds} if (seconds := _timeout_seconds(flags)) else {}
    transport = HttpTransport(config, user_agent=f"prograde/{__version__}", **limits)
    try:
        # A person or a script makes a handful of requests; throttling them only costs time.
        yield Session(Client(transport, qps=0, retries=RETRIES), config.namespace)
    finally:
        await transport.close()


def _level(flags: ConnectionFlags) -> int:
    try:
        return parse_level(flags.loglevel)
    except ValueError as err:
        raise CliError(str(err)) from err


def _timeout_seconds(flags: ConnectionFlags) -> float | None:
    """Return the limit of one request; None for none. A bare number counts as seconds."""
    text = flags.request_timeout
    try:
        seconds = float(text) if text.isdecimal() else parse_duration(text).total_seconds()
    except ValueError as err:
        raise CliError(f"--request-timeout: {err}") from err
    return seconds or None


def in_session(work: Callable[[Session], Awaitable[None]]) -> None:
    """Run `work` with a session for the current command's flags.

    Raises:
        CliError: the cluster refused, could not be reached, or is not configured.
    """
    flags = connection_of()

    async def run() -> None:
        async with connect(flags) as session:
            await work(session)

    with raise_as_cli_error():
        asyncio.run(run())


@contextmanager
def raise_as_cli_error(*more: type[Exception]) -> Iterator[None]:
    """Turn failures of the cluster, its configuration and the network into a `CliError`; `more` names further ones."""
    expected: tuple[type[Exception], ...] = (CliError, KubeError, OSError, *more)
    try:
        yield
    except BrokenPipeError:
        raise  # our own stdout: transports wrap what happens to their connections
    except expected as err:
        raise _as_cli_error(err) from err
    except BaseExceptionGroup as group:
        # Of several tasks that fail together, the first failure tells the story.
        known, bugs = group.split(expected)
        if known is None or bugs is not None:
            raise
        first = _first_leaf(known)
        raise first if isinstance(first, BrokenPipeError) else _as_cli_error(first) from group


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
