"""Scores of generated texts: chrF and BLEU as sacrebleu computes them, ROUGE as rouge-score does, and the loss.

Each row has numbers (`STATISTICS`) whose sums over rows give every score, so resampled rows give exact scores, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SUMS = ("loss", "even_loss", "tokens")
"""What a model gives for each row: the sum of the losses of its target tokens in nats, the same sum for targets that
are spread evenly over the vocabulary (for label smoothing), and the number of target tokens."""
_CHRF = tuple(f"chrf_{number}" for number in range(18))  # sacrebleu: of 6 orders, n-grams of both texts and in common
_BLEU = tuple(f"bleu_{number}" for number in range(10))  # sacrebleu: lengths of both texts, n-grams in common, n-grams
_ROUGE = ("rouge1", "rouge2", "rougeL")
STATISTICS = (*SUMS, *_CHRF, *_BLEU, *_ROUGE, "rows")
"""The numbers of a row."""
_FIRST = {name: STATISTICS.index(name) for name in ("tokens", "chrf_0", "bleu_0", *_ROUGE, "rows")}


def statistics(sums: Values, texts: Sequence[str], references: Sequence[tuple[str, ...]]) -> Values:
    """Return the numbers of N rows, shape (N, len(STATISTICS)).

    Args:
        sums: what the model gives, shape (N, 3).
        texts: the generated texts.
        references: the correct texts of each row, at least one.
    """
    most = max(map(len, references), default=0)
    streams = [[row[number] if number < len(row) else None for row in references] for number in range(most)]
    counted = [np.array(metric._extract_corpus_statistics(list(texts), streams)) for metric in (_chrf(), _bleu())]
    of_rouge = [
        [score.fmeasure for score in map(_rouge().score_multi(row, text).__getitem__, _ROUGE)]
        for text, row in zip(texts, references, strict=True)
    ]
    return np.column_stack([sums, *counted, np.array(of_rouge), np.ones(len(texts))]).astype(np.float64)


def totals(of_rows: Values, rows: NDArray[np.int64]) -> Values:
    """Return the sums of the numbers of resampled rows.

    Args:
        of_rows: the numbers of N rows, shape (N, S).
        rows: the rows of D draws, shape (D, N).

    Returns:
        Shape (D, S).
    """
    draws, count = rows.shape
    cells = rows + count * np.arange(draws)[:, None]
    times = np.bincount(cells.ravel(), minlength=draws * count).reshape(draws, count)
    return np.asarray(times @ of_rows)


def _loss(sums: Values) -> Values:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., _FIRST["tokens"]], 1))


def _of_sacrebleu(metric: Callable[[], Any], first: str, names: Sequence[str]) -> Callable[[Values], Values]:
    def score(sums: Values) -> Values:
        part = sums[..., _FIRST[first] : _FIRST[first] + len(names)].round().astype(np.int64)
        scores = [metric()._compute_score_from_stats(row.tolist()).score for row in part.reshape(-1, len(names))]
        return np.array(scores).reshape(part.shape[:-1])

    return score


def _mean(name: str) -> Callable[[Values], Values]:
    return lambda sums: np.asarray(sums[..., _FIRST[name]] / np.maximum(sums[..., _FIRST["rows"]], 1))


# Imported at their first use: rouge-score imports NLTK, which takes a second, and other tasks need neither.
@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@lru_cache(maxsize=1)
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()


@lru_cache(maxsize=1)
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(_ROUGE), use_stemmer=True)


SCORES: dict[str, Callable[[Values], Values]] = {
    "loss": _loss,
    "chrf": _of_sacrebleu(_chrf, "chrf_0", _CHRF),
    "bleu": _of_sacrebleu(_bleu, "bleu_0", _BLEU),
    **{name: _mean(name) for name in _ROUGE},
}
"""Each score from sums over rows, shape (..., S). The loss is that of a target token in nats; chrF (Popović 2015) and
BLEU (Papineni et al. 2002) are 0 to 100, with sacrebleu's defaults; ROUGE F1 (Lin 2004) is 0 to 1, with stemming."""
