"""`prograde demo`: a canary that its metrics promote, one that they roll back, and one that cannot start, in a minute.

Nothing is needed but this process. The cluster listens on a free loopback port. The controller talks to it over HTTPS
like to any other, and so does the script below: what it does is what the commands do, and it prints which. On a
terminal the Rollout is redrawn while it changes; otherwise every change is a plain line.

The traffic is split by an HTTPRoute, as in a cluster with the Gateway API. No requests are sent: at every moment the
routes, the Services and the pods say where requests would end, and so many are counted, with the errors that a version
makes. What the controller measures are these counts, over HTTP; the summary says how many hit the bad version, and
whether any would have been lost.
"""

import asyncio
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final

import click
import msgspec
from aiohttp import web

from prograde import __version__
from prograde.api.codec import decode
from prograde.api.crd import custom_resource_definitions
from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.rollout import Rollout
from prograde.cli.connect import Session, raise_as_cli_error, stop_on_signals
from prograde.cli.explain import examine, first_line
from prograde.cli.framework import CliError, command
from prograde.cli.get import wants_colour
from prograde.cli.mutate import patch_status_first
from prograde.cli.observe import observe_rollout
from prograde.cli.set_image import update_image
from prograde.cli.tree import rollout_text
from prograde.cli.undo import undo_rollout
from prograde.controller.manager import run_controller
from prograde.controller.settings import ControllerSettings
from prograde.dashboard.views import RolloutView
from prograde.kube.client import Client
from prograde.kube.config import load_kubeconfig
from prograde.kube.http import HttpTransport
from prograde.sandbox.certificates import CertificatesUnavailable
from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import Endpoint
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.traffic import Shares, destinations, shares
from prograde.telemetry.logs import parse_level, set_up_logging

__all__ = ["demo"]

NAME: Final = "shop"
CONTAINER: Final = "web"
YELLOW: Final = "argoproj/rollouts-demo:yellow"
RED: Final = "argoproj/rollouts-demo:red"
BROKEN: Final = "argoproj/rollouts-demo:does-not-exist"

PATIENCE_SECONDS: Final = 60.0
"""No part of the story takes longer; when it does, something is broken and the demo says so."""

STORY_LINES_MIN: Final = 6
"""How much of the story stays visible on a terminal that is too small for the tree."""

LOOK_SECONDS: Final = 0.05
REQUESTS_PER_SECOND: Final = 500
REQUESTS_MIN: Final = 20
ERROR_RATES: Final = {"red": 0.05}
USUAL_ERROR_RATE: Final = 0.002
METRICS_ADDRESS: Final = "http://metrics.shop"
"""What the manifest calls the server of the counts, whose port is not known before."""

CONTROLLER_AGENT: Final = "prograde-controller"


@command(
    "demo",
    usage="[flags]",
    text=(
        "Watch rollouts on an embedded cluster: a canary is promoted by its metrics, a bad one is rolled back by "
        "them, and one that cannot start is aborted and undone. Everything runs in this process and on loopback; it "
        "ends by itself in well under 90 seconds."
    ),
    examples=(
        "# Watch it\nprograde demo\n\n"
        "# The same, and then go on by hand with kubectl, until Ctrl-C\nprograde demo --keep"
    ),
)
@click.option("--keep", is_flag=True, help="Leave cluster and controller up at the end, and say how to reach them")
@click.option("--no-color", is_flag=True, help="Do not colorize output")
@click.option("--plain", is_flag=True, help="Print plain lines even on a terminal")
@click.option("--loglevel", default="error", help="Log level of the controller")
def demo(*, keep: bool, no_color: bool, plain: bool, loglevel: str) -> int:
    try:
        set_up_logging(parse_level(loglevel))
    except ValueError as err:
        raise CliError(str(err)) from err
    screen = Screen(redraws=sys.stdout.isatty() and not plain, colour=wants_colour(no_color))
    with raise_as_cli_error(CertificatesUnavailable):
        return asyncio.run(_run(screen, keep=keep))


