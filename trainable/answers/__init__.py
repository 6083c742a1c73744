"""What a model of each task answers: the words of `predict`, `transfersweep.classifier` and the model card.

A task has one line in `ANSWERS` (`registry.py`), and a module here if its answers are not those of a classification.
"""
