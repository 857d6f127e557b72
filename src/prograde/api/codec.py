"""JSON in and out of the types of this package, without letting one broken object stop the others.

Reading is tolerant, because stored objects may be older or newer than this program, and written by anybody: unknown
fields are skipped, ``null`` is absence, and a field of the wrong type is left out and reported, while everything else
of its object is kept. Whoever acts on an object with such problems in its spec must treat the spec as invalid: what was
left out may have mattered. The fast path decodes typed structs straight from the bytes; only an object that fails there
is walked field by field, on slices of the original bytes, so that its pod template still comes out byte for byte.

Writing leaves out what is unset and writes times as Kubernetes does. YAML is the business of `manifests`.
"""

import types
import typing
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, Union, cast

import msgspec

from prograde.api.meta import ListMeta, ObjectMeta, WireStruct

__all__ = [
    "DecodeError",
    "DecodedList",
    "Problem",
    "decode",
    "decode_list",
    "decode_object",
    "encode",
    "to_json",
    "wire_fields",
]

T = TypeVar("T", bound=msgspec.Struct)


class DecodeError(ValueError):
    """The bytes are not JSON, or not the JSON of an object."""


class Problem(NamedTuple):
    """A field that was left out because its value has the wrong type."""

    object_name: str
    """Kind and key, such as ``Rollout shop/cart``."""
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.object_name}: {self.path}: {self.message}"


