"""`prograde plan`: the exact writes that the next reconcile would make, without making them.

    manifest ──▶ merged with the live object (dry run) ──▶ scene ──▶ the controller's own plan ──▶ writes, by field

With `-f` the plan is for what the cluster would hold if the manifest were applied: the Rollout itself, and the
Services, templates, workloads and routing objects beside it that it uses. Without, it is for the cluster as it is.
Nothing is ever written: the only requests that look like writes are dry runs, in which the API server merges and
validates.

A reconcile does one thing at a time, and the next one sees what came of it. So further passes can be shown as well, as
far as they follow from the writes alone; where pods have to start or end, that is where it ends.
"""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from prograde.api import codec
from prograde.api.manifests import Document, ManifestError, check_fields, load_documents
from prograde.api.names import ROLLOUT
from prograde.api.rollout import Rollout
from prograde.api.validation import validate_rollout
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags, connection_of
from prograde.cli.framework import CliError, WrongArguments, command, flag
from prograde.cli.get import wants_colour
from prograde.cli.merging import Merged, merge_manifest
from prograde.cli.observe import not_found
from prograde.cli.outcome import WIDTH, Applied, Outcome, Pass, structured, text_of
from prograde.cli.relatives import Relatives, Scene, decide, read_relatives, read_scene
from prograde.cli.writes import carried_out, changes_between, replaced, writes_of
from prograde.controller.resources import (
    ANALYSIS_TEMPLATES,
    CLUSTER_ANALYSIS_TEMPLATES,
    ROLLOUTS,
    SERVICES,
    resource_of,
)
from prograde.core.objects import ObjectKind, ObjectRef, Objects
from prograde.kube.client import Client
from prograde.kube.errors import NotFound
from prograde.kube.resources import Resource
from prograde.traffic.registry import routers_of

__all__ = ["plan", "plan_file", "plan_live"]

PASSES_MAX: Final = 50
"""More than any update makes without a pod having changed."""

EXIT_WRITES: Final = 2
"""The exit code when there would be writes; 1 is an error, as everywhere."""

_LISTED = {resource.kind: resource for resource in (SERVICES, ANALYSIS_TEMPLATES, CLUSTER_ANALYSIS_TEMPLATES)}
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Json = dict[str, Any]


@command(
    "plan",
    usage=["-f FILENAME [flags]", "ROLLOUT_NAME [flags]"],
    text="Show the exact writes that the next reconcile of a rollout would make, without making them: for the cluster "
    "as it would be if the manifests were applied, or, without -f, for the cluster as it is.\n\n"
    "The exit code is 0 when nothing would be written, 2 when something would be, and 1 when that cannot be said or "
    "the rollout would be invalid, so that a pull-request check can tell them apart.",
    examples="# What would this manifest do?\nprograde plan -f rollout.yaml\n\n"
    "# Also what would follow, until pods have to start or end\nprograde plan -f rollout.yaml --until-quiet\n\n"
    "# What is the controller about to do?\nprograde plan guestbook\n\n"
    "# Every patch in full\nprograde plan -f rollout.yaml -o json",
)
@click.argument("name", required=False, default="")
@click.option("-f", "--filename", "files", multiple=True, metavar="string",
              help="File or directory with the manifests; - for the standard input")  # fmt: skip
@click.option("--passes", type=click.IntRange(1, PASSES_MAX), default=1, help="How many reconciles to show")
@flag("--until-quiet", help="Show reconciles until one writes nothing")
@flag("--no-color", help="Do not colorize output")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text",
              help="Output format: text, json or yaml")  # fmt: skip
@connection_flags
@click.pass_context
def plan(
    ctx: click.Context,
    *,
    name: str,
    files: tuple[str, ...],
    passes: int,
    until_quiet: bool,
    no_color: bool,
    output: str,
) -> int:
    if not name and not files:
        raise WrongArguments("name a rollout or a file", ctx)
    documents = [document for file in files for document in _documents(file)]
    _check_namespaces(documents, connection_of().namespace)
    outcomes: list[Outcome] = []
    limit = PASSES_MAX if until_quiet else passes

    async def work(session: Session) -> None:
        now = datetime.now(UTC)
        if documents or files:
            outcomes.extend(await plan_file(session, documents, now, name=name, passes=limit))
        else:
            outcomes.append(await plan_live(session, name, now, passes=limit))

    in_session(work)
    colour = output == "text" and wants_colour(no_color)
    if output == "text":
        width = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH
        now = datetime.now(UTC)
        click.echo("\n\n".join(text_of(each, now, width=width, colour=colour) for each in outcomes))
    else:
        click.echo(structured(outcomes, output))
    failed = next((each.error for each in outcomes if each.error), "")
    if failed:
        raise CliError(failed)
    return EXIT_WRITES if any(each.has_writes for each in outcomes) else 0


# ---- Files ----------------------------------------------------------------------------------------------------------


