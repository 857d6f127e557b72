"""What validation finds: a field, what is wrong with it, and its value, in the words of Kubernetes.

The text of an error is part of the compatibility surface: users search for it, and tools match it. It reads
``<path>: <kind of error>: <value>: <detail>``, without value for some kinds.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from prograde.api.codec import to_json
from prograde.api.podtemplate import go_json
from prograde.api.scalars import go_quote

__all__ = ["FieldError", "duplicate", "forbidden", "internal", "invalid", "not_found", "required", "unsupported"]

ErrorType: TypeAlias = Literal[
    "Required value",
    "Invalid value",
    "Unsupported value",
    "Forbidden",
    "Too long",
    "Duplicate value",
    "Not found",
    "Internal error",
]


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with one field. `value` is shown text, None where this kind of error shows none."""

    path: str
    type: ErrorType
    value: str | None = None
    detail: str = ""

    @property
    def body(self) -> str:
        """The error without its path."""
        return ": ".join(part for part in (self.type, self.value, self.detail or None) if part is not None)

    def __str__(self) -> str:
        return f"{self.path}: {self.body}"


def shown(value: Any) -> str:
    """Return a value as errors show it: numbers and booleans plainly, text quoted, anything else as compact JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return go_quote(value)
    return go_json(to_json(value)).decode()


def required(path: str, detail: str = "") -> FieldError:
    """The field must be there."""
    return FieldError(path=path, type="Required value", detail=detail)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """The value is malformed."""
    return FieldError(path=path, type="Invalid value", value=shown(value), detail=detail)


def unsupported(path: str, value: Any, supported: tuple[str, ...]) -> FieldError:
    """The value is none of those that exist."""
    detail = f"supported values: {', '.join(map(go_quote, supported))}"
    return FieldError(path=path, type="Unsupported value", value=shown(value), detail=detail)


def forbidden(path: str, detail: str) -> FieldError:
    """The value would be fine elsewhere."""
    return FieldError(path=path, type="Forbidden", detail=detail)


def duplicate(path: str, value: Any) -> FieldError:
    """The value must be unique."""
    return FieldError(path=path, type="Duplicate value", value=shown(value))


def not_found(path: str, value: Any) -> FieldError:
    """The value names something that does not exist."""
    return FieldError(path=path, type="Not found", value=shown(value))


def internal(path: str, detail: str) -> FieldError:
    """Anything else; the word is Kubernetes' own."""
    return FieldError(path=path, type="Internal error", detail=detail)
