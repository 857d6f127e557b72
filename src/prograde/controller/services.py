"""The reconciler of Services: hands changes to the Rollout that uses a Service, and cleans up after those that left.

A Service whose selector still holds the hash of a Rollout that no longer uses it would some day select no pods at all.
"""

import contextlib
import logging
from collections.abc import Callable

from prograde.api.meta import NamespacedName, key_of
from prograde.api.names import MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout
from prograde.api.workloads import Service
from prograde.controller.gather import Caches
from prograde.controller.resources import FIELD_MANAGER, ROLLOUTS, SERVICES
from prograde.controller.workers import Result
from prograde.core.rollout.services import plan_service, referenced_services
from prograde.kube.client import Client
from prograde.kube.errors import NotFound
from prograde.kube.patches import merge_patch
from prograde.kube.resources import Key
from prograde.telemetry.logs import fields

__all__ = ["ServiceReconciler"]

log = logging.getLogger(__name__)


class ServiceReconciler:
    """Satisfies the contract in `controller.workers`.

    Args:
        enqueue_rollout: called with the Rollout that a changed Service belongs to.
    """

    def __init__(self, client: Client, caches: Caches, enqueue_rollout: Callable[[NamespacedName], None]) -> None:
        self._client = client
        self._caches = caches
        self._enqueue_rollout = enqueue_rollout

    async def reconcile(self, key: NamespacedName) -> Result:
        """Look after the Service `key`."""
        service = self._caches.services.get(Key(*key))
        if service is None or POD_TEMPLATE_HASH_LABEL not in service.spec.selector:
            return Result.done()
        decision = plan_service(service, await self._manager_of(service), await self._candidates(service))
        if decision.rollout is not None:
            self._enqueue_rollout(decision.rollout)
        if decision.action is not None:
            log.info("Cleaning the selector of a Service that no Rollout uses", extra=_about(key))
            patch = merge_patch(
                decision.action.merge_patch(), {"metadata": {"resourceVersion": service.metadata.resource_version}}
            )
            # A Rollout may have taken it over since it was looked at: then this is a conflict.
            with contextlib.suppress(NotFound):
                await self._client.patch(SERVICES, key.namespace, key.name, patch, field_manager=FIELD_MANAGER)
        return Result.done()

    async def _candidates(self, service: Service) -> list[Rollout]:
        """Return Rollouts that may use a Service without a manager.

        The cache is asked first, and before a no the API server, for the same reason as below.
        """
        metadata = service.metadata
        if metadata.annotations.get(MANAGED_BY_ANNOTATION):
            return []
        cached = self._caches.rollouts.find("service", str(key_of(service)))
        return cached or (await self._client.list(ROLLOUTS, metadata.namespace)).to(Rollout)

    async def _manager_of(self, service: Service) -> Rollout | None:
        """Return the Rollout that the Service says it is managed by; None when it says so of none, or that is gone.

        The cache is good enough to say yes. Before a no, which cleans the Service, the API server is asked: the Rollout
        may belong to another controller, and so be in no cache of ours.
        """
        name = service.metadata.annotations.get(MANAGED_BY_ANNOTATION)
        if not name:
            return None
        cached = self._caches.rollouts.get(Key(service.metadata.namespace, name))
        if cached is not None and service.metadata.name in referenced_services(cached):
            return cached
        try:
            return (await self._client.get(ROLLOUTS, service.metadata.namespace, name)).to(Rollout)
        except NotFound:
            return None


def _about(key: NamespacedName) -> dict[str, object]:
    return fields(namespace=key.namespace, service=key.name)
