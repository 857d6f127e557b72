"""Violations of single fields, in the words of the API server."""

import json
from typing import Any

from prograde.api.scalars import go_quote
from prograde.sandbox.errors import Cause

__all__ = ["duplicate", "forbidden", "immutable", "invalid", "not_supported", "required", "show_value"]


def show_value(value: Any) -> str:
    """Return `value` as field errors print it: text in quotes, everything else as JSON."""
    if isinstance(value, str):
        return go_quote(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def invalid(field: str, value: Any, problem: str) -> Cause:
    return Cause(reason="FieldValueInvalid", message=f"Invalid value: {show_value(value)}: {problem}", field=field)


def immutable(field: str, value: Any) -> Cause:
    return invalid(field, value, "field is immutable")


def required(field: str, detail: str = "") -> Cause:
    message = f"Required value: {detail}" if detail else "Required value"
    return Cause(reason="FieldValueRequired", message=message, field=field)


def forbidden(field: str, detail: str) -> Cause:
    return Cause(reason="FieldValueForbidden", message=f"Forbidden: {detail}", field=field)


def duplicate(field: str, value: Any) -> Cause:
    return Cause(reason="FieldValueDuplicate", message=f"Duplicate value: {show_value(value)}", field=field)


def not_supported(field: str, value: Any, *supported: str) -> Cause:
    listed = ", ".join(go_quote(each) for each in supported)
    message = f"Unsupported value: {show_value(value)}: supported values: {listed}"
    return Cause(reason="FieldValueNotSupported", message=message, field=field)
