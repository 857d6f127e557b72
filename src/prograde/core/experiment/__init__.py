"""The decisions about Experiments: `planner.plan_experiment` turns a snapshot into a plan."""
