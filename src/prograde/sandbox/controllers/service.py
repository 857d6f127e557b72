"""Services of type LoadBalancer get an address: their own cluster address, at once."""

from typing import ClassVar

from prograde.sandbox.client import LocalClient, Resource
from prograde.sandbox.controllers.base import ChangeType, Controller, Key
from prograde.sandbox.kinds import Object

__all__ = ["LoadBalancerController"]

SERVICES: Resource = ("", "services")


class LoadBalancerController(Controller):
    """Reconciles (namespace, name) of one Service."""

    name: ClassVar[str] = "load-balancer"
    watches: ClassVar[frozenset[Resource] | None] = frozenset({SERVICES})

    def __init__(self, client: LocalClient) -> None:
        super().__init__()
        self._client = client

    def observe(self, change: ChangeType, resource: Resource, new: Object, previous: Object | None) -> None:
        if change != "DELETED":
            self.enqueue((new["metadata"]["namespace"], new["metadata"]["name"]))

    def reconcile(self, key: Key) -> None:
        service = self._client.get(SERVICES, *key)
        if service is None:
            return
        wanted: Object = {}
        address = service["spec"].get("clusterIP")
        if service["spec"].get("type") == "LoadBalancer" and address not in (None, "", "None"):
            wanted = {"ingress": [{"ip": address, "ipMode": "VIP"}]}
        current = (service.get("status") or {}).get("loadBalancer") or {}
        if current != wanted:
            patch = {"status": {"loadBalancer": wanted or {"ingress": None}}}
            self._client.patch(SERVICES, key[0], key[1], patch, subresource="status")
