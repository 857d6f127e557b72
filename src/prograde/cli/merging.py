"""What an object would look like if a manifest were applied: asked of the API server, which then stores nothing.

The server merges, fills in defaults, validates and admits as it would for real (``dryRun=All``). How the manifest is
merged is how the object has been applied until now, so that fields that have left the manifest leave the object:

    not there yet                            create
    has kubectl's last-applied annotation    a patch of the three-way difference, as ``kubectl apply`` makes it
    anything else                            server-side apply, in the name of the manager that applied it last

Who may read but not write gets a merge made here: without defaults, validation and admission, and it says so.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from prograde.api.jsonvalues import json_equal, merge_patch_between
from prograde.api.meta import Time
from prograde.api.scalars import format_time
from prograde.kube.client import APPLY_PATCH, Client
from prograde.kube.errors import Conflict, Forbidden, NotFound
from prograde.kube.patches import merge_patch
from prograde.kube.resources import Resource

__all__ = ["Merged", "merge_manifest", "three_way_patch"]

Json = dict[str, Any]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

MANAGER: Final = "kubectl"
"""The manager for objects that nobody has applied on the server's side so far."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """An object before and after applying a manifest."""

    live: Json | None
    """None when it does not exist."""
    result: Json
    is_from_server: bool = True
    """False: merged here, because the server does not let us ask."""
    conflict: str = ""
    """Set: others manage fields of the manifest, so it can only be applied by force; `result` is what comes then."""


async def merge_manifest(client: Client, resource: Resource, namespace: str, manifest: Json, now: datetime) -> Merged:
    """Return what applying `manifest` would make of the object that it names. Nothing is written.

    Raises:
        Invalid, BadRequest: the server would refuse the manifest.
        ApiError: the object may not be read.
    """
    name = manifest["metadata"]["name"]
    where = namespace if resource.namespaced else ""
    if resource.namespaced:
        manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    try:
        live = (await client.get(resource, where, name)).to(dict[str, Any])
    except NotFound:
        live = None
    try:
        try:
            return Merged(live=live, result=await _asked(client, resource, where, name, manifest, live))
        except Conflict as err:
            result = await _asked(client, resource, where, name, manifest, live, force=True)
            return Merged(live=live, result=result, conflict=err.message)
    except Forbidden:
        return Merged(live=live, result=_merged_here(manifest, live, now), is_from_server=False)


async def _asked(
    client: Client,
    resource: Resource,
    namespace: str,
    name: str,
    manifest: Json,
    live: Json | None,
    *,
    force: bool = False,
) -> Json:
    if live is None:
        answer = await client.create(resource, namespace, manifest, name=name, dry_run=True, field_manager=MANAGER)
    elif (last := _last_applied(live)) is not None:
        patch = three_way_patch(last, manifest, live)
        answer = await client.patch(resource, namespace, name, patch, dry_run=True, field_manager=MANAGER)
    else:
        answer = await client.patch(
            resource,
            namespace,
            name,
            manifest,
            content_type=APPLY_PATCH,
            dry_run=True,
            field_manager=_last_manager(live),
            force=force,
        )
    return answer.to(dict[str, Any])


def three_way_patch(last: Json, manifest: Json, live: Json) -> Json:
    """Return the merge patch that `kubectl apply` sends: what the manifest sets, and null for what has left it."""
    # kubectl always sends annotations, the last-applied one among them, so that those of others stay.
    if metadata := manifest.get("metadata"):
        manifest = {**manifest, "metadata": {**metadata, "annotations": metadata.get("annotations") or {}}}
    additions = merge_patch_between(live, manifest)
    # What the live object has beyond the manifest is not to be deleted for that alone.
    kept: Json = _without_nulls(additions)
    deletions = _left(last, manifest, live)
    return merge_objects(kept, deletions)


def _left(last: Any, manifest: Any, live: Any) -> Json:
    """Return nulls for the fields of `last` that are not in the manifest and still in the live object."""
    found: Json = {}
    for key, value in last.items():
        if key not in live:
            continue
        if key not in manifest:
            found[key] = None
        elif isinstance(value, dict) and isinstance(manifest[key], dict) and isinstance(live[key], dict):
            inner = _left(value, manifest[key], live[key])
            if inner:
                found[key] = inner
    return found


def _without_nulls(patch: Json) -> Json:
    kept: Json = {}
    for key, value in patch.items():
        if isinstance(value, dict):
            inner = _without_nulls(value)
            if inner or not value:
                kept[key] = inner
        elif value is not None:
            kept[key] = value
    return kept


def merge_objects(left: Json, right: Json) -> Json:
    """Return both patches as one; they never give one field two values."""
    merged = dict(left)
    for key, value in right.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_objects(merged[key], value) if both else value
    return merged


def _last_applied(live: Json) -> Json | None:
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return None  # kubectl starts anew then, and so do we


class _Entry(msgspec.Struct, frozen=True):
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: Time | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: tuple[_Entry, ...] = ()


def _last_manager(live: Json) -> str:
    """Return who applied the object last on the server's side: only that manager's fields can leave it."""
    entries = msgspec.convert(live["metadata"], _Metadata, strict=False).managed_fields
    applied = [
        (entry.time, entry.manager)
        for entry in entries
        if entry.operation == "Apply" and not entry.subresource and entry.time is not None
    ]
    return max(applied)[1] if applied else MANAGER


def _merged_here(manifest: Json, live: Json | None, now: datetime) -> Json:
    if live is None:
        stored = {"uid": "planned", "resourceVersion": "1", "generation": 1, "creationTimestamp": format_time(now)}
        return {**manifest, "metadata": {**manifest["metadata"], **stored}}
    patch = three_way_patch(_last_applied(live) or {}, manifest, live)
    result: Json = merge_patch(live, patch)
    if not json_equal(live.get("spec"), result.get("spec")):
        generation = (live["metadata"].get("generation") or 0) + 1
        result = {**result, "metadata": {**result["metadata"], "generation": generation}}
    return result
