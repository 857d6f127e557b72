"""NGINX Ingress: a second Ingress beside the user's own carries the canary's share.

The stable Ingress belongs to the user and is only read. For each one there is a canary Ingress, which we create, own
and keep equal to it in hosts, paths and certificates, but with the canary Service for the stable one and with
annotations that tell the NGINX ingress controller which share of the requests takes it. Between two releases it stays,
with weight 0, and goes with the Rollout.

Everything else on the canary Ingress, such as the annotations and labels of other tools, is left alone. Header and
mirror routes, hashes and further destinations mean nothing here.
"""

from typing import Final, NamedTuple

import msgspec

from prograde.api import names
from prograde.api.defaults import effective_nginx_annotation_prefix
from prograde.api.jsonvalues import json_equal, merge_patch_between
from prograde.api.meta import controller_reference
from prograde.api.rollout import NginxTrafficRouting, Rollout
from prograde.api.scalars import go_quote
from prograde.core.objects import INGRESSES, Json, JsonObject, ObjectRef, Objects
from prograde.core.plan import Action, CreateObject, Event, PatchObject
from prograde.core.routing import Routed, RoutingIntent, Wanted
from prograde.traffic.documents import list_in, object_in, objects_in, text_in
from prograde.traffic.onebyone import CannotRoute, route_one_by_one

__all__ = ["NginxRouter", "canary_ingress_name"]

CREATING: Final = "CreatingCanaryIngress"
PATCHING: Final = "PatchingCanaryIngress"

_SUFFIX: Final = "-canary"
_STEM_MAX: Final = 253 - len(_SUFFIX)
"""An object's name has at most 253 characters."""

_FIELD: Final = "spec.strategy.canary.trafficRouting.nginx"


def canary_ingress_name(rollout: Rollout, stable_ingress: str) -> str:
    """Return the name of the canary Ingress beside a stable one; long names are cut before the suffix."""
    return f"{rollout.metadata.name}-{stable_ingress}"[:_STEM_MAX] + _SUFFIX if stable_ingress else ""


class _Desired(NamedTuple):
    """What we say about a canary Ingress."""

    annotations: dict[str, str]
    spec: JsonObject


