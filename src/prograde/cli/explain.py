"""`prograde explain`: what a Rollout is waiting for, since when, until when, and what would unblock it.

Nothing is guessed from outside. The command reads what the controller would read, makes the same plan, and prints the
plan's own reasons. It changes nothing.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from prograde.api.ages import human_duration
from prograde.api.analysis import AnalysisRun
from prograde.api.experiment import Experiment
from prograde.api.meta import controller_of, is_controlled_by
from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout, RolloutStatus
from prograde.api.selectors import format_selector
from prograde.api.workloads import Pod, ReplicaSet, Service
from prograde.cli.connect import Session, in_session
from prograde.cli.flags import connection_flags
from prograde.cli.framework import command
from prograde.cli.observe import not_found
from prograde.controller.resources import ANALYSIS_RUNS, EXPERIMENTS, PODS, REPLICA_SETS, ROLLOUTS, SERVICES
from prograde.core.plan import Plan, Wait
from prograde.core.rollout.planner import plan_rollout
from prograde.core.rollout.services import referenced_services
from prograde.core.rollout.snapshot import RolloutSnapshot
from prograde.core.rollout.status import phase_and_message
from prograde.kube.errors import NotFound

__all__ = ["explain", "explanation", "read_snapshot"]


async def read_snapshot(session: Session, name: str) -> RolloutSnapshot:
    """Read from the API server what the controller reads from its caches.

    Raises:
        CliError: there is no such Rollout.
    """
    client, namespace = session.client, session.namespace
    try:
        rollout = (await client.get(ROLLOUTS, namespace, name)).to(Rollout)
    except NotFound as err:
        raise not_found(name) from err
    sets, runs, experiments, services = await asyncio.gather(
        client.list(REPLICA_SETS, namespace, label_selector=POD_TEMPLATE_HASH_LABEL),
        client.list(ANALYSIS_RUNS, namespace),
        client.list(EXPERIMENTS, namespace),
        client.list(SERVICES, namespace),
    )
    uid = rollout.metadata.uid
    wanted = referenced_services(rollout)
    return RolloutSnapshot(
        rollout=rollout,
        replica_sets=tuple(
            each for each in sets.to(ReplicaSet) if controller_of(each) is None or is_controlled_by(each, uid)
        ),
        services={each.metadata.name: each for each in services.to(Service) if each.metadata.name in wanted},
        analysis_runs=tuple(each for each in runs.to(AnalysisRun) if is_controlled_by(each, uid)),
        experiments=tuple(each for each in experiments.to(Experiment) if is_controlled_by(each, uid)),
    )


async def plan_of(session: Session, name: str, now: datetime) -> tuple[Rollout, Plan[RolloutStatus]]:
    """Return the Rollout and the plan that the controller would make of it now."""
    snapshot = await read_snapshot(session, name)
    plan = plan_rollout(snapshot, now)
    if plan.wants_pods:
        selector = format_selector(snapshot.rollout.spec.selector)
        listing = await session.client.list(PODS, session.namespace, label_selector=selector)
        plan = plan_rollout(msgspec.structs.replace(snapshot, pods=tuple(listing.to(Pod))), now)
    return snapshot.rollout, plan


@command(
    "explain",
    usage="ROLLOUT_NAME [flags]",
    text="Explain what a rollout is waiting for: the object and the field that decide, since when, until when, and what"
    " would unblock it. Reads the cluster and makes the controller's own plan, without carrying it out.",
    examples="# Why is it waiting?\nprograde explain guestbook\n\n# The same for a script\n"
    "prograde explain guestbook -o json",
)
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Output format: text or json")
@connection_flags
def explain(*, name: str, output: str) -> None:
    async def work(session: Session) -> None:
        now = datetime.now(UTC)
        rollout, plan = await plan_of(session, name, now)
        if output == "json":
            click.echo(msgspec.json.encode(_as_json(rollout, plan)).decode())
        else:
            click.echo(explanation(rollout, plan, now))

    in_session(work)


def explanation(rollout: Rollout, plan: Plan[RolloutStatus], now: datetime) -> str:
    """Return the text: the most important reason in the first line, the others below."""
    phase, message = phase_and_message(rollout)
    state = f"{phase} ({message})" if message else phase
    name = f"{rollout.metadata.namespace}/{rollout.metadata.name}"
    if not plan.waits:
        return f"Rollout {name} is {state} and waits for nothing."
    lines = [f"Rollout {name} is {state}: {plan.waits[0].message}"]
    for number, wait in enumerate(plan.waits):
        if number:
            lines += ["", f"Also: {wait.message}"]
        lines += _details(wait, now)
    if plan.requeue_at is not None:
        lines += ["", f"The controller looks again {_when(plan.requeue_at, now)}, and at every change before that."]
    return "\n".join(lines)


def _details(wait: Wait, now: datetime) -> list[str]:
    rows = [("reason", wait.reason.value), ("object", wait.object), ("field", wait.field)]
    rows.append(("since", _when(wait.since, now) if wait.since else ""))
    rows.append(("until", _when(wait.until, now) if wait.until else ""))
    rows.append(("remedy", wait.remedy))
    return [f"  {label + ':':<10}{text}" for label, text in rows if text]


def _when(time: datetime, now: datetime) -> str:
    stamp = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if time > now:
        return f"in {human_duration(time - now)} ({stamp})"
    return f"{human_duration(now - time)} ago ({stamp})"


def _as_json(rollout: Rollout, plan: Plan[RolloutStatus]) -> dict[str, Any]:
    phase, message = phase_and_message(rollout)
    return {
        "name": rollout.metadata.name,
        "namespace": rollout.metadata.namespace,
        "phase": phase,
        "message": message,
        "waits": plan.waits,
        "requeueAt": plan.requeue_at,
    }
