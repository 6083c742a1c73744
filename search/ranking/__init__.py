"""Ranks the sources and encoders of an experiment before a sweep. Others use `rank_candidates`."""
