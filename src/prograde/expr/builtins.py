"""The functions of the language that take ordinary arguments: what they accept, and what they do.

Each has two parts. `check` gets the kinds of the arguments, as far as they are known, and returns that of the result or
says what is wrong; `run` gets the values, where what was unknown before may turn out not to fit after all. Functions
that take a predicate are part of the compiler.
"""

import base64
import binascii
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from functools import cmp_to_key
from typing import Any, Final, NamedTuple

from prograde.api.scalars import InvalidDuration, parse_duration_nanoseconds
from prograde.expr.errors import RunError
from prograde.expr.jsontext import from_json, to_json
from prograde.expr.kinds import (
    ANY,
    BOOL,
    DURATION,
    FLOAT,
    INT,
    LIST,
    STRING,
    TIME,
    ZONE,
    Kind,
    is_assignable,
    kind_of,
)  # fmt: skip
from prograde.expr.times import Instant, NamedNumber, Zone, default_layouts, parse_time, zone_named
from prograde.expr.values import (
    AnyMap,
    Byte,
    Duration,
    Floats,
    Ints,
    Pair,
    Pairs,
    Record,
    Strings,
    Value,
    equal,
    go_kind,
    go_type,
    int_of_float,
    is_integer,
    is_less,
    is_number,
    text_of,
    to_float,
    wrapped,
)  # fmt: skip

__all__ = ["BUILTINS", "Builtin", "Misuse", "check_arguments", "sorted_by", "to_int"]

REPEAT_MAX: Final = 1_000_000


class Misuse(Exception):
    """A call that can never be right; the text says why."""


class Builtin(NamedTuple):
    """One function. `run` also gets the clock, for the few that ask for the time."""

    check: Callable[[Sequence[Kind]], Kind]
    run: Callable[[Sequence[Value], Callable[[], Instant]], Value]


# ---- Checking -------------------------------------------------------------------------------------------------------


def check_arguments(name: str, parameters: Sequence[Kind], arguments: Sequence[Kind]) -> None:
    """Check the arguments of a call against the parameters, one after the other.

    Raises:
        Misuse: they do not fit.
    """
    if len(arguments) != len(parameters):
        # Looking at an argument may find something wrong with it, which comes first.
        list(arguments)
        amount = "too many" if len(arguments) > len(parameters) else "not enough"
        raise Misuse(f"{amount} arguments to call {name}")
    for argument, parameter in zip(arguments, parameters, strict=True):
        if argument.is_nil and not parameter.is_unknown:
            raise Misuse(f"cannot use nil as argument (type {parameter.name}) to call {name}")
        fits = is_assignable(argument, parameter) or (argument.is_integer and parameter.is_number)
        if not fits and not argument.is_unknown:
            raise Misuse(f"cannot use {argument.name} as argument (type {parameter.name}) to call {name} ")


def _typed(name: str, result: Kind, *overloads: Sequence[Kind]) -> Callable[[Sequence[Kind]], Kind]:
    """Accept the first of the overloads that fits; the complaint is about the last."""

    def check(arguments: Sequence[Kind]) -> Kind:
        problem: Misuse | None = None
        for overload in overloads:
            try:
                check_arguments(name, overload, arguments)
            except Misuse as err:
                problem = err
            else:
                return result
        assert problem is not None
        raise problem

    return check


def _shown(kind: Kind) -> str:
    return "%!s(<nil>)" if kind.is_nil else kind.name


def _counted(count: int, arguments: Sequence[Kind]) -> list[Kind]:
    """Return the kinds of all arguments, each of them looked at before they are counted."""
    kinds = list(arguments)
    if len(kinds) != count:
        raise Misuse(f"invalid number of arguments (expected {count}, got {len(kinds)})")
    return kinds


def _one_of(name: str, result: Kind | None, *sorts: str) -> Callable[[Sequence[Kind]], Kind]:
    """Accept one argument of one of the sorts; without `result` the result is of the same kind."""

    def check(arguments: Sequence[Kind]) -> Kind:
        (argument,) = _counted(1, arguments)
        # That a duration or a month is of no use here is found out only when it runs.
        sort = "integer" if argument.is_number_underneath and not argument.is_number else argument.sort
        if not argument.is_unknown and sort not in sorts:
            raise Misuse(f"invalid argument for {name} (type {_shown(argument)})")
        return (ANY if argument.is_unknown else argument) if result is None else result

    return check


