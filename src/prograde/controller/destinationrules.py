"""The reconciler of Istio's DestinationRules: cleans up those that their Rollout has left.

The Rollout's own pass writes the hashes of its versions into the subsets. One that has been deleted, or names another
DestinationRule now, has no pass that would take them out again.
"""

import contextlib
import logging
from collections.abc import Callable

from prograde.api.meta import NamespacedName
from prograde.api.names import MANAGED_BY_ANNOTATION
from prograde.api.rollout import Rollout
from prograde.controller.resources import FIELD_MANAGER, ROLLOUTS
from prograde.controller.routing import RoutingObject, RoutingObjects
from prograde.controller.workers import Result
from prograde.core.objects import DESTINATION_RULES, ObjectKind, ObjectRef
from prograde.core.rollout.destinationrules import destination_rule_of, manager_of, plan_destination_rule
from prograde.kube.client import Client
from prograde.kube.errors import NotFound
from prograde.kube.informer import Informer
from prograde.kube.resources import Key
from prograde.telemetry.logs import fields

__all__ = ["DestinationRuleReconciler", "is_managed_destination_rule"]

log = logging.getLogger(__name__)


def is_managed_destination_rule(kind: ObjectKind, obj: RoutingObject) -> bool:
    """Say whether an object is a DestinationRule that names a Rollout as its manager."""
    return kind == DESTINATION_RULES and MANAGED_BY_ANNOTATION in obj.metadata.annotations


class DestinationRuleReconciler:
    """Satisfies the contract in `controller.workers`.

    Args:
        enqueue_rollout: called with the Rollout that a changed DestinationRule belongs to.
    """

    def __init__(
        self,
        client: Client,
        rollouts: Informer[Rollout],
        objects: RoutingObjects,
        enqueue_rollout: Callable[[NamespacedName], None],
    ) -> None:
        self._client = client
        self._rollouts = rollouts
        self._objects = objects
        self._enqueue_rollout = enqueue_rollout

    async def reconcile(self, key: NamespacedName) -> Result:
        """Look after the DestinationRule `key`; one that is not followed has no Rollout that ever used it."""
        rule = self._objects.cached(ObjectRef(DESTINATION_RULES, *key))
        if rule is None or not (manager := manager_of(rule)):
            return Result.done()
        decision = plan_destination_rule(rule, await self._rollout(key, manager))
        if decision.rollout is not None:
            self._enqueue_rollout(decision.rollout)
        if decision.action is not None:
            log.info(
                "Cleaning a DestinationRule that no Rollout uses",
                extra=fields(namespace=key.namespace, destinationrule=key.name),
            )
            with contextlib.suppress(NotFound):
                resource = self._objects.resource(DESTINATION_RULES)
                await self._client.patch(
                    resource, key.namespace, key.name, decision.action.patch, field_manager=FIELD_MANAGER
                )
        return Result.done()

    async def _rollout(self, key: NamespacedName, name: str) -> Rollout | None:
        """Return the manager. The cache is good enough for one that uses the rule; before a no the server is asked."""
        cached = self._rollouts.get(Key(key.namespace, name))
        if cached is not None and destination_rule_of(cached) == ObjectRef(DESTINATION_RULES, *key):
            return cached
        try:
            return (await self._client.get(ROLLOUTS, key.namespace, name)).to(Rollout)
        except NotFound:
            return None
