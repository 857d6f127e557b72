"""How to talk to a cluster: knows no Rollout."""
