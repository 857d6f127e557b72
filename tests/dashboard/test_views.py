from typing import Any

import msgspec
import pytest
from tests.dashboard.objects import analysis_run, decode, experiment, owner, pod, replica_set, rollout

from prograde.api.rollout import Rollout
from prograde.api.workloads import Deployment
from prograde.dashboard.views import ImageView, RolloutView, rollout_view

CANARY = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 40}, {"pause": {}}]}}


def view_of(subject: Any, **children: Any) -> RolloutView:
    return rollout_view(subject, **children)


@pytest.mark.parametrize(
    ("strategy", "status", "step", "set_weight", "actual_weight"),
    [
        pytest.param(CANARY, {"currentStepIndex": 0}, "0/4", "20", "0", id="first step"),
        pytest.param(CANARY, {"currentStepIndex": 1}, "1/4", "20", "0", id="a pause keeps the weight before it"),
        pytest.param(CANARY, {"currentStepIndex": 3}, "3/4", "40", "0", id="the nearest weight counts"),
        pytest.param(CANARY, {"currentStepIndex": 4}, "4/4", "100", "100", id="all steps done"),
        pytest.param(CANARY, {"currentStepIndex": 2, "abort": True}, "2/4", "0", "0", id="aborted"),
        pytest.param(CANARY, {}, "", "100", "100", id="no index yet"),
        pytest.param({"canary": {}}, {"currentStepIndex": 1}, "", "100", "100", id="no steps"),
        pytest.param(
            {"canary": {"steps": [{"pause": {}}]}}, {"currentStepIndex": 0}, "0/1", "0", "0", id="no weight yet"
        ),
        pytest.param({"blueGreen": {"activeService": "a"}}, {}, "", "", "", id="blue-green has none of it"),
    ],
)
def test_step_and_weights(strategy: Any, status: Any, step: str, set_weight: str, actual_weight: str) -> None:
    view = view_of(rollout(strategy, status=status))
    assert (view.step, view.set_weight, view.actual_weight) == (step, set_weight, actual_weight)


def test_actual_weight_without_routing_is_the_canarys_share_of_available_pods_rounded_down() -> None:
    status = {"currentStepIndex": 1, "availableReplicas": 3, "stableRS": "a", "currentPodHash": "b"}
    sets = [replica_set("a", 1, "a", replicas=2), replica_set("b", 2, "b", replicas=1)]
    assert view_of(rollout(CANARY, status=status), replica_sets=sets).actual_weight == "33"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [({"canary": {"weight": 17}, "stable": {"weight": 83}}, "17"), (None, "20")],
)
def test_actual_weight_with_routing_is_what_the_router_was_told(weights: Any, expected: str) -> None:
    strategy = {"canary": {**CANARY["canary"], "trafficRouting": {"nginx": {"stableIngress": "i"}}}}
    status = {"currentStepIndex": 1, "availableReplicas": 3, "canary": {"weights": weights}}
    assert view_of(rollout(strategy, status=status)).actual_weight == expected


def test_max_traffic_weight_replaces_the_hundred() -> None:
    strategy = {"canary": {"steps": [], "trafficRouting": {"maxTrafficWeight": 1000}}}
    assert view_of(rollout(strategy)).set_weight == "1000"


@pytest.mark.parametrize(
    ("strategy", "status", "tags"),
    [
        pytest.param({"canary": {}}, {"stableRS": "a", "currentPodHash": "b"}, {"a": ("stable",), "b": ("canary",)}),
        pytest.param({"canary": {}}, {"stableRS": "b", "currentPodHash": "b"}, {"a": (), "b": ("stable",)}),
        pytest.param(
            {"canary": {"pingPong": {"pingService": "p", "pongService": "q"}}},
            {"stableRS": "a", "currentPodHash": "b", "canary": {"stablePingPong": "ping"}},
            {"a": ("stable", "ping"), "b": ("canary", "pong")},
        ),
        pytest.param(
            {"canary": {"pingPong": {"pingService": "p", "pongService": "q"}}},
            {"stableRS": "a", "currentPodHash": "b", "canary": {"stablePingPong": "pong"}},
            {"a": ("stable", "pong"), "b": ("canary", "ping")},
        ),
        pytest.param(
            {"blueGreen": {"activeService": "x"}},
            {"stableRS": "a", "blueGreen": {"activeSelector": "a", "previewSelector": "b"}},
            {"a": ("stable", "active"), "b": ("preview",)},
        ),
        pytest.param(
            {"blueGreen": {"activeService": "x"}},
            {"stableRS": "a", "blueGreen": {"activeSelector": "b", "previewSelector": "b"}},
            {"a": ("stable",), "b": ("active",)},
        ),
        pytest.param({"recreate": {}}, {"stableRS": "a", "currentPodHash": "b"}, {"a": ("stable",), "b": ("new",)}),
        pytest.param({"recreate": {}}, {"stableRS": "b", "currentPodHash": "b"}, {"a": (), "b": ("stable",)}),
    ],
)
def test_tags_name_the_roles(strategy: Any, status: Any, tags: dict[str, tuple[str, ...]]) -> None:
    sets = [replica_set("a", 1, "a"), replica_set("b", 2, "b")]
    view = view_of(rollout(strategy, status=status), replica_sets=sets)
    assert {each.name: each.tags for each in view.replica_sets} == tags


