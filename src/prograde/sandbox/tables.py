"""Tables: the server-side rendering behind `kubectl get`.

One row per object: cells, and beside them as much of the object as the client asked for, normally its metadata, from
which kubectl takes namespaces and labels. Built-in kinds have printers (`prograde.sandbox.printers`), custom resources
the columns of their CustomResourceDefinition. Metadata is spliced in from bytes that each version keeps.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from prograde.sandbox.cells import age_of
from prograde.sandbox.forms import bytes_as
from prograde.sandbox.jsonpaths import find
from prograde.sandbox.kinds import Column, Kind
from prograde.sandbox.printers import DEFAULT_PRINTER, PRINTERS
from prograde.sandbox.store import Entry

__all__ = ["IncludeObject", "metadata_bytes", "partial_object", "table_bytes"]

IncludeObject: TypeAlias = Literal["Metadata", "None", "Object"]

_encode = msgspec.json.Encoder().encode
_NAME_COLUMN = Column("Name", format="name", description="Name of the object")


def table_bytes(
    kind: Kind,
    entries: Iterable[Entry],
    now: datetime,
    *,
    metadata: dict[str, Any],
    include: IncludeObject = "Metadata",
    with_columns: bool = True,
    version: str = "v1",
) -> bytes:
    """Return a Table of `entries`; `metadata` is that of the list (resourceVersion, continue)."""
    head: dict[str, Any] = {"kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}
    if with_columns:
        head["columnDefinitions"] = _definitions(kind)
    rows = b",".join([_row(kind, entry, now, include) for entry in entries])
    return _encode(head)[:-1] + b',"rows":[' + rows + b"]}"


def partial_object(entry: Entry, version: str = "v1") -> bytes:
    """Return an object's type and metadata only."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/' + version.encode() + b'","metadata":'
    return head + metadata_bytes(entry) + b"}"


def metadata_bytes(entry: Entry) -> bytes:
    """Return an object's metadata as JSON, encoded once per version."""
    raw = entry.views.get("metadata")
    if raw is None:
        raw = entry.views["metadata"] = _encode(entry.obj["metadata"])
    return raw


def _definitions(kind: Kind) -> list[dict[str, Any]]:
    if kind.is_custom:
        columns = (_NAME_COLUMN, *kind.columns)
    else:
        columns = PRINTERS.get(kind.storage_key, DEFAULT_PRINTER).columns
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def _row(kind: Kind, entry: Entry, now: datetime, include: IncludeObject) -> bytes:
    if kind.is_custom:
        cells = [entry.obj["metadata"]["name"], *(_custom_cell(column, entry, now) for column in kind.columns)]
    else:
        cells = PRINTERS.get(kind.storage_key, DEFAULT_PRINTER).cells(entry.obj, now)
    row = b'{"cells":' + _encode(cells)
    if include == "Metadata":
        return row + b',"object":' + partial_object(entry) + b"}"
    if include == "Object":
        return row + b',"object":' + bytes_as(entry, kind) + b"}"
    return row + b"}"


def _custom_cell(column: Column, entry: Entry, now: datetime) -> Any:
    """Return a cell of a custom resource; None where the object has nothing at the column's path."""
    values = [value for value in find(column.json_path, entry.obj) if value is not None]
    if not values:
        return None
    if column.type == "date":
        return age_of(values[0], now)
    if len(values) == 1 and column.type in ("integer", "number", "boolean"):
        return values[0] if isinstance(values[0], (int, float)) else _text(values[0])
    return ",".join(_text(value) for value in values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
