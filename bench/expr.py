"""How fast conditions are evaluated: nanoseconds and evaluations per second, compiled once, as the controller does it.

python bench/expr.py
"""

import time
from datetime import UTC, datetime

from prograde.expr.compiler import compile_expression
from prograde.expr.conditions import evaluate
from prograde.expr.kinds import kind_of
from prograde.expr.values import Floats

CASES = (
    ("result < 0.05", 0.01),
    ("result[0] >= 0.95", Floats([0.99])),
    ("len(result) == 0 || result[0] > 1 && isNaN(result[0]) == false", Floats([2.0])),
    ("all(result, # < 500)", Floats([120.0, 130.0, 480.0])),
    ("result.data.status == 'ok' and asInt(result.code) in 200..299", {"data": {"status": "ok"}, "code": "204"}),
)
ROUNDS = 20_000


def main() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    print(f"{'expression':66} {'evaluations/s':>14} {'compilations/s':>15}")
    for source, result in CASES:
        evaluate(source, result, lambda: now)
        started_at = time.perf_counter()
        for _ in range(ROUNDS):
            evaluate(source, result, lambda: now)
        seconds = time.perf_counter() - started_at
        started_at = time.perf_counter()
        for _ in range(ROUNDS // 20):
            compile_expression(source.replace("isNaN(result[0])", "true").replace("asInt(result.code)", "204"),
                               {"result": kind_of(result)})  # fmt: skip
        compiling_seconds = time.perf_counter() - started_at
        print(f"{source:66} {ROUNDS / seconds:14,.0f} {ROUNDS / 20 / compiling_seconds:15,.0f}")


if __name__ == "__main__":
    main()
