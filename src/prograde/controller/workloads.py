"""The workloads that Rollouts refer to: followed from the first reference on, and whom a change of them wakes.

One informer per kind, for all Rollouts. A workload may appear, vanish or get another template at any time, so the
Rollouts are indexed by what they refer to. Changes that only a workload's own controller cares for wake nobody.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from prograde.api.meta import NamespacedName, key_of
from prograde.api.names import REPLACED_BY_ANNOTATION
from prograde.api.rollout import Rollout
from prograde.api.workloadref import UnresolvedWorkload, Workload, workload_index_key, workload_type
from prograde.api.workloads import Deployment, PodTemplate, ReplicaSet
from prograde.controller.ondemand import InformersOnDemand, OnDemand
from prograde.controller.resources import DEPLOYMENTS, POD_TEMPLATES, REPLICA_SETS
from prograde.kube.client import Client
from prograde.kube.informer import Informer
from prograde.kube.resources import Resource

__all__ = ["SYNC_SECONDS_MAX", "FoundWorkload", "Workloads", "by_workload"]

SYNC_SECONDS_MAX: Final = 60.0
"""How long a first list may take before the Rollouts that wait for it say so; the time that Argo Rollouts gives it."""

_RESOURCES: Final[dict[type[Workload], Resource]] = {
    Deployment: DEPLOYMENTS,
    ReplicaSet: REPLICA_SETS,
    PodTemplate: POD_TEMPLATES,
}


class FoundWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the workload of a Rollout at the moment."""

    workload: Workload | None = None
    """None when it does not exist, or nothing that could exist is named."""
    error: str = ""
    """Why it could not be looked for."""
    is_pending: bool = False
    """The first list of its kind is still to come: look again when that has woken the Rollout."""


def by_workload(rollout: Rollout) -> Iterable[str]:
    """Index Rollouts by the workload that they refer to, if it is of a kind that they may refer to."""
    reference = rollout.spec.workload_ref
    if reference is None:
        return ()
    try:
        kind = workload_type(reference)
    except UnresolvedWorkload:
        return ()
    return (workload_index_key(kind, rollout.metadata.namespace, reference.name),)


class Workloads:
    """Follows and finds workloads.

    Args:
        informers: runs the informers.
        rollouts: has `by_workload` as index ``workload``.
        wake: told which Rollout to look at, and whether that is urgent.
        namespace: the one that is watched; empty for all.
    """

    def __init__(
        self,
        client: Client,
        informers: InformersOnDemand,
        rollouts: Informer[Rollout],
        *,
        wake: Callable[[NamespacedName, bool], None],
        rng: random.Random,
        namespace: str,
    ) -> None:
        self._client = client
        self._informers = informers
        self._rollouts = rollouts
        self._wake = wake
        self._rng = rng
        self._namespace = namespace
        self._followed: dict[type[Workload], OnDemand[Any]] = {}
        self._asked_at_seconds: dict[type[Workload], float] = {}
        """When, on the loop's clock, a kind was first asked for."""

    def find(self, rollout: Rollout) -> FoundWorkload:
        """Return what the caches hold of the workload that `rollout` refers to. Does not wait."""
        reference = rollout.spec.workload_ref
        if reference is None:
            return FoundWorkload()
        try:
            kind = workload_type(reference)
        except UnresolvedWorkload:
            # Of which the plan will say the same.
            return FoundWorkload()
        informer = self._follow(kind)
        if informer.has_synced:
            key = NamespacedName(rollout.metadata.namespace, reference.name)
            if failure := informer.failures.get(key):
                return FoundWorkload(error=f'{informer.resource.qualified} "{key}" cannot be read: {failure.message}')
            return FoundWorkload(workload=informer.get(key))
        waited_seconds = asyncio.get_running_loop().time() - self._asked_at_seconds[kind]
        if waited_seconds < SYNC_SECONDS_MAX:
            return FoundWorkload(is_pending=True)
        resource = informer.resource
        return FoundWorkload(error=f"failed to sync informer for {resource.group}/{resource.version}, Kind={kind.KIND}")

    def informer_of(self, resource: Resource) -> Informer[Any] | None:
        """Return the informer of a kind that somebody has asked for; None for any other."""
        return next((each.informer for each in self._followed.values() if each.informer.resource == resource), None)

    def _follow(self, kind: type[Workload]) -> Informer[Any]:
        followed = self._followed.get(kind)
        if followed is None:
            self._asked_at_seconds[kind] = asyncio.get_running_loop().time()
            informer: Informer[Any] = Informer(
                self._client,
                _RESOURCES[kind],
                msgspec.json.Decoder(kind).decode,
                rng=self._rng,
                namespace=self._namespace,
            )
            informer.subscribe(lambda old, new: self._on_change(kind, old, new))
            followed = OnDemand(self._informers, informer, synced=lambda: self._on_first_list(kind))
            self._followed[kind] = followed
        return followed.use()

    def _on_first_list(self, kind: type[Workload]) -> None:
        """Wake everybody who refers to the kind, also those whose workload was not in the list."""
        for rollout in self._rollouts.all():
            reference = rollout.spec.workload_ref
            if reference is not None and by_workload(rollout) and workload_type(reference) is kind:
                self._wake(key_of(rollout), False)

    def _on_change(self, kind: type[Workload], old: Workload | None, new: Workload | None) -> None:
        if old is not None and new is not None and not _is_other(old, new):
            return
        changed = new if new is not None else old
        assert changed is not None
        if not self._followed[kind].informer.has_synced:
            return  # the first list wakes everybody once
        key = workload_index_key(kind, changed.metadata.namespace, changed.metadata.name)
        for rollout in self._rollouts.find("workload", key):
            self._wake(key_of(rollout), True)


def _is_other(old: Workload, new: Workload) -> bool:
    """Tell whether a Rollout may have to act: on another spec, or on a mark that a person has taken away."""
    before, after = old.metadata, new.metadata
    return before.generation != after.generation or (
        before.annotations.get(REPLACED_BY_ANNOTATION) != after.annotations.get(REPLACED_BY_ANNOTATION)
    )
