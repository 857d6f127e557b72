"""The canary strategy: every rule, its path and its text."""

import copy
import json

import pytest

from prograde.api.codec import decode
from prograde.api.rollout import Rollout
from prograde.api.validation import validate_rollout

BASE = {
    "metadata": {"name": "cart", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "cart"}},
        "template": {
            "metadata": {"labels": {"app": "cart"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}
SERVICES = {"canaryService": "canary", "stableService": "stable"}


def errors_of(**canary) -> list[str]:
    value = copy.deepcopy(BASE)
    value["spec"]["strategy"] = {"canary": canary}
    return [str(error) for error in validate_rollout(decode(json.dumps(value).encode(), Rollout))]


def step_errors(*steps: dict, **canary) -> list[str]:
    return errors_of(steps=list(steps), **canary)


# --- Surge ----------------------------------------------------------------------------------------------------

BOTH_ZERO = "MaxSurge and MaxUnavailable both can not be zero"


@pytest.mark.parametrize("unavailable", [0, "0", "0%"])
@pytest.mark.parametrize(("surge", "shown"), [(0, "0"), ("0", '"0"'), ("0%", '"0%"'), ("x", '"x"')])
def test_surge_and_unavailable_may_not_both_be_zero(surge, shown, unavailable):
    expected = [f"spec.strategy.maxSurge: Invalid value: {shown}: {BOTH_ZERO}"]
    assert errors_of(maxSurge=surge, maxUnavailable=unavailable) == expected


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"maxSurge": 0},
        {"maxUnavailable": 0},
        {"maxSurge": "1%", "maxUnavailable": 0},
        {"maxSurge": 0, "maxUnavailable": "1"},
    ],
)
def test_one_of_surge_and_unavailable_is_enough(limits):
    assert errors_of(**limits) == []


# --- Services -------------------------------------------------------------------------------------------------

SAME_SERVICES = (
    "This rollout uses the same service for the stable and canary services, but two different services are required."
)
SERVICES_NEEDED = "Canary service and Stable service must to be set to use Traffic Routing"
PING_PONG_NEEDED = "Ping service and Pong service must to be set to use Ping-Pong feature"
PING_PONG_SAME = (
    "This rollout uses the same service for the ping and pong services, but two different services are required."
)
PING_PONG_ROUTERS = "Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only"
ROOT_NEEDED = "Root service field is required for the configuration with ALB and ping-pong feature enabled"
MISSING_BOTH = [
    f'spec.strategy.stableService: Invalid value: "": {SERVICES_NEEDED}',
    f'spec.strategy.canaryService: Invalid value: "": {SERVICES_NEEDED}',
]
SUBSETS = {"destinationRule": {"name": "rule"}}
PLUGIN = {"some/plugin": {"key": "value"}}
PING_PONG = {"pingService": "ping", "pongService": "pong"}


def test_canary_and_stable_service_must_differ():
    expected = [f'spec.strategy.stableService: Invalid value: "same": {SAME_SERVICES}']
    assert errors_of(canaryService="same", stableService="same") == expected
    assert errors_of(canaryService="", stableService="") == []


@pytest.mark.parametrize(
    "routing",
    [
        {"alb": {"rootService": "root"}},
        {"istio": {}},
        {"smi": {}},
        {"apisix": {}},
        {"ambassador": {}},
        {"nginx": {}},
        {"appMesh": {}},
        {"traefik": {}},
        {"traefik": {}, "istio": SUBSETS},
        {"appMesh": {}, "plugins": PLUGIN},
        {"apisix": {}, "istio": SUBSETS, "plugins": PLUGIN},
        {"istio": {}, "plugins": PLUGIN},
    ],
)
def test_routers_that_split_between_services_need_both(routing):
    assert errors_of(trafficRouting=routing) == MISSING_BOTH
    assert errors_of(trafficRouting=routing, canaryService="canary") == MISSING_BOTH[:1]
    assert errors_of(trafficRouting=routing, stableService="stable") == MISSING_BOTH[1:]
    assert errors_of(trafficRouting=routing, **SERVICES) == []