class NginxRouter:
    """Routes by the canary annotations of the NGINX ingress controller."""

    name: Final = "Nginx"

    def __init__(self, rollout: Rollout, nginx: NginxTrafficRouting) -> None:
        self._rollout = rollout
        self._nginx = nginx
        one, many = nginx.stable_ingress, nginx.stable_ingresses
        # Once each: the second creation of the same canary Ingress would fail.
        self._stable_ingresses = tuple(dict.fromkeys(many if many is not None else (one,)))

    def wanted(self) -> Wanted:
        pairs = ((stable, canary_ingress_name(self._rollout, stable)) for stable in self._stable_ingresses if stable)
        return Wanted(refs=tuple(self._ref(name) for pair in pairs for name in pair))

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        """Bring the canary Ingresses in line one after the other."""
        return route_one_by_one(intent, self._stable_ingresses, lambda name: self._route_one(intent, objects, name))

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef(INGRESSES, self._rollout.metadata.namespace, name)

    def _route_one(self, intent: RoutingIntent, objects: Objects, stable_ingress: str) -> Action | None:
        """Return what brings one canary Ingress in line, None if it is.

        Raises:
            CannotRoute: the stable Ingress is missing or leads elsewhere, or the canary Ingress is not ours.
        """
        stable = objects.get(self._ref(stable_ingress))
        if stable is None:
            if INGRESSES in objects.unserved:
                why = f"the API server does not know {INGRESSES.plural}.{INGRESSES.group}"
            else:
                why = f"ingress.{INGRESSES.group} {go_quote(stable_ingress)} not found"
            message = f"error retrieving stableIngress `{stable_ingress}` from cache: {why}"
            raise _failed(message, stable_ingress, "create the Ingress, or name one that exists")
        desired = self._desired(intent, stable_ingress, stable)
        ref = self._ref(canary_ingress_name(self._rollout, stable_ingress))
        existing = objects.get(ref)
        if existing is None:
            return self._create(intent, ref, desired)
        if not self._is_ours(existing):
            message = f"canary ingress `{ref.name}` controlled by different object"
            remedy = f"delete Ingress {ref.name}, so that it can be created for this Rollout"
            raise _failed(message, stable_ingress, remedy)
        return self._patch(intent, ref, existing, desired)

    def _is_ours(self, ingress: JsonObject) -> bool:
        return any(
            owner.get("controller") is True and owner.get("uid") == self._rollout.metadata.uid
            for owner in objects_in(object_in(ingress, "metadata"), "ownerReferences")
        )

    # ---- What it should be --------------------------------------------------------------------------------------

    def _desired(self, intent: RoutingIntent, name: str, stable: JsonObject) -> _Desired:
        stable_service, canary_service = self._services()
        spec = object_in(stable, "spec")
        rules = [
            _with_service(rule, stable_service, canary_service)
            for rule in objects_in(spec, "rules")
            if any(_service_of(path) == stable_service for path in _paths_of(rule))
        ]
        if not rules:
            message = f"ingress `{name}` has no rules using service {stable_service} backend"
            raise _failed(message, name, f"let a path of the Ingress lead to Service {stable_service}")
        copied = {key: spec[key] for key in ("tls", "ingressClassName") if spec.get(key) is not None}
        return _Desired(self._annotations(intent, stable), {**copied, "rules": [*rules]})

    def _services(self) -> tuple[str, str]:
        """Return the Services of (stable, canary). A pair that takes turns is not known here."""
        canary = self._rollout.spec.strategy.canary
        return (canary.stable_service, canary.canary_service) if canary is not None else ("", "")

    def _annotations(self, intent: RoutingIntent, stable: JsonObject) -> dict[str, str]:
        """Return what we say in annotations; the later entries win."""
        annotations = {}
        if ingress_class := text_in(object_in(stable, "metadata", "annotations"), names.INGRESS_CLASS_ANNOTATION):
            annotations[names.INGRESS_CLASS_ANNOTATION] = ingress_class
        for key, value in self._nginx.additional_ingress_annotations.items():
            annotations[key if key.startswith(self._prefix) else self._key(key)] = value
        annotations |= self._nginx.canary_ingress_annotations
        annotations[self._key("canary")] = "true"
        annotations[self._key("canary-weight")] = str(intent.weight)
        if self._has_max_weight:
            annotations[self._total_key] = str(intent.max_weight)
        return annotations

    @property
    def _prefix(self) -> str:
        return effective_nginx_annotation_prefix(self._nginx)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    @property
    def _total_key(self) -> str:
        return self._key("canary-weight-total")

    @property
    def _has_max_weight(self) -> bool:
        canary = self._rollout.spec.strategy.canary
        routing = canary.traffic_routing if canary is not None else None
        return routing is not None and routing.max_traffic_weight is not None

    # ---- How it becomes so --------------------------------------------------------------------------------------

    def _create(self, intent: RoutingIntent, ref: ObjectRef, desired: _Desired) -> CreateObject:
        manifest: JsonObject = {
            "apiVersion": f"{INGRESSES.group}/{INGRESSES.version}",
            "kind": INGRESSES.kind,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "annotations": {**desired.annotations},
                "ownerReferences": [msgspec.to_builtins(controller_reference(self._rollout))],
            },
            "spec": desired.spec,
        }
        return CreateObject(
            ref=ref,
            manifest=manifest,
            events=(Event(CREATING, f"Creating canary ingress `{ref.name}` with weight `{intent.weight}`"),),
            failure=_failure(f"error creating canary ingress `{ref.name}`"),
        )

    def _patch(
        self, intent: RoutingIntent, ref: ObjectRef, existing: JsonObject, desired: _Desired
    ) -> PatchObject | None:
        """Return the smallest patch, None when nothing differs. Labels and foreign annotations stay."""
        found = object_in(existing, "metadata", "annotations")
        annotations: JsonObject = {
            key: value for key, value in desired.annotations.items() if not json_equal(found.get(key), value)
        }
        if self._total_key in found and self._total_key not in desired.annotations:
            # Left from a `maxTrafficWeight` that is gone: 50 would no longer mean half of the traffic.
            annotations[self._total_key] = None
        metadata: JsonObject = {"annotations": annotations} if annotations else {}
        patch: JsonObject = {}
        if spec := merge_patch_between(object_in(existing, "spec"), desired.spec):
            patch["spec"] = spec
            # Lists are replaced whole: nobody's change of them in the meantime must be lost.
            metadata["resourceVersion"] = text_in(object_in(existing, "metadata"), "resourceVersion")
        if metadata:
            patch["metadata"] = metadata
        if not patch:
            return None
        return PatchObject(
            ref=ref,
            patch=patch,
            events=(Event(PATCHING, f"Updating Ingress `{ref.name}` to desiredWeight '{intent.weight}'"),),
            failure=_failure(f"error patching canary ingress `{ref.name}`"),
        )


def _failed(message: str, stable_ingress: str, remedy: str) -> CannotRoute:
    return CannotRoute(message, about=f"{INGRESSES.kind} {stable_ingress}", field=_FIELD, remedy=remedy)


def _failure(message: str) -> Event:
    return Event(names.EVENT_TRAFFIC_ROUTING_ERROR, message, "Warning")


def _paths_of(rule: JsonObject) -> list[JsonObject]:
    return objects_in(object_in(rule, "http"), "paths")


def _service_of(path: JsonObject) -> str | None:
    """Return the Service that a path leads to; None for a backend of another kind."""
    return text_in(object_in(path, "backend", "service"), "name") or None


def _with_service(rule: JsonObject, old: str, new: str) -> JsonObject:
    """Return `rule` with one Service in place of another."""

    def with_new(path: Json) -> Json:
        if not isinstance(path, dict) or _service_of(path) != old:
            return path
        backend = object_in(path, "backend")
        return {**path, "backend": {**backend, "service": {**object_in(backend, "service"), "name": new}}}

    http = object_in(rule, "http")
    return {**rule, "http": {**http, "paths": [with_new(path) for path in list_in(http, "paths")]}}
