"""The objects that traffic routers read: followed from their first use on, and whom a change of them wakes.

    Rollout ── its routers ──▶ Wanted ──▶ informers, one per kind ──▶ Objects, for the next plan
                                              │
                                              └─ change of an object ──▶ the Rollouts that want it

What a router wants depends on the Rollout alone, so the Rollouts are indexed by it, and whatever somebody changes or
deletes by hand is put right at once. Objects are kept as the server's bytes, without their managed fields: most are
never read, and each read makes a copy of its own that nobody else can spoil.

Three things may keep a kind from being followed:

- It is not served. Then it is reported as such, and asked for again and again: its definitions may come later.
- A role allows to read objects but not to list or to watch them. Then they are read one by one in each pass.
- The first list has not come yet. Then the pass is put off; the list will wake the Rollout.

Objects of a namespace other than the one that is watched are read one by one, too.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from prograde.api.meta import NamespacedName, ObjectMeta, key_of
from prograde.api.rollout import Rollout
from prograde.api.selectors import compile_selector, selector_matches
from prograde.controller.ondemand import InformersOnDemand, OnDemand
from prograde.controller.resources import resource_of
from prograde.core.objects import INGRESSES, JsonObject, ObjectKind, ObjectRef, Objects, ObjectSelection
from prograde.core.routing import RoutersOf, Wanted
from prograde.kube.backoff import Backoff
from prograde.kube.client import Client
from prograde.kube.errors import NotFound
from prograde.kube.informer import Indexer, Informer
from prograde.kube.resources import Resource

__all__ = ["FirstListMissing", "RoutingObject", "RoutingObjects", "by_object", "wanted_by"]

log = logging.getLogger(__name__)

RETRY_SECONDS_MAX: Final = 10.0
"""How long a definition or a permission that somebody has just added may stay unnoticed, and twice that at worst."""

INGRESS_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"


class FirstListMissing(Exception):
    """A kind is asked for that has not been listed yet. Nothing is wrong: it has just been asked for."""


class RoutingObject(msgspec.Struct, frozen=True):
    """One object as the server sent it, without managed fields."""

    metadata: ObjectMeta
    body: bytes

    def to_json(self) -> JsonObject:
        """Return a copy of the object that is the caller's own."""
        obj: JsonObject = msgspec.json.decode(self.body)
        return obj


def wanted_by(rollout: Rollout, routers_of: RoutersOf) -> Wanted:
    """Return what all routers of a Rollout want."""
    wanted = [router.wanted() for router in routers_of(rollout)]
    return Wanted(
        refs=tuple(dict.fromkeys(ref for each in wanted for ref in each.refs)),
        selections=tuple(each for some in wanted for each in some.selections),
    )


def _kinds_of(wanted: Wanted) -> dict[ObjectKind, None]:
    refs = (ref.kind for ref in wanted.refs)
    return dict.fromkeys((*refs, *(selection.kind for selection in wanted.selections)))


def by_object(routers_of: RoutersOf) -> Indexer[Rollout]:
    """Return an indexer of Rollouts by the objects, the kinds, and the selected namespaces that they want."""

    def index(rollout: Rollout) -> Iterable[str]:
        try:
            wanted = wanted_by(rollout, routers_of)
        except Exception:
            # A defect of a router must not end the informer; the Rollout's own pass meets it again and counts it.
            log.exception("cannot tell which objects Rollout %s routes with", key_of(rollout))
            return ()
        return [
            *map(_of_kind, _kinds_of(wanted)),
            *dict.fromkeys(_of_object(ref.kind, ref.namespace, ref.name) for ref in wanted.refs),
            *dict.fromkeys(_of_namespace(each.kind, each.namespace) for each in wanted.selections),
        ]

    return index


def _of_kind(kind: ObjectKind) -> str:
    return f"{kind.plural}.{kind.group}"


def _of_namespace(kind: ObjectKind, namespace: str) -> str:
    return f"{_of_kind(kind)} in {namespace}"


def _of_object(kind: ObjectKind, namespace: str, name: str) -> str:
    return f"{_of_kind(kind)} {namespace}/{name}"


