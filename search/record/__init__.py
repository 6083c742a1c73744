"""Trials, scores and outcomes as values."""
