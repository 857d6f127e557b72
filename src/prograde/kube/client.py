"""Requests to an API server as typed calls: one method per verb, errors as types, throttled and retried.

    call ──▶ token bucket ──▶ transport ──▶ answer ──▶ bytes or a msgspec type
                 ▲                             │
                 └── Retry-After, back-off ◀───┘

Every method takes a `Resource` and returns an `Answer` whose bytes decode straight into a msgspec type; nothing passes
through dicts. What is retried, and why it is safe:

- Reads, on 429, 5xx and lost connections.
- Writes, when nothing was sent, on 429 and 5xx that carry Retry-After: with it the server says that the request was
  turned away. Any other failure of a write is ambiguous; the next reconcile looks at what became of it.

Retries are few and bounded. A failure that lasts belongs to the caller's queue, which has the longer breath.
Caches of whole collections are `prograde.kube.informer`'s business; this module only opens the streams for it.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Final, Literal, TypeVar

import msgspec

from prograde.kube.errors import (
    ApiError,
    ConnectFailed,
    DecodeError,
    Gone,
    NotFound,
    TooManyRequests,
    Unreachable,
    from_response,
)
from prograde.kube.limiter import TokenBucket
from prograde.kube.resources import PODS, Resource
from prograde.kube.transport import Request, Response, StreamingResponse, Transport

__all__ = [
    "APPLY_PATCH",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_PATCH",
    "Answer",
    "Call",
    "Client",
    "Listing",
    "Observer",
    "Page",
    "Propagation",
    "Resource",
]

T = TypeVar("T")

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

PAGE_SIZE: Final = 500
"""Objects per list request: what kubectl and client-go ask for."""

RETRIES_MAX: Final = 5
RETRY_BASE_SECONDS: Final = 0.25
RETRY_SECONDS_MAX: Final = 30.0
"""Nobody is held longer than this inside one call; a longer Retry-After goes to the caller as the error it is."""

ERROR_BODY_BYTES_MAX: Final = 1 << 20
"""A `Status` is small; more than this of a refused stream is not read."""

Propagation = Literal["Background", "Foreground", "Orphan"]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was about, for messages and metrics."""

    verb: str
    """get, list, watch, create, update, patch or delete; for other paths the HTTP method in lower case."""
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""

    def __str__(self) -> str:
        if self.resource is None:
            return f"{self.verb} {self.path}"
        what = self.resource.qualified + (f"/{self.subresource}" if self.subresource else "")
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.verb} {what} {where}" if where else f"{self.verb} {what}"


Observer = Callable[[Call, int, float], None]
"""Told of every answer: the call, the HTTP status (0 when there was none), the seconds until its headers or its end."""


class _ListMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to a list request. `items` are views into its body: decode or copy them and let go of the page."""

    metadata: _ListMeta = _ListMeta()
    items: list[msgspec.Raw] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The body that a call brought back, decoded only on demand: ``(await client.get(...)).to(Pod)``."""

    call: Call
    body: bytes

    def to(self, kind: type[T]) -> T:
        """Return the body decoded.

        Raises:
            DecodeError: it does not fit; the message names the call and the field.
        """
        return _decode(self.body, kind, self.call)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """All objects of a collection as of one resource version, each as its own bytes."""

    call: Call
    items: list[bytes]
    resource_version: str

    def to(self, kind: type[T]) -> list[T]:
        """Return all objects decoded.

        Raises:
            DecodeError: one does not fit. Whoever must survive that decodes `items` one by one.
        """
        return [_decode(item, kind, self.call) for item in self.items]


class _ResourceList(msgspec.Struct, frozen=True, kw_only=True):
    class _Entry(msgspec.Struct, frozen=True, kw_only=True):
        name: str
        kind: str = ""
        namespaced: bool = True

    resources: list[_Entry] | None = None


