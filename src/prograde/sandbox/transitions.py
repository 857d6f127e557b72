"""What an update may change: transition rules, and tolerance for violations that were there before.

Of the rules in ``x-kubernetes-validations`` only ``self == oldSelf`` is evaluated: what is set never changes. Others
are noted in the log once and skipped.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prograde.api.jsonvalues import json_equal
from prograde.sandbox.causes import show_value
from prograde.sandbox.errors import Cause
from prograde.sandbox.kinds import Object
from prograde.sandbox.schemawalk import Path

__all__ = ["Rule", "find_rules", "is_unchanged", "transition_causes"]

_log = logging.getLogger(__name__)


class Rule(NamedTuple):
    """A rule that a value, once set, never changes."""

    path: tuple[str | tuple[str, ...] | None, ...]
    """Steps from the root: a member, None for every member, or the keys of a list whose items pair up by them."""
    message: str
    reason: str
    field_path: str
    """Where to report a violation, below the place itself."""

    def cause(self, place: str, value: Any) -> Cause:
        field = place + self.field_path
        if self.reason == "FieldValueForbidden":
            return Cause(reason=self.reason, message=f"Forbidden: {self.message}", field=field)
        return Cause(reason=self.reason, message=f"Invalid value: {show_value(value)}: {self.message}", field=field)


_UNCHANGED_RULES = frozenset({"self==oldSelf", "oldSelf==self"})


def find_rules(raw: Mapping[str, Any], path: tuple[str | tuple[str, ...] | None, ...] = ()) -> Iterator[Rule]:
    """Yield the rules of a schema and everything below it; `path` is where `raw` is."""
    for validation in raw.get("x-kubernetes-validations") or ():
        rule = str(validation.get("rule", ""))
        if "".join(rule.split()) in _UNCHANGED_RULES:
            message = validation.get("message") or f"failed rule: {rule}"
            reason = validation.get("reason") or "FieldValueInvalid"
            yield Rule(path, message, reason, validation.get("fieldPath") or "")
        else:
            _log.warning("rule %r at %s is not evaluated here", rule, ".".join(map(str, path)) or "the root")
    for name, child in (raw.get("properties") or {}).items():
        yield from find_rules(child, (*path, name))
    if isinstance(additional := raw.get("additionalProperties"), dict):
        yield from find_rules(additional, (*path, None))
    if (keys := raw.get("x-kubernetes-list-map-keys")) and "items" in raw:
        yield from find_rules(raw["items"], (*path, tuple(keys)))


def transition_causes(rules: Sequence[Rule], old: Object, new: Object) -> Iterator[Cause]:
    """Yield what an update from `old` to `new` changes against the rules."""
    for rule in rules:
        for place, before, after in _pairs(rule.path, "", old, new):
            if not json_equal(before, after):
                yield rule.cause(place, after)


def _pairs(path: Sequence[Any], at: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, old value, new value) for every place that `path` names and both objects have."""
    if not path:
        yield at, old, new
        return
    step, rest = path[0], path[1:]
    if isinstance(step, tuple):
        if isinstance(old, list) and isinstance(new, list):
            before = {show_value([item.get(key) for key in step]): item for item in old}
            for index, item in enumerate(new):
                identity = show_value([item.get(key) for key in step])
                if identity in before:
                    yield from _pairs(rest, f"{at}[{index}]", before[identity], item)
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (step,) if step is not None else new:
            if name in old and name in new:
                yield from _pairs(rest, f"{at}.{name}" if at else name, old[name], new[name])


def is_unchanged(path: Path, new: Object, old: Object) -> bool:
    """Return whether the value that a violation is about is the stored one; list items count as their whole list."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    before: Any = old
    after: Any = new
    for step in reversed(steps):
        if isinstance(step, int) or not (isinstance(before, dict) and isinstance(after, dict)):
            break
        if step not in after:
            break  # a required field is missing: its object is what must not have changed
        if step not in before:
            return False
        before, after = before[step], after[step]
    return json_equal(before, after)
