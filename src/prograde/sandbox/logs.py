"""The ``log`` sub-resource of pods, as far as it is about HTTP: reading the query of a log request.

What containers print, and which of their runs is meant, is known to the kubelet alone; `PodLogs` is what it offers.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from prograde.sandbox.errors import Cause, StatusError

__all__ = ["PodLogs", "follows", "parse_log_query"]

_TRUE = ("true", "True", "1")


class PodLogs(Protocol):
    """Whoever runs the containers. Both methods take the options that `parse_log_query` returns."""

    def read_log(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        since_seconds: float | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
    ) -> bytes: ...

    def follow_log(self, namespace: str, pod: str, container: str = "", **options: Any) -> AsyncIterator[bytes]: ...


def follows(query: Mapping[str, str]) -> bool:
    """Return whether a log request wants to be told about new lines as they come."""
    return query.get("follow", "") in _TRUE


def parse_log_query(pod: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a log request.

    Raises:
        StatusError: 422, a value makes no sense; all such values are named.
    """
    causes: list[Cause] = []

    def number(name: str, least: int) -> int | None:
        text = query.get(name, "")
        if not text:
            return None
        if text.removeprefix("-").isdecimal() and int(text) >= least:
            return int(text)
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {text}: must be at least {least}", name))
        return None

    def time(name: str) -> datetime | None:
        text = query.get(name, "")
        if not text:
            return None
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            causes.append(Cause("FieldValueInvalid", f'Invalid value: "{text}": must be an RFC 3339 time', name))
            return None
        return when

    options = {
        "previous": query.get("previous", "") in _TRUE,
        "timestamps": query.get("timestamps", "") in _TRUE,
        "tail_lines": number("tailLines", 0),
        "limit_bytes": number("limitBytes", 1),
        "since_seconds": number("sinceSeconds", 1),
        "since_time": time("sinceTime"),
    }
    if options["since_seconds"] is not None and options["since_time"] is not None:
        why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("FieldValueForbidden", why, "sinceSeconds"))
    if causes:
        raise StatusError.invalid("", "PodLogOptions", pod, causes)
    return options
