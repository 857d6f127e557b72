"""Controller and sandbox on one virtual clock."""
