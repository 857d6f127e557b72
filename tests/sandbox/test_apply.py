"""Who owns which field: tracking of ordinary writes, and server-side apply."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.sandbox.apply import UPDATE_ENTRIES_MAX, server_side_apply, track_update
from prograde.sandbox.errors import StatusError
from prograde.sandbox.schema import Schema
from prograde.sandbox.shapes import UNTYPED, Shape

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
VERSION = "example.com/v1"
STRING = {"type": "string"}

SHAPE = Schema(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "paused": {"type": "boolean"},
                    "limits": {"type": "object", "properties": {"cpu": STRING, "memory": STRING}},
                    "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
                    "args": {"type": "array", "items": STRING},
                    "steps": {"type": "array", "items": {"type": "object", "properties": {"weight": STRING}}},
                    "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
                    "ports": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": STRING,
                            },
                        },
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                    },
                    "containers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"name": STRING, "image": STRING, "limits": {"type": "object"}},
                        },
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                    },
                    "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
            "status": {"type": "object", "properties": {"phase": STRING}},
        },
    }
).shape


def widget(spec: Any = None, **metadata: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {"apiVersion": VERSION, "kind": "Widget", "metadata": {"name": "w", **metadata}}
    return obj if spec is None else {**obj, "spec": spec}


def apply(
    live: Any,
    config: Any,
    manager: str = "cd",
    *,
    force: bool = False,
    now: datetime = NOW,
    subresource: str = "",
    ignored: tuple[str, ...] = (),
) -> dict[str, Any]:
    before = copy.deepcopy((live, config))
    result = server_side_apply(
        live,
        config,
        manager=manager,
        force=force,
        api_version=VERSION,
        subresource=subresource,
        now=now,
        shape=SHAPE,
        ignored=ignored,
    )
    assert (live, config) == before, "inputs are shared with the store"
    return result


def update(
    old: Any, new: Any, manager: str = "ui", *, now: datetime = NOW, subresource: str = "", version: str = VERSION
) -> dict[str, Any]:
    """Return `new` with the managedFields it has after `manager` wrote it."""
    before = copy.deepcopy((old, new))
    entries = track_update(
        old, new, manager=manager, api_version=version, subresource=subresource, now=now, shape=SHAPE
    )
    assert (old, new) == before, "inputs are shared with the store"
    return {**new, "metadata": {**new["metadata"], "managedFields": entries}}


def changed(obj: Any, **spec: Any) -> dict[str, Any]:
    """Return a copy of `obj` without managedFields and with these fields of its spec changed; None removes one."""
    copied: dict[str, Any] = copy.deepcopy(obj)
    copied["metadata"].pop("managedFields", None)
    for name, value in spec.items():
        if value is None:
            copied["spec"].pop(name, None)
        else:
            copied["spec"][name] = value
    return copied


def fields(obj: Any, manager: str, operation: str = "Apply") -> Any:
    for entry in obj["metadata"]["managedFields"]:
        if entry["manager"] == manager and entry["operation"] == operation:
            return entry["fieldsV1"]
    return None


def key(**keys: Any) -> str:
    return "k:" + json.dumps(keys, separators=(",", ":"))


# --------------------------------------------------------------------------------------------------- ordinary writes


def test_a_creator_owns_what_it_wrote_and_no_field_of_the_server() -> None:
    obj = widget(
        {"replicas": 1, "args": ["a"], "ports": [{"port": 80, "name": "http"}]},
        uid="u",
        resourceVersion="5",
        creationTimestamp="2026-11-25T10:00:00Z",
        labels={"app": "x"},
    )
    (entry,) = update(None, obj)["metadata"]["managedFields"]
    assert entry == {
        "manager": "ui",
        "operation": "Update",
        "apiVersion": VERSION,
        "time": "2026-11-25T10:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {".": {}, "f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                ".": {},
                "f:replicas": {},
                "f:args": {},
                "f:ports": {".": {}, key(port=80, protocol="TCP"): {".": {}, "f:port": {}, "f:name": {}}},
            },
        },
    }


def test_a_writer_gains_what_it_changed_and_others_lose_it() -> None:
    created = update(None, widget({"replicas": 1, "paused": True}), "a")
    written = update(created, changed(created, replicas=2), "b", now=LATER)
    assert fields(written, "b", "Update") == {"f:spec": {"f:replicas": {}}}
    assert fields(written, "a", "Update") == {"f:spec": {".": {}, "f:paused": {}}}


def test_everybody_loses_what_was_removed() -> None:
    created = update(None, widget({"replicas": 1, "ports": [{"port": 80, "name": "x"}, {"port": 81}]}), "a")
    written = update(created, changed(created, replicas=None, ports=[{"port": 81}]), "b")
    assert fields(written, "b", "Update") is None
    owned = fields(written, "a", "Update")["f:spec"]
    assert owned == {".": {}, "f:ports": {".": {}, key(port=81, protocol="TCP"): {".": {}, "f:port": {}}}}


def test_a_write_that_changes_nothing_leaves_the_entries_alone() -> None:
    created = update(None, widget({"replicas": 1}), "a")
    written = update(created, changed(created), "b", now=LATER)
    assert written["metadata"]["managedFields"] == created["metadata"]["managedFields"]


def test_each_subresource_and_version_has_an_entry_of_its_own() -> None:
    created = update(None, widget({"replicas": 1}), "a")
    with_status = update(created, {**changed(created), "status": {"phase": "Up"}}, "a", subresource="status")
    entries = update(with_status, changed(with_status, paused=True), "a", version="example.com/v2")["metadata"]
    assert sorted((each["apiVersion"], each.get("subresource", "")) for each in entries["managedFields"]) == [
        ("example.com/v1", ""),
        ("example.com/v1", "status"),
        ("example.com/v2", ""),
    ]


def test_a_list_without_keys_changes_owner_as_a_whole() -> None:
    created = update(None, widget({"args": ["a"], "selector": {"a": "1"}}), "a")
    written = update(created, changed(created, args=["a", "b"], selector={"a": "1", "b": "2"}), "b")
    assert fields(written, "b", "Update") == {"f:spec": {"f:args": {}, "f:selector": {}}}
    assert fields(written, "a", "Update") == {"f:spec": {}}


def test_the_items_of_a_set_have_owners() -> None:
    created = update(None, widget({"tags": ["a"]}), "a")
    written = update(created, changed(created, tags=["a", "b"]), "b")
    assert fields(written, "b", "Update") == {"f:spec": {"f:tags": {'v:"b"': {}}}}


@pytest.mark.parametrize("given_fields", [[], [{}]])
def test_a_client_may_clear_the_entries_and_then_nothing_is_tracked_until_an_apply(given_fields: Any) -> None:
    created = update(None, widget({"replicas": 1}), "a")
    cleared = changed(created, replicas=2)
    cleared["metadata"]["managedFields"] = given_fields
    cleared = update(created, cleared, "b")
    assert cleared["metadata"]["managedFields"] == []
    written = update(cleared, changed(cleared, replicas=3), "b")
    assert written["metadata"]["managedFields"] == []
    applied = apply(written, widget({"paused": True}))
    assert fields(applied, "before-first-apply", "Update") == {"f:spec": {"f:replicas": {}}}


def test_entries_that_a_client_sends_replace_the_stored_ones() -> None:
    created = update(None, widget({"replicas": 1}), "kubectl-client-side-apply")
    migrated = changed(created)
    migrated["metadata"]["managedFields"] = [
        {**entry, "manager": "kubectl", "operation": "Apply"} for entry in created["metadata"]["managedFields"]
    ]
    migrated = update(created, migrated, "kubectl")
    assert [(entry["manager"], entry["operation"]) for entry in migrated["metadata"]["managedFields"]] == [
        ("kubectl", "Apply")
    ]


GOOD_ENTRY = {"manager": "m", "operation": "Update", "apiVersion": VERSION, "fieldsV1": {"f:spec": {}}}


@pytest.mark.parametrize(
    "entry",
    [
        {**GOOD_ENTRY, "operation": "Steal"},
        {**GOOD_ENTRY, "apiVersion": None},
        {**GOOD_ENTRY, "fieldsType": "FieldsV2"},
        {**GOOD_ENTRY, "fieldsV1": None},
        {**GOOD_ENTRY, "fieldsV1": {"f:spec": 1}},
        {**GOOD_ENTRY, "fieldsV1": {"k:[1]": {}}},
        {**GOOD_ENTRY, "fieldsV1": {"k:{": {}}},
        {**GOOD_ENTRY, "fieldsV1": {"x:1": {}}},
        {**GOOD_ENTRY, "time": 5},
        "no entry",
    ],
)
def test_malformed_entries_that_a_client_sends_are_passed_over(entry: Any) -> None:
    created = update(None, widget({"replicas": 1}), "a")
    sent = changed(created)
    sent["metadata"]["managedFields"] = [GOOD_ENTRY, entry]
    assert update(created, sent, "b")["metadata"]["managedFields"] == created["metadata"]["managedFields"]
    sent["metadata"]["managedFields"] = [GOOD_ENTRY]
    assert update(created, sent, "b")["metadata"]["managedFields"] == [GOOD_ENTRY]


def test_the_oldest_entries_of_ordinary_writes_are_merged_when_there_are_too_many() -> None:
    obj = update(None, widget({"extra": {"f0": 0}}), "m0")
    for number in range(1, UPDATE_ENTRIES_MAX + 3):
        written = changed(obj)
        written["spec"]["extra"][f"f{number}"] = number
        obj = update(obj, written, f"m{number}", now=NOW + timedelta(minutes=number))
    entries = obj["metadata"]["managedFields"]
    assert len(entries) == UPDATE_ENTRIES_MAX
    merged = fields(obj, "ancient-changes", "Update")["f:spec"]["f:extra"]
    assert merged == {".": {}, "f:f0": {}, "f:f1": {}, "f:f2": {}, "f:f3": {}}
    kept = {f"m{number}" for number in range(4, UPDATE_ENTRIES_MAX + 3)}
    assert {entry["manager"] for entry in entries} == {"ancient-changes"} | kept


# ------------------------------------------------------------------------------------------------------------- apply


def test_applying_to_nothing_creates_the_object_and_owns_what_it_says() -> None:
    config = widget({"replicas": 1, "ports": [{"port": 80}]}, labels={"app": "x"})
    created = apply(None, config)
    assert {**created, "metadata": {**created["metadata"], "managedFields": None}} == {
        **config,
        "metadata": {**config["metadata"], "managedFields": None},
    }
    assert fields(created, "cd") == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:ports": {key(port=80, protocol="TCP"): {".": {}, "f:port": {}}},
        },
    }


def test_applying_the_same_again_changes_nothing_not_even_the_time() -> None:
    config = widget({"replicas": 1, "ports": [{"port": 80}], "tags": ["a"]}, labels={"app": "x"})
    created = apply(None, config)
    assert apply(created, config, now=LATER) == created


def test_system_fields_of_the_live_object_stay() -> None:
    live = apply(None, widget({"replicas": 1}))
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3}
    applied = apply(live, widget({"replicas": 2}))
    assert applied["spec"] == {"replicas": 2}
    assert (applied["metadata"]["uid"], applied["metadata"]["resourceVersion"]) == ("u", "7")


def test_a_field_of_another_manager_with_another_value_is_a_conflict() -> None:
    live = update(None, widget({"replicas": 1}), "ui")
    with pytest.raises(StatusError) as caught:
        apply(live, widget({"replicas": 2}))
    error = caught.value
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == 'Apply failed with 1 conflict: conflict with "ui" using example.com/v1: .spec.replicas'
    (cause,) = error.causes
    assert (cause.reason, cause.message, cause.field) == (
        "FieldManagerConflict",
        'conflict with "ui" using example.com/v1',
        ".spec.replicas",
    )


def test_several_conflicts_are_grouped_by_manager_and_sorted() -> None:
    live = update(None, widget({"replicas": 1, "paused": True, "containers": [{"name": "c", "image": "1"}]}), "ui")
    live = update(live, changed(live, args=["x"]), "bot", subresource="scale")
    live = apply(live, widget({"limits": {"cpu": "1"}}), "ops")
    config = widget(
        {
            "replicas": 2,
            "paused": False,
            "args": ["y"],
            "limits": {"cpu": "2"},
            "containers": [{"name": "c", "image": "2"}],
        }
    )
    with pytest.raises(StatusError) as caught:
        apply(live, config)
    assert caught.value.message == (
        "Apply failed with 5 conflicts: "
        'conflicts with "bot" with subresource "scale" using example.com/v1:\n- .spec.args\n'
        'conflicts with "ops":\n- .spec.limits.cpu\n'
        'conflicts with "ui" using example.com/v1:\n- .spec.containers[name="c"].image\n'
        "- .spec.paused\n- .spec.replicas"
    )
    assert len(caught.value.causes) == 5


def test_force_takes_the_fields_from_their_owners() -> None:
    live = update(None, widget({"replicas": 1, "paused": True}), "ui")
    applied = apply(live, widget({"replicas": 2}), force=True)
    assert applied["spec"] == {"replicas": 2, "paused": True}
    assert fields(applied, "cd") == {"f:spec": {"f:replicas": {}}}
    assert fields(applied, "ui", "Update")["f:spec"] == {".": {}, "f:paused": {}}


def test_an_owner_that_lost_its_last_field_is_forgotten() -> None:
    live = apply(None, widget({"replicas": 1}), "old")
    applied = apply(live, widget({"replicas": 2}), "new", force=True)
    assert [entry["manager"] for entry in applied["metadata"]["managedFields"]] == ["new"]


def test_the_same_value_is_owned_together() -> None:
    live = apply(None, widget({"replicas": 1}), "a")
    shared = apply(live, widget({"replicas": 1}), "b")
    assert fields(shared, "a") == fields(shared, "b") == {"f:spec": {"f:replicas": {}}}


def test_a_field_that_is_no_longer_applied_is_removed() -> None:
    live = apply(None, widget({"replicas": 1, "paused": True, "limits": {"cpu": "1"}}, labels={"a": "1", "b": "2"}))
    applied = apply(live, widget({"paused": True}, labels={"b": "2"}))
    assert applied["spec"] == {"paused": True}
    assert applied["metadata"]["labels"] == {"b": "2"}


def test_a_container_that_lost_its_last_field_is_removed() -> None:
    live = apply(None, widget({"paused": True}, annotations={"a": "1"}))
    assert "annotations" not in apply(live, widget({"paused": True}))["metadata"]


def test_a_field_that_somebody_else_owns_too_survives() -> None:
    live = apply(None, widget({"replicas": 1, "paused": True}), "a")
    live = apply(live, widget({"replicas": 1}), "b")
    applied = apply(live, widget({"paused": True}), "a")
    assert applied["spec"] == {"replicas": 1, "paused": True}
    assert fields(applied, "a") == {"f:spec": {"f:paused": {}}}


def test_a_keyed_item_that_is_no_longer_applied_is_removed() -> None:
    live = apply(None, widget({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}))
    applied = apply(live, widget({"containers": [{"name": "b", "image": "1"}]}))
    assert applied["spec"]["containers"] == [{"name": "b", "image": "1"}]


def test_a_keyed_item_in_which_others_own_a_field_stays_with_its_key() -> None:
    live = apply(None, widget({"containers": [{"name": "a", "image": "1"}]}), "a")
    edited = changed(live, containers=[{"name": "a", "image": "1", "limits": {"cpu": "1"}}])
    live = update(live, edited, "ui")
    applied = apply(live, widget({}), "a")
    assert applied["spec"]["containers"] == [{"name": "a", "limits": {"cpu": "1"}}]


def test_a_value_of_a_set_that_is_no_longer_applied_is_removed() -> None:
    live = apply(None, widget({"tags": ["a", "b"]}), "a")
    live = apply(live, widget({"tags": ["c"]}), "b")
    assert live["spec"]["tags"] == ["a", "b", "c"]
    assert apply(live, widget({"tags": ["b"]}), "a")["spec"]["tags"] == ["b", "c"]


def test_keyed_items_keep_the_live_order_and_new_ones_follow() -> None:
    live = update(None, widget({"containers": [{"name": "b"}, {"name": "a"}]}), "ui")
    applied = apply(live, widget({"containers": [{"name": "new"}, {"name": "a", "image": "1"}]}))
    assert applied["spec"]["containers"] == [{"name": "b"}, {"name": "a", "image": "1"}, {"name": "new"}]


def test_a_key_that_is_absent_counts_with_its_default() -> None:
    live = update(None, widget({"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}), "ui")
    applied = apply(live, widget({"ports": [{"port": 53, "name": "dns"}]}))
    assert applied["spec"]["ports"] == [
        {"port": 53, "protocol": "TCP", "name": "dns"},
        {"port": 53, "protocol": "UDP"},
    ]


def test_atomic_lists_and_maps_are_replaced() -> None:
    live = apply(None, widget({"args": ["a", "b"], "selector": {"a": "1", "b": "2"}}))
    applied = apply(live, widget({"args": ["c"], "selector": {"c": "3"}}))
    assert applied["spec"] == {"args": ["c"], "selector": {"c": "3"}}


def test_a_change_inside_an_atomic_value_is_a_conflict_about_the_whole() -> None:
    live = update(None, widget({"selector": {"a": "1"}}), "ui")
    with pytest.raises(StatusError, match=r"\.spec\.selector$"):
        apply(live, widget({"selector": {"a": "1", "b": "2"}}))


def test_fields_of_an_object_that_nobody_manages_belong_to_before_first_apply() -> None:
    live = widget({"replicas": 1, "paused": True})
    applied = apply(live, widget({"paused": True}))
    assert fields(applied, "before-first-apply", "Update") == {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    with pytest.raises(StatusError, match='conflict with "before-first-apply" using example.com/v1'):
        apply(live, widget({"replicas": 2}))


def test_kubectl_takes_over_what_it_applied_from_the_client_side_without_a_conflict() -> None:
    last_applied = json.dumps(widget({"replicas": 1}))
    live = update(
        None,
        widget(
            {"replicas": 1, "paused": True},
            annotations={"kubectl.kubernetes.io/last-applied-configuration": last_applied},
        ),
        "kubectl-client-side-apply",
    )
    assert apply(live, widget({"replicas": 2}), "kubectl")["spec"]["replicas"] == 2
    with pytest.raises(StatusError, match=r"1 conflict: .*\.spec\.paused"):
        apply(live, widget({"replicas": 2, "paused": False}), "kubectl")
    with pytest.raises(StatusError, match=r"\.spec\.replicas"):
        apply(live, widget({"replicas": 2}), "somebody-else")


def test_a_broken_last_applied_annotation_waives_nothing() -> None:
    live = update(
        None,
        widget({"replicas": 1}, annotations={"kubectl.kubernetes.io/last-applied-configuration": "{"}),
        "kubectl-client-side-apply",
    )
    with pytest.raises(StatusError, match=r"\.spec\.replicas"):
        apply(live, widget({"replicas": 2}), "kubectl")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param({"foo": 1}, ".spec.foo: field not declared in schema", id="undeclared"),
        pytest.param(
            {"foo": 1, "bar": 2},
            "errors:\n  .spec.foo: field not declared in schema\n  .spec.bar: field not declared in schema",
            id="two undeclared",
        ),
        pytest.param(
            {"containers": [{"name": "a", "foo": 1}]},
            '.spec.containers[name="a"].foo: field not declared in schema',
            id="undeclared in an item",
        ),
        pytest.param(
            {"steps": [{"weight": "1"}, {"wait": "1"}]},
            ".spec.steps[1].wait: field not declared in schema",
            id="undeclared in a list that is replaced as a whole",
        ),
        pytest.param(
            {"containers": [{"image": "1"}]},
            '.spec.containers: element 0: associative list with keys has an element that omits key field "name" '
            "(and doesn't have default value)",
            id="item without its key",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "a"}]},
            '.spec.containers: duplicate entries for key [name="a"]',
            id="the same item twice",
        ),
        pytest.param({"limits": []}, ".spec.limits: expected map, got &{[]}", id="list for a map"),
        pytest.param({"containers": {"a": 1}}, '.spec.containers: expected list, got &{{"a":1}}', id="map for a list"),
    ],
)
def test_a_configuration_that_does_not_fit_the_schema_fails_as_a_whole(spec: Any, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        apply(None, widget(spec, namespace="shop"))
    assert caught.value.code == 500
    assert caught.value.message == (
        f"failed to create typed patch object (shop/w; example.com/v1, Kind=Widget): {problem}"
    )


def test_a_node_that_preserves_unknown_fields_takes_any() -> None:
    created = apply(None, widget({"extra": {"deep": {"a": 1}, "list": [{"b": 1}]}}))
    assert fields(created, "cd") == {"f:spec": {"f:extra": {"f:deep": {".": {}, "f:a": {}}, "f:list": {}}}}


def test_a_configuration_must_not_bring_managed_fields() -> None:
    with pytest.raises(StatusError) as caught:
        apply(None, widget({}, managedFields=[{"manager": "x"}]))
    assert (caught.value.code, caught.value.message) == (400, "metadata.managedFields must be nil")


def test_a_uid_for_an_object_that_does_not_exist_is_a_conflict() -> None:
    with pytest.raises(StatusError) as caught:
        apply(None, widget({}, uid="u"))
    assert caught.value.code == 409


def test_what_an_endpoint_cannot_set_is_neither_owned_nor_changed() -> None:
    live = {**widget({"replicas": 1}), "status": {"phase": "Up"}}
    config = {**widget({"replicas": 1}), "status": {"phase": "Down"}}
    applied = apply(live, config, ignored=("status",))
    assert applied["status"] == {"phase": "Up"}
    assert fields(applied, "cd") == {"f:spec": {"f:replicas": {}}}
    status_applied = apply(live, config, subresource="status", ignored=("spec", "metadata"), force=True)
    assert status_applied["status"] == {"phase": "Down"}
    assert status_applied["spec"] == {"replicas": 1}
    assert fields(status_applied, "cd") == {"f:status": {"f:phase": {}}}


# -------------------------------------------------------------------------------------------------------- properties

specs = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "paused": st.booleans(),
        "args": st.lists(st.sampled_from("abc"), max_size=2),
        "tags": st.lists(st.sampled_from("abc"), max_size=3, unique=True),
        "limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from("12"), min_size=1),
        "containers": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"image": st.sampled_from("12")}),
            max_size=3,
            unique_by=lambda container: container["name"],
        ),
    },
)


@given(specs, specs)
def test_forced_apply_always_yields_what_it_says_and_again_changes_nothing(first: Any, second: Any) -> None:
    live = update(None, widget(first), "ui")
    applied = apply(live, widget(second), force=True)
    for name in ("replicas", "paused", "args"):
        if name in second:
            assert applied["spec"][name] == second[name]
    for container in second.get("containers", ()):
        (stored,) = [each for each in applied["spec"]["containers"] if each["name"] == container["name"]]
        assert stored.items() >= container.items()
    assert apply(applied, widget(second), force=True, now=LATER) == applied


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(specs, specs)
def test_a_sole_manager_gets_exactly_its_last_configuration(first: Any, second: Any) -> None:
    live = apply(None, widget(first))
    applied = apply(live, widget(second))["spec"] if second else {}
    for name in ("tags", "containers"):
        if name in second:
            by_text = sorted(map(canonical, second[name]))
            assert sorted(map(canonical, applied.get(name, []))) == by_text
    assert {name: value for name, value in applied.items() if name not in ("tags", "containers")} == {
        name: value for name, value in second.items() if name not in ("tags", "containers")
    }


@given(st.lists(st.tuples(st.sampled_from("ab"), specs), min_size=1, max_size=4))
def test_every_owned_path_exists_in_the_object(writes: list[tuple[str, Any]]) -> None:
    live: Any = None
    for manager, spec in writes:
        live = update(live, widget(spec), manager)
    for entry in live["metadata"]["managedFields"]:
        assert_exists(entry["fieldsV1"], live, SHAPE)


def assert_exists(node: Any, value: Any, shape: Shape) -> None:
    for step, inner in node.items():
        if step == ".":
            continue
        if step.startswith("f:"):
            assert step[2:] in value
            assert_exists(inner, value[step[2:]], shape.member(step[2:]) or UNTYPED)
        elif step.startswith("v:"):
            assert json.loads(step[2:]) in value
        else:
            keys = json.loads(step[2:])
            (item,) = [each for each in value if each.items() >= keys.items()]
            assert_exists(inner, item, shape.item)