def test_a_replica_set_without_hash_label_has_no_role_but_keeps_its_deadline() -> None:
    stray = replica_set("a", 1, None, annotations={"scale-down-deadline": "2026-01-01T00:01:00Z"})
    view = view_of(rollout(status={"stableRS": "", "currentPodHash": ""}), replica_sets=[stray])
    assert (view.replica_sets[0].tags, view.replica_sets[0].scale_down_deadline) == ((), "2026-01-01T00:01:00Z")


@pytest.mark.parametrize(
    ("parts", "status", "icon"),
    [
        ({"observed": 0}, "Progressing", "◌"),
        ({"conditions": [{"type": "ReplicaFailure", "status": "True"}]}, "ReplicaFailure", "✖"),
        ({"conditions": [{"type": "ReplicaFailure", "status": "False"}]}, "Healthy", "✔"),
        ({"replicas": 2, "available": 1}, "Progressing", "◌"),
        ({"replicas": 0}, "ScaledDown", "•"),
        ({}, "Healthy", "✔"),
    ],
)
def test_replica_set_status(parts: Any, status: str, icon: str) -> None:
    view = view_of(rollout(), replica_sets=[replica_set("a", 1, "a", **parts)]).replica_sets[0]
    assert (view.status, view.icon) == (status, icon)


def test_replica_sets_are_ordered_by_revision_then_name_and_strangers_left_out() -> None:
    sets = [
        replica_set("b", 1),
        replica_set("c", 2),
        replica_set("a", 1),
        replica_set("none", None),
        replica_set("stranger", 9, owner=owner("Rollout", "other", "other")),
    ]
    view = view_of(rollout(), replica_sets=sets)
    assert [each.name for each in view.replica_sets] == ["c", "a", "b", "none"]
    assert view.revisions == (2, 1, 0)


def container(ready: bool = False, restarts: int = 0, started: bool | None = None, **state: Any) -> dict[str, Any]:
    return {"name": "c", "ready": ready, "restartCount": restarts, "started": started, "state": state}


@pytest.mark.parametrize(
    ("status", "parts", "expected"),
    [
        pytest.param(None, {}, ("Running", "✔", "1/1", 0), id="running"),
        pytest.param({"phase": "Pending"}, {}, ("Pending", "◌", "0/1", 0), id="pending"),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, {}, ("Evicted", " ", "0/1", 0), id="reason over phase"),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ImagePullBackOff"}, restarts=2)]},
            {}, ("ImagePullBackOff", "⚠", "0/1", 2), id="waiting",
        ),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ErrImagePull"})]},
            {}, ("ErrImagePull", "⚠", "0/1", 0), id="error",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": [container(terminated={"exitCode": 1})]},
            {}, ("ExitCode:1", "✖", "0/1", 0), id="exit code",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": [container(terminated={"exitCode": 137, "signal": 9})]},
            {}, ("Signal:9", "✖", "0/1", 0), id="signal",
        ),
        pytest.param(
            {
                "phase": "Running",
                "containerStatuses": [
                    container(terminated={"exitCode": 0, "reason": "Completed"}),
                    container(ready=True, running={}),
                ],
            },
            {}, ("Running", "✔", "1/1", 0), id="completed beside a running one is running",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "initContainerStatuses": [container(waiting={"reason": "CrashLoopBackOff"}, restarts=3)],
            },
            {"init": [{"name": "c"}]}, ("Init:CrashLoopBackOff", "◌", "0/1", 3), id="init waiting",
        ),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [container(terminated={"exitCode": 2})]},
            {"init": [{"name": "c"}]}, ("Init:ExitCode:2", "◌", "0/1", 0), id="init failed",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    container(terminated={"exitCode": 0}),
                    container(waiting={"reason": "PodInitializing"}),
                ],
            },
            {"init": [{"name": "c"}, {"name": "d"}]}, ("Init:1/2", "◌", "0/1", 0), id="init under way",
        ),
        pytest.param(
            {
                "phase": "Running",
                "initContainerStatuses": [container(ready=True, started=True, running={})],
                "containerStatuses": [container(ready=True, running={})],
            },
            {"init": [{"name": "c", "restartPolicy": "Always"}]}, ("Running", "✔", "1/1", 0), id="sidecar",
        ),
        pytest.param(None, {"deleted": "2026-01-01T00:00:00Z"}, ("Terminating", "◌", "1/1", 0), id="terminating"),
        pytest.param(
            {"phase": "Running", "reason": "NodeLost"}, {"deleted": "2026-01-01T00:00:00Z"}, ("Unknown", "?", "0/1", 0),
            id="node lost",
        ),
    ],
)  # fmt: skip
def test_pod_status_reads_as_kubectl_words_it(status: Any, parts: Any, expected: tuple[str, str, str, int]) -> None:
    view = view_of(rollout(), replica_sets=[replica_set("a", 1)], pods=[pod("p", "a", status, **parts)])
    shown = view.replica_sets[0].pods[0]
    assert (shown.status, shown.icon, shown.ready, shown.restarts) == expected


