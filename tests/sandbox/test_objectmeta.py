from random import Random
from typing import Any

import pytest

from prograde.sandbox.errors import StatusError
from prograde.sandbox.kinds import Kind
from prograde.sandbox.objectmeta import coerce_metadata, generate_name

KIND = Kind(group="e.io", version="v1", kind="Thing", plural="things")


@pytest.mark.parametrize(
    ("sent", "read", "unknown"),
    [
        (None, {}, []),
        ({"name": "a", "creationTimestamp": None, "labels": {}, "annotations": None}, {"name": "a"}, []),
        ({"labels": {"a": None, "b": "c"}}, {"labels": {"a": "", "b": "c"}}, []),
        ({"name": "a", "colour": "red", "selfLink": "/x"}, {"name": "a"}, ["metadata.colour"]),
        ({"managedFields": []}, {"managedFields": []}, []),
        ({"managedFields": [{}]}, {"managedFields": [{}]}, []),
        ({"ownerReferences": [], "finalizers": []}, {}, []),
    ],
)
def test_metadata_is_read_as_kubernetes_does(sent: Any, read: dict[str, Any], unknown: list[str]) -> None:
    obj = {"metadata": sent} if sent is not None else {}
    assert coerce_metadata(obj, KIND) == unknown
    assert obj["metadata"] == read


@pytest.mark.parametrize(
    "sent",
    [
        [],
        "x",
        {"name": 1},
        {"labels": {"a": 1}},
        {"labels": []},
        {"finalizers": "x"},
        {"ownerReferences": [{"controller": "yes"}]},
        {"managedFields": {}},
        {"generation": "1"},
    ],
)
def test_metadata_of_the_wrong_type_is_a_bad_request(sent: Any) -> None:
    with pytest.raises(StatusError, match='Thing in version "v1" cannot be handled as a Thing: metadata') as raised:
        coerce_metadata({"metadata": sent}, KIND)
    assert raised.value.code == 400


def test_generated_names_depend_on_the_generator_only() -> None:
    assert generate_name("a-", Random(1)) == generate_name("a-", Random(1)) != generate_name("a-", Random(2))
