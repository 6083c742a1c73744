"""Writes experiment files: the first one for a table, and the next one after a sweep.

`guess.py` says which columns hold texts and labels; `experiment.py` writes the file for a table, with a reason beside
each choice; `suggest.py` writes the one after a sweep, with a reason above each change.
"""
