"""The three ways Kubernetes patches a JSON document: JSON Patch, JSON Merge Patch and strategic merge patch.

All functions are pure. Inputs are never changed; a result may share its untouched parts with the inputs, so whoever
wants to change a result in place copies it first. The way back, from two documents to a patch, is
`prograde.api.jsonvalues.merge_patch_between`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from prograde.api.jsonvalues import json_equal

__all__ = [
    "BUILTIN_MERGE_KEYS",
    "JSON_PATCH_OPERATIONS_MAX",
    "MERGE_SET",
    "PatchError",
    "json_patch",
    "merge_patch",
    "strategic_merge_patch",
]

PatchFailure: TypeAlias = Literal["test-failed", "missing-path", "malformed"]

JSON_PATCH_OPERATIONS_MAX = 10_000
"""The API server's own limit on the operations of one JSON Patch."""

MERGE_SET = ""
"""As a merge key: the list holds plain values and is merged as a set."""

BUILTIN_MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "secrets": "name",
    "resourceClaims": "name",
    "containers.ports": "containerPort",
    "initContainers.ports": "containerPort",
    "ephemeralContainers.ports": "containerPort",
    "spec.ports": "port",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "status.conditions": "type",
    "status.addresses": "type",
    "podIPs": "ip",
    "hostIPs": "ip",
    "taints": "key",
    "metadata.ownerReferences": "uid",
    "metadata.finalizers": MERGE_SET,
}
"""Lists of the built-in kinds that a strategic merge patch merges, by field name or ``parent.field``, and their keys.

The parent is the nearest named field above; list items in between do not count. A list that is not named here is
replaced as a whole.
"""

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ELEMENT_ORDER = "$setElementOrder/"


class PatchError(Exception):
    """A patch could not be applied; `kind` says whether the patch is broken or does not fit the document."""

    def __init__(self, message: str, kind: PatchFailure) -> None:
        super().__init__(message)
        self.message = message
        self.kind: PatchFailure = kind


# ---------------------------------------------------------------------------------------------- JSON Patch (RFC 6902)


def json_patch(document: Any, operations: Any) -> Any:
    """Return `document` after all `operations`, applied in order; all of them take effect or none.

    Raises:
        PatchError: ``malformed`` for something that is no JSON Patch, ``missing-path`` when an operation points
            at nothing, ``test-failed`` when a ``test`` finds another value.
    """
    if not isinstance(operations, list):
        raise PatchError("a JSON patch must be a list of operations", "malformed")
    if len(operations) > JSON_PATCH_OPERATIONS_MAX:
        raise PatchError(
            f"the allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {len(operations)}",
            "malformed",
        )
    for position, operation in enumerate(operations):
        document = _apply_operation(document, operation, position)
    return document


def _apply_operation(document: Any, operation: Any, position: int) -> Any:
    if not isinstance(operation, dict):
        raise PatchError(f"operation {position} is not an object", "malformed")
    op = operation.get("op")
    path = _pointer(operation.get("path"), f"operation {position}: path")
    if op in ("add", "replace", "test") and "value" not in operation:
        raise PatchError(f"operation {position}: {op} needs a value", "malformed")
    if op == "add":
        return _put(document, path, operation["value"], must_exist=False)
    if op == "replace":
        return _put(document, path, operation["value"], must_exist=True)
    if op == "remove":
        return _remove(document, path)
    if op == "test":
        _test(document, path, operation["value"])
        return document
    if op in ("move", "copy"):
        source = _pointer(operation.get("from"), f"operation {position}: from")
        value = _resolve(document, source)
        if op == "copy":
            return _put(document, path, value, must_exist=False)
        if path[: len(source)] == source and path != source:
            raise PatchError(f"operation {position}: cannot move {_show(source)} into its own child", "malformed")
        return _put(_remove(document, source), path, value, must_exist=False)
    raise PatchError(f"operation {position}: unknown op {op!r}", "malformed")


