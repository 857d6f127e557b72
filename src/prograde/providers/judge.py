"""The built-in judge, ``prograde/judge``: asks for canary and stable version with the same queries, and weighs both.

    queries, once per version ──▶ counters ──▶ what the interval has shown ──▶ evidence ──▶ {harm, safe, ...}

The labels that tell the versions apart are given once, and ``$name`` in a query stands for that of the version:

    canary: {hash: "{{args.canary-hash}}"}
    stable: {hash: "{{args.stable-hash}}"}
    signals:
    - {name: errors, bad: 'sum by (pod) (errors_total{hash="$hash"})', total: 'sum by (pod) (hits_total{hash="$hash"})'}

Queries go to Prometheus, or, with ``web``, are URLs that answer with a number or a map of numbers. The evidence so far
is kept in the metadata of the newest measurement, where a restarted controller finds it. Instead of ``signals``, a
``kayenta`` section has samples judged as Kayenta does.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import msgspec

from prograde.api import names
from prograde.api.analysis import Measurement, Metric, PrometheusMetric, PrometheusRangeQuery, WebMetric
from prograde.api.scalars import InvalidDuration, parse_duration
from prograde.core.judge import kayenta
from prograde.core.judge.counters import Counters, counted
from prograde.core.judge.mannwhitney import AllTied
from prograde.core.judge.panel import Arms, Panel, PanelState, Signal, decision, problems, updated
from prograde.core.judge.sequential import LOOKS_MIN
from prograde.expr.jsontext import compact_json
from prograde.expr.values import Floats
from prograde.providers import prometheus, web
from prograde.providers.base import AtOnce, ProviderContext, ProviderError, Reading

__all__ = ["STATE_KEY", "JudgeProvider", "build"]

STATE_KEY: Final = "judge"
"""Where a measurement keeps the evidence so far."""

VERSIONS: Final = ("canary", "stable")
_NAME: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class _Config(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is shared by everything that configures the judge."""


class EffectSizeConfig(_Config, frozen=True, kw_only=True):
    """As in a canary configuration of Kayenta."""

    measure: str = "meanRatio"
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None


class OutlierConfig(_Config, frozen=True, kw_only=True):
    """As in a canary configuration of Kayenta."""

    strategy: str = "keep"
    outlier_factor: float = kayenta.OUTLIER_FACTOR


class KayentaMetric(_Config, frozen=True, kw_only=True):
    """One metric of a canary configuration, and the query for it."""

    name: str
    query: str
    groups: tuple[str, ...] = ()
    direction: str = "either"
    nan_strategy: str = "remove"
    critical: bool = False
    must_have_data: bool = False
    muted: bool = False
    effect_size: EffectSizeConfig = EffectSizeConfig()
    outliers: OutlierConfig = OutlierConfig()


class Thresholds(_Config, frozen=True, kw_only=True):
    """Scores from which on the canary passes, or is at least not bad."""

    pass_: float = msgspec.field(name="pass")
    marginal: float


class KayentaConfig(_Config, frozen=True, kw_only=True):
    """Samples to judge as Kayenta does: those of the last `lookback`, one per `step`."""

    metrics: tuple[KayentaMetric, ...]
    thresholds: Thresholds
    group_weights: dict[str, float] = {}
    lookback: str = "30m"
    step: str = "1m"


class JudgeConfig(_Config, frozen=True, kw_only=True):
    """The configuration of the plugin."""

    canary: dict[str, str]
    stable: dict[str, str]
    signals: tuple[Signal, ...] = ()
    kayenta: KayentaConfig | None = None
    prometheus: PrometheusMetric = PrometheusMetric()
    web: WebMetric | None = None
    alpha: float = 0.05
    min_requests: int = 200
    min_bad: int = 1
    min_intervals: int = LOOKS_MIN
    share: float | None = None
    """Which share of the requests the canary should see; another one is a ``mismatch``."""
    share_tolerance: float = 1.25


