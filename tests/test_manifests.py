"""The install manifests: objects, rights and security settings, and that the written-out files are current."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import prograde
from prograde.api.crd import custom_resource_definitions
from prograde.sandbox.cluster import Sandbox

MANIFESTS = Path(__file__).parents[1] / "manifests"
KUBECTL = Path(sys.executable).with_name("kubectl")

Object = dict[str, Any]


def load(path: str) -> list[Object]:
    documents = yaml.load_all((MANIFESTS / path).read_text(encoding="utf-8"), yaml.CSafeLoader)
    return [document for document in documents if document is not None]


def find(objects: list[Object], kind: str, name: str = "argo-rollouts") -> Object:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def grants(role: Object) -> dict[tuple[str, str], set[str]]:
    """Return the verbs of a role by (group, resource); each pair must stand in one rule only."""
    result: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in result
                result[group, resource] = set(rule["verbs"])
                assert len(result[group, resource]) == len(rule["verbs"])
    return result


@pytest.fixture(scope="module")
def cluster_install() -> list[Object]:
    return load("install.yaml")


@pytest.fixture(scope="module")
def namespace_install() -> list[Object]:
    return load("namespace-install.yaml")


# --- What is installed ------------------------------------------------------------------------------------------------

BASE = {
    ("ServiceAccount", "argo-rollouts"),
    ("Deployment", "argo-rollouts"),
    ("ConfigMap", "argo-rollouts-config"),
    ("Secret", "argo-rollouts-notification-secret"),
    ("Service", "argo-rollouts-metrics"),
    ("ClusterRole", "argo-rollouts-aggregate-to-view"),
    ("ClusterRole", "argo-rollouts-aggregate-to-edit"),
    ("ClusterRole", "argo-rollouts-aggregate-to-admin"),
}


def identities(objects: list[Object]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


def test_the_cluster_install_has_the_custom_resources_and_a_cluster_role(cluster_install: list[Object]) -> None:
    assert identities(cluster_install) == BASE | {
        ("ClusterRole", "argo-rollouts"),
        ("ClusterRoleBinding", "argo-rollouts"),
        *(("CustomResourceDefinition", each["metadata"]["name"]) for each in custom_resource_definitions()),
    }


def test_the_namespace_install_has_a_role_and_no_custom_resources(namespace_install: list[Object]) -> None:
    assert identities(namespace_install) == BASE | {("Role", "argo-rollouts"), ("RoleBinding", "argo-rollouts")}


def test_the_custom_resources_installed_are_the_current_ones(cluster_install: list[Object]) -> None:
    for definition in custom_resource_definitions():
        assert find(cluster_install, "CustomResourceDefinition", definition["metadata"]["name"]) == definition


def test_no_object_names_a_namespace(cluster_install: list[Object], namespace_install: list[Object]) -> None:
    for each in (*cluster_install, *namespace_install):
        assert "namespace" not in each["metadata"], each["metadata"]["name"]


def test_the_cluster_role_is_bound_to_the_service_account_in_namespace_argo_rollouts(
    cluster_install: list[Object],
) -> None:
    binding = find(cluster_install, "ClusterRoleBinding")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "argo-rollouts"}
    assert binding["roleRef"] == role
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "argo-rollouts", "namespace": "argo-rollouts"}]


def test_the_role_is_bound_to_the_service_account_beside_it(namespace_install: list[Object]) -> None:
    binding = find(namespace_install, "RoleBinding")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "argo-rollouts"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "argo-rollouts"}]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ServiceAccount", "argo-rollouts"),
        ("Deployment", "argo-rollouts"),
        ("ConfigMap", "argo-rollouts-config"),
        ("Secret", "argo-rollouts-notification-secret"),
        ("ClusterRole", "argo-rollouts"),
        ("ClusterRoleBinding", "argo-rollouts"),
    ],
)
def test_objects_of_the_controller_carry_the_common_labels(cluster_install: list[Object], kind: str, name: str) -> None:
    assert find(cluster_install, kind, name)["metadata"]["labels"] == {
        "app.kubernetes.io/component": "rollouts-controller",
        "app.kubernetes.io/name": "argo-rollouts",
        "app.kubernetes.io/part-of": "argo-rollouts",
    }


def test_configuration_and_credentials_start_empty(cluster_install: list[Object]) -> None:
    assert "data" not in find(cluster_install, "ConfigMap", "argo-rollouts-config")
    secret = find(cluster_install, "Secret", "argo-rollouts-notification-secret")
    assert not {"data", "stringData"} & secret.keys()


@pytest.mark.parametrize("file", ["install.yaml", "namespace-install.yaml", "dashboard/rbac.yaml"])
def test_a_cluster_accepts_what_is_installed_and_a_second_time_changes_nothing(file: str) -> None:
    cluster = Sandbox(controllers=False, crds=())
    objects = load(file)
    assert identities(cluster.apply(objects)) == identities(objects)
    revision = cluster.revision  # definitions have been established by now
    assert identities(cluster.apply(objects)) == identities(objects)
    assert cluster.revision == revision


# --- The controller's pod ---------------------------------------------------------------------------------------------


def container_of(objects: list[Object]) -> Object:
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_the_deployment_selects_by_name_only(cluster_install: list[Object]) -> None:
    spec = find(cluster_install, "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate"}
    assert spec["selector"] == {"matchLabels": {"app.kubernetes.io/name": "argo-rollouts"}}
    assert spec["template"]["metadata"]["labels"] == {"app.kubernetes.io/name": "argo-rollouts"}
    assert spec["template"]["spec"]["serviceAccountName"] == "argo-rollouts"


def test_the_image_has_the_version_of_the_package(cluster_install: list[Object]) -> None:
    assert container_of(cluster_install)["image"] == f"prograde:{prograde.__version__}"


def test_only_the_namespace_install_runs_with_namespaced(
    cluster_install: list[Object], namespace_install: list[Object]
) -> None:
    assert container_of(cluster_install)["command"] == ["prograde"]
    assert container_of(cluster_install)["args"] == ["controller"]
    assert container_of(namespace_install)["args"] == ["controller", "--namespaced"]


def test_metrics_and_health_are_served_on_their_ports(cluster_install: list[Object]) -> None:
    container = container_of(cluster_install)
    assert container["ports"] == [
        {"name": "metrics", "containerPort": 8090},
        {"name": "healthz", "containerPort": 8080},
    ]
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": "healthz"},
        "initialDelaySeconds": 30,
        "periodSeconds": 20,
        "timeoutSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert "readinessProbe" not in container
    service = find(cluster_install, "Service", "argo-rollouts-metrics")
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": "argo-rollouts"}
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8090, "protocol": "TCP", "targetPort": 8090}]


def test_the_pod_satisfies_the_restricted_security_standard(cluster_install: list[Object]) -> None:
    pod = find(cluster_install, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 999}
    assert container_of(cluster_install)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_only_plugins_and_temporary_files_are_writable(cluster_install: list[Object]) -> None:
    pod = find(cluster_install, "Deployment")["spec"]["template"]["spec"]
    container = container_of(cluster_install)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"plugin-bin": "/home/argo-rollouts/plugin-bin", "tmp": "/tmp"}
    assert all(volume["emptyDir"] == {} for volume in pod["volumes"])
    assert {volume["name"] for volume in pod["volumes"]} == mounts.keys()
    assert container["workingDir"] == "/home/argo-rollouts"
    assert container["resources"] == {"limits": {"ephemeral-storage": "1Gi"}}


# --- Rights -----------------------------------------------------------------------------------------------------------

READ = "get list watch"
CONTROLLER_ROWS = [
    ("argoproj.io", "rollouts rollouts/status rollouts/finalizers", "get list watch update patch"),
    (
        "argoproj.io",
        "analysisruns analysisruns/finalizers experiments experiments/finalizers",
        "create get list watch update patch delete",
    ),
    ("argoproj.io", "analysistemplates clusteranalysistemplates", READ),
    ("apps", "replicasets", "create get list watch update patch delete"),
    (" apps", "deployments podtemplates", "get list watch update"),
    ("", "services", "get list watch patch create delete"),
    ("coordination.k8s.io", "leases", "create get update"),
    ("", "secrets configmaps", READ),
    # Argo Rollouts' role lacks "get", so that the retry of a metadata update after a conflict is forbidden.
    ("", "pods", "get list update watch"),
    ("", "pods/eviction", "create"),
    ("", "events", "create update patch"),
    ("networking.k8s.io extensions", "ingresses", "create get list watch update patch"),
    ("batch", "jobs", "create get list watch update patch delete"),
    # Argo Rollouts leaves these to the role of its plugin, without "watch".
    ("gateway.networking.k8s.io", "httproutes grpcroutes tcproutes tlsroutes", "get list watch update patch"),
    ("networking.istio.io", "virtualservices destinationrules", "watch get update patch list"),
    ("split.smi-spec.io", "trafficsplits", "create watch get update patch"),
    ("getambassador.io x.getambassador.io", "mappings ambassadormappings", "create watch get update list delete"),
    ("", "endpoints", "get"),
    ("elbv2.k8s.aws eks.amazonaws.com", "targetgroupbindings", "list get"),
    ("appmesh.k8s.aws", "virtualservices", "watch get list"),
    ("appmesh.k8s.aws", "virtualnodes virtualrouters", "watch get list update patch"),
    ("traefik.containo.us traefik.io", "traefikservices", "watch get update"),
    # Argo Rollouts' role lacks "create" and "delete", which routes by header need.
    ("apisix.apache.org", "apisixroutes", "watch get update create delete"),
]
DASHBOARD_ROWS = [
    ("argoproj.io", "rollouts rollouts/status rollouts/finalizers", "get list watch update patch"),
    (
        "argoproj.io",
        "analysisruns analysisruns/finalizers experiments experiments/finalizers",
        "create get list watch",
    ),
    ("argoproj.io", "analysistemplates clusteranalysistemplates", READ),
    ("apps", "deployments", "get update list watch patch"),
    ("apps", "replicasets", READ),
    ("", "pods", "list watch"),
]


def expected_grants(rows: list[tuple[str, str, str]]) -> dict[tuple[str, str], set[str]]:
    return {
        (group, resource): set(verbs.split())
        for groups, resources, verbs in rows
        for group in groups.split(" ")
        for resource in resources.split()
    }


def test_the_controller_has_exactly_these_rights(cluster_install: list[Object]) -> None:
    assert grants(find(cluster_install, "ClusterRole")) == expected_grants(CONTROLLER_ROWS)


def test_a_namespaced_controller_has_the_same_rights_in_its_namespace(
    cluster_install: list[Object], namespace_install: list[Object]
) -> None:
    assert find(namespace_install, "Role")["rules"] == find(cluster_install, "ClusterRole")["rules"]


VIEWED = {
    "rollouts",
    "rollouts/scale",
    "experiments",
    "analysistemplates",
    "clusteranalysistemplates",
    "analysisruns",
}
EDITING = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}


@pytest.mark.parametrize(
    ("level", "resources", "verbs"),
    [
        ("view", VIEWED, {"get", "list", "watch"}),
        ("edit", VIEWED | {"rollouts/status"}, EDITING),
        ("admin", VIEWED | {"rollouts/status"}, EDITING),
    ],
)
def test_the_roles_of_users_are_extended(
    cluster_install: list[Object], level: str, resources: set[str], verbs: set[str]
) -> None:
    name = f"argo-rollouts-aggregate-to-{level}"
    role = find(cluster_install, "ClusterRole", name)
    assert role["metadata"]["labels"] == {
        "app.kubernetes.io/component": "aggregate-cluster-role",
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "argo-rollouts",
        f"rbac.authorization.k8s.io/aggregate-to-{level}": "true",
    }
    assert grants(role) == {("argoproj.io", resource): verbs for resource in resources}


def test_the_dashboard_has_exactly_these_rights() -> None:
    objects = load("dashboard/rbac.yaml")
    role = find(objects, "ClusterRole", "argo-rollouts-dashboard")
    assert grants(role) == expected_grants(DASHBOARD_ROWS)
    binding = find(objects, "ClusterRoleBinding", "argo-rollouts-dashboard")
    assert binding["roleRef"]["name"] == binding["subjects"][0]["name"] == "argo-rollouts-dashboard"


# --- Written-out files ------------------------------------------------------------------------------------------------


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("directory", "file"), [(".", "install.yaml"), ("namespace-install", "namespace-install.yaml")]
)
def test_a_written_out_file_is_what_kustomize_makes_of_its_directory(directory: str, file: str) -> None:
    """If this fails, run ``make manifests``."""
    built = subprocess.run(
        [KUBECTL, "kustomize", MANIFESTS / directory], capture_output=True, check=True, text=True, timeout=60
    )
    assert load(file) == list(yaml.load_all(built.stdout, yaml.CSafeLoader))


def test_kustomizations_list_all_files_beside_them() -> None:
    for kustomization in MANIFESTS.rglob("kustomization.yaml"):
        resources = yaml.load(kustomization.read_text(encoding="utf-8"), yaml.CSafeLoader)["resources"]
        for resource in resources:
            assert (kustomization.parent / resource).exists(), f"{kustomization}: {resource}"
        if kustomization.parent != MANIFESTS:
            files = {path.name for path in kustomization.parent.glob("*.yaml")} - {kustomization.name}
            assert files <= set(resources), kustomization
