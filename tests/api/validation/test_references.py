"""What Rollouts refer to: Services, ingresses, meshes, analysis templates."""

import copy
import json

import msgspec
import pytest

from prograde.api.analysis import AnalysisTemplate, ClusterAnalysisTemplate
from prograde.api.codec import decode
from prograde.api.meta import NamespacedName
from prograde.api.rollout import Rollout
from prograde.api.validation import References, validate_references
from prograde.api.workloads import Ingress, Service

ROUTING = "spec.strategy.canary.trafficRouting"


def made(value: dict, type_: type[msgspec.Struct]):
    return decode(json.dumps(value).encode(), type_)


def rollout(strategy: dict, **status) -> Rollout:
    template = {"metadata": {"labels": {"app": "cart", "tier": "web"}}}
    metadata = {"name": "cart", "namespace": "shop"}
    return made({"metadata": metadata, "spec": {"template": template, "strategy": strategy}, "status": status}, Rollout)


def canary(**fields) -> Rollout:
    return rollout({"canary": fields})


def routed(**routers) -> Rollout:
    return canary(trafficRouting=routers, stableService="stable", canaryService="canary")


def errors_of(subject: Rollout, **references) -> list[str]:
    return [str(error) for error in validate_references(subject, References(**references))]


# --- Services -------------------------------------------------------------------------------------------------


def service(name: str, selector: dict | None = None, **annotations: str) -> dict[str, Service]:
    metadata = {"name": name, "annotations": annotations}
    return {name: made({"metadata": metadata, "spec": {"selector": selector or {}}}, Service)}


ALL_SERVICES = [
    ({"blueGreen": {"activeService": "x"}}, "spec.strategy.blueGreen.activeService"),
    ({"blueGreen": {"previewService": "x"}}, "spec.strategy.blueGreen.previewService"),
    ({"canary": {"canaryService": "x"}}, "spec.strategy.canary.canaryService"),
    ({"canary": {"stableService": "x"}}, "spec.strategy.canary.stableService"),
    ({"canary": {"pingPong": {"pingService": "x"}}}, "spec.strategy.canary.pingPong.pingService"),
    ({"canary": {"pingPong": {"pongService": "x"}}}, "spec.strategy.canary.pingPong.pongService"),
]


@pytest.mark.parametrize(("strategy", "path"), ALL_SERVICES)
def test_a_missing_service_is_named(strategy, path):
    expected = [f'{path}: Invalid value: "x": service "x" not found']
    assert errors_of(rollout(strategy), services={}) == expected
    assert errors_of(rollout(strategy), services={}, is_complete=False) == []
    assert errors_of(rollout(strategy)) == []


@pytest.mark.parametrize(("strategy", "path"), ALL_SERVICES)
@pytest.mark.parametrize(
    ("selector", "annotations", "details"),
    [
        ({}, {}, []),
        ({"app": "cart", "tier": "web"}, {}, []),
        ({"app": "cart", "rollouts-pod-template-hash": "abc"}, {}, []),
        ({"app": "cart"}, {"argo-rollouts.argoproj.io/managed-by-rollouts": "cart"}, []),
        ({"app": "other"}, {}, ['Service "x" has unmatch label "app" in rollout']),
        (
            {"zone": "b", "app": "other", "tier": "web"},
            {"argo-rollouts.argoproj.io/managed-by-rollouts": "checkout"},
            [
                'Service "x" has unmatch label "app" in rollout',
                'Service "x" has unmatch label "zone" in rollout',
                'Service "x" is managed by another Rollout',
            ],
        ),
    ],
)
def test_a_service_must_select_the_pods_and_belong_to_nobody_else(strategy, path, selector, annotations, details):
    errors = errors_of(rollout(strategy), services=service("x", selector, **annotations))
    assert errors == [f'{path}: Invalid value: "x": {detail}' for detail in details]


