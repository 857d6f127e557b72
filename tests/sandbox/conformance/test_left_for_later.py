"""Rows of the conformance checklist that this cluster does not fulfil yet, and why.

Each is a test that would fail: the day somebody builds the part, the strict mark makes the suite say so.
"""

import pytest

LATER = {
    "row_65_restart_from_disk_keeps_objects_and_expires_old_versions": "objects are kept in memory only",
    "row_100_an_autoscaler_scales_a_rollout": "there is no autoscaling controller; autoscalers are stored and shown",
    "row_109_process_pods_answer_and_die_with_the_cluster": "pods are simulated, no processes are started",
    "row_110_routing_objects_share_requests_by_weight": "there is no gateway",
    "row_111_a_service_switch_moves_connections_at_once": "nothing listens on service addresses",
    "row_112_promql_agrees_with_prometheus": "there is no metrics endpoint to query",
    "row_115_recorded_requests_of_other_client_versions_replay": "only the installed kubectl has been tried",
    "row_116_scenario_manifests_of_the_reference_pass": "belongs to the suite of whole rollouts",
}

_MODULES = {
    "row_65": "prograde.sandbox.persist",
    "row_100": "prograde.sandbox.controllers.hpa",
    "row_109": "prograde.sandbox.kubelet.process",
    "row_110": "prograde.sandbox.net.gateway",
    "row_111": "prograde.sandbox.net.l4",
    "row_112": "prograde.sandbox.net.promql",
    "row_115": "tests.sandbox.conformance.test_recorded_requests",
    "row_116": "tests.sandbox.conformance.test_scenarios",
}


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.xfail(reason=reason, strict=True)) for row, reason in LATER.items()],
)
def test_left_for_later(row: str) -> None:
    __import__(_MODULES["_".join(row.split("_")[:2])])
