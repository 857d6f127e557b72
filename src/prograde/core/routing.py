"""What the core wants of a traffic router, and what a router answers: the contract between `core` and `traffic`.

    RolloutSnapshot ──▶ core.rollout.routing ── RoutingIntent ──▶ Router.route ── Routed ──▶ Plan
                                                                      ▲
                                                                   Objects: what the cluster holds

The core decides how much traffic goes where; a router knows which objects say so and writes the difference. Both are
pure. An intent is the *whole* wish and no step towards it: weights, hashes and managed routes as they should be now.
So a router compares, writes what differs and nothing else, and whoever changed an object by hand finds it put right.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from prograde.api.rollout import Rollout, SetHeaderRoute, SetMirrorRoute, WeightDestination
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.objects import ObjectRef, Objects, ObjectSelection
from prograde.core.plan import Action, Event, Wait

__all__ = ["Routed", "Router", "RoutersOf", "RoutingIntent", "Wanted", "no_routers"]


class Wanted(msgspec.Struct, frozen=True):
    """Which objects a router reads."""

    refs: tuple[ObjectRef, ...] = ()
    selections: tuple[ObjectSelection, ...] = ()


class RoutingIntent(msgspec.Struct, frozen=True, kw_only=True):
    """How the traffic is to flow."""

    rollout: Rollout
    """For names, owners, and the router's own configuration."""
    weight: int
    """The canary's share of `max_weight`; the stable revision gets what is left after `additional`."""
    max_weight: int = 100
    canary_hash: str = ""
    """The pod-template hash behind the canary; empty when there is none."""
    stable_hash: str = ""
    additional: tuple[WeightDestination, ...] = ()
    """Further destinations, those of a running Experiment, with their weights."""
    routes: tuple[SetHeaderRoute | SetMirrorRoute, ...] = ()
    """The header and mirror routes that exist now, in the order of `managedRoutes`, each with a match. Every other
    managed route is to be gone."""
    weight_first: bool = False
    """The canary behind the old hash still has weight while its successor has no pods: the weight has to go before the
    hash changes, or requests would reach a subset without pods. Otherwise the hash goes first."""
    is_going_back: bool = False
    """The update is aborted, or the stable template has come back: the canary need not be complete for anything."""
    replica_sets: tuple[ReplicaSet, ...] = ()
    """All of the Rollout's."""
    services: Mapping[str, Service] = {}
    """Those that the Rollout and its Experiments use, as far as they exist."""


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """What a router makes of an intent."""

    groups: tuple[tuple[Action, ...], ...] = ()
    """Carried out one after the other, the actions of a group together."""
    verified: bool | None = None
    """Whether the weights are known to be in force; None if the router cannot tell, as most cannot."""
    verify_error: str = ""
    """Why `verified` could not be found out. It is announced and stops nothing: the weights themselves are set."""
    error: str = ""
    """Why the intent cannot be carried out. The groups are still carried out, and nothing else after them: no scaling,
    no status. A text for people that names object and field."""
    events: tuple[Event, ...] = ()
    """About the objects, recorded after the groups, with or without error."""
    waits: tuple[Wait, ...] = ()
    """What the router itself waits for; with an error, what a person can do about it."""


class Router(Protocol):
    """One way of routing, bound to one Rollout."""

    @property
    def name(self) -> str:
        """The router's type, for logs and messages: ``Istio``, ``Nginx``, or the name of a plugin."""
        ...

    def wanted(self) -> Wanted:
        """Return which objects `route` looks at. Depends on the Rollout alone."""
        ...

    def route(self, intent: RoutingIntent, objects: Objects) -> Routed:
        """Return the writes that carry the intent out; none when the objects say it already."""
        ...


RoutersOf: TypeAlias = Callable[[Rollout], tuple[Router, ...]]
"""Returns the routers that a Rollout's `trafficRouting` names, in the order in which they are asked.

Never raises, whatever the spec says: what a router cannot make sense of is the `error` of its `route`."""


def no_routers(rollout: Rollout) -> tuple[Router, ...]:
    """Route nothing: for Rollouts without `trafficRouting`."""
    return ()
