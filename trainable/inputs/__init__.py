"""Rows as the input of a model: token ids, batches, and the cached output of frozen layers."""
