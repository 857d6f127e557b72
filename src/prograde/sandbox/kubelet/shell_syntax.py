"""The grammar of the mini shell: text to a small tree.

Enough of POSIX for the scripts that people put into manifests: lists with ``;``, ``&&``, ``||`` and ``&``, pipes,
quotes, redirections (read and dropped), ``if``, ``while``, ``until``, ``for``, groups. What it does not know (``case``,
functions, here-documents) is a syntax error, which a shell answers with exit code 2.
"""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["AndOr", "Command", "ForLoop", "If", "Item", "Loop", "Node", "Pipeline", "ShellSyntaxError", "Word", "parse"]

SCRIPT_LENGTH_MAX = 65_536
"""Longer scripts do not come in manifests; the parser is not built for them."""

NESTING_MAX = 50
"""Deeper than any script a person writes, and far from the interpreter's own limit."""


class ShellSyntaxError(Exception):
    """The script is not in the language of the mini shell."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word before expansion: pieces of text with their quoting.

    A piece is (text, quote) with quote ``"'"`` (literal), ``'"'`` (expanded, not split) or ``""`` (expanded and split).
    """

    pieces: tuple[tuple[str, str], ...]

    @property
    def bare(self) -> str | None:
        """The text of a word without quotes, None when anything is quoted: only bare words can be keywords."""
        return self.pieces[0][0] if len(self.pieces) == 1 and not self.pieces[0][1] else None


@dataclass(frozen=True, slots=True)
class Command:
    words: tuple[Word, ...]
    is_silent: bool = False
    """Standard output goes to a file or nowhere."""


@dataclass(frozen=True, slots=True)
class If:
    condition: "tuple[Item, ...]"
    then: "tuple[Item, ...]"
    otherwise: "tuple[Item, ...]"


@dataclass(frozen=True, slots=True)
class Loop:
    condition: "tuple[Item, ...]"
    body: "tuple[Item, ...]"
    is_until: bool


@dataclass(frozen=True, slots=True)
class ForLoop:
    variable: str
    words: tuple[Word, ...]
    body: "tuple[Item, ...]"


@dataclass(frozen=True, slots=True)
class Group:
    """A list in braces or parentheses; variables of a sub-shell are not kept apart."""

    body: "tuple[Item, ...]"