async def _run(screen: "Screen", *, keep: bool) -> int:
    """Play the story, or until a signal; return the exit code."""
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(stop_on_signals())
        crds = (*custom_resource_definitions(), *routing_definitions())
        cluster = Sandbox(now=wall_clock, seed_number=1, profile="fast", crds=crds)
        await stack.enter_async_context(cluster.running())
        endpoint = await stack.enter_async_context(cluster.serving())
        controller = await stack.enter_async_context(_controller(endpoint))
        session = await stack.enter_async_context(_session(endpoint, "prograde-demo"))
        screen.say(f"An embedded cluster listens on {endpoint.url}, and the controller watches it.")
        traffic = Traffic(cluster)
        address = await stack.enter_async_context(traffic.serving())
        story = asyncio.create_task(_tell(screen, cluster, session, traffic, address))
        stopped = asyncio.create_task(stop.wait())
        try:
            await first_of(story, stopped, controller=controller)
        finally:
            if not story.done():
                story.cancel()
                await asyncio.gather(story, return_exceptions=True)
        if story.cancelled():
            return 130
        code = story.result()
        if keep:
            click.echo(
                "The cluster stays up until Ctrl-C. In another terminal:\n\n"
                f"  export KUBECONFIG={endpoint.kubeconfig}\n"
                f"  prograde get rollout {NAME} --watch\n"
                f"  prograde set image {NAME} {CONTAINER}={YELLOW}\n"
                "  kubectl get pods --watch"
            )
            await first_of(stopped, controller=controller)
        return code


async def first_of(*tasks: "asyncio.Task[Any]", controller: "asyncio.Task[None]") -> None:
    """Wait until one of `tasks` is done.

    Raises:
        CliError: the controller has ended before: nothing would ever happen again.
    """
    await asyncio.wait({*tasks, controller}, return_when=asyncio.FIRST_COMPLETED)
    if controller.done() and not any(task.done() for task in tasks):
        failure = None if controller.cancelled() else controller.exception()
        raise CliError(f"the demo's controller has ended: {failure or 'it was stopped'}") from failure


async def _tell(screen: "Screen", cluster: Sandbox, session: Session, traffic: "Traffic", address: str) -> int:
    """Play all acts and print the summary; return the exit code."""
    manifest = resources.files("prograde.cli").joinpath("demo.yaml").read_text()
    cluster.apply(manifest.replace(METRICS_ADDRESS, address))
    screen.say("$ kubectl apply -f demo.yaml")
    async with observe_rollout(session, NAME) as views:
        watcher = Watcher(screen, traffic)
        following = asyncio.create_task(watcher.follow(views))
        looking = asyncio.create_task(traffic.watch(screen.say))
        try:
            await _acts(screen, session, watcher)
        except TimeoutError:
            screen.end()
            click.echo(f"The demo is stuck: {await _why(session)}", err=True)
            return 1
        finally:
            for task in (following, looking):
                task.cancel()
            await asyncio.gather(following, looking, return_exceptions=True)
    screen.end()
    click.echo(_summary(watcher, traffic, cluster, screen.elapsed_seconds))
    return 0 if watcher.lowest_available >= watcher.desired and not traffic.most_lost else 1


