"""The writes that the next reconcile would make, and that nothing of it is written."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.cli.situations import GATEWAY, ISTIO, http_route, routed, template, virtual_service
from tests.cli.stuck import NAME, canary, rollout, service
from tests.kube.virtual_time import virtual_time

from prograde.api.manifests import Document, load_documents
from prograde.cli.connect import Session
from prograde.cli.framework import CliError
from prograde.cli.outcome import Outcome, text_of
from prograde.cli.plan import plan_file, plan_live
from prograde.controller.resources import ROLLOUTS, SERVICES
from prograde.kube.client import APPLY_PATCH, Client
from prograde.kube.errors import ApiError
from prograde.kube.transport import Request, Response, Transport
from prograde.sandbox.faults import Answer
from prograde.sandbox.routingkinds import routing_definitions
from prograde.simulator.loop import run_virtually, wall_clock
from prograde.simulator.world import World, world


class Watched:
    """A transport that remembers which requests would write something."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.writes: list[str] = []
        self.dry_runs = 0

    async def request(self, request: Request) -> Response:
        if request.method != "GET":
            if ("dryRun", "All") in tuple(request.query):
                self.dry_runs += 1
            else:
                self.writes.append(f"{request.method} {request.path}")
        return await self._inner.request(request)

    def stream(self, request: Request) -> Any:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


@asynccontextmanager
async def planning(it: World) -> AsyncIterator[Session]:
    """Yield a session, and prove afterwards that it has written nothing."""
    watched = Watched(it.sandbox.transport("prograde"))
    yield Session(Client(watched, qps=0), "default")
    assert watched.writes == []
    logged = [entry for entry in it.sandbox.request_log.writes() if entry.client == "prograde"]
    assert len(logged) == watched.dry_runs, "a write that was no dry run"
    it.sandbox.request_log.clear()