class RoutingObjects:
    """Follows and reads what the routers of Rollouts want.

    Args:
        informers: runs the informers.
        rollouts: has `by_object` as index ``object``.
        wake: told which Rollout to look at, and whether that is urgent.
        changed: told of every object that appears or changes.
        versions: of kinds, by group, where an operator has chosen them.
        namespace: the one that is watched; empty for all.
        ingress_classes: changes of Ingresses of other classes wake nobody; an empty class is that of an Ingress
            without one.
    """

    def __init__(
        self,
        client: Client,
        informers: InformersOnDemand,
        rollouts: Informer[Rollout],
        routers_of: RoutersOf,
        *,
        wake: Callable[[NamespacedName, bool], None],
        changed: Callable[[ObjectKind, RoutingObject], None],
        rng: random.Random,
        versions: Mapping[str, str],
        namespace: str,
        ingress_classes: frozenset[str],
    ) -> None:
        self._client = client
        self._informers = informers
        self._rollouts = rollouts
        self._routers_of = routers_of
        self._wake = wake
        self._changed = changed
        self._rng = rng
        self._versions = versions
        self._namespace = namespace
        self._ingress_classes = ingress_classes
        self._followed: dict[Resource, OnDemand[RoutingObject]] = {}
        self._wanted: dict[NamespacedName, tuple[Rollout, Wanted]] = {}
        """What each Rollout wants, and the version of it that says so: asked for far more often than it changes."""
        rollouts.subscribe(self._on_rollout)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, rollout: Rollout) -> Objects:
        """Return what the routers of `rollout` want, as far as it exists.

        Raises:
            FirstListMissing: look again in a moment.
            ApiError, Unreachable: what cannot be followed cannot be read one by one, either.
        """
        wanted = self._wanted_by(rollout)
        informers = {kind: self._follow(kind) for kind in _kinds_of(wanted)}
        for informer in informers.values():
            if not informer.has_synced and informer.refusal is None:
                raise FirstListMissing(informer.resource.qualified)
        unserved = frozenset(kind for kind, informer in informers.items() if isinstance(informer.refusal, NotFound))
        found: dict[ObjectRef, JsonObject] = {}
        direct: list[ObjectRef | ObjectSelection] = []
        everything: list[ObjectRef | ObjectSelection] = [*wanted.refs, *wanted.selections]
        for each in everything:
            if each.kind in unserved:
                continue
            if self.informer_of(informers[each.kind].resource, each.namespace) is None:
                direct.append(each)
            else:
                found.update(_cached(informers[each.kind], each))
        if direct:
            for some in await asyncio.gather(*map(self._read_directly, direct)):
                found.update(some)
        return Objects(found=found, unserved=unserved)

    def informer_of(self, resource: Resource, namespace: str) -> Informer[RoutingObject] | None:
        """Return the informer that objects of a namespace are read from; None for those that are read one by one."""
        followed = self._followed.get(resource)
        if followed is None or self._namespace not in ("", namespace):
            return None
        informer = followed.informer
        return informer if informer.has_synced and informer.refusal is None else None

    def sharing(self, rollout: Rollout, objects: Objects) -> dict[ObjectRef, tuple[Rollout, ...]]:
        """Return which of these objects other Rollouts want, too, and these Rollouts."""
        found = {}
        for ref, obj in objects.found.items():
            labels = msgspec.convert(obj.get("metadata"), ObjectMeta).labels
            keys = {*self._named(ref), *self._selecting(ref.kind, ref.namespace, [labels])} - {key_of(rollout)}
            others = (self._rollouts.get(key) for key in sorted(keys))
            if keys:
                found[ref] = tuple(other for other in others if other is not None)
        return found

    def cached(self, ref: ObjectRef) -> JsonObject | None:
        """Return an object if it is followed and known; not asked for, it is not followed."""
        informer = self.informer_of(self.resource(ref.kind), ref.namespace)
        found = informer.get(NamespacedName(ref.namespace, ref.name)) if informer is not None else None
        return None if found is None else found.to_json()

    def resource(self, kind: ObjectKind) -> Resource:
        """Return how a kind is reached in this cluster."""
        return resource_of(kind, self._versions)

    async def _read_directly(self, what: ObjectRef | ObjectSelection) -> dict[ObjectRef, JsonObject]:
        resource = self.resource(what.kind)
        if isinstance(what, ObjectSelection):
            selector = str(compile_selector(what.selector))
            listing = await self._client.list(resource, what.namespace, label_selector=selector)
            bodies = listing.items
        else:
            try:
                bodies = [(await self._client.get(resource, what.namespace, what.name)).body]
            except NotFound:
                return {}
        objects = map(self._decoder(what.kind, resource), bodies)
        return {ObjectRef(what.kind, each.metadata.namespace, each.metadata.name): each.to_json() for each in objects}

    # --- following ----------------------------------------------------------------------------------------------------

    def _follow(self, kind: ObjectKind) -> Informer[RoutingObject]:
        resource = self.resource(kind)
        followed = self._followed.get(resource)
        if followed is None:
            informer = Informer(
                self._client,
                resource,
                self._decoder(kind, resource),
                rng=self._rng,
                namespace=self._namespace,
                backoff=Backoff(self._rng, max_seconds=RETRY_SECONDS_MAX),
            )
            informer.subscribe(lambda old, new: self._on_change(kind, informer, old, new))
            followed = OnDemand(self._informers, informer, synced=lambda: self._on_first_list(kind))
            self._followed[resource] = followed
        return followed.use()

    @staticmethod
    def _decoder(kind: ObjectKind, resource: Resource) -> Callable[[bytes], RoutingObject]:
        """Return what makes an object of its bytes; items of lists may lack their kind."""
        header = {"apiVersion": resource.api_version, "kind": kind.kind}

        def decode(body: bytes) -> RoutingObject:
            parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            metadata = msgspec.json.decode(parts.get("metadata", b"{}"), type=dict[str, msgspec.Raw])
            metadata.pop("managedFields", None)
            trimmed = msgspec.json.encode(metadata)
            whole = msgspec.json.encode({**header, **parts, "metadata": msgspec.Raw(trimmed)})
            return RoutingObject(metadata=msgspec.json.decode(trimmed, type=ObjectMeta), body=whole)

        return decode

    def _wanted_by(self, rollout: Rollout) -> Wanted:
        known = self._wanted.get(key_of(rollout))
        if known is not None and known[0] is rollout:
            return known[1]
        wanted = wanted_by(rollout, self._routers_of)
        self._wanted[key_of(rollout)] = (rollout, wanted)
        return wanted

    def _on_rollout(self, old: Rollout | None, new: Rollout | None) -> None:
        if new is None and old is not None:
            self._wanted.pop(key_of(old), None)

    def _on_first_list(self, kind: ObjectKind) -> None:
        for rollout in self._rollouts.find("object", _of_kind(kind)):
            self._wake(key_of(rollout), False)

    def _on_change(
        self,
        kind: ObjectKind,
        informer: Informer[RoutingObject],
        old: RoutingObject | None,
        new: RoutingObject | None,
    ) -> None:
        changed = new if new is not None else old
        assert changed is not None
        if new is not None:
            self._changed(kind, new)
        if kind == INGRESSES and ingress_class(changed) not in self._ingress_classes:
            return
        metadata = changed.metadata
        # As it is and as it was: it may have left a selection.
        labels = [each.metadata.labels for each in (old, new) if each is not None]
        keys = [
            *self._named(ObjectRef(kind, metadata.namespace, metadata.name)),
            *self._selecting(kind, metadata.namespace, labels),
        ]
        for key in dict.fromkeys(keys):
            self._wake(key, informer.has_synced)

    def _named(self, ref: ObjectRef) -> Iterable[NamespacedName]:
        return map(key_of, self._rollouts.find("object", _of_object(ref.kind, ref.namespace, ref.name)))

    def _selecting(
        self, kind: ObjectKind, namespace: str, labels: Sequence[Mapping[str, str]]
    ) -> Iterable[NamespacedName]:
        """Return the Rollouts that select an object with any of these labels."""
        for rollout in self._rollouts.find("object", _of_namespace(kind, namespace)):
            selections = self._wanted_by(rollout).selections
            if any(
                each.kind == kind and each.namespace == namespace and selector_matches(each.selector, some)
                for each in selections
                for some in labels
            ):
                yield key_of(rollout)


def ingress_class(ingress: RoutingObject) -> str:
    """Return the class of an Ingress: the older annotation counts before the field; empty when it has neither."""
    if annotated := ingress.metadata.annotations.get(INGRESS_CLASS_ANNOTATION, ""):
        return annotated
    return msgspec.json.decode(ingress.body, type=_Ingress).spec.ingress_class_name or ""


class _Ingress(msgspec.Struct, frozen=True):
    class _Spec(msgspec.Struct, frozen=True, rename="camel"):
        ingress_class_name: str | None = None

    spec: _Spec = _Spec()


def _cached(informer: Informer[RoutingObject], what: ObjectRef | ObjectSelection) -> dict[ObjectRef, JsonObject]:
    if isinstance(what, ObjectRef):
        obj = informer.get(NamespacedName(what.namespace, what.name))
        return {} if obj is None else {what: obj.to_json()}
    return {
        ObjectRef(what.kind, each.metadata.namespace, each.metadata.name): each.to_json()
        for each in informer.find("namespace", what.namespace)
        if selector_matches(what.selector, each.metadata.labels)
    }