Node: TypeAlias = Command | If | Loop | ForLoop | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    stages: tuple[Node, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class AndOr:
    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list; in the background when it ended with ``&``."""

    and_or: AndOr
    is_background: bool = False


@dataclass(frozen=True, slots=True)
class _Operator:
    text: str


_Token: TypeAlias = Word | _Operator
_OPERATORS = ("&&", "||", ";;", "<<", ">>", ">&", "<&", "&>", ";", "&", "|", "(", ")", "<", ">", "\n")
_REDIRECTIONS = frozenset({">", ">>", "<", ">&", "<&", "&>"})
_CLOSING = frozenset({"then", "else", "elif", "fi", "do", "done", "}", ")"})


def parse(script: str) -> tuple[Item, ...]:
    """Return the list of commands that a script is.

    Raises:
        ShellSyntaxError: it is not one.
    """
    if len(script) > SCRIPT_LENGTH_MAX:
        raise ShellSyntaxError(f"script longer than {SCRIPT_LENGTH_MAX} characters")
    parser = _Parser(_tokenize(script))
    items = parser.items(frozenset())
    parser.expect_end()
    return items


def _tokenize(script: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(script):
        character = script[position]
        if character in " \t\r":
            position += 1
        elif script.startswith("\\\n", position):
            position += 2
        elif character == "#":
            while position < len(script) and script[position] != "\n":
                position += 1
        elif operator := next((op for op in _OPERATORS if script.startswith(op, position)), ""):
            if operator == "<<":
                raise ShellSyntaxError("here-documents are not supported")
            tokens.append(_Operator(operator))
            position += len(operator)
        else:
            word, position = _read_word(script, position)
            tokens.append(word)
    return tokens


def _read_word(script: str, position: int) -> tuple[Word, int]:
    pieces: list[tuple[str, str]] = []
    bare: list[str] = []

    def end_bare() -> None:
        if bare:
            pieces.append(("".join(bare), ""))
            bare.clear()

    while position < len(script) and script[position] not in " \t\r\n;&|()<>":
        character = script[position]
        if character == "\\":
            end_bare()
            if position + 1 < len(script) and script[position + 1] != "\n":
                pieces.append((script[position + 1], "'"))
            position += 2
        elif character == "'":
            end_bare()
            end = script.find("'", position + 1)
            if end < 0:
                raise ShellSyntaxError("unterminated quoted string")
            pieces.append((script[position + 1 : end], "'"))
            position = end + 1
        elif character == '"':
            end_bare()
            text, position = _read_double_quoted(script, position + 1)
            pieces.append((text, '"'))
        elif character == "$" and script[position + 1 : position + 2] == "(":
            end = _end_of_parentheses(script, position + 1)
            bare.append(script[position:end])
            position = end
        else:
            bare.append(character)
            position += 1
    end_bare()
    return Word(tuple(pieces)), position


def _read_double_quoted(script: str, position: int) -> tuple[str, int]:
    """Return the text up to the closing quote; a backslash stays where expansion must still see it."""
    start = position
    while position < len(script):
        character = script[position]
        if character == '"':
            return script[start:position], position + 1
        if character == "\\":
            position += 2
        elif character == "$" and script[position + 1 : position + 2] == "(":
            position = _end_of_parentheses(script, position + 1)
        else:
            position += 1
    raise ShellSyntaxError("unterminated quoted string")


def _end_of_parentheses(script: str, position: int) -> int:
    depth = 0
    quote = ""
    while position < len(script):
        character = script[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    raise ShellSyntaxError('missing ")"')


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def items(self, closing: frozenset[str]) -> tuple[Item, ...]:
        """Parse commands up to a closing keyword or operator, which is left in place."""
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise ShellSyntaxError("nested too deeply")
        items: list[Item] = []
        while True:
            while self._operator() in (";", "\n"):
                self._position += 1
            if self._position >= len(self._tokens) or self._keyword() in closing:
                break
            and_or = self._and_or()
            is_background = self._operator() == "&"
            if is_background:
                self._position += 1
            items.append(Item(and_or, is_background))
            if not is_background and self._operator() not in (";", "\n", "") and self._keyword() not in closing:
                raise self._unexpected()
        self._depth -= 1
        return tuple(items)

    def expect_end(self) -> None:
        if self._position < len(self._tokens):
            raise self._unexpected()

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while (operator := self._operator()) in ("&&", "||"):
            self._position += 1
            self._skip_newlines()
            rest.append((operator, self._pipeline()))
        return AndOr(first, tuple(rest))

    def _pipeline(self) -> Pipeline:
        is_negated = self._keyword() == "!"
        if is_negated:
            self._position += 1
        stages = [self._command()]
        while self._operator() == "|":
            self._position += 1
            self._skip_newlines()
            stages.append(self._command())
        return Pipeline(tuple(stages), is_negated)

    def _command(self) -> Node:
        match self._keyword():
            case "if":
                return self._if()
            case "while" | "until":
                return self._loop()
            case "for":
                return self._for()
            case "{" | "(" as opening:
                return self._group("}" if opening == "{" else ")")
            case "case" | "function" as unsupported:
                raise ShellSyntaxError(f'"{unsupported}" is not supported')
            case keyword if keyword in _CLOSING:
                raise self._unexpected()
        return self._simple()

    def _simple(self) -> Command:
        words: list[Word] = []
        is_silent = False
        while self._position < len(self._tokens):
            token = self._tokens[self._position]
            if isinstance(token, Word):
                words.append(token)
                self._position += 1
            elif token.text in _REDIRECTIONS:
                is_silent |= self._redirection(token.text, words)
            else:
                break
        if not words and not is_silent:
            raise self._unexpected()
        return Command(tuple(words), is_silent)

    def _redirection(self, operator: str, words: list[Word]) -> bool:
        """Skip a redirection; return whether it takes standard output away."""
        descriptor = "1"
        if words and (words[-1].bare or "").isdigit():
            descriptor = words.pop().bare or ""
        self._position += 1
        target = self._tokens[self._position] if self._position < len(self._tokens) else None
        if not isinstance(target, Word):
            raise self._unexpected()
        self._position += 1
        if operator.startswith("<") or descriptor == "2":
            return False
        # Standard output and error of a container go to the same log.
        goes_to_log = target.bare in ("&1", "&2", "/dev/stdout", "/dev/stderr") or operator == ">&"
        return not goes_to_log

    def _if(self) -> If:
        self._position += 1
        condition = self._block("then")
        then = self.items(frozenset({"else", "elif", "fi"}))
        otherwise: tuple[Item, ...] = ()
        match self._keyword():
            case "elif":
                return If(condition, then, (Item(AndOr(Pipeline((self._if(),)), ())),))
            case "else":
                self._position += 1
                otherwise = self.items(frozenset({"fi"}))
        self._expect("fi")
        return If(condition, then, otherwise)

    def _loop(self) -> Loop:
        is_until = self._keyword() == "until"
        self._position += 1
        condition = self._block("do")
        body = self.items(frozenset({"done"}))
        self._expect("done")
        return Loop(condition, body, is_until)

    def _for(self) -> ForLoop:
        self._position += 1
        variable = self._keyword()
        self._position += 1
        words: list[Word] = []
        if self._keyword() == "in":
            self._position += 1
            while self._position < len(self._tokens) and isinstance(word := self._tokens[self._position], Word):
                words.append(word)
                self._position += 1
        self._block_start("do")
        body = self.items(frozenset({"done"}))
        self._expect("done")
        return ForLoop(variable, tuple(words), body)

    def _group(self, closing: str) -> Group:
        self._position += 1
        body = self.items(frozenset({closing}))
        self._expect(closing)
        return Group(body)

    def _block(self, keyword: str) -> tuple[Item, ...]:
        items = self.items(frozenset({keyword}))
        self._expect(keyword)
        return items

    def _block_start(self, keyword: str) -> None:
        while self._operator() in (";", "\n"):
            self._position += 1
        self._expect(keyword)

    def _expect(self, keyword: str) -> None:
        if self._keyword() != keyword:
            raise self._unexpected(f' (expecting "{keyword}")')
        self._position += 1

    def _skip_newlines(self) -> None:
        while self._operator() == "\n":
            self._position += 1

    def _operator(self) -> str:
        token = self._tokens[self._position] if self._position < len(self._tokens) else None
        return token.text if isinstance(token, _Operator) else ""

    def _keyword(self) -> str:
        """Return the current bare word or operator, empty at the end and for quoted words."""
        token = self._tokens[self._position] if self._position < len(self._tokens) else None
        if isinstance(token, Word):
            return token.bare or ""
        return token.text if token is not None else ""

    def _unexpected(self, hint: str = "") -> ShellSyntaxError:
        if self._position >= len(self._tokens):
            return ShellSyntaxError(f"unexpected end of file{hint}")
        token = self._tokens[self._position]
        text = "".join(piece for piece, _ in token.pieces) if isinstance(token, Word) else token.text
        return ShellSyntaxError(f'unexpected "{text if text != chr(10) else "newline"}"{hint}')