def _documents(file: str) -> Iterator[Document]:
    """Yield the documents of a file, of the manifests in a directory, or of the standard input; lists are unpacked.

    Raises:
        CliError: it cannot be read, or is no manifest.
    """
    try:
        if file == "-":
            yield from _unpacked(load_documents(sys.stdin.buffer.read(), "<stdin>"))
            return
        path = Path(file)
        manifests = sorted(path.iterdir()) if path.is_dir() else [path]
        for each in manifests:
            if each == path or each.suffix in (".yaml", ".yml", ".json"):
                yield from _unpacked(load_documents(each.read_bytes(), str(each)))
    except (ManifestError, OSError) as err:
        raise CliError(str(err)) from err


def _unpacked(documents: Sequence[Document]) -> Iterator[Document]:
    for document in documents:
        items = document.value.get("items") if isinstance(document.value, dict) else None
        if isinstance(items, list) and str(document.value.get("kind", "")).endswith("List"):
            yield from (Document(item, document.source, document.line, None, ()) for item in items)
        else:
            yield document


def _checked(document: Document) -> Json:
    """Return the object of a document.

    Raises:
        CliError: it is no object with a kind and a name.
    """
    value = document.value
    where = f"{document.source}:{document.line}"
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise CliError(f"{where}: not an object of Kubernetes: kind is missing")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise CliError(f"{where}: {value['kind']}: metadata.name is missing")
    return value


def _namespace_of(manifest: Json, session: Session) -> str:
    return manifest["metadata"].get("namespace") or session.namespace


def _check_namespaces(documents: Sequence[Document], asked: str) -> None:
    """Refuse to look for an object in two places.

    Raises:
        CliError: a manifest names another namespace than the flag, `asked`.
    """
    for document in documents:
        metadata = _checked(document)["metadata"]
        stated = metadata.get("namespace") or asked
        if asked and stated != asked:
            raise CliError(
                f"{document.value['kind']} {metadata['name']}: metadata.namespace is {stated}, and --namespace asks "
                f"for {asked}; use one of them"
            )


def _refuse(document: Document, rollout: Rollout | None = None) -> None:
    """Print everything that is wrong with a Rollout's manifest.

    Raises:
        CliError: something is. `rollout` is what it becomes with all defaults; None checks the fields only.
    """
    if rollout is None:
        found = [(each.line, f"{each.path}: {each.message}") for each in check_fields(document, Rollout)]
    else:
        found = [(document.line_of(_path(each.path)), str(each)) for each in validate_rollout(rollout)]
    if found:
        for line, text in found:
            click.echo(f"{document.source}:{line}: {text}", err=True)
        problems = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        raise CliError(f"{document.source}: Rollout {document.value['metadata']['name']} has {problems}")


