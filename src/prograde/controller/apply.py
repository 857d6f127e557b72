"""From plans to API calls, in the order that `core.plan` promises.

Groups one after the other, the actions of a group together; then the status, then the events. The first failure ends
it: the next snapshot leads to the rest. Three failures are not errors but facts for the next decision, and are handed
back: a ReplicaSet that could not be created, a run whose name is taken, and pods that a disruption budget keeps.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, ObjectMeta, key_of
from prograde.api.names import EVENT_RECONCILIATION_ERROR, EVENT_WARNING
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.workloads import ReplicaSet
from prograde.controller.expectations import Expectations
from prograde.controller.resources import (
    ANALYSIS_RUNS,
    EXPERIMENTS,
    FIELD_MANAGER,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    SERVICES,
    resource_of,
)
from prograde.controller.settings import ControllerSettings
from prograde.controller.workers import StateOfTheWorld
from prograde.core.plan import (
    Action,
    AdoptReplicaSet,
    CreateAnalysisRun,
    CreateExperiment,
    CreateObject,
    CreateReplicaSet,
    DeleteAnalysisRun,
    DeleteExperiment,
    DeleteReplicaSet,
    Event,
    EvictPod,
    JsonObject,
    PatchObject,
    PatchPodMetadata,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    ReleaseReplicaSet,
    ScaleWorkload,
    TerminateAnalysisRun,
    TerminateExperiment,
)
from prograde.core.rollout.snapshot import CreateFailure
from prograde.core.rollout.status import status_patch
from prograde.kube.client import STRATEGIC_PATCH, Answer, Client
from prograde.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    TooManyRequests,
)
from prograde.kube.patches import merge_patch
from prograde.kube.resources import Resource
from prograde.telemetry.logs import fields

__all__ = ["FIELD_MANAGER", "Applied", "Applier", "OwnerGone"]

log = logging.getLogger(__name__)

POD_UPDATE_RETRY_SECONDS: Final = 0.1
"""Doubles with each retry. A pod that starts changes several times a second."""

SCALE_TRIES: Final = 3
"""The controller of a workload writes its status while we change its size."""

EventSink = Callable[[Rollout, Event], None]
"""Records a Kubernetes Event; must not wait or raise."""


class OwnerGone(StateOfTheWorld):
    """The Rollout that a plan wanted to give a ReplicaSet to has been replaced or is being deleted."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """How far a plan came."""

    create_failure: CreateFailure | None = None
    """Set: plan again with this fact; nothing after the failed create was done."""
    taken: tuple[AnalysisRun | Experiment, ...] = ()
    """Not empty: plan again with the holders of these names; nothing after their group was done."""
    is_held_by_budget: bool = False
    """A disruption budget refused an eviction: the status was not written, the plan's `requeue_at` stands."""
    late_failure: KubeError | None = None
    """Set: a write that the rest of the plan did not depend on has failed, everything else has been done. The pass is
    to be tried again."""
    writes: int = 0


