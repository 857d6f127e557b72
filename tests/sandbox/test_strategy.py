"""What the server does to built-in objects: defaults, checks, fixed fields, addresses, answers to reviews.

Objects go through their kind's schema first, as in the server, and then through the hooks.
"""

import copy
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind
from prograde.sandbox.strategy import WriteContext

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
KINDS = {kind.kind: kind for kind in reversed(builtin_kinds()) if kind.group != "events.k8s.io"}


class World:
    """Addresses and stored objects for a `WriteContext`."""

    def __init__(self, **stored: Any) -> None:
        self.stored = stored
        self.addresses: list[str] = []
        self.ports: list[int] = []

    def context(self) -> WriteContext:
        return WriteContext(
            now=NOW,
            rng=random.Random(1),
            get=lambda resource, namespace, name: self.stored.get(name),
            allocate_ip=self.allocate_ip,
            allocate_port=self.allocate_port,
        )

    def allocate_ip(self, wanted: str) -> str:
        if wanted in self.addresses or wanted.startswith("192."):
            raise ValueError("provided IP is already allocated")
        self.addresses.append(wanted or f"10.96.0.{len(self.addresses) + 1}")
        return self.addresses[-1]

    def allocate_port(self, wanted: int) -> int:
        if wanted in self.ports:
            raise ValueError("provided port is already allocated")
        self.ports.append(wanted or 30000 + len(self.ports))
        return self.ports[-1]


def kind_of(name: str) -> Kind:
    return KINDS[name]


def manifest(kind: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "shop", "uid": "uid-1", **fields.pop("metadata", {})}
    return {"apiVersion": kind_of(kind).api_version, "kind": kind, "metadata": metadata, **fields}


def created(kind: str, world: World | None = None, **fields: Any) -> Any:
    """Return the object that a create stores."""
    row = kind_of(kind)
    obj = row.schema.process(manifest(kind, **fields)).obj
    if row.strategy.prepare_create is not None:
        row.strategy.prepare_create(obj, (world or World()).context())
    if row.strategy.validate is not None:
        row.strategy.validate(obj, None)
    return obj


def updated(old: Any, change: Any, world: World | None = None) -> Any:
    """Return the object that an update stores; `change` edits a private copy of `old`."""
    row = kind_of(old["kind"])
    before = copy.deepcopy(old)
    edited = copy.deepcopy(old)
    change(edited)
    obj = row.schema.process(edited).obj
    if row.strategy.prepare_update is not None:
        row.strategy.prepare_update(old, obj, (world or World()).context())
    if row.strategy.validate is not None:
        row.strategy.validate(obj, old)
    assert old == before, "the stored object is shared"
    return obj


def refused(kind: str, **fields: Any) -> list[tuple[str, str]]:
    """Return (field, message) of the causes for which a create is refused."""
    with pytest.raises(StatusError) as caught:
        created(kind, **fields)
    assert caught.value.code == 422
    assert caught.value.kind == kind
    return [(cause.field, cause.message) for cause in caught.value.causes]


def refused_update(old: Any, change: Any) -> list[tuple[str, str]]:
    with pytest.raises(StatusError) as caught:
        updated(old, change)
    assert caught.value.code == 422
    return [(cause.field, cause.message) for cause in caught.value.causes]


CONTAINER = {"name": "web", "image": "nginx:1.25"}
LABELS = {"app": "web"}


