"""Benchmark sets, metrics, and the pages that show what was measured."""
