"""Metrics, and the splits of tasks that they are measured on."""
