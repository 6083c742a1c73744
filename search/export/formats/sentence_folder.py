"""The format `sentence-transformers`: the modules Transformer, Pooling and Dense, whose output is the logits.

The library sentence-transformers writes and checks the folder. `predict` reads the folder without it, so that nothing
but JSON and safetensors is opened.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from search.export.formats.hf_folder import check_complete, logits_of
from trainable.data.examples import Examples
from trainable.errors import ConfigError, TrialError
from trainable.model.pooled import PooledClassifier
from trainable.model.pretrained import (
    Differences,
    as_config_error,
    check_folder,
    check_weights,
    load_config,
    load_pooled,
)


def save(model: PreTrainedModel, preprocessor: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the modules with their weights (safetensors), the label names in config.json, and the tokenizer.

    Raises:
        TrialError: if the head reads something else than the mean or maximum of the tokens.
    """
    from sentence_transformers.sentence_transformer.modules import Dense

    if type(model) is not PooledClassifier:
        raise TrialError("sentence-transformers has no module for the head of this model; nothing was exported")
    head = model.head
    dense = Dense(
        head.in_features,
        head.out_features,
        activation_function=torch.nn.Identity(),
        init_weight=head.weight.detach(),
        init_bias=head.bias.detach(),
    )
    save_modules(model, preprocessor, folder, dense)


def save_modules(
    model: PooledClassifier, tokenizer: PreTrainedTokenizerBase, folder: Path, *after: torch.nn.Module
) -> None:
    """Write a folder for `SentenceTransformer`: encoder, tokenizer and pooling, and the modules after them."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with tempfile.TemporaryDirectory(dir=folder) as encoder:  # the library takes an encoder from a folder
        _with_pooler(model.encoder).save_pretrained(encoder)
        tokenizer.save_pretrained(encoder)
        modules = [Transformer(encoder), Pooling(model.config.hidden_size, model.pooling), *after]
        SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def _with_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of an encoder that has every parameter of its class again.

    `PooledClassifier` takes the encoder's own pooler out. Without it every loading would print that weights are
    missing. Nothing reads it here, so it is zero.
    """
    with no_init_weights():
        whole: PreTrainedModel = type(encoder)(encoder.config)
    missing = set(whole.load_state_dict(encoder.state_dict(), strict=False).missing_keys)
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if name in missing:
                parameter.zero_()
    return whole


def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return what `SentenceTransformer.encode` gives for texts, or for tuples of two texts, shape (N, C)."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    rows: list[Any] = table.text if table.text_b is None else list(zip(table.text, table.text_b, strict=True))
    logits: torch.Tensor = model.encode(rows, convert_to_tensor=True, show_progress_bar=False)
    return logits.float()


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Load the encoder and the head of a folder.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    return load_with_head(folder, facts, "2_Dense/model.safetensors")


def load_with_head(folder: Path, facts: FolderFacts, head_file: str) -> LogitsOf:
    """Load the encoder of a folder, and its head from a file.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what, classes = f"{folder}: the model", len(facts.label_names)
    check_folder(folder, what)
    check_weights(folder, what)
    labels = load_config(str(folder)).num_labels
    if labels != classes:
        raise ConfigError(f"{what}: config.json has {labels} labels, trial.json {classes}; export it again")
    model, found = load_pooled(str(folder), what, facts.settings.pooling, classes)
    check_complete(Differences(found.new - {"head.weight", "head.bias"}, found.unused), what)
    with as_config_error(f"{what}: {head_file}"):
        head = load_file(folder / head_file)
        model.head.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in head.items()})
    return logits_of(model)
