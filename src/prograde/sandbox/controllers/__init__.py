"""The built-in controllers: what kube-controller-manager does for the objects that a Rollout leans on."""
