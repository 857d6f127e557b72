"""The canary strategy: services, traffic routing, and every step."""

from prograde.api import defaults
from prograde.api.codec import to_json
from prograde.api.fieldpaths import InvalidFieldPath, metadata_value
from prograde.api.podtemplate import canonical
from prograde.api.rollout import (
    AnalysisArgument,
    AntiAffinity,
    CanaryStep,
    CanaryStrategy,
    ExperimentStep,
    PingPong,
    Rollout,
    SetHeaderRoute,
    SetMirrorRoute,
    StringMatch,
    TrafficRouting,
)
from prograde.api.scalars import pause_seconds, unscaled_value
from prograde.api.validation.errors import FieldError, invalid, required

__all__ = ["anti_affinity_errors", "canary_errors"]

_STRATEGY = "spec.strategy"
_ROUTING = f"{_STRATEGY}.trafficRouting"

_SERVICES_NEEDED = "Canary service and Stable service must to be set to use Traffic Routing"
_PING_PONG_NEEDED = "Ping service and Pong service must to be set to use Ping-Pong feature"
_ONE_STEP_NEEDED = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause"
_MATCH_MISSED = "StringMatch value missed, match value must have one of the following: exact, regex, prefix"
_MATCH_AMBIGUOUS = "StringMatch match value must have exactly one of the following: exact, regex, prefix"
_ALB_EXACT_ONLY = "SetHeaderRoute match value invalid. ALB supports 'exact' value only"
_STEP_MEMBERS = (
    "Experiment",
    "Pause",
    "SetWeight",
    "Analysis",
    "SetCanaryScale",
    "SetHeaderRoute",
    "SetMirrorRoute",
    "Plugin",
)
_ROUTE_NOT_MANAGED = "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes"


def canary_errors(rollout: Rollout, canary: CanaryStrategy) -> list[FieldError]:
    """Return what is wrong with a canary strategy, in order."""
    errors = _surge_errors(rollout, canary)
    if canary.canary_service and canary.canary_service == canary.stable_service:
        errors.append(
            invalid(
                f"{_STRATEGY}.stableService",
                canary.stable_service,
                "This rollout uses the same service for the stable and canary services, but two different services "
                "are required.",
            )
        )
    if canary.ping_pong is not None:
        errors += _ping_pong_errors(canary.ping_pong, canary.traffic_routing)
    if _needs_services(canary):
        for name, service in (("stableService", canary.stable_service), ("canaryService", canary.canary_service)):
            if not service:
                errors.append(invalid(f"{_STRATEGY}.{name}", service, _SERVICES_NEEDED))
    errors += _routing_errors(canary)
    for index, step in enumerate(canary.steps):
        errors += _step_errors(rollout, canary, step, f"{_STRATEGY}.steps[{index}]")
    return errors + anti_affinity_errors(canary.anti_affinity)


def _surge_errors(rollout: Rollout, canary: CanaryStrategy) -> list[FieldError]:
    surge = unscaled_value(defaults.effective_max_surge(rollout.spec))
    unavailable = unscaled_value(defaults.effective_max_unavailable(rollout.spec))
    if surge != 0 or unavailable != 0:
        return []
    detail = "MaxSurge and MaxUnavailable both can not be zero"
    return [invalid(f"{_STRATEGY}.maxSurge", canary.max_surge, detail)]


def _ping_pong_errors(ping_pong: PingPong, routing: TrafficRouting | None) -> list[FieldError]:
    errors = []
    if routing is not None and routing.alb is None and routing.istio is None and not routing.plugins:
        detail = "Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only"
        errors.append(invalid(f"{_ROUTING}.alb", None, detail))
    path = f"{_STRATEGY}.pingPong"
    for name, service in (("pingService", ping_pong.ping_service), ("pongService", ping_pong.pong_service)):
        if not service:
            errors.append(invalid(f"{path}.{name}", service, _PING_PONG_NEEDED))
    if ping_pong.ping_service == ping_pong.pong_service:
        errors.append(
            invalid(
                f"{path}.pingService",
                ping_pong.ping_service,
                "This rollout uses the same service for the ping and pong services, but two different services are "
                "required.",
            )
        )
    if routing is not None and routing.alb is not None and not routing.alb.root_service:
        detail = "Root service field is required for the configuration with ALB and ping-pong feature enabled"
        errors.append(invalid(f"{_ROUTING}.alb.rootService", "", detail))
    return errors