@pytest.mark.parametrize(
    "strategy",
    [
        {"canary": {"stableService": "x", "stableMetadata": {"labels": {"role": "main"}}}},
        {"canary": {"canaryService": "x", "canaryMetadata": {"labels": {"role": "main"}}}},
        {"blueGreen": {"activeService": "x", "activeMetadata": {"labels": {"role": "main"}}}},
        {"blueGreen": {"previewService": "x", "previewMetadata": {"labels": {"role": "main"}}}},
    ],
)
def test_a_service_may_select_labels_that_pods_have_only_in_its_role(strategy):
    assert errors_of(rollout(strategy), services=service("x", {"role": "main"})) == []
    assert len(errors_of(rollout(strategy), services=service("x", {"role": "other"}))) == 1


def test_services_are_reported_in_order():
    errors = errors_of(
        canary(stableService="a", canaryService="b", pingPong={"pingService": "c", "pongService": "d"}), services={}
    )
    assert [error.split(": ")[2] for error in errors] == ['"a"', '"b"', '"c"', '"d"']


# --- Ingresses ------------------------------------------------------------------------------------------------


def ingress(name: str, *services: str, beta: bool = False) -> dict[str, Ingress]:
    backends = [{"serviceName": each} if beta else {"service": {"name": each}} for each in services]
    rules = [{"http": {"paths": [{"backend": backend}]}} for backend in backends]
    spec = {"defaultBackend": {"service": {"name": "stable"}}, "rules": [{}, *rules]}
    return {name: made({"metadata": {"name": name}, "spec": spec}, Ingress)}


@pytest.mark.parametrize(
    ("router", "config", "expected"),
    [
        ("nginx", {}, ("StableIngress or StableIngresses", "Neither")),
        ("nginx", {"stableIngress": "a", "stableIngresses": []}, ("StableIngress or StableIngresses", "Both")),
        ("alb", {}, ("Ingress or Ingresses", "Neither")),
        ("alb", {"ingress": "a", "ingresses": ["b"]}, ("Ingress or Ingresses", "Both")),
    ],
)
def test_a_router_has_one_ingress_or_a_list(router, config, expected):
    fields, found = expected
    detail = f"Either {fields} must be configured. {found} are configured."
    assert errors_of(routed(**{router: config})) == [f"{ROUTING}.{router}: Internal error: {detail}"]


@pytest.mark.parametrize(
    ("routers", "expected"),
    [
        ({"nginx": {"stableIngress": "a"}}, ['nginx.stableIngress: Invalid value: "a"']),
        ({"nginx": {"stableIngresses": ["a", "b"]}}, ['nginx.StableIngresses: Invalid value: ["a","b"]'] * 2),
        ({"alb": {"ingress": "a"}}, ['alb.ingress: Invalid value: "a"']),
        ({"alb": {"ingresses": ["a"]}}, ['alb.ingresses: Invalid value: ["a"]']),
        ({"alb": {"ingress": "a"}, "nginx": {"stableIngress": "b"}}, ['alb.ingress: Invalid value: "a"']),
    ],
)
def test_a_missing_ingress_is_named(routers, expected):
    names = ["a", "b"] if len(expected) == 2 else ["a"]
    assert errors_of(routed(**routers), ingresses={}) == [
        f'{ROUTING}.{each}: ingress.networking.k8s.io "{name}" not found'
        for each, name in zip(expected, names, strict=True)
    ]


NO_RULES = "ingress `a` has no rules using service {} backend"


@pytest.mark.parametrize(
    ("routers", "services", "expected"),
    [
        ({"nginx": {"stableIngress": "a"}}, ["other", "stable"], []),
        ({"nginx": {"stableIngress": "a"}}, ["root"], [("nginx.stableIngress", "stable")]),
        ({"nginx": {"stableIngresses": ["a"]}}, [], [("nginx.stableIngresses", "stable")]),
        ({"alb": {"ingress": "a"}}, ["stable"], []),
        ({"alb": {"ingress": "a", "rootService": "root"}}, ["root"], []),
        ({"alb": {"ingress": "a", "rootService": "root"}}, ["stable"], [("alb.ingress", "root")]),
        ({"alb": {"ingresses": ["a"]}}, ["root"], [("alb.ingresses", "stable")]),
        (
            {"alb": {"ingress": "a", "rootService": "root"}, "nginx": {"stableIngress": "a"}},
            [],
            [("nginx.stableIngress", "stable"), ("alb.ingress", "root")],
        ),
    ],
)
@pytest.mark.parametrize("beta", [False, True])
def test_an_ingress_must_lead_to_the_service_that_is_split(routers, services, expected, beta):
    errors = errors_of(routed(**routers), ingresses=ingress("a", *services, beta=beta))
    assert errors == [f'{ROUTING}.{path}: Invalid value: "a": {NO_RULES.format(name)}' for path, name in expected]


