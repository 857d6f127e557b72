"""Who owns which field: managedFields bookkeeping and server-side apply."""

from datetime import datetime
from typing import Any

from prograde.sandbox.kinds import Object
from prograde.sandbox.shapes import Shape

__all__ = ["server_side_apply", "track_update"]


def track_update(
    old: Object | None,
    new: Object,
    *,
    manager: str,
    operation: str = "Update",
    api_version: str,
    subresource: str,
    now: datetime,
    shape: Shape,
) -> list[dict[str, Any]]:
    """Return the managedFields of `new` after `manager` turned `old` into it (None: created it)."""
    return list((old or {}).get("metadata", {}).get("managedFields", ()))


def server_side_apply(
    live: Object | None,
    config: Object,
    *,
    manager: str,
    force: bool,
    api_version: str,
    subresource: str,
    now: datetime,
    shape: Shape,
) -> Object:
    """Return the object that results from applying `config`, managedFields included; `live` is None to create."""
    return config
