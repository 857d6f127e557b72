"""Resource quantities in their canonical spelling: `0.001` is ``1m``, `1000m` is ``1``, `1024Mi` is ``1Gi``."""

import re
from decimal import ROUND_UP, Decimal

__all__ = ["InvalidQuantity", "canonical_quantity", "quantity_value"]

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_NANO = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)
"""Larger amounts are capped, as the API server does."""


class InvalidQuantity(ValueError):
    """Not a resource quantity."""


def quantity_value(value: str | float) -> Decimal:
    """Return the amount of a quantity.

    Raises:
        InvalidQuantity: `value` is no quantity.
    """
    return _parse(value)[0]


def canonical_quantity(value: str | float) -> str:
    """Return `value` in the spelling of the API server: the largest suffix that leaves a whole number.

    The kind of suffix is kept: a binary one stays binary from 1024 on, an exponent stays an exponent. Anything below
    a billionth is rounded up.

    Raises:
        InvalidQuantity: `value` is no quantity.
    """
    amount, suffix = _parse(value)
    if amount == 0:
        return "0"
    if suffix in _BINARY and abs(amount) >= 1024:
        whole = int(amount.to_integral_value(ROUND_UP))
        power = 0
        while power < 6 and whole % 1024 == 0:
            whole, power = whole // 1024, power + 1
        return f"{whole}{next((name for name, at in _BINARY.items() if at == power), '')}"
    amount = amount.quantize(_NANO, ROUND_UP)
    exponent = -9
    digits = int(amount.scaleb(9))
    while exponent < 18 and digits % 1000 == 0:
        digits, exponent = digits // 1000, exponent + 3
    if suffix[:1] in ("e", "E") and suffix != "E":
        return f"{digits}e{exponent}" if exponent else f"{digits}"
    return f"{digits}{_DECIMAL_BY_EXPONENT[exponent]}"


def _parse(value: str | float) -> tuple[Decimal, str]:
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise InvalidQuantity(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTPE]*[-+]?[0-9]*)$'"
        )
    suffix = found["suffix"] or ""
    number = Decimal(found["number"])
    if suffix in _BINARY:
        amount = number * 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        amount = number.scaleb(_DECIMAL[suffix])
    else:
        amount = number.scaleb(int(suffix[1:])) if abs(int(suffix[1:])) < 100 else _LARGEST
    return max(-_LARGEST, min(_LARGEST, amount)), suffix