def test_a_backend_of_resource_kind_does_not_count():
    spec = {"rules": [{"http": {"paths": [{"backend": {"resource": {"kind": "Bucket"}}}, {}]}}]}
    found = {"a": made({"metadata": {"name": "a"}, "spec": spec}, Ingress)}
    assert len(errors_of(routed(nginx={"stableIngress": "a"}), ingresses=found)) == 1


# --- Istio ----------------------------------------------------------------------------------------------------

VS = f"{ROUTING}.istio.virtualService.name: Invalid value"


def destination(host: str, subset: str = "") -> dict:
    return {"destination": {"host": host, **({"subset": subset} if subset else {})}}


BOTH = [destination("stable"), destination("canary.shop.svc")]


def virtual_services(**spec) -> dict:
    return {NamespacedName("shop", "vs"): {"metadata": {"name": "vs"}, "spec": spec}}


def istio(**fields) -> Rollout:
    return routed(istio={"virtualService": {"name": "vs", **fields}})


@pytest.mark.parametrize(
    "config",
    [{}, {"virtualServices": []}, {"virtualService": {"name": "a"}, "virtualServices": [{"name": "b"}]}],
)
def test_virtual_services_are_named_in_one_way(config):
    assert errors_of(routed(istio=config), virtual_services={}) == [
        f"{ROUTING}.istio: Internal error: either VirtualService or VirtualServices must be configured"
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("vs", ("shop", "vs")),
        ("vs.other", ("other", "vs")),
        ("a.b.other", ("other", "a.b")),
        ("vs.other.cluster.local", ("other", "vs")),
        ("vs.other.svc.cluster.local", ("svc", "vs.other")),
        ("vs.", ("shop", "vs")),
    ],
)
def test_the_name_of_a_virtual_service_may_have_a_namespace(name, key):
    found = {NamespacedName(*key): {"spec": {"http": [{"route": BOTH}]}}}
    for config in ({"virtualService": {"name": name}}, {"virtualServices": [{"name": name}]}):
        assert errors_of(routed(istio=config), virtual_services=found) == []
    assert errors_of(istio(name=name), virtual_services={}) == [
        f'{VS}: "{key[1]}": virtualservices.networking.istio.io "{key[1]}" not found'
    ]


ONLY_ONE = (
    "spec.{0}[] should be set in VirtualService and it must have exactly one route when omitting "
    "spec.strategy.canary.trafficRouting.istio.virtualService.{1}"
)
TLS_443 = {"match": [{"port": 443, "sniHosts": ["a", "b"]}, {"port": 443, "sniHosts": ["b"]}], "route": BOTH}
TLS_NO_PORT = {"match": [{"sniHosts": ["a", "b", "c"]}], "route": BOTH}
TCP_5 = {"match": [{"port": 5}], "route": BOTH}
TLS_TWO_PORTS = {"match": [{"port": 1}, {"port": 2}], "route": BOTH}


