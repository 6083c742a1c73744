"""`Trainer.hyperparameter_search` with Optuna, its default space, and a fifth of the rows for validation.

It answers whenever a trial has become the best one, with that trial's model.
"""

from typing import Any

import torch
from protocol import Answers, read_job, texts_of
from sklearn.model_selection import train_test_split
from trainer_parts import Task
from transformers import Trainer, set_seed


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    set_seed(job.seed)
    task = Task(job, job.train)
    classes = [row["labels"] for row in task.rows]
    share = max(0.2, len(task.names) / len(classes))  # one row of each class, or stratification fails
    train, validation = train_test_split(task.rows, test_size=share, stratify=classes, random_state=job.seed)
    new = texts_of(job.test, job.columns)
    trainer: Trainer = task.trainer(answers, train, validation, model_init=lambda: task.new_model())
    best = -1.0

    def objective(metrics: dict[str, Any]) -> float:
        nonlocal best
        value = float(metrics[f"eval_{job.metric}"])
        # A trial that the budget has cut short is a model that a user would have, too.
        if value > best:
            best = value
            answers.give(lambda: task.predict(trainer.model, new), note=f"validation {value:.3f}")
        return value

    trainer.hyperparameter_search(
        direction="maximize", backend="optuna", n_trials=1000, timeout=answers.left, compute_objective=objective
    )


if __name__ == "__main__":
    main()
