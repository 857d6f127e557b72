import pytest

from prograde.api.selectors import parse_selector
from prograde.controller.settings import ControllerSettings, instance_selector

LABEL = "argo-rollouts.argoproj.io/controller-instance-id"


@pytest.mark.parametrize(
    ("instance_id", "name"),
    [("", "argo-rollouts-controller-lock"), ("blue", "argo-rollouts-controller-lock-blue")],
)
def test_controllers_of_different_instances_lead_side_by_side(instance_id: str, name: str) -> None:
    assert ControllerSettings(instance_id=instance_id).lease_name == name


@pytest.mark.parametrize(
    ("instance_id", "labels", "is_ours"),
    [
        ("", {}, True),
        ("", {"app": "cart"}, True),
        ("", {LABEL: "blue"}, False),
        ("", {LABEL: ""}, False),
        ("blue", {LABEL: "blue"}, True),
        ("blue", {LABEL: "green"}, False),
        ("blue", {}, False),
    ],
)
def test_a_controller_looks_after_its_own_instance_or_after_objects_without_any(
    instance_id: str, labels: dict[str, str], is_ours: bool
) -> None:
    assert parse_selector(instance_selector(instance_id)).matches(labels) is is_ours


def test_no_state_of_the_process_is_in_the_defaults() -> None:
    assert ControllerSettings() == ControllerSettings()
    with pytest.raises(AttributeError):
        ControllerSettings().qps = 1  # type: ignore[misc]