@pytest.mark.parametrize(
    ("routing", "others"),
    [
        ({}, {}),
        ({"plugins": PLUGIN}, {}),
        ({"plugins": {**PLUGIN, "other/plugin": {}}}, {}),
        ({"istio": SUBSETS}, {}),
        ({"istio": {}}, {"pingPong": PING_PONG}),
        ({"istio": SUBSETS}, {"pingPong": PING_PONG}),
        ({"alb": {"rootService": "root"}}, {"pingPong": PING_PONG}),
        ({"plugins": PLUGIN}, {"pingPong": PING_PONG}),
    ],
)
def test_other_routers_do_not_need_services(routing, others):
    assert errors_of(trafficRouting=routing, **others) == []


@pytest.mark.parametrize(
    ("ping_pong", "routing", "expected"),
    [
        (PING_PONG, None, []),
        (
            {"pingService": "ping"},
            None,
            [f'spec.strategy.pingPong.pongService: Invalid value: "": {PING_PONG_NEEDED}'],
        ),
        (
            {"pongService": "pong"},
            None,
            [f'spec.strategy.pingPong.pingService: Invalid value: "": {PING_PONG_NEEDED}'],
        ),
        (
            {},
            None,
            [
                f'spec.strategy.pingPong.pingService: Invalid value: "": {PING_PONG_NEEDED}',
                f'spec.strategy.pingPong.pongService: Invalid value: "": {PING_PONG_NEEDED}',
                f'spec.strategy.pingPong.pingService: Invalid value: "": {PING_PONG_SAME}',
            ],
        ),
        (
            {"pingService": "same", "pongService": "same"},
            None,
            [f'spec.strategy.pingPong.pingService: Invalid value: "same": {PING_PONG_SAME}'],
        ),
        (
            PING_PONG,
            {"alb": {}},
            [f'spec.strategy.trafficRouting.alb.rootService: Invalid value: "": {ROOT_NEEDED}'],
        ),
        (
            PING_PONG,
            {"nginx": {"stableIngress": "x"}},
            [f"spec.strategy.trafficRouting.alb: Invalid value: null: {PING_PONG_ROUTERS}"],
        ),
        (PING_PONG, {}, [f"spec.strategy.trafficRouting.alb: Invalid value: null: {PING_PONG_ROUTERS}"]),
    ],
)
def test_ping_pong(ping_pong, routing, expected):
    others = {} if routing is None else {"trafficRouting": routing, **SERVICES}
    assert errors_of(pingPong=ping_pong, **others) == expected


# --- Delays and weights ---------------------------------------------------------------------------------------


def test_delays_and_dynamic_scale_need_traffic_routing_and_exclude_each_other():
    assert errors_of(scaleDownDelaySeconds=0) == [
        (
            "spec.strategy.scaleDownDelaySeconds: Invalid value: 0: "
            "Canary scaleDownDelaySeconds can only be used with traffic routing"
        )
    ]
    assert errors_of(dynamicStableScale=True) == [
        (
            "spec.strategy.dynamicStableScale: Invalid value: true: "
            "Canary dynamicStableScale can only be used with traffic routing"
        )
    ]
    assert errors_of(dynamicStableScale=True, scaleDownDelaySeconds=0, trafficRouting={}) == [
        (
            "spec.strategy.dynamicStableScale: Invalid value: true: "
            "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds"
        )
    ]
    assert errors_of(dynamicStableScale=True, trafficRouting={}) == []
    assert errors_of(scaleDownDelaySeconds=30, trafficRouting={}) == []


MAX_WEIGHT = "spec.strategy.trafficRouting.maxTrafficWeight: Invalid value"


@pytest.mark.parametrize(
    ("routing", "weight", "expected"),
    [
        ({"nginx": {}}, 1000, []),
        ({"plugins": PLUGIN}, 1000, []),
        ({}, 1000, ["Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins"]),
        ({"smi": {}}, 100, ["Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins"]),
        ({"nginx": {}}, 0, ["MaxTrafficWeight needs to be greater than 0"]),
    ],
)
def test_a_maximum_weight_needs_a_router_that_knows_it(routing, weight, expected):
    errors = errors_of(trafficRouting={**routing, "maxTrafficWeight": weight}, **SERVICES)
    assert errors == [f"{MAX_WEIGHT}: {weight}: {detail}" for detail in expected]


