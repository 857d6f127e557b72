"""The decisions of one pass while they are being made; at the end they become a `Plan`.

Strategies state what they want ("this ReplicaSet to 3 pods", "this Service to that hash", "a pause for this reason")
and the `Draft` puts it into the one order that is safe at every instant, `Stage`. Everything that is decided about one
ReplicaSet becomes one patch, so that no write of a plan invalidates the version that the next one was decided on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.rollout import RolloutStatus, TrafficWeights
from prograde.api.scalars import format_time, parse_integer
from prograde.api.workloads import ReplicaSet, Service
from prograde.core.plan import (
    Action,
    DeleteReplicaSet,
    Event,
    JsonObject,
    PatchReplicaSet,
    PatchRollout,
    PatchService,
    Plan,
    PluginCall,
    Wait,
)
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.replicasets import desired_replicas_of, revision_of, scale_down_deadline_of, size_of

__all__ = ["Draft", "Stage"]


_JUST_AFTER = timedelta(milliseconds=1)
"""Whether something is over is asked strictly: at the very instant it is not. Looking again then would be in vain."""


class Stage(IntEnum):
    """The order in which a plan's actions go out. Traffic leaves before capacity does, and comes after it."""

    CLAIM = 0
    """Ownership first: everything else is about objects that are ours."""
    CREATE = 1
    RUNS = 2
    """Analysis and experiments that begin now. Before anything else, because a name that is taken makes the whole plan
    be made again, and nothing else must have been done by then."""
    SERVICES = 3
    """Selectors that are ready to move: away from pods that the next stage may remove, to pods that exist already."""
    TRAFFIC = 4
    """Weights and routes, after the selectors that they lead to. Goes out in groups of its own, see `Draft.route`."""
    EMPTY_SERVICES = 5
    """Selectors that may lead to pods that are yet to come, because no traffic leads to them any more."""
    REPLICA_SETS = 6
    ROLLOUT = 7
    """Revision and defaults on the Rollout itself: it says the number that its ReplicaSet has, never one that the
    ReplicaSet failed to get."""
    ACTIVE_SERVICE = 8
    """Blue-green's switch. Nothing is scaled down on the strength of it before a later plan has seen it done."""
    PODS = 9
    """Evictions, and metadata of pods after that of their ReplicaSet: new pods must not miss a change."""
    CLEAN_UP = 10
    """Objects that nobody needs any more."""


