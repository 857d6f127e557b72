"""Stored objects as other versions see them, decoded or as bytes.

An object is stored once, in its storage version. Most versions differ from it by their apiVersion only, so their bytes
are the stored ones behind another head. The few that rename fields (`prograde.sandbox.views`) convert a copy; the
encoded result stays with the entry, so that it is made once.
"""

import msgspec

from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry

__all__ = ["bytes_as", "copy_object", "item_bytes", "object_as", "present", "to_storage"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def copy_object(obj: Object) -> Object:
    """Return a deep copy. Encoding and decoding is several times faster than walking in Python."""
    copied: Object = _decode(_encode(obj))
    return copied


def present(obj: Object, kind: Kind) -> Object:
    """Return an object in stored form as `kind` shows it; shared with `obj` where they do not differ."""
    if kind.is_storage_form:
        return obj
    if kind.from_storage is None:
        return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    return {**kind.from_storage(copy_object(obj)), "apiVersion": kind.api_version, "kind": kind.kind}


def object_as(entry: Entry, kind: Kind) -> Object:
    """Return the object in the version of `kind`; shared, must not be changed."""
    return present(entry.obj, kind)


def bytes_as(entry: Entry, kind: Kind) -> bytes:
    """Return the object as JSON in the version of `kind`, with apiVersion and kind."""
    if kind.is_storage_form:
        return entry.raw
    name = f"json {kind.api_version}"
    raw = entry.views.get(name)
    if raw is None:
        if kind.from_storage is None:
            raw = _encode({"apiVersion": kind.api_version, "kind": kind.kind})[:-1] + b"," + entry.body()
        else:
            raw = _encode(object_as(entry, kind))
        entry.views[name] = raw
    return raw


def item_bytes(entry: Entry, kind: Kind) -> bytes:
    """Return the object as an item of a list: typed lists carry no apiVersion and kind, lists of custom ones do."""
    if kind.is_custom:
        return bytes_as(entry, kind)
    if kind.from_storage is None:
        return b"{" + entry.body()
    name = f"item {kind.api_version}"
    raw = entry.views.get(name)
    if raw is None:
        view = object_as(entry, kind)
        raw = _encode({key: value for key, value in view.items() if key not in ("apiVersion", "kind")})
        entry.views[name] = raw
    return raw


def to_storage(obj: Object, kind: Kind, stored: Kind) -> Object:
    """Return a private object of `kind` in the form of `stored`, its storage version."""
    if kind.is_storage_form:
        return obj
    converted = obj if kind.to_storage is None else kind.to_storage(obj)
    return {**converted, "apiVersion": stored.api_version, "kind": stored.kind}
