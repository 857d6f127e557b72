"""Analysis templates that a Rollout names: can a run be made of them, and will it end?"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from prograde.api.analysis import (
    AnalysisTemplate,
    AnalysisTemplateSpec,
    Argument,
    ClusterAnalysisTemplate,
    DryRun,
    MeasurementRetention,
    Metric,
)
from prograde.api.analysistemplates import (
    CollectedTemplates,
    InvalidTemplates,
    TemplateNotFound,
    collect_templates,
    flatten_templates,
    merge_into_run_spec,
)
from prograde.api.codec import decode, to_json
from prograde.api.defaults import effective_count
from prograde.api.fieldpaths import InvalidFieldPath, resolve_field_path
from prograde.api.names import HASH_VALUE_LATEST, HASH_VALUE_STABLE
from prograde.api.placeholders import UnresolvedPlaceholder, substitute_all
from prograde.api.rollout import AnalysisArgument, Rollout, RolloutAnalysis
from prograde.api.validation.errors import FieldError, invalid

__all__ = ["missing_template_errors", "run_arguments", "template_errors"]

_NESTED_PATH = "spec.templates"
_DUMMY_VALUE = "dummy-value"
_DUMMY_HASHES = {HASH_VALUE_STABLE: "dummy-stable-hash", HASH_VALUE_LATEST: "dummy-new-hash"}

Templates = Mapping[str, AnalysisTemplate]
ClusterTemplates = Mapping[str, ClusterAnalysisTemplate]


class _Analysis(NamedTuple):
    """One place where a Rollout asks for analysis."""

    path: str
    analysis: RolloutAnalysis
    is_background: bool = False


def _analyses(rollout: Rollout) -> Iterator[_Analysis]:
    """Yield the analyses of a Rollout; those of experiments are not looked at before the experiment is made."""
    blue_green, canary = rollout.spec.strategy.blue_green, rollout.spec.strategy.canary
    if blue_green is not None:
        path = "spec.strategy.blueGreen"
        if blue_green.pre_promotion_analysis is not None:
            yield _Analysis(f"{path}.prePromotionAnalysis.templates", blue_green.pre_promotion_analysis)
        if blue_green.post_promotion_analysis is not None:
            yield _Analysis(f"{path}.postPromotionAnalysis.templates", blue_green.post_promotion_analysis)
    if canary is not None:
        path = "spec.strategy.canary"
        for index, step in enumerate(canary.steps):
            if step.analysis is not None:
                yield _Analysis(f"{path}.steps[{index}].analysis.templates", step.analysis)
        if canary.analysis is not None:
            yield _Analysis(f"{path}.analysis.templates", canary.analysis, is_background=True)


def missing_template_errors(
    rollout: Rollout, templates: Templates, cluster_templates: ClusterTemplates
) -> Iterator[FieldError]:
    """Check that all templates exist, also those that templates refer to."""
    for path, analysis, _ in _analyses(rollout):
        try:
            collect_templates(analysis.templates, templates, cluster_templates)
        except TemplateNotFound as err:
            yield invalid(_NESTED_PATH if err.is_nested else path, err.name, str(err))
        except InvalidTemplates as err:
            yield invalid(path, _names_of(analysis), str(err))


def _names_of(analysis: RolloutAnalysis) -> str:
    return _template_names(tuple(reference.template_name for reference in analysis.templates))


def _template_names(names: tuple[str, ...]) -> str:
    return f"templateNames: [{' '.join(names)}]"


def template_errors(
    rollout: Rollout, templates: Templates, cluster_templates: ClusterTemplates
) -> Iterator[FieldError]:
    """Check that the templates of each analysis that were all found can be combined, and fit what they are for."""
    for path, analysis, is_background in _analyses(rollout):
        try:
            collected = collect_templates(analysis.templates, templates, cluster_templates)
        except (TemplateNotFound, InvalidTemplates):
            continue
        problem = _combination_problem(rollout, analysis, collected)
        if problem is not None:
            yield invalid(path, _template_names(collected.names), problem)
            continue
        for name, spec in zip(collected.names, collected.specs, strict=True):
            details = _background_details(rollout, spec) if is_background else _ending_details(name, spec)
            for detail in details:
                yield invalid(path, name, detail)


def _combination_problem(rollout: Rollout, analysis: RolloutAnalysis, collected: CollectedTemplates) -> str | None:
    """Return why the templates cannot be combined, with each other or with the rules of any step."""
    canary = rollout.spec.strategy.canary
    rules: list[tuple[tuple[DryRun, ...], tuple[MeasurementRetention, ...]]] = [((), ())]
    for step in canary.steps if canary is not None else ():
        if step.analysis is not None:
            # The rules of every step are tried on every analysis, as Argo Rollouts does.
            rules.append((step.analysis.dry_run, step.analysis.measurement_retention))
    try:
        template = flatten_templates(collected.specs)
        arguments = run_arguments(rollout, analysis.args, _DUMMY_HASHES)
        for dry_run, retention in rules:
            merge_into_run_spec(template, arguments, dry_run, retention)
    except InvalidTemplates as err:
        return str(err)
    return None


def run_arguments(
    rollout: Rollout, arguments: tuple[AnalysisArgument, ...], hashes: Mapping[str, str]
) -> tuple[Argument, ...]:
    """Return the arguments of a run as far as they can be resolved; all have a value, if only an empty one.

    `hashes` are the pod template hashes of ``Stable`` and ``Latest``. A field path that leads nowhere gives the value
    as written: here only the shape of the run is tried.
    """
    resolved = []
    for argument in arguments:
        value, source = argument.value, argument.value_from
        if source is not None and source.pod_template_hash_value is not None:
            value = hashes.get(source.pod_template_hash_value, value)
        elif source is not None and source.field_ref is not None:
            try:
                value = resolve_field_path(rollout, source.field_ref.field_path)
            except InvalidFieldPath:
                value = argument.value
        resolved.append(Argument(name=argument.name, value=value))
    return tuple(resolved)


# --- Inline, pre- and post-promotion --------------------------------------------------------------------------


def _ending_details(name: str, spec: AnalysisTemplateSpec) -> Iterator[str]:
    """Check that the metrics can be resolved, and that none runs for ever, as the Rollout waits for them."""
    try:
        values = _dummy_values(spec.args)
        metrics = [_resolved(metric, values) for metric in spec.metrics]
    except (InvalidTemplates, UnresolvedPlaceholder) as err:
        yield f"AnalysisTemplate {name}: {err}"
        return
    for metric in metrics:
        if effective_count(metric) is None:
            count = "<nil>" if metric.count is None else metric.count
            yield (
                f"AnalysisTemplate {name} has metric {metric.name} which runs indefinitely. "
                f"Invalid value for count: {count}"
            )


def _dummy_values(arguments: tuple[Argument, ...]) -> dict[str, str]:
    values = {}
    for argument in arguments:
        if argument.value_from is not None and argument.value is not None:
            raise InvalidTemplates(f"arg '{argument.name}' has both Value and ValueFrom fields")
        values[f"args.{argument.name}"] = _DUMMY_VALUE if argument.value is None else argument.value
    return values


def _resolved(metric: Metric, values: dict[str, str]) -> Metric:
    return decode(msgspec.json.encode(substitute_all(to_json(metric), values)), Metric)


# --- Background -----------------------------------------------------------------------------------------------


def _background_details(rollout: Rollout, spec: AnalysisTemplateSpec) -> Iterator[str]:
    """Check that the Rollout gives a value to every argument that has none; metrics may run for ever."""
    canary = rollout.spec.strategy.canary
    given = {argument.name for argument in canary.analysis.args} if canary is not None and canary.analysis else set()
    for argument in spec.args:
        if argument.value is not None or argument.value_from is not None or argument.name in given:
            continue
        yield argument.name if given else "missing analysis arguments in rollout spec"
