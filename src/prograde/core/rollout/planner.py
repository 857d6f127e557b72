"""What a Rollout does next, as one list of decisions. Start reading here.

    is it going away?             then nothing
    does its workload exist?      its template is filled in, if it is that of another workload
    is it valid, and supported?   if not, it is frozen as it is and says why
    whose ReplicaSets?            adopt and release, then look again
    is there a new revision?      create its ReplicaSet, then look again
    pauses in the conditions      brought in line, then on with the same plan
    number of the revision        on ReplicaSet and Rollout
    did only the size change?     follow it, and nothing else
    the strategy                  `decide` of `canary`, `bluegreen` or `recreate`
    status, conditions, phase     `status.finish`
    reasons for waiting           `waits.explain`

Argo Rollouts does the same in several passes, with a write after each. Where the second of two such passes would see
nothing but the first one's write to the status, both are one plan here, and what comes out is the same: the conditions
about pauses, the condition of a found ReplicaSet, and everything that a pause or a resume entails. Where the world has
to react in between (a ReplicaSet created, a group scaled, a pod evicted) or where the order of events would differ (the
reset at the beginning of an attempt), the plan ends and the next snapshot goes on.

A strategy is two functions. `decide(context, draft)` puts actions, pauses, events and waits into the draft and returns
`status.base_status` with its own decisions made, or None if no status must be written in this pass.
`scale_only(context, draft)` does the same for a mere change of `spec.replicas`, starting from the persisted status.
"""

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from prograde.api import defaults, names, podtemplate
from prograde.api.meta import find_condition
from prograde.api.rollout import Rollout, RolloutSpec, RolloutStatus
from prograde.api.scalars import go_quote, whole_seconds
from prograde.api.validation import FieldError, service_references, validate_references, validate_rollout
from prograde.api.workloadref import UnresolvedWorkload
from prograde.core.plan import AdoptReplicaSet, PatchRollout, Plan, ReleaseReplicaSet, Wait, WaitReason
from prograde.core.rollout import bluegreen, canary, recreate, revisions, runs, waits, workload
from prograde.core.rollout.conditions import (
    blocks_progress_deadline,
    condition,
    progress_deadline,
    remove_condition,
    set_condition,
)
from prograde.core.rollout.conflicts import conflict_of
from prograde.core.rollout.context import DEFAULT_SETTINGS, PlannerSettings, RolloutContext
from prograde.core.rollout.draft import Draft, Stage
from prograde.core.rollout.references import references_of
from prograde.core.rollout.replicasets import by_age, find_by_hash, hash_of
from prograde.core.rollout.snapshot import CreateFailure, RolloutSnapshot
from prograde.core.rollout.status import finish, settle_pause, with_phase
from prograde.core.rollout.unsupported import unsupported_field
from prograde.core.routing import Router, RoutersOf, no_routers

__all__ = ["plan_rollout"]

RolloutPlan = Plan[RolloutStatus]

CREATE_RETRY = timedelta(seconds=10)
"""When a ReplicaSet could not be created (quota, admission): as often as a work queue's longest back-off."""


def plan_rollout(
    snapshot: RolloutSnapshot,
    now: datetime,
    routers_of: RoutersOf = no_routers,
    settings: PlannerSettings = DEFAULT_SETTINGS,
) -> RolloutPlan:
    """Decide what to do about one Rollout. Planning again after nothing but the plan's own effects plans nothing.

    `routers_of` knows the routers.
    """
    if snapshot.rollout.metadata.deletion_timestamp is not None:
        return Plan()
    try:
        rollout = workload.resolve(snapshot)
    except UnresolvedWorkload as err:
        return _frozen(snapshot, snapshot.rollout, now, _workload_error(snapshot.rollout, str(err)))
    if error := _first_error(snapshot, rollout):
        return _frozen(snapshot, rollout, now, error)
    claimed = revisions.claim(rollout, snapshot.replica_sets)
    if claimed.adopt or claimed.release:
        return _claim(claimed)
    context = msgspec.structs.replace(_context(snapshot, rollout, claimed, now, routers_of(rollout)), settings=settings)
    if context.new is None:
        return _create(context)
    if rollout.spec.replicas is None:
        return _default_replicas(context)
    return _pass(context)


# ---- The ordinary pass ------------------------------------------------------------------------------------------


