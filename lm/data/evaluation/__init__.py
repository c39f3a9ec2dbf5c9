"""Metrics, and the splits of tasks on which they are measured."""
