"""The reconciler of AnalysisRuns: plan, have it measured, fold the answers in.

    key ──▶ plan (pure) ──▶ tasks ──▶ providers, in the background ──▶ answers ──▶ key ──▶ fold (pure) ──▶ status

No worker waits for a provider: a pass that finds something to measure starts it and ends, and the answers bring the key
back. So a hundred providers that hang hold nobody up, and a run shows no measurement before its provider has answered.
A stop or a crash loses the measurements under way and nothing else; the next leader takes them anew.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from prograde.api import names
from prograde.api.analysis import AnalysisRun, AnalysisRunStatus, SecretKeyRef
from prograde.api.jsonvalues import merge_patch_between
from prograde.api.meta import NamespacedName, ObjectMeta, key_of
from prograde.api.scalars import whole_seconds
from prograde.controller.apply import FIELD_MANAGER
from prograde.controller.expectations import Expectations
from prograde.controller.resources import ANALYSIS_RUNS, SECRETS
from prograde.controller.workers import Result
from prograde.core.analysis.arguments import Secrets, redacted
from prograde.core.analysis.run import AnalysisPlan, AnalysisSnapshot, Outcome, Trim, fold, plan_run
from prograde.core.analysis.schedule import Operation, Task
from prograde.core.plan import Event
from prograde.kube.client import Client
from prograde.kube.errors import NotFound
from prograde.kube.informer import Informer
from prograde.kube.resources import Key
from prograde.providers.base import ProviderContext, ProviderError, errored
from prograde.providers.http import Http
from prograde.providers.registry import build_provider, type_name_of
from prograde.telemetry.logs import fields

__all__ = ["AnalysisRunReconciler"]

log = logging.getLogger(__name__)

STALE_CACHE_SECONDS: Final = 0.1
"""How soon to look again when the cache lags behind our own write; its watch event usually comes first."""


class _SecretData(msgspec.Struct, frozen=True):
    """The part of a Secret that is read. msgspec decodes base64 for bytes."""

    data: dict[str, bytes] = {}


class _Written(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


class _MissingSecret(Exception):
    """A Secret does not exist, or lacks the key; waiting does not help."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the providers have answered to the tasks of one pass."""

    uid: str
    tasks: tuple[Task, ...]
    outcomes: tuple[Outcome, ...]
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class _Measuring:
    """The providers at work for a run."""

    uid: str
    task: asyncio.Task[None]