class _Object(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


class _HeldByBudget(Exception):
    """An eviction was refused for now."""


class _CreateFailed(Exception):
    def __init__(self, failure: CreateFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _NamesTaken(Exception):
    def __init__(self, *holders: AnalysisRun | Experiment) -> None:
        super().__init__(", ".join(holder.metadata.name for holder in holders))
        self.holders = holders


class Applier:
    """Carries out plans for Rollouts.

    Args:
        client: the throttled client of the workers.
        expectations: told of every write to an object that decisions read from a cache.
        record: takes the plan's events, once what they tell of has happened.
    """

    def __init__(
        self,
        client: Client,
        expectations: Expectations,
        record: EventSink,
        settings: ControllerSettings,
    ) -> None:
        self._client = client
        self._expectations = expectations
        self._record = record
        self._versions = settings.versions
        self._pod_update_retries = settings.pod_update_retries
        self._pod_updates = asyncio.Semaphore(settings.pod_updates)

    async def apply(self, rollout: Rollout, plan: Plan[RolloutStatus]) -> Applied:
        """Carry out `plan` for `rollout`, the object that it was made from.

        Raises:
            ApiError, Unreachable: a write failed; what came before it has happened, nothing after it has.
            OwnerGone: the Rollout is not the one any more that the plan was made for.
        """
        writes = 0
        late_failures: list[KubeError] = []
        try:
            for group in plan.groups:
                late_failures += await self._apply_group(rollout, group)
                writes += len(group)
        except _CreateFailed as err:
            return Applied(create_failure=err.failure, writes=writes)
        except _NamesTaken as err:
            return Applied(taken=err.holders, writes=writes)
        except _HeldByBudget:
            return Applied(is_held_by_budget=True, writes=writes)
        if plan.status is not None:
            try:
                writes += await self._write_status(rollout, plan.status)
            except Forbidden as err:
                self._record_forbidden(rollout, err)
                raise
        self._record_all(rollout, plan.events)
        return Applied(writes=writes, late_failure=late_failures[0] if late_failures else None)

    async def _apply_group(self, rollout: Rollout, group: tuple[Action, ...]) -> list[KubeError]:
        """Carry out independent actions together and record their events in the plan's order.

        When some fail, all are still waited for; the first failure, in the plan's order, is the one that counts. Names
        that are taken count only if nothing else failed, and then all of them. Returns the failures that do not end
        the plan.
        """
        if len(group) == 1:
            results: list[BaseException | None] = [await _caught(self._act(rollout, group[0]))]
        else:
            results = list(await asyncio.gather(*(_caught(self._act(rollout, action)) for action in group)))
        failures, late_failures = [], []
        for action, failure in zip(group, results, strict=True):
            if failure is None:
                self._record_all(rollout, action.events)
            elif isinstance(action, ScaleWorkload) and isinstance(failure, KubeError):
                late_failures.append(failure)
            else:
                failures.append(failure)
                if isinstance(failure, Forbidden) and not isinstance(action, CreateObject | PatchObject):
                    self._record_forbidden(rollout, failure)
        for failure in failures:
            if not isinstance(failure, _NamesTaken):
                raise failure
        if holders := [holder for each in failures if isinstance(each, _NamesTaken) for holder in each.holders]:
            raise _NamesTaken(*holders)
        return late_failures

    async def _act(self, rollout: Rollout, action: Action) -> None:
        namespace = rollout.metadata.namespace
        match action:
            case PatchReplicaSet():
                answer = await self._patch(REPLICA_SETS, namespace, action.name, action.merge_patch())
                self._expect(rollout, REPLICA_SETS, answer)
            case CreateReplicaSet():
                await self._create_replica_set(rollout, action)
            case DeleteReplicaSet():
                # A ReplicaSet that changed since it was looked at may have pods again.
                await _unless_not_found(
                    self._client.delete(
                        REPLICA_SETS,
                        namespace,
                        action.name,
                        uid=action.uid,
                        resource_version=action.resource_version,
                        propagation="Background",
                    )
                )
            case AdoptReplicaSet():
                await self._adopt(rollout, action)
            case ReleaseReplicaSet():
                await _unless_gone(
                    self._patch(
                        REPLICA_SETS, namespace, action.name, action.strategic_merge_patch(), kind=STRATEGIC_PATCH
                    )
                )
            case PatchService():
                answer = await self._patch(SERVICES, namespace, action.name, action.merge_patch())
                self._expect(rollout, SERVICES, answer)
            case PatchRollout():
                answer = await self._patch(ROLLOUTS, namespace, action.name, _of_same(rollout, action.merge_patch()))
                self._expect(rollout, ROLLOUTS, answer)
            case PatchPodMetadata():
                async with self._pod_updates:
                    await _unless_not_found(self._update_pod(namespace, action))
            case EvictPod():
                await self._evict(namespace, action)
            case CreateObject():
                await self._create_object(rollout, action)
            case PatchObject():
                await self._patch_object(rollout, action)
            case ScaleWorkload():
                await _unless_not_found(self._scale_workload(rollout, action))
            case CreateAnalysisRun():
                await self._create_run(rollout, ANALYSIS_RUNS, action, AnalysisRun)
            case CreateExperiment():
                await self._create_run(rollout, EXPERIMENTS, action, Experiment)
            case TerminateAnalysisRun():
                await _unless_not_found(self._patch(ANALYSIS_RUNS, namespace, action.name, _TERMINATE))
            case TerminateExperiment():
                await _unless_not_found(self._patch(EXPERIMENTS, namespace, action.name, _TERMINATE))
            case DeleteAnalysisRun():
                await _unless_not_found(self._client.delete(ANALYSIS_RUNS, namespace, action.name, uid=action.uid))
            case DeleteExperiment():
                await _unless_not_found(self._client.delete(EXPERIMENTS, namespace, action.name, uid=action.uid))
            case _:
                raise AssertionError(f"no way to carry out {action!r}")

    async def _create_replica_set(self, rollout: Rollout, action: CreateReplicaSet) -> None:
        namespace = rollout.metadata.namespace
        await self._check_still_there(rollout, f"ReplicaSet {action.name}")
        try:
            answer = await self._client.create(
                REPLICA_SETS, namespace, action.manifest, name=action.name, field_manager=FIELD_MANAGER
            )
        except AlreadyExists as err:
            # From the server and not from the cache, which is behind: that is why we tried to create it.
            existing = await self._client.get(REPLICA_SETS, namespace, action.name)
            failure = CreateFailure(name=action.name, message=err.message, existing=existing.to(ReplicaSet))
            raise _CreateFailed(failure) from err
        except ApiError as err:
            raise _CreateFailed(CreateFailure(name=action.name, message=err.message)) from err
        self._expect(rollout, REPLICA_SETS, answer)

    async def _create_run(
        self,
        rollout: Rollout,
        resource: Resource,
        action: CreateAnalysisRun | CreateExperiment,
        kind: type[AnalysisRun] | type[Experiment],
    ) -> None:
        namespace = rollout.metadata.namespace
        await self._check_still_there(rollout, f"{resource.kind} {action.name}")
        try:
            answer = await self._client.create(
                resource, namespace, action.manifest, name=action.name, field_manager=FIELD_MANAGER
            )
        except AlreadyExists as err:
            # From the server: our cache may not have it yet, or not at all if it is another controller's.
            raise _NamesTaken((await self._client.get(resource, namespace, action.name)).to(kind)) from err
        except KubeError as err:
            self._record_failure(rollout, action.failure, err)
            raise
        self._expect(rollout, resource, answer)

    async def _create_object(self, rollout: Rollout, action: CreateObject) -> None:
        resource = resource_of(action.ref.kind, self._versions)
        manifest = {**action.manifest, "apiVersion": resource.api_version}
        await self._check_still_there(rollout, str(action.ref))
        try:
            answer = await self._client.create(
                resource, action.ref.namespace, manifest, name=action.ref.name, field_manager=FIELD_MANAGER
            )
        except KubeError as err:
            self._record_failure(rollout, action.failure, err)
            raise
        self._expect(rollout, resource, answer)

    async def _patch_object(self, rollout: Rollout, action: PatchObject) -> None:
        resource = resource_of(action.ref.kind, self._versions)
        try:
            answer = await self._patch(resource, action.ref.namespace, action.ref.name, action.patch)
        except KubeError as err:
            self._record_failure(rollout, action.failure, err)
            raise
        self._expect(rollout, resource, answer)

    def _record_failure(self, rollout: Rollout, failure: Event | None, err: KubeError) -> None:
        """Tell people of a write that failed, unless the next snapshot settles it."""
        if failure is None or isinstance(err, Conflict | AlreadyExists):
            return
        words = err.message if isinstance(err, ApiError) else str(err)
        self._record(rollout, msgspec.structs.replace(failure, message=f"{failure.message}: {words}"))

    def _record_forbidden(self, rollout: Rollout, err: Forbidden) -> None:
        """Tell people that the controller lacks a permission: it takes one of them to put that right."""
        message = f"Reconciliation failed with error: {err}"
        self._record(rollout, Event(EVENT_RECONCILIATION_ERROR, message, EVENT_WARNING))

    async def _scale_workload(self, rollout: Rollout, action: ScaleWorkload) -> None:
        """Change the size by get and update: the controller's roles do not grant to patch Deployments.

        Raises:
            Conflict: the workload changed each time between reading and writing.
        """
        ref, resource = action.ref, resource_of(action.ref.kind, self._versions)
        for tries_left in reversed(range(SCALE_TRIES)):
            workload = (await self._client.get(resource, ref.namespace, ref.name)).to(dict[str, Any])
            if workload["metadata"]["uid"] != action.uid:
                return  # deleted, and another one has its name by now
            changes: JsonObject = {
                "metadata": {"annotations": dict(action.annotations)},
                "spec": {"replicas": action.replicas},
            }
            changed = merge_patch(workload, changes)
            try:
                answer = await self._client.update(
                    resource, ref.namespace, ref.name, changed, field_manager=FIELD_MANAGER
                )
                self._expect(rollout, resource, answer)
                return
            except Conflict:
                if not tries_left:
                    raise

    async def _adopt(self, rollout: Rollout, action: AdoptReplicaSet) -> None:
        namespace = rollout.metadata.namespace
        text = f"not adopting ReplicaSet {action.name}"
        await self._check_owner(namespace, action.owner_name, action.owner_uid, text)
        patch = action.strategic_merge_patch()
        await _unless_not_found(self._patch(REPLICA_SETS, namespace, action.name, patch, kind=STRATEGIC_PATCH))

    async def _check_still_there(self, rollout: Rollout, created: str) -> None:
        """Ask whether the Rollout is still there before something is created for it.

        What belongs to a Rollout that is gone is collected at once, and a cache that has not heard of it yet would have
        it created again and again, as fast as the server answers.

        Raises:
            OwnerGone: it is not there any more.
        """
        metadata = rollout.metadata
        await self._check_owner(metadata.namespace, metadata.name, metadata.uid, f"not creating {created}")

    async def _check_owner(self, namespace: str, name: str, uid: str, text: str) -> None:
        """Ask the server, and not a cache, whether a Rollout is still there.

        Raises:
            OwnerGone: it is not; the message goes on from `text`.
        """
        try:
            current = (await self._client.get(ROLLOUTS, namespace, name)).to(_Object).metadata
        except NotFound as err:
            raise OwnerGone(f"Rollout {namespace}/{name}: {text}, because the Rollout has been deleted") from err
        if current.uid != uid or current.deletion_timestamp is not None:
            raise OwnerGone(
                f"Rollout {namespace}/{name}: {text}, because the Rollout has been deleted or replaced since "
                f"(uid {uid}, now {current.uid})"
            )

    async def _update_pod(self, namespace: str, action: PatchPodMetadata) -> None:
        """Change a pod's labels and annotations by list and update: the controller's roles grant neither get nor patch.

        Raises:
            Conflict: the pod changed each time between reading and writing.
        """
        for retry in range(self._pod_update_retries + 1):
            listing = await self._client.list(PODS, namespace, field_selector=f"metadata.name={action.name}")
            pod = next((msgspec.json.decode(item, type=dict[str, Any]) for item in listing.items), None)
            if pod is None or pod["metadata"]["uid"] != action.uid:
                return  # vanished; its name may belong to another pod by now
            patched = merge_patch(pod, action.merge_patch())
            try:
                await self._client.update(PODS, namespace, action.name, patched, field_manager=FIELD_MANAGER)
                return
            except Conflict:
                if retry == self._pod_update_retries:
                    raise
                await asyncio.sleep(POD_UPDATE_RETRY_SECONDS * 2**retry)

    async def _evict(self, namespace: str, action: EvictPod) -> None:
        eviction: JsonObject = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": action.name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": action.uid}},
        }
        try:
            await self._client.create(PODS, namespace, eviction, name=action.name, subresource="eviction")
        except (NotFound, Conflict):
            # Gone, or its name belongs to another pod by now: evicted in effect.
            return
        except TooManyRequests as err:
            if err.has_cause("DisruptionBudget"):
                log.info(
                    "Pod %s is kept by a disruption budget: %s", action.name, err.message,
                    extra=fields(namespace=namespace),
                )  # fmt: skip
                raise _HeldByBudget from err
            raise

    async def _write_status(self, rollout: Rollout, status: RolloutStatus) -> int:
        """Write what changed, lists whole and cleared fields as null, and return the number of writes."""
        about = fields(namespace=rollout.metadata.namespace, rollout=rollout.metadata.name)
        patch = status_patch(rollout.status, status)
        if not patch:
            log.debug("No status changes. Skipping patch", extra=about)
            return 0
        metadata = rollout.metadata
        answer = await self._patch(
            ROLLOUTS, metadata.namespace, metadata.name, _of_same(rollout, patch), subresource="status"
        )
        self._expect(rollout, ROLLOUTS, answer)
        if log.isEnabledFor(logging.INFO):
            log.info("Patched: %s", msgspec.json.encode(patch).decode(), extra=about)
        return 1

    async def _patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: JsonObject,
        *,
        kind: str | None = None,
        subresource: str = "",
    ) -> Answer:
        options: dict[str, Any] = {"content_type": kind} if kind else {}
        return await self._client.patch(
            resource, namespace, name, patch, subresource=subresource, field_manager=FIELD_MANAGER, **options
        )

    def _expect(self, rollout: Rollout, resource: Resource, answer: Answer) -> None:
        metadata = answer.to(_Object).metadata
        written = NamespacedName(metadata.namespace, metadata.name)
        now_seconds = asyncio.get_running_loop().time()
        self._expectations.note(key_of(rollout), resource, written, metadata.resource_version, now_seconds)

    def _record_all(self, rollout: Rollout, events: tuple[Event, ...]) -> None:
        for event in events:
            self._record(rollout, event)


_TERMINATE: Final[JsonObject] = {"spec": {"terminate": True}}


async def _caught(call: Awaitable[None]) -> Exception | None:
    """Return what `call` raised, so that its siblings can finish; cancellation passes through."""
    try:
        await call
    except Exception as err:
        return err
    return None


def _of_same(rollout: Rollout, patch: JsonObject) -> JsonObject:
    """Return `patch` for this very Rollout, and not for one of the same name that has taken its place."""
    metadata = patch.get("metadata")
    return {**patch, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "uid": rollout.metadata.uid}}


async def _unless_not_found(call: Awaitable[object]) -> None:
    try:
        await call
    except NotFound:
        return


async def _unless_gone(call: Awaitable[object]) -> None:
    """Ignore that the object is gone, or that its name belongs to another one by now (the UID in the patch says so)."""
    try:
        await call
    except (NotFound, Invalid, Conflict):
        return
