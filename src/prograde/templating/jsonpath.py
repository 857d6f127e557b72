"""JSONPath as Kubernetes has it: a template whose actions in braces are paths.

    {$.data.value}          a key of a key
    {.items[0].name}        ``$`` and ``@`` mean the current object and may be left out
    {..name}                the key wherever it is
    {.items[?(@.ok==true)]} those that fit
    text                    stands for itself

What comes out is the list of all values, in order. Users of Argo Rollouts know the dialect, its errors included.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

__all__ = ["InvalidJsonPath", "NotFound", "Template", "parse_jsonpath"]


class InvalidJsonPath(ValueError):
    """The text is no JSONPath template."""


class NotFound(LookupError):
    """The object does not have what a path leads to."""


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any


@dataclass(frozen=True, slots=True)
class _Field:
    name: str


@dataclass(frozen=True, slots=True)
class _Wildcard:
    pass


@dataclass(frozen=True, slots=True)
class _Recursive:
    pass


@dataclass(frozen=True, slots=True)
class _Slice:
    start: int | None
    end: int | None
    step: int
    is_index: bool


@dataclass(frozen=True, slots=True)
class _Union:
    paths: tuple["_Path", ...]


@dataclass(frozen=True, slots=True)
class _Filter:
    left: "_Path"
    operator: str
    right: "_Path"


@dataclass(frozen=True, slots=True)
class _Range:
    path: "_Path"
    body: "_Path"


@dataclass(frozen=True, slots=True)
class _Path:
    nodes: tuple[Any, ...] = field(default=())


class Template:
    """A parsed template."""

    def __init__(self, path: _Path) -> None:
        self._path = path

    def find(self, document: Any) -> list[Any]:
        """Return all values that the template leads to, in order; texts of the template are values too.

        Raises:
            NotFound: a key or an index is not there.
        """
        found: list[Any] = []
        for node in self._path.nodes:
            found += _evaluated(node, [document])
        return found


@lru_cache(maxsize=1024)
def parse_jsonpath(text: str) -> Template:
    """Return the template.

    Raises:
        InvalidJsonPath: it is none.
    """
    return Template(_Parser(text).template())


# ---- Parsing --------------------------------------------------------------------------------------------------------

_NAME_END: Final = frozenset(" \t\r\n.,[]$@{}()=<>!")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>")
_SLICE = re.compile(r"^(-?\d*)(:-?\d*)?(:-?\d*)?$")
_QUOTED_KEY = re.compile(r"^'(?:\\.|[^'\\])*'$")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self) -> _Path:
        nodes: list[Any] = []
        while self._at < len(self._text):
            opening = self._text.find("{", self._at)
            literal = self._text[self._at : opening if opening >= 0 else len(self._text)]
            if literal:
                nodes.append(_Constant(literal))
            if opening < 0:
                break
            self._at = opening + 1
            action = self._action()
            if isinstance(action, str):
                raise InvalidJsonPath("not in range, nothing to end")
            nodes.append(action)
        return _Path(tuple(nodes))

    def _action(self) -> Any:
        """Parse up to the closing brace; ``end`` comes back as a text."""
        self._space()
        word = re.compile(r"(range|end)\b").match(self._text, self._at)
        if word is not None:
            self._at = word.end()
            if word.group() == "end":
                self._close()
                return "end"
            path = self._path("}")
            self._close()
            return _Range(path, self._body())
        path = self._path("}")
        self._close()
        return path

    def _body(self) -> _Path:
        nodes: list[Any] = []
        while True:
            opening = self._text.find("{", self._at)
            if opening < 0:
                raise InvalidJsonPath("unclosed action")
            if literal := self._text[self._at : opening]:
                nodes.append(_Constant(literal))
            self._at = opening + 1
            action = self._action()
            if action == "end":
                return _Path(tuple(nodes))
            nodes.append(action)

    def _close(self) -> None:
        self._space()
        if self._at >= len(self._text):
            raise InvalidJsonPath("unclosed action")
        if self._text[self._at] != "}":
            raise self._unrecognized()
        self._at += 1

    def _space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _unrecognized(self) -> InvalidJsonPath:
        char = self._text[self._at]
        return InvalidJsonPath(f"unrecognized character in action: U+{ord(char):04X} '{char}'")

    def _path(self, ends: str) -> _Path:
        """Parse a path up to one of the characters in `ends`, which is not consumed."""
        nodes: list[Any] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in ends or (not ends.startswith("}") and _OPERATOR.match(self._text, self._at)):
                return _Path(tuple(nodes))
            if char.isspace() or char in "$@":
                self._at += 1
            elif self._text.startswith("..", self._at):
                self._at += 2
                nodes.append(_Recursive())
                if self._at < len(self._text) and self._text[self._at] not in "[":
                    nodes.append(self._name())
            elif char == ".":
                self._at += 1
                nodes.append(self._name())
            elif char == "[":
                nodes += self._brackets()
            elif char in "\"'":
                nodes.append(_Constant(self._string(char)))
            elif number := _NUMBER.match(self._text, self._at):
                self._at = number.end()
                text = number.group()
                nodes.append(_Constant(float(text) if "." in text else int(text)))
            elif word := re.compile(r"true|false").match(self._text, self._at):
                self._at = word.end()
                nodes.append(_Constant(word.group() == "true"))
            elif char.isalpha():
                word_end = self._word_end()
                raise InvalidJsonPath(f"unrecognized identifier {self._text[self._at : word_end]}")
            else:
                raise self._unrecognized()
        raise InvalidJsonPath("unclosed action")

    def _word_end(self) -> int:
        end = self._at
        while end < len(self._text) and self._text[end] not in _NAME_END:
            end += 1
        return end

    def _name(self) -> Any:
        parts: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\" and self._at + 1 < len(self._text):
                parts.append(self._text[self._at + 1])
                self._at += 2
            elif char in _NAME_END:
                break
            else:
                parts.append(char)
                self._at += 1
        name = "".join(parts)
        return _Wildcard() if name == "*" else _Field(name)

    def _string(self, quote: str) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == quote:
                return "".join(parts)
            if char == "\\" and self._at < len(self._text):
                parts.append(self._text[self._at])
                self._at += 1
            else:
                parts.append(char)
        raise InvalidJsonPath(f"unterminated quoted string: {self._text[start:]}")

    def _brackets(self) -> list[Any]:
        self._at += 1
        if self._text.startswith("?(", self._at):
            return [self._filter()]
        inside = self._until_bracket()
        if inside.strip() == "*":
            return [_Slice(None, None, 1, is_index=False)]
        parts = _split(inside)
        if len(parts) > 1:
            return [_Union(tuple(_Path(tuple(self._element(part))) for part in parts))]
        return self._element(inside)

    def _until_bracket(self) -> str:
        start, depth, quote = self._at, 0, ""
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if quote:
                if char == "\\":
                    self._at += 1
                elif char == quote:
                    quote = ""
            elif char == "'":
                quote = char
            elif char == "[":
                depth += 1
            elif char == "]":
                if depth == 0:
                    return self._text[start : self._at - 1]
                depth -= 1
        raise InvalidJsonPath("unterminated array")

    def _element(self, inside: str) -> list[Any]:
        text = inside.strip()
        if _QUOTED_KEY.match(text):
            # A dot inside of the quotes separates keys all the same, unless it is escaped.
            return list(_Parser(f"{{.{text[1:-1]}}}").template().nodes[0].nodes)
        match = _SLICE.match(text)
        if match is None or not text:
            raise InvalidJsonPath(f"invalid array index {text}")
        if match[2] is None:
            index = int(match[1])
            return [_Slice(index, index + 1, 1, is_index=True)]
        start, end = (int(each) if each else None for each in (match[1], match[2][1:]))
        step = int(match[3][1:]) if match[3] and match[3][1:] else 1
        if step <= 0:
            raise InvalidJsonPath("step must be > 0")
        return [_Slice(start, end, step, is_index=False)]

    def _filter(self) -> _Filter:
        self._at += 2
        left = self._path(")")
        operator = _OPERATOR.match(self._text, self._at)
        right = _Path()
        if operator is not None:
            self._at = operator.end()
            right = self._path(")")
        self._at += 1
        self._space()
        if not self._text.startswith("]", self._at):
            raise InvalidJsonPath("unclosed array expect ]")
        self._at += 1
        return _Filter(left, operator.group() if operator is not None else "", right)


def _split(inside: str) -> list[str]:
    """Split at commas outside of quotes."""
    return [part for part in re.findall(r"(?:'(?:\\.|[^'\\])*'|[^,'])+", inside) if part.strip()]


# ---- Evaluating -----------------------------------------------------------------------------------------------------


def _evaluated(node: Any, values: list[Any]) -> list[Any]:
    match node:
        case _Constant():
            return [node.value]
        case _Path():
            for each in node.nodes:
                values = _evaluated(each, values)
            return values
        case _Field():
            return _fields(node.name, values)
        case _Wildcard():
            return [child for value in values for child in _children(value)]
        case _Recursive():
            return [each for value in values for each in _descendants(value)]
        case _Slice():
            return [each for value in values for each in _sliced(node, value)]
        case _Union():
            return [each for value in values for path in node.paths for each in _evaluated(path, [value])]
        case _Filter():
            return [each for value in values for each in _filtered(node, value)]
        case _Range():
            found = []
            for value in _evaluated(node.path, values):
                for each in node.body.nodes:
                    found += _evaluated(each, [value])
            return found
    raise AssertionError(f"no way to evaluate {node!r}")


def _fields(name: str, values: list[Any]) -> list[Any]:
    if not name:
        return values
    found = [value[name] for value in values if isinstance(value, dict) and name in value]
    if not found:
        raise NotFound(f"{name} is not found")
    return found


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _descendants(value: Any) -> Iterator[Any]:
    """Return a value and everything in it."""
    yield value
    for child in _children(value):
        yield from _descendants(child)


def _sliced(node: _Slice, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotFound(f"{_type_name(value)} is not array or slice")
    length = len(value)
    if node.is_index:
        assert node.start is not None
        index = node.start + length if node.start < 0 else node.start
        if not 0 <= index < length:
            raise NotFound(f"array index out of bounds: index {index}, length {length}")
        return [value[index]]
    start = _bound(node.start, 0, length)
    end = _bound(node.end, length, length)
    return value[start : max(start, end) : node.step]


def _bound(given: int | None, default: int, length: int) -> int:
    if given is None:
        return default
    return max(0, min(given + length if given < 0 else given, length))


def _type_name(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "float64"
    return "string"


def _filtered(node: _Filter, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NotFound(f"{_type_name(value)} is not array or slice and cannot be filtered")
    found = []
    for each in value:
        try:
            left = _evaluated(node.left, [each])
        except NotFound:
            continue
        if not node.operator:
            if left:
                found.append(each)
            continue
        right = _evaluated(node.right, [each])
        if not left or not right:
            continue
        if len(left) > 1 or len(right) > 1:
            raise NotFound("can only compare one element at a time")
        if _compared(node.operator, left[0], right[0]):
            found.append(each)
    return found


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


def _compared(operator: str, left: Any, right: Any) -> bool:
    """Compare numbers of JSON with constants of the path, and otherwise like with like."""
    numbers = [isinstance(each, (int, float)) and not isinstance(each, bool) for each in (left, right)]
    if all(numbers):
        return not (math.isnan(left) or math.isnan(right)) and _COMPARE[operator](left, right)
    if type(left) is not type(right) or isinstance(left, (dict, list)):
        raise NotFound("incompatible types for comparison")
    return _COMPARE[operator](left, right)