# --- Steps ----------------------------------------------------------------------------------------------------

ONE_NEEDED = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause"
ROUTED = {"trafficRouting": {"istio": {}, "managedRoutes": [{"name": "route"}]}, **SERVICES}


KINDS = ["Experiment", "Pause", "SetWeight", "Analysis", "SetCanaryScale", "SetHeaderRoute", "SetMirrorRoute", "Plugin"]


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (
            {"setWeight": 1, "pause": {}},
            "step.Experiment: false step.Pause: true step.SetWeight: true step.Analysis: false",
        ),
        (
            {"experiment": {}, "analysis": {}},
            "step.Experiment: true step.Pause: false step.SetWeight: false step.Analysis: true",
        ),
        (
            {},
            " ".join(f"step.{kind}: true" for kind in KINDS),
        ),
    ],
)
def test_a_step_is_of_one_kind(step, value):
    assert step_errors({"pause": {}}, step) == [f'spec.strategy.steps[1]: Invalid value: "{value}": {ONE_NEEDED}']


@pytest.mark.parametrize(
    "step",
    [
        {"setWeight": 0},
        {"setWeight": 100},
        {"pause": {}},
        {"pause": {"duration": 0}},
        {"pause": {"duration": "1ms"}},
        {"experiment": {}},
        {"analysis": {}},
        {"plugin": {"name": "a/b"}},
        {"setCanaryScale": {"weight": 5}},
        {"setWeight": 5, "setCanaryScale": {"matchTrafficWeight": True}},
        {"pause": {}, "plugin": {"name": "a/b"}, "setHeaderRoute": {"name": "route"}},
    ],
)
def test_other_kinds_may_be_combined(step):
    assert step_errors(step, **ROUTED) == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"setWeight": 101}, "setWeight: Invalid value: 101: SetWeight needs to be between 0 and 100"),
        ({"setWeight": -1}, "setWeight: Invalid value: -1: SetWeight needs to be between 0 and 100"),
        ({"pause": {"duration": -1}}, "pause.duration: Invalid value: -1: Duration needs to be greater than 0"),
        ({"pause": {"duration": "1z"}}, "pause.duration: Invalid value: -1: Duration needs to be greater than 0"),
        ({"pause": {"duration": "-5s"}}, "pause.duration: Invalid value: -5: Duration needs to be greater than 0"),
    ],
)
def test_weights_and_pauses_are_within_bounds(step, expected):
    assert step_errors(step) == [f"spec.strategy.steps[0].{expected}"]


@pytest.mark.parametrize("router", [{"nginx": {}}, {"plugins": PLUGIN}])
def test_the_maximum_weight_moves_the_bound(router):
    routing = {"trafficRouting": {**router, "maxTrafficWeight": 1000}, **SERVICES}
    assert step_errors({"setWeight": 1000}, **routing) == []
    assert step_errors({"setWeight": 1001}, **routing) == [
        "spec.strategy.steps[0].setWeight: Invalid value: 1001: SetWeight needs to be between 0 and 1000"
    ]


def test_a_canary_scale_needs_traffic_routing():
    assert step_errors({"setCanaryScale": {"replicas": 1}}) == [
        "spec.strategy.trafficRouting: Required value: SetCanaryScale requires TrafficRouting to be set"
    ]


HEADER = "spec.strategy.steps[0].setHeaderRoute"
HEADER_ROUTERS = "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix"
MISSED = "StringMatch value missed, match value must have one of the following: exact, regex, prefix"
AMBIGUOUS = "StringMatch match value must have exactly one of the following: exact, regex, prefix"
ALB_ONLY = "SetHeaderRoute match value invalid. ALB supports 'exact' value only"


def header(*values: object, name: str = "route") -> dict:
    match = [{"headerName": "h"} if value is None else {"headerName": "h", "headerValue": value} for value in values]
    return {"setHeaderRoute": {"name": name, "match": match}}