def _pass(context: RolloutContext) -> RolloutPlan:
    if missing := runs.missing(context):
        return Plan(wants_runs=missing)
    context = _with_status(context, _with_found_replica_set(context))
    context = _with_status(context, settle_pause(context))
    draft = Draft(context)
    if context.is_fully_promoted and context.status.abort:
        # There is nothing to go back to.
        draft.remove_abort()
    revisions.sync_revision(context, draft)
    workload.sync_generation(context, draft)
    strategy = _strategy_of(context.spec)
    is_scaling = revisions.is_scaling_event(context)
    decided = strategy.scale_only(context, draft) if is_scaling else strategy.decide(context, draft)
    if draft.wants_pods:
        return Plan(wants_pods=True)
    if draft.plugin_calls:
        return Plan(wants_plugin_calls=tuple(draft.plugin_calls))
    status = context.status
    if draft.error:
        # Nothing goes on, but people have to learn that it does not: an abort and the progress deadline still count.
        # The numbers of pods stay as they were, or a Rollout whose traffic is elsewhere would be called healthy.
        status = finish(context, draft, context.status, is_scaling=True)
    elif decided is not None:
        status = finish(context, draft, decided, is_scaling=is_scaling)
        status = settle_pause(_with_status(context, status))
        workload.replace_deployment(context, draft, status)
    deadline = _look_again_at_progress_deadline(context, draft, status)
    draft.waits = list(waits.explain(context, draft, status, deadline))
    return draft.to_plan(status if status != context.snapshot.rollout.status else None)


class _Strategy(Protocol):
    def decide(self, context: RolloutContext, draft: Draft) -> RolloutStatus | None: ...

    def scale_only(self, context: RolloutContext, draft: Draft) -> RolloutStatus: ...


def _strategy_of(spec: RolloutSpec) -> _Strategy:
    if spec.strategy.blue_green is not None:
        return bluegreen
    return recreate if spec.strategy.recreate is not None else canary


def _with_found_replica_set(context: RolloutContext) -> RolloutStatus:
    """Return the status with a Progressing condition, for one that has none yet although its ReplicaSet exists."""
    status = context.status
    if context.new is None or find_condition(status.conditions, names.CONDITION_PROGRESSING) is not None:
        return status
    found = condition(
        names.CONDITION_PROGRESSING,
        names.CONDITION_TRUE,
        names.REASON_FOUND_NEW_REPLICA_SET,
        f"Found new replica set {go_quote(context.new.metadata.name)}",
        context.stamp,
    )
    return msgspec.structs.replace(status, conditions=set_condition(status.conditions, found))


def _look_again_at_progress_deadline(context: RolloutContext, draft: Draft, status: RolloutStatus) -> datetime | None:
    """Be there when the progress deadline passes, for nothing else may happen until then; return it if it runs."""
    progressing = find_condition(status.conditions, names.CONDITION_PROGRESSING)
    if (
        status.phase in (names.PHASE_HEALTHY, names.PHASE_PAUSED)
        or status.abort
        or progressing is None
        or progressing.reason == names.REASON_PROGRESS_DEADLINE_EXCEEDED
        or blocks_progress_deadline(_with_status(context, status), draft)
    ):
        return None
    deadline = progress_deadline(context, status.conditions)
    if deadline is not None:
        draft.look_again(max(deadline, context.now) + timedelta(seconds=1))
    return deadline


# ---- The passes that end early ----------------------------------------------------------------------------------


def _claim(claimed: revisions.Claim) -> RolloutPlan:
    changed: tuple[AdoptReplicaSet | ReleaseReplicaSet, ...] = (*claimed.adopt, *claimed.release)
    listed = ", ".join(each.name for each in changed)
    wait = Wait(reason=WaitReason.OBSERVATION, message=f"the owner of ReplicaSets changes: {listed}")
    return Plan(groups=(changed,), waits=(wait,))


def _create(context: RolloutContext) -> RolloutPlan:
    """Create the ReplicaSet of a new revision, or deal with the failure to do so."""
    draft = Draft(context)
    failure = context.snapshot.create_failure
    if failure is not None and failure.name == revisions.name_of_new(context):
        return _after_failed_create(context, draft, failure)
    workload.sync_generation(context, draft)
    status = revisions.create_new(context, draft)
    name = revisions.name_of_new(context)
    refused = find_condition(context.status.conditions, names.CONDITION_PROGRESSING)
    if refused is not None and refused.reason == names.REASON_REPLICA_SET_CREATE_ERROR:
        # Tried again now. For whoever looks on, what was said the last time is the reason.
        draft.look_again(context.now + CREATE_RETRY)
        draft.wait(_refused(name, refused.message, refused.last_transition_time))
    else:
        draft.wait(
            Wait(
                reason=WaitReason.OBSERVATION,
                message=f"ReplicaSet {name} is created for the new revision; it gets its pods next",
                object=f"ReplicaSet {name}",
            )
        )
    return draft.to_plan(status if status != context.status else None)


