"""The embedded cluster as one object: store, API server, controllers and kubelet, wired together.

A `Sandbox` works without sockets and without an event loop: `apply`, `get`, `settle` and friends are ordinary calls,
and time moves when the caller says so (`ManualClock`). With an event loop it also runs by itself (``async with
sandbox.running():``), and it can serve its API over HTTP (``async with sandbox.serving():``) for real clients.

The same seed and the same calls at the same times make the same cluster, event for event.
"""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prograde.api.crd import custom_resource_definitions
from prograde.api.manifests import load_documents
from prograde.kube.transport import Request, Response
from prograde.sandbox.admission import Admission
from prograde.sandbox.api import ApiServer, Stream
from prograde.sandbox.auth import ADMIN, Authenticator, User
from prograde.sandbox.bootstrap import install_definitions, publish_api_endpoint, seed
from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.certificates import ensure_certificates
from prograde.sandbox.client import Resource
from prograde.sandbox.clock import ManualClock
from prograde.sandbox.controllers.manager import ControllerManager, ManagerOptions
from prograde.sandbox.definitions import Definitions
from prograde.sandbox.deletion import DeleteOptions, Propagation, delete
from prograde.sandbox.documents import DEFAULT_VERSION, Documents, Version
from prograde.sandbox.endpoint import Endpoint
from prograde.sandbox.errors import StatusError
from prograde.sandbox.faults import Faults
from prograde.sandbox.forms import object_as
from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.kubelet.images import DEFAULT_RULES, ImageRule
from prograde.sandbox.kubelet.profiles import Profile, profile_named
from prograde.sandbox.local import VerbsClient
from prograde.sandbox.registry import Registry
from prograde.sandbox.requestlog import RequestLog
from prograde.sandbox.selection import parse_selection
from prograde.sandbox.server import HttpServer, is_host_name
from prograde.sandbox.serviceaddresses import Allocation, ServiceAddresses
from prograde.sandbox.store import Store
from prograde.sandbox.strategy import WriteContext
from prograde.sandbox.subresources import evict
from prograde.sandbox.transport import InProcessTransport
from prograde.sandbox.verbs import ManagedFieldsMode, PatchType, Verbs, WriteOptions

__all__ = ["Sandbox"]

LEAN_BOOKMARK_SECONDS = 3600.0
"""Longer than any watch lasts: then the bookmark at the end of each is the only one."""

PODS: Resource = ("", "pods")
MANAGER = "prograde-sandbox"
"""The field manager of writes made through a `Sandbox` object itself."""


