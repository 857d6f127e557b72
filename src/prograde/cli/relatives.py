"""A Rollout and its relatives read once from the API server: what the controller keeps in caches, in a few requests.

    Rollout ──▶ lists of its namespace (ReplicaSets, Services, pods, runs, templates) ──┐
       │                                                                               ├──▶ RolloutSnapshot
       └──▶ the objects that its routers ask for, its workload ────────────────────────┘

The lists are read once for all Rollouts of a namespace. Whatever a decision needs must be readable: a guess about an
object that may not be read would be a wrong answer, so that is an error. What only makes an answer better (pods,
disruption budgets, autoscalers, the controller's lease) is left out when it may not be read.

Every object is kept as bytes as well, because a diff needs the fields that the types leave out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeVar

import msgspec

from prograde.api import codec, names
from prograde.api.analysis import AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.meta import LabelSelector, Object, Time, controller_of, is_controlled_by, key_of
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.selectors import format_selector, selector_matches
from prograde.api.workloadref import UnresolvedWorkload, Workload, workload_resource, workload_type
from prograde.api.workloads import Pod, ReplicaSet, Service
from prograde.controller.resources import (
    ANALYSIS_RUNS,
    ANALYSIS_TEMPLATES,
    CLUSTER_ANALYSIS_TEMPLATES,
    EXPERIMENTS,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    SERVICES,
    resource_of,
)
from prograde.core.objects import JsonObject, ObjectKind, ObjectRef, Objects
from prograde.core.plan import Plan
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.services import referenced_services
from prograde.core.rollout.snapshot import PluginAnswer, RolloutSnapshot
from prograde.kube.client import Client, Listing
from prograde.kube.errors import Forbidden, NotFound
from prograde.kube.resources import Resource
from prograde.traffic.registry import routers_of

__all__ = ["Relatives", "Scene", "decide", "last_change", "read_relatives", "read_scene"]

T = TypeVar("T", Rollout, ReplicaSet, Service, Pod, AnalysisRun, Experiment, AnalysisTemplate, ClusterAnalysisTemplate)

QUESTIONS_MAX: Final = 4
"""A plan asks for runs, and for plugins, at most twice each; more is a bug."""


class Relatives(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The lists of one namespace that decisions about its Rollouts read, by resource, in the server's words."""

    namespace: str
    lists: Mapping[Resource, tuple[bytes, ...]]

    def of(self, resource: Resource, kind: type[T]) -> list[T]:
        """Return the objects of a resource; none for one that could not be read.

        A field of the wrong type is left out: one broken object must not hide what is true of the others.
        """
        if resource not in self._decoded:
            self._decoded[resource] = [codec.decode(item, kind) for item in self.lists.get(resource, ())]
        return self._decoded[resource]

    @cached_property
    def changed_at(self) -> dict[str, datetime]:
        """When each object was last written to, by UID, as far as the server tells."""
        found = (msgspec.json.decode(item, type=_Dated).metadata for items in self.lists.values() for item in items)
        return {each.uid: at for each in found if (at := _written_at(each)) is not None}

    @cached_property
    def _decoded(self) -> dict[Resource, list[Any]]:
        """What has been decoded so far: the Rollouts of a namespace look at the same lists."""
        return {}


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A Rollout with everything that decisions about it look at, each object as the server sent it."""

    rollout: bytes
    relatives: Relatives
    objects: Objects = Objects()
    """What its routers ask for."""
    workload: bytes | None = None
    """What its workloadRef names; None when it does not exist, or none is named."""
    workload_resource: Resource | None = None

    def snapshot(self) -> RolloutSnapshot:
        """Return the typed view of all of it, as a decision takes it.

        The pods are those that the selector selects, None when they may not be read.
        """
        rollout, relatives = codec.decode(self.rollout, Rollout), self.relatives
        uid, reference = rollout.metadata.uid, rollout.spec.workload_ref
        workload: Workload | None = None
        if reference is not None and self.workload is not None:
            workload = codec.decode(self.workload, workload_type(reference))
        return RolloutSnapshot(
            rollout=rollout,
            replica_sets=tuple(
                each
                for each in relatives.of(REPLICA_SETS, ReplicaSet)
                if names.POD_TEMPLATE_HASH_LABEL in each.metadata.labels
                and (controller_of(each) is None or is_controlled_by(each, uid))
            ),
            services=_by_name(relatives.of(SERVICES, Service)),
            pods=_pods(rollout, workload, relatives),
            analysis_runs=_controlled(relatives.of(ANALYSIS_RUNS, AnalysisRun), uid),
            experiments=_controlled(relatives.of(EXPERIMENTS, Experiment), uid),
            analysis_templates=_by_name(relatives.of(ANALYSIS_TEMPLATES, AnalysisTemplate)),
            cluster_analysis_templates=_by_name(relatives.of(CLUSTER_ANALYSIS_TEMPLATES, ClusterAnalysisTemplate)),
            objects=self.objects,
            sharing=_sharing(rollout, relatives.of(ROLLOUTS, Rollout), self.objects),
            workload=workload,
        )


async def read_relatives(client: Client, namespace: str) -> Relatives:
    """Read the lists that are common to the Rollouts of a namespace.

    Raises:
        ApiError: one that decisions need may not be read.
    """
    needed = (ROLLOUTS, REPLICA_SETS, SERVICES, ANALYSIS_RUNS, EXPERIMENTS)
    # A namespace without permission for templates or pods is common, and few Rollouts need them.
    helpful = (ANALYSIS_TEMPLATES, CLUSTER_ANALYSIS_TEMPLATES, PODS)
    answers = await asyncio.gather(
        *(client.list(resource, namespace) for resource in needed),
        *(_listed(client, resource, namespace if resource.namespaced else "") for resource in helpful),
    )
    found = {resource: each for resource, each in zip((*needed, *helpful), answers, strict=True) if each is not None}
    return Relatives(namespace=namespace, lists={key: tuple(listing.items) for key, listing in found.items()})


async def _listed(client: Client, resource: Resource, namespace: str) -> Listing | None:
    """Return the list; None when it may not be read or the server does not know the kind."""
    try:
        return await client.list(resource, namespace)
    except (Forbidden, NotFound):
        return None


async def read_scene(client: Client, rollout: bytes, relatives: Relatives) -> Scene:
    """Read what the routers and the workload reference of a Rollout name.

    Raises:
        ApiError: an object that decides may not be read.
    """
    typed = codec.decode(rollout, Rollout)
    resource = _workload_resource(typed)
    objects, workload = await asyncio.gather(_objects(client, typed), _workload(client, typed, resource))
    return Scene(rollout=rollout, relatives=relatives, objects=objects, workload=workload, workload_resource=resource)


def decide(snapshot: RolloutSnapshot, now: datetime) -> Plan[RolloutStatus]:
    """Return the controller's own plan. What a plan asks for on its way is in the snapshot, or nobody can give it."""
    for _ in range(QUESTIONS_MAX):
        plan = plan_rollout(snapshot, now, routers_of)
        if plan.wants_runs:
            # The lists came from the server itself: what is not in them does not exist.
            snapshot = msgspec.structs.replace(snapshot, looked_up=snapshot.looked_up | frozenset(plan.wants_runs))
        elif plan.wants_plugin_calls:
            answers = tuple(PluginAnswer.not_called(call) for call in plan.wants_plugin_calls)
            snapshot = msgspec.structs.replace(snapshot, plugin_answers=snapshot.plugin_answers + answers)
        else:
            return plan
    raise AssertionError(f"Rollout {key_of(snapshot.rollout)}: still no plan after {QUESTIONS_MAX} questions")


