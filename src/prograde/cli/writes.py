"""A plan as the writes that it makes: what is created, changed and deleted, field by field, with the old values.

    Plan + the objects as they are ──▶ Write, Write, … ──▶ the objects as they would be

`writes_of` turns actions into writes in the order in which the controller makes them, the status last. `carried_out`
returns the scene that they would leave behind, so that the pass after it can be planned as well. What other
controllers make of the writes is not in it: no pod starts, none ends, nothing is measured.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from prograde.api import codec
from prograde.api.jsonvalues import json_equal
from prograde.api.names import ANALYSIS_RUN, EXPERIMENT, ROLLOUT
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.scalars import format_time
from prograde.cli.relatives import Relatives, Scene
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, PODS, REPLICA_SETS, SERVICES
from prograde.core.objects import ObjectRef, Objects
from prograde.core.plan import (
    Action,
    AdoptReplicaSet,
    CreateAnalysisRun,
    CreateExperiment,
    CreateObject,
    CreateReplicaSet,
    CreateService,
    DeleteAnalysisRun,
    DeleteExperiment,
    DeleteReplicaSet,
    DeleteService,
    EvictPod,
    PatchObject,
    PatchPodMetadata,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    ReleaseReplicaSet,
    ScaleWorkload,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.status import status_patch
from prograde.kube.patches import merge_patch, strategic_merge_patch
from prograde.kube.resources import Resource

__all__ = ["Change", "Write", "carried_out", "changes_between", "writes_of"]

Json = dict[str, Any]
Verb = Literal["create", "patch", "delete", "evict"]

_LISTS: Mapping[str, Resource] = {
    resource.kind: resource for resource in (REPLICA_SETS, SERVICES, PODS, ANALYSIS_RUNS, EXPERIMENTS)
}

_MARKS = ("name", "type", "reason")
"""What entries of lists are known by: containers, conditions, pauses."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field that gets another value; None stands for absence."""

    field: str
    old: Any = None
    new: Any = None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One request that would change the cluster."""

    verb: Verb
    kind: str
    name: str
    subresource: str = ""
    body: Json | None = None
    """The manifest of a create, the patch of a patch."""
    changes: tuple[Change, ...] = ()
    ref: ObjectRef | None = None
    """Set for objects that routers ask for, and for a referenced workload."""
    is_strategic: bool = False
    """The patch is a strategic merge patch; else it is a JSON merge patch."""

    @property
    def object(self) -> str:
        return f"{self.kind} {self.name}"


# ---- From plans to writes ----------------------------------------------------------------------------------------


def writes_of(plan: Plan[RolloutStatus], scene: Scene) -> tuple[Write, ...]:
    """Return the plan's writes in the order in which they are made; `scene` is what the plan was made from."""
    writes = [_write(action, scene) for action in plan.actions]
    if plan.status is not None:
        rollout = codec.decode(scene.rollout, Rollout)
        patch = status_patch(rollout.status, plan.status)
        if patch:
            writes.append(_patched(ROLLOUT, rollout.metadata.name, patch, scene, subresource="status"))
    return tuple(writes)


