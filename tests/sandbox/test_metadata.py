"""Metadata rules that hold for every kind."""

from typing import Any

import pytest

from prograde.sandbox.kinds import Kind
from prograde.sandbox.metadata import ANNOTATIONS_BYTES_MAX, validate_metadata

POD = Kind(group="", version="v1", kind="Pod", plural="pods")
NAMESPACE = Kind(group="", version="v1", kind="Namespace", plural="namespaces", namespaced=False)
SERVICE = Kind(group="", version="v1", kind="Service", plural="services")
ROLE = Kind(group="rbac.authorization.k8s.io", version="v1", kind="Role", plural="roles")
REFERENCE = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


def problems(metadata: dict[str, Any], kind: Kind = POD, old: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    causes = validate_metadata(kind, {"metadata": metadata}, {"metadata": old} if old is not None else None)
    return [(cause.field, cause.message) for cause in causes]


@pytest.mark.parametrize(
    ("kind", "name", "is_valid"),
    [
        (POD, "a", True),
        (POD, "a.b-c.9", True),
        (POD, "a" * 253, True),
        (POD, "a" * 254, False),
        (POD, "A", False),
        (POD, "-a", False),
        (POD, "a..b", False),
        (POD, "a_b", False),
        (POD, "a\n", False),
        (NAMESPACE, "a-b", True),
        (NAMESPACE, "a.b", False),
        (NAMESPACE, "a" * 64, False),
        (SERVICE, "a-1", True),
        (SERVICE, "1-a", False),
        (SERVICE, "a.b", False),
        (SERVICE, "a" * 64, False),
        (ROLE, "system:Any_Thing.9", True),
        (ROLE, "a/b", False),
        (ROLE, "50%", False),
        (ROLE, "..", False),
    ],
)
def test_the_syntax_of_a_name_depends_on_the_kind(kind: Kind, name: str, is_valid: bool) -> None:
    found = problems({"name": name}, kind)
    assert (found == []) is is_valid
    assert all(field == "metadata.name" for field, _ in found)


def test_a_bad_name_is_refused_with_the_standard_sentence() -> None:
    ((field, message),) = problems({"name": "Bad"})
    assert field == "metadata.name"
    assert message.startswith('Invalid value: "Bad": a lowercase RFC 1123 subdomain must consist of lower case')
    assert message.endswith(
        r"regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def test_a_name_or_a_prefix_for_one_is_required() -> None:
    assert problems({}) == [("metadata.name", "Required value: name or generateName is required")]
    assert problems({"generateName": "a-"}) == []
    assert problems({"generateName": "a."}) == []


def test_a_bad_prefix_is_reported_as_such() -> None:
    assert [field for field, _ in problems({"generateName": "A-"})] == ["metadata.generateName"]


def test_the_name_of_a_stored_object_is_not_looked_at_again() -> None:
    assert problems({"name": "Grandfathered"}, old={"name": "Grandfathered"}) == []


@pytest.mark.parametrize(
    ("labels", "value", "part"),
    [
        ({"a/b/c": "x"}, "a/b/c", "a qualified name must consist"),
        ({"/b": "x"}, "/b", "prefix part must be non-empty"),
        ({"A_B/c": "x"}, "A_B/c", "prefix part a lowercase RFC 1123 subdomain"),
        ({"a/": "x"}, "a/", "name part must be non-empty"),
        ({"k" * 64: "x"}, "k" * 64, "name part must be no more than 63"),
        ({"a": "v" * 64}, "v" * 64, "must be no more than 63"),
        ({"a": "-v"}, "-v", "a valid label must be an empty string or consist of"),
    ],
)
def test_labels_have_a_syntax(labels: dict[str, str], value: str, part: str) -> None:
    found = problems({"name": "n", "labels": labels})
    assert found[0][0] == "metadata.labels"
    assert any(f'Invalid value: "{value}": ' in message and part in message for _, message in found)


def test_good_labels_and_annotations_pass() -> None:
    labels = {"app": "", "example.com/Name_1.x": "V-1.2_x"}
    assert problems({"name": "n", "labels": labels, "annotations": {"Example.com/x": "any thing\n"}}) == []


def test_annotations_have_keys_like_labels_and_a_total_size() -> None:
    assert problems({"name": "n", "annotations": {"b@d": ""}})[0][0] == "metadata.annotations"
    fits = {"a": "x" * (ANNOTATIONS_BYTES_MAX - 1)}
    assert problems({"name": "n", "annotations": fits}) == []
    assert problems({"name": "n", "annotations": {"a": fits["a"] + "x"}}) == [
        ("metadata.annotations", "Too long: may not be more than 262144 bytes")
    ]


def test_annotations_are_measured_in_bytes() -> None:
    value = "ä" * (ANNOTATIONS_BYTES_MAX // 2)
    assert len(problems({"name": "n", "annotations": {"a": value}})) == 1


@pytest.mark.parametrize("member", ["apiVersion", "kind", "name", "uid"])
def test_an_owner_reference_is_complete(member: str) -> None:
    reference = {name: value for name, value in REFERENCE.items() if name != member}
    assert problems({"name": "n", "ownerReferences": [REFERENCE, reference]}) == [
        (f"metadata.ownerReferences[1].{member}", "Required value: must not be empty")
    ]


def test_only_one_owner_controls() -> None:
    references = [{**REFERENCE, "controller": True}, {**REFERENCE, "uid": "v", "controller": True}]
    ((field, message),) = problems({"name": "n", "ownerReferences": references})
    assert field == "metadata.ownerReferences"
    assert message.endswith("Only one reference can have Controller set to true")
    references[1]["controller"] = False
    assert problems({"name": "n", "ownerReferences": references}) == []


@pytest.mark.parametrize(
    ("finalizers", "is_valid"),
    [
        (["orphan"], True),
        (["foregroundDeletion", "example.com/x"], True),
        (["customresourcecleanup.apiextensions.k8s.io"], True),
        (["plain"], False),
        (["a/b/c"], False),
        (["orphan", "foregroundDeletion"], False),
    ],
)
def test_finalizers_are_standard_ones_or_qualified(finalizers: list[str], is_valid: bool) -> None:
    found = problems({"name": "n", "finalizers": finalizers})
    assert (found == []) is is_valid


def test_a_finalizer_cannot_be_added_once_deletion_has_begun_but_removed() -> None:
    old = {"name": "n", "finalizers": ["a.b/c"], "deletionTimestamp": "2026-11-25T10:00:00Z"}
    ((field, message),) = problems({"name": "n", "finalizers": ["a.b/c", "a.b/d"]}, old=old)
    assert field == "metadata.finalizers"
    assert message == (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        '[]string{"a.b/d"}'
    )
    assert problems({"name": "n"}, old=old) == []
    assert problems({"name": "n", "finalizers": ["a.b/d"]}, old={"name": "n"}) == []
