"""From the controller's flags and environment to its settings."""

import logging
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from prograde.cli.controller import controller
from prograde.cli.controller_flags import settings_from, warn_of_flags_without_effect
from prograde.cli.framework import CliError
from prograde.controller.settings import ControllerSettings


def settings(*words: str, **environ: str) -> ControllerSettings:
    with controller.make_context("controller", list(words)) as ctx:
        return settings_from(ctx.params, {"POD_NAMESPACE": "argo-rollouts", **environ}, "shop")


def changes(found: ControllerSettings) -> dict[str, Any]:
    """Return what differs from the settings without any flag."""
    usual, given = msgspec.structs.asdict(settings()), msgspec.structs.asdict(found)
    return {name: value for name, value in given.items() if value != usual[name]}


def test_without_flags_the_settings_are_the_defaults_on_loopback() -> None:
    usual = ControllerSettings(endpoint_host="127.0.0.1", versions={"networking.istio.io": "v1alpha3"})
    assert settings() == usual


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--rollout-resync", "60"), {"resync_period": timedelta(seconds=60)}),
        (("--namespaced",), {"namespace": "shop"}),
        (("--instance-id=blue",), {"instance_id": "blue"}),
        (("--metricsPort=1", "--healthzPort=2"), {"metrics_port": 1, "healthz_port": 2}),
        (("--address=10.0.0.1",), {"endpoint_host": "10.0.0.1"}),
        (("--qps=0.5", "--burst=3"), {"qps": 0.5, "burst": 3}),
        (
            ("--rollout-threads=1", "--experiment-threads=4", "--service-threads=2", "--ingress-threads=3"),
            {"rollout_workers": 1, "experiment_workers": 4, "service_workers": 2, "ingress_workers": 3},
        ),
        (
            ("--ephemeral-metadata-threads=4", "--ephemeral-metadata-update-pod-retries=0"),
            {"pod_updates": 4, "pod_update_retries": 0},
        ),
        (("--istio-api-version", "v1"), {"versions": {"networking.istio.io": "v1"}}),
        (
            ("--nginx-ingress-classes=public", "--nginx-ingress-classes=private"),
            {"ingress_classes": frozenset({"public", "private", "alb"})},
        ),
        (("--nginx-ingress-classes=",), {"ingress_classes": frozenset({"", "alb"})}),
        (("--alb-ingress-classes=aws",), {"ingress_classes": frozenset({"nginx", "aws"})}),
        (("--leader-elect=false",), {"leader_elect": False}),
        (
            (
                "--leader-election-lease-duration=1m",
                "--leader-election-renew-deadline=40s",
                "--leader-election-retry-period=1500ms",
            ),
            {
                "lease_duration": timedelta(minutes=1),
                "renew_deadline": timedelta(seconds=40),
                "retry_period": timedelta(seconds=1.5),
            },
        ),
    ],
)
def test_a_flag_sets_what_it_is_for_and_nothing_else(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert changes(settings(*words)) == expected


@pytest.mark.parametrize(
    ("text", "seconds", "is_told"),
    [
        ("30", 30, False),
        ("1", 1, False),
        ("", 10, False),
        ("0", 10, True),
        ("-5", 10, True),
        ("5s", 10, True),
        ("1e3", 10, True),
        ("99999999999", 10, True),
    ],
)
def test_the_interval_of_verifying_weights_is_a_number_of_seconds_in_the_environment(
    text: str, seconds: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    found = settings(ROLLOUT_VERIFY_RETRY_INTERVAL=text)
    assert found.verify_retry_interval == timedelta(seconds=seconds)
    assert ("ROLLOUT_VERIFY_RETRY_INTERVAL" in caplog.text) is is_told


def test_inside_a_pod_the_endpoints_are_reachable_from_outside() -> None:
    assert changes(settings(KUBERNETES_SERVICE_HOST="10.0.0.1")) == {"endpoint_host": "0.0.0.0"}


def test_the_lease_lives_where_the_pod_lives() -> None:
    assert changes(settings(POD_NAMESPACE="tools")) == {"own_namespace": "tools"}


def test_a_duration_that_is_none_names_its_flag() -> None:
    with pytest.raises(CliError, match='invalid argument "soon" for "--leader-election-retry-period" flag'):
        settings("--leader-election-retry-period=soon")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("--aws-verify-target-group",), "--aws-verify-target-group"),
        (("--aws-target-group-binding-api-version=x/v1",), "--aws-target-group-binding-api-version"),
        (("--alb-tag-key-resource-id=x",), "--alb-tag-key-resource-id"),
        (("--ambassador-api-version=x/v1",), "--ambassador-api-version"),
        (("--traffic-split-api-version=v1",), "--traffic-split-api-version"),
        (("--traefik-api-group=x", "--rollout-threads=2"), "--traefik-api-group"),
        (("--traefik-api-version=x/v1",), "--traefik-api-version"),
        (("--appmesh-crd-version=v1",), "--appmesh-crd-version"),
        (("--self-service-notification-enabled",), "--self-service-notification-enabled"),
        (("--enable-pprof-address=:6060",), "--enable-pprof-address"),
        (("--ingress-api-version=extensions/v1beta1",), "--ingress-api-version"),
    ],
)
def test_a_flag_of_something_that_comes_later_is_taken_and_named(
    words: tuple[str, ...], flag: str, caplog: pytest.LogCaptureFixture
) -> None:
    with controller.make_context("controller", list(words)) as ctx:
        warn_of_flags_without_effect(ctx)
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith(f"Flag {flag} has no effect: ")


@pytest.mark.parametrize("words", [(), ("--ingress-api-version=networking/v1",), ("--istio-api-version=v1",)])
def test_flags_that_have_an_effect_or_ask_for_what_is_are_not_commented(
    words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with controller.make_context("controller", list(words)) as ctx:
        warn_of_flags_without_effect(ctx)
    assert caplog.messages == []
