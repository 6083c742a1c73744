"""The settings of one stage of fine-tuning: which data, and how to train on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from trainable.settings.dataset import Dataset, Fraction
from trainable.settings.strict import Strict

DatasetOrName = Annotated[
    Annotated[Dataset, Tag("<table>")] | Annotated[str, Tag("<name>")],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<table>"),
]


class Stage(Strict):
    """One round of fine-tuning; a trial has two, source and target."""

    dataset: DatasetOrName
    """The data, or the name of an entry of the trial's `datasets`."""
    train_rows: Annotated[int, Field(ge=2)] | None = None
    """Rows of the training split that are used (a stratified, nested subset); none means all."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 5e-5
    """Peak of the schedule."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16
    """Examples per optimiser step, over all workers."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over the training split; the horizon of the schedule."""
    padding_length: Annotated[int, Field(ge=4, le=131072)] = 128
    """Tokens, special ones included, to which a sequence is truncated."""
    padding: Literal["longest", "fixed"] = "longest"
    """Pad a batch to its longest member, or always to `padding_length`; the logits agree either way."""
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    """How many of the lowest encoder layers keep their weights and run without dropout; above 0 the
    embeddings do too, and at the encoder's depth only pooler and head train."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop", "adafactor"] = "adamw"
    schedule: Literal["linear", "cosine", "constant", "warmup_stable_decay"] = "linear"
    """How the learning rate moves after its warm-up; `warmup_stable_decay` holds it, then decays linearly.
    Source stages that differ in epochs share them under `constant`, and before the decay of the latter."""
    warmup_fraction: Fraction = 0.06
    """Share of the optimiser steps spent warming up, linearly from 0; of one epoch's steps under `constant`
    and `warmup_stable_decay`, so that the first epochs are the same however many follow."""
    decay_fraction: Fraction = 0.2
    """Share of the optimiser steps spent decaying at the end; only `warmup_stable_decay` reads it."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decoupled for `adamw`, added to the gradient otherwise; biases and norms are left out."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the learning rate for each layer further from the head (ULMFiT, ELECTRA); 1 is off."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global norm of the gradient; none is off."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Every dropout rate of encoder and head; none keeps the encoder's own."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs a class by rows / (classes * rows of the class) in the training loss."""
    evaluations_per_epoch: Annotated[int, Field(ge=1, le=100)] = 1
    """Evaluations on the validation split, evenly spread over an epoch."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """End the stage after this many evaluations in a row without a gain; none never does."""


class Source(Stage):
    """The first stage: the task with many labels."""

    enabled: bool = True
    """Whether the source stage runs at all."""


COMPARED_AT = (0.25, 0.5)
"""Shares of its target stage at which a trial of a sweep is evaluated and compared with others."""


class Target(Stage):
    """The second stage: the task with few labels, whose validation score is searched."""

    head: Literal["auto", "new", "keep"] = "auto"
    """Start from a new head, or keep the source's (same label names needed); `auto` keeps it where it can."""
    evaluate_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Further evaluations at these shares of the stage's optimiser steps; a sweep puts its rungs here."""
