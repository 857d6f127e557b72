"""Reading the `metadata` of a request as Kubernetes does, and inventing names.

What is wrong with the content of metadata is said by `prograde.sandbox.metadata`; here only its types matter.
"""

from random import Random
from typing import Any

import msgspec

from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind, Object

__all__ = ["coerce_metadata", "generate_name"]

_GENERATED_BASE_MAX = 58
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no word comes out by accident."""


class _OwnerReference(msgspec.Struct):
    apiVersion: str = ""  # noqa: N815
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    blockOwnerDeletion: bool | None = None  # noqa: N815


class _ObjectMeta(msgspec.Struct):
    """The types that the fields must have; the names are the wire's."""

    name: str | None = None
    generateName: str | None = None  # noqa: N815
    namespace: str | None = None
    selfLink: str | None = None  # noqa: N815
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815
    generation: int | None = None
    creationTimestamp: str | None = None  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    deletionGracePeriodSeconds: int | None = None  # noqa: N815
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    ownerReferences: list[_OwnerReference] | None = None  # noqa: N815
    finalizers: list[str] | None = None
    managedFields: list[dict[str, Any]] | None = None  # noqa: N815


_KNOWN = frozenset(_ObjectMeta.__struct_fields__)


def coerce_metadata(obj: Object, kind: Kind) -> list[str]:
    """Bring ``obj["metadata"]`` into its canonical form, as a new dict; return unknown fields as ``metadata.x``.

    Nulls, empty texts and empty maps are absent. An empty ``managedFields`` stays, since it asks the server to forget
    who owns what.

    Raises:
        StatusError: 400, a field has the wrong type.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    try:
        msgspec.convert(metadata, _ObjectMeta)
    except msgspec.ValidationError as err:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: metadata: {err}'
        raise StatusError.bad_request(message) from err
    unknown = [f"metadata.{name}" for name in metadata if name not in _KNOWN]
    obj["metadata"] = metadata = {
        name: value
        for name, value in metadata.items()
        if name in _KNOWN and name != "selfLink" and (value not in (None, "", {}, []) or _asks_to_forget(name, value))
    }
    for name in ("labels", "annotations"):
        values = metadata.get(name)
        if values and None in values.values():
            metadata[name] = {key: value or "" for key, value in values.items()}
    return unknown


def generate_name(base: str, rng: Random) -> str:
    """Return `base`, cut to 58 characters, with five random ones behind it."""
    return base[:_GENERATED_BASE_MAX] + "".join(rng.choices(_SAFE_LETTERS, k=5))


def _asks_to_forget(name: str, value: Any) -> bool:
    return name == "managedFields" and value == []
