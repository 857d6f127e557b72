"""The one door of the embedded cluster: an API request in, a response or a stream out.

`ApiServer.handle` knows HTTP's words (methods, paths, headers, bytes) but no sockets. The server in front of it and the
in-process transport call the same method, so that nobody can tell them apart. A request is routed by its path, its
options are read, a verb does the work on JSON objects (`verbs`, `deletion`, `listing`, `watch`), and the result is
rendered in the form that the client accepts. Everything that goes wrong is a `StatusError` and leaves as a ``Status``.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from prograde.api.manifests import dump_yaml
from prograde.kube.transport import Request, Response
from prograde.sandbox import auth, subresources
from prograde.sandbox.auth import ADMIN, Authenticator, User
from prograde.sandbox.bodies import decode_object, decode_options, decode_patch
from prograde.sandbox.deletion import delete, delete_status, parse_delete_options
from prograde.sandbox.documents import Documents
from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.forms import bytes_as, item_bytes, object_as
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.listing import ListOptions, Page, list_page, parse_list_options, wait_for_revision
from prograde.sandbox.logs import PodLogs, follows, parse_log_query
from prograde.sandbox.negotiation import Accepted, negotiate
from prograde.sandbox.options import OptionsKind, parse_write_options
from prograde.sandbox.paths import ResourcePath, parse_path
from prograde.sandbox.store import Entry
from prograde.sandbox.tables import IncludeObject, partial_object, table_bytes
from prograde.sandbox.verbs import Verbs, Written
from prograde.sandbox.watch import BOOKMARK_SECONDS, EventForm, JsonEvents, MetadataEvents, TableEvents, Watch

__all__ = ["ApiServer", "Stream", "not_found_page", "status_response"]

logger = logging.getLogger(__name__)

WATCHES_MAX = 1_000
"""More watches than this on one laptop is a client that leaks them."""

WATCH_SECONDS_MIN = 1_800
WATCH_SECONDS_MAX = 3_600
"""A watch that names no timeout ends some time between these, so that clients do not all come back at once."""

_encode = msgspec.json.Encoder().encode
_JSON_HEADERS = {"content-type": "application/json", "cache-control": "no-cache, private"}
_TEXT_HEADERS = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-cache, private"}


class Stream:
    """An answer whose body comes piece by piece; `close` ends it from the server's side, after what is known."""

    def __init__(
        self, chunks: AsyncIterator[bytes], headers: Mapping[str, str], close: Callable[[], None] | None = None
    ) -> None:
        self.status = 200
        self.headers = headers
        self._chunks = chunks
        self._close = close

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body; may be called once."""
        return self._chunks

    def close(self) -> None:
        if self._close is not None:
            self._close()


class ApiServer:
    """The API of one cluster."""

    def __init__(self, verbs: Verbs, documents: Documents, authenticator: Authenticator) -> None:
        self.verbs = verbs
        self.bookmark_seconds = BOOKMARK_SECONDS
        """How often a silent watch says how far it has come."""
        self.logs: PodLogs | None = None
        """Set by whoever runs a kubelet."""
        self._store = verbs.store
        self._registry = verbs.registry
        self._documents = documents
        self._authenticator = authenticator
        self._watches: dict[Watch, None] = {}  # in the order of their beginning, so that a seed repeats itself
        self._request_count = 0

    async def handle(self, request: Request, user: User = ADMIN) -> Response | Stream:
        """Answer a request of an authenticated user. Never raises for anything that a client could cause."""
        self._request_count += 1
        try:
            answer = await self._route(request, user)
        except StatusError as err:
            answer = status_response(err)
        except Exception as err:
            logger.exception("%s %s failed", request.method, request.path)
            message = f"Internal error occurred: {err}"
            answer = status_response(StatusError(500, "InternalError", message, causes=[Cause("", str(err))]))
        if request.method == "HEAD" and isinstance(answer, Response):
            headers = {**answer.headers, "content-length": str(len(answer.body))}
            return Response(status=answer.status, headers=headers, body=b"")
        return answer

    def end_watches(self) -> None:
        """End all watches cleanly, as a server does before it stops."""
        for watch in tuple(self._watches):
            watch.stop()

    @property
    def watch_count(self) -> int:
        return len(self._watches)

    # -- routes --------------------------------------------------------------------------------------------------

    async def _route(self, request: Request, user: User) -> Response | Stream:
        path = parse_path(request.path)
        if path is None:
            return self._documents.answer(request)
        kind = self._registry.find(path.group, path.version, path.plural)
        if kind is None or (path.namespace is not None and not kind.namespaced):
            return not_found_page()
        query = dict(request.query)
        if not kind.is_stored:
            return self._review(kind, path, request, user)
        if not path.name:
            return await self._collection(kind, path, request, query, user)
        if kind.namespaced and path.namespace is None:
            return not_found_page()
        if path.subresource:
            return await self._subresource(kind, path, request, query, user)
        return self._object(kind, path, request, query, user)

    async def _collection(
        self, kind: Kind, path: ResourcePath, request: Request, query: dict[str, str], user: User
    ) -> Response | Stream:
        match request.method:
            case "GET" | "HEAD":
                options = parse_list_options(kind, path.namespace, query)
                name = options.selection.fields.name or ""
                verb = "watch" if options.is_watch else "list"
                auth.check_access(user, verb, kind, "", path.namespace or "", name)
                if options.is_watch and request.method == "GET":
                    return self._watch(kind, options, request, query)
                return await self._list(kind, options, request, query)
            case "POST" if path.namespace is not None or not kind.namespaced:
                auth.check_access(user, "create", kind, "", path.namespace or "", "")
                obj, duplicates = decode_object(request.body, request.headers.get("content-type", ""), kind)
                options_ = self._write_options("CreateOptions", request, query, duplicates)
                written = self.verbs.create(kind, path.namespace or "", obj, options_)
                return self._written(kind, written, request)
            case "DELETE" if path.namespace is not None or not kind.namespaced:
                auth.check_access(user, "deletecollection", kind, "", path.namespace or "", "")
                return self._delete_collection(kind, path, request, query)
            case _:
                allowed = ["GET", "HEAD"] + (["POST", "DELETE"] if path.namespace or not kind.namespaced else [])
                return method_not_allowed(allowed)

    def _object(
        self, kind: Kind, path: ResourcePath, request: Request, query: dict[str, str], user: User
    ) -> Response | Stream:
        namespace, name = path.namespace or "", path.name
        content_type = request.headers.get("content-type", "")
        match request.method:
            case "GET" | "HEAD":
                auth.check_access(user, "get", kind, "", namespace, name)
                entry = self.verbs.get(kind, namespace, name)
                return self._one(kind, entry, request, query)
            case "PUT":
                auth.check_access(user, "update", kind, "", namespace, name)
                obj, duplicates = decode_object(request.body, content_type, kind)
                options = self._write_options("UpdateOptions", request, query, duplicates)
                return self._written(kind, self.verbs.update(kind, namespace, name, obj, options), request)
            case "PATCH":
                auth.check_access(user, "patch", kind, "", namespace, name)
                patch_type, patch, duplicates = decode_patch(request.body, content_type, kind)
                user_agent = request.headers.get("user-agent", "")
                options = parse_write_options("PatchOptions", query, user_agent, duplicates, patch_type)
                written = self.verbs.patch(kind, namespace, name, patch_type, patch, options)
                return self._written(kind, written, request)
            case "DELETE":
                auth.check_access(user, "delete", kind, "", namespace, name)
                asked = parse_delete_options(decode_options(request.body, content_type), query)
                entry = self.verbs.get(kind, namespace, name)
                done = delete(self.verbs, kind, entry, asked)
                if done.entry is None:
                    return json_response(200, _encode(delete_status(kind, done.obj)))
                return self._written(kind, done, request, status=202 if asked.orphans is False else 200)
            case _:
                return method_not_allowed(["GET", "HEAD", "PUT", "PATCH", "DELETE"])

    # -- reading -------------------------------------------------------------------------------------------------

    def _one(self, kind: Kind, entry: Entry, request: Request, query: Mapping[str, str]) -> Response:
        accepted = negotiate(request.headers.get("accept", ""), "objects")
        if accepted.form == "json":
            return json_response(200, bytes_as(entry, kind))
        return self._rendered(kind, entry, accepted, query)

    def _rendered(self, kind: Kind, entry: Entry, accepted: Accepted, query: Mapping[str, str]) -> Response:
        match accepted.form:
            case "table":
                metadata = {"resourceVersion": entry.obj["metadata"]["resourceVersion"]}
                include = _include(query)
                body = table_bytes(
                    kind, [entry], self.verbs.now(), metadata=metadata, include=include, version=accepted.version
                )
            case "metadata":
                body = partial_object(entry, accepted.version)
            case "yaml":
                return yaml_response(200, object_as(entry, kind))
            case _:
                body = bytes_as(entry, kind)
        return json_response(200, body)

    async def _list(self, kind: Kind, options: ListOptions, request: Request, query: Mapping[str, str]) -> Response:
        accepted = negotiate(request.headers.get("accept", ""), "objects")
        if options.revision is not None:
            await wait_for_revision(self._store, options.revision)
        page = list_page(self._store, self._store.bucket(kind.storage_key), options)
        return self._page(kind, page, accepted, query)

    def _page(self, kind: Kind, page: Page, accepted: Accepted, query: Mapping[str, str]) -> Response:
        metadata = page.metadata()
        if accepted.form == "table":
            body = table_bytes(
                kind,
                page.entries,
                self.verbs.now(),
                metadata=metadata,
                include=_include(query),
                version=accepted.version,
            )
            return json_response(200, body)
        if accepted.form == "metadata":
            api_version, list_kind = f"meta.k8s.io/{accepted.version}", "PartialObjectMetadataList"
            items = [partial_object(entry, accepted.version) for entry in page.entries]
        else:
            api_version, list_kind = kind.api_version, kind.list_kind_name
            items = [item_bytes(entry, kind) for entry in page.entries]
        head = _encode({"kind": list_kind, "apiVersion": api_version, "metadata": metadata})[:-1]
        body = b"".join((head, b',"items":[', b",".join(items), b"]}"))
        if accepted.form == "yaml":
            return yaml_response(200, msgspec.json.decode(body))
        return json_response(200, body)

    def _watch(self, kind: Kind, options: ListOptions, request: Request, query: Mapping[str, str]) -> Stream:
        accepted = negotiate(request.headers.get("accept", ""), "watch")
        if len(self._watches) >= WATCHES_MAX:
            message = f"this cluster serves no more than {WATCHES_MAX} watches at a time"
            raise StatusError(429, "TooManyRequests", message, retry_after_seconds=1)
        form: EventForm
        match accepted.form:
            case "table":
                form = TableEvents(kind, self.verbs.now, _include(query), accepted.version)
            case "metadata":
                form = MetadataEvents(accepted.version)
            case _:
                form = JsonEvents(kind)
        # Spread by counting, not by chance: the seeded generator must not depend on how many watches there were.
        span = WATCH_SECONDS_MAX - WATCH_SECONDS_MIN
        seconds = WATCH_SECONDS_MIN + self._request_count * 137 % span
        watch = Watch(
            self._store, kind, options, form, default_timeout_seconds=seconds, bookmark_seconds=self.bookmark_seconds
        )
        return Stream(self._registered(watch), dict(_JSON_HEADERS), watch.stop)

    async def _registered(self, watch: Watch) -> AsyncIterator[bytes]:
        self._watches[watch] = None
        try:
            async for chunk in watch.chunks():
                yield chunk
        finally:
            self._watches.pop(watch, None)

    # -- writing -------------------------------------------------------------------------------------------------

    def _write_options(
        self, kind: OptionsKind, request: Request, query: Mapping[str, str], duplicates: tuple[str, ...] = ()
    ) -> Any:
        return parse_write_options(kind, query, request.headers.get("user-agent", ""), duplicates)

    def _written(self, kind: Kind, written: Written, request: Request, status: int = 0) -> Response:
        status = status or (201 if written.is_created else 200)
        accepted = negotiate(request.headers.get("accept", ""), "objects")
        if accepted.form == "yaml":
            response = yaml_response(status, written.obj)
        elif written.entry is not None and accepted.form != "json":
            response = self._rendered(kind, written.entry, accepted, {})
        else:
            body = _encode(written.obj) if written.entry is None else bytes_as(written.entry, kind)
            response = json_response(status, body)
        if not written.warnings:
            return response
        warnings = ", ".join(_warning(text) for text in written.warnings)
        return Response(status=status, headers={**response.headers, "warning": warnings}, body=response.body)

    def _delete_collection(self, kind: Kind, path: ResourcePath, request: Request, query: dict[str, str]) -> Response:
        asked = parse_delete_options(decode_options(request.body, request.headers.get("content-type", "")), query)
        options = parse_list_options(kind, path.namespace, {**query, "watch": ""})
        page = list_page(self._store, self._store.bucket(kind.storage_key), options)
        for entry in page.entries:
            current = self._store.bucket(kind.storage_key).entries.get(entry.key)
            if current is not None:
                delete(self.verbs, kind, current, asked)
        return self._page(kind, page, negotiate(request.headers.get("accept", ""), "objects"), query)

    def _review(self, kind: Kind, path: ResourcePath, request: Request, user: User) -> Response:
        if request.method != "POST" or path.name:
            return method_not_allowed(["POST"])
        obj, _ = decode_object(request.body, request.headers.get("content-type", ""), kind)
        answer = auth.review(kind, obj, user, self._authenticator, self.verbs.now)
        return json_response(201, _encode(answer))

    # -- sub-resources -------------------------------------------------------------------------------------------

    async def _subresource(
        self, kind: Kind, path: ResourcePath, request: Request, query: dict[str, str], user: User
    ) -> Response | Stream:
        name = path.subresource
        verbs = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
        if (name == "status" and kind.has_status) or (name == "scale" and kind.scale is not None):
            allowed = ["GET", "HEAD", "PUT", "PATCH"]
        elif name in ("exec", "attach", "portforward", "proxy") and kind.plural in ("pods", "services", "nodes"):
            message = f"{kind.plural}/{name} needs real containers, which this cluster does not have"
            raise StatusError(501, "NotImplemented", message)
        elif name in kind.subresources:
            allowed = {"log": ["GET", "HEAD"], "finalize": ["PUT"]}.get(name, ["POST"])
        else:
            return not_found_page()
        if request.method not in allowed:
            return method_not_allowed(allowed)
        namespace = path.namespace or ""
        auth.check_access(user, verbs[request.method], kind, name, namespace, path.name)
        entry = self.verbs.get(kind, namespace, path.name)
        match name:
            case "status":
                return self._status(kind, path, entry, request, query)
            case "scale":
                return self._scale(kind, entry, request, query)
            case "log":
                return await self._log(path, query)
            case "finalize":
                return self._put_part(kind, path, request, query)
            case _:
                return self._posted(kind, path, entry, request, query)

    def _status(
        self, kind: Kind, path: ResourcePath, entry: Entry, request: Request, query: dict[str, str]
    ) -> Response:
        if request.method == "PUT":
            return self._put_part(kind, path, request, query)
        if request.method != "PATCH":
            return self._one(kind, entry, request, query)
        content_type = request.headers.get("content-type", "")
        patch_type, patch, duplicates = decode_patch(request.body, content_type, kind)
        user_agent = request.headers.get("user-agent", "")
        options = parse_write_options("PatchOptions", query, user_agent, duplicates, patch_type)
        written = self.verbs.patch(
            kind, path.namespace or "", path.name, patch_type, patch, options, subresource="status"
        )
        return self._written(kind, written, request)

    def _put_part(self, kind: Kind, path: ResourcePath, request: Request, query: dict[str, str]) -> Response:
        obj, duplicates = decode_object(request.body, request.headers.get("content-type", ""), kind)
        options = self._write_options("UpdateOptions", request, query, duplicates)
        written = self.verbs.update(kind, path.namespace or "", path.name, obj, options, subresource=path.subresource)
        return self._written(kind, written, request)

    def _scale(self, kind: Kind, entry: Entry, request: Request, query: dict[str, str]) -> Response:
        content_type = request.headers.get("content-type", "")
        match request.method:
            case "PUT":
                scale, duplicates = decode_object(request.body, content_type, _SCALE_KIND)
                options = self._write_options("UpdateOptions", request, query, duplicates)
                obj = subresources.update_scale(self.verbs, kind, entry, scale, options).obj
            case "PATCH":
                patch_type, patch, duplicates = decode_patch(request.body, content_type, kind)
                user_agent = request.headers.get("user-agent", "")
                options = parse_write_options("PatchOptions", query, user_agent, duplicates, patch_type)
                obj = subresources.patch_scale(self.verbs, kind, entry, patch_type, patch, options).obj
            case _:
                obj = subresources.scale_of(kind, object_as(entry, kind))
        return json_response(200, _encode(obj))

    async def _log(self, path: ResourcePath, query: dict[str, str]) -> Response | Stream:
        options = parse_log_query(path.name, query)
        if self.logs is None:
            raise StatusError(501, "NotImplemented", "no kubelet runs in this cluster, so that nobody keeps logs")
        container = query.get("container", "")
        if follows(query):
            chunks = self.logs.follow_log(path.namespace or "", path.name, container, **options)
            # The first piece tells whether there is a log at all, which decides about the status of the answer.
            first = await anext(chunks, b"")
            return Stream(_after(first, chunks), dict(_TEXT_HEADERS))
        text = self.logs.read_log(path.namespace or "", path.name, container, **options)
        return Response(status=200, headers=dict(_TEXT_HEADERS), body=text)

    def _posted(
        self, kind: Kind, path: ResourcePath, entry: Entry, request: Request, query: dict[str, str]
    ) -> Response:
        body, duplicates = decode_object(
            request.body, request.headers.get("content-type", ""), _POSTED_KINDS[path.subresource]
        )
        options = self._write_options("CreateOptions", request, query, duplicates)
        match path.subresource:
            case "eviction":
                answer = subresources.evict(self.verbs, kind, entry, body, options)
            case "binding":
                answer = subresources.bind(self.verbs, kind, entry, body, options)
            case _:
                token = self._authenticator.issue(path.name, path.namespace or "", self.verbs.rng)
                answer = auth.token_request(body, token, self.verbs.now())
        return json_response(201, _encode(answer))


_SCALE_KIND = Kind(group="autoscaling", version="v1", kind="Scale", plural="scales")
_POSTED_KINDS = {
    "eviction": Kind(group="policy", version="v1", kind="Eviction", plural="evictions"),
    "binding": Kind(group="", version="v1", kind="Binding", plural="bindings"),
    "token": Kind(group="authentication.k8s.io", version="v1", kind="TokenRequest", plural="tokenrequests"),
}


def json_response(status: int, body: bytes) -> Response:
    return Response(status=status, headers=_JSON_HEADERS, body=body)


def yaml_response(status: int, obj: Object) -> Response:
    headers = {**_JSON_HEADERS, "content-type": "application/yaml"}
    return Response(status=status, headers=headers, body=dump_yaml(obj).encode())


def status_response(error: StatusError) -> Response:
    """Return the answer that tells of a failure."""
    headers = dict(_JSON_HEADERS)
    if error.retry_after_seconds:
        headers["retry-after"] = str(error.retry_after_seconds)
    return Response(status=error.code, headers=headers, body=_encode(error.to_status()))


def not_found_page() -> Response:
    """Return the answer for paths that mean nothing here; clients take it for "this kind is not installed"."""
    return Response(status=404, headers=dict(_TEXT_HEADERS), body=b"404 page not found\n")


def method_not_allowed(allowed: list[str]) -> Response:
    message = "the server does not allow this method on the requested resource"
    response = status_response(StatusError(405, "MethodNotAllowed", message))
    return Response(status=405, headers={**response.headers, "allow": ", ".join(allowed)}, body=response.body)


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _include(query: Mapping[str, str]) -> IncludeObject:
    asked = query.get("includeObject", "")
    return "None" if asked == "None" else "Object" if asked == "Object" else "Metadata"


def _warning(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
