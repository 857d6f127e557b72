"""`prograde undo`: put an earlier revision's pod template back into the Rollout."""

import copy
from collections.abc import Iterable
from typing import Any

import click
import msgspec

from prograde.api.meta import LabelSelector
from prograde.api.names import POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION
from prograde.api.podtemplate import remove_injected_anti_affinity
from prograde.api.selectors import format_selector
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, command
from prograde.cli.workload import WorkloadReference, workload_reference
from prograde.controller.resources import REPLICA_SETS, ROLLOUTS
from prograde.kube.client import JSON_PATCH
from prograde.kube.errors import KubeError

__all__ = ["find_revision", "is_contained", "template_to_restore", "undo", "undo_rollout"]

Json = dict[str, Any]

_METADATA_FIELDS = (
    ("canary", "canaryMetadata"),
    ("canary", "stableMetadata"),
    ("blueGreen", "activeMetadata"),
    ("blueGreen", "previewMetadata"),
)


@command(
    "undo",
    usage="ROLLOUT_NAME",
    text="Rollback to the previous rollout.",
    examples=(
        "# Undo a rollout\nprograde undo guestbook\n\n"
        "# Undo a rollout to revision 3\nprograde undo guestbook --to-revision=3"
    ),
)
@click.argument("name")
@click.option("--to-revision", type=int, default=0, help="The revision to rollback to. Default to 0 (last revision).")
@connection_flags
def undo(*, name: str, to_revision: int) -> None:
    async def work(session: Session) -> None:
        click.echo(await undo_rollout(session, name, to_revision), nl=False)

    in_session(work)


async def undo_rollout(session: Session, name: str, to_revision: int) -> str:
    """Restore the template of `to_revision` (0: the revision before the last); return the text to print.

    The text for "nothing to do" has no newline at its end, as existing scripts expect.

    Raises:
        CliError: there is no such revision, or it cannot be written.
    """
    rollout = _decode((await session.client.get(ROLLOUTS, session.namespace, name)).body)
    replica_set = find_revision(await _replica_sets_of(session, rollout), to_revision, name)
    own_template = (rollout.get("spec") or {}).get("template")
    if own_template is not None and _is_same_template(own_template, replica_set["spec"]["template"]):
        return f"skipped rollback (current template already matches revision {to_revision})"
    target = workload_reference(rollout) or WorkloadReference(ROLLOUTS, name, ("spec", "template"))
    operation = {
        "op": "replace",
        "path": "/" + "/".join(target.template_path),
        "value": template_to_restore(rollout, replica_set),
    }
    try:
        await session.client.patch(
            target.resource, session.namespace, target.name, [operation], content_type=JSON_PATCH
        )
    except KubeError as err:
        raise CliError(f"failed restoring revision {to_revision}: {getattr(err, 'message', err)}") from err
    return f"rollout '{name}' undo\n"


def find_revision(replica_sets: Iterable[Json], to_revision: int, name: str) -> Json:
    """Return the ReplicaSet of `to_revision`, or for 0 that of the second highest revision.

    A ReplicaSet without the annotation counts as revision 0; one whose annotation is no number is passed over.

    Raises:
        CliError: there is none.
    """
    by_revision = []
    for replica_set in replica_sets:
        text = (replica_set["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION, "0")
        try:
            by_revision.append((int(text), replica_set))
        except ValueError:
            continue
    if to_revision > 0:
        for revision, replica_set in by_revision:
            if revision == to_revision:
                return replica_set
        raise CliError(f"unable to find specified revision {to_revision} in history")
    if to_revision < 0 or len(by_revision) < 2:
        raise CliError(f'no revision found for rollout "{name}"')
    return sorted(by_revision, key=lambda entry: entry[0], reverse=True)[1][1]


def template_to_restore(rollout: Json, replica_set: Json) -> Json:
    """Return the ReplicaSet's pod template as a user would have written it.

    The hash label, the labels and annotations that the Rollout's strategy puts on pods of one role and the term that
    keeps new pods away from stable ones are not the user's, and would end up in every later revision.
    """
    template: Json = copy.deepcopy(replica_set["spec"]["template"])
    remove_injected_anti_affinity(template.get("spec") or {})
    metadata = template.get("metadata") or {}
    strategy = (rollout.get("spec") or {}).get("strategy") or {}
    own = (rollout.get("spec") or {}).get("template", {}).get("metadata") or {}
    for field in ("labels", "annotations"):
        values = metadata.get(field)
        if not values:
            continue
        values.pop(POD_TEMPLATE_HASH_LABEL, None)
        for kind, role in _METADATA_FIELDS:
            for key, value in ((strategy.get(kind) or {}).get(role, {}).get(field) or {}).items():
                if values.get(key) == value and key not in (own.get(field) or {}):
                    del values[key]
        if not values:
            del metadata[field]
    return template


def is_contained(wanted: Any, actual: Any) -> bool:
    """Say whether everything that `wanted` says holds in `actual`; empty and missing parts of `wanted` say nothing."""
    if isinstance(wanted, dict):
        if not wanted:
            return True
        return isinstance(actual, dict) and all(is_contained(value, actual.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not wanted:
            return True
        return (
            isinstance(actual, list)
            and len(wanted) <= len(actual)
            and all(is_contained(one, other) for one, other in zip(wanted, actual, strict=False))
        )
    return not wanted or wanted == actual


def _is_same_template(own: Json, other: Json) -> bool:
    return is_contained(_without_hash(own), _without_hash(other))


def _without_hash(template: Json) -> Json:
    copied = copy.deepcopy(template)
    ((copied.get("metadata") or {}).get("labels") or {}).pop(POD_TEMPLATE_HASH_LABEL, None)
    return copied


async def _replica_sets_of(session: Session, rollout: Json) -> list[Json]:
    selector = (rollout.get("spec") or {}).get("selector")
    text = format_selector(msgspec.convert(selector, LabelSelector)) if selector else ""
    listing = await session.client.list(REPLICA_SETS, session.namespace, label_selector=text)
    uid = rollout["metadata"]["uid"]
    return [
        replica_set
        for replica_set in map(_decode, listing.items)
        if any(o.get("controller") and o["uid"] == uid for o in replica_set["metadata"].get("ownerReferences") or ())
    ]


def _decode(body: bytes) -> Json:
    return msgspec.json.decode(body, type=dict[str, Any])
