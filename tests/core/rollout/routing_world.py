"""A router made for tests, and worlds in which it routes.

`TableRouter` is a router like the real ones: objects and an intent in, patches out, nothing remembered. The object that
it reads and writes is a "traffic table" whose spec says who gets how much:

    weight, max            the canary's share, and of how much
    canary, stable         the pod-template hashes behind the two
    additional, routes     further destinations, names of header and mirror routes

The table belongs to the user, so without it nothing can be routed. What a test wants to happen it writes into the table
as well: `broken` is an error to answer with, and `inForce` the weight that the data plane has, for a router that can
tell.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from tests.core.rollout.builders import NAMESPACE, NOW, World, hash_for, replace, replica_set, rollout, service

from prograde.api.podtemplate import step_hash
from prograde.api.rollout import (
    CanaryStatus,
    CanaryStep,
    CanaryStrategy,
    HeaderRoutingMatch,
    ManagedRoute,
    Rollout,
    RolloutStatus,
    RouteMatch,
    SetHeaderRoute,
    SetMirrorRoute,
    StringMatch,
    TrafficRouting,
    TrafficWeights,
    WeightDestination,
)
from prograde.api.workloads import ReplicaSet
from prograde.core.objects import Json, JsonObject, ObjectKind, ObjectRef, Objects
from prograde.core.plan import Action, Event, PatchObject
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.routing import Routed, Router, RoutingIntent, Wanted

TABLES = ObjectKind("tests.prograde.io", "v1", "traffictables", "TrafficTable")


class TableRouter:
    """Routes by one traffic table."""

    def __init__(self, name: str = "table") -> None:
        self.name = name
        self._ref = ObjectRef(TABLES, NAMESPACE, name)

    def wanted(self) -> Wanted:
        return Wanted(refs=(self._ref,))

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        table = objects.get(self._ref)
        if table is None:
            return Routed(error=f"{self._ref} not found", events=(Event("TableNotFound", str(self._ref), "Warning"),))
        spec = table["spec"]
        assert isinstance(spec, dict)
        shares: JsonObject = {
            "weight": intent.weight,
            "max": intent.max_weight,
            "additional": [
                {"weight": each.weight, "service": each.service_name, "hash": each.pod_template_hash}
                for each in intent.additional
            ],
            "routes": [each.name for each in intent.routes],
        }
        hashes: JsonObject = {"canary": intent.canary_hash, "stable": intent.stable_hash}
        parts = (shares, hashes) if intent.weight_first else (hashes, shares)
        groups = tuple((self._patch(part),) for part in parts if any(spec.get(key) != part[key] for key in part))
        in_force = table.get("inForce")
        verified = None if in_force is None else in_force == intent.weight and not groups
        return Routed(
            groups=groups,
            verified=verified,
            verify_error=str(table.get("unverifiable") or ""),
            error=str(table.get("broken") or ""),
        )

    def _patch(self, part: JsonObject) -> PatchObject:
        return PatchObject(ref=self._ref, patch={"spec": part})


class RoutedWorld(World):
    """A world with one or more tables, which remembers how the first one changed."""

    def __init__(self, rollout: Rollout, *replica_sets: Any, routers: tuple[str, ...] = ("table",), **more: Any):
        super().__init__(rollout, *replica_sets, **more)
        self.tables = routers
        for name in routers:
            self.objects[ObjectRef(TABLES, NAMESPACE, name)] = {"spec": {}}
        self.routers_of = self._routers_of
        self.after_write = self._remember
        self.journal: list[str] = []
        """What each write said, in short: ``v2=50`` for the canary's share, ``stable>v1`` for a Service, ``v1:3``."""

    def _routers_of(self, rollout: Rollout) -> tuple[Router, ...]:
        canary = rollout.spec.strategy.canary
        is_routed = canary is not None and canary.traffic_routing is not None and canary.traffic_routing.plugins
        return tuple(TableRouter(name) for name in self.tables) if is_routed else ()

    def ref(self, name: str = "") -> ObjectRef:
        return ObjectRef(TABLES, NAMESPACE, name or self.tables[0])

    def table(self, name: str = "") -> Mapping[str, Any]:
        spec = self.objects[self.ref(name)]["spec"]
        assert isinstance(spec, dict)
        return spec

    def tell_table(self, name: str = "", **said: Json) -> None:
        """Let the table say something else; None takes it away."""
        ref = self.ref(name)
        table = {**self.objects[ref], **said}
        self.objects[ref] = {key: value for key, value in table.items() if value is not None}

    def drift(self, **said: Json) -> None:
        """Change the table's spec by hand."""
        self.objects[self.ref()] = {**self.objects[self.ref()], "spec": {**self.table(), **said}}

    def image(self, pod_hash: str) -> str:
        """Return the image of a revision, for readable tests; ``-`` for none."""
        found = (each for each in self.replica_sets.values() if each.metadata.labels["rollouts-pod-template-hash"])
        return next((self.image_of(each) for each in found if each.metadata.name.endswith(pod_hash) and pod_hash), "-")

    @property
    def live(self) -> str:
        """Who gets how much: ``v2=20 v1=80``."""
        table = self.table()
        extra = sum(each["weight"] for each in table.get("additional", ()))
        rest = table["max"] - table["weight"] - extra
        return f"{self.image(table['canary'])}={table['weight']} {self.image(table['stable'])}={rest}"

    @property
    def recorded(self) -> str:
        """The same as recorded in the status; ``none`` without record."""
        weights = self.status.canary.weights
        if weights is None:
            return "none"
        return " ".join(
            f"{self.image(each.pod_template_hash)}={each.weight}" for each in (weights.canary, weights.stable)
        )

    def _remember(self, action: Action) -> None:
        self.journal.extend(self._told(action))

    def _told(self, action: Action) -> Iterator[str]:
        match action:
            case PatchObject(ref=ref) if ref == self.ref():
                spec = action.patch["spec"]
                assert isinstance(spec, dict)
                yield (
                    f"weight {spec['weight']}"
                    if "weight" in spec
                    else f"hash {self.image(str(spec['canary']))} {self.image(str(spec['stable']))}"
                )
            case _:
                name = getattr(action, "name", "")
                kind = type(action).__name__
                if kind == "PatchService" and getattr(action, "selector", None):
                    yield f"{name} selects {self.image(self.selected(name))}"
                elif kind == "PatchReplicaSet" and getattr(action, "replicas", None) is not None:
                    yield f"{self.image_of(self.replica_sets[name])} to {getattr(action, 'replicas', None)}"