def _after_failed_create(context: RolloutContext, draft: Draft, failure: CreateFailure) -> RolloutPlan:
    """Count a collision when somebody else has the name; report any other failure and try again later."""
    old = context.status
    if failure.existing is not None:
        # The same hash for something else. The count goes into the hash, so the next name is another one.
        status = msgspec.structs.replace(old, collision_count=(old.collision_count or 0) + 1)
        draft.look_again(context.now)
        message = f"the name {failure.name} is taken by another ReplicaSet; the next attempt uses another name"
        draft.wait(Wait(reason=WaitReason.OBSERVATION, message=message, object=f"ReplicaSet {failure.name}"))
        return draft.to_plan(status)
    message = f"Failed to create new replica set {go_quote(failure.name)}: {failure.message}"
    reason = names.REASON_REPLICA_SET_CREATE_ERROR
    failed = condition(names.CONDITION_PROGRESSING, names.CONDITION_FALSE, reason, message, context.stamp)
    # Not observed: the phase is about the revision before, and clients would take that one's health for this one's.
    status = msgspec.structs.replace(old, conditions=set_condition(old.conditions, failed))
    draft.warn(reason, message)
    draft.look_again(context.now + CREATE_RETRY)
    known = find_condition(status.conditions, names.CONDITION_PROGRESSING)
    draft.wait(_refused(failure.name, message, known.last_transition_time if known is not None else None))
    return draft.to_plan(status if status != old else None)


def _refused(name: str, message: str, since: datetime | None) -> Wait:
    return Wait(
        reason=WaitReason.WRITE_FAILED,
        message=message,
        object=f"ReplicaSet {name}",
        field="status.conditions[Progressing]",
        since=since,
        remedy="it is tried again; quotas and admission policies are the usual causes",
    )


def _default_replicas(context: RolloutContext) -> RolloutPlan:
    """Write the default of `spec.replicas`, because an autoscaler needs a value to start from."""
    draft = Draft(context)
    metadata = context.rollout.metadata
    default = PatchRollout(name=metadata.name, replicas=defaults.REPLICAS, resource_version=metadata.resource_version)
    draft.act(Stage.ROLLOUT, default)
    message = f"spec.replicas is set to its default of {defaults.REPLICAS}"
    draft.wait(Wait(reason=WaitReason.OBSERVATION, message=message, field="spec.replicas"))
    return draft.to_plan(None)


# ---- Frozen -----------------------------------------------------------------------------------------------------


class _Error(msgspec.Struct, frozen=True):
    """Why a Rollout must not be touched."""

    reason: WaitReason
    field: str
    text: str
    object: str = ""
    """What the field names, if that is to blame; else it is the Rollout."""
    remedy: str = "change the field"


def _first_error(snapshot: RolloutSnapshot, rollout: Rollout) -> _Error | None:
    """Return the first reason not to touch the Rollout; None for a valid one. Everything that acts comes after this."""
    errors = validate_rollout(rollout, is_template_resolved=rollout.spec.workload_ref is not None)
    if not errors:
        if field := unsupported_field(rollout.spec):
            text = f"{field}: Forbidden: not yet supported by this version of Prograde"
            return _Error(WaitReason.NOT_SUPPORTED, field, text)
        errors = validate_references(rollout, references_of(snapshot))
        if errors:
            return _reference_error(rollout, errors[0])
        if (conflict := conflict_of(snapshot)) is not None:
            remedy = "name something else in the field, or let the other Rollout go"
            return _Error(WaitReason.INVALID_SPEC, conflict.path, str(conflict), remedy=remedy)
    return _Error(WaitReason.INVALID_SPEC, errors[0].path, str(errors[0])) if errors else None


def _reference_error(rollout: Rollout, error: FieldError) -> _Error:
    """Return an error about an object that the Rollout names."""
    services = {path: name for path, name, _ in service_references(rollout)}
    named = f"Service {services[error.path]}" if error.path in services else _named_by(error)
    remedy = "create what is missing" if "not found" in error.detail else "change it"
    if "not installed" in error.detail:
        remedy = "install what is missing"
    return _Error(WaitReason.INVALID_SPEC, error.path, str(error), named, f"{remedy}, or name another in the field")


