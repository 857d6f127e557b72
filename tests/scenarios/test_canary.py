from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.world import world

BLUE, YELLOW = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:yellow"
BROKEN = "argoproj/rollouts-demo:does-not-exist"


@virtual_time
async def test_the_canary_example_goes_through_its_steps_and_comes_back_from_a_broken_version() -> None:
    async with world() as it:
        it.apply(EXAMPLES / "canary.yaml")
        await it.until_phase("canary-demo", "Healthy")
        assert it.sizes() == {BLUE: 5}
        it.set_image("canary-demo", YELLOW)
        await it.until_phase("canary-demo", "Paused")
        assert it.sizes() == {BLUE: 4, YELLOW: 1}
        it.promote("canary-demo")
        await it.until_phase("canary-demo", "Healthy")
        assert it.sizes() == {BLUE: 0, YELLOW: 5}
        it.set_image("canary-demo", BROKEN)
        await it.until_phase("canary-demo", "Degraded")
        it.abort("canary-demo")
        await it.until(lambda: it.sizes()[BROKEN] == 0)
        assert it.sizes()[YELLOW] == 5
