"""The peers: alternatives to this project, each a function that `common.run_peer` runs in its own new process.

They are as fast as their library allows: dynamic padding, batches of similar lengths, fused AdamW, texts tokenised
once for each length, weights read once, no checkpoints unless the library needs them. This module imports none of
this project's packages.
"""

import copy
import csv
import json
import os
import secrets
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from common import SOURCE, SPACE
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

Spec = dict[str, Any]
Answer = dict[str, Any]


def source_once(spec: Spec) -> Answer:
    """Run the loop of a good practitioner: the source stage once, then one trial after another, on all threads."""
    torch.set_num_threads(os.cpu_count() or 1)
    source = train_source(spec)
    begin = time.perf_counter()
    accuracies = [run_trial(spec, trial, copy.deepcopy(source)) for trial in spec["trials"]]
    return {"accuracies": accuracies, "trial_seconds": time.perf_counter() - begin}


def source_each(spec: Spec) -> Answer:
    """Run the same loop with the source stage in every trial."""
    torch.set_num_threads(os.cpu_count() or 1)
    return {"accuracies": [run_trial(spec, trial, train_source(spec)) for trial in spec["trials"]]}


def ray_documented(spec: Spec) -> Answer:
    """Follow Ray's guide "Hyperparameter Tuning with Ray Tune": a Trainer inside a TorchTrainer in each Tune trial."""
    # Otherwise Ray makes a token and writes it where every user of the machine can read it.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray
    import ray.train
    from ray import tune

    # A Tune function that waits for its TorchTrainer holds a logical CPU too, so each trial needs two.
    # `local` never joins a cluster that happens to run on this machine.
    ray.init(address="local", num_cpus=4, log_to_driver=False)
    tuner = tune.Tuner(
        ray_trial,
        param_space={**spec, "trial": tune.grid_search(spec["trials"])},
        tune_config=tune.TuneConfig(max_concurrent_trials=1 if torch.cuda.is_available() else 2),
        run_config=tune.RunConfig(storage_path=str(Path(spec["folder"]) / "tune"), verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise SystemExit(str(results.errors[0]))
    # Not from `results`: Tune loses a report that arrives after the function has returned.
    scores = [json.loads(file.read_text()) for file in sorted(Path(spec["folder"]).glob("accuracy-*.json"))]
    order = {json.dumps(trial, sort_keys=True): index for index, trial in enumerate(spec["trials"])}
    scores.sort(key=lambda score: order[json.dumps(score["trial"], sort_keys=True)])
    return {"accuracies": [score["accuracy"] for score in scores]}


def ray_trial(config: Spec) -> None:
    """Run one trial; this is the Tune function."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    TorchTrainer(
        ray_worker,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=1, use_gpu=torch.cuda.is_available()),
        run_config=ray.train.RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=str(Path(config["folder"]) / "train"),
            callbacks=[TuneReportCallback()],
        ),
    ).fit()


def ray_worker(config: Spec) -> None:
    """Train; this is the train loop. RayTrainReportCallback reports only when the Trainer saves: after each epoch."""
    import ray.train
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer

    folder = Path(config["folder"]) / "trainer" / ray.train.get_context().get_experiment_name()
    source = train_source({**config, "folder": str(folder / "source")})
    freeze(source, config["trial"]["frozen_layers"])
    trainer = make_trainer(config, config["trial"], source, folder=folder, save_strategy="epoch", save_only_model=True)
    trainer.add_callback(RayTrainReportCallback())
    prepare_trainer(trainer).train()
    score = {"trial": config["trial"], "accuracy": best_accuracy(trainer)}
    name = f"accuracy-{ray.train.get_context().get_experiment_name()}.json"
    (Path(config["folder"]) / name).write_text(json.dumps(score))


def hyperparameter_search(spec: Spec) -> Answer:
    """Run `Trainer.hyperparameter_search` with Optuna's TPE and median pruner, from the source's weights."""
    import optuna

    torch.set_num_threads(os.cpu_count() or 1)
    source = train_source(spec)
    collator = CuttingCollator(tokenizer(spec["encoder"]))

    def model_init(trial: optuna.Trial | None = None) -> PreTrainedModel:
        model = copy.deepcopy(source)
        if trial is not None:
            suggest(trial)  # Trainer calls this before `hp_space`; Optuna gives the same values for a second call
            collator.length = trial.params["padding_length"]
            freeze(model, trial.params["frozen_layers"])
        return model

    longest = {"padding_length": SPACE["padding_length"]["int"][1], "batch_size": 8, "epochs": 1, "learning_rate": 1e-4}
    trainer = make_trainer(spec, longest, None, model_init=model_init, data_collator=collator)
    file = Path(spec["folder"]) / "peer.db"
    trainer.hyperparameter_search(
        hp_space=suggest,
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        n_trials=spec["number_of_trials"],
        direction="maximize",
        backend="optuna",
        study_name="peer",
        storage=f"sqlite:///{file}",
        sampler=optuna.samplers.TPESampler(seed=spec["seed"]),
        pruner=optuna.pruners.MedianPruner(),
    )
    study = optuna.load_study(study_name="peer", storage=f"sqlite:///{file}")
    return {"accuracies": [max(trial.intermediate_values.values()) for trial in study.trials]}


def suggest(trial: Any) -> dict[str, Any]:
    """Return values of SPACE from Optuna; `model_init` reads those that TrainingArguments does not have."""
    low, high = SPACE["padding_length"]["int"]
    trial.suggest_int("padding_length", low, high, step=SPACE["padding_length"]["step"])
    trial.suggest_int("frozen_layers", *SPACE["frozen_layers"]["int"])
    return {
        "learning_rate": trial.suggest_float("learning_rate", *SPACE["learning_rate"]["float"], log=True),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", SPACE["batch_size"]["choice"]
        ),
        "num_train_epochs": trial.suggest_int("num_train_epochs", *SPACE["epochs"]["int"]),
    }


class CuttingCollator(DataCollatorWithPadding):
    """Cuts texts to `length` tokens, then pads dynamically; so a search of the length needs no new tokenisation."""

    length: int = 10**9

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        return super().__call__([{name: self._cut(value) for name, value in row.items()} for row in features])

    def _cut(self, value: Any) -> Any:
        if not isinstance(value, list) or len(value) <= self.length:
            return value
        return value[: self.length - 1] + value[-1:]  # the last token is the separator


def train_source(spec: Spec) -> PreTrainedModel:
    """Return the encoder with a new head, trained on the source if the spec has a source stage."""
    set_seed(spec["seed"])
    model = AutoModelForSequenceClassification.from_pretrained(
        spec["encoder"], num_labels=len(label_names(spec["data"])), dtype=torch.float32
    )
    if spec["source"]:
        make_trainer(spec, SOURCE, model, stage="source", eval_strategy="no").train()
    return model


def run_trial(spec: Spec, trial: dict[str, Any], model: PreTrainedModel) -> float:
    """Fine-tune on the target; return the best validation accuracy."""
    freeze(model, trial["frozen_layers"])
    trainer = make_trainer(spec, trial, model)
    trainer.train()
    return best_accuracy(trainer)


def best_accuracy(trainer: Trainer) -> float:
    """Return the best validation accuracy of all epochs."""
    return max(entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry)


def make_trainer(
    spec: Spec,
    settings: dict[str, Any],
    model: PreTrainedModel | None,
    stage: str = "target",
    folder: Path | None = None,
    model_init: Callable[..., PreTrainedModel] | None = None,
    data_collator: DataCollatorWithPadding | None = None,
    **options: Any,
) -> Trainer:
    """Return a Trainer set up for speed as documented; schedule and weight decay are this project's defaults."""
    arguments = TrainingArguments(
        **{
            "output_dir": str(folder or Path(spec["folder"]) / "trainer"),
            "learning_rate": settings["learning_rate"],
            "per_device_train_batch_size": settings["batch_size"],
            "per_device_eval_batch_size": 64,
            "num_train_epochs": settings["epochs"],
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.06,  # a number below 1 is a share of all steps
            "weight_decay": 0.01,
            "optim": "adamw_torch_fused",
            "train_sampling_strategy": "group_by_length",
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": spec["seed"],
        }
        | options
    )
    rows = {
        split: tokenised(spec["encoder"], spec["data"], f"{stage}_{split}", settings["padding_length"])
        for split in ("train", "validation")
    }
    return Trainer(
        model=model,
        model_init=model_init,
        args=arguments,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=data_collator or DataCollatorWithPadding(tokenizer(spec["encoder"])),
        compute_metrics=lambda result: {"accuracy": float((result.predictions.argmax(-1) == result.label_ids).mean())},
    )


def freeze(model: PreTrainedModel, count: int) -> None:
    """Switch off gradients of the embeddings and the lowest `count` layers."""
    if count:
        for module in (model.base_model.embeddings, *model.base_model.encoder.layer[:count]):
            module.requires_grad_(False)


@cache
def tokenizer(encoder: str) -> Any:
    return AutoTokenizer.from_pretrained(encoder)


@cache
def tokenised(encoder: str, data: str, table: str, length: int) -> list[dict[str, Any]]:
    """Return a table's rows as token ids, cut to `length`, not padded; computed once for each length."""
    texts, labels = zip(*read(data, table), strict=True)
    names = label_names(data)
    encoded = tokenizer(encoder)(list(texts), truncation=True, max_length=length)
    return [
        {**{name: encoded[name][i] for name in encoded}, "labels": names.index(label)} for i, label in enumerate(labels)
    ]


@cache
def label_names(data: str) -> list[str]:
    """Return the sorted classes; source and target have the same, so the source's head is kept."""
    return sorted({label for _, label in read(data, "target_train")})


def read(data: str, table: str) -> list[tuple[str, str]]:
    with (Path(data) / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


PEERS: dict[str, Callable[[Spec], Answer]] = {
    peer.__name__: peer for peer in (source_once, source_each, ray_documented, hyperparameter_search)
}


def main(name: str, spec_file: str, answer_file: str) -> None:
    answer = PEERS[name](json.loads(Path(spec_file).read_text()))
    Path(answer_file).write_text(json.dumps(answer))
