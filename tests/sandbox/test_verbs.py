"""What the conformance tests cannot see over HTTP: sharing, hooks, converted versions, managers."""

import copy
from typing import Any

import pytest

from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.errors import StatusError
from prograde.sandbox.verbs import ManagedFieldsMode, WriteOptions


def rollout(name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    strategy = {"canary": {"steps": [{"setWeight": 20}]}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template, "strategy": strategy, **spec},
    }


def deployment(name: str) -> dict[str, Any]:
    return {
        **rollout(name),
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {**rollout(name)["spec"], "strategy": {}},
    }


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(controllers=False)


@pytest.mark.parametrize("make", [rollout, deployment])
def test_stored_versions_never_change_whatever_is_written_or_kept_by_the_writer(sandbox: Sandbox, make: Any) -> None:
    client = sandbox.client()
    body = make("a")
    resource = (body["apiVersion"].partition("/")[0], f"{body['kind'].lower()}s")
    versions: list[tuple[Any, Any]] = []
    client.subscribe(lambda change, resource, new, previous: versions.append((new, copy.deepcopy(new))))

    client.create(resource, "default", body)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "changed by the writer"
    client.patch(resource, "default", "a", {"spec": {"replicas": 3}})
    client.patch(resource, "default", "a", {"metadata": {"labels": {"l": "m"}}})
    status = {"status": {"conditions": [], "observedGeneration": 1 if make is deployment else "1"}}
    client.patch(resource, "default", "a", status, subresource="status")
    client.patch(resource, "default", "a", {"spec": {"replicas": 5}}, subresource="scale")
    latest = client.get(resource, "default", "a")
    assert latest is not None
    client.update(resource, "default", {**latest, "metadata": {**latest["metadata"], "annotations": {"a": "b"}}})
    client.delete(resource, "default", "a", propagation="Foreground")

    assert len(versions) == 7
    for stored, as_it_was in versions:
        assert stored == as_it_was
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each, _ in versions}
    assert images == {"i"}


def test_events_are_one_store_with_two_views(sandbox: Sandbox) -> None:
    client = sandbox.client()
    new_form = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2025-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default", "uid": "u"},
        "reason": "Tested",
        "note": "hello",
        "type": "Normal",
        "action": "Testing",
        "reportingController": "me",
        "reportingInstance": "me-1",
    }
    kind = sandbox._registry.find("events.k8s.io", "v1", "events")
    assert kind is not None
    written = sandbox._verbs.create(kind, "default", new_form, WriteOptions()).obj
    assert (written["apiVersion"], written["note"]) == ("events.k8s.io/v1", "hello")

    stored = client.get(("", "events"), "default", "e")
    assert stored is not None
    assert (stored["apiVersion"], stored["message"], stored["involvedObject"]["name"]) == ("v1", "hello", "p")
    patched = sandbox._verbs.patch(kind, "default", "e", "merge", {"note": "bye"}, WriteOptions()).obj
    assert patched["note"] == "bye"
    assert sandbox.get("events", "e")["message"] == "bye"


def test_both_versions_of_an_autoscaler_show_the_same(sandbox: Sandbox) -> None:
    old_form = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 70,
        },
    }
    created = sandbox.create(old_form)
    assert created["spec"]["targetCPUUtilizationPercentage"] == 70
    stored = sandbox.get("hpa", "h")
    assert stored["apiVersion"] == "autoscaling/v2"
    assert stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert stored["spec"]["minReplicas"] == 1


@pytest.mark.parametrize(
    ("mode", "after_create", "after_apply"),
    [("full", ["one"], ["applier", "one"]), ("apply", [], ["applier", "before-first-apply"]), ("off", [], [])],
)
def test_managers_are_noted_as_much_as_is_wanted(
    mode: ManagedFieldsMode, after_create: list[str], after_apply: list[str]
) -> None:
    sandbox = Sandbox(controllers=False, managed_fields=mode)
    kind = sandbox.kind("rollouts")

    def managers(obj: Any) -> list[str]:
        return sorted(entry["manager"] for entry in obj["metadata"].get("managedFields", []))

    created = sandbox._verbs.create(kind, "default", rollout("a"), WriteOptions(manager="one")).obj
    assert managers(created) == after_create
    config = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "a"},
        "spec": {"replicas": 4},
    }
    applied = sandbox._verbs.patch(kind, "default", "a", "apply", config, WriteOptions(manager="applier")).obj
    assert applied["spec"]["replicas"] == 4
    assert managers(applied) == after_apply


