"""What can be known to be wrong with an analysis before anything is measured.

    metrics ──▶ placeholders filled ──▶ conditions compiled ──▶ findings
                what has no value yet is guessed

An error is something that can never work: a placeholder that nobody declares, a condition that does not compile. What
works, but hardly as its author thinks, is a warning; and so is whatever depends on a guessed argument.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from prograde.api.analysis import AnalysisRunSpec, Argument, Metric
from prograde.api.codec import to_json
from prograde.api.validation import analysis_run_error
from prograde.core.analysis.arguments import (
    SECRET_PLACEHOLDER,
    UnresolvedArguments,
    resolve_metrics,
    secret_in_decisions,
)
from prograde.core.analysis.prepared import selects
from prograde.expr.conditions import check
from prograde.expr.errors import CompileError
from prograde.expr.syntax import Call, Name, Node, parse

__all__ = ["Finding", "lint_analysis"]

GUESS: Final = "1"
"""Stands in numbers, durations without unit, texts and names alike."""

_TAG: Final = re.compile(r"\{\{([^}]*)\}\}")
_WHOLE_RESULT: Final = frozenset(("isNil", "default"))
_UNPLANNED: Final = ("provider", "successCondition", "failureCondition")
_CONDITIONS: Final = (("success_condition", "successCondition"), ("failure_condition", "failureCondition"))


class Finding(NamedTuple):
    """One thing to say about a spec; the path is below ``spec``."""

    severity: Literal["error", "warning"]
    path: str
    message: str


def lint_analysis(spec: AnalysisRunSpec, *, is_template: bool) -> list[Finding]:
    """Return what is wrong or doubtful; a template may leave arguments to whoever uses it."""
    values, guessed = _values(spec.args)
    findings = []
    if guessed and not is_template:
        findings += [Finding("error", "args", f'argument "{name}" was not supplied') for name in sorted(guessed)]
    metrics = []
    for index, metric in enumerate(spec.metrics):
        path = f"metrics[{index}]"
        try:
            (filled,) = resolve_metrics([metric], values)
        except UnresolvedArguments as err:
            findings.append(Finding("error", path, str(err)))
            continue
        metrics.append(filled)
        findings += _doubts(metric, path)
        findings += _conditions(metric, filled, guessed, path)
    if len(metrics) == len(spec.metrics):
        findings += _whole(msgspec.structs.replace(spec, metrics=tuple(metrics)), spec.metrics, guessed)
    return findings


def _values(arguments: Sequence[Argument]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the values by placeholder, and the names of the arguments whose value is guessed."""
    values, guessed = {}, set()
    for argument in arguments:
        if argument.value_from is not None and argument.value_from.secret_key_ref is not None:
            value = SECRET_PLACEHOLDER
        elif argument.value is not None:
            value = argument.value
        else:
            value = GUESS
            if argument.value_from is None or argument.value_from.field_ref is None:
                guessed.add(argument.name)
        values[f"args.{argument.name}"] = value
    return values, frozenset(guessed)


def _uses(text: str, guessed: frozenset[str]) -> bool:
    return any(tag.strip().removeprefix("args.") in guessed for tag in _TAG.findall(text))


def _conditions(metric: Metric, filled: Metric, guessed: frozenset[str], path: str) -> Iterator[Finding]:
    for attribute, name in _CONDITIONS:
        condition: str = getattr(filled, attribute)
        if not condition:
            continue
        try:
            check(condition)
        except CompileError as err:
            written: str = getattr(metric, attribute)
            severity: Literal["error", "warning"] = "warning" if _uses(written, guessed) else "error"
            at = f" (at character {err.position + 1})"
            yield Finding(severity, f"{path}.{name}", f'"{condition}" does not compile: {err}{at}')
            continue
        yield from (Finding("warning", f"{path}.{name}", text) for text in _misunderstandings(condition))


def _misunderstandings(condition: str) -> Iterator[str]:
    calls = [each for each in _nodes(parse(condition)) if isinstance(each, Call)]
    calls = [each for each in calls if _name(each.callee) in _WHOLE_RESULT]
    for call in calls:
        name = _name(call.callee)
        if call.arguments and _name(call.arguments[0]) != "result":
            yield f"{name}() looks at the whole result, whatever it is given"
    if any(_name(call.callee) == "isNil" for call in calls) and re.search(r"\|\||&&|\bor\b|\band\b", condition):
        yield (
            "isNil(result) does not guard what stands beside it: a condition is checked against the result as a whole, "
            "and comparing nil is an error; use default(result, ...)"
        )


def _nodes(node: object) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    if isinstance(node, Node):
        yield node
        for slot in type(node).__dataclass_fields__:
            yield from _nodes(getattr(node, slot))
    elif isinstance(node, tuple | list):
        for each in node:
            yield from _nodes(each)


def _name(node: Node) -> str:
    return node.name if isinstance(node, Name) else ""


def _doubts(metric: Metric, path: str) -> Iterator[Finding]:
    prometheus = metric.provider.prometheus
    if prometheus is not None and prometheus.timeout == 0:
        where = f"{path}.provider.prometheus.timeout"
        yield Finding("warning", where, "0 leaves no time at all, so each query fails; leave it out for 30 seconds")
    if metric.provider.job is not None and (metric.success_condition or metric.failure_condition):
        yield Finding("warning", path, "conditions of a job metric are ignored: whether the Job completes decides")


def _whole(spec: AnalysisRunSpec, written: Sequence[Metric], guessed: frozenset[str]) -> Iterator[Finding]:
    """Yield what the controller would say of the run as a whole."""
    if not spec.metrics:
        return
    if field := secret_in_decisions(spec.metrics):
        yield Finding("error", "", field)
    if error := analysis_run_error(spec, selects):
        depends = any(_uses(str(_deciding(metric)), guessed) for metric in written)
        yield Finding("warning" if depends else "error", "", error)


def _deciding(metric: Metric) -> Mapping[str, object]:
    """Return the fields of a metric by which a run is planned, as they are written."""
    body = to_json(metric)
    assert isinstance(body, dict), "a metric is an object"
    return {key: value for key, value in body.items() if key not in _UNPLANNED}
