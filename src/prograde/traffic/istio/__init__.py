"""Istio: weights and routes in VirtualServices, versions as subsets of a DestinationRule.

`router` decides what is written in which order; `virtualservices` and `destinationrules` say how the objects should
look. What becomes of a DestinationRule that its Rollout has left is decided in `core.rollout.destinationrules`.
"""

from prograde.traffic.istio.router import IstioRouter

__all__ = ["IstioRouter"]
