"""What a model can learn. A task is one module here and one line in `TASKS` (`registry.py`).

A task reads its labels, says which head the model needs, and has the loss and the scores. It belongs to a data set, so
the source may have another task than the target.
"""
