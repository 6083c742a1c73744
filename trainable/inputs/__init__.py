"""Rows as a model takes them: tokens, batches, and the cached output of frozen layers."""
