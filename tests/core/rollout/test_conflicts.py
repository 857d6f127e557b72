"""Rollouts that route with the same objects."""

from typing import Any

import msgspec
import pytest

from prograde.api.names import MANAGED_BY_ANNOTATION
from prograde.api.rollout import Rollout
from prograde.core.objects import DESTINATION_RULES, INGRESSES, VIRTUAL_SERVICES, ObjectKind, ObjectRef, Objects
from prograde.core.rollout.conflicts import conflict_of
from prograde.core.rollout.snapshot import RolloutSnapshot

ROUTING = "spec.strategy.canary.trafficRouting"
EARLIER, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
VIRTUAL_SERVICE = ObjectRef(VIRTUAL_SERVICES, "shop", "web")


def rollout(name: str, created: str = EARLIER, *, routes: tuple[str, ...] = (), rule: str = "", **meta: Any) -> Rollout:
    istio: dict[str, Any] = {"virtualService": {"name": "web"}}
    if rule:
        istio["destinationRule"] = {"name": rule, "canarySubsetName": "canary", "stableSubsetName": "stable"}
    routing = {"managedRoutes": [{"name": each} for each in routes], "istio": istio}
    body = {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created, **meta},
        "spec": {"strategy": {"canary": {"trafficRouting": routing}}},
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=Rollout)


def destination_rule(manager: str | None) -> Objects:
    annotations: Any = {} if manager is None else {MANAGED_BY_ANNOTATION: manager}
    ref = ObjectRef(DESTINATION_RULES, "shop", "web-rule")
    return Objects(found={ref: {"metadata": {"name": "web-rule", "namespace": "shop", "annotations": annotations}}})


def found(snapshot: RolloutSnapshot) -> str:
    error = conflict_of(snapshot)
    return "" if error is None else str(error)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (destination_rule(None), ""),
        (destination_rule("cart"), ""),
        (
            destination_rule("other"),
            (
                f'{ROUTING}.istio.destinationRule.name: Invalid value: "web-rule": '
                'DestinationRule "web-rule" is managed by another Rollout, "other"'
            ),
        ),
        (Objects(), ""),
    ],
)
def test_a_destination_rule_belongs_to_the_rollout_whose_name_it_carries(objects: Objects, message: str) -> None:
    assert found(RolloutSnapshot(rollout=rollout("cart", rule="web-rule"), objects=objects)) == message


def test_a_destination_rule_that_the_rollout_does_not_name_is_none_of_its_business() -> None:
    assert found(RolloutSnapshot(rollout=rollout("cart"), objects=destination_rule("other"))) == ""


@pytest.mark.parametrize(
    ("ours", "theirs", "is_refused"),
    [
        pytest.param(rollout("b", LATER, routes=("hdr",)), rollout("z", routes=("hdr",)), True, id="the later one"),
        pytest.param(rollout("b", routes=("hdr",)), rollout("a", LATER, routes=("hdr",)), False, id="the earlier one"),
        pytest.param(rollout("b", routes=("hdr",)), rollout("a", routes=("hdr",)), True, id="same second, by name"),
        pytest.param(rollout("a", routes=("hdr",)), rollout("b", routes=("hdr",)), False, id="same second, first name"),
        pytest.param(rollout("b", LATER, routes=("mine",)), rollout("a", routes=("hdr",)), False, id="other routes"),
        pytest.param(rollout("b", LATER), rollout("a", routes=("hdr",)), False, id="no managed routes"),
        pytest.param(
            rollout("b", LATER, routes=("hdr",)),
            rollout("a", routes=("hdr",), deletionTimestamp=LATER),
            False,
            id="the other one is going away",
        ),
    ],
)
def test_of_two_rollouts_with_the_same_managed_route_the_later_one_gives_way(
    ours: Rollout, theirs: Rollout, is_refused: bool
) -> None:
    snapshot = RolloutSnapshot(rollout=ours, sharing={VIRTUAL_SERVICE: (theirs,)})
    expected = (
        f'{ROUTING}.managedRoutes[0].name: Invalid value: "hdr": '
        f'the route of VirtualService web is managed by another Rollout, "{theirs.metadata.name}"'
    )
    assert found(snapshot) == (expected if is_refused else "")


def test_the_route_that_is_shared_is_named() -> None:
    ours = rollout("b", LATER, routes=("mine", "hdr"))
    theirs = (rollout("c", routes=("other",)), rollout("a", routes=("hdr",)))
    assert found(RolloutSnapshot(rollout=ours, sharing={VIRTUAL_SERVICE: theirs})).startswith(
        f'{ROUTING}.managedRoutes[1].name: Invalid value: "hdr": '
    )


@pytest.mark.parametrize(("kind", "is_refused"), [(INGRESSES, False), (VIRTUAL_SERVICES, True)])
def test_ingresses_have_no_managed_routes(kind: ObjectKind, is_refused: bool) -> None:
    sharing = {ObjectRef(kind, "shop", "web"): (rollout("a", routes=("hdr",)),)}
    snapshot = RolloutSnapshot(rollout=rollout("b", LATER, routes=("hdr",)), sharing=sharing)
    assert (found(snapshot) != "") is is_refused
