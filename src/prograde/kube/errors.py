"""What can go wrong between us and an API server, as types that callers can tell apart.

API servers explain a refusal in a `Status` body whose `reason` says more than the HTTP code (a 409 is *already exists*
or *conflict*, which ask for opposite reactions). `from_response` turns an answer into the matching class; a body that
is no `Status` (a proxy's HTML page) is classified by its code. Every message names the verb, the resource and the
object, so that a log line needs no context: ``patch rollouts.argoproj.io shop/cart: Operation cannot be ...``. The
server's own sentence, which users of the CLI are shown, is in `message`.

Failures below HTTP stay what they are: transports raise `OSError`s, and the client wraps them once into `Unreachable`,
which still *is* an `OSError` and has the original as its cause.
"""

from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from prograde.kube.transport import Response

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Cause",
    "ConfigError",
    "Conflict",
    "ConnectFailed",
    "DecodeError",
    "Forbidden",
    "Gone",
    "Invalid",
    "KubeError",
    "MethodNotAllowed",
    "NotFound",
    "ServerError",
    "ServerTimeout",
    "ServiceUnavailable",
    "Status",
    "StatusDetails",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "UnsupportedMediaType",
    "from_response",
    "from_status",
]

BODY_EXCERPT_CHARACTERS: Final = 200
"""How much of a body that is no `Status` goes into the message: enough to recognise a proxy, not enough to flood."""

RETRY_AFTER_SECONDS_MAX: Final = 3600.0
"""A server that asks for more than an hour is misread or mistaken."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One of several reasons inside one refusal; `field` is a path such as ``spec.selector``."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: float = 0


class _StatusMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    continue_token: str = msgspec.field(name="continue", default="")


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of every refusal, also found inside ERROR events of a watch."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None
    metadata: _StatusMetadata | None = None


class KubeError(Exception):
    """Anything that this package raises on purpose."""


class ConfigError(KubeError):
    """The configuration cannot be used; the message names file, field and remedy. Retrying will not help."""


class DecodeError(KubeError):
    """The server answered something that is not what was asked for: wrong JSON, or a field of another type."""


class ConnectFailed(ConnectionError):
    """No connection came about, so nothing was sent: repeating is safe for every verb. Raised by transports."""


class Unreachable(KubeError, OSError):
    """No answer: connection refused, reset or timed out. The cause is the transport's own error."""


class ApiError(KubeError):
    """The server refused. Subclasses say how; catch those."""

    def __init__(self, status: Status, *, call: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{call}: {status.message}" if call else status.message)
        self.status = status
        self.call = call
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to wait; None when it did not say."""

    @property
    def message(self) -> str:
        """Return the server's own sentence."""
        return self.status.message

    @property
    def reason(self) -> str:
        return self.status.reason

    @property
    def code(self) -> int:
        return self.status.code

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Return the single reasons, for example one per invalid field."""
        return (self.status.details.causes if self.status.details else None) or ()

    def has_cause(self, reason: str) -> bool:
        """Return whether one of the causes has this reason, such as ``NamespaceTerminating``."""
        return any(cause.reason == reason for cause in self.causes)


class BadRequest(ApiError):
    """400: the request makes no sense to the server."""


class Unauthorized(ApiError):
    """401: the server does not know who we are."""


class Forbidden(ApiError):
    """403: known, but not allowed; also quota, admission and terminating namespaces."""


class NotFound(ApiError):
    """404: no such object, or the kind is not served."""


class MethodNotAllowed(ApiError):
    """405: the resource does not have this verb."""


class Conflict(ApiError):
    """409: the object changed since it was read, or server-side apply meets another field owner."""


class AlreadyExists(ApiError):
    """409: an object of this name exists."""


class Gone(ApiError):
    """410: the resource version or continue token is older than the server's memory."""

    @property
    def continue_token(self) -> str:
        """Return a fresh token with which an *inconsistent* list could go on, ``""`` if there is none."""
        return self.status.metadata.continue_token if self.status.metadata else ""


class TooLarge(ApiError):
    """413: the body is larger than the server takes."""


class UnsupportedMediaType(ApiError):
    """415: the server does not take this content type, for example strategic merge for custom resources."""


class Invalid(ApiError):
    """422: the object breaks rules; `causes` has one entry per field."""


class TooManyRequests(ApiError):
    """429: the server sheds load, or an eviction would break a disruption budget."""


class ServerError(ApiError):
    """5xx: the server's own trouble."""


class ServiceUnavailable(ServerError):
    """503: overloaded or starting."""


class ServerTimeout(ServerError):
    """504, or 500 with reason ServerTimeout: the server gave up; the write may or may not have happened."""


_BY_REASON: Final[dict[str, type[ApiError]]] = {
    "BadRequest": BadRequest,
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "MethodNotAllowed": MethodNotAllowed,
    "Conflict": Conflict,
    "AlreadyExists": AlreadyExists,
    "Gone": Gone,
    "Expired": Gone,
    "RequestEntityTooLarge": TooLarge,
    "UnsupportedMediaType": UnsupportedMediaType,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "ServiceUnavailable": ServiceUnavailable,
    "ServerTimeout": ServerTimeout,
    "Timeout": ServerTimeout,
    "InternalError": ServerError,
}

_BY_CODE: Final[dict[int, type[ApiError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: Invalid,
    429: TooManyRequests,
    503: ServiceUnavailable,
    504: ServerTimeout,
}

_decode_status = msgspec.json.Decoder(Status).decode


def from_status(status: Status, *, call: str = "", retry_after_seconds: float | None = None) -> ApiError:
    """Return the error that `status` stands for; the reason decides, and the code where the reason is unknown."""
    if retry_after_seconds is None and status.details and status.details.retry_after_seconds > 0:
        retry_after_seconds = min(status.details.retry_after_seconds, RETRY_AFTER_SECONDS_MAX)
    error_class = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code)
    if error_class is None:
        error_class = ServerError if status.code >= 500 else ApiError
    return error_class(status, call=call, retry_after_seconds=retry_after_seconds)


def from_response(response: Response, *, call: str) -> ApiError:
    """Return the error for an answer with an error status; `call` names verb, resource and object."""
    status = _parse_status(response)
    return from_status(status, call=call, retry_after_seconds=_retry_after(response))


def _parse_status(response: Response) -> Status:
    """Return the body's Status, or one made up from the HTTP code when the answer is not the API server's."""
    try:
        status = _decode_status(response.body)
    except msgspec.DecodeError:
        status = Status()
    if status.status == "Failure" and status.message:
        return msgspec.structs.replace(status, code=status.code or response.status)
    excerpt = " ".join(response.body[: 4 * BODY_EXCERPT_CHARACTERS].decode(errors="replace").split())
    said = f": {excerpt[:BODY_EXCERPT_CHARACTERS]}" if excerpt else ""
    return Status(status="Failure", code=response.status, message=f"the server answered HTTP {response.status}{said}")


def _retry_after(response: Response) -> float | None:
    """Return the Retry-After header in seconds; None if absent or unreadable.

    A date is measured against the answer's own Date header, never against our clock, which may disagree.
    """
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return min(float(value), RETRY_AFTER_SECONDS_MAX)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(response.headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return min(max(wait.total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)
