"""SetFit (Tunstall et al., 2022): a contrastive warm-up of the encoder, then logistic regression on its features.

20 pairs for each row and label relation, one epoch, as in the paper. The warm-up stops at 85 % of the budget, so that
the regression fits into the rest.
"""

from typing import Any

import torch
from datasets import Dataset
from protocol import Answers, joined, labels_of, read_job, texts_of
from setfit import SetFitModel, Trainer, TrainingArguments
from transformers import TrainerCallback


class Stop(TrainerCallback):
    """Ends the warm-up at 85 % of the budget."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self.answers.left < 0.15 * self.answers.job.minutes * 60:
            control.should_training_stop = self.stopped = True
        return control


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    texts, labels = joined(texts_of(job.train, job.columns)), labels_of(job.train)
    new = joined(texts_of(job.test, job.columns))
    model = SetFitModel.from_pretrained(job.encoder, labels=sorted(set(labels)))
    stop = Stop(answers)
    arguments = TrainingArguments(
        output_dir=f"{job.folder}/setfit",
        batch_size=16,
        num_epochs=1,
        num_iterations=20,
        seed=job.seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    rows = Dataset.from_dict({"text": texts, "label": labels})
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[stop])
    trainer.train()
    note = "warm-up cut short" if stop.stopped else ""
    answers.give(lambda: [str(label) for label in model.predict(new)], last=not stop.stopped, note=note)


if __name__ == "__main__":
    main()