def _controlled(found: Iterable[T], uid: str) -> tuple[T, ...]:
    return tuple(each for each in found if is_controlled_by(each, uid))


def _by_name(found: Iterable[T]) -> dict[str, T]:
    return {each.metadata.name: each for each in found}


def _pods(rollout: Rollout, workload: Workload | None, relatives: Relatives) -> tuple[Pod, ...] | None:
    """Return the pods that the selector selects, the workload's where the Rollout has none of its own."""
    if PODS not in relatives.lists:
        return None
    selector = rollout.spec.selector
    if selector is None and workload is not None:
        selector = getattr(getattr(workload, "spec", None), "selector", None)
    if not isinstance(selector, LabelSelector):
        return ()
    return tuple(each for each in relatives.of(PODS, Pod) if selector_matches(selector, each.metadata.labels))


# ---- What the routers and the workload reference name ------------------------------------------------------------


async def _objects(client: Client, rollout: Rollout) -> Objects:
    """Read what the Rollout's routers ask for."""
    wanted = [router.wanted() for router in routers_of(rollout)]
    refs = sorted({ref for each in wanted for ref in each.refs})
    selections = list(dict.fromkeys(selection for each in wanted for selection in each.selections))
    kinds = sorted({ref.kind for ref in refs} | {selection.kind for selection in selections})
    served = dict(zip(kinds, await asyncio.gather(*(client.serves(_resource(kind)) for kind in kinds)), strict=True))
    objects = await asyncio.gather(*(_object(client, ref, served) for ref in refs))
    found = {ref: obj for ref, obj in zip(refs, objects, strict=True) if obj is not None}
    for selection in selections:
        if served[selection.kind]:
            text = format_selector(selection.selector)
            for obj in await _selected(client, selection.kind, selection.namespace, text):
                metadata: Any = obj["metadata"]
                found[ObjectRef(selection.kind, selection.namespace, metadata["name"])] = obj
    return Objects(found=found, unserved=frozenset(kind for kind, is_served in served.items() if not is_served))


