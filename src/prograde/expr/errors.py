"""What can be wrong with an expression, and when it is noticed."""

__all__ = ["CompileError", "ExpressionError", "RunError"]


class ExpressionError(ValueError):
    """An expression has no value. The text is what users of Argo Rollouts know, without position and excerpt."""


class CompileError(ExpressionError):
    """The expression cannot be right: a syntax error, an unknown name, or types that never fit.

    `position` is the index of the character that is to blame, from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class RunError(ExpressionError):
    """The expression may be right, but not for these values."""
