"""Protobuf request bodies of built-in kinds, turned into the JSON that an older client would have sent.

kubectl since 1.32 and all typed Go clients create built-in objects in protobuf. Nothing needs to be encoded: every
such client reads JSON answers. A body is four magic bytes and an envelope with the type and the bytes of the object,
whose messages are described, one a line, in ``wire_types.txt``; a line is read when its message is first met.

What Go leaves out of JSON is left out here: zero values of plain fields and messages that hold nothing. Fields that
are pointers in Go are kept whatever they hold, so that ``replicas: 0`` survives.
"""

import base64
import functools
import importlib.resources
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from prograde.sandbox.kinds import Object

__all__ = ["MAGIC", "ProtobufError", "decode"]

MAGIC = b"k8s\0"
"""The first bytes of every Kubernetes protobuf body."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH_MAX = 100
"""Nesting of messages; the deepest real one, a Job's probe, is about a dozen."""

_Wire: TypeAlias = "int | bytes"


class ProtobufError(ValueError):
    """The body is no Kubernetes protobuf, is damaged, or is of a kind that has no wire table."""


def decode(body: bytes) -> Object:
    """Return the object in `body`, with apiVersion and kind.

    Raises:
        ProtobufError: the body cannot be decoded.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not start with the Kubernetes protobuf prefix")
    api_version, kind, content = "", "", b""
    for number, wire in _records(body[len(MAGIC) :]):
        if number == 1:
            names = {inner: _text(value) for inner, value in _records(_expect_bytes(wire))}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2:
            content = _expect_bytes(wire)
    group, _, version = api_version.rpartition("/")
    package = f"{group.partition('.')[0] or 'core'}{version}"
    name = "metav1.DeleteOptions" if kind == "DeleteOptions" else f"{package}.{kind}"
    if name not in _lines():
        raise ProtobufError(f"no protobuf decoding for kind {kind!r} of {api_version!r}; send JSON")
    return {"apiVersion": api_version, "kind": kind, **_message(content, name, 0)}


# ---------------------------------------------------------------------------------------------------- the wire format


def _records(content: bytes) -> Iterator[tuple[int, _Wire]]:
    """Yield (field number, value) of one message: an int for numbers of any width, bytes for the rest."""
    position, end = 0, len(content)
    while position < end:
        tag, position = _varint(content, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(content, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ProtobufError(f"field {number} has the unknown wire type {wire_type}")
        if position + size > end:
            raise ProtobufError(f"field {number} is cut off")
        raw = content[position : position + size]
        position += size
        yield number, raw if wire_type == _BYTES else int.from_bytes(raw, "little")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(content) or shift > 63:
            raise ProtobufError("a number is cut off or too long")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _expect_bytes(wire: _Wire) -> bytes:
    if not isinstance(wire, bytes):
        raise ProtobufError("a number stands where text or a message belongs")
    return wire


def _expect_number(wire: _Wire) -> int:
    if not isinstance(wire, int):
        raise ProtobufError("text or a message stands where a number belongs")
    return wire


def _text(wire: _Wire) -> str:
    try:
        return _expect_bytes(wire).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError("a text is not UTF-8") from error


def _integer(wire: _Wire) -> int:
    """Return a signed number: negative ones are sent as the two's complement in 64 bits."""
    value = _expect_number(wire) & (2**64 - 1)
    return value - 2**64 if value >= 2**63 else value


# ---------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    """Empty: the members of the message belong to the parent."""
    type: str
    is_pointer: bool
    is_always_written: bool
    is_repeated: bool
    is_map: bool


_FIELD = re.compile(r"(?P<number>\d+) (?P<name>\w*):(?P<open>\{)?(?P<type>[\w.]+)\}?(?P<mark>[?!*]?)")


@functools.cache
def _lines() -> Mapping[str, str]:
    """Return message name (``appsv1.Deployment``) -> its fields, still as text."""
    text = importlib.resources.files("prograde.sandbox").joinpath("wire_types.txt").read_text(encoding="utf-8")
    lines: dict[str, str] = {}
    package = ""
    for line in text.splitlines():
        if line.startswith("["):
            package = line.strip("[]").replace("/", "")
        elif " = " in line and not line.startswith("#"):
            name, _, fields = line.partition(" = ")
            lines[f"{package}.{name}"] = fields
    return lines


