"""The pretrained encoder with a classification head: its creation, its head and its dropout."""

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
from trainable.model.layers import EncoderParts, encoder_of, encoder_parts, name_of
from trainable.model.limits import Limits, name_or_path, read_limits
from trainable.model.masked_tokens import NEXT_SENTENCE, at_hidden_tokens
from trainable.model.pooling import MASKED, PRETRAINED, head_kind
from trainable.model.pretrained import (
    POOLED,
    load_classifier,
    load_config,
    load_pooled,
    load_tokenizer,
    model_without_weights,
)
from trainable.model.spans import answers_in_spans
from trainable.seeds import seed_of
from trainable.tasks.task import Head


def fingerprint(encoder: str) -> str:
    """Return the SHA-256 over the encoder's configuration and weights; for a hub model, over its name and commit.

    Files are read once per process, and again if they were replaced.
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


def new_model(
    encoder: str, head: Head, seed: int, dropout: float | None = None, pooling: str = "first"
) -> PreTrainedModel:
    """Return the pretrained encoder with a new head, on the CPU, in float32.

    With `pooling: first` the head is that of the architecture; with `mean` or `max`, see `PooledClassifier`. It is
    drawn from the seed, unless it is a part of the pretrained model (`PRETRAINED`). So are other parameters that the
    folder lacks, such as the pooler if the weights come from a masked language model. The weights are read once per
    process; each call copies them.

    Args:
        encoder: the setting.
        head: the head that the data need.
        seed: decides the drawn weights.
        dropout: all dropout rates; None keeps the encoder's own.
        pooling: the setting, without `auto`; only for a head that reads one vector of a text.
    """
    pristine, missing = _stored(encoder, head, pooling)
    model = copy.deepcopy(pristine)
    model.config.id2label = dict(enumerate(head.names))
    model.config.label2id = {name: index for index, name in enumerate(head.names)}
    model.config.problem_type = head.problem_type
    if head.reads not in PRETRAINED:
        reset_head(model, seed)
    for name in missing:
        _draw(model, [name], torch.Generator().manual_seed(seed_of("weight", seed, name)))
    if dropout is not None:
        set_dropout(model, dropout)
    return model


def lacks_head(encoder: str, head: Head) -> bool:
    """Return whether the encoder's weights lack a part of a head that is usually pretrained."""
    model, missing = _stored(encoder, head, "first")
    return any(name in missing and not name.startswith(NEXT_SENTENCE) for name in head_names(model))


def drawn_names(encoder: str, head: Head, pooling: str = "first") -> set[str]:
    """Return the names of the parameters that `new_model` draws from its seed, as no weights have them."""
    model, missing = _stored(encoder, head, pooling)
    return {*missing, *(head_names(model) if head.reads not in PRETRAINED else ())}


def _stored(encoder: str, head: Head, pooling: str) -> tuple[PreTrainedModel, tuple[str, ...]]:
    kind, new_head = head_kind(head.reads, pooling), head.reads not in PRETRAINED
    return _pristine(encoder, len(head.names), fingerprint(encoder), kind, new_head)


