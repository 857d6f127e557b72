"""The simulated kubelet and scheduler: pods that behave as if they ran, without running anything."""
