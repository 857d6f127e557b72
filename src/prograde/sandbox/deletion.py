"""Deleting: at once, with grace, or when others have let go.

An object goes at once unless something holds it. A pod that runs is given its grace period and goes when the kubelet
deletes it again with grace 0. Finalizers, among them those by which the garbage collector orphans or deletes dependents
first, turn a delete into a mark (`deletionTimestamp`); the write that removes the last of them removes the object.
A namespace is held by what is in it, a CustomResourceDefinition by its instances.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import msgspec

from prograde.sandbox import crd
from prograde.sandbox.client import Resource
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.forms import object_as, present
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry
from prograde.sandbox.updates import is_finished
from prograde.sandbox.verbs import Verbs, Written, json_time

__all__ = ["DeleteOptions", "Propagation", "delete", "delete_status", "parse_delete_options"]

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"

_ORPHANED_BY_DEFAULT = frozenset({("batch", "jobs"), ("", "replicationcontrollers")})
"""Kinds whose dependents survive a delete that says nothing about them, for the sake of clients older than cascades."""

_PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})

NAMESPACES: Resource = ("", "namespaces")
PODS: Resource = ("", "pods")
CRDS: Resource = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete; None means that the request does not say."""

    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    propagation: Propagation | None = None
    orphans: bool | None = None
    is_dry_run: bool = False


class _Preconditions(msgspec.Struct):
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815


class _Body(msgspec.Struct):
    gracePeriodSeconds: int | None = None  # noqa: N815
    preconditions: _Preconditions | None = None
    orphanDependents: bool | None = None  # noqa: N815
    propagationPolicy: str | None = None  # noqa: N815
    dryRun: list[str] | None = None  # noqa: N815


def parse_delete_options(body: Object | None, query: dict[str, str]) -> DeleteOptions:
    """Read DeleteOptions from a body or, without one, from the query.

    Raises:
        StatusError: 400 for wrong types, 422 for values that mean nothing or contradict each other.
    """
    if body is None:
        body = {name: query[name] for name in ("propagationPolicy", "dryRun") if name in query}
        for name in ("gracePeriodSeconds", "orphanDependents"):
            if name in query:
                body[name] = query[name]
        if "dryRun" in body:
            body["dryRun"] = [body["dryRun"]]
    try:
        options = msgspec.convert(body, _Body, strict=False)
    except msgspec.ValidationError as err:
        raise StatusError.bad_request(f"DeleteOptions cannot be read: {err}") from err
    policy = options.propagationPolicy
    causes = []
    if policy is not None and policy not in ("Background", "Foreground", "Orphan"):
        supported = 'supported values: "Background", "Foreground", "Orphan"'
        text = f'Unsupported value: "{policy}": {supported}'
        causes.append(Cause("FieldValueNotSupported", text, "propagationPolicy"))
    if policy is not None and options.orphanDependents is not None:
        text = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        causes.append(Cause("FieldValueInvalid", text, "propagationPolicy"))
    if any(value != "All" for value in options.dryRun or ()):
        causes.append(dry_run_cause(options.dryRun or []))
    if causes:
        raise StatusError.invalid("meta.k8s.io", "DeleteOptions", "", causes)
    preconditions = options.preconditions or _Preconditions()
    return DeleteOptions(
        uid=preconditions.uid or "",
        resource_version=preconditions.resourceVersion or "",
        grace_seconds=options.gracePeriodSeconds,
        propagation=policy,  # type: ignore[arg-type]  # checked above
        orphans=options.orphanDependents,
        is_dry_run=bool(options.dryRun),
    )


def dry_run_cause(values: list[str]) -> Cause:
    """Return what is wrong with a ``dryRun`` that is not ``All``."""
    listed = msgspec.json.encode(values).decode()
    return Cause("FieldValueNotSupported", f'Unsupported value: {listed}: supported values: "All"', "dryRun")


