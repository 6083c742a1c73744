"""BERTuner: Optuna over its default space with this encoder, then its final training, with a fifth for validation.

It knows no time limit, so its search ends after 60 % of the budget; its final training has the rest.
"""

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import torch
from bertuner import BERTuneClassifier, BERTunePredictor
from bertuner.constants import DEFAULT_SEARCH_SPACE_SINGLELABEL
from protocol import Answers, joined, labels_of, read_job, texts_of
from sklearn.model_selection import train_test_split

SEARCH = 0.6


class UntilTime(BERTuneClassifier):
    """Begins no trial after `SEARCH` of the budget."""

    answers: Answers

    def _objective(self, trial: optuna.Trial) -> Any:
        if self.answers.left < (1 - SEARCH) * self.answers.job.minutes * 60 and trial.number:
            trial.study.stop()
            raise optuna.TrialPruned
        return super()._objective(trial)


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    names = labels_of(job.train)
    classes = sorted(set(names))
    table = pd.DataFrame({"text": joined(texts_of(job.train, job.columns)), "label": [*map(classes.index, names)]})
    share = max(0.2, len(classes) / len(table))  # one row of each class, or stratification fails
    train, held_out = train_test_split(table, test_size=share, stratify=table["label"], random_state=job.seed)
    tuner = UntilTime(
        models_dir=f"{job.folder}/models",
        text_feature="text",
        target_cols=["label"],
        data_splits={"train": train, "validation": held_out, "test": held_out},  # it wants a test split, too
        num_labels=len(classes),
        seed=job.seed,
        mlflow_tracking_uri=f"sqlite:///{job.folder}/mlflow.db",
        max_length=128,
    )
    tuner.answers = answers
    tuner.initialize_model_choices({"encoder": job.encoder})
    tuner.initialize_search_space({**DEFAULT_SEARCH_SPACE_SINGLELABEL, "model": ["encoder"]})
    metric = "accuracy" if job.metric == "accuracy" else "f1"  # its f1 is the macro mean for three classes and more
    tuner.optimize(n_trials=1000, optimize_metric=metric)
    tuner.train_final_model()
    predictor = BERTunePredictor(str(Path(job.folder) / "models" / "final_model" / "model"))
    new = joined(texts_of(job.test, job.columns))
    answers.give(lambda: [classes[int(index)] for index in predictor.predict(new)])


if __name__ == "__main__":
    main()
