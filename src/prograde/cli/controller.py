"""`prograde controller`: run the controller against the cluster of a kubeconfig, or of the pod it runs in."""

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import click
import msgspec

from prograde import __version__
from prograde.cli.connect import connection_config, raise_as_cli_error, stop_on_signals
from prograde.cli.controller_flags import controller_flags, settings_from, warn_of_flags_without_effect
from prograde.cli.flags import connection_flags, connection_of
from prograde.cli.framework import CliError, command, flag
from prograde.controller.manager import run_controller
from prograde.controller.settings import DEFAULT_NAMESPACE
from prograde.kube.client import Client
from prograde.kube.errors import KubeError, NotFound
from prograde.kube.http import HttpTransport
from prograde.kube.lease import InvalidElection
from prograde.kube.resources import Resource
from prograde.kube.transport import Transport
from prograde.telemetry.logs import parse_level, set_up_logging
from prograde.telemetry.server import PortInUse

__all__ = ["controller"]

NAMESPACES: Final = Resource(plural="namespaces", kind="Namespace", namespaced=False)


@command(
    "controller",
    usage="[flags]",
    text="Run the controller: against the cluster of the current kubeconfig context, or inside a pod with its service "
    "account.",
    examples=(
        "# Run against the current context\nprograde controller\n\n"
        "# Run against one namespace, without leader election\n"
        "prograde controller --namespaced -n shop --leader-elect=false"
    ),
    renamed_flags={"--metricsport": "--metricsPort", "--alb-verify-weight": "--aws-verify-target-group"},
)
@controller_flags
@flag("--version", "shows_version", help="Print the version and exit")
@click.option("--logformat", default="", help="Form of log lines: text or json")
@click.option("--controllers", default="", help="Controllers to run, separated by commas; all by default")
@connection_flags
@click.pass_context
def controller(
    ctx: click.Context,
    /,
    *,
    shows_version: bool,
    logformat: str,
    controllers: str,
    **flags: Any,
) -> None:
    if shows_version:
        click.echo(f"prograde controller: v{__version__}")
        return
    connection = connection_of()
    try:
        set_up_logging(parse_level(connection.loglevel), _log_form(logformat))
    except ValueError as err:
        raise CliError(str(err)) from err
    warn_of_flags_without_effect(ctx)
    _check_controllers(controllers)
    with raise_as_cli_error():
        config = connection_config(connection, os.environ)
        settings = settings_from(flags, os.environ, config.namespace)

    async def run() -> None:
        transport = HttpTransport(config, user_agent=f"prograde/{__version__} (controller)")
        own_namespace = settings.own_namespace or await _namespace_of_lease(transport, config.namespace)
        try:
            async with stop_on_signals() as stop:
                await run_controller(
                    transport,
                    msgspec.structs.replace(settings, own_namespace=own_namespace),
                    identity=f"{socket.gethostname()}_{uuid.uuid4()}",
                    now=lambda: datetime.now(UTC),
                    rng=random.Random(),
                    stop=stop,
                    environment=os.environ,
                )
        finally:
            await transport.close()

    with raise_as_cli_error(PortInUse, InvalidElection):
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where the `speed` extra is installed, else None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _log_form(text: str) -> Literal["", "text", "json"]:
    if text in ("", "text", "json"):
        return text  # type: ignore[return-value]
    click.echo(f"Unknown log format {text!r}, using text", err=True)
    return "text"


async def _namespace_of_lease(transport: Transport, context_namespace: str) -> str:
    """Return where a controller outside of any pod competes for leadership.

    The usual namespace, if the cluster has it, because an installed controller keeps its lease there and must exclude
    this one. Where it is missing no controller is installed in the usual way, and the context's own namespace will do.
    """
    try:
        await Client(transport, qps=0).get(NAMESPACES, "", DEFAULT_NAMESPACE)
    except NotFound:
        return context_namespace
    except (KubeError, OSError):
        # Not allowed to look, or not reachable now: the election itself will say what is wrong.
        return DEFAULT_NAMESPACE
    return DEFAULT_NAMESPACE


def _check_controllers(text: str) -> None:
    """Refuse to be only a part of the controller: running all of it instead would act where nobody asked it to.

    Raises:
        CliError: `text` is not empty.
    """
    for name in filter(None, text.split(",")):
        if name == "analysis":
            raise CliError("--controllers: the AnalysisRun controller is not part of this version yet")
        raise CliError(f"unsupported controller: {name}")
