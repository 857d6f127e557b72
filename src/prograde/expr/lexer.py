"""From text to tokens.

    tokens  number  string  bytes  name  operator  bracket  end

Operators that are words (`not`, `in`, `matches`, ...) are operators everywhere; what else looks like a name is one.
"""

import re
import sys
from enum import StrEnum
from typing import Final, NamedTuple

from prograde.expr.errors import CompileError

__all__ = ["WORD_OPERATORS", "Token", "TokenKind", "tokenize"]

WORD_OPERATORS: Final = frozenset(
    ("not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else")
)


class TokenKind(StrEnum):
    """The kinds, named as error messages show them."""

    NUMBER = "Number"
    STRING = "String"
    BYTES = "Bytes"
    NAME = "Identifier"
    OPERATOR = "Operator"
    BRACKET = "Bracket"
    END = "EOF"


class Token(NamedTuple):
    """One token; `text` of a string is its value, with escapes resolved."""

    kind: TokenKind
    text: str
    position: int

    def __str__(self) -> str:
        return "EOF" if self.kind is TokenKind.END else f'{self.kind}("{self.text}")'


_SPACE = re.compile(r"\s+")
_LINE_COMMENT = re.compile(r"//[^\n]*")
_NAME = re.compile(r"(?:[^\W\d]|[^\W\x00-\x7f]|\$)[\w$]*")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*(?:[eE][+-]?[0-9_]*)?"
    r"|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?[\d_]*)?"
)
# Longest first. A single character of the last group is an operator of its own, also if the grammar has no use for it.
_OPERATOR = re.compile(r"\?\.|\?\?|\*\*|&&|\|\||==|!=|<=|>=|\.\.|::|##|[#,:;.?!=<>+\-*/%^|&]")
_BRACKETS = frozenset("()[]{}")
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
}
UNICODE_DIGITS_MAX: Final = 6
OCTAL_DIGITS: Final = 3
_DIGITS = {8: frozenset("01234567"), 16: frozenset("0123456789abcdefABCDEF")}
_DIGITS_OF_ESCAPE = {"x": 2, "u": 4, "U": 8}


def tokenize(source: str) -> list[Token]:
    """Return the tokens of `source`, the last one being of kind END.

    Raises:
        CompileError: something is no token: a character, a number, a literal or comment without end, an escape.
    """
    tokens: list[Token] = []
    position, end = 0, len(source)
    while position < end:
        char = source[position]
        if space := _SPACE.match(source, position) or _LINE_COMMENT.match(source, position):
            position = space.end()
        elif source.startswith("/*", position):
            closing = source.find("*/", position + 2)
            if closing < 0:
                raise CompileError("unclosed comment", position)
            position = closing + 2
        elif char in "\"'":
            text, after = _quoted(source, position)
            tokens.append(Token(TokenKind.STRING, text, position))
            position = after
        elif char == "b" and source[position + 1 : position + 2] in ("'", '"'):
            text, after = _quoted(source, position + 1, is_bytes=True)
            tokens.append(Token(TokenKind.BYTES, text, position))
            position = after
        elif char == "`":
            text, after = _raw(source, position)
            tokens.append(Token(TokenKind.STRING, text, position))
            position = after
        elif (char.isascii() and char.isdigit()) or (char == "." and source[position + 1 : position + 2].isdecimal()):
            token = _number(source, position)
            tokens.append(token)
            position += len(token.text)
        elif name := _NAME.match(source, position):
            word = name.group()
            kind = TokenKind.OPERATOR if word in WORD_OPERATORS else TokenKind.NAME
            tokens.append(Token(kind, word, position))
            position = name.end()
        elif char in _BRACKETS:
            tokens.append(Token(TokenKind.BRACKET, char, position))
            position += 1
        elif operator := _OPERATOR.match(source, position):
            tokens.append(Token(TokenKind.OPERATOR, operator.group(), position))
            position = operator.end()
        else:
            raise CompileError(f"unrecognized character: U+{ord(char):04X} '{char}'", position)
    tokens.append(Token(TokenKind.END, "", end))
    return tokens


def _number(source: str, position: int) -> Token:
    match = _NUMBER.match(source, position)
    assert match is not None, "called at a digit, or at a point before one"
    text = match.group()
    after = source[match.end() : match.end() + 1]
    if after and (after.isalnum() or after in "_$"):
        raise CompileError(f'bad number syntax: "{text}{after}"', position)
    return Token(TokenKind.NUMBER, text, position)


def _raw(source: str, start: int) -> tuple[str, int]:
    """Return a literal between backticks, in which two of them stand for one, and the position after it."""
    position = start + 1
    parts = []
    while True:
        closing = source.find("`", position)
        if closing < 0:
            raise CompileError("literal not terminated", start)
        parts.append(source[position:closing])
        if source[closing + 1 : closing + 2] != "`":
            return "`".join(parts), closing + 1
        position = closing + 2


def _quoted(source: str, start: int, *, is_bytes: bool = False) -> tuple[str, int]:
    """Return the value of the literal whose opening quote is at `start`, and the position after its closing quote.

    Bytes come back as text, one character for each.
    """
    quote = source[start]
    position = start + 1
    parts: list[str] = []
    while True:
        if position >= len(source) or source[position] == "\n":
            raise CompileError("literal not terminated", start)
        char = source[position]
        if char == quote:
            return "".join(parts), position + 1
        if char == "\\":
            text, position = _escape(source, position + 1, quote, is_bytes=is_bytes)
            parts.append(text)
        else:
            parts.append(char.encode().decode("latin-1") if is_bytes else char)
            position += 1


def _escape(source: str, position: int, quote: str, *, is_bytes: bool) -> tuple[str, int]:
    """Return what the escape sequence stands for whose first character after the backslash is at `position`."""
    char = source[position : position + 1]
    if char in _SIMPLE_ESCAPES or char == quote:
        return _SIMPLE_ESCAPES.get(char, quote), position + 1
    digits, base, after = "", 16, position + 1
    if char == "u" and source[after : after + 1] == "{":
        closing = source.find("}", after)
        digits, after = source[after + 1 : max(closing, after)], closing + 1
        is_complete = 1 <= len(digits) <= UNICODE_DIGITS_MAX
    elif char in _DIGITS_OF_ESCAPE:
        after += _DIGITS_OF_ESCAPE[char]
        digits = source[position + 1 : after]
        is_complete = len(digits) == _DIGITS_OF_ESCAPE[char]
    else:
        base, after = 8, position + 3
        digits = source[position:after]
        is_complete = len(digits) == OCTAL_DIGITS
    if not is_complete or not set(digits) <= _DIGITS[base]:
        raise CompileError("invalid char escape", position)
    code = int(digits, base)
    if code > (0xFF if base == 8 else sys.maxunicode) or (is_bytes and char in ("u", "U")):
        raise CompileError("unable to unescape string", position)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code), after