def template(*containers: Any, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": list(containers or (CONTAINER,)), **spec}}


def workload(**spec: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": dict(LABELS)}, "template": template(), **spec}


DEFAULTED_CONTAINER = {
    "name": "web",
    "image": "nginx:1.25",
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
DEFAULTED_TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {
        "containers": [DEFAULTED_CONTAINER],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    },
}


# --------------------------------------------------------------------------------------------------------------- pods


def pod(*containers: Any, world: World | None = None, **spec: Any) -> Any:
    return created("Pod", world, spec={"containers": list(containers or (CONTAINER,)), **spec})


def test_a_new_pod_is_pending_and_has_every_default() -> None:
    obj = pod()
    assert obj["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert obj["spec"] == {
        **DEFAULTED_TEMPLATE["spec"],
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "tolerations": [
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
        ],
    }


def test_a_pod_keeps_what_it_says_about_itself() -> None:
    everything = [{"operator": "Exists"}]
    obj = pod(serviceAccount="bot", tolerations=everything, enableServiceLinks=False, priority=5)
    spec = obj["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "bot"
    assert spec["tolerations"] == everything
    assert (spec["enableServiceLinks"], spec["priority"]) == (False, 5)


def test_the_priority_of_a_pod_comes_from_its_class() -> None:
    world = World(high={"value": 1000})
    assert pod(world=world, priorityClassName="high")["spec"]["priority"] == 1000


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_from_the_resources(resources: Any, qos: str) -> None:
    assert pod({**CONTAINER, "resources": resources})["status"]["qosClass"] == qos


def test_one_container_without_limits_makes_a_pod_burstable() -> None:
    limited = {**CONTAINER, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    assert pod(limited, {"name": "side", "image": "x"})["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_from_the_tag(image: str, policy: str) -> None:
    assert pod({"name": "c", "image": image})["spec"]["containers"][0]["imagePullPolicy"] == policy


def mount(name: str, path: str) -> dict[str, str]:
    return {"name": name, "mountPath": path}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        pytest.param({"containers": []}, "spec.containers", "Required value", id="no containers"),
        pytest.param({"containers": [{"image": "x"}]}, "spec.containers[0].name", "Required value", id="no name"),
        pytest.param(
            {"containers": [{"name": "A", "image": "x"}]},
            "spec.containers[0].name",
            'Invalid value: "A": a lowercase RFC 1123 label must consist',
            id="name syntax",
        ),
        pytest.param(
            {"containers": [CONTAINER, CONTAINER]}, "spec.containers[1].name", 'Duplicate value: "web"', id="twice"
        ),
        pytest.param(
            {"initContainers": [CONTAINER], "containers": [CONTAINER]},
            "spec.containers[0].name",
            'Duplicate value: "web"',
            id="the name of an init container",
        ),
        pytest.param({"containers": [{"name": "c"}]}, "spec.containers[0].image", "Required value", id="no image"),
        pytest.param(
            {"containers": [{"name": "c", "image": " x"}]},
            "spec.containers[0].image",
            'Invalid value: " x": must not have leading or trailing whitespace',
            id="image with a space",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "imagePullPolicy": "Sometimes"}]},
            "spec.containers[0].imagePullPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
            id="pull policy",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "ports": [{"containerPort": 65536}]}]},
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 65536: must be between 1 and 65535, inclusive",
            id="port out of range",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "ports": [{"name": "x"}]}]},
            "spec.containers[0].ports[0].containerPort",
            "Required value",
            id="no port",
        ),
        pytest.param(
            {
                "containers": [
                    {**CONTAINER, "ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]}
                ]
            },
            "spec.containers[0].ports[1].name",
            'Duplicate value: "a"',
            id="port name twice",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "ports": [{"containerPort": 1, "protocol": "ICMP"}]}]},
            "spec.containers[0].ports[0].protocol",
            'Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
            id="protocol",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "env": [{"name": "A=B"}]}]},
            "spec.containers[0].env[0].name",
            'Invalid value: "A=B": a valid environment variable name',
            id="variable name",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "env": [{"value": "x"}]}]},
            "spec.containers[0].env[0].name",
            "Required value",
            id="variable without a name",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "volumeMounts": [mount("data", "/d")]}]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "data"',
            id="volume that is not there",
        ),
        pytest.param(
            {
                "volumes": [{"name": "data"}],
                "containers": [{**CONTAINER, "volumeMounts": [mount("data", "/d"), mount("data", "/d")]}],
            },
            "spec.containers[0].volumeMounts[1].mountPath",
            'Invalid value: "/d": must be unique',
            id="two volumes in one place",
        ),
        pytest.param(
            {"volumes": [{"name": "a"}, {"name": "a"}], "containers": [CONTAINER]},
            "spec.volumes[1].name",
            'Duplicate value: "a"',
            id="volume twice",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]},
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="more asked than allowed",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "-1"}}}]},
            "spec.containers[0].resources.requests[cpu]",
            'Invalid value: "-1": must be greater than or equal to 0',
            id="negative request",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "readinessProbe": {"periodSeconds": 1}}]},
            "spec.containers[0].readinessProbe",
            "Required value: must specify a handler type",
            id="probe without handler",
        ),
        pytest.param(
            {
                "containers": [
                    {**CONTAINER, "livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}},
                ]
            },
            "spec.containers[0].livenessProbe.tcpSocket",
            "Forbidden: may not specify more than 1 handler type",
            id="probe with two handlers",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}]},
            "spec.containers[0].livenessProbe.successThreshold",
            "Invalid value: 2: must be 1",
            id="success threshold",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "readinessProbe": {"exec": {}, "initialDelaySeconds": -1}}]},
            "spec.containers[0].readinessProbe.initialDelaySeconds",
            "Invalid value: -1: must be greater than or equal to 0",
            id="negative delay",
        ),
        pytest.param(
            {"containers": [CONTAINER], "restartPolicy": "Maybe"},
            "spec.restartPolicy",
            'Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
            id="restart policy",
        ),
        pytest.param(
            {"containers": [CONTAINER], "terminationGracePeriodSeconds": -1},
            "spec.terminationGracePeriodSeconds",
            "Invalid value: -1: must be greater than or equal to 0",
            id="negative grace",
        ),
        pytest.param(
            {"containers": [CONTAINER], "activeDeadlineSeconds": 0},
            "spec.activeDeadlineSeconds",
            "Invalid value: 0: must be between 1 and 2147483647, inclusive",
            id="deadline",
        ),
        pytest.param(
            {"containers": [CONTAINER], "readinessGates": [{}]},
            "spec.readinessGates[0].conditionType",
            "Required value",
            id="readiness gate",
        ),
    ],
)
def test_a_pod_that_cannot_run_is_refused(spec: Any, field: str, message: str) -> None:
    found = dict(refused("Pod", spec=spec))
    assert field in found, found
    assert found[field].startswith(message)


