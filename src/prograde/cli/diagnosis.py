"""What keeps a Rollout from going on: the plan's own reasons, and what only an onlooker can know.

A plan says what the controller waits for. That nobody carries the plan out it cannot say, so that is found here:

    pending since   the controller decides by what is in the cluster and by the clock alone. So the plan is made again
                    for the moment of the last write, and for each moment at which it wanted to look again, until one of
                    them has something to write. Since then somebody should have acted.

Everything here is pure. What is worth saying first comes first: what cannot be read, a controller that does not act,
then the plan's reasons in their own order, then what will matter later.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from prograde.api import names
from prograde.api.ages import human_duration
from prograde.api.meta import LabelSelector, ObjectMeta, Time, find_condition
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.selectors import selector_matches
from prograde.core.objects import ObjectRef
from prograde.core.plan import CreateReplicaSet, EvictPod, Plan, Wait, WaitReason
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.rollout.status import is_generation_observed, phase_and_message

__all__ = [
    "Autoscaler",
    "Blocker",
    "Budget",
    "ControllerSign",
    "Diagnosis",
    "Surroundings",
    "diagnose",
    "pending_since",
    "unreadable",
    "written_at",
]

RolloutPlan = Plan[RolloutStatus]

GRACE: Final = timedelta(seconds=10)
"""Longer than a controller that works takes to act, also behind its rate limit and its back-off after a conflict."""

STALE_AFTER: Final = timedelta(seconds=60)
"""A lease that was renewed so long ago is held by nobody: four times its usual duration, for clocks that differ."""

LOOKS_MAX: Final = 100
"""How many moments are looked at to find since when something is due; a poll repeats every ten seconds at most."""


class Blocker(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One reason why a Rollout does not go on; the fields are those of `core.plan.Wait`."""

    reason: str
    message: str
    object: str = ""
    field: str = ""
    since: datetime | None = None
    until: datetime | None = None
    remedy: str = ""


