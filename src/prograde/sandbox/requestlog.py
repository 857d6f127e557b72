"""The last requests of a cluster, for questions such as "did a reconcile without change write anything?"."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from prograde.kube.transport import Request
from prograde.sandbox.paths import ResourcePath, parse_path

__all__ = ["REQUESTS_KEPT", "LoggedRequest", "RequestLog", "verb_of"]

REQUESTS_KEPT = 10_000

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class LoggedRequest(NamedTuple):
    """One request and how it was answered."""

    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection; the method for anything else."""
    path: str
    resource: str
    """Plural with sub-resource, such as ``rollouts/status``; empty outside group versions."""
    namespace: str
    name: str
    client: str
    """The user agent up to its first slash."""
    status: int
    """0 when there was no answer, because a fault broke the connection."""
    size: int
    """Bytes of the answer; 0 for a stream."""
    seconds: float

    @property
    def is_write(self) -> bool:
        return self.verb in _WRITES


def verb_of(request: Request, path: ResourcePath | None) -> str:
    """Return what a request does, in the words of Kubernetes' authorization."""
    if path is None:
        return request.method.lower()
    match request.method:
        case "GET" | "HEAD":
            if path.name:
                return "get"
            return (
                "watch"
                if any(key == "watch" and value in ("1", "true", "True") for key, value in request.query)
                else "list"
            )
        case "POST":
            return "create"
        case "PUT":
            return "update"
        case "PATCH":
            return "patch"
        case "DELETE":
            return "delete" if path.name else "deletecollection"
        case method:
            return method.lower()


class RequestLog:
    """A ring of requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[LoggedRequest] = deque(maxlen=REQUESTS_KEPT)
        self.counts: dict[tuple[str, int], int] = {}
        """All requests ever, by verb and status."""

    def add(self, request: Request, status: int, size: int, seconds: float) -> None:
        path = parse_path(request.path)
        verb = verb_of(request, path)
        resource = "" if path is None else f"{path.plural}/{path.subresource}" if path.subresource else path.plural
        client = request.headers.get("user-agent", "").partition("/")[0]
        namespace, name = ("", "") if path is None else (path.namespace or "", path.name)
        self._entries.append(
            LoggedRequest(verb, request.path, resource, namespace, name, client, status, size, seconds)
        )
        self.counts[verb, status] = self.counts.get((verb, status), 0) + 1

    def __iter__(self) -> Iterator[LoggedRequest]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def writes(self) -> list[LoggedRequest]:
        return [entry for entry in self._entries if entry.is_write]

    def clear(self) -> None:
        """Forget the requests, not the counts."""
        self._entries.clear()
