"""Runs trials with Ray Tune and Ray Train; no other folder of this package imports Ray."""
