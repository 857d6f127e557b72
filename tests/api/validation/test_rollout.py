"""Specs of Rollouts: every rule, its path, its text, its place in the order."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.codec import decode, decode_object
from prograde.api.rollout import Rollout
from prograde.api.validation import validate_rollout

VALID = {
    "metadata": {"name": "cart", "namespace": "shop", "uid": "u", "labels": {"app": "cart"}},
    "spec": {
        "selector": {"matchLabels": {"app": "cart"}},
        "template": {
            "metadata": {"labels": {"app": "cart"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
        "strategy": {"canary": {}},
    },
}


def rollout(*changes: tuple[str, object]) -> Rollout:
    """Return the valid Rollout with some fields of its spec replaced; None removes one."""
    value = copy.deepcopy(VALID)
    for path, new in changes:
        *parents, name = path.split(".")
        owner = value["spec"]
        for parent in parents:
            owner = owner[int(parent)] if isinstance(owner, list) else owner.setdefault(parent, {})
        key = int(name) if isinstance(owner, list) else name
        if new is None:
            del owner[key]
        else:
            owner[key] = new
    return decode(json.dumps(value).encode(), Rollout)


def errors_of(*changes: tuple[str, object]) -> list[str]:
    return [str(error) for error in validate_rollout(rollout(*changes))]


def test_a_valid_rollout_has_no_errors():
    assert errors_of() == []


# --- Top level ------------------------------------------------------------------------------------------------

NOT_NEGATIVE = "must be greater than or equal to 0"
NEEDS_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
MISMATCH = "`selector` does not match template `labels`"
LABEL_MISMATCH = f'spec.template.metadata.labels: Invalid value: {{"app":"cart"}}: {MISMATCH}'
INVALID_SELECTOR = "invalid label selector"


def expressions(*expressions: dict) -> tuple[str, object]:
    return ("selector", {"matchLabels": {"app": "cart"}, "matchExpressions": list(expressions)})


def selector_json(expression: str) -> str:
    return f'{{"matchLabels":{{"app":"cart"}},"matchExpressions":[{expression}]}}'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("replicas", -1)], [f"spec.replicas: Invalid value: -1: {NOT_NEGATIVE}"]),
        ([("replicas", 0)], []),
        (
            [("selector", None)],
            ["spec.selector: Required value: Rollout has missing field '.spec.selector'", LABEL_MISMATCH],
        ),
        ([("selector", {})], ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        (
            [expressions({"key": "a", "operator": "In"})],
            [
                f"spec.selector.matchExpressions[0].values: Required value: {NEEDS_VALUES}",
                "spec.selector: Invalid value: "
                + selector_json('{"key":"a","operator":"In"}')
                + f": {INVALID_SELECTOR}",
            ],
        ),
        (
            [expressions({"key": "a", "operator": "Exists", "values": ["b"]})],
            [
                f"spec.selector.matchExpressions[0].values: Forbidden: {NO_VALUES}",
                "spec.selector: Invalid value: "
                + selector_json('{"key":"a","operator":"Exists","values":["b"]}')
                + f": {INVALID_SELECTOR}",
            ],
        ),
        (
            [expressions({"key": "a", "operator": "Equals"})],
            [
                'spec.selector.matchExpressions[0].operator: Invalid value: "Equals": not a valid selector operator',
                "spec.selector: Invalid value: "
                + selector_json('{"key":"a","operator":"Equals"}')
                + f": {INVALID_SELECTOR}",
            ],
        ),
        ([("selector", {"matchLabels": {"app": "other"}})], [LABEL_MISMATCH]),
        ([("minReadySeconds", -1)], [f"spec.minReadySeconds: Invalid value: -1: {NOT_NEGATIVE}"]),
        ([("revisionHistoryLimit", -1)], [f"spec.revisionHistoryLimit: Invalid value: -1: {NOT_NEGATIVE}"]),
        (
            [("progressDeadlineSeconds", -1)],
            [
                f"spec.progressDeadlineSeconds: Invalid value: -1: {NOT_NEGATIVE}",
                "spec.progressDeadlineSeconds: Invalid value: -1: must be greater than minReadySeconds",
            ],
        ),
        (
            [("progressDeadlineSeconds", 0)],
            ["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
        ),
        (
            [("minReadySeconds", 600)],
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        ([("minReadySeconds", 599)], []),
        (
            [("strategy", {})],
            [
                (
                    "spec.strategy.strategy: Required value: Rollout has missing field "
                    "'.spec.strategy.canary or .spec.strategy.blueGreen'"
                )
            ],
        ),
        (
            [("strategy.blueGreen", {"activeService": "a"})],
            [
                (
                    'spec.strategy.strategy: Invalid value: "blueGreen: true canary: true": '
                    "Multiple Strategies can not be listed"
                )
            ],
        ),
        ([("strategy", {"recreate": {}})], []),
        (
            [("strategy.recreate", {})],
            [
                (
                    'spec.strategy.strategy: Invalid value: "canary: true recreate: true": '
                    "Multiple Strategies can not be listed"
                )
            ],
        ),
        (
            [("strategy", {"blueGreen": {"activeService": "a"}, "recreate": {}})],
            [
                (
                    'spec.strategy.strategy: Invalid value: "blueGreen: true recreate: true": '
                    "Multiple Strategies can not be listed"
                )
            ],
        ),
    ],
)
def test_top_level(changes, expected):
    assert errors_of(*changes) == expected


def test_malformed_labels_of_the_selector_are_named():
    errors = errors_of(("selector", {"matchLabels": {"a b": "c d"}}))
    assert errors[0].startswith('spec.selector.matchLabels: Invalid value: "a b": name part must consist of')
    assert errors[1].startswith('spec.selector.matchLabels: Invalid value: "c d": a valid label must be')
    errors = errors_of(expressions({"key": "/", "operator": "In", "values": ["ok", "-"]}))
    assert errors[0].startswith('spec.selector.matchExpressions[0].key: Invalid value: "/": prefix part must be')
    assert any(error.startswith('spec.selector.matchExpressions[0].values[1]: Invalid value: "-"') for error in errors)


def test_all_errors_come_in_order():
    assert [error.partition(":")[0] for error in errors_of(
        ("replicas", -1), ("selector", None), ("minReadySeconds", -2), ("revisionHistoryLimit", -1),
        ("progressDeadlineSeconds", -3), ("strategy", {}), ("template.spec.restartPolicy", "Never"),
    )] == [
        "spec.replicas", "spec.selector", "spec.template.metadata.labels", "spec.template.spec.restartPolicy",
        "spec.minReadySeconds", "spec.revisionHistoryLimit", "spec.progressDeadlineSeconds",
        "spec.progressDeadlineSeconds", "spec.strategy.strategy",
    ]  # fmt: skip


# --- workloadRef ----------------------------------------------------------------------------------------------

REFERENCE = ("workloadRef", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"})


def test_a_workload_ref_needs_no_template_and_no_selector():
    assert errors_of(REFERENCE, ("template", None), ("selector", None)) == []
    assert errors_of(REFERENCE, ("template", None)) == []


def test_a_workload_ref_beside_a_labelled_template_is_an_error():
    assert errors_of(REFERENCE) == [
        "spec.template: Internal error: template must be empty for workload reference rollout"
    ]


def test_a_template_beside_a_workload_ref_is_judged_by_its_metadata_only():
    assert errors_of(REFERENCE, ("template.metadata", {})) == []
    assert errors_of(REFERENCE, ("template.metadata", {"annotations": {"a": "b"}})) != []


def test_a_resolved_template_is_validated_like_any_other():
    resolved = rollout(REFERENCE, ("template.spec.containers.0.image", ""))
    assert [str(error) for error in validate_rollout(resolved, is_template_resolved=True)] == [
        "spec.template.spec.containers[0].image: Required value"
    ]


# --- Pod template ---------------------------------------------------------------------------------------------

CONTAINER = "spec.template.spec.containers[0]"
MOUNT = {"name": "v", "mountPath": "/v"}
PRIVILEGED_ONLY = "Bidirectional mount propagation is available only to privileged containers"
NO_DEADLINE = "activeDeadlineSeconds in ReplicaSet is not Supported"


def container(**fields) -> list[tuple[str, object]]:
    return [("template.spec.containers.0", {"name": "web", "image": "web:1", **fields})]


def pod(**fields) -> list[tuple[str, object]]:
    return [(f"template.spec.{name}", value) for name, value in fields.items()]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(container(securityContext={"privileged": True}), [], id="privileged containers pass"),
        pytest.param(pod(restartPolicy="Always", dnsPolicy="Default"), [], id="defaults may be written"),
        pytest.param(pod(terminationGracePeriodSeconds=-1), [], id="the API server takes a negative grace period"),
        (pod(containers=[]), ["spec.template.spec.containers: Required value"]),
        ([("template.spec", None)], ["spec.template.spec.containers: Required value"]),
        (container(image=""), [f"{CONTAINER}.image: Required value"]),
        (
            container(image=" web"),
            [f'{CONTAINER}.image: Invalid value: " web": must not have leading or trailing whitespace'],
        ),
        (container(name=""), [f"{CONTAINER}.name: Required value"]),
        (
            pod(containers=[{"name": "a", "image": "b"}] * 2),
            ['spec.template.spec.containers[1].name: Duplicate value: "a"'],
        ),
        (
            pod(initContainers=[{"name": "web", "image": "b"}, {"name": "init"}]),
            [
                'spec.template.spec.initContainers[0].name: Duplicate value: "web"',
                "spec.template.spec.initContainers[1].image: Required value",
            ],
        ),
        (
            pod(ephemeralContainers=[{"name": "x"}]),
            ["spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
        ),
        (container(ports=[{}]), [f"{CONTAINER}.ports[0].containerPort: Required value"]),
        (
            container(ports=[{"containerPort": 65536, "hostPort": -1}]),
            [
                f"{CONTAINER}.ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
                f"{CONTAINER}.ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
            [f'{CONTAINER}.ports[1].name: Duplicate value: "a"'],
        ),
        (
            container(ports=[{"containerPort": 1, "name": "80"}]),
            [f'{CONTAINER}.ports[0].name: Invalid value: "80": must contain at least one letter (a-z)'],
        ),
        (
            container(ports=[{"containerPort": 1, "protocol": "HTTP"}]),
            [f'{CONTAINER}.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (container(env=[{"value": "x"}]), [f"{CONTAINER}.env[0].name: Required value"]),
        (
            container(env=[{"name": "A", "value": "x", "valueFrom": {}}]),
            [f'{CONTAINER}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            container(resources={"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1024Mi"}}),
            [f'{CONTAINER}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            [f'{CONTAINER}.volumeMounts[0].name: Not found: "v"'],
        ),
        (
            [
                *pod(volumes=[{"name": "v"}]),
                *container(volumeMounts=[MOUNT, MOUNT, {"name": "v"}]),
            ],
            [
                f'{CONTAINER}.volumeMounts[1].mountPath: Invalid value: "/v": must be unique',
                f"{CONTAINER}.volumeMounts[2].mountPath: Required value",
            ],
        ),
        (
            [*pod(volumes=[{"name": "v"}]), *container(volumeMounts=[{**MOUNT, "mountPropagation": "Bidirectional"}])],
            [f"{CONTAINER}.volumeMounts[0].mountPropagation: Forbidden: {PRIVILEGED_ONLY}"],
        ),
        (
            pod(volumes=[{"name": "v"}, {"name": "v"}, {}]),
            [
                'spec.template.spec.volumes[1].name: Duplicate value: "v"',
                "spec.template.spec.volumes[2].name: Required value",
            ],
        ),
        (
            container(readinessProbe={"periodSeconds": -1}, livenessProbe={"successThreshold": 2}),
            [
                f"{CONTAINER}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
                f"{CONTAINER}.readinessProbe.periodSeconds: Invalid value: -1: {NOT_NEGATIVE}",
            ],
        ),
        (
            pod(restartPolicy="OnFailure"),
            ['spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"'],
        ),
        (
            pod(activeDeadlineSeconds=0),
            [f"spec.template.spec.activeDeadlineSeconds: Forbidden: {NO_DEADLINE}"],
        ),
        (
            [("replicas", 2), *pod(volumes=[{"name": "v", "gcePersistentDisk": {"pdName": "d"}}])],
            [
                ("spec.template.spec.volumes[0].gcePersistentDisk.readOnly: Invalid value: false: must be true for "
                "replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only")
            ],
        ),
        (pod(volumes=[{"name": "v", "gcePersistentDisk": {"pdName": "d"}}]), []),
    ],
)  # fmt: skip
def test_pod_template(changes, expected):
    assert errors_of(*changes) == expected


def test_malformed_labels_and_names_of_the_template_are_named():
    errors = errors_of(
        ("template.metadata", {"labels": {"app": "cart", "x y": "-"}, "annotations": {"A/B": "", "/": ""}})
    )
    assert [error.split(": ")[:3] for error in errors] == [
        ["spec.template.labels", "Invalid value", '"x y"'],
        ["spec.template.labels", "Invalid value", '"-"'],
        ["spec.template.annotations", "Invalid value", '"/"'],
        ["spec.template.annotations", "Invalid value", '"/"'],
        ["spec.template.annotations", "Invalid value", '"/"'],
    ]
    (error,) = errors_of(*container(name="Web"))
    assert error.startswith(f'{CONTAINER}.name: Invalid value: "Web": a lowercase RFC 1123 label')
    (error,) = errors_of(*pod(volumes=[{"name": "V"}]))
    assert error.startswith('spec.template.spec.volumes[0].name: Invalid value: "V": a lowercase RFC 1123 label')
    (error,) = errors_of(*container(env=[{"name": "a=b"}]))
    assert error.startswith(f'{CONTAINER}.env[0].name: Invalid value: "a=b": a valid environment variable name')


# --- Blue-green -----------------------------------------------------------------------------------------------


def blue_green(**fields) -> list[str]:
    return errors_of(("strategy", {"blueGreen": {"activeService": "active", **fields}}))


SAME_SERVICES = (
    "This rollout uses the same service for the active and preview services, but two different services are required."
)


def test_blue_green_needs_two_services_and_a_long_enough_history_in_that_order():
    assert blue_green() == []
    assert blue_green(activeService="") == [f'spec.strategy.activeService: Invalid value: "": {SAME_SERVICES}']
    assert blue_green(previewService="active", scaleDownDelayRevisionLimit=11) == [
        f'spec.strategy.activeService: Invalid value: "active": {SAME_SERVICES}',
        (
            "spec.strategy.scaleDownDelayRevisionLimit: Invalid value: 11: "
            "This rollout's revision history limit can not be smaller than the rollout's scale down limit"
        ),
    ]
    assert blue_green(previewService="preview", scaleDownDelayRevisionLimit=10) == []


PREFERRED, REQUIRED = (
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
)


@pytest.mark.parametrize("strategy", ["blueGreen", "canary"])
@pytest.mark.parametrize(
    ("anti_affinity", "expected"),
    [
        ({REQUIRED: {}}, []),
        ({PREFERRED: {"weight": 1}}, []),
        ({PREFERRED: {"weight": 100}}, []),
        ({}, [("false", "false")]),
        ({PREFERRED: {"weight": 5}, REQUIRED: {}}, [("true", "true")]),
        ({PREFERRED: {"weight": 0}}, [0]),
        ({PREFERRED: {"weight": 101}}, [101]),
    ],
)
def test_anti_affinity_is_of_one_kind_with_a_weight(strategy, anti_affinity, expected):
    value = {"activeService": "a", "antiAffinity": anti_affinity}
    texts = []
    for each in expected:
        if isinstance(each, tuple):
            texts.append(
                "spec.strategy.antiAffinity: Invalid value: "
                f'"antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: {each[0]} '
                f'antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: {each[1]}": '
                "AntiAffinity must have exactly one strategy listed"
            )
        else:
            texts.append(
                f"spec.strategy.antiAffinity.weight: Invalid value: {each}: AntiAffinity weight must be between 1-100"
            )
    assert errors_of(("strategy", {strategy: value})) == texts


# --- Robustness -----------------------------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "25%", "metadata.name", "Always"])
NAMES = """
    spec template metadata labels containers name image ports volumes strategy canary blueGreen steps setWeight pause
    duration selector matchLabels matchExpressions trafficRouting alb istio setHeaderRoute match resources requests
"""
names = st.sampled_from(NAMES.split())


@given(st.recursive(leaves, lambda x: st.lists(x, max_size=2) | st.dictionaries(names, x, max_size=4), max_leaves=25))
def test_validation_never_raises_on_what_could_be_decoded(value):
    spec = value if isinstance(value, dict) else {"template": value, "strategy": {"canary": {"steps": [value]}}}
    obj, _ = decode_object(json.dumps({"spec": spec}).encode(), Rollout)
    assert all(str(error).startswith("spec.") for error in validate_rollout(obj))
