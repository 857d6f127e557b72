"""Ingresses that NGINX and the AWS load balancer controller route with."""

from collections.abc import Iterator, Mapping

from prograde.api.rollout import CanaryStrategy, TrafficRouting
from prograde.api.scalars import go_quote
from prograde.api.validation.errors import FieldError, internal, invalid
from prograde.api.workloads import Ingress, IngressBackend

__all__ = ["has_rule_with_service", "ingress_config_errors", "ingress_errors", "missing_ingress_errors"]

_ROUTING = "spec.strategy.canary.trafficRouting"


def ingress_config_errors(routing: TrafficRouting) -> Iterator[FieldError]:
    """Check that each router has either one ingress or a list of them; an empty list counts as a list."""
    if routing.nginx is not None:
        yield from _one_of(
            f"{_ROUTING}.nginx",
            "StableIngress or StableIngresses",
            has_one=bool(routing.nginx.stable_ingress),
            has_list=routing.nginx.stable_ingresses is not None,
        )
    if routing.alb is not None:
        yield from _one_of(
            f"{_ROUTING}.alb",
            "Ingress or Ingresses",
            has_one=bool(routing.alb.ingress),
            has_list=routing.alb.ingresses is not None,
        )


def _one_of(path: str, fields: str, *, has_one: bool, has_list: bool) -> Iterator[FieldError]:
    if has_one == has_list:
        found = "Both" if has_one else "Neither"
        yield internal(path, f"Either {fields} must be configured. {found} are configured.")


def missing_ingress_errors(routing: TrafficRouting, ingresses: Mapping[str, Ingress]) -> Iterator[FieldError]:
    """Check that the ingresses exist. With both routers only those of the load balancer are looked for."""
    if routing.alb is not None:
        one, many = routing.alb.ingress, routing.alb.ingresses
        one_path, many_path = f"{_ROUTING}.alb.ingress", f"{_ROUTING}.alb.ingresses"
    elif routing.nginx is not None:
        one, many = routing.nginx.stable_ingress, routing.nginx.stable_ingresses
        # Spelled like this; tools know it.
        one_path, many_path = f"{_ROUTING}.nginx.stableIngress", f"{_ROUTING}.nginx.StableIngresses"
    else:
        return
    if many is not None:
        for name in many:
            if name not in ingresses:
                yield invalid(many_path, list(many), _not_found(name))
    elif one and one not in ingresses:
        yield invalid(one_path, one, _not_found(one))


def _not_found(name: str) -> str:
    return f"ingress.networking.k8s.io {go_quote(name)} not found"


def ingress_errors(
    canary: CanaryStrategy, routing: TrafficRouting, ingresses: Mapping[str, Ingress]
) -> Iterator[FieldError]:
    """Check that each ingress sends something to the Service whose traffic is to be split.

    With both routers an ingress is checked for NGINX and then for the load balancer.
    """
    for ingress in _ingresses_of(routing, ingresses):
        name = ingress.metadata.name
        if routing.nginx is not None:
            is_listed = name in (routing.nginx.stable_ingresses or ())
            path = f"{_ROUTING}.nginx.{'stableIngresses' if is_listed else 'stableIngress'}"
            yield from _rule_errors(ingress, canary.stable_service, path)
        if routing.alb is not None:
            is_listed = name in (routing.alb.ingresses or ())
            path = f"{_ROUTING}.alb.{'ingresses' if is_listed else 'ingress'}"
            yield from _rule_errors(ingress, routing.alb.root_service or canary.stable_service, path)


def _ingresses_of(routing: TrafficRouting, ingresses: Mapping[str, Ingress]) -> Iterator[Ingress]:
    if routing.alb is not None:
        names = routing.alb.ingresses if routing.alb.ingresses is not None else (routing.alb.ingress,)
    elif routing.nginx is not None:
        nginx = routing.nginx
        names = nginx.stable_ingresses if nginx.stable_ingresses is not None else (nginx.stable_ingress,)
    else:
        names = ()
    yield from (ingresses[name] for name in names if name in ingresses)


def _rule_errors(ingress: Ingress, service: str, path: str) -> Iterator[FieldError]:
    name = ingress.metadata.name
    if not has_rule_with_service(ingress, service):
        yield invalid(path, name, f"ingress `{name}` has no rules using service {service} backend")


def has_rule_with_service(ingress: Ingress, service: str) -> bool:
    """Say whether a path of an ingress leads to a Service; the default backend does not count."""
    return any(
        _service_name(path.backend) == service
        for rule in ingress.spec.rules
        if rule.http is not None
        for path in rule.http.paths
    )


def _service_name(backend: IngressBackend) -> str | None:
    """Return the Service of a backend, None if it is a resource."""
    if backend.service is not None:
        return backend.service.name
    return backend.service_name or None
