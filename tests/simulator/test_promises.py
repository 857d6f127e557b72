"""Each promise can be broken: what a bad controller would write is found out, by name, and a good one's is not."""

from collections.abc import Callable
from typing import Any

import pytest

from prograde.api.names import POD_TEMPLATE_HASH_LABEL, REVISION_ANNOTATION
from prograde.sandbox.cluster import Sandbox
from prograde.simulator.invariants import Invariants
from prograde.simulator.promises import PROMISES

Json = dict[str, Any]

NAME = "shop"
ACTIVE, PREVIEW = "aaa", "bbb"


def template(image: str) -> Json:
    return {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [{"name": "web", "image": image}]}}


class Stage:
    """A cluster in which nobody acts but the test, in the place of a controller."""

    def __init__(self, strategy: Json, *, replicas: int = 4, **status: Any) -> None:
        self.sandbox = Sandbox(controllers=False, managed_fields="off")
        self.invariants = Invariants(self.sandbox)
        with self.invariants.by_user():
            self.sandbox.apply(
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Rollout",
                    "metadata": {"name": NAME, "annotations": {REVISION_ANNOTATION: "2"}},
                    "spec": {
                        "replicas": replicas,
                        "selector": {"matchLabels": {"app": NAME}},
                        "strategy": strategy,
                        "template": template("web:2"),
                    },
                }
            )
            self.status(stableRS=ACTIVE, currentPodHash=PREVIEW, **status)
            for name in ("active", "preview"):
                selector = {"app": NAME, POD_TEMPLATE_HASH_LABEL: ACTIVE}
                self.sandbox.apply(
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "metadata": {"name": name},
                        "spec": {"selector": selector, "ports": [{"port": 80}]},
                    }
                )

    def set_of(self, hash_: str, image: str, *, size: int, available: int, revision: int) -> None:
        """Have a ReplicaSet with pods, made in the right order."""
        uid = self.sandbox.get("rollouts", NAME)["metadata"]["uid"]
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME, "uid": uid, "controller": True}
        labels = {"app": NAME, POD_TEMPLATE_HASH_LABEL: hash_}
        pod = template(image)
        pod["metadata"] = {"labels": labels}
        self.sandbox.create(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"{NAME}-{hash_}",
                    "labels": labels,
                    "annotations": {REVISION_ANNOTATION: str(revision)},
                    "ownerReferences": [owner],
                },
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
            }
        )
        with self.invariants.by_user():
            self.resize(hash_, size)
        self.pods(hash_, available)

    def resize(self, hash_: str, size: int) -> None:
        self.sandbox.patch("replicasets", f"{NAME}-{hash_}", {"spec": {"replicas": size}})

    def pods(self, hash_: str, count: int) -> None:
        counts = {"replicas": count, "readyReplicas": count, "availableReplicas": count}
        self.sandbox.patch("replicasets", f"{NAME}-{hash_}", {"status": counts}, subresource="status")

    def status(self, **fields: Any) -> None:
        self.sandbox.patch("rollouts", NAME, {"status": fields}, subresource="status")

    def later(self) -> None:
        """Let so much time pass that nobody may act on anything but the present state."""
        self.sandbox.advance(60)

    @property
    def broken(self) -> list[str]:
        return [each.partition(":")[0] for each in self.invariants.violations]


