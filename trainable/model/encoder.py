"""The pretrained encoder: its model with a classification head, its layers, and what of them trains."""

import copy
import hashlib
import inspect
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from trainable.errors import ConfigError
from trainable.model.layers import EncoderParts, encoder_parts, layers_of, name_of
from trainable.model.limits import Limits, name_or_path, read_limits
from trainable.model.pretrained import load_classifier, load_config, load_tokenizer, model_without_weights
from trainable.seeds import seed_of


def fingerprint(encoder: str) -> str:
    """SHA-256 over the encoder's configuration and weights (a hub model's: its name and commit).

    Files are read once a process, and again where they were replaced.
    """
    source = name_or_path(encoder)
    if not os.path.isdir(source):
        return _hub_fingerprint(source)
    files = sorted([Path(source, "config.json"), *Path(source).glob("*.safetensors")])
    facts = [file.stat() for file in files]
    stamps = tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in facts)
    return _folder_fingerprint(tuple(files), stamps)


@lru_cache
def _hub_fingerprint(name: str) -> str:
    commit = getattr(load_config(name), "_commit_hash", None)
    return hashlib.sha256(f"{name}@{commit}".encode()).hexdigest()


@lru_cache
def _folder_fingerprint(files: tuple[Path, ...], stamps: tuple[object, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def new_model(encoder: str, label_names: tuple[str, ...], seed: int, dropout: float | None = None) -> PreTrainedModel:
    """The pretrained encoder with a new head, on the CPU, in float32.

    The head is drawn from the seed, and so is what else the folder's weights lack: a pooler, where they come from a
    masked-language model. The weights are read once a process; each call copies them.
    """
    pristine, missing = _pristine(encoder, len(label_names), fingerprint(encoder))
    model = copy.deepcopy(pristine)
    model.config.id2label = dict(enumerate(label_names))
    model.config.label2id = {name: index for index, name in enumerate(label_names)}
    model.config.problem_type = "single_label_classification"
    reset_head(model, seed)
    for name in missing:
        _draw(model, [name], torch.Generator().manual_seed(seed_of("weight", seed, name)))
    if dropout is not None:
        set_dropout(model, dropout)
    return model


@lru_cache(maxsize=4)
def _pristine(encoder: str, classes: int, weights: str) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model as it was stored, and the names of its parameters outside the head that the stored weights lack."""
    source, what = name_or_path(encoder), f"encoder: {encoder!r}"
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # or it warns that the head is new, as it is meant to be
    try:
        model, differences = load_classifier(source, what, num_labels=classes, ignore_mismatched_sizes=True)
    finally:
        logging.set_verbosity(verbosity)
    if _reads_padding(model):
        model.config.pad_token_id = load_tokenizer(source).pad_token_id
    missing = {name: p for name, p in model.named_parameters() if name in differences.new}
    in_head = head_names(model)
    drawn = tuple(sorted(missing.keys() - in_head))
    if drawn:  # a pooler may be new; embeddings and layers must be pretrained
        parts = encoder_parts(model)
        needed = {id(p) for p in parts.weights_below(len(parts.layers))}
        if lacking := [name for name in drawn if id(missing[name]) in needed]:
            raise ConfigError(
                f"{what}: its weights are not those of its config.json: {len(lacking)} parameters are missing or of "
                f"another shape, such as {lacking[0]}"
            )
    return model, drawn


def _reads_padding(model: PreTrainedModel) -> bool:
    """Whether the head looks for the last token: it finds it by the padding, which is the tokenizer's."""
    return model.config.pad_token_id is None or "pad_token_id" in inspect.getsource(type(model).forward)


def head_names(model: PreTrainedModel) -> set[str]:
    """Names of the parameters outside the encoder proper."""
    prefix = model.base_model_prefix + "."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def reset_head(model: PreTrainedModel, seed: int) -> None:
    """Draw the head anew from a seed."""
    _draw(model, sorted(head_names(model)), torch.Generator().manual_seed(seed))


@torch.no_grad()
def _draw(model: PreTrainedModel, names: Iterable[str], generator: torch.Generator) -> None:
    """Draw normal weights of the encoder's `initializer_range` and zero biases (BERT, section A.2)."""
    spread = getattr(model.config, "initializer_range", 0.02)
    parameters = dict(model.named_parameters())
    for name in names:
        weight = parameters[name]
        if weight.ndim > 1:
            weight.normal_(0.0, spread, generator=generator)
        elif name.endswith("bias"):
            weight.zero_()
        else:
            weight.fill_(1.0)


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Override every dropout rate, in the modules and in the configuration that is saved."""
    for module in list(model.modules()):
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name, child in module.named_children():
            if "drop" in name and isinstance(child, nn.Identity):  # ModernBERT's, where its own rate is 0
                setattr(module, name, nn.Dropout(rate))
        for name, value in vars(module).items():
            # Some encoders keep a rate as a plain number and hand it to the attention function.
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, rate)
    for name, value in model.config.to_dict().items():
        if "dropout" in name and isinstance(value, float):
            setattr(model.config, name, rate)


def freeze(model: PreTrainedModel, count: int) -> list[nn.Module]:
    """Stop the gradient in the lowest `count` layers and, above 0, in all that lies below the layers.

    That is the embeddings, and tables that the layers share. What lies above the layers trains, such as a pooler.

    Returns:
        The frozen modules; they must be kept in evaluation mode (see `train_mode`).

    Raises:
        ConfigError: if the encoder has fewer layers, or they cannot be told apart.
    """
    _check_count(model, count)
    if not count:
        return []
    parts = encoder_parts(model)
    for parameter in parts.weights_below(count):
        parameter.requires_grad_(False)
    for name in parts.holders:  # what holds all layers stays in training mode, but drops no embedding and no layer
        holder = parts.base.get_submodule(name)
        rates = [key for key, value in vars(holder).items() if "drop" in key and isinstance(value, float)]
        for key in rates:
            setattr(holder, key, 0.0)
    return [*parts.below(), *parts.layers[:count]]


def _check_count(model: PreTrainedModel, count: int) -> None:
    depth = len(layers_of(model))
    if not 0 <= count <= depth:
        raise ConfigError(f"frozen_layers: must be 0 to {depth} for {model.config.model_type}, got {count}")


def checked_limits(encoder: str) -> Limits:
    """What an encoder can bear, once its layers have been told apart; none of its weights is read.

    Raises:
        ConfigError: if there is no such encoder, or its layers cannot be told apart.
    """
    bounds = read_limits(encoder)
    _without_weights(name_or_path(encoder))
    return bounds


@lru_cache
def _without_weights(source: str) -> tuple[PreTrainedModel, EncoderParts]:
    model = model_without_weights(source)
    return model, encoder_parts(model)


def check_runs(source: str, batch: dict[str, torch.Tensor], pad_id: int) -> None:
    """Run an encoder, with a classifier on it, over a batch of its tokenizer's; none of its weights is read.

    Args:
        source: the folder, or hub name.
        batch: `input_ids` and what else a trial feeds, each of shape (B, T).
        pad_id: the tokenizer's id of the padding.

    Raises:
        ConfigError: if it cannot take the batch.
    """
    model, _ = _without_weights(source)
    if _reads_padding(model):
        model.config.pad_token_id = pad_id
    model.eval()
    try:
        with torch.no_grad():
            model(**batch)
    except Exception as error:  # the code of a model that takes something else than text raises anything
        raise ConfigError(
            f"{name_of(model)} cannot be run on the {' and '.join(batch)} of its tokenizer "
            f"({type(error).__name__}: {error!s:.200}); choose another encoder"
        ) from None


@lru_cache
def trained_weights(encoder: str, frozen_layers: int) -> int:
    """How many weights train with so many layers frozen; the encoder's own are not read.

    Raises:
        ConfigError: if the encoder has fewer layers.
    """
    model, parts = _without_weights(name_or_path(encoder))
    _check_count(model, frozen_layers)
    frozen = parts.weights_below(frozen_layers) if frozen_layers else []
    return sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in frozen)


def train_mode(model: PreTrainedModel, frozen: list[nn.Module]) -> None:
    """Switch dropout on, except in the frozen modules."""
    model.train()
    for module in frozen:
        module.eval()
