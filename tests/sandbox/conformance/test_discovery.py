"""Rows 1 to 12: discovery, OpenAPI, content negotiation."""

import gzip

from tests.sandbox.conformance.harness import (
    DEPLOYMENTS,
    NAMESPACE,
    ROLLOUTS,
    Http,
    Kubectl,
    config_map,
    deployment,
    rollout,
    widget_definition,
)

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AGGREGATED_BETA = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_row_01_aggregated_discovery_names_its_form_in_the_content_type(http: Http) -> None:
    reply = await http("GET", "/apis", headers={"Accept": f"{AGGREGATED},{AGGREGATED_BETA},application/json"})

    assert reply.status == 200
    assert reply.headers["Content-Type"] == AGGREGATED
    assert reply.headers["Vary"] == "Accept"
    assert reply.json["kind"] == "APIGroupDiscoveryList"
    assert reply.json["apiVersion"] == "apidiscovery.k8s.io/v2"
    groups = [item["metadata"]["name"] for item in reply.json["items"]]
    assert groups[:3] == ["apps", "batch", "autoscaling"]
    assert groups[-1] == "argoproj.io"
    (rollouts,) = [
        resource
        for item in reply.json["items"]
        if item["metadata"]["name"] == "argoproj.io"
        for resource in item["versions"][0]["resources"]
        if resource["resource"] == "rollouts"
    ]
    assert rollouts["scope"] == "Namespaced"
    assert rollouts["shortNames"] == ["ro"]
    assert rollouts["singularResource"] == "rollout"
    assert {sub["subresource"]: sub["responseKind"]["kind"] for sub in rollouts["subresources"]} == {
        "status": "Rollout",
        "scale": "Scale",
    }


async def test_row_01_the_core_group_is_below_api_and_has_no_name(http: Http) -> None:
    reply = await http("GET", "/api", headers={"Accept": AGGREGATED})

    (core,) = reply.json["items"]
    assert core["metadata"] == {}
    assert "pods" in [resource["resource"] for resource in core["versions"][0]["resources"]]


