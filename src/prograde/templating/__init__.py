"""Go templates, argument substitution and Kubernetes JSONPath (pure)."""
