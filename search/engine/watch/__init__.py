"""Watches a running sweep: dead and hung trials, repeated failures, a full disk, the death of Ray, requests to stop."""
