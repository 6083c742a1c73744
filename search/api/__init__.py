"""Python's way in: run a sweep, load its outcome, see its trials and plots, export and use its model.

`transfersweep` offers these functions under its own name.
"""
