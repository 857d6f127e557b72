"""`prograde explain`: what a Rollout is waiting for, since when, until when, and what would unblock it.

Nothing is guessed from outside. The command reads what the controller would read, makes the same plan, and prints the
plan's own reasons; that nobody carries the plan out is found by `diagnosis`. It changes nothing.

The first line is the whole answer: what is the matter, the object and the field that decide, since when, what would
unblock it, and when the controller looks again. Further lines hold further reasons and what is known of the controller.
"""

import asyncio
import difflib
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click
import msgspec

from prograde.api import codec, names
from prograde.api.ages import human_duration
from prograde.api.manifests import dump_yaml
from prograde.api.meta import ObjectMeta
from prograde.api.rollout import Rollout
from prograde.cli.connect import Session, in_session, stop_on_signals
from prograde.cli.diagnosis import (
    Autoscaler,
    Blocker,
    Budget,
    ControllerSign,
    Diagnosis,
    Surroundings,
    diagnose,
    unreadable,
)
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, WrongArguments, command, flag
from prograde.cli.get import wants_colour
from prograde.cli.observe import not_found
from prograde.cli.relatives import Relatives, decide, last_change, read_relatives, read_scene
from prograde.controller.resources import ROLLOUTS
from prograde.controller.settings import DEFAULT_NAMESPACE, LEASE_NAME
from prograde.kube.client import Client
from prograde.kube.errors import Forbidden, NotFound
from prograde.kube.resources import LEASES, Resource

__all__ = ["examine", "explain", "explanation", "first_line"]

T = TypeVar("T")

BUDGETS: Final = Resource(group="policy", plural="poddisruptionbudgets", kind="PodDisruptionBudget")
AUTOSCALERS: Final = Resource(
    group="autoscaling", version="v2", plural="horizontalpodautoscalers", kind="HorizontalPodAutoscaler"
)

WATCH_SECONDS: Final = 2.0
"""How often a watch looks: a person notices no difference to at once, and a look is a handful of lists."""

EXIT_WAITING: Final = 2
"""The exit code for a Rollout that waits; 1 is an error, as everywhere."""

_BOLD, _RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_SEPARATOR, _INDENT = " · ", "  "


@command(
    "explain",
    usage=["ROLLOUT_NAME... [flags]", "--all [flags]"],
    text="Explain what a rollout is waiting for: the object and the field that decide, since when, what would unblock "
    "it, and when the controller looks again. Reads the cluster and makes the controller's own plan, without carrying "
    "it out. The first line names the true blocker; further reasons and the state of the controller follow.",
    examples="# Why is it waiting?\nprograde explain guestbook\n\n# All rollouts of the namespace\n"
    "prograde explain --all\n\n# Follow it until it waits for nothing\nprograde explain guestbook --watch\n\n"
    "# For a script: exit code 0 when it waits for nothing, 2 when it waits, 1 when that is not known\n"
    "prograde explain guestbook --exit-code -o json",
)
@click.argument("name", nargs=-1)
@flag("--all", "is_all", help="Explain all rollouts of the namespace")
@flag("-A", "--all-namespaces", help="Explain all rollouts of all namespaces")
@flag("-w", "--watch", help="Print again whenever the answer changes, until nothing is waited for")
@flag("--exit-code", help="Exit with 2 when a rollout waits for something")
@flag("--no-color", help="Do not colorize output")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text",
              help="Output format: text, json or yaml")  # fmt: skip
@connection_flags
@click.pass_context
def explain(
    ctx: click.Context,
    *,
    name: tuple[str, ...],
    is_all: bool,
    all_namespaces: bool,
    watch: bool,
    exit_code: bool,
    no_color: bool,
    output: str,
) -> int:
    if bool(name) == (is_all or all_namespaces):
        raise WrongArguments("name rollouts, or ask for all", ctx)
    colour = output == "text" and wants_colour(no_color)
    latest: list[Diagnosis] = []

    def show(found: Sequence[Diagnosis], now: datetime) -> str:
        if output != "text":
            return _structured(found, output, is_single=len(name) == 1)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return "\n\n".join(explanation(each, now, width=width, colour=colour) for each in found)

    async def look(session: Session) -> tuple[Sequence[Diagnosis], datetime]:
        now = datetime.now(UTC)
        if name:
            found = await examine(session.client, session.namespace, name, now)
        else:
            found = await _examine_all(session.client, "" if all_namespaces else session.namespace, now)
        latest[:] = found
        return found, now

    async def work(session: Session) -> None:
        if not watch:
            found, now = await look(session)
            if found:
                click.echo(show(found, now))
            else:
                click.echo("No resources found.", err=True)
            return
        async with stop_on_signals() as stop:
            before = ""
            while not stop.is_set():
                found, now = await look(session)
                if _without_ages(found) != before:
                    before = _without_ages(found)
                    click.echo(show(found, now))
                if not any(each.waits for each in found):
                    return
                await _pause(stop, WATCH_SECONDS)

    in_session(work)
    return EXIT_WAITING if exit_code and any(each.waits for each in latest) else 0


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _without_ages(found: Sequence[Diagnosis]) -> str:
    """Return what makes an answer another one; that time passes does not."""
    return repr([(each.phase, each.message, [(wait.reason, wait.object) for wait in each.waits]) for each in found])