def _list_only(complaint: str, result: Kind, sort: str = "list", count: int = 1) -> Callable[[Sequence[Kind]], Kind]:
    def check(arguments: Sequence[Kind]) -> Kind:
        _counted(count, arguments)
        if not arguments[0].is_unknown and arguments[0].sort != sort:
            raise Misuse(complaint.format(_shown(arguments[0])))
        return result

    return check


def _check_take(lazy: Sequence[Kind]) -> Kind:
    arguments = list(lazy)
    _list_only("cannot take from {}", LIST, count=2)(arguments)
    if not arguments[1].is_unknown and not arguments[1].is_integer:
        raise Misuse(f"cannot take {_shown(arguments[1])} elements")
    return ANY if arguments[0].is_unknown else Kind(arguments[0].name, "list", _declared_element(arguments[0]))


def _declared_element(kind: Kind) -> Kind:
    """Return what the type of a list says about its elements, whatever else is known."""
    return ANY if kind.name == LIST.name else kind.inner


def _check_concat(arguments: Sequence[Kind]) -> Kind:
    kinds = list(arguments)
    if not kinds:
        raise Misuse("invalid number of arguments (expected at least 1, got 0)")
    for argument in kinds:
        if not argument.is_unknown and not argument.is_list:
            raise Misuse(f"cannot concat {_shown(argument)}")
    return LIST


def _check_aggregate(name: str) -> Callable[[Sequence[Kind]], Kind]:
    """Accept numbers and lists of them."""

    def check(arguments: Sequence[Kind]) -> Kind:
        kinds = list(arguments)
        if not kinds:
            raise Misuse(f"not enough arguments to call {name}")
        for argument in kinds:
            if argument.is_list or argument.is_unknown:
                # What it turns out to be decides, and what comes after it is not looked at.
                return ANY
            if not argument.is_number_underneath:
                raise Misuse(f"invalid argument for {name} (type {_shown(argument)})")
        return kinds[0]

    return check


def _check_date(lazy: Sequence[Kind]) -> Kind:
    arguments = list(lazy)
    if not arguments:
        raise Misuse("invalid number of arguments (expected at least 1, got 0)")
    has_zone = arguments[0].sort == "zone"
    if len(arguments) > 3 + has_zone:
        raise Misuse(f"invalid number of arguments (expected at most {3 + has_zone}, got {len(arguments)})")
    return TIME


def _check_now(lazy: Sequence[Kind]) -> Kind:
    arguments = list(lazy)
    if arguments and not (len(arguments) == 1 and arguments[0].sort == "zone"):
        raise Misuse(f"invalid number of arguments (expected 0, got {len(arguments)})")
    return TIME


# ---- Converting -----------------------------------------------------------------------------------------------------


def _named(value: Value) -> str:
    return "nil" if value is None else go_type(value)


def to_text(value: Value) -> str:
    """Return a text as it is.

    Raises:
        RunError: it is none.
    """
    if isinstance(value, str):
        return value
    raise RunError(f"interface conversion: interface {{}} is {_named(value)}, not string")


def to_int(value: Value) -> int:
    """Return a number as integer, its fraction cut off.

    Raises:
        RunError: it is none.
    """
    if is_integer(value):
        return int(value)
    if isinstance(value, float):
        return int_of_float(value)
    raise RunError(f"invalid operation: int({go_type(value)})")


def _int(value: Value) -> int:
    if value is None:
        raise RunError("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(value, str):
        digits = value[1:] if value[:1] in ("+", "-") else value
        if not (digits.isascii() and digits.isdigit()) or not -(1 << 63) <= int(value) < 1 << 63:
            raise RunError(f"invalid operation: int({value})")
        return int(value)
    if isinstance(value, Duration):
        return value.nanoseconds
    return value.number if isinstance(value, NamedNumber) else to_int(value)


def _float(value: Value) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise RunError(f"invalid operation: float({value})") from None
    return to_float(value)


def _type(value: Value) -> str:
    if value is None:
        return "nil"
    if isinstance(value, (Instant, Duration, NamedNumber)):
        return go_type(value)
    if isinstance(value, Zone):
        return "time.Location"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Byte):
        return "uint"
    if isinstance(value, int):
        return "int" if go_type(value) in ("int", "int64") else go_type(value)
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, bytes)):
        return "array"
    return "map" if isinstance(value, dict) and not isinstance(value, Record) else go_type(value)


