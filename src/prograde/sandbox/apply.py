"""Who owns which field: managedFields bookkeeping and server-side apply.

An ordinary write is tracked after the fact (`track_update`): the writer's entry gains what it changed, and everybody
loses what was changed by somebody else or removed. An apply (`server_side_apply`) owns what its configuration says:
it merges the configuration into the object, refuses to take a field from another owner unless forced, and removes what
it owned before, no longer says, and nobody else owns.

Both work on plain JSON values and a `Shape`, which says which lists have keys. Results may share parts with the
inputs. Fields of the metadata that only the server sets are never owned.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prograde.api.scalars import go_quote
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.fieldsets import (
    FieldSet,
    compare,
    difference,
    fields_of,
    intersection,
    is_field_set,
    item_step,
    kind_for,
    paths,
    union,
)
from prograde.sandbox.kinds import Object
from prograde.sandbox.shapes import UNTYPED, Shape

__all__ = ["UPDATE_ENTRIES_MAX", "server_side_apply", "track_update"]

UPDATE_ENTRIES_MAX = 10
"""Update entries beyond this are merged, oldest first, as the API server does: clients with ever new names exist."""

_ANCIENT = "ancient-changes"
_BEFORE_FIRST_APPLY = "before-first-apply"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_UNOWNED = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    }
)


# ------------------------------------------------------------------------------------------------- ordinary writes


def track_update(
    old: Object | None,
    new: Object,
    *,
    manager: str,
    operation: str = "Update",
    api_version: str,
    subresource: str,
    now: datetime,
    shape: Shape,
    ignored: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return the managedFields of `new` after `manager` turned `old` into it; `old` is None on create.

    A `new` that brings managedFields replaces the stored ones first, unless they are malformed; an empty list, or one
    empty entry, clears them.
    An object whose managedFields are empty stays untracked until somebody applies to it.

    Args:
        ignored: members of the object that this write cannot set, such as ``status``.
    """
    before = _entries(old)
    given = (new.get("metadata") or {}).get("managedFields")
    if given is not None:
        if not given or given == [{}]:
            return []
        if given != before and all(map(_is_sound, given)):  # what the store has was sound already
            before = [dict(entry) for entry in given]
    if old is not None and not before:
        return []
    changed, removed = compare(_ownable(old or {}, ignored), _ownable(new, ignored), shape)
    if not changed and not removed:
        return before
    key = (manager, operation, api_version, subresource)
    stamp = _stamp(now)
    entries: list[dict[str, Any]] = []
    own: FieldSet = {}
    for entry in before:
        fields: FieldSet = entry.get("fieldsV1") or {}
        if _key(entry) == key:
            own = fields
            continue
        kept = difference(difference(fields, changed), removed)
        if kept:
            entries.append(entry if kept is fields else {**entry, "fieldsV1": kept})
    gained = difference(union(own, changed), removed)
    if gained:
        entries.append(_entry(key, gained, stamp))
    return _capped(entries, stamp)


def _capped(entries: list[dict[str, Any]], stamp: str) -> list[dict[str, Any]]:
    """Return `entries` in their order, the oldest ones merged when there are too many of ordinary writes."""
    updates = sorted(
        (entry for entry in entries if entry.get("operation") == "Update" and not entry.get("subresource")),
        key=lambda entry: entry.get("time") or "",
    )
    if len(updates) > UPDATE_ENTRIES_MAX:
        surplus = len(updates) - UPDATE_ENTRIES_MAX
        ancient: dict[str, dict[str, Any]] = {}
        for entry in updates:
            version = entry["apiVersion"]
            if version in ancient:
                merged = union(ancient[version]["fieldsV1"], entry["fieldsV1"])
                latest = max(ancient[version].get("time") or "", entry.get("time") or "") or stamp
                ancient[version] = _entry((_ANCIENT, "Update", version, ""), merged, latest)
                surplus -= 1
            elif surplus > 0:
                ancient[version] = {**entry, "manager": _ANCIENT}
            else:
                break
            entries = [each for each in entries if each is not entry]
            if surplus <= 0:
                break
        entries = [*entries, *ancient.values()]
    return sorted(entries, key=_order)


