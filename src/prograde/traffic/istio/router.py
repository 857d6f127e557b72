"""The router of Istio: which objects are written, in which order, and what keeps it from writing.

A version that gets traffic through a subset is known by the hash in the DestinationRule, and its share by the weights
in the VirtualServices. Ordinarily the hash goes first, and no weight is written before it has been: more traffic must
not reach the subset's former pods. Only when a canary with traffic is to be replaced by one without pods it is the
other way round.

Each VirtualService gets one patch for everything: weights, header and mirror routes, and their order. One that cannot
be routed does not keep the others from being written, but the pass ends there.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from prograde.api import names
from prograde.api.jsonvalues import merge_patch_between
from prograde.api.rollout import IstioTrafficRouting, IstioVirtualService, Rollout
from prograde.api.scalars import go_quote
from prograde.api.validation.istio import RouteTargets, virtual_service_key, virtual_service_references
from prograde.core.objects import VIRTUAL_SERVICES, JsonObject, ObjectKind, ObjectRef, Objects
from prograde.core.plan import Action, Event, PatchObject, Wait, WaitReason
from prograde.core.rollout.destinationrules import destination_rule_of
from prograde.core.rollout.replicasets import size_of
from prograde.core.routing import Routed, RoutingIntent, Wanted
from prograde.traffic.documents import object_in, text_in
from prograde.traffic.istio.destinationrules import incomplete_replica_sets, with_hashes
from prograde.traffic.istio.virtualservices import CannotRoute, Wish, routed_virtual_service

__all__ = ["IstioRouter"]

_FIELD: Final = "spec.strategy.canary.trafficRouting.istio"


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the objects of one kind; they do not depend on each other."""

    actions: tuple[Action, ...] = ()
    errors: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    waits: tuple[Wait, ...] = ()


class IstioRouter:
    """Routes by VirtualServices, and by a DestinationRule if there is one."""

    name: Final = "Istio"

    def __init__(self, rollout: Rollout, istio: IstioTrafficRouting) -> None:
        self._istio = istio
        self._rule = istio.destination_rule
        self._rule_ref = destination_rule_of(rollout)
        self._namespace = rollout.metadata.namespace
        self._references = _by_object(istio, self._namespace)

    def wanted(self) -> Wanted:
        rule = () if self._rule_ref is None else (self._rule_ref,)
        return Wanted(refs=(*self._references, *rule))

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        needed = {ref.kind for ref in self.wanted().refs}
        if missing := sorted(needed & objects.unserved):
            return _not_installed(intent.rollout, missing[0])
        # The second is not even planned when the first fails: its writes would rest on what has not happened.
        done: list[_Part] = []
        for plan in (
            (self._virtual_services, self._destination_rule)
            if intent.weight_first
            else (self._destination_rule, self._virtual_services)
        ):
            part = plan(intent, objects)
            done.append(part)
            if part.errors:
                break
        return Routed(
            groups=tuple(part.actions for part in done if part.actions),
            error="; ".join(error for part in done for error in part.errors),
            events=tuple(event for part in done for event in part.events),
            waits=tuple(wait for part in done for wait in part.waits),
        )

    # ---- The DestinationRule ------------------------------------------------------------------------------------

    def _destination_rule(self, intent: RoutingIntent, objects: Objects) -> _Part:
        if self._rule is None or self._rule_ref is None:
            return _Part()
        obj = objects.get(self._rule_ref)
        if obj is None:
            return _not_found(intent.rollout, self._rule_ref, "destinationRule.name")
        if lacking := tuple(incomplete_replica_sets(obj, self._rule, intent)):
            name = lacking[0].metadata.name
            return _Part(
                errors=(f"delaying destination rule switch: ReplicaSet {name} not fully available",),
                waits=tuple(
                    Wait(
                        reason=WaitReason.PODS_NOT_AVAILABLE,
                        message=f"{self._rule_ref} is switched to ReplicaSet {each.metadata.name} once that has all "
                        f"its pods available: {each.status.available_replicas} of {size_of(each)}",
                        object=f"ReplicaSet {each.metadata.name}",
                        field="status.availableReplicas",
                    )
                    for each in lacking
                ),
            )
        texts = (
            f"{subset}: {pod_hash}"
            for subset, pod_hash in (
                (self._rule.canary_subset_name, intent.canary_hash),
                (self._rule.stable_subset_name, intent.stable_hash),
            )
        )
        event = Event(
            "UpdatedDestinationRule", f"DestinationRule {self._rule_ref.name} subset updated ({', '.join(texts)})"
        )
        return _Part(actions=_patches(self._rule_ref, obj, with_hashes(obj, self._rule, intent), (event,)))

    # ---- The VirtualServices ------------------------------------------------------------------------------------

    def _virtual_services(self, intent: RoutingIntent, objects: Objects) -> _Part:
        parts = [self._virtual_service(ref, intent, objects) for ref in self._references]
        return _Part(
            actions=tuple(action for part in parts for action in part.actions),
            errors=tuple(error for part in parts for error in part.errors),
            events=tuple(event for part in parts for event in part.events),
            waits=tuple(wait for part in parts for wait in part.waits),
        )

    def _virtual_service(self, ref: ObjectRef, intent: RoutingIntent, objects: Objects) -> _Part:
        obj = objects.get(ref)
        if obj is None:
            return _not_found(intent.rollout, ref, "virtualService.name")
        try:
            wish = self._wish(ref, intent, objects)
            desired, events = routed_virtual_service(obj, self._references[ref], ref.name, wish)
        except CannotRoute as err:
            message = f"VirtualService {ref.namespace}/{ref.name}: {err}"
            return _cannot(ref, message, remedy=f"change the routes of VirtualService {ref.name}")
        return _Part(actions=_patches(ref, obj, desired, events))

    def _wish(self, ref: ObjectRef, intent: RoutingIntent, objects: Objects) -> Wish:
        """Return what the VirtualService `ref` is to do.

        Raises:
            CannotRoute: a route of its own would have no host.
        """
        canary = intent.rollout.spec.strategy.canary
        assert canary is not None
        targets = RouteTargets.of(intent.rollout, canary, self._istio)
        host = targets.canary_service
        if self._rule_ref is not None:
            host = text_in(object_in(objects.get(self._rule_ref), "spec"), "host")
            if intent.routes and not host:
                raise CannotRoute(f"its managed routes need a host, and {self._rule_ref} has no spec.host")
        return Wish(
            targets=targets,
            additional_subsets=frozenset(self._rule.additional_subset_names if self._rule is not None else ()),
            weight=_percent(intent.weight, intent),
            additional=tuple(
                msgspec.structs.replace(each, weight=_percent(each.weight, intent)) for each in intent.additional
            ),
            routes=intent.routes,
            canary_host=host,
            is_elsewhere=ref.namespace != self._namespace,
        )


