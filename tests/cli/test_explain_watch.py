"""`explain --watch` beside a release that goes on, as somebody in a second terminal sees it."""

from pathlib import Path

import pytest
from tests.cli.live import cluster_with_controller, rollout, until

pytestmark = pytest.mark.cluster


def test_a_watch_tells_every_new_reason_and_ends_when_nothing_is_waited_for(tmp_path: Path) -> None:
    with cluster_with_controller(tmp_path) as cluster:
        cluster.apply(rollout("cart"))
        cluster.wait_for("cart", "Healthy")
        assert cluster.prograde("explain", "cart", "--exit-code").code == 0
        assert cluster.prograde("plan", "cart").code == 0
        cluster.prograde("set", "image", "cart", "web=web:2")
        cluster.wait_for("cart", "Paused")
        assert cluster.prograde("explain", "cart", "--exit-code").code == 2
        with cluster.beside("prograde", "explain", "cart", "--watch", log="watch.log") as watch:
            cluster.wait_for_log("paused at step 2/2", "watch.log")
            assert watch.poll() is None
            assert cluster.prograde("promote", "cart").code == 0
            until(lambda: watch.poll() is not None, "the end of the watch")
            assert watch.returncode == 0
        lines = [line for line in cluster.log("watch.log").splitlines() if line.startswith("Rollout ")]
        assert len(lines) >= 2
        assert lines[-1] == "Rollout default/cart is Healthy and waits for nothing"