def _needs_services(canary: CanaryStrategy) -> bool:
    """Say whether any of the routers works on the canary and stable Services.

    Plugins decide for themselves, Istio may work on subsets instead, and ping-pong brings its own Services.
    """
    routing = canary.traffic_routing
    if routing is None:
        return False
    has_ping_pong = canary.ping_pong is not None
    return (
        (routing.alb is not None and not has_ping_pong)
        or (routing.istio is not None and routing.istio.destination_rule is None and not has_ping_pong)
        or any(
            router is not None
            for router in (
                routing.smi,
                routing.apisix,
                routing.ambassador,
                routing.nginx,
                routing.app_mesh,
                routing.traefik,
            )
        )
    )


def _routing_errors(canary: CanaryStrategy) -> list[FieldError]:
    errors = []
    routing, delay = canary.traffic_routing, canary.scale_down_delay_seconds
    if routing is None:
        if delay is not None:
            detail = "Canary scaleDownDelaySeconds can only be used with traffic routing"
            errors.append(invalid(f"{_STRATEGY}.scaleDownDelaySeconds", delay, detail))
        if canary.dynamic_stable_scale:
            detail = "Canary dynamicStableScale can only be used with traffic routing"
            errors.append(invalid(f"{_STRATEGY}.dynamicStableScale", True, detail))
        return errors
    if delay is not None and canary.dynamic_stable_scale:
        detail = "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds"
        errors.append(invalid(f"{_STRATEGY}.dynamicStableScale", True, detail))
    weight = routing.max_traffic_weight
    if weight is not None:
        if routing.nginx is None and not routing.plugins:
            detail = "Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins"
            errors.append(invalid(f"{_ROUTING}.maxTrafficWeight", weight, detail))
        if weight < 1:
            # Weights are divided by it.
            detail = "MaxTrafficWeight needs to be greater than 0"
            errors.append(invalid(f"{_ROUTING}.maxTrafficWeight", weight, detail))
    return errors


def anti_affinity_errors(anti_affinity: AntiAffinity | None) -> list[FieldError]:
    """Return what is wrong with the anti-affinity of either strategy."""
    if anti_affinity is None:
        return []
    errors = []
    preferred = anti_affinity.preferred_during_scheduling_ignored_during_execution
    required_ = anti_affinity.required_during_scheduling_ignored_during_execution
    if (preferred is None) == (required_ is None):
        value = (
            f"antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: {_go_bool(preferred)} "
            f"antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: {_go_bool(required_)}"
        )
        errors.append(invalid(f"{_STRATEGY}.antiAffinity", value, "AntiAffinity must have exactly one strategy listed"))
    if preferred is not None and not 1 <= preferred.weight <= 100:
        detail = "AntiAffinity weight must be between 1-100"
        errors.append(invalid(f"{_STRATEGY}.antiAffinity.weight", preferred.weight, detail))
    return errors


def _go_bool(value: object) -> str:
    """Say in Go's words whether something is present."""
    return "false" if value is None else "true"


# --- Steps ----------------------------------------------------------------------------------------------------


def _step_errors(rollout: Rollout, canary: CanaryStrategy, step: CanaryStep, path: str) -> list[FieldError]:
    errors = _step_kind_errors(step, path)
    routing = canary.traffic_routing
    weight_max = defaults.effective_max_traffic_weight(rollout.spec)
    if step.set_weight is not None and not 0 <= step.set_weight <= weight_max:
        errors.append(
            invalid(f"{path}.setWeight", step.set_weight, f"SetWeight needs to be between 0 and {weight_max}")
        )
    if step.pause is not None and (seconds := pause_seconds(step.pause.duration)) < 0:
        errors.append(invalid(f"{path}.pause.duration", seconds, "Duration needs to be greater than 0"))
    if step.set_canary_scale is not None and routing is None:
        errors.append(required(_ROUTING, "SetCanaryScale requires TrafficRouting to be set"))
    if step.set_header_route is not None:
        errors += _header_route_errors(step.set_header_route, routing, f"{path}.setHeaderRoute")
    if step.set_mirror_route is not None:
        errors += _mirror_route_errors(step.set_mirror_route, routing, f"{path}.setMirrorRoute")
    if routing is not None:
        errors += _managed_route_errors(step, routing, path)
    if step.experiment is not None:
        errors += _experiment_weight_errors(step.experiment, routing, f"{path}.experiment")
    return errors + _argument_errors(rollout, step, path)


