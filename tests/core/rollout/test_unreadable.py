"""The status of a Rollout that cannot be read."""

from typing import Any

import msgspec
import pytest
from tests.core.rollout.builders import NOW, merged_into

from prograde.api.rollout import Rollout
from prograde.core.objects import JsonObject
from prograde.core.rollout.status import phase_and_message
from prograde.core.rollout.unreadable import unreadable_patch

ERROR = "Expected `int | null`, got `str` - at `$.spec.replicas`"
MESSAGE = 'The Rollout "cart" is invalid: spec.replicas: Expected `int | null`, got `str`'
STAMP = "2026-01-02T03:04:05Z"
INVALID = {
    "type": "InvalidSpec",
    "status": "True",
    "reason": "InvalidSpec",
    "message": MESSAGE,
    "lastUpdateTime": STAMP,
    "lastTransitionTime": STAMP,
}
AVAILABLE = {"type": "Available", "status": "True", "unknown": "field"}


def rollout(status: Any = None) -> JsonObject:
    metadata: JsonObject = {"name": "cart", "generation": 7}
    return {"metadata": metadata, "spec": {"replicas": "three"}, **({} if status is None else {"status": status})}


def test_it_is_degraded_and_says_where_the_mistake_is() -> None:
    assert unreadable_patch(rollout(), ERROR, NOW) == {
        "status": {
            "observedGeneration": "7",
            "phase": "Degraded",
            "message": f"InvalidSpec: {MESSAGE}",
            "conditions": [INVALID],
        }
    }


def test_clients_show_it_like_any_other_invalid_rollout() -> None:
    patched = merged_into(rollout({"phase": "Healthy"}), unreadable_patch(rollout({"phase": "Healthy"}), ERROR, NOW))
    patched["spec"]["replicas"] = 3
    readable = msgspec.json.decode(msgspec.json.encode(patched), type=Rollout)
    assert phase_and_message(readable) == ("Degraded", f"InvalidSpec: {MESSAGE}")


def test_other_conditions_and_counts_stay() -> None:
    patch = unreadable_patch(rollout({"replicas": 3, "conditions": [AVAILABLE]}), ERROR, NOW)
    status = patch["status"]
    assert isinstance(status, dict)
    assert status["conditions"] == [AVAILABLE, INVALID]
    assert "replicas" not in status


def test_what_is_marked_already_is_not_written_again() -> None:
    marked = merged_into(rollout(), unreadable_patch(rollout(), ERROR, NOW))
    assert unreadable_patch(marked, ERROR, NOW.replace(hour=9)) == {}


def test_another_mistake_gets_another_time() -> None:
    marked = rollout({"conditions": [{**INVALID, "message": "another", "lastTransitionTime": "x"}, AVAILABLE]})
    status = unreadable_patch(marked, ERROR, NOW)["status"]
    assert isinstance(status, dict)
    assert status["conditions"] == [AVAILABLE, INVALID]


def test_another_generation_is_observed() -> None:
    marked = merged_into(rollout(), unreadable_patch(rollout(), ERROR, NOW))
    marked["metadata"]["generation"] = 8
    assert unreadable_patch(marked, ERROR, NOW) == {"status": {"observedGeneration": "8"}}


@pytest.mark.parametrize("conditions", ["none", {"a": "b"}, 3, [1, "x", None], None])
def test_a_status_that_is_none_is_put_right(conditions: Any) -> None:
    status = unreadable_patch(rollout({"conditions": conditions}), ERROR, NOW)["status"]
    assert isinstance(status, dict)
    assert status["conditions"] == [INVALID]


@pytest.mark.parametrize("whole", [{}, {"metadata": "x"}, {"metadata": None, "status": [1]}, {"status": "Healthy"}])
def test_nothing_about_the_object_is_relied_on(whole: JsonObject) -> None:
    status = unreadable_patch(whole, ERROR, NOW)["status"]
    assert isinstance(status, dict)
    assert status["phase"] == "Degraded"


@pytest.mark.parametrize("error", ["Object is too deep", "Expected `object`, got `str` - at `$`"])
def test_an_error_without_a_place_stands_as_it_is(error: str) -> None:
    status = unreadable_patch(rollout(), error, NOW)["status"]
    assert isinstance(status, dict)
    assert status["message"] == f'InvalidSpec: The Rollout "cart" is invalid: {error}'