# ---- Lists and maps -------------------------------------------------------------------------------------------------


def _values_of(value: Value, complaint: str) -> list[Value]:
    if isinstance(value, bytes):
        return [Byte(each) for each in value]
    if isinstance(value, list):
        return list(value)
    raise RunError(complaint.format(go_kind(value)))


def _len(value: Value) -> int:
    if isinstance(value, (str, list, dict, bytes)):
        return len(value)
    raise RunError(f"invalid argument for len (type {go_type(value)})")


def _check_edge(which: str) -> Callable[[Sequence[Kind]], Kind]:
    """Accept a list; the result is of the kind that its type declares for its elements."""

    def check(arguments: Sequence[Kind]) -> Kind:
        (argument,) = _counted(1, arguments)
        if not argument.is_unknown and not argument.is_list:
            raise Misuse(f"cannot get {which} element from {_shown(argument)}")
        return _declared_element(argument) if argument.is_list else ANY

    return check


def _edge(index: int) -> Callable[..., Value]:
    def run(arguments: Sequence[Value], _: Callable[[], Instant]) -> Value:
        values = arguments[0]
        if isinstance(values, (str, bytes)) and values:
            return Byte((values.encode() if isinstance(values, str) else values)[index])
        return values[index] if isinstance(values, list) and values else None

    return run


def _take(values: Value, count: Value) -> list[Value]:
    found = _values_of(values, "cannot take from {}")
    if not is_integer(count):
        raise RunError(f"cannot take {go_kind(count)} elements")
    if count < 0:
        raise RunError("reflect.Value.Slice: slice index out of bounds")
    return found[:count]


def _uniq(values: Value) -> list[Value]:
    unique: list[Value] = []
    for each in _values_of(values, "cannot uniq {}"):
        if not any(equal(each, other) for other in unique):
            unique.append(each)
    return unique


def _flatten(value: Value) -> list[Value]:
    flat: list[Value] = []
    for each in _values_of(value, "cannot flatten {}"):
        flat += _flatten(each) if isinstance(each, (list, bytes)) else [each]
    return flat


def _join(arguments: Sequence[Value]) -> str:
    values, separator = arguments[0], arguments[1] if len(arguments) > 1 else ""
    if type(values) not in (list, Strings):
        shown = "%!s(<nil>)" if values is None else go_type(values)
        raise RunError(f"invalid argument for join (type {shown})")
    return to_text(separator).join(to_text(each) for each in values)


def _map_of(value: Value, complaint: str) -> dict[Value, Value]:
    if isinstance(value, dict) and not isinstance(value, Record):
        return value
    raise RunError(complaint.format(go_kind(value)))


def _from_pairs(value: Value) -> AnyMap:
    if not isinstance(value, (list, bytes)):
        is_text = isinstance(value, (str, Duration, Instant))
        shown = text_of(value) if is_text else f"%!s({go_type(value)}={text_of(value)})"
        raise RunError(f"cannot transform {'%!s(<nil>)' if value is None else shown} from pairs")
    result = AnyMap()
    for pair in value:
        if not isinstance(pair, list):
            raise RunError(f"invalid pair {text_of(pair)}")
        if len(pair) != 2:
            raise RunError(f"invalid pair length {text_of(pair)}")
        result[pair[0]] = pair[1]
    return result


def sorted_by(values: Sequence[Value], keys: Sequence[Value], *, is_descending: bool) -> list[Value]:
    """Sort values by their keys, equal ones in the order in which they came.

    Raises:
        RunError: two keys cannot be compared.
    """

    def order(one: int, other: int) -> int:
        if is_less(keys[one], keys[other]):
            return -1
        return 1 if is_less(keys[other], keys[one]) else 0

    indexes = sorted(range(len(values)), key=cmp_to_key(order), reverse=is_descending)
    return [values[index] for index in indexes]


def _sort(arguments: Sequence[Value]) -> list[Value]:
    values = arguments[0]
    order = to_text(arguments[1]) if len(arguments) > 1 else "asc"
    if order not in ("asc", "desc"):
        raise RunError(f"invalid order {order}, expected asc or desc")
    if not isinstance(values, list):
        return []
    return sorted_by(values, values, is_descending=order == "desc")


