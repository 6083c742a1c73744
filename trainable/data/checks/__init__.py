"""Finds what is wrong or unusual in raw tables and splits, and describes it in one sentence for each kind."""
