"""What compiled expressions do when they run: look into containers, go through lists, convert and complain.

Complaints are those of Go's, since people search for them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final, TypeAlias

from prograde.expr import regex, values
from prograde.expr.builtins import sorted_by, to_int, to_text
from prograde.expr.errors import RunError
from prograde.expr.kinds import Kind, kind_of
from prograde.expr.times import METHODS, Instant
from prograde.expr.values import AnyMap, Byte, Ints, ListMap, Record, Value, go_type

__all__ = [
    "ARITHMETIC",
    "BUDGET",
    "LOOPS",
    "ORDER",
    "TEXT_TESTS",
    "Closure",
    "Loop",
    "NilInChain",
    "Run",
    "Scope",
    "as_bool",
    "converted",
    "elements_of",
    "fetch",
    "get_or_nil",
    "is_in",
    "matches_pattern",
    "named_type",
    "negated",
    "range_of",
    "sliced",
    "sum_of_literal",
]

BUDGET: Final = 1_000_000
"""How many elements an expression may create. Enough for any sane condition, too little to fill the memory."""


class Run:
    """What changes while an expression runs."""

    __slots__ = ("budget", "clock", "environment", "scopes", "variables")

    def __init__(self, environment: Mapping[str, Value], clock: Callable[[], Instant], variables: int) -> None:
        self.environment = environment
        self.clock = clock
        self.variables: list[Value] = [None] * variables
        self.scopes: list[Scope] = []
        self.budget = BUDGET

    def spend(self, elements: int) -> None:
        self.budget -= elements
        if self.budget <= 0:
            raise RunError("memory budget exceeded")


class Scope:
    """The list that a predicate goes through, and where it is."""

    __slots__ = ("accumulator", "elements", "index")

    def __init__(self, elements: Sequence[Value]) -> None:
        self.elements = elements
        self.index = 0
        self.accumulator: Value = None


Closure: TypeAlias = Callable[[Run], Value]


class NilInChain(Exception):
    """An optional member of nil: the whole chain is nil."""


def named_type(value: Value) -> str:
    return "nil" if value is None else go_type(value)


def as_bool(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    raise RunError(f"interface conversion: interface {{}} is {named_type(value)}, not bool")


def converted(value: Value, parameter: Kind) -> Value:
    """Return a value for a parameter of an environment's function.

    Raises:
        RunError: it turns out to be of another type.
    """
    if parameter.is_unknown or kind_of(value) == parameter:
        return value
    raise RunError(f"interface conversion: interface {{}} is {named_type(value)}, not {parameter.name}")


def negated(value: Value) -> Value:
    if isinstance(value, Byte):
        return Byte(-value & 0xFF)
    if isinstance(value, float):
        return -value
    if values.is_integer(value):
        return type(value)(values.wrapped(-value))
    raise RunError(f"invalid operation: - {go_type(value)}")


def _compared(operator: str, *, is_swapped: bool, is_negated: bool) -> Callable[[Value, Value], bool]:
    """Make a comparison of `values.is_less`. With NaN every comparison is false, a negated one too."""

    def compare(left: Value, right: Value) -> bool:
        if is_swapped:
            less = values.is_less(right, left, operator, left, right)
        else:
            less = values.is_less(left, right, operator, left, right)
        return less if not is_negated else not (less or left != left or right != right)

    return compare


def range_of(run: Run, first: Value, last: Value) -> Ints:
    start, end = to_int(first), to_int(last)
    run.spend(max(0, end - start + 1))
    return Ints(range(start, end + 1))


def is_in(container: Value, needle: Value) -> bool:
    if container is None:
        return False
    if isinstance(container, (list, bytes)):
        return any(values.equal(needle, each) for each in container)
    if isinstance(container, Mapping):
        if needle is None:
            return False
        _check_key(container, needle)
        return needle in container
    raise RunError(f'operator "in" not defined on {go_type(container)}')


def _check_key(container: Value, key: Value) -> None:
    if not isinstance(container, AnyMap) and not isinstance(key, str):
        raise RunError(f"reflect.Value.MapIndex: value of type {go_type(key)} is not assignable to type string")


def matches_pattern(text: Value, pattern: Value) -> bool:
    if text is None or pattern is None:
        return False
    wanted = to_text(pattern)
    if not isinstance(text, (str, bytes)):
        raise RunError(f"interface conversion: interface {{}} is {go_type(text)}, not []uint8")
    try:
        compiled = regex.compile_pattern(wanted)
    except regex.InvalidPattern as err:
        raise RunError(str(err)) from None
    found = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return compiled.search(found) is not None


def fetch(container: Value, key: Value) -> Value:
    """Return a member of a container, or a bound method of a date or duration.

    Raises:
        RunError: there is none. A key that a map lacks is nil.
    """
    if isinstance(container, Record):
        if isinstance(key, str) and key in container:
            return container[key]
        raise RunError(f"cannot fetch {values.text_of(key)} from {go_type(container)}")
    if isinstance(container, Mapping):
        if key is None:
            return None
        _check_key(container, key)
        if isinstance(key, (list, dict)):
            raise RunError(f"hash of unhashable type: {go_type(key)}")
        return container.get(key, [] if isinstance(container, ListMap) else None)
    if isinstance(container, (list, bytes, str)):
        return _element(container, to_int(key))
    methods = METHODS.get(go_type(container), {})
    if isinstance(key, str) and key in methods:
        calculate = methods[key][2]
        return lambda *arguments: calculate(container, *arguments)
    raise RunError(f"cannot fetch {values.text_of(key)} from {go_type(container)}")


def _element(container: list[Value] | bytes | str, index: int) -> Value:
    found: Any = container.encode() if isinstance(container, str) else container
    position = index + len(found) if index < 0 else index
    if not 0 <= position < len(found):
        raise RunError(f"index out of range: {position} (array length is {len(found)})")
    return found[position] if isinstance(found, list) else Byte(found[position])


def get_or_nil(container: Value, key: Value) -> Value:
    """Return a member, or nil where there is none."""
    if container is None:
        return None
    if isinstance(container, Mapping):
        if not isinstance(container, AnyMap) and not isinstance(key, str):
            return None
        return container.get(key)
    if isinstance(container, (list, bytes, str)):
        index = to_int(key)
        found: Any = container.encode() if isinstance(container, str) else container
        position = index + len(found) if index < 0 else index
        return _element(container, position) if 0 <= position < len(found) else None
    return None


def sliced(value: Value, start: Value, end: Value) -> Value:
    if isinstance(value, str):
        return sliced(value.encode(), start, end).decode("utf-8", "replace")
    if not isinstance(value, (list, bytes)):
        raise RunError(f"cannot slice {0 if start is None else values.text_of(start)}")
    length = len(value)
    first = _edge(start, length) if start is not None else 0
    last = _edge(end, length) if end is not None else length
    part = value[min(first, last) : last]
    return type(value)(part)


def _edge(value: Value, length: int) -> int:
    index = to_int(value)
    return max(0, min(index + length if index < 0 else index, length))


def elements_of(value: Value) -> Sequence[Value]:
    """Return what a predicate goes through. A map has a length but no elements; what is neither complains at once."""
    if isinstance(value, list):
        return value
    if isinstance(value, (str, bytes)):
        return [Byte(each) for each in (value.encode() if isinstance(value, str) else value)]
    if value is None:
        raise RunError("reflect: call of reflect.Value.Len on zero Value")
    if isinstance(value, Mapping) and not isinstance(value, Record):
        return _MapElements(len(value))
    raise RunError(f"reflect: call of reflect.Value.Len on {values.go_kind(value)} Value")


class _MapElements(Sequence[Value]):
    """A map where a list is wanted: it has a length, but nothing at any index."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        raise RunError("reflect: call of reflect.Value.Index on map Value")


