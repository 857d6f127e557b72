"""Request bodies: bytes and a Content-Type in, JSON values out.

JSON is the common case and is read in C. Clients of built-in kinds written in Go send protobuf, people send YAML. JSON
objects that name a key twice are legal for a parser and a mistake for a person; finding them costs a second, slow
parse, which is only made when counting the keys says that something got lost.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from prograde.api.manifests import ManifestError, load_documents
from prograde.sandbox import protobuf
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.negotiation import unsupported_media_type
from prograde.sandbox.updates import PatchType

__all__ = ["BODY_BYTES_MAX", "decode_object", "decode_options", "decode_patch", "media_type"]

BODY_BYTES_MAX = 3_145_728
"""The API server's own limit for request bodies."""

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"

_PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def check_size(body: bytes) -> None:
    """Refuse a body that is too large.

    Raises:
        StatusError: 413.
    """
    if len(body) > BODY_BYTES_MAX:
        message = f"Request entity too large: limit is {BODY_BYTES_MAX}"
        raise StatusError(413, "RequestEntityTooLarge", message)


def decode_object(body: bytes, content_type: str, kind: Kind) -> tuple[Object, tuple[str, ...]]:
    """Return the object in a body and the paths of fields that it names twice.

    Raises:
        StatusError: 400, 413 or 415.
    """
    check_size(body)
    match media_type(content_type):
        case "" | "application/json":
            value, duplicates = _from_json(body, kind.kind)
        case "application/yaml":
            value, duplicates = _from_yaml(body, kind.kind)
        case "application/vnd.kubernetes.protobuf" if not kind.is_custom:
            value, duplicates = _from_protobuf(body, kind.kind), ()
        case _:
            understood = [JSON_TYPE, YAML_TYPE, *([] if kind.is_custom else [PROTOBUF_TYPE])]
            raise unsupported_media_type(", ".join(understood))
    if not isinstance(value, dict):
        found = {list: "array", str: "string", type(None): "null", bool: "bool"}.get(type(value), "number")
        why = f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value"
        raise StatusError.bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why}")
    return value, duplicates


def decode_options(body: bytes, content_type: str) -> Object | None:
    """Return the DeleteOptions in a body, None when there is none.

    Raises:
        StatusError: 400, 413 or 415.
    """
    check_size(body)
    if not body.strip():
        return None
    match media_type(content_type):
        case "" | "application/json":
            value, _ = _from_json(body, "DeleteOptions")
        case "application/yaml":
            value, _ = _from_yaml(body, "DeleteOptions")
        case "application/vnd.kubernetes.protobuf":
            value = _from_protobuf(body, "DeleteOptions")
        case _:
            raise unsupported_media_type(f"{JSON_TYPE}, {YAML_TYPE}, {PROTOBUF_TYPE}")
    if not isinstance(value, dict):
        raise StatusError.bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
    return value


def decode_patch(body: bytes, content_type: str, kind: Kind) -> tuple[PatchType, Any, tuple[str, ...]]:
    """Return the type of a patch, its document and the paths of fields that it names twice.

    Raises:
        StatusError: 400, 413 or 415; a strategic merge patch needs a kind whose lists the server knows.
    """
    check_size(body)
    media = media_type(content_type)
    patch_type = _PATCH_TYPES.get(media)
    if patch_type is None or (patch_type == "strategic" and kind.is_custom):
        understood = [name for name, each in _PATCH_TYPES.items() if not (kind.is_custom and each == "strategic")]
        raise unsupported_media_type(", ".join(understood))
    try:
        value: Any = _decode(body)
        return patch_type, value, _duplicate_paths(body, value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        if patch_type != "apply":
            raise StatusError.bad_request(f"error decoding patch: {err}") from err
    value, duplicates = _from_yaml(body, kind.kind)
    return patch_type, value, duplicates


def _from_json(body: bytes, name: str) -> tuple[Any, tuple[str, ...]]:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        why = f"couldn't get version/kind; json parse error: {err}"
        raise StatusError.bad_request(f"the object provided is unrecognized (must be of type {name}): {why}") from err
    return value, _duplicate_paths(body, value)


def _from_yaml(body: bytes, name: str) -> tuple[Any, tuple[str, ...]]:
    try:
        documents = load_documents(body, "body")
    except ManifestError as err:
        why = f"couldn't get version/kind; yaml parse error: {err}"
        raise StatusError.bad_request(f"the object provided is unrecognized (must be of type {name}): {why}") from err
    if len(documents) > 1:
        raise StatusError.bad_request("the body must hold one document")
    if not documents:
        return None, ()
    return documents[0].value, tuple(problem.path for problem in documents[0].duplicates)


def _from_protobuf(body: bytes, name: str) -> Object:
    try:
        return protobuf.decode(body)
    except protobuf.ProtobufError as err:
        why = f"couldn't get version/kind; protobuf parse error: {err}"
        raise StatusError.bad_request(f"the object provided is unrecognized (must be of type {name}): {why}") from err


def _duplicate_paths(body: bytes, value: Any) -> tuple[str, ...]:
    """Return where a JSON text names a key twice.

    A repeated key is lost in `value`, so that the text has more colons behind quotes than its re-encoding.
    """
    if body.count(b'":') == _encode(value).count(b'":'):
        return ()
    tree = json.loads(body, object_pairs_hook=_Pairs)
    return tuple(_repeated(tree, ""))


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object as they stand in the text."""


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            below = f"{path}.{key}" if path else key
            if key in seen:
                yield below
            seen.add(key)
            yield from _repeated(child, below)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, f"{path}[{index}]")
