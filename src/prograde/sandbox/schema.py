"""Schemas at work: prune what is unknown, fill in defaults, check what is left, all in one walk over the object.

A `Schema` wraps an OpenAPI v3 structural schema. Its nodes are compiled when an object first reaches them, so that a
600 kB CustomResourceDefinition costs nothing until it is used and then only for the fields in use. The walk copies
as it goes: the result shares nothing with its input.

Two manners exist. A custom resource is checked by its schema, and everything wrong is reported at once (422). A
built-in kind is *typed*: a value of the wrong type cannot be decoded at all (400), nulls vanish, and quantities take
their canonical form; rules that no schema can say are the business of `sandbox.strategy`. The metadata of every object
is typed.

`schemachecks` has the demands that go beyond types, `transitions` what an update may not change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from prograde.api.podschema import object_meta_schema
from prograde.api.scalars import InvalidQuantity, canonical_quantity, go_quote
from prograde.sandbox.causes import show_value
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Object
from prograde.sandbox.schemachecks import combination_checks, scalar_checks, size_checks
from prograde.sandbox.schemawalk import Mismatch, Path, Silent, Walk, render_path, type_name
from prograde.sandbox.shapes import Shape
from prograde.sandbox.transitions import Rule, find_rules, is_unchanged, transition_causes

__all__ = ["OPEN", "ProcessResult", "Schema", "Strictness", "copy_json", "strict_error"]

Strictness: TypeAlias = Literal["Strict", "Warn", "Ignore"]

OPEN: Mapping[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""The schema of a kind that keeps whatever is sent."""


class ProcessResult(NamedTuple):
    """A fresh object with unknown fields removed and defaults in place, and what was wrong with the input."""

    obj: Object
    unknown_fields: list[str]
    """Paths of removed fields, such as ``spec.foo``; empty when strictness is Ignore."""
    causes: list[Cause]
    """Violations, in document order; the object is valid when there are none."""


class Schema:
    """A structural schema, compiled as objects reach its parts.

    Args:
        source: the OpenAPI v3 schema of the whole object, or a function that makes it when first needed.
        is_typed: a built-in kind, whose wrong types fail decoding.
    """

    def __init__(self, source: Mapping[str, Any] | Callable[[], Mapping[str, Any]], *, is_typed: bool = False) -> None:
        self._source = source
        self._is_typed = is_typed
        self._raw: Mapping[str, Any] | None = None
        self._root: _ObjectNode | None = None
        self._shape: Shape | None = None
        self._rules: list[Rule] | None = None

    @property
    def openapi(self) -> Mapping[str, Any]:
        """The schema as it was given; shared, never to be changed."""
        if self._raw is None:
            self._raw = self._source() if callable(self._source) else self._source
        return self._raw

    @property
    def is_typed(self) -> bool:
        return self._is_typed

    @property
    def shape(self) -> Shape:
        """How objects of this schema merge, for server-side apply."""
        if self._shape is None:
            scalar = Shape({"type": "string"})
            extra = {"apiVersion": scalar, "kind": scalar, "metadata": Shape(object_meta_schema())}
            self._shape = Shape(self.openapi, extra)
        return self._shape

    def process(self, obj: Object, *, old: Object | None = None, strictness: Strictness = "Ignore") -> ProcessResult:
        """Return a pruned, defaulted copy of `obj`, with the violations found in it.

        With `old`, the stored object, transition rules run, and violations in parts that `old` already had as they
        are do not count: a schema that became stricter must not lock its objects.

        Raises:
            StatusError: 400 for metadata, or a field of a typed kind, of the wrong type.
        """
        if self._root is None:
            self._root = _root_node(self.openapi, is_typed=self._is_typed)
        walk = Walk(collect_unknown=strictness != "Ignore")
        try:
            processed: Object = self._root.run(obj, None, walk)
        except Mismatch as mismatch:
            raise _undecodable(obj, mismatch) from None
        causes = walk.causes
        if old is not None:
            if causes:
                causes = [
                    cause
                    for cause, path in zip(causes, walk.paths, strict=True)
                    if not is_unchanged(path, processed, old)
                ]
            if self._rules is None:
                self._rules = list(find_rules(self.openapi))
            causes += transition_causes(self._rules, old, processed)
        return ProcessResult(processed, walk.unknown, causes)


def strict_error(obj: Object, problems: Sequence[str]) -> StatusError:
    """Return the 400 that ``fieldValidation=Strict`` answers with.

    Args:
        problems: for example ``unknown field "spec.foo"``.
    """
    listed = ", ".join(problems)
    return StatusError.bad_request(f"{_cannot_handle(obj)}: strict decoding error: {listed}")