@functools.cache
def _fields(message: str) -> Mapping[int, _Field]:
    fields: dict[int, _Field] = {}
    for text in _lines()[message].split(", "):
        found = _FIELD.fullmatch(text)
        assert found is not None, f"wire_types.txt: {message}: {text!r}"
        fields[int(found["number"])] = _Field(
            name=found["name"],
            type=found["type"] if found["type"] in _CONVERSIONS or "." in found["type"] else f"corev1.{found['type']}",
            is_pointer=found["mark"] == "?",
            is_always_written=found["mark"] == "!",
            is_repeated=found["mark"] == "*",
            is_map=found["open"] == "{",
        )
    return fields


# ---------------------------------------------------------------------------------------------------- turning into JSON


def _message(content: bytes, message: str, depth: int) -> dict[str, Any]:
    if depth > _DEPTH_MAX:
        raise ProtobufError("messages are nested too deeply")
    fields = _fields(message)
    decoded: dict[str, Any] = {}
    for number, wire in _records(content):
        field = fields.get(number)
        if field is None:
            continue  # a field of a newer client
        if field.is_map:
            key, value = _map_entry(wire, field.type, depth)
            decoded.setdefault(field.name, {})[key] = value
            continue
        value = _value(wire, field.type, depth)
        if field.is_repeated:
            decoded.setdefault(field.name, []).append(value)
        elif not field.name:
            decoded |= value
        elif value or field.is_always_written or (field.is_pointer and value is not None):
            decoded[field.name] = value
        elif field.name == "creationTimestamp":
            decoded[field.name] = None  # as older clients write the time of an object that is not created yet
    return decoded


def _map_entry(wire: _Wire, type_: str, depth: int) -> tuple[str, Any]:
    key = ""
    value: Any = None
    for number, inner in _records(_expect_bytes(wire)):
        if number == 1:
            key = _text(inner)
        elif number == 2:
            value = _value(inner, type_, depth)
    return key, _ZERO.get(type_, {}) if value is None else value


_ZERO: Mapping[str, Any] = {"s": "", "y": "", "strings": [], "Quantity": "0", "Time": None}


def _value(wire: _Wire, type_: str, depth: int) -> Any:
    convert = _CONVERSIONS.get(type_)
    return convert(wire) if convert is not None else _message(_expect_bytes(wire), type_, depth + 1)


def _numbered(wire: _Wire) -> dict[int, _Wire]:
    return dict(_records(_expect_bytes(wire)))


def _quantity(wire: _Wire) -> str:
    return _text(_numbered(wire).get(1, b""))


def _int_or_string(wire: _Wire) -> int | str:
    parts = _numbered(wire)
    return _text(parts.get(3, b"")) if parts.get(1, 0) else _integer(parts.get(2, 0))


def _time(wire: _Wire) -> str | None:
    parts = _numbered(wire)
    return _moment(parts).strftime("%Y-%m-%dT%H:%M:%SZ") if any(parts.values()) else None


def _micro_time(wire: _Wire) -> str | None:
    parts = _numbered(wire)
    return _moment(parts).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if any(parts.values()) else None


def _moment(parts: Mapping[int, _Wire]) -> datetime:
    try:
        seconds = datetime.fromtimestamp(_integer(parts.get(1, 0)), UTC)
        return seconds.replace(microsecond=_integer(parts.get(2, 0)) // 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise ProtobufError(f"a time is out of range: {error}") from error


def _embedded_json(wire: _Wire) -> Any:
    raw = _expect_bytes(_numbered(wire).get(1, b""))
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as error:
        raise ProtobufError(f"an embedded object is not JSON: {error}") from error


_CONVERSIONS: Mapping[str, Callable[[_Wire], Any]] = {
    "s": _text,
    "b": lambda wire: bool(_expect_number(wire)),
    "i": _integer,
    "l": _integer,
    "d": lambda wire: struct.unpack("<d", _expect_number(wire).to_bytes(8, "little"))[0],
    "y": lambda wire: base64.b64encode(_expect_bytes(wire)).decode(),
    "strings": lambda wire: [_text(value) for number, value in _records(_expect_bytes(wire)) if number == 1],
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
    "Duration": lambda wire: _integer(_numbered(wire).get(1, 0)),
    "RawExtension": _embedded_json,
    "FieldsV1": _embedded_json,
}
