"""Numbers as texts of measurements: plain, without exponent, as short as can be."""

import math
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["list_text", "number_text"]


def number_text(number: float) -> str:
    """Write a number: ``0.95``, ``100000000``, ``NaN``, ``+Inf``."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    text = format(Decimal(repr(float(number))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def list_text(numbers: Iterable[float]) -> str:
    """Write a list of numbers without spaces: ``[1,2.5]``."""
    return f"[{','.join(map(number_text, numbers))}]"