def test_the_same_port_twice_and_the_same_variable_twice_are_allowed() -> None:
    twice = {**CONTAINER, "ports": [{"containerPort": 80}] * 2, "env": [{"name": "A"}, {"name": "A"}]}
    assert pod(twice)["status"]["phase"] == "Pending"


def set_spec(**spec: Any) -> Any:
    return lambda obj: obj["spec"].update(spec)


def set_image(image: str) -> Any:
    return lambda obj: obj["spec"]["containers"][0].update(image=image)


def test_labels_images_deadline_tolerations_and_node_of_a_pod_may_change() -> None:
    obj = pod(schedulingGates=[{"name": "a"}, {"name": "b"}])
    assert updated(obj, set_image("nginx:2"))["spec"]["containers"][0]["image"] == "nginx:2"
    assert updated(obj, set_spec(activeDeadlineSeconds=5))["spec"]["activeDeadlineSeconds"] == 5
    more = [*obj["spec"]["tolerations"], {"key": "k", "operator": "Exists"}]
    assert updated(obj, set_spec(tolerations=more))["spec"]["tolerations"] == more
    assert updated(obj, set_spec(nodeName="node-1"))["spec"]["nodeName"] == "node-1"
    assert updated(obj, set_spec(schedulingGates=[{"name": "b"}]))["spec"]["schedulingGates"] == [{"name": "b"}]
    assert updated(obj, lambda new: new["metadata"].update(labels={"a": "b"}))["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(set_spec(restartPolicy="Never"), id="restart policy"),
        pytest.param(set_spec(tolerations=[{"key": "k", "operator": "Exists"}]), id="a toleration taken away"),
        pytest.param(set_spec(terminationGracePeriodSeconds=5), id="grace"),
        pytest.param(set_spec(nodeName="node-2"), id="another node"),
        pytest.param(set_spec(schedulingGates=[{"name": "new"}]), id="a scheduling gate added"),
        pytest.param(lambda obj: obj["spec"]["containers"][0].update(command=["x"]), id="command"),
    ],
)
def test_everything_else_of_a_pod_is_fixed(change: Any) -> None:
    obj = pod(nodeName="node-1")
    ((field, message),) = refused_update(obj, change)
    assert field == "spec"
    assert message.startswith("Forbidden: pod updates may not change fields other than `spec.containers[*].image`")


def test_a_deadline_of_a_pod_is_only_brought_forward() -> None:
    obj = pod(activeDeadlineSeconds=10)
    assert updated(obj, set_spec(activeDeadlineSeconds=5))["spec"]["activeDeadlineSeconds"] == 5
    assert ("spec.activeDeadlineSeconds", "Invalid value: 11: must be less than or equal to previous value 10") in (
        refused_update(obj, set_spec(activeDeadlineSeconds=11))
    )
    (found,) = [
        message
        for field, message in refused_update(obj, lambda new: new["spec"].pop("activeDeadlineSeconds"))
        if field == "spec.activeDeadlineSeconds"
    ]
    assert found == "Invalid value: null: must not update from a positive integer to nil value"


def test_containers_of_a_pod_are_neither_added_nor_removed() -> None:
    found = refused_update(pod(), lambda new: new["spec"]["containers"].append({"name": "b", "image": "x"}))
    assert found == [("spec.containers", "Forbidden: pod updates may not add or remove containers")]


def test_an_update_that_leaves_out_what_the_server_added_keeps_it() -> None:
    obj = pod()

    def strip(new: Any) -> None:
        new["spec"] = {"containers": [CONTAINER]}

    assert updated(obj, strip)["spec"] == obj["spec"]


# ---------------------------------------------------------------------------------------------------------- workloads


def test_a_replica_set_gets_replicas_and_the_defaults_of_its_template() -> None:
    obj = created("ReplicaSet", spec=workload())
    assert obj["spec"] == {"selector": {"matchLabels": LABELS}, "template": DEFAULTED_TEMPLATE, "replicas": 1}
    assert obj["status"] == {"replicas": 0}


def test_quantities_in_a_template_are_canonical() -> None:
    container = {**CONTAINER, "resources": {"requests": {"cpu": 0.001, "memory": "1024Mi"}, "limits": {"cpu": "1000m"}}}
    obj = created("ReplicaSet", spec=workload(template=template(container)))
    assert obj["spec"]["template"]["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1m", "memory": "1Gi"},
        "limits": {"cpu": "1"},
    }


