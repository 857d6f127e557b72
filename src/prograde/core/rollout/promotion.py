"""Making the new revision the stable one. When a strategy may do so it says itself; what follows is the same."""

import msgspec

from prograde.api import names
from prograde.api.rollout import RolloutStatus
from prograde.core.rollout import duration
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft

__all__ = ["fast_rollback_reason", "promote"]


def fast_rollback_reason(context: RolloutContext) -> str:
    """Say why this update is a rollback that needs no proof; empty when it is not.

    An idle Rollout is "back on stable" too: it is promoted again in every pass, to no effect.
    """
    if context.is_within_rollback_window:
        return "Rollback within window"
    return "Fast rollback" if context.is_fast_rollback else ""


def promote(context: RolloutContext, draft: Draft, status: RolloutStatus, reason: str) -> RolloutStatus:
    """Return `status` with the current revision as stable one: nothing is paused, aborted or requested any more."""
    draft.clear_pauses()
    draft.remove_abort()
    canary = status.canary
    revision = status.current_pod_hash
    if revision != status.stable_rs:
        if context.canary is not None and context.canary.ping_pong is not None:
            flipped = names.PONG if canary.stable_ping_pong == names.PING else names.PING
            canary = msgspec.structs.replace(canary, stable_ping_pong=flipped)
        status = msgspec.structs.replace(
            status,
            stable_rs=revision,
            duration=duration.mark_promotion(status.duration, was_full=status.promote_full),
        )
        draft.record(
            names.REASON_ROLLOUT_COMPLETED,
            f"Rollout completed update to revision {draft.revision} ({revision}): {reason}",
        )
    return msgspec.structs.replace(
        status,
        promote_full=False,
        current_step_index=len(context.steps) if context.steps else None,
        canary=canary,
        blue_green=msgspec.structs.replace(status.blue_green, scale_up_preview_check_point=False),
    )