async def test_row_02_the_beta_form_is_given_to_who_accepts_nothing_newer(http: Http) -> None:
    reply = await http("GET", "/apis", headers={"Accept": AGGREGATED_BETA})

    assert reply.json["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert reply.headers["Content-Type"] == AGGREGATED_BETA


async def test_row_03_legacy_discovery_lists_resources_and_sub_resources(http: Http) -> None:
    versions = await http("GET", "/api", headers={"Accept": "application/json"})
    apps = await http("GET", "/apis/apps/v1", headers={"Accept": "application/json"})
    group = await http("GET", "/apis/apps")
    groups = await http("GET", "/apis")

    assert versions.json["kind"] == "APIVersions"
    assert versions.json["versions"] == ["v1"]
    assert apps.json["kind"] == "APIResourceList"
    (scale,) = [entry for entry in apps.json["resources"] if entry["name"] == "deployments/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    assert group.json["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert groups.json["kind"] == "APIGroupList"
    autoscaling = next(each for each in groups.json["groups"] if each["name"] == "autoscaling")
    assert [version["version"] for version in autoscaling["versions"]] == ["v2", "v1"]


async def test_row_04_discovery_is_not_sent_again_until_it_changes(http: Http) -> None:
    first = await http("GET", "/apis", headers={"Accept": AGGREGATED})
    known = {"Accept": AGGREGATED, "If-None-Match": first.headers["ETag"]}

    again = await http("GET", "/apis", headers=known)
    assert (again.status, again.body) == (304, b"")

    await http("POST", CRDS, widget_definition())
    changed = await http("GET", "/apis", headers=known)
    assert changed.status == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


async def test_row_05_api_resources_lists_all_kinds_and_ev_means_core_events(kubectl: Kubectl) -> None:
    lines = [line.split() for line in (await kubectl("api-resources")).splitlines()]
    by_name = {(line[0], line[-3]): line for line in lines[1:]}

    assert by_name["rollouts", "argoproj.io/v1alpha1"][1] == "ro"
    assert by_name["events", "v1"][1] == "ev"
    assert by_name["poddisruptionbudgets", "policy/v1"][1] == "pdb"
    for plural, version in (
        ("statefulsets", "apps/v1"),
        ("jobs", "batch/v1"),
        ("horizontalpodautoscalers", "autoscaling/v2"),
        ("leases", "coordination.k8s.io/v1"),
        ("clusterroles", "rbac.authorization.k8s.io/v1"),
        ("priorityclasses", "scheduling.k8s.io/v1"),
        ("customresourcedefinitions", "apiextensions.k8s.io/v1"),
    ):
        assert (plural, version) in by_name
    assert "KIND:       Event\nVERSION:    v1\n" in await kubectl("explain", "ev")


async def test_row_06_an_unknown_group_version_or_resource_is_a_plain_404(http: Http) -> None:
    for path in (
        "/apis/nobody.example",
        "/apis/nobody.example/v1/things",
        "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets/x",
        "/api/v1/namespaces/default/things",
        "/nowhere",
    ):
        reply = await http("GET", path)
        assert (reply.status, reply.body) == (404, b"404 page not found\n")
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_row_07_protobuf_is_answered_in_json_if_that_is_accepted_too(http: Http) -> None:
    both = await http(
        "GET", "/api/v1/namespaces", headers={"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    )
    only = await http("GET", "/api/v1/namespaces", headers={"Accept": "application/vnd.kubernetes.protobuf"})

    assert both.status == 200
    assert both.headers["Content-Type"] == "application/json"
    assert (only.status, only.json["reason"]) == (406, "NotAcceptable")
    assert only.message == "only the following media types are accepted: application/json, application/yaml"


async def test_row_07_yaml_is_written_where_it_is_asked_for(http: Http) -> None:
    reply = await http("GET", "/api/v1/namespaces/default", headers={"Accept": "application/yaml"})

    assert reply.headers["Content-Type"] == "application/yaml"
    assert b"kind: Namespace\n" in reply.body


async def test_row_08_a_large_list_is_compressed_and_a_watch_never(http: Http) -> None:
    for index in range(40):
        http.sandbox.create(config_map(f"m{index}", text="x" * 4000))
    zipped = {"Accept-Encoding": "gzip"}

    large = await http("GET", f"{NAMESPACE}/configmaps", headers=zipped)
    small = await http("GET", f"{NAMESPACE}/configmaps/m1", headers=zipped)
    plain = await http("GET", f"{NAMESPACE}/configmaps")
    watch = await http("GET", f"{NAMESPACE}/configmaps", headers=zipped, watch="1", timeoutSeconds="1")

    assert large.headers["Content-Encoding"] == "gzip"
    assert large.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(large.body) == plain.body
    assert "Content-Encoding" not in small.headers
    assert "Content-Encoding" not in watch.headers
    assert watch.body.count(b"\n") == 40


async def test_row_09_apply_downloads_a_group_document_once(kubectl: Kubectl) -> None:
    def documents() -> list[str]:
        return [
            entry.path for entry in kubectl.sandbox.request_log if entry.path == "/openapi/v3/apis/argoproj.io/v1alpha1"
        ]

    first, second = rollout("cart"), rollout("cart", replicas=2)
    import json

    assert "created" in await kubectl("apply", "-f", "-", stdin=json.dumps(first))
    assert "configured" in await kubectl("apply", "-f", "-", stdin=json.dumps(second))
    assert len(documents()) == 1


async def test_row_10_explain_knows_the_fields_of_custom_and_built_in_kinds(kubectl: Kubectl) -> None:
    strategy = await kubectl("explain", "rollout.spec.strategy", "--recursive")
    containers = await kubectl("explain", "pods.spec.containers")

    for field in ("canary", "blueGreen", "setWeight", "scaleDownDelaySeconds"):
        assert field in strategy
    for field in ("image", "livenessProbe", "volumeMounts"):
        assert field in containers


async def test_row_11_a_stale_hash_is_redirected_to_the_fresh_one(http: Http) -> None:
    index = (await http("GET", "/openapi/v3")).json["paths"]
    fresh = index["apis/argoproj.io/v1alpha1"]["serverRelativeURL"]

    stale = await http("GET", "/openapi/v3/apis/argoproj.io/v1alpha1", hash="00")
    assert (stale.status, stale.headers["Location"]) == (301, fresh)

    current = await http("GET", fresh)
    assert current.headers["Cache-Control"] == "public, immutable"
    assert current.headers["ETag"] == f'"{fresh.rpartition("=")[2]}"'
    assert current.headers["Expires"].endswith("GMT")
    item = current.json["paths"]["/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{name}"]
    names = {parameter["name"] for parameter in item["patch"]["parameters"]}
    assert names >= {"fieldValidation", "dryRun", "fieldManager"}


async def test_row_11_a_new_kind_changes_the_hash_of_its_group_only(http: Http) -> None:
    before = (await http("GET", "/openapi/v3")).json["paths"]
    await http("POST", CRDS, widget_definition())
    after = (await http("GET", "/openapi/v3")).json["paths"]

    assert "apis/example.com/v1" in after
    assert {path: after[path] for path in before} == before


async def test_row_12_head_has_no_body_and_other_methods_are_refused(http: Http) -> None:
    http.sandbox.create(config_map("a", b="c"))
    path = f"{NAMESPACE}/configmaps/a"

    full, head = await http("GET", path), await http("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == full.headers["Content-Type"]
    assert head.headers["Content-Length"] == full.headers["Content-Length"]

    options = await http("OPTIONS", path)
    assert (options.status, options.json["reason"]) == (405, "MethodNotAllowed")
    assert options.message == "the server does not allow this method on the requested resource"
    assert options.headers["Allow"] == "GET, HEAD, PUT, PATCH, DELETE"


async def test_health_and_version_are_there_for_everybody_and_the_index_names_them(http: Http) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/readyz/ping"):
        reply = await http("GET", path)
        assert (reply.status, reply.body) == (200, b"ok")
    verbose = await http("GET", "/readyz", verbose="")
    assert b"[+]ping ok\n" in verbose.body
    assert verbose.body.endswith(b"readyz check passed\n")
    version = (await http("GET", "/version")).json
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "34", "v1.34.0+prograde")
    assert "/version" in (await http("GET", "/")).json["paths"]
    assert (await http("GET", "/readyz/nonsense")).status == 404


async def test_paths_are_forgiven_doubled_and_trailing_slashes(http: Http) -> None:
    http.sandbox.create(deployment("web"))
    http.sandbox.create(rollout("cart"))

    assert (await http("GET", f"{DEPLOYMENTS}//web/")).status == 200
    assert (await http("GET", f"{ROLLOUTS}/cart/")).status == 200


async def test_every_answer_says_json_no_cache_and_has_an_audit_id(http: Http) -> None:
    reply = await http("GET", "/api/v1/namespaces/default")

    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-cache, private"
    assert len(reply.headers["Audit-Id"]) == 36