def test_the_defaults_of_a_deployment() -> None:
    spec = created("Deployment", spec=workload())["spec"]
    assert {name: value for name, value in spec.items() if name not in ("selector", "template")} == {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    recreate = created("Deployment", spec=workload(replicas=0, strategy={"type": "Recreate"}))["spec"]
    assert (recreate["replicas"], recreate["strategy"]) == (0, {"type": "Recreate"})


@pytest.mark.parametrize("kind", ["ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"])
def test_the_selector_of_a_workload_matches_its_template_and_never_changes(kind: str) -> None:
    other = {"matchLabels": {"app": "other"}}
    assert refused(kind, spec=workload(selector=other)) == [
        (
            "spec.template.metadata.labels",
            'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        )
    ]
    assert [field for field, _ in refused(kind, spec={"template": template()})] == ["spec.selector"]
    assert "empty selector is invalid for" in refused(kind, spec=workload(selector={}))[0][1]
    obj = created(kind, spec=workload())

    def select_more(new: Any) -> None:
        new["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}

    assert refused_update(obj, select_more) == [
        (
            "spec.selector",
            'Invalid value: {"matchExpressions":[{"key":"app","operator":"Exists"}]}: field is immutable',
        )
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "field", "message"),
    [
        pytest.param(
            "ReplicaSet",
            workload(replicas=-1),
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
            id="negative replicas",
        ),
        pytest.param(
            "ReplicaSet",
            workload(template=template(restartPolicy="Never")),
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Never": supported values: "Always"',
            id="restart policy",
        ),
        pytest.param(
            "ReplicaSet",
            workload(template=template(activeDeadlineSeconds=5)),
            "spec.template.spec.activeDeadlineSeconds",
            "Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
            id="deadline",
        ),
        pytest.param(
            "ReplicaSet",
            workload(template=template({"name": "c"})),
            "spec.template.spec.containers[0].image",
            "Required value",
            id="no image",
        ),
        pytest.param(
            "ReplicaSet",
            workload(selector={"matchExpressions": [{"key": "app", "operator": "Near"}]}),
            "spec.selector",
            "Invalid value: ",
            id="selector operator",
        ),
        pytest.param(
            "Deployment",
            workload(strategy={"type": "Sometimes"}),
            "spec.strategy.type",
            'Unsupported value: "Sometimes": supported values: "Recreate", "RollingUpdate"',
            id="strategy",
        ),
        pytest.param(
            "Deployment",
            workload(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            "spec.strategy.rollingUpdate",
            "Forbidden: may not be specified when strategy `type` is 'Recreate'",
            id="limits of nothing",
        ),
        pytest.param(
            "Deployment",
            workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable",
            'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
            id="no room to move",
        ),
        pytest.param(
            "Deployment",
            workload(strategy={"rollingUpdate": {"maxSurge": "a lot"}}),
            "spec.strategy.rollingUpdate.maxSurge",
            'Invalid value: "a lot": a valid percent string must be a numeric string',
            id="no percentage",
        ),
        pytest.param(
            "Deployment",
            workload(minReadySeconds=600),
            "spec.progressDeadlineSeconds",
            "Invalid value: 600: must be greater than minReadySeconds",
            id="deadline before ready",
        ),
    ],
)
def test_a_workload_that_cannot_work_is_refused(kind: str, spec: Any, field: str, message: str) -> None:
    found = dict(refused(kind, spec=spec))
    assert field in found, found
    assert found[field].startswith(message)


def test_the_status_of_a_workload_can_be_written_although_its_spec_would_no_longer_pass() -> None:
    obj = created("ReplicaSet", spec=workload())
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    row = kind_of("ReplicaSet")
    assert row.strategy.validate is not None
    row.strategy.validate({**obj, "status": {"replicas": 3}}, obj)


def test_the_defaults_of_workloads_that_are_only_stored() -> None:
    stateful = created("StatefulSet", spec=workload())["spec"]
    assert stateful["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert (stateful["podManagementPolicy"], stateful["revisionHistoryLimit"], stateful["replicas"]) == (
        "OrderedReady",
        10,
        1,
    )
    daemon = created("DaemonSet", spec=workload())["spec"]
    assert daemon["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    }
    controller = created("ReplicationController", spec={"template": template()})["spec"]
    assert (controller["selector"], controller["replicas"]) == (LABELS, 1)
    cron = created(
        "CronJob",
        spec={"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}},
    )
    assert {name: cron["spec"][name] for name in ("concurrencyPolicy", "suspend", "failedJobsHistoryLimit")} == {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "failedJobsHistoryLimit": 1,
    }
    stored_template = created("PodTemplate", template=template())
    assert stored_template["template"] == DEFAULTED_TEMPLATE


def test_a_replication_controller_selects_its_own_pods() -> None:
    found = refused("ReplicationController", spec={"selector": {"a": "b"}, "template": template()})
    assert found == [
        ("spec.template.metadata.labels", 'Invalid value: {"app":"web"}: `selector` does not match template `labels`')
    ]


# --------------------------------------------------------------------------------------------------------------- jobs

JOB_TEMPLATE = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}


def job(name: str = "x", **spec: Any) -> Any:
    return created("Job", metadata={"name": name}, spec={"template": JOB_TEMPLATE, **spec})


def test_a_job_gets_its_numbers_and_a_selector_by_its_uid() -> None:
    obj = job("6f3a.success-rate.1")
    spec = obj["spec"]
    assert {name: value for name, value in spec.items() if name not in ("template", "selector")} == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-1"}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "uid-1",
        "controller-uid": "uid-1",
        "batch.kubernetes.io/job-name": "6f3a.success-rate.1",
        "job-name": "6f3a.success-rate.1",
    }


def test_a_job_without_completions_but_with_parallelism_is_a_work_queue() -> None:
    spec = job(parallelism=3)["spec"]
    assert "completions" not in spec
    assert spec["parallelism"] == 3


def test_a_job_with_a_manual_selector_keeps_it() -> None:
    spec = job(
        manualSelector=True,
        selector={"matchLabels": LABELS},
        template={"metadata": {"labels": LABELS}, **JOB_TEMPLATE},
    )["spec"]
    assert spec["selector"] == {"matchLabels": LABELS}
    assert spec["template"]["metadata"]["labels"] == LABELS


def test_the_pods_of_a_job_must_end() -> None:
    found = refused("Job", spec={"template": {"spec": {"containers": [CONTAINER]}}})
    assert found == [
        (
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Always": supported values: "OnFailure", "Never"',
        )
    ]


def test_template_selector_and_completions_of_a_job_are_fixed_but_not_its_parallelism() -> None:
    obj = job()
    assert updated(obj, set_spec(parallelism=2))["spec"]["parallelism"] == 2
    for change, field in (
        (set_spec(completions=2), "spec.completions"),
        (set_spec(completionMode="Indexed"), "spec.completionMode"),
        (lambda new: new["spec"]["template"]["spec"].update(nodeName="n"), "spec.template"),
    ):
        ((found, message),) = refused_update(obj, change)
        assert found == field
        assert message.endswith("field is immutable")


def test_the_pods_of_a_suspended_job_may_still_be_placed() -> None:
    def place(new: Any) -> None:
        new["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "a"}

    assert updated(job(suspend=True), place)["spec"]["template"]["spec"]["nodeSelector"] == {"zone": "a"}


def test_a_cron_job_needs_a_schedule_and_a_known_policy() -> None:
    found = refused("CronJob", spec={"concurrencyPolicy": "Queue", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}})
    assert [field for field, _ in found] == ["spec.schedule", "spec.concurrencyPolicy"]


# ----------------------------------------------------------------------------------------------------------- services


def service(world: World | None = None, **spec: Any) -> Any:
    return created("Service", world, spec={"ports": [{"port": 80}], **spec})


def test_a_service_gets_an_address_and_its_defaults() -> None:
    obj = service(selector=LABELS)
    assert obj["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": LABELS,
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "clusterIP": "10.96.0.1",
        "clusterIPs": ["10.96.0.1"],
    }
    assert obj["status"] == {"loadBalancer": {}}


def test_a_headless_service_has_no_address() -> None:
    world = World()
    assert service(world, clusterIP="None")["spec"]["clusterIPs"] == ["None"]
    assert world.addresses == []
    assert created("Service", spec={"clusterIP": "None"})["spec"]["clusterIP"] == "None"


def test_an_external_name_has_neither_address_nor_ports() -> None:
    world = World()
    spec = created("Service", world, spec={"type": "ExternalName", "externalName": "example.com"})["spec"]
    assert "clusterIP" not in spec
    assert "ipFamilies" not in spec
    assert world.addresses == []


def test_a_wanted_address_is_given_or_refused() -> None:
    assert service(clusterIP="10.96.7.7")["spec"]["clusterIP"] == "10.96.7.7"
    found = refused("Service", spec={"ports": [{"port": 80}], "clusterIP": "192.168.0.1"})
    assert found == [("spec.clusterIPs", 'Invalid value: ["192.168.0.1"]: provided IP is already allocated')]


def test_node_ports_and_load_balancers_get_node_ports() -> None:
    world = World()
    node_port = service(world, type="NodePort")["spec"]
    assert node_port["ports"][0]["nodePort"] == 30000
    assert node_port["externalTrafficPolicy"] == "Cluster"
    balanced = service(world, type="LoadBalancer")["spec"]
    assert (balanced["ports"][0]["nodePort"], balanced["allocateLoadBalancerNodePorts"]) == (30001, True)
    without = service(world, type="LoadBalancer", allocateLoadBalancerNodePorts=False)["spec"]
    assert "nodePort" not in without["ports"][0]
    with pytest.raises(StatusError, match=r"spec\.ports\[0\]\.nodePort: Invalid value: 30000"):
        service(world, type="NodePort", ports=[{"port": 80, "nodePort": 30000}])


def test_session_affinity_by_client_lasts_three_hours() -> None:
    spec = service(sessionAffinity="ClientIP")["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_an_update_without_address_keeps_it_and_its_node_ports() -> None:
    world = World()
    obj = service(world, type="NodePort", selector=LABELS)

    def strip(new: Any) -> None:
        new["spec"] = {"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "name": "b"}], "selector": {"v": "2"}}
        new["spec"]["ports"][0]["name"] = "a"

    spec = updated(obj, strip, world)["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("10.96.0.1", ["10.96.0.1"])
    assert [port["nodePort"] for port in spec["ports"]] == [30000, 30001]
    assert spec["selector"] == {"v": "2"}
    assert world.addresses == ["10.96.0.1"]


def test_a_service_that_becomes_internal_again_gives_back_what_only_node_ports_had() -> None:
    obj = service(World(), type="LoadBalancer")
    spec = updated(obj, set_spec(type="ClusterIP"))["spec"]
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert not spec.keys() & {"externalTrafficPolicy", "allocateLoadBalancerNodePorts"}
    assert spec["clusterIP"] == obj["spec"]["clusterIP"]


def test_the_address_of_a_service_is_fixed() -> None:
    assert refused_update(service(), set_spec(clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"])) == [
        ("spec.clusterIP", 'Invalid value: "10.96.0.9": field is immutable')
    ]


def test_a_service_may_become_an_external_name_and_back() -> None:
    obj = service()
    external = updated(obj, set_spec(type="ExternalName", externalName="example.com"))
    assert "clusterIP" not in external["spec"]
    again = updated(external, set_spec(type="ClusterIP"), World())
    assert again["spec"]["clusterIP"] == "10.96.0.1"


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({}, "spec.ports", "Required value"),
        ({"type": "Magic", "ports": [{"port": 80}]}, "spec.type", 'Unsupported value: "Magic": supported values: "Cl'),
        ({"type": "ExternalName"}, "spec.externalName", "Required value"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name", "Required value"),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
            "spec.ports[1].name",
            'Duplicate value: "a"',
        ),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
            "spec.ports[1]",
            'Duplicate value: {"port":1,"protocol":"TCP"}',
        ),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port", "Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1, "targetPort": 70000}]}, "spec.ports[0].targetPort", "Invalid value: 70000: must be"),
        ({"ports": [{"port": 1, "targetPort": "UP"}]}, "spec.ports[0].targetPort", 'Invalid value: "UP": must contain'),
        ({"ports": [{"port": 1, "protocol": "X"}]}, "spec.ports[0].protocol", 'Unsupported value: "X": supported'),
        ({"ports": [{"port": 1}], "sessionAffinity": "X"}, "spec.sessionAffinity", 'Unsupported value: "X": supp'),
        (
            {"ports": [{"port": 1}], "type": "NodePort", "clusterIP": "None"},
            "spec.clusterIPs[0]",
            "Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
    ],
)
def test_a_service_that_leads_nowhere_is_refused(spec: Any, field: str, message: str) -> None:
    found = dict(refused("Service", spec=spec))
    assert field in found, found
    assert found[field].startswith(message)


# ------------------------------------------------------------------------------------------------------ configuration


def test_plain_text_of_a_secret_is_folded_into_its_data() -> None:
    obj = created("Secret", data={"a": "YQ==", "b": "Yg=="}, stringData={"b": "new", "c": "ü"})
    assert obj["data"] == {"a": "YQ==", "b": "bmV3", "c": "w7w="}
    assert "stringData" not in obj
    assert obj["type"] == "Opaque"


def test_data_of_a_secret_must_be_base64() -> None:
    with pytest.raises(StatusError) as caught:
        created("Secret", data={"a": "!"})
    assert caught.value.code == 400
    assert caught.value.message.startswith('Secret in version "v1" cannot be handled as a Secret: illegal base64 data')


def test_the_type_of_a_secret_is_fixed_and_kept() -> None:
    obj = created("Secret", type="example.com/x", data={})
    assert refused_update(obj, lambda new: new.update(type="Opaque")) == [
        ("type", 'Invalid value: "Opaque": field is immutable')
    ]
    assert updated(obj, lambda new: new.pop("type"))["type"] == "example.com/x"


def test_secrets_of_known_types_hold_what_their_type_says() -> None:
    found = refused("Secret", type="kubernetes.io/tls", data={"tls.crt": "YQ=="})
    assert found == [("data[tls.key]", "Required value")]


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_an_immutable_object_keeps_its_data_for_ever(kind: str) -> None:
    obj = created(kind, data={"a": "YQ=="}, immutable=True)
    message = "Forbidden: field is immutable when `immutable` is set"
    assert refused_update(obj, lambda new: new.update(data={"a": "Yg=="})) == [("data", message)]
    assert refused_update(obj, lambda new: new.update(immutable=False)) == [("immutable", message)]
    assert updated(obj, lambda new: new["metadata"].update(labels={"a": "b"}))["data"] == {"a": "YQ=="}


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_keys_have_a_syntax_and_data_a_size(kind: str) -> None:
    ((field, message),) = refused(kind, data={"a/b": "YQ=="})
    assert field == "data[a/b]"
    assert message.startswith('Invalid value: "a/b": a valid config key must consist of')
    ((_, message),) = refused(kind, data={"a": "YWFh" * 300_000})
    assert message == "Too long: may not be more than 1048576 bytes"


def test_a_key_of_a_config_map_is_either_text_or_binary() -> None:
    assert refused("ConfigMap", data={"a": "x"}, binaryData={"a": "YQ=="}) == [
        ("data[a]", 'Invalid value: "a": duplicate of key present in binaryData')
    ]


# --------------------------------------------------------------------------------------------------------- the cluster


def test_a_new_namespace_is_active_and_carries_its_name_as_a_label() -> None:
    obj = created("Namespace", metadata={"labels": {"team": "a"}})
    assert obj["spec"] == {"finalizers": ["kubernetes"]}
    assert obj["status"] == {"phase": "Active"}
    assert obj["metadata"]["labels"] == {"team": "a", "kubernetes.io/metadata.name": "x"}


def test_the_label_and_the_finalizer_of_a_namespace_survive_updates() -> None:
    obj = created("Namespace")

    def strip(new: Any) -> None:
        new["metadata"]["labels"] = {}
        new["spec"] = {}

    new = updated(obj, strip)
    assert new["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert new["spec"] == {"finalizers": ["kubernetes"]}


def test_a_namespace_on_its_way_out_can_lose_its_finalizer() -> None:
    obj = created("Namespace")
    obj["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z"
    assert updated(obj, lambda new: new.update(spec={}))["spec"] == {}


def test_a_claim_is_bound_at_once_and_then_fixed_but_for_its_size() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    obj = created("PersistentVolumeClaim", spec=spec)
    assert obj["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert (obj["spec"]["volumeMode"], obj["spec"]["volumeName"]) == ("Filesystem", "pvc-uid-1")
    bigger = updated(obj, lambda new: new["spec"].update(resources={"requests": {"storage": "2Gi"}}))
    assert bigger["spec"]["resources"] == {"requests": {"storage": "2Gi"}}
    assert updated(obj, lambda new: new.update(spec=dict(spec)))["spec"]["volumeName"] == "pvc-uid-1"
    assert [field for field, _ in refused_update(obj, set_spec(storageClassName="fast"))] == ["spec"]
    assert [field for field, _ in refused("PersistentVolumeClaim", spec={})] == [
        "spec.accessModes",
        "spec.resources[storage]",
    ]


def test_the_value_of_a_priority_class_and_the_role_of_a_binding_are_fixed() -> None:
    priority = created("PriorityClass", value=5)
    assert priority["preemptionPolicy"] == "PreemptLowerPriority"
    assert refused_update(priority, lambda new: new.update(value=6)) == [
        ("value", "Forbidden: may not be changed in an update.")
    ]
    binding = created("RoleBinding", roleRef={"kind": "Role", "name": "r"}, subjects=[{"kind": "User", "name": "u"}])
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    ((field, message),) = refused_update(binding, lambda new: new["roleRef"].update(name="s"))
    assert field == "roleRef"
    assert message.endswith("cannot change roleRef")


def test_definitions_are_prepared_and_checked_like_any_kind() -> None:
    fields = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    assert created("CustomResourceDefinition", **copy.deepcopy(fields))["spec"]["names"]["listKind"] == "WidgetList"
    fields["spec"]["scope"] = "Galaxy"  # type: ignore[index]
    assert [field for field, _ in refused("CustomResourceDefinition", **fields)] == ["spec.scope"]


# -------------------------------------------------------------------------------------------------- events and policy


def test_an_event_lives_with_the_object_it_is_about() -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "shop"}
    assert created("Event", involvedObject=about)["involvedObject"] == about
    assert refused("Event", involvedObject={**about, "namespace": "other"}) == [
        ("involvedObject.namespace", 'Invalid value: "other": does not match event.namespace')
    ]
    cluster_scoped = {"kind": "Node", "name": "n"}
    assert created("Event", metadata={"namespace": "default"}, involvedObject=cluster_scoped)
    assert [field for field, _ in refused("Event", involvedObject=cluster_scoped)] == ["involvedObject.namespace"]


def test_a_lease_is_stored_as_it_is_with_its_microseconds() -> None:
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-11-25T10:00:00.123456Z"}
    assert created("Lease", spec=spec)["spec"] == spec
    assert refused("Lease", spec={"leaseDurationSeconds": 0, "leaseTransitions": -1}) == [
        ("spec.leaseDurationSeconds", "Invalid value: 0: must be greater than 0"),
        ("spec.leaseTransitions", "Invalid value: -1: must be greater than or equal to 0"),
    ]


TARGET = {"kind": "Rollout", "name": "web", "apiVersion": "argoproj.io/v1alpha1"}


def test_an_autoscaler_follows_the_cpu_unless_it_says_otherwise() -> None:
    obj = created("HorizontalPodAutoscaler", spec={"scaleTargetRef": TARGET, "maxReplicas": 3})
    target = {"type": "Utilization", "averageUtilization": 80}
    assert obj["spec"]["minReplicas"] == 1
    assert obj["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    found = refused("HorizontalPodAutoscaler", spec={"maxReplicas": 2, "minReplicas": 3})
    assert [field for field, _ in found] == [
        "spec.scaleTargetRef.kind",
        "spec.scaleTargetRef.name",
        "spec.maxReplicas",
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"minAvailable": 1, "maxUnavailable": "50%"}, "minAvailable and maxUnavailable cannot be both set"),
        ({"selector": {}}, "exactly one of minAvailable and maxUnavailable must be set"),
    ],
)
def test_a_budget_says_how_many_pods_stay_or_how_many_go(spec: Any, message: str) -> None:
    ((field, found),) = refused("PodDisruptionBudget", spec=spec)
    assert field == "spec"
    assert found.endswith(message)
    obj = created("PodDisruptionBudget", spec={"minAvailable": 0})
    assert obj["status"]["disruptionsAllowed"] == 0


BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(path: Any) -> dict[str, Any]:
    return {"rules": [{"http": {"paths": [path]}}]}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({}, "spec", "either `defaultBackend` or `rules` must be specified"),
        (
            ingress({"path": "/", "backend": BACKEND}),
            "spec.rules[0].http.paths[0].pathType",
            "Required value: pathType must be specified",
        ),
        (
            ingress({"path": "/", "pathType": "Regex", "backend": BACKEND}),
            "spec.rules[0].http.paths[0].pathType",
            'supported values: "Exact", "ImplementationSpecific", "Prefix"',
        ),
        (
            ingress({"path": "a", "pathType": "Prefix", "backend": BACKEND}),
            "spec.rules[0].http.paths[0].path",
            "must be an absolute path",
        ),
        (
            ingress({"path": "/", "pathType": "Prefix"}),
            "spec.rules[0].http.paths[0].backend",
            "Required value: port name or number is required",
        ),
        (
            {"defaultBackend": {"service": {"port": {"number": 1}}}},
            "spec.defaultBackend.service.name",
            "Required value",
        ),
        (
            {"defaultBackend": {"service": {"name": "a"}}},
            "spec.defaultBackend",
            "Required value: port name or number is required",
        ),
        (
            {"defaultBackend": {"service": {"name": "a", "port": {"name": "x", "number": 1}}}},
            "spec.defaultBackend",
            "cannot set both port name & port number",
        ),
        (
            {"defaultBackend": {**BACKEND, "resource": {"kind": "K", "name": "n"}}},
            "spec.defaultBackend",
            "cannot set both resource and service backends",
        ),
    ],
)
def test_an_ingress_that_leads_nowhere_is_refused(spec: Any, field: str, message: str) -> None:
    found = dict(refused("Ingress", spec=spec))
    assert field in found, found
    assert found[field].endswith(message)


def test_an_ingress_is_stored_as_it_is() -> None:
    spec = ingress({"path": "/", "pathType": "ImplementationSpecific", "backend": BACKEND})
    obj = created("Ingress", metadata={"annotations": {"nginx.ingress.kubernetes.io/canary": "true"}}, spec=spec)
    assert obj["spec"] == spec
    assert obj["status"] == {"loadBalancer": {}}


# ------------------------------------------------------------------------------------------------------------ reviews


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("SelfSubjectAccessReview", {"allowed": True, "reason": "sandbox allows everything"}),
        ("SubjectAccessReview", {"allowed": True, "reason": "sandbox allows everything"}),
        (
            "SelfSubjectRulesReview",
            {
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": False,
            },
        ),
        (
            "SelfSubjectReview",
            {"userInfo": {"username": "sandbox-admin", "groups": ["system:masters", "system:authenticated"]}},
        ),
        (
            "TokenReview",
            {
                "authenticated": True,
                "user": {"username": "sandbox-admin", "groups": ["system:masters", "system:authenticated"]},
            },
        ),
    ],
)
def test_a_review_is_answered_with_yes(kind: str, status: Any) -> None:
    assert created(kind, spec={})["status"] == status