class Sandbox:
    """A cluster in this process."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] | None = None,
        seed_number: int = 0,
        profile: str | Profile = "fast",
        crds: Iterable[Object] | None = None,
        managed_fields: ManagedFieldsMode = "full",
        controllers: bool = True,
        is_lean: bool = False,
        nodes: int = 1,
        token: str = "",
        users: Mapping[str, User] | None = None,
        creates_namespaces: bool = False,
        version: Version = DEFAULT_VERSION,
        has_aggregated_discovery: bool = True,
        speed: float = 1.0,
        root_certificate: str = "",
        image_rules: tuple[ImageRule, ...] = DEFAULT_RULES,
        contents: tuple[Store, Registry] | None = None,
    ) -> None:
        """Build a cluster that has its system namespaces, a node and custom kinds, and does nothing yet.

        Args:
            now: the cluster's time, aware UTC; None makes a `ManualClock`.
            seed_number: of everything random: names, UIDs, start-up times, faults.
            profile: how fast pods start: instant, fast, real or slow, or by durations of your own.
            crds: CustomResourceDefinitions to serve, shared and not copied; None for Prograde's own five.
            managed_fields: whether writes are credited to their managers; off is twice as fast.
            controllers: whether ReplicaSets make pods and so on; without, objects just lie there.
            is_lean: whether to leave out what only an onlooker sees: endpoints, the events of pods, most bookmarks, and
                the check that the cluster's own controllers update objects as their schemas want it. Twice as fast.
            nodes: how many simulated nodes there are.
            token: what clients over HTTPS must present; empty for a random one.
            users: further tokens and whom they stand for.
            creates_namespaces: whether a create in a missing namespace makes it.
            version: which Kubernetes to pass for.
            has_aggregated_discovery: whether discovery has its newer form, too.
            speed: how many seconds of `now` pass per second of the asyncio loop's clock.
            root_certificate: what every namespace's ``kube-root-ca.crt`` contains, in PEM.
            image_rules: how the programs of images behave, by their names.
            contents: what to copy from another cluster instead of starting empty, see `clone`.
        """
        self.clock = now if now is not None else ManualClock()
        # A copy must not draw again what the original has drawn: its objects have those UIDs.
        self.rng = random.Random(seed_number if contents is None else f"{seed_number} {contents[0].revision}")
        self._store = Store(self.clock) if contents is None else contents[0].clone(self.clock)
        self._registry = Registry(builtin_kinds()) if contents is None else contents[1].clone()
        self._named: dict[str, Kind] = {}
        self._named_at = -1
        """The stored kinds by everything that names them, as of this generation of the registry."""
        self._addresses = ServiceAddresses(self._store)
        admission = Admission(self._store, self._create_namespace if creates_namespaces else None)
        self._verbs = Verbs(
            self._store,
            self._registry,
            self.clock,
            self.rng,
            self._write_context,
            managed_fields=managed_fields,
            admit_create=admission,
        )
        definitions = Definitions(self._verbs)
        self._verbs.hooks += [self._addresses, definitions]
        self.authenticator = Authenticator(token, users)
        self.request_log = RequestLog()
        self.documents = Documents(
            self._registry,
            self.clock,
            version=version,
            metrics=self._metrics_text,
            has_aggregated_discovery=has_aggregated_discovery,
        )
        self.api = ApiServer(self._verbs, self.documents, self.authenticator)
        if is_lean:
            self.api.bookmark_seconds = LEAN_BOOKMARK_SECONDS
        self.faults = Faults(random.Random(seed_number + 1), self._store)
        if contents is None:
            seed(self._verbs)
            install_definitions(self._verbs, definitions, custom_resource_definitions() if crds is None else crds)
        self.controllers: ControllerManager | None = None
        if controllers:
            chosen = profile if isinstance(profile, Profile) else profile_named(profile)
            options = ManagerOptions(
                profile=chosen, speed=speed, root_certificate=root_certificate, image_rules=image_rules
            )
            options = replace(options, nodes=replace(options.nodes, count=nodes), is_lean=is_lean)
            client_for = self._trusted_client if is_lean else self.client
            self.controllers = ControllerManager(client_for, self.clock, self.rng, options, evict=self._evict)
            self.controllers.start()
            self.api.logs = self.controllers.kubelet.logs
        self._settings: dict[str, Any] = {
            "profile": profile,
            "managed_fields": managed_fields,
            "controllers": controllers,
            "is_lean": is_lean,
            "nodes": nodes,
            "users": users,
            "creates_namespaces": creates_namespaces,
            "version": version,
            "has_aggregated_discovery": has_aggregated_discovery,
            "speed": speed,
            "root_certificate": root_certificate,
            "image_rules": image_rules,
        }

    def clone(self, *, seed_number: int = 0) -> "Sandbox":
        """Return an independent cluster with the same objects and settings, at the same time.

        Cheap, since objects are shared: prepare one cluster and give each test its own. A manual clock is copied, any
        other is shared.
        """
        now = ManualClock(self.clock()) if isinstance(self.clock, ManualClock) else self.clock
        return Sandbox(now=now, seed_number=seed_number, contents=(self._store, self._registry), **self._settings)

    # -- the door ------------------------------------------------------------------------------------------------

    async def handle(self, request: Request, user: User = ADMIN) -> Response | Stream:
        """Answer an API request, with the faults that are set, and note it in the request log.

        Raises:
            ConnectionError: a fault broke the connection.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        status = size = 0
        try:
            answer = await self.faults.around(request, lambda asked: self.api.handle(asked, user))
            status, size = answer.status, len(answer.body) if isinstance(answer, Response) else 0
        finally:
            self.request_log.add(request, status, size, loop.time() - started)
        return answer

    def transport(self, user_agent: str = "prograde") -> InProcessTransport:
        """Return a transport for a client in this process."""
        return InProcessTransport(self.handle, user_agent=user_agent)

    def client(self, manager: str = MANAGER) -> VerbsClient:
        """Return a synchronous client that writes in the name of `manager`."""
        return VerbsClient(self._verbs, manager)

    def _trusted_client(self, manager: str) -> VerbsClient:
        return VerbsClient(self._verbs, manager, is_trusted=True)

    # -- objects -------------------------------------------------------------------------------------------------

    def apply(self, manifest: str | bytes | Object | Sequence[Object], *, namespace: str = "default") -> list[Object]:
        """Create or merge the objects of a manifest (YAML, JSON, or values), in order; return them as stored.

        Raises:
            StatusError: the server refuses one; those before it are applied.
            ManifestError: the text cannot be read.
        """
        return [self._apply(obj, namespace) for obj in _objects(manifest)]

    def get(self, resource: str | Resource, name: str, namespace: str = "default") -> Object:
        """Return an object; `resource` is a plural, ``plural.group``, short name or kind, or (group, plural).

        Raises:
            StatusError: 404.
        """
        kind = self.kind(resource)
        entry = self._verbs.get(kind, namespace if kind.namespaced else "", name)
        return object_as(entry, kind)

    def list(
        self, resource: str | Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Return the objects that the selectors choose, of one namespace unless None, in key order."""
        kind = self.kind(resource)
        selection = parse_selection(kind, namespace, labels, fields)
        return [object_as(entry, kind) for entry in selection.find(self._store.bucket(kind.storage_key))]

    def create(self, obj: Object, *, namespace: str = "default") -> Object:
        """Create one object."""
        kind = self._kind_of(obj)
        namespace = _namespace_of(kind, obj, namespace)
        return self._verbs.create(kind, namespace, dict(obj), WriteOptions(manager=MANAGER, validation="Strict")).obj

    def patch(
        self,
        resource: str | Resource,
        name: str,
        patch: Any,
        namespace: str = "default",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        """Patch an object, or its ``status``."""
        kind = self.kind(resource)
        namespace = namespace if kind.namespaced else ""
        options = WriteOptions(manager=MANAGER)
        return self._verbs.patch(kind, namespace, name, patch_type, patch, options, subresource=subresource).obj

    def delete(
        self,
        resource: str | Resource,
        name: str,
        namespace: str = "default",
        *,
        propagation: Propagation | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object, or mark it as to be deleted."""
        kind = self.kind(resource)
        entry = self._verbs.get(kind, namespace if kind.namespaced else "", name)
        delete(self._verbs, kind, entry, DeleteOptions(propagation=propagation, grace_seconds=grace_seconds))

    def events(self, about: str = "", namespace: str | None = None) -> Sequence[Object]:
        """Return Events in the order in which they were created; `about` is ``kind/name`` or a UID."""
        found = self.list(("", "events"), namespace)
        if about:
            found = [event for event in found if _is_about(event, about)]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def kind(self, resource: str | Resource) -> Kind:
        """Return the stored kind that a plural, ``plural.group``, singular, short name or kind names.

        Raises:
            KeyError: nothing served has this name.
        """
        if isinstance(resource, tuple):
            found = self._registry.stored(resource)
            if found is None:
                raise KeyError(f"{resource}: not served")
            return found
        if self._named_at != self._registry.generation:
            self._named, self._named_at = {}, self._registry.generation
            for kind in self._registry:
                if kind.is_storage_form:
                    names = (kind.plural, kind.singular_name, kind.kind.lower(), *kind.short_names)
                    for name in (*names, f"{kind.plural}.{kind.group}"):
                        self._named.setdefault(name, kind)
        wanted = self._named.get(resource.lower())
        if wanted is None:
            raise KeyError(f"{resource}: not served")
        return wanted

    # -- time ----------------------------------------------------------------------------------------------------

    def settle(self, seconds: float = 0.0) -> int:
        """Let controllers and kubelet work until nothing is due within `seconds`; return how much there was to do.

        With a manual clock, time moves to each thing that is due and at last to the end of the span. With another
        clock only what is due right now is done.
        """
        if self.controllers is None:
            return 0
        if not isinstance(self.clock, ManualClock):
            return self.controllers.sync()
        return self.controllers.settle(self.clock() + timedelta(seconds=seconds), self.clock.move_to)

    def advance(self, seconds: float) -> int:
        """Let `seconds` pass, and everything happen that happens in them.

        Raises:
            TypeError: the clock is not ours to move.
        """
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a sandbox with a ManualClock can be told to advance")
        if self.controllers is None:
            self.clock.move_to(self.clock() + timedelta(seconds=seconds))
            return 0
        return self.settle(seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Sandbox"]:
        """Let the cluster act by itself, on the running loop's clock, until the context is left."""
        if self.controllers is None:
            yield self
            return
        task = asyncio.create_task(self.controllers.run(), name="sandbox controllers")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def serving(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        directory: Path | None = None,
        insecure_http: bool = False,
        allows_other_machines: bool = False,
    ) -> AsyncIterator[Endpoint]:
        """Serve the API over HTTPS with a token, or plain HTTP for everybody, until the context is left.

        Args:
            port: 0 for a free one.
            directory: where kubeconfig and certificates are kept; None for a temporary one.
            allows_other_machines: must be set for any address that is not a loopback one.

        Raises:
            NotLoopback, OSError: as `HttpServer.start`.
            CertificatesUnavailable: HTTPS is not possible on this machine.
        """
        with _directory(directory) as place:
            certificates = None
            if not insecure_http:
                extra = () if is_host_name(host) else (host,)
                certificates = ensure_certificates(place, extra)
            server = HttpServer(
                self.handle,
                authenticator=None if insecure_http else self.authenticator,
                tls=certificates.server_context() if certificates is not None else None,
                end_watches=self.api.end_watches,
            )
            await server.start(host, port, allows_other_machines=allows_other_machines)
            try:
                publish_api_endpoint(self._verbs, "127.0.0.1", server.port)
                endpoint = Endpoint(
                    server.url,
                    place,
                    token="" if insecure_http else self.authenticator.token,
                    authority=certificates.authority.read_text() if certificates is not None else "",
                )
                endpoint.write_kubeconfig()
                yield endpoint
            finally:
                await server.stop()

    def compact(self, resource: str | Resource | None = None) -> None:
        """Forget all history now: watches from older revisions get 410."""
        self._store.compact(None if resource is None else self.kind(resource).storage_key)

    def expire_watches(self) -> None:
        """End all watches and forget the history they could resume from, so that clients must list again."""
        self.compact()
        self.api.end_watches()

    @property
    def revision(self) -> int:
        """The resourceVersion of the newest write."""
        return self._store.revision

    # -- wiring --------------------------------------------------------------------------------------------------

    def _write_context(self) -> WriteContext:
        allocation = Allocation(self._addresses)
        return WriteContext(
            now=self.clock(),
            rng=self.rng,
            get=self._look_up,
            allocate_ip=allocation.address,
            allocate_port=allocation.port,
        )

    def _look_up(self, resource: Resource, namespace: str, name: str) -> Object | None:
        entry = self._store.bucket(resource).get(namespace, name)
        return None if entry is None else entry.obj

    def _evict(self, namespace: str, name: str) -> None:
        kind = self.kind(PODS)
        evict(self._verbs, kind, self._verbs.get(kind, namespace, name), {}, WriteOptions(manager=MANAGER))

    def _create_namespace(self, name: str) -> None:
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def _kind_of(self, obj: Object) -> Kind:
        kind = self._registry.by_kind(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
        if kind is None:
            what = f'no matches for kind "{obj.get("kind", "")}" in version "{obj.get("apiVersion", "")}"'
            raise StatusError(404, "NotFound", what)
        return kind

    def _apply(self, obj: Object, namespace: str) -> Object:
        kind = self._kind_of(obj)
        namespace = _namespace_of(kind, obj, namespace)
        name = (obj.get("metadata") or {}).get("name", "")
        options = WriteOptions(manager=MANAGER, validation="Strict")
        if not name or self._store.bucket(kind.storage_key).get(namespace, name) is None:
            return self._verbs.create(kind, namespace, dict(obj), options).obj
        return self._verbs.patch(kind, namespace, name, "merge", obj, options).obj

    def _metrics_text(self) -> str:
        lines = ["# TYPE prograde_sandbox_objects gauge"]
        for group, plural in self._registry.resources():
            count = len(self._store.bucket((group, plural)))
            lines.append(f'prograde_sandbox_objects{{resource="{plural}.{group}"}} {count}'.replace('."}', '"}'))
        lines += ["# TYPE prograde_sandbox_requests_total counter"]
        for (verb, status), count in sorted(self.request_log.counts.items()):
            lines.append(f'prograde_sandbox_requests_total{{verb="{verb}",code="{status}"}} {count}')
        lines += ["# TYPE prograde_sandbox_revision counter", f"prograde_sandbox_revision {self._store.revision}"]
        lines += ["# TYPE prograde_sandbox_watches gauge", f"prograde_sandbox_watches {self.api.watch_count}"]
        return "\n".join(lines) + "\n"


@contextmanager
def _directory(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="prograde-sandbox-") as place:
        yield Path(place)


def _objects(manifest: str | bytes | Object | Sequence[Object]) -> list[Object]:
    """Return the objects of a manifest, those of a List one by one."""
    if isinstance(manifest, (str, bytes)):
        values: list[Object] = [document.value for document in load_documents(manifest)]
    else:
        values = [manifest] if isinstance(manifest, dict) else list(manifest)
    return [
        item
        for value in values
        for item in (value["items"] if value.get("kind") == "List" and "items" in value else [value])
    ]


def _namespace_of(kind: Kind, obj: Object, default: str) -> str:
    if not kind.namespaced:
        return ""
    namespace: str = (obj.get("metadata") or {}).get("namespace") or default
    return namespace


def _is_about(event: Object, about: str) -> bool:
    involved = event.get("involvedObject") or {}
    kind, slash, name = about.partition("/")
    if not slash:
        return bool(involved.get("uid") == about)
    return bool(involved.get("kind", "").lower() == kind.lower() and involved.get("name") == name)
