"""Settings that represent the whole space in the preflight: the most expensive ones, and a random draw."""

from collections.abc import Callable, Sequence
from typing import Any

import optuna

from search.plan.plan import Plan
from search.propose.samplers import build_sampler
from spaces import Point, Scalar, SpaceError
from trainable.baselines.results import NAMES_BY_TASK, NEEDS_ENCODER
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.model.pooling import features_pooling
from trainable.settings.config import TrialConfig
from trainable.settings.stage import TARGET_LENGTH
from trainable.workspace import Workspace

LONGEST = 2**20
"""More tokens than any encoder accepts."""
USUAL_IMAGE = 224
"""Pixels of the side of an image where `image_size` is null: what most encoders say."""

# Settings that make a batch expensive, the most important first: the name without its stage, and a sort key that
# puts the most expensive value first.
RANKS: dict[str, Callable[[Any], Any]] = {
    "enabled": lambda on: not on,
    "padding_length": lambda tokens: -tokens,
    "target_length": lambda tokens: -(tokens or TARGET_LENGTH),
    "max_new_tokens": lambda tokens: -(tokens or TARGET_LENGTH),
    "num_beams": lambda beams: -(beams or 1),
    "image_size": lambda pixels: -(pixels or USUAL_IMAGE),
    "padding": ["fixed", "longest"].index,
    "batch_size": lambda rows: -rows,
    "tuning": ["full", "lora", "head"].index,
    "frozen_layers": lambda layers: layers,
    "micro_batches": lambda parts: parts,
    "optimizer": ["adamw", "adam", "rmsprop", "sgd", "adafactor"].index,
    "precision": ["fp32", "auto", "bf16"].index,
    "train_rows": lambda rows: -LONGEST if rows is None else -rows,
}
ORDER = ("encoder", "dataset", *RANKS)


def costliest_point(plan: Plan, workspace: Workspace) -> Point:
    """Return the point whose batches take the most memory and time, as far as conditions allow.

    It has the largest encoder, the longest texts and a source stage; then the longest padding, the largest batch and
    the fewest frozen layers of both stages.
    """
    given: Point = {}
    fields = {name: name.rpartition(".")[2] for name in plan.space.names}
    for field in ORDER:
        for name in (name for name in fields if fields[name] == field):
            for value in _costliest_first(plan, workspace, name, field, given):
                try:
                    plan.space.complete({**given, name: value})
                except SpaceError:
                    continue
                given[name] = value
                break
    return plan.space.complete(given)


def costliest_trial(plan: Plan, workspace: Workspace) -> tuple[Point, TrialConfig]:
    """Return the most expensive settings, and a trial with them that one process can try.

    A trial with several workers cuts its batch into as many parts; one process computes them one after another.
    """
    point = costliest_point(plan, workspace)
    parts = max(plan.config(point).micro_batches, plan.settings.workers_per_trial)
    return point, plan.config(point, micro_batches=parts)


def baseline_trial(plan: Plan, costliest: TrialConfig, workspace: Workspace) -> TrialConfig:
    """Return the settings from which the baselines take encoder, pooling, data, rows and padding.

    Args:
        plan: the experiment, its data prepared.
        costliest: the plan's most expensive trial, which has the largest encoder, the most rows and the longest texts.
        workspace: the folders with the tokenised data.
    """
    fixed = plan.base.get("pooling", "auto") != "auto" and "pooling" not in plan.space.names
    names = NAMES_BY_TASK.get(costliest.dataset_of(costliest.target).task, ())
    if fixed or NEEDS_ENCODER.isdisjoint(names):
        return costliest
    pairs = len(tokenized_dataset_of(costliest, costliest.target, workspace).text_columns) > 1
    return costliest.model_copy(update={"pooling": features_pooling(costliest.encoder, pairs)})


def _costliest_first(plan: Plan, workspace: Workspace, name: str, field: str, given: Point) -> Sequence[Scalar]:
    values = list(dict.fromkeys(value for searched, value in plan.space.corners() if searched == name))
    if field == "encoder":
        from trainable.model.freezing import trained_weights  # loads all model code, which is rarely needed

        # Every encoder can be pooled, but not each has a head of its own.
        return sorted(values, key=lambda encoder: -trained_weights(str(encoder), 0, "mean"))
    if field == "dataset":
        return sorted(values, key=lambda dataset: -_longest_row(plan, workspace, name, {**given, name: dataset}))
    return sorted(values, key=RANKS[field])


def _longest_row(plan: Plan, workspace: Workspace, name: str, given: Point) -> int:
    """Return the tokens of the longest training row of a stage's data; 0 for a value that conditions exclude."""
    try:
        config = plan.config(plan.space.complete(given))
    except (SpaceError, ConfigError):
        return 0
    stage = config.stages().get(name.rpartition(".")[0])
    if stage is None:
        return 0
    return int(tokenized_dataset_of(config, stage, workspace).splits["train"].tokens.longest())


def random_draw(plan: Plan, count: int) -> list[TrialConfig]:
    """Draw the settings of `count` trials at random from the space; the same space always gives the same draw."""
    study = optuna.create_study(sampler=build_sampler("random", 0))
    return [plan.config(plan.space.suggest(study.ask())) for _ in range(count)]
