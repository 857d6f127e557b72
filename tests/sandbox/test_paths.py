import pytest

from prograde.sandbox.paths import ResourcePath, parse_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ResourcePath("", "v1", None, "pods")),
        ("/api/v1/namespaces", ResourcePath("", "v1", None, "namespaces")),
        ("/api/v1/namespaces/a", ResourcePath("", "v1", None, "namespaces", "a")),
        ("/api/v1/namespaces/a/status", ResourcePath("", "v1", None, "namespaces", "a", "status")),
        ("/api/v1/namespaces/a/finalize", ResourcePath("", "v1", None, "namespaces", "a", "finalize")),
        ("/api/v1/namespaces/a/pods", ResourcePath("", "v1", "a", "pods")),
        ("/api/v1/namespaces/a/pods/p/log", ResourcePath("", "v1", "a", "pods", "p", "log")),
        ("/api/v1/namespaces/a/services/s/proxy/x/y", ResourcePath("", "v1", "a", "services", "s", "proxy", "x/y")),
        ("/apis/apps/v1/deployments", ResourcePath("apps", "v1", None, "deployments")),
        ("/apis/apps/v1/namespaces/a/status/x", ResourcePath("apps", "v1", "a", "status", "x")),
        ("/apis/e.io/v1/things/t/scale", ResourcePath("e.io", "v1", None, "things", "t", "scale")),
        ("//api//v1/pods/", ResourcePath("", "v1", None, "pods")),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%3Ab",
            ResourcePath("rbac.authorization.k8s.io", "v1", None, "clusterroles", "a:b"),
        ),
        ("/api/v1", None),
        ("/apis/apps/v1", None),
        ("/apis", None),
        ("/openapi/v3/api/v1", None),
        ("/", None),
    ],
)
def test_a_path_names_a_resource_or_nothing(path: str, expected: ResourcePath | None) -> None:
    assert parse_path(path) == expected
