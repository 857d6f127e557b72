"""The commands that send one small patch: abort, pause, restart, retry, terminate.

Several names are worked through from left to right; the first error stops, and what was done before it stays.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import click

from prograde.api.scalars import format_time, parse_duration
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags
from prograde.cli.framework import CliError, Entry, KubectlGroup, command
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, ROLLOUTS
from prograde.kube.client import Client
from prograde.kube.errors import NotFound

__all__ = [
    "abort",
    "patch_status_first",
    "pause",
    "restart",
    "retry",
    "retry_experiment",
    "retry_rollout",
    "terminate",
    "terminate_analysis_run",
    "terminate_experiment",
]


async def patch_status_first(client: Client, namespace: str, name: str, patch: dict[str, Any]) -> None:
    """Patch the status sub-resource, or the Rollout itself where the API server knows no such sub-resource.

    Raises:
        NotFound: the Rollout does not exist; then both requests were made, and this is the second one's answer.
    """
    try:
        await client.patch(ROLLOUTS, namespace, name, patch, subresource="status")
    except NotFound:
        await client.patch(ROLLOUTS, namespace, name, patch)


def _each(names: tuple[str, ...], work: Callable[[Session, str], Awaitable[str]]) -> None:
    """Do `work` for every name and print the line that it returns."""

    async def run(session: Session) -> None:
        for name in names:
            click.echo(await work(session, name))

    in_session(run)


@command(
    "abort",
    usage="ROLLOUT_NAME",
    text=(
        "Abort a rollout: this command stops progressing the current rollout and reverts all steps. The previous "
        "ReplicaSet will be active.\n\nNote the 'spec.template' still represents the new rollout version. If the "
        "Rollout leaves the aborted state, it will try to go to the new version. Updating the 'spec.template' back to "
        "the previous version will fully revert the rollout."
    ),
    examples="# Abort a rollout\nprograde abort guestbook",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def abort(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await patch_status_first(session.client, session.namespace, name, {"status": {"abort": True}})
        return f"rollout '{name}' aborted"

    _each(names, work)


@command(
    "pause",
    usage="ROLLOUT_NAME",
    text="Set the rollout to the paused state: nothing moves until it is promoted.",
    examples="# Pause a rollout\nprograde pause guestbook",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def pause(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await session.client.patch(ROLLOUTS, session.namespace, name, {"spec": {"paused": True}})
        return f"rollout '{name}' paused"

    _each(names, work)


@command(
    "restart",
    usage="ROLLOUT_NAME",
    text="Restart the pods of a rollout, a few at a time as the strategy allows.",
    examples=(
        "# Restart the pods of a rollout now\nprograde restart guestbook\n\n"
        "# Restart the pods of a rollout in ten seconds\nprograde restart guestbook --in 10s"
    ),
)
@click.argument("name")
@click.option("-i", "--in", "delay", default="", metavar="string", help="How long from now, such as 10s or 1h30m")
@connection_flags
def restart(*, name: str, delay: str) -> None:
    try:
        wait = parse_duration(delay or "0")
    except ValueError as err:
        raise CliError(f'invalid argument "{delay}" for "-i, --in" flag: {err}') from err

    async def work(session: Session, name: str) -> str:
        at = datetime.now(UTC) + wait
        await session.client.patch(ROLLOUTS, session.namespace, name, {"spec": {"restartAt": format_time(at)}})
        return f"rollout '{name}' restarts in {delay or '0s'}"

    _each((name,), work)


@command(
    "rollout",
    usage="ROLLOUT_NAME",
    aliases=("ro", "rollouts"),
    text="Retry an aborted rollout.",
    examples="# Retry an aborted rollout\nprograde retry rollout guestbook",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def retry_rollout(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await patch_status_first(session.client, session.namespace, name, {"status": {"abort": False}})
        return f"rollout '{name}' retried"

    _each(names, work)


@command(
    "experiment",
    usage="EXPERIMENT_NAME",
    aliases=("exp", "experiments"),
    text="Retry an experiment from its beginning.",
    examples="# Retry an experiment\nprograde retry experiment my-experiment",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def retry_experiment(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await session.client.patch(EXPERIMENTS, session.namespace, name, {"status": None})
        return f"experiment '{name}' retried"

    _each(names, work)


retry = KubectlGroup(
    "retry",
    {
        "rollout": Entry("prograde.cli.mutate:retry_rollout", "Retry an aborted rollout", aliases=("ro", "rollouts")),
        "experiment": Entry(
            "prograde.cli.mutate:retry_experiment", "Retry an experiment", aliases=("exp", "experiments")
        ),
    },
    usage_lines=("<rollout|experiment> RESOURCE_NAME [flags]", "[command]"),
    help="This command consists of multiple subcommands which can be used to restart an aborted rollout or a "
    "failed experiment.",
)


@command(
    "analysisrun",
    usage="ANALYSISRUN_NAME",
    aliases=("ar", "analysisruns"),
    text="Terminate an AnalysisRun: measuring stops, and the run ends as what has been measured so far says.",
    examples="# Terminate an AnalysisRun\nprograde terminate analysisrun guestbook-877894d5b-4-success-rate.1",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def terminate_analysis_run(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await session.client.patch(ANALYSIS_RUNS, session.namespace, name, {"spec": {"terminate": True}})
        return f"analysisRun '{name}' terminated"

    _each(names, work)


@command(
    "experiment",
    usage="EXPERIMENT_NAME",
    aliases=("exp", "experiments"),
    text="Terminate an experiment: its analyses are ended, and its pods go.",
    examples="# Terminate an experiment\nprograde terminate experiment my-experiment",
)
@click.argument("names", nargs=-1, required=True)
@connection_flags
def terminate_experiment(*, names: tuple[str, ...]) -> None:
    async def work(session: Session, name: str) -> str:
        await session.client.patch(EXPERIMENTS, session.namespace, name, {"spec": {"terminate": True}})
        # The word is wrong, and it is what scripts have been matching for years.
        return f"experiment '{name}' retried"

    _each(names, work)


terminate = KubectlGroup(
    "terminate",
    {
        "analysisrun": Entry(
            "prograde.cli.mutate:terminate_analysis_run", "Terminate an AnalysisRun", aliases=("ar", "analysisruns")
        ),
        "experiment": Entry(
            "prograde.cli.mutate:terminate_experiment", "Terminate an experiment", aliases=("exp", "experiments")
        ),
    },
    usage_lines=("<analysisrun|experiment> RESOURCE_NAME [flags]", "[command]"),
    help="This command consists of multiple subcommands which can be used to terminate an AnalysisRun or experiment "
    "that is in progress.",
)
