"""The hashes that name revisions: of the pod template and of the canary steps.

Both are equal bit for bit to those of Argo Rollouts (built with Kubernetes 0.34 or later), so that a cluster can change
hands without a redeployment: FNV-1a over the canonical JSON, in the digits that Kubernetes uses in names.

Hashing costs a fraction of a millisecond, and an idle controller would do it again and again for the same bytes, so
results are remembered.
"""

import re
from hashlib import blake2b
from typing import Any, Final

import msgspec

from prograde.api.codec import to_json
from prograde.api.meta import NO_RAW
from prograde.api.podtemplate.canonical import canonical, go_json
from prograde.api.rollout import CanaryStep

__all__ = ["pod_template_hash", "step_hash"]

_FNV_OFFSET: Final = 2166136261
_FNV_PRIME: Final = 16777619
_SAFE_DIGITS: Final = str.maketrans("0123456789", "456789bcdf")
"""Without vowels no hash can spell a word."""

_REMEMBERED_MAX: Final = 10_000
"""Several times the number of templates in a large cluster; an entry takes about 150 bytes."""

_remembered: dict[bytes, str] = {}


def pod_template_hash(template: msgspec.Raw | bytes, collision_count: int | None = None) -> str:
    """Return the hash of a pod template (JSON); absent and empty templates have one too.

    `collision_count` is ``status.collisionCount``, which sets apart two templates whose hashes collide; 0 is not None.
    """
    text = bytes(template)
    key = _key(text, b"template" if collision_count is None else b"template %d" % collision_count)
    if key not in _remembered:
        value = canonical(msgspec.json.decode(text) if text else {})
        salt = b"" if collision_count is None else (collision_count & 0xFFFFFFFF).to_bytes(4, "little") + bytes(4)
        _remember(key, _encoded(_fnv1a(go_json(value) + salt)))
    return _remembered[key]


def step_hash(steps: tuple[CanaryStep, ...]) -> str:
    """Return the hash of the steps of a canary; blue-green has none, its ``currentStepHash`` is empty."""
    text = msgspec.json.encode(steps)
    key = _key(text, b"steps")
    if key not in _remembered:
        values = [_canonical_step(step) for step in steps]
        _remember(key, _encoded(_fnv1a(go_json(values or None))))
    return _remembered[key]


def _canonical_step(step: CanaryStep) -> dict[str, Any]:
    values = canonical(to_json(step), "CanaryStep")
    if step.plugin is not None and step.plugin.config is not NO_RAW:
        # Configuration is hashed as it is stored, numbers and order included.
        values["plugin"]["config"] = msgspec.Raw(_compacted(bytes(step.plugin.config)))
    return values


_TEXT_OR_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', re.DOTALL)


def _compacted(text: bytes) -> bytes:
    """Remove the white space between the tokens of a JSON text."""
    return _TEXT_OR_SPACE.sub(lambda match: match[1] or b"", text)


def _key(text: bytes, kind: bytes) -> bytes:
    return blake2b(text, digest_size=16, salt=blake2b(kind, digest_size=16).digest()).digest()


def _remember(key: bytes, text: str) -> None:
    if len(_remembered) >= _REMEMBERED_MAX:
        _remembered.clear()
    _remembered[key] = text


def _fnv1a(text: bytes) -> int:
    """Return the 32-bit FNV-1a hash."""
    value = _FNV_OFFSET
    for byte in text:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


def _encoded(value: int) -> str:
    return str(value).translate(_SAFE_DIGITS)
