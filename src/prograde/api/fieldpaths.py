"""Field paths of a Rollout: where ``valueFrom.fieldRef`` gets an argument's value from.

A path that begins with ``metadata`` follows the rules of the Kubernetes downward API; any other is walked through the
JSON of the Rollout, `a.b[0].c`, and must end at a text, number or boolean.
"""

import re
from typing import Any, Final

from prograde.api.codec import to_json
from prograde.api.meta import ObjectMeta
from prograde.api.rollout import Rollout
from prograde.api.scalars import format_float, go_quote
from prograde.api.syntax import label_key_errors

__all__ = ["InvalidFieldPath", "metadata_value", "resolve_field_path"]


class InvalidFieldPath(ValueError):
    """A field path leads nowhere."""


def resolve_field_path(rollout: Rollout, path: str) -> str:
    """Return the value at `path` as text.

    Raises:
        InvalidFieldPath: there is no such field, or it holds a list or an object.
    """
    if path.startswith("metadata"):
        return metadata_value(rollout.metadata, path)
    return _walk(to_json(rollout), path)


# --- The downward API -----------------------------------------------------------------------------------------

_SUBSCRIPT = re.compile(r"(?P<field>.*)\['(?P<key>.*)'\]")
_MAPS: Final = ("metadata.annotations", "metadata.labels")


def metadata_value(metadata: ObjectMeta, path: str) -> str:
    """Return a field of an object's metadata as the downward API gives it; a missing key is the empty text.

    Raises:
        InvalidFieldPath: the downward API knows no such field.
    """
    match = _SUBSCRIPT.fullmatch(path)
    if match is not None:
        field, key = match["field"], match["key"]
        if field not in _MAPS:
            raise InvalidFieldPath(f"fieldPath {go_quote(path)} does not support subscript")
        # Annotation keys are looked up as labels are written, but their case does not matter to the check.
        errors = label_key_errors(key.lower() if field == "metadata.annotations" else key)
        if errors:
            raise InvalidFieldPath(f"invalid key subscript in {field}: {'; '.join(errors)}")
        values = metadata.annotations if field == "metadata.annotations" else metadata.labels
        return values.get(key, "")
    match path:
        case "metadata.annotations":
            return _lines(metadata.annotations)
        case "metadata.labels":
            return _lines(metadata.labels)
        case "metadata.name":
            return metadata.name
        case "metadata.namespace":
            return metadata.namespace
        case "metadata.uid":
            return metadata.uid
    raise InvalidFieldPath(f"unsupported fieldPath: {path}")


def _lines(values: dict[str, str]) -> str:
    return "\n".join(f"{key}={go_quote(values[key])}" for key in sorted(values))


# --- Any other path -------------------------------------------------------------------------------------------

_SEPARATORS = re.compile(r"[.\[\]]+")
_INDEX = re.compile(r"[+-]?[0-9]+")


def _walk(value: Any, path: str) -> str:
    for part in filter(None, _SEPARATORS.split(path)):
        if isinstance(value, list):
            if not _INDEX.fullmatch(part):
                raise InvalidFieldPath(f"invalid index '{part}'")
            index = int(part)
            if not 0 <= index < len(value):
                raise InvalidFieldPath(f"index {index} out of range")
            value = value[index]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            raise InvalidFieldPath(f"invalid path {path} in rollout")
    if value is None:
        raise InvalidFieldPath(f"invalid path {path} in rollout")
    if isinstance(value, list | dict):
        raise InvalidFieldPath(f"path {path} in rollout must terminate in a primitive value")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return format_float(value) if isinstance(value, float) else str(value)