# ---------------------------------------------------------------------------------------------- server-side apply


def server_side_apply(
    live: Object | None,
    config: Object,
    *,
    manager: str,
    force: bool,
    api_version: str,
    subresource: str,
    now: datetime,
    shape: Shape,
    ignored: Collection[str] = (),
) -> Object:
    """Return the object that results from `manager` applying `config`, its managedFields included.

    Applying the same again returns an object equal to `live`. System fields of the metadata stay as they are in
    `live`; for a create they are what `config` says.

    Args:
        live: the stored object, None to create it.
        ignored: members of the object that this write cannot set; they are taken from `live`.

    Raises:
        StatusError: 409 for fields that others own with another value, unless `force`; 409 for a uid of an object
            that does not exist; 400 for a configuration with managedFields; 500 for one that does not fit the schema.
    """
    _check_config(config, live, shape)
    wanted = _ownable(config, ignored)
    fields = fields_of(wanted, shape)
    entries = _entries(live)
    if live is not None and not entries:
        initial = fields_of(_ownable(live, ignored), shape)
        version = str(live.get("apiVersion") or api_version)
        entries = [_entry((_BEFORE_FIRST_APPLY, "Update", version, ""), initial, _stamp(now))] if initial else []
    key = (manager, "Apply", api_version, subresource)
    own: FieldSet = next((entry.get("fieldsV1") or {} for entry in entries if _key(entry) == key), {})
    current = _ownable(live, ignored) if live is not None else {}
    merged = _merge(current, wanted, shape)
    changed, _ = compare(current, merged, shape)
    others = [entry for entry in entries if _key(entry) != key]
    stolen = _conflicts(others, changed, live, manager, shape)
    if stolen and not force:
        raise _conflict_error(stolen)
    others = [{**entry, "fieldsV1": kept} for entry, kept in _without(others, stolen) if kept]
    dropped = difference(own, fields)
    owned_by_others: FieldSet = {}
    for entry in others:
        owned_by_others = union(owned_by_others, entry.get("fieldsV1") or {})
    dropped = difference(dropped, owned_by_others)
    if dropped:
        merged = _remove(merged, dropped, union(fields, owned_by_others), shape)
    is_unchanged = live is not None and fields == own and merged == current
    if fields:
        before = next((entry for entry in entries if _key(entry) == key), None)
        others.append(before if is_unchanged and before is not None else _entry(key, fields, _stamp(now)))
    return _assemble(live, config, merged, sorted(others, key=_order), ignored)


def _check_config(config: Object, live: Object | None, shape: Shape) -> None:
    metadata = config.get("metadata") or {}
    if metadata.get("managedFields"):
        raise StatusError.bad_request("metadata.managedFields must be nil")
    if live is None and metadata.get("uid"):
        why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise StatusError(409, "Conflict", why, name=metadata.get("name") or "")
    problems = list(_misfits(_ownable(config, ()), shape, ""))
    if problems:
        group, _, version = str(config.get("apiVersion") or "").rpartition("/")
        kind = f"{group}/{version}, Kind={config.get('kind')}"
        name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
        listed = problems[0] if len(problems) == 1 else "errors:" + "".join(f"\n  {problem}" for problem in problems)
        raise StatusError(500, "", f"failed to create typed patch object ({name}; {kind}): {listed}")


