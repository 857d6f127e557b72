"""A line notation for Kubernetes types, and the OpenAPI v3 schemas it stands for.

The types below a pod template have some five hundred fields. Written as JSON schemas they fill a megabyte; written as
one line per field they can be read and reviewed. A text in this notation looks so::

    # LabelSelector atomic: Chooses objects by their labels.
    matchLabels       map(string)                       Labels that must be present with exactly these values.
    matchExpressions  list(LabelSelectorRequirement)    Further requirements; all of them must hold.

A heading starts a type: its name, optionally the word ``atomic`` (server-side apply treats the whole object as one
value), and after a colon what the type is. A line names a field (``!`` marks a required one), its type and its
description; a line that starts with white space continues the description above it. ``+Name`` alone on a line
includes the fields of another type.

========================  ==========================================================================
``string`` ``boolean``    the JSON types
``int32`` ``int64``       integers, with that format
``number``                a JSON number
``time``                  an RFC 3339 time
``intOrString``           an integer or a string
``quantity``              a resource quantity: a number or a string such as ``250m`` or ``1Gi``
``object``                any JSON object, kept as it is
``any``                   any JSON value, kept as it is
``Name``                  an object of that type
``list(T)``               a list that server-side apply replaces as a whole (``atomic``)
``list(T;k,l)``           a list of objects, merged by the keys ``k`` and ``l`` (``map``)
``set(T)``                a list of distinct values (``set``)
``map(T)``                an object with arbitrary keys
``T=value``               a scalar with that default, for example ``string=TCP``
========================  ==========================================================================
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["INT_OR_STRING", "Schema", "TypeTable", "described"]

Schema: TypeAlias = dict[str, Any]
"""An OpenAPI v3 schema as JSON values. Parts are shared between schemas, so a schema is never changed in place."""

INT_OR_STRING: Schema = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}

_QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)

_SCALARS: dict[str, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "intOrString": INT_OR_STRING,
    "quantity": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": _QUANTITY_PATTERN,
        "x-kubernetes-int-or-string": True,
    },
    "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}

_HEADING = re.compile(r"# (?P<name>\w+)(?P<atomic> atomic)?: (?P<description>.+)")
_WRAPPED = re.compile(r"(?P<outer>list|set|map)\((?P<inner>[\w()]+)(?:;(?P<keys>[\w,]+))?\)")


@dataclass(slots=True)
class _Field:
    name: str
    type: str
    description: str
    is_required: bool


@dataclass(slots=True)
class _Type:
    description: str
    is_atomic: bool
    members: list[_Field | str] = field(default_factory=list)
    """Fields, and names of types whose fields are included, in their order."""


class TypeTable:
    """Named types in the line notation, and their schemas.

    Args:
        texts: Texts in the notation. A type may refer to types of any of them, in any order, but not to itself:
            structural schemas have no references, so every type is written out where it is used.

    Raises:
        ValueError: a line that is no notation, or a type that is declared twice.
    """

    def __init__(self, *texts: str) -> None:
        self._types: dict[str, _Type] = {}
        self._schemas: dict[str, Schema] = {}
        for text in texts:
            self._read(text)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all types, in the order of their declaration."""
        return tuple(self._types)

    def schema(self, name: str) -> Schema:
        """Return the schema of an object of the named type, description included.

        The same value is returned each time, and the schema of a type used in several places is one shared value.

        Raises:
            KeyError: there is no such type.
        """
        schema = self._schemas.get(name)
        if schema is None:
            declared = self._types[name]
            schema = {"description": declared.description, "type": "object"}
            fields = list(self._fields(declared))
            required = [each.name for each in fields if each.is_required]
            if required:
                schema["required"] = required
            schema["properties"] = {each.name: self.field_schema(each.type, each.description) for each in fields}
            if declared.is_atomic:
                schema["x-kubernetes-map-type"] = "atomic"
            self._schemas[name] = schema
        return schema

    def field_schema(self, type_: str, description: str = "") -> Schema:
        """Return the schema of a field of the type (an expression such as ``list(Container;name)``).

        An empty description leaves that of a named type in place, and says nothing for all others.
        """
        return described(self._expression(type_), description)

    def _expression(self, type_: str) -> Schema:
        base, has_default, default = type_.partition("=")
        if has_default:
            value = {"true": True, "false": False}[default] if base == "boolean" else default
            return {**_SCALARS[base], "default": value}
        if (scalar := _SCALARS.get(type_)) is not None:
            return scalar
        if (wrapped := _WRAPPED.fullmatch(type_)) is None:
            return self.schema(type_)
        inner = self._expression(wrapped["inner"])
        if wrapped["outer"] == "map":
            return {"type": "object", "additionalProperties": inner}
        schema: Schema = {"type": "array", "items": inner}
        if wrapped["keys"]:
            schema["x-kubernetes-list-map-keys"] = wrapped["keys"].split(",")
            schema["x-kubernetes-list-type"] = "map"
        else:
            schema["x-kubernetes-list-type"] = "atomic" if wrapped["outer"] == "list" else "set"
        return schema

    def _fields(self, declared: _Type) -> Iterator[_Field]:
        for member in declared.members:
            if isinstance(member, str):
                yield from self._fields(self._types[member])
            else:
                yield member

    def _read(self, text: str) -> None:
        current: _Type | None = None
        for line in text.splitlines():
            if not line.strip():
                continue
            if heading := _HEADING.fullmatch(line):
                name = heading["name"]
                if name in self._types:
                    raise ValueError(f"type {name} is declared twice")
                current = self._types[name] = _Type(heading["description"], heading["atomic"] is not None)
            elif current is None:
                raise ValueError(f"a field stands before the first type: {line!r}")
            elif line.startswith("+"):
                current.members.append(line[1:].strip())
            elif line[0].isspace():
                last = current.members[-1] if current.members else None
                if not isinstance(last, _Field):
                    raise ValueError(f"there is no description to continue: {line!r}")
                last.description += " " + line.strip()
            else:
                words = line.split(None, 2)
                if len(words) != 3:
                    raise ValueError(f"a field needs a name, a type and a description: {line!r}")
                name, type_, description = words
                current.members.append(_Field(name.rstrip("!"), type_, description.strip(), name.endswith("!")))


def described(schema: Schema, description: str) -> Schema:
    """Return the schema with this description in front, in place of any other; an empty one changes nothing."""
    if not description:
        return schema
    return {"description": description} | {key: value for key, value in schema.items() if key != "description"}
