"""What a schema can demand of a value beyond its type: limits, patterns, formats, and combinations of demands.

A check is a function that reports to a walk. Checks are made once, when a place of a schema is compiled, and only for
the demands that the place makes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from prograde.api.jsonvalues import json_equal
from prograde.api.scalars import go_quote
from prograde.sandbox.causes import show_value
from prograde.sandbox.formats import INTEGER_RANGES, STRING_FORMATS, compile_pattern
from prograde.sandbox.schemawalk import Mismatch, Path, Walk, render_path, type_name

__all__ = ["Check", "combination_checks", "scalar_checks", "size_checks"]

Check: TypeAlias = Callable[[Any, Path, Walk], None]


def scalar_checks(raw: Mapping[str, Any], is_typed: bool) -> Iterator[Check]:
    if raw.get("type") == "string" or raw.get("x-kubernetes-int-or-string"):
        yield from _string_checks(raw)
    if raw.get("type") in ("integer", "number"):
        yield from _number_checks(raw, is_typed)
    if "enum" in raw:
        yield _enum_check(raw["enum"])
    yield from combination_checks(raw)


def _string_checks(raw: Mapping[str, Any]) -> Iterator[Check]:
    shortest, longest = raw.get("minLength"), raw.get("maxLength")
    if shortest:

        def check_shortest(value: Any, path: Path, walk: Walk) -> None:
            if isinstance(value, str) and len(value) < shortest:
                walk.invalid(path, value, f"should be at least {shortest} chars long")

        yield check_shortest
    if longest is not None:

        def check_longest(value: Any, path: Path, walk: Walk) -> None:
            if isinstance(value, str) and len(value) > longest:
                walk.fail(path, "TooLong", f"Too long: may not be more than {longest} bytes")

        yield check_longest
    pattern = compile_pattern(raw["pattern"]) if "pattern" in raw else None
    if pattern is not None:

        def check_pattern(value: Any, path: Path, walk: Walk) -> None:
            if isinstance(value, str) and pattern.search(value) is None:
                walk.invalid(path, value, f"should match '{raw['pattern']}'")

        yield check_pattern
    format_name = raw.get("format", "")
    has_format = STRING_FORMATS.get(format_name)
    if has_format is not None:

        def check_format(value: Any, path: Path, walk: Walk) -> None:
            if isinstance(value, str) and not has_format(value):
                walk.invalid(path, value, f"must be of type {format_name}: {go_quote(value)}")

        yield check_format


def _number_checks(raw: Mapping[str, Any], is_typed: bool) -> Iterator[Check]:
    least, most, step = raw.get("minimum"), raw.get("maximum"), raw.get("multipleOf")
    excludes_least, excludes_most = raw.get("exclusiveMinimum", False), raw.get("exclusiveMaximum", False)
    limits = INTEGER_RANGES.get(raw.get("format", "")) if raw.get("type") == "integer" else None
    if limits is not None:

        def check_range(value: Any, path: Path, walk: Walk) -> None:
            if not limits[0] <= value <= limits[1]:
                if is_typed:
                    problem = f"json: cannot unmarshal number {value} into Go struct field {{}} of type {raw['format']}"
                    raise Mismatch(path, problem)
                walk.invalid(path, value, f'must be of type {raw["format"]}: "{value}"')

        yield check_range
    if least is not None:

        def check_least(value: Any, path: Path, walk: Walk) -> None:
            if value < least or (excludes_least and value == least):
                walk.invalid(path, value, f"should be greater than {'' if excludes_least else 'or equal to '}{least}")

        yield check_least
    if most is not None:

        def check_most(value: Any, path: Path, walk: Walk) -> None:
            if value > most or (excludes_most and value == most):
                walk.invalid(path, value, f"should be less than {'' if excludes_most else 'or equal to '}{most}")

        yield check_most
    if step:

        def check_step(value: Any, path: Path, walk: Walk) -> None:
            if abs(value / step - round(value / step)) > 1e-9:
                walk.invalid(path, value, f"should be a multiple of {step}")

        yield check_step


def _enum_check(allowed: Sequence[Any]) -> Check:
    listed = ", ".join(show_value(each) for each in allowed)

    def check(value: Any, path: Path, walk: Walk) -> None:
        if not any(json_equal(value, each) for each in allowed):
            walk.fail(path, "NotSupported", f"Unsupported value: {show_value(value)}: supported values: {listed}")

    return check


def size_checks(raw: Mapping[str, Any], least_key: str, most_key: str, noun: str) -> Iterator[Check]:
    least, most = raw.get(least_key), raw.get(most_key)
    if least:

        def check_least(value: Any, path: Path, walk: Walk) -> None:
            if len(value) < least:
                walk.invalid(path, len(value), f"should have at least {least} {noun}")

        yield check_least
    if most is not None:

        def check_most(value: Any, path: Path, walk: Walk) -> None:
            if len(value) > most:
                walk.fail(path, "TooMany", f"Too many: {len(value)}: must have at most {most} items")

        yield check_most


def combination_checks(raw: Mapping[str, Any]) -> tuple[Check, ...]:
    """Return the check of allOf, anyOf, oneOf and not, when there is one of them."""
    any_of: Sequence[Any] = raw.get("anyOf") or ()
    if raw.get("x-kubernetes-int-or-string") and all(each.keys() == {"type"} for each in any_of):
        any_of = ()  # spells out integer or string, which is checked already
    all_of: Sequence[Any] = raw.get("allOf") or ()
    one_of: Sequence[Any] = raw.get("oneOf") or ()
    none_of = raw.get("not")
    if not (any_of or all_of or one_of or none_of):
        return ()

    def check(value: Any, path: Path, walk: Walk) -> None:
        name = go_quote(render_path(path))

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

    return (check,)


def _holds(raw: Mapping[str, Any], value: Any) -> bool:
    """Return whether `value` satisfies `raw`, a schema inside allOf, anyOf, oneOf or not.

    Such schemas need not give types; a rule about members or items says nothing about other values.
    """
    walk = Walk(collect_unknown=False)
    node_type = raw.get("type")
    if node_type is not None and not _has_type(node_type, value):
        return False
    match value:
        case dict():
            checks: list[Check] = [*size_checks(raw, "minProperties", "maxProperties", "properties")]
            properties = raw.get("properties") or {}
            members = all(_holds(properties[key], item) for key, item in value.items() if key in properties)
            inside = members and all(key in value for key in raw.get("required") or ())
        case list():
            checks = [*size_checks(raw, "minItems", "maxItems", "items")]
            inside = all(_holds(raw["items"], item) for item in value) if "items" in raw else True
        case str():
            checks, inside = [*_string_checks(raw)], True
        case bool() | None:
            checks, inside = [], True
        case _:
            checks, inside = [*_number_checks(raw, False)], True
    if "enum" in raw:
        checks.append(_enum_check(raw["enum"]))
    for check in (*checks, *combination_checks(raw)):
        check(value, None, walk)
    return inside and not walk.causes


def _has_type(name: str, value: Any) -> bool:
    found = type_name(value)
    return name in (found, "number" if found == "integer" else found)