def _misfits(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Yield where a configuration does not fit its schema: undeclared members, list items that cannot be told apart."""
    if isinstance(value, dict) and shape.kind in ("map", "untyped", "atomic"):
        for name, member in value.items():
            inner = shape.member(name)
            if inner is None:
                yield f"{path}.{name}: field not declared in schema"
            elif member is not None:
                yield from _misfits(member, inner, f"{path}.{name}")
    elif isinstance(value, list) and shape.kind in ("list-map", "list-set"):
        seen: set[str] = set()
        for index, item in enumerate(value):
            step = item_step(item, shape)
            if step is None:
                keys = ", ".join(go_quote(name) for name in shape.keys)
                yield (
                    f"{path}: element {index}: associative list with keys has an element that omits key field {keys} "
                    "(and doesn't have default value)"
                )
                continue
            if step in seen:
                shown = "".join(paths({step: {}}))
                what = "key " if shape.kind == "list-map" else "value "
                yield f"{path}: duplicate entries for {what}{shown}"
            seen.add(step)
            yield from _misfits(item, shape.item, path + "".join(paths({step: {}})))
    elif isinstance(value, list) and shape.kind == "atomic":
        for index, item in enumerate(value):
            yield from _misfits(item, shape.item, f"{path}[{index}]")
    elif shape.kind == "map" and not isinstance(value, dict):
        yield f"{path}: expected map, got {_show(value)}"
    elif shape.kind in ("list-map", "list-set") and not isinstance(value, list):
        yield f"{path}: expected list, got {_show(value)}"


def _show(value: Any) -> str:
    return "&{" + json.dumps(value, separators=(",", ":")) + "}"


def _merge(live: Any, config: Any, shape: Shape) -> Any:
    """Return `live` with `config` merged in: objects deep, keyed lists by key, sets by union, the rest replaced."""
    kind = kind_for(config, shape)
    if kind == "leaf" or kind_for(live, shape) != kind:
        return config
    if kind == "map":
        merged = dict(live)
        for name, value in config.items():
            inner = shape.member(name) or UNTYPED
            merged[name] = _merge(live[name], value, inner) if name in live else value
        return merged
    wanted = {item_step(item, shape): item for item in config}
    result: list[Any] = []
    for item in live:
        step = item_step(item, shape)
        result.append(_merge(item, wanted.pop(step), shape.item) if step in wanted else item)
    return result + list(wanted.values())


def _remove(value: Any, dropped: FieldSet, kept: FieldSet, shape: Shape) -> Any:
    """Return `value` without the paths in `dropped`; what holds paths in `kept` stays, without its dropped parts."""
    kind = kind_for(value, shape)
    if kind == "leaf":
        return value
    if kind == "map":
        members: dict[str, Any] = {}
        for name, member in value.items():
            inner = shape.member(name) or UNTYPED
            rest = _rest("f:" + name, member, dropped, kept, inner)
            if rest is not _GONE:
                members[name] = rest
        return members
    items: list[Any] = []
    for item in value:
        rest = _rest(item_step(item, shape) or "", item, dropped, kept, shape.item)
        if rest is not _GONE:
            # Without its keys an item could not be told from the others.
            items.append({**rest, **{key: item[key] for key in shape.keys if key in item}} if shape.keys else rest)
    return items


_GONE = object()


def _rest(step: str, value: Any, dropped: FieldSet, kept: FieldSet, shape: Shape) -> Any:
    """Return what remains of one member or item, `_GONE` when nothing does."""
    node = dropped.get(step)
    if node is None:
        return value
    kept_node = kept.get(step)
    if (not node or "." in node) and kept_node is None:
        return _GONE
    rest = _remove(value, node, kept_node or {}, shape)
    # A container that lost its last part goes too, unless somebody owns the container itself.
    is_emptied = isinstance(rest, (dict, list)) and not rest and bool(value)
    return _GONE if is_emptied and kept_node is None else rest


def _conflicts(
    others: Sequence[Mapping[str, Any]], changed: FieldSet, live: Object | None, manager: str, shape: Shape
) -> list[tuple[Mapping[str, Any], FieldSet]]:
    """Return (entry, paths of it that would change) for every other owner that loses something."""
    if not changed:
        return []
    waived: FieldSet = {}
    if manager == "kubectl" and live is not None:
        # What client-side apply owned passes to the same user's server-side apply without a fight.
        waived = _last_applied_fields(live, shape)
    conflicts = []
    for entry in others:
        lost = difference(intersection(entry.get("fieldsV1") or {}, changed), waived)
        if lost:
            conflicts.append((entry, lost))
    return conflicts


def _last_applied_fields(live: Object, shape: Shape) -> FieldSet:
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(_LAST_APPLIED)
    if not text:
        return {}
    try:
        applied = json.loads(text)
    except ValueError:
        return {}
    return fields_of(_ownable(applied, ()), shape) if isinstance(applied, dict) else {}


def _without(
    entries: Sequence[Mapping[str, Any]], stolen: Sequence[tuple[Mapping[str, Any], FieldSet]]
) -> Iterator[tuple[Mapping[str, Any], FieldSet]]:
    lost_by = {id(entry): lost for entry, lost in stolen}
    for entry in entries:
        yield entry, difference(entry.get("fieldsV1") or {}, lost_by.get(id(entry), {}))


def _conflict_error(conflicts: Sequence[tuple[Mapping[str, Any], FieldSet]]) -> StatusError:
    by_owner: dict[str, list[str]] = {}
    for entry, lost in conflicts:
        by_owner.setdefault(_show_owner(entry), []).extend(paths(lost))
    causes = [
        Cause(reason="FieldManagerConflict", message=f"conflict with {owner}", field=path)
        for owner, lost_paths in sorted(by_owner.items())
        for path in sorted(lost_paths)
    ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        blocks = [
            "\n".join([f"conflicts with {owner}:", *(f"- {path}" for path in sorted(lost_paths))])
            for owner, lost_paths in sorted(by_owner.items())
        ]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(blocks)
    return StatusError(409, "Conflict", text, causes=causes)


def _show_owner(entry: Mapping[str, Any]) -> str:
    shown = go_quote(entry.get("manager") or "")
    if entry.get("subresource"):
        shown += f" with subresource {go_quote(entry['subresource'])}"
    if entry.get("operation") == "Update":
        shown += f" using {entry.get('apiVersion')}"
    return shown


def _assemble(
    live: Object | None, config: Object, merged: Object, entries: list[dict[str, Any]], ignored: Collection[str]
) -> Object:
    """Return the whole object: owned parts from `merged`, everything else from `live`, or `config` on create."""
    base = live if live is not None else config
    result: Object = {name: base[name] for name in ("apiVersion", "kind") if name in base}
    result["apiVersion"] = config.get("apiVersion") or result.get("apiVersion")
    metadata = {name: value for name, value in (base.get("metadata") or {}).items() if name in _UNOWNED_METADATA}
    result["metadata"] = {**metadata, **(merged.get("metadata") or {}), "managedFields": entries}
    result |= {name: value for name, value in merged.items() if name != "metadata"}
    if live is not None:
        result |= {name: live[name] for name in ignored if name in live and name != "metadata"}
        if "metadata" in ignored:
            result["metadata"] = {**(live.get("metadata") or {}), "managedFields": entries}
    return result


# --------------------------------------------------------------------------------------------------------- entries


def _entries(obj: Object | None) -> list[dict[str, Any]]:
    return list(((obj or {}).get("metadata") or {}).get("managedFields") or ())


def _is_sound(entry: Any) -> bool:
    """Return whether an entry, which a client sent, can be worked with."""
    return (
        isinstance(entry, dict)
        and entry.get("operation") in ("Apply", "Update")
        and all(isinstance(entry.get(name, ""), str) for name in ("manager", "time", "subresource"))
        and isinstance(entry.get("apiVersion"), str)
        and entry.get("fieldsType", "FieldsV1") == "FieldsV1"
        and is_field_set(entry.get("fieldsV1"))
    )


def _ownable(obj: Object, ignored: Collection[str]) -> Object:
    """Return the part of `obj` whose fields can have owners."""
    parts = {name: value for name, value in obj.items() if name not in _UNOWNED and name not in ignored}
    metadata = parts.pop("metadata", None)
    if isinstance(metadata, dict):
        owned = {name: value for name, value in metadata.items() if name not in _UNOWNED_METADATA}
        if owned:
            parts["metadata"] = owned
    return parts


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (
        entry.get("manager") or "",
        entry.get("operation") or "",
        entry.get("apiVersion") or "",
        entry.get("subresource") or "",
    )


def _order(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    manager, operation, version, subresource = _key(entry)
    return (operation, entry.get("time") or "", manager, version, subresource)


def _entry(key: tuple[str, str, str, str], fields: FieldSet, stamp: str) -> dict[str, Any]:
    manager, operation, version, subresource = key
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": version,
        "time": stamp,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def _stamp(now: datetime) -> str:
    return f"{now.replace(microsecond=0, tzinfo=None).isoformat()}Z"
