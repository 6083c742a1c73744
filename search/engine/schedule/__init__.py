"""Decides which trial begins next, how many run at a time, which ends early, and when the budget is used up."""
