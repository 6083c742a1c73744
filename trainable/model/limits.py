"""What an encoder can bear, read from its folder before any model is made: importing this takes no model code."""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainable.errors import ConfigError
from trainable.model.pretrained import check_folder, check_weights, load_config
from trainable.settings.stage import Stage

PACKAGE = "package:"
UNBOUNDED = 131072
"""Positions of an encoder that takes texts of any length: as many as `padding_length` may ask for."""
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text", "xlm-roberta-xl"}
_OFFSET_POSITIONS |= {"roberta-prelayernorm", "xmod", "ibert", "luke", "lilt", "markuplm", "layoutlmv3", "esm"}
"""Kinds that count positions from the padding's id on: the first ones of their table are never used."""


@dataclass(frozen=True)
class Limits:
    """What an encoder can bear: bounds of `frozen_layers` and `padding_length`."""

    depth: int
    """Encoder layers."""
    positions: int
    """Longest sequence, in tokens, special ones included."""


def resolve_encoder(encoder: str, roots: Sequence[Path] = (Path(),)) -> str:
    """An encoder setting with a folder's whole path in place of its name; `package:` and hub names as they are.

    Args:
        encoder: the setting.
        roots: where a relative folder is looked up, as data files are.

    Raises:
        ConfigError: if it can only be a folder, and there is none.
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
    """Turn a setting into what transformers loads: a folder, or a hub name as it is.

    Raises:
        ConfigError: if a `package:` is not installed or carries no model folder, or a folder is not there.
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
            f"encoder: {encoder!r} carries {len(folders)} model folders (config.json and model.safetensors), not one"
        )
    return str(folders[0])


@lru_cache
def read_limits(encoder: str) -> Limits:
    """Read an encoder's depth and longest sequence from its configuration.

    Raises:
        ConfigError: if there is no such encoder, or its layers cannot be told apart.
    """
    folder = name_or_path(encoder)
    is_folder = os.path.isdir(folder)
    if is_folder:
        check_folder(Path(folder), f"encoder: {encoder!r}")
    config = load_config(folder)
    if getattr(config, "num_hidden_groups", None) is not None:
        raise ConfigError(
            f"encoder: {encoder!r} ({config.model_type}) shares weights between layers, so none can be frozen alone"
        )
    if config.is_encoder_decoder:
        raise ConfigError(
            f"encoder: {encoder!r} ({config.model_type}) is an encoder with a decoder, and which of its layers are the "
            "lowest cannot be told; choose an encoder alone"
        )
    depth = getattr(config, "num_hidden_layers", None)
    positions = getattr(config, "max_position_embeddings", None)
    positions = UNBOUNDED if positions == -1 else positions  # XLNet's way to say that there is no bound
    if not depth or not positions or min(depth, positions) < 1:
        raise ConfigError(f"encoder: {encoder!r} ({config.model_type}) does not say its number of layers and positions")
    positions -= _unused_positions(config.model_type, config.pad_token_id)
    if is_folder:
        check_weights(Path(folder), f"encoder: {encoder!r}")
    return Limits(depth=depth, positions=positions)


@lru_cache
def limits_without_transformers(encoder: str) -> Limits | None:
    """What the config.json of an encoder's folder says in as many words, without importing transformers.

    None where that takes transformers, which knows defaults, or the network.

    Raises:
        ConfigError: if there is no such encoder.
    """
    folder = name_or_path(encoder)
    if not os.path.isdir(folder):
        return None
    check_folder(Path(folder), f"encoder: {encoder!r}")
    try:
        stated = json.loads((Path(folder) / "config.json").read_bytes())
        depth = stated.get("num_hidden_layers", stated.get("n_layers"))
        positions = stated.get("max_position_embeddings")
        kind, padding = stated.get("model_type"), stated.get("pad_token_id")
    except (OSError, ValueError, AttributeError, RecursionError):  # `read_limits` says what is wrong with it
        return None
    if "num_hidden_groups" in stated or type(depth) is not int or type(positions) is not int:
        return None
    if min(depth, positions) < 1:
        return None
    check_weights(Path(folder), f"encoder: {encoder!r}")
    return Limits(depth, positions - _unused_positions(kind, padding))


def _unused_positions(kind: str, padding: int | None) -> int:
    """Positions before a text's first one; two, as in MPNet whatever its padding, unless the padding's id is larger."""
    return max(2, (padding or 0) + 1) if kind in _OFFSET_POSITIONS else 0


def limit_problems(settings: Mapping[str, Any], bounds: Limits) -> list[str]:
    """What an encoder cannot honour of a trial's nested settings, one sentence each; empty if nothing."""
    problems = []
    for name in ("source", "target"):
        stage = settings.get(name)
        for field, most, what in (
            ("frozen_layers", bounds.depth, "layers"),
            ("padding_length", bounds.positions, "positions"),
        ):
            value = stage.get(field, Stage.model_fields[field].default) if isinstance(stage, Mapping) else 0
            if isinstance(value, int) and value > most:
                problems.append(f"{name}.{field}: {value} is more than the {most} {what} of {settings['encoder']}")
    return problems