def _pointer(text: Any, what: str) -> list[str]:
    if not isinstance(text, str):
        raise PatchError(f"{what} is missing or not a string", "malformed")
    if not text:
        return []
    if not text.startswith("/"):
        raise PatchError(f"{what} {text!r} does not start with '/'", "malformed")
    return [token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/")]


def _show(path: Sequence[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path) or "the document"


def _missing(path: Sequence[str]) -> PatchError:
    return PatchError(f"{_show(path)} does not exist", "missing-path")


def _index(container: list[Any], token: str, *, end: int, path: Sequence[str]) -> int:
    """Return `token` as a list index below `end`; a leading zero or sign is no index."""
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0"):
        raise _missing(path)
    index = int(token)
    if index >= end:
        raise _missing(path)
    return index


def _resolve(document: Any, path: Sequence[str]) -> Any:
    for depth, token in enumerate(path):
        if isinstance(document, dict):
            if token not in document:
                raise _missing(path)
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, end=len(document), path=path[: depth + 1])]
        else:
            raise _missing(path)
    return document


def _test(document: Any, path: Sequence[str], expected: Any) -> None:
    try:
        found = _resolve(document, path)
    except PatchError:
        if expected is None:
            return  # the API server takes an absent field for null
        raise PatchError(f"testing value of {_show(path)} failed: it does not exist", "test-failed") from None
    if not json_equal(found, expected):
        raise PatchError(f"testing value of {_show(path)} failed", "test-failed")


def _put(document: Any, path: Sequence[str], value: Any, *, must_exist: bool, depth: int = 0) -> Any:
    """Return a copy of `document` along `path` with `value` at its end."""
    if depth == len(path):
        return value
    token, last = path[depth], depth == len(path) - 1
    if isinstance(document, dict):
        if token not in document and (must_exist or not last):
            raise _missing(path[: depth + 1])
        child = _put(document.get(token), path, value, must_exist=must_exist, depth=depth + 1)
        return {**document, token: child}
    if isinstance(document, list):
        copied = document.copy()
        if last and not must_exist:
            at = len(copied) if token == "-" else _index(copied, token, end=len(copied) + 1, path=path)
            copied.insert(at, value)
            return copied
        at = _index(copied, token, end=len(copied), path=path[: depth + 1])
        copied[at] = _put(copied[at], path, value, must_exist=must_exist, depth=depth + 1)
        return copied
    raise _missing(path[: depth + 1])


def _remove(document: Any, path: Sequence[str], depth: int = 0) -> Any:
    if not path:
        return None
    token, last = path[depth], depth == len(path) - 1
    if isinstance(document, dict):
        if token not in document:
            raise _missing(path[: depth + 1])
        if last:
            return {key: value for key, value in document.items() if key != token}
        return {**document, token: _remove(document[token], path, depth + 1)}
    if isinstance(document, list):
        at = _index(document, token, end=len(document), path=path[: depth + 1])
        rest = [] if last else [_remove(document[at], path, depth + 1)]
        return [*document[:at], *rest, *document[at + 1 :]]
    raise _missing(path[: depth + 1])


# ----------------------------------------------------------------------------------------- JSON Merge Patch (RFC 7386)


