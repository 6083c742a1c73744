"""Runs a sweep: starts Ray Tune with the searcher, scheduler and callbacks, then picks and tests the winner."""
