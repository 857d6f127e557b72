"""What is served beside objects: version, health, discovery, OpenAPI, metrics, and the index of it all."""

import gzip
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from prograde.kube.transport import Request, Response
from prograde.sandbox import discovery, openapi
from prograde.sandbox.errors import StatusError
from prograde.sandbox.negotiation import Accepted, negotiate
from prograde.sandbox.paths import segments
from prograde.sandbox.registry import Registry

__all__ = ["DEFAULT_VERSION", "Documents", "Version"]

_HEALTH = ("healthz", "livez", "readyz")
_HEALTH_CHECKS = ("ping", "etcd", "informer-sync")
_CACHE_DAYS = 365

_encode = msgspec.json.Encoder().encode


class Version(msgspec.Struct, frozen=True):
    """Which Kubernetes this cluster passes for. A dispatching kubectl picks its own version by it."""

    major: str = "1"
    minor: str = "34"
    gitVersion: str = "v1.34.0+prograde"  # noqa: N815  wire name
    gitCommit: str = ""  # noqa: N815
    gitTreeState: str = "clean"  # noqa: N815
    buildDate: str = "2025-08-27T10:17:41Z"  # noqa: N815
    goVersion: str = ""  # noqa: N815
    compiler: str = ""
    platform: str = "linux/amd64"


DEFAULT_VERSION = Version()


class Documents:
    """The answers for paths that are not below a group version."""

    def __init__(
        self,
        registry: Registry,
        now: Callable[[], datetime],
        *,
        version: Version = DEFAULT_VERSION,
        metrics: Callable[[], str] = str,
        has_aggregated_discovery: bool = True,
    ) -> None:
        """`metrics` makes the text of ``/metrics``."""
        self._registry = registry
        self._now = now
        self._version = version
        self._metrics = metrics
        self._has_aggregated_discovery = has_aggregated_discovery
        self._discovery = discovery.Discovery(registry)
        self._generation = -1
        self._hashes: dict[str, str] = {}
        self._openapi: dict[str, tuple[bytes, bytes]] = {}

    def answer(self, request: Request) -> Response:
        """Answer a request for one of these documents, 404 for a path that means nothing."""
        parts = segments(request.path)
        response = self._find(parts, request)
        if response is None:
            return _text(404, "404 page not found\n")
        if request.method not in ("GET", "HEAD"):
            message = "the server does not allow this method on the requested resource"
            status = StatusError(405, "MethodNotAllowed", message).to_status()
            headers = {**_JSON_HEADERS, "allow": "GET, HEAD"}
            return Response(status=405, headers=headers, body=_encode(status))
        return response

    def _find(self, parts: list[str], request: Request) -> Response | None:
        match parts:
            case []:
                return _json(_encode({"paths": self._paths()}))
            case ["version"]:
                return _json(_encode(self._version))
            case [health, *checks] if health in _HEALTH:
                return _health(health, checks, dict(request.query))
            case ["metrics"]:
                return _text(200, self._metrics())
            case ["api"] | ["apis"]:
                return self._root(parts[0], request)
            case ["api", version]:
                return self._document(self._discovery.resources("", version), request)
            case ["apis", group]:
                return self._document(self._discovery.group(group), request)
            case ["apis", group, version]:
                return self._document(self._discovery.resources(group, version), request)
            case ["openapi", "v3"]:
                negotiate(request.headers.get("accept", ""), "plain")
                return _json(_encode({"paths": self._openapi_paths()}))
            case ["openapi", "v3", *rest]:
                negotiate(request.headers.get("accept", ""), "plain")
                return self._openapi_document("/".join(rest), request)
            case _:
                return None

    def _paths(self) -> list[str]:
        groups = [group for group in self._registry.groups() if group]
        versions = [f"/apis/{group}/{version}" for group in groups for version in self._registry.versions(group)]
        fixed = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"]
        return sorted([*fixed, *(f"/apis/{group}" for group in groups), *versions])

    # -- discovery -----------------------------------------------------------------------------------------------

    def _root(self, root: str, request: Request) -> Response | None:
        where = "discovery" if self._has_aggregated_discovery else "plain"
        accepted = negotiate(request.headers.get("accept", ""), where)
        if accepted.form == "discovery":
            return self._document(self._discovery.aggregated(root, accepted), request, accepted)
        return self._document(
            self._discovery.core_versions() if root == "api" else self._discovery.groups(), request, accepted
        )

    def _document(
        self, document: discovery.Document | None, request: Request, accepted: Accepted | None = None
    ) -> Response | None:
        if document is None:
            return None
        if accepted is None:
            accepted = negotiate(request.headers.get("accept", ""), "plain")
        headers = {
            "content-type": "application/json" if accepted.form == "yaml" else accepted.content_type,
            "cache-control": "no-cache, private",
            "etag": document.etag,
            "vary": "Accept",
        }
        if request.headers.get("if-none-match") == document.etag:
            return Response(status=304, headers=headers)
        return Response(status=200, headers=headers, body=document.body)

    # -- OpenAPI -------------------------------------------------------------------------------------------------

    def _openapi_paths(self) -> dict[str, dict[str, str]]:
        return {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
            for path, digest in self._current_hashes().items()
        }

    def _current_hashes(self) -> dict[str, str]:
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._hashes = openapi.root(list(self._registry))
            self._openapi.clear()
        return self._hashes

    def _openapi_document(self, path: str, request: Request) -> Response | None:
        digest = self._current_hashes().get(path)
        if digest is None:
            return None
        asked = dict(request.query).get("hash", "")
        if asked and asked != digest:
            location = f"/openapi/v3/{path}?hash={digest}"
            return Response(status=301, headers={**_TEXT_HEADERS, "location": location}, body=b"")
        headers = {**_JSON_HEADERS, "etag": f'"{digest}"', "vary": "Accept, Accept-Encoding"}
        if asked:
            # The hash names the content: kubectl keeps it on disk and never asks again.
            expires = self._now() + timedelta(days=_CACHE_DAYS)
            headers["cache-control"] = "public, immutable"
            headers["expires"] = f"{expires:%a, %d %b %Y %H:%M:%S} GMT"
        if request.headers.get("if-none-match") == f'"{digest}"':
            return Response(status=304, headers=headers)
        if path not in self._openapi:
            body = _encode(openapi.document(path, list(self._registry)))
            self._openapi[path] = (body, gzip.compress(body, compresslevel=1, mtime=0))
        body, compressed = self._openapi[path]
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(status=200, headers={**headers, "content-encoding": "gzip"}, body=compressed)
        return Response(status=200, headers=headers, body=body)


_JSON_HEADERS = {"content-type": "application/json", "cache-control": "no-cache, private"}
_TEXT_HEADERS = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-cache, private"}


def _json(body: bytes) -> Response:
    return Response(status=200, headers=dict(_JSON_HEADERS), body=body)


def _text(status: int, text: str) -> Response:
    return Response(status=status, headers=dict(_TEXT_HEADERS), body=text.encode())


def _health(name: str, checks: list[str], query: dict[str, str]) -> Response | None:
    if len(checks) > 1 or (checks and checks[0] not in _HEALTH_CHECKS):
        return None
    if checks or "verbose" not in query:
        return _text(200, "ok")
    lines = [f"[+]{check} ok\n" for check in _HEALTH_CHECKS]
    return _text(200, f"{''.join(lines)}{name} check passed\n")
