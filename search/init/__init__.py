"""Writes an experiment file for a table that nobody has described: its columns, its lengths, a space that fits.

`guess.py` says which columns hold texts and labels; `experiment.py` writes the file, with a reason beside each choice.
"""
