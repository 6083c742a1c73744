"""Loads configuration, tokenizer and weights from a model folder or the hub; never runs code and never reads a pickle.

Every use of `from_pretrained` is in this module. Damaged or hostile files raise an error that names them. torch and
transformers are imported inside functions, so that mistakes in files are reported without waiting for the imports.
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

    from trainable.model.pooled import PooledClassifier

POOLED = ("mean", "max", "bi_encoder")
"""Kinds of head of `trainable.model.pooled`; the other ones are heads of transformers."""
_AUTO_CLASSES = {
    "first": "AutoModelForSequenceClassification",
    "every_token": "AutoModelForTokenClassification",
    "masked_tokens": "AutoModelForMaskedLM",
    "masked_pairs": "AutoModelForMaskedLM",
    "spans": "AutoModelForQuestionAnswering",
    "decoder": "AutoModelForSeq2SeqLM",
}
"""Auto class of transformers by the kind of head; see `trainable.model.pooling.head_kind`."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def check_folder(folder: Path, what: str) -> None:
    """Check that the entries of a model folder can be opened, and that there is a config.json.

    Args:
        folder: the folder.
        what: the beginning of the error message.

    Raises:
        ConfigError: if an entry is no file or folder, or config.json is missing.
    """
    with as_config_error(what):
        odd = [path.name for path in sorted(folder.iterdir()) if not (path.is_file() or path.is_dir())]
    if odd:  # opening a pipe would wait forever
        raise ConfigError(f"{what}: its entry {odd[0]} is no plain file (a pipe, a device, a broken link); remove it")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{what} is a folder without config.json")


def check_weights(folder: Path, what: str) -> None:
    """Check that a model folder has complete weights as safetensors; only their headers are read.

    Raises:
        ConfigError: if it has no safetensors, or they are damaged.
    """
    names = {path.name for path in folder.glob("*.safetensors")}
    if not names:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
        instead = (
            f"{pickles[0]} may carry code and is not read: load it on a machine where you trust it, and "
            if pickles
            else ""
        )
        raise ConfigError(f"{what} has no weights as safetensors; {instead}save the model with `save_pretrained`")
    index = folder / "model.safetensors.index.json"
    with as_config_error(f"{what}: {index.name}"):
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.exists() else set()
    if gone := sorted(parts - names):
        raise ConfigError(f"{what}: {index.name} names missing files: {', '.join(gone):.200}")
    for name in sorted(names):
        with as_config_error(f"{what}: {name}"), safe_open(folder / name, framework="numpy"):
            pass