def _path(text: str) -> tuple[str | int, ...]:
    return tuple(int(number) if number else key for key, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", text) or ())


# ---- Planning -------------------------------------------------------------------------------------------------------


async def plan_live(session: Session, name: str, now: datetime, *, passes: int = 1) -> Outcome:
    """Return what the controller would do next about a Rollout as it is.

    Raises:
        CliError: there is no such Rollout.
    """
    body = await _live(session.client, session.namespace, name)
    return await _plan_with(session, body, [], [], [], session.namespace, now, passes)


async def _live(client: Client, namespace: str, name: str) -> bytes:
    try:
        return (await client.get(ROLLOUTS, namespace, name)).body
    except NotFound as err:
        raise not_found(name) from err


async def plan_file(
    session: Session, documents: Sequence[Document], now: datetime, *, name: str = "", passes: int = 1
) -> list[Outcome]:
    """Return what the controller would do next about the Rollouts of the manifests, were these applied.

    With `name` it is about that Rollout alone, which need not be among them.

    Raises:
        CliError: a manifest is wrong, or there is no Rollout to plan for.
    """
    manifests = [(document, _checked(document)) for document in documents]
    outcomes = []
    for document, manifest in manifests:
        if manifest["kind"] == ROLLOUT and name in ("", manifest["metadata"]["name"]):
            others = [other for _, other in manifests if other is not manifest]
            outcomes.append(await _plan_one(session, document, others, now, passes))
    if not outcomes:
        if not name:
            raise CliError("there is no Rollout in the manifests; name the one to plan for")
        others = [other for _, other in manifests]
        body = await _live(session.client, session.namespace, name)
        outcomes.append(await _plan_with(session, body, [], [], others, session.namespace, now, passes))
    return outcomes


async def _plan_one(
    session: Session, document: Document, others: Sequence[Json], now: datetime, passes: int
) -> Outcome:
    manifest: Json = document.value
    _refuse(document)
    namespace = _namespace_of(manifest, session)
    merged = await merge_manifest(session.client, ROLLOUTS, namespace, manifest, now)
    body = msgspec.json.encode(merged.result)
    _refuse(document, codec.decode(body, Rollout))
    applied, notes = [_applied(manifest, merged)], _notes(manifest, merged)
    return await _plan_with(session, body, applied, notes, others, namespace, now, passes)


async def _plan_with(
    session: Session,
    body: bytes,
    applied: list[Applied],
    notes: list[str],
    others: Sequence[Json],
    namespace: str,
    now: datetime,
    passes: int,
) -> Outcome:
    """Plan for a Rollout with the other manifests in force, as far as it looks at them.

    Raises:
        CliError: the Rollout cannot be read; its controller would leave it alone.
    """
    client = session.client
    _, problems = codec.decode_object(body, Rollout)
    if problems:
        raise CliError(f"{problems[0]}; its controller leaves the Rollout alone")
    scene = await read_scene(client, body, await read_relatives(client, namespace))
    resources = _resources(scene)
    unused = []
    for manifest in others:
        resource = resources.get(manifest["kind"])
        if manifest["kind"] == ROLLOUT:
            continue
        if resource is None or (resource.namespaced and _namespace_of(manifest, session) != namespace):
            unused.append(f"{manifest['kind']} {manifest['metadata']['name']}")
            continue
        merged = await merge_manifest(client, resource, namespace, manifest, now)
        notes += _notes(manifest, merged)
        applied.append(_applied(manifest, merged))
        scene = _put(scene, resource, merged.result)
    if unused:
        notes.append(f"not looked at by this Rollout: {', '.join(unused)}")
    outcome = _outcome(scene, now, passes)
    return msgspec.structs.replace(outcome, applied=tuple(applied), notes=tuple(notes))


def _notes(manifest: Json, merged: Merged) -> list[str]:
    what = f"{manifest['kind']} {manifest['metadata']['name']}"
    if not merged.is_from_server:
        return [f"{what}: no dry run is allowed, so it is merged here, without the server's defaults and validation"]
    if merged.conflict:
        return [f"{what}: can only be applied by force, which is what is shown: {merged.conflict}"]
    return []


def _resources(scene: Scene) -> Mapping[str, Resource]:
    """Return the kinds that matter to a Rollout, and where they are found."""
    wanted = [router.wanted() for router in routers_of(codec.decode(scene.rollout, Rollout))]
    kinds = {ref.kind for each in wanted for ref in each.refs} | {
        selection.kind for each in wanted for selection in each.selections
    }
    found = {**_LISTED, **{kind.kind: resource_of(kind, {}) for kind in kinds}}
    if scene.workload_resource is not None:
        found[scene.workload_resource.kind] = scene.workload_resource
    return found


def _put(scene: Scene, resource: Resource, obj: Json) -> Scene:
    name = obj["metadata"]["name"]
    if resource in _LISTED.values():
        relatives: Relatives = replaced(scene.relatives, resource, name, obj)
        return msgspec.structs.replace(scene, relatives=relatives)
    if resource == scene.workload_resource:
        reference = codec.decode(scene.rollout, Rollout).spec.workload_ref
        is_ours = reference is not None and reference.name == name
        return msgspec.structs.replace(scene, workload=msgspec.json.encode(obj)) if is_ours else scene
    kind = ObjectKind(resource.group, resource.version, resource.plural, resource.kind)
    ref = ObjectRef(kind, obj["metadata"].get("namespace") or scene.relatives.namespace, name)
    objects = Objects(found={**scene.objects.found, ref: obj}, unserved=scene.objects.unserved)
    return msgspec.structs.replace(scene, objects=objects)


def _applied(manifest: Json, merged: Merged) -> Applied:
    changes = () if merged.live is None else changes_between(_plain(merged.live), _plain(merged.result))
    return Applied(
        object=f"{manifest['kind']} {manifest['metadata']['name']}",
        is_new=merged.live is None,
        changes=tuple(changes),
    )


def _plain(obj: Json) -> Json:
    """Return what people have a say in."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_FIELDS}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != _LAST_APPLIED}
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    return {"metadata": {**metadata, "annotations": annotations}, **rest}


def _outcome(scene: Scene, now: datetime, passes: int) -> Outcome:
    """Plan, and plan again for what the writes leave behind, as often as asked or until nothing is written."""
    shown: list[Pass] = []
    while len(shown) < passes:
        decided = decide(scene.snapshot(), now)
        writes = writes_of(decided, scene)
        if shown and not writes and not decided.error:
            break
        shown.append(
            Pass(
                writes=writes,
                events=decided.all_events,
                waits=decided.waits,
                requeue_at=decided.requeue_at,
                error=decided.error,
            )
        )
        if not writes:
            break
        scene = carried_out(scene, writes, now)
    metadata = codec.decode(scene.rollout, Rollout).metadata
    return Outcome(name=metadata.name, namespace=metadata.namespace or scene.relatives.namespace, passes=tuple(shown))
