"""The flags of `prograde controller`, and what becomes of them: one value for the whole process.

The flags are those of the reference controller, so that an install manifest needs nothing but another image. Some
belong to parts that this version does not have yet; they are accepted, and named in a warning when they are set.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

import click

from prograde.api import defaults
from prograde.api.scalars import parse_duration, parse_integer
from prograde.cli.framework import CliError, flag
from prograde.controller.settings import ControllerSettings
from prograde.kube.config import SERVICE_ACCOUNT_FOLDER

__all__ = ["controller_flags", "settings_from", "warn_of_flags_without_effect"]

log = logging.getLogger(__name__)

VERIFY_RETRY_VARIABLE: Final = "ROLLOUT_VERIFY_RETRY_INTERVAL"

_DAY_SECONDS: Final = 86_400

_F = TypeVar("_F", bound=Callable[..., Any])

_PORT: Final = click.IntRange(0, 65535)
_COUNT: Final = click.IntRange(min=1)

_FLAGS: Final[Sequence[Callable[[Any], Any]]] = (
    click.option(
        "--rollout-resync",
        type=click.IntRange(min=0),
        default=900,
        help="Seconds between looks at every Rollout",
    ),
    flag("--namespaced", help="Watch only one namespace, that of -n or of the context"),
    click.option("--instance-id", default="", help="Only look after objects with this controller-instance-id label"),
    click.option("--metricsPort", "metrics_port", type=_PORT, default=8090, help="Port of /metrics"),
    click.option("--healthzPort", "healthz_port", type=_PORT, default=8080, help="Port of /healthz"),
    click.option(
        "--address", default="", help="Address of /metrics and /healthz; all inside a pod, else only loopback"
    ),
    click.option("--qps", type=click.FloatRange(min=0), default=40.0, help="Requests per second to the API server"),
    click.option("--burst", type=_COUNT, default=80, help="Requests that may exceed the rate at once"),
    click.option("--rollout-threads", type=_COUNT, default=10, help="Number of workers for Rollouts"),
    click.option("--service-threads", type=_COUNT, default=10, help="Number of workers for Services"),
    click.option("--experiment-threads", type=_COUNT, default=10, help="Number of workers for Experiments"),
    click.option("--analysis-threads", type=_COUNT, default=30, help="Number of workers for AnalysisRuns"),
    click.option("--ingress-threads", type=_COUNT, default=10, help="Number of workers for Istio's DestinationRules"),
    click.option(
        "--ephemeral-metadata-threads", type=_COUNT, default=10, help="Pods whose metadata is updated at the same time"
    ),
    click.option(
        "--ephemeral-metadata-update-pod-retries",
        "pod_update_retries",
        type=click.IntRange(min=0),
        default=3,
        help="Repetitions of an update of a pod that changes meanwhile",
    ),
    click.option(
        "--nginx-ingress-classes",
        "nginx_classes",
        multiple=True,
        default=("nginx",),
        help="Ingress classes that are treated as NGINX; may be repeated",
    ),
    click.option(
        "--alb-ingress-classes",
        "alb_classes",
        multiple=True,
        default=("alb",),
        help="Ingress classes that are treated as ALB; may be repeated",
    ),
    click.option("--ingress-api-version", default="", help="API version of Ingresses; only networking/v1 is left"),
    click.option("--istio-api-version", default=defaults.ISTIO_VERSION, help="API version of Istio's objects"),
    flag("--leader-elect", default=True, help="Elect a leader, so that several replicas can stand by"),
    click.option(
        "--leader-election-lease-duration", default="15s", metavar="duration", help="How long a lease is valid"
    ),
    click.option("--leader-election-renew-deadline", default="10s", metavar="duration", help="When a leader gives up"),
    click.option("--leader-election-retry-period", default="2s", metavar="duration", help="Pause between tries"),
)

_IDLE_FLAGS: Final[Sequence[tuple[str, Any, str]]] = (
    ("--aws-verify-target-group", False, "Verify weights and registration of ALB target groups"),
    ("--aws-target-group-binding-api-version", "elbv2.k8s.aws/v1beta1", "API version of TargetGroupBindings"),
    ("--alb-tag-key-resource-id", "ingress.k8s.aws/resource", "Tag of ALB resources"),
    ("--ambassador-api-version", "getambassador.io/v2", "API version of Ambassador"),
    ("--traffic-split-api-version", "v1alpha1", "API version of SMI"),
    ("--traefik-api-group", "traefik.io", "API group of Traefik"),
    ("--traefik-api-version", "traefik.io/v1alpha1", "API version of Traefik"),
    ("--appmesh-crd-version", "v1beta2", "API version of App Mesh"),
    ("--self-service-notification-enabled", False, "Let namespaces configure their own notifications"),
    ("--enable-pprof-address", "", "Address of a Go profiling server; there is none in Python"),
)
"""Flags of the reference for what is not part of this version: name, default, help."""


def controller_flags(function: _F) -> _F:
    """Add the flags of the controller to a command; all of them arrive as keyword arguments."""
    for name, default, text in reversed(_IDLE_FLAGS):
        shown = f"{text} (not part of this version yet)"
        if isinstance(default, bool):
            function = flag(name, default=default, help=shown)(function)
        else:
            function = click.option(name, default=default, type=type(default), help=shown)(function)
    for add in reversed(_FLAGS):
        function = add(function)
    return function


def warn_of_flags_without_effect(ctx: click.Context) -> None:
    """Name the flags in a command's words that change nothing."""
    from click.core import ParameterSource

    for name, _, _ in _IDLE_FLAGS:
        if ctx.get_parameter_source(name.removeprefix("--").replace("-", "_")) is ParameterSource.COMMANDLINE:
            log.warning("Flag %s has no effect: what it configures is not part of this version yet", name)
    version = ctx.params["ingress_api_version"]
    if version not in ("", "networking/v1"):
        log.warning("Flag --ingress-api-version has no effect: there is no %s any more, only networking/v1", version)


