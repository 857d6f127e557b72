"""Row 114, and who may do what."""

import json

import pytest
from tests.sandbox.conformance.harness import NAMESPACE, Http, config_map

from prograde.kube.transport import Request
from prograde.sandbox.auth import Rule, User
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.server import NotLoopback

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "10.0.0.1", "127.0.0.1.evil.example"])
async def test_row_114_a_foreign_host_is_turned_away(http: Http, host: str) -> None:
    reply = await http("GET", "/version", headers={"Host": host})

    assert (reply.status, reply.json["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.9.9.9", "[::1]:443", "kubernetes.default.svc"])
async def test_row_114_names_of_this_machine_are_served(http: Http, host: str) -> None:
    assert (await http("GET", "/version", headers={"Host": host})).status == 200


async def test_row_114_a_page_of_another_origin_is_turned_away(http: Http) -> None:
    assert (await http("GET", "/version", headers={"Origin": "https://evil.example"})).status == 403
    assert (await http("GET", "/version", headers={"Origin": "http://localhost:1"})).status == 403
    assert (await http("GET", "/version", headers={"Origin": http.url})).status == 200


async def test_row_114_other_machines_must_be_asked_for(http: Http) -> None:
    with pytest.raises(NotLoopback, match="not a loopback address"):
        async with http.sandbox.serving(host="0.0.0.0", insecure_http=True):
            pytest.fail("it must not listen")


async def test_a_port_in_use_is_an_error_of_the_system(http: Http) -> None:
    port = int(http.url.rpartition(":")[2])

    with pytest.raises(OSError, match="address already in use"):
        async with http.sandbox.serving(port=port, insecure_http=True):
            pytest.fail("it must not listen")


async def test_over_tls_everybody_may_read_version_and_health_and_nothing_else() -> None:
    sandbox = Sandbox(controllers=False)
    authenticate = sandbox.authenticator.authenticate

    for path in ("/version", "/healthz", "/readyz/ping"):
        assert authenticate(path, {}).name == "system:anonymous"
    for path, headers in (("/metrics", {}), ("/api", {}), ("/version", {"authorization": "Bearer wrong"})):
        with pytest.raises(Exception, match="Unauthorized"):
            authenticate(path, headers)
    token = {"authorization": f"Bearer {sandbox.authenticator.token}"}
    assert authenticate("/api", token).name == "sandbox-admin"
    assert authenticate("/api", {**token, "impersonate-user": "ann"}).name == "ann"


async def test_the_users_file_forbids_in_the_words_of_kubernetes() -> None:
    bob = User("bob", deny=(Rule(("delete", "create"), ("pods", "rollouts.argoproj.io")),))
    sandbox = Sandbox(controllers=False, users={"t": bob})

    async def send(method: str, path: str, body: object = None) -> tuple[int, dict[str, str]]:
        content = json.dumps(body).encode() if body is not None else b""
        answer = await sandbox.handle(Request(method=method, path=path, body=content), bob)
        return answer.status, json.loads(answer.body)

    status, body = await send("DELETE", f"{NAMESPACE}/pods/x")
    assert status == 403
    assert body["message"] == (
        'pods "x" is forbidden: User "bob" cannot delete resource "pods" in API group "" in the namespace "default"'
    )
    status, body = await send("POST", "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts", {})
    assert body["message"] == (
        'rollouts.argoproj.io is forbidden: User "bob" cannot create resource "rollouts" in API group "argoproj.io" '
        'in the namespace "default"'
    )
    assert (await send("POST", f"{NAMESPACE}/configmaps", config_map("a")))[0] == 201

    def asked(verb: str, resource: str) -> dict[str, object]:
        attributes = {"verb": verb, "resource": resource, "namespace": "default"}
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }

    assert (await send("POST", REVIEW, asked("delete", "pods")))[1]["status"]["allowed"] is False
    assert (await send("POST", REVIEW, asked("get", "pods")))[1]["status"]["allowed"] is True


async def test_a_user_with_an_allow_list_may_do_nothing_else() -> None:
    reader = User("reader", allow=(Rule(("get", "list", "watch"), ("*",)),))
    sandbox = Sandbox(controllers=False)

    read = await sandbox.handle(Request(method="GET", path="/api/v1/pods"), reader)
    write = await sandbox.handle(Request(method="DELETE", path=f"{NAMESPACE}/pods/x"), reader)
    assert (read.status, write.status) == (200, 403)
