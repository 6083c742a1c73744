"""Reads and checks an experiment file, and finds what changed since a sweep began."""
