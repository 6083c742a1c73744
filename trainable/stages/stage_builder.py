"""Prepares what each stage of a trial begins with: tokenised data, and a model with the weights of the stage before."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from trainable.clock import Clock
from trainable.compute.device import Ranks, pick_device, resolve_precision
from trainable.data.subset import subset
from trainable.deadline import NO_DEADLINE, Deadline
from trainable.errors import ConfigError
from trainable.inputs.folds import all_rows, fold_of, has_folds
from trainable.inputs.masked_inputs import mask_rules, masked
from trainable.inputs.prepare import TokenizedDataset, tokenized_dataset_of
from trainable.inputs.span_inputs import stage_inputs
from trainable.inputs.split import Split
from trainable.inputs.token_inputs import scored_rows
from trainable.model.encoder import checked_limits, drawn_names, fingerprint, lacks_head, new_model
from trainable.model.generation import set_generation
from trainable.model.limits import limit_problems, name_or_path
from trainable.model.lora import lora_problems
from trainable.model.pooling import MASKED, for_texts
from trainable.model.resolve import resolved
from trainable.progress import StageContext
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage, Target
from trainable.stages.stage_cache import TrainedSource
from trainable.stages.trained_on import Moved, StageData, TrainedOn
from trainable.stages.transfer import moved_into, transfer
from trainable.tasks.registry import TASKS
from trainable.tasks.task import Head
from trainable.workspace import Workspace


@dataclass
class StageBuilder:
    """Prepares the stages of one trial.

    Raises:
        ConfigError: if the settings exceed the encoder's limits, or its weights were changed while the sweep ran.
    """

    config: TrialConfig
    workspace: Workspace
    ranks: Ranks = field(default_factory=Ranks)
    clock: Clock = field(default_factory=Clock)
    device: torch.device = field(default_factory=pick_device)
    deadline: Deadline = NO_DEADLINE

    def __post_init__(self) -> None:
        self.config = config = resolved(self.config)
        encoder, settings = (config.encoder, config.pooling), config.model_dump()
        if problems := limit_problems(settings, checked_limits(*encoder)) + lora_problems(settings, *encoder):
            raise ConfigError(problems)
        self.encoder = fingerprint(config.encoder)
        if not self.workspace.allows(self.encoder):
            raise ConfigError(f"encoder: {config.encoder!r}: its weights were changed while the sweep ran")
        self._used: dict[str, StageData] = {}
        self._moved: Moved | None = None

    def tokenized(self, name: str, stage: Stage) -> TokenizedDataset:
        """Return a stage's data as token ids or pixels.

        Raises:
            ConfigError: if the data have a mistake or do not suit the threshold, or were changed since the sweep began.
        """
        data = tokenized_dataset_of(self.config, stage, self.workspace)
        self._used[name] = StageData.of(data)
        if not self.workspace.allows(data.data_fingerprint, data.tokenizer_fingerprint):
            raise ConfigError(f"{name}: the data set {data.name!r} or its tokenizer was changed while the sweep ran")
        metric = self.config.metric_of(stage)
        if problem := TASKS[data.task].threshold_problem(stage.decides_at, metric, data.label_names):
            raise ConfigError(f"{name}.threshold: {problem}")
        return data

    def splits(self, tokenized: TokenizedDataset, stage: Stage) -> tuple[Split, Split]:
        """Return the training and validation splits of a stage as inputs of a model."""
        train, validation = self._whole_splits(tokenized, stage)
        if self.head(tokenized).reads not in MASKED:
            return train, validation
        rules = mask_rules(name_or_path(self.config.encoder))
        return masked(train, rules), masked(validation, rules)

    def rows(self, tokenized: TokenizedDataset, stage: Stage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the training rows of a stage without a fold, and the validation rows that an evaluation uses."""
        train, validation = tokenized.splits["train"], tokenized.splits["validation"]
        seed = self.config.dataset_of(stage).split_seed + (stage.draw if isinstance(stage, Target) else 0)
        scored = scored_rows(validation, stage, TASKS[tokenized.task].most_scored_rows)
        return subset(train.strata, stage.train_rows, seed), scored

    def _whole_splits(self, tokenized: TokenizedDataset, stage: Stage) -> tuple[Split, Split]:
        if isinstance(stage, Target) and stage.fold != 0 and has_folds(tokenized, stage):
            fold, pool = fold_of(tokenized, stage.fold, self.config.dataset_of(stage).split_seed), all_rows(tokenized)
            held_out = scored_rows(pool, stage, TASKS[tokenized.task].most_scored_rows, fold.held_out)
            return stage_inputs(pool, stage, fold.train), stage_inputs(pool, stage, held_out)
        rows, scored = self.rows(tokenized, stage)
        return (
            stage_inputs(tokenized.splits["train"], stage, rows),
            stage_inputs(tokenized.splits["validation"], stage, scored),
        )

    def context(self, name: str) -> StageContext:
        """Return what a stage needs besides its own settings."""
        config, stage = self.config, self.config.stages()[name]
        task, metric = TASKS[config.dataset_of(stage).task], config.metric_of(stage)
        precision = resolve_precision(config.precision, self.device)
        batches = config.micro_batches
        shared = self.ranks, self.clock, self.deadline
        return StageContext(name, task, metric, config.seed, precision, self.device, batches, *shared)

    def head(self, tokenized: TokenizedDataset) -> Head:
        """Return the head that a data set needs."""
        return TASKS[tokenized.task].head(tokenized.label_names)

    def model(
        self, tokenized: TokenizedDataset, stage: Stage, before: TrainedSource | None = None
    ) -> tuple[PreTrainedModel, bool]:
        """Return the model for a stage, with the weights of the stage before, and whether that stage's head was kept.

        Raises:
            ConfigError: if the settings keep the head and the label names differ.
        """
        config, columns = self.config, len(tokenized.text_columns)
        pooling = for_texts(config.pooling, columns)
        head = self.head(tokenized)
        model = new_model(config.encoder, head, config.seed, stage.dropout, pooling)
        set_generation(model, stage)
        if head.reads in MASKED and lacks_head(config.encoder, head):
            self.clock.note(f"{config.encoder} has no head that predicts hidden tokens, so it begins at random")
        setting = stage.head if isinstance(stage, Target) else "auto"
        kept = before is not None and transfer(before, model, head, setting)
        if isinstance(stage, Target):
            self._moved = moved_into(model, before, kept, drawn_names(config.encoder, head, pooling))
        return model, kept

    def trained_on(self) -> TrainedOn:
        """Return the encoder, the data of every stage tokenised so far, and what moved to the target."""
        return TrainedOn(self.encoder, self._used, self._moved)
