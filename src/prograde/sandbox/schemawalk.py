"""One walk over an object by its schema: where it is, and what it has found so far."""

from typing import Any, TypeAlias

from prograde.sandbox.causes import show_value
from prograde.sandbox.errors import Cause

__all__ = ["Mismatch", "Path", "Silent", "Walk", "render_path", "type_name"]

Path: TypeAlias = "tuple[Any, str | int] | None"
"""(parent path, member or index), linked upwards so that a walk without errors formats no text."""


class Mismatch(Exception):
    """A value of a typed field cannot be decoded."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


class Walk:
    """What one walk over an object has found so far."""

    __slots__ = ("causes", "collect_unknown", "paths", "unknown")

    def __init__(self, *, collect_unknown: bool) -> None:
        self.collect_unknown = collect_unknown
        self.unknown: list[str] = []
        self.causes: list[Cause] = []
        self.paths: list[Path] = []

    def fail(self, path: Path, reason: str, message: str) -> None:
        self.causes.append(Cause(reason=f"FieldValue{reason}", message=message, field=render_path(path)))
        self.paths.append(path)

    def invalid(self, path: Path, value: Any, rule: str) -> None:
        """Report `value` as breaking a `rule` such as ``should be at least 1 chars long``."""
        self.fail(path, "Invalid", f"Invalid value: {show_value(value)}: {render_path(path)} in body {rule}")


class Silent(Walk):
    """A walk that reports violations to another one and forgets unknown fields."""

    __slots__ = ()

    def __init__(self, walk: Walk) -> None:
        super().__init__(collect_unknown=False)
        self.causes = walk.causes
        self.paths = walk.paths


def render_path(path: Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")


def type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
