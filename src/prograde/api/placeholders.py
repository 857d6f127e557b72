"""``{{args.name}}``: placeholders in the texts of metrics and experiments.

A tag is what stands between ``{{`` and the next ``}}``, white space around it not counted. There are no functions,
defaults or escapes, and a substituted value is not looked at again. A lone ``}}`` is ordinary text.
"""

from collections.abc import Mapping
from typing import Any, Final

from prograde.api.scalars import go_quote

__all__ = ["UnresolvedPlaceholder", "substitute", "substitute_all"]

_OPEN: Final = "{{"
_CLOSE: Final = "}}"


class UnresolvedPlaceholder(ValueError):
    """A text contains a placeholder that nobody can fill."""


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with every tag replaced by its value.

    Raises:
        UnresolvedPlaceholder: a tag is unknown (the last one is named), or never ends.
    """
    if _OPEN not in text:
        return text
    result: list[str] = []
    unknown: str | None = None
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        end = text.find(_CLOSE, start + len(_OPEN))
        if end < 0:
            rest = go_quote(text[start + len(_OPEN) :])
            raise UnresolvedPlaceholder(
                f'Cannot find end tag="{_CLOSE}" in the template={go_quote(text)} starting from {rest}'
            )
        result.append(text[position:start])
        tag = text[start + len(_OPEN) : end]
        value = values.get(tag.strip())
        if value is None:
            unknown = tag
        else:
            result.append(value)
        position = end + len(_CLOSE)
    if unknown is not None:
        raise UnresolvedPlaceholder(f"failed to resolve {_OPEN}{unknown}{_CLOSE}")
    result.append(text[position:])
    return "".join(result)


def substitute_all(value: Any, values: Mapping[str, str]) -> Any:
    """Return a JSON value with the tags in all its texts, keys included, replaced.

    Raises:
        UnresolvedPlaceholder: as in `substitute`; of several texts with unknown tags the last is complained about.
    """
    unresolved: UnresolvedPlaceholder | None = None

    def substituted(text: str) -> str:
        nonlocal unresolved
        try:
            return substitute(text, values)
        except UnresolvedPlaceholder as err:
            unresolved = err
            return text

    def walked(part: Any) -> Any:
        if isinstance(part, str):
            return substituted(part)
        if isinstance(part, list):
            return [walked(item) for item in part]
        if isinstance(part, dict):
            return {substituted(key): walked(item) for key, item in part.items()}
        return part

    result = walked(value)
    if unresolved is not None:
        raise unresolved
    return result
