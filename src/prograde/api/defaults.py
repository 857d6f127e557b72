"""The effective values of absent fields, and the constants that more than one package needs.

Defaults are never stored in an object; whoever needs a value asks the function named after it. The only default that a
controller writes back is `replicas`, because autoscalers need it.
"""

from datetime import timedelta
from typing import Final

from prograde.api.analysis import Metric
from prograde.api.experiment import ExperimentSpec, ExperimentTemplate
from prograde.api.names import SCALE_DOWN_NEVER, SCALE_DOWN_ON_SUCCESS, SCALE_DOWN_PROGRESSIVELY
from prograde.api.rollout import AlbTrafficRouting, CanaryStrategy, NginxTrafficRouting, RolloutSpec
from prograde.api.scalars import IntOrString, integer_value

# --- Constants ------------------------------------------------------------------------------------------------

REPLICAS: Final = 1
REVISION_HISTORY_LIMIT: Final = 10
SUCCESSFUL_RUN_HISTORY_LIMIT: Final = 5
UNSUCCESSFUL_RUN_HISTORY_LIMIT: Final = 5
MAX_SURGE: Final = "25"
"""A quarter: every string is a percentage."""
MAX_UNAVAILABLE: Final = "25"
PROGRESS_DEADLINE_SECONDS: Final = 600
SCALE_DOWN_DELAY_SECONDS: Final = 30
ABORT_SCALE_DOWN_DELAY_SECONDS: Final = 30
CONSECUTIVE_ERROR_LIMIT: Final = 4
MAX_TRAFFIC_WEIGHT: Final = 100
NGINX_ANNOTATION_PREFIX: Final = "nginx.ingress.kubernetes.io"
ALB_ANNOTATION_PREFIX: Final = "alb.ingress.kubernetes.io"
JOB_NAME_LENGTH_MAX: Final = 63
"""A Job's name becomes a label value of its pods."""
MEASUREMENTS_KEPT: Final = 10
"""Newest measurements kept of a metric, unless measurementRetention says otherwise."""

CONFIG_MAP_NAME: Final = "argo-rollouts-config"
NOTIFICATION_CONFIG_MAP_NAME: Final = "argo-rollouts-notification-configmap"
NOTIFICATION_SECRET_NAME: Final = "argo-rollouts-notification-secret"
PLUGIN_FOLDER: Final = "plugin-bin"
CONTROLLER_NAMESPACE: Final = "argo-rollouts"
"""Where neither the environment nor a service account says otherwise."""

CLIENT_QPS: Final = 40
CLIENT_BURST: Final = 80
RESYNC_SECONDS: Final = 900
ROLLOUT_WORKERS: Final = 10
EXPERIMENT_WORKERS: Final = 10
SERVICE_WORKERS: Final = 10
INGRESS_WORKERS: Final = 10
ANALYSIS_WORKERS: Final = 30
EPHEMERAL_METADATA_WORKERS: Final = 10
EPHEMERAL_METADATA_TRIES: Final = 3
EPHEMERAL_METADATA_BACKOFF: Final = timedelta(milliseconds=100)
"""Doubles with each further try."""
HEALTH_PORT: Final = 8080
METRICS_PORT: Final = 8090
METRIC_CLEANUP_DELAY: Final = timedelta(seconds=65)
LEADER_LEASE_NAME: Final = "argo-rollouts-controller-lock"
LEADER_LEASE_SECONDS: Final = 15
LEADER_RENEW_DEADLINE_SECONDS: Final = 10
LEADER_RETRY_SECONDS: Final = 2
ROLLOUT_VERIFY_RETRY: Final = timedelta(seconds=10)
RESTART_POLL: Final = timedelta(seconds=30)
INVALID_SPEC_RETRY: Final = timedelta(seconds=20)
AWS_LOAD_BALANCER_PAGE_SIZE: Final = 300
AWS_DESCRIBE_TAGS_LIMIT: Final = 20

AMBASSADOR_API_VERSION: Final = "getambassador.io/v2"
ISTIO_GROUP: Final = "networking.istio.io"
ISTIO_VERSION: Final = "v1alpha3"
SMI_VERSION: Final = "v1alpha1"
TARGET_GROUP_BINDING_API_VERSION: Final = "elbv2.k8s.aws/v1beta1"
ALB_TAG_KEY: Final = "ingress.k8s.aws/resource"
APP_MESH_GROUP: Final = "appmesh.k8s.aws"
APP_MESH_VERSION: Final = "v1beta2"
TRAEFIK_GROUP: Final = "traefik.io"
TRAEFIK_API_VERSION: Final = "traefik.io/v1alpha1"
APISIX_API_VERSION: Final = "apisix.apache.org/v2"


# --- Rollout --------------------------------------------------------------------------------------------------


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def effective_replicas(spec: RolloutSpec) -> int:
    return _or(spec.replicas, REPLICAS)


def effective_revision_history_limit(spec: RolloutSpec) -> int:
    return _or(spec.revision_history_limit, REVISION_HISTORY_LIMIT)


def effective_successful_run_history_limit(spec: RolloutSpec) -> int:
    limit = spec.analysis.successful_run_history_limit if spec.analysis else None
    return _or(limit, SUCCESSFUL_RUN_HISTORY_LIMIT)


def effective_unsuccessful_run_history_limit(spec: RolloutSpec) -> int:
    limit = spec.analysis.unsuccessful_run_history_limit if spec.analysis else None
    return _or(limit, UNSUCCESSFUL_RUN_HISTORY_LIMIT)


