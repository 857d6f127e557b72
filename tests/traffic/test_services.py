import msgspec
import pytest
from tests.traffic.world import rollout_with

from prograde.api.rollout import CanaryStatus, PingPong, RolloutSpec, RolloutStatus
from prograde.traffic.services import routed_services

PAIR = PingPong(ping_service="ping", pong_service="pong")
FIXED = ("stable", "canary")


@pytest.mark.parametrize(
    ("services", "pair", "role", "by_default", "preferred"),
    [
        pytest.param(FIXED, None, "", FIXED, FIXED, id="no pair"),
        pytest.param(FIXED, PAIR, "", FIXED, ("pong", "ping"), id="both are named"),
        pytest.param(FIXED, PAIR, "ping", FIXED, ("ping", "pong"), id="both are named, ping is stable"),
        pytest.param(("", ""), PAIR, "", ("pong", "ping"), ("pong", "ping"), id="pong is stable at first"),
        pytest.param(("", ""), PAIR, "pong", ("pong", "ping"), ("pong", "ping"), id="pong is stable"),
        pytest.param(("", ""), PAIR, "ping", ("ping", "pong"), ("ping", "pong"), id="ping is stable"),
    ],
)
def test_the_services_behind_the_two_versions(
    services: tuple[str, str],
    pair: PingPong | None,
    role: str,
    by_default: tuple[str, str],
    preferred: tuple[str, str],
) -> None:
    rollout = rollout_with(None, stable_service=services[0], canary_service=services[1], ping_pong=pair)
    status = RolloutStatus(canary=CanaryStatus(stable_ping_pong=role))
    rollout = msgspec.structs.replace(rollout, status=status)
    assert routed_services(rollout) == by_default
    assert routed_services(rollout, prefer_ping_pong=True) == preferred


def test_a_rollout_without_a_canary_strategy_routes_to_nothing() -> None:
    rollout = msgspec.structs.replace(rollout_with(None), spec=RolloutSpec())
    assert routed_services(rollout) == ("", "")
