"""Metrics registry and exposition, log formats, health."""