async def _acts(screen: "Screen", session: Session, watcher: "Watcher") -> None:
    await watcher.until(lambda view: view.status == "Healthy")
    screen.say("The first version is up. A second one is rolled out, and its error rate decides how far:")
    screen.say(f"$ prograde set image {NAME} {CONTAINER}={YELLOW}")
    await update_image(session, NAME, CONTAINER, YELLOW)
    await watcher.until(lambda view: _is_at_analysis(view))
    screen.say(f"$ prograde explain {NAME}\n  {await _why(session)}")
    await watcher.until(lambda view: view.status == "Healthy")

    screen.say("It went through all steps by itself. The third version makes errors:")
    screen.say(f"$ prograde set image {NAME} {CONTAINER}={RED}")
    await update_image(session, NAME, CONTAINER, RED)
    await watcher.until(lambda view: view.status == "Degraded" and _pods_of(view, RED) == 0)
    screen.say("The controller has taken it back. The fourth one cannot even start:")
    screen.say(f"$ prograde set image {NAME} {CONTAINER}={BROKEN}")
    await update_image(session, NAME, CONTAINER, BROKEN)
    await watcher.until(lambda view: view.status == "Degraded" and _pods_of(view, BROKEN) > 0)
    screen.say(f"$ prograde explain {NAME}\n  {await _why(session)}")
    await asyncio.sleep(2)
    screen.say(f"$ prograde abort {NAME}")
    await patch_status_first(session.client, session.namespace, NAME, {"status": {"abort": True}})
    await watcher.until(lambda view: view.status == "Degraded" and _pods_of(view, BROKEN) == 0)
    screen.say("The broken version is gone, but the Rollout still asks for it:")
    screen.say(f"$ prograde undo {NAME} --to-revision=2")
    await undo_rollout(session, NAME, 2)
    await watcher.until(lambda view: view.status == "Healthy")


def _is_at_analysis(view: RolloutView) -> bool:
    return any(each.status == "Running" for each in view.analysis_runs)


async def _why(session: Session) -> str:
    """Return what `prograde explain` says in its first line."""
    now = datetime.now(UTC)
    (found,) = await examine(session.client, session.namespace, [NAME], now)
    return first_line(found, now, width=shutil.get_terminal_size().columns - 2).replace("\n", "\n  ")


def _pods_of(view: RolloutView, image: str) -> int:
    return sum(each.replicas for each in view.replica_sets if image in each.images)


# --- What is seen ----------------------------------------------------------------------------------------------------


class Screen:
    """Where the story appears: redrawn on a terminal, line by line elsewhere."""

    def __init__(self, *, redraws: bool, colour: bool) -> None:
        self._redraws = redraws
        self._colour = colour
        self._story: list[str] = []
        if redraws:
            click.clear()
        self._tree = ""
        self._last_line = ""
        self._started_at = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def say(self, text: str) -> None:
        """Add to the story."""
        self._story.append(self._bold(text) if text.startswith("$") else text)
        if self._redraws:
            self._draw()
        else:
            click.echo(self._story[-1])

    def show(self, view: RolloutView, traffic: str) -> None:
        """Show the present state of the Rollout, and where requests go."""
        if self._redraws:
            tree = rollout_text(view, datetime.now(UTC), colour=self._colour)
            self._tree = f"HTTPRoute:       {traffic}\n{tree}"
            self._draw()
            return
        line = _one_line(view, traffic)
        if line != self._last_line:
            self._last_line = line
            click.echo(f"  {self.elapsed_seconds:5.1f}s  {line}")

    def end(self) -> None:
        """Leave the cursor below everything."""
        if self._redraws:
            click.echo()

    def _draw(self) -> None:
        """Redraw all that fits: the tree, and above it the end of the story."""
        height = shutil.get_terminal_size().lines - 1
        tree = self._tree.splitlines()[: height - STORY_LINES_MIN]
        story = "\n".join(self._story).splitlines()[-(height - len(tree) - 1) :]
        # Home, and clear what is left over only after drawing: a screen that is cleared first flickers.
        text = "".join(f"{line}\x1b[K\n" for line in [*story, "", *tree])
        click.echo(f"\x1b[H{text}\x1b[J", nl=False)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colour else text


def _one_line(view: RolloutView, traffic: str) -> str:
    parts = [f"{view.icon} {view.status:<11}", f"step {view.step or '-':<4} {traffic or 'no traffic':<22}"]
    for each in view.replica_sets:
        if each.replicas or each.pods:
            parts.append(f"{_colour_of(each.images[0])} {each.available}/{each.replicas}")
    return "  ".join(parts).rstrip() + (f"  ({view.message})" if view.message else "")


def _colour_of(image: str) -> str:
    return image.rpartition(":")[2]


