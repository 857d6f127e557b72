"""What validation is told of routing objects: those of the kinds that a Rollout names, and nothing of others."""

from tests.core.rollout.builders import NAMESPACE, rollout

from prograde.api.meta import NamespacedName
from prograde.api.rollout import CanaryStrategy, IstioTrafficRouting, NginxTrafficRouting, TrafficRouting
from prograde.core.objects import INGRESSES, VIRTUAL_SERVICES, JsonObject, ObjectRef, Objects
from prograde.core.rollout.references import references_of
from prograde.core.rollout.snapshot import RolloutSnapshot

INGRESS: JsonObject = {"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {}}
FOUND: dict[ObjectRef, JsonObject] = {
    ObjectRef(VIRTUAL_SERVICES, NAMESPACE, "web"): {"spec": {"http": []}},
    ObjectRef(VIRTUAL_SERVICES, "other", "web"): {"spec": {"tcp": []}},
    ObjectRef(INGRESSES, NAMESPACE, "web"): INGRESS,
    ObjectRef(INGRESSES, "other", "foreign"): INGRESS,
}
ISTIO = TrafficRouting(istio=IstioTrafficRouting())
NGINX = TrafficRouting(nginx=NginxTrafficRouting(stable_ingress="web"))


def snapshot(routing: TrafficRouting | None, objects: Objects) -> RolloutSnapshot:
    subject = rollout(canary=CanaryStrategy(traffic_routing=routing))
    return RolloutSnapshot(rollout=subject, objects=objects)


def test_virtual_services_are_told_with_their_namespaces() -> None:
    references = references_of(snapshot(ISTIO, Objects(found=FOUND)))
    assert references.virtual_services == {
        NamespacedName(NAMESPACE, "web"): {"spec": {"http": []}},
        NamespacedName("other", "web"): {"spec": {"tcp": []}},
    }
    assert references.is_istio_installed
    assert references.ingresses is None


def test_without_istio_its_objects_do_not_exist_and_that_is_said() -> None:
    references = references_of(snapshot(ISTIO, Objects(unserved=frozenset({VIRTUAL_SERVICES}))))
    assert references.virtual_services == {}
    assert not references.is_istio_installed


def test_ingresses_are_those_of_the_namespace() -> None:
    references = references_of(snapshot(NGINX, Objects(found=FOUND)))
    assert references.ingresses is not None
    assert list(references.ingresses) == ["web"]
    assert references.virtual_services is None


def test_ingresses_that_the_api_server_does_not_know_were_not_looked_for() -> None:
    assert references_of(snapshot(NGINX, Objects(unserved=frozenset({INGRESSES})))).ingresses is None


def test_without_routing_nothing_was_looked_for() -> None:
    references = references_of(snapshot(None, Objects(found=FOUND)))
    assert (references.ingresses, references.virtual_services) == (None, None)
