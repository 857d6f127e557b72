"""Random Rollout specs: every strategy, router and option that a history can be about, drawn from one generator.

What is drawn is valid, apart from what a moment makes of it: a spec that nobody could apply tells nothing.
"""

import random
from typing import Any, Final

__all__ = ["BROKEN_IMAGES", "GOOD_IMAGES", "NAME", "WORKLOAD", "limits", "scale_down", "spec", "steps", "strategy"]

Json = dict[str, Any]

NAME: Final = "subject"
WORKLOAD: Final = "workload"
"""The Deployment that has the template, if the Rollout refers to one."""

GOOD_IMAGES: Final = tuple(f"argoproj/rollouts-demo:{color}" for color in ("blue", "green", "yellow", "red", "slow-3"))
BROKEN_IMAGES: Final = tuple(
    f"argoproj/rollouts-demo:{fault}" for fault in ("does-not-exist", "crash", "never-ready", "oom")
)

WEIGHTS: Final = (0, 1, 5, 10, 20, 25, 33, 50, 66, 75, 90, 99, 100)
HEADER_ROUTE: Final = "by-header"
MIRROR_ROUTE: Final = "mirrored"


def spec(rng: random.Random) -> Json:
    """Return a whole spec."""
    chosen: Json = {
        "replicas": rng.choice((1, 1, 2, 3, 4, 5, 7)),
        "progressDeadlineSeconds": rng.choice((15, 30, 60)),
        "selector": {"matchLabels": {"app": NAME}},
        "strategy": strategy(rng),
        "template": {
            "metadata": {"labels": {"app": NAME}},
            "spec": {"containers": [{"name": "demo", "image": GOOD_IMAGES[0]}]},
        },
    }
    if rng.random() < 0.4:
        chosen["minReadySeconds"] = rng.choice((1, 3, 10))
    if rng.random() < 0.3:
        chosen["progressDeadlineAbort"] = True
    if rng.random() < 0.3:
        chosen["revisionHistoryLimit"] = rng.choice((2, 3))  # less is invalid with a scaleDownDelayRevisionLimit of 2
    if rng.random() < 0.2:
        chosen["rollbackWindow"] = {"revisions": rng.choice((1, 2))}
    return chosen


def scale_down(rng: random.Random) -> str:
    """Return what becomes of the pods of a referenced Deployment; empty for a Rollout with a template of its own."""
    return "" if rng.random() < 0.85 else rng.choice(("never", "onsuccess", "progressively"))


def strategy(rng: random.Random) -> Json:
    """Return a strategy of any kind."""
    kind = rng.random()
    if kind < 0.3:
        return {"canary": _basic_canary(rng)}
    if kind < 0.65:
        return {"canary": _routed_canary(rng)}
    if kind < 0.95:
        return {"blueGreen": _blue_green(rng)}
    return {"recreate": {}}


def _basic_canary(rng: random.Random) -> Json:
    canary: Json = limits(rng)
    if rng.random() < 0.85:
        canary["steps"] = steps(rng, is_routed=False)
    if rng.random() < 0.2:
        canary |= {"stableService": "active", "canaryService": "preview"}
    return canary | _metadata(rng) | _background_analysis(rng)


def _background_analysis(rng: random.Random) -> Json:
    if rng.random() < 0.85:
        return {}
    analysis: Json = {"templates": [{"templateName": "background"}]}
    if rng.random() < 0.5:
        analysis["startingStep"] = rng.choice((0, 1, 2))
    return {"analysis": analysis}


def _metadata(rng: random.Random) -> Json:
    if rng.random() < 0.8:
        return {}
    return {"canaryMetadata": {"labels": {"role": "canary"}}, "stableMetadata": {"labels": {"role": "stable"}}}


def _routed_canary(rng: random.Random) -> Json:
    canary: Json = limits(rng)
    router = rng.choice(("nginx", "gateway", "istio", "subsets"))
    if router != "subsets" or rng.random() < 0.3:
        canary |= {"stableService": "active", "canaryService": "preview"}
    if router in ("gateway", "istio") and rng.random() < 0.2:
        del canary["stableService"], canary["canaryService"]
        canary["pingPong"] = {"pingService": "ping", "pongService": "pong"}
    canary["trafficRouting"] = routing = _routing(router, "pair-" if "pingPong" in canary else "")
    canary["steps"] = steps(rng, is_routed=True)
    if router != "nginx" and rng.random() < 0.4:
        routing["managedRoutes"] = [{"name": HEADER_ROUTE}, {"name": MIRROR_ROUTE}]
        canary["steps"] += _managed_route_steps(rng, router)
    if rng.random() < 0.3:
        canary["dynamicStableScale"] = True
    elif rng.random() < 0.5:
        canary["scaleDownDelaySeconds"] = rng.choice((0, 1, 5, 30))
    if rng.random() < 0.2:
        canary["scaleDownDelayRevisionLimit"] = rng.choice((0, 1, 2))
    if rng.random() < 0.4:
        canary["abortScaleDownDelaySeconds"] = rng.choice((0, 1, 10))
    if rng.random() < 0.2:
        canary["minPodsPerReplicaSet"] = rng.choice((1, 2, 3))
    return canary | _metadata(rng) | _background_analysis(rng)


