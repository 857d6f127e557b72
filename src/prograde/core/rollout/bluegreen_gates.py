"""The gates of a blue-green update: what has to be true before traffic moves, as named facts of one pass.

    preview is ready ──▶ analysis ──▶ pause ──▶ whole size ──▶ active Service switches ──▶ analysis ──▶ stable

A revision is *ready* when it has the size wanted of it now (which may be the smaller preview size) and every pod is
available. It is *saturated* when it can carry the whole Rollout. It is *fast-tracked* when nothing is left to ask: it
has been stable before and still has its pods, somebody wants it in full, or nothing else could get the traffic.

The pause ends by time, or by a person who removes the pause condition. A removed condition counts as "resumed" until
the switch, an abort or a new template, whatever happens to the pods meanwhile. (Argo Rollouts forgets a resume that
meets a pod just restarting, and with a timed pause starts the clock again.)
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from prograde.api import defaults, names
from prograde.api.analysis import AnalysisRun
from prograde.api.rollout import BlueGreenStrategy
from prograde.core.rollout.analysis import is_configured, is_successful
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.replicasets import find_by_hash, hash_of, is_saturated, size_of

__all__ = ["BlueGreenGates", "PauseKind", "PauseState"]

PauseKind: TypeAlias = Literal["none", "timed", "manual"]
PauseState: TypeAlias = Literal["not needed", "not begun", "running", "over"]


class BlueGreenGates(msgspec.Struct, frozen=True, dict=True):
    """What the blue-green decisions of one pass look at. All of it is about the state before the pass."""

    context: RolloutContext
    strategy: BlueGreenStrategy
    selected_hash: str
    """The hash that the active Service selects; empty if it selects none yet."""
    runs: Mapping[str, AnalysisRun] = {}
    """The analysis runs of this attempt, by kind, as the pass finds them."""

    # ---- The new revision --------------------------------------------------------------------------------------------

    @cached_property
    def wanted(self) -> int:
        """How many pods the new revision should have.

        The preview size holds from the beginning of an update until the checkpoint behind the pause. A revision that is
        stable or comes back on the fast track has no preview. While a person or an analysis pauses the Rollout, the
        checkpoint does not count.
        """
        context = self.context
        preview_size = self.strategy.preview_replica_count
        active = find_by_hash(context.replica_sets, context.status.blue_green.active_selector)
        if preview_size is None or context.is_fast_rollback or context.status.promote_full:
            return context.replicas
        if active is None or hash_of(active) == context.pod_hash:
            return context.replicas
        is_paused = context.spec.paused or bool(context.status.pause_conditions)
        if not context.is_template_changed and self.is_past_checkpoint and not is_paused:
            return context.replicas
        return preview_size

    @cached_property
    def is_ready(self) -> bool:
        new = self.context.new
        return new is not None and size_of(new) == self.wanted == new.status.available_replicas

    @cached_property
    def is_saturated(self) -> bool:
        return is_saturated(self.context.new, self.context.replicas)

    @property
    def is_active(self) -> bool:
        """The active Service selects the new revision already."""
        return bool(self.selected_hash) and self.selected_hash == hash_of(self.context.new)

    @cached_property
    def is_fast_tracked(self) -> bool:
        """A Service without hash asks for nothing only while there is no stable revision that it could select.

        With Argo Rollouts, an active Service that somebody has replaced lets an update go live without its pause.
        """
        return (
            self.context.is_fast_rollback
            or self.context.status.promote_full
            or self.is_active
            or (not self.selected_hash and self.context.separate_stable is None)
        )

    @property
    def is_past_checkpoint(self) -> bool:
        """The preview has passed the pause and may grow to the whole size."""
        return self.context.status.blue_green.scale_up_preview_check_point

    # ---- The pause ---------------------------------------------------------------------------------------------------

    @property
    def pause_kind(self) -> PauseKind:
        """What the user wants before the switch. Without automatic promotion the seconds mean nothing."""
        if not defaults.effective_auto_promotion_enabled(self.context.spec):
            return "manual"
        return "timed" if self.strategy.auto_promotion_seconds > 0 else "none"

    @property
    def pause_began_at(self) -> datetime | None:
        """When the pause before the switch began; None when there is none."""
        for each in self.context.status.pause_conditions:
            if each.reason == names.PAUSE_BLUE_GREEN:
                return each.start_time or self.context.now
        return None

    @property
    def pause_ends_at(self) -> datetime | None:
        """When a timed pause is over; None for any other, or when it has not begun."""
        began = self.pause_began_at
        if began is None or self.pause_kind != "timed":
            return None
        return began + timedelta(seconds=self.strategy.auto_promotion_seconds)

    @property
    def is_resumed(self) -> bool:
        """Somebody has removed the pause, and nothing has come of it yet."""
        return self.context.status.controller_pause and self.pause_began_at is None

    @cached_property
    def pause_state(self) -> PauseState:
        """How far the pause before the switch is."""
        if self.is_past_checkpoint:
            return "over"
        if self.pause_kind == "none":
            return "not needed"
        if self.pause_began_at is None:
            return "over" if self.is_resumed else "not begun"
        ends = self.pause_ends_at
        # Strictly: a pause that began late in its second must not be cut short.
        return "over" if ends is not None and self.context.now > ends else "running"

    @property
    def is_pause_ended(self) -> bool:
        """The pause has been ended, by time or by a person, and nothing but this fact remembers it."""
        return self.pause_state == "over" and self.is_pre_promotion_passed and not self.is_past_checkpoint

    @property
    def is_pre_promotion_passed(self) -> bool:
        """No analysis before the switch, or it has been successful."""
        is_asked = is_configured(self.strategy.pre_promotion_analysis)
        return not is_asked or is_successful(self.runs.get(names.ANALYSIS_PRE_PROMOTION))

    @property
    def is_post_promotion_passed(self) -> bool:
        """No analysis after the switch, or it has been successful."""
        is_asked = is_configured(self.strategy.post_promotion_analysis)
        return not is_asked or is_successful(self.runs.get(names.ANALYSIS_POST_PROMOTION))

    @property
    def is_complete(self) -> bool:
        """The new revision has all the pods that an analysis before or after the switch needs."""
        return self.is_saturated or (self.strategy.preview_replica_count is not None and self.is_ready)

    @property
    def is_open(self) -> bool:
        """Neither pause nor analysis stands between the new revision and the traffic."""
        return self.is_fast_tracked or (self.is_pre_promotion_passed and self.pause_state in ("not needed", "over"))