def _workload_error(rollout: Rollout, text: str) -> _Error:
    reference = rollout.spec.workload_ref
    named = f"{reference.kind} {reference.name}" if reference is not None else ""
    remedy = "create the workload, or change the reference"
    return _Error(WaitReason.WORKLOAD, "spec.workloadRef", text, named, remedy)


def _named_by(error: FieldError) -> str:
    """Return the object, other than a Service, that a field names; empty when it names several, or none."""
    name = (error.value or "").strip('"')
    if ":" in name:
        return ""
    if error.path.endswith(".templates"):
        return (
            f"{'ClusterAnalysisTemplate' if 'ClusterAnalysisTemplate' in error.detail else 'AnalysisTemplate'} {name}"
        )
    if error.path.endswith("stableIngress"):
        return f"Ingress {name}"
    if error.path.endswith("virtualService.name"):
        return f"VirtualService {name}"
    return ""


def _frozen(snapshot: RolloutSnapshot, rollout: Rollout, now: datetime, error: _Error) -> RolloutPlan:
    """Leave everything as it is and say why: pods run on, nothing is scaled, switched or cancelled.

    It is looked at again without being asked, since a missing Service may turn up. `rollout` has the template of its
    workload, if that was found: then its generation has been observed, like that of the Rollout.
    """
    old = rollout.status
    message = f"The Rollout {go_quote(rollout.metadata.name)} is invalid: {error.text}"
    known = find_condition(old.conditions, names.CONDITION_INVALID_SPEC)
    conditions = old.conditions
    if known is not None and known.message != message:
        conditions = remove_condition(conditions, names.CONDITION_INVALID_SPEC)
    at = whole_seconds(now)
    reason = names.REASON_INVALID_SPEC
    invalid = condition(names.CONDITION_INVALID_SPEC, names.CONDITION_TRUE, reason, message, at)
    status = msgspec.structs.replace(
        old,
        conditions=set_condition(conditions, invalid),
        observed_generation=str(rollout.metadata.generation),
    )
    if error.reason is not WaitReason.WORKLOAD:
        observed = rollout.metadata.annotations.get(names.WORKLOAD_GENERATION_ANNOTATION, "")
        status = msgspec.structs.replace(status, workload_observed_generation=observed)
    status = with_phase(rollout, status)
    wait = Wait(
        reason=error.reason,
        message=message,
        object=error.object or f"Rollout {rollout.metadata.name}",
        field=error.field,
        since=None if known is None or known.message != message else known.last_transition_time,
        remedy=f"{error.remedy}; until then the Rollout is left as it is",
    )
    annotations = workload.generation_change(snapshot.rollout, rollout)
    return Plan(
        groups=((PatchRollout(name=rollout.metadata.name, annotations=annotations),),) if annotations else (),
        status=status if status != old else None,
        waits=(wait,),
        requeue_at=now + defaults.INVALID_SPEC_RETRY,
    )


# ---- Context ----------------------------------------------------------------------------------------------------


def _context(
    snapshot: RolloutSnapshot,
    rollout: Rollout,
    claimed: revisions.Claim,
    now: datetime,
    routers: tuple[Router, ...],
) -> RolloutContext:
    owned = claimed.owned
    computed = podtemplate.pod_template_hash(rollout.spec.template, rollout.status.collision_count)
    failure = snapshot.create_failure
    if failure is not None and failure.existing is not None and revisions.is_own(rollout, failure.existing):
        # Ours, and not in the cache yet: take it as the answer to its own creation.
        owned = tuple(by_age({each.metadata.uid: each for each in (*owned, failure.existing)}.values()))
    new = revisions.find_new(rollout, computed, owned)
    stable = new if new is not None and hash_of(new) == rollout.status.stable_rs else None
    return RolloutContext(
        snapshot=snapshot,
        now=now,
        rollout=rollout,
        computed_hash=computed,
        step_hash=podtemplate.step_hash(rollout.spec.strategy.canary.steps) if rollout.spec.strategy.canary else "",
        replica_sets=owned,
        new=new,
        stable=stable or find_by_hash(owned, rollout.status.stable_rs),
        routers=routers,
    )


def _with_status(context: RolloutContext, status: RolloutStatus) -> RolloutContext:
    """Return the context as if `status` were the persisted one."""
    if status is context.status:
        return context
    return msgspec.structs.replace(context, rollout=msgspec.structs.replace(context.rollout, status=status))