def _routing(router: str, prefix: str) -> Json:
    """Return a router with objects of its own, so that a change of strategy never finds those of another there."""
    match router:
        case "nginx":
            return {"nginx": {"stableIngress": "door"}}
        case "gateway":
            return {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": f"{prefix}route", "namespace": "default"}}}
        case "istio":
            return {"istio": {"virtualService": {"name": f"{prefix}hosts", "routes": ["primary"]}}}
        case _:
            rule = {"name": "subsets", "canarySubsetName": "canary", "stableSubsetName": "stable"}
            return {"istio": {"virtualService": {"name": "subsets"}, "destinationRule": rule}}


def limits(rng: random.Random) -> Json:
    """Return how far the number of pods may leave what is wanted."""
    surge = rng.choice((None, 0, 1, 2, "10%", "25%", "50%", "100%"))
    unavailable = rng.choice((None, 0, 0, 1, 2, "10%", "25%", "50%"))
    if surge == 0 and unavailable == 0:
        unavailable = 1
    chosen = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {name: value for name, value in chosen.items() if value is not None}


def steps(rng: random.Random, *, is_routed: bool) -> list[Json]:
    """Return up to five steps."""
    chosen: list[Json] = []
    for _ in range(rng.randint(0, 5)):
        kind = rng.random()
        if kind < 0.46:
            chosen.append({"setWeight": rng.choice(WEIGHTS)})
        elif kind < 0.52:
            chosen.append({"analysis": {"templates": [{"templateName": "step"}]}})
        elif kind < 0.72:
            chosen.append({"pause": {"duration": rng.choice((1, "2s", 5, "10s", "1m"))}})
        elif kind < 0.88 or not is_routed:
            chosen.append({"pause": {}})
        else:
            chosen.append({"setCanaryScale": _canary_scale(rng)})
    return chosen


def _canary_scale(rng: random.Random) -> Json:
    return rng.choice(
        ({"replicas": rng.choice((0, 1, 2, 5))}, {"weight": rng.choice(WEIGHTS)}, {"matchTrafficWeight": True})
    )


def _managed_route_steps(rng: random.Random, router: str) -> list[Json]:
    match = [{"headerName": "agent", "headerValue": {"exact": "tester"}}]
    chosen: list[Json] = [{"setHeaderRoute": {"name": HEADER_ROUTE, "match": match}}, {"pause": {"duration": 2}}]
    if router != "gateway" and rng.random() < 0.5:
        mirrored = [{"method": {"exact": "GET"}, "path": {"prefix": "/"}}]
        chosen.append({"setMirrorRoute": {"name": MIRROR_ROUTE, "percentage": 20, "match": mirrored}})
    if rng.random() < 0.5:
        chosen.append({"setHeaderRoute": {"name": HEADER_ROUTE}})
    return chosen


def _blue_green(rng: random.Random) -> Json:
    blue_green: Json = {"activeService": "active"}
    if rng.random() < 0.7:
        blue_green["previewService"] = "preview"
    if rng.random() < 0.7:
        blue_green["autoPromotionEnabled"] = rng.random() < 0.5
    if rng.random() < 0.4:
        blue_green["autoPromotionSeconds"] = rng.choice((1, 5, 20))
    if rng.random() < 0.4:
        blue_green["previewReplicaCount"] = rng.choice((1, 2, 3))
    if rng.random() < 0.6:
        blue_green["scaleDownDelaySeconds"] = rng.choice((0, 1, 5, 30))
    if rng.random() < 0.3:
        blue_green["scaleDownDelayRevisionLimit"] = rng.choice((0, 1, 2))
    if rng.random() < 0.4:
        blue_green["abortScaleDownDelaySeconds"] = rng.choice((0, 1, 10))
    for when in ("prePromotionAnalysis", "postPromotionAnalysis"):
        if rng.random() < 0.15:
            blue_green[when] = {"templates": [{"templateName": "step"}]}
    return blue_green