@pytest.mark.parametrize("routing", [None, {}, {"nginx": {}}, {"smi": {}}])
def test_a_header_route_needs_a_router_that_can(routing):
    others = {} if routing is None else {"trafficRouting": {**routing, "managedRoutes": [{"name": "route"}]}}
    shown = '{"name":"route","match":[{"headerName":"h","headerValue":{"exact":"x"}}]}'
    assert step_errors(header({"exact": "x"}), **SERVICES, **others) == [
        f"{HEADER}: Invalid value: {shown}: {HEADER_ROUTERS}"
    ]


@pytest.mark.parametrize("router", [{"istio": {}}, {"apisix": {}}, {"plugins": PLUGIN}])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"exact": "x"}, []),
        ({"regex": "x"}, []),
        ({"prefix": "x"}, []),
        (None, [f"null: {MISSED}"]),
        ({}, [f"{{}}: {MISSED}"]),
        ({"exact": ""}, [f"{{}}: {MISSED}"]),
        ({"exact": "x", "regex": "<y>"}, [f'{{"exact":"x","regex":"\\u003cy\\u003e"}}: {AMBIGUOUS}']),
    ],
)
def test_a_header_is_matched_in_one_way(router, value, expected):
    routing = {**router, "managedRoutes": [{"name": "route"}]}
    errors = step_errors(header({"exact": "x"}, value), trafficRouting=routing, **SERVICES)
    assert errors == [f"{HEADER}.match[1]: Invalid value: {each}" for each in expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"exact": "x"}, []),
        ({"regex": "x"}, [f'{{"regex":"x"}}: {ALB_ONLY}']),
        ({"exact": "x", "prefix": "y"}, [f'{{"exact":"x","prefix":"y"}}: {ALB_ONLY}']),
        ({}, [f"{{}}: {ALB_ONLY}"]),
        (None, [f"null: {MISSED}"]),
    ],
)
def test_a_load_balancer_matches_headers_exactly(value, expected):
    routing = {"alb": {}, "managedRoutes": [{"name": "route"}]}
    errors = step_errors(header(value), trafficRouting=routing, **SERVICES)
    assert errors == [f"{HEADER}.match[0]: Invalid value: {each}" for each in expected]


MIRROR = "spec.strategy.steps[0].setMirrorRoute"


def mirror(**match) -> dict:
    return {"setMirrorRoute": {"name": "route", "match": [match]}}


@pytest.mark.parametrize("routing", [None, {}, {"nginx": {}}, {"alb": {}}])
def test_a_mirror_route_needs_a_router_that_can(routing):
    others = {} if routing is None else {"trafficRouting": {**routing, "managedRoutes": [{"name": "route"}]}}
    assert step_errors(mirror(path={"exact": "/"}), **SERVICES, **others) == [
        (
            f'{MIRROR}: Invalid value: {{"name":"route","match":[{{"path":{{"exact":"/"}}}}]}}: '
            "SetMirrorRoute requires TrafficRouting, supports Istio and Plugins"
        )
    ]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, []),
        ({"method": {"exact": "GET"}, "path": {"prefix": "/"}, "headers": {"h": {"regex": "."}}}, []),
        ({"headers": {"h": {}}}, []),
        ({"method": {}}, [f"{{}}: {MISSED}"]),
        ({"path": {"exact": "a", "prefix": "b"}}, [f'{{"exact":"a","prefix":"b"}}: {AMBIGUOUS}']),
        ({"method": {}, "path": {}}, [f"{{}}: {MISSED}"] * 2),
    ],
)
def test_method_and_path_of_a_mirror_are_matched_in_one_way_each_reported_once(match, expected):
    errors = step_errors(mirror(**match), **ROUTED)
    assert errors == [f"{MIRROR}.match[0]: Invalid value: {each}" for each in expected]


NOT_MANAGED = "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes"