def test_pods_are_ordered_by_age_then_name() -> None:
    pods = [pod("b", "a"), pod("c", "a", created="2025-01-01T00:00:00Z"), pod("a", "a")]
    view = view_of(rollout(), replica_sets=[replica_set("a", 1)], pods=pods)
    assert [each.name for each in view.replica_sets[0].pods] == ["c", "a", "b"]


def test_images_are_merged_sorted_and_tagged_and_those_without_pods_left_out() -> None:
    status = {"stableRS": "a", "currentPodHash": "b"}
    sets = [
        replica_set("a", 1, "a", image="web:2"),
        replica_set("b", 2, "b", image="web:2"),
        replica_set("c", 3, "c", image="web:1"),
        replica_set("d", 4, "d", image="web:0", actual=0),
    ]
    view = view_of(rollout({"canary": {}}, status=status), replica_sets=sets)
    assert view.images == (ImageView(image="web:1"), ImageView(image="web:2", tags=("canary", "stable")))


def test_images_of_experiments_carry_the_templates_name() -> None:
    of = replica_set(
        "e", 1, image="web:3",
        annotations={"experiment.argoproj.io/template-name": "baseline"},
        owner=owner("Experiment", "exp", "uid-exp"),
    )  # fmt: skip
    view = view_of(rollout(), replica_sets=[of], experiments=[experiment("exp", 1, "Running")])
    assert view.images == (ImageView(image="web:3", tags=("Σ:baseline",)),)
    assert view.experiments[0].replica_sets[0].tags == ()


def test_analysis_runs_sum_their_metrics_and_list_their_jobs() -> None:
    results = [
        {
            "name": "smoke",
            "phase": "Successful",
            "successful": 2,
            "failed": 1,
            "measurements": [
                {"phase": "Successful", "startedAt": "2026-01-01T00:00:00Z", "metadata": {"job-name": "j1"}},
                {"phase": "Failed", "metadata": {"job-name": "j2", "job-namespace": "jobs"}},
                {"phase": "Failed"},
            ],
        },
        {"name": "rate", "phase": "Error", "error": 4, "inconclusive": 1, "successful": 1},
    ]
    view = view_of(rollout(), analysis_runs=[analysis_run("run", 2, "Running", results)]).analysis_runs[0]
    assert (view.successful, view.failed, view.inconclusive, view.error) == (3, 1, 1, 4)
    assert [(job.name, job.namespace, job.status) for job in view.jobs] == [
        ("j1", "web", "Successful"),
        ("j2", "jobs", "Failed"),
    ]


def test_runs_of_one_age_are_ordered_by_name_descending() -> None:
    runs = [analysis_run("a", 1, "Running"), analysis_run("b", 1, "Running"), analysis_run("c", 2, "Running")]
    view = view_of(rollout(), analysis_runs=runs)
    assert [each.name for each in view.analysis_runs] == ["c", "b", "a"]


def test_a_view_encodes_to_json() -> None:
    body = msgspec.json.decode(msgspec.json.encode(view_of(rollout(), replica_sets=[replica_set("a", 1)])))
    assert body["name"] == "shop"
    assert body["replicaSets"][0]["scaleDownDeadline"] == ""


def test_a_pod_template_that_cannot_be_read_shows_no_images_and_breaks_nothing() -> None:
    broken = replica_set("a", 1, image=5)
    assert view_of(rollout(), replica_sets=[broken]).replica_sets[0].images == ()


# --- With a workload --------------------------------------------------------------------------------------------------


def web(generation: int = 1) -> Deployment:
    value = {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:9"}]}}},
    }
    return decode(Deployment, value)


def referring(observed: str) -> Rollout:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    value = {
        "metadata": {"name": "cart", "namespace": "shop", "uid": "u"},
        "spec": {"strategy": {"recreate": {}}, "workloadRef": reference},
        "status": {"phase": "Healthy", "workloadObservedGeneration": observed},
    }
    return decode(Rollout, value)


def test_containers_are_those_of_the_workload() -> None:
    view = rollout_view(referring("1"), workload=web())
    assert [each.image for each in view.containers] == ["web:9"]
    assert (view.status, view.strategy) == ("Healthy", "Recreate")
    assert rollout_view(referring("1")).containers == ()


@pytest.mark.parametrize(
    ("observed", "phase"), [("1", "Progressing"), ("2", "Healthy"), ("", "Healthy"), ("x", "Healthy")]
)
def test_a_change_of_the_workload_that_nobody_has_seen_is_waited_for(observed: str, phase: str) -> None:
    view = rollout_view(referring(observed), workload=web(2))
    message = "waiting for rollout spec update to be observed for the reference workload"
    assert (view.status, view.message) == (phase, message if phase == "Progressing" else "")
    assert rollout_view(referring(observed)).status == "Healthy"
