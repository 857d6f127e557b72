"""Image references: grammar, normal form, and the words that choose a behaviour."""

import pytest

from prograde.sandbox.kubelet.images import ImageRule, ImageTraits, image_id, image_traits, normalized_reference


@pytest.mark.parametrize(
    ("image", "traits"),
    [
        pytest.param("nginx", ImageTraits(), id="plain"),
        pytest.param("registry.example:5000/a/b_c/d:V1.2", ImageTraits(), id="registry, path and tag"),
        pytest.param(f"nginx@sha256:{'a' * 64}", ImageTraits(), id="digest"),
        pytest.param("localhost/x", ImageTraits(), id="localhost"),
        pytest.param("shop/does-not-exist:1", ImageTraits(pull="missing"), id="does-not-exist in the name"),
        pytest.param("shop/a:no-such-tag", ImageTraits(pull="missing"), id="no-such in the tag"),
        pytest.param("shop/nonexistent", ImageTraits(pull="missing"), id="nonexist"),
        pytest.param("invalid-image", ImageTraits(pull="missing"), id="invalid-image"),
        pytest.param("a:argo-error", ImageTraits(pull="missing"), id="argo-error"),
        pytest.param("bad-image", ImageTraits(pull="missing"), id="bad-image"),
        pytest.param("Nginx", ImageTraits(pull="invalid"), id="upper case"),
        pytest.param("nginx:", ImageTraits(pull="invalid"), id="empty tag"),
        pytest.param("a b", ImageTraits(pull="invalid"), id="blank"),
        pytest.param("", ImageTraits(pull="invalid"), id="empty"),
        pytest.param("https://x/y", ImageTraits(pull="invalid"), id="a URL"),
        pytest.param("a:v1-crash", ImageTraits(exit_after_seconds=1, exit_code=1), id="crash"),
        pytest.param("crash/a:1", ImageTraits(), id="crash in the name"),
        pytest.param("a:oom-2", ImageTraits(exit_after_seconds=1, exit_code=137, exit_reason="OOMKilled"), id="oom"),
        pytest.param("a:room", ImageTraits(), id="oom inside a word"),
        pytest.param("a:never-ready", ImageTraits(are_probes_failing=True), id="never-ready"),
        pytest.param("bad-health:1", ImageTraits(are_probes_failing=True), id="bad-health"),
        pytest.param("a:slow-15", ImageTraits(ready_after_seconds=15), id="slow-N"),
        pytest.param("a:slow-lane", ImageTraits(), id="slow without a number"),
    ],
)
def test_traits(image: str, traits: ImageTraits) -> None:
    assert image_traits(image) == traits


def test_rules_can_be_replaced() -> None:
    rules = (ImageRule("reference", "^mine/", ImageTraits(pull="missing")),)
    assert image_traits("mine/app", rules) == ImageTraits(pull="missing")
    assert image_traits("bad-image", rules) == ImageTraits()


@pytest.mark.parametrize(
    ("image", "normal", "identity"),
    [
        ("nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx@sha256:d"),
        ("shop/app:1", "docker.io/shop/app:1", "docker.io/shop/app@sha256:d"),
        ("ghcr.io/shop/app", "ghcr.io/shop/app:latest", "ghcr.io/shop/app@sha256:d"),
        ("host:5000/app", "host:5000/app:latest", "host:5000/app@sha256:d"),
        ("localhost/app:2", "localhost/app:2", "localhost/app@sha256:d"),
        ("app@sha256:e", "docker.io/library/app@sha256:e", "docker.io/library/app@sha256:d"),
    ],
)
def test_references_as_a_runtime_reports_them(image: str, normal: str, identity: str) -> None:
    assert normalized_reference(image) == normal
    assert image_id(image, "d") == identity
