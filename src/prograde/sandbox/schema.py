"""Schemas at work: prune what is unknown, fill in defaults, check what is left, all in one walk over the object.

A `Schema` wraps an OpenAPI v3 structural schema. Its nodes are compiled when an object first reaches them, so that a
600 kB CustomResourceDefinition costs nothing until it is used and then only for the fields in use. The walk copies
as it goes: the result shares nothing with its input.

Two manners exist. A custom resource is checked by its schema, and everything wrong is reported at once (422). A
built-in kind is *typed*: a value of the wrong type cannot be decoded at all (400), nulls vanish, and quantities take
their canonical form; rules that no schema can say are the business of `sandbox.strategy`. The metadata of every object
is typed.

Of the rules in ``x-kubernetes-validations`` only ``self == oldSelf`` is evaluated, which is what makes a Rollout's
selector immutable; others are noted in the log once and skipped.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from prograde.api.podschema import object_meta_schema
from prograde.api.scalars import InvalidQuantity, canonical_quantity, go_quote
from prograde.kube.patches import json_equal
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.formats import INTEGER_RANGES, STRING_FORMATS, compile_pattern
from prograde.sandbox.kinds import Object
from prograde.sandbox.shapes import Shape

__all__ = ["OPEN", "ProcessResult", "Schema", "Strictness", "copy_json", "strict_error"]

_log = logging.getLogger(__name__)

Strictness: TypeAlias = Literal["Strict", "Warn", "Ignore"]

OPEN: Mapping[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""The schema of a kind that keeps whatever is sent."""

_Path: TypeAlias = "tuple[Any, str | int] | None"
"""(parent path, member or index), linked upwards so that a walk without errors formats no text."""


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
        self._rules: list[_Rule] | None = None

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
        walk = _Walk(collect_unknown=strictness != "Ignore")
        try:
            processed: Object = self._root.run(obj, None, walk)
        except _Mismatch as mismatch:
            raise _undecodable(obj, mismatch) from None
        causes = walk.causes
        if old is not None:
            if causes:
                causes = [
                    cause
                    for cause, path in zip(causes, walk.paths, strict=True)
                    if not _is_unchanged(path, processed, old)
                ]
            causes += self._transition_causes(processed, old)
        return ProcessResult(processed, walk.unknown, causes)

    def _transition_causes(self, new: Object, old: Object) -> Iterator[Cause]:
        if self._rules is None:
            self._rules = list(_find_rules(self.openapi, ()))
        for rule in self._rules:
            for path, before, after in _pairs(rule.path, "", old, new):
                if not json_equal(before, after):
                    yield rule.cause(path, after)


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


# ------------------------------------------------------------------------------------------------------- the walk


