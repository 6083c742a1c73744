"""A `transformers.Trainer` with the BERT paper's defaults; `trainer-source` trains one epoch of the source first.

It answers after each epoch, as a user whose time is up would take the last checkpoint.
"""

from typing import Any

import torch
from protocol import Answers, Job, read_job, texts_of
from trainer_parts import Task
from transformers import PreTrainedModel, TrainerCallback, set_seed


class EachEpoch(TrainerCallback):
    """Answers with the model as it is after each epoch."""

    def __init__(self, job: Job, answers: Answers, task: Task) -> None:
        self.job, self.answers, self.task = job, answers, task

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.answers.left <= 0:  # the epoch may be incomplete
            return
        new = texts_of(self.job.test, self.job.columns)
        last = state.global_step >= state.max_steps
        self.answers.give(lambda: self.task.predict(model, new), last=last, note=f"epoch {state.epoch:.0f}")


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    set_seed(job.seed)
    task = Task(job, job.train)
    model = task.new_model(after_source(job, answers, task) if job.contestant == "trainer-source" else None)
    task.trainer(answers, task.rows, model=model, callbacks=[EachEpoch(job, answers, task)]).train()


def after_source(job: Job, answers: Answers, target: Task) -> str:
    """Return the folder of the model after the source stage; answer with that model if the labels are the same."""
    assert job.source
    source = Task(job, job.source.train)
    model: PreTrainedModel = source.new_model()
    source.trainer(answers, source.rows, model=model, num_train_epochs=1).train()
    if source.names == target.names and answers.left > 0:
        new = texts_of(job.test, job.columns)
        answers.give(lambda: source.predict(model, new), note="source model as it is")
    folder = f"{job.folder}/source"
    model.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
