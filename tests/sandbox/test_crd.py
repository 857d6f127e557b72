"""CustomResourceDefinitions: names, conditions, the kinds they bring, and what is refused."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox import crd

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}


def version(name: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": True, "schema": SCHEMA, **fields}


def definition(
    plural: str = "widgets", kind: str = "Widget", group: str = "example.com", **fields: Any
) -> dict[str, Any]:
    names = {"plural": plural, "kind": kind, **fields.pop("names", {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version()], **fields},
    }


def prepared(obj: dict[str, Any]) -> dict[str, Any]:
    crd.prepare(obj)
    return obj


def admitted(obj: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """Return a prepared definition with the status that the server gives it."""
    crd.prepare(obj)
    return {**obj, "status": crd.admit(obj, [*others, obj], NOW)}


def test_singular_list_kind_and_conversion_have_defaults() -> None:
    obj = prepared(definition())
    assert obj["spec"]["names"] == {
        "plural": "widgets",
        "kind": "Widget",
        "singular": "widget",
        "listKind": "WidgetList",
    }
    assert obj["spec"]["conversion"] == {"strategy": "None"}


def test_a_sound_definition_is_established_under_all_its_names() -> None:
    obj = admitted(definition(names={"shortNames": ["wd"], "categories": ["all"]}))
    stamp = "2026-11-25T10:00:00Z"
    assert obj["status"] == {
        "acceptedNames": {
            "plural": "widgets",
            "singular": "widget",
            "shortNames": ["wd"],
            "kind": "Widget",
            "listKind": "WidgetList",
            "categories": ["all"],
        },
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "reason": "NoConflicts",
                "message": "no conflicts found",
                "lastTransitionTime": stamp,
            },
            {
                "type": "Established",
                "status": "True",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
                "lastTransitionTime": stamp,
            },
        ],
        "storedVersions": ["v1"],
    }
    assert crd.is_established(obj)


@pytest.mark.parametrize(
    ("fields", "reason", "name"),
    [
        pytest.param(
            {"names": {"kind": "Widget", "singular": "gadget", "listKind": "GadgetList"}},
            "KindConflict",
            "Widget",
            id="kind",
        ),
        pytest.param({"plural": "wd"}, "PluralConflict", "wd", id="plural is another's short name"),
        pytest.param({"names": {"singular": "widget"}}, "SingularConflict", "widget", id="singular"),
        pytest.param({"names": {"shortNames": ["x", "widgets"]}}, "ShortNamesConflict", "widgets", id="short name"),
        pytest.param({"names": {"listKind": "WidgetList"}}, "ListKindConflict", "WidgetList", id="list kind"),
    ],
)
def test_a_name_that_the_group_has_already_is_refused(fields: dict[str, Any], reason: str, name: str) -> None:
    first = admitted(definition(names={"shortNames": ["wd"]}))
    second = admitted(definition(**{"plural": "gadgets", "kind": "Gadget", **fields}), first)
    condition = crd.condition_of(second, "NamesAccepted")
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        reason,
        f'"{name}" is already in use',
    )
    established = crd.condition_of(second, "Established")
    assert established is not None
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert not crd.is_established(second)


def test_the_same_names_in_another_group_are_no_conflict() -> None:
    first = admitted(definition())
    assert crd.is_established(admitted(definition(group="example.org"), first))


def test_an_established_definition_stays_so_when_an_update_asks_for_a_taken_name() -> None:
    other = admitted(definition("gadgets", "Gadget", names={"shortNames": ["gg"]}))
    obj = admitted(definition())
    obj["spec"]["names"]["shortNames"] = ["gg"]
    status = crd.admit(obj, [other, obj], NOW)
    renamed = {**obj, "status": status}
    assert crd.is_established(renamed)
    condition = crd.condition_of(renamed, "NamesAccepted")
    assert condition is not None
    assert condition["reason"] == "ShortNamesConflict"
    assert "shortNames" not in status["acceptedNames"]


def test_versions_that_only_a_webhook_could_convert_are_not_served() -> None:
    versions = [version("v1"), version("v2", storage=False)]
    obj = admitted(definition(versions=versions, conversion={"strategy": "Webhook"}))
    condition = crd.condition_of(obj, "Established")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "ConversionNotSupported")
    assert "set spec.conversion.strategy to None" in condition["message"]


def test_a_webhook_does_not_matter_while_one_version_is_served() -> None:
    versions = [version("v1"), version("v0", storage=False, served=False)]
    assert crd.is_established(admitted(definition(versions=versions, conversion={"strategy": "Webhook"})))


def test_admitting_again_keeps_the_transition_times() -> None:
    obj = admitted(definition())
    assert crd.admit(obj, [obj], datetime(2027, 1, 1, tzinfo=UTC)) == obj["status"]


def test_stored_versions_collect_every_version_that_was_stored() -> None:
    obj = admitted(definition())
    obj["spec"]["versions"] = [version("v1", storage=False), version("v2")]
    assert crd.admit(obj, [obj], NOW)["storedVersions"] == ["v1", "v2"]


# -------------------------------------------------------------------------------------------------------------- kinds


def test_every_served_version_is_a_kind_and_the_best_comes_first() -> None:
    versions = [
        version("v1beta1", storage=False),
        version("v1alpha3"),
        version("v2", storage=False),
        version("v1", storage=False, served=False),
    ]
    kinds = crd.kinds_of(admitted(definition(versions=versions)))
    assert [kind.version for kind in kinds] == ["v2", "v1beta1", "v1alpha3"]
    assert {kind.storage_version for kind in kinds} == {"v1alpha3"}
    assert all(kind.is_custom and kind.has_generation and kind.namespaced for kind in kinds)


def test_a_kind_has_exactly_the_subresources_that_its_version_declares() -> None:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    versions = [version(subresources={"status": {}, "scale": scale}), version("v0", storage=False, subresources={})]
    with_both, without = crd.kinds_of(admitted(definition(versions=versions)))
    assert with_both.has_status
    assert with_both.scale is not None
    assert (with_both.scale.spec_replicas, with_both.scale.label_selector) == (".spec.size", "")
    assert not without.has_status
    assert without.scale is None


def test_printer_columns_selectable_fields_and_deprecation_are_taken_over() -> None:
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1, "format": "int32"}
    versions = [
        version(additionalPrinterColumns=[column], selectableFields=[{"jsonPath": ".spec.color"}], deprecated=True)
    ]
    (kind,) = crd.kinds_of(admitted(definition(versions=versions)))
    (printed,) = kind.columns
    assert (printed.name, printed.type, printed.json_path, printed.priority, printed.format) == (
        "Size",
        "integer",
        ".spec.size",
        1,
        "int32",
    )
    assert kind.selectable_fields == ("spec.color",)
    assert kind.deprecation_warning == "example.com/v1 Widget is deprecated"


def test_a_kind_without_columns_prints_its_age() -> None:
    (kind,) = crd.kinds_of(admitted(definition()))
    assert [(column.name, column.type) for column in kind.columns] == [("Age", "date")]


def test_a_definition_that_preserves_unknown_fields_keeps_them_at_the_root() -> None:
    (kind,) = crd.kinds_of(admitted(definition(preserveUnknownFields=True)))
    assert kind.schema.process({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {}, "x": 1}).obj["x"] == 1


def test_equal_schemas_are_compiled_once() -> None:
    first, second = (crd.kinds_of(admitted(definition()))[0] for _ in range(2))
    assert first.schema is second.schema


def test_progrades_own_definitions_are_sound_and_have_the_subresources_that_tools_expect() -> None:
    kinds = {}
    for own in custom_resource_definitions():
        obj = prepared(copy.deepcopy(own))
        assert crd.validate(obj) == []
        (kind,) = crd.kinds_of(admitted(obj))
        kinds[kind.kind] = kind
    assert set(kinds) == {"Rollout", "AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment"}
    assert [name for name, kind in kinds.items() if kind.has_status] == ["Rollout"]
    scale = kinds["Rollout"].scale
    assert scale is not None
    assert (scale.spec_replicas, scale.status_replicas, scale.label_selector) == (
        ".spec.replicas",
        ".status.HPAReplicas",
        ".status.selector",
    )
    assert all(kind.scale is None for name, kind in kinds.items() if name != "Rollout")
    assert not kinds["ClusterAnalysisTemplate"].namespaced


# -------------------------------------------------------------------------------------------------------- validation


def with_schema(raw: Any) -> dict[str, Any]:
    return definition(versions=[version(schema={"openAPIV3Schema": raw})])


def with_name(name: str) -> dict[str, Any]:
    obj = definition()
    obj["metadata"]["name"] = name
    return obj


@pytest.mark.parametrize(
    ("obj", "field", "part"),
    [
        pytest.param(with_name("other"), "metadata.name", 'must be spec.names.plural+"."+spec.group', id="name"),
        pytest.param(definition(group="flat"), "spec.group", "at least one dot", id="group without a dot"),
        pytest.param(definition(group=""), "spec.group", "Required value", id="no group"),
        pytest.param(
            definition(scope="Galaxy"),
            "spec.scope",
            'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
            id="scope",
        ),
        pytest.param(definition(scope=""), "spec.scope", "Required value", id="no scope"),
        pytest.param(definition(kind=""), "spec.names.kind", "Required value", id="no kind"),
        pytest.param(definition(kind="No Space"), "spec.names.kind", "DNS label", id="kind syntax"),
        pytest.param(
            definition(names={"shortNames": ["ok", "Not"]}), "spec.names.shortNames[1]", "DNS label", id="short name"
        ),
        pytest.param(
            definition(names={"listKind": "Widget"}), "spec.names.listKind", "may not be the same", id="list kind"
        ),
        pytest.param(definition(versions=[]), "spec.versions", "must have at least one version", id="no version"),
        pytest.param(
            definition(versions=[version(storage=False)]),
            "spec.versions",
            "must have exactly one version marked as storage version",
            id="nothing stored",
        ),
        pytest.param(
            definition(versions=[version("v1"), version("v2")]),
            "spec.versions",
            "must have exactly one version marked as storage version",
            id="two stored",
        ),
        pytest.param(
            definition(versions=[version("v1"), version("v1", storage=False)]),
            "spec.versions",
            "must contain unique version names",
            id="a version twice",
        ),
        pytest.param(definition(versions=[version("V1")]), "spec.versions[0].name", "DNS label", id="version name"),
        pytest.param(
            definition(versions=[{"name": "v1", "served": True, "storage": True}]),
            "spec.versions[0].schema.openAPIV3Schema",
            "schemas are required",
            id="no schema",
        ),
        pytest.param(
            definition(conversion={"strategy": "Magic"}),
            "spec.conversion.strategy",
            'Unsupported value: "Magic": supported values: "None", "Webhook"',
            id="conversion",
        ),
        pytest.param(
            with_schema({"type": "string"}),
            "spec.versions[0].schema.openAPIV3Schema.type",
            "must be object at the root",
            id="root type",
        ),
        pytest.param(
            with_schema({"type": "object", "properties": {"a": {}}}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].type",
            "must not be empty for specified object fields",
            id="no type",
        ),
        pytest.param(
            with_schema({"type": "object", "properties": {"a": {"type": "array"}}}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].items",
            "must be specified",
            id="no items",
        ),
        pytest.param(
            with_schema(
                {
                    "type": "object",
                    "properties": {
                        "a": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}
                    },
                }
            ),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].x-kubernetes-list-map-keys",
            "must not be empty",
            id="no keys",
        ),
        pytest.param(
            with_schema(
                {
                    "type": "object",
                    "properties": {
                        "a": {
                            "type": "object",
                            "properties": {"b": {"type": "string"}},
                            "additionalProperties": {"type": "string"},
                        }
                    },
                }
            ),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].additionalProperties",
            "mutual exclusive",
            id="properties and additional ones",
        ),
        pytest.param(
            definition(
                versions=[version(subresources={"scale": {"specReplicasPath": ".status.a", "statusReplicasPath": ""}})]
            ),
            "spec.versions[0].subresources.scale.specReplicasPath",
            "should be a json path under .spec",
            id="scale path",
        ),
        pytest.param(
            definition(versions=[version(additionalPrinterColumns=[{"name": "a", "type": "string"}])]),
            "spec.versions[0].additionalPrinterColumns[0].jsonPath",
            "Required value",
            id="column path",
        ),
    ],
)
def test_a_definition_that_cannot_be_served_is_refused(obj: dict[str, Any], field: str, part: str) -> None:
    causes = crd.validate(prepared(obj))
    found = [cause for cause in causes if cause.field == field]
    assert found, [cause.field for cause in causes]
    assert part in found[0].message


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": True}}},
        {"type": "object", "properties": {"a": {"x-kubernetes-preserve-unknown-fields": True}}},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ],
)
def test_a_place_that_takes_several_types_needs_none(raw: Any) -> None:
    assert crd.validate(prepared(with_schema(raw))) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scope": "Cluster"}, "spec.scope"),
        ({"names": {"plural": "widgets", "kind": "Other", "listKind": "OtherList"}}, "spec.names.kind"),
    ],
)
def test_an_established_definition_keeps_its_kind_and_scope(change: dict[str, Any], field: str) -> None:
    old = admitted(definition())
    new = {**old, "spec": {**old["spec"], **change}}
    assert field in [cause.field for cause in crd.validate(new, old)]


def test_a_version_that_objects_may_be_stored_in_cannot_be_dropped() -> None:
    old = admitted(definition())
    new = {**old, "spec": {**old["spec"], "versions": [version("v2")]}}
    (cause,) = crd.validate(new, old)
    assert (cause.field, cause.message) == (
        "status.storedVersions[0]",
        'Invalid value: "v1": must appear in spec.versions',
    )


# ---------------------------------------------------------------------------------------------------------- deletion


def test_a_definition_on_its_way_out_says_so_and_then_loses_its_finalizer() -> None:
    obj = admitted(definition())
    obj["metadata"]["finalizers"] = [crd.CLEANUP_FINALIZER]
    terminating = {**obj, "status": crd.terminating_status(obj, NOW)}
    condition = crd.condition_of(terminating, "Terminating")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "InstanceDeletionInProgress")
    done = crd.without_instances(terminating, NOW)
    assert "finalizers" not in done["metadata"]
    assert obj["metadata"]["finalizers"] == [crd.CLEANUP_FINALIZER], "the stored definition is shared"
    condition = crd.condition_of(done, "Terminating")
    assert condition is not None
    assert (condition["status"], condition["message"]) == ("False", "removed all instances")


def test_foreign_finalizers_of_a_definition_stay() -> None:
    obj = admitted(definition())
    obj["metadata"]["finalizers"] = ["example.com/mine", crd.CLEANUP_FINALIZER]
    assert crd.without_instances(obj, NOW)["metadata"]["finalizers"] == ["example.com/mine"]
