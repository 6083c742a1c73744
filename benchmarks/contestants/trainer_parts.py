"""What the contestants with a `transformers.Trainer` share: encoded rows, a model, its answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from protocol import Answers, Job, Text, labels_of, texts_of
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

Rows = list[dict[str, Any]]


class Task:
    """The labelled rows of a file as token ids, the names of its classes, and a tokenizer."""

    def __init__(self, job: Job, file: str) -> None:
        self.job = job
        self.tokenizer = AutoTokenizer.from_pretrained(job.encoder)
        labels = labels_of(file)
        self.names = sorted(set(labels))
        index = {name: number for number, name in enumerate(self.names)}
        encoded = self.encode(texts_of(file, job.columns))
        self.rows = [row | {"labels": index[label]} for row, label in zip(encoded, labels, strict=True)]

    def encode(self, texts: Sequence[Text]) -> Rows:
        columns = [list(column) for column in zip(*texts, strict=True)]
        encoded = self.tokenizer(*columns, truncation=True, max_length=128)
        return [{name: encoded[name][i] for name in encoded} for i in range(len(texts))]

    def new_model(self, weights: str | None = None) -> PreTrainedModel:
        return AutoModelForSequenceClassification.from_pretrained(
            weights or self.job.encoder,
            num_labels=len(self.names),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )

    def trainer(self, answers: Answers, rows: Rows, validation: Rows | None = None, **options: Any) -> Trainer:
        """Return a Trainer with the BERT paper's settings (batch 32, 5e-5, 3 epochs; Devlin et al., 2019)."""
        parts = {name: options.pop(name) for name in ("model", "model_init", "callbacks") if name in options}
        settings = {
            "output_dir": str(Path(self.job.folder) / "trainer"),
            "per_device_train_batch_size": 32,
            "per_device_eval_batch_size": 64,
            "learning_rate": 5e-5,
            "num_train_epochs": 3,
            "warmup_steps": 0.1,  # a number below 1 is a share of all steps
            "weight_decay": 0.01,
            "train_sampling_strategy": "group_by_length",
            "eval_strategy": "epoch" if validation else "no",
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            "seed": self.job.seed,
        }
        return Trainer(
            args=TrainingArguments(**settings | options),
            train_dataset=rows,
            eval_dataset=validation,
            data_collator=DataCollatorWithPadding(self.tokenizer),
            compute_metrics=self.metrics,
            **parts | {"callbacks": [*parts.get("callbacks", []), Stop(answers)]},
        )

    def metrics(self, result: Any) -> dict[str, float]:
        found = result.predictions.argmax(-1)
        if self.job.metric == "accuracy":
            return {self.job.metric: float(accuracy_score(result.label_ids, found))}
        return {self.job.metric: float(f1_score(result.label_ids, found, average="macro"))}

    def predict(self, model: PreTrainedModel, texts: Sequence[Text]) -> list[str]:
        """Return the labels of texts, computed in batches of similar lengths."""
        training = model.training
        model.eval()
        rows = self.encode(texts)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        collate = DataCollatorWithPadding(self.tokenizer)
        found = np.empty(len(rows), dtype=int)
        with torch.inference_mode():
            for begin in range(0, len(order), 64):
                batch = order[begin : begin + 64]
                found[batch] = model(**collate([rows[i] for i in batch])).logits.argmax(-1).numpy()
        model.train(training)
        return [self.names[i] for i in found]


class Stop(TrainerCallback):
    """Ends the training when the budget is used up."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        control.should_training_stop = control.should_training_stop or self.answers.left <= 0
        return control