def _write(action: Action, scene: Scene) -> Write:
    match action:
        case PatchReplicaSet():
            return _patched("ReplicaSet", action.name, action.merge_patch(), scene)
        case AdoptReplicaSet() | ReleaseReplicaSet():
            patch = action.strategic_merge_patch()
            return _patched("ReplicaSet", action.name, patch, scene, is_strategic=True)
        case PatchService():
            return _patched("Service", action.name, action.merge_patch(), scene)
        case PatchRollout():
            return _patched(ROLLOUT, action.name, action.merge_patch(), scene)
        case PatchPodMetadata():
            return _patched("Pod", action.name, action.merge_patch(), scene)
        case PatchObject():
            return _patched(action.ref.kind.kind, action.ref.name, action.patch, scene, ref=action.ref)
        case ScaleWorkload():
            return _patched(action.ref.kind.kind, action.ref.name, _scaling(action), scene, ref=action.ref)
        case TerminateAnalysisRun():
            return _patched(ANALYSIS_RUN, action.name, {"spec": {"terminate": True}}, scene)
        case TerminateExperiment():
            return _patched(EXPERIMENT, action.name, {"spec": {"terminate": True}}, scene)
        case CreateReplicaSet():
            return _created("ReplicaSet", action.name, action.manifest)
        case CreateService():
            return _created("Service", action.name, action.manifest)
        case CreateAnalysisRun():
            return _created(ANALYSIS_RUN, action.name, action.manifest)
        case CreateExperiment():
            return _created(EXPERIMENT, action.name, action.manifest)
        case CreateObject():
            return _created(action.ref.kind.kind, action.ref.name, action.manifest, action.ref)
        case DeleteReplicaSet():
            return Write(verb="delete", kind="ReplicaSet", name=action.name)
        case DeleteService():
            return Write(verb="delete", kind="Service", name=action.name)
        case DeleteAnalysisRun():
            return Write(verb="delete", kind=ANALYSIS_RUN, name=action.name)
        case DeleteExperiment():
            return Write(verb="delete", kind=EXPERIMENT, name=action.name)
        case EvictPod():
            return Write(verb="evict", kind="Pod", name=action.name, subresource="eviction")
        case _:
            raise AssertionError(f"no words for {action!r}")


def _scaling(action: ScaleWorkload) -> Json:
    patch: Json = {"spec": {"replicas": action.replicas}}
    if action.annotations:
        patch["metadata"] = {"annotations": dict(action.annotations)}
    return patch


def _created(kind: str, name: str, manifest: Json, ref: ObjectRef | None = None) -> Write:
    shown = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
    return Write(verb="create", kind=kind, name=name, body=manifest, changes=tuple(changes_between({}, shown)), ref=ref)


def _patched(
    kind: str,
    name: str,
    patch: Json,
    scene: Scene,
    *,
    is_strategic: bool = False,
    subresource: str = "",
    ref: ObjectRef | None = None,
) -> Write:
    old = _find(scene, kind, name, ref) or {}
    new = (strategic_merge_patch if is_strategic else merge_patch)(old, patch)
    return Write(
        verb="patch",
        kind=kind,
        name=name,
        subresource=subresource,
        body=patch,
        changes=tuple(changes_between(old, new)),
        ref=ref,
        is_strategic=is_strategic,
    )


# ---- Differences -------------------------------------------------------------------------------------------------


