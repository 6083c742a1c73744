"""Ranks a source and an encoder without a trial: scores of the features that they give the target's rows."""
