"""Leadership, start and graceful stop: what the controller process does besides watching and working.

    run_controller ──▶ health and metrics endpoints ──▶ leader election ──▶ Controller.run
                                                                               │
                       informers, until all have their first list ◀────────────┤
                       workers per queue, until told to stop      ◀────────────┘

Only the leader watches and works. When leadership is lost everything stops at once and the process ends; whatever was
cut short is found again by the next leader, because all state lives in the objects. A stop that was asked for lets the
reconciles in hand finish, writes the events that are still queued, and gives the lease back.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime

from prograde import __version__
from prograde.api.names import EVENT_SOURCE_COMPONENT
from prograde.controller.controller import Controller
from prograde.controller.metrics import ControllerMetrics
from prograde.controller.settings import ControllerSettings
from prograde.controller.stepplugins import StepPlugins
from prograde.kube.client import Client
from prograde.kube.events import EventRecorder
from prograde.kube.lease import LeaderElector, LeadershipLost
from prograde.kube.transport import Transport
from prograde.providers.http import Http
from prograde.telemetry.logs import fields
from prograde.telemetry.server import serve_healthz, serve_metrics

__all__ = ["run_controller"]

log = logging.getLogger(__name__)


async def run_controller(
    transport: Transport,
    settings: ControllerSettings,
    *,
    identity: str,
    now: Callable[[], datetime],
    rng: random.Random,
    stop: asyncio.Event,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Be a controller process until `stop` is set or leadership is lost.

    Args:
        environment: of the process, for metric providers that look for addresses and credentials there.
        identity: of this process in the election, unique: ``<hostname>_<uuid>``.

    Raises:
        PortInUse: the port of an endpoint is taken.
        ValueError: the durations of the election do not fit together.
    """
    metrics = ControllerMetrics()

    def client(qps: float) -> Client:
        return Client(transport, qps=qps, burst=settings.burst, observer=metrics.observe_request, rng=rng)

    # Three clients over one connection pool: neither events nor the work may hold up a renewal of the lease.
    recorder = EventRecorder(client(settings.qps), component=EVENT_SOURCE_COMPONENT, now=now, rng=rng)
    about = fields(
        version=f"v{__version__}",
        namespace=settings.namespace,
        instanceID=settings.instance_id,
        metricsPort=settings.metrics_port,
        healthzPort=settings.healthz_port,
    )
    log.info("Argo Rollouts controller starting", extra=about)
    async with AsyncExitStack() as endpoints:
        http = await endpoints.enter_async_context(Http())
        controller = Controller(
            client(settings.qps),
            settings,
            metrics,
            recorder,
            now=now,
            rng=rng,
            call_plugin=StepPlugins().call,
            http=http,
            environment=environment,
        )
        await endpoints.enter_async_context(serve_healthz(settings.endpoint_host, settings.healthz_port))
        await endpoints.enter_async_context(
            serve_metrics(settings.endpoint_host, settings.metrics_port, metrics.registry)
        )
        if not settings.leader_elect:
            log.info("Leader election is turned off. Running in single-instance mode")
            await controller.run(stop)
            return
        elector = LeaderElector(
            client(0),
            namespace=settings.own_namespace,
            name=settings.lease_name,
            identity=identity,
            now=now,
            rng=rng,
            lease_duration=settings.lease_duration,
            renew_deadline=settings.renew_deadline,
            retry_period=settings.retry_period,
            release=True,
            on_new_leader=lambda leader: _log_leader(leader, identity),
        )
        await _lead(elector, controller, stop)
    log.info("Exiting Main Run function")


async def _lead(elector: LeaderElector, controller: Controller, stop: asyncio.Event) -> None:
    """Work while leading. A stop ends the wait for leadership at once, and the work in an orderly way."""
    election = asyncio.create_task(elector.run(lambda: controller.run(stop)))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({election, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not elector.is_leader and not election.done():
            election.cancel()
        await election
    except LeadershipLost as err:
        log.warning("OnStoppedLeading called, shutting down: %s (%s)", elector.identity, err)
    except asyncio.CancelledError:
        if not election.cancelled() or not stop.is_set():
            raise
    finally:
        for task in (election, stopped):
            task.cancel()
        await asyncio.gather(election, stopped, return_exceptions=True)


def _log_leader(leader: str, identity: str) -> None:
    if leader == identity:
        log.info("I am the new leader: %s", leader)
    else:
        log.info("New leader elected: %s", leader)
