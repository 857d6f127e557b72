from prograde.sandbox.builtins import builtin_kinds
from prograde.sandbox.kinds import Kind
from prograde.sandbox.registry import Registry, version_priority


def kind(group: str, version: str, plural: str = "things", **more: object) -> Kind:
    return Kind(group=group, version=version, kind="Thing", plural=plural, is_custom=True, **more)  # type: ignore[arg-type]


def test_versions_are_preferred_as_in_kubernetes() -> None:
    ordered = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert sorted({*ordered}, key=version_priority) == ordered


def test_built_in_groups_come_in_order_of_preference_and_custom_ones_by_name() -> None:
    registry = Registry([*builtin_kinds(), kind("z.io", "v1"), kind("a.io", "v1")])
    groups = registry.groups()
    assert groups[:4] == ["", "apps", "batch", "autoscaling"]
    assert groups[-2:] == ["a.io", "z.io"]
    assert registry.versions("autoscaling") == ["v2", "v1"]


def test_a_view_of_another_kind_is_served_but_does_not_store() -> None:
    registry = Registry(builtin_kinds())
    view = registry.find("events.k8s.io", "v1", "events")
    assert view is not None
    stored = registry.stored(view.storage_key)
    assert stored is not None
    assert (stored.group, stored.plural) == ("", "events")
    assert ("events.k8s.io", "events") not in registry.resources()


def test_replacing_a_resource_replaces_all_its_versions_and_counts() -> None:
    registry = Registry([kind("a.io", "v1", storage_version="v1"), kind("a.io", "v2", storage_version="v1")])
    generation = registry.generation
    registry.replace(("a.io", "things"), [kind("a.io", "v3")])

    assert registry.versions("a.io") == ["v3"]
    assert registry.generation > generation
    registry.replace(("a.io", "things"), [])
    assert registry.stored(("a.io", "things")) is None
    assert registry.groups() == []


def test_kinds_are_found_by_type() -> None:
    registry = Registry(builtin_kinds())
    deployment = registry.by_kind("apps/v1", "Deployment")
    assert deployment is not None
    assert deployment.plural == "deployments"
    assert registry.by_kind("apps/v2", "Deployment") is None
    assert registry.by_kind("", "") is None


def test_a_clone_is_independent() -> None:
    registry = Registry([kind("a.io", "v1")])
    twin = registry.clone()
    twin.replace(("a.io", "things"), [])
    assert registry.find("a.io", "v1", "things") is not None
