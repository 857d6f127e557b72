"""A spec of a run made ready for decisions: placeholders filled, rules applied, mistakes found.

Decisions are made at every pass, and specs do not change, so what is made of a spec is kept. Runs of the same template
with the same arguments share it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from prograde.api import defaults
from prograde.api.analysis import AnalysisRunSpec, Metric
from prograde.api.codec import decode
from prograde.api.validation import analysis_run_error
from prograde.core.analysis.arguments import (
    UnresolvedArguments,
    argument_values,
    resolve_metrics,
    secret_in_decisions,
)
from prograde.expr.regex import InvalidPattern, compile_pattern

__all__ = ["Prepared", "prepare", "selects"]

SPECS_KEPT: Final = 4096
"""More than run at once in a large cluster, at a few kilobytes each."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions are made with; nothing but `error` is set if the run cannot be carried out."""

    metrics: tuple[Metric, ...] = ()
    """With placeholders for Secrets."""
    dry_run: frozenset[str] = frozenset()
    """The names of the metrics that only try."""
    kept: Mapping[str, int] = {}
    """How many measurements of a metric are kept, by its name."""
    error: str = ""
    """The message with which the run ends at once."""


def prepare(spec: AnalysisRunSpec) -> Prepared:
    """Return a spec made ready; whether the run is to end, and when it is deleted, is not in it."""
    return _prepared(msgspec.json.encode(msgspec.structs.replace(spec, terminate=False, ttl_strategy=None)))


def selects(pattern: str, name: str) -> bool:
    """Search `name` for a regular expression; a malformed one, such as a bare ``*``, matches nothing."""
    try:
        return compile_pattern(pattern).search(name) is not None
    except InvalidPattern:
        return False


@lru_cache(maxsize=SPECS_KEPT)
def _prepared(encoded: bytes) -> Prepared:
    spec = decode(encoded, AnalysisRunSpec)
    try:
        # A run that measures nothing is told so, whatever its arguments are.
        metrics = resolve_metrics(spec.metrics, argument_values(spec.args)) if spec.metrics else ()
    except UnresolvedArguments as err:
        return Prepared(error=f"Unable to resolve metric arguments: {err}")
    if field := secret_in_decisions(metrics):
        return Prepared(error=f"Analysis spec invalid: {field}")
    if error := analysis_run_error(msgspec.structs.replace(spec, metrics=metrics), selects):
        return Prepared(error=f"Analysis spec invalid: {error}")
    return Prepared(
        metrics=metrics,
        dry_run=frozenset(
            metric.name for metric in metrics if any(selects(rule.metric_name, metric.name) for rule in spec.dry_run)
        ),
        kept={metric.name: _kept(spec, metric.name) for metric in metrics},
    )


def _kept(spec: AnalysisRunSpec, name: str) -> int:
    limit = defaults.MEASUREMENTS_KEPT
    for rule in spec.measurement_retention:
        # The last rule that fits counts, and one without a limit says nothing.
        if selects(rule.metric_name, name):
            limit = rule.limit if rule.limit > 0 else defaults.MEASUREMENTS_KEPT
    return limit
