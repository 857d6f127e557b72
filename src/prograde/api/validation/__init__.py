"""Validation: what is wrong with an object, in the words and the order of Argo Rollouts.

`validate_rollout` looks at a spec by itself, `validate_references` at the objects it names; a controller reports the
first error, a linter all. Everything here is pure and never raises on an object that could be decoded.
"""

from prograde.api.validation.errors import FieldError
from prograde.api.validation.references import References, service_references, validate_references
from prograde.api.validation.rollout import validate_rollout

__all__ = ["FieldError", "References", "service_references", "validate_references", "validate_rollout"]
