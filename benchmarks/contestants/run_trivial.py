"""Majority, TF-IDF with logistic regression, and logistic regression on features of the frozen encoder."""

from collections import Counter
from collections.abc import Callable

from protocol import Answers, Job, Text, joined, labels_of, read_job, texts_of


def majority(job: Job, texts: list[Text], labels: list[str], new: list[Text]) -> Callable[[], list[str]]:
    best = Counter(labels).most_common(1)[0][0]
    return lambda: [best] * len(new)


def tfidf(job: Job, texts: list[Text], labels: list[str], new: list[Text]) -> Callable[[], list[str]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    model.fit(joined(texts), labels)
    return lambda: list(model.predict(joined(new)))


def features(job: Job, texts: list[Text], labels: list[str], new: list[Text]) -> Callable[[], list[str]]:
    """Fit a regression on the mean of the last layer's tokens; for a pair on u, v, |u - v| and u * v (InferSent)."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    torch.set_num_threads(job.threads)
    encoder = SentenceTransformer(job.encoder, device="cpu")

    def encode(of: list[Text]) -> np.ndarray:
        parts = [encoder.encode(list(column), show_progress_bar=False) for column in zip(*of, strict=True)]
        if len(parts) == 1:
            return parts[0]
        u, v = parts
        return np.hstack([u, v, abs(u - v), u * v])

    model = LogisticRegression(C=10, max_iter=1000).fit(encode(texts), labels)
    return lambda: list(model.predict(encode(new)))


KINDS = {"majority": majority, "tfidf": tfidf, "features": features}


def main() -> None:
    job = read_job()
    answers = Answers(job)
    texts, labels = texts_of(job.train, job.columns), labels_of(job.train)
    new = texts_of(job.test, job.columns)
    answers.give(KINDS[job.contestant](job, texts, labels, new), last=True)


if __name__ == "__main__":
    main()
