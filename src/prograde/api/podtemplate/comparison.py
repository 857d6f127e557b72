"""Are two pod templates the same? The question that must never be answered wrongly.

A false "no" starts a new revision, and after an upgrade that means: of every workload in the cluster. So the templates
of a Rollout and of a ReplicaSet are brought to a normal form that forgets whatever did not come from the user: how it
is spelled, what API servers of any age fill in, and what a controller has put into the ReplicaSet's template itself
(the hash label, ephemeral metadata, anti-affinity).
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from prograde.api.names import POD_TEMPLATE_HASH_LABEL
from prograde.api.podtemplate.canonical import canonical, go_json
from prograde.api.podtemplate.defaults import default_pod_template
from prograde.api.podtemplate.editing import is_injected_term

__all__ = ["is_same_template", "remove_injected_anti_affinity"]

_REMEMBERED_MAX: Final = 10_000
"""Templates of many ReplicaSets are looked at in every pass of a Rollout that was adopted from an older controller."""

_remembered: dict[bytes, bytes] = {}


def is_same_template(desired: msgspec.Raw | bytes, live: msgspec.Raw | bytes, ephemeral_metadata: str = "") -> bool:
    """Say whether the template of a ReplicaSet, `live`, was made from the template `desired`.

    `ephemeral_metadata` is the annotation of that name on the ReplicaSet: the labels and annotations in it were
    injected and are left out on the live side, whatever their value.
    """
    return _normal_form(bytes(desired), "") == _normal_form(bytes(live), ephemeral_metadata)


def _normal_form(text: bytes, ephemeral_metadata: str) -> bytes:
    """Return a digest of the normal form."""
    key = blake2b(text, digest_size=16, key=blake2b(ephemeral_metadata.encode(), digest_size=16).digest()).digest()
    if key not in _remembered:
        if len(_remembered) >= _REMEMBERED_MAX:
            _remembered.clear()
        template = msgspec.json.decode(text) if text else {}
        _remembered[key] = blake2b(go_json(_normalised(template, ephemeral_metadata)), digest_size=16).digest()
    return _remembered[key]


def _normalised(value: Any, ephemeral_metadata: str) -> dict[str, Any]:
    template = canonical(value)
    default_pod_template(template)
    _remove_injected_metadata(template["metadata"], ephemeral_metadata)
    spec = template["spec"]
    # The deprecated twin of serviceAccountName, which API servers keep in step.
    spec.pop("serviceAccount", None)
    remove_injected_anti_affinity(spec)
    _remove_server_values(spec)
    return canonical(template)


def _remove_injected_metadata(metadata: dict[str, Any], ephemeral_metadata: str) -> None:
    injected: Any = None
    if ephemeral_metadata:
        try:
            injected = msgspec.json.decode(ephemeral_metadata)
        except msgspec.DecodeError:
            injected = None  # Somebody has edited it: nothing is known to be injected.
    for part in ("labels", "annotations"):
        keys = injected.get(part) if isinstance(injected, dict) else None
        present = metadata.get(part)
        if isinstance(present, dict):
            for key in keys if isinstance(keys, dict) else ():
                present.pop(key, None)
    labels = metadata.get("labels")
    if isinstance(labels, dict):
        labels.pop(POD_TEMPLATE_HASH_LABEL, None)


def remove_injected_anti_affinity(spec: dict[str, Any]) -> None:
    """Remove the term that keeps new pods away from stable ones, and what is empty without it."""
    affinity = spec.get("affinity")
    if not isinstance(affinity, dict) or not isinstance(affinity.get("podAntiAffinity"), dict):
        return
    anti_affinity = affinity["podAntiAffinity"]
    removed = False
    for name in list(anti_affinity):
        terms = anti_affinity[name]
        if isinstance(terms, list) and any(map(is_injected_term, terms)):
            removed = True
            kept = [term for term in terms if not is_injected_term(term)]
            if kept:
                anti_affinity[name] = kept
            else:
                del anti_affinity[name]
    if removed and not anti_affinity:
        del affinity["podAntiAffinity"]
        if not affinity:
            del spec["affinity"]


# --- What some API servers write into live templates ------------------------------------------------------------

_SPEC_SERVER_VALUES: Final[dict[str, Any]] = {
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
    "shareProcessNamespace": False,
    "hostUsers": True,
    "setHostnameAsFQDN": False,
}
_SECURITY_SERVER_VALUES: Final[dict[str, Any]] = {"procMount": "Default"}
_SPREAD_SERVER_VALUES: Final[dict[str, Any]] = {"nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore"}


def _remove_server_values(spec: dict[str, Any]) -> None:
    """Remove values that mean the same as nothing, and that API servers of some version or feature gate write."""
    _remove_values(spec, _SPEC_SERVER_VALUES)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _remove_values(constraint, _SPREAD_SERVER_VALUES)
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(name) or ():
            if not isinstance(container, dict):
                continue
            if isinstance(container.get("securityContext"), dict):
                _remove_values(container["securityContext"], _SECURITY_SERVER_VALUES)
            for port in container.get("ports") or ():
                # Written into the templates of host-network pods by Kubernetes before 1.28.
                if spec.get("hostNetwork") and isinstance(port, dict):
                    _remove_values(port, {"hostPort": port.get("containerPort")})


def _remove_values(owner: Any, values: dict[str, Any]) -> None:
    if isinstance(owner, dict):
        for name, value in values.items():
            if name in owner and owner[name] == value:
                del owner[name]
