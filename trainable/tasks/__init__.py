"""The tasks that a model can learn, and the scores of its answers."""