class AnalysisRunReconciler:
    """Brings AnalysisRuns to their end; satisfies the contract in `controller.workers`.

    Args:
        record: takes Kubernetes Events about a run; must not wait or raise.
        wake: queues a key, once its measurements are there.
        ended_jobs: says which Jobs of a run are known to have ended, by name.
        environment, own_namespace: of the controller, for providers that look for credentials there.
    """

    def __init__(
        self,
        client: Client,
        runs: Informer[AnalysisRun],
        http: Http,
        *,
        now: Callable[[], datetime],
        record: Callable[[AnalysisRun, Event], None],
        wake: Callable[[NamespacedName], None],
        ended_jobs: Callable[[AnalysisRun], frozenset[str]],
        environment: Mapping[str, str],
        own_namespace: str,
    ) -> None:
        self._client = client
        self._runs = runs
        self._http = http
        self._now = now
        self._record = record
        self._wake = wake
        self._ended_jobs = ended_jobs
        self._environment = environment
        self._own_namespace = own_namespace
        self._expectations = Expectations()
        self._measuring: dict[NamespacedName, _Measuring] = {}
        self._answers: dict[NamespacedName, _Answers] = {}

    @property
    def measuring(self) -> int:
        """The number of runs whose providers are working."""
        return len(self._measuring)

    async def close(self) -> None:
        """Give up what is being measured."""
        tasks = [each.task for each in self._measuring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self, key: NamespacedName) -> Result:
        """Do one pass over the run `key`."""
        run = self._runs.get(Key(*key))
        if run is None:
            self._forget(key)
            return Result.done()
        measuring = self._measuring.get(key)
        if measuring is not None and measuring.uid == run.metadata.uid:
            return Result.done()
        if measuring is not None:
            # Another run has taken the name; what the one before still asks for is of no use to anybody.
            self._forget(key)
        if self._is_behind(key, run):
            return Result.after(STALE_CACHE_SECONDS)
        answers = self._answers.get(key)
        now = self._now()
        if answers is not None and answers.uid == run.metadata.uid:
            plan = fold(run, answers.tasks, answers.outcomes, answers.secrets, now)
        else:
            plan = await self._plan(run, now)
        result = await self._carry_out(run, plan, now)
        # Only now: a status that could not be written must not cost another measurement.
        if answers is not None:
            self._answers.pop(key, None)
        return result

    def _forget(self, key: NamespacedName) -> None:
        self._expectations.forget(key)
        self._answers.pop(key, None)
        measuring = self._measuring.pop(key, None)
        if measuring is not None:
            measuring.task.cancel()

    def _is_behind(self, key: NamespacedName, run: AnalysisRun) -> bool:
        now_seconds = asyncio.get_running_loop().time()
        seen = run.metadata.resource_version
        if self._expectations.unseen(key, ANALYSIS_RUNS, key, seen, now_seconds):
            return True
        self._expectations.settle(key, ANALYSIS_RUNS, key)
        return False

    # ---- Planning ---------------------------------------------------------------------------------------------------

    async def _plan(self, run: AnalysisRun, now: datetime) -> AnalysisPlan:
        snapshot = AnalysisSnapshot(run=run, ended_jobs=self._ended_jobs(run))
        plan = plan_run(snapshot, now)
        secrets: Secrets = {}
        if plan.wants_secrets:
            try:
                secrets = await self._read_secrets(run.metadata.namespace, plan.wants_secrets)
                snapshot = msgspec.structs.replace(snapshot, secrets=secrets)
            except _MissingSecret as err:
                snapshot = msgspec.structs.replace(snapshot, missing_secret=str(err))
            plan = plan_run(snapshot, now)
        if plan.tasks:
            self._start(run, plan.tasks, secrets)
            return AnalysisPlan()
        return plan

    async def _read_secrets(self, namespace: str, references: tuple[SecretKeyRef, ...]) -> Secrets:
        """Read the Secrets, each once.

        Raises:
            _MissingSecret: one is not there, or has no such key.
            ApiError, Unreachable: one cannot be read now.
        """
        read: dict[str, dict[str, bytes]] = {}
        values = {}
        for reference in references:
            if reference.name not in read:
                try:
                    answer = await self._client.get(SECRETS, namespace, reference.name)
                except NotFound:
                    raise _MissingSecret(f'secrets "{reference.name}" not found') from None
                read[reference.name] = answer.to(_SecretData).data
            if reference.key not in read[reference.name]:
                raise _MissingSecret(f"key '{reference.key}' does not exist in secret '{reference.name}'")
            values[reference] = read[reference.name][reference.key].decode("utf-8", "replace")
        return values

    # ---- Measuring --------------------------------------------------------------------------------------------------

    def _start(self, run: AnalysisRun, tasks: tuple[Task, ...], secrets: Secrets) -> None:
        key = key_of(run)
        log.info("Taking %d Measurement(s)...", len(tasks), extra=_about(run))
        task = asyncio.create_task(self._measure(run, tasks, secrets), name=f"measuring {key}")
        self._measuring[key] = _Measuring(run.metadata.uid, task)

    async def _measure(self, run: AnalysisRun, tasks: tuple[Task, ...], secrets: Secrets) -> None:
        key = key_of(run)
        outcomes = await asyncio.gather(*(self._answer(run, task, secrets) for task in tasks))
        # Nothing of this happens to a run that was forgotten: that cancels.
        self._answers[key] = _Answers(run.metadata.uid, tasks, tuple(outcomes), secrets)
        del self._measuring[key]
        self._wake(key)

    async def _answer(self, run: AnalysisRun, task: Task, secrets: Secrets) -> Outcome:
        """Let a provider do one task; whatever goes wrong is an answer as well."""
        about = _about(run, metric=task.metric.name, provider=type_name_of(task.metric))
        before = task.measurement
        started_at = before.started_at if before is not None else whole_seconds(self._now())
        metadata: Mapping[str, str] = {}
        try:
            provider = await build_provider(task.metric, self._context(run))
            metadata = provider.metadata()
            match task.operation:
                case Operation.RUN:
                    measurement = await provider.run()
                case Operation.RESUME:
                    assert before is not None
                    measurement = await provider.resume(before)
                case Operation.TERMINATE:
                    assert before is not None
                    measurement = await provider.terminate(before)
        except ProviderError as err:
            measurement = errored(str(err), started_at, self._now(), before)
        except Exception as err:
            # As text, for the trace may quote a secret.
            trace = redacted("".join(traceback.format_exception(err)), secrets)
            log.error("The provider has failed in an unforeseen way: %s", trace, extra=about)
            message = f"internal error: {type(err).__name__}: {err}"
            measurement = errored(message, started_at, self._now(), before)
        if measurement.phase in names.COMPLETED_RUN_PHASES:
            log.info("Measurement Completed. Result: %s", measurement.phase, extra=about)
            if measurement.phase == names.RUN_ERROR:
                text = redacted(measurement.message, secrets)
                log.warning("Measurement had error: %s", text, extra=about)
        return Outcome(measurement=measurement, metadata=metadata)

    def _context(self, run: AnalysisRun) -> ProviderContext:
        return ProviderContext(
            run=run,
            client=self._client,
            http=self._http,
            now=self._now,
            environment=self._environment,
            own_namespace=self._own_namespace,
        )

    # ---- Carrying out -----------------------------------------------------------------------------------------------

    async def _carry_out(self, run: AnalysisRun, plan: AnalysisPlan, now: datetime) -> Result:
        if plan.deletes:
            log.info("Deleting the run, its time is over", extra=_about(run))
            with contextlib.suppress(NotFound):
                await self._client.delete(
                    ANALYSIS_RUNS, run.metadata.namespace, run.metadata.name, uid=run.metadata.uid
                )
            return Result.done()
        if plan.status is not None:
            try:
                await self._write(run, plan.status)
            except NotFound:
                # Deleted meanwhile: there is nobody left to tell anything about.
                return Result.done()
        for event in plan.events:
            self._record(run, event)
        for trim in plan.trims:
            await self._trim(run, trim)
        if plan.requeue_at is None:
            return Result.done()
        seconds = max(0.0, (plan.requeue_at - now).total_seconds())
        log.info("Enqueueing analysis after %gs", seconds, extra=_about(run))
        return Result.after(seconds)

    async def _write(self, run: AnalysisRun, status: AnalysisRunStatus) -> None:
        """Write what changed of the status; AnalysisRuns have no status sub-resource."""
        before, after = (msgspec.json.decode(msgspec.json.encode(each), type=dict) for each in (run.status, status))
        patch = merge_patch_between(before, after)
        if not patch:
            return
        for old in run.status.metric_results:
            new = next((each for each in status.metric_results if each.name == old.name), old)
            if new.phase != old.phase:
                log.info("Metric '%s' transitioned from %s -> %s", old.name, old.phase, new.phase, extra=_about(run))
        key = key_of(run)
        # The UID makes the write fail when another run has taken the name meanwhile.
        body = {"metadata": {"uid": run.metadata.uid}, "status": patch}
        answer = await self._client.patch(ANALYSIS_RUNS, key.namespace, key.name, body, field_manager=FIELD_MANAGER)
        version = answer.to(_Written).metadata.resource_version
        self._expectations.note(key, ANALYSIS_RUNS, key, version, asyncio.get_running_loop().time())

    async def _trim(self, run: AnalysisRun, trim: Trim) -> None:
        """Let the provider clean up after measurements that are forgotten; if it cannot, the next time it may."""
        try:
            provider = await build_provider(trim.metric, self._context(run))
            await provider.collect_garbage(trim.limit)
        except ProviderError as err:
            log.warning("Cleaning up after measurements: %s", err, extra=_about(run, metric=trim.metric.name))


def _about(run: AnalysisRun, **more: object) -> dict[str, object]:
    return fields(namespace=run.metadata.namespace, analysisrun=run.metadata.name, **more)
