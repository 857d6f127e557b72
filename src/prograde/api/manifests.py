"""Manifests: YAML and JSON files in, with lines for error messages; YAML out.

Kubernetes reads YAML in its own dialect, and so must we, or a manifest would mean something else here than in a
cluster. ``yes``, ``no``, ``on``, ``off``, ``y`` and ``n`` are booleans (YAML 1.1), but dates are text and ``1:30`` is
text, ``0644`` is octal, ``1e3`` is the number 1000, and keys are always text. The parser's C code builds the nodes; the
scalars get their meaning here.

A file may hold several documents. JSON files are read as JSON, also several in a row.

`check_fields` is the strict reading for tools that check manifests: every unknown, repeated or wrongly typed field,
with its path and line. The controller does not use it, it reads tolerantly (`codec`).
"""

import base64
import binascii
import json
import re
import types
import typing
from collections import Counter
from typing import Any, Final, TypeAlias, Union

import msgspec
import yaml

from prograde.api import codec
from prograde.api.meta import ObjectMeta

__all__ = [
    "Document",
    "FieldProblem",
    "ManifestError",
    "check_fields",
    "decode_document",
    "dump_yaml",
    "load_documents",
]

Path: TypeAlias = tuple[str | int, ...]

_NODES_MAX: Final = 2_000_000
"""More than any real manifest has; a few lines of nested aliases can otherwise fill the memory."""

_DEPTH_MAX: Final = 200
"""Deeper than any Kubernetes object; bounds the recursion."""


class ManifestError(ValueError):
    """A manifest cannot be read. The message begins with file and line, as compilers write it."""

    def __init__(self, source: str, line: int, message: str) -> None:
        super().__init__(f"{source}:{line}: {message}")
        self.source = source
        self.line = line
        self.message = message


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing wrong with one field of a manifest."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.message}"


class Document:
    """One document of a manifest: its JSON value, and where its fields stand."""

    __slots__ = ("_node", "duplicates", "line", "source", "value")

    def __init__(
        self, value: Any, source: str, line: int, node: yaml.Node | None, duplicates: tuple[FieldProblem, ...]
    ) -> None:
        self.value = value
        self.source = source
        self.line = line
        self.duplicates = duplicates
        """Keys that occur twice in one object; the last one counts."""
        self._node = node

    def line_of(self, path: Path) -> int:
        """Return the line of a field, or of the innermost part of its path that exists."""
        node, line = self._node, self.line
        for part in path:
            child: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if isinstance(key, yaml.ScalarNode) and key.value == part:
                        child, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                child = node.value[part]
                line = child.start_mark.line + 1
            if child is None:
                break
            node = child
        return line


def load_documents(text: str | bytes, source: str = "<input>") -> list[Document]:
    """Read all documents of a manifest; empty ones are left out.

    Raises:
        ManifestError: the text is neither YAML nor JSON.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as err:
            line = err.object[: err.start].count(b"\n") + 1
            raise ManifestError(source, line, "not UTF-8 text") from err
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _load_json(text, source)
        except (ValueError, RecursionError):
            pass  # A flow-style YAML document starts like this, too, and the YAML reader has the better messages.
    return _load_yaml(text, source)


# --- JSON -----------------------------------------------------------------------------------------------------


def _load_json(text: str, source: str) -> list[Document]:
    """Read JSON documents that follow each other."""
    documents = []
    duplicates: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(members)
        if len(value) < len(members):
            duplicates.extend(key for key, count in Counter(key for key, _ in members).items() if count > 1)
        return value

    decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_reject_constant)
    position = _skip_space(text, 0)
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        value, position = decoder.raw_decode(text, position)
        if value is not None:
            repeated = tuple(FieldProblem(key, line, f'duplicate field "{key}"') for key in duplicates)
            documents.append(Document(value, source, line, None, repeated))
        duplicates.clear()
        position = _skip_space(text, position)
    return documents


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


# --- YAML -----------------------------------------------------------------------------------------------------

_PLAIN: Final = "prograde/plain"
_MERGE: Final = "<<"


class _Loader(yaml.CBaseLoader):
    """The parser in C; it marks plain scalars, whose meaning depends on their text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _load_yaml(text: str, source: str) -> list[Document]:
    """Read YAML documents."""
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                assert node is not None, "check_node said that there is one"
                reader = _Reader(source)
                value = reader.read(node)
                if value is not None:
                    line = node.start_mark.line + 1
                    documents.append(Document(value, source, line, node, tuple(reader.duplicates)))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        message = ", ".join(part for part in (err.context, err.problem) if part)
        raise ManifestError(source, mark.line + 1 if mark else 1, message) from err
    except yaml.YAMLError as err:
        raise ManifestError(source, 1, str(err).splitlines()[0]) from err
    return documents


