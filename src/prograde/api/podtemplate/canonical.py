"""The canonical form of pod templates and canary steps: what Go makes of them by reading and writing them again.

Fields come in struct order, what is empty is left out, quantities have one spelling. Two templates that mean the same
to the API server's types have the same canonical form, however the user spelled them: ``2000m`` or ``2``, ``{}`` or an
absent list, an explicit ``hostNetwork: false`` or none. That is what is hashed and compared.

Fields that the table does not know come after the known ones, sorted. They cannot come through the CRD, which prunes
them, but a referenced Deployment of a newer Kubernetes may have them, and a change of such a field is a change.
"""

from typing import Any, Final

import msgspec

from prograde.api.podtemplate.fields import TYPES, Field
from prograde.api.scalars import InvalidQuantity, canonical_quantity

__all__ = ["canonical", "go_json"]


def canonical(value: Any, type_: str = "PodTemplateSpec") -> dict[str, Any]:
    """Return a new value in canonical form; `value` is the JSON object of that type, anything else counts as empty.

    Values of a wrong type are kept as they are: it is not for this function to judge.
    """
    members = value if isinstance(value, dict) else {}
    result: dict[str, Any] = {}
    for field in TYPES[type_]:
        member = _field(members.get(field.name), field)
        if member is not _ABSENT:
            result[field.name] = member
    unknown = members.keys() - _NAMES[type_]
    for name in sorted(unknown):
        if members[name] is not None:
            result[name] = _sorted(members[name])
    return result


_ABSENT: Final = object()
_NAMES: Final = {type_: frozenset(field.name for field in fields) for type_, fields in TYPES.items()}


def _field(value: Any, field: Field) -> Any:
    """Return the canonical value of a field, `_ABSENT` if it is left out."""
    if value is None:
        return _when_absent(field)
    if field.type == "Raw":
        return value
    if isinstance(value, list):
        if not value:
            return _when_absent(field)
        return [canonical(item, field.type) for item in value] if field.type in TYPES else value
    if isinstance(value, dict):
        if field.type in TYPES:
            return canonical(value, field.type)
        if not value:
            return _when_absent(field)
        return _map(value, field.type)
    if field.type == "Quantity":
        return _quantity(value)
    if value in ("", 0) and not field.mark:  # False is 0, too
        return _ABSENT
    return value


def _when_absent(field: Field) -> Any:
    match field.mark:
        case "!0":
            return 0
        case "!~":
            return None
        case "!":
            if field.type == "Quantity":
                return "0"
            return canonical({}, field.type) if field.type else ""
        case _:
            return _ABSENT


def _map(value: dict[str, Any], type_: str) -> dict[str, Any]:
    """Return a map with sorted keys, in the order of their bytes."""
    keys = sorted(value, key=str.encode)
    if type_ == "Quantities":
        return {key: _quantity(value[key]) for key in keys}
    if type_ == "StringMatches":
        return {key: canonical(value[key], "StringMatch") for key in keys}
    return {key: "" if value[key] is None else value[key] for key in keys}


def _quantity(value: Any) -> Any:
    if value is None:
        return "0"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        return canonical_quantity(value)
    except InvalidQuantity:
        return value


def _sorted(value: Any) -> Any:
    """Return a JSON value with the keys of all its objects sorted."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


_HTML_ESCAPES: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def go_json(value: Any) -> bytes:
    """Write JSON values compactly as Go's encoder does, keeping the order of keys.

    Go escapes ``<``, ``>`` and ``&`` for use in HTML, and two line separators; outside of texts JSON has none of them,
    so replacing them everywhere is right.
    """
    text = msgspec.json.encode(value)
    for character, escape in _HTML_ESCAPES:
        if character in text:
            text = text.replace(character, escape)
    return text
