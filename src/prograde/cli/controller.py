"""`prograde controller`: run the controller against the cluster of a kubeconfig, or of the pod it runs in.

The flags are those of the reference controller, so that an install manifest needs nothing but another image. Some
belong to parts that this version does not have yet; they are accepted, and named in a warning when they are set.
"""

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import click
import msgspec

from prograde import __version__
from prograde.api.scalars import parse_duration
from prograde.cli.connect import connection_config, raise_as_cli_error, stop_on_signals
from prograde.cli.flags import connection_flags, connection_of
from prograde.cli.framework import CliError, command, flag
from prograde.controller.manager import run_controller
from prograde.controller.settings import DEFAULT_NAMESPACE, ControllerSettings
from prograde.kube.client import Client
from prograde.kube.config import SERVICE_ACCOUNT_FOLDER
from prograde.kube.errors import KubeError, NotFound
from prograde.kube.http import HttpTransport
from prograde.kube.resources import Resource
from prograde.kube.transport import Transport
from prograde.telemetry.logs import parse_level, set_up_logging
from prograde.telemetry.server import PortInUse

__all__ = ["controller"]

NAMESPACES: Final = Resource(plural="namespaces", kind="Namespace", namespaced=False)

_F = TypeVar("_F", bound=Callable[..., Any])

_PORT: Final = click.IntRange(0, 65535)
_COUNT: Final = click.IntRange(min=1)

_IDLE_FLAGS: Final[Sequence[tuple[str, Any, str]]] = (
    ("--experiment-threads", 10, "Number of workers for Experiments"),
    ("--analysis-threads", 30, "Number of workers for AnalysisRuns"),
    ("--ingress-threads", 10, "Number of workers for Ingresses"),
    ("--ephemeral-metadata-threads", 10, "Pods whose metadata is updated at the same time"),
    ("--ephemeral-metadata-update-pod-retries", 3, "Tries of an update of a pod's metadata"),
    ("--aws-verify-target-group", False, "Verify weights and registration of ALB target groups"),
    ("--aws-target-group-binding-api-version", "elbv2.k8s.aws/v1beta1", "API version of TargetGroupBindings"),
    ("--alb-tag-key-resource-id", "ingress.k8s.aws/resource", "Tag of ALB resources"),
    ("--alb-ingress-classes", ("alb",), "Ingress classes treated as ALB"),
    ("--nginx-ingress-classes", ("nginx",), "Ingress classes treated as NGINX"),
    ("--ingress-api-version", "", "API version of Ingresses"),
    ("--istio-api-version", "v1alpha3", "API version of Istio"),
    ("--ambassador-api-version", "getambassador.io/v2", "API version of Ambassador"),
    ("--traffic-split-api-version", "v1alpha1", "API version of SMI"),
    ("--traefik-api-group", "traefik.io", "API group of Traefik"),
    ("--traefik-api-version", "traefik.io/v1alpha1", "API version of Traefik"),
    ("--appmesh-crd-version", "v1beta2", "API version of App Mesh"),
    ("--self-service-notification-enabled", False, "Let namespaces configure their own notifications"),
    ("--enable-pprof-address", "", "Address of a Go profiling server; there is none in Python"),
)
"""Flags of the reference for what is not part of this version: name, default, help."""


