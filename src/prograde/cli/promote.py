"""`prograde promote`: go on to the next step, or to the end.

What to patch depends on where the Rollout stands; `promotion` decides it purely, for the dashboard as well.
"""

from typing import Any

import click
import msgspec

from prograde.api.rollout import Rollout
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, command, flag
from prograde.controller.resources import ROLLOUTS
from prograde.kube.errors import NotFound

__all__ = ["Promotion", "promote", "promotion"]

Patch = dict[str, Any]


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """The patches of one promotion; None is nothing to send.

    `unified` replaces the other two where the API server knows no status sub-resource.
    """

    spec: Patch | None = None
    status: Patch | None = None
    unified: Patch | None = None


def promotion(
    rollout: Rollout, *, skip_current_step: bool = False, skip_all_steps: bool = False, full: bool = False
) -> Promotion:
    """Return what to patch so that `rollout` moves on.

    Raises:
        CliError: the flags do not fit together or not the strategy.
    """
    canary = rollout.spec.strategy.canary
    steps = canary.steps if canary is not None else ()
    if skip_current_step and skip_all_steps:
        raise CliError("Cannot use skip-current-step and skip-all-steps flags at the same time")
    if skip_current_step or skip_all_steps:
        if rollout.spec.strategy.blue_green is not None:
            raise CliError("Cannot skip steps of a bluegreen rollout. Run without a flags")
        if not steps:
            raise CliError("Cannot skip steps of a rollout without steps")
    following = min((rollout.status.current_step_index or 0) + 1, len(steps))
    if skip_current_step or skip_all_steps:
        index = following if skip_current_step else len(steps)
        patch: Patch = {"status": {"currentStepIndex": index}}
        return Promotion(status=patch, unified=patch)
    unpause: Patch | None = {"spec": {"paused": False}} if rollout.spec.paused else None
    if full:
        is_behind = rollout.status.current_pod_hash != rollout.status.stable_rs
        return Promotion(
            spec=unpause,
            status={"status": {"promoteFull": True}} if is_behind else None,
            unified={"spec": {"paused": False}, "status": {"promoteFull": True}},
        )
    if rollout.status.pause_conditions:
        cleared: Patch = {"pauseConditions": None}
        unified: Patch = {"spec": {"paused": False}, "status": {"pauseConditions": None}}
        if canary is not None and rollout.status.controller_pause and _is_step_inconclusive(rollout):
            cleared = {"pauseConditions": None, "controllerPause": False, "currentStepIndex": following}
        return Promotion(spec=unpause, status={"status": cleared}, unified=unified)
    if canary is not None and steps:
        moved: Patch = {"status": {"pauseConditions": None, "currentStepIndex": following}}
        return Promotion(spec=unpause, status=moved, unified={"spec": {"paused": False}, **moved})
    return Promotion(spec=unpause)


def _is_step_inconclusive(rollout: Rollout) -> bool:
    run = rollout.status.canary.current_step_analysis_run_status
    return run is not None and run.status == "Inconclusive"


@command(
    "promote",
    usage="ROLLOUT_NAME [flags]",
    text=(
        "Promote a rollout: promotes a rollout paused at a canary step, or a paused blue-green pre-promotion. To skip "
        "analysis, pauses and steps entirely, use '--full' to fully promote the rollout."
    ),
    examples=(
        "# Promote a paused rollout\nprograde promote guestbook\n\n"
        "# Fully promote a rollout to desired version, skipping analysis, pauses, and steps\n"
        "prograde promote guestbook --full"
    ),
)
@click.argument("name")
@flag("--full", help="Perform a full promotion, skipping analysis, pauses, and steps")
@flag("-c", "--skip-current-step", hidden=True)
@flag("-a", "--skip-all-steps", hidden=True)
@connection_flags
def promote(*, name: str, full: bool, skip_current_step: bool, skip_all_steps: bool) -> None:
    if skip_all_steps:
        click.echo("Flag --skip-all-steps has been deprecated, use --full instead", err=True)
    if skip_current_step:
        click.echo(
            "Flag --skip-current-step has been deprecated, use without the flag instead ex: promote ROLLOUT_NAME",
            err=True,
        )
    if skip_current_step and skip_all_steps:
        raise CliError("Cannot use skip-current-step and skip-all-steps flags at the same time")

    async def work(session: Session) -> None:
        client, namespace = session.client, session.namespace
        rollout = (await client.get(ROLLOUTS, namespace, name)).to(Rollout)
        wanted = promotion(rollout, skip_current_step=skip_current_step, skip_all_steps=skip_all_steps, full=full)
        spec = wanted.spec
        if wanted.status is not None:
            try:
                await client.patch(ROLLOUTS, namespace, name, wanted.status, subresource="status")
            except NotFound:
                spec = wanted.unified
        if spec is not None:
            await client.patch(ROLLOUTS, namespace, name, spec)
        click.echo(f"rollout '{name}' fully promoted" if full else f"rollout '{name}' promoted")

    in_session(work)
