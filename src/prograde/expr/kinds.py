"""Static types: what is known about a value before there is one.

A condition is checked against the value at hand, so the type of `result` is known; what is inside of a map or of an
untyped list is not, and is looked at only when the expression runs.
"""

from dataclasses import dataclass
from typing import Final

from prograde.expr.values import (
    AnyMap,
    Byte,
    Duration,
    Floats,
    Function,
    Int64,
    Ints,
    Pairs,
    Record,
    Strings,
    Value,
    go_type,
)

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "DURATION",
    "FLOAT",
    "INT",
    "INT64",
    "LIST",
    "MAP",
    "MONTH",
    "NIL",
    "STRING",
    "TIME",
    "UNTYPED",
    "WEEKDAY",
    "ZONE",
    "Kind",
    "are_comparable",
    "is_assignable",
    "kind_of",
    "list_of",
    "promoted",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type. `name` is how messages show it, `element` what is inside of a list or map."""

    name: str
    sort: str
    element: "Kind | None" = None
    fields: "dict[str, Kind] | None" = None
    is_declared: bool = True
    """False for an unknown value that comes from no declaration at all, so that nothing is assignable to it."""

    @property
    def is_unknown(self) -> bool:
        return self.sort == "any"

    @property
    def is_nil(self) -> bool:
        return self.sort == "nil"

    @property
    def is_number(self) -> bool:
        return self.sort in ("integer", "float")

    @property
    def is_integer(self) -> bool:
        return self.sort == "integer"

    @property
    def is_number_underneath(self) -> bool:
        """Also durations, months and weekdays, which are numbers but not meant as such."""
        return self.is_number or self.sort in ("duration", "named number")

    @property
    def is_list(self) -> bool:
        return self.sort == "list"

    @property
    def is_map(self) -> bool:
        return self.sort == "map"

    @property
    def inner(self) -> "Kind":
        """The kind of the elements."""
        return self.element if self.element is not None else ANY


ANY: Final = Kind("interface {}", "any")
UNTYPED: Final = Kind("unknown", "any", is_declared=False)
NIL: Final = Kind("unknown", "nil")
BOOL: Final = Kind("bool", "bool")
INT: Final = Kind("int", "integer")
INT64: Final = Kind("int64", "integer")
BYTE: Final = Kind("uint8", "integer")
FLOAT: Final = Kind("float64", "float")
STRING: Final = Kind("string", "string")
BYTES: Final = Kind("[]uint8", "list", BYTE)
LIST: Final = Kind("[]interface {}", "list", ANY)
MAP: Final = Kind("map[string]interface {}", "map", ANY)
DURATION: Final = Kind("time.Duration", "duration")
TIME: Final = Kind("time.Time", "time")
ZONE: Final = Kind("*time.Location", "zone")
MONTH: Final = Kind("time.Month", "named number")
WEEKDAY: Final = Kind("time.Weekday", "named number")

_SIMPLE: Final[dict[type, Kind]] = {
    type(None): NIL,
    bool: BOOL,
    int: INT,
    Int64: INT64,
    Byte: BYTE,
    float: FLOAT,
    str: STRING,
    bytes: BYTES,
    list: LIST,
    dict: MAP,
    Floats: Kind("[]float64", "list", FLOAT),
    Ints: Kind("[]int", "list", INT),
    Strings: Kind("[]string", "list", STRING),
    Pairs: Kind("[][2]interface {}", "list", Kind("[2]interface {}", "list", ANY)),
    AnyMap: Kind("map[interface {}]interface {}", "map", ANY),
    Duration: DURATION,
}


def kind_of(value: Value) -> Kind:
    """Return the kind of a value."""
    known = _SIMPLE.get(type(value))
    if known is not None:
        return known
    if isinstance(value, Function):
        return Kind(value.signature, "function")
    if isinstance(value, Record):
        return Kind(go_type(value), "record", None, {name: kind_of(each) for name, each in value.items()})
    name = go_type(value)
    return {each.name: each for each in (TIME, ZONE, MONTH, WEEKDAY)}.get(name, Kind(name, "other"))


def list_of(element: Kind) -> Kind:
    """Return the kind of an untyped list whose elements are known to be of one kind."""
    return Kind(LIST.name, "list", element)


def are_comparable(left: Kind, right: Kind) -> bool:
    """Tell whether ``==`` makes sense; whatever is unknown may turn out to be anything."""
    if left.is_unknown or right.is_unknown or left.is_nil or right.is_nil:
        return True
    if left.is_number and right.is_number:
        return True
    if left.is_map and right.is_map:
        return left.name == right.name
    if left.sort in ("other", "record", "named number"):
        return left.name == right.name
    return left.sort == right.sort


def is_assignable(kind: Kind, target: Kind) -> bool:
    """Tell whether a value of `kind` may stand where `target` is wanted."""
    return (target.is_unknown and target.is_declared) or (kind.name == target.name and kind.sort == target.sort)


def promoted(left: Kind, right: Kind) -> Kind:
    """Return the kind of a sum of two numbers."""
    return FLOAT if "float" in (left.sort, right.sort) else INT
