"""What a Rollout says about itself whose JSON does not fit its type.

A loosened schema, or an API server without ours, lets anything in: a text where a number belongs, an object for a list.
Such a Rollout cannot be understood and is left exactly as it is; but its owner has to be told where people look, in the
status. So all that is read here is what is needed for that, field by field, and none of it is relied on.
"""

import re
from datetime import datetime
from typing import Final

from prograde.api import names
from prograde.api.scalars import format_time
from prograde.api.validation import invalid_spec_message
from prograde.core.objects import Json, JsonObject

__all__ = ["unreadable_patch"]

_PLACE: Final = re.compile(r"(?P<error>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
"""How a decoder says where it has stumbled."""


def unreadable_patch(rollout: JsonObject, error: str, at: datetime) -> JsonObject:
    """Return the merge patch of the ``status`` sub-resource that marks a Rollout as invalid; empty if it is marked.

    `error` is the decoder's. Conditions of other types stay; what is no condition at all goes.
    """
    metadata, status = _object(rollout.get("metadata")), _object(rollout.get("status"))
    message = invalid_spec_message(str(metadata.get("name", "")), _placed(error))
    generation = str(metadata.get("generation", ""))
    listed = status.get("conditions")
    conditions = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    known = next((each for each in conditions if each.get("type") == names.CONDITION_INVALID_SPEC), {})
    wanted: JsonObject = {
        "observedGeneration": generation,
        "phase": names.PHASE_DEGRADED,
        "message": f"{names.CONDITION_INVALID_SPEC}: {message}",
    }
    if known.get("message") != message or len(conditions) != _length(listed):
        stamp = format_time(at)
        invalid: JsonObject = {
            "type": names.CONDITION_INVALID_SPEC,
            "status": names.CONDITION_TRUE,
            "reason": names.REASON_INVALID_SPEC,
            "message": message,
            "lastUpdateTime": stamp,
            "lastTransitionTime": stamp,
        }
        wanted["conditions"] = [*(each for each in conditions if each is not known), invalid]
    changed = {key: value for key, value in wanted.items() if status.get(key) != value}
    return {"status": changed} if changed else {}


def _placed(error: str) -> str:
    """Return the decoder's error in the words of all other errors of a spec: the field first."""
    found = _PLACE.fullmatch(error)
    return f"{found['path']}: {found['error']}" if found is not None and found["path"] else error


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list) else -1
