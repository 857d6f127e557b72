"""Failures as the API server words them: every error is a `StatusError` that renders to a `Status` object.

Messages and details are matched by clients (and by people), so the constructors below are the only place that
spells them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["Cause", "StatusError"]


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of ``details.causes``."""

    reason: str
    message: str
    field: str = ""


class StatusError(Exception):
    """An API call failed; carries what the `Status` body and the HTTP answer need."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_seconds: int = 0,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.name = name
        self.group = group
        self.kind = kind
        self.uid = uid
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token

    def to_status(self) -> dict[str, Any]:
        """Return the `Status` object, as JSON values."""
        details: dict[str, Any] = {
            key: value
            for key, value in (
                ("name", self.name),
                ("group", self.group),
                ("kind", self.kind),
                ("uid", self.uid),
                ("causes", [msgspec.to_builtins(cause) for cause in self.causes]),
                ("retryAfterSeconds", self.retry_after_seconds),
            )
            if value
        }
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if details:
            status["details"] = details
        status["code"] = self.code
        return status

    @classmethod
    def not_found(cls, group: str, plural: str, name: str) -> "StatusError":
        resource = f"{plural}.{group}" if group else plural
        return cls(404, "NotFound", f'{resource} "{name}" not found', name=name, group=group, kind=plural)

    @classmethod
    def already_exists(cls, group: str, plural: str, name: str) -> "StatusError":
        resource = f"{plural}.{group}" if group else plural
        return cls(409, "AlreadyExists", f'{resource} "{name}" already exists', name=name, group=group, kind=plural)

    @classmethod
    def conflict(cls, group: str, plural: str, name: str, why: str = "") -> "StatusError":
        """Return a 409; the default `why` is the stale resourceVersion sentence."""
        resource = f"{plural}.{group}" if group else plural
        why = why or "the object has been modified; please apply your changes to the latest version and try again"
        message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
        return cls(409, "Conflict", message, name=name, group=group, kind=plural)

    @classmethod
    def invalid(cls, group: str, kind: str, name: str, causes: Sequence[Cause]) -> "StatusError":
        """Return a 422; each cause's message is printed as ``field: message``."""
        qualified = f"{kind}.{group}" if group else kind
        texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
        listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        message = f'{qualified} "{name}" is invalid: {listed}'
        return cls(422, "Invalid", message, name=name, group=group, kind=kind, causes=causes)

    @classmethod
    def bad_request(cls, message: str) -> "StatusError":
        return cls(400, "BadRequest", message)

    @classmethod
    def forbidden(cls, group: str, plural: str, name: str, why: str, causes: Sequence[Cause] = ()) -> "StatusError":
        resource = f"{plural}.{group}" if group else plural
        message = f'{resource} "{name}" is forbidden: {why}' if name else f"{resource} is forbidden: {why}"
        return cls(403, "Forbidden", message, name=name, group=group, kind=plural, causes=causes)