@pytest.mark.parametrize(
    ("fields", "spec", "detail"),
    [
        ({}, {"http": [{"route": BOTH}]}, None),
        ({"routes": ["a"]}, {"http": [{"name": "a", "route": BOTH}, {"name": "b"}]}, None),
        ({"routes": ["c"]}, {"http": [{"name": "a"}]},
         "HTTP: HTTP Route 'c' is not found in the defined Virtual Service."),
        ({}, {"http": [{"name": "a"}, {"route": BOTH}]}, "HTTP: " + ONLY_ONE.format("http", "routes")),
        ({}, {"http": [{"name": "managed"}, {"route": BOTH}]}, None),
        ({}, {"http": [{"name": "managed"}, {"name": "base", "route": BOTH}]}, None),
        ({}, {"http": [{"name": "managed"}, {"name": "base", "route": BOTH[:1]}]},
         "HTTP: Canary Service 'canary' not found in route"),
        ({}, {"http": [{"name": "managed"}, {"name": "managed"}]}, "HTTP: " + ONLY_ONE.format("http", "routes")),
        ({}, {"http": [{"name": "managed", "route": BOTH}]}, None),
        ({}, {"http": [{"route": BOTH}], "tls": [], "tcp": []}, None),
        ({}, {"http": [{"route": BOTH}], "tls": [{"route": BOTH[:1]}]},
         "TLS: Canary Service 'canary' not found in route"),
        ({"tcpRoutes": [{}]}, {"tcp": [{"route": BOTH}]}, None),
        ({"tcpRoutes": [{"port": 5}]}, {"tcp": [{"match": [{"port": 5}, {"gateways": ["x"]}], "route": BOTH}]}, None),
        ({}, {"http": [{"route": BOTH[:1]}]}, "HTTP: Canary Service 'canary' not found in route"),
        ({}, {"http": [{"route": BOTH[1:]}]}, "HTTP: Stable Service 'stable' not found in route"),
        ({}, {"http": [{}]}, "HTTP: Canary Service 'canary' not found in route"),
        ({}, {"tls": [{"route": BOTH}]}, None),
        ({}, {"tls": [{"route": BOTH}, {"route": BOTH}]}, "TLS: " + ONLY_ONE.format("tls", "tlsRoutes")),
        ({"tlsRoutes": [{"port": 443, "sniHosts": ["b", "a"]}]}, {"tls": [TLS_443]}, None),
        ({"tlsRoutes": [{"sniHosts": ["c", "a", "b"]}]}, {"tls": [TLS_NO_PORT, TLS_TWO_PORTS]}, None),
        ({"tlsRoutes": [{"port": 443, "sniHosts": ["a"]}]}, {"tls": [TLS_443]},
         "TLS: No matching TLS routes found in the defined Virtual Service."),
        ({"tlsRoutes": [{"port": 1}]}, {"tls": [TLS_TWO_PORTS]},
         "TLS: No matching TLS routes found in the defined Virtual Service."),
        ({}, {"tcp": [{"route": BOTH}]}, None),
        ({}, {"tcp": [{"route": []}]}, "TCP: Canary Service 'canary' not found in route"),
        ({"tcpRoutes": [{"port": 5}]}, {"tcp": [{"match": [{"port": 4}]}, TCP_5]}, None),
        ({"tcpRoutes": [{"port": 5}]}, {"tcp": [{"match": [{"port": 4}]}]},
         "TCP: No matching TCP routes found in the defined Virtual Service."),
        ({}, {"tcp": [{"route": BOTH}, {"route": BOTH}]}, "TCP: " + ONLY_ONE.format("tcp", "tcpRoutes")),
    ],
)  # fmt: skip
def test_the_routes_of_a_virtual_service_lead_to_both_versions(fields, spec, detail):
    subject = routed(istio={"virtualService": {"name": "vs", **fields}}, managedRoutes=[{"name": "managed"}])
    errors = errors_of(subject, virtual_services=virtual_services(**spec))
    if detail is None:
        assert errors == []
    else:
        kind, _, text = detail.partition(": ")
        assert errors == [f'{VS}: "vs": Istio VirtualService has invalid {kind} routes. Error: {text}']


@pytest.mark.parametrize("spec", [{}, {"http": "x"}, {"http": None, "tls": {}, "tcp": 5}, {"http": [], "tls": []}])
def test_a_virtual_service_without_routes_is_an_error(spec):
    assert errors_of(istio(), virtual_services=virtual_services(**spec)) == [
        f'{VS}: "vs": Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService'
    ]


ODD_ROUTES = [
    [{"route": [{"weight": "x"}]}],
    ["x"],
    [{"route": "x"}],
    [{"route": [{"destination": 5}]}],
    [{"match": [5]}],
    [{"name": 5}],
]


@pytest.mark.parametrize("kind", ["http", "tls", "tcp"])
@pytest.mark.parametrize("routes", ODD_ROUTES)
def test_a_section_of_the_wrong_shape_is_an_error(kind, routes):
    assert errors_of(istio(), virtual_services=virtual_services(**{kind: routes})) == [
        f'{VS}: "vs": Unable to get {kind.upper()} routes for Istio VirtualService'
    ]