def settings_from(flags: Mapping[str, Any], environ: Mapping[str, str], namespace: str) -> ControllerSettings:
    """Return what flags and environment say; `namespace` is that of ``-n`` or of the context.

    Raises:
        CliError: a value cannot be used.
    """
    return ControllerSettings(
        namespace=namespace if flags["namespaced"] else "",
        own_namespace=_own_namespace(environ),
        instance_id=flags["instance_id"],
        resync_period=timedelta(seconds=flags["rollout_resync"]),
        rollout_workers=flags["rollout_threads"],
        experiment_workers=flags["experiment_threads"],
        service_workers=flags["service_threads"],
        analysis_workers=flags["analysis_threads"],
        ingress_workers=flags["ingress_threads"],
        pod_updates=flags["ephemeral_metadata_threads"],
        pod_update_retries=flags["pod_update_retries"],
        qps=flags["qps"],
        burst=flags["burst"],
        endpoint_host=flags["address"] or ("0.0.0.0" if _is_in_pod(environ) else "127.0.0.1"),
        metrics_port=flags["metrics_port"],
        healthz_port=flags["healthz_port"],
        leader_elect=flags["leader_elect"],
        lease_duration=_duration("--leader-election-lease-duration", flags["leader_election_lease_duration"]),
        renew_deadline=_duration("--leader-election-renew-deadline", flags["leader_election_renew_deadline"]),
        retry_period=_duration("--leader-election-retry-period", flags["leader_election_retry_period"]),
        versions={defaults.ISTIO_GROUP: flags["istio_api_version"]},
        ingress_classes=frozenset((*flags["nginx_classes"], *flags["alb_classes"])),
        verify_retry_interval=_verify_retry_interval(environ),
    )


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


def _duration(flag: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as err:
        raise CliError(f'invalid argument "{text}" for "{flag}" flag: {err}') from err


def _verify_retry_interval(environ: Mapping[str, str]) -> timedelta:
    """Return how soon weights are verified again, as an operator has set it in whole seconds."""
    text = environ.get(VERIFY_RETRY_VARIABLE, "")
    seconds = parse_integer(text) if text else None
    if seconds is not None and 0 < seconds <= _DAY_SECONDS:
        return timedelta(seconds=seconds)
    if text:
        usual = defaults.ROLLOUT_VERIFY_RETRY.total_seconds()
        log.warning("%s=%r is no number of seconds, %g are used", VERIFY_RETRY_VARIABLE, text, usual)
    return defaults.ROLLOUT_VERIFY_RETRY