def copy_json(value: Any) -> Any:
    """Return a deep copy of a JSON value."""
    if isinstance(value, dict):
        return {key: copy_json(item) if isinstance(item, (dict, list)) else item for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) if isinstance(item, (dict, list)) else item for item in value]
    return value


# ------------------------------------------------------------------------------------------------------- the nodes


class _Node:
    """The compiled schema of one place. `run` returns the processed copy of a value found there."""

    __slots__ = ("default", "has_default", "is_nullable", "is_typed", "plain", "raw")

    type_text = ""
    go_text = ""

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        self.raw = raw
        self.is_typed = is_typed
        self.is_nullable: bool = raw.get("nullable", False)
        self.has_default = "default" in raw
        self.default: Any = raw.get("default")
        self.plain: type | None = None
        """Values of exactly this type need no further look."""

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        raise NotImplementedError

    def mismatch(self, value: Any, path: Path, walk: Walk) -> Any:
        """Report a value of the wrong type; the value itself stays, for the rest of the walk."""
        found = type_name(value)
        if self.is_typed:
            go_found = {"boolean": "bool", "integer": "number"}.get(found, found)
            raise Mismatch(path, f"json: cannot unmarshal {go_found} into Go struct field {{}} of type {self.go_text}")
        text = f"Invalid value: {go_quote(found)}: {render_path(path)} in body must be of type {self.type_text}"
        walk.fail(path, "TypeInvalid", f"{text}: {go_quote(found)}")
        return copy_json(value)


class _AnyNode(_Node):
    """No type is given: whatever comes stays."""

    __slots__ = ("checks",)

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        super().__init__(raw, is_typed)
        self.checks = combination_checks(raw)

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        for check in self.checks:
            check(value, path, walk)
        return copy_json(value)


class _ScalarNode(_Node):
    """A string, number or boolean, or an integer-or-string."""

    __slots__ = ("checks", "go_text", "is_quantity", "type_text", "types")

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        super().__init__(raw, is_typed)
        self.is_quantity = False
        if raw.get("x-kubernetes-int-or-string"):
            self.types: tuple[type, ...] = (str, int)
            self.type_text, self.go_text = "integer,string", "intstr.IntOrString"
            if is_typed and "pattern" in raw:
                self.is_quantity = True
                self.types, self.go_text = (str, int, float), "resource.Quantity"
        else:
            self.type_text = raw["type"]
            self.types, self.go_text = _SCALAR_TYPES[self.type_text]
            if self.type_text == "integer":
                self.go_text = raw.get("format", "int64")
        self.checks = () if self.is_quantity else tuple(scalar_checks(raw, is_typed))
        if not self.checks and len(self.types) == 1:
            self.plain = self.types[0]

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        kind = type(value)
        if kind not in self.types and not (kind is float and self.type_text == "integer" and value.is_integer()):
            if value is None and self.is_nullable:
                return None
            return self.mismatch(value, path, walk)
        if self.is_quantity:
            try:
                return canonical_quantity(value)
            except InvalidQuantity as error:
                raise Mismatch(path, str(error)) from None
        for check in self.checks:
            check(value, path, walk)
        return value


_SCALAR_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "string"),
    "integer": ((int,), "int64"),
    "number": ((int, float), "float64"),
    "boolean": ((bool,), "bool"),
}


class _ListNode(_Node):
    __slots__ = ("checks", "is_set", "item", "keys")

    type_text = "array"
    go_text = "[]"

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        super().__init__(raw, is_typed)
        self.item: _Node | None = None
        self.keys: tuple[str, ...] = ()
        self.is_set = False
        if not is_typed:
            # Typed kinds tolerate repeated ports and variables; their strategies name what must be unique.
            self.keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
            self.is_set = raw.get("x-kubernetes-list-type") == "set" or bool(raw.get("uniqueItems"))
        self.checks = tuple(size_checks(raw, "minItems", "maxItems", "items")) + combination_checks(raw)

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        if type(value) is not list:
            if value is None and self.is_nullable:
                return None
            return self.mismatch(value, path, walk)
        item = self.item
        if item is None:
            item = self.item = _compile(self.raw.get("items") or {}, self.is_typed)
        plain = item.plain
        processed = [
            element if plain is type(element) else item.run(element, (path, index), walk)
            for index, element in enumerate(value)
        ]
        for check in self.checks:
            check(processed, path, walk)
        if (self.is_set or self.keys) and len(processed) > 1:
            self._check_unique(processed, path, walk)
        return processed

    def _check_unique(self, items: list[Any], path: Path, walk: Walk) -> None:
        seen: set[str] = set()
        for index, item in enumerate(items):
            identity = item
            if self.keys:
                if not isinstance(item, dict):
                    continue  # already reported as of the wrong type
                identity = {key: item[key] for key in self.keys if key in item}
            text = show_value(identity)
            if text in seen:
                walk.fail((path, index), "Duplicate", f"Duplicate value: {text}")
            seen.add(text)


