"""The line notation and the Kubernetes types written in it."""

from collections import Counter
from collections.abc import Iterator

import pytest

from prograde.api import podschema
from prograde.api.podschema import Schema, TypeTable
from prograde.api.podtemplate.fields import TYPES as HASHED_TYPES

TOY = """
# Inner: Something inside.
key!    string    The key.

# Shape atomic: A shape.
+Inner
size    int32     How big it is,
    in metres.
"""


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def node_at(schema: Schema, path: str) -> Schema:
    for step in path.split("."):
        name, _, rest = step.partition("[")
        schema = schema["properties"][name]
        if rest:
            schema = schema["items"]
    return schema


def keys_at(path: str) -> list[str] | None:
    return node_at(podschema.pod_spec_schema(), path).get("x-kubernetes-list-map-keys")


# --- The notation -----------------------------------------------------------------------------------------------------


def test_a_type_becomes_an_object_with_its_fields_in_order() -> None:
    assert TypeTable(TOY).schema("Shape") == {
        "description": "A shape.",
        "type": "object",
        "required": ["key"],
        "properties": {
            "key": {"description": "The key.", "type": "string"},
            "size": {"description": "How big it is, in metres.", "type": "integer", "format": "int32"},
        },
        "x-kubernetes-map-type": "atomic",
    }


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("string", {"type": "string"}),
        ("boolean", {"type": "boolean"}),
        ("int32", {"type": "integer", "format": "int32"}),
        ("int64", {"type": "integer", "format": "int64"}),
        ("number", {"type": "number"}),
        ("time", {"type": "string", "format": "date-time"}),
        ("intOrString", {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}),
        ("object", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("any", {"x-kubernetes-preserve-unknown-fields": True}),
        ("string=TCP", {"type": "string", "default": "TCP"}),
        ("string=", {"type": "string", "default": ""}),
        ("boolean=false", {"type": "boolean", "default": False}),
        ("boolean=true", {"type": "boolean", "default": True}),
        ("map(string)", {"type": "object", "additionalProperties": {"type": "string"}}),
        ("list(string)", {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"}),
        ("set(string)", {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        (
            "map(list(string))",
            {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": {"type": "string"},
                    "x-kubernetes-list-type": "atomic",
                },
            },
        ),
    ],
)
def test_each_type_expression_has_its_schema(type_: str, expected: Schema) -> None:
    assert TypeTable().field_schema(type_) == expected


def test_a_list_map_names_its_keys_and_keeps_the_description_of_its_items() -> None:
    schema = TypeTable(TOY).field_schema("list(Inner;key)", "All of them.")
    assert schema["description"] == "All of them."
    assert schema["items"]["description"] == "Something inside."
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == ["key"]


def test_the_description_of_a_field_goes_before_that_of_its_type() -> None:
    table = TypeTable(TOY)
    assert table.field_schema("Inner", "Mine.")["description"] == "Mine."
    assert table.field_schema("Inner")["description"] == "Something inside."
    assert table.schema("Inner")["description"] == "Something inside."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("key string Before any type.", "before the first type", id="field without type"),
        pytest.param("# A: Something.\nkey string", "a name, a type and a description", id="no description"),
        pytest.param("# A: Something.\n    more", "no description to continue", id="nothing to continue"),
        pytest.param("# A: Something.\n# A: Something.", "type A is declared twice", id="declared twice"),
    ],
)
def test_a_line_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TypeTable(text)


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="Shape"):
        TypeTable().schema("Shape")


# --- The Kubernetes types ---------------------------------------------------------------------------------------------


def test_every_type_can_be_written_out() -> None:
    for name in podschema.type_names():
        assert podschema.type_schema(name)["type"] == "object", name


def test_every_field_has_a_description_that_is_a_sentence() -> None:
    for name in podschema.type_names():
        schema = podschema.type_schema(name)
        for field, node in schema["properties"].items():
            text = node["description"]
            assert text[0].isalpha(), f"{name}.{field}"
            assert text.endswith("."), f"{name}.{field}"
            assert "  " not in text, f"{name}.{field}"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("containers", ["name"]),
        ("initContainers", ["name"]),
        ("ephemeralContainers", ["name"]),
        ("volumes", ["name"]),
        ("imagePullSecrets", ["name"]),
        ("hostAliases", ["ip"]),
        ("topologySpreadConstraints", ["topologyKey", "whenUnsatisfiable"]),
        ("schedulingGates", ["name"]),
        ("resourceClaims", ["name"]),
        ("resources.claims", ["name"]),
        ("containers[].ports", ["containerPort", "protocol"]),
        ("containers[].env", ["name"]),
        ("containers[].volumeMounts", ["mountPath"]),
        ("containers[].volumeDevices", ["devicePath"]),
        ("containers[].resources.claims", ["name"]),
        ("tolerations", None),
        ("containers[].command", None),
        ("containers[].envFrom", None),
        ("affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", None),
    ],
)
def test_server_side_apply_merges_lists_by_these_keys(path: str, keys: list[str] | None) -> None:
    assert keys_at(path) == keys
    assert node_at(podschema.pod_spec_schema(), path)["x-kubernetes-list-type"] == ("map" if keys else "atomic")


def test_the_keys_of_a_list_are_required_or_have_a_default() -> None:
    for path, node in nodes(podschema.pod_template_schema()):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            item = node["items"]
            assert key in item.get("required", ()) or "default" in item["properties"][key], f"{path}: {key}"