def delete(verbs: Verbs, kind: Kind, entry: Entry, options: DeleteOptions) -> Written:
    """Delete an object or mark it; the result has an entry while the object is still there.

    Raises:
        StatusError: 409 for a failed precondition, 403 for a namespace that no cluster can be without.
    """
    metadata = entry.obj["metadata"]
    _check_preconditions(kind, entry, options)
    if kind.storage_key == NAMESPACES and metadata["name"] in _PROTECTED_NAMESPACES:
        raise StatusError.forbidden("", "namespaces", metadata["name"], "this namespace may not be deleted")
    marked = _marked(verbs, kind, entry, options)
    if is_finished(marked):
        if options.is_dry_run:
            return Written(object_as(entry, kind))
        is_plain = kind.storage_key != PODS and "deletionTimestamp" not in metadata
        last_state = {**entry.obj, "metadata": dict(metadata)} if is_plain else marked
        return Written(present(verbs.remove(kind, entry, last_state).obj, kind))
    if options.is_dry_run:
        return Written(present(marked, kind), entry)
    if marked == entry.obj:
        return Written(object_as(entry, kind), entry)
    new = verbs.store.put(kind.storage_key, marked)
    verbs.after(kind, new, entry)
    return Written(object_as(new, kind), new)


def delete_status(kind: Kind, obj: Object) -> Object:
    """Return the Status that says that an object is gone."""
    metadata = obj["metadata"]
    details = {"name": metadata["name"], "group": kind.group, "kind": kind.plural, "uid": metadata["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _check_preconditions(kind: Kind, entry: Entry, options: DeleteOptions) -> None:
    metadata = entry.obj["metadata"]
    if options.uid and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise StatusError.conflict(kind.group, kind.plural, metadata["name"], why)
    if options.resource_version and options.resource_version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise StatusError.conflict(kind.group, kind.plural, metadata["name"], why)


def _marked(verbs: Verbs, kind: Kind, entry: Entry, options: DeleteOptions) -> Object:
    """Return the object as this delete leaves it: a private stored form, marked with what it waits for."""
    old = entry.obj
    metadata: dict[str, Any] = dict(old["metadata"])
    marked = {**old, "metadata": metadata}
    finalizers = _finalizers(kind, metadata.get("finalizers", []), options)
    is_new = "deletionTimestamp" not in metadata
    if kind.storage_key == CRDS and is_new and crd.is_established(old) and crd.CLEANUP_FINALIZER not in finalizers:
        finalizers = [*finalizers, crd.CLEANUP_FINALIZER]
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    now = verbs.now()
    grace = _grace_seconds(kind, old, options)
    if is_new:
        metadata["deletionTimestamp"] = json_time(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = json_time(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
    if kind.storage_key == NAMESPACES:
        marked["status"] = {**old.get("status", {}), "phase": "Terminating"}
    if kind.storage_key == CRDS and is_new:
        marked["status"] = crd.terminating_status(old, now)
    return marked


def _finalizers(kind: Kind, present_ones: list[str], options: DeleteOptions) -> list[str]:
    """Return the finalizers that the chosen propagation leaves."""
    policy = options.propagation
    if policy is None and options.orphans is not None:
        policy = "Orphan" if options.orphans else "Background"
    if policy is None and (ORPHAN_FINALIZER in present_ones or FOREGROUND_FINALIZER in present_ones):
        return present_ones
    if policy is None and kind.storage_key in _ORPHANED_BY_DEFAULT:
        policy = "Orphan"
    kept = [name for name in present_ones if name not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    match policy:
        case "Orphan":
            return [*kept, ORPHAN_FINALIZER]
        case "Foreground":
            return [*kept, FOREGROUND_FINALIZER]
        case _:
            return kept


def _grace_seconds(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Return how long the object is given: only running pods are given anything."""
    if kind.storage_key != PODS:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.grace_seconds
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds", 30)
    if "deletionTimestamp" in obj["metadata"] and options.grace_seconds is None:
        return int(obj["metadata"].get("deletionGracePeriodSeconds", 0))
    return 1 if grace < 0 else int(grace)
