"""The small JSONPath that CustomResourceDefinitions use for printer columns and scale paths.

Fields (``.spec.replicas``, ``['a/b']``), indexes, ``[*]`` and one kind of filter (``[?(@.type=="Ready")]``); anything
missing on the way yields nothing.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

__all__ = ["find", "parse_field_path", "with_value"]

_TOKEN = re.compile(
    r"""
    \.(?P<field>(?:\\.|[^.\[\]\\])+)
  | \[\s*(?P<index>-?\d+)\s*\]
  | \[\s*(?P<every>\*)\s*\]
  | \[\s*(?P<quote>['"])(?P<key>.*?)(?P=quote)\s*\]
  | \[\?\(\s*@\.(?P<test>[\w./-]+)\s*(?P<operator>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[\w.-]+)\s*\)\]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Filter:
    path: tuple[str, ...]
    value: str
    is_equal: bool

    def accepts(self, item: Any) -> bool:
        for name in self.path:
            item = item.get(name) if isinstance(item, dict) else None
        text = str(item).lower() if isinstance(item, bool) else str(item)
        return item is not None and (text == self.value) is self.is_equal


_Step: TypeAlias = str | int | _Filter | None
"""A member, an index, a filter, or None for every item."""


def find(path: str, obj: Any) -> list[Any]:
    """Return all values at `path`; none when something on the way is missing or the path cannot be read."""
    found = [obj]
    for step in _parse(path):
        found = [value for item in found for value in _take(step, item)]
    return found


@lru_cache(maxsize=1024)
def parse_field_path(path: str) -> tuple[str, ...]:
    """Return the members of a path that has nothing but members, such as ``.spec.replicas``.

    Raises:
        ValueError: the path has another step.
    """
    steps = _parse(path)
    names = tuple(step for step in steps if isinstance(step, str))
    if not names or len(names) != len(steps):
        raise ValueError(f"{path}: not a path of members")
    return names


def with_value(obj: dict[str, Any], names: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy of `obj` with `value` at the path of members; what lies beside the path is shared."""
    name, *rest = names
    if rest:
        child = obj.get(name)
        value = with_value(child if isinstance(child, dict) else {}, tuple(rest), value)
    return {**obj, name: value}


@lru_cache(maxsize=1024)
def _parse(path: str) -> tuple[_Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps: list[_Step] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return ("\0",)  # a member that no object has: an unreadable column stays blank
        at = match.end()
        groups = match.groupdict()
        if groups["field"] is not None:
            field = re.sub(r"\\(.)", r"\1", groups["field"])
            steps.append(None if field == "*" else field)
        elif groups["index"] is not None:
            steps.append(int(groups["index"]))
        elif groups["key"] is not None:
            steps.append(groups["key"])
        elif groups["every"] is not None:
            steps.append(None)
        else:
            value = groups["value"].strip("\"'")
            steps.append(_Filter(tuple(groups["test"].split(".")), value, groups["operator"] == "=="))
    return tuple(steps)


def _take(step: _Step, item: Any) -> list[Any]:
    match step:
        case str():
            return [item[step]] if isinstance(item, dict) and step in item else []
        case int():
            return [item[step]] if isinstance(item, list) and -len(item) <= step < len(item) else []
        case None:
            if isinstance(item, dict):
                return list(item.values())
            return list(item) if isinstance(item, list) else []
        case _Filter():
            return [each for each in item if step.accepts(each)] if isinstance(item, list) else []
