from typing import Any

import pytest

from prograde.sandbox.jsonpaths import find, parse_field_path, with_value

OBJ = {
    "spec": {"replicas": 0, "names": ["a", "b"], "a/b": 1, "map": {"x": 1, "y": 2}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Paused", "status": "False", "n": 3}]},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.replicas", [0]),
        ("spec.replicas", [0]),
        ("{.spec.replicas}", [0]),
        ("$.spec.replicas", [0]),
        (".spec.names[*]", ["a", "b"]),
        (".spec.names[1]", ["b"]),
        (".spec.names[-1]", ["b"]),
        (".spec.names[7]", []),
        (".spec['a/b']", [1]),
        (".spec.map.*", [1, 2]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].n", [3]),
        (".status.conditions[?(@.n==3)].type", ["Paused"]),
        (".status.conditions[*].type", ["Ready", "Paused"]),
        (".spec.nothing.at.all", []),
        (".spec.replicas.deeper", []),
        (".spec[?(", []),
    ],
)
def test_a_path_finds_what_is_there_and_nothing_else(path: str, expected: list[Any]) -> None:
    assert find(path, OBJ) == expected


def test_a_value_is_set_in_a_copy_that_shares_what_is_beside_it() -> None:
    changed = with_value(OBJ, parse_field_path(".spec.replicas"), 3)
    assert (changed["spec"]["replicas"], OBJ["spec"]["replicas"]) == (3, 0)
    assert changed["status"] is OBJ["status"]
    assert with_value({}, parse_field_path(".spec.replicas"), 3) == {"spec": {"replicas": 3}}


def test_only_members_make_a_path_to_write_to() -> None:
    with pytest.raises(ValueError, match="not a path of members"):
        parse_field_path(".spec.names[0]")