@dataclass
class Count:
    """Requests that a version has had."""

    requests: float = 0.0
    errors: float = 0.0


class Traffic:
    """Where requests end at every moment, by routes, Services and pods, and what becomes of them."""

    def __init__(self, cluster: Sandbox) -> None:
        self._client = cluster.client()
        self._looked_at = time.monotonic()
        self.counts: dict[str, Count] = {}
        """By pod-template hash."""
        self.images: dict[str, str] = {}
        self.most_lost = 0.0
        """The largest share of requests that would have reached no pod at all."""

    async def watch(self, say: Callable[[str], None]) -> None:
        """Look again and again, and tell of every new measurement, until cancelled."""
        told: set[tuple[str, int]] = set()
        while True:
            self.look()
            for run in self._client.list(("argoproj.io", "analysisruns"), "default"):
                self._tell(run, told, say)
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, run: dict[str, Any], told: set[tuple[str, int]], say: Callable[[str], None]) -> None:
        version = self.images.get(run["metadata"]["labels"].get(POD_TEMPLATE_HASH_LABEL, ""), "?")
        for result in (run.get("status") or {}).get("metricResults", ()):
            for number, measured in enumerate(result.get("measurements", ())):
                key = (run["metadata"]["name"], number)
                if key not in told and measured.get("finishedAt"):
                    told.add(key)
                    sign = "✔" if measured["phase"] == "Successful" else "✖"
                    value = float(measured.get("value") or "nan")
                    say(f"           {sign} measured: {result['name']} of {version} {value:.1%} ({measured['phase']})")

    def text(self, view: RolloutView) -> str:
        """Return the share of each version, the largest first."""
        shared = sorted(self.look().by_hash.items(), key=lambda item: -item[1])
        return "  ".join(f"{self.images.get(pod_hash, pod_hash)} {share:.0%}" for pod_hash, share in shared)

    def look(self) -> Shares:
        """Count the requests since the last look, as they are spread now."""
        found = self._client.get(("argoproj.io", "rollouts"), "default", NAME)
        if found is None:
            return Shares({}, 0.0)
        rollout = decode(msgspec.json.encode(found), Rollout)
        pods = {}
        for each in self._client.list(("apps", "replicasets"), "default"):
            pod_hash = each["metadata"]["labels"][POD_TEMPLATE_HASH_LABEL]
            pods[pod_hash] = each.get("status", {}).get("availableReplicas", 0)
            self.images[pod_hash] = _colour_of(each["spec"]["template"]["spec"]["containers"][0]["image"])
        spread = shares(destinations(rollout, self._client.get), pods)
        now_seconds = time.monotonic()
        requests = (now_seconds - self._looked_at) * REQUESTS_PER_SECOND
        self._looked_at = now_seconds
        for pod_hash, share in spread.by_hash.items():
            count = self.counts.setdefault(pod_hash, Count())
            count.requests += requests * share
            count.errors += requests * share * ERROR_RATES.get(self.images.get(pod_hash, ""), USUAL_ERROR_RATE)
        # Before the first pods there is nothing to send requests to.
        if any(pods.values()):
            self.most_lost = max(self.most_lost, spread.lost)
        return spread

    def of(self, colour: str) -> Count:
        """Return what a version has had."""
        return next((self.counts[each] for each, image in self.images.items() if image == colour), Count())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the counts on a free port of loopback; yields the address."""

        async def errors(request: web.Request) -> web.Response:
            count = self.counts.get(request.query.get("version", ""), Count())
            # Too few to say anything: an error rate needs requests.
            rate = count.errors / count.requests if count.requests >= REQUESTS_MIN else 0.0
            return web.json_response({"requests": round(count.requests), "rate": round(rate, 4)})

        app = web.Application()
        app.router.add_get("/errors", errors)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


class Watcher:
    """Follows the Rollout, shows it, and remembers what the summary needs."""

    def __init__(self, screen: Screen, traffic: Traffic) -> None:
        self._screen = screen
        self._traffic = traffic
        self._changed = asyncio.Condition()
        self._view: RolloutView | None = None
        self.desired = 0
        self.lowest_available = 0
        self.milestones: list[tuple[float, str]] = []

    async def follow(self, views: AsyncIterator[RolloutView | None]) -> None:
        async for view in views:
            if view is None:
                return
            self._note(view)
            self._screen.show(view, self._traffic.text(view))
            async with self._changed:
                self._view = view
                self._changed.notify_all()

    async def until(self, is_reached: Callable[[RolloutView], bool]) -> None:
        """Wait for a state.

        Raises:
            TimeoutError: it does not come.
        """
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._view is not None and is_reached(self._view))

    def _note(self, view: RolloutView) -> None:
        available = sum(each.available for each in view.replica_sets)
        if self.desired:
            self.lowest_available = min(self.lowest_available, available)
        elif view.status == "Healthy":
            # From here on the promise holds: the stable version keeps its size until it gets no more requests.
            self.desired = view.desired
            self.lowest_available = available
        state = f"{view.status}" + (f" at step {view.step}" if view.status == "Paused" else "")
        if not self.milestones or self.milestones[-1][1] != state:
            self.milestones.append((self._screen.elapsed_seconds, state))


def _summary(watcher: Watcher, traffic: Traffic, cluster: Sandbox, seconds: float) -> str:
    writes: Counter[str] = Counter()
    for request in cluster.request_log:
        if request.client == CONTROLLER_AGENT and request.verb in ("create", "update", "patch", "delete"):
            writes[f"{request.verb} {request.resource}"] += 1
    counted = ", ".join(f"{count} x {what}" for what, count in sorted(writes.items()) if "leases" not in what)
    kept = watcher.lowest_available >= watcher.desired
    requests, red = sum(each.requests for each in traffic.counts.values()), traffic.of("red")
    promise = "as promised" if kept else "that breaks the promise of a canary with a router!"
    lost = f"Up to {traffic.most_lost:.0%} of the requests would have reached no pod!"
    return "\n".join(
        [
            "Summary",
            f"  {seconds:.0f} s: one version promoted by its metrics, one rolled back by them, one aborted and undone.",
            f"  {red.requests:.0f} of {requests:.0f} requests reached the bad version, {red.errors:.0f} failed there.",
            f"  Available pods never fell below {watcher.lowest_available} of {watcher.desired}: {promise}.",
            f"  {lost if traffic.most_lost else 'At no moment did a route lead to a version without available pods.'}",
            f"  Writes of the controller: {counted}.",
            "  Next: 'prograde demo --keep' and use kubectl, or 'prograde sandbox' for a cluster of your own.",
        ]
    )


# --- What runs -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _session(endpoint: Endpoint, user_agent: str) -> AsyncIterator[Session]:
    transport = _transport(endpoint, user_agent)
    try:
        yield Session(Client(transport, qps=0), "default")
    finally:
        await transport.close()


@asynccontextmanager
async def _controller(endpoint: Endpoint) -> AsyncIterator["asyncio.Task[None]"]:
    """Run the controller as a task of this process, over the real API."""
    transport = _transport(endpoint, CONTROLLER_AGENT)
    # The endpoints take free ports on loopback: a demo must not be in anybody's way.
    settings = ControllerSettings(
        leader_elect=False, endpoint_host="127.0.0.1", metrics_port=0, healthz_port=0, grace_period=timedelta(seconds=2)
    )
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_controller(transport, settings, identity="demo", now=wall_clock, rng=random.Random(), stop=stop)
    )
    try:
        yield running
    finally:
        stop.set()
        # Whether it failed is told by whoever waited for it.
        await asyncio.gather(running, return_exceptions=True)
        await transport.close()


def _transport(endpoint: Endpoint, user_agent: str) -> HttpTransport:
    config = load_kubeconfig([endpoint.kubeconfig], environ={}, now=wall_clock)
    return HttpTransport(config, user_agent=f"{user_agent}/{__version__}")