def test_a_virtual_service_is_missing_because_istio_is():
    (error,) = errors_of(istio(), virtual_services={}, is_istio_installed=False)
    assert error == (
        f'{VS}: "vs": virtualservices.networking.istio.io "vs" not found: Istio\'s definitions are not installed, '
        "or not in the version that --istio-api-version names"
    )


def test_each_virtual_service_is_looked_for_in_its_own_namespace():
    found = {
        NamespacedName("shop", "vs"): {"spec": {"http": [{"route": BOTH}]}},
        NamespacedName("other", "vs"): {"spec": {"http": [{"route": BOTH[:1]}]}},
    }
    for references in (["vs", "vs.other"], ["vs.other", "vs"]):
        subject = routed(istio={"virtualServices": [{"name": name} for name in references]})
        (error,) = errors_of(subject, virtual_services=found)
        assert error.startswith(f'{ROUTING}.istio.virtualServices.name: Invalid value: "vs": Istio VirtualService has')
        assert error.endswith("Error: Canary Service 'canary' not found in route")


def test_every_section_is_checked_even_if_only_another_is_named():
    spec = {"http": [{"name": "a", "route": BOTH}], "tcp": [{"route": []}]}
    assert len(errors_of(istio(routes=["a"]), virtual_services=virtual_services(**spec))) == 1


RULE = {"name": "rule", "stableSubsetName": "v-stable", "canarySubsetName": "v-canary"}


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        (["v-stable", "v-canary"], None),
        (["v-stable"], "Canary DestinationRule subset 'v-canary' not found in route"),
        (["v-canary"], "Stable DestinationRule subset 'v-stable' not found in route"),
    ],
)
def test_with_a_destination_rule_the_subsets_count(subsets, expected):
    subject = canary(trafficRouting={"istio": {"virtualService": {"name": "vs"}, "destinationRule": RULE}})
    found = virtual_services(http=[{"route": [destination("any", subset) for subset in subsets]}])
    errors = errors_of(subject, virtual_services=found)
    assert [error.rpartition("Error: ")[2] for error in errors] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("names", "status", "hosts", "is_fine"),
    [
        ({}, {}, ["ping", "pong"], True),
        ({}, {}, ["ping"], False),
        ({}, {"canary": {"stablePingPong": "ping"}}, ["ping", "pong"], True),
        ({"stableService": "stable", "canaryService": "canary"}, {}, ["ping", "pong"], False),
        ({"stableService": "stable", "canaryService": "canary"}, {}, ["stable", "canary"], True),
    ],
)
def test_with_ping_pong_alone_its_services_count(names, status, hosts, is_fine):
    ping_pong = {"pingService": "ping", "pongService": "pong"}
    strategy = {
        "canary": {"pingPong": ping_pong, "trafficRouting": {"istio": {"virtualService": {"name": "vs"}}}, **names}
    }
    found = virtual_services(http=[{"route": [destination(host) for host in hosts]}])
    assert (errors_of(rollout(strategy, **status), virtual_services=found) == []) is is_fine


# --- Ambassador -----------------------------------------------------------------------------------------------


def test_ambassador_needs_mappings_that_exist_and_have_no_weight():
    path = f"{ROUTING}.ambassador.mappings: Invalid value"
    assert errors_of(routed(ambassador={}), mappings={}) == [f"{path}: null: must provide at least one mapping"]
    subject = routed(ambassador={"mappings": ["a", "b"]})
    assert errors_of(subject, mappings={"a": {"spec": {"weight": 0}}}) == [
        f'{path}: "b": mappings.getambassador.io "b" not found'
    ]
    assert errors_of(subject, mappings={"a": {}, "b": {"spec": {"weight": 20}}}) == [
        'spec.weight: Invalid value: "b": Ambassador mapping "b" can not define weight'
    ]


# --- App Mesh -------------------------------------------------------------------------------------------------