def _step_kind_errors(step: CanaryStep, path: str) -> list[FieldError]:
    """Check that a step is of one kind; only four of the kinds are kept apart, the others go with anything."""
    exclusive = (step.set_weight, step.pause, step.experiment, step.analysis)
    if sum(member is not None for member in exclusive) > 1:
        value = (
            f"step.Experiment: {_go_bool(step.experiment)} step.Pause: {_go_bool(step.pause)} "
            f"step.SetWeight: {_go_bool(step.set_weight)} step.Analysis: {_go_bool(step.analysis)}"
        )
        return [invalid(path, value, _ONE_STEP_NEEDED)]
    others = (step.set_canary_scale, step.set_header_route, step.set_mirror_route, step.plugin)
    if all(member is None for member in (*exclusive, *others)):
        # Here true means missing; tools know the text like that.
        return [invalid(path, " ".join(f"step.{member}: true" for member in _STEP_MEMBERS), _ONE_STEP_NEEDED)]
    return []


def _header_route_errors(route: SetHeaderRoute, routing: TrafficRouting | None, path: str) -> list[FieldError]:
    if routing is None or (
        routing.istio is None and routing.alb is None and routing.apisix is None and not routing.plugins
    ):
        value = canonical(to_json(route), "SetHeaderRoute")
        return [invalid(path, value, "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix")]
    check = _alb_match_errors if routing.alb is not None else _match_errors
    return [
        error
        for index, match in enumerate(route.match)
        for error in check(match.header_value, f"{path}.match[{index}]")
    ]


def _alb_match_errors(match: StringMatch | None, path: str) -> list[FieldError]:
    if match is None:
        return [invalid(path, None, _MATCH_MISSED)]
    if not match.exact or match.regex or match.prefix:
        return [invalid(path, match, _ALB_EXACT_ONLY)]
    return []


def _match_errors(match: StringMatch | None, path: str) -> list[FieldError]:
    if match is None:
        return [invalid(path, None, _MATCH_MISSED)]
    members = sum(1 for member in (match.exact, match.regex, match.prefix) if member)
    if members == 1:
        return []
    return [invalid(path, match, _MATCH_AMBIGUOUS if members else _MATCH_MISSED)]


def _mirror_route_errors(route: SetMirrorRoute, routing: TrafficRouting | None, path: str) -> list[FieldError]:
    errors = []
    if routing is None or (routing.istio is None and not routing.plugins):
        value = canonical(to_json(route), "SetMirrorRoute")
        errors.append(invalid(path, value, "SetMirrorRoute requires TrafficRouting, supports Istio and Plugins"))
    for index, match in enumerate(route.match):
        for member in (match.method, match.path):
            if member is not None:
                errors += _match_errors(member, f"{path}.match[{index}]")
    return errors


def _managed_route_errors(step: CanaryStep, routing: TrafficRouting, path: str) -> list[FieldError]:
    routes = [
        (name, route)
        for name, route in (("setHeaderRoute", step.set_header_route), ("setMirrorRoute", step.set_mirror_route))
        if route is not None
    ]
    if routes and routing.managed_routes is None:
        detail = "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'"
        return [required(f"{_ROUTING}.managedRoutes", detail)]
    managed = {route.name for route in routing.managed_routes or ()}
    return [
        invalid(f"{path}.{name}", route.name, _ROUTE_NOT_MANAGED) for name, route in routes if route.name not in managed
    ]


def _experiment_weight_errors(
    experiment: ExperimentStep, routing: TrafficRouting | None, path: str
) -> list[FieldError]:
    if routing is None:
        detail = "Experiment template weight cannot be set unless TrafficRouting is enabled"
    elif routing.alb is None and routing.smi is None and routing.istio is None and not routing.plugins:
        detail = (
            "Experiment template weight is only available for TrafficRouting with SMI, ALB, Istio and Plugins at this "
            "time"
        )
    else:
        return []
    return [
        invalid(f"{path}.templates[{index}].weight", template.weight, detail)
        for index, template in enumerate(experiment.templates)
        if template.weight is not None
    ]


def _argument_errors(rollout: Rollout, step: CanaryStep, path: str) -> list[FieldError]:
    """Check that references to the Rollout's metadata exist; other paths are looked up when the run is made."""
    arguments: list[AnalysisArgument] = []
    for analysis in step.experiment.analyses if step.experiment is not None else ():
        arguments += analysis.args
    if step.analysis is not None:
        arguments += step.analysis.args
    value = [canonical(to_json(argument), "AnalysisArgument") for argument in arguments]
    detail = "Analyses arguments must refer to valid object metadata supported by downwardAPI"
    return [
        invalid(f"{path}.analyses", value, detail)
        for argument in arguments
        if not _has_valid_field_path(rollout, argument)
    ]


def _has_valid_field_path(rollout: Rollout, argument: AnalysisArgument) -> bool:
    if argument.value_from is None or argument.value_from.field_ref is None:
        return True
    path = argument.value_from.field_ref.field_path
    if not path.startswith("metadata"):
        return True
    try:
        metadata_value(rollout.metadata, path)
    except InvalidFieldPath:
        return False
    return True
