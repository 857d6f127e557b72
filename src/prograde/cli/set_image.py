"""`prograde set image`: change the image of a container, in the Rollout or in the workload that it refers to."""

import copy
from typing import Any, Final

import click
import msgspec

from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, Entry, KubectlGroup, WrongArguments, command
from prograde.cli.workload import WorkloadReference, workload_reference
from prograde.controller.resources import ROLLOUTS
from prograde.kube.errors import Conflict

__all__ = ["set_", "set_image", "update_image", "with_image"]

ATTEMPTS_MAX: Final = 5
"""How often a conflicting write is repeated on what is there by then."""

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def with_image(obj: dict[str, Any], container: str, image: str, template_path: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of `obj` in which every container of this name (all for ``*``) has `image`.

    Raises:
        CliError: there is no such container.
    """
    changed = copy.deepcopy(obj)
    at: Any = changed
    for key in (*template_path, "spec"):
        at = at.get(key) or {}
    found = False
    for listed in _CONTAINER_LISTS:
        for entry in at.get(listed) or ():
            if container in ("*", entry.get("name")):
                entry["image"] = image
                found = True
    if not found:
        raise CliError(f'unable to find container named "{container}"')
    return changed


@command(
    "image",
    usage="ROLLOUT_NAME CONTAINER=IMAGE",
    text="Update the image of a rollout.",
    examples="# Set rollout image (containers contains 'web')\nprograde set image my-rollout web=nginx:1.27",
)
@click.argument("name")
@click.argument("assignment", metavar="CONTAINER=IMAGE")
@connection_flags
@click.pass_context
def set_image(ctx: click.Context, *, name: str, assignment: str) -> None:
    parts = assignment.split("=")
    if len(parts) != 2:
        raise WrongArguments(f"{assignment} is not CONTAINER=IMAGE", ctx)
    container, image = parts
    if not image:
        raise CliError(f"{assignment}: the image is empty; give it as CONTAINER=IMAGE")

    async def work(session: Session) -> None:
        kind, shown = await update_image(session, name, container, image)
        click.echo(f'{kind} "{shown}" image updated')

    in_session(work)


async def update_image(session: Session, name: str, container: str, image: str) -> tuple[str, str]:
    """Read, change and replace; on a conflict the same again. Return kind and name of what was changed."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        rollout = _decode((await session.client.get(ROLLOUTS, session.namespace, name)).body)
        reference = workload_reference(rollout) or WorkloadReference(ROLLOUTS, name, ("spec", "template"))
        obj = rollout
        if reference.resource is not ROLLOUTS:
            obj = _decode((await session.client.get(reference.resource, session.namespace, reference.name)).body)
        changed = with_image(obj, container, image, reference.template_path)
        try:
            await session.client.update(reference.resource, session.namespace, reference.name, changed)
        except Conflict:
            if attempt == ATTEMPTS_MAX:
                raise
            continue
        return reference.resource.kind.lower(), reference.name
    raise AssertionError("the last attempt returns or raises")


def _decode(body: bytes) -> dict[str, Any]:
    return msgspec.json.decode(body, type=dict[str, Any])


set_ = KubectlGroup(
    "set",
    {"image": Entry("prograde.cli.set_image:set_image", "Update the image of a rollout")},
    usage_lines=("<image> [flags]", "[command]"),
    help="This command consists of multiple subcommands which can be used to update rollout resources.",
)