def by_kubectl(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the object as `kubectl apply` leaves it."""
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(manifest)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def documents(*objects: dict[str, Any]) -> list[Document]:
    return load_documents("\n---\n".join(map(json.dumps, objects)), "new.yaml")


async def planned(it: World, *objects: dict[str, Any], **options: Any) -> list[Outcome]:
    async with planning(it) as session:
        return await plan_file(session, documents(*objects), wall_clock(), **options)


def writes(outcome: Outcome, number: int = 0) -> list[str]:
    return [f"{each.verb} {each.kind} {each.subresource}".strip() for each in outcome.passes[number].writes]


def change(outcome: Outcome, field: str) -> Sequence[Any]:
    found = [
        (each.old, each.new)
        for shown in outcome.passes
        for write in shown.writes
        for each in write.changes
        if each.field == field
    ]
    return found[0] if found else ()


@virtual_time
async def test_a_new_rollout_is_planned_without_being_created() -> None:
    async with world() as it:
        (outcome,) = await planned(it, rollout())
        assert [(each.object, each.is_new) for each in outcome.applied] == [(f"Rollout {NAME}", True)]
        assert writes(outcome) == ["create ReplicaSet", "patch Rollout", "patch Rollout status"]
        assert outcome.has_writes


@virtual_time
async def test_the_manifest_that_is_in_force_changes_nothing() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout())
        assert (outcome.has_writes, outcome.error) == (False, "")
        assert outcome.applied[0].changes == ()
        assert text_of(outcome, wall_clock()).endswith("the next reconcile writes nothing")


@virtual_time
async def test_the_plan_is_what_the_controller_then_does() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout(image="web:2"))
        (applied,) = outcome.applied
        assert [(each.field, each.old, each.new) for each in applied.changes] == [
            ("spec.template.spec.containers[web].image", "web:1", "web:2")
        ]
        created = outcome.passes[0].writes[0]
        it.sandbox.request_log.clear()
        it.apply(rollout(image="web:2"))
        await it.until(lambda: len(it.sandbox.list("replicasets")) == 2)
        log = [entry for entry in it.sandbox.request_log.writes() if entry.resource != "events"]
        assert [f"{entry.verb} {entry.resource}" for entry in log][:1] == ["create replicasets"]
        assert created.name in [each["metadata"]["name"] for each in it.sandbox.list("replicasets")]
        reasons = it.event_reasons(NAME)
        assert all(reasons.count(each.reason) == 2 for each in outcome.passes[0].events), "once per revision"


@virtual_time
async def test_further_passes_follow_from_the_writes_until_pods_have_to_change() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout(image="web:2"), passes=50)
        assert [writes(outcome, number) for number in range(len(outcome.passes))] == [
            ["create ReplicaSet", "patch Rollout", "patch Rollout status"],
            ["patch Rollout status"],
            ["patch ReplicaSet"],
        ]
        assert change(outcome, "spec.replicas") in [(None, 0), (0, 1)]
        (scaled,) = outcome.passes[-1].writes
        assert [(each.field, each.old, each.new) for each in scaled.changes] == [("spec.replicas", 0, 1)]


@virtual_time
async def test_a_field_that_leaves_the_manifest_leaves_the_object() -> None:
    async with world() as it:
        manifest = rollout(progressDeadlineSeconds=77)
        client = Client(it.sandbox.transport("kubectl"), qps=0)
        body = {**manifest, "metadata": {"name": NAME, "namespace": "default"}}
        await client.patch(ROLLOUTS, "default", NAME, body, content_type=APPLY_PATCH, field_manager="gitops")
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout())
        changed = [(each.field, each.old, each.new) for each in outcome.applied[0].changes]
        assert changed == [("spec.progressDeadlineSeconds", 77, None)]


@virtual_time
async def test_what_kubectl_applied_is_merged_as_kubectl_merges() -> None:
    async with world() as it:
        it.apply(by_kubectl(rollout(progressDeadlineSeconds=77)))
        await it.until_phase(NAME, "Healthy")
        # Set by somebody else since: not in the last manifest, and so it stays.
        it.patch(NAME, {"spec": {"revisionHistoryLimit": 3}})
        await it.until(lambda: it.rollout(NAME).status.observed_generation == "2")
        (outcome,) = await planned(it, rollout(image="web:2"))
        changed = [(each.field, each.old, each.new) for each in outcome.applied[0].changes]
        assert sorted(changed) == [
            ("spec.progressDeadlineSeconds", 77, None),
            ("spec.template.spec.containers[web].image", "web:1", "web:2"),
        ]


@virtual_time
async def test_who_may_not_write_gets_a_merge_made_here_and_is_told() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        it.sandbox.faults.add(Answer(403), verbs="patch,create", client="prograde")
        (outcome,) = await planned(it, rollout(image="web:2"))
        assert writes(outcome)[0] == "create ReplicaSet"
        (note,) = outcome.notes
        assert note.startswith(f"Rollout {NAME}: no dry run is allowed, so it is merged here")


@virtual_time
async def test_services_of_the_file_are_in_force_for_the_plan() -> None:
    strategy = {"blueGreen": {"activeService": "active"}}
    async with world() as it:
        (without,) = await planned(it, rollout(strategy))
        assert 'service "active" not found' in without.error
        (with_it,) = await planned(it, rollout(strategy), service("active"))
        assert with_it.error == ""
        assert writes(with_it)[0] == "create ReplicaSet"


@virtual_time
async def test_the_live_rollout_is_planned_as_it_is() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        await it.stop_controller()
        it.set_image(NAME, "web:2")
        async with planning(it) as session:
            outcome = await plan_live(session, NAME, wall_clock())
        assert outcome.applied == ()
        assert writes(outcome) == ["create ReplicaSet", "patch Rollout", "patch Rollout status"]


@virtual_time
async def test_a_file_without_rollouts_is_planned_for_the_one_that_is_named() -> None:
    strategy = {"blueGreen": {"activeService": "active"}}
    async with world() as it:
        it.apply([service("active"), rollout(strategy)])
        await it.until_phase(NAME, "Healthy")
        other: Any = service("active")
        other["spec"]["selector"] = {"app": "other"}
        (outcome,) = await planned(it, other, name=NAME)
        assert 'Service "active" has unmatch label "app" in rollout' in outcome.error
        with pytest.raises(CliError, match="there is no Rollout in the manifests"):
            await planned(it, service("active"))


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("unknown field", rollout(replicaz=3), 'spec.replicaz: unknown field "replicaz"'),
    ("wrong type", rollout(replicas="many"), "spec.replicas: "),
    ("invalid value", rollout(canary({"setWeight": 120})), "SetWeight needs to be between 0 and 100"),
]


@pytest.mark.parametrize(("manifest", "expected"), [pytest.param(*row[1:], id=row[0]) for row in WRONG])
def test_a_wrong_manifest_is_refused_with_line_and_field(
    manifest: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @virtual_time
    async def run() -> None:
        async with world() as it:
            with pytest.raises(CliError, match=r"new\.yaml: Rollout cart has 1 problem"):
                await planned(it, manifest)

    run()
    err = capsys.readouterr().err
    assert err.startswith("new.yaml:")
    assert expected in err


@virtual_time
async def test_what_the_server_refuses_is_said_in_its_words() -> None:
    async with world() as it:
        manifest = rollout()
        manifest["metadata"]["name"] = "Not A Name"
        with pytest.raises(ApiError, match="Not A Name"):
            await planned(it, manifest)


@virtual_time
async def test_the_text_shows_old_and_new_values_in_order() -> None:
    async with world() as it:
        it.apply(rollout())
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout(image="web:2"), passes=3)
        lines = text_of(outcome, wall_clock()).splitlines()
        assert lines[:3] == [
            "Rollout default/cart",
            "  applied: Rollout cart changes",
            "    ~ spec.template.spec.containers[web].image: web:1 -> web:2",
        ]
        titles = [line for line in lines if "reconcile" in line]
        assert titles == [
            "the next reconcile makes 3 writes:",
            "reconcile 2 (no pod having changed) makes 1 write:",
            "reconcile 3 (no pod having changed) makes 1 write:",
        ]
        assert "    ~ metadata.annotations[rollout.argoproj.io/revision]: 1 -> 2" in lines
        assert "  event Normal RolloutUpdated: Rollout updated to revision 2" in lines
        coloured = text_of(outcome, wall_clock(), colour=True)
        assert "\x1b[32mcreate\x1b[0m ReplicaSet" in coloured


# ---- What else a file may hold ------------------------------------------------------------------------------------


@virtual_time
async def test_a_workload_in_the_file_is_where_the_template_comes_from() -> None:
    manifest: Any = rollout()
    template = manifest["spec"].pop("template")
    manifest["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    selector = manifest["spec"]["selector"]
    deployment: Any = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    async with world() as it:
        (missing,) = await planned(it, manifest)
        assert 'deployments.apps "default/web" not found' in missing.error
        (fresh,) = await planned(it, manifest, deployment)
        assert (fresh.error, writes(fresh)[0]) == ("", "create ReplicaSet")
        it.apply([deployment, manifest])
        await it.until_phase(NAME, "Healthy")
        changed = json.loads(json.dumps(deployment))
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
        (outcome,) = await planned(it, changed, name=NAME)
        assert outcome.passes[0].writes[0].verb == "create"
        assert change(outcome, "spec.template.spec.containers[web].image") == (None, "web:2")
        other = {**changed, "metadata": {"name": "other"}}
        (untouched,) = await planned(it, other, name=NAME)
        assert not untouched.has_writes


@virtual_time
async def test_an_analysis_template_in_the_file_counts() -> None:
    step = {"analysis": {"templates": [{"templateName": "success-rate"}]}}
    async with world() as it:
        (without,) = await planned(it, rollout(canary(step)))
        assert "AnalysisTemplate 'success-rate' not found" in without.error
        (with_it,) = await planned(it, rollout(canary(step)), template())
        assert with_it.error == ""


@virtual_time
async def test_a_routing_object_in_the_file_counts_and_others_are_named() -> None:
    async with world() as it:
        it.apply(routing_definitions())
        it.apply([service("stable"), service("fresh"), http_route(), rollout(routed(GATEWAY))])
        await it.until_phase(NAME, "Healthy")
        await asyncio.sleep(5)
        turned = http_route()
        turned["spec"]["rules"][0]["backendRefs"][0]["weight"] = 60
        turned["spec"]["rules"][0]["backendRefs"][1]["weight"] = 40
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "unrelated"}}
        (outcome,) = await planned(it, rollout(routed(GATEWAY)), turned, secret)
        assert [each.object for each in outcome.applied] == ["Rollout cart", "HTTPRoute cart"]
        assert outcome.notes[-1] == "not looked at by this Rollout: Secret unrelated"
        (write,) = outcome.passes[0].writes
        assert (write.verb, write.object) == ("patch", "HTTPRoute cart")
        weights = [(each.old, each.new) for each in write.changes if each.field.endswith(".weight")]
        assert weights == [(60, 100), (40, 0)]


@virtual_time
async def test_weights_and_scales_are_planned_in_the_order_in_which_they_go_out() -> None:
    async with world() as it:
        it.apply(routing_definitions())
        it.apply([service("stable"), service("fresh"), virtual_service()])
        steps = ({"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}})
        it.apply(rollout(routed(ISTIO, *steps)))
        await it.until_phase(NAME, "Healthy")
        it.set_image(NAME, "web:2")
        await it.until_phase(NAME, "Paused")
        await it.stop_controller()
        # Somebody has turned the traffic by hand; the next pass puts that right.
        turned = virtual_service()
        turned["spec"]["http"][0]["route"][0]["weight"] = 60
        turned["spec"]["http"][0]["route"][1]["weight"] = 40
        it.apply(turned)
        async with planning(it) as session:
            outcome = await plan_live(session, NAME, wall_clock())
        (write,) = outcome.passes[0].writes
        assert (write.verb, write.object) == ("patch", "VirtualService cart")
        assert [(each.field, each.old, each.new) for each in write.changes] == [
            ("spec.http[primary].route[0].weight", 60, 75),
            ("spec.http[primary].route[1].weight", 40, 25),
        ]


@virtual_time
async def test_a_manifest_that_can_only_be_applied_by_force_is_told_of() -> None:
    strategy = {"blueGreen": {"activeService": "active"}}
    async with world() as it:
        client = Client(it.sandbox.transport("kubectl"), qps=0)
        body = service("active", namespace="default")
        await client.patch(SERVICES, "default", "active", body, content_type=APPLY_PATCH, field_manager="kubectl")
        it.apply(rollout(strategy))
        await it.until_phase(NAME, "Healthy")
        (outcome,) = await planned(it, rollout(strategy), service("active"))
        (note,) = outcome.notes
        assert note.startswith("Service active: can only be applied by force, which is what is shown: ")
        assert 'conflict with "rollouts-controller"' in note
        gone = [each.field for each in outcome.applied[1].changes]
        assert gone == ["spec.selector.rollouts-pod-template-hash"]
        (write,) = (each for each in outcome.passes[0].writes if each.kind == "Service")
        assert [each.field for each in write.changes] == gone, "and the next reconcile puts it back"


# ---- Does it come as it was told? ---------------------------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "canary": (rollout(), rollout(image="web:2")),
    "canary scaled": (rollout(), rollout(replicas=9)),
    "canary with other steps": (rollout(), rollout(canary({"setWeight": 50}, {"pause": {"duration": 60}}))),
    "canary paused": (rollout(), rollout(paused=True)),
    "canary with other history": (rollout(), rollout(revisionHistoryLimit=0)),
    "blue-green": (
        rollout({"blueGreen": {"activeService": "active", "previewService": "preview"}}),
        rollout({"blueGreen": {"activeService": "active", "previewService": "preview"}}, image="web:2"),
    ),
    "recreate": (rollout({"recreate": {}}), rollout({"recreate": {}}, image="web:2")),
    "another strategy": (rollout(), rollout({"recreate": {}}, image="web:2")),
    "an invalid spec": (rollout(), rollout({"blueGreen": {"activeService": "gone"}})),
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_controller_makes_the_very_writes_that_were_planned(case: str) -> None:
    before, after = CHANGES[case]

    async def main() -> None:
        async with world() as it:
            it.apply([service("active"), service("preview")])
            it.apply(by_kubectl(before))
            await it.until_phase(NAME, "Healthy")
            await it.stop_controller()
            (outcome,) = await planned(it, after, passes=3)
            left = before["spec"]["strategy"].keys() - after["spec"]["strategy"].keys()
            it.patch(
                NAME, {"spec": {**after["spec"], "strategy": {**after["spec"]["strategy"], **dict.fromkeys(left)}}}
            )
            async with planning(it) as session:
                live = await plan_live(session, NAME, wall_clock())
            assert [each.object for each in live.passes[0].writes] == [
                each.object for each in outcome.passes[0].writes
            ], "a manifest that is in force is planned like one that would be"
            it.sandbox.request_log.clear()
            it.start_controller()
            first = live.passes[0].writes
            told = [f"{each.verb} {each.kind.lower()}s {each.name} {each.subresource}" for each in first]
            await it.until(lambda: len(done(it)) >= len(told), seconds=30)
            assert sorted(done(it)[: len(told)]) == sorted(told)

    def done(it: World) -> list[str]:
        """Return the controller's writes in their order; a create does not name its object in the path."""
        found = []
        for entry in it.sandbox.request_log.writes():
            plural, _, subresource = entry.resource.partition("/")
            if entry.client == "rollouts-controller" and plural not in ("events", "leases") and entry.status < 400:
                name = entry.name or next(
                    each["metadata"]["name"] for each in reversed(it.sandbox.list(plural)) if _is_new(each)
                )
                found.append(f"{entry.verb} {plural} {name} {subresource}")
        return found

    def _is_new(obj: Any) -> bool:
        return "web:2" in json.dumps(obj["spec"].get("template", {}))

    run_virtually(main())
