"""OpenAPI v3 documents of the served kinds, as kubectl reads them for apply, explain, edit and create."""

from collections.abc import Iterable
from typing import Any

from prograde.sandbox.kinds import Kind

__all__ = ["document", "group_version_path", "root"]


def group_version_path(group: str, version: str) -> str:
    """Return ``api/v1`` or ``apis/<group>/<version>``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def document(group_version: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    """Return the document of one group version, such as ``apis/apps/v1``; `kinds` are all served kinds."""
    return {"openapi": "3.0.0", "paths": {}, "components": {"schemas": {}}}


def root(kinds: Iterable[Kind]) -> dict[str, str]:
    """Return group version path -> content hash, to be listed under ``/openapi/v3``."""
    return {group_version_path(kind.group, kind.version): "0" for kind in kinds}
