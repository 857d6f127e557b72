"""The spec of a Rollout by itself: selector, template, numbers, strategy.

All errors are reported, in the order in which Argo Rollouts reports them, because the condition of an invalid Rollout
shows the first. Paths below the strategy leave out ``canary`` and ``blueGreen``; tools match them like that.
"""

from prograde.api import defaults
from prograde.api.meta import NO_RAW, LabelSelector
from prograde.api.podtemplate import template_metadata
from prograde.api.rollout import BlueGreenStrategy, Rollout, RolloutSpec
from prograde.api.selectors import InvalidSelector, compile_selector
from prograde.api.syntax import label_key_errors, label_value_errors
from prograde.api.validation.canary import anti_affinity_errors, canary_errors
from prograde.api.validation.errors import FieldError, forbidden, internal, invalid, required
from prograde.api.validation.podtemplate import pod_template_errors

__all__ = ["validate_rollout"]

_NOT_NEGATIVE = "must be greater than or equal to 0"


def validate_rollout(rollout: Rollout, *, is_template_resolved: bool = False) -> list[FieldError]:
    """Return what is wrong with the spec of a Rollout, the most important first; empty for a valid one.

    `is_template_resolved` says that template and selector in `rollout` come from its workloadRef. References to other
    objects are not looked at, see `validate_references`.
    """
    spec = rollout.spec
    errors = _not_negative("spec.replicas", defaults.effective_replicas(spec))
    if spec.workload_ref is None:
        errors += _selector_errors(spec.selector)
    elif not is_template_resolved and _has_template(spec):
        errors.append(internal("spec.template", "template must be empty for workload reference rollout"))
    errors += _template_errors(spec, is_template_resolved=is_template_resolved)
    errors += _not_negative("spec.minReadySeconds", spec.min_ready_seconds)
    errors += _not_negative("spec.revisionHistoryLimit", defaults.effective_revision_history_limit(spec))
    deadline = defaults.effective_progress_deadline_seconds(spec)
    errors += _not_negative("spec.progressDeadlineSeconds", deadline)
    if deadline <= spec.min_ready_seconds:
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors + _strategy_errors(rollout)


def _not_negative(path: str, value: int) -> list[FieldError]:
    return [invalid(path, value, _NOT_NEGATIVE)] if value < 0 else []


# --- Selector and template ------------------------------------------------------------------------------------

_OPERATORS_WITH_VALUES = ("In", "NotIn")
_OPERATORS_WITHOUT_VALUES = ("Exists", "DoesNotExist")


def _selector_errors(selector: LabelSelector | None) -> list[FieldError]:
    if selector is None:
        return [required("spec.selector", "Rollout has missing field '.spec.selector'")]
    errors: list[FieldError] = []
    for key in sorted(selector.match_labels):
        value = selector.match_labels[key]
        errors += [invalid("spec.selector.matchLabels", key, error) for error in label_key_errors(key)]
        errors += [invalid("spec.selector.matchLabels", value, error) for error in label_value_errors(value)]
    for index, expression in enumerate(selector.match_expressions):
        path = f"spec.selector.matchExpressions[{index}]"
        if expression.operator in _OPERATORS_WITH_VALUES:
            if not expression.values:
                errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif expression.operator in _OPERATORS_WITHOUT_VALUES:
            if expression.values:
                errors.append(
                    forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
                )
        else:
            errors.append(invalid(f"{path}.operator", expression.operator, "not a valid selector operator"))
        errors += [invalid(f"{path}.key", expression.key, error) for error in label_key_errors(expression.key)]
        for number, value in enumerate(expression.values):
            errors += [invalid(f"{path}.values[{number}]", value, error) for error in label_value_errors(value)]
    if not selector.match_labels and not selector.match_expressions:
        errors.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    return errors


def _has_template(spec: RolloutSpec) -> bool:
    """Say whether a template is written beside a workloadRef; only its labels and annotations count."""
    metadata = template_metadata(spec.template)
    return spec.template is not NO_RAW and bool(metadata.labels or metadata.annotations)


def _template_errors(spec: RolloutSpec, *, is_template_resolved: bool) -> list[FieldError]:
    try:
        selector = compile_selector(spec.selector) if spec.selector is not None else None
    except InvalidSelector:
        return [invalid("spec.selector", spec.selector, "invalid label selector")]
    if spec.workload_ref is not None and not is_template_resolved:
        return []
    return pod_template_errors(spec.template, selector, replicas=defaults.effective_replicas(spec))


# --- Strategy -------------------------------------------------------------------------------------------------


def _strategy_errors(rollout: Rollout) -> list[FieldError]:
    strategy = rollout.spec.strategy
    members = {"blueGreen": strategy.blue_green, "canary": strategy.canary, "recreate": strategy.recreate}
    named = [name for name, member in members.items() if member is not None]
    if len(named) > 1:
        value = " ".join(f"{name}: true" for name in named)
        return [invalid("spec.strategy.strategy", value, "Multiple Strategies can not be listed")]
    if strategy.blue_green is not None:
        return _blue_green_errors(strategy.blue_green, defaults.effective_revision_history_limit(rollout.spec))
    if strategy.canary is not None:
        return canary_errors(rollout, strategy.canary)
    if strategy.recreate is not None:
        return []
    detail = "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'"
    return [required("spec.strategy.strategy", detail)]


def _blue_green_errors(blue_green: BlueGreenStrategy, revision_history_limit: int) -> list[FieldError]:
    errors = []
    if blue_green.active_service == blue_green.preview_service:
        errors.append(
            invalid(
                "spec.strategy.activeService",
                blue_green.active_service,
                "This rollout uses the same service for the active and preview services, but two different services "
                "are required.",
            )
        )
    limit = blue_green.scale_down_delay_revision_limit
    if limit is not None and limit > revision_history_limit:
        errors.append(
            invalid(
                "spec.strategy.scaleDownDelayRevisionLimit",
                limit,
                "This rollout's revision history limit can not be smaller than the rollout's scale down limit",
            )
        )
    return errors + anti_affinity_errors(blue_green.anti_affinity)
