"""The shell: caches to snapshots, plans to API calls."""
