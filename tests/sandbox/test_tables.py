import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.clock import ManualClock
from prograde.sandbox.cluster import Sandbox
from prograde.sandbox.kinds import Column, Kind
from prograde.sandbox.store import Store
from prograde.sandbox.tables import IncludeObject, table_bytes

NOW = datetime(2025, 1, 1, tzinfo=UTC)


def table(columns: list[Column], obj: dict[str, Any], include: IncludeObject = "Metadata") -> Any:
    kind = Kind(group="e.io", version="v1", kind="Thing", plural="things", is_custom=True, columns=tuple(columns))
    store = Store(ManualClock(NOW))
    entry = store.put(("e.io", "things"), {"apiVersion": "e.io/v1", "kind": "Thing", "metadata": {"name": "a"}, **obj})
    return json.loads(table_bytes(kind, [entry], NOW + timedelta(minutes=5), metadata={}, include=include))


@pytest.mark.parametrize(
    ("column", "obj", "cell"),
    [
        (Column("R", "integer", json_path=".spec.n"), {"spec": {"n": 0}}, 0),
        (Column("R", "integer", json_path=".spec.n"), {}, None),
        (Column("R", "integer", json_path=".spec.n"), {"spec": {"n": None}}, None),
        (Column("R", "boolean", json_path=".spec.b"), {"spec": {"b": False}}, False),
        (Column("R", "number", json_path=".spec.f"), {"spec": {"f": 1.5}}, 1.5),
        (Column("R", "string", json_path=".spec.l[*]"), {"spec": {"l": ["x", "y"]}}, "x,y"),
        (Column("R", "string", json_path=".spec.o"), {"spec": {"o": {"k": 1}}}, '{"k":1}'),
        (Column("R", "string", json_path=".spec.n"), {"spec": {"n": 3}}, "3"),
        (Column("R", "date", json_path=".spec.t"), {"spec": {"t": "2025-01-01T00:00:00Z"}}, "5m"),
        (Column("R", "date", json_path=".spec.t"), {"spec": {"t": "yesterday"}}, "<unknown>"),
    ],
)
def test_a_cell_of_a_custom_kind_comes_from_its_path(column: Column, obj: dict[str, Any], cell: Any) -> None:
    (row,) = table([column], obj)["rows"]
    assert row["cells"] == ["a", cell]


def test_a_row_brings_as_much_of_the_object_as_is_asked_for() -> None:
    columns = [Column("Age", "date", json_path=".metadata.creationTimestamp")]

    def brought(include: IncludeObject) -> Any:
        return table(columns, {"spec": {}}, include)["rows"][0].get("object")

    metadata = {"name": "a", "resourceVersion": "1001"}
    assert brought("None") is None
    assert brought("Metadata") == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
    }
    assert brought("Object")["spec"] == {}


def test_the_columns_of_a_custom_kind_begin_with_its_name() -> None:
    definitions = table([Column("Age", "date", json_path=".x", description="How old")], {})["columnDefinitions"]
    assert [(each["name"], each["type"], each["format"]) for each in definitions] == [
        ("Name", "string", "name"),
        ("Age", "date", ""),
    ]


def test_a_rollout_shows_its_counts() -> None:
    sandbox = Sandbox(crds=custom_resource_definitions(), controllers=False)
    kind = sandbox.kind("rollouts")
    assert [column.name for column in kind.columns] == ["Desired", "Current", "Up-to-date", "Available", "Age"]
