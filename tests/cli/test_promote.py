import msgspec
import pytest

from prograde.api.rollout import Rollout
from prograde.cli.framework import CliError
from prograde.cli.promote import Promotion, promotion


def rollout(spec: dict[str, object] | None = None, status: dict[str, object] | None = None, steps: int = 3) -> Rollout:
    canary: dict[str, object] = {"steps": [{"setWeight": 10 * number} for number in range(steps)]} if steps else {}
    body = {"spec": {"strategy": {"canary": canary}, **(spec or {})}, "status": status or {}}
    return msgspec.convert(body, Rollout)


BLUE_GREEN = {"strategy": {"blueGreen": {"activeService": "active"}}}
PAUSED = {"pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}]}
UNPAUSE = {"spec": {"paused": False}}


@pytest.mark.parametrize(
    ("given", "flags", "expected"),
    [
        pytest.param(
            rollout(status={"currentStepIndex": 1}),
            {"skip_current_step": True},
            Promotion(status={"status": {"currentStepIndex": 2}}, unified={"status": {"currentStepIndex": 2}}),
            id="skipping the current step",
        ),
        pytest.param(
            rollout(status={"currentStepIndex": 3}),
            {"skip_current_step": True},
            Promotion(status={"status": {"currentStepIndex": 3}}, unified={"status": {"currentStepIndex": 3}}),
            id="skipping at the end stays at the end",
        ),
        pytest.param(
            rollout(),
            {"skip_all_steps": True},
            Promotion(status={"status": {"currentStepIndex": 3}}, unified={"status": {"currentStepIndex": 3}}),
            id="skipping all steps",
        ),
        pytest.param(
            rollout({"paused": True}, {"currentPodHash": "b", "stableRS": "a"}),
            {"full": True},
            Promotion(
                spec=UNPAUSE,
                status={"status": {"promoteFull": True}},
                unified={"spec": {"paused": False}, "status": {"promoteFull": True}},
            ),
            id="full promotion of a manually paused rollout sends both patches",
        ),
        pytest.param(
            rollout(status={"currentPodHash": "a", "stableRS": "a"}),
            {"full": True},
            Promotion(unified={"spec": {"paused": False}, "status": {"promoteFull": True}}),
            id="full promotion of a promoted rollout sends nothing",
        ),
        pytest.param(
            rollout(
                status={
                    **PAUSED,
                    "controllerPause": True,
                    "currentStepIndex": 1,
                    "canary": {"currentStepAnalysisRunStatus": {"name": "run", "status": "Inconclusive"}},
                }
            ),
            {},
            Promotion(
                status={"status": {"pauseConditions": None, "controllerPause": False, "currentStepIndex": 2}},
                unified={"spec": {"paused": False}, "status": {"pauseConditions": None}},
            ),
            id="an inconclusive analysis step is passed over",
        ),
        pytest.param(
            rollout({"paused": True}, {**PAUSED, "currentStepIndex": 1}),
            {},
            Promotion(
                spec=UNPAUSE,
                status={"status": {"pauseConditions": None}},
                unified={"spec": {"paused": False}, "status": {"pauseConditions": None}},
            ),
            id="a pause is lifted and the step stays",
        ),
        pytest.param(
            rollout({"paused": True}, {"currentStepIndex": 1}),
            {},
            Promotion(
                spec=UNPAUSE,
                status={"status": {"pauseConditions": None, "currentStepIndex": 2}},
                unified={"spec": {"paused": False}, "status": {"pauseConditions": None, "currentStepIndex": 2}},
            ),
            id="without pause conditions a canary moves one step on, also when that only unpauses it",
        ),
        pytest.param(
            rollout(status={"currentStepIndex": 3}),
            {},
            Promotion(
                status={"status": {"pauseConditions": None, "currentStepIndex": 3}},
                unified={"spec": {"paused": False}, "status": {"pauseConditions": None, "currentStepIndex": 3}},
            ),
            id="promoting after the last step stays there",
        ),
        pytest.param(rollout({"paused": True}, steps=0), {}, Promotion(spec=UNPAUSE), id="no steps: unpause only"),
        pytest.param(rollout(steps=0), {}, Promotion(), id="no steps, not paused: nothing to do"),
        pytest.param(rollout(BLUE_GREEN), {}, Promotion(), id="blue-green that is not paused: nothing to do"),
        pytest.param(
            rollout(BLUE_GREEN, PAUSED),
            {},
            Promotion(
                status={"status": {"pauseConditions": None}},
                unified={"spec": {"paused": False}, "status": {"pauseConditions": None}},
            ),
            id="blue-green that is paused",
        ),
    ],
)
def test_promotion_patches_what_the_state_calls_for(
    given: Rollout, flags: dict[str, bool], expected: Promotion
) -> None:
    assert promotion(given, **flags) == expected


@pytest.mark.parametrize(
    ("given", "flags", "message"),
    [
        (
            rollout(),
            {"skip_current_step": True, "skip_all_steps": True},
            "Cannot use skip-current-step and skip-all-steps flags at the same time",
        ),
        (
            rollout(BLUE_GREEN),
            {"skip_all_steps": True},
            "Cannot skip steps of a bluegreen rollout. Run without a flags",
        ),
        (rollout(steps=0), {"skip_current_step": True}, "Cannot skip steps of a rollout without steps"),
    ],
)
def test_flags_that_do_not_fit_are_refused(given: Rollout, flags: dict[str, bool], message: str) -> None:
    with pytest.raises(CliError, match=message):
        promotion(given, **flags)
