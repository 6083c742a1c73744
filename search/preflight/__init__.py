"""Checks and forecasts before a sweep spends any time or money."""
