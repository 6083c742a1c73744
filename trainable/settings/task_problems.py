"""Settings of a stage that its task does not have, and that `trainable.settings.config` refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainable.metrics.metric import GENERATES, OF_IMAGES, ONE_CLASS_A_ROW, TAG_A_WORD, TASK_METRICS
from trainable.settings.stage import Stage
from trainable.settings.values import Nested

_OF_TEXTS = ("target_length", "num_beams", "length_penalty", "max_new_tokens")
"""Settings of tasks in `GENERATES` alone."""


def task_of(settings: Nested, stage: Nested) -> str | None:
    """Return the task of a stage in settings that are not checked yet; None if unknown, or if the stage is off."""
    chosen, known = stage.get("dataset"), settings.get("datasets") or {}
    data = known.get(chosen) if isinstance(chosen, str) and isinstance(known, Mapping) else chosen
    if stage.get("enabled") is False or not isinstance(data, Mapping):
        return None
    task = data.get("task", "classification")
    return task if isinstance(task, str) else None


def task_problems(stage: Nested, task: str | None) -> Iterator[tuple[str, str]]:
    """Yield each setting of a stage that its task does not have, with the problem."""
    if task is None or task not in TASK_METRICS:  # reported elsewhere
        return
    if stage.get("long_texts", "cut") == "windows" and task not in TAG_A_WORD:
        yield "long_texts", f"windows need an answer for each word, which the task {task} does not have; leave it out"
    if task not in ONE_CLASS_A_ROW:
        yield from _class_problems(stage, task)
    yield from _input_problems(stage, task)
    if task in GENERATES:
        yield from _head_problems(stage, task)
        return
    for setting in _OF_TEXTS:
        if stage.get(setting) is not None:
            yield setting, f"needs a task that generates texts: {' or '.join(GENERATES)}; leave it out"


def _class_problems(stage: Nested, task: str) -> Iterator[tuple[str, str]]:
    """Yield each setting that needs one class for each row."""
    needs = f"needs one class for each row, which the task {task} does not have; leave it out"
    if isinstance(stage.get("train_rows"), Mapping):
        yield "train_rows", f"{{per_class: N}} {needs}"
    if stage.get("class_weights", "none") != "none":
        yield "class_weights", needs
    for setting in ("label_smoothing", "focal_gamma"):
        if stage.get(setting) and (setting == "focal_gamma" or task not in GENERATES):
            yield setting, needs
    if stage.get("objective", "classification") != "classification":
        yield "objective", f"contrastive {needs}"


def _input_problems(stage: Nested, task: str) -> Iterator[tuple[str, str]]:
    """Yield each setting of a stage that is for texts if its rows are images, and the other way round.

    A value that equals the default is no mistake: stored settings have every name.
    """
    names: tuple[str, ...] = ("image_size", "image_crop", "image_flip")
    problem = "is for images, and the rows are texts; leave it out"
    if task in OF_IMAGES:
        names = ("padding_length", "padding")
        problem = "is for texts, and the rows are images; leave it out (`image_size` is the size of an image)"
    for name in names:
        default = Stage.model_fields[name].default
        if stage.get(name, default) != default:
            yield name, problem


def _head_problems(stage: Nested, task: str) -> Iterator[tuple[str, str]]:
    """Yield each setting that needs a new head on an encoder."""
    fields = Stage.model_fields
    if stage.get("head") in ("probe", "new"):
        yield "head", f"{stage['head']}: the head of the task {task} is a part of the pretrained model; leave it out"
    if stage.get("tuning", fields["tuning"].default) != fields["tuning"].default:
        yield "tuning", f"the task {task} trains the whole model, or with `frozen_layers` what is above; leave it out"
    for setting in ("layer_decay", "unfreeze_fraction"):
        if stage.get(setting, fields[setting].default) != fields[setting].default:
            yield setting, f"the layers of encoder and decoder have no common order in the task {task}; leave it out"
