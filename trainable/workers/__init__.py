"""Trials as Ray Tune and Ray Train run them: the only folder that knows Ray."""