# ---- Numbers --------------------------------------------------------------------------------------------------------


def _numbers_in(name: str, arguments: Sequence[Value]) -> Iterator[int | float]:
    for each in arguments:
        if isinstance(each, (list, bytes)):
            yield from _numbers_in(name, _values_of(each, ""))
        elif is_number(each):
            yield each
        else:
            raise RunError(f"invalid argument for {name} (type {go_type(each)})")


def _plain_numbers(arguments: Sequence[Value]) -> list[Value]:
    """Return arguments with durations as the numbers that they are underneath."""
    return [each.nanoseconds if isinstance(each, Duration) else each for each in arguments]


def _mean(arguments: Sequence[Value]) -> float:
    numbers = list(_numbers_in("mean", _plain_numbers(arguments)))
    return sum(map(float, numbers)) / len(numbers) if numbers else 0.0


def _median(arguments: Sequence[Value]) -> float:
    numbers = [float(each) for each in _numbers_in("median", _plain_numbers(arguments))]
    return float(statistics.median(numbers)) if numbers else 0.0


def _extreme(name: str) -> Callable[..., Value]:
    def is_better(each: Value, best: Value) -> bool:
        return is_less(best, each) if name == "max" else is_less(each, best, ">", best, each)

    def run(arguments: Sequence[Value], _: Callable[[], Instant]) -> Value:
        if len(arguments) == 1 and not isinstance(arguments[0], (list, bytes)):
            return arguments[0]
        best: Value = None
        for argument in arguments:
            # A date or duration is compared as it is, but not if it is in a list.
            is_plain = isinstance(argument, (Duration, NamedNumber))
            for each in (argument,) if is_plain else _numbers_in(name, [argument]):
                if best is None or is_better(each, best):
                    best = each
        return best

    return run


def _rounding(name: str, round_float: Callable[[float], float]) -> Builtin:
    def run(arguments: Sequence[Value], _: Callable[[], Instant]) -> float:
        (value,) = arguments
        if not is_number(value):
            raise RunError(f"invalid argument for {name} (type {go_type(value)})")
        number = float(value)
        return number if math.isnan(number) or math.isinf(number) else round_float(number)

    return Builtin(_one_of(name, FLOAT, "integer", "float"), run)


def _away_from_zero(number: float) -> float:
    whole = math.trunc(number)
    return math.copysign(abs(whole) + (abs(number - whole) >= 0.5), number)


def _abs(value: Value) -> Value:
    if not is_number(value):
        raise RunError(f"invalid argument for abs (type {go_type(value)})")
    return abs(value) if isinstance(value, float) else type(value)(wrapped(abs(value)))


def _bits(name: str, calculate: Callable[..., int], count: int = 2) -> Builtin:
    def run(arguments: Sequence[Value], _: Callable[[], Instant]) -> int:
        for each in arguments:
            if not is_integer(each):
                raise RunError(f"cannot use {go_type(each)} as argument (type int) to call {name}")
        return wrapped(calculate(*map(int, arguments)))

    return Builtin(_typed(name, INT, [INT] * count), run)