def _idle_flags(function: _F) -> _F:
    for name, default, text in reversed(_IDLE_FLAGS):
        shown = f"{text} (not part of this version yet)"
        if isinstance(default, bool):
            function = flag(name, default=default, help=shown)(function)
        elif isinstance(default, tuple):
            function = click.option(name, default=default, multiple=True, help=shown)(function)
        else:
            function = click.option(name, default=default, type=type(default), help=shown)(function)
    return function


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
@click.option(
    "--rollout-resync",
    type=click.IntRange(min=0),
    default=900,
    help="Seconds between looks at every Rollout",
)
@flag("--namespaced", help="Watch only one namespace, that of -n or of the context")
@click.option("--instance-id", default="", help="Only look after objects with this controller-instance-id label")
@click.option("--logformat", default="", help="Form of log lines: text or json")
@click.option("--metricsPort", "metrics_port", type=_PORT, default=8090, help="Port of /metrics")
@click.option("--healthzPort", "healthz_port", type=_PORT, default=8080, help="Port of /healthz")
@click.option("--address", default="", help="Address of /metrics and /healthz; all inside a pod, else only loopback")
@click.option("--qps", type=click.FloatRange(min=0), default=40.0, help="Requests per second to the API server")
@click.option("--burst", type=_COUNT, default=80, help="Requests that may exceed the rate at once")
@click.option("--rollout-threads", type=_COUNT, default=10, help="Number of workers for Rollouts")
@click.option("--service-threads", type=_COUNT, default=10, help="Number of workers for Services")
@flag("--leader-elect", default=True, help="Elect a leader, so that several replicas can stand by")
@click.option("--leader-election-lease-duration", default="15s", metavar="duration", help="How long a lease is valid")
@click.option("--leader-election-renew-deadline", default="10s", metavar="duration", help="When a leader gives up")
@click.option("--leader-election-retry-period", default="2s", metavar="duration", help="Pause between tries")
@flag("--version", "shows_version", help="Print the version and exit")
@click.option("--controllers", default="", help="Controllers to run, separated by commas; all by default")
@_idle_flags
@connection_flags
@click.pass_context
def controller(
    ctx: click.Context,
    /,
    *,
    rollout_resync: int,
    namespaced: bool,
    instance_id: str,
    logformat: str,
    metrics_port: int,
    healthz_port: int,
    address: str,
    qps: float,
    burst: int,
    rollout_threads: int,
    service_threads: int,
    leader_elect: bool,
    leader_election_lease_duration: str,
    leader_election_renew_deadline: str,
    leader_election_retry_period: str,
    shows_version: bool,
    controllers: str,
    **idle: Any,
) -> None:
    if shows_version:
        click.echo(f"prograde controller: v{__version__}")
        return
    flags = connection_of()
    try:
        set_up_logging(parse_level(flags.loglevel), _log_form(logformat))
    except ValueError as err:
        raise CliError(str(err)) from err
    _warn_of_idle(ctx, idle)
    _check_controllers(controllers)
    with raise_as_cli_error():
        config = connection_config(flags, os.environ)
        settings = ControllerSettings(
            namespace=config.namespace if namespaced else "",
            own_namespace=_own_namespace(os.environ),
            instance_id=instance_id,
            resync_period=timedelta(seconds=rollout_resync),
            rollout_workers=rollout_threads,
            service_workers=service_threads,
            qps=qps,
            burst=burst,
            endpoint_host=address or ("0.0.0.0" if _is_in_pod(os.environ) else "127.0.0.1"),
            metrics_port=metrics_port,
            healthz_port=healthz_port,
            leader_elect=leader_elect,
            lease_duration=_duration("--leader-election-lease-duration", leader_election_lease_duration),
            renew_deadline=_duration("--leader-election-renew-deadline", leader_election_renew_deadline),
            retry_period=_duration("--leader-election-retry-period", leader_election_retry_period),
        )

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
                )
        finally:
            await transport.close()

    with raise_as_cli_error(PortInUse, ValueError):
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


def _is_in_pod(environ: Mapping[str, str]) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environ


def _own_namespace(environ: Mapping[str, str]) -> str:
    """Return where this controller lives: as the pod says, then as its service account says; else ``""``."""
    if named := environ.get("POD_NAMESPACE", ""):
        return named
    try:
        return (SERVICE_ACCOUNT_FOLDER / "namespace").read_text().strip()
    except OSError:
        return ""


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


def _duration(flag: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as err:
        raise CliError(f'invalid argument "{text}" for "{flag}" flag: {err}') from err


def _check_controllers(text: str) -> None:
    """Refuse to be only a part of the controller: running all of it instead would act where nobody asked it to.

    Raises:
        CliError: `text` is not empty.
    """
    for name in filter(None, text.split(",")):
        if name == "analysis":
            raise CliError("--controllers: the AnalysisRun controller is not part of this version yet")
        raise CliError(f"unsupported controller: {name}")


def _warn_of_idle(ctx: click.Context, idle: dict[str, Any]) -> None:
    from click.core import ParameterSource

    for name in idle:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = "--" + name.replace("_", "-")
            click.echo(f"Flag {flag} has no effect: what it configures is not part of this version yet", err=True)
