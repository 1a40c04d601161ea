"""Measurements of the budgets in perf/README.md."""
