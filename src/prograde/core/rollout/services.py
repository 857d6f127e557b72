"""Which pods the Services of a canary select, and what becomes of a Service that no Rollout uses any more.

A selector moves only to pods that are there. A Service that is not ours yet (it lacks the managed-by annotation) sends
real traffic to who knows what, so it is taken over only when the ReplicaSet is complete; later one available pod is
enough.
"""

from collections.abc import Sequence

import msgspec

from prograde.api import names
from prograde.api.meta import NamespacedName, controller_of, key_of
from prograde.api.rollout import Rollout
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.plan import PatchService, Wait, WaitReason
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.replicasets import hash_of, is_fully_available, lasting_pods
from prograde.core.rollout.routing import is_coming_back, may_take_over

__all__ = [
    "ServiceDecision",
    "plan_service",
    "referenced_services",
    "register_pods_to_come",
    "switch_canary_services",
]


def switch_canary_services(context: RolloutContext, draft: Draft) -> None:
    """Point the Services of the canary at the pods that they stand for."""
    canary, new = context.canary, context.new
    assert canary is not None
    if lasting_pods(new) > 0:
        _switch_canary_of_pair(context, draft, Stage.SERVICES)
    _point(draft, canary.stable_service, context.stable)
    if draft.is_aborted and not context.is_fully_promoted:
        # With routers the Service goes back when the last weight does, see `routing`.
        if not context.routers:
            _point(draft, canary.canary_service, context.stable)
    elif new is not None and may_take_over(context, new) and not is_coming_back(context):
        _point(draft, canary.canary_service, new)


def register_pods_to_come(context: RolloutContext, draft: Draft) -> None:
    """Let the canary of a ping-pong pair select a new revision from its very beginning, pods or not.

    Its pods must be registered before they get any traffic. To be called when the routers have been asked: what traffic
    a foreign hand may have given it is gone by then.
    """
    if lasting_pods(context.new) == 0:
        _switch_canary_of_pair(context, draft, Stage.EMPTY_SERVICES)


def _switch_canary_of_pair(context: RolloutContext, draft: Draft, stage: Stage) -> None:
    new, pair = context.new, context.canary.ping_pong if context.canary is not None else None
    if pair is None or new is None or context.is_fully_promoted or not may_take_over(context, new):
        return
    is_stable_ping = context.status.canary.stable_ping_pong == names.PING
    name = pair.pong_service if is_stable_ping else pair.ping_service
    service = draft.service(name)
    if service is not None and draft.selected_hash(name) != hash_of(new):
        draft.switch_service(service, hash_of(new), stage)


def _point(draft: Draft, name: str, replica_set: ReplicaSet | None) -> None:
    """Let the Service select the ReplicaSet's pods as soon as enough of them are available."""
    service = draft.service(name)
    if service is None or replica_set is None or draft.selected_hash(name) == hash_of(replica_set):
        return
    available = replica_set.status.available_replicas
    is_managed = names.MANAGED_BY_ANNOTATION in service.metadata.annotations
    if available > 0 and (is_managed or is_fully_available(replica_set)):
        draft.switch_service(service, hash_of(replica_set))
        return
    needs = "an available pod" if is_managed else "all its pods available, because the Service is not managed yet"
    draft.wait(
        Wait(
            reason=WaitReason.SERVICE_NOT_SWITCHED,
            message=f"Service {name} selects ReplicaSet {replica_set.metadata.name} once that has {needs}",
            object=f"Service {name}",
            field=f"spec.selector[{names.POD_TEMPLATE_HASH_LABEL}]",
        )
    )


class ServiceDecision(msgspec.Struct, frozen=True):
    """What to do about one Service: hand it to a Rollout's own pass, or clean it, or nothing."""

    rollout: NamespacedName | None = None
    """The Rollout to reconcile, because it uses the Service."""
    action: PatchService | None = None


def plan_service(service: Service, manager: Rollout | None, candidates: Sequence[Rollout]) -> ServiceDecision:
    """Decide about a Service that a Rollout uses or has used.

    `manager` is the Rollout that the managed-by annotation names, read from the API server; None only if there is no
    annotation or that Rollout does not exist (any other failure to read it must not lead here). `candidates` are
    Rollouts of the same namespace, looked at only for a Service without that annotation.

    A Service that nobody uses loses the hash from its selector, with or without the annotation, or it would select no
    pods at all some day. Those of Experiments select by the hash for good, and go with their pods.
    """
    owner = controller_of(service)
    is_of_experiment = owner is not None and owner.kind == names.EXPERIMENT
    if names.POD_TEMPLATE_HASH_LABEL not in service.spec.selector or is_of_experiment:
        return ServiceDecision()
    name = service.metadata.name
    is_managed = names.MANAGED_BY_ANNOTATION in service.metadata.annotations
    users = ([manager] if manager is not None else []) if is_managed else candidates
    for rollout in users:
        if name in referenced_services(rollout):
            return ServiceDecision(rollout=key_of(rollout))
    return ServiceDecision(
        action=PatchService(
            name=name,
            selector={names.POD_TEMPLATE_HASH_LABEL: None},
            annotations={names.MANAGED_BY_ANNOTATION: None} if is_managed else {},
        )
    )


def referenced_services(rollout: Rollout) -> tuple[str, ...]:
    """Return the names of the Services that the Rollout's strategy names."""
    blue_green, canary = rollout.spec.strategy.blue_green, rollout.spec.strategy.canary
    found: list[str] = []
    if blue_green is not None:
        found += [blue_green.active_service, blue_green.preview_service]
    if canary is not None:
        found += [canary.canary_service, canary.stable_service]
        if canary.ping_pong is not None:
            found += [canary.ping_pong.ping_service, canary.ping_pong.pong_service]
    return tuple(name for name in found if name)
