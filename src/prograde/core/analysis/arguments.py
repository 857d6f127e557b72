"""Arguments of a run, and metrics with their placeholders filled.

Values from Secrets are needed for measuring alone. Everything that is decided (names, intervals, counts, limits) is
decided with `SECRET_PLACEHOLDER` in their place, so that no secret ever has a say in what the status shows.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

import msgspec

from prograde.api.analysis import Argument, Metric, SecretKeyRef
from prograde.api.codec import decode, to_json
from prograde.api.placeholders import UnresolvedPlaceholder, substitute_all
from prograde.api.scalars import go_quote
from prograde.expr.jsontext import compact_json

__all__ = [
    "SECRET_PLACEHOLDER",
    "Secrets",
    "UnresolvedArguments",
    "argument_values",
    "redacted",
    "resolve_metrics",
    "secret_in_decisions",
    "secret_references",
]

SECRET_PLACEHOLDER: Final = "temp-for-secret"
REDACTED: Final = "*****"

Secrets: TypeAlias = Mapping[SecretKeyRef, str]
"""The values of the Secrets' keys that a run refers to."""

_DECIDING_FIELDS: Final = (
    "name",
    "interval",
    "initial_delay",
    "count",
    "failure_limit",
    "inconclusive_limit",
    "consecutive_error_limit",
    "consecutive_success_limit",
)


class UnresolvedArguments(ValueError):
    """The metrics cannot be filled in; the text says which argument or placeholder is to blame."""


def secret_references(arguments: Iterable[Argument]) -> tuple[SecretKeyRef, ...]:
    """Return the keys of Secrets that the arguments refer to, each once."""
    found = (
        argument.value_from.secret_key_ref
        for argument in arguments
        if argument.value_from is not None and argument.value_from.secret_key_ref is not None
    )
    return tuple(dict.fromkeys(found))


def argument_values(arguments: Iterable[Argument], secrets: Secrets | None = None) -> dict[str, str]:
    """Return the values by placeholder, ``args.<name>``; without `secrets` those from Secrets are placeholders.

    A reference to a Secret wins over a value that is there as well.

    Raises:
        UnresolvedArguments: an argument has no value, whether or not anybody uses it.
    """
    values = {}
    for argument in arguments:
        source = argument.value_from.secret_key_ref if argument.value_from is not None else None
        if source is not None:
            values[f"args.{argument.name}"] = SECRET_PLACEHOLDER if secrets is None else secrets[source]
        elif argument.value is not None:
            values[f"args.{argument.name}"] = argument.value
        else:
            raise UnresolvedArguments(f'argument "{argument.name}" was not supplied')
    return values


def resolve_metrics(metrics: Iterable[Metric], values: Mapping[str, str]) -> tuple[Metric, ...]:
    """Return the metrics with the placeholders in all their texts filled.

    Raises:
        UnresolvedArguments: a placeholder is unknown, or a text does not end where it should.
    """
    resolved = []
    for metric in metrics:
        try:
            filled = substitute_all(to_json(metric), values)
        except UnresolvedPlaceholder as err:
            raise UnresolvedArguments(str(err)) from None
        resolved.append(decode(msgspec.json.encode(filled), Metric))
    return tuple(resolved)


def secret_in_decisions(metrics: Iterable[Metric]) -> str:
    """Say which field that is decided on has its value from a Secret; empty when none has.

    Decisions are made with the placeholder, so it could not mean what its author thinks.
    """
    for index, metric in enumerate(metrics):
        for field in _DECIDING_FIELDS:
            if SECRET_PLACEHOLDER in str(getattr(metric, field) or ""):
                name = msgspec.structs.fields(Metric)[Metric.__struct_fields__.index(field)].encode_name
                return f"metrics[{index}].{name} must not come from a Secret"
    return ""


def redacted(text: str, secrets: Secrets) -> str:
    """Return the text with every secret value in it made unreadable, the longest first.

    A value counts as well as addresses and quotations show it.
    """
    shown = {form for value in secrets.values() if value for form in _forms(value)}
    for value in sorted(shown, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    return text


def _forms(value: str) -> tuple[str, ...]:
    """Return a secret as it is, as a part of an address, and between quotation marks."""
    quoted = (go_quote(value)[1:-1], compact_json(value)[1:-1], repr(value)[1:-1])
    return (value, quote(value), quote(value, safe=""), quote_plus(value), *quoted)
