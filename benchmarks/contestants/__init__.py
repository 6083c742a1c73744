"""The contestants of `instead.py`: one script for each kind, each started in a process and an environment of its own.

The scripts share `protocol.py` alone: a job comes in as JSON, answers (labels of the test rows) go out with the second
at which their model was ready.
"""
