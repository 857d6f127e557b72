"""Where the Jobs of measurements are created, as the environment of the controller says."""

from collections.abc import Mapping
from typing import Final

__all__ = ["KUBECONFIG_VARIABLE", "is_elsewhere", "job_namespace"]

KUBECONFIG_VARIABLE: Final = "ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG"
"""A kubeconfig file, or ``in-cluster``."""

_NAMESPACE_VARIABLE: Final = "ARGO_ROLLOUTS_ANALYSIS_JOB_NAMESPACE"


def is_elsewhere(environment: Mapping[str, str]) -> bool:
    """Tell whether Jobs go to a cluster that is configured for them."""
    return bool(environment.get(KUBECONFIG_VARIABLE, ""))


def job_namespace(environment: Mapping[str, str], run_namespace: str) -> str:
    """Return the namespace that the Jobs of a run are created in."""
    return environment.get(_NAMESPACE_VARIABLE, "") or run_namespace