class Client:
    """One API server, one identity, one rate limit.

    Callers that must not wait behind others (lease renewal) use a client of their own over the same transport.

    Args:
        qps, burst: see `TokenBucket`; 0 switches throttling off.
        retries: how often a failed call is repeated where that is safe.
        observer: see `Observer`; must not raise or wait.
        rng: spreads retries.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        qps: float = 40,
        burst: int = 80,
        retries: int = RETRIES_MAX,
        observer: Observer | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._bucket = TokenBucket(qps, burst)
        self._retries = retries
        self._observer = observer
        self._rng = rng or random.Random()

    # -- reading ------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Answer:
        """Return one object.

        Raises:
            NotFound: it does not exist, or the kind is not served.
        """
        call = Call(verb="get", resource=resource, namespace=namespace, name=name, subresource=subresource)
        return await self._send(call, "GET", resource.path(namespace, name, subresource))

    async def pages(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = PAGE_SIZE,
        resource_version: str = "",
    ) -> AsyncIterator[Page]:
        """Yield the collection page by page; an empty namespace means all. `page_size` 0 asks for all in one.

        Raises:
            Gone: the snapshot being paged through has become too old; what was yielded must be thrown away.
        """
        call = Call(verb="list", resource=resource, namespace=namespace)
        continue_token = ""
        while True:
            query = _selectors(label_selector, field_selector)
            if page_size:
                query.append(("limit", str(page_size)))
            if continue_token:
                query.append(("continue", continue_token))
            elif resource_version:
                query.append(("resourceVersion", resource_version))
            page = (await self._send(call, "GET", resource.path(namespace), query=query)).to(Page)
            if continue_token and page.metadata.continue_token == continue_token:
                raise DecodeError(f"{call}: the server repeats the continue token {continue_token!r}: endless list")
            continue_token = page.metadata.continue_token
            yield page
            if not continue_token:
                return

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """Return all objects as their own bytes. A snapshot that expires between two pages is read again whole."""
        for page_size in (PAGE_SIZE, 0):
            items: list[bytes] = []
            version = ""
            try:
                async for page in self.pages(
                    resource,
                    namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                    page_size=page_size,
                ):
                    items += map(bytes, page.items or ())
                    version = page.metadata.resource_version
            except Gone:
                if page_size:
                    continue
                raise
            call = Call(verb="list", resource=resource, namespace=namespace)
            return Listing(call=call, items=items, resource_version=version)
        raise AssertionError("an unpaged list returns or raises")

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        timeout_seconds: int,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a watch; the context's value yields raw pieces of the body, cut anywhere.

        Raises:
            Gone: some servers refuse an expired version here, others within the stream.
        """
        query = [("watch", "true"), *_selectors(label_selector, field_selector)]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        if bookmarks:
            query.append(("allowWatchBookmarks", "true"))
        query.append(("timeoutSeconds", str(timeout_seconds)))
        call = Call(verb="watch", resource=resource, namespace=namespace)
        return self._stream(call, resource.path(namespace), query)

    def log(
        self,
        namespace: str,
        name: str,
        *,
        container: str = "",
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the log of a pod's container; the context's value yields pieces of it."""
        options: list[tuple[str, str | int | None]] = [
            ("container", container or None),
            ("follow", "true" if follow else None),
            ("previous", "true" if previous else None),
            ("tailLines", tail_lines),
            ("sinceSeconds", since_seconds),
            ("timestamps", "true" if timestamps else None),
        ]
        call = Call(verb="get", resource=PODS, namespace=namespace, name=name, subresource="log")
        query = [(key, str(value)) for key, value in options if value is not None]
        return self._stream(call, PODS.path(namespace, name, "log"), query)

    # -- writing ------------------------------------------------------------------------------------------------

    async def create(
        self,
        resource: Resource,
        namespace: str,
        body: object,
        *,
        name: str = "",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Answer:
        """Create an object; `body` is JSON bytes or anything msgspec encodes. Return it as stored.

        `name` is given with sub-resources (``pods/eviction``), and otherwise only serves messages and metrics.

        Raises:
            AlreadyExists, Invalid, Forbidden.
        """
        call = Call(verb="create", resource=resource, namespace=namespace, name=name, subresource=subresource)
        path = resource.path(namespace, name if subresource else "", subresource)
        query = _write_options(dry_run, field_manager)
        return await self._send(call, "POST", path, query=query, body=_encode(body))

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        *,
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Answer:
        """Replace an object; its `metadata.resourceVersion` guards against overwriting somebody else's change.

        Raises:
            Conflict: the object has changed since it was read.
        """
        call = Call(verb="update", resource=resource, namespace=namespace, name=name, subresource=subresource)
        path = resource.path(namespace, name, subresource)
        query = _write_options(dry_run, field_manager)
        return await self._send(call, "PUT", path, query=query, body=_encode(body))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: object,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> Answer:
        """Patch an object, by JSON merge patch unless `content_type` says otherwise. Return it as stored.

        `force` takes fields over from other managers and is legal with server-side apply only.

        Raises:
            Conflict: the patch holds a resourceVersion that is no longer current, or apply meets another owner.
        """
        call = Call(verb="patch", resource=resource, namespace=namespace, name=name, subresource=subresource)
        path = resource.path(namespace, name, subresource)
        query = _write_options(dry_run, field_manager)
        if force:
            query.append(("force", "true"))
        return await self._send(call, "PATCH", path, query=query, body=_encode(patch), content_type=content_type)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Answer:
        """Delete an object; `uid` and `resource_version` are preconditions. Return the server's answer.

        Raises:
            NotFound: it is gone already.
            Conflict: a precondition does not hold.
        """
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        options: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if dry_run:
            options["dryRun"] = ["All"]
        call = Call(verb="delete", resource=resource, namespace=namespace, name=name)
        return await self._send(call, "DELETE", resource.path(namespace, name), body=_encode(options))

    # -- discovery and anything else ----------------------------------------------------------------------------

    async def serves(self, resource: Resource) -> bool:
        """Return whether the server knows this group, version and plural: one discovery request, not cached."""
        call = Call(verb="get", path=resource.group_path)
        try:
            answer = (await self._send(call, "GET", resource.group_path)).to(_ResourceList)
        except NotFound:
            return False
        return any(entry.name == resource.plural for entry in answer.resources or ())

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send anything to any path, with the same throttling, retries and errors.

        Raises:
            ApiError: the answer has an error status.
        """
        call = Call(verb=method.lower(), path=path)
        request = Request(method=method, path=path, query=tuple(query), headers=headers or {}, body=body)
        return await self._send_request(call, request)

    async def close(self) -> None:
        """Close the transport; streams still open end with an error."""
        await self._transport.close()

    # -- below the verbs ----------------------------------------------------------------------------------------

    async def _send(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str = "application/json",
    ) -> Answer:
        headers = {"accept": "application/json"}
        if body:
            headers["content-type"] = content_type
        request = Request(method=method, path=path, query=tuple(query), headers=headers, body=body)
        return Answer(call=call, body=(await self._send_request(call, request)).body)

    async def _send_request(self, call: Call, request: Request) -> Response:
        """Send until there is an answer to hand over or retrying is no use."""
        is_read = request.method in ("GET", "HEAD")
        attempt = 0
        while True:
            try:
                return await self._send_once(call, request)
            except (ApiError, Unreachable) as err:
                delay_seconds = self._retry_delay(err, attempt, is_read=is_read)
                if delay_seconds is None:
                    raise
            attempt += 1
            await asyncio.sleep(delay_seconds)

    async def _send_once(self, call: Call, request: Request) -> Response:
        await self._bucket.wait()
        started_at = asyncio.get_running_loop().time()
        try:
            response = await self._transport.request(request)
        except OSError as err:  # TimeoutError is one
            self._observe(call, 0, started_at)
            raise Unreachable(f"{call}: {_describe(err)}") from err
        self._observe(call, response.status, started_at)
        if response.status >= 300:
            raise from_response(response, call=str(call))
        return response

    def _retry_delay(self, err: ApiError | Unreachable, attempt: int, *, is_read: bool) -> float | None:
        """Return the seconds to wait before trying again, None if the error goes to the caller."""
        if attempt >= self._retries:
            return None
        backoff_seconds = RETRY_BASE_SECONDS * 2.0**attempt * (1 + self._rng.random())
        if isinstance(err, Unreachable):
            return backoff_seconds if is_read or isinstance(err.__cause__, ConnectFailed) else None
        if not isinstance(err, TooManyRequests) and err.code < 500:
            return None
        if err.retry_after_seconds is None:
            return backoff_seconds if is_read else None
        if err.retry_after_seconds > RETRY_SECONDS_MAX:
            return None
        return max(err.retry_after_seconds, backoff_seconds)

    @asynccontextmanager
    async def _stream(
        self, call: Call, path: str, query: Iterable[tuple[str, str]]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a stream once; whoever follows one has own rules for coming back."""
        request = Request(method="GET", path=path, query=tuple(query), headers={"accept": "application/json"})
        await self._bucket.wait()
        started_at = asyncio.get_running_loop().time()
        async with AsyncExitStack() as stack:
            try:
                streaming = await stack.enter_async_context(self._transport.stream(request))
            except OSError as err:
                self._observe(call, 0, started_at)
                raise Unreachable(f"{call}: {_describe(err)}") from err
            self._observe(call, streaming.status, started_at)
            if streaming.status >= 300:
                body = await _read_error_body(streaming)
                answer = Response(status=streaming.status, headers=streaming.headers, body=body)
                raise from_response(answer, call=str(call))
            yield await stack.enter_async_context(aclosing(_translate(streaming, call)))

    def _observe(self, call: Call, status: int, started_at: float) -> None:
        if self._observer is not None:
            self._observer(call, status, asyncio.get_running_loop().time() - started_at)


async def _translate(streaming: StreamingResponse, call: Call) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a stream, wrapping a broken connection."""
    try:
        async for piece in streaming.chunks():
            yield piece
    except OSError as err:
        raise Unreachable(f"{call}: {_describe(err)}") from err


async def _read_error_body(streaming: StreamingResponse) -> bytes:
    """Return what can be read of a refusal: a connection cut meanwhile must not hide the code."""
    body = b""
    try:
        async for piece in streaming.chunks():
            body += piece
            if len(body) > ERROR_BODY_BYTES_MAX:
                break
    except OSError:
        pass
    return body


def _describe(err: OSError) -> str:
    """Return the sentence of a network error; time-outs often come without one."""
    return str(err) or ("timed out" if isinstance(err, TimeoutError) else type(err).__name__)


def _selectors(label_selector: str, field_selector: str) -> list[tuple[str, str]]:
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return [(key, value) for key, value in pairs if value]


def _write_options(dry_run: bool, field_manager: str) -> list[tuple[str, str]]:
    pairs = (("dryRun", "All" if dry_run else ""), ("fieldManager", field_manager))
    return [(key, value) for key, value in pairs if value]


def _encode(body: object) -> bytes:
    """Return `body` as JSON; bytes and Raw are JSON already."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, msgspec.Raw):
        return bytes(body)
    return msgspec.json.encode(body)


def _decode(body: bytes, kind: type[T], call: Call) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as err:
        raise DecodeError(f"{call}: the answer does not fit {kind.__name__}: {err}") from err
