"""What an operator can set: one value for the whole process, read once at the start."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from prograde.api import defaults
from prograde.api.names import INSTANCE_ID_LABEL

__all__ = ["DEFAULT_NAMESPACE", "LEASE_NAME", "ControllerSettings", "instance_selector"]

LEASE_NAME: Final = "argo-rollouts-controller-lock"
DEFAULT_NAMESPACE: Final = "argo-rollouts"
"""The controller's own namespace where nothing else says."""


class ControllerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are those of the flags."""

    namespace: str = ""
    """The namespace that is watched; empty for all."""
    own_namespace: str = DEFAULT_NAMESPACE
    """Where the lease lives."""
    instance_id: str = ""
    """Only objects with this instance label are looked after; empty: only those without the label."""
    resync_period: timedelta = timedelta(seconds=900)
    rollout_workers: int = 10
    experiment_workers: int = 10
    service_workers: int = 10
    analysis_workers: int = 30
    """None of them waits for a provider; the number is that of Argo Rollouts."""
    ingress_workers: int = 10
    """For routing objects that nobody uses any more."""
    pod_updates: int = 10
    """How many pods have their metadata updated at the same time, for all Rollouts together."""
    pod_update_retries: int = 3
    """How often the update of a pod is repeated that changes while it is made."""
    qps: float = 40
    burst: int = 80
    endpoint_host: str = "0.0.0.0"
    """Probes and scrapes come from outside the pod; tests and the demo bind loopback."""
    metrics_port: int = 8090
    healthz_port: int = 8080
    leader_elect: bool = True
    lease_duration: timedelta = timedelta(seconds=15)
    renew_deadline: timedelta = timedelta(seconds=10)
    retry_period: timedelta = timedelta(seconds=2)
    versions: Mapping[str, str] = {}
    """Versions of kinds that are not ours, by group, where the usual one is not meant."""
    ingress_classes: frozenset[str] = frozenset({"nginx", "alb"})
    """A change of an Ingress of another class wakes no Rollout; an empty class is that of an Ingress without one."""
    verify_retry_interval: timedelta = defaults.ROLLOUT_VERIFY_RETRY
    """When to ask again whether weights are in force."""
    grace_period: timedelta = timedelta(seconds=20)
    """How long a stop waits for work in hand; a pod is killed after 30 s, and the lease is to be given back before."""

    @property
    def lease_name(self) -> str:
        return f"{LEASE_NAME}-{self.instance_id}" if self.instance_id else LEASE_NAME


def instance_selector(instance_id: str) -> str:
    """Return the label selector for the objects that this controller looks after."""
    return f"{INSTANCE_ID_LABEL}={instance_id}" if instance_id else f"!{INSTANCE_ID_LABEL}"
