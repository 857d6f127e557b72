"""The dashboard's server and view models."""