MESH = f"{ROUTING}.appmesh.virtualService: Invalid value"
MESH_SERVICE = {"vs": {"spec": {"provider": {"virtualRouter": {"virtualRouterRef": {"name": "router"}}}}}}


def test_app_mesh_needs_a_virtual_service_and_its_router():
    assert errors_of(routed(appMesh={})) == [f"{MESH}: null: must provide virtual-service"]
    subject = routed(appMesh={"virtualService": {"name": "vs"}})
    assert errors_of(subject, app_mesh_virtual_services={}) == [
        f'{MESH}: "vs.shop": virtualservices.appmesh.k8s.aws "vs" not found'
    ]
    assert errors_of(subject, app_mesh_virtual_services=MESH_SERVICE, app_mesh_virtual_routers={}) == [
        f'{MESH}: "vs.shop": virtualrouters.appmesh.k8s.aws "router" not found'
    ]


def targets(count: int) -> dict:
    return {"action": {"weightedTargets": [{}] * count}}


OF_ROUTE = "for AppMesh virtual-router router and route r"
NO_ROUTES = "No routes defined for AppMesh virtual-router router"
NO_TYPE = f"Error getting route details {OF_ROUTE}. Error: Route has unsupported route type"
BAD_ROUTE = "Invalid route was found for AppMesh virtual-router router at index 0"
WRONG_NUMBER = f"Invalid number of weightedTargets ({{}}) {OF_ROUTE}, expected 2"
ACTION = "action.weightedTargets"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{"name": "r", "httpRoute": targets(2)}], None),
        ([{"name": "r", "tcpRoute": targets(2)}], None),
        ([{"name": "r", "http2Route": targets(2)}], None),
        ([{"name": "r", "grpcRoute": targets(2)}], None),
        (None, ("", NO_ROUTES)),
        ([], ("", NO_ROUTES)),
        ("x", ("", NO_ROUTES)),
        (["x"], ("[0]", BAD_ROUTE)),
        ([{"name": "r", "udpRoute": {}}], ("[0]", NO_TYPE)),
        (
            [{"name": "q", "httpRoute": targets(2)}, {"name": "r", "grpcRoute": {}}],
            (f"[1].grpcRoute.{ACTION}", f"Invalid route action found {OF_ROUTE}"),
        ),
        ([{"name": "r", "httpRoute": targets(1)}], (f"[0].httpRoute.{ACTION}", WRONG_NUMBER.format(1))),
        ([{"name": "r", "httpRoute": targets(3)}], (f"[0].httpRoute.{ACTION}", WRONG_NUMBER.format(3))),
    ],
)
def test_the_routes_of_an_app_mesh_router_have_two_targets(routes, expected):
    errors = mesh_errors("VirtualRouter", {} if routes is None else {"routes": routes})
    if expected is None:
        assert errors == []
    else:
        path, detail = expected
        assert errors == [f'spec.routes{path}: Invalid value: "router": {detail}']


def test_the_router_of_an_app_mesh_service_is_a_router():
    detail = "Expected object kind to be VirtualRouter but is VirtualNode"
    assert mesh_errors("VirtualNode", {}) == [f'kind: Invalid value: "VirtualNode": {detail}']


def mesh_errors(kind: str, spec: dict) -> list[str]:
    routers = {"router": {"kind": kind, "metadata": {"name": "router"}, "spec": spec}}
    subject = routed(appMesh={"virtualService": {"name": "vs"}})
    return errors_of(subject, app_mesh_virtual_services=MESH_SERVICE, app_mesh_virtual_routers=routers)


# --- Analysis templates ---------------------------------------------------------------------------------------

METRIC = {"name": "m", "provider": {"web": {"url": "http://{{args.host}}"}}}


def templates(cluster: bool = False, **specs: dict) -> dict:
    type_ = ClusterAnalysisTemplate if cluster else AnalysisTemplate
    return {name: made({"metadata": {"name": name}, "spec": spec}, type_) for name, spec in specs.items()}


def analysis(*names: str, **fields) -> dict:
    return {"templates": [{"templateName": name} for name in names], **fields}


def template_errors(subject: Rollout, namespaced: dict, cluster: dict | None = None) -> list[str]:
    return errors_of(subject, analysis_templates=namespaced, cluster_analysis_templates=cluster or {})


