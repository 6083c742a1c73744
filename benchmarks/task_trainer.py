"""The peer of `tasks.py`: a plain `transformers.Trainer`, as the guides of transformers use it.

Batches are drawn at random and padded to their longest row. This module imports none of this project's packages.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch
from trainer_tasks import TARGET_LENGTH, TASKS, Classification, MaskedWords, Rows
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, set_seed


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Train the stages; return the last score, the steps of each stage, and the time after the imports."""
    begin = time.perf_counter(), time.process_time()
    torch.set_num_threads(spec["threads"])
    weights, steps, score = spec["encoder"], {}, 0.0
    for name, stage in spec["stages"].items():
        train, test = (_rows(Path(spec["tables"]) / f"{name}_{split}.jsonl") for split in ("train", "test"))
        task = TASKS[stage["task"]](spec["encoder"], stage["padding_length"], train, test)
        set_seed(spec["seed"])
        model = task.new_model(weights)
        trainer = make_trainer(spec, stage, task, model)
        trainer.train()
        steps[name] = trainer.state.global_step
        scores = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
        score = scores[-1].get("eval_score", scores[-1]["eval_loss"])
        seconds, cpu_seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
        weights = str(Path(spec["folder"]) / name)
        model.save_pretrained(weights)
        if name == spec["scored"]:
            break
    times = {"trial_seconds": seconds, "cpu_seconds": cpu_seconds}
    return {"score": score, "steps": steps, "model": weights, **times}


def make_trainer(spec: dict[str, Any], stage: dict[str, Any], task: Classification, model: Any) -> Seq2SeqTrainer:
    """Return a Trainer with the defaults of this project's schedule, weight decay and optimiser."""
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(Path(spec["folder"]) / "trainer"),
        learning_rate=stage["learning_rate"],
        per_device_train_batch_size=stage["batch_size"],
        per_device_eval_batch_size=64,
        num_train_epochs=stage["epochs"],
        warmup_steps=0.06,  # a number below 1 is a share of all steps
        weight_decay=0.01,
        optim="adamw_torch_fused",
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=spec["seed"],
        remove_unused_columns=not isinstance(task, MaskedWords),  # offsets are for the collator
        predict_with_generate=task.generates,
        generation_max_length=TARGET_LENGTH + 1,  # with the token that the decoder starts with
    )
    return Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=task.features["train"],
        eval_dataset=task.features["test"],
        data_collator=task.collator(model),
        compute_metrics=None if isinstance(task, MaskedWords) else lambda result: {"score": task.score(result)},
    )


def _rows(file: Path) -> Rows:
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row | {"image": str(file.parent / row["image"])} if "image" in row else row for row in rows]


def main(spec: str, answer: str) -> None:
    Path(answer).write_text(json.dumps(run(json.loads(Path(spec).read_text()))))
