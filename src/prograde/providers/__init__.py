"""Metric providers: where measurements come from."""