@lru_cache(maxsize=4)
def _pristine(
    encoder: str, classes: int, weights: str, kind: str, new_head: bool
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Return the stored model, and the parameters that the stored weights lack; those of a new head are left out."""
    source, what = name_or_path(encoder), f"encoder: {encoder!r}"
    verbosity = logging.get_verbosity()
    model: PreTrainedModel
    logging.set_verbosity_error()  # transformers would warn that the head is new, which is intended
    try:
        if kind in POOLED:
            model, differences = load_pooled(source, what, kind, classes)
        else:
            options = {"num_labels": classes} if new_head else {}
            model, differences = load_classifier(source, what, kind, ignore_mismatched_sizes=True, **options)
    finally:
        logging.set_verbosity(verbosity)
    added = at_hidden_tokens(model, pairs=kind == "masked_pairs") if kind in MASKED else set()
    if kind == "spans":
        answers_in_spans(model)
    if _reads_padding(model):
        model.config.pad_token_id = load_tokenizer(source).pad_token_id
    missing = {name: p for name, p in model.named_parameters() if name in differences.new | added}
    in_head = head_names(model) if new_head else set()
    drawn = tuple(sorted(missing.keys() - in_head))
    if drawn:  # a pooler may be new, but embeddings and layers must be pretrained
        parts = encoder_parts(model)
        needed = {id(p) for p in (model.parameters() if kind == "decoder" else parts.weights_below(len(parts.layers)))}
        if lacking := [name for name in drawn if id(missing[name]) in needed]:
            raise ConfigError(
                f"{what}: its weights are not those of its config.json: {len(lacking)} parameters are missing or have "
                f"another shape, such as {lacking[0]}; take config.json and weights from the same model"
            )
    return model, drawn


def _reads_padding(model: PreTrainedModel) -> bool:
    """Return whether the head needs the tokenizer's padding id, to find the last token of a text."""
    config, code = model.config, inspect.getsource(type(model).forward)
    return model.main_input_name == "input_ids" and (config.pad_token_id is None or "pad_token_id" in code)


def head_names(model: PreTrainedModel) -> set[str]:
    """Return the names of the parameters outside the base model; none of a model with a decoder, which moves whole."""
    if model.config.is_encoder_decoder:
        return set()
    prefix = model.base_model_prefix + "."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def output_layer(model: PreTrainedModel) -> tuple[str, nn.Linear]:
    """Return the linear layer whose outputs are the logits, and its name; some classes define it before the encoder."""
    prefix = model.base_model_prefix + "."
    modules = ((name, module) for name, module in model.named_modules() if not name.startswith(prefix))
    return [(name, module) for name, module in modules if isinstance(module, nn.Linear)][-1]


def reset_head(model: PreTrainedModel, seed: int) -> None:
    """Draw the weights of the head again, from a seed."""
    _draw(model, sorted(head_names(model)), torch.Generator().manual_seed(seed))


@torch.no_grad()
def _draw(model: PreTrainedModel, names: Iterable[str], generator: torch.Generator) -> None:
    """Draw normal weights with the encoder's `initializer_range`, and set biases to zero (BERT, section A.2)."""
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
    """Set every dropout rate, in the modules and in the configuration that is saved."""
    for module in list(model.modules()):
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name, child in module.named_children():
            if "drop" in name and isinstance(child, nn.Identity):  # ModernBERT puts it where its own rate is 0
                setattr(module, name, nn.Dropout(rate))
        for name, value in vars(module).items():
            # Some encoders keep a rate as a plain number and pass it to the attention function.
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, rate)
    for name, value in model.config.to_dict().items():
        if "dropout" in name and isinstance(value, float):
            setattr(model.config, name, rate)


def checked_limits(encoder: str, pooling: str = "first") -> Limits:
    """Return an encoder's limits after a check that its layers can be identified; no weights are read.

    Args:
        encoder: the setting.
        pooling: `first`, `mean` or `max`.

    Raises:
        ConfigError: if there is no such encoder, or its layers cannot be identified.
    """
    bounds = read_limits(encoder)
    model_and_parts(name_or_path(encoder), pooling)
    return bounds


@lru_cache
def model_and_parts(source: str, kind: str) -> tuple[PreTrainedModel, EncoderParts]:
    """Return a model without weights for the encoder in a folder or of a hub name, and the encoder's parts."""
    model = model_without_weights(source, kind)
    return model, encoder_parts(model)


def check_runs(source: str, batch: dict[str, torch.Tensor], pad_id: int, kind: str = "first") -> None:
    """Check that an encoder with a head accepts a batch of its tokenizer; no weights are read.

    Args:
        source: the folder or hub name.
        batch: `input_ids` and the other arguments of a trial's batches, each of shape (B, T).
        pad_id: the tokenizer's padding id.
        kind: of the head, see `trainable.model.pooling.head_kind`.

    Raises:
        ConfigError: if the encoder fails on the batch.
    """
    model, _ = model_and_parts(source, kind)
    if _reads_padding(model):
        model.config.pad_token_id = pad_id
    network = encoder_of(model) if kind == "decoder" else model
    model.eval()
    try:
        with torch.no_grad():
            network(**batch)
    except Exception as error:  # a model that does not take text may raise any exception
        raise ConfigError(
            f"{name_of(model)} cannot be run on the {' and '.join(batch)} of its tokenizer "
            f"({type(error).__name__}: {error!s:.200}); choose another encoder"
        ) from None