class DecodedList(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The objects of a list answer, what had to be left out of them, and where the list stands."""

    items: tuple[T, ...]
    problems: tuple[Problem, ...]
    metadata: ListMeta


# --- Reading --------------------------------------------------------------------------------------------------


def decode(text: bytes | str, type_: type[T]) -> T:
    """Read one object, leaving out fields of the wrong type silently.

    Raises:
        DecodeError: as in `decode_object`.
    """
    return decode_object(text, type_)[0]


def decode_object(text: bytes | str, type_: type[T]) -> tuple[T, tuple[Problem, ...]]:
    """Read one object; return it with the fields that had to be left out.

    Raises:
        DecodeError: `text` is not the JSON of an object.
    """
    try:
        return _decoder(type_).decode(text), ()
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, RecursionError) as err:
        raise DecodeError(f"not JSON: {err}") from err
    found: list[tuple[str, str]] = []
    try:
        obj = _tolerant(msgspec.Raw(text), type_, "", found)
    except (msgspec.DecodeError, RecursionError) as err:
        raise DecodeError(f"not JSON: {err}") from err
    if obj is _ABSENT or bytes(msgspec.Raw(text)).strip() == _NULL:
        found = found or [("", "expected object, got null")]
    if found and found[0][0] == "":
        raise DecodeError(f"not the JSON of a {type_.__name__}: {found[0][1]}")
    name = _object_name(obj, type_)
    return cast(T, obj), tuple(Problem(name, path, message) for path, message in found)


def decode_list(text: bytes | str, type_: type[T]) -> DecodedList[T]:
    """Read a list answer. Items that are no objects at all are left out, with a problem that says which.

    Raises:
        DecodeError: `text` is not the JSON of a list answer.
    """
    try:
        fast = _list_decoder(type_).decode(text)
        return DecodedList(items=fast.items, problems=(), metadata=fast.metadata)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, RecursionError) as err:
        raise DecodeError(f"not JSON: {err}") from err
    try:
        raw_list = _RAW_LIST_DECODER.decode(text)
    except msgspec.DecodeError as err:
        raise DecodeError(f"not the JSON of a list of {type_.__name__}: {err}") from err
    items: list[T] = []
    problems: list[Problem] = []
    for index, raw in enumerate(raw_list.items or ()):
        try:
            item, item_problems = decode_object(bytes(raw), type_)
        except DecodeError as err:
            problems.append(Problem(type_.__name__, f"items[{index}]", str(err)))
            continue
        items.append(item)
        problems.extend(item_problems)
    return DecodedList(items=tuple(items), problems=tuple(problems), metadata=raw_list.metadata)


class _RawList(WireStruct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


_RAW_LIST_DECODER: Final = msgspec.json.Decoder(_RawList)


@cache
def _decoder(type_: type[T]) -> "msgspec.json.Decoder[T]":
    return msgspec.json.Decoder(type_)


@cache
def _list_decoder(type_: type[msgspec.Struct]) -> "msgspec.json.Decoder[Any]":
    list_type = msgspec.defstruct(
        f"{type_.__name__}List",
        [("items", tuple[type_, ...], ()), ("metadata", ListMeta, ListMeta())],  # type: ignore[valid-type]
    )
    return msgspec.json.Decoder(list_type)


def _object_name(obj: object, type_: type) -> str:
    metadata = getattr(obj, "metadata", None)
    kind = getattr(type_, "KIND", type_.__name__)
    if not isinstance(metadata, ObjectMeta):
        return str(kind)
    return f"{kind} {metadata.namespace}/{metadata.name}" if metadata.namespace else f"{kind} {metadata.name}"


# --- The tolerant walk ----------------------------------------------------------------------------------------

_NULL: Final = b"null"
_ABSENT: Final = object()


def _tolerant(raw: msgspec.Raw, type_: Any, path: str, found: list[tuple[str, str]]) -> Any:
    """Decode `raw` as `type_`, noting in `found` what had to be left out; `_ABSENT` if nothing of it can be used."""
    if bytes(raw) == _NULL:
        return _zero(type_)
    try:
        return _decoder(type_).decode(raw)
    except msgspec.ValidationError as err:
        complaint = _complaint(err)
    inner = _container_type(type_)
    try:
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return _tolerant_struct(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), inner, path, found)
        origin = typing.get_origin(inner)
        if origin is tuple:
            element = typing.get_args(inner)[0]
            return _tolerant_tuple(msgspec.json.decode(raw, type=list[msgspec.Raw]), element, path, found)
        if origin is dict:
            value_type = typing.get_args(inner)[1]
            return _tolerant_dict(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), value_type, path, found)
    except msgspec.ValidationError as err:
        complaint = _complaint(err)
    found.append((path, complaint))
    return _ABSENT


def _tolerant_struct(
    members: dict[str, msgspec.Raw], type_: type[msgspec.Struct], path: str, found: list[tuple[str, str]]
) -> Any:
    """Decode each known member of an object; unusable ones keep their default."""
    values = {}
    for attribute, name, field_type in wire_fields(type_):
        if name in members:
            value = _tolerant(members[name], field_type, f"{path}.{name}" if path else name, found)
            if value is not _ABSENT:
                values[attribute] = value
    return type_(**values)


def _tolerant_tuple(
    elements: list[msgspec.Raw], type_: Any, path: str, found: list[tuple[str, str]]
) -> tuple[Any, ...]:
    """Decode each element; an unusable one becomes an empty one, for indexes must stay what the user wrote."""
    values = []
    for index, element in enumerate(elements):
        value = _tolerant(element, type_, f"{path}[{index}]", found)
        values.append(_zero(type_) if value is _ABSENT else value)
    return tuple(value for value in values if value is not _ABSENT)


def _tolerant_dict(
    members: dict[str, msgspec.Raw], type_: Any, path: str, found: list[tuple[str, str]]
) -> dict[str, Any]:
    """Decode each value; unusable ones are left out."""
    values = {key: _tolerant(value, type_, f"{path}.{key}", found) for key, value in members.items()}
    return {key: value for key, value in values.items() if value is not _ABSENT}


def _complaint(err: msgspec.ValidationError) -> str:
    return str(err).split(" - at `")[0].replace("`", "").replace(" | null", "").replace("Expected", "expected")


def _zero(type_: Any) -> Any:
    """Return what ``null`` means for a type: its empty value, or absence where there is none."""
    origin = typing.get_origin(type_)
    if origin in (Union, types.UnionType):
        return None if type(None) in typing.get_args(type_) else _ABSENT
    if type_ is str:
        return ""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_()
    return _ABSENT


def _container_type(type_: Any) -> Any:
    """Return the member of ``X | None`` that has an inside."""
    if typing.get_origin(type_) in (Union, types.UnionType):
        members = [member for member in typing.get_args(type_) if member is not type(None)]
        return members[0] if len(members) == 1 else type_
    return type_


@cache
def wire_fields(type_: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Return attribute, wire name and type of each field of a wire type, in wire order."""
    hints = typing.get_type_hints(type_, include_extras=True)
    return tuple(
        (attribute, name, hints[attribute])
        for attribute, name in zip(type_.__struct_fields__, type_.__struct_encode_fields__, strict=True)
    )


# --- Writing --------------------------------------------------------------------------------------------------


def encode(obj: msgspec.Struct) -> bytes:
    """Write an object, or a part of one, as compact JSON; a whole object begins with apiVersion and kind.

    Raw parts are written byte for byte. Never write back a whole object that was read: fields that are not kept would
    be lost. Send patches.
    """
    body = _ENCODER.encode(obj)
    head = _type_meta(obj)
    if not head:
        return body
    return _ENCODER.encode(head)[:-1] + (b"}" if body == b"{}" else b"," + body[1:])


def to_json(obj: Any) -> Any:
    """Return what `encode` writes as JSON values, raw parts included; good for computing patches."""
    values = msgspec.json.decode(_ENCODER.encode(obj))
    return {**_type_meta(obj), **values} if isinstance(values, dict) else values


_ENCODER: Final = msgspec.json.Encoder()


def _type_meta(obj: object) -> dict[str, str]:
    """Return apiVersion and kind of a whole object, nothing for a part."""
    kind = getattr(type(obj), "KIND", None)
    return {"apiVersion": type(obj).API_VERSION, "kind": kind} if kind else {}  # type: ignore[attr-defined]