@pytest.mark.parametrize("cleared", [[], [{}]])
def test_a_writer_can_have_all_managers_forgotten(sandbox: Sandbox, cleared: list[Any]) -> None:
    sandbox.create(rollout("a"))
    assert sandbox.get("ro", "a")["metadata"]["managedFields"]
    sandbox.patch("ro", "a", {"metadata": {"managedFields": cleared}})
    assert "managedFields" not in sandbox.get("ro", "a")["metadata"]
    sandbox.patch("ro", "a", {"spec": {"replicas": 2}})
    assert "managedFields" not in sandbox.get("ro", "a")["metadata"]


def test_applying_the_same_again_writes_nothing_although_time_has_passed(sandbox: Sandbox) -> None:
    kind = sandbox.kind("rollouts")
    for _ in range(2):
        sandbox._verbs.patch(kind, "default", "a", "apply", rollout("a"), WriteOptions(manager="m"))
        revision = sandbox.revision
        sandbox.advance(60)
    assert sandbox.get("ro", "a")["metadata"]["resourceVersion"] == str(revision)
    assert sandbox.get("ro", "a")["metadata"]["generation"] == 1


def test_a_pod_template_counts_changes_of_its_template(sandbox: Sandbox) -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    sandbox.create({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": template})
    generations = [sandbox.get("podtemplates", "a")["metadata"]["generation"]]
    for patch in ({"metadata": {"labels": {"x": "y"}}}, {"template": {"metadata": {"labels": {"app": "b"}}}}):
        sandbox.patch("podtemplates", "a", patch)
        generations.append(sandbox.get("podtemplates", "a")["metadata"]["generation"])
    assert generations == [1, 1, 2]


def test_applying_an_absent_object_creates_it_unless_a_certain_one_is_meant(sandbox: Sandbox) -> None:
    kind = sandbox.kind("rollouts")
    body = rollout("a")
    body["metadata"]["uid"] = "u"
    with pytest.raises(StatusError, match="Precondition failed: UID in precondition: u") as raised:
        sandbox._verbs.patch(kind, "default", "a", "apply", body, WriteOptions(manager="m"))
    assert raised.value.code == 409
    written = sandbox._verbs.patch(kind, "default", "a", "apply", rollout("a"), WriteOptions(manager="m"))
    assert written.is_created


@pytest.mark.parametrize("field", ["uid", "creationTimestamp", "generation", "deletionTimestamp"])
def test_what_the_server_sets_cannot_be_set_by_others(sandbox: Sandbox, field: str) -> None:
    body = rollout("a")
    values = {
        "uid": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "generation": 77,
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    body["metadata"][field] = values[field]
    created = sandbox.create(body)
    assert created["metadata"].get(field) != values[field]
    if field != "uid":
        patched = sandbox.patch("ro", "a", {"metadata": {field: values[field]}})
        assert patched["metadata"].get(field) == created["metadata"].get(field)


def test_numbers_and_empty_values_of_custom_kinds_stay_as_they_were_written(sandbox: Sandbox) -> None:
    resources = {"limits": {"cpu": 0.001, "memory": 1.0}, "requests": {}}
    body = rollout("a")
    body["spec"]["template"]["spec"]["containers"][0] |= {"resources": resources, "args": []}
    sandbox.create(body)
    raw = sandbox._verbs.get(sandbox.kind("ro"), "default", "a").raw
    assert b'"limits":{"cpu":0.001,"memory":1.0},"requests":{}' in raw
    assert b'"args":[]' in raw


def test_the_order_of_the_users_maps_is_kept(sandbox: Sandbox) -> None:
    body = rollout("a")
    body["metadata"]["annotations"] = {"z": "1", "a": "2", "m": "3"}
    assert list(sandbox.create(body)["metadata"]["annotations"]) == ["z", "a", "m"]
