"""The embedded cluster: a small control plane that passes for Kubernetes."""
