"""The analysis templates that Rollouts and Experiments use: followed from the first of them with an analysis on.

Templates may refer to templates, so which ones somebody uses depends on what exists. A change of one wakes those who
use it in any way, and those that have been waiting for it to appear.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from prograde.api.analysis import AnalysisTemplate, AnalysisTemplateRef, ClusterAnalysisTemplate
from prograde.api.experiment import Experiment
from prograde.api.meta import NamespacedName, key_of
from prograde.api.rollout import Rollout
from prograde.controller.ondemand import InformersOnDemand, OnDemand
from prograde.controller.resources import ANALYSIS_TEMPLATES, CLUSTER_ANALYSIS_TEMPLATES
from prograde.kube.client import Client
from prograde.kube.informer import Informer

__all__ = ["Templates", "by_analysis", "template_references"]

EVERYWHERE: Final = ""
"""The index value of all Rollouts, or Experiments, with an analysis."""

User: TypeAlias = Rollout | Experiment
Wake: TypeAlias = Callable[[NamespacedName, bool], None]


def template_references(user: User) -> Iterator[AnalysisTemplateRef]:
    """Yield what the analyses of a Rollout or an Experiment refer to."""
    if isinstance(user, Experiment):
        for each in user.spec.analyses:
            yield AnalysisTemplateRef(template_name=each.template_name, cluster_scope=each.cluster_scope)
        return
    rollout = user
    blue_green, canary = rollout.spec.strategy.blue_green, rollout.spec.strategy.canary
    analyses = [] if blue_green is None else [blue_green.pre_promotion_analysis, blue_green.post_promotion_analysis]
    if canary is not None:
        analyses += [step.analysis for step in canary.steps] + [canary.analysis]
    for analysis in analyses:
        if analysis is not None:
            yield from analysis.templates


def by_analysis(user: User) -> Iterable[str]:
    """Index those who use templates, by namespace and all together."""
    has_any = next(template_references(user), None) is not None
    return (EVERYWHERE, user.metadata.namespace) if has_any else ()


class Templates:
    """Finds templates, and wakes those who use one when it changes.

    Args:
        rollouts: has `by_analysis` as index ``analysis``.
        wake: told which Rollout to look at, and whether that is urgent.
        namespace: the one that is watched, which has no cluster-wide templates; empty for all.
        label_selector: of the templates that this controller may use.
    """

    def __init__(
        self,
        client: Client,
        informers: InformersOnDemand,
        rollouts: Informer[Rollout],
        *,
        wake: Wake,
        rng: random.Random,
        namespace: str,
        label_selector: str,
    ) -> None:
        self._users: list[tuple[Informer[Rollout] | Informer[Experiment], Wake]] = [(rollouts, wake)]
        self._is_cluster_wide = not namespace
        namespaced = Informer(
            client,
            ANALYSIS_TEMPLATES,
            msgspec.json.Decoder(AnalysisTemplate).decode,
            rng=rng,
            namespace=namespace,
            label_selector=label_selector,
        )
        cluster = Informer(
            client,
            CLUSTER_ANALYSIS_TEMPLATES,
            msgspec.json.Decoder(ClusterAnalysisTemplate).decode,
            rng=rng,
            label_selector=label_selector,
        )
        namespaced.subscribe(self._on_change)
        cluster.subscribe(self._on_change)
        self._namespaced = OnDemand(informers, namespaced, synced=self._on_first_list)
        self._cluster = OnDemand(informers, cluster, synced=self._on_first_list)

    def also_wake(self, experiments: Informer[Experiment], wake: Wake) -> None:
        """Wake Experiments as well; the informer has `by_analysis` as index ``analysis``."""
        self._users.append((experiments, wake))

    def all(self) -> list[AnalysisTemplate | ClusterAnalysisTemplate]:
        """Return all that are known: none before somebody uses one."""
        return [*self._namespaced.informer.all(), *self._cluster.informer.all()]

    def used_by(
        self, user: User
    ) -> tuple[Mapping[str, AnalysisTemplate], Mapping[str, ClusterAnalysisTemplate]] | None:
        """Return the templates that somebody uses, as far as they exist; None while it is not known which do."""
        if next(template_references(user), None) is None:
            return {}, {}
        used = [self._namespaced.use()] + ([self._cluster.use()] if self._is_cluster_wide else [])
        if not all(informer.has_synced or informer.refusal is not None for informer in used):
            return None
        templates: dict[str, AnalysisTemplate] = {}
        cluster_templates: dict[str, ClusterAnalysisTemplate] = {}
        for (_, name), template in self._closure(user).items():
            if isinstance(template, ClusterAnalysisTemplate):
                cluster_templates[name] = template
            elif template is not None:
                templates[name] = template
        return templates, cluster_templates

    def _closure(self, user: User) -> dict[tuple[bool, str], AnalysisTemplate | ClusterAnalysisTemplate | None]:
        """Return each template that somebody uses, directly or not, by scope and name; None for those missing."""
        to_follow = list(template_references(user))
        used: dict[tuple[bool, str], AnalysisTemplate | ClusterAnalysisTemplate | None] = {}
        while to_follow:
            reference = to_follow.pop()
            is_cluster, name = bool(reference.cluster_scope), reference.template_name
            if (is_cluster, name) in used:
                continue
            namespace = "" if is_cluster else user.metadata.namespace
            template = (self._cluster if is_cluster else self._namespaced).informer.get(NamespacedName(namespace, name))
            used[is_cluster, name] = template
            if template is not None:
                to_follow += template.spec.templates
        return used

    def _on_first_list(self) -> None:
        for users, wake in self._users:
            for user in users.find("analysis", EVERYWHERE):
                wake(key_of(user), False)

    def _on_change(
        self,
        old: AnalysisTemplate | ClusterAnalysisTemplate | None,
        new: AnalysisTemplate | ClusterAnalysisTemplate | None,
    ) -> None:
        changed = new if new is not None else old
        assert changed is not None
        is_cluster = isinstance(changed, ClusterAnalysisTemplate)
        if not (self._cluster if is_cluster else self._namespaced).informer.has_synced:
            return  # the end of the first list wakes everybody once
        if old is not None and new is not None and old.spec == new.spec:
            return
        template = (is_cluster, changed.metadata.name)
        for users, wake in self._users:
            for user in users.find("analysis", changed.metadata.namespace):
                if template in self._closure(user):
                    wake(key_of(user), True)
