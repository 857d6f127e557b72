"""Regular expressions in linear time, with complaints in Go's words."""

from functools import lru_cache
from typing import Any, Final

import re2

__all__ = ["InvalidPattern", "compile_pattern"]


class InvalidPattern(ValueError):
    """The text is no regular expression."""


_COMPLAINTS: Final = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Any:
    """Return the compiled expression.

    Raises:
        InvalidPattern: it is none.
    """
    try:
        return re2.compile(text, _OPTIONS)
    except re2.error as err:
        words = err.args[0] if err.args else b""
        what, _, where = (words.decode() if isinstance(words, bytes) else str(words)).partition(": ")
        raise InvalidPattern(f"error parsing regexp: {_COMPLAINTS.get(what, what)}: `{where}`") from None
