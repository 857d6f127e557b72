"""From tokens to a tree.

    sequence     a; b; c
    expression   let, if, or operators by precedence, then  c ? a : b
    primary      a unary operator, parentheses, ``#`` within a predicate, a literal, a name, a call
    postfix      .name  ?.name  [index]  [from:to]  (arguments)

The tree is for the compiler alone, so its nodes say what was meant rather than how it was written: ``not in`` is a
negated ``in``, and ``1 < x < 10`` two comparisons.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prograde.expr.errors import CompileError
from prograde.expr.lexer import WORD_OPERATORS, Token, TokenKind, tokenize

__all__ = [
    "PREDICATE_ARGUMENTS",
    "Binary",
    "Call",
    "Chain",
    "Condition",
    "Let",
    "ListLiteral",
    "Literal",
    "MapLiteral",
    "Member",
    "Name",
    "Node",
    "Pointer",
    "Predicate",
    "Sequence",
    "Slice",
    "Unary",
    "parse",
]

NODES_MAX: Final = 10_000
DEPTH_MAX: Final = 80
"""How deep parentheses, lists and operators may nest; deeper ones are nobody's condition, and the stack is finite."""

INT_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Node:
    """`position` is the index of the character that errors are about."""

    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Pointer(Node):
    """``#``, ``#index`` or ``#acc``; `name` is empty for the element itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Member(Node):
    """``base.name`` or ``base[index]``; with `is_optional` a nil base ends the chain."""

    base: Node
    key: Node
    is_optional: bool = False
    is_method: bool = False


@dataclass(frozen=True, slots=True)
class Slice(Node):
    base: Node
    start: Node | None
    end: Node | None


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """How far an optional member reaches when its base is nil."""

    node: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`callee` is a `Name` or a `Member`; `is_forced` means ``::name(...)``, the builtin whatever else has the name."""

    callee: Node
    arguments: tuple[Node, ...]
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Predicate(Node):
    """An argument that is evaluated for each element of a list."""

    body: Node


@dataclass(frozen=True, slots=True)
class Let(Node):
    name: str
    value: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Condition(Node):
    condition: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    pairs: tuple[tuple[Node, Node], ...]


class _Operator(NamedTuple):
    precedence: int
    is_right: bool = False


_BINARY: Final = {
    "|": _Operator(0),
    "or": _Operator(10),
    "||": _Operator(10),
    "and": _Operator(15),
    "&&": _Operator(15),
    **dict.fromkeys(
        ("==", "!=", "<", ">", ">=", "<=", "in", "matches", "contains", "startsWith", "endsWith"), _Operator(20)
    ),
    "..": _Operator(25),
    "+": _Operator(30),
    "-": _Operator(30),
    "*": _Operator(60),
    "/": _Operator(60),
    "%": _Operator(60),
    "**": _Operator(100, is_right=True),
    "^": _Operator(100, is_right=True),
    "??": _Operator(500),
}
_UNARY: Final = {"not": 50, "!": 50, "-": 90, "+": 90}
_NEGATABLE: Final = frozenset(("in", "matches", "contains", "startsWith", "endsWith"))
_ORDERINGS: Final = frozenset(("<", ">", ">=", "<="))
_ALIASES: Final = {"or": "||", "and": "&&", "^": "**"}
"""Operators that are the same but for messages about them, which show what was written."""

PREDICATE_ARGUMENTS: Final = {
    **dict.fromkeys(("all", "none", "any", "one", "filter", "map"), (2, 2)),
    **dict.fromkeys(("find", "findIndex", "findLast", "findLastIndex", "groupBy"), (2, 2)),
    **dict.fromkeys(("count", "sum"), (1, 2)),
    **dict.fromkeys(("sortBy", "reduce"), (2, 3)),
}
"""The functions whose second argument is a predicate, with the least and the largest number of arguments."""


