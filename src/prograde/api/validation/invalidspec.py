"""What an invalid Rollout says about itself: in a condition, and in a log line."""

from prograde.api.meta import Condition, find_condition
from prograde.api.names import CONDITION_INVALID_SPEC
from prograde.api.rollout import Rollout
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, invalid

__all__ = ["invalid_spec_message", "says_invalid_already", "workload_ref_error"]


def invalid_spec_message(rollout_name: str, error: FieldError | str) -> str:
    """Return the message of the InvalidSpec condition; the status message is ``InvalidSpec: `` and this."""
    return f"The Rollout {go_quote(rollout_name)} is invalid: {error}"


def workload_ref_error(rollout: Rollout, reason: str) -> FieldError:
    """Return the error of a workloadRef that cannot be resolved; the condition shows only `reason`."""
    return invalid("spec.workloadRef", rollout.spec.workload_ref, reason)


def says_invalid_already(conditions: tuple[Condition, ...], message: str) -> bool:
    """Say whether the InvalidSpec condition has this message; then there is nothing to write.

    With another message the condition is replaced by a new one, so that its times say since when this is wrong.
    """
    condition = find_condition(conditions, CONDITION_INVALID_SPEC)
    return condition is not None and condition.message == message