async def build(metric: Metric, context: ProviderContext) -> "JudgeProvider":
    """Return the provider of a metric.

    Raises:
        ProviderError: its configuration is wrong.
    """
    raw = next(iter(metric.provider.plugin.values()))
    try:
        config = msgspec.json.decode(raw, type=JudgeConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise ProviderError(f"prograde/judge: {err}") from None
    wrong = problems(config.signals)
    if bool(config.signals) == (config.kayenta is not None):
        wrong = "either signals or kayenta must be given"
    elif config.kayenta is not None and not config.kayenta.metrics:
        wrong = "kayenta has no metrics"
    elif not 0 < config.alpha < 1:
        wrong = "alpha must be between 0 and 1"
    elif config.share is not None and not 0 < config.share < 1:
        wrong = "share must be between 0 and 1"
    elif config.share_tolerance <= 1:
        wrong = "shareTolerance must be above 1"
    elif config.canary == config.stable:
        wrong = "canary and stable are the same"
    if wrong:
        raise ProviderError(f"prograde/judge: {wrong}")
    # Everything of one look is asked for the same instant, so that the versions can be compared.
    now = context.now()
    return JudgeProvider(metric, replace(context, now=lambda: now), config)


class JudgeProvider(AtOnce):
    """One look at all signals."""

    type_name = "RPCPlugin"

    def __init__(self, metric: Metric, context: ProviderContext, config: JudgeConfig) -> None:
        super().__init__(metric, context)
        self._config = config
        self._labels = dict(zip(VERSIONS, (config.canary, config.stable), strict=True))

    async def run(self) -> Measurement:
        measurement = await super().run()
        config = self._config.kayenta
        if config is None or self.metric.success_condition or self.metric.failure_condition:
            return measurement
        return msgspec.structs.replace(measurement, phase=_PHASES[msgspec.json.decode(measurement.value)["verdict"]])

    async def read(self) -> Reading:
        if self._config.kayenta is not None:
            return await self._judged_by_samples(self._config.kayenta)
        config = self._config
        panel = Panel(
            signals=config.signals,
            alpha=config.alpha,
            requests_min=config.min_requests,
            bad_min=config.min_bad,
            looks_min=config.min_intervals,
            share=config.share,
            share_tolerance=config.share_tolerance,
        )
        before = self._state()
        counters = dict(before.counters)
        async with asyncio.TaskGroup() as group:
            looks = {signal.name: group.create_task(_kept(self._arms(signal, counters))) for signal in panel.signals}
        seen: dict[str, Arms] = {}
        for name, look in looks.items():
            found = look.result()
            if isinstance(found, ProviderError):
                raise ProviderError(f"signal '{name}': {found}")
            if found is not None:
                seen[name] = found
        state = msgspec.structs.replace(updated(panel, before, seen), counters=counters)
        result = decision(panel, state)
        return Reading(
            result=result, text=compact_json(result), metadata={STATE_KEY: msgspec.json.encode(state).decode()}
        )

    def _state(self) -> PanelState:
        """Return the evidence so far: that of the newest measurement that has some, for errors have none."""
        for result in self.context.run.status.metric_results:
            if result.name != self.metric.name:
                continue
            for measurement in reversed(result.measurements):
                if text := measurement.metadata.get(STATE_KEY):
                    try:
                        return msgspec.json.decode(text, type=PanelState)
                    except msgspec.DecodeError as err:
                        raise ProviderError(f"prograde/judge: the evidence so far cannot be read: {err}") from None
        return PanelState()

    # ---- What an interval has shown ---------------------------------------------------------------------------------

    async def _arms(self, signal: Signal, counters: dict[str, Counters]) -> Arms | None:
        """Return what both versions have shown since the last look, or None if that says nothing."""
        pairs = [await self._pair(signal, version, counters) for version in VERSIONS]
        canary, stable = pairs
        if canary is None or stable is None:
            return None
        return Arms(canary=canary, stable=stable)

    async def _pair(self, signal: Signal, version: str, counters: dict[str, Counters]) -> tuple[float, float] | None:
        labels = self._labels[version]
        if signal.kind == "gauge":
            values = [value for value in (await self._series(signal.value, labels)).values() if math.isfinite(value)]
            return (math.fsum(values) / len(values), 1.0) if values else None
        if signal.kind == "buckets":
            series = await self._series(signal.buckets, labels)
            total, fast = _of_buckets(series, signal.edge or 0.0)
            key = f"{signal.name}/{version}"
            every = _since(counters, f"{key}/total", signal, total)
            return max(0.0, every - _since(counters, f"{key}/fast", signal, fast)), every
        bad = await self._series(signal.bad, labels)
        total = await self._series(signal.total, labels)
        key = f"{signal.name}/{version}"
        return _since(counters, f"{key}/bad", signal, bad), _since(counters, f"{key}/total", signal, total)

    async def _series(self, query: str, labels: Mapping[str, str]) -> dict[str, float]:
        filled = _filled(query, labels)
        if self._config.web is None:
            config = msgspec.structs.replace(self._config.prometheus, query=filled, range_query=None)
            provider = await prometheus.build(_asking(self.metric, prometheus=config), self.context)
            return await provider.series()
        value = await self._fetched(filled)
        if isinstance(value, dict):
            return {name: float(each) for name, each in value.items() if _is_number(each)}
        if _is_number(value):
            return {"": float(value)}
        raise ProviderError("the answer is neither a number nor a map of numbers")

    async def _fetched(self, url: str) -> Any:
        assert self._config.web is not None
        config = msgspec.structs.replace(self._config.web, url=url)
        return (await (await web.build(_asking(self.metric, web=config), self.context)).read()).result

    # ---- As Kayenta does --------------------------------------------------------------------------------------------

    async def _judged_by_samples(self, config: KayentaConfig) -> Reading:
        try:
            lookback = parse_duration(config.lookback)
        except InvalidDuration as err:
            raise ProviderError(f"prograde/judge: lookback: {err}") from None
        samples = []
        for metric in config.metrics:
            canary, stable = [
                await self._samples(metric.query, self._labels[version], lookback, config.step) for version in VERSIONS
            ]
            samples.append((_rules(metric), canary, stable))
        thresholds = config.thresholds
        try:
            verdict = kayenta.judge(samples, config.group_weights, thresholds.pass_, thresholds.marginal)
        except AllTied as err:
            raise ProviderError(f"prograde/judge: {err}") from None
        result = {
            "verdict": verdict.label,
            "score": verdict.score,
            "harm": verdict.label == "Fail",
            "safe": verdict.label == "Pass",
            "groups": dict(verdict.groups),
            "metrics": {each.name: each.label for each in verdict.metrics},
        }
        return Reading(result=result, text=compact_json(result))

    async def _samples(self, query: str, labels: Mapping[str, str], lookback: timedelta, step: str) -> list[float]:
        filled = _filled(query, labels)
        if self._config.web is not None:
            value = await self._fetched(filled)
            if not isinstance(value, list):
                raise ProviderError("the answer is no list of numbers")
            return [float(each) if _is_number(each) else math.nan for each in value]
        wanted = PrometheusRangeQuery(
            start=f'now() - duration("{lookback.total_seconds():g}s")', end="now()", step=step
        )
        config = msgspec.structs.replace(self._config.prometheus, query=filled, range_query=wanted)
        provider = await prometheus.build(_asking(self.metric, prometheus=config), self.context)
        values = (await provider.read()).result
        return list(values) if isinstance(values, Floats) else [values]


_PHASES: Final = {"Pass": names.RUN_SUCCESSFUL, "Marginal": names.RUN_INCONCLUSIVE, "Fail": names.RUN_FAILED}


def _rules(metric: KayentaMetric) -> kayenta.MetricRules:
    size = metric.effect_size
    return kayenta.MetricRules(
        name=metric.name,
        groups=metric.groups,
        direction=metric.direction,
        replaces_nan=metric.nan_strategy == "replace",
        removes_outliers=metric.outliers.strategy == "remove",
        outlier_factor=metric.outliers.outlier_factor,
        critical=metric.critical,
        must_have_data=metric.must_have_data,
        muted=metric.muted,
        effect_size=kayenta.EffectSize(**msgspec.structs.asdict(size)),
    )


def _asking(metric: Metric, **provider: Any) -> Metric:
    """Return the metric with another provider in place of the judge."""
    return msgspec.structs.replace(metric, provider=type(metric.provider)(**provider))


def _filled(query: str, labels: Mapping[str, str]) -> str:
    """Fill in the labels of a version; any other ``$`` belongs to the query."""
    return _NAME.sub(lambda match: labels.get(match[1] or match[2], match[0]), query)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _since(counters: dict[str, Counters], key: str, signal: Signal, series: Mapping[str, float]) -> float:
    """Return how many events there were since the last look, and remember how far the counters are."""
    if signal.counts == "interval":
        # Prometheus extrapolates increases to fractions; events come whole.
        return float(round(math.fsum(max(0.0, value) for value in series.values() if math.isfinite(value))))
    counters[key], grown = counted(counters.get(key), series)
    return grown


def _of_buckets(series: Mapping[str, float], edge: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return the counters of all requests, and of those within the bucket whose edge is nearest to the wanted one.

    Raises:
        ProviderError: the series have no buckets.
    """
    buckets: dict[str, dict[float, float]] = {}
    for labels, value in series.items():
        try:
            named = msgspec.json.decode(labels, type=dict[str, str])
            limit = float(named.pop("le"))
        except (msgspec.DecodeError, KeyError, ValueError):
            raise ProviderError("the series of a histogram need the label le") from None
        rest = msgspec.json.encode(named, order="sorted").decode()
        buckets.setdefault(rest, {})[limit] = value
    total = {rest: found[math.inf] for rest, found in buckets.items() if math.inf in found}
    fast: dict[str, float] = {}
    for rest, found in buckets.items():
        limits = [limit for limit in found if limit != math.inf]
        if not limits or rest not in total:
            raise ProviderError("a histogram needs the bucket +Inf and another one")
        fast[rest] = found[min(limits, key=lambda limit: abs(limit - edge))]
    return total, fast


async def _kept(look: Awaitable[Arms | None]) -> Arms | ProviderError | None:
    """Await a look, and return its error instead of stopping the others, which may be waiting for their answers."""
    try:
        return await look
    except ProviderError as err:
        return err
