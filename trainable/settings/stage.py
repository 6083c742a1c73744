"""The settings of one stage of fine-tuning: the data, and how to train on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from trainable.metrics.metric import TASK_METRICS
from trainable.settings.dataset import Dataset, Fraction
from trainable.settings.strict import Strict
from trainable.settings.values import Nested

DatasetOrName = Annotated[
    Annotated[Dataset, Tag("<table>")] | Annotated[str, Tag("<name>")],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<table>"),
]


class PerClass(Strict):
    """A number of training rows of each class."""

    per_class: Annotated[int, Field(ge=1)]
    """Rows of each class; all rows of a class that has fewer."""


TrainRows = Annotated[
    Annotated[int, Field(ge=2), Tag("<number>")] | Annotated[PerClass, Tag("<table>")],
    Discriminator(lambda value: "<table>" if isinstance(value, dict | PerClass) else "<number>"),
]


AUTO_THRESHOLD, TUNED = "auto", "tuned"
"""Values of `threshold` besides numbers and names of metrics."""


def _threshold(value: str) -> str:
    metrics = {name for names in TASK_METRICS.values() for name in names}
    if value not in {AUTO_THRESHOLD, TUNED, *metrics}:
        raise ValueError(f"must be auto, tuned, a metric, or a number above 0 and below 1, got {value!r:.80}")
    return value


Threshold = Annotated[
    Annotated[float, Field(gt=0, lt=1), Tag("<number>")] | Annotated[str, AfterValidator(_threshold), Tag("<name>")],
    Discriminator(lambda value: "<name>" if isinstance(value, str) else "<number>"),
]


ATTENTION, ALL_LINEAR = "attention", "all"
"""Values of `lora_targets` that are no names."""
LORA_RANK = 8
"""`lora_rank` where it is null."""
TARGET_LENGTH = 128
"""`target_length` where it is null."""


class Stage(Strict):
    """One stage of fine-tuning; a trial has two, source and target."""

    dataset: DatasetOrName
    """The data, or a name of `datasets`."""
    train_rows: TrainRows | None = None
    """Part of the training split that is used: a number of rows, drawn by class frequency, or `{per_class: N}`, so many
    rows of each class. A smaller part is contained in a larger one of the same kind. null: all rows."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 5e-5
    """Peak of the schedule."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16
    """Examples per optimiser step, over all workers."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over the training split; the length of the schedule."""
    padding_length: Annotated[int, Field(ge=4, le=131072)] = 128
    """Tokens, with special tokens; longer sequences are truncated to it."""
    long_texts: Literal["cut", "windows"] = "cut"
    """What becomes of tokens after `padding_length`. `cut`: they are not read. `windows`, only for tagging: the text is
    read in overlapping windows of this length, so that every word has an answer."""
    padding: Literal["longest", "fixed"] = "longest"
    """Pad a batch to its longest sequence, or always to `padding_length`; the logits are the same."""
    stride: Annotated[int, Field(ge=0, le=131072)] | None = None
    """Of `question_answering`: tokens that two windows of a long context have in common; null: a third of
    `padding_length`. A window has `padding_length` tokens."""
    image_size: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Of images: height and width in pixels to which each is resized; null: as the encoder's image processor says."""
    image_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of images: each training step sees a random square part of an image, at the whole size. This is the smallest
    share of the image's area that it may have (Szegedy et al. 2015); 1: always the whole image."""
    image_flip: bool = False
    """Of images: each training step sees an image as it is, or its mirror image, with equal chances."""
    frozen_layers: Annotated[int, Field(ge=0, json_schema_extra={"x-shares": True})] = 0
    """Number of lowest layers that keep their weights and run without dropout. Above 0 the embeddings are frozen, too;
    at the encoder's depth only the pooler and the head train."""
    unfreeze_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Gradual unfreezing (Howard & Ruder 2018): the share of the optimiser steps after which all layers train that are
    not frozen. Before, the pooler and the head train alone, and then one more layer after each equal part of these
    steps, from the top; the embeddings with the lowest layer. A layer that waits is like a frozen one. 0 is off."""
    tuning: Literal["full", "lora", "head"] = "full"
    """What trains besides the pooler and the head. `full`: all layers that are not frozen. `lora`: two thin matrices
    beside linear layers of these layers, which are added to the weights at the end (Hu et al. 2021). `head`: nothing,
    as with `frozen_layers` at the encoder's depth."""
    lora_rank: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Width of the thin matrices; null: 8. Only with `tuning: lora`."""
    lora_alpha: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """The product of the two matrices is multiplied by this / `lora_rank`; null: twice the rank. Only with
    `tuning: lora`."""
    lora_targets: Annotated[str, Field(min_length=1)] | None = None
    """Linear layers with thin matrices: `attention`, `all`, or the ends of their names, separated by commas, such as
    `query, key, value`. `attention`, also for null: those that the library `peft` names for the architecture, usually
    queries and values, and all where it names none. Only with `tuning: lora`."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop", "adafactor"] = "adamw"
    """The optimiser; `sgd` has momentum 0.9."""
    schedule: Literal["linear", "cosine", "constant", "warmup_stable_decay"] = "linear"
    """The learning rate after the warm-up; `warmup_stable_decay` holds it, then lowers it linearly. Source stages that
    differ only in epochs train their common epochs once under `constant`, and under `warmup_stable_decay` until the
    decay."""
    warmup_fraction: Fraction = 0.06
    """Linear warm-up from 0, as a share of the optimiser steps; a share of one epoch's steps under `constant` and
    `warmup_stable_decay`, so that the first epochs do not depend on the number of epochs."""
    decay_fraction: Fraction = 0.2
    """The decay at the end, as a share of the optimiser steps; `warmup_stable_decay` only."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decoupled for `adamw`, added to the gradient otherwise; not on biases and norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the learning rate for each layer further from the head (discriminative rates: ULMFiT, ELECTRA); 1 is
    off."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Maximum global norm of the gradient; null is off."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing: share spread over all classes."""
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Exponent of the focal loss (Lin et al. 2017), which lowers the weight of rows that the model gets right; 0 is the
    cross-entropy, 2 is usual with rare classes."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """All dropout rates; null keeps the encoder's own."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the training loss; `balanced`: rows / (classes * rows of the class)."""
    evaluations_per_epoch: Annotated[int, Field(ge=1, le=100)] | None = None
    """Evaluations on the validation split, evenly spread over an epoch; null: one, but in a target stage without
    `patience` fewer, at least four in all, if they would take longer than the training of few rows."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Early stopping: end the stage after so many evaluations in a row without a gain; null: never."""
    validation_rows: Annotated[int, Field(ge=1)] | None = None
    """Rows of the validation split that an evaluation uses, the same ones each time, if the split has more. null: all,
    but 256 of `task: sequence_to_sequence`, which generates a text for each."""
    target_length: Annotated[int, Field(ge=2, le=131072)] | None = None
    """Tokens of a target text, with special tokens; longer ones are truncated for training and for the loss. null: 128.
    This setting and the next three are only for `task: sequence_to_sequence`."""
    num_beams: Annotated[int, Field(ge=1, le=64)] | None = None
    """Beams of the search for the best text; 1 takes the most probable token each time. null: as the encoder's
    generation_config.json says, else 1."""
    length_penalty: Annotated[float, Field(ge=-10, le=10)] | None = None
    """Exponent of the length by which the log-probability of a beam is divided: above 0 favours long texts, below 0
    short ones. null: as the encoder's generation_config.json says, else 1."""
    max_new_tokens: Annotated[int, Field(ge=1, le=131072)] | None = None
    """Most tokens that the model generates; null: `target_length`."""

    @property
    def keeps_best(self) -> bool:
        """Return whether the stage ends with the weights of its best evaluation."""
        return True

    @property
    def decides_at(self) -> float | str:
        """Return the setting `threshold`, which only the target has."""
        return AUTO_THRESHOLD

    @property
    def longest_target(self) -> int:
        """Return the tokens to which target texts are truncated."""
        return self.target_length or TARGET_LENGTH

    @property
    def longest_answer(self) -> int:
        """Return the most tokens that a model generates."""
        return self.max_new_tokens or self.longest_target

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield each setting of LoRA in a stage that does not use it."""
        for name in ("lora_rank", "lora_alpha", "lora_targets"):
            if given.get(name) is not None and given.get("tuning") != "lora":
                yield name, "needs `tuning: lora`; where `tuning` is searched, search this too, under a `when:` on it"


class Source(Stage):
    """The first stage: the task with many labels."""

    enabled: bool = True
    """Whether the source stage runs."""


COMPARED_AT = (0.25, 0.5)
"""Shares of its target stage at which a trial of a sweep is evaluated and compared with others."""


class Target(Stage):
    """The second stage: the task with few labels, whose validation score is optimised."""

    fold: Annotated[int, Field(ge=0)] | None = 0
    """Where the validation rows are taken from fewer than 1,000 training rows: 0 holds out the rows that the split
    gives, a higher number another draw of as many; null: train on all rows, and keep the last weights. A sweep sets it
    for its repeats."""
    draw: Annotated[int, Field(ge=0)] = 0
    """Which draw of the rows that `train_rows` takes: 0 is that of `split_seed`, each higher number another one. A
    sweep sets it for its repeats."""
    head: Literal["keep_or_probe", "probe", "keep", "new", "auto"] = "keep_or_probe"
    """The head to begin with. `probe`: a logistic regression on the features of the target's training rows (linear
    probing before fine-tuning); `keep`: that of the source, which needs the same label names in source and target;
    `new`: random; `keep_or_probe`: `keep` if the label names are the same, else `probe`; `auto`, the default of earlier
    versions: `keep` if they are the same, else `new`."""
    objective: Literal["classification", "contrastive"] = "classification"
    """What the epochs train. `classification`: encoder and head, to predict the labels. `contrastive`: the encoder
    alone, to give similar vectors to rows of one class (as SetFit, with all pairs within a batch); the head is a
    regression on these vectors, fitted at each evaluation. It often wins with few rows."""
    load_best_at_end: bool | None = None
    """Whether the stage ends with the weights of its best evaluation, or with the last ones; null: with the best, but a
    sweep that trains the winner once more on all rows (`sweep.refit`) scores every trial with its last weights, unless
    `patience` is set."""
    head_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor on the learning rate of the head; a new head of many classes needs a higher rate than the encoder."""
    threshold: Threshold = AUTO_THRESHOLD
    """The probability from which on a row gets the second of two labels, or a label of `multi_label`. `tuned`: chosen
    on the validation rows, so that `metric` is best; a metric, such as `f2`: so that this one is best; a number: this
    one. `auto`: 0.5, but tuned for `multi_label`. It becomes a part of the output layer."""
    evaluate_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Further evaluations, as shares of the stage; a sweep adds the shares at which it compares trials."""

    measure_latency: bool = False
    """Measure the time of a single validation row before the training; a sweep switches it on where a constraint has
    `latency_ms`."""

    @property
    def keeps_best(self) -> bool:
        """Return whether the stage ends with the weights of its best evaluation."""
        return self.load_best_at_end is not False

    @property
    def decides_at(self) -> float | str:
        """Return the setting `threshold`."""
        return self.threshold

    @classmethod
    def clashes(cls, given: Nested) -> Iterator[tuple[str, str]]:
        """Yield what a stage does, and a problem if early stopping has no best evaluation to return to."""
        yield from super().clashes(given)
        if given.get("unfreeze_fraction") and given.get("objective") == "contrastive":
            yield (
                "unfreeze_fraction",
                "needs `objective: classification`, as the other trains no head that could begin alone; where "
                "`objective` is searched, search this too, under a `when:` on it",
            )
        if given.get("load_best_at_end") is False and given.get("patience") is not None:
            yield "load_best_at_end", "early stopping (`patience`) ends with the best weights; leave one of them out"