def _by_object(istio: IstioTrafficRouting, namespace: str) -> dict[ObjectRef, IstioVirtualService]:
    """Return the VirtualServices that are named, in their order; one that is named twice has the routes of both."""
    merged: dict[ObjectRef, IstioVirtualService] = {}
    for reference in virtual_service_references(istio):
        key = virtual_service_key(reference.name, namespace)
        ref = ObjectRef(VIRTUAL_SERVICES, key.namespace, key.name)
        known = merged.get(ref)
        if known is not None:
            reference = IstioVirtualService(
                name=known.name,
                routes=known.routes + reference.routes,
                tls_routes=known.tls_routes + reference.tls_routes,
                tcp_routes=known.tcp_routes + reference.tcp_routes,
            )
        merged[ref] = reference
    return merged


def _percent(weight: int, intent: RoutingIntent) -> int:
    """Return a weight as Istio wants it. Another router of the same Rollout may count finer than percent."""
    return weight if intent.max_weight == 100 else weight * 100 // intent.max_weight


def _patches(ref: ObjectRef, obj: JsonObject, desired: JsonObject, events: Iterable[Event]) -> tuple[Action, ...]:
    """Return what turns the object into the desired one: one patch, or nothing."""
    patch = merge_patch_between(obj, desired)
    if not patch:
        return ()
    version = object_in(obj, "metadata").get("resourceVersion")
    patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": version}
    failure = Event(names.EVENT_TRAFFIC_ROUTING_ERROR, f"{ref} could not be updated", names.EVENT_WARNING)
    return (PatchObject(ref=ref, patch=patch, events=tuple(events), failure=failure),)


# ---- What cannot be done ----------------------------------------------------------------------------------------


def _cannot(ref: ObjectRef, message: str, *, remedy: str, field: str = _FIELD, event: Event | None = None) -> _Part:
    wait = Wait(reason=WaitReason.TRAFFIC_NOT_ROUTED, message=message, object=str(ref), field=field, remedy=remedy)
    return _Part(errors=(message,), events=() if event is None else (event,), waits=(wait,))


def _not_found(rollout: Rollout, ref: ObjectRef, field: str) -> _Part:
    event = Event(f"{ref.kind.kind}NotFound", f"{ref.kind.kind} `{ref.name}` not found", names.EVENT_WARNING)
    message = (
        f"Rollout {rollout.metadata.namespace}/{rollout.metadata.name}: {_FIELD}: "
        f"{ref.kind.plural}.{ref.kind.group} {go_quote(ref.name)} not found in namespace {go_quote(ref.namespace)}"
    )
    return _cannot(
        ref, message, remedy=f"create the {ref.kind.kind}, or change the field", field=f"{_FIELD}.{field}", event=event
    )


def _not_installed(rollout: Rollout, kind: ObjectKind) -> Routed:
    message = (
        f"Rollout {rollout.metadata.namespace}/{rollout.metadata.name}: {_FIELD}: the API server does not know "
        f"{kind.plural}.{kind.group}: Istio's definitions are not installed"
    )
    wait = Wait(
        reason=WaitReason.TRAFFIC_NOT_ROUTED,
        message=message,
        object=f"CustomResourceDefinition {kind.plural}.{kind.group}",
        field=_FIELD,
        remedy="install Istio, name the version that it serves by --istio-api-version, or route in another way",
    )
    return Routed(error=message, waits=(wait,))