def load_config(source: str, failure: str | None = None) -> PretrainedConfig:
    """Load the configuration from a folder or hub name.

    Args:
        source: the folder or hub name.
        failure: the beginning of the error message, by default that of an encoder.

    Raises:
        ConfigError: if there is none.
    """
    from transformers import AutoConfig

    options = hub_options(source)
    with as_config_error(failure or f"encoder: no configuration can be loaded from {source!r}"):
        config: PretrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    return config


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer from a folder or hub name; code that comes with it is never run.

    Raises:
        ConfigError: if there is none.
    """
    from transformers import AutoTokenizer

    options = hub_options(source)
    with as_config_error(f"encoder: no tokenizer can be loaded from {source!r}"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes an empty one if there are no files
            raise ValueError("it has no vocabulary; a tokenizer.json is missing")
    return tokenizer


def load_image_processor(source: str, **settings: Any) -> Any:
    """Load the image processor from a folder or hub name, the one that computes with Pillow; code is never run.

    Args:
        source: the folder or hub name.
        settings: replace those of the folder.

    Raises:
        ConfigError: if there is none.
    """
    from transformers import AutoImageProcessor

    options = hub_options(source)
    with as_config_error(f"encoder: no image processor can be loaded from {source!r}"):
        return AutoImageProcessor.from_pretrained(source, trust_remote_code=False, backend="pil", **options, **settings)


def reads_images(config: PretrainedConfig) -> bool:
    """Return whether transformers has a classifier of images, and none of texts, for a configuration."""
    from transformers.models.auto import modeling_auto as auto

    images, texts = (
        auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )
    return config.model_type in images and config.model_type not in texts


@dataclass(frozen=True)
class Differences:
    """Differences between the parameters of a configuration and the tensors in the weight files."""

    new: frozenset[str]
    """Parameters that are missing in the files, or have another shape there; they were drawn at random."""
    unused: frozenset[str]
    """Tensors in the files that belong to no parameter."""


def load_classifier(source: str, what: str, kind: str = "first", **options: Any) -> tuple[PreTrainedModel, Differences]:
    """Load the model with a head of transformers from a folder or hub name, in float32 on the CPU.

    Args:
        source: the folder or hub name.
        what: the beginning of the error message.
        kind: `first`, `every_token`, `masked_tokens`, `masked_pairs`, `spans` or `decoder`.
        options: further arguments of `from_pretrained`.

    Raises:
        ConfigError: if there is none, or its weights are no safetensors.
    """
    from trainable.model.image_size import take_any_size

    auto = _auto_class(kind, load_config(source, f"{what} cannot be loaded"))
    model, differences = _load(auto, source, what, **options)
    take_any_size(model)
    return model, differences


def _auto_class(kind: str, config: PretrainedConfig) -> Any:
    """Return the Auto class for a kind of head; an encoder of images has its own one for `first`."""
    import transformers

    images = kind == "first" and reads_images(config)
    return getattr(transformers, "AutoModelForImageClassification" if images else _AUTO_CLASSES[kind])


def kind_of_class(name: str) -> str:
    """Return the kind of head of a class of transformers, such as `BertForTokenClassification`."""
    from transformers.models.auto import modeling_auto as auto

    if name in auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES.values():
        return "every_token"
    if name in auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES.values():
        return "spans"
    if name in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values():
        return "decoder"
    return "masked_tokens" if name in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES.values() else "first"


def load_pooled(source: str, what: str, pooling: str, classes: int) -> tuple[PooledClassifier, Differences]:
    """Load the encoder from a folder or hub name, in float32 on the CPU, with a new head on its pooled tokens.

    Args:
        source: the folder or hub name.
        what: the beginning of the error message.
        pooling: `mean`, `max` or `bi_encoder`.
        classes: number of classes of the head.

    Raises:
        ConfigError: if there is none, or its weights are no safetensors.
    """
    from transformers import AutoModel

    from trainable.model.pooled import pooled_classifier

    encoder, found = _load(AutoModel, source, what)
    model = pooled_classifier(encoder, pooling, classes)
    prefix = f"{model.base_model_prefix}."
    outside = {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    return model, Differences(frozenset({prefix + name for name in found.new} | outside), found.unused)


def _load(auto: Any, source: str, what: str, **options: Any) -> tuple[Any, Differences]:
    """Load a model with one of the Auto classes of transformers."""
    import torch

    options |= hub_options(source)
    if options.get("local_files_only"):  # else transformers asks the hub for adapters, because peft is installed
        options["adapter_kwargs"] = {"local_files_only": True}
    with as_config_error(f"{what} cannot be loaded"):
        model, found = auto.from_pretrained(
            source,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    new = frozenset(found["missing_keys"]) | {name for name, *_ in found["mismatched_keys"]}
    return model, Differences(new, frozenset(found["unexpected_keys"]))


def model_without_weights(source: str, kind: str = "first") -> PreTrainedModel:
    """Return the model that a configuration describes, on the CPU, with zero weights that take no memory.

    Args:
        source: the folder or hub name.
        kind: the kind of its head, see `trainable.model.pooling.head_kind`.

    Raises:
        ConfigError: if there is no configuration, or transformers has no such model for it.
    """
    import torch
    from transformers import AutoModel
    from transformers.initialization import no_init_weights

    from trainable.model.image_size import take_any_size
    from trainable.model.pooled import pooled_classifier

    config = load_config(source)
    kind = "decoder" if config.is_encoder_decoder else kind  # such a model has no other head here
    auto: Any = AutoModel if kind in POOLED else _auto_class(kind, config)
    with as_config_error(f"encoder: no model can be made from {source!r}"), no_init_weights():
        model: PreTrainedModel = auto.from_config(config, trust_remote_code=False, dtype=torch.float32)
        if kind in POOLED:
            model = pooled_classifier(model, kind, config.num_labels or 2)
    model.tie_weights()
    take_any_size(model)
    for parameter in model.parameters():
        parameter.data = torch.zeros(()).expand(parameter.shape)
    return model


@contextmanager
def as_config_error(what: str) -> Iterator[None]:
    """Raise any exception of the libraries as a ConfigError whose message begins with `what`."""
    try:
        yield
    except Exception as error:  # `tokenizers` raises nothing narrower, and transformers may raise anything
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"{what}: {reason:.300}") from None
