"""An encoder's number of layers and longest sequence, read from its folder without torch and without its model."""

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trainable.errors import ConfigError
from trainable.metrics.metric import GENERATES
from trainable.model.pretrained import check_folder, check_weights, load_config, reads_images
from trainable.settings.names import stage_blocks
from trainable.settings.stage import Stage
from trainable.settings.task_problems import task_of
from trainable.settings.values import Nested

PACKAGE = "package:"
UNBOUNDED = 131072
"""Positions of an encoder that takes texts of any length: the largest `padding_length` allowed."""
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text", "xlm-roberta-xl"}
_OFFSET_POSITIONS |= {"roberta-prelayernorm", "xmod", "ibert", "luke", "lilt", "markuplm", "layoutlmv3", "esm"}
"""Model types that count positions from the padding id on, so that the first rows of their table are never used."""


@dataclass(frozen=True)
class Limits:
    """An encoder's upper limits of `frozen_layers` and `padding_length`."""

    depth: int
    """Number of encoder layers."""
    positions: int
    """Longest sequence, in tokens, special ones included; `UNBOUNDED` for an encoder of images."""
    has_decoder: bool = False
    """Whether a decoder reads the encoder's output, as in T5 and BART."""


def resolve_encoder(encoder: str, roots: Sequence[Path] = (Path(),)) -> str:
    """Return an encoder setting with the absolute path of a folder; `package:` and hub names stay unchanged.

    Args:
        encoder: the setting.
        roots: folders in which a relative folder is looked up, as for data files.

    Raises:
        ConfigError: if the setting can only be a folder, and it does not exist.
    """
    if encoder.startswith(PACKAGE):
        return encoder
    places = [os.path.abspath(root / os.path.expanduser(encoder)) for root in roots or (Path(),)]
    if folder := next(filter(os.path.isdir, places), None):
        return folder
    if encoder.startswith((".", "/", "~")) or encoder.count("/") > 1 or any(map(os.path.exists, places)):
        looked = ", ".join(dict.fromkeys(os.path.dirname(place) for place in places))
        raise ConfigError(f"encoder: {encoder!r}: no such folder; looked in {looked}")
    return encoder


def name_or_path(encoder: str) -> str:
    """Return the folder or hub name that transformers loads for an encoder setting.

    Raises:
        ConfigError: if a `package:` is not installed or has no model folder, or if a folder does not exist.
    """
    if not encoder.startswith(PACKAGE):
        return resolve_encoder(encoder)
    package = encoder.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(f"encoder: {encoder!r}: no installed Python package of the name {package!r}")
    folders = [file.parent for file in sorted(Path(spec.origin).parent.rglob("model.safetensors"))]
    folders = [folder for folder in folders if (folder / "config.json").is_file()]
    if len(folders) != 1:
        raise ConfigError(
            f"encoder: {encoder!r} has {len(folders)} model folders (config.json and model.safetensors), not one"
        )
    return str(folders[0])


@lru_cache
def read_limits(encoder: str) -> Limits:
    """Read an encoder's depth and longest sequence from its configuration.

    Raises:
        ConfigError: if there is no such encoder, or it has no layers that can be frozen one by one.
    """
    folder = name_or_path(encoder)
    is_folder = os.path.isdir(folder)
    if is_folder:
        check_folder(Path(folder), f"encoder: {encoder!r}")
    config = load_config(folder)
    if getattr(config, "num_hidden_groups", None) is not None:
        raise ConfigError(
            f"encoder: {encoder!r} ({config.model_type}) shares weights between layers, so none can be frozen alone; "
            "choose another encoder"
        )
    depth = getattr(config, "num_hidden_layers", None)
    positions = getattr(config, "max_position_embeddings", None)
    if reads_images(config):
        depth, positions = depth or len(getattr(config, "depths", ())), UNBOUNDED
    relative = config.is_encoder_decoder and hasattr(config, "relative_attention_num_buckets")  # T5 and its kin
    positions = UNBOUNDED if positions == -1 or (positions is None and relative) else positions  # -1: XLNet
    if not depth or not positions or min(depth, positions) < 1:
        raise ConfigError(f"encoder: {encoder!r} ({config.model_type}) does not say its number of layers and positions")
    positions -= _unused_positions(config.model_type, getattr(config, "pad_token_id", None))
    if is_folder:
        check_weights(Path(folder), f"encoder: {encoder!r}")
    return Limits(depth=depth, positions=positions, has_decoder=config.is_encoder_decoder)


