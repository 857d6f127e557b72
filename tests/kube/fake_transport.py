"""An API server small enough to read, in memory, with faults on demand.

It stores any kind at any path, counts resource versions, lists in pages from snapshots, and serves watches from its
history. `server.faults` is the script: each fault answers the next requests that it matches, in order.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prograde.kube.transport import Request, Response

Object = dict[str, Any]


@dataclass
class Fault:
    """What to do instead of, or after, serving a request.

    `answer` replaces the answer; `error` is raised; with `after_effect` the server does its work first and the answer
    gets lost. For watches: `cut_after_bytes` breaks the connection there, `lines` are sent before anything else,
    `end` closes the stream cleanly after `lines`.
    """

    answer: Response | None = None
    error: OSError | None = None
    after_effect: bool = False
    cut_after_bytes: int | None = None
    lines: tuple[bytes, ...] = ()
    end: bool = False
    hang: bool = False
    times: int = 1
    matches: Callable[[Request], bool] = lambda request: True


def is_watch(request: Request) -> bool:
    return ("watch", "true") in request.query


def is_list(request: Request) -> bool:
    return request.method == "GET" and not is_watch(request)


def status(code: int, reason: str, message: str = "because", **extra: Any) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        **extra,
    }


def refusal(code: int, reason: str, message: str = "because", *, retry_after: str = "", **extra: Any) -> Response:
    headers = {"content-type": "application/json"}
    if retry_after:
        headers["retry-after"] = retry_after
    return Response(status=code, headers=headers, body=json.dumps(status(code, reason, message, **extra)).encode())


def event_line(kind: str, obj: Object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


EXPIRED_EVENT = event_line("ERROR", status(410, "Expired", "too old resource version: 5 (120)"))


@dataclass
class _Stream:
    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]

    def chunks(self) -> AsyncIterator[bytes]:
        return self.body


@dataclass
class FakeServer:
    """See the module's docstring. `chunk_bytes` is the size of the pieces in which streams arrive."""

    chunk_bytes: int = 1 << 16
    now: Callable[[], str] = lambda: "2026-01-01T00:00:00Z"
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    request_times: list[float] = field(default_factory=list)
    version: int = 100
    floor: int = 0
    latency_seconds: float = 0.0
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    history: list[tuple[int, str, tuple[str, str, str], Object]] = field(default_factory=list)
    open_streams: int = 0
    is_closed: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _snapshots: dict[int, list[Object]] = field(default_factory=dict)
    _uids: int = 0

    # -- the other side: what "somebody else" does to the cluster -----------------------------------------------

    def put(self, collection: str, namespace: str, name: str, **content: Any) -> Object:
        key = (collection, namespace, name)
        old = self.objects.get(key)
        self.version += 1
        meta = dict(content.pop("metadata", {}))
        meta |= {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        if not meta.get("uid"):
            self._uids += 1
            meta["uid"] = old["metadata"]["uid"] if old else f"uid-{self._uids}"
        obj = {"metadata": meta, **content}
        self.objects[key] = obj
        self._record("MODIFIED" if old else "ADDED", key, obj)
        return obj

    def remove(self, collection: str, namespace: str, name: str) -> Object:
        key = (collection, namespace, name)
        self.version += 1
        obj = self.objects.pop(key)
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self._record("DELETED", key, obj)
        return obj

    def compact(self) -> None:
        """Forget all history: watches from before now get a 410."""
        self.floor = self.version
        self._snapshots.clear()

    def _record(self, kind: str, key: tuple[str, str, str], obj: Object) -> None:
        self.history.append((self.version, kind, key, obj))
        self._changed.set()
        self._changed = asyncio.Event()

    def requests_to(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    # -- the transport ------------------------------------------------------------------------------------------

    async def request(self, request: Request) -> Response:
        self._note(request)
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        fault = self._take_fault(request)
        if fault is None:
            return self._serve(request)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.after_effect:
            self._serve(request)
        if fault.error is not None:
            raise fault.error
        assert fault.answer is not None
        return fault.answer

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[_Stream]:
        self._note(request)
        fault = self._take_fault(request)
        if fault is not None and fault.hang:
            await asyncio.Event().wait()
        if fault is not None and fault.error is not None and fault.cut_after_bytes is None:
            raise fault.error
        self.open_streams += 1
        try:
            if fault is not None and fault.answer is not None:
                yield _Stream(
                    fault.answer.status, dict(fault.answer.headers), self._pieces(_once(fault.answer.body), None)
                )
            else:
                yield _Stream(200, {}, self._pieces(self._watch_lines(request, fault), fault))
        finally:
            self.open_streams -= 1

    async def close(self) -> None:
        self.is_closed = True

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        self.request_times.append(asyncio.get_running_loop().time())

    def _take_fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.matches(request):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    # -- serving ------------------------------------------------------------------------------------------------

    def _locate(self, path: str) -> tuple[str, str, str, str]:
        """Return collection, namespace, name and sub-resource."""
        parts = path.strip("/").split("/")
        prefix = 2 if parts[0] == "api" else 3
        group, rest = "/".join(parts[:prefix]), parts[prefix:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        rest += [""] * (3 - len(rest))
        return f"{group}/{rest[0]}", namespace, rest[1], rest[2]

    def _serve(self, request: Request) -> Response:
        collection, namespace, name, _ = self._locate(request.path)
        key = (collection, namespace, name)
        if request.method == "GET" and not name:
            return self._list(request, collection, namespace)
        body = json.loads(request.body) if request.body else {}
        if request.method == "POST":
            key = (collection, namespace, body["metadata"]["name"])
            if key in self.objects:
                return refusal(409, "AlreadyExists", f'"{key[2]}" already exists')
            return _ok(self.put(*key, **body), 201)
        old = self.objects.get(key)
        if old is None:
            return refusal(404, "NotFound", f'{collection.rsplit("/", 1)[1]} "{name}" not found')
        if request.method == "GET":
            return _ok(old)
        if request.method == "DELETE":
            return _ok(self.remove(*key))
        new = body if request.method == "PUT" else _merge(old, body)
        version = body.get("metadata", {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            return refusal(409, "Conflict", "the object has been modified")
        return _ok(self.put(*key, **new))

    def _list(self, request: Request, collection: str, namespace: str) -> Response:
        query = dict(request.query)
        version, offset = self.version, 0
        if "continue" in query:
            version, offset = map(int, query["continue"].split(":"))
            if version not in self._snapshots:
                return refusal(410, "Expired", "The provided continue parameter is too old")
        else:
            self._snapshots[version] = [
                obj for key, obj in sorted(self.objects.items()) if key[0] == collection and namespace in ("", key[1])
            ]
        items = self._snapshots[version]
        limit = int(query.get("limit", "0")) or len(items)
        meta: Object = {"resourceVersion": str(version)}
        if offset + limit < len(items):
            meta["continue"] = f"{version}:{offset + limit}"
        return _ok({"kind": "List", "metadata": meta, "items": items[offset : offset + limit] or None})

    async def _watch_lines(self, request: Request, fault: Fault | None) -> AsyncIterator[bytes]:
        if fault is not None:
            for line in fault.lines:
                yield line
            if fault.end:
                return
        query = dict(request.query)
        collection, namespace, _, _ = self._locate(request.path)
        since = int(query.get("resourceVersion") or 0)
        if since < self.floor:
            yield EXPIRED_EVENT
            return
        deadline = asyncio.get_running_loop().time() + int(query["timeoutSeconds"])
        position = 0
        while True:
            while position < len(self.history):
                version, kind, key, obj = self.history[position]
                position += 1
                if version > since and key[0] == collection and namespace in ("", key[1]):
                    yield event_line(kind, obj)
            changed = self._changed
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                yield event_line("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})
                return

    async def _pieces(self, lines: AsyncIterator[bytes], fault: Fault | None) -> AsyncIterator[bytes]:
        sent = 0
        async for line in lines:
            for start in range(0, len(line), self.chunk_bytes):
                piece = line[start : start + self.chunk_bytes]
                if fault is not None and fault.cut_after_bytes is not None:
                    left = fault.cut_after_bytes - sent
                    if len(piece) > left:
                        yield piece[:left]
                        if fault.error is not None:
                            raise fault.error
                        return
                sent += len(piece)
                yield piece


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _ok(obj: Object, code: int = 200) -> Response:
    return Response(status=code, headers={"content-type": "application/json"}, body=json.dumps(obj).encode())


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(old.get(key, {}), value)
    return merged