ORIGINS = [
    (lambda value: {"blueGreen": {"prePromotionAnalysis": value}}, "blueGreen.prePromotionAnalysis.templates"),
    (lambda value: {"blueGreen": {"postPromotionAnalysis": value}}, "blueGreen.postPromotionAnalysis.templates"),
    (lambda value: {"canary": {"steps": [{}, {"analysis": value}]}}, "canary.steps[1].analysis.templates"),
    (lambda value: {"canary": {"analysis": value}}, "canary.analysis.templates"),
]
INLINE = ORIGINS[2][0]
BACKGROUND = ORIGINS[3][0]
ANALYSIS_PATH = "spec.strategy.canary.steps[1].analysis.templates: Invalid value"
BACKGROUND_PATH = "spec.strategy.canary.analysis.templates: Invalid value"


@pytest.mark.parametrize(("strategy", "path"), ORIGINS)
def test_a_missing_template_is_named_with_its_origin(strategy, path):
    assert template_errors(rollout(strategy(analysis("a"))), {}) == [
        f"spec.strategy.{path}: Invalid value: \"a\": AnalysisTemplate 'a' not found"
    ]
    cluster_wide = {"templates": [{"templateName": "a", "clusterScope": True}]}
    assert template_errors(rollout(strategy(cluster_wide)), templates(a={})) == [
        f"spec.strategy.{path}: Invalid value: \"a\": ClusterAnalysisTemplate 'a' not found"
    ]
    assert template_errors(rollout(strategy(analysis("a"))), templates(a={"metrics": [{"name": "m"}]})) == []


def test_a_missing_nested_template_is_named():
    nested = templates(a={"templates": [{"templateName": "b", "clusterScope": True}]})
    assert template_errors(rollout(INLINE(analysis("a"))), nested) == [
        "spec.templates: Invalid value: \"b\": ClusterAnalysisTemplate 'b' not found"
    ]


def test_templates_that_refer_to_each_other_in_a_circle_are_an_error():
    circle = templates(a={"templates": [{"templateName": "b"}]}, b={"templates": [{"templateName": "a"}]})
    assert template_errors(rollout(INLINE(analysis("a"))), circle) == [
        f'{ANALYSIS_PATH}: "templateNames: [a]": analysis templates refer to each other in a circle: a -> b -> a'
    ]


def test_templates_of_experiment_steps_are_not_looked_at():
    step = {"experiment": {"analyses": [{"name": "x", "templateName": "missing"}]}}
    assert template_errors(canary(steps=[step]), {}) == []


@pytest.mark.parametrize(
    ("specs", "detail"),
    [
        ([{"metrics": [{"name": "m"}]}] * 2, "two metrics have the same name 'm'"),
        ([{"dryRun": [{"metricName": "m"}]}] * 2, "two Dry-Run metric rules have the same name 'm'"),
        (
            [{"measurementRetention": [{"metricName": "m"}]}] * 2,
            "two Measurement Retention metric rules have the same name 'm'",
        ),
        (
            [{"args": [{"name": "x", "value": "1"}]}, {"args": [{"name": "x", "value": "2"}]}],
            "Argument `x` specified multiple times with different values: '1', '2'",
        ),
        ([{"args": [{"name": "x"}]}, {}], "args.x was not resolved"),
    ],
)
@pytest.mark.parametrize(("strategy", "path"), ORIGINS)
def test_templates_that_cannot_be_combined_are_one_error(specs, detail, strategy, path):
    found = templates(a=specs[0], b=specs[1])
    assert template_errors(rollout(strategy(analysis("a", "b"))), found) == [
        f'spec.strategy.{path}: Invalid value: "templateNames: [a b]": {detail}'
    ]


def test_rules_of_every_step_are_tried_on_every_analysis():
    found = templates(a={"measurementRetention": [{"metricName": "m", "limit": 1}]}, b={})
    strategy = {
        "analysis": analysis("a"),
        "steps": [{"analysis": analysis("b", measurementRetention=[{"metricName": "m", "limit": 2}])}],
    }
    assert template_errors(canary(**strategy), found) == [
        f"{BACKGROUND_PATH}: \"templateNames: [a]\": two Measurement Retention metric rules have the same name 'm'"
    ]