@lru_cache
def limits_without_transformers(encoder: str) -> Limits | None:
    """Read an encoder's limits from its config.json without importing transformers.

    Returns None if the file does not say them, so that the defaults of transformers are needed, or if it is on the hub.

    Raises:
        ConfigError: if there is no such encoder.
    """
    folder = name_or_path(encoder)
    if not os.path.isdir(folder):
        return None
    check_folder(Path(folder), f"encoder: {encoder!r}")
    try:
        content = json.loads((Path(folder) / "config.json").read_bytes())
        depth = content.get("num_hidden_layers", content.get("n_layers"))
        positions = content.get("max_position_embeddings")
        kind, padding = content.get("model_type"), content.get("pad_token_id")
    except (OSError, ValueError, AttributeError, RecursionError):  # `read_limits` reports what is wrong with the file
        return None
    if (
        "num_hidden_groups" in content
        or content.get("is_encoder_decoder")
        or type(depth) is not int
        or type(positions) is not int
    ):
        return None
    if min(depth, positions) < 1:
        return None
    check_weights(Path(folder), f"encoder: {encoder!r}")
    return Limits(depth, positions - _unused_positions(kind, padding))


def depth_of(encoder: str) -> int:
    """Return an encoder's number of layers, without importing transformers where its config.json says it.

    Raises:
        ConfigError: if there is no such encoder.
    """
    return (limits_without_transformers(encoder) or read_limits(encoder)).depth


def _unused_positions(kind: str, padding: int | None) -> int:
    """Return the number of positions before the first token: padding id + 1, but at least two (MPNet's constant)."""
    return max(2, (padding or 0) + 1) if kind in _OFFSET_POSITIONS else 0


def limit_problems(settings: Nested, bounds: Limits) -> list[str]:
    """Return the trial settings that do not suit an encoder, one sentence each; empty if there are none."""
    problems = []
    for name, stage in stage_blocks(settings):
        task = task_of(settings, stage)
        problems += [] if task is None else _decoder_problems(name, task, settings["encoder"], bounds)
        for field, most, what in (
            ("frozen_layers", bounds.depth, "layers"),
            ("padding_length", bounds.positions, "positions"),
            ("target_length", bounds.positions, "positions"),
            ("max_new_tokens", bounds.positions - 1, "tokens that fit after the first one into the positions"),
        ):
            value = stage.get(field, Stage.model_fields[field].default)
            if isinstance(value, int) and value > most:
                problems.append(f"{name}.{field}: {value} is more than the {most} {what} of {settings['encoder']}")
    return problems


def _decoder_problems(name: str, task: str, encoder: object, bounds: Limits) -> list[str]:
    """Return a sentence if an encoder with a decoder meets a task that generates no text, or the reverse."""
    if task in GENERATES and not bounds.has_decoder:
        needs = f"the task {task} needs an encoder with a decoder, such as T5 or BART"
        return [f"{name}.dataset: {needs}, and {encoder} has none; choose another encoder"]
    if bounds.has_decoder and task not in GENERATES:
        only = f"only `task: {' or '.join(GENERATES)}` can use it, and the task of {name}.dataset is {task}"
        return [f"encoder: {encoder!r} is an encoder with a decoder; {only}; choose a model that is only an encoder"]
    return []
