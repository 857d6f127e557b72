"""Which Services stand for the stable and the canary version.

With ping-pong two lasting Services take turns: whoever is canary today is stable after the promotion. Some routers go
by the pair whenever there is one; the others only when a Rollout names no Services of fixed roles.
"""

from typing import NamedTuple

from prograde.api.names import PING
from prograde.api.rollout import Rollout
from prograde.api.validation.istio import service_names

__all__ = ["RoutedServices", "routed_services"]


class RoutedServices(NamedTuple):
    """Names of Services, empty where none is named."""

    stable: str
    canary: str


def routed_services(rollout: Rollout, *, prefer_ping_pong: bool = False) -> RoutedServices:
    """Return the Services that a router splits the traffic between.

    Before the first promotion pong is stable and ping is the canary.
    """
    canary = rollout.spec.strategy.canary
    if canary is None:
        return RoutedServices("", "")
    if canary.ping_pong is None or not prefer_ping_pong:
        return RoutedServices(*service_names(rollout, canary))
    ping, pong = canary.ping_pong.ping_service, canary.ping_pong.pong_service
    if rollout.status.canary.stable_ping_pong == PING:
        return RoutedServices(ping, pong)
    return RoutedServices(pong, ping)