def effective_progress_deadline_seconds(spec: RolloutSpec | ExperimentSpec) -> int:
    return _or(spec.progress_deadline_seconds, PROGRESS_DEADLINE_SECONDS)


def effective_max_surge(spec: RolloutSpec) -> IntOrString:
    """Return the canary's maxSurge as written, a quarter when absent. Blue-green has none, and recreate allows none."""
    if spec.strategy.recreate is not None:
        return 0
    canary = spec.strategy.canary
    return MAX_SURGE if canary is None or canary.max_surge is None else canary.max_surge


def effective_max_unavailable(spec: RolloutSpec) -> IntOrString:
    """Return maxUnavailable as written, a quarter when absent; blue-green's wins over canary's.

    Whoever chooses recreate accepts that at times there is no pod at all.
    """
    if spec.strategy.recreate is not None:
        return "100%"
    if spec.strategy.blue_green is not None:
        value = spec.strategy.blue_green.max_unavailable
    else:
        value = spec.strategy.canary.max_unavailable if spec.strategy.canary else None
    return MAX_UNAVAILABLE if value is None else value


def effective_scale_down_delay_seconds(spec: RolloutSpec) -> int:
    """Return how long the previous version keeps its pods after the traffic has left it; 0 is not at all."""
    if spec.strategy.blue_green is not None:
        return _or(spec.strategy.blue_green.scale_down_delay_seconds, SCALE_DOWN_DELAY_SECONDS)
    canary = spec.strategy.canary
    if canary is None or canary.traffic_routing is None:
        return 0
    return _or(canary.scale_down_delay_seconds, SCALE_DOWN_DELAY_SECONDS)


def effective_scale_down_delay_revision_limit(spec: RolloutSpec) -> int | None:
    """Return how many old ReplicaSets may run within the delay, None for any number."""
    if spec.strategy.blue_green is not None:
        return spec.strategy.blue_green.scale_down_delay_revision_limit
    return spec.strategy.canary.scale_down_delay_revision_limit if spec.strategy.canary else None


def _abort_scale_down_delay_as_written(spec: RolloutSpec) -> int | None:
    if spec.strategy.blue_green is not None:
        return spec.strategy.blue_green.abort_scale_down_delay_seconds
    return spec.strategy.canary.abort_scale_down_delay_seconds if spec.strategy.canary else None


def effective_abort_scale_down_delay(spec: RolloutSpec) -> timedelta | None:
    """Return how long the new version keeps its pods after an abort; None is for ever (written as 0).

    A canary without traffic routing is scaled down at once, whatever is written.
    """
    canary = spec.strategy.canary
    if spec.strategy.blue_green is None and (canary is None or canary.traffic_routing is None):
        return timedelta()
    seconds = _or(_abort_scale_down_delay_as_written(spec), ABORT_SCALE_DOWN_DELAY_SECONDS)
    return None if seconds == 0 else timedelta(seconds=seconds)


def has_explicit_abort_scale_down_delay(spec: RolloutSpec) -> bool:
    """Say whether the user asked for a delay after an abort: it is written and not 0."""
    canary = spec.strategy.canary
    if spec.strategy.blue_green is None and (canary is None or canary.traffic_routing is None):
        return False
    return bool(_abort_scale_down_delay_as_written(spec))


def effective_auto_promotion_enabled(spec: RolloutSpec) -> bool:
    """Say whether a blue-green Rollout switches by itself; true for any other."""
    blue_green = spec.strategy.blue_green
    return blue_green is None or blue_green.auto_promotion_enabled is not False


def effective_max_traffic_weight(spec: RolloutSpec) -> int:
    """Return the weight that means all traffic."""
    canary = spec.strategy.canary
    routing = canary.traffic_routing if canary else None
    return _or(routing.max_traffic_weight if routing else None, MAX_TRAFFIC_WEIGHT)


def effective_starting_step(canary: CanaryStrategy) -> int:
    """Return the step from which on background analysis runs."""
    return _or(canary.analysis.starting_step if canary.analysis else None, 0)


def effective_workload_scale_down(spec: RolloutSpec) -> str:
    """Return what becomes of the referenced Deployment's own pods; anything unknown means never."""
    wanted = spec.workload_ref.scale_down if spec.workload_ref else ""
    return wanted if wanted in (SCALE_DOWN_ON_SUCCESS, SCALE_DOWN_PROGRESSIVELY) else SCALE_DOWN_NEVER


def effective_nginx_annotation_prefix(nginx: NginxTrafficRouting) -> str:
    return nginx.annotation_prefix or NGINX_ANNOTATION_PREFIX


def effective_alb_annotation_prefix(alb: AlbTrafficRouting) -> str:
    return alb.annotation_prefix or ALB_ANNOTATION_PREFIX


# --- Experiment and analysis ----------------------------------------------------------------------------------


def effective_experiment_replicas(template: ExperimentTemplate) -> int:
    return _or(template.replicas, REPLICAS)


def effective_experiment_scale_down_delay_seconds(spec: ExperimentSpec) -> int:
    """Return how long an experiment's pods stay after its end; 0 is not at all."""
    return _or(spec.scale_down_delay_seconds, SCALE_DOWN_DELAY_SECONDS)


def effective_count(metric: Metric) -> int | None:
    """Return how many measurements are taken, None for as many as the run lasts."""
    count = integer_value(metric.count)
    if count == 0:
        return None if metric.interval else 1
    return count


def effective_consecutive_error_limit(metric: Metric) -> int:
    if metric.consecutive_error_limit is None:
        return CONSECUTIVE_ERROR_LIMIT
    return integer_value(metric.consecutive_error_limit)
