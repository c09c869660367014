"""Benchmark sets, metrics, and pages with the results."""
