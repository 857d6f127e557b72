"""Kayenta: a canary judgement of Spinnaker, begun with `run` and looked after every 15 seconds.

Its score decides: from `pass` on the measurement is Successful, from `marginal` on Inconclusive, below it has Failed.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from prograde.api import names
from prograde.api.analysis import KayentaMetric, KayentaScope, KayentaScopeDetail, Measurement, Metric
from prograde.api.scalars import InvalidDuration, format_time, parse_duration, whole_seconds
from prograde.expr.jsontext import compact_json
from prograde.providers.base import ProviderContext, ProviderError
from prograde.providers.http import HttpAnswer
from prograde.providers.vendor import ask, json_of, member

__all__ = ["KayentaProvider", "build"]

EXECUTION_ID: Final = "canaryExecutionId"
TIMEOUT_SECONDS: Final = 15.0
RESUME_AFTER: Final = timedelta(seconds=15)


async def build(metric: Metric, context: ProviderContext) -> "KayentaProvider":
    """Return the provider of a metric."""
    config = metric.provider.kayenta
    assert config is not None
    return KayentaProvider(metric, context, config)


class KayentaProvider:
    """One judgement."""

    type_name = "Kayenta"

    def __init__(self, metric: Metric, context: ProviderContext, config: KayentaMetric) -> None:
        self._metric = metric
        self._context = context
        self._config = config

    def metadata(self) -> Mapping[str, str]:
        return {}

    async def run(self) -> Measurement:
        """Begin a judgement."""
        started_at = whole_seconds(self._context.now())
        canary = await self._canary_config()
        config = self._config
        body = {
            "scopes": {scope.name: self._scope(scope, started_at) for scope in config.scopes},
            "thresholds": {"pass": config.threshold.pass_, "marginal": config.threshold.marginal},
        }
        accounts = {
            "application": config.application,
            "metricsAccountName": config.metrics_account_name,
            "configurationAccountName": config.configuration_account_name,
            "storageAccountName": config.storage_account_name,
        }
        answer = await self._ask("POST", f"/canary/{quote(canary, safe='')}?{urlencode(accounts)}", body)
        if answer.status != 200:
            raise ProviderError("Invalid Response")
        execution = member(json_of(answer), EXECUTION_ID)
        if not isinstance(execution, str) or not execution:
            raise ProviderError("Invalid canaryExecutionId")
        return Measurement(
            phase=names.RUN_RUNNING,
            started_at=started_at,
            metadata={EXECUTION_ID: execution},
            resume_at=whole_seconds(self._context.now() + RESUME_AFTER),
        )

    async def resume(self, measurement: Measurement) -> Measurement:
        """Look whether the judgement is there."""
        execution = measurement.metadata.get(EXECUTION_ID, "")
        answer = await self._ask("GET", f"/canary/{quote(execution, safe='')}")
        if answer.status != 200:
            raise ProviderError("Invalid Response")
        body = json_of(answer)
        complete = member(body, "complete")
        if complete is None:
            raise ProviderError("Missing Complete Status")
        now = self._context.now()
        if not isinstance(complete, bool):
            raise ProviderError(
                f".complete accessor error: {compact_json(complete)} is of the type {_kind(complete)}, expected bool"
            )
        if not complete:
            return msgspec.structs.replace(
                measurement, phase=names.RUN_RUNNING, resume_at=whole_seconds(now + RESUME_AFTER)
            )
        score = _score(body)
        return msgspec.structs.replace(
            measurement, phase=self._phase(score), value=str(score), finished_at=whole_seconds(now), resume_at=None
        )

    async def terminate(self, measurement: Measurement) -> Measurement:
        """Wait no longer; the judgement goes on, and nobody looks at it."""
        return msgspec.structs.replace(
            measurement,
            phase=names.RUN_INCONCLUSIVE,
            finished_at=whole_seconds(self._context.now()),
            resume_at=None,
        )

    async def collect_garbage(self, limit: int) -> None:
        """Kayenta keeps its own house."""

    def _phase(self, score: int) -> str:
        threshold = self._config.threshold
        if score >= threshold.pass_:
            return names.RUN_SUCCESSFUL
        return names.RUN_INCONCLUSIVE if score >= threshold.marginal else names.RUN_FAILED

    async def _canary_config(self) -> str:
        """Return the id of the wanted configuration, which is looked for in the storage account first.

        Raises:
            ProviderError: there is none.
        """
        config = self._config
        for account in dict.fromkeys((config.storage_account_name, config.configuration_account_name)):
            query = urlencode({"application": config.application, "configurationAccountName": account})
            answer = await self._ask("GET", f"/canaryConfig?{query}")
            if answer.status != 200:
                raise ProviderError(f"Invalid Response: HTTP {answer.status}")
            found = json_of(answer)
            if not isinstance(found, list):
                raise ProviderError("json: the answer is no list of configurations")
            for each in found:
                identity = member(each, "id")
                if member(each, "name") == config.canary_config_name and isinstance(identity, str):
                    return identity
        raise ProviderError("Canary config not found")

    async def _ask(self, method: str, path: str, body: Any = None) -> HttpAnswer:
        return await ask(
            self._context,
            method,
            f"{self._config.address.rstrip('/')}{path}",
            headers={"Content-Type": "application/json"} if body is not None else {},
            body=json.dumps(body).encode() if body is not None else None,
            timeout_seconds=TIMEOUT_SECONDS,
            # A judgement that is begun twice is two judgements.
            shares=body is None,
        )

    # ---- Scopes -----------------------------------------------------------------------------------------------------

    def _scope(self, scope: KayentaScope, started_at: datetime) -> dict[str, Any]:
        control, experiment = scope.control_scope, scope.experiment_scope
        for name, one, other in (("start", control.start, experiment.start), ("end", control.end, experiment.end)):
            if bool(one) != bool(other):
                raise ProviderError(f"controlScope.{name} and experimentScope.{name} must both be set or be empty")
        start = "" if control.start else format_time(self._start(started_at))
        end = format_time(started_at)
        return {
            "controlScope": _detail(control, start, end),
            "experimentScope": _detail(experiment, start, end),
        }

    def _start(self, started_at: datetime) -> datetime:
        """Return where a scope begins that does not say.

        Raises:
            ProviderError: there is no interval to look back.
        """
        if self._config.lookback:
            return self._context.run.status.started_at or started_at
        try:
            return started_at - parse_duration(self._metric.interval)
        except InvalidDuration as err:
            raise ProviderError(f'Invalid duration "{self._metric.interval}": {err}') from None


def _detail(detail: KayentaScopeDetail, start: str, end: str) -> dict[str, Any]:
    return {
        "scope": detail.scope,
        "location": detail.region,
        "step": detail.step,
        "start": detail.start or start,
        "end": detail.end or end,
    }


def _score(body: Any) -> int:
    value = body
    for name in ("result", "judgeResult", "score", "score"):
        value = member(value, name) if isinstance(value, dict) else None
    if type(value) is not float:
        raise ProviderError("Missing Score")
    return math.trunc(value)


def _kind(value: Any) -> str:
    return {str: "string", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]
