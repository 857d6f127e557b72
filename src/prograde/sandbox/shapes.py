"""How a value merges: which lists have keys, which values change hands only as a whole.

A shape is read from an OpenAPI schema (``x-kubernetes-list-type``, ``-list-map-keys``, ``-map-type``). Where there is
no schema, objects merge member by member and lists are atomic, as the API server does for fields it knows nothing
about.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

__all__ = ["UNTYPED", "Shape", "ShapeKind"]

ShapeKind: TypeAlias = Literal["untyped", "scalar", "map", "atomic", "list-map", "list-set"]


class Shape:
    """The merge rule of one place in a document, and by `member` and `item` those of the places below it."""

    __slots__ = (
        "_additional",
        "_item",
        "_members",
        "_others",
        "_properties",
        "_raw",
        "key_defaults",
        "keys",
        "kind",
    )

    def __init__(self, raw: Mapping[str, Any] | None, extra: Mapping[str, "Shape"] | None = None) -> None:
        """Read `raw`, a schema; None: nothing is known. `extra` adds members that the schema does not spell out."""
        raw = raw or {}
        self._raw = raw
        self._properties: Mapping[str, Any] = raw.get("properties") or {}
        self._additional = raw.get("additionalProperties")
        self._members: dict[str, Shape] = dict(extra or {})
        self._others: Shape | None = None
        self._item: Shape | None = None
        self.kind: ShapeKind = _kind_of(raw)
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.key_defaults: dict[str, Any] = {}
        """Values of absent keys of an item, for example a port's protocol TCP."""
        if self.kind == "list-map":
            declared = (raw.get("items") or {}).get("properties") or {}
            self.key_defaults = {
                key: declared[key]["default"] for key in self.keys if "default" in (declared.get(key) or {})
            }

    def member(self, name: str) -> "Shape | None":
        """Return the shape of member `name` of an object, None for one that the schema does not allow."""
        found = self._members.get(name)
        if found is None:
            raw = self._properties.get(name)
            if raw is None:
                return self._other_members()
            found = self._members[name] = Shape(raw)
        return found

    def declares(self, name: str) -> bool:
        """Return whether the schema spells out member `name` of an object."""
        return name in self._properties or name in self._members

    def _other_members(self) -> "Shape | None":
        if isinstance(self._additional, dict):
            if self._others is None:
                self._others = Shape(self._additional)
            return self._others
        if self._additional or self.kind in ("untyped", "atomic", "scalar"):
            return UNTYPED
        return UNTYPED if self._raw.get("x-kubernetes-preserve-unknown-fields") else None

    @property
    def item(self) -> "Shape":
        """The shape of the items of a list."""
        if self._item is None:
            raw = self._raw.get("items")
            self._item = UNTYPED if raw is None else Shape(raw)
        return self._item


def _kind_of(raw: Mapping[str, Any]) -> ShapeKind:
    if raw.get("x-kubernetes-int-or-string"):
        return "scalar"
    match raw.get("type"):
        case "object":
            return "atomic" if raw.get("x-kubernetes-map-type") == "atomic" else "map"
        case "array":
            match raw.get("x-kubernetes-list-type"):
                case "map":
                    return "list-map"
                case "set":
                    return "list-set"
                case _:
                    return "atomic"
        case None:
            return "untyped"
        case _:
            return "scalar"


UNTYPED = Shape(None)