def parse(source: str, *, is_overridden: Callable[[str], bool] = lambda name: False) -> Node:
    """Return the tree of an expression.

    `is_overridden` says that the environment has a function of a builtin's name, so that it takes ordinary arguments.

    Raises:
        CompileError: it is no expression.
    """
    parser = _Parser(source, is_overridden)
    node = parser.sequence()
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, source: str, is_overridden: Callable[[str], bool]) -> None:
        self._tokens = tokenize(source)
        self._index = 0
        self._is_overridden = is_overridden
        self._predicates = 0
        self._depth = 0
        self._nodes = 0

    # ---- Tokens -----------------------------------------------------------------------------------------------------

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _advance(self) -> Token:
        token = self._token
        if token.kind is TokenKind.END:
            raise CompileError("unexpected end of expression", token.position)
        self._index += 1
        return token

    def _is(self, kind: TokenKind, text: str) -> bool:
        token = self._token
        return token.kind is kind and token.text == text

    def _is_operator(self, text: str) -> bool:
        return self._is(TokenKind.OPERATOR, text)

    def _is_bracket(self, text: str) -> bool:
        return self._is(TokenKind.BRACKET, text)

    def _skip(self, kind: TokenKind, text: str) -> bool:
        if self._is(kind, text):
            self._index += 1
            return True
        return False

    def _expect(self, kind: TokenKind, text: str = "") -> Token:
        token = self._token
        if token.kind is not kind or (text and token.text != text):
            raise self._unexpected()
        return self._advance()

    def _unexpected(self) -> CompileError:
        return CompileError(f"unexpected token {self._token}", self._token.position)

    def expect_end(self) -> None:
        if self._token.kind is not TokenKind.END:
            raise self._unexpected()

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise CompileError("compilation failed: expression exceeds maximum allowed nodes", self._token.position)

    # ---- Expressions ------------------------------------------------------------------------------------------------

    def sequence(self) -> Node:
        """Parse ``a; b``; the last one may be followed by a semicolon at the very end."""
        first = self._token.position
        nodes = [self.expression()]
        while self._skip(TokenKind.OPERATOR, ";"):
            if self._token.kind is TokenKind.END:
                break
            nodes.append(self.expression())
        return nodes[0] if len(nodes) == 1 else Sequence(first, tuple(nodes))

    def expression(self, precedence: int = 0) -> Node:
        """Parse operators that bind at least as tightly as `precedence`."""
        self._depth += 1
        self._count()
        if self._depth > DEPTH_MAX:
            raise CompileError("expression is nested too deeply", self._token.position)
        try:
            if precedence == 0 and self._is_operator("let"):
                return self._let()
            if precedence == 0 and self._is_operator("if"):
                return self._if()
            node = self._operators(self._primary(), precedence)
            return self._ternary(node) if precedence == 0 else node
        finally:
            self._depth -= 1

    def _operators(self, left: Node, precedence: int) -> Node:
        previous = ""
        while self._token.kind is TokenKind.OPERATOR:
            at = self._index
            is_negated = self._skip(TokenKind.OPERATOR, "not")
            if is_negated and not any(self._is_operator(each) for each in _NEGATABLE):
                raise self._unexpected()
            token = self._token
            operator = _BINARY.get(token.text)
            if operator is None or operator.precedence < precedence:
                self._index = at
                break
            self._index += 1
            if token.text == "|":
                name = self._expect(TokenKind.NAME)
                left = self._call(name, (left,))
            else:
                if previous == "??" and token.text != "??":
                    raise CompileError(
                        f"Operator ({token.text}) and coalesce expressions (??) cannot be mixed."
                        " Wrap either by parentheses.",
                        token.position,
                    )
                left = self._binary(left, token, operator)
                if is_negated:
                    left = Unary(token.position, "not", left)
            previous = token.text
        return left

    def _binary(self, left: Node, token: Token, operator: _Operator) -> Node:
        if token.text in _ORDERINGS:
            return self._comparison(left, token, operator.precedence)
        right = self.expression(operator.precedence if operator.is_right else operator.precedence + 1)
        self._count()
        return Binary(token.position, token.text, left, right)

    def _comparison(self, left: Node, token: Token, precedence: int) -> Node:
        """Parse ``a < b < c``, which means ``a < b && b < c``."""
        result: Node | None = None
        while True:
            right = self.expression(precedence + 1)
            self._count()
            compared = Binary(token.position, token.text, left, right)
            result = compared if result is None else Binary(token.position, "&&", result, compared)
            token = self._token
            if token.kind is not TokenKind.OPERATOR or token.text not in _ORDERINGS:
                return result
            self._index += 1
            left = right

    def _let(self) -> Node:
        self._advance()
        name = self._expect(TokenKind.NAME)
        self._expect(TokenKind.OPERATOR, "=")
        value = self.expression()
        self._expect(TokenKind.OPERATOR, ";")
        return Let(name.position, name.text, value, self.sequence())

    def _if(self) -> Node:
        position = self._advance().position
        condition = self.expression()
        yes = self._block()
        self._expect(TokenKind.OPERATOR, "else")
        no = self._if() if self._is_operator("if") else self._block()
        return Condition(position, condition, yes, no)

    def _block(self) -> Node:
        self._expect(TokenKind.BRACKET, "{")
        node = self.sequence()
        self._expect(TokenKind.BRACKET, "}")
        return node

    def _ternary(self, node: Node) -> Node:
        while self._is_operator("?"):
            position = self._advance().position
            if self._skip(TokenKind.OPERATOR, ":"):
                yes = node
            else:
                yes = self.expression()
                self._expect(TokenKind.OPERATOR, ":")
            self._count()
            node = Condition(position, node, yes, self.expression())
        return node

    # ---- Primaries --------------------------------------------------------------------------------------------------

    def _primary(self) -> Node:
        token = self._token
        match token.kind:
            case TokenKind.OPERATOR:
                return self._operator_first(token)
            case TokenKind.BRACKET if token.text == "(":
                self._index += 1
                node = self.sequence()
                self._expect(TokenKind.BRACKET, ")")
                return self._postfix(node)
            case TokenKind.BRACKET if token.text == "[":
                return self._postfix(self._list())
            case TokenKind.BRACKET if token.text == "{":
                return self._postfix(self._map())
            case TokenKind.NAME:
                return self._name()
            case TokenKind.NUMBER:
                # A number has no members: ``1.5.x`` is a mistake, not a field.
                return self._number()
            case TokenKind.STRING:
                self._index += 1
                return self._postfix(Literal(token.position, token.text))
            case TokenKind.BYTES:
                self._index += 1
                return self._postfix(Literal(token.position, token.text.encode("latin-1")))
            case _:
                raise self._unexpected()

    def _operator_first(self, token: Token) -> Node:
        if token.text in _UNARY:
            self._index += 1
            self._count()
            operand = self.expression(_UNARY[token.text])
            return self._postfix(Unary(token.position, token.text, operand))
        if self._predicates and token.text in ("#", "."):
            name = ""
            if token.text == "#":
                self._index += 1
                if self._token.kind is TokenKind.NAME:
                    name = self._advance().text
            return self._postfix(Pointer(token.position, name))
        if token.text == "::":
            self._index += 1
            name_token = self._expect(TokenKind.NAME)
            return self._postfix(self._call(name_token, (), is_forced=True))
        raise self._unexpected()

    def _name(self) -> Node:
        token = self._advance()
        self._count()
        if token.text in _CONSTANTS:
            return Literal(token.position, _CONSTANTS[token.text])
        if self._is_bracket("("):
            return self._postfix(self._call(token, ()))
        return self._postfix(Name(token.position, token.text))

    def _number(self) -> Node:
        token = self._advance()
        self._count()
        text = token.text.replace("_", "")
        try:
            return Literal(token.position, _number_of(text))
        except ValueError as err:
            raise CompileError(str(err), token.position) from None

    def _list(self) -> Node:
        position = self._advance().position
        return ListLiteral(position, self._separated("]"))

    def _map(self) -> Node:
        position = self._advance().position
        pairs: list[tuple[Node, Node]] = []
        while not self._is_bracket("}"):
            if pairs:
                self._expect(TokenKind.OPERATOR, ",")
                if self._is_bracket("}"):
                    break
                if self._is_operator(","):
                    raise self._unexpected()
            key = self._map_key()
            self._expect(TokenKind.OPERATOR, ":")
            pairs.append((key, self.expression()))
        self._expect(TokenKind.BRACKET, "}")
        return MapLiteral(position, tuple(pairs))

    def _map_key(self) -> Node:
        token = self._token
        if token.kind in (TokenKind.NUMBER, TokenKind.STRING, TokenKind.NAME):
            self._index += 1
            return Literal(token.position, token.text)
        if self._is_bracket("("):
            return self.expression()
        if token.kind is TokenKind.END:
            raise self._unexpected()
        raise CompileError(
            "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses"
            f" (unexpected token {token})",
            token.position,
        )

    def _separated(self, closing: str) -> tuple[Node, ...]:
        """Parse expressions between commas up to the closing bracket; a comma may come before it."""
        nodes: list[Node] = []
        while not self._is_bracket(closing):
            if nodes:
                self._expect(TokenKind.OPERATOR, ",")
                if self._is_bracket(closing):
                    break
            nodes.append(self.expression())
        self._expect(TokenKind.BRACKET, closing)
        return tuple(nodes)

    # ---- Calls and members ------------------------------------------------------------------------------------------

    def _call(self, name: Token, given: tuple[Node, ...], *, is_forced: bool = False) -> Node:
        """Parse the arguments of a call; a pipe has `given` the first one already."""
        self._count()
        callee = Name(name.position, name.text)
        takes_predicate = name.text in PREDICATE_ARGUMENTS and (is_forced or not self._is_overridden(name.text))
        self._expect(TokenKind.BRACKET, "(")
        arguments = self._predicate_arguments(name.text, given) if takes_predicate else given + self._separated(")")
        return Call(name.position, callee, arguments, is_forced=is_forced)

    def _predicate_arguments(self, name: str, given: tuple[Node, ...]) -> tuple[Node, ...]:
        least, largest = PREDICATE_ARGUMENTS[name]
        arguments = list(given)
        for index in range(len(given), largest):
            if self._is_bracket(")"):
                if index >= least:
                    break
                raise CompileError(f"expected at least {largest - len(given)} arguments", self._token.position)
            if index > len(given):
                self._expect(TokenKind.OPERATOR, ",")
            arguments.append(self._predicate() if index == 1 else self.expression())
        self._skip(TokenKind.OPERATOR, ",")
        self._expect(TokenKind.BRACKET, ")")
        return tuple(arguments)

    def _predicate(self) -> Node:
        position = self._token.position
        is_braced = self._skip(TokenKind.BRACKET, "{")
        self._predicates += 1
        if is_braced:
            body = self.sequence()
        else:
            body = self.expression()
            if self._is_operator(";"):
                raise CompileError("wrap predicate with brackets { and }", self._token.position)
        self._predicates -= 1
        if is_braced:
            self._expect(TokenKind.BRACKET, "}")
        return Predicate(position, body)

    def _postfix(self, node: Node) -> Node:
        """Parse members, indexes and slices; a chain grows as long as they follow each other."""
        while True:
            token = self._token
            if token.kind is TokenKind.OPERATOR and token.text in (".", "?."):
                self._index += 1
                is_optional = token.text == "?."
                if is_optional and self._is_bracket("["):
                    node = self._indexed(node, is_optional=True)
                else:
                    node = self._named_member(node, is_optional=is_optional)
            elif self._is_bracket("["):
                node = self._indexed(node, is_optional=False)
            else:
                return node

    def _named_member(self, node: Node, *, is_optional: bool) -> Node:
        token = self._advance()
        if token.kind is not TokenKind.NAME and not (token.kind is TokenKind.OPERATOR and token.text in WORD_OPERATORS):
            raise CompileError("expected name", self._token.position)
        self._count()
        is_chain = isinstance(node, Chain)
        base = node.node if isinstance(node, Chain) else node
        key = Literal(token.position, token.text)
        is_method = self._is_bracket("(")
        member: Node = Member(token.position, base, key, is_optional=is_optional, is_method=is_method)
        if is_method:
            self._index += 1
            member = Call(token.position, member, self._separated(")"))
        return Chain(token.position, member) if is_chain or is_optional else member

    def _indexed(self, node: Node, *, is_optional: bool) -> Node:
        position = self._advance().position
        self._count()
        start = end = None
        if not self._is_operator(":"):
            start = self.expression()
        if self._skip(TokenKind.OPERATOR, ":"):
            if not self._is_bracket("]"):
                end = self.expression()
            self._expect(TokenKind.BRACKET, "]")
            return Slice(position, node, start, end)
        self._expect(TokenKind.BRACKET, "]")
        assert start is not None
        member = Member(position, node, start, is_optional=is_optional)
        return Chain(position, member) if is_optional else member


_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "nil": None}
_BASES: Final = {"0x": (16, "hex"), "0o": (8, "octal"), "0b": (2, "binary")}


def _number_of(text: str) -> int | float:
    """Return the value of a number without separators.

    Raises:
        ValueError: it is none, or too large.
    """
    prefix = text[:2].lower()
    is_float = prefix != "0x" and ("." in text or "e" in text.lower())
    if is_float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"invalid float literal: {_go_error('ParseFloat', text, 'invalid syntax')}") from None
        if value == float("inf"):
            raise ValueError(f"invalid float literal: {_go_error('ParseFloat', text, 'value out of range')}")
        return value
    base, what = _BASES.get(prefix, (10, "integer"))
    digits = text[2:] if base != 10 else text
    try:
        number = int(digits, base)
    except ValueError:
        raise ValueError(f"invalid {what} literal: {_go_error('ParseInt', text, 'invalid syntax')}") from None
    if number > INT_MAX:
        raise ValueError(f"invalid {what} literal: {_go_error('ParseInt', text, 'value out of range')}")
    return number


def _go_error(function: str, text: str, problem: str) -> str:
    return f'strconv.{function}: parsing "{text}": {problem}'
