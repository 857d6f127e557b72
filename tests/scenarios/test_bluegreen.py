from tests.kube.virtual_time import virtual_time
from tests.scenarios.manifests import EXAMPLES

from prograde.simulator.world import World, world

BLUE, GREEN = "argoproj/rollouts-demo:blue", "argoproj/rollouts-demo:green"
BROKEN = "argoproj/rollouts-demo:does-not-exist"
NAME = "bluegreen-demo"


def selected_image(it: World, service: str) -> str:
    """Return the image of the pods that a Service selects."""
    selector = it.sandbox.get("services", service)["spec"]["selector"]
    wanted = selector["rollouts-pod-template-hash"]
    sets = it.sandbox.list("replicasets", labels=f"rollouts-pod-template-hash={wanted}")
    image: str = sets[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


async def released(it: World) -> None:
    it.apply(EXAMPLES / "bluegreen.yaml")
    await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_the_first_version_gets_all_pods_and_both_services() -> None:
    async with world() as it:
        await released(it)
        assert it.sizes() == {BLUE: 3}
        assert selected_image(it, f"{NAME}-active") == BLUE
        assert selected_image(it, f"{NAME}-preview") == BLUE


@virtual_time
async def test_a_new_version_waits_for_its_promotion_takes_over_and_the_old_one_leaves_later() -> None:
    async with world() as it:
        await released(it)
        it.set_image(NAME, GREEN)
        await it.until_phase(NAME, "Paused")
        assert it.sizes() == {BLUE: 3, GREEN: 1}
        assert selected_image(it, f"{NAME}-preview") == GREEN
        assert selected_image(it, f"{NAME}-active") == BLUE
        it.promote(NAME)
        await it.until(lambda: selected_image(it, f"{NAME}-active") == GREEN)
        assert it.sizes() == {BLUE: 3, GREEN: 3}, "the old version stays for connections that still lead there"
        await it.until(lambda: it.sizes()[BLUE] == 0, seconds=40)
        await it.until_phase(NAME, "Healthy")


@virtual_time
async def test_an_abort_before_the_switch_leaves_the_active_version_alone() -> None:
    async with world() as it:
        await released(it)
        it.set_image(NAME, GREEN)
        await it.until_phase(NAME, "Paused")
        it.abort(NAME)
        await it.until_phase(NAME, "Degraded")
        await it.until(lambda: it.sizes()[GREEN] == 0, seconds=60)
        assert it.sizes()[BLUE] == 3
        assert selected_image(it, f"{NAME}-active") == BLUE


@virtual_time
async def test_a_broken_version_never_gets_the_traffic() -> None:
    async with world() as it:
        await released(it)
        it.set_image(NAME, BROKEN)
        await it.until_phase(NAME, "Degraded")
        assert selected_image(it, f"{NAME}-active") == BLUE
        assert it.sizes()[BLUE] == 3
        it.set_image(NAME, BLUE)
        await it.until_phase(NAME, "Healthy")
        assert selected_image(it, f"{NAME}-active") == BLUE


@virtual_time
async def test_a_rollout_whose_service_is_missing_says_so_and_goes_on_once_it_is_there() -> None:
    async with world() as it:
        documents = (EXAMPLES / "bluegreen.yaml").read_text().split("\n---\n")
        it.apply(documents[0])
        await it.until_phase(NAME, "Degraded")
        assert f'service "{NAME}-active" not found' in it.rollout(NAME).status.message
        it.apply("\n---\n".join(documents[1:]))
        await it.until_phase(NAME, "Healthy", seconds=60)


@virtual_time
async def test_a_service_that_no_rollout_uses_any_more_loses_the_hash() -> None:
    async with world() as it:
        await released(it)
        it.sandbox.delete("rollouts", NAME)

        def is_clean() -> bool:
            service = it.sandbox.get("services", f"{NAME}-active")
            return "rollouts-pod-template-hash" not in service["spec"]["selector"]

        await it.until(is_clean, seconds=30)
        annotations = it.sandbox.get("services", f"{NAME}-active")["metadata"].get("annotations") or {}
        assert "argo-rollouts.argoproj.io/managed-by-rollouts" not in annotations