class _ObjectNode(_Node):
    __slots__ = ("additional", "checks", "children", "defaults", "keeps_unknown", "properties", "required")

    type_text = "object"
    go_text = "map"

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        super().__init__(raw, is_typed)
        self.properties: Mapping[str, Any] = raw.get("properties") or {}
        self.children: dict[str, _Node] = {}
        additional = raw.get("additionalProperties")
        self.additional = _compile(additional, is_typed) if isinstance(additional, dict) else None
        self.keeps_unknown = bool(raw.get("x-kubernetes-preserve-unknown-fields")) or additional is True
        self.defaults = [name for name, child in self.properties.items() if "default" in child]
        # A typed object is complete in Go whatever the request says; strategies report what must be given.
        self.required: Sequence[str] = () if is_typed else raw.get("required") or ()
        self.checks = tuple(size_checks(raw, "minProperties", "maxProperties", "properties"))
        self.checks += combination_checks(raw)
        if raw.get("x-kubernetes-embedded-resource"):
            self.children |= _resource_children(raw)

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        if type(value) is not dict:
            if value is None and self.is_nullable:
                return None
            return self.mismatch(value, path, walk)
        children = self.children
        processed: dict[str, Any] = {}
        for key, item in value.items():
            child = children.get(key) or self.child(key)
            if child is None:
                if self.keeps_unknown:
                    processed[key] = copy_json(item)
                elif walk.collect_unknown:
                    walk.unknown.append(render_path((path, key)))
            elif child.plain is type(item):
                processed[key] = item
            elif item is not None or child.is_nullable:
                processed[key] = child.run(item, (path, key), walk)
            # Any other null is dropped, and replaced below when there is a default.
        for key in self.defaults:
            if key not in processed:
                child = children.get(key) or self.child(key)
                if child is not None:
                    processed[key] = child.run(child.default, (path, key), walk)
        for key in self.required:
            if key not in processed:
                walk.fail((path, key), "Required", "Required value")
        for check in self.checks:
            check(processed, path, walk)
        return processed

    def child(self, key: str) -> _Node | None:
        """Return the node of member `key`, compiled now when it is a declared one."""
        raw = self.properties.get(key)
        if raw is None:
            return self.additional
        node = self.children[key] = _compile(raw, self.is_typed)
        return node


class _MetadataNode(_ObjectNode):
    """The metadata of an object: typed as everywhere, plus what a custom resource's own schema demands of it."""

    __slots__ = ("demands",)

    def __init__(self, demands: Mapping[str, Any] | None) -> None:
        super().__init__(object_meta_schema(), True)
        self.demands = _ObjectNode(demands, False) if demands and demands.get("properties") else None

    def run(self, value: Any, path: Path, walk: Walk) -> Any:
        processed = super().run(value, path, walk)
        if self.demands is not None:
            self.demands.run(processed, path, Silent(walk))
        return processed


def _compile(raw: Mapping[str, Any], is_typed: bool) -> _Node:
    if raw.get("x-kubernetes-int-or-string"):
        return _ScalarNode(raw, is_typed)
    match raw.get("type"):
        case "object":
            return _ObjectNode(raw, is_typed)
        case "array":
            return _ListNode(raw, is_typed)
        case str(kind) if kind in _SCALAR_TYPES:
            return _ScalarNode(raw, is_typed)
        case _:
            return _AnyNode(raw, is_typed)


def _resource_children(raw: Mapping[str, Any]) -> dict[str, _Node]:
    text = _ScalarNode({"type": "string"}, False)
    declared = (raw.get("properties") or {}).get("metadata")
    return {"apiVersion": text, "kind": text, "metadata": _MetadataNode(declared)}


def _root_node(raw: Mapping[str, Any], *, is_typed: bool) -> _ObjectNode:
    root = _ObjectNode({"type": "object", **raw}, is_typed)
    root.children.update(_resource_children({} if is_typed else raw))
    return root


def _cannot_handle(obj: Object) -> str:
    kind = obj.get("kind", "")
    version = str(obj.get("apiVersion", "")).rpartition("/")[2]
    return f'{kind} in version "{version}" cannot be handled as a {kind}'


def _undecodable(obj: Object, mismatch: Mismatch) -> StatusError:
    problem = mismatch.problem.replace("{}", f"{obj.get('kind', '')}.{render_path(mismatch.path)}", 1)
    return StatusError.bad_request(f"{_cannot_handle(obj)}: {problem}")
