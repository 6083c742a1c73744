"""The training loop of one stage: steps, optimisers, evaluation."""
