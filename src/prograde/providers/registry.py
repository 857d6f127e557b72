"""Which provider measures a metric. The modules are imported when they are first used."""

from importlib import import_module
from typing import Final

from prograde.api.analysis import Metric
from prograde.providers.base import Build, Provider, ProviderContext, ProviderError

__all__ = ["TYPE_NAMES", "build_provider", "type_name_of"]

_MODULES: Final = (
    ("prometheus", "Prometheus", "prograde.providers.prometheus"),
    ("job", "Job", "prograde.providers.job"),
    ("kayenta", "Kayenta", "prograde.providers.kayenta"),
    ("web", "Web", "prograde.providers.web"),
    ("datadog", "Datadog", "prograde.providers.datadog"),
    ("wavefront", "Wavefront", "prograde.providers.wavefront"),
    ("new_relic", "NewRelic", "prograde.providers.newrelic"),
    ("cloud_watch", "CloudWatch", "prograde.providers.cloudwatch"),
    ("graphite", "Graphite", "prograde.providers.graphite"),
    ("influxdb", "Influxdb", "prograde.providers.influxdb"),
    ("skywalking", "skywalking", "prograde.providers.skywalking"),
    ("plugin", "RPCPlugin", "prograde.providers.plugin"),
)
"""Member of `MetricProvider`, type name, and the module whose ``build`` makes the provider; the first that is set."""

TYPE_NAMES: Final = tuple(name for _, name, _ in _MODULES)


def type_name_of(metric: Metric) -> str:
    """Return the name of the type of a metric's provider, as metrics and logs show it."""
    return next((name for member, name, _ in _MODULES if getattr(metric.provider, member)), "Unknown Provider")


async def build_provider(metric: Metric, context: ProviderContext) -> Provider:
    """Return the provider of a metric.

    Raises:
        ProviderError: the metric has none, or it cannot be built.
    """
    for member, _, module in _MODULES:
        if getattr(metric.provider, member):
            build: Build = import_module(module).build
            return await build(metric, context)
    raise ProviderError(f"no valid provider in metric '{metric.name}'")
