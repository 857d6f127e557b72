"""Looking into routing objects, which are plain JSON of a shape that nobody has promised.

What is absent, null or of another type counts as empty, so that a reader can go down step by step. The results belong
to the document: whoever changes something builds anew.
"""

from prograde.core.objects import Json, JsonObject

__all__ = ["list_in", "object_in", "objects_in", "text_in"]


def object_in(parent: Json, *keys: str) -> JsonObject:
    """Return the object under these keys, one below the other."""
    value = parent
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def list_in(parent: Json, key: str) -> list[Json]:
    """Return the list at `key`."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, list) else []


def objects_in(parent: Json, key: str) -> list[JsonObject]:
    """Return the objects of the list at `key`."""
    return [item for item in list_in(parent, key) if isinstance(item, dict)]


def text_in(parent: Json, key: str) -> str:
    """Return the string at `key`."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, str) else ""
