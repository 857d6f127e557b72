"""Lists: what a request may ask of one, which snapshot answers it, and how pages continue.

A list shows one moment. A page's token says which moment and where to go on, so that all pages of a list fit together
whatever was written in between; when that moment has been compacted, the answer (410) carries a token that goes on from
the present instead.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeAlias

import msgspec

from prograde.sandbox.errors import Cause, StatusError
from prograde.sandbox.kinds import Kind
from prograde.sandbox.selection import Selection, parse_selection
from prograde.sandbox.store import Bucket, Compacted, Entry, Store

__all__ = ["ListOptions", "Page", "list_page", "parse_list_options", "wait_for_revision"]

Match: TypeAlias = Literal["", "NotOlderThan", "Exact"]

FUTURE_WAIT_SECONDS = 3.0
"""How long a list for a revision that does not exist yet waits for it, as the real watch cache does."""

_EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class _Token(msgspec.Struct):
    """What a continue token means."""

    revision: int
    after: str


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of a list or a watch. `revision` is None when the request names none (or an empty one)."""

    selection: Selection = field(default_factory=Selection)
    revision: int | None = None
    match: Match = ""
    limit: int = 0
    continuation: _Token | None = None
    is_watch: bool = False
    allows_bookmarks: bool = False
    sends_initial_events: bool | None = None
    timeout_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order, as of `revision`; `token` and `remaining` when there are more."""

    entries: list[Entry]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, str | int]:
        """Return the ListMeta of this page."""
        metadata: dict[str, str | int] = {"resourceVersion": str(self.revision)}
        if self.token:
            metadata["continue"] = self.token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def parse_list_options(kind: Kind, namespace: str | None, query: Mapping[str, str]) -> ListOptions:
    """Read list and watch options.

    Raises:
        StatusError: 400 for values that cannot be read, 422 for combinations that make no sense.
    """
    is_watch = query.get("watch", "") in ("1", "true", "True")
    text = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    token = query.get("continue", "")
    initial = query.get("sendInitialEvents", "")
    problems = _combination_problems(text, match, token, initial, is_watch=is_watch)
    if problems:
        raise StatusError.invalid("meta.k8s.io", "ListOptions", "", problems)
    return ListOptions(
        selection=parse_selection(kind, namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")),
        revision=_number("resourceVersion", text) if text else None,
        match=match,  # type: ignore[arg-type]  # checked above
        limit=_number("limit", query.get("limit") or "0"),
        continuation=_parse_token(token) if token else None,
        is_watch=is_watch,
        allows_bookmarks=query.get("allowWatchBookmarks", "") in ("1", "true", "True"),
        sends_initial_events={"": None, "true": True, "True": True, "1": True}.get(initial, False),
        timeout_seconds=_number("timeoutSeconds", query.get("timeoutSeconds") or "0"),
    )


async def wait_for_revision(store: Store, revision: int) -> None:
    """Return as soon as the store has reached `revision`.

    Raises:
        StatusError: 504, it was not reached in three seconds.
    """
    if revision <= store.revision:
        return
    reached = asyncio.Event()

    def wake() -> None:
        if store.revision >= revision:
            reached.set()

    store.wakers[reached] = wake
    try:
        async with asyncio.timeout(FUTURE_WAIT_SECONDS):
            await reached.wait()
    except TimeoutError:
        message = f"Too large resource version: {revision}, current: {store.revision}"
        causes = [Cause("ResourceVersionTooLarge", "Too large resource version")]
        raise StatusError(504, "Timeout", f"Timeout: {message}", causes=causes, retry_after_seconds=1) from None
    finally:
        del store.wakers[reached]


def list_page(store: Store, bucket: Bucket, options: ListOptions) -> Page:
    """Return one page of the objects that `options` ask for; the revision asked for must have been reached.

    Raises:
        StatusError: 410, the snapshot asked for is no longer known.
    """
    selection, token = options.selection, options.continuation
    past = token.revision if token is not None else options.revision if options.match == "Exact" else None
    revision = store.revision if past is None else past
    after = token.after if token is not None else ""
    try:
        if past is None and not after:
            found = iter(selection.find(bucket))
        else:
            scanned = bucket.scan(selection.namespace, after=after, revision=past if past != store.revision else None)
            found = (entry for entry in scanned if selection.is_everything or selection.matches(entry.obj))
        entries = list(islice(found, options.limit)) if options.limit else list(found)
        rest = list(found) if options.limit and len(entries) == options.limit else []
    except Compacted as err:
        if token is None:
            raise StatusError(410, "Expired", str(err)) from err
        fresh = _format_token(_Token(store.revision, token.after))
        raise StatusError(410, "Expired", _EXPIRED_CONTINUE, continue_token=fresh) from err
    if not rest:
        return Page(entries, revision)
    remaining = len(rest) if selection.is_everything else None
    return Page(entries, revision, _format_token(_Token(revision, entries[-1].key)), remaining)


def _combination_problems(text: str, match: str, token: str, initial: str, *, is_watch: bool) -> list[Cause]:
    def forbidden(name: str, why: str) -> Cause:
        return Cause("FieldValueForbidden", f"Forbidden: {why}", name)

    problems = []
    if initial and not is_watch:
        problems.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if initial and is_watch and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        problems.append(forbidden("resourceVersionMatch", why))
    if not match:
        return problems
    if match not in ("NotOlderThan", "Exact"):
        supported = 'supported values: "Exact", "NotOlderThan"'
        text_ = f'Unsupported value: "{match}": {supported}'
        return [*problems, Cause("FieldValueNotSupported", text_, "resourceVersionMatch")]
    if is_watch and not initial:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        problems.append(forbidden("resourceVersionMatch", why))
    if is_watch:
        return problems
    if not text:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        problems.append(forbidden("resourceVersionMatch", why))
    elif match == "Exact" and text == "0":
        why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        problems.append(forbidden("resourceVersionMatch", why))
    if token:
        why = "resourceVersionMatch is forbidden when continue is provided"
        problems.append(forbidden("resourceVersionMatch", why))
    return problems


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise StatusError.bad_request(f'{name}: Invalid value: "{text}": must be a whole number')
    return int(text)


def _format_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _parse_token(text: str) -> _Token:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Token)
    except (ValueError, msgspec.DecodeError) as err:
        raise StatusError.bad_request("continue key is not valid: it was not given by this server") from err