def _sharing(rollout: Rollout, rollouts: Sequence[Rollout], objects: Objects) -> dict[ObjectRef, tuple[Rollout, ...]]:
    """Return which of the objects other Rollouts of the namespace route with, too, and these Rollouts."""
    found: dict[ObjectRef, tuple[Rollout, ...]] = {}
    others = [each for each in rollouts if each.metadata.name != rollout.metadata.name]
    for other in others if objects.found else ():
        wanted = [router.wanted() for router in routers_of(other)]
        selected = [ref for each in wanted for selection in each.selections for ref, _ in objects.select(selection)]
        for ref in {*selected, *(ref for each in wanted for ref in each.refs)} & objects.found.keys():
            found[ref] = (*found.get(ref, ()), other)
    return found


async def _object(client: Client, ref: ObjectRef, served: Mapping[ObjectKind, bool]) -> JsonObject | None:
    if not served[ref.kind]:
        return None
    try:
        return (await client.get(_resource(ref.kind), ref.namespace, ref.name)).to(dict[str, Any])
    except NotFound:
        return None


async def _selected(client: Client, kind: ObjectKind, namespace: str, selector: str) -> Sequence[JsonObject]:
    return (await client.list(_resource(kind), namespace, label_selector=selector)).to(dict[str, Any])


def _resource(kind: ObjectKind) -> Resource:
    return resource_of(kind, {})


def _workload_resource(rollout: Rollout) -> Resource | None:
    """Return where the referenced workload is found; None without a reference, or with one that cannot be followed."""
    reference = rollout.spec.workload_ref
    if reference is None:
        return None
    try:
        group, plural = workload_resource(reference)
    except UnresolvedWorkload:
        return None  # the plan says so
    version = reference.api_version.rpartition("/")[2]
    return Resource(group=group, version=version, plural=plural, kind=reference.kind)


async def _workload(client: Client, rollout: Rollout, resource: Resource | None) -> bytes | None:
    reference = rollout.spec.workload_ref
    if resource is None or reference is None:
        return None
    try:
        return (await client.get(resource, rollout.metadata.namespace, reference.name)).body
    except NotFound:
        return None


# ---- When anything last changed ----------------------------------------------------------------------------------


class _ManagedFields(msgspec.Struct, frozen=True):
    time: Time | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    uid: str = ""
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: int | None = None
    managed_fields: tuple[_ManagedFields, ...] = ()


class _Dated(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


def last_change(scene: Scene, snapshot: RolloutSnapshot) -> datetime | None:
    """Return when anything was last written to that decisions about the Rollout depend on.

    None if that is not known, because a server does not tell who wrote what of some object.
    """
    rollout = snapshot.rollout
    named = [snapshot.services[name] for name in referenced_services(rollout) if name in snapshot.services]
    relations: list[Iterable[Object]] = [
        snapshot.replica_sets,
        named,
        snapshot.analysis_runs,
        snapshot.experiments,
        snapshot.analysis_templates.values(),
        snapshot.cluster_analysis_templates.values(),
    ]
    if rollout.spec.restart_at is not None or rollout.spec.strategy.recreate is not None:
        # Otherwise the counts of the ReplicaSets are all that matters of pods, and pods change without end.
        relations.append(snapshot.pods or ())
    written = scene.relatives.changed_at
    times = [written.get(each.metadata.uid) for relation in relations for each in relation]
    times += [_written_at(msgspec.convert(each.get("metadata"), _Metadata)) for each in scene.objects.found.values()]
    times += [_metadata_written_at(body) for body in (scene.rollout, scene.workload) if body is not None]
    known = [each for each in times if each is not None]
    return max(known) if len(known) == len(times) else None


def _metadata_written_at(body: bytes) -> datetime | None:
    return _written_at(msgspec.json.decode(body, type=_Dated).metadata)


def _written_at(metadata: _Metadata) -> datetime | None:
    """Return when an object was last written to; None if the server does not keep book."""
    times = [each.time for each in metadata.managed_fields if each.time is not None]
    if not times:
        return None
    if metadata.deletion_timestamp is not None:
        # It says when the time of grace ends.
        times.append(metadata.deletion_timestamp - timedelta(seconds=metadata.deletion_grace_period_seconds or 0))
    return max(times)
