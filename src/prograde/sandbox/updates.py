"""What an update makes of an object: pure steps between the stored object and the one that a request asks for.

A request never replaces a whole object. What the server alone sets stays as it is; each endpoint changes its own part;
and whether anything that counts has changed decides about generations, revisions and events.
"""

from typing import Any, Literal, TypeAlias

from prograde.api.jsonvalues import json_equal
from prograde.kube import patches
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry

__all__ = [
    "SYSTEM_FIELDS",
    "PatchType",
    "check_preconditions",
    "combined",
    "counts_generations",
    "is_finished",
    "is_new_generation",
    "is_same",
    "keep_system_fields",
    "not_settable",
    "patched",
    "without_spec",
]

PatchType: TypeAlias = Literal["json", "merge", "strategic", "apply"]

SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
"""Set by the server only; what a client sends is replaced silently."""


def patched(old: Object, patch_type: PatchType, patch: Any) -> Object:
    """Return `old` with a JSON, merge or strategic patch applied; only the top level is private.

    Raises:
        StatusError: 400 for a malformed patch, 422 for one that does not fit the object.
    """
    try:
        match patch_type:
            case "json":
                result = patches.json_patch(old, patch)
            case "merge":
                result = patches.merge_patch(old, patch)
            case _:
                result = patches.strategic_merge_patch(old, patch)
    except patches.PatchError as err:
        if err.kind == "malformed":
            raise StatusError.bad_request(f"error decoding patch: {err}") from err
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", message) from err
    if not isinstance(result, dict):
        raise StatusError.bad_request("error decoding patch: the result is not an object")
    return dict(result)


def is_finished(obj: Object) -> bool:
    """Return whether a terminating object has nothing left to wait for: no finalizer and no grace period."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds", 0) > 0:
        return False
    return not (obj["kind"] == "Namespace" and obj["apiVersion"] == "v1" and obj.get("spec", {}).get("finalizers"))


def counts_generations(kind: Kind) -> bool:
    return kind.is_custom or kind.has_generation


def is_new_generation(kind: Kind, old: Object, obj: Object) -> bool:
    """Return whether a write changed what the user wants, as opposed to what the system observed."""
    if kind.is_custom:
        ignored = {"metadata", "status"} if kind.has_status else {"metadata"}
        names = (set(old) | set(obj)) - ignored
        return not all(json_equal(old.get(name), obj.get(name)) for name in names)
    # What a PodTemplate wants is not in a spec.
    wanted = "template" if "template" in obj else "spec"
    return kind.has_generation and not json_equal(old.get(wanted), obj.get(wanted))


def is_same(old: Object, obj: Object) -> bool:
    """Return whether a write changes nothing; the times at which fields were managed do not count."""
    if old.keys() != obj.keys():
        return False
    if any(old[name] != obj[name] for name in old if name != "metadata"):
        return False
    before, after = _without_bookkeeping(old["metadata"]), _without_bookkeeping(obj["metadata"])
    if before != after:
        return False
    return json_equal({**old, "metadata": before}, {**obj, "metadata": after})


def _without_bookkeeping(metadata: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in metadata.items() if name != "resourceVersion"}
    fields = rest.get("managedFields")
    if fields:
        rest["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in fields]
    return rest


def without_spec(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name != "spec"}


def combined(kind: Kind, old: Object, obj: Object, subresource: str) -> Object:
    """Return the request's part of `obj` on top of what it must leave alone."""
    if subresource == "status":
        metadata = dict(old["metadata"])
        if "managedFields" in obj["metadata"]:
            metadata["managedFields"] = obj["metadata"]["managedFields"]
        combined = {**old, "metadata": metadata}
        combined.pop("status", None)
        if obj.get("status") is not None:
            combined["status"] = obj["status"]
        return combined
    if subresource == "finalize":
        finalizers = (obj.get("spec") or {}).get("finalizers")
        spec = {key: value for key, value in (old.get("spec") or {}).items() if key != "finalizers"}
        return {
            **old,
            "metadata": dict(old["metadata"]),
            "spec": {**spec, **({"finalizers": finalizers} if finalizers else {})},
        }
    if kind.has_status:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = old["status"]
    return obj


def not_settable(kind: Kind, obj: Object, subresource: str) -> tuple[str, ...]:
    """Return the members of `obj` that a write through this endpoint leaves alone, so that nobody owns them by it."""
    if subresource == "status":
        return tuple(name for name in obj if name != "status")
    return ("status",) if kind.has_status else ()


def keep_system_fields(old: dict[str, Any], metadata: dict[str, Any]) -> None:
    for name in SYSTEM_FIELDS:
        if name in old:
            metadata[name] = old[name]
        else:
            metadata.pop(name, None)
    metadata["resourceVersion"] = old["resourceVersion"]
    if "generateName" in old:
        metadata.setdefault("generateName", old["generateName"])


def check_preconditions(kind: Kind, entry: Entry, sent: dict[str, Any]) -> None:
    """Compare resourceVersion and uid, where the request names them, with what is stored."""
    metadata = entry.obj["metadata"]
    uid = sent.get("uid")
    if uid and uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
        raise StatusError.conflict(kind.group, kind.plural, metadata["name"], why)
    version = sent.get("resourceVersion")
    if version and version != metadata["resourceVersion"]:
        raise StatusError.conflict(kind.group, kind.plural, metadata["name"])