def merge_patch(document: Any, patch: Any) -> Any:
    """Return `document` merged with `patch`: null removes a member, everything but objects is replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


# --------------------------------------------------------------------------------------------- strategic merge patch


def strategic_merge_patch(document: Any, patch: Any, merge_keys: Mapping[str, str] = BUILTIN_MERGE_KEYS) -> Any:
    """Return `document` merged with `patch`, lists of known fields by key instead of as a whole.

    Args:
        merge_keys: field name or ``parent.field`` -> key of its items, or `MERGE_SET` for a set of plain values.

    Raises:
        PatchError: ``malformed`` for an unknown directive or an item without its key.
    """
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch must be an object", "malformed")
    return _merge_object(document if isinstance(document, dict) else {}, patch, "", merge_keys)


def _merge_object(
    original: dict[str, Any], patch: dict[str, Any], parent: str, merge_keys: Mapping[str, str]
) -> dict[str, Any]:
    match patch.get(_DIRECTIVE, "merge"):
        case "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case "merge":
            pass
        case unknown:
            raise PatchError(f"unknown {_DIRECTIVE} directive {unknown!r}", "malformed")
    merged = dict(original)
    if _RETAIN_KEYS in patch:
        retained = _expect_list(patch[_RETAIN_KEYS], _RETAIN_KEYS)
        merged = {key: value for key, value in merged.items() if key in retained}
    fields = dict.fromkeys(key for key in patch if not key.startswith("$"))
    for key in patch:
        if key.startswith((_DELETE_PRIMITIVES, _ELEMENT_ORDER)):
            fields.setdefault(key.partition("/")[2])
        elif key.startswith("$") and key not in (_DIRECTIVE, _RETAIN_KEYS):
            fields[key] = None  # a plain field that happens to start with a dollar sign
    for field in fields:
        if field in patch and patch[field] is None:
            merged.pop(field, None)
            continue
        value = _merge_field(merged.get(field), patch, field, parent, merge_keys)
        if value is not None:
            merged[field] = value
    return merged


def _merge_field(current: Any, patch: dict[str, Any], field: str, parent: str, merge_keys: Mapping[str, str]) -> Any:
    """Return the new value of `field`, None when neither side has one."""
    order = patch.get(_ELEMENT_ORDER + field)
    deletions = patch.get(_DELETE_PRIMITIVES + field)
    if field not in patch and not isinstance(current, list):
        return current
    value = patch.get(field)
    if isinstance(value, dict):
        return _merge_object(current if isinstance(current, dict) else {}, value, field, merge_keys)
    if value is not None and not isinstance(value, list):
        return value
    merge_key = merge_keys.get(f"{parent}.{field}", merge_keys.get(field))
    items: list[Any] = value or []
    existing: list[Any] = current if isinstance(current, list) else []
    if merge_key is None and not (deletions or order):
        return items
    order = None if order is None else _expect_list(order, _ELEMENT_ORDER + field)
    if merge_key == MERGE_SET or (merge_key is None and not _are_objects(items, existing)):
        return _merge_plain(existing, items, _expect_list(deletions or [], _DELETE_PRIMITIVES + field), order)
    if merge_key is None:
        return items if field in patch else existing
    if not _are_objects(items, existing):
        return items  # a list of plain values that shares its name with a keyed one
    return _merge_keyed(existing, items, order, field, merge_key, merge_keys)


def _are_objects(*lists: list[Any]) -> bool:
    return all(isinstance(item, dict) for items in lists for item in items)


def _expect_list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise PatchError(f"{what} must be a list", "malformed")
    return value


def _merge_plain(existing: list[Any], items: list[Any], deletions: list[Any], order: list[Any] | None) -> list[Any]:
    kept = [item for item in existing if item not in deletions]
    added = [item for index, item in enumerate(items) if item not in kept and item not in items[:index]]
    merged = kept + added
    return merged if order is None else _ordered(merged, merged, order, existing)


def _merge_keyed(
    existing: list[Any],
    items: list[Any],
    order: list[Any] | None,
    field: str,
    merge_key: str,
    merge_keys: Mapping[str, str],
) -> list[Any]:
    if any(item.get(_DIRECTIVE) == "replace" for item in items):
        return [
            {key: value for key, value in item.items() if key != _DIRECTIVE}
            for item in items
            if item.get(_DIRECTIVE) != "replace" or len(item) > 1
        ]

    def key_of(item: dict[str, Any]) -> Any:
        if merge_key not in item:
            raise PatchError(f"an item of {field} does not contain the declared merge key {merge_key}", "malformed")
        return item[merge_key]

    merged = list(existing)
    for item in items:
        key = key_of(item)
        at = [index for index, candidate in enumerate(merged) if candidate.get(merge_key) == key]
        if item.get(_DIRECTIVE) == "delete":
            merged = [candidate for candidate in merged if candidate.get(merge_key) != key]
        elif at:
            merged[at[0]] = _merge_object(merged[at[0]], item, field, merge_keys)
        else:
            merged.append(_merge_object({}, item, field, merge_keys))
    if order is None:
        return merged
    wanted = [key_of(entry) if isinstance(entry, dict) else entry for entry in order]
    return _ordered(
        merged, [item.get(merge_key) for item in merged], wanted, [item.get(merge_key) for item in existing]
    )


def _ordered(merged: list[Any], keys: list[Any], wanted: list[Any], before: list[Any]) -> list[Any]:
    """Sort items named in `wanted` into that order; items only the server knows keep their place among the rest.

    A new item (one that was not there `before`) goes ahead of the server's next own item, as the API server does it.
    """
    named = sorted(
        (index for index, key in enumerate(keys) if key in wanted), key=lambda index: wanted.index(keys[index])
    )
    unnamed = [index for index, key in enumerate(keys) if key not in wanted]
    result: list[Any] = []
    while named and unnamed:
        is_new = keys[named[0]] not in before
        takes_named = (
            is_new or keys[unnamed[0]] not in before or (before.index(keys[named[0]]) < before.index(keys[unnamed[0]]))
        )
        result.append(merged[(named if takes_named else unnamed).pop(0)])
    return result + [merged[index] for index in (*named, *unnamed)]
