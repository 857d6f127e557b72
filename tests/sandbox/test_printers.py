"""The rows that kubectl prints, as it prints them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from prograde.sandbox.kinds import Object
from prograde.sandbox.printers import DEFAULT_PRINTER, PRINTERS

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
CREATED = "2025-01-01T11:55:00Z"


def obj(name: str = "x", **fields: Any) -> Object:
    metadata = {"name": name, "creationTimestamp": CREATED, **fields.pop("metadata", {})}
    return {"metadata": metadata, **fields}


def row(resource: tuple[str, str], subject: Object, *, is_wide: bool = False) -> dict[str, Any]:
    """Return what `kubectl get` shows, by column."""
    printer = PRINTERS.get(resource, DEFAULT_PRINTER)
    cells = printer.cells(subject, NOW)
    assert len(cells) == len(printer.columns)
    shown = zip(printer.columns, cells, strict=True)
    return {column.name: cell for column, cell in shown if is_wide or column.priority == 0}


def test_every_printer_has_as_many_cells_as_columns_even_for_an_empty_object() -> None:
    for resource in PRINTERS:
        row(resource, obj())


# -- pods --------------------------------------------------------------------------------------------------------


def state(**kind: Any) -> dict[str, Any]:
    return {"state": kind}


RUNNING: dict[str, Any] = {"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}}


def pod(*statuses: dict[str, Any], phase: str = "Running", **more: Any) -> Object:
    spec = {"containers": [{"name": f"c{index}"} for index, _ in enumerate(statuses)] or [{"name": "c"}]}
    spec |= more.pop("spec", {})
    status = {"phase": phase, "containerStatuses": list(statuses), **more.pop("status", {})}
    return obj(spec=spec, status=status, **more)


def init_pod(*init: dict[str, Any], **spec: Any) -> Object:
    names = [{"name": f"i{index}"} for index, _ in enumerate(init)]
    named = [{"name": f"i{index}", **each} for index, each in enumerate(init)]
    return pod(phase="Pending", spec={"initContainers": names, **spec}, status={"initContainerStatuses": named})


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        pytest.param(pod(phase="Pending"), "Pending", id="phase"),
        pytest.param(pod(phase="Failed", status={"reason": "Evicted"}), "Evicted", id="reason of the pod"),
        pytest.param(pod(RUNNING), "Running", id="running"),
        pytest.param(pod(state(waiting={"reason": "ImagePullBackOff"})), "ImagePullBackOff", id="waiting"),
        pytest.param(pod(state(terminated={"reason": "OOMKilled", "exitCode": 137})), "OOMKilled", id="ended"),
        pytest.param(pod(state(terminated={"exitCode": 3})), "ExitCode:3", id="ended without a reason"),
        pytest.param(pod(state(terminated={"exitCode": 1, "signal": 9})), "Signal:9", id="killed"),
        pytest.param(
            pod(state(waiting={"reason": "First"}), state(waiting={"reason": "Second"})), "First", id="first container"
        ),
        pytest.param(pod(RUNNING, state(terminated={"reason": "Completed"})), "NotReady", id="one of two is done"),
        pytest.param(
            pod(
                RUNNING,
                state(terminated={"reason": "Completed"}),
                status={"conditions": [{"type": "Ready", "status": "True"}]},
            ),
            "Running",
            id="one of two is done and the pod is ready",
        ),
        pytest.param(pod(RUNNING, metadata={"deletionTimestamp": CREATED}), "Terminating", id="terminating"),
        pytest.param(
            pod(phase="Succeeded", metadata={"deletionTimestamp": CREATED}), "Succeeded", id="finished and terminating"
        ),
        pytest.param(
            pod(status={"reason": "NodeLost"}, metadata={"deletionTimestamp": CREATED}), "Unknown", id="node lost"
        ),
        pytest.param(
            pod(
                phase="Pending",
                status={"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
            ),
            "SchedulingGated",
            id="gated",
        ),
        pytest.param(init_pod(state(running={}), state(waiting={})), "Init:0/2", id="first of two"),
        pytest.param(
            init_pod(state(terminated={"exitCode": 0}), state(waiting={"reason": "PodInitializing"})),
            "Init:1/2",
            id="second of two",
        ),
        pytest.param(init_pod(state(waiting={"reason": "ErrImagePull"})), "Init:ErrImagePull", id="init image"),
        pytest.param(init_pod(state(terminated={"exitCode": 2})), "Init:ExitCode:2", id="init failed"),
        pytest.param(init_pod(state(terminated={"exitCode": 2, "signal": 15})), "Init:Signal:15", id="init killed"),
        pytest.param(
            init_pod(state(terminated={"exitCode": 1, "reason": "Error"})), "Init:Error", id="init failed with a reason"
        ),
    ],
)
def test_the_status_of_a_pod_names_what_keeps_it_from_working(subject: Object, status: str) -> None:
    assert row(("", "pods"), subject)["Status"] == status


def test_the_row_of_a_pod() -> None:
    ended = {"terminated": {"finishedAt": "2025-01-01T11:59:48Z"}}
    restarted = {**RUNNING, "restartCount": 3, "lastState": ended}
    subject = pod(
        restarted,
        state(waiting={"reason": "CrashLoopBackOff"}),
        spec={"nodeName": "n1", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        status={"podIP": "10.0.0.1", "conditions": [{"type": "b", "status": "True"}]},
    )
    assert row(("", "pods"), subject, is_wide=True) == {
        "Name": "x",
        "Ready": "1/2",
        "Status": "CrashLoopBackOff",
        "Restarts": "3 (12s ago)",
        "Age": "5m",
        "IP": "10.0.0.1",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "1/2",
    }


def test_a_sidecar_counts_as_a_container() -> None:
    sidecar = {"name": "i0", "started": True, "ready": True, "restartCount": 2, "state": {"running": {}}}
    subject = pod(
        RUNNING,
        spec={"initContainers": [{"name": "i0", "restartPolicy": "Always"}]},
        status={"initContainerStatuses": [sidecar]},
    )
    shown = row(("", "pods"), subject)
    assert (shown["Ready"], shown["Status"], shown["Restarts"]) == ("2/2", "Running", "2")


# -- the others --------------------------------------------------------------------------------------------------

TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}}
SELECTOR = {
    "matchLabels": {"b": "2", "a": "1"},
    "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
}


@pytest.mark.parametrize(
    ("resource", "subject", "expected"),
    [
        pytest.param(
            ("apps", "replicasets"),
            obj(
                spec={"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
                status={"replicas": 2, "readyReplicas": 1},
            ),
            {
                "Name": "x",
                "Desired": 3,
                "Current": 2,
                "Ready": 1,
                "Age": "5m",
                "Containers": "a,b",
                "Images": "i:1,j:2",
                "Selector": "a=1,b=2,k in (x,y)",
            },
            id="replica set",
        ),
        pytest.param(
            ("apps", "deployments"),
            obj(
                spec={"replicas": 3, "selector": {"matchLabels": {"a": "1"}}, "template": TEMPLATE},
                status={"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
            ),
            {
                "Name": "x",
                "Ready": "2/3",
                "Up-to-date": 1,
                "Available": 2,
                "Age": "5m",
                "Containers": "a,b",
                "Images": "i:1,j:2",
                "Selector": "a=1",
            },
            id="deployment",
        ),
        pytest.param(
            ("", "services"),
            obj(
                spec={
                    "type": "LoadBalancer",
                    "clusterIP": "10.96.0.9",
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"app": "x"},
                }
            ),
            {
                "Name": "x",
                "Type": "LoadBalancer",
                "Cluster-IP": "10.96.0.9",
                "External-IP": "<pending>",
                "Port(s)": "80:30080/TCP,53/UDP",
                "Age": "5m",
                "Selector": "app=x",
            },
            id="service",
        ),
        pytest.param(
            ("", "services"),
            obj(spec={"type": "ExternalName", "externalName": "example.com"}),
            {
                "Name": "x",
                "Type": "ExternalName",
                "Cluster-IP": "<none>",
                "External-IP": "example.com",
                "Port(s)": "<none>",
                "Age": "5m",
                "Selector": "<none>",
            },
            id="external service",
        ),
        pytest.param(
            ("", "endpoints"),
            obj(subsets=[{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}]),
            {"Name": "x", "Endpoints": "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "Age": "5m"},
            id="endpoints",
        ),
        pytest.param(
            ("discovery.k8s.io", "endpointslices"),
            obj(addressType="IPv4", ports=[{"port": 80}], endpoints=[{"addresses": ["10.0.0.1"]}]),
            {"Name": "x", "AddressType": "IPv4", "Ports": "80", "Endpoints": "10.0.0.1", "Age": "5m"},
            id="endpoint slice",
        ),
        pytest.param(
            ("networking.k8s.io", "ingresses"),
            obj(
                spec={"rules": [{"host": "a.io"}], "tls": [{}]},
                status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
            ),
            {"Name": "x", "Class": "<none>", "Hosts": "a.io", "Address": "1.2.3.4", "Ports": "80, 443", "Age": "5m"},
            id="ingress",
        ),
        pytest.param(
            ("autoscaling", "horizontalpodautoscalers"),
            obj(
                spec={
                    "scaleTargetRef": {"kind": "Rollout", "name": "cart"},
                    "maxReplicas": 5,
                    "metrics": [{"resource": {"name": "cpu", "target": {"averageUtilization": 80}}}],
                },
                status={
                    "currentReplicas": 2,
                    "currentMetrics": [{"resource": {"current": {"averageUtilization": 40}}}],
                },
            ),
            {
                "Name": "x",
                "Reference": "Rollout/cart",
                "Targets": "cpu: 40%/80%",
                "MinPods": "<unset>",
                "MaxPods": 5,
                "Replicas": 2,
                "Age": "5m",
            },
            id="autoscaler",
        ),
        pytest.param(
            ("policy", "poddisruptionbudgets"),
            obj(spec={"minAvailable": "50%"}, status={"disruptionsAllowed": 1}),
            {"Name": "x", "Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 1, "Age": "5m"},
            id="budget",
        ),
        pytest.param(
            ("", "configmaps"),
            obj(data={"a": "b"}, binaryData={"c": ""}),
            {"Name": "x", "Data": 2, "Age": "5m"},
            id="map",
        ),
        pytest.param(
            ("", "secrets"),
            obj(type="Opaque", data={"a": ""}),
            {"Name": "x", "Type": "Opaque", "Data": 1, "Age": "5m"},
            id="secret",
        ),
        pytest.param(("", "serviceaccounts"), obj(), {"Name": "x", "Age": "5m"}, id="service account"),
        pytest.param(
            ("", "namespaces"),
            obj(status={"phase": "Active"}),
            {"Name": "x", "Status": "Active", "Age": "5m"},
            id="namespace",
        ),
        pytest.param(
            ("", "nodes"),
            obj(
                metadata={"labels": {"node-role.kubernetes.io/worker": ""}},
                spec={"unschedulable": True},
                status={
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {
                        "kubeletVersion": "v1",
                        "osImage": "os",
                        "kernelVersion": "k",
                        "containerRuntimeVersion": "r",
                    },
                    "addresses": [{"type": "InternalIP", "address": "1.1.1.1"}],
                },
            ),
            {
                "Name": "x",
                "Status": "Ready,SchedulingDisabled",
                "Roles": "worker",
                "Age": "5m",
                "Version": "v1",
                "Internal-IP": "1.1.1.1",
                "External-IP": "<none>",
                "OS-Image": "os",
                "Kernel-Version": "k",
                "Container-Runtime": "r",
            },
            id="node",
        ),
        pytest.param(
            ("", "events"),
            obj(
                involvedObject={"kind": "Rollout", "name": "cart", "fieldPath": "spec.x"},
                type="Normal",
                reason="Scaled",
                message="done \n",
                source={"component": "c", "host": "h"},
                firstTimestamp="2025-01-01T11:50:00Z",
                lastTimestamp="2025-01-01T11:59:00Z",
                count=3,
            ),
            {
                "Last Seen": "60s",
                "Type": "Normal",
                "Reason": "Scaled",
                "Object": "rollout/cart",
                "Subobject": "spec.x",
                "Source": "c, h",
                "Message": "done",
                "First Seen": "10m",
                "Count": 3,
                "Name": "x",
            },
            id="event",
        ),
        pytest.param(
            ("coordination.k8s.io", "leases"),
            obj(spec={"holderIdentity": "me"}),
            {"Name": "x", "Holder": "me", "Age": "5m"},
            id="lease",
        ),
        pytest.param(
            ("apiextensions.k8s.io", "customresourcedefinitions"),
            obj(),
            {"Name": "x", "Created At": CREATED},
            id="definition",
        ),
        pytest.param(
            ("rbac.authorization.k8s.io", "rolebindings"),
            obj(
                roleRef={"kind": "Role", "name": "r"},
                subjects=[{"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
            ),
            {"Name": "x", "Role": "Role/r", "Age": "5m", "Users": "", "Groups": "", "ServiceAccounts": "n/s"},
            id="role binding",
        ),
        pytest.param(("example.com", "things"), obj(), {"Name": "x", "Age": "5m"}, id="anything else"),
    ],
)
def test_the_rows_of_the_other_kinds(resource: tuple[str, str], subject: Object, expected: dict[str, Any]) -> None:
    assert row(resource, subject, is_wide=True) == expected


@pytest.mark.parametrize(
    ("status", "spec", "metadata", "expected"),
    [
        ({}, {"completions": 2}, {}, ("Running", "0/2", "")),
        ({"succeeded": 1, "startTime": "2025-01-01T11:59:00Z"}, {"parallelism": 3}, {}, ("Running", "1/1 of 3", "60s")),
        (
            {
                "conditions": [{"type": "Complete", "status": "True"}],
                "startTime": CREATED,
                "completionTime": "2025-01-01T11:55:07Z",
            },
            {},
            {},
            ("Complete", "0/1", "7s"),
        ),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, {}, {}, ("Failed", "0/1", "")),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, {}, {}, ("FailureTarget", "0/1", "")),
        ({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}, {}, {}, ("SuccessCriteriaMet", "0/1", "")),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, {}, {}, ("Suspended", "0/1", "")),
        ({}, {}, {"deletionTimestamp": CREATED}, ("Terminating", "0/1", "")),
    ],
)
def test_the_row_of_a_job(
    status: dict[str, Any], spec: dict[str, Any], metadata: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    shown = row(("batch", "jobs"), obj(status=status, spec=spec, metadata=metadata))
    assert (shown["Status"], shown["Completions"], shown["Duration"]) == expected


@pytest.mark.parametrize(
    ("status", "expected"), [("True", "Ready"), ("False", "NotReady"), ("Unknown", "NotReady"), (None, "Unknown")]
)
def test_the_status_of_a_node(status: str | None, expected: str) -> None:
    conditions = [{"type": "Ready", "status": status}] if status is not None else []
    assert row(("", "nodes"), obj(status={"conditions": conditions}))["Status"] == expected
