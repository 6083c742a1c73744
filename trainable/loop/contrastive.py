"""Contrastive training with few labels: texts of one class get similar vectors, others different ones.

SetFit (Tunstall et al. 2022) draws pairs of rows and trains their cosine similarity towards 1 or 0 (Sentence-BERT,
Reimers & Gurevych 2019). Here each row is encoded once, and all pairs within a batch count.
"""

import torch
from torch.nn import functional


def contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of the cosine similarities, a scalar.

    Pairs of one class and pairs of two classes have the same weight in total, as there are more of the latter.

    Args:
        vectors: what the head reads, shape (B, H).
        labels: class of each row, shape (B,).
    """
    units = functional.normalize(vectors.float(), dim=-1)
    similarity = units @ units.T  # (B, B)
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)).float()
    alike = same - torch.eye(len(labels), device=labels.device)
    return _mean((1 - similarity) ** 2, alike) + _mean(similarity**2, 1 - same)


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return the mean of the values that count; 0 if none does."""
    return (values * counted).sum() / counted.sum().clamp(min=1)