class _Reader:
    """Turns the nodes of one document into JSON values."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes_left = _NODES_MAX
        self.duplicates: list[FieldProblem] = []

    def read(self, node: yaml.Node, path: Path = ()) -> Any:
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise self._error(node, f"more than {_NODES_MAX} values, aliases resolved")
        if len(path) > _DEPTH_MAX:
            raise self._error(node, f"nested more than {_DEPTH_MAX} levels deep, or containing itself")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        """Read an object; merged objects (``<<``) fill in what it does not say itself."""
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag == _PLAIN and key_node.value == _MERGE:
                merged = {**self._merge(value_node, path), **merged}
                continue
            key = self._key(key_node)
            if key in values:
                line = key_node.start_mark.line + 1
                self.duplicates.append(FieldProblem(_dotted((*path, key)), line, f'duplicate field "{key}"'))
            values[key] = self.read(value_node, (*path, key))
        return {**merged, **values} if merged else values

    def _merge(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, (*path, _MERGE))
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.MappingNode) for item in node.value):
            merged: dict[str, Any] = {}
            for item in node.value:
                merged = {**self._mapping(item, (*path, _MERGE)), **merged}
            return merged
        raise self._error(node, "map merge requires a map or a sequence of maps as the value")

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a list or a map cannot be a key")
        value = self._scalar(node)
        if isinstance(value, str):
            return value
        return "null" if value is None else json.dumps(value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        tag, text = node.tag, node.value
        if tag == _PLAIN:
            value = resolve_plain(text)
        elif tag == "tag:yaml.org,2002:binary":
            try:
                return base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError) as err:
                raise self._error(node, f"!!binary is not base64 of UTF-8 text: {err}") from err
        elif tag in _TYPED_TAGS:
            value = resolve_plain(text)
            if type(value) not in _TYPED_TAGS[tag]:
                raise self._error(node, f"cannot decode {text!r} as a !!{tag.rpartition(':')[2]}")
        else:
            return text
        if isinstance(value, float) and not _FINITE_MIN < value < _FINITE_MAX:
            raise self._error(node, f"{text} has no JSON form")
        return value

    def _error(self, node: yaml.Node, message: str) -> ManifestError:
        return ManifestError(self._source, node.start_mark.line + 1, message)


_TYPED_TAGS: Final[dict[str, tuple[type, ...]]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
_FINITE_MIN, _FINITE_MAX = float("-inf"), float("inf")

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_PLAIN_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)")
_PLAIN_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER_BITS_MAX: Final = 64
_INTEGER_LENGTH_MAX: Final = 70
"""Sign, prefix and 64 binary digits; anything longer is a float."""

_EXACT_FLOAT_MAX: Final = 1e21
"""From here on JSON writers use exponents, and a number is no integer any more."""


def resolve_plain(text: str) -> Any:
    """Return what an unquoted scalar means: None, a boolean, a number or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[0].isascii() or text[0] not in "+-.0123456789":
        return text
    number = text.replace("_", "")
    if len(number) <= _INTEGER_LENGTH_MAX and _PLAIN_INTEGER.fullmatch(number):
        value = _integer(number)
        return value if value.bit_length() <= _INTEGER_BITS_MAX else float(value)
    if _PLAIN_FLOAT.fullmatch(number):
        real = float(number)
        if not _FINITE_MIN < real < _FINITE_MAX:
            return text
        return int(real) if real.is_integer() and abs(real) < _EXACT_FLOAT_MAX else real
    return text


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return sign * int(digits, 8)
    return sign * int(digits, 0)


