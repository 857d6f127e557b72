"""The routing kinds of the Gateway API and of Istio, for a cluster to try releases with a router in.

Like a real cluster, one has them only if somebody installs them: `Sandbox(crds=...)` from the first moment,
`Sandbox.apply` at any time later.
"""

from functools import cache
from importlib import resources
from typing import Final

from prograde.api.manifests import load_documents
from prograde.sandbox.kinds import Object

__all__ = ["routing_definitions"]

_FILE: Final = "routing_crds.yaml"


@cache
def routing_definitions() -> tuple[Object, ...]:
    """Return their CustomResourceDefinitions. They are read once and shared: read-only."""
    text = resources.files("prograde.sandbox").joinpath(_FILE).read_bytes()
    return tuple(document.value for document in load_documents(text, _FILE))
