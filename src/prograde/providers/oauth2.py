"""OAuth 2 client credentials: a token for an identifier and a secret.

Servers differ in where they want the two. They are sent as HTTP Basic first and in the body if that is refused; what a
server wanted is remembered, and so is a token until shortly before it expires.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlencode

from prograde.api.analysis import OAuth2
from prograde.providers.errors import ProviderError
from prograde.providers.http import Http, HttpAnswer, HttpError

__all__ = ["Tokens"]

EARLY_SECONDS: Final = 10.0
"""A token is not used in its last moments: it has to outlive the request that carries it."""

MISSING: Final = "missing mandatory parameter in metric for OAuth2 setup"


class Tokens:
    """Fetches tokens and keeps them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[str, float]] = {}
        self._wants_body: set[str] = set()

    async def bearer(
        self,
        http: Http,
        config: OAuth2,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float,
        verifies: bool,
    ) -> str:
        """Return a token that is valid now.

        Raises:
            ProviderError: the configuration is incomplete, or no token is given out.
        """
        if not config.client_id or not config.client_secret:
            raise ProviderError(MISSING)
        key = (config.token_url, config.client_id, config.client_secret, config.scopes)
        kept = self._kept.get(key)
        now_seconds = asyncio.get_running_loop().time()
        if kept is not None and kept[1] > now_seconds:
            return kept[0]
        token, lives_seconds = await self._fetch(
            http, config, headers or {}, timeout_seconds=timeout_seconds, verifies=verifies
        )
        if lives_seconds is not None and lives_seconds > EARLY_SECONDS:
            self._kept[key] = (token, now_seconds + lives_seconds - EARLY_SECONDS)
        return token

    async def _fetch(
        self, http: Http, config: OAuth2, headers: Mapping[str, str], *, timeout_seconds: float, verifies: bool
    ) -> tuple[str, float | None]:
        in_body = config.token_url in self._wants_body
        answer = await self._ask(
            http, config, headers, in_body=in_body, timeout_seconds=timeout_seconds, verifies=verifies
        )
        if not _is_fine(answer) and not in_body:
            answer = await self._ask(
                http, config, headers, in_body=True, timeout_seconds=timeout_seconds, verifies=verifies
            )
            if _is_fine(answer):
                self._wants_body.add(config.token_url)
        if not _is_fine(answer):
            raise ProviderError(f"oauth2: cannot fetch token: {_status(answer)}\nResponse: {answer.text}")
        return _token_in(answer)

    @staticmethod
    async def _ask(
        http: Http,
        config: OAuth2,
        headers: Mapping[str, str],
        *,
        in_body: bool,
        timeout_seconds: float,
        verifies: bool,
    ) -> HttpAnswer:
        form = {"grant_type": "client_credentials"}
        if config.scopes:
            form["scope"] = " ".join(config.scopes)
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        if in_body:
            form |= {"client_id": config.client_id, "client_secret": config.client_secret}
        else:
            pair = f"{quote_plus(config.client_id)}:{quote_plus(config.client_secret)}"
            sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            return await http.request(
                "POST",
                config.token_url,
                headers={**sent, **headers},
                body=urlencode(form).encode(),
                timeout_seconds=timeout_seconds,
                verifies=verifies,
            )
        except HttpError as err:
            raise ProviderError(str(err)) from err


def _is_fine(answer: HttpAnswer) -> bool:
    return 200 <= answer.status < 300


def _status(answer: HttpAnswer) -> str:
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)


def _token_in(answer: HttpAnswer) -> tuple[str, float | None]:
    """Return the token of an answer, which is JSON or a form, and how long it lives."""
    try:
        found = json.loads(answer.text)
    except ValueError:
        found = dict(parse_qsl(answer.text))
    token = found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token:
        raise ProviderError("oauth2: server response missing access_token")
    try:
        return token, float(found["expires_in"])
    except (KeyError, TypeError, ValueError):
        return token, None
