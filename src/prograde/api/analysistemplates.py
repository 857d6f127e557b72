"""From analysis templates to the spec of a run: collect, flatten, merge.

`collect_templates` follows references, `flatten_templates` puts the templates found into one, `merge_into_run_spec`
adds what the caller brings: values for arguments, dry-run and retention rules.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from prograde.api.analysis import (
    AnalysisRunSpec,
    AnalysisTemplate,
    AnalysisTemplateRef,
    AnalysisTemplateSpec,
    Argument,
    ClusterAnalysisTemplate,
    DryRun,
    MeasurementRetention,
)

__all__ = [
    "CollectedTemplates",
    "InvalidTemplates",
    "TemplateNotFound",
    "collect_templates",
    "flatten_templates",
    "merge_arguments",
    "merge_into_run_spec",
]


class InvalidTemplates(ValueError):
    """Templates cannot be combined."""


class TemplateNotFound(ValueError):
    """A reference leads nowhere. `is_nested` says that a template made the reference."""

    def __init__(self, name: str, *, is_cluster_scoped: bool, is_nested: bool) -> None:
        kind = "ClusterAnalysisTemplate" if is_cluster_scoped else "AnalysisTemplate"
        super().__init__(f"{kind} '{name}' not found")
        self.name = name
        self.is_cluster_scoped = is_cluster_scoped
        self.is_nested = is_nested


class CollectedTemplates(NamedTuple):
    """Templates that were referenced, directly or not, each once, in the order in which they were found."""

    namespaced: tuple[AnalysisTemplate, ...] = ()
    cluster: tuple[ClusterAnalysisTemplate, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        namespaced = (template.metadata.name for template in self.namespaced)
        return (*namespaced, *(template.metadata.name for template in self.cluster))

    @property
    def specs(self) -> tuple[AnalysisTemplateSpec, ...]:
        """Namespaced ones first."""
        namespaced = (template.spec for template in self.namespaced)
        return (*namespaced, *(template.spec for template in self.cluster))


def collect_templates(
    references: Sequence[AnalysisTemplateRef],
    templates: Mapping[str, AnalysisTemplate],
    cluster_templates: Mapping[str, ClusterAnalysisTemplate],
) -> CollectedTemplates:
    """Follow references depth first, in the order written; `templates` are those of the namespace, by name.

    Raises:
        TemplateNotFound: a reference leads nowhere.
        InvalidTemplates: templates refer to each other in a circle; the message names it.
    """
    namespaced: dict[str, AnalysisTemplate] = {}
    cluster: dict[str, ClusterAnalysisTemplate] = {}

    def follow(references: Sequence[AnalysisTemplateRef], trail: tuple[tuple[bool, str], ...]) -> None:
        for reference in references:
            is_cluster, name = bool(reference.cluster_scope), reference.template_name
            if (is_cluster, name) in trail:
                circle = [*trail[trail.index((is_cluster, name)) :], (is_cluster, name)]
                raise InvalidTemplates(
                    f"analysis templates refer to each other in a circle: {' -> '.join(name for _, name in circle)}"
                )
            template = cluster_templates.get(name) if is_cluster else templates.get(name)
            if template is None:
                raise TemplateNotFound(name, is_cluster_scoped=is_cluster, is_nested=bool(trail))
            if isinstance(template, ClusterAnalysisTemplate):
                cluster.setdefault(name, template)
            else:
                namespaced.setdefault(name, template)
            follow(template.spec.templates, (*trail, (is_cluster, name)))

    follow(references, ())
    return CollectedTemplates(tuple(namespaced.values()), tuple(cluster.values()))


# --- Flattening -----------------------------------------------------------------------------------------------


def flatten_templates(specs: Sequence[AnalysisTemplateSpec]) -> AnalysisTemplateSpec:
    """Put templates into one.

    Raises:
        InvalidTemplates: two metrics or rules have the same name, or an argument has two values.
    """
    metrics = [metric for spec in specs for metric in spec.metrics]
    _check_unique([metric.name for metric in metrics], "metrics")
    dry_run = [rule for spec in specs for rule in spec.dry_run]
    _check_unique([rule.metric_name for rule in dry_run], _DRY_RUN_RULES)
    retention = [rule for spec in specs for rule in spec.measurement_retention]
    _check_unique([rule.metric_name for rule in retention], _RETENTION_RULES)
    return AnalysisTemplateSpec(
        metrics=tuple(metrics),
        args=_flatten_arguments([argument for spec in specs for argument in spec.args]),
        dry_run=tuple(dry_run),
        measurement_retention=tuple(retention),
    )


_DRY_RUN_RULES = "Dry-Run metric rules"
_RETENTION_RULES = "Measurement Retention metric rules"


def _check_unique(names: list[str], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidTemplates(f"two {what} have the same name '{name}'")
        seen.add(name)


def _flatten_arguments(arguments: list[Argument]) -> tuple[Argument, ...]:
    """Let the first declaration of an argument count, unless it has no value."""
    merged: dict[str, Argument] = {}
    for argument in arguments:
        earlier = merged.get(argument.name)
        if earlier is None or earlier.value is None:
            merged[argument.name] = argument
        elif argument.value is not None and argument.value != earlier.value:
            raise InvalidTemplates(
                f"Argument `{argument.name}` specified multiple times with different values: "
                f"'{earlier.value}', '{argument.value}'"
            )
    return tuple(merged.values())


# --- Merging --------------------------------------------------------------------------------------------------

Rule = TypeVar("Rule", bound=DryRun | MeasurementRetention)


def merge_into_run_spec(
    template: AnalysisTemplateSpec,
    arguments: Sequence[Argument],
    dry_run: Sequence[DryRun] = (),
    measurement_retention: Sequence[MeasurementRetention] = (),
) -> AnalysisRunSpec:
    """Return the spec of a run: the flattened template with the caller's arguments and rules, the latter first.

    Raises:
        InvalidTemplates: an argument has neither value nor source, or a rule is in both.
    """
    args = merge_arguments(arguments, template.args)
    return AnalysisRunSpec(
        metrics=template.metrics,
        args=args,
        dry_run=_merge_rules(dry_run, template.dry_run, _DRY_RUN_RULES),
        measurement_retention=_merge_rules(measurement_retention, template.measurement_retention, _RETENTION_RULES),
    )


def _merge_rules(ours: Sequence[Rule], theirs: Sequence[Rule], what: str) -> tuple[Rule, ...]:
    rules: list[Rule] = [*ours, *theirs]
    _check_unique([rule.metric_name for rule in rules], what)
    return tuple(rules)


def merge_arguments(given: Sequence[Argument], declared: Sequence[Argument]) -> tuple[Argument, ...]:
    """Return the declared arguments with the values given; what is given but not declared is dropped.

    Raises:
        InvalidTemplates: an argument is left with neither value nor source.
    """
    by_name = {argument.name: argument for argument in reversed(given)}
    merged = []
    for argument in declared:
        ours = by_name.get(argument.name)
        if ours is not None and ours.value is not None:
            argument = msgspec.structs.replace(argument, value=ours.value)
        elif ours is not None and ours.value_from is not None:
            argument = msgspec.structs.replace(argument, value_from=ours.value_from)
        if argument.value is None and argument.value_from is None:
            raise InvalidTemplates(f"args.{argument.name} was not resolved")
        merged.append(argument)
    return tuple(merged)
