"""The pretrained encoder: its model with a classification head, its layers, and what of them trains."""

import copy
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from trainable.errors import ConfigError
from trainable.limits import locate
from trainable.pretrained import load_classifier, load_config, load_tokenizer, outline


def fingerprint(encoder: str) -> str:
    """SHA-256 over the encoder's configuration and weights (a hub model's: its name and commit).

    Files are read once a process, and again where they were replaced.
    """
    source = locate(encoder)
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
    """The pretrained encoder with a new, seeded head, on the CPU, in float32.

    The weights are read once a process; each call copies them.
    """
    model = copy.deepcopy(_pristine(encoder, len(label_names), fingerprint(encoder)))
    model.config.id2label = dict(enumerate(label_names))
    model.config.label2id = {name: index for index, name in enumerate(label_names)}
    model.config.problem_type = "single_label_classification"
    reset_head(model, seed)
    if dropout is not None:
        set_dropout(model, dropout)
    return model


@lru_cache(maxsize=4)
def _pristine(encoder: str, classes: int, weights: str) -> PreTrainedModel:
    source, what = locate(encoder), f"encoder: {encoder!r}"
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # or it warns that the head is new, as it is meant to be
    try:
        model, differences = load_classifier(source, what, num_labels=classes, ignore_mismatched_sizes=True)
    finally:
        logging.set_verbosity(verbosity)
    inner = {id(p) for module in _inner(model) for p in module.parameters()}
    if lacking := sorted(name for name, p in model.named_parameters() if name in differences.new and id(p) in inner):
        raise ConfigError(
            f"{what}: its weights are not those of its config.json: {len(lacking)} parameters are missing or of "
            f"another shape, such as {lacking[0]}"
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = load_tokenizer(source).pad_token_id
    return model


def _inner(model: PreTrainedModel) -> list[nn.Module]:
    """What a pretrained encoder must bring along: embeddings and layers (a pooler may be new)."""
    return [*(child for _, child in below_layers(model)), layers_of(model)]


def head_names(model: PreTrainedModel) -> set[str]:
    """Names of the parameters outside the encoder proper."""
    prefix = model.base_model_prefix + "."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def reset_head(model: PreTrainedModel, seed: int) -> None:
    """Draw the head anew: normal weights of the encoder's `initializer_range`, zero biases (BERT, section A.2)."""
    generator = torch.Generator().manual_seed(seed)
    spread = getattr(model.config, "initializer_range", 0.02)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in sorted(head_names(model)):
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


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, lowest first: the one list of modules that is as long as the configuration says.

    Raises:
        ConfigError: if there is none, or more than one.
    """
    depth = model.config.num_hidden_layers
    found = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    if len(found) != 1:
        raise ConfigError(
            f"encoder: {model.config.model_type} has {len(found)} lists of {depth} layers; cannot tell its layers"
        )
    return found[0]


def below_layers(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """The encoder's children that come before its layers, by name: the embeddings and what belongs to them."""
    layers = layers_of(model)
    for name, child in model.base_model.named_children():
        if any(module is layers for module in child.modules()):
            return
        yield name, child


def freeze(model: PreTrainedModel, count: int) -> list[nn.Module]:
    """Stop the gradient in the lowest `count` layers and, above 0, in the embeddings.

    Returns:
        The frozen modules; they must be kept in evaluation mode (see `train_mode`).

    Raises:
        ConfigError: if the encoder has fewer layers.
    """
    layers = layers_of(model)
    if not 0 <= count <= len(layers):
        raise ConfigError(f"frozen_layers: must be 0 to {len(layers)} for {model.config.model_type}, got {count}")
    frozen = [*(child for _, child in below_layers(model)), *layers[:count]] if count else []
    for module in frozen:
        module.requires_grad_(False)
    return frozen


@lru_cache
def trained_weights(encoder: str, frozen_layers: int) -> int:
    """How many weights train with so many layers frozen; the encoder's own are not read.

    Raises:
        ConfigError: if the encoder has fewer layers.
    """
    model = outline(locate(encoder))
    freeze(model, frozen_layers)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def train_mode(model: PreTrainedModel, frozen: list[nn.Module]) -> None:
    """Switch dropout on, except in the frozen modules."""
    model.train()
    for module in frozen:
        module.eval()
