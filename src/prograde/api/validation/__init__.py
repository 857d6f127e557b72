"""Validation: what is wrong with an object, in the words and the order of Argo Rollouts.

`validate_rollout` looks at a spec by itself, `validate_references` at the objects it names; a controller reports the
first error, a linter all. Runs and experiments report one error as text. Everything here is pure and never raises on an
object that could be decoded.
"""

from prograde.api.validation.errors import FieldError
from prograde.api.validation.invalidspec import invalid_spec_message, says_invalid_already, workload_ref_error
from prograde.api.validation.references import References, service_references, validate_references
from prograde.api.validation.rollout import validate_rollout
from prograde.api.validation.runs import analysis_run_error, experiment_error

__all__ = [
    "FieldError",
    "References",
    "analysis_run_error",
    "experiment_error",
    "invalid_spec_message",
    "says_invalid_already",
    "service_references",
    "validate_references",
    "validate_rollout",
    "workload_ref_error",
]