@pytest.mark.parametrize("kind", ["setHeaderRoute", "setMirrorRoute"])
def test_routes_of_steps_must_be_managed(kind):
    step = {kind: {"name": "other"}}
    assert step_errors(step, **ROUTED) == [f'spec.strategy.steps[0].{kind}: Invalid value: "other": {NOT_MANAGED}']
    assert step_errors(step, trafficRouting={"istio": {}}, **SERVICES) == [
        (
            "spec.strategy.trafficRouting.managedRoutes: Required value: "
            "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'"
        )
    ]
    assert step_errors(step, trafficRouting={"istio": {}, "managedRoutes": []}, **SERVICES) == [
        f'spec.strategy.steps[0].{kind}: Invalid value: "other": {NOT_MANAGED}'
    ]


ROUTERS_WITH_EXPERIMENTS = (
    "Experiment template weight is only available for TrafficRouting with SMI, ALB, Istio and Plugins at this time"
)
WEIGHT = "spec.strategy.steps[0].experiment.templates[1].weight: Invalid value: 20"


@pytest.mark.parametrize(
    ("routing", "detail"),
    [
        (None, "Experiment template weight cannot be set unless TrafficRouting is enabled"),
        *(
            (
                routing,
                ROUTERS_WITH_EXPERIMENTS,
            )
            for routing in ({}, {"nginx": {}}, {"ambassador": {}}, {"appMesh": {}})
        ),
        ({"istio": {}}, None),
        ({"smi": {}}, None),
        ({"alb": {}}, None),
        ({"plugins": PLUGIN}, None),
    ],
)
def test_weights_of_experiments_need_a_router_that_can(routing, detail):
    experiment = {"experiment": {"templates": [{"name": "a"}, {"name": "b", "weight": 20}]}}
    others = {} if routing is None else {"trafficRouting": routing, **SERVICES}
    assert step_errors(experiment, **others) == ([] if detail is None else [f"{WEIGHT}: {detail}"])


BAD_ARGUMENT = {"name": "app", "valueFrom": {"fieldRef": {"fieldPath": "metadata.label['app']"}}}
BAD_ARGUMENT_SHOWN = '[{"name":"app","valueFrom":{"fieldRef":{"fieldPath":"metadata.label[\'app\']"}}}]'
ARGUMENTS = "Analyses arguments must refer to valid object metadata supported by downwardAPI"


@pytest.mark.parametrize(
    "step",
    [{"analysis": {"args": [BAD_ARGUMENT]}}, {"experiment": {"analyses": [{"name": "a", "args": [BAD_ARGUMENT]}]}}],
)
def test_arguments_refer_to_metadata_that_exists(step):
    assert step_errors(step) == [f"spec.strategy.steps[0].analyses: Invalid value: {BAD_ARGUMENT_SHOWN}: {ARGUMENTS}"]


@pytest.mark.parametrize(
    "path",
    ["metadata.labels['missing']", "metadata.annotations['a/B']", "metadata.name", "metadata.uid", "status.phase"],
)
def test_a_missing_label_and_a_path_outside_metadata_pass(path):
    assert step_errors({"analysis": {"args": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}}) == []


def test_what_is_deliberately_not_validated():
    assert (
        errors_of(
            replicaProgressThreshold={"type": "Nonsense", "value": -5},
            minPodsPerReplicaSet=-1,
            abortScaleDownDelaySeconds=-1,
            scaleDownDelayRevisionLimit=100,
            steps=[{"experiment": {"templates": [{"name": "a", "specRef": "neither"}], "duration": "soon"}}],
        )
        == []
    )


def test_errors_of_a_canary_come_in_order():
    errors = errors_of(
        maxSurge=0,
        maxUnavailable=0,
        canaryService="same",
        stableService="same",
        pingPong={"pingService": "p", "pongService": "p"},
        trafficRouting={"smi": {}, "maxTrafficWeight": 10},
        dynamicStableScale=True,
        scaleDownDelaySeconds=1,
        steps=[{}],
        antiAffinity={},
    )
    assert [error.split(":")[0].removeprefix("spec.strategy.") for error in errors] == [
        "maxSurge",
        "stableService",
        "trafficRouting.alb",
        "pingPong.pingService",
        "dynamicStableScale",
        "trafficRouting.maxTrafficWeight",
        "steps[0]",
        "antiAffinity",
    ]
