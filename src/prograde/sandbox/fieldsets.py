"""Sets of field paths in the form the API writes them: the ``FieldsV1`` trie of managedFields.

``{"f:spec": {"f:replicas": {}, "f:ports": {".": {}, 'k:{"port":80}': {".": {}, "f:name": {}}}}}`` holds the paths
``.spec.replicas``, ``.spec.ports``, ``.spec.ports[port=80]`` and ``.spec.ports[port=80].name``. A step is ``f:`` and a
member, ``k:`` and the keys of a list item, ``v:`` and the value of a set's item, or ``i:`` and an index. An empty node
is a path in the set; a node with further steps is one only when it has the step ``.`` as well.

A set is the plain JSON value itself, shared freely and never changed. The empty set is ``{}``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from prograde.sandbox.shapes import UNTYPED, Shape

__all__ = [
    "FieldSet",
    "compare",
    "difference",
    "fields_of",
    "intersection",
    "is_field_set",
    "item_step",
    "kind_for",
    "paths",
    "union",
]

FieldSet: TypeAlias = Mapping[str, Any]

SELF = "."
_SELF_NODE: Mapping[str, Any] = {SELF: {}}


def is_field_set(value: Any) -> bool:
    """Return whether `value`, which a client sent, is a set of paths."""
    return isinstance(value, dict) and all(_is_step(step) and is_field_set(node) for step, node in value.items())


def _is_step(step: str) -> bool:
    if step == SELF or step.startswith("f:"):
        return True
    try:
        content = msgspec.json.decode(step[2:])
    except msgspec.DecodeError:
        return False
    return step.startswith("v:") or isinstance(content, {"k:": dict, "i:": int}.get(step[:2], ()))


def item_step(item: Any, shape: Shape) -> str | None:
    """Return the step to `item` of a keyed list or set with this `shape`; None for an item without its keys."""
    if shape.kind == "list-set":
        return "v:" + msgspec.json.encode(item).decode()
    if not isinstance(item, dict):
        return None
    key: dict[str, Any] = {}
    for name in sorted(shape.keys):
        if name in item:
            key[name] = item[name]
        elif name in shape.key_defaults:
            key[name] = shape.key_defaults[name]
    return "k:" + msgspec.json.encode(key).decode() if key else None


def kind_for(value: Any, shape: Shape) -> str:
    """Return how `value` merges: ``map``, ``list-map``, ``list-set``, or ``leaf`` for what changes as a whole."""
    if isinstance(value, dict):
        return "map" if shape.kind in ("map", "untyped") else "leaf"
    if isinstance(value, list) and shape.kind in ("list-map", "list-set"):
        return shape.kind
    return "leaf"


def fields_of(value: Any, shape: Shape, *, marks_containers: bool = False) -> FieldSet:
    """Return the set of paths in `value`, the node for `value` itself.

    Args:
        marks_containers: count objects and lists as paths of their own, as they are when they newly appear. Otherwise
            only leaves, list items and members that no schema declares count.
    """
    kind = kind_for(value, shape)
    if kind == "leaf" or not value:
        return {}
    fields: dict[str, Any] = {SELF: {}} if marks_containers else {}
    if kind == "map":
        for name, member in value.items():
            node = fields_of(member, shape.member(name) or UNTYPED, marks_containers=marks_containers)
            if node and not marks_containers and not shape.declares(name):
                node = {**_SELF_NODE, **node}
            fields["f:" + name] = node
        return fields
    for index, item in enumerate(value):
        node = fields_of(item, shape.item, marks_containers=marks_containers)
        fields[item_step(item, shape) or f"i:{index}"] = {**_SELF_NODE, **node} if node else node
    return fields


def compare(old: Any, new: Any, shape: Shape) -> tuple[FieldSet, FieldSet]:
    """Return the nodes of (paths added or changed, paths removed) between two values that both exist."""
    if old == new:
        return {}, {}
    kind = kind_for(new, shape)
    if kind == "leaf" or kind_for(old, shape) != kind:
        # The place itself changed. It stays in place whatever it holds, so only what was below it is removed.
        below = fields_of(old, shape, marks_containers=True)
        gone = {step: node for step, node in below.items() if step != SELF}
        return {**_SELF_NODE, **fields_of(new, shape, marks_containers=True)}, gone
    if kind == "map":
        before = {"f:" + name: member for name, member in old.items()}
        after = {"f:" + name: member for name, member in new.items()}
    else:
        before, after = _by_step(old, shape), _by_step(new, shape)
    changed_fields: dict[str, Any] = {}
    removed_fields: dict[str, Any] = {}
    for step, member in after.items():
        inner = (shape.member(step[2:]) or UNTYPED) if kind == "map" else shape.item
        if step not in before:
            changed_fields[step] = fields_of(member, inner, marks_containers=True)
            continue
        changed, removed = compare(before[step], member, inner)
        if changed:
            changed_fields[step] = _plain(changed)
        if removed:
            removed_fields[step] = removed
    for step, member in before.items():
        if step not in after:
            inner = (shape.member(step[2:]) or UNTYPED) if kind == "map" else shape.item
            removed_fields[step] = fields_of(member, inner, marks_containers=True)
    return changed_fields, removed_fields


def _by_step(items: list[Any], shape: Shape) -> dict[str, Any]:
    return {item_step(item, shape) or f"i:{index}": item for index, item in enumerate(items)}


def _plain(node: FieldSet) -> FieldSet:
    """Write a node that holds nothing but itself the usual way, as an empty one."""
    return {} if len(node) == 1 and SELF in node else node


# --------------------------------------------------------------------------------------------------- set operations


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the paths of both sets."""
    if not left or not right:
        return left or right
    merged = dict(left)
    for step, node in right.items():
        if step in merged and step != SELF:
            merged[step] = _union_nodes(merged[step], node)
        else:
            merged[step] = node
    return merged


def _union_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if not left:
        return {**_SELF_NODE, **right} if right else left
    if not right:
        return {**_SELF_NODE, **left}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the paths of `left` that are not in `right`."""
    if not left or not right:
        return left
    kept: dict[str, Any] = {}
    for step, node in left.items():
        other = right.get(step)
        if other is None:
            kept[step] = node
        elif step != SELF and (rest := _difference_nodes(node, other)) is not None:
            kept[step] = rest
    return kept


def _difference_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    """Return the rest of a node, None when nothing is left: an empty node would be a path."""
    is_kept = _is_path(left) and not _is_path(right)
    inner = {step: node for step, node in difference(left, right).items() if step != SELF} if left else {}
    if is_kept:
        return {**_SELF_NODE, **inner} if inner else {}
    return inner or None


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the paths in both sets."""
    common: dict[str, Any] = {}
    for step, node in left.items():
        other = right.get(step)
        if other is not None and step != SELF and (both := _intersection_nodes(node, other)) is not None:
            common[step] = both
    return common


def _intersection_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    inner = intersection(left, right)
    if _is_path(left) and _is_path(right):
        return {**_SELF_NODE, **inner} if inner else {}
    return inner or None


def _is_path(node: FieldSet) -> bool:
    return not node or SELF in node


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Yield every path of the set as people read it, for example ``.spec.containers[name="web"].image``."""
    for step, node in fields.items():
        if step == SELF:
            yield prefix
            continue
        path = prefix + _render_step(step)
        if not node:
            yield path
        else:
            yield from paths(node, path)


def _render_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    match kind:
        case "k:":
            keys = msgspec.json.decode(text)
            return "[" + ",".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in keys.items()) + "]"
        case "v:":
            return f"[={text}]"
        case "i:":
            return f"[{text}]"
        case _:
            return f".{text}"
