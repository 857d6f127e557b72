"""Keeping the pods of a new revision off the nodes of the stable ones, where the strategy asks for it.

The term is injected when the ReplicaSet is created and follows the stable revision while the update lasts. Promotion
leaves it where it is: taking it away would change the template of running pods.
"""

import msgspec

from prograde.api.jsonvalues import merge_patch_between
from prograde.api.podtemplate import is_injected_term, with_anti_affinity
from prograde.api.rollout import AntiAffinity
from prograde.api.workloads import ReplicaSet
from prograde.core.plan import Json, JsonObject
from prograde.core.rollout.context import RolloutContext
from prograde.core.rollout.draft import Draft
from prograde.core.rollout.replicasets import hash_of

__all__ = ["refresh", "with_injected_term"]


def with_injected_term(context: RolloutContext, template: msgspec.Raw) -> msgspec.Raw:
    """Return the template for a ReplicaSet of the new revision: with the term, if one applies."""
    wanted, stable = _wanted(context), context.status.stable_rs
    if wanted is None or not stable or stable == context.pod_hash:
        return template
    return with_anti_affinity(template, wanted, stable, context.rollout.metadata.namespace)


def refresh(context: RolloutContext, draft: Draft, new: ReplicaSet) -> None:
    """Let a term that was injected for another stable revision name the present one."""
    stable = context.status.stable_rs
    if _wanted(context) is None or not stable or stable == hash_of(new):
        return
    before = _affinity(new.spec.template)
    named = _named_hash(before)
    if named is not None and named != stable:
        after = _affinity(with_injected_term(context, new.spec.template))
        draft.patch_replica_set(new, affinity=merge_patch_between(before, after))


def _wanted(context: RolloutContext) -> AntiAffinity | None:
    strategy = context.canary or context.blue_green
    return strategy.anti_affinity if strategy is not None else None


class _Spec(msgspec.Struct, frozen=True):
    affinity: dict[str, msgspec.Raw] | None = None


class _Template(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()


def _affinity(template: msgspec.Raw) -> JsonObject:
    members = msgspec.json.decode(template, type=_Template).spec.affinity or {}
    return {key: msgspec.json.decode(value) for key, value in members.items()}


def _named_hash(affinity: JsonObject) -> str | None:
    """Return the hash that the injected term keeps away from; None without such a term."""
    anti_affinity = affinity.get("podAntiAffinity")
    for terms in anti_affinity.values() if isinstance(anti_affinity, dict) else ():
        for term in terms if isinstance(terms, list) else ():
            if is_injected_term(term):
                return _first_value(term)
    return None


class _Expression(msgspec.Struct, frozen=True):
    values: tuple[str, ...] = ()


class _LabelSelector(msgspec.Struct, frozen=True, rename="camel"):
    match_expressions: tuple[_Expression, ...] = ()


class _Term(msgspec.Struct, frozen=True, rename="camel"):
    label_selector: _LabelSelector = _LabelSelector()


class _WeightedTerm(msgspec.Struct, frozen=True, rename="camel"):
    pod_affinity_term: _Term | None = None


def _first_value(term: Json) -> str:
    inner = msgspec.convert(term, _WeightedTerm).pod_affinity_term or msgspec.convert(term, _Term)
    values = (value for each in inner.label_selector.match_expressions for value in each.values)
    return next(values, "")
