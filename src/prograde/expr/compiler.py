"""From a tree to a function: types are checked and code is made in one walk.

`compile_expression` returns a `Program` for an environment of certain kinds. Every node becomes a `Code`: its static
kind, a closure that computes its value from a `Run`, and its value if that is known already. What is checked here is
exactly what is known here, because whether a condition is rejected or evaluated must not differ from what its author
has seen elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from prograde.expr import regex, values
from prograde.expr.builtins import BUILTINS, Misuse, check_arguments, to_text
from prograde.expr.errors import CompileError, RunError
from prograde.expr.kinds import (
    ANY,
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    INT64,
    LIST,
    MAP,
    MONTH,
    STRING,
    TIME,
    UNTYPED,
    WEEKDAY,
    ZONE,
    Kind,
    are_comparable,
    is_assignable,
    kind_of,
    list_of,
    promoted,
)  # fmt: skip
from prograde.expr.runtime import (
    ARITHMETIC,
    LOOPS,
    ORDER,
    TEXT_TESTS,
    Closure,
    NilInChain,
    Run,
    as_bool,
    converted,
    elements_of,
    fetch,
    get_or_nil,
    is_in,
    matches_pattern,
    named_type,
    negated,
    range_of,
    sliced,
    sum_of_literal,
)
from prograde.expr.syntax import (
    PREDICATE_ARGUMENTS,
    Binary,
    Call,
    Chain,
    Condition,
    Let,
    ListLiteral,
    Literal,
    MapLiteral,
    Member,
    Name,
    Node,
    Pointer,
    Predicate,
    Slice,
    Unary,
    parse,
)  # fmt: skip
from prograde.expr.syntax import (
    Sequence as SequenceNode,
)
from prograde.expr.times import METHODS, Instant
from prograde.expr.values import Function, ListMap, Value, go_type

__all__ = ["EnvironmentFunction", "Program", "compile_expression"]


class EnvironmentFunction(NamedTuple):
    """A function that an environment offers.

    `run` gets as many values as there are parameters. Without it the environment has the function under its name, for
    functions that look at what they are evaluated for.
    """

    parameters: tuple[Kind, ...]
    result: Kind
    run: Callable[..., Value] | None = None

    @property
    def signature(self) -> str:
        names = ", ".join("interface {}" if each.is_unknown else each.name for each in self.parameters)
        return f"func({names}) {'interface {}' if self.result.is_unknown else self.result.name}"


class _Unset:
    """There is no constant; None is one."""


_UNSET: Final = _Unset()


class Code(NamedTuple):
    """What became of a node."""

    kind: Kind
    run: Closure
    constant: Value = _UNSET

    @property
    def is_constant(self) -> bool:
        return not isinstance(self.constant, _Unset)


def _constant(kind: Kind, value: Value) -> Code:
    return Code(kind, lambda run: value, value)


def _variable(slot: int) -> Closure:
    return lambda run: run.variables[slot]


class Program:
    """A compiled expression, for environments of the kinds that it was compiled for."""

    def __init__(self, code: Code, variables: int) -> None:
        self.kind = code.kind
        self._run = code.run
        self._variables = variables

    def __call__(self, environment: Mapping[str, Value], clock: Callable[[], Instant]) -> Value:
        """Return the value of the expression.

        Raises:
            RunError: it has none for these values.
        """
        try:
            return self._run(Run(environment, clock, self._variables))
        except RecursionError:
            raise RunError("expression is nested too deeply") from None


def compile_expression(
    source: str, kinds: Mapping[str, Kind], functions: Mapping[str, EnvironmentFunction] | None = None
) -> Program:
    """Compile an expression for an environment.

    `kinds` are those of its values by name, `functions` what it offers to call.

    Raises:
        CompileError: the expression can never be evaluated there.
    """
    offered = functions or {}
    tree = parse(source, is_overridden=lambda name: name in kinds or name in offered)
    compiler = _Compiler(kinds, offered)
    code = compiler.code(tree)
    if compiler.divisions_by_zero:
        raise CompileError("integer divide by zero", compiler.divisions_by_zero[0])
    return Program(code, compiler.variables)


class _PredicateScope(NamedTuple):
    collection: Kind
    names: tuple[str, ...]


class _Compiler:
    def __init__(self, kinds: Mapping[str, Kind], functions: Mapping[str, EnvironmentFunction]) -> None:
        self._kinds = kinds
        self._functions = functions
        self._scopes: list[_PredicateScope] = []
        self._locals: list[tuple[str, Kind, int]] = []
        self.variables = 0
        self.divisions_by_zero: list[int] = []

    def code(self, node: Node) -> Code:
        """Check and compile one node.

        Raises:
            CompileError: it does not fit.
        """
        match node:
            case Literal():
                value: Value = node.value
                return _constant(kind_of(value), value)
            case Name():
                return self._name(node)
            case Pointer():
                return self._pointer(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Chain():
                return self._chain(node)
            case Member():
                return self._member(node)
            case Slice():
                return self._slice(node)
            case Call():
                return self._call(node)
            case Let():
                return self._let(node)
            case SequenceNode():
                return self._sequence(node)
            case Condition():
                return self._condition(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
        raise AssertionError(f"no code for {node!r}")

    # ---- Names ------------------------------------------------------------------------------------------------------

    def _name(self, node: Name) -> Code:
        name = node.name
        for known, kind, slot in reversed(self._locals):
            if known == name:
                return Code(kind, _variable(slot))
        if name == "$env":
            return Code(UNTYPED, self._whole_environment)
        if name in self._kinds or name in self._functions:
            return self._from_environment(name)
        if name in BUILTINS or name in PREDICATE_ARGUMENTS or name == "get":
            # A builtin is no value: its name alone stands for nothing.
            return Code(Kind(f"func {name}", "function"), lambda run: None)
        raise CompileError(f"unknown name {name}", node.position)

    def _from_environment(self, name: str) -> Code:
        if name in self._functions:
            function = Function(name, self._functions[name].signature)
            return Code(kind_of(function), lambda run: function)
        return Code(self._kinds[name], lambda run: run.environment[name])

    def _whole_environment(self, run: Run) -> dict[str, Value]:
        functions = {name: Function(name, each.signature) for name, each in self._functions.items()}
        return {**{name: run.environment[name] for name in self._kinds}, **functions}

    def _pointer(self, node: Pointer) -> Code:
        scope = self._scopes[-1]
        if node.name == "":
            kind = scope.collection.inner if scope.collection.is_list else UNTYPED
            return Code(kind, lambda run: run.scopes[-1].elements[run.scopes[-1].index])
        if node.name not in scope.names:
            raise CompileError(f"unknown pointer #{node.name}", node.position)
        if node.name == "index":
            return Code(INT, lambda run: run.scopes[-1].index)
        return Code(UNTYPED, lambda run: run.scopes[-1].accumulator)

    def _let(self, node: Let) -> Code:
        if node.name in self._kinds or node.name in self._functions:
            raise CompileError(f"cannot redeclare {node.name}", node.position)
        if node.name in BUILTINS or node.name in PREDICATE_ARGUMENTS or node.name == "get":
            raise CompileError(f"cannot redeclare builtin {node.name}", node.position)
        if any(known == node.name for known, _, _ in self._locals):
            raise CompileError(f"cannot redeclare variable {node.name}", node.position)
        value = self.code(node.value)
        slot = self.variables
        self.variables += 1
        self._locals.append((node.name, value.kind, slot))
        body = self.code(node.body)
        self._locals.pop()

        def run_let(run: Run) -> Value:
            run.variables[slot] = value.run(run)
            return body.run(run)

        return Code(body.kind, run_let)

    def _sequence(self, node: SequenceNode) -> Code:
        codes = [self.code(each) for each in node.nodes]

        def run_sequence(run: Run) -> Value:
            result: Value = None
            for each in codes:
                result = each.run(run)
            return result

        return Code(codes[-1].kind, run_sequence)

    # ---- Operators --------------------------------------------------------------------------------------------------

    def _unary(self, node: Unary) -> Code:
        operand = self.code(node.operand)
        kind = operand.kind
        if node.operator in ("not", "!"):
            if not (kind is BOOL or kind.is_unknown):
                raise self._mismatch(node, kind)
            if isinstance(operand.constant, bool):
                return _constant(BOOL, not operand.constant)
            return Code(BOOL, lambda run: not as_bool(operand.run(run)))
        if not (kind.is_number or kind.is_unknown):
            raise self._mismatch(node, kind)
        if node.operator == "+":
            return operand
        if operand.is_constant:
            return _constant(kind, negated(operand.constant))
        return Code(UNTYPED if kind.is_unknown else kind, lambda run: negated(operand.run(run)))

    def _mismatch(self, node: Unary | Binary, *kinds: Kind) -> CompileError:
        names = " and ".join(kind.name for kind in kinds)
        plural = "s" if len(kinds) > 1 else ""
        return CompileError(f"invalid operation: {node.operator} (mismatched type{plural} {names})", node.position)

    def _binary(self, node: Binary) -> Code:
        left, right = self.code(node.left), self.code(node.right)
        operator = node.operator
        if operator in ARITHMETIC:
            return self._arithmetic(node, left, right)
        if operator in ("and", "&&", "or", "||"):
            return self._logical(node, left, right)
        if operator in ("==", "!="):
            return self._equality(node, left, right)
        if operator in ORDER:
            return self._order(node, left, right)
        if operator == "in":
            return self._in(node, left, right)
        if operator == "matches":
            return self._matches(node, left, right)
        if operator in TEXT_TESTS:
            return self._text_test(node, left, right)
        if operator == "..":
            if not _may_be(left.kind, right.kind, "integer"):
                raise self._mismatch(node, left.kind, right.kind)
            return Code(list_of(INT), lambda run: range_of(run, left.run(run), right.run(run)))
        assert operator == "??", f"the grammar knows {operator!r}"
        return self._coalesce(left, right)

    def _arithmetic(self, node: Binary, left: Code, right: Code) -> Code:
        calculate, sorts = ARITHMETIC[node.operator]
        kind = _arithmetic_kind(node.operator, left.kind, right.kind)
        if kind is None:
            is_known = not (left.kind.is_unknown or right.kind.is_unknown)
            if is_known or not _may_be(left.kind, right.kind, *sorts):
                raise self._mismatch(node, left.kind, right.kind)
            kind = {"/": FLOAT, "**": FLOAT, "^": FLOAT, "%": INT}.get(node.operator, UNTYPED)
        if left.is_constant and right.is_constant:
            if node.operator == "%" and right.constant == 0:
                # Whatever is wrong with types comes first, wherever it is.
                self.divisions_by_zero.append(node.position)
                return Code(kind, lambda run: calculate(left.run(run), right.run(run)))
            return _constant(kind, calculate(left.constant, right.constant))
        return Code(kind, lambda run: calculate(left.run(run), right.run(run)))

    def _logical(self, node: Binary, left: Code, right: Code) -> Code:
        is_and = node.operator in ("and", "&&")
        if not _may_be(left.kind, right.kind, "bool"):
            raise self._mismatch(node, left.kind, right.kind)
        # With a constant on one side what is left is the other, whatever it is: no test for a boolean remains.
        for constant, other in ((left, right), (right, left)):
            if isinstance(constant.constant, bool):
                decides = constant.constant is not is_and
                return _constant(BOOL, not is_and) if decides else Code(BOOL, other.run, other.constant)
        if is_and:
            return Code(BOOL, lambda run: right.run(run) if as_bool(left.run(run)) else False)
        return Code(BOOL, lambda run: True if as_bool(left.run(run)) else right.run(run))

    def _equality(self, node: Binary, left: Code, right: Code) -> Code:
        if not are_comparable(left.kind, right.kind):
            raise self._mismatch(node, left.kind, right.kind)
        wanted = node.operator == "=="
        for kind, python, name in ((INT, int, "int"), (STRING, str, "string")):
            if left.kind is kind and right.kind is kind:
                # Both sides are promised to be of one type; a search without result breaks that promise.
                def compare(run: Run, python: type = python, name: str = name) -> bool:
                    one, other = left.run(run), right.run(run)
                    for each in (one, other):
                        if not isinstance(each, python):
                            raise RunError(f"interface conversion: interface {{}} is {named_type(each)}, not {name}")
                    return (one == other) is wanted

                return Code(BOOL, compare)
        return Code(BOOL, lambda run: values.equal(left.run(run), right.run(run)) is wanted)

    def _order(self, node: Binary, left: Code, right: Code) -> Code:
        sorts = ("number", "string", "time", "duration")
        if not _may_be(left.kind, right.kind, *sorts):
            raise self._mismatch(node, left.kind, right.kind)
        compare = ORDER[node.operator]
        return Code(BOOL, lambda run: compare(left.run(run), right.run(run)))

    def _in(self, node: Binary, left: Code, right: Code) -> Code:
        kind, container = left.kind, right.kind
        if container.is_map:
            key = STRING if container.name == MAP.name else ANY
            if not kind.is_unknown and not is_assignable(kind, key):
                raise CompileError(f"cannot use {kind.name} as type {key.name} in map key", node.position)
        elif container.is_list:
            if not are_comparable(kind, container.inner):
                raise CompileError(f"cannot use {kind.name} as type {container.inner.name} in array", node.position)
        elif not (
            container.is_unknown
            or (container.sort == "record" and (kind is STRING or kind.is_unknown))
            or (container is STRING and kind.is_unknown)
        ):
            raise self._mismatch(node, kind, container)
        return Code(BOOL, lambda run: is_in(right.run(run), left.run(run)))

    def _matches(self, node: Binary, left: Code, right: Code) -> Code:
        if isinstance(right.constant, str):
            try:
                regex.compile_pattern(right.constant)
            except regex.InvalidPattern as err:
                raise CompileError(str(err), node.position) from None
        if not (left.kind is BYTES and right.kind is STRING) and not _may_be(left.kind, right.kind, "string"):
            raise self._mismatch(node, left.kind, right.kind)
        return Code(BOOL, lambda run: matches_pattern(left.run(run), right.run(run)))

    def _text_test(self, node: Binary, left: Code, right: Code) -> Code:
        if not _may_be(left.kind, right.kind, "string"):
            raise self._mismatch(node, left.kind, right.kind)
        test = TEXT_TESTS[node.operator]

        def run_test(run: Run) -> bool:
            text, part = left.run(run), right.run(run)
            return text is not None and part is not None and test(to_text(text), to_text(part))

        return Code(BOOL, run_test)

    def _coalesce(self, left: Code, right: Code) -> Code:
        def run_coalesce(run: Run) -> Value:
            value = left.run(run)
            return right.run(run) if value is None else value

        if left.kind.is_nil:
            kind = right.kind
        elif right.kind.is_nil or is_assignable(right.kind, left.kind):
            kind = left.kind
        else:
            kind = UNTYPED
        return Code(kind, run_coalesce)

    def _condition(self, node: Condition) -> Code:
        condition = self.code(node.condition)
        if not (condition.kind is BOOL or condition.kind.is_unknown):
            raise CompileError(
                f"non-bool expression (type {condition.kind.name}) used as condition", node.condition.position
            )
        yes, no = self.code(node.yes), self.code(node.no)
        if yes.kind.is_nil:
            kind = no.kind
        elif no.kind.is_nil:
            kind = yes.kind
        elif is_assignable(yes.kind, no.kind):
            kind = yes.kind
            if yes.kind.is_list and yes.kind.inner != no.kind.inner:
                kind = LIST
        else:
            kind = UNTYPED
        return Code(kind, lambda run: yes.run(run) if as_bool(condition.run(run)) else no.run(run))

    # ---- Literals ---------------------------------------------------------------------------------------------------

    def _list(self, node: ListLiteral) -> Code:
        codes = [self.code(each) for each in node.items]
        runs = [each.run for each in codes]
        sorts = {_reflected(each.kind) for each in codes}
        kind = list_of(codes[-1].kind if codes else UNTYPED) if len(sorts) < 2 else LIST

        def run_list(run: Run) -> list[Value]:
            run.spend(len(runs))
            return [each(run) for each in runs]

        return Code(kind, run_list)

    def _map(self, node: MapLiteral) -> Code:
        pairs = [(self.code(key).run, self.code(value).run) for key, value in node.pairs]

        def run_map(run: Run) -> dict[str, Value]:
            run.spend(len(pairs))
            return {to_text(key(run)): value(run) for key, value in pairs}

        return Code(MAP, run_map)

    # ---- Members ----------------------------------------------------------------------------------------------------

    def _chain(self, node: Chain) -> Code:
        inner = self.code(node.node)

        def run_chain(run: Run) -> Value:
            try:
                return inner.run(run)
            except NilInChain:
                return None

        return Code(inner.kind, run_chain)

    def _member(self, node: Member) -> Code:
        if isinstance(node.base, Name) and node.base.name == "$env" and not self._is_local("$env"):
            return self._environment_member(node)
        base, key = self.code(node.base), self.code(node.key)
        kind = self._member_kind(node, base.kind, key)
        is_optional = node.is_optional

        def run_member(run: Run) -> Value:
            container = base.run(run)
            if is_optional and container is None:
                raise NilInChain
            return fetch(container, key.run(run))

        return Code(kind, run_member)

    def _is_local(self, name: str) -> bool:
        return any(known == name for known, _, _ in self._locals)

    def _environment_member(self, node: Member) -> Code:
        key = self.code(node.key)
        if isinstance(key.constant, str) and isinstance(node.key, Literal):
            name = key.constant
            if name in self._kinds or name in self._functions:
                return self._from_environment(name)
            if not node.is_optional:
                raise CompileError(f"unknown name {name}", node.position)
        return Code(UNTYPED, lambda run: fetch(self._whole_environment(run), key.run(run)))

    def _member_kind(self, node: Member, base: Kind, key: Code) -> Kind:
        if base.is_unknown:
            return UNTYPED
        name = key.constant if isinstance(node.key, Literal) and isinstance(key.constant, str) else None
        if name is not None:
            if base.is_nil:
                raise CompileError(f"type nil has no field {name}", node.position)
            method = METHODS.get(base.name, {}).get(name)
            if method is not None:
                return Kind(f"func({', '.join(method[0])}) {method[1]}", "function")
        if base.is_map:
            if base.name == MAP.name and not (key.kind is STRING or key.kind.is_unknown):
                raise CompileError(f"cannot use {key.kind.name} to get an element from {base.name}", node.key.position)
            return base.inner
        if base.is_list:
            if not (key.kind.is_integer or key.kind.is_unknown):
                raise CompileError(
                    f"array elements can only be selected using an integer (got {key.kind.name})", node.key.position
                )
            return base.inner
        if base.sort == "record" and name is not None and base.fields is not None and name in base.fields:
            return base.fields[name]
        if name is not None:
            what = "method" if node.is_method else "field"
            raise CompileError(f"type {base.name} has no {what} {name}", node.position)
        raise CompileError(f"type {base.name}[{key.kind.name}] is undefined", node.position)

    def _slice(self, node: Slice) -> Code:
        base = self.code(node.base)
        if not (base.kind.is_unknown or base.kind.is_list or base.kind is STRING):
            raise CompileError(f"cannot slice {base.kind.name}", node.position)
        edges: list[Closure | None] = []
        for edge in (node.start, node.end):
            code = self.code(edge) if edge is not None else None
            if code is not None and not (base.kind.is_unknown or code.kind.is_integer or code.kind.is_unknown):
                assert edge is not None
                raise CompileError(f"non-integer slice index {code.kind.name}", edge.position)
            edges.append(code.run if code is not None else None)
        start, end = edges

        def run_slice(run: Run) -> Value:
            return sliced(base.run(run), start(run) if start else None, end(run) if end else None)

        return Code(UNTYPED if base.kind.is_unknown else base.kind, run_slice)

    # ---- Calls ------------------------------------------------------------------------------------------------------

    def _call(self, node: Call) -> Code:
        callee = node.callee
        if isinstance(callee, Name):
            name = callee.name
            is_shadowed = not node.is_forced and (name in self._functions or name in self._kinds)
            if not is_shadowed and not self._is_local(name):
                if name in PREDICATE_ARGUMENTS:
                    return self._with_predicate(node, name)
                if name == "get":
                    return self._get(node)
                if name in BUILTINS:
                    return self._builtin(node, name)
            if name in self._functions and not self._is_local(name):
                return self._environment_call(node, name)
        target = self.code(callee)
        arguments = [self.code(each) for each in node.arguments]
        kind = self._called_kind(node, target.kind, [each.kind for each in arguments])
        functions, runs = self._functions, [each.run for each in arguments]

        def run_call(run: Run) -> Value:
            function = target.run(run)
            given = [each(run) for each in runs]
            if isinstance(function, Function):
                calculate = functions[function.name].run or run.environment[function.name]
                return calculate(*given)
            if callable(function):
                return function(*given)
            if function is None:
                raise RunError("invalid operation: cannot call nil")
            raise RunError(f"invalid operation: cannot call non-function of type {go_type(function)}")

        return Code(kind, run_call)

    def _called_kind(self, node: Call, target: Kind, arguments: Sequence[Kind]) -> Kind:
        if target.is_unknown:
            return UNTYPED
        if target.sort != "function":
            raise CompileError(f"{target.name} is not callable", node.position)
        callee = node.callee
        if isinstance(callee, Member) and isinstance(callee.key, Literal):
            name = str(callee.key.value)
            for methods in METHODS.values():
                if name in methods and target.name == f"func({', '.join(methods[name][0])}) {methods[name][1]}":
                    parameters = [_KINDS_BY_NAME[each] for each in methods[name][0]]
                    self._checked(node, name, parameters, arguments)
                    return _KINDS_BY_NAME.get(methods[name][1], ANY)
        for name, function in self._functions.items():
            if target.name == function.signature:
                self._checked(node, name, function.parameters, arguments)
                return function.result
        return ANY

    def _checked(self, node: Call, name: str, parameters: Sequence[Kind], arguments: Sequence[Kind]) -> None:
        try:
            check_arguments(name, parameters, arguments)
        except Misuse as err:
            raise CompileError(str(err), node.position) from None

    def _environment_call(self, node: Call, name: str) -> Code:
        function = self._functions[name]
        # As they are written first: what is wrong with an argument is told in its own terms.
        self._checked(node, name, function.parameters, _Arguments(self, node.arguments))
        nodes = [
            _floated(each) if parameter is FLOAT else each
            for each, parameter in zip(node.arguments, function.parameters, strict=False)
        ]
        arguments = _Arguments(self, (*nodes, *node.arguments[len(nodes) :]))
        codes = arguments.codes()
        runs = list(zip((each.run for each in codes), function.parameters, strict=True))

        def run_call(run: Run) -> Value:
            calculate = function.run or run.environment[name]
            return calculate(*(converted(each(run), parameter) for each, parameter in runs))

        return Code(function.result, run_call)

    def _builtin(self, node: Call, name: str) -> Code:
        builtin = BUILTINS[name]
        arguments = _Arguments(self, node.arguments)
        try:
            kind = builtin.check(arguments)
        except Misuse as err:
            raise CompileError(str(err), node.position) from None
        codes = arguments.codes()
        runs, calculate = [each.run for each in codes], builtin.run

        def run_builtin(run: Run) -> Value:
            result = calculate([each(run) for each in runs], run.clock)
            if name == "repeat":
                run.spend(len(result))
            return result

        return Code(kind, run_builtin)

    def _get(self, node: Call) -> Code:
        if len(node.arguments) != 2:
            raise CompileError(f"invalid number of arguments (expected 2, got {len(node.arguments)})", node.position)
        base, key = (self.code(each) for each in node.arguments)
        kind = base.kind
        if isinstance(node.arguments[0], Name) and node.arguments[0].name == "$env":
            kind = self._kinds.get(key.constant, ANY) if isinstance(key.constant, str) else ANY
        elif kind.is_list:
            if not (key.kind.is_integer or key.kind.is_unknown):
                raise CompileError(f"non-integer slice index {key.kind.name}", node.arguments[1].position)
            kind = kind.inner
        elif kind.is_map:
            if kind.name == MAP.name and not (key.kind is STRING or key.kind.is_unknown):
                raise CompileError(
                    f"cannot use {key.kind.name} to get an element from {kind.name}", node.arguments[1].position
                )
            kind = kind.inner
        elif not kind.is_unknown:
            raise CompileError(f"type {kind.name} does not support indexing", node.arguments[0].position)
        return Code(kind, lambda run: get_or_nil(base.run(run), key.run(run)))

    # ---- Predicates -------------------------------------------------------------------------------------------------

    def _with_predicate(self, node: Call, name: str) -> Code:
        collection = self.code(node.arguments[0])
        if not (collection.kind.is_list or collection.kind.is_unknown):
            raise CompileError(
                f"builtin {name} takes only array (got {collection.kind.name})", node.arguments[0].position
            )
        predicate: Code | None = None
        if len(node.arguments) > 1:
            body = node.arguments[1]
            assert isinstance(body, Predicate), "the parser puts one here"
            names = {"map": ("index",), "reduce": ("index", "acc")}.get(name, ())
            self._scopes.append(_PredicateScope(collection.kind, names))
            predicate = self.code(body.body)
            self._scopes.pop()
            self._check_predicate(name, body, predicate.kind)
        third = self.code(node.arguments[2]) if len(node.arguments) > 2 else None
        if name == "sortBy" and third is not None and not (third.kind is STRING or third.kind.is_unknown):
            raise CompileError(
                f"sortBy order argument must be a string (got {third.kind.name})", node.arguments[2].position
            )
        kind = _predicate_result(name, collection.kind, predicate.kind if predicate is not None else None)
        loop = LOOPS[name]
        if name == "sum" and predicate is None and _is_written_out(node.arguments[0]):
            loop = sum_of_literal
        given, body_run, third_run = collection.run, predicate.run if predicate else None, third.run if third else None

        def run_loop(run: Run) -> Value:
            return loop(run, elements_of(given(run)), body_run, third_run)

        return Code(kind, run_loop)

    def _check_predicate(self, name: str, node: Predicate, kind: Kind) -> None:
        if kind.is_nil and name == "sum":
            raise CompileError(
                "cannot use func(interface {}) as argument (type func(interface {}) bool) to call sum ", node.position
            )
        if kind.is_nil:
            what = "two input" if name == "reduce" else "one input"
            raise CompileError(f"predicate should has {what} and one output param", node.position)
        if name in _BOOLEAN_PREDICATES and not (kind is BOOL or kind.is_unknown):
            raise CompileError(f"predicate should return boolean (got {kind.name})", node.position)


class _Arguments(Sequence[Kind]):
    """The kinds of arguments, each compiled when it is first looked at: what is wrong with it counts from then on."""

    def __init__(self, compiler: _Compiler, nodes: Sequence[Node]) -> None:
        self._compiler = compiler
        self._nodes = nodes
        self._codes: dict[int, Code] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self._code(range(len(self))[index]).kind

    def _code(self, index: int) -> Code:
        if index not in self._codes:
            self._codes[index] = self._compiler.code(self._nodes[index])
        return self._codes[index]

    def codes(self) -> list[Code]:
        return [self._code(index) for index in range(len(self))]


# ---- Static helpers -------------------------------------------------------------------------------------------------

_KINDS_BY_NAME: Final = {
    each.name: each for each in (BOOL, INT, INT64, FLOAT, STRING, DURATION, TIME, ZONE, MONTH, WEEKDAY)
}
_BOOLEAN_PREDICATES: Final = frozenset(
    ("all", "none", "any", "one", "filter", "find", "findIndex", "findLast", "findLastIndex", "count")
)


def _may_be(left: Kind, right: Kind, *sorts: str) -> bool:
    """Tell whether both are of one of the sorts, as far as that is known."""

    def is_of(kind: Kind, sort: str) -> bool:
        return kind.is_number if sort == "number" else kind.sort == sort

    if left.is_unknown or right.is_unknown:
        known = right if left.is_unknown else left
        return known.is_unknown or any(is_of(known, sort) for sort in sorts)
    return any(is_of(left, sort) and is_of(right, sort) for sort in sorts)


def _arithmetic_kind(operator: str, left: Kind, right: Kind) -> Kind | None:
    """Return the kind of the result; None if that depends on values, or nothing fits."""
    if left.is_number and right.is_number:
        if operator in ("/", "**", "^"):
            return FLOAT
        if operator == "%":
            return INT if left.is_integer and right.is_integer else None
        return promoted(left, right)
    pair = (left.sort, right.sort)
    if operator == "+":
        if pair == ("string", "string"):
            return STRING
        if pair in (("time", "duration"), ("duration", "time")):
            return TIME
    if operator == "-":
        if pair == ("time", "time"):
            return DURATION
        if pair == ("time", "duration"):
            return TIME
    if operator in ("+", "-", "*") and pair == ("duration", "duration"):
        return DURATION
    if operator == "*" and ((left.is_number and right is DURATION) or (left is DURATION and right.is_number)):
        return DURATION
    return None


def _reflected(kind: Kind) -> str:
    """Return what makes the elements of a list literal alike: the name for simple kinds, the sort for others."""
    return kind.sort if kind.is_list or kind.is_map else f"{kind.sort} {kind.name} {kind.is_declared}"


def _is_written_out(node: Node) -> bool:
    """Tell whether this is a list of at least two items that are not all constants."""
    return (
        isinstance(node, ListLiteral)
        and len(node.items) > 1
        and not all(isinstance(each, Literal) and each.value is not None for each in node.items)
    )


def _floated(node: Node) -> Node:
    """Return the tree with its integers made floats, as far as a float parameter reaches into it."""
    match node:
        case Literal(value=int() as value) if not isinstance(value, bool):
            return Literal(node.position, float(value))
        case Unary():
            return Unary(node.position, node.operator, _floated(node.operand))
        case Binary(operator="+" | "-" | "*"):
            return Binary(node.position, node.operator, _floated(node.left), _floated(node.right))
    return node


def _predicate_result(name: str, collection: Kind, predicate: Kind | None) -> Kind:
    element = collection.inner if collection.is_list else UNTYPED
    match name:
        case "all" | "none" | "any" | "one":
            return BOOL
        case "count" | "findIndex" | "findLastIndex":
            return INT
        case "filter":
            return list_of(element) if not collection.is_unknown else LIST
        case "find" | "findLast":
            return element
        case "map":
            return list_of(predicate if predicate is not None else ANY)
        case "sum":
            return predicate if predicate is not None else element
        case "groupBy":
            return Kind(go_type(ListMap()), "map", list_of(element))
        case "sortBy":
            return collection
    return predicate if predicate is not None else ANY