def changes_between(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """Yield the fields that differ, each as deep as it goes.

    Entries of lists are matched by name, type or reason if those are unique, else by position.
    """
    if json_equal(old, new):
        return
    left, right = _members(old, new)
    if left is None or right is None:
        if isinstance(new, dict | list) and new and old is None:
            yield from changes_between(type(new)(), new, path)
        elif isinstance(old, dict | list) and old and new is None:
            yield from changes_between(old, type(old)(), path)
        else:
            yield Change(field=path, old=old, new=new)
        return
    for key in [*left, *(key for key in right if key not in left)]:
        yield from changes_between(left.get(key), right.get(key), _joined(path, key, is_list=isinstance(new, list)))


def _members(old: Any, new: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return both values as mappings of comparable members; None for one that has none."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old, new
    if isinstance(old, list) and isinstance(new, list):
        for mark in _MARKS:
            if all(isinstance(entry, dict) and isinstance(entry.get(mark), str) for entry in (*old, *new)):
                by_mark = {entry[mark]: entry for entry in old}, {entry[mark]: entry for entry in new}
                if len(by_mark[0]) == len(old) and len(by_mark[1]) == len(new):
                    return by_mark
        return dict(_numbered(old)), dict(_numbered(new))
    return None, None


def _numbered(entries: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((str(position), entry) for position, entry in enumerate(entries))


def _joined(path: str, key: str, *, is_list: bool) -> str:
    if is_list or any(mark in key for mark in "./[]"):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


# ---- The scene after the writes ----------------------------------------------------------------------------------


def carried_out(scene: Scene, writes: tuple[Write, ...], now: datetime) -> Scene:
    """Return what the writes leave behind, as far as the API server alone makes it so."""
    for number, write in enumerate(writes):
        scene = _after(scene, write, f"planned-{write.kind}-{write.name}-{number}", now)
    return scene


def _after(scene: Scene, write: Write, uid: str, now: datetime) -> Scene:
    if write.verb == "evict":
        return scene  # that a pod goes, and when, is not ours
    if write.verb == "delete":
        return _with(scene, write, None)
    assert write.body is not None
    if write.verb == "create":
        given: Json = write.body.get("metadata") or {}
        stored = {"uid": uid, "resourceVersion": "1", "generation": 1, "creationTimestamp": format_time(now)}
        return _with(
            scene, write, {**write.body, "metadata": {"namespace": scene.relatives.namespace, **given, **stored}}
        )
    old = _find(scene, write.kind, write.name, write.ref)
    if old is None:
        return scene
    new = (strategic_merge_patch if write.is_strategic else merge_patch)(old, write.body)
    if not write.subresource and not json_equal(old.get("spec"), new.get("spec")):
        generation = (old["metadata"].get("generation") or 0) + 1
        new = {**new, "metadata": {**new["metadata"], "generation": generation}}
    return _with(scene, write, new)


def _find(scene: Scene, kind: str, name: str, ref: ObjectRef | None) -> Json | None:
    """Return an object of the scene as JSON."""
    if kind == ROLLOUT:
        return _decoded(scene.rollout)
    if ref is not None and ref in scene.objects.found:
        return scene.objects.found[ref]
    if (workload := _workload(scene, kind, name)) is not None:
        return workload
    for item in scene.relatives.lists.get(_LISTS[kind], ()) if kind in _LISTS else ():
        obj = _decoded(item)
        if obj["metadata"]["name"] == name:
            return obj
    return None


def _workload(scene: Scene, kind: str, name: str) -> Json | None:
    """Return the referenced workload if it is the object asked for."""
    if scene.workload is None or scene.workload_resource is None or scene.workload_resource.kind != kind:
        return None
    workload = _decoded(scene.workload)
    return workload if workload["metadata"]["name"] == name else None


def _with(scene: Scene, write: Write, obj: Json | None) -> Scene:
    """Return the scene with another version of the object that a write is about; None removes it."""
    if write.kind == ROLLOUT:
        assert obj is not None, "no plan deletes its Rollout"
        return msgspec.structs.replace(scene, rollout=msgspec.json.encode(obj))
    if _workload(scene, write.kind, write.name) is not None:
        return msgspec.structs.replace(scene, workload=msgspec.json.encode(obj))
    if write.kind in _LISTS:
        return msgspec.structs.replace(scene, relatives=replaced(scene.relatives, _LISTS[write.kind], write.name, obj))
    assert write.ref is not None
    found = {ref: each for ref, each in scene.objects.found.items() if ref != write.ref}
    if obj is not None:
        found[write.ref] = obj
    return msgspec.structs.replace(scene, objects=Objects(found=found, unserved=scene.objects.unserved))


def replaced(relatives: Relatives, resource: Resource, name: str, obj: Json | None) -> Relatives:
    """Return the lists with another version of one object, or a new one; None removes it."""
    items = [item for item in relatives.lists.get(resource, ()) if _decoded(item)["metadata"]["name"] != name]
    if obj is not None:
        items.append(msgspec.json.encode(obj))
    return msgspec.structs.replace(relatives, lists={**relatives.lists, resource: tuple(items)})


def _decoded(body: bytes) -> Json:
    return msgspec.json.decode(body, type=dict[str, Any])
