"""Rows 50 to 52: what typed Go clients and newer kubectls send."""

from tests.sandbox.conformance.harness import NAMESPACE, ROLLOUTS, Http, Kubectl, pod
from tests.sandbox.test_protobuf import body, field

PROTOBUF = "application/vnd.kubernetes.protobuf"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


async def test_row_50_the_creating_commands_of_kubectl_work(kubectl: Kubectl) -> None:
    for command, stored in (
        ("create ns extra", ("ns", "extra")),
        ("create cm c --from-literal=a=b", ("cm", "c")),
        ("create secret generic s --from-literal=a=b", ("secrets", "s")),
        ("create deployment d --image=nginx --replicas=0", ("deploy", "d")),
        ("create job j --image=busybox", ("jobs", "j")),
        ("create service clusterip v --tcp=80:8080", ("svc", "v")),
        ("create pdb p --selector=app=d --max-unavailable=50%", ("pdb", "p")),
        ("create ingress i --rule=example.com/x=v:80", ("ing", "i")),
        ("create quota q --hard=pods=3", ("quota", "q")),
        ("create serviceaccount robot", ("sa", "robot")),
        ("create role r --verb=get --resource=pods", ("roles", "r")),
        ("create priorityclass high --value=10", ("priorityclasses", "high")),
        ("autoscale deployment d --min=2 --max=5 --cpu-percent=80", ("hpa", "d")),
    ):
        await kubectl(*command.split())
        kubectl.sandbox.get(*stored)
    assert kubectl.sandbox.get("deploy", "d")["spec"]["replicas"] == 0
    assert kubectl.sandbox.get("pdb", "p")["spec"]["maxUnavailable"] == "50%"
    assert kubectl.sandbox.get("svc", "v")["spec"]["ports"][0]["targetPort"] == 8080
    target = kubectl.sandbox.get("hpa", "d")["spec"]["metrics"][0]["resource"]["target"]
    assert target == {"type": "Utilization", "averageUtilization": 80}


async def test_row_50_access_questions_and_tokens_are_answered(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "delete", "rollouts") == "yes\n"
    assert "sandbox-admin" in await kubectl("auth", "whoami")
    assert "*.*" in await kubectl("auth", "can-i", "--list")
    token = (await kubectl("create", "token", "default")).strip()
    whoami = await kubectl("auth", "whoami", f"--token={token}")
    assert "system:serviceaccount:default:default" in whoami


async def test_row_51_a_pod_status_keeps_the_zeros_that_matter(http: Http) -> None:
    http.sandbox.create(pod("p"))
    status = [
        field(1, "Running"),
        field(2, [field(1, "example.com/gate"), field(2, "True")]),
        field(8, [field(1, "c"), field(4, 0), field(5, 0), field(6, "nginx:1.19"), field(7, ""), field(9, 0)]),
    ]
    metadata = [field(1, "p"), field(3, "default")]
    sent = body("v1", "Pod", [field(1, metadata), field(3, status)])

    reply = await http("PUT", f"{NAMESPACE}/pods/p/status", sent, content_type=PROTOBUF)
    assert reply.status == 200
    stored = reply.json["status"]
    assert stored["conditions"] == [{"type": "example.com/gate", "status": "True"}]
    (container,) = stored["containerStatuses"]
    assert (container["ready"], container["restartCount"], container["started"]) == (False, 0, False)
    assert container["imageID"] == ""
    assert reply.json["spec"]["containers"][0]["image"] == "nginx:1.19"


async def test_row_52_options_evictions_leases_and_events_come_as_protobuf(http: Http) -> None:
    http.sandbox.create(pod("a"))
    http.sandbox.create(pod("b"))

    options = body("v1", "DeleteOptions", [field(1, 0), field(4, "Background")])
    assert (await http("DELETE", f"{NAMESPACE}/pods/a", options, content_type=PROTOBUF)).json["status"] == "Success"
    eviction = body("policy/v1", "Eviction", [field(1, [field(1, "b"), field(3, "default")])])
    assert (await http("POST", f"{NAMESPACE}/pods/b/eviction", eviction, content_type=PROTOBUF)).status == 201
    assert http.sandbox.list("pods") == []

    moment = [field(1, 1_700_000_000), field(2, 123_456_000)]
    spec = [field(1, "me"), field(2, 15), field(4, moment), field(5, 0)]
    lease = body("coordination.k8s.io/v1", "Lease", [field(1, [field(1, "lock")]), field(2, spec)])
    stored = (await http("POST", LEASES, lease, content_type=PROTOBUF)).json["spec"]
    assert stored == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2023-11-14T22:13:20.123456Z",
        "leaseTransitions": 0,
    }

    about = [field(1, "Pod"), field(2, "default"), field(3, "a")]
    event = body(
        "v1", "Event", [field(1, [field(2, "a.")]), field(2, about), field(3, "Tested"), field(4, "hello"), field(8, 1)]
    )
    created = await http("POST", f"{NAMESPACE}/events", event, content_type=PROTOBUF)
    assert (created.status, created.json["reason"], created.json["count"]) == (201, "Tested", 1)


async def test_row_52_custom_kinds_take_no_protobuf(http: Http) -> None:
    reply = await http("POST", ROLLOUTS, body("argoproj.io/v1alpha1", "Rollout", []), content_type=PROTOBUF)

    assert (reply.status, reply.json["reason"]) == (415, "UnsupportedMediaType")


async def test_row_52_the_answer_to_protobuf_is_json(http: Http) -> None:
    namespace = body("v1", "Namespace", [field(1, [field(1, "n")])])
    accept = {"Accept": f"{PROTOBUF},application/json"}

    reply = await http("POST", "/api/v1/namespaces", namespace, content_type=PROTOBUF, headers=accept)
    assert reply.status == 201
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
