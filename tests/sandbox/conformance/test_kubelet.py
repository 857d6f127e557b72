"""Rows 101 to 108 and 113: pods in virtual time."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.conformance.harness import NAMESPACE, deployment, pod

from prograde.kube.transport import Request
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.kinds import Object


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def conditions(obj: Object) -> dict[str, str]:
    return {each["type"]: each["status"] for each in (obj.get("status") or {}).get("conditions") or []}


def container_state(sandbox: Sandbox, name: str) -> tuple[str, str]:
    """Return waiting, running or terminated, and the reason."""
    statuses = sandbox.get("pods", name)["status"].get("containerStatuses") or [{}]
    ((state, detail),) = statuses[0]["state"].items()
    return state, detail.get("reason", "")


def with_command(name: str, *command: str, args: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    body = pod(name, "alpine:3.8", **spec)
    body["spec"]["containers"][0]["command"] = list(command)
    if args is not None:
        body["spec"]["containers"][0]["args"] = args
    return body


def test_row_101_a_pod_is_ready_within_400_ms_by_the_usual_stages(sandbox: Sandbox) -> None:
    stages: list[tuple[str, dict[str, str]]] = []

    def note(change: str, resource: tuple[str, str], new: Object, previous: Object | None) -> None:
        if resource == ("", "pods"):
            stages.append((new["status"]["phase"], conditions(new)))

    sandbox.client().subscribe(note)
    sandbox.create(pod("p"))
    sandbox.advance(0.4)

    assert conditions(sandbox.get("pods", "p"))["Ready"] == "True"
    assert stages[0] == ("Pending", {})
    assert stages[1] == ("Pending", {"PodScheduled": "True"})
    assert stages[2][1]["Ready"] == stages[2][1]["ContainersReady"] == "False"
    assert (stages[-1][0], set(stages[-1][1].values())) == ("Running", {"True"})
    reasons = [event["reason"] for event in sandbox.events("Pod/p")]
    assert reasons == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]


def test_row_102_an_unpullable_image_backs_off_and_recovers(sandbox: Sandbox) -> None:
    sandbox.create(pod("p", "argoproj/rollouts-demo:does-not-exist"))
    seen = set()
    for _ in range(30):
        sandbox.advance(1)
        seen.add(container_state(sandbox, "p"))
    assert seen == {("waiting", "ErrImagePull"), ("waiting", "ImagePullBackOff")}

    sandbox.patch("pods", "p", {"spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}, patch_type="strategic")
    sandbox.advance(60)
    assert container_state(sandbox, "p") == ("running", "")


def test_row_103_a_command_that_does_not_exist_crashes_the_container(sandbox: Sandbox) -> None:
    sandbox.create(with_command("p", "/bad-command"))
    states = []
    for _ in range(40):
        sandbox.advance(0.5)
        states.append(container_state(sandbox, "p"))
    assert ("waiting", "CrashLoopBackOff") in states
    status = sandbox.get("pods", "p")["status"]["containerStatuses"][0]
    ended = status["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "no such file or directory" in ended["message"]

    sandbox.create(with_command("q", "exit", "1", restartPolicy="Never"))
    sandbox.advance(5)
    assert sandbox.get("pods", "q")["status"]["phase"] == "Failed"


def test_row_104_the_shell_traces_and_exits_as_told(sandbox: Sandbox) -> None:
    sandbox.create(with_command("p", "sh", "-c", "-x", args=["sleep 1 && exit 3"], restartPolicy="Never"))
    sandbox.advance(5)

    ended = sandbox.get("pods", "p")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 3
    assert sandbox.controllers is not None
    assert sandbox.controllers.kubelet.logs.read_log("default", "p") == b"+ sleep 1\n+ exit 3\n"


def test_row_105_the_initial_delay_of_a_probe_is_exact(sandbox: Sandbox) -> None:
    body = pod("p")
    body["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 80}, "initialDelaySeconds": 10}
    ready_at: list[datetime] = []

    def note(change: str, resource: tuple[str, str], new: Object, previous: Object | None) -> None:
        if resource == ("", "pods") and conditions(new).get("Ready") == "True" and not ready_at:
            ready_at.append(sandbox.clock())

    sandbox.client().subscribe(note)
    started = sandbox.clock()
    sandbox.create(body)
    sandbox.advance(9)
    assert ready_at == []
    sandbox.advance(2)
    assert 10 <= (ready_at[0] - started).total_seconds() <= 10.4


def test_row_106_readiness_gates_belong_to_others(sandbox: Sandbox) -> None:
    sandbox.create(pod("p", readinessGates=[{"conditionType": "example.com/gate"}]))
    sandbox.advance(5)
    obj = sandbox.get("pods", "p")
    assert (conditions(obj)["ContainersReady"], conditions(obj)["Ready"]) == ("True", "False")
    assert "example.com/gate" not in conditions(obj)

    opened = [*obj["status"]["conditions"], {"type": "example.com/gate", "status": "True"}]
    sandbox.patch("pods", "p", {"status": {"conditions": opened}}, subresource="status")
    sandbox.advance(5)
    assert conditions(sandbox.get("pods", "p"))["Ready"] == "True"
    assert conditions(sandbox.get("pods", "p"))["example.com/gate"] == "True"


def test_row_107_hooks_take_their_time_and_a_second_delete_shortens_the_grace(sandbox: Sandbox) -> None:
    hook = {"exec": {"command": ["sleep", "5"]}}
    for name in ("p", "q"):
        body = pod(name)
        body["spec"]["containers"][0]["lifecycle"] = {
            "postStart": hook,
            "preStop": {"exec": {"command": ["sleep", "20"]}},
        }
        sandbox.create(body)
    sandbox.advance(4)
    assert conditions(sandbox.get("pods", "p"))["Ready"] == "False"
    sandbox.advance(3)
    assert conditions(sandbox.get("pods", "p"))["Ready"] == "True"

    sandbox.delete("pods", "p")
    sandbox.delete("pods", "q")
    sandbox.advance(2)
    sandbox.delete("pods", "q", grace_seconds=1)
    assert sandbox.get("pods", "q")["metadata"]["deletionGracePeriodSeconds"] == 1
    sandbox.advance(3)
    assert [obj["metadata"]["name"] for obj in sandbox.list("pods")] == ["p"]
    sandbox.advance(20)
    assert sandbox.list("pods") == []


def test_row_108_a_run_with_ten_thousand_pods_ends_ready() -> None:
    sandbox = Sandbox(profile="instant", managed_fields="off")
    for index in range(10):
        sandbox.create(deployment(f"web{index}", replicas=1000))
    sandbox.advance(30)

    ready = sum(sandbox.get("deploy", f"web{index}")["status"].get("readyReplicas", 0) for index in range(10))
    assert ready == 10_000


def test_row_113_a_manifest_runs_nothing_on_this_machine(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "touched"
    sandbox.create(with_command("p", "sh", "-c", f"touch {target}; echo x > {target}", restartPolicy="Never"))
    sandbox.advance(10)

    assert not target.exists()


def test_logs_come_through_the_api_as_text(sandbox: Sandbox) -> None:
    sandbox.create(with_command("p", "sh", "-c", "echo one; echo two; sleep infinity"))
    sandbox.advance(5)

    async def read(**query: str) -> tuple[int, bytes]:
        request = Request(method="GET", path=f"{NAMESPACE}/pods/p/log", query=tuple(query.items()))
        answer = await sandbox.transport().request(request)
        return answer.status, answer.body

    assert asyncio.run(read()) == (200, b"one\ntwo\n")
    assert asyncio.run(read(tailLines="1")) == (200, b"two\n")
    status, body = asyncio.run(read(tailLines="-1", sinceSeconds="0"))
    assert status == 422
    assert b"tailLines" in body
    assert b"sinceSeconds" in body
