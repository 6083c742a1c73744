"""Sweeps on a cluster of `ray up`, started and followed from another machine as jobs of Ray."""