class ControllerSign(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the lease tells of the controller that should look after a Rollout."""

    lease: str
    """Its name; where none was found, the one that was looked for."""
    namespace: str = ""
    """Where the lease is; empty when there is none or it could not be read."""
    holder: str = ""
    renewed_at: datetime | None = None
    is_readable: bool = True

    def is_stale(self, now: datetime) -> bool:
        """Tell whether there is a lease that nobody keeps up. Without lease nothing is known: elections can be off."""
        return bool(self.namespace) and (
            not self.holder or self.renewed_at is None or now - self.renewed_at > STALE_AFTER
        )

    def text(self, now: datetime) -> str:
        """Say what is known."""
        if not self.is_readable:
            return f"the lease {self.lease} may not be read"
        if not self.namespace:
            return f"there is no lease {self.lease}"
        where = f"the lease {self.namespace}/{self.lease}"
        if not self.holder:
            return f"{where} is held by nobody"
        renewed = "never" if self.renewed_at is None else f"{human_duration(now - self.renewed_at)} ago"
        return f"{where} is held by {self.holder}, renewed {renewed}"


class _BudgetSpec(msgspec.Struct, frozen=True):
    selector: LabelSelector | None = None


class _BudgetStatus(msgspec.Struct, frozen=True, rename="camel"):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0


class Budget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget, as far as evictions depend on it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _BudgetSpec = _BudgetSpec()
    status: _BudgetStatus = _BudgetStatus()


class _Target(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""


class _AutoscalerSpec(msgspec.Struct, frozen=True, rename="camel"):
    scale_target_ref: _Target = _Target()


class Autoscaler(msgspec.Struct, frozen=True):
    """A HorizontalPodAutoscaler and whom it scales."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _AutoscalerSpec = _AutoscalerSpec()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What an onlooker sees beside the snapshot; whatever could not be read is empty."""

    rollout: bytes
    """The Rollout as the server sent it."""
    controller: ControllerSign
    changed_at: datetime | None = None
    """When the Rollout or one of its relatives was last written to."""
    budgets: tuple[Budget, ...] = ()
    autoscalers: tuple[Autoscaler, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer about one Rollout."""

    name: str
    namespace: str
    phase: str
    message: str
    waits: tuple[Blocker, ...] = ()
    """Why it does not go on, the true blocker first; empty when it waits for nothing."""
    notes: tuple[Blocker, ...] = ()
    """What holds nothing up and is still worth knowing, such as that no pods are wanted at all."""
    requeue_at: datetime | None = None
    """When the controller looks again without being called; None: at the next change."""
    is_retried: bool = False
    """The pass fails and is tried again with back-off."""
    controller: ControllerSign | None = None
    is_watched: bool = True
    """False when it is certain that no controller looks at all."""


def diagnose(
    snapshot: RolloutSnapshot, plan_at: Callable[[datetime], RolloutPlan], around: Surroundings, now: datetime
) -> Diagnosis:
    """Return why the Rollout of `snapshot` does not go on. `plan_at` is the planner, bound to the snapshot."""
    rollout = snapshot.rollout
    plan = plan_at(now)
    idle = _idle_controller(rollout, plan, plan_at, around, now)
    reasons = [_blocker(rollout, wait, around, is_failing=bool(plan.error)) for wait in plan.waits]
    phase, message = phase_and_message(rollout)
    is_done = phase == names.PHASE_HEALTHY and all(wait.reason is WaitReason.SCALE_DOWN_DELAY for wait in plan.waits)
    if idle is not None:
        # What would have to be observed next is in nobody's hands.
        reasons = [each for each in reasons if each.reason != WaitReason.OBSERVATION]
    waits = [
        *([idle] if idle is not None else []),
        *_held_evictions(snapshot, plan, around),
        *([] if is_done else [_with_untaken_run(each, snapshot, now) for each in reasons]),
        *_what_plans_lack(rollout, plan),
    ]
    if not waits and phase != names.PHASE_HEALTHY:
        waits.append(_about_to_write(rollout, plan))
    is_running = bool(around.controller.holder) and not around.controller.is_stale(now)
    return Diagnosis(
        name=rollout.metadata.name,
        namespace=rollout.metadata.namespace,
        phase=phase,
        message=message,
        waits=tuple(dict.fromkeys(waits)),
        notes=(*_notes(rollout, around), *(reasons if is_done else ())),
        requeue_at=plan.requeue_at,
        is_retried=bool(plan.error),
        controller=around.controller,
        is_watched=is_running or (idle is None and not around.controller.is_stale(now)),
    )


def unreadable(name: str, namespace: str, field: str, message: str, around: Surroundings) -> Diagnosis:
    """Return the answer for a Rollout that cannot be decoded: the controller leaves it exactly as it is."""
    blocker = Blocker(
        reason="Unreadable",
        message=f"it cannot be read, so the controller leaves it alone: {message}",
        object=f"Rollout {name}",
        field=field,
        since=written_at(around.rollout, field.split(".")),
        remedy=f"give {field} a value of the right type",
    )
    return Diagnosis(
        name=name,
        namespace=namespace,
        phase=names.PHASE_DEGRADED,
        message="the object cannot be read",
        waits=(blocker,),
        controller=around.controller,
    )


# ---- A controller that does not act ------------------------------------------------------------------------------


def pending_since(
    plan_at: Callable[[datetime], RolloutPlan], changed_at: datetime | None, now: datetime
) -> datetime | None:
    """Return since when there is something to write that nobody has written; None when there is nothing to write.

    Without `changed_at`, or when no earlier moment is certain, that is `now`.
    """
    if not _writes(plan_at(now)):
        return None
    at = changed_at
    for _ in range(LOOKS_MAX):
        if at is None or at >= now:
            break
        plan = plan_at(at)
        if _writes(plan):
            return at
        if plan.requeue_at is None or plan.requeue_at <= at:
            break
        at = plan.requeue_at
    return now


def _writes(plan: RolloutPlan) -> bool:
    """Evictions do not count: a disruption budget may refuse them for as long as it likes."""
    return plan.status is not None or any(not isinstance(action, EvictPod) for action in plan.actions)


def _idle_controller(
    rollout: Rollout,
    plan: RolloutPlan,
    plan_at: Callable[[datetime], RolloutPlan],
    around: Surroundings,
    now: datetime,
) -> Blocker | None:
    since = pending_since(plan_at, around.changed_at, now)
    if since is None or now - since < GRACE or _is_refused(rollout, plan):
        return None
    sign, name = around.controller, rollout.metadata.name
    count = sum(1 for _ in plan.actions) + (plan.status is not None)
    first = f"{_first_write(rollout, plan)}{' first' if count > 1 else ''}"
    message = f"the controller has not acted for {human_duration(now - since)}: {_counted(count)} due ({first})"
    message += f", and {sign.text(now)}"
    is_running = bool(sign.holder) and not sign.is_stale(now)
    if is_running:
        remedy = "see the controller's log; does it watch this namespace and instance ID, and may it write?"
    else:
        remedy = "start the controller"
    if not is_generation_observed(rollout):
        observed = rollout.status.observed_generation or "nothing"
        message += f"; the spec is generation {rollout.metadata.generation}, observed is {observed}"
        about, field = f"Rollout {name}", "status.observedGeneration"
    elif sign.is_stale(now):
        about, field = f"Lease {sign.lease}", "spec.renewTime"
    else:
        about, field = f"Rollout {name}", "status"
    return Blocker(
        reason="ControllerIdle",
        message=message,
        object=about,
        field=field,
        since=since,
        remedy=remedy,
    )


def _first_write(rollout: Rollout, plan: RolloutPlan) -> str:
    """Say what the controller would do first, such as ``create ReplicaSet cart-6d4f``."""
    for action in plan.actions:
        words = re.findall("[A-Z][a-z]+", type(action).__name__)
        kind = "Pod" if "Pod" in words else "".join(words[1:])
        ref = getattr(action, "ref", None)
        about = ref if isinstance(ref, ObjectRef) else f"{kind} {getattr(action, 'name', '')}"
        return f"{words[0].lower()} {about}"
    return f"patch Rollout {rollout.metadata.name} status"


def _is_refused(rollout: Rollout, plan: RolloutPlan) -> bool:
    """Tell whether the controller does try: it has said so in the status."""
    progressing = find_condition(rollout.status.conditions, names.CONDITION_PROGRESSING)
    return (
        progressing is not None
        and progressing.reason == names.REASON_REPLICA_SET_CREATE_ERROR
        and any(isinstance(action, CreateReplicaSet) for action in plan.actions)
    )


# ---- What the plan cannot say ------------------------------------------------------------------------------------


def _held_evictions(snapshot: RolloutSnapshot, plan: RolloutPlan, around: Surroundings) -> list[Blocker]:
    """Find the disruption budgets that refuse what a restart wants to evict."""
    labels = {pod.metadata.name: pod.metadata.labels for pod in snapshot.pods or ()}
    evicted = [action.name for action in plan.actions if isinstance(action, EvictPod)]
    found = []
    for budget in around.budgets:
        selector = budget.spec.selector
        held = [name for name in evicted if selector is not None and selector_matches(selector, labels.get(name, {}))]
        if held and budget.status.disruptions_allowed < 1:
            name, status = budget.metadata.name, budget.status
            found.append(
                Blocker(
                    reason=WaitReason.RESTART.value,
                    message=f"pod {held[0]} is to be restarted, and disruption budget {name} allows no eviction: "
                    f"{status.current_healthy} pods are healthy, {status.desired_healthy} must be",
                    object=f"PodDisruptionBudget {name}",
                    field="status.disruptionsAllowed",
                    since=snapshot.rollout.spec.restart_at,
                    remedy="let more pods become healthy, or let the budget allow a disruption",
                )
            )
    return found


def _what_plans_lack(rollout: Rollout, plan: RolloutPlan) -> list[Blocker]:
    about = f"Rollout {rollout.metadata.name}"
    if rollout.metadata.deletion_timestamp is not None:
        held = ", ".join(rollout.metadata.finalizers)
        text = f"it is being deleted{f', which waits for the finalizers {held}' if held else ''}"
        deleted_at = rollout.metadata.deletion_timestamp
        return [
            Blocker(
                reason="Deleted",
                message=text,
                object=about,
                field="metadata.deletionTimestamp",
                since=deleted_at,
                remedy="whoever set the finalizers must remove them" if held else "",
            )
        ]
    if plan.wants_pods:
        text = "the plan needs the pods, and they may not be read"
        remedy = "ask for permission to list pods"
        return [Blocker(reason="PodsNotReadable", message=text, object=about, field="spec.restartAt", remedy=remedy)]
    if plan.error and not plan.waits:
        return [Blocker(reason=WaitReason.TRAFFIC_NOT_ROUTED.value, message=plan.error, object=about, field="spec")]
    return []


def _blocker(rollout: Rollout, wait: Wait, around: Surroundings, *, is_failing: bool) -> Blocker:
    since = wait.since
    if since is None and wait.field == "spec.paused":
        since = written_at(around.rollout, ("spec", "paused"))
    elif since is None and wait.until is None and is_failing:
        # A failing pass writes nothing, so the last change in the cluster is what it began with.
        since = around.changed_at
    return Blocker(
        reason=wait.reason.value,
        message=wait.message,
        object=wait.object or f"Rollout {rollout.metadata.name}",
        field=wait.field,
        since=since,
        until=wait.until,
        remedy=wait.remedy,
    )


def _about_to_write(rollout: Rollout, plan: RolloutPlan) -> Blocker:
    """Say what comes next when nothing is waited for and the status has not heard of it."""
    count = sum(1 for _ in plan.actions) + (plan.status is not None)
    return Blocker(
        reason=WaitReason.OBSERVATION.value,
        message=f"nothing is in the way; {_counted(count)} due",
        object=f"Rollout {rollout.metadata.name}",
        field="status",
    )


def _counted(count: int) -> str:
    return "a write is" if count == 1 else f"{count} writes are"


def _with_untaken_run(blocker: Blocker, snapshot: RolloutSnapshot, now: datetime) -> Blocker:
    """Say so when nobody measures: an AnalysisRun or Experiment that has no phase after a while has no controller."""
    runs = {f"AnalysisRun {each.metadata.name}": (each.metadata, each.status.phase) for each in snapshot.analysis_runs}
    runs |= {f"Experiment {each.metadata.name}": (each.metadata, each.status.phase) for each in snapshot.experiments}
    metadata, phase = runs.get(blocker.object, (None, ""))
    created = metadata.creation_timestamp if metadata is not None else None
    if phase or created is None or now - created < GRACE:
        return blocker
    kind = blocker.object.partition(" ")[0]
    return msgspec.structs.replace(
        blocker,
        message=f"{blocker.message}; no controller has taken it up",
        remedy=f"start a controller for objects of kind {kind}; {blocker.remedy}",
    )


def _notes(rollout: Rollout, around: Surroundings) -> Sequence[Blocker]:
    if rollout.spec.replicas != 0:
        return ()
    name = rollout.metadata.name
    message = "no pods are wanted: spec.replicas is 0"
    scalers = [
        each.metadata.name
        for each in around.autoscalers
        if (each.spec.scale_target_ref.kind, each.spec.scale_target_ref.name) == (names.ROLLOUT, name)
    ]
    if scalers:
        message += f", and HorizontalPodAutoscaler {scalers[0]} scales nothing that is at 0"
    return (
        Blocker(
            reason="ScaledToZero",
            message=message,
            object=f"Rollout {name}",
            field="spec.replicas",
            since=written_at(around.rollout, ("spec", "replicas")),
            remedy=f"to have pods: kubectl scale rollout {name} --replicas=1",
        ),
    )


# ---- When a field was written ------------------------------------------------------------------------------------


class _ManagedFields(msgspec.Struct, frozen=True, rename="camel"):
    time: Time | None = None
    fields_v1: dict[str, Any] = msgspec.field(default_factory=dict, name="fieldsV1")


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: tuple[_ManagedFields, ...] = ()


class _Managed(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


def written_at(obj: bytes, path: Sequence[str]) -> datetime | None:
    """Return when the last writer of a field wrote to the object, at most that long ago; None if that is not known."""
    times = []
    for entry in msgspec.json.decode(obj, type=_Managed).metadata.managed_fields:
        at: Any = entry.fields_v1
        for key in path:
            at = at.get(f"f:{key}") if isinstance(at, dict) else None
        if at is not None and entry.time is not None:
            times.append(entry.time)
    return max(times, default=None)