class Draft:
    """What this pass wants, in no particular order; see `to_plan`."""

    def __init__(self, context: RolloutContext) -> None:
        self.context = context
        self.waits: list[Wait] = []
        self.events: list[Event] = []
        """Recorded after the status has been written; events of single actions travel with the action."""
        self.requeue_at: datetime | None = None
        self.wants_pods = False
        self.added_pauses: list[str] = []
        self.removed_pauses: set[str] = set()
        self.clears_pauses = False
        self.keeps_resume = False
        self.abort_message: str | None = None
        """Why this pass aborts the update; None when it does not. May be empty."""
        self.removes_abort = False
        self.error = ""
        """Why the pass cannot go on; see `fail`."""
        self.restarted_at: datetime | None = None
        """The `spec.restartAt` that this pass fulfils; None when it does not."""
        self.analysis_runs: dict[str, AnalysisRun] = {}
        """The runs that are current after this pass, by what asks for them (`names.ANALYSIS_STEP` and its siblings)."""
        self.experiment: Experiment | None = None
        """The Experiment that is current after this pass."""
        self.plugin_statuses = context.status.canary.step_plugin_statuses
        """What is recorded of the step plugins after this pass."""
        self.plugin_calls: list[PluginCall] = []
        """The calls whose answers this pass needs; the plan then is nothing but this question."""
        self.weights: TrafficWeights | None = context.traffic_weights
        """Where the traffic goes after this pass; None without routers."""
        self.has_routed = False
        """The routers were asked in this pass to bring the traffic where `weights` says."""
        self.keeps_routes = False
        """They were also asked for the header and mirror routes of the steps so far."""
        self._actions: defaultdict[Stage, list[Action]] = defaultdict(list)
        self._replica_set_patches: dict[str, PatchReplicaSet] = {}
        self._rollout_patch: PatchRollout | None = None
        self._routing: list[tuple[Action, ...]] = []
        self._selectors: dict[str, str] = {}
        self.revision = parse_integer(context.rollout.metadata.annotations.get(names.REVISION_ANNOTATION, "")) or 0
        """The revision number of the Rollout after this plan."""

    # ---- Pauses and abort ---------------------------------------------------------------------------------------

    @property
    def is_aborted(self) -> bool:
        """The update is being taken back, by the persisted status or by this pass. Removing an abort wins."""
        return (self.context.status.abort or self.abort_message is not None) and not self.removes_abort

    def pause(self, reason: str) -> None:
        """Add a pause condition; the status then waits for a resume."""
        if reason not in self.added_pauses:
            self.added_pauses.append(reason)

    def end_pause(self, reason: str) -> None:
        """Remove the pause condition of this reason; it cannot be added again in the same pass."""
        self.removed_pauses.add(reason)

    def clear_pauses(self) -> None:
        """Remove all pause conditions, also those that this pass adds."""
        self.clears_pauses = True

    def keep_resume(self) -> None:
        """Remember that a pause has been ended although this pass cannot act on it yet."""
        self.keeps_resume = True

    def abort(self, message: str) -> None:
        """Take the update back because of `message`. The first reason stays."""
        if self.abort_message is None:
            self.abort_message = message

    def remove_abort(self) -> None:
        self.removes_abort = True

    def has_pause(self, reason: str) -> bool:
        """Tell whether the persisted status has a pause condition of this reason."""
        return any(each.reason == reason for each in self.context.status.pause_conditions)

    # ---- ReplicaSets --------------------------------------------------------------------------------------------

    def scale(self, replica_set: ReplicaSet, replicas: int, *, keeps_deadline: bool = False) -> bool:
        """Bring a ReplicaSet to `replicas` pods and record the Rollout's size on it; tell whether its size changes.

        The recorded size (not `replicas`!) tells a later change of `spec.replicas` from any other. A ReplicaSet that
        goes to 0 loses its scale-down deadline, which has then done its work, unless `keeps_deadline`.
        """
        before = size_of(replica_set)
        annotations: dict[str, str | None] = {}
        if desired_replicas_of(replica_set) != self.context.replicas:
            annotations[names.DESIRED_REPLICAS_ANNOTATION] = str(self.context.replicas)
        if replicas == 0 and not keeps_deadline and scale_down_deadline_of(replica_set) is not None:
            annotations[names.SCALE_DOWN_DEADLINE_ANNOTATION] = None
        if before == replicas:
            self.annotate(replica_set, annotations)
            return False
        direction = "up" if replicas > before else "down"
        revision = revision_of(self._with_new_revision(replica_set)) or 0
        event = Event(
            names.EVENT_SCALING_REPLICA_SET,
            f"Scaled {direction} ReplicaSet {replica_set.metadata.name} (revision {revision})"
            f" from {before} to {replicas}",
        )
        self.patch_replica_set(replica_set, replicas=replicas, annotations=annotations, events=(event,))
        return True

    def size_after(self, replica_set: ReplicaSet) -> int:
        """Return how many pods it asks for once this plan is carried out."""
        patch = self._replica_set_patches.get(replica_set.metadata.name)
        return size_of(replica_set) if patch is None or patch.replicas is None else patch.replicas

    def hold(self, replica_set: ReplicaSet) -> None:
        """Keep its size but record the Rollout's, so that a change of `spec.replicas` counts as dealt with."""
        self.scale(replica_set, size_of(replica_set), keeps_deadline=True)

    def set_deadline(self, replica_set: ReplicaSet, at: datetime) -> None:
        """Let it keep its pods until `at`."""
        self.annotate(replica_set, {names.SCALE_DOWN_DEADLINE_ANNOTATION: format_time(at)})

    def remove_deadline(self, replica_set: ReplicaSet) -> None:
        """Let it keep its pods for good; nothing to do without a deadline."""
        if names.SCALE_DOWN_DEADLINE_ANNOTATION in replica_set.metadata.annotations:
            self.annotate(replica_set, {names.SCALE_DOWN_DEADLINE_ANNOTATION: None})

    def annotate(self, replica_set: ReplicaSet, annotations: Mapping[str, str | None]) -> None:
        """Set or remove (None) annotations."""
        if annotations:
            self.patch_replica_set(replica_set, annotations=annotations)

    def patch_replica_set(
        self,
        replica_set: ReplicaSet,
        *,
        replicas: int | None = None,
        min_ready_seconds: int | None = None,
        annotations: Mapping[str, str | None] | None = None,
        template_labels: Mapping[str, str | None] | None = None,
        template_annotations: Mapping[str, str | None] | None = None,
        affinity: JsonObject | None = None,
        events: tuple[Event, ...] = (),
    ) -> None:
        """Add to the one patch of this ReplicaSet; what is decided later wins."""
        name = replica_set.metadata.name
        seen = self._replica_set_patches.get(name) or PatchReplicaSet(
            name=name, resource_version=replica_set.metadata.resource_version
        )
        self._replica_set_patches[name] = PatchReplicaSet(
            name=name,
            resource_version=seen.resource_version,
            replicas=seen.replicas if replicas is None else replicas,
            min_ready_seconds=seen.min_ready_seconds if min_ready_seconds is None else min_ready_seconds,
            annotations={**seen.annotations, **(annotations or {})},
            template_labels={**seen.template_labels, **(template_labels or {})},
            template_annotations={**seen.template_annotations, **(template_annotations or {})},
            affinity=seen.affinity if affinity is None else affinity,
            events=seen.events + events,
        )

    def delete_replica_set(self, replica_set: ReplicaSet) -> None:
        """Delete it, whatever else this pass wanted with it."""
        metadata = replica_set.metadata
        self._replica_set_patches.pop(metadata.name, None)
        self.act(
            Stage.CLEAN_UP,
            DeleteReplicaSet(name=metadata.name, uid=metadata.uid, resource_version=metadata.resource_version),
        )

    def _with_new_revision(self, replica_set: ReplicaSet) -> ReplicaSet:
        """Return the ReplicaSet with the revision that this very plan gives it."""
        patch = self._replica_set_patches.get(replica_set.metadata.name)
        revision = patch.annotations.get(names.REVISION_ANNOTATION) if patch is not None else None
        if revision is None:
            return replica_set
        annotations = {**replica_set.metadata.annotations, names.REVISION_ANNOTATION: revision}
        return msgspec.structs.replace(
            replica_set, metadata=msgspec.structs.replace(replica_set.metadata, annotations=annotations)
        )

    # ---- Services -----------------------------------------------------------------------------------------------

    def service(self, name: str) -> Service | None:
        """Return the Service as it was found; None when it does not exist or `name` is empty."""
        return self.context.snapshot.services.get(name) if name else None

    def selected_hash(self, service_name: str) -> str:
        """Return the hash that the Service selects after this plan; empty when none or without Service."""
        if service_name in self._selectors:
            return self._selectors[service_name]
        return self.context.selected_hash(service_name)

    def switch_service(self, service: Service, pod_hash: str, stage: Stage = Stage.SERVICES) -> bool:
        """Let the Service select the pods of `pod_hash` and mark it as ours; tell whether that changes it.

        Other keys of its selector stay. A Service that already selects the hash is only marked.
        """
        name = service.metadata.name
        before = self.selected_hash(name)
        is_managed = names.MANAGED_BY_ANNOTATION in service.metadata.annotations or name in self._selectors
        if before == pod_hash and is_managed:
            return False
        rollout_name = self.context.rollout.metadata.name
        event = Event(
            names.EVENT_SWITCH_SERVICE, f"Switched selector for service '{name}' from '{before}' to '{pod_hash}'"
        )
        self.act(
            stage,
            PatchService(
                name=name,
                resource_version="" if is_managed else service.metadata.resource_version,
                selector={names.POD_TEMPLATE_HASH_LABEL: pod_hash},
                annotations={} if is_managed else {names.MANAGED_BY_ANNOTATION: rollout_name},
                events=(event,),
            ),
        )
        self._selectors[name] = pod_hash
        return True

    # ---- Everything else ----------------------------------------------------------------------------------------

    def act(self, stage: Stage, action: Action) -> None:
        """Add an action. Actions of one stage must not depend on each other."""
        self._actions[stage].append(action)

    def route(self, groups: Iterable[tuple[Action, ...]]) -> None:
        """Add a router's groups of actions, to be carried out one group after the other."""
        self._routing += groups

    def fail(self, error: str) -> None:
        """End the pass as failed because of something outside. What was decided before still goes out.

        Whoever calls this returns at once, without a status; nothing that comes later in the order may be added.
        """
        self.error = error

    def annotate_rollout(self, annotations: Mapping[str, str | None], events: tuple[Event, ...] = ()) -> None:
        """Set or remove (None) annotations of the Rollout itself; everything goes into one patch."""
        seen = self._rollout_patch or PatchRollout(name=self.context.rollout.metadata.name)
        self._rollout_patch = msgspec.structs.replace(
            seen, annotations={**seen.annotations, **annotations}, events=seen.events + events
        )

    def act_once(self, stage: Stage, action: Action) -> None:
        """Add an action unless the very same one is there already."""
        if action not in self._actions[stage]:
            self.act(stage, action)

    def record(self, reason: str, message: str) -> None:
        """Add a Normal event, to be recorded after the status has been written."""
        self.events.append(Event(reason, message))

    def warn(self, reason: str, message: str) -> None:
        """Add a Warning event, to be recorded after the status has been written."""
        self.events.append(Event(reason, message, names.EVENT_WARNING))

    def wait(self, wait: Wait) -> None:
        """Add a reason for waiting. If it ends by itself, look again just after."""
        self.waits.append(wait)
        if wait.until is not None:
            self.look_again(wait.until + _JUST_AFTER)

    def look_again(self, at: datetime) -> None:
        """Plan again at `at` at the latest."""
        self.requeue_at = at if self.requeue_at is None else min(self.requeue_at, at)

    def to_plan(self, status: RolloutStatus | None) -> Plan[RolloutStatus]:
        """Put everything in order. `status` is the complete new one, None when it stays as it is."""
        stages = {stage: list(actions) for stage, actions in self._actions.items() if actions}
        if self._replica_set_patches:
            stages.setdefault(Stage.REPLICA_SETS, []).extend(self._replica_set_patches.values())
        if self._rollout_patch is not None:
            stages.setdefault(Stage.ROLLOUT, []).append(self._rollout_patch)
        before = [tuple(stages[stage]) for stage in sorted(stages) if stage < Stage.TRAFFIC]
        after = [tuple(stages[stage]) for stage in sorted(stages) if stage > Stage.TRAFFIC]
        return Plan(
            groups=(*before, *self._routing, *after),
            status=status,
            error=self.error,
            events=tuple(self.events),
            waits=tuple(self.waits),
            requeue_at=self.requeue_at,
        )
