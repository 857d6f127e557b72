"""What the providers of vendors have in common: asking a server for JSON, and making sense of its answer.

Answers are read as their vendors' own clients read them: every number is a float, names of members match whatever
their case, unknown members do not count, and null is as good as nothing.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from prograde.api.scalars import InvalidDuration, go_quote, parse_duration
from prograde.expr.errors import RunError
from prograde.expr.jsontext import from_json
from prograde.providers.base import ProviderContext, ProviderError
from prograde.providers.http import HttpAnswer, HttpError, without_password

__all__ = [
    "ask",
    "check_url",
    "excerpt",
    "interval_seconds",
    "json_of",
    "list_at",
    "member",
    "status_line",
]

EXCERPT_CHARACTERS: Final = 1024
"""How much of a server's answer goes into a message: enough for every error, too little to fill a status."""

INTERVAL: Final = "5m"
"""What a metric looks back when it does not say."""

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a character, which JSON can escape and UTF-8 cannot write."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


async def ask(
    context: ProviderContext,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_seconds: float,
    uses_proxies: bool = True,
    follows_redirects: bool = True,
    shares: bool = True,
) -> HttpAnswer:
    """Send a request; unless it says otherwise it only reads.

    Raises:
        ProviderError: the address is none, or nobody answers there in time.
    """
    check_url(url)
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise ProviderError(f'{method.capitalize()} "{without_password(url)}": unsupported protocol scheme "{scheme}"')
    try:
        return await context.http.request(
            method,
            url,
            headers=headers,
            body=body,
            timeout_seconds=timeout_seconds,
            uses_proxies=uses_proxies,
            follows_redirects=follows_redirects,
            shares=shares,
        )
    except HttpError as err:
        raise ProviderError(str(err)) from err


def check_url(url: str) -> None:
    """Check that a text can be read as an address at all.

    Raises:
        ProviderError: it cannot; the message tells which part is wrong.
    """
    shown = without_password(url)
    if any(char < " " or char == "\x7f" for char in url):
        raise ProviderError(f"parse {go_quote(shown)}: net/url: invalid control character in URL")
    scheme = _SCHEME.match(url)
    if url.startswith(":"):
        raise ProviderError(f'parse "{shown}": missing protocol scheme')
    if scheme is None and ":" in re.split("[/?#]", url, maxsplit=1)[0]:
        raise ProviderError(f'parse "{shown}": first path segment in URL cannot contain colon')
    path = re.split("[?#]", url, maxsplit=1)[0]
    if bad := _BAD_ESCAPE.search(path):
        raise ProviderError(f'parse "{shown}": invalid URL escape "{path[bad.start() : bad.start() + 3]}"')
    try:
        _ = urlsplit(url).port
    except ValueError as err:
        raise ProviderError(f'parse "{shown}": {err}') from None


def json_of(answer: HttpAnswer, prefix: str = "") -> Any:
    """Read an answer as JSON in which every number is a float.

    Raises:
        ProviderError: it is none; the message begins with `prefix`.
    """
    try:
        return from_json(answer.text)
    except (RunError, RecursionError) as err:
        raise ProviderError(f"{prefix}{err}") from None


def member(value: Any, *names: str) -> Any:
    """Return what is at the end of a path of members, None as soon as there is nothing.

    Raises:
        ProviderError: there is something else than an object on the way.
    """
    for depth, name in enumerate(names):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ProviderError(_unfit(value, ".".join(names[:depth]), "an object"))
        if name not in value:
            name = next((each for each in value if each.lower() == name.lower()), name)
        value = value.get(name)
    return value


def list_at(value: Any, *names: str) -> list[Any]:
    """Return the list at the end of a path of members, an empty one if there is nothing.

    Raises:
        ProviderError: there is something else.
    """
    found = member(value, *names)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ProviderError(_unfit(found, ".".join(names), "a list"))
    return found


def _unfit(value: Any, where: str, wanted: str) -> str:
    kind = {dict: "object", list: "array", str: "string", float: "number", bool: "bool"}[type(value)]
    return f"json: cannot use {kind} as {wanted}{f' at {where}' if where else ''}"


def interval_seconds(interval: str) -> int:
    """Return how far a metric looks back, in whole seconds.

    Raises:
        ProviderError: the text is no duration.
    """
    try:
        return int(parse_duration(interval or INTERVAL).total_seconds())
    except InvalidDuration as err:
        raise ProviderError(str(err)) from None


def excerpt(text: str) -> str:
    """Return the beginning of what a server has said, as text that can be stored."""
    text = _SURROGATE.sub("\ufffd", text)
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}..."


def status_line(answer: HttpAnswer) -> str:
    """Return the status of an answer with its name: ``401 Unauthorized``."""
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)