CANARY: Json = {"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 25}, {"pause": {}}]}}
BLUE_GREEN: Json = {"blueGreen": {"activeService": "active", "previewService": "preview"}}


def canary(**status: Any) -> Stage:
    on = Stage(CANARY, **status)
    on.set_of(ACTIVE, "web:1", size=4, available=4, revision=1)
    on.set_of(PREVIEW, "web:2", size=1, available=1, revision=2)
    on.invariants.violations.clear()
    on.later()
    return on


def blue_green(*, preview: int = 4) -> Stage:
    on = Stage(BLUE_GREEN, blueGreen={"activeSelector": ACTIVE, "previewSelector": PREVIEW})
    on.set_of(ACTIVE, "web:1", size=4, available=4, revision=1)
    on.set_of(PREVIEW, "web:2", size=4, available=preview, revision=2)
    on.invariants.violations.clear()
    on.later()
    return on


def recreate() -> Stage:
    on = Stage({"recreate": {}})
    on.set_of(ACTIVE, "web:1", size=4, available=4, revision=1)
    on.set_of(PREVIEW, "web:2", size=0, available=0, revision=2)
    on.invariants.violations.clear()
    on.later()
    return on


def switch(on: Stage, hash_: str) -> None:
    on.sandbox.patch("services", "active", {"spec": {"selector": {POD_TEMPLATE_HASH_LABEL: hash_}}})


def test_a_good_canary_breaks_nothing() -> None:
    on = canary(currentStepIndex=0)
    on.status(currentStepIndex=1)
    on.resize(ACTIVE, 3)
    on.status(currentStepIndex=2, abort=None)
    assert on.broken == []


def test_a_good_recreate_breaks_nothing() -> None:
    on = recreate()
    on.resize(ACTIVE, 0)
    on.resize(PREVIEW, 4)
    assert on.broken == []


def test_a_good_switch_breaks_nothing() -> None:
    on = blue_green()
    switch(on, PREVIEW)
    on.status(stableRS=PREVIEW, blueGreen={"activeSelector": PREVIEW})
    on.later()
    on.resize(ACTIVE, 0)
    assert on.broken == []


@pytest.mark.parametrize(
    ("stage", "do", "broken"),
    [
        pytest.param(canary, lambda on: on.resize(PREVIEW, 2), "surge", id="too many pods"),
        pytest.param(canary, lambda on: on.resize(ACTIVE, 2), "availability", id="too few pods"),
        pytest.param(
            recreate, lambda on: on.resize(PREVIEW, 4), "one_version_at_a_time", id="two versions with Recreate"
        ),
        pytest.param(
            lambda: canary(currentStepIndex=0),
            lambda on: on.status(currentStepIndex=3),
            "steps_go_one_by_one",
            id="a step beyond the last",
        ),
        pytest.param(
            canary, lambda on: on.status(stableRS=PREVIEW), "stable_is_earned", id="a promotion without the pods"
        ),
        pytest.param(
            lambda: canary(abort=True), lambda on: on.status(stableRS=PREVIEW), "aborted_means_back", id="aborted"
        ),
        pytest.param(
            canary,
            lambda on: on.set_of("ccc", "web:2", size=0, available=0, revision=3),
            "one_set_per_template",
            id="two ReplicaSets for a template",
        ),
        pytest.param(
            canary,
            lambda on: on.set_of("ccc", "web:3", size=0, available=0, revision=2),
            "revisions_are_unique",
            id="two ReplicaSets of a revision",
        ),
        pytest.param(
            canary,
            lambda on: on.sandbox.patch("rollouts", NAME, {"metadata": {"annotations": {REVISION_ANNOTATION: "1"}}}),
            "revision_goes_up",
            id="a revision goes back",
        ),
        pytest.param(
            lambda: canary(
                currentStepIndex=1, pauseConditions=[{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}]
            ),
            lambda on: on.status(pauseConditions=None),
            "pauses_are_ended_by_people",
            id="a pause ends by itself",
        ),
        pytest.param(lambda: blue_green(preview=3), lambda on: switch(on, PREVIEW), "switch_to_the_ready", id="early"),
        pytest.param(blue_green, lambda on: switch(on, "ccc"), "no_traffic_to_nobody", id="to nobody"),
        pytest.param(blue_green, lambda on: on.resize(ACTIVE, 3), "traffic_keeps_its_pods", id="the active shrinks"),
        pytest.param(blue_green, lambda on: on.resize(ACTIVE, 0), "no_traffic_to_nobody", id="the active goes"),
        pytest.param(
            blue_green, lambda on: on.status(stableRS=PREVIEW), "stable_is_earned", id="stable without traffic"
        ),
        pytest.param(
            canary,
            lambda on: on.sandbox.delete("replicasets", f"{NAME}-{ACTIVE}", propagation="Background"),
            "deleted_sets_are_empty",
            id="a ReplicaSet with pods is deleted",
        ),
    ],
)
def test_what_breaks_a_promise_is_found(stage: Callable[[], Stage], do: Callable[[Stage], None], broken: str) -> None:
    on = stage()
    assert on.broken == []
    do(on)
    assert broken in on.broken


def test_a_user_may_do_what_a_controller_may_not() -> None:
    on = canary()
    with on.invariants.by_user():
        on.status(stableRS=PREVIEW)
    assert on.broken == []


def test_who_could_not_know_yet_is_excused_as_long_as_that_explains() -> None:
    on = canary()
    on.pods(ACTIVE, 0)
    on.invariants.allow_staleness(30, for_seconds=60)
    on.resize(ACTIVE, 3)
    assert on.broken == [], "the pods were there until now"
    on.sandbox.advance(31)
    on.pods(ACTIVE, 3)
    on.sandbox.advance(61)
    on.resize(ACTIVE, 2)
    assert "availability" in on.broken


def test_an_excused_promise_is_checked_again_afterwards() -> None:
    on = canary()
    on.invariants.excuse(("surge",), for_seconds=10)
    on.resize(PREVIEW, 2)
    assert on.broken == []
    on.sandbox.advance(11)
    on.resize(PREVIEW, 3)
    assert on.broken == ["surge"]


def test_every_promise_says_what_must_hold() -> None:
    functions = [function for registered in PROMISES.values() for function in registered]
    assert len(functions) >= 16
    for function in functions:
        assert function.__doc__, function.__name__