class _Mismatch(Exception):
    """A value of a typed field cannot be decoded."""

    def __init__(self, path: _Path, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


class _Walk:
    """What one walk over an object has found so far."""

    __slots__ = ("causes", "collect_unknown", "paths", "unknown")

    def __init__(self, *, collect_unknown: bool) -> None:
        self.collect_unknown = collect_unknown
        self.unknown: list[str] = []
        self.causes: list[Cause] = []
        self.paths: list[_Path] = []

    def fail(self, path: _Path, reason: str, message: str) -> None:
        self.causes.append(Cause(reason=f"FieldValue{reason}", message=message, field=_render(path)))
        self.paths.append(path)

    def invalid(self, path: _Path, value: Any, rule: str) -> None:
        """Report `value` as breaking a `rule` such as ``should be at least 1 chars long``."""
        self.fail(path, "Invalid", f"Invalid value: {_show(value)}: {_render(path)} in body {rule}")


def _render(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")


def _show(value: Any) -> str:
    """Return `value` as field errors print it."""
    if isinstance(value, str):
        return go_quote(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


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

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
        raise NotImplementedError

    def mismatch(self, value: Any, path: _Path, walk: _Walk) -> Any:
        """Report a value of the wrong type; the value itself stays, for the rest of the walk."""
        found = _type_name(value)
        if self.is_typed:
            go_found = {"boolean": "bool", "integer": "number"}.get(found, found)
            raise _Mismatch(path, f"json: cannot unmarshal {go_found} into Go struct field {{}} of type {self.go_text}")
        text = f"Invalid value: {go_quote(found)}: {_render(path)} in body must be of type {self.type_text}"
        walk.fail(path, "TypeInvalid", f"{text}: {go_quote(found)}")
        return copy_json(value)


class _AnyNode(_Node):
    """No type is given: whatever comes stays."""

    __slots__ = ("check",)

    def __init__(self, raw: Mapping[str, Any], is_typed: bool) -> None:
        super().__init__(raw, is_typed)
        self.check = _combination_check(raw)

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
        if self.check is not None:
            self.check(value, path, walk)
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
        self.checks = () if self.is_quantity else tuple(_scalar_checks(raw, is_typed))
        if not self.checks and len(self.types) == 1:
            self.plain = self.types[0]

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
        kind = type(value)
        if kind not in self.types and not (kind is float and self.type_text == "integer" and value.is_integer()):
            if value is None and self.is_nullable:
                return None
            return self.mismatch(value, path, walk)
        if self.is_quantity:
            try:
                return canonical_quantity(value)
            except InvalidQuantity as error:
                raise _Mismatch(path, str(error)) from None
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
        self.checks = tuple(_size_checks(raw, "minItems", "maxItems", "items")) + _combination_checks(raw)

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
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

    def _check_unique(self, items: list[Any], path: _Path, walk: _Walk) -> None:
        seen: set[str] = set()
        for index, item in enumerate(items):
            identity = item
            if self.keys:
                if not isinstance(item, dict):
                    continue  # already reported as of the wrong type
                identity = {key: item[key] for key in self.keys if key in item}
            text = _show(identity)
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
        self.checks = tuple(_size_checks(raw, "minProperties", "maxProperties", "properties"))
        self.checks += _combination_checks(raw)
        if raw.get("x-kubernetes-embedded-resource"):
            self.children |= _resource_children(raw)

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
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
                    walk.unknown.append(_render((path, key)))
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

    def run(self, value: Any, path: _Path, walk: _Walk) -> Any:
        processed = super().run(value, path, walk)
        if self.demands is not None:
            self.demands.run(processed, path, _Silent(walk))
        return processed


class _Silent(_Walk):
    """A walk that reports violations to another one and forgets unknown fields."""

    __slots__ = ()

    def __init__(self, walk: _Walk) -> None:
        super().__init__(collect_unknown=False)
        self.causes = walk.causes
        self.paths = walk.paths


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


def _undecodable(obj: Object, mismatch: _Mismatch) -> StatusError:
    problem = mismatch.problem.replace("{}", f"{obj.get('kind', '')}.{_render(mismatch.path)}", 1)
    return StatusError.bad_request(f"{_cannot_handle(obj)}: {problem}")


# ------------------------------------------------------------------------------------------------------- the checks

_CheckCall: TypeAlias = Callable[[Any, _Path, _Walk], None]


def _scalar_checks(raw: Mapping[str, Any], is_typed: bool) -> Iterator[_CheckCall]:
    if raw.get("type") == "string" or raw.get("x-kubernetes-int-or-string"):
        yield from _string_checks(raw)
    if raw.get("type") in ("integer", "number"):
        yield from _number_checks(raw, is_typed)
    if "enum" in raw:
        yield _enum_check(raw["enum"])
    yield from _combination_checks(raw)


def _string_checks(raw: Mapping[str, Any]) -> Iterator[_CheckCall]:
    shortest, longest = raw.get("minLength"), raw.get("maxLength")
    if shortest:

        def check_shortest(value: Any, path: _Path, walk: _Walk) -> None:
            if isinstance(value, str) and len(value) < shortest:
                walk.invalid(path, value, f"should be at least {shortest} chars long")

        yield check_shortest
    if longest is not None:

        def check_longest(value: Any, path: _Path, walk: _Walk) -> None:
            if isinstance(value, str) and len(value) > longest:
                walk.fail(path, "TooLong", f"Too long: may not be more than {longest} bytes")

        yield check_longest
    pattern = compile_pattern(raw["pattern"]) if "pattern" in raw else None
    if pattern is not None:

        def check_pattern(value: Any, path: _Path, walk: _Walk) -> None:
            if isinstance(value, str) and pattern.search(value) is None:
                walk.invalid(path, value, f"should match '{raw['pattern']}'")

        yield check_pattern
    format_name = raw.get("format", "")
    has_format = STRING_FORMATS.get(format_name)
    if has_format is not None:

        def check_format(value: Any, path: _Path, walk: _Walk) -> None:
            if isinstance(value, str) and not has_format(value):
                walk.invalid(path, value, f"must be of type {format_name}: {go_quote(value)}")

        yield check_format


def _number_checks(raw: Mapping[str, Any], is_typed: bool) -> Iterator[_CheckCall]:
    least, most, step = raw.get("minimum"), raw.get("maximum"), raw.get("multipleOf")
    excludes_least, excludes_most = raw.get("exclusiveMinimum", False), raw.get("exclusiveMaximum", False)
    limits = INTEGER_RANGES.get(raw.get("format", "")) if raw.get("type") == "integer" else None
    if limits is not None:

        def check_range(value: Any, path: _Path, walk: _Walk) -> None:
            if not limits[0] <= value <= limits[1]:
                if is_typed:
                    problem = f"json: cannot unmarshal number {value} into Go struct field {{}} of type {raw['format']}"
                    raise _Mismatch(path, problem)
                walk.invalid(path, value, f'must be of type {raw["format"]}: "{value}"')

        yield check_range
    if least is not None:

        def check_least(value: Any, path: _Path, walk: _Walk) -> None:
            if value < least or (excludes_least and value == least):
                walk.invalid(path, value, f"should be greater than {'' if excludes_least else 'or equal to '}{least}")

        yield check_least
    if most is not None:

        def check_most(value: Any, path: _Path, walk: _Walk) -> None:
            if value > most or (excludes_most and value == most):
                walk.invalid(path, value, f"should be less than {'' if excludes_most else 'or equal to '}{most}")

        yield check_most
    if step:

        def check_step(value: Any, path: _Path, walk: _Walk) -> None:
            if abs(value / step - round(value / step)) > 1e-9:
                walk.invalid(path, value, f"should be a multiple of {step}")

        yield check_step


def _enum_check(allowed: Sequence[Any]) -> _CheckCall:
    listed = ", ".join(_show(each) for each in allowed)

    def check(value: Any, path: _Path, walk: _Walk) -> None:
        if not any(json_equal(value, each) for each in allowed):
            walk.fail(path, "NotSupported", f"Unsupported value: {_show(value)}: supported values: {listed}")

    return check


def _size_checks(raw: Mapping[str, Any], least_key: str, most_key: str, noun: str) -> Iterator[_CheckCall]:
    least, most = raw.get(least_key), raw.get(most_key)
    if least:

        def check_least(value: Any, path: _Path, walk: _Walk) -> None:
            if len(value) < least:
                walk.invalid(path, len(value), f"should have at least {least} {noun}")

        yield check_least
    if most is not None:

        def check_most(value: Any, path: _Path, walk: _Walk) -> None:
            if len(value) > most:
                walk.fail(path, "TooMany", f"Too many: {len(value)}: must have at most {most} items")

        yield check_most


def _combination_checks(raw: Mapping[str, Any]) -> tuple[_CheckCall, ...]:
    check = _combination_check(raw)
    return () if check is None else (check,)


def _combination_check(raw: Mapping[str, Any]) -> _CheckCall | None:
    """Return the check of allOf, anyOf, oneOf and not; None when there is nothing to check."""
    any_of: Sequence[Any] = raw.get("anyOf") or ()
    if raw.get("x-kubernetes-int-or-string") and all(each.keys() == {"type"} for each in any_of):
        any_of = ()  # spells out integer or string, which is checked already
    all_of: Sequence[Any] = raw.get("allOf") or ()
    one_of: Sequence[Any] = raw.get("oneOf") or ()
    none_of = raw.get("not")
    if not (any_of or all_of or one_of or none_of):
        return None

    def check(value: Any, path: _Path, walk: _Walk) -> None:
        name = go_quote(_render(path))

        def report(text: str) -> None:
            walk.fail(path, "Invalid", f'Invalid value: "": {name} {text}')

        if any_of and not any(_holds(each, value) for each in any_of):
            report("must validate at least one schema (anyOf)")
        if one_of and (valid := sum(_holds(each, value) for each in one_of)) != 1:
            found = f"Found {valid} valid alternatives" if valid else "Found none valid"
            report(f"must validate one and only one schema (oneOf). {found}")
        if not all(_holds(each, value) for each in all_of):
            report("must validate all the schemas (allOf)")
        if none_of is not None and _holds(none_of, value):
            report("must not validate the schema (not)")

    return check


def _holds(raw: Mapping[str, Any], value: Any) -> bool:
    """Return whether `value` satisfies `raw`, a schema inside allOf, anyOf, oneOf or not.

    Such schemas need not give types; a rule about members or items says nothing about other values.
    """
    walk = _Walk(collect_unknown=False)
    node_type = raw.get("type")
    if node_type is not None and not _has_type(node_type, value):
        return False
    match value:
        case dict():
            checks: list[_CheckCall] = [*_size_checks(raw, "minProperties", "maxProperties", "properties")]
            properties = raw.get("properties") or {}
            members = all(_holds(properties[key], item) for key, item in value.items() if key in properties)
            inside = members and all(key in value for key in raw.get("required") or ())
        case list():
            checks = [*_size_checks(raw, "minItems", "maxItems", "items")]
            inside = all(_holds(raw["items"], item) for item in value) if "items" in raw else True
        case str():
            checks, inside = [*_string_checks(raw)], True
        case bool() | None:
            checks, inside = [], True
        case _:
            checks, inside = [*_number_checks(raw, False)], True
    if "enum" in raw:
        checks.append(_enum_check(raw["enum"]))
    for check in (*checks, *_combination_checks(raw)):
        check(value, None, walk)
    return inside and not walk.causes


def _has_type(name: str, value: Any) -> bool:
    found = _type_name(value)
    return name in (found, "number" if found == "integer" else found)


# ------------------------------------------------------------------------------- comparing with the stored object


class _Rule(NamedTuple):
    """A rule that a value, once set, never changes."""

    path: tuple[str | tuple[str, ...] | None, ...]
    """Steps from the root: a member, None for every member, or the keys of a list whose items pair up by them."""
    message: str
    reason: str
    field_path: str
    """Where to report a violation, below the place itself."""

    def cause(self, place: str, value: Any) -> Cause:
        field = place + self.field_path
        if self.reason == "FieldValueForbidden":
            return Cause(reason=self.reason, message=f"Forbidden: {self.message}", field=field)
        return Cause(reason=self.reason, message=f"Invalid value: {_show(value)}: {self.message}", field=field)


_UNCHANGED_RULES = frozenset({"self==oldSelf", "oldSelf==self"})


def _find_rules(raw: Mapping[str, Any], path: tuple[str | tuple[str, ...] | None, ...]) -> Iterator[_Rule]:
    for validation in raw.get("x-kubernetes-validations") or ():
        rule = str(validation.get("rule", ""))
        if "".join(rule.split()) in _UNCHANGED_RULES:
            message = validation.get("message") or f"failed rule: {rule}"
            reason = validation.get("reason") or "FieldValueInvalid"
            yield _Rule(path, message, reason, validation.get("fieldPath") or "")
        else:
            _log.warning("rule %r at %s is not evaluated here", rule, ".".join(map(str, path)) or "the root")
    for name, child in (raw.get("properties") or {}).items():
        yield from _find_rules(child, (*path, name))
    if isinstance(additional := raw.get("additionalProperties"), dict):
        yield from _find_rules(additional, (*path, None))
    if (keys := raw.get("x-kubernetes-list-map-keys")) and "items" in raw:
        yield from _find_rules(raw["items"], (*path, tuple(keys)))


def _pairs(path: Sequence[Any], at: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, old value, new value) for every place that `path` names and both objects have."""
    if not path:
        yield at, old, new
        return
    step, rest = path[0], path[1:]
    if isinstance(step, tuple):
        if isinstance(old, list) and isinstance(new, list):
            before = {_show([item.get(key) for key in step]): item for item in old}
            for index, item in enumerate(new):
                identity = _show([item.get(key) for key in step])
                if identity in before:
                    yield from _pairs(rest, f"{at}[{index}]", before[identity], item)
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (step,) if step is not None else new:
            if name in old and name in new:
                yield from _pairs(rest, f"{at}.{name}" if at else name, old[name], new[name])


def _is_unchanged(path: _Path, new: Object, old: Object) -> bool:
    """Return whether the value that a violation is about is the stored one; list items count as their whole list."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    before: Any = old
    after: Any = new
    for step in reversed(steps):
        if isinstance(step, int) or not (isinstance(before, dict) and isinstance(after, dict)):
            break
        if step not in after:
            break  # a required field is missing: its object is what must not have changed
        if step not in before:
            return False
        before, after = before[step], after[step]
    return json_equal(before, after)
