"""Label selectors: parse, match, write.

There are two forms. An object's spec holds a `LabelSelector`; a query (``kubectl get -l``, ``status.selector``) is
text. Both become a `Selector`, a list of requirements that must all hold. `selector_matches` asks a `LabelSelector`
directly, which is what the controller does most.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from prograde.api.meta import LabelSelector, LabelSelectorRequirement
from prograde.api.scalars import go_quote, parse_integer
from prograde.api.syntax import label_key_errors, label_value_errors

__all__ = [
    "EVERYTHING",
    "InvalidSelector",
    "Requirement",
    "Selector",
    "compile_selector",
    "format_selector",
    "labels_as_text",
    "parse_selector",
    "selector_matches",
    "selector_with_label",
]


class InvalidSelector(ValueError):
    """A selector cannot be understood."""


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label. `operator` is one of ``=``, ``!=``, in, notin, exists, !, ``>`` and ``<``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether `labels` fulfil this; the negative operators hold for absent labels."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                number, limit = parse_integer(value or ""), parse_integer(self.values[0])
                if number is None or limit is None:
                    return False
                return number > limit if self.operator == ">" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector(msgspec.Struct, frozen=True):
    """Requirements that must all hold, ordered by key; none select everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING: Final = Selector()

_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


# --- The form in objects --------------------------------------------------------------------------------------


def selector_matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Say whether `selector` selects `labels`. None selects nothing, an empty selector everything.

    Raises:
        InvalidSelector: an expression has an unknown operator.
    """
    if selector is None:
        return False
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    return all(_requirement(expression).matches(labels) for expression in selector.match_expressions)


def compile_selector(selector: LabelSelector) -> Selector:
    """Turn the form in objects into requirements.

    Raises:
        InvalidSelector: a key, operator or value is malformed.
    """
    requirements = [Requirement(key, "=", (value,)) for key, value in selector.match_labels.items()]
    requirements.extend(map(_requirement, selector.match_expressions))
    return _checked(requirements)


def _requirement(expression: LabelSelectorRequirement) -> Requirement:
    operator = _OPERATORS.get(expression.operator)
    if operator is None:
        raise InvalidSelector(f"{go_quote(expression.operator)} is not a valid label selector operator")
    return Requirement(expression.key, operator, expression.values)


def format_selector(selector: LabelSelector | None) -> str:
    """Write a selector as ``status.selector`` has it: ``a=b,c in (d,e)``, and ``<none>`` for None and empty.

    A malformed selector becomes ``<error>``.
    """
    if selector is None:
        return "<none>"
    try:
        return str(compile_selector(selector)) or "<none>"
    except InvalidSelector:
        return "<error>"


def selector_with_label(selector: LabelSelector, key: str, value: str) -> LabelSelector:
    """Return `selector` that also demands this label; a ReplicaSet's selector is its owner's plus the hash."""
    return msgspec.structs.replace(selector, match_labels={**selector.match_labels, key: value})


def labels_as_text(labels: Mapping[str, str]) -> str:
    """Write labels as a query for exactly them, sorted; ``<none>`` when empty."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>"


# --- The form in queries --------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:(?P<symbol>==|!=|=|!|>|<|\(|\)|,)|(?P<word>[^\s=!<>(),]+))")


def parse_selector(text: str) -> Selector:
    """Read a query such as ``app=shop,tier in (web, api),!legacy``; the empty text selects everything.

    Raises:
        InvalidSelector: the text is malformed; the message says what was found where something else was expected.
    """
    tokens = _tokens(text)
    requirements: list[Requirement] = []
    while tokens[0] != "":
        requirements.append(_parse_requirement(tokens))
        if tokens[0] == ",":
            tokens.pop(0)
            if tokens[0] in ("", ","):
                raise InvalidSelector(f"found {_found(tokens[0])}, expected: identifier after ','")
        elif tokens[0] != "":
            raise InvalidSelector(f"found {_found(tokens[0])}, expected: ',' or 'end of string'")
    return _checked(requirements)


def _tokens(text: str) -> list[str]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None, "every character starts a symbol or a word"
        tokens.append(match["symbol"] or match["word"])
        position = match.end()
    return [*tokens, ""]


def _found(token: str) -> str:
    return f"'{token}'"


def _is_word(token: str) -> bool:
    return token not in ("", "==", "!=", "=", "!", ">", "<", "(", ")", ",")


def _parse_requirement(tokens: list[str]) -> Requirement:
    """Take one requirement off the front of `tokens`."""
    negated = tokens[0] == "!"
    if negated:
        tokens.pop(0)
    key = tokens.pop(0)
    if not _is_word(key):
        raise InvalidSelector(f"found {_found(key)}, expected: !, identifier, or 'end of string'")
    if negated:
        return Requirement(key, "!")
    if tokens[0] in ("", ","):
        return Requirement(key, "exists")
    operator = tokens.pop(0)
    if operator in ("=", "==", "!=", ">", "<"):
        value = tokens.pop(0) if _is_word(tokens[0]) else ""
        return Requirement(key, "=" if operator == "==" else operator, (value,))
    if operator in ("in", "notin"):
        return Requirement(key, operator, tuple(_parse_values(tokens)))
    raise InvalidSelector(f"found {_found(operator)}, expected: in, notin, =, ==, !=, gt, lt")


def _parse_values(tokens: list[str]) -> Iterable[str]:
    """Take a parenthesised list off the front of `tokens`; ``()`` and ``(a,)`` contain the empty value."""
    if tokens[0] != "(":
        raise InvalidSelector(f"found {_found(tokens[0])}, expected: '('")
    tokens.pop(0)
    values = []
    while True:
        values.append(tokens.pop(0) if _is_word(tokens[0]) else "")
        separator = tokens.pop(0)
        if separator == ")":
            return values
        if separator != ",":
            raise InvalidSelector(f"found {_found(separator)}, expected: ',' or ')'")


def _checked(requirements: list[Requirement]) -> Selector:
    """Check keys and values, and order by key."""
    for requirement in requirements:
        errors = label_key_errors(requirement.key)
        if errors:
            raise InvalidSelector(f"key: Invalid value: {go_quote(requirement.key)}: {'; '.join(errors)}")
        if requirement.operator in ("in", "notin") and not requirement.values:
            raise InvalidSelector("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
        if requirement.operator in ("exists", "!") and requirement.values:
            raise InvalidSelector("values: Invalid value: values set must be empty for exists and does not exist")
        for index, value in enumerate(requirement.values):
            if requirement.operator in (">", "<") and parse_integer(value) is None:
                raise InvalidSelector(
                    f"values[{index}]: Invalid value: {go_quote(value)}: "
                    "for 'Gt', 'Lt' operators, the value must be an integer"
                )
            errors = label_value_errors(value)
            if errors:
                raise InvalidSelector(
                    f"values[{index}][{requirement.key}]: Invalid value: {go_quote(value)}: {'; '.join(errors)}"
                )
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))
