"""The words of a rollout: which ReplicaSet is new, stable, older, other, and what that says about the Rollout.

        created ──────────────────────────────────────────────▶ time

    A (revision 1)      B (revision 2)        C (revision 3)      D (revision 4)
    scaled to 0         stable                superseded          new
    ╰─ other            ╰─ stable             ╰─ other            ╰─ new
    ╰────────────────────── older ───────────────────╯

new     matches `spec.template`; also called canary, preview or desired. None until it has been created.
stable  its hash is `status.stableRS`: the last revision that was promoted. May be the same object as new, and None
        before the first promotion.
older   all but new, so stable is among them unless it is new.
other   neither new nor stable: superseded attempts and past revisions. They only ever get smaller.

A Rollout is *fully promoted* when the new revision is the stable one (also while nothing has been reconciled yet and
both hashes are empty), and *completed* when there really is such a revision. It is *halted* while a person or an
inconclusive analysis forbids every move; a pause step does not halt it.
"""

from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from prograde.api import defaults, names
from prograde.api.rollout import (
    BlueGreenStrategy,
    CanaryStep,
    CanaryStrategy,
    Rollout,
    RolloutSpec,
    RolloutStatus,
    TrafficRouting,
    TrafficWeights,
)
from prograde.api.scalars import whole_seconds
from prograde.api.workloads import ReplicaSet
from prograde.core.rollout.replicas import Limits, ProgressThreshold
from prograde.core.rollout.replicas import limits as resolve_limits
from prograde.core.rollout.replicasets import hash_of, scale_down_deadline_of
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.routing import Router

__all__ = ["DEFAULT_SETTINGS", "PlannerSettings", "RolloutContext", "is_completed"]


class PlannerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set about decisions, the same for all Rollouts."""

    verify_retry: timedelta = defaults.ROLLOUT_VERIFY_RETRY
    """How soon a router is asked again whether the weights are in force."""


DEFAULT_SETTINGS = PlannerSettings()


class RolloutContext(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The facts of one pass. What the pass decides is in the `Draft`; this only says what was found."""

    snapshot: RolloutSnapshot
    now: datetime
    """To be compared with; what is stored is `stamp`."""
    rollout: Rollout
    """As read, but with a referenced workload's template filled in, and with the status that this pass starts from."""
    computed_hash: str
    """The hash of `spec.template`: the name of a ReplicaSet yet to be created. For an existing one the label counts."""
    step_hash: str
    """The hash of the canary steps; empty for blue-green."""
    replica_sets: tuple[ReplicaSet, ...]
    """All that belong to the Rollout, oldest first."""
    new: ReplicaSet | None
    stable: ReplicaSet | None
    routers: tuple[Router, ...] = ()
    """Those that the spec names, in the order in which they are asked."""
    settings: PlannerSettings = DEFAULT_SETTINGS

    # ---- Shorthands ---------------------------------------------------------------------------------------------

    @cached_property
    def stamp(self) -> datetime:
        """This instant as a cluster stores it, in whole seconds."""
        return whole_seconds(self.now)

    @property
    def spec(self) -> RolloutSpec:
        return self.rollout.spec

    @property
    def status(self) -> RolloutStatus:
        """The status that this pass starts from; what the pass decides shows up in the next one."""
        return self.rollout.status

    @property
    def canary(self) -> CanaryStrategy | None:
        return self.spec.strategy.canary

    @property
    def blue_green(self) -> BlueGreenStrategy | None:
        return self.spec.strategy.blue_green

    @property
    def replicas(self) -> int:
        """The wanted number of pods."""
        return defaults.effective_replicas(self.spec)

    @property
    def canary_routing(self) -> TrafficRouting | None:
        """How the traffic of the canary is routed; None where the pods alone split it."""
        return self.canary.traffic_routing if self.canary is not None else None

    @property
    def traffic_weights(self) -> TrafficWeights | None:
        """The weights that the last pass has recorded; None when there are none, or no longer any routing."""
        return self.status.canary.weights if self.canary_routing is not None else None

    @cached_property
    def older(self) -> tuple[ReplicaSet, ...]:
        return tuple(each for each in self.replica_sets if each is not self.new)

    @cached_property
    def others(self) -> tuple[ReplicaSet, ...]:
        return tuple(each for each in self.replica_sets if each is not self.new and each is not self.stable)

    @property
    def separate_stable(self) -> ReplicaSet | None:
        """The stable ReplicaSet unless it is the new one too."""
        return None if self.stable is self.new else self.stable

    @property
    def pod_hash(self) -> str:
        """The hash of the new revision, created or not."""
        return hash_of(self.new) or self.computed_hash

    @cached_property
    def limits(self) -> Limits:
        """maxSurge and maxUnavailable in pods, defaults applied.

        Blue-green has no surge, and its maxUnavailable (used for restarts only) may come to 0.
        """
        unavailable = defaults.effective_max_unavailable(self.spec)
        if self.blue_green is not None:
            # Any surge keeps the arithmetic from raising an unavailable count of 0 to 1.
            return Limits(surge=0, unavailable=resolve_limits(self.replicas, 1, unavailable).unavailable)
        return resolve_limits(self.replicas, defaults.effective_max_surge(self.spec), unavailable)

    @property
    def progress_threshold(self) -> ProgressThreshold | None:
        """How many available pods are enough to go on; None for all."""
        wanted = self.canary.replica_progress_threshold if self.canary is not None else None
        if wanted is None:
            return None
        # Whatever is not a percentage is a number of pods.
        return ProgressThreshold("Percent" if wanted.type == names.PROGRESS_PERCENT else "Pods", wanted.value)

    def selected_hash(self, service_name: str) -> str:
        """Return the hash that a Service was found to select; empty when none, without Service or without name."""
        service = self.snapshot.services.get(service_name) if service_name else None
        return service.spec.selector.get(names.POD_TEMPLATE_HASH_LABEL, "") if service is not None else ""

    # ---- Steps --------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> tuple[CanaryStep, ...]:
        """The steps of the canary; empty for blue-green."""
        return self.canary.steps if self.canary is not None else ()

    @property
    def step_index(self) -> int | None:
        """The index of the current step, the number of steps when all are done, None without steps.

        Whatever somebody has written there is brought within these bounds.
        """
        if not self.steps:
            return None
        return max(0, min(self.status.current_step_index or 0, len(self.steps)))

    @property
    def step(self) -> CanaryStep | None:
        """The current step; None without steps and when all are done."""
        index = self.step_index
        return None if index is None or index == len(self.steps) else self.steps[index]

    # ---- What kind of update this is ----------------------------------------------------------------------------

    @property
    def is_fully_promoted(self) -> bool:
        return self.status.stable_rs == self.status.current_pod_hash

    @property
    def is_template_changed(self) -> bool:
        """The new revision is not the one that the status knows. A status without hash knows none: no change."""
        return bool(self.status.current_pod_hash) and self.status.current_pod_hash != self.pod_hash

    @property
    def are_steps_changed(self) -> bool:
        """The canary steps differ from those that the status knows, or it knows none yet."""
        return self.canary is not None and self.status.current_step_hash != self.step_hash

    @property
    def is_back_on_stable(self) -> bool:
        """The template is that of the stable revision, whether or not the status has noticed."""
        return self.new is not None and bool(self.status.stable_rs) and hash_of(self.new) == self.status.stable_rs

    @cached_property
    def is_rollback(self) -> bool:
        """The template is that of the stable revision or of one that was created before it."""
        return self.is_back_on_stable or self._is_new_before_stable

    @cached_property
    def is_within_rollback_window(self) -> bool:
        """The template is that of a revision so few revisions before the stable one that the steps may be skipped.

        Counted are the ReplicaSets that were created strictly between the two, so a window of 1 covers the revision
        just before. Ages count and not revision numbers, and ReplicaSets of Experiments do not count.
        """
        window = self.spec.rollback_window
        if window is None or window.revisions <= 0 or not self._is_new_before_stable:
            return False
        after, before = _created(self.new), _created(self.stable)
        between = sum(
            1
            for each in self.replica_sets
            if after < _created(each) < before and names.EXPERIMENT_NAME_ANNOTATION not in each.metadata.annotations
        )
        return between < window.revisions

    @cached_property
    def is_fast_rollback(self) -> bool:
        """Pauses and analysis are skipped: the new revision has proven itself before, or still has all its pods.

        A blue-green revision whose scale-down delay was still running when it came back stays on the fast track until
        the attempt is over, although its deadline is removed at once: the duration record remembers how it began.
        """
        return self.is_rollback and (
            self.is_within_rollback_window
            or self.is_back_on_stable
            or (self.blue_green is not None and (self.is_new_within_delay or self._began_as_fast_rollback))
        )

    @cached_property
    def is_new_within_delay(self) -> bool:
        """The new ReplicaSet was taken out of service so recently that its scale-down deadline is still to come.

        A deadline that comes from aborting this very revision says nothing for it.
        """
        if self.status.aborted_at is not None and not self.is_template_changed:
            return False
        deadline = scale_down_deadline_of(self.new) if self.new is not None else None
        return deadline is not None and deadline.at is not None and not deadline.is_over(self.now)

    # ---- What forbids moving ------------------------------------------------------------------------------------

    @property
    def halted_by(self) -> str:
        """Why no move is allowed at all; empty when moves are allowed."""
        if self.spec.paused:
            return "user paused"
        if any(each.reason == names.PAUSE_INCONCLUSIVE_ANALYSIS for each in self.status.pause_conditions):
            return "inconclusive analysis"
        return ""

    @property
    def _is_new_before_stable(self) -> bool:
        return self.new is not None and self.stable is not None and _created(self.new) < _created(self.stable)

    @property
    def _began_as_fast_rollback(self) -> bool:
        duration = self.status.duration
        return (
            duration is not None
            and duration.finished_at is None
            and duration.completion_status == names.COMPLETION_FAST_ROLLED_BACK
        )


def is_completed(status: RolloutStatus) -> bool:
    """Tell whether a revision has been promoted and is the current one."""
    return bool(status.stable_rs) and status.stable_rs == status.current_pod_hash


def _created(replica_set: ReplicaSet | None) -> datetime:
    assert replica_set is not None
    created = replica_set.metadata.creation_timestamp
    assert created is not None, "the API server sets the creation time of every object"
    return created