def _said(run: Run, elements: Sequence[Value], body: Closure, indexes: Iterable[int]) -> Iterator[tuple[int, Value]]:
    """Go through the elements; yields each index and what the predicate says there."""
    scope = Scope(elements)
    for index in indexes:
        scope.index = index
        run.scopes.append(scope)
        try:
            answer = body(run)
        finally:
            run.scopes.pop()
        yield index, answer


Loop: TypeAlias = Callable[[Run, Sequence[Value], "Closure | None", "Closure | None"], Value]


def _tested(decide: Callable[[Iterator[bool]], Value]) -> Loop:
    """Make a loop of what is to be done with the predicate's answers."""

    def loop(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> Value:
        assert body is not None
        return decide(as_bool(each) for _, each in _said(run, elements, body, range(len(elements))))

    return loop


def _search(*, wants_index: bool, is_reversed: bool = False) -> Loop:
    def loop(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> Value:
        assert body is not None
        indexes = range(len(elements))
        for index, answer in _said(run, elements, body, reversed(indexes) if is_reversed else indexes):
            if as_bool(answer):
                return index if wants_index else elements[index]
        return None

    return loop


def _filter(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> list[Value]:
    assert body is not None
    return [elements[i] for i, each in _said(run, elements, body, range(len(elements))) if as_bool(each)]


def _map(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> list[Value]:
    assert body is not None
    result = [each for _, each in _said(run, elements, body, range(len(elements)))]
    run.spend(len(result))
    return result


def _group(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> ListMap:
    assert body is not None
    groups = ListMap()
    for index, key in _said(run, elements, body, range(len(elements))):
        if isinstance(key, (list, dict, bytes)):
            raise RunError(f"hash of unhashable type: {go_type(key)}")
        groups.setdefault(key, []).append(elements[index])
    return groups


def _answers(run: Run, elements: Sequence[Value], body: Closure | None) -> Iterable[Value]:
    if body is None:
        return (elements[index] for index in range(len(elements)))
    return (each for _, each in _said(run, elements, body, range(len(elements))))


def _count(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> int:
    return sum(as_bool(each) for each in _answers(run, elements, body))


def _sum(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> Value:
    total: Value = 0
    for each in _answers(run, elements, body):
        total = values.add(each, total)
    return total


def sum_of_literal(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> Value:
    """Add up a list that is written out: like ``a + b + c``, so that texts may be added as well."""
    return reduce(values.add, elements)


def _sort_by(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> list[Value]:
    assert body is not None
    order = to_text(third(run)) if third is not None else "asc"
    if order not in ("asc", "desc"):
        raise RunError("unknown order, use asc or desc")
    keys = [each for _, each in _said(run, elements, body, range(len(elements)))]
    found = [elements[index] for index in range(len(elements))]
    return sorted_by(found, keys, is_descending=order == "desc")


def _reduce(run: Run, elements: Sequence[Value], body: Closure | None, third: Closure | None) -> Value:
    assert body is not None
    scope = Scope(elements)
    start = 0
    if third is not None:
        scope.accumulator = third(run)
    elif elements:
        scope.accumulator, start = elements[0], 1
    else:
        raise RunError("reduce of empty array with no initial value")
    for index in range(start, len(elements)):
        scope.index = index
        run.scopes.append(scope)
        try:
            scope.accumulator = body(run)
        finally:
            run.scopes.pop()
    return scope.accumulator


LOOPS: Final[dict[str, Loop]] = {
    "all": _tested(all),
    "any": _tested(any),
    "none": _tested(lambda answers: not any(answers)),
    "one": _tested(lambda answers: sum(answers) == 1),
    "filter": _filter,
    "map": _map,
    "find": _search(wants_index=False),
    "findIndex": _search(wants_index=True),
    "findLast": _search(wants_index=False, is_reversed=True),
    "findLastIndex": _search(wants_index=True, is_reversed=True),
    "groupBy": _group,
    "count": _count,
    "sum": _sum,
    "sortBy": _sort_by,
    "reduce": _reduce,
}

ARITHMETIC: Final[dict[str, tuple[Callable[[Value, Value], Value], tuple[str, ...]]]] = {
    "+": (values.add, ("number", "string", "time", "duration")),
    "-": (values.subtract, ("number", "time", "duration")),
    "*": (values.multiply, ("number", "duration")),
    "/": (values.divide, ("number",)),
    "%": (values.modulo, ("integer",)),
    "**": (values.power, ("number",)),
    "^": (values.power, ("number",)),
}
ORDER: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "<": _compared("<", is_swapped=False, is_negated=False),
    ">": _compared(">", is_swapped=True, is_negated=False),
    "<=": _compared("<=", is_swapped=True, is_negated=True),
    ">=": _compared(">=", is_swapped=False, is_negated=True),
}
TEXT_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda text, part: part in text,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}
