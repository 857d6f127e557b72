"""AnalysisRuns: what to measure when, what a measurement means, and how a run ends (pure)."""
