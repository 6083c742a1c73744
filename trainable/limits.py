"""What an encoder can bear, read from its folder before any model is made: importing this takes no model code."""

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trainable.config import TrialConfig
from trainable.errors import ConfigError
from trainable.pretrained import check_folder, check_weights, load_config

PACKAGE = "package:"
# Position tables of these begin behind the padding index, so that two entries are never used.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text", "xlm-roberta-xl"}


@dataclass(frozen=True)
class Limits:
    """What an encoder can bear: bounds of `frozen_layers` and `padding_length`."""

    depth: int
    """Encoder layers."""
    positions: int
    """Longest sequence, in tokens, special ones included."""


def locate(encoder: str) -> str:
    """Turn a setting into what transformers loads: a folder, or a hub name as it is.

    Raises:
        ConfigError: if a `package:` is not installed or carries no model folder.
    """
    if not encoder.startswith(PACKAGE):
        return encoder
    package = encoder.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(f"encoder: {encoder!r}: no installed Python package of the name {package!r}")
    folders = [file.parent for file in sorted(Path(spec.origin).parent.rglob("model.safetensors"))]
    folders = [folder for folder in folders if (folder / "config.json").is_file()]
    if len(folders) != 1:
        raise ConfigError(
            f"encoder: {encoder!r} carries {len(folders)} model folders (config.json and model.safetensors), not one"
        )
    return str(folders[0])


@lru_cache
def limits(encoder: str) -> Limits:
    """Read an encoder's depth and longest sequence from its configuration.

    Raises:
        ConfigError: if there is no such encoder, or its layers cannot be told apart.
    """
    folder = locate(encoder)
    is_folder = os.path.isdir(folder)
    if is_folder:
        check_folder(Path(folder), f"encoder: {encoder!r}")
    config = load_config(folder)
    if getattr(config, "num_hidden_groups", None) is not None:
        raise ConfigError(
            f"encoder: {encoder!r} ({config.model_type}) shares weights between layers, so none can be frozen alone"
        )
    depth = getattr(config, "num_hidden_layers", None)
    positions = getattr(config, "max_position_embeddings", None)
    if not depth or not positions or min(depth, positions) < 1:
        raise ConfigError(f"encoder: {encoder!r} ({config.model_type}) does not say its number of layers and positions")
    if config.model_type in _OFFSET_POSITIONS:
        positions -= 2
    if is_folder:
        check_weights(Path(folder), f"encoder: {encoder!r}")
    return Limits(depth=depth, positions=positions)


def limit_problems(config: TrialConfig) -> list[str]:
    """What the encoder cannot honour of a trial's settings, one sentence each; empty if nothing.

    Raises:
        ConfigError: if there is no such encoder.
    """
    bounds = limits(config.encoder)
    problems = []
    for name, stage in (("source", config.source), ("target", config.target)):
        if stage is None:
            continue
        if stage.frozen_layers > bounds.depth:
            problems.append(
                f"{name}.frozen_layers: {stage.frozen_layers} is more than the {bounds.depth} layers "
                f"of {config.encoder}"
            )
        if stage.padding_length > bounds.positions:
            problems.append(
                f"{name}.padding_length: {stage.padding_length} is more than the {bounds.positions} positions "
                f"of {config.encoder}"
            )
    return problems
