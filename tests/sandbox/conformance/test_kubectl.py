"""Rows 68 to 80: what people do with the real kubectl."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.conformance.harness import Kubectl, config_map, deployment, pod, rollout

from prograde.sandbox.clock import wall_clock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.endpoint import Endpoint, find_kubectl


def text(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(obj) + "\n" for obj in objects)


async def test_row_68_apply_creates_configures_and_leaves_alone(kubectl: Kubectl) -> None:
    manifest = text(deployment("web"), rollout("cart"))
    created = "deployment.apps/web created\nrollout.argoproj.io/cart created\n"
    assert await kubectl("apply", "-f", "-", stdin=manifest) == created
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    kubectl.sandbox.request_log.clear()

    assert await kubectl("apply", "-f", "-", stdin=manifest) == created.replace("created", "unchanged")
    assert [entry for entry in kubectl.sandbox.request_log.writes() if entry.client == "kubectl"] == []

    changed = text(deployment("web", "nginx:1.20"), rollout("cart", replicas=2))
    assert await kubectl("apply", "-f", "-", stdin=changed) == created.replace("created", "configured")


async def test_row_69_server_side_apply_names_the_owner_of_a_conflict(kubectl: Kubectl) -> None:
    def apply(obj: dict[str, Any], *more: str, manager: str = "me") -> tuple[str, ...]:
        return "apply", "--server-side", f"--field-manager={manager}", "-f", "-", *more

    first = rollout("cart", replicas=2, minReadySeconds=5)
    await kubectl(*apply(first, manager="ui"), stdin=text(first))
    second = rollout("cart", replicas=3)

    conflict = await kubectl.fails(*apply(second), stdin=text(second))
    assert 'Apply failed with 1 conflict: conflict with "ui": .spec.replicas' in conflict
    forced = await kubectl(*apply(second, "--force-conflicts"), "--force-conflicts", stdin=text(second))
    assert forced == "rollout.argoproj.io/cart serverside-applied\n"
    stored = kubectl.sandbox.get("ro", "cart")["spec"]
    assert (stored["replicas"], stored["minReadySeconds"]) == (3, 5)

    unknown = rollout("cart", nonsense=1)
    assert "field not declared in schema" in await kubectl.fails(*apply(unknown), stdin=text(unknown))


async def test_row_69_a_field_that_is_applied_no_more_goes_unless_another_owns_it(kubectl: Kubectl) -> None:
    both = config_map("c", a="1", b="2")
    for manager in ("me", "you"):
        await kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=text(both))

    await kubectl("apply", "--server-side", "--field-manager=me", "-f", "-", stdin=text(config_map("c", a="1")))
    assert kubectl.sandbox.get("cm", "c")["data"] == {"a": "1", "b": "2"}
    await kubectl("apply", "--server-side", "--field-manager=you", "-f", "-", stdin=text(config_map("c", a="1")))
    assert kubectl.sandbox.get("cm", "c")["data"] == {"a": "1"}


async def test_row_69_moving_from_client_side_to_server_side_apply_needs_no_force(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=text(config_map("c", a="1", b="2")))

    await kubectl("apply", "--server-side", "-f", "-", stdin=text(config_map("c", a="3")))
    assert kubectl.sandbox.get("cm", "c")["data"] == {"a": "3"}


async def test_row_70_diff_shows_a_change_and_makes_none(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=text(rollout("cart")))
    revision = kubectl.sandbox.get("ro", "cart")["metadata"]["resourceVersion"]

    shown = await kubectl.run("diff", "-f", "-", stdin=text(rollout("cart", replicas=7)))
    assert shown.code == 1
    assert "-  replicas: 1\n+  replicas: 7\n" in shown.stdout
    assert (await kubectl.run("diff", "-f", "-", stdin=text(rollout("cart")))).code == 0
    assert kubectl.sandbox.get("ro", "cart")["metadata"]["resourceVersion"] == revision


async def test_row_71_describe_works_for_each_kind_and_lists_events(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=nginx")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    await kubectl("expose", "deploy", "web", "--port=80")
    await kubectl("create", "job", "j", "--image=busybox")
    await kubectl("create", "configmap", "c", "--from-literal=a=b")
    await kubectl("create", "ingress", "i", "--rule=example.com/x=web:80")
    await kubectl("create", "pdb", "p", "--selector=app=web", "--min-available=1")
    await kubectl("autoscale", "deploy", "web", "--max=2")
    kubectl.sandbox.create(rollout("cart"))

    for what, expected in (
        ("pods -l app=web", "Successfully assigned default/web-"),
        ("deploy/web", "Scaled up replica set web-"),
        ("rs", "Created pod: web-"),
        ("svc/web", "Endpoints:"),
        ("ro/cart", "API Version:  argoproj.io/v1alpha1"),
        ("node/sandbox-0", "Non-terminated Pods:"),
        ("job/j", "Parallelism:"),
        ("cm/c", "a:\n----\nb"),
        ("ing/i", "example.com"),
        ("pdb/p", "Min available:"),
        ("hpa/web", "Max replicas:"),
        ("ns/default", "Status:       Active"),
        ("crd/rollouts.argoproj.io", "Established"),
    ):
        assert expected in await kubectl("describe", *what.split())


async def test_row_72_delete_returns_when_it_is_gone(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=nginx")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")

    assert 'deployment.apps "web" deleted' in await kubectl("delete", "deploy", "web", "--cascade=foreground")
    assert kubectl.sandbox.list("rs") == []
    assert kubectl.sandbox.list("pods") == []


async def test_row_72_orphans_stay(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=nginx")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")

    await kubectl("delete", "deploy", "web", "--cascade=orphan")
    (replica_set,) = kubectl.sandbox.list("rs")
    assert "ownerReferences" not in replica_set["metadata"]


async def test_row_72_delete_by_label_all_file_now_and_force(kubectl: Kubectl) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")):
        kubectl.sandbox.create(config_map(name, {"app": app}))
    assert (await kubectl("delete", "cm", "-l", "app=x")).count("deleted") == 2
    assert 'configmap "c" deleted' in await kubectl("delete", "-f", "-", stdin=text(config_map("c")))
    assert 'configmap "d" deleted' in await kubectl("delete", "cm", "--all")
    assert "NotFound" in await kubectl.fails("delete", "cm", "d")
    await kubectl("delete", "cm", "d", "--ignore-not-found")

    for name in ("slow", "stuck"):
        kubectl.sandbox.create(pod(name, terminationGracePeriodSeconds=3600))
    await kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=20s")
    await kubectl("delete", "pod", "slow", "--now")
    await kubectl("delete", "pod", "stuck", "--force", "--grace-period=0")
    assert kubectl.sandbox.list("pods") == []


async def test_row_73_labels_annotations_and_patches_of_three_types(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web"))
    kubectl.sandbox.create(rollout("cart"))

    await kubectl("label", "ro", "cart", "tier=web")
    await kubectl("annotate", "ro", "cart", "note=hello")
    assert "already has a value" in await kubectl.fails("label", "ro", "cart", "tier=api")
    await kubectl("label", "ro", "cart", "tier-")
    metadata = kubectl.sandbox.get("ro", "cart")["metadata"]
    assert metadata["annotations"]["note"] == "hello"
    assert "labels" not in metadata

    merge = '{"spec":{"replicas":2}}'
    json_patch = '[{"op":"replace","path":"/spec/replicas","value":3}]'
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"c0","image":"nginx:2"}]}}}}'
    assert "patched" in await kubectl("patch", "ro", "cart", "--type=merge", "-p", merge)
    assert "(no change)" in await kubectl("patch", "ro", "cart", "--type=merge", "-p", merge)
    assert "patched" in await kubectl("patch", "ro", "cart", "--type=json", "-p", json_patch)
    assert "patched" in await kubectl("patch", "deploy", "web", "-p", strategic)
    status = '{"status":{"phase":"Healthy"}}'
    await kubectl("patch", "ro", "cart", "--subresource=status", "--type=merge", "-p", status)
    stored = kubectl.sandbox.get("ro", "cart")
    assert (stored["spec"]["replicas"], stored["status"]["phase"]) == (3, "Healthy")
    assert "cart" in await kubectl("get", "ro", "cart", "--subresource=status")


async def test_row_73_edit_and_replace(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(rollout("cart"))

    edited = await kubectl("edit", "ro", "cart", KUBE_EDITOR="sed -i 's/replicas: 1/replicas: 4/'")
    assert edited == "rollout.argoproj.io/cart edited\n"
    assert kubectl.sandbox.get("ro", "cart")["spec"]["replicas"] == 4
    uid = kubectl.sandbox.get("ro", "cart")["metadata"]["uid"]
    assert "replaced" in await kubectl("replace", "-f", "-", stdin=text(rollout("cart", replicas=5)))
    assert kubectl.sandbox.get("ro", "cart")["metadata"]["uid"] == uid
    assert "replaced" in await kubectl("replace", "--force", "-f", "-", stdin=text(rollout("cart")))
    assert kubectl.sandbox.get("ro", "cart")["metadata"]["uid"] != uid


async def test_row_74_scale_with_and_without_a_precondition(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web"))
    kubectl.sandbox.create(rollout("cart"))

    for what in ("deploy/web", "ro/cart"):
        assert "scaled" in await kubectl("scale", what, "--replicas=2")
        assert "scaled" in await kubectl("scale", what, "--replicas=3", "--current-replicas=2")
        assert "Expected replicas to be 2, was 3" in await kubectl.fails(
            "scale", what, "--replicas=4", "--current-replicas=2"
        )


async def test_row_74_the_rollout_commands_work_on_a_deployment(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=nginx:1")
    done = 'deployment "web" successfully rolled out\n'

    async def status() -> str:
        return await kubectl("rollout", "status", "deploy/web", "--timeout=20s")

    assert (await status()).endswith(done)
    await kubectl("set", "image", "deploy/web", "nginx=nginx:2")
    assert (await status()).endswith(done)
    history = await kubectl("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    assert "rolled back" in await kubectl("rollout", "undo", "deploy/web")
    assert (await status()).endswith(done)
    assert kubectl.sandbox.get("deploy", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    assert "restarted" in await kubectl("rollout", "restart", "deploy/web")
    assert (await status()).endswith(done)
    assert "paused" in await kubectl("rollout", "pause", "deploy/web")
    assert "resumed" in await kubectl("rollout", "resume", "deploy/web")


async def test_row_75_logs_of_pods_deployments_and_selections(kubectl: Kubectl) -> None:
    script = "echo one; echo two; sleep 1; echo three; sleep 3600"
    kubectl.sandbox.create(pod("talker", "busybox"))
    body = deployment("web", "busybox")
    body["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", script]
    kubectl.sandbox.create(body)
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")

    assert (await kubectl("logs", "deploy/web")).startswith("one\ntwo\n")
    following = await kubectl.run("logs", "-f", "deploy/web", "--request-timeout=3s")
    assert following.stdout == "one\ntwo\nthree\n"
    assert await kubectl("logs", "deploy/web", "--tail=1") == "three\n"
    assert await kubectl("logs", "-l", "app=web", "--prefix", "--tail=1") != ""
    stamped = await kubectl("logs", "deploy/web", "--timestamps", "--since=1h")
    assert stamped.splitlines()[0].endswith("Z one")
    assert await kubectl("logs", "deploy/web", "--limit-bytes=3") == "one"
    assert "previous terminated container" in await kubectl.fails("logs", "deploy/web", "--previous")
    assert "not found" in await kubectl.fails("logs", "nobody")


async def test_row_75_the_log_of_the_run_before(kubectl: Kubectl) -> None:
    body = pod("crasher", "busybox")
    body["spec"]["containers"][0]["command"] = ["sh", "-c", "echo goodbye; exit 1"]
    kubectl.sandbox.create(body)
    path = "--for=jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}=1"
    await kubectl("wait", path, "pod/crasher", "--timeout=30s")

    assert await kubectl("logs", "crasher", "--previous") == "goodbye\n"


async def test_row_76_get_in_all_output_forms(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(deployment("web", replicas=2))
    for name, size in (("a", 2), ("b", 1)):
        kubectl.sandbox.create(config_map(name, {"app": name}, **{f"k{i}": "v" for i in range(size)}))
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")

    everything = await kubectl("get", "all")
    for part in ("pod/web-", "service/kubernetes", "deployment.apps/web", "replicaset.apps/web-"):
        assert part in everything
    assert "NAMESPACE" in await kubectl("get", "pods", "-A")
    assert "10.244." in await kubectl("get", "pods", "-o", "wide")
    assert json.loads(await kubectl("get", "cm", "a", "-o", "json"))["data"] == {"k0": "v", "k1": "v"}
    assert "kind: ConfigMap" in await kubectl("get", "cm", "a", "-o", "yaml")
    assert await kubectl("get", "cm", "-l", "app in (a,b)", "-o", "name") == "configmap/a\nconfigmap/b\n"
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    columns = await kubectl("get", "cm", "a", "-o", "custom-columns=N:.metadata.name,A:.metadata.labels.app")
    assert columns.split() == ["N", "A", "a", "a"]
    ordered = await kubectl("get", "cm", "--sort-by=.metadata.name", "--show-labels", "-l", "app")
    assert [line.split()[0] for line in ordered.splitlines()] == ["NAME", "a", "b"]
    assert "app=b" in ordered
    running = await kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "name")
    assert len(running.splitlines()) == 2
    chunked = await kubectl("get", "cm", "--chunk-size=1", "-o", "name")
    assert chunked.splitlines() == ["configmap/a", "configmap/b", "configmap/kube-root-ca.crt"]


async def test_row_77_generated_names_run_expose_and_drain(kubectl: Kubectl) -> None:
    body = config_map("")
    body["metadata"] = {"generateName": "gen-"}
    assert (await kubectl("create", "-f", "-", stdin=json.dumps(body))).startswith("configmap/gen-")
    await kubectl("run", "shell", "--image=nginx", "--port=80")
    await kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=20s")
    await kubectl("expose", "pod", "shell", "--port=80", "--name=front")
    assert kubectl.sandbox.get("svc", "front")["spec"]["selector"] == {"run": "shell"}
    assert "Metrics API not available" in await kubectl.fails("top", "pods")
    assert "Kubernetes control plane" in await kubectl("cluster-info")
    drained = await kubectl("drain", "sandbox-0", "--ignore-daemonsets", "--force", "--timeout=30s")
    assert "node/sandbox-0 drained" in drained
    assert "SchedulingDisabled" in await kubectl("get", "nodes")
    assert kubectl.sandbox.list("pods") == []


async def test_row_77_what_needs_real_containers_fails_politely(kubectl: Kubectl) -> None:
    kubectl.sandbox.create(pod("p"))
    await kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")

    assert "needs real containers" in await kubectl.fails("exec", "p", "--", "true")


@pytest.fixture
async def sandbox() -> Sandbox:
    if find_kubectl() is None:
        pytest.skip("kubectl is not installed")
    return Sandbox(now=wall_clock, controllers=False)


async def test_row_79_over_tls_a_token_and_the_right_authority_are_needed(sandbox: Sandbox, tmp_path: Path) -> None:
    async with sandbox.serving(directory=tmp_path / "one") as endpoint:
        mode = stat.S_IMODE(endpoint.kubeconfig.stat().st_mode)
        assert mode == 0o600
        assert (await endpoint.kubectl("get", "ns")).code == 0
        wrong = await endpoint.kubectl("get", "ns", "--token=wrong")
        assert "Unauthorized" in wrong.stderr or "must be logged in" in wrong.stderr
        assert (await endpoint.kubectl("version", "--token=")).code == 0

        other = Endpoint(endpoint.url, tmp_path / "two", endpoint.token)
        other.write_kubeconfig()
        assert "certificate" in (await other.kubectl("get", "ns")).stderr


async def test_row_79_plain_http_serves_without_a_token(sandbox: Sandbox) -> None:
    async with sandbox.serving(insecure_http=True) as endpoint:
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert (await endpoint.kubectl("get", "ns")).code == 0


async def test_row_80_kubectl_works_with_legacy_discovery_only() -> None:
    if find_kubectl() is None:
        pytest.skip("kubectl is not installed")
    legacy = Sandbox(now=wall_clock, controllers=False, has_aggregated_discovery=False)
    async with legacy.serving(insecure_http=True) as endpoint:
        created = await endpoint.kubectl("apply", "-f", "-", stdin=json.dumps(rollout("cart")))
        assert created.stdout == "rollout.argoproj.io/cart created\n"
        assert "cart" in (await endpoint.kubectl("get", "ro")).stdout
        assert any(entry.path == "/apis/apps/v1" for entry in legacy.request_log)


async def test_two_kubectls_may_work_at_the_same_time(kubectl: Kubectl) -> None:
    await asyncio.gather(*(kubectl("create", "configmap", f"c{index}") for index in range(6)))

    assert len(kubectl.sandbox.list("cm", "default")) == 7