def test_arguments_of_the_rollout_are_given_whatever_their_source():
    found = templates(a={"metrics": [{"name": "m"}], "args": [{"name": name} for name in "vhfx"]})
    arguments = [
        {"name": "v", "value": "1"},
        {"name": "h", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "f", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "spec.nowhere"}}},
    ]
    assert template_errors(rollout(INLINE(analysis("a", args=arguments))), found) == []


@pytest.mark.parametrize(
    ("spec", "detail"),
    [
        ({"metrics": [METRIC]}, "failed to resolve {{args.host}}"),
        ({"metrics": [METRIC], "args": [{"name": "host"}]}, None),
        (
            {"args": [{"name": "host", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "arg 'host' has both Value and ValueFrom fields",
        ),
        ({"args": [{"name": "host", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, None),
        ({"metrics": [{"name": "{{args"}]}, 'Cannot find end tag="}}" in the template="{{args" starting from "args"'),
    ],
)
@pytest.mark.parametrize("cluster", [False, True])
def test_the_metrics_of_an_inline_analysis_can_be_resolved(spec, detail, cluster):
    value = {"templates": [{"templateName": "a", "clusterScope": cluster}], "args": [{"name": "host", "value": "h"}]}
    found = templates(cluster, a=spec)
    errors = template_errors(rollout(INLINE(value)), *(({}, found) if cluster else (found,)))
    assert errors == ([] if detail is None else [f'{ANALYSIS_PATH}: "a": AnalysisTemplate a: {detail}'])


@pytest.mark.parametrize(
    ("metric", "count"),
    [
        ({}, None),
        ({"count": 1}, None),
        ({"interval": "5m", "count": 2}, None),
        ({"interval": "5m", "count": "3"}, None),
        ({"interval": "5m"}, "<nil>"),
        ({"interval": "5m", "count": 0}, "0"),
        ({"interval": "5m", "count": "{{args.n}}"}, "dummy-value"),
    ],
)
@pytest.mark.parametrize(("strategy", "path"), ORIGINS)
def test_only_background_metrics_may_run_for_ever(metric, count, strategy, path):
    found = templates(a={"metrics": [{"name": "m", **metric}], "args": [{"name": "n"}]})
    errors = template_errors(rollout(strategy(analysis("a", args=[{"name": "n", "value": "1"}]))), found)
    if count is None or path == "canary.analysis.templates":
        assert errors == []
    else:
        detail = f"AnalysisTemplate a has metric m which runs indefinitely. Invalid value for count: {count}"
        assert errors == [f'spec.strategy.{path}: Invalid value: "a": {detail}']


def test_errors_of_each_kind_come_in_order_and_what_is_missing_comes_first():
    subject = rollout({"canary": {
        "stableService": "gone", "canaryService": "odd",
        "steps": [{"analysis": analysis("gone")}, {"analysis": analysis("odd")}],
        "trafficRouting": {"nginx": {"stableIngress": "gone"}, "istio": {}, "ambassador": {}, "appMesh": {}},
    }})  # fmt: skip
    errors = errors_of(
        subject,
        services=service("odd", {"app": "x"}),
        analysis_templates=templates(odd={"metrics": [METRIC]}),
        cluster_analysis_templates={},
        ingresses={},
    )
    assert [error.split(": ")[0] for error in errors] == [
        "spec.strategy.canary.stableService",
        "spec.strategy.canary.steps[0].analysis.templates",
        f"{ROUTING}.nginx.stableIngress",
        f"{ROUTING}.istio",
        f"{ROUTING}.ambassador.mappings",
        f"{ROUTING}.appmesh.virtualService",
        "spec.strategy.canary.canaryService",
        "spec.strategy.canary.steps[1].analysis.templates",
    ]


def test_validation_leaves_its_input_alone():
    found = templates(a={"metrics": [METRIC], "args": [{"name": "host"}]})
    before = copy.deepcopy(found)
    template_errors(rollout(INLINE(analysis("a", args=[{"name": "host", "value": "x"}]))), found)
    assert found == before