def test_every_list_says_how_it_is_merged() -> None:
    for root in (podschema.pod_template_schema(), podschema.job_template_schema()):
        for path, node in nodes(root):
            assert ("x-kubernetes-list-type" in node) == (node.get("type") == "array"), path


def test_a_pod_template_without_volumes_has_as_many_lists_as_kubernetes_has() -> None:
    pod = podschema.pod_spec_schema()
    counts = Counter(
        node["x-kubernetes-list-type"]
        for name, field in pod["properties"].items()
        if name != "volumes"
        for _, node in nodes(field)
        if "x-kubernetes-list-type" in node
    )
    assert counts == {"atomic": 104, "map": 24, "set": 3}


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("containers[].ports[].protocol", "TCP"),
        ("initContainers[].ports[].protocol", "TCP"),
        ("ephemeralContainers[].ports[].protocol", "TCP"),
        ("imagePullSecrets[].name", ""),
        ("containers[].envFrom[].configMapRef.name", ""),
        ("containers[].env[].valueFrom.secretKeyRef.name", ""),
        ("containers[].env[].valueFrom.fileKeyRef.optional", False),
        ("containers[].livenessProbe.grpc.service", ""),
    ],
)
def test_these_fields_have_defaults(path: str, default: object) -> None:
    assert node_at(podschema.pod_spec_schema(), path)["default"] == default


@pytest.mark.parametrize(
    ("type_name", "required"),
    [
        ("PodTemplateSpec", []),
        ("PodSpec", ["containers"]),
        ("Container", ["name"]),
        ("EphemeralContainer", ["name"]),
        ("ContainerPort", ["containerPort"]),
        ("VolumeMount", ["name", "mountPath"]),
        ("HTTPGetAction", ["port"]),
        ("GRPCAction", ["port"]),
        ("ResourceFieldSelector", ["resource"]),
        ("LabelSelectorRequirement", ["key", "operator"]),
        ("TopologySpreadConstraint", ["maxSkew", "topologyKey", "whenUnsatisfiable"]),
        ("ScaleIOVolumeSource", ["gateway", "system", "secretRef"]),
        ("PersistentVolumeClaimTemplate", ["spec"]),
        ("JobSpec", ["template"]),
        ("ObjectMeta", []),
    ],
)
def test_the_api_server_demands_these_fields(type_name: str, required: list[str]) -> None:
    assert podschema.type_schema(type_name).get("required", []) == required


@pytest.mark.parametrize(
    "type_name",
    [
        "LabelSelector",
        "LocalObjectReference",
        "NodeSelector",
        "NodeSelectorTerm",
        "SecretKeySelector",
        "OwnerReference",
    ],
)
def test_these_objects_are_applied_as_one_value(type_name: str) -> None:
    assert podschema.type_schema(type_name)["x-kubernetes-map-type"] == "atomic"


@pytest.mark.parametrize(
    "path",
    [
        "hostUsers",
        "setHostnameAsFQDN",
        "hostnameOverride",
        "resources.limits",
        "os.name",
        "securityContext.seLinuxChangePolicy",
        "containers[].restartPolicyRules[].exitCodes.values",
        "containers[].lifecycle.stopSignal",
        "containers[].lifecycle.preStop.sleep.seconds",
        "containers[].env[].valueFrom.fileKeyRef.path",
        "containers[].volumeMounts[].recursiveReadOnly",
        "ephemeralContainers[].targetContainerName",
        "volumes[].image.reference",
        "volumes[].projected.sources[].podCertificate.keyType",
        "volumes[].projected.sources[].clusterTrustBundle.labelSelector.matchLabels",
        "volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef.namespace",
        "volumes[].csi.nodePublishSecretRef.name",
        "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys",
    ],
)
def test_fields_up_to_kubernetes_1_34_are_known(path: str) -> None:
    assert node_at(podschema.pod_spec_schema(), path)["description"]


def test_a_volume_has_thirty_kinds_of_sources_after_its_name() -> None:
    name, *sources = podschema.type_schema("Volume")["properties"]
    assert name == "name"
    assert sources == list(podschema.type_schema("VolumeSource")["properties"])
    assert len(sources) == 30


def test_quantities_are_numbers_or_strings_of_the_quantity_form() -> None:
    cpu = node_at(podschema.pod_spec_schema(), "overhead")["additionalProperties"]
    assert cpu["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert cpu["x-kubernetes-int-or-string"] is True
    assert "Ki" not in cpu["pattern"]  # the units are spelled as a class of prefixes
    assert "[KMGTPE]i" in cpu["pattern"]


@pytest.mark.parametrize("name", [name for name in podschema.type_names() if name in HASHED_TYPES])
def test_what_may_be_written_in_a_template_is_what_the_hash_knows(name: str) -> None:
    fields = set(podschema.type_schema(name)["properties"])
    hashed = {field.name for field in HASHED_TYPES[name]}
    if name == "ObjectMeta":  # the hash knows only what a template may carry
        assert hashed < fields
    else:
        assert hashed == fields


def test_a_job_template_holds_a_complete_pod_template() -> None:
    job = podschema.job_template_schema()
    assert node_at(job, "spec.template.spec") == podschema.pod_spec_schema() | {
        "description": node_at(job, "spec.template.spec")["description"]
    }
    assert node_at(job, "spec.podFailurePolicy.rules[].onExitCodes.values")["x-kubernetes-list-type"] == "set"


def test_the_parts_of_a_schema_are_shared() -> None:
    pod = podschema.pod_spec_schema()
    assert pod["properties"]["containers"]["items"] is pod["properties"]["initContainers"]["items"]
    assert podschema.pod_spec_schema() is pod
