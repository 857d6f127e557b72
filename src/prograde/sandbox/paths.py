"""The grammar of API paths: which resource, object and sub-resource a URL names.

Only the shape is read here; whether the resource exists is the registry's word. The one ambiguity of the grammar is
``/namespaces/X/Y``: a resource inside a namespace, unless Y is a sub-resource of the Namespace itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

__all__ = ["ResourcePath", "parse_path", "segments"]

_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A path below a group version. `namespace` is None outside any namespace; `name` is empty for a collection."""

    group: str
    version: str
    namespace: str | None
    plural: str
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the sub-resource, as in ``…/services/web/proxy/index.html``."""


def segments(path: str) -> list[str]:
    """Split a percent-encoded path; empty segments (doubled or trailing slashes) do not count."""
    return [unquote(part) for part in path.split("/") if part]


@lru_cache(maxsize=8192)
def parse_path(path: str) -> ResourcePath | None:
    """Return what a path names, None when it is not below a group version (discovery, health, unknown)."""
    parts = segments(path)
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in _NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *remainder = [*rest, "", "", ""][: max(len(rest), 3)]
    return ResourcePath(group, version, namespace, plural, name, subresource, "/".join(remainder))
