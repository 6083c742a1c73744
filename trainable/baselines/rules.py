"""Baselines that follow a rule and train no encoder: they are shown beside the winner, as no export can hold them."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from trainable.baselines.regression import FoldPlan
from trainable.baselines.text_models import WORD
from trainable.data.examples import Examples
from trainable.inputs.choices import pairs_of
from trainable.inputs.folds import Fold
from trainable.metrics.sequence_to_sequence import SUMS, statistics
from trainable.tasks.task import Task

# Pairs of numbers in the place of a model's: see `trainable.metrics.question_answering`.
_GIVEN = (1.0, 0.0), (0.0, 1.0)
_NO_ANSWER = (0.0, 0.0), (0.0, 1.0), (0.0, 1.0)
_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s|$)|[。！？]|$)", re.DOTALL)


def score_rule(name: str, rows: Examples, names: tuple[str, ...], task: Task, plan: FoldPlan) -> list[dict[str, float]]:
    """Return the scores of a rule in each fold; it has no loss, as it gives no probabilities."""
    scores = [task.scores(RULES[name](rows, fold), rows.labels[fold.held_out], names) for fold in plan.folds]
    return [{metric: value for metric, value in of_fold.items() if metric != "loss"} for of_fold in scores]


def frequent_place(rows: Examples, fold: Fold) -> torch.Tensor:
    """Choose the place that is most often right in the training rows, of those that a row has."""
    counts = torch.from_numpy((rows.labels[fold.train] > 0).sum(0)).float()
    return counts.expand(len(fold.held_out), -1).unsqueeze(-1)


def similar_choice(rows: Examples, fold: Fold) -> torch.Tensor:
    """Choose the choice that is most similar to the question; of equal ones, the first."""
    train, held_out = pairs_of(rows.take(fold.train)), rows.take(fold.held_out)
    outputs = torch.zeros(*held_out.labels.shape, 1)
    outputs[torch.from_numpy(held_out.labels >= 0), 0] = _similarities(train, pairs_of(held_out))
    return outputs


def no_answer(rows: Examples, fold: Fold) -> torch.Tensor:
    """Answer no question."""
    return torch.tensor(_NO_ANSWER).expand(len(fold.held_out), -1, -1)


def similar_sentence(rows: Examples, fold: Fold) -> torch.Tensor:
    """Answer with the sentence of the context that is most similar to the question; of equal ones, the first."""
    pairs = [(question, context or "") for question, context in rows.take(fold.held_out).text_pairs()]
    spans = [[match.span() for match in _SENTENCE.finditer(context)] or [(0, 0)] for _, context in pairs]
    questions = [question for (question, _), of_row in zip(pairs, spans, strict=True) for _ in of_row]
    sentences = [context[slice(*span)] for (_, context), of_row in zip(pairs, spans, strict=True) for span in of_row]
    similar = _similarities(rows.take(fold.train), Examples(questions, sentences, np.zeros(len(questions))))
    best = [int(each.argmax()) for each in similar.split([len(of_row) for of_row in spans])]
    return torch.tensor([[of_row[place], *_GIVEN] for of_row, place in zip(spans, best, strict=True)]).float()


def same_text(rows: Examples, fold: Fold) -> torch.Tensor:
    """Give each text back as it is."""
    held_out = rows.take(fold.held_out)
    return _of_texts(held_out, held_out.text)


def first_words(rows: Examples, fold: Fold) -> torch.Tensor:
    """Give the first words of each text, as many as the median target text of the training rows has."""
    most = int(np.median([len(WORD.findall(texts[0])) for texts in rows.labels[fold.train]]))
    held_out = rows.take(fold.held_out)
    ends = [[match.end() for match in WORD.finditer(text)][:most] or [0] for text in held_out.text]
    return _of_texts(held_out, [text[: of_text[-1]] for text, of_text in zip(held_out.text, ends, strict=True)])


def _of_texts(held_out: Examples, texts: Sequence[str]) -> torch.Tensor:
    sums = np.zeros((len(texts), len(SUMS)))
    return torch.from_numpy(statistics(sums, texts, held_out.labels.tolist()))


def _similarities(train: Examples, pairs: Examples) -> torch.Tensor:
    """Return the cosine similarity of the two texts of each pair, in TF-IDF of the words of training rows, (N,)."""
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD.pattern).fit([*train.text, *(train.text_b or ())])
    products = words.transform(pairs.text).multiply(words.transform(pairs.text_b or []))
    return torch.from_numpy(np.asarray(products.sum(1)).reshape(-1)).float()


RULES: dict[str, Callable[[Examples, Fold], torch.Tensor]] = {
    "frequent_place": frequent_place,
    "similar_choice": similar_choice,
    "no_answer": no_answer,
    "similar_sentence": similar_sentence,
    "same_text": same_text,
    "first_words": first_words,
}
"""What each rule gives instead of the outputs of a model for the held-out rows of a fold."""
