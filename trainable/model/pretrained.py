"""What a model folder, or a hub model, gives: configuration, tokenizer, weights. Never code, and never a pickle.

Every use of `from_pretrained` stands here. What is damaged or hostile in a folder becomes a sentence that names it.
torch and transformers are imported where they are used: mistakes in files are told without waiting for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from trainable.errors import ConfigError
from trainable.hub import hub_options

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def check_folder(folder: Path, what: str) -> None:
    """See that what lies in a model folder can be opened, and a configuration is there.

    Args:
        folder: the folder.
        what: what the sentence of the error begins with.

    Raises:
        ConfigError: if not.
    """
    with as_config_error(what):
        odd = [path.name for path in sorted(folder.iterdir()) if not (path.is_file() or path.is_dir())]
    if odd:  # opening a pipe would wait for ever
        raise ConfigError(f"{what}: {odd[0]} in it is no plain file (a pipe, a device, a broken link); remove it")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{what} is a folder without config.json")


def check_weights(folder: Path, what: str) -> None:
    """See that a model folder has whole weights that are no pickle; reads only their headers.

    Raises:
        ConfigError: if it has none as safetensors, or they are damaged.
    """
    names = {path.name for path in folder.glob("*.safetensors")}
    if not names:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
        instead = f"{pickles[0]} may carry code and is not read: load it where you trust it, and " if pickles else ""
        raise ConfigError(f"{what} has no weights as safetensors; {instead}save it with `save_pretrained`")
    index = folder / "model.safetensors.index.json"
    with as_config_error(f"{what}: {index.name}"):
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.exists() else set()
    if gone := sorted(parts - names):
        raise ConfigError(f"{what}: {index.name} names files that are not there: {', '.join(gone):.200}")
    for name in sorted(names):
        with as_config_error(f"{what}: {name}"), safe_open(folder / name, framework="numpy"):
            pass


def load_config(source: str) -> PretrainedConfig:
    """The configuration in a folder or of a hub name.

    Raises:
        ConfigError: where there is none.
    """
    from transformers import AutoConfig

    options = hub_options(source)
    with as_config_error(f"encoder: no configuration can be loaded from {source!r}"):
        config: PretrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    return config


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a hub name; code that comes with it is never run.

    Raises:
        ConfigError: where there is none.
    """
    from transformers import AutoTokenizer

    options = hub_options(source)
    with as_config_error(f"encoder: no tokenizer can be loaded from {source!r}"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes one up where there are no files
            raise ValueError("it has no vocabulary; a tokenizer.json is missing")
    return tokenizer


@dataclass(frozen=True)
class Differences:
    """Between the parameters that a configuration asks for and the tensors that the weights have."""

    new: frozenset[str]
    """Parameters that the weights lack, or have in another shape; they were drawn at random."""
    unused: frozenset[str]
    """Tensors that no parameter takes."""


def load_classifier(source: str, what: str, **options: Any) -> tuple[PreTrainedModel, Differences]:
    """The model in a folder or of a hub name, in float32 on the CPU.

    Args:
        source: the folder or name.
        what: what the sentence of the error begins with.
        options: what else `from_pretrained` takes.

    Raises:
        ConfigError: where there is none, or its weights are no safetensors.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    options |= hub_options(source)
    with as_config_error(f"{what} cannot be loaded"):
        model, found = AutoModelForSequenceClassification.from_pretrained(
            source,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    new = frozenset(found["missing_keys"]) | {name for name, *_ in found["mismatched_keys"]}
    return model, Differences(new, frozenset(found["unexpected_keys"]))


def model_without_weights(source: str) -> PreTrainedModel:
    """The model that a configuration describes, on the CPU, with weights that are all zero and take no memory.

    Raises:
        ConfigError: where there is no configuration, or none of a classifier.
    """
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.initialization import no_init_weights

    config = load_config(source)
    with as_config_error(f"encoder: no model can be made from {source!r}"), no_init_weights():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(
            config, trust_remote_code=False, dtype=torch.float32
        )
    for parameter in model.parameters():
        parameter.data = torch.zeros(()).expand(parameter.shape)
    return model


@contextmanager
def as_config_error(what: str) -> Iterator[None]:
    """Any failure of the libraries as one sentence that begins with `what`."""
    try:
        yield
    except Exception as error:  # `tokenizers` raises nothing narrower, transformers whatever a file makes of it
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"{what}: {reason:.300}") from None