# ---- Pieces -------------------------------------------------------------------------------------------------------

TABLE = TrafficRouting(plugins={"argoproj-labs/gatewayAPI": msgspec.Raw(b"{}")})
"""A spec that names a router. Which one does not matter here; this one may have all that there is."""


def header(name: str, *, off: bool = False) -> CanaryStep:
    match = () if off else (HeaderRoutingMatch(header_name="x-beta", header_value=StringMatch(exact="yes")),)
    return CanaryStep(set_header_route=SetHeaderRoute(name=name, match=match))


def mirror(name: str, *, off: bool = False) -> CanaryStep:
    match = () if off else (RouteMatch(method=StringMatch(exact="GET")),)
    return CanaryStep(set_mirror_route=SetMirrorRoute(name=name, match=match, percentage=50))


def managing(*names: str) -> TrafficRouting:
    return replace(TABLE, managed_routes=tuple(ManagedRoute(name=name) for name in names))


def routed(*steps: CanaryStep, routing: TrafficRouting = TABLE, **members: Any) -> CanaryStrategy:
    """Return a canary with both Services and a router."""
    return CanaryStrategy(
        steps=steps, canary_service="canary", stable_service="stable", traffic_routing=routing, **members
    )


def released(strategy: CanaryStrategy, *, replicas: int = 10, **spec: Any) -> RoutedWorld:
    """Return a world in which v1 is deployed and idle."""
    names = ["canary", "stable"]
    if strategy.ping_pong is not None:
        names = [strategy.ping_pong.ping_service, strategy.ping_pong.pong_service]
        if strategy.stable_service:
            names += ["canary", "stable"]
    world = RoutedWorld(rollout(canary=strategy, replicas=replicas, **spec), services=[service(name) for name in names])
    world.run_to_phase("Healthy")
    world.events.clear()
    world.journal.clear()
    world.writes.clear()
    return world


def updating(strategy: CanaryStrategy, *, to: str = "Paused", **options: Any) -> RoutedWorld:
    """Return a world in which v2 is on its way: as far as the steps go."""
    world = released(strategy, **options)
    world.set_image("v2")
    world.run_to_phase(to)
    return world


# ---- Facts of one pass --------------------------------------------------------------------------------------------

V1, V2, V3 = hash_for("v1"), hash_for("v2"), hash_for("v3")


def weights(canary: int, *, of: str = V2, stable: str = V1, max_weight: int = 100, **members: Any) -> TrafficWeights:
    return TrafficWeights(
        canary=WeightDestination(weight=canary, service_name="canary", pod_template_hash=of),
        stable=WeightDestination(weight=max_weight - canary, service_name="stable", pod_template_hash=stable),
        **members,
    )


def facts(
    canary: CanaryStrategy,
    *,
    replicas: int = 10,
    index: int = 0,
    new: tuple[int, int] | None = None,
    stable: tuple[int, int] | None = None,
    others: tuple[ReplicaSet, ...] = (),
    recorded: TrafficWeights | None = None,
    image: str = "v2",
    objects: Objects | None = None,
    services: tuple[Any, ...] = (),
    **status: Any,
) -> RolloutContext:
    """Return the facts of an update from v1 to v2; `new` and `stable` are size and available pods, None for no pods."""
    sizes = [
        replica_set(each, size=pair[0], available=pair[1], revision=number, desired=replicas, age=timedelta(hours=age))
        for each, pair, number, age in (("v1", stable or (0, 0), 1, 2), (image, new or (0, 0), 3, 1))
    ]
    found = rollout(
        canary=canary,
        image=image,
        replicas=replicas,
        status=RolloutStatus(
            **{
                "stable_rs": V1,
                "current_pod_hash": hash_for(image),
                "current_step_index": index,
                "current_step_hash": step_hash(canary.steps),
                "canary": CanaryStatus(weights=recorded),
                **status,
            }
        ),
    )
    return RolloutContext(
        snapshot=RolloutSnapshot(
            rollout=found, objects=objects or Objects(), services={each.metadata.name: each for each in services}
        ),
        now=NOW,
        rollout=found,
        computed_hash=hash_for(image),
        step_hash=step_hash(canary.steps),
        replica_sets=(*sizes, *others),
        stable=sizes[0],
        new=sizes[1],
    )