def _shift(calculate: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def run(number: int, count: int) -> int:
        if count < 0:
            raise RunError(f"invalid operation: negative shift count {count} (type int)")
        return calculate(number, min(count, 64))

    return run


# ---- Text -----------------------------------------------------------------------------------------------------------


def _text(name: str, result: Kind, calculate: Callable[..., Value], *overloads: Sequence[Kind]) -> Builtin:
    def run(arguments: Sequence[Value], _: Callable[[], Instant]) -> Value:
        kinds = max(overloads, key=len)
        converted = [
            to_text(each) if kind is STRING else to_int(each) for each, kind in zip(arguments, kinds, strict=False)
        ]
        return calculate(*converted)

    return Builtin(_typed(name, result, *overloads), run)


def _trim(text: str, characters: str | None = None) -> str:
    return text.strip() if characters is None else text.strip(characters) if characters else text


def _split(text: str, separator: str, count: int = -1, *, keeps_separator: bool = False) -> Strings:
    if count == 0:
        return Strings()
    parts = list(text) if not separator else text.split(separator)
    if separator and keeps_separator:
        parts = [f"{part}{separator}" for part in parts[:-1]] + parts[-1:]
    if 0 < count < len(parts):
        glue = "" if keeps_separator else separator
        parts = [*parts[: count - 1], glue.join(parts[count - 1 :])]
    return Strings(parts)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _repeat(text: str, count: int) -> str:
    if count < 0:
        raise RunError(f"invalid argument for repeat (expected positive integer, got {count})")
    if count > REPEAT_MAX:
        raise RunError("memory budget exceeded")
    return text * count


def _index_of(text: str, part: str) -> int:
    index = text.find(part)
    return index if index < 0 else len(text[:index].encode())


def _last_index_of(text: str, part: str) -> int:
    index = text.rfind(part)
    return index if index < 0 else len(text[:index].encode())


def _from_base64(text: str) -> str:
    stripped = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(stripped, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        alphabet = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        good = next((i for i, char in enumerate(stripped) if char not in alphabet), len(stripped))
        raise RunError(
            f"illegal base64 data at input byte {good // 4 * 4 if good == len(stripped) else good}"
        ) from None


# ---- Time -----------------------------------------------------------------------------------------------------------


def _duration(text: str) -> Duration:
    try:
        return Duration(parse_duration_nanoseconds(text))
    except InvalidDuration as err:
        raise RunError(str(err)) from None


def _date(arguments: Sequence[Value], _: Callable[[], Instant]) -> Instant:
    zone: tzinfo | None = None
    rest = list(arguments)
    if isinstance(rest[0], Zone):
        zone = rest.pop(0).info
    texts = [to_text(each) for each in rest]
    if not texts:
        raise RunError("invalid number of arguments (expected at least 1, got 0)")
    if len(texts) > 2:
        zone = zone_named(texts[2]).info
    layouts = texts[1:2] or default_layouts
    for layout in layouts:
        found = parse_time(texts[0], layout) if zone is None else parse_time(texts[0], layout, zone)
        if found is not None:
            return found
    if texts[1:2]:
        raise RunError(f'parsing time "{texts[0]}" as "{texts[1]}": cannot parse "{texts[0]}" as "{texts[1]}"')
    raise RunError(f"invalid date {texts[0]}")


def _now(arguments: Sequence[Value], clock: Callable[[], Instant]) -> Instant:
    now = clock()
    return Instant(now.nanoseconds, arguments[0].info) if arguments else now


# ---- The table ------------------------------------------------------------------------------------------------------


def _plain(check: Callable[[Sequence[Kind]], Kind], calculate: Callable[..., Value]) -> Builtin:
    return Builtin(check, lambda arguments, _: calculate(*arguments))


def _of_list(check: Callable[[Sequence[Kind]], Kind], calculate: Callable[[Sequence[Value]], Value]) -> Builtin:
    return Builtin(check, lambda arguments, _: calculate(arguments))


_SORTABLE: Final[tuple[list[Any], ...]] = ([], Floats(), Strings(), Ints())
"""The types of lists that can be sorted, the one that complaints name last."""

_TEXT = [STRING]
_TEXTS = [STRING, STRING]

BUILTINS: Final[dict[str, Builtin]] = {
    "len": _plain(_one_of("len", INT, "string", "list", "map", "record"), _len),
    "type": _plain(_typed("type", STRING, [ANY]), _type),
    "abs": _plain(_one_of("abs", None, "integer", "float"), _abs),
    "ceil": _rounding("ceil", lambda number: math.copysign(float(math.ceil(number)), number)),
    "floor": _rounding("floor", lambda number: math.copysign(float(math.floor(number)), number)),
    "round": _rounding("round", _away_from_zero),
    "int": _plain(_one_of("int", INT, "integer", "float", "string"), _int),
    "float": _plain(_one_of("float", FLOAT, "integer", "float", "string"), _float),
    "string": _plain(_typed("string", STRING, [ANY]), text_of),
    "trim": _text("trim", STRING, _trim, _TEXT, _TEXTS),
    "trimPrefix": _text("trimPrefix", STRING, lambda text, part=" ": text.removeprefix(part), _TEXTS, _TEXT),
    "trimSuffix": _text("trimSuffix", STRING, lambda text, part=" ": text.removesuffix(part), _TEXTS, _TEXT),
    "upper": _text("upper", STRING, str.upper, _TEXT),
    "lower": _text("lower", STRING, str.lower, _TEXT),
    "split": _text("split", kind_of(Strings()), _split, _TEXTS, [*_TEXTS, INT]),
    "splitAfter": _text(
        "splitAfter",
        kind_of(Strings()),
        lambda text, separator, count=-1: _split(text, separator, count, keeps_separator=True),
        _TEXTS,
        [*_TEXTS, INT],
    ),
    "replace": _text("replace", STRING, _replace, [*_TEXTS, STRING, INT], [*_TEXTS, STRING]),
    "repeat": _text("repeat", STRING, _repeat, [STRING, INT]),
    "join": _of_list(
        _typed("join", STRING, [LIST, STRING], [LIST], [kind_of(Strings()), STRING], [kind_of(Strings())]), _join
    ),
    "indexOf": _text("indexOf", INT, _index_of, _TEXTS),
    "lastIndexOf": _text("lastIndexOf", INT, _last_index_of, _TEXTS),
    "hasPrefix": _text("hasPrefix", BOOL, str.startswith, _TEXTS),
    "hasSuffix": _text("hasSuffix", BOOL, str.endswith, _TEXTS),
    "min": Builtin(_check_aggregate("min"), _extreme("min")),
    "max": Builtin(_check_aggregate("max"), _extreme("max")),
    "mean": _of_list(_check_aggregate("mean"), _mean),
    "median": _of_list(_check_aggregate("median"), _median),
    "toJSON": _plain(_typed("toJSON", STRING, [ANY]), to_json),
    "fromJSON": _text("fromJSON", ANY, from_json, _TEXT),
    "toBase64": _text("toBase64", STRING, lambda text: base64.b64encode(text.encode()).decode(), _TEXT),
    "fromBase64": _text("fromBase64", STRING, _from_base64, _TEXT),
    "now": Builtin(_check_now, _now),
    "duration": _text("duration", DURATION, _duration, _TEXT),
    "date": Builtin(_check_date, _date),
    "timezone": _text("timezone", ZONE, zone_named, _TEXT),
    "first": Builtin(_check_edge("first"), _edge(0)),
    "last": Builtin(_check_edge("last"), _edge(-1)),
    "keys": _plain(
        _list_only("cannot get keys from {}", LIST, "map"), lambda m: list(_map_of(m, "cannot get keys from {}"))
    ),
    "values": _plain(
        _list_only("cannot get values from {}", LIST, "map"),
        lambda m: list(_map_of(m, "cannot get values from {}").values()),
    ),
    "toPairs": _plain(
        _list_only("cannot transform {} to pairs", LIST, "map"),
        lambda m: Pairs(Pair(item) for item in _map_of(m, "cannot transform {} to pairs").items()),
    ),
    "fromPairs": _plain(_list_only("cannot transform {} from pairs", kind_of(AnyMap())), _from_pairs),
    "reverse": _plain(
        _list_only("cannot reverse {}", LIST), lambda values: _values_of(values, "cannot reverse {}")[::-1]
    ),
    "uniq": _plain(_list_only("cannot uniq {}", LIST), _uniq),
    "concat": _of_list(
        _check_concat, lambda lists: [each for one in lists for each in _values_of(one, "cannot concat {}")]
    ),
    "flatten": _plain(_list_only("cannot flatten {}", LIST), _flatten),
    "take": _plain(_check_take, _take),
    "sort": _of_list(
        _typed(
            "sort",
            LIST,
            *([kind_of(each), STRING] for each in _SORTABLE),
            *([kind_of(each)] for each in _SORTABLE),
        ),
        _sort,
    ),
    "bitand": _bits("bitand", lambda one, other: one & other),
    "bitor": _bits("bitor", lambda one, other: one | other),
    "bitxor": _bits("bitxor", lambda one, other: one ^ other),
    "bitnand": _bits("bitnand", lambda one, other: one & ~other),
    "bitnot": _bits("bitnot", lambda number: ~number, 1),
    "bitshl": _bits("bitshl", _shift(lambda number, count: number << count)),
    "bitshr": _bits("bitshr", _shift(lambda number, count: number >> count)),
    "bitushr": _bits("bitushr", _shift(lambda number, count: (number & ((1 << 64) - 1)) >> count)),
}
