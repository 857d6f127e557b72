"""From caches to snapshots: everything that a decision about one Rollout may look at, without waiting for anybody.

Only pods are not cached: a plan asks for them when it restarts or relabels some, and then they are listed once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, controller_of
from prograde.api.meta import Object as ApiObject
from prograde.api.names import ROLLOUT
from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet, Service
from prograde.controller.expectations import Expectations
from prograde.core.rollout.services import referenced_services
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.kube.informer import Informer
from prograde.kube.resources import Key, Resource

__all__ = ["Caches", "by_controller", "by_service", "is_behind", "rollout_of", "snapshot_of"]

ORPHANS = "orphans in "
"""Prefix of the index value for objects without a controller, followed by their namespace."""


@dataclass(frozen=True, slots=True)
class Caches:
    """The informers that decisions read.

    Those of ReplicaSets, AnalysisRuns and Experiments need `by_controller` as index ``controller``, that of Rollouts
    `by_service` as index ``service``.
    """

    rollouts: Informer[Rollout]
    replica_sets: Informer[ReplicaSet]
    services: Informer[Service]
    analysis_runs: Informer[AnalysisRun]
    experiments: Informer[Experiment]

    @property
    def all(
        self,
    ) -> tuple[Informer[Rollout], Informer[ReplicaSet], Informer[Service], Informer[AnalysisRun], Informer[Experiment]]:
        return (self.rollouts, self.replica_sets, self.services, self.analysis_runs, self.experiments)


def by_controller(obj: ApiObject) -> Iterable[str]:
    """Index by the UID of the controlling owner; orphans by their namespace."""
    owner = controller_of(obj)
    return (owner.uid if owner else ORPHANS + obj.metadata.namespace,)


def by_service(rollout: Rollout) -> Iterable[str]:
    """Index Rollouts by the Services that they name, as ``namespace/name``."""
    return [f"{rollout.metadata.namespace}/{name}" for name in dict.fromkeys(referenced_services(rollout))]


def rollout_of(obj: ApiObject) -> NamespacedName | None:
    """Return the key of the Rollout that controls `obj`, None for orphans and for the children of others."""
    owner = controller_of(obj)
    if owner is None or owner.kind != ROLLOUT:
        return None
    return NamespacedName(obj.metadata.namespace, owner.name)


def snapshot_of(caches: Caches, key: NamespacedName) -> RolloutSnapshot | None:
    """Return what the caches hold about the Rollout `key`; None when they hold no such Rollout."""
    rollout = caches.rollouts.get(Key(*key))
    if rollout is None:
        return None
    uid = rollout.metadata.uid
    experiments = tuple(caches.experiments.find("controller", uid))
    services = {}
    for name in dict.fromkeys((*referenced_services(rollout), *_services_of(experiments))):
        service = caches.services.get(Key(key.namespace, name))
        if service is not None:
            services[name] = service
    return RolloutSnapshot(
        rollout=rollout,
        replica_sets=(
            *caches.replica_sets.find("controller", uid),
            *caches.replica_sets.find("controller", ORPHANS + key.namespace),
        ),
        services=services,
        analysis_runs=tuple(caches.analysis_runs.find("controller", uid)),
        experiments=experiments,
    )


def _services_of(experiments: Iterable[Experiment]) -> Iterable[str]:
    """Return the names of the Services in front of the Experiments' pods, as far as they are known yet."""
    return (
        template.service_name
        for experiment in experiments
        for template in experiment.status.template_statuses
        if template.service_name
    )


def is_behind(
    caches: Caches,
    expectations: Expectations,
    key: NamespacedName,
    now_seconds: float,
    informer_of: Callable[[Resource, str], Informer[Any] | None] = lambda _, __: None,
) -> bool:
    """Say whether a cache has still to see one of our own last writes for the Rollout `key`.

    `informer_of` knows further caches by resource and namespace. What is in none is always read from the server.
    """
    informers: dict[Resource, Informer[Any]] = {informer.resource: informer for informer in caches.all}
    for resource, written in expectations.expected(key):
        informer = informers[resource] if resource in informers else informer_of(resource, written.namespace)
        if informer is None:
            expectations.settle(key, resource, written)
            continue
        seen = informer.get(written)
        version = seen.metadata.resource_version if seen is not None else None
        # A cache that has followed the server beyond the write is not behind, even if the object is not in it: then it
        # was deleted meanwhile, or cannot be read.
        if expectations.unseen(key, resource, written, version, now_seconds) and expectations.unseen(
            key, resource, written, informer.resource_version, now_seconds
        ):
            return True
        expectations.settle(key, resource, written)
    return False
