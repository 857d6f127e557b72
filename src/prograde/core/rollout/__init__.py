"""Decisions about Rollouts; start reading at planner.py."""