# ---- Reading --------------------------------------------------------------------------------------------------------


async def examine(client: Client, namespace: str, wanted: Sequence[str], now: datetime) -> list[Diagnosis]:
    """Return the answers about the named Rollouts, in that order.

    Raises:
        CliError: there is no such Rollout; says what there is instead.
        ApiError: something that decides may not be read.
    """
    bodies = []
    for name in wanted:
        try:
            bodies.append((await client.get(ROLLOUTS, namespace, name)).body)
        except NotFound as err:
            raise await _missing(client, namespace, name) from err
    relatives, signs = await read_relatives(client, namespace), _Signs(client)
    return [await _examine_one(client, body, relatives, signs, now) for body in bodies]


async def _examine_all(client: Client, namespace: str, now: datetime) -> list[Diagnosis]:
    """Return the answers about all Rollouts of a namespace, of all namespaces for an empty one."""
    found = []
    relatives: dict[str, Relatives] = {}
    signs = _Signs(client)
    for body in (await client.list(ROLLOUTS, namespace)).items:
        where = codec.decode(body, _Named).metadata.namespace
        if where not in relatives:
            relatives[where] = await read_relatives(client, where)
        found.append(await _examine_one(client, body, relatives[where], signs, now))
    return found


async def _missing(client: Client, namespace: str, name: str) -> CliError:
    """Return the error for a Rollout that does not exist, with what the user may have meant."""
    error = not_found(name)
    try:
        there = [codec.decode(item, _Named).metadata.name for item in (await client.list(ROLLOUTS, namespace)).items]
    except NotFound:
        return CliError(f"{error}: the cluster does not know Rollouts; install the CustomResourceDefinitions first")
    except Forbidden:
        return error
    close = difflib.get_close_matches(name, there, n=1)
    if close:
        return CliError(f"{error} in namespace {namespace}; did you mean {close[0]}?")
    return CliError(f"{error} in namespace {namespace}, which has {', '.join(there[:5]) or 'no rollouts'}")


