"""The running sweep: Ray Tune, its callbacks, its end."""