# --- Writing YAML ---------------------------------------------------------------------------------------------


_LINE_MAX: Final = 2**31 - 1
"""Never fold a line: it hides what is in it from grep."""


def dump_yaml(value: Any) -> str:
    """Write JSON values as YAML the way kubectl does: sorted keys, block style, long texts as blocks.

    Whatever could be read as something else than text, by us or by a stricter reader, is quoted.
    """
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=_LINE_MAX)


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and tag == _TEXT and implicit[0] and not isinstance(resolve_plain(value), str):
            return _PLAIN  # Any other tag makes the emitter quote.
        return tag


_TEXT: Final = "tag:yaml.org,2002:str"


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT, text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


# --- Strict reading -------------------------------------------------------------------------------------------


def decode_document(document: Document, type_: type[codec.T]) -> tuple[codec.T, tuple[FieldProblem, ...]]:
    """Return the typed object of a document, and the fields that had to be left out of it, with their lines.

    Raises:
        ManifestError: the document is not an object.
    """
    text = msgspec.json.encode(document.value)
    try:
        obj, problems = codec.decode_object(text, type_)
    except codec.DecodeError as err:
        raise ManifestError(document.source, document.line, str(err)) from err
    found = (FieldProblem(path, document.line_of(_parsed(path)), message) for _, path, message in problems)
    return obj, tuple(found)


def check_fields(document: Document, type_: type[msgspec.Struct]) -> list[FieldProblem]:
    """Return every repeated, wrongly typed and unknown field of a document, in the order of their lines.

    Metadata and raw parts (pod templates, plugin configuration) are not looked into.
    """
    _, wrong = decode_document(document, type_)
    unknown = [
        FieldProblem(_dotted(path), document.line_of(path), f'unknown field "{path[-1]}"')
        for path in _unknown_fields(document.value, type_, ())
        if path not in (("apiVersion",), ("kind",))
    ]
    return sorted([*document.duplicates, *wrong, *unknown], key=lambda problem: problem.line)


def _unknown_fields(value: Any, type_: Any, path: Path) -> typing.Iterator[Path]:
    if typing.get_origin(type_) in (Union, types.UnionType):
        members = [member for member in typing.get_args(type_) if member is not type(None)]
        if len(members) == 1:
            yield from _unknown_fields(value, members[0], path)
        return
    origin = typing.get_origin(type_)
    if origin is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_fields(item, typing.get_args(type_)[0], (*path, index))
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown_fields(item, typing.get_args(type_)[1], (*path, key))
    elif isinstance(type_, type) and issubclass(type_, msgspec.Struct) and isinstance(value, dict):
        if type_ is ObjectMeta:
            return
        known = {name: field_type for _, name, field_type in codec.wire_fields(type_)}
        for key, item in value.items():
            if key in known:
                yield from _unknown_fields(item, known[key], (*path, key))
            else:
                yield (*path, key)


def _dotted(path: Path) -> str:
    """Write a path as ``spec.steps[0].pause``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


_PATH_PART = re.compile(r"\.?([^.\[]+)|\[(\d+)\]")


def _parsed(path: str) -> Path:
    """Read what `_dotted` wrote; keys with dots come apart, which only makes a line less exact."""
    return tuple(int(index) if index else name for name, index in _PATH_PART.findall(path))