class _Named(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


async def _examine_one(client: Client, body: bytes, relatives: Relatives, signs: "_Signs", now: datetime) -> Diagnosis:
    rollout, problems = codec.decode_object(body, Rollout)
    sign = await signs.of(rollout)
    if problems:
        around = Surroundings(rollout=body, controller=sign)
        first = problems[0]
        return unreadable(
            rollout.metadata.name, rollout.metadata.namespace, first.path, f"{first.path}: {first.message}", around
        )
    scene = await read_scene(client, body, relatives)
    snapshot = scene.snapshot()
    is_at_zero = rollout.spec.replicas == 0
    around = Surroundings(
        rollout=body,
        controller=sign,
        changed_at=last_change(scene, snapshot),
        budgets=await _helpful(client, BUDGETS, relatives.namespace, Budget) if rollout.spec.restart_at else (),
        autoscalers=await _helpful(client, AUTOSCALERS, relatives.namespace, Autoscaler) if is_at_zero else (),
    )
    return diagnose(snapshot, lambda at: decide(snapshot, at), around, now)


async def _helpful(client: Client, resource: Resource, namespace: str, kind: type[T]) -> tuple[T, ...]:
    try:
        return tuple((await client.list(resource, namespace)).to(kind))
    except (Forbidden, NotFound):
        return ()


class _LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    renew_time: datetime | None = None


class _Lease(msgspec.Struct, frozen=True):
    spec: _LeaseSpec = _LeaseSpec()


class _Signs:
    """The leases of the controllers that should look after Rollouts, each read once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], ControllerSign] = {}

    async def of(self, rollout: Rollout) -> ControllerSign:
        """Look for the lease in its usual places: the controller's own namespace, and that of the Rollout."""
        instance = rollout.metadata.labels.get(names.INSTANCE_ID_LABEL, "")
        key = (f"{LEASE_NAME}-{instance}" if instance else LEASE_NAME, rollout.metadata.namespace)
        if key not in self._known:
            self._known[key] = await self._read(*key)
        return self._known[key]

    async def _read(self, name: str, namespace: str) -> ControllerSign:
        is_readable = True
        for place in dict.fromkeys((DEFAULT_NAMESPACE, namespace)):
            try:
                spec = (await self._client.get(LEASES, place, name)).to(_Lease).spec
            except NotFound:
                continue
            except Forbidden:
                is_readable = False
                continue
            holder, renewed_at = spec.holder_identity or "", spec.renew_time
            return ControllerSign(lease=name, namespace=place, holder=holder, renewed_at=renewed_at)
        return ControllerSign(lease=name, is_readable=is_readable)


# ---- Showing --------------------------------------------------------------------------------------------------------


def first_line(found: Diagnosis, now: datetime, *, width: int | None = None) -> str:
    """Return the whole answer in one line: what, which object and field, since when, the remedy, the next look.

    A line that is longer than `width` goes on in indented lines; None means that it may be of any length.
    """
    return _wrapped(_first_parts(found, now), width, "")


def explanation(found: Diagnosis, now: datetime, *, width: int | None = None, colour: bool = False) -> str:
    """Return the text: the most important reason in the first line, the others and the controller below.

    A line that is longer than `width` goes on in indented lines; None means that lines may be of any length.
    """
    lines = [(_first_parts(found, now), _BOLD + _colour_of(found))]
    rest = found.waits[1:] if found.waits else found.notes[1:]
    lines += [([f"also: {each.message}", *_details(each, now)], "") for each in rest]
    if found.controller is not None and (found.waits or found.controller.is_stale(now)):
        lines.append(([f"controller: {found.controller.text(now)}"], _DIM))
    return "\n".join(_wrapped(parts, width, paint if colour else "") for parts, paint in lines)


def _colour_of(found: Diagnosis) -> str:
    if found.waits and found.waits[0].reason in ("ControllerIdle", "Unreadable"):
        return _RED
    return {names.PHASE_HEALTHY: _GREEN, names.PHASE_DEGRADED: _RED}.get(found.phase, _YELLOW)


def _first_parts(found: Diagnosis, now: datetime) -> list[str]:
    name = f"Rollout {found.namespace}/{found.name}"
    if found.waits:
        return [
            f"{name} is {found.phase}: {found.waits[0].message}",
            *_details(found.waits[0], now, is_first=True),
            _next(found, now),
        ]
    if found.notes:
        note = found.notes[0]
        return [f"{name} is {found.phase} and waits for nothing: {note.message}", *_details(note, now, is_first=True)]
    return [f"{name} is {found.phase} and waits for nothing"]


def _details(blocker: Blocker, now: datetime, *, is_first: bool = False) -> list[str]:
    parts = [", ".join(each for each in (blocker.object, blocker.field) if each)]
    if blocker.since is not None:
        parts.append(f"for {human_duration(now - blocker.since)} (since {_stamp(blocker.since)})")
    if blocker.until is not None and blocker.until > now:
        parts.append(f"ends by itself in {human_duration(blocker.until - now)} (at {_stamp(blocker.until)})")
    parts.append(blocker.remedy or ("nothing to do but wait" if is_first and blocker.until is None else ""))
    return [part for part in parts if part]


def _next(found: Diagnosis, now: datetime) -> str:
    if not found.is_watched:
        return "nobody looks again"
    if found.is_retried:
        return "tried again with growing pauses"
    if found.requeue_at is None:
        return "looks again at the next change"
    return f"looks again in {human_duration(max(found.requeue_at, now) - now)}, and at the next change"


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _wrapped(parts: Sequence[str], width: int | None, paint: str) -> str:
    """Put the parts into lines of `width` columns, the first part painted; only a part that is too long is broken."""
    lines, painted = [""], (0, 0)
    for part in parts:
        pieces = part.split(" ") if width is not None and len(part) > width - len(_INDENT) else [part]
        for position, piece in enumerate(pieces):
            glue = "" if not lines[-1] else _SEPARATOR if position == 0 else " "
            if width is not None and lines[-1] and len(lines[-1]) + len(glue) + len(piece) > width:
                lines.append(_INDENT + piece)
            else:
                lines[-1] += glue + piece
        if part is parts[0]:
            painted = len(lines) - 1, len(lines[-1])
    if paint:
        last, end = painted
        lines[last] = f"{paint}{lines[last][:end]}{_PLAIN}{lines[last][end:]}"
        lines[:last] = [f"{paint}{line}{_PLAIN}" for line in lines[:last]]
    return "\n".join(lines)


def _structured(found: Sequence[Diagnosis], output: str, *, is_single: bool) -> str:
    value: Any = msgspec.to_builtins(found[0] if is_single else list(found))
    if output == "yaml":
        return dump_yaml(value).rstrip("\n")
    return msgspec.json.encode(value).decode()
