"""The format `hf`: a folder for the Auto classes and pipelines of transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from search.export.formats.pictures import pixels_of
from search.export.formats.spans import scores_of_contexts
from search.export.formats.words import logits_of_words
from trainable.compute.device import pick_device
from trainable.data.examples import Examples
from trainable.data.image_file import ImageFile
from trainable.errors import ConfigError
from trainable.inputs.split import Inputs
from trainable.loop.evaluate import compute_logits
from trainable.model.pooled import pooling_of
from trainable.model.pretrained import (
    Differences,
    check_folder,
    check_weights,
    kind_of_class,
    load_classifier,
    load_config,
    load_tokenizer,
)
from trainable.model.spans import InSpans, answers_in_spans

_BATCH = 32


def save(model: PreTrainedModel, preprocessor: Any, folder: Path) -> None:
    """Write weights (safetensors), configuration, and tokenizer or image processor."""
    own: dict[str, torch.Tensor] = {}
    if isinstance(model, InSpans):  # transformers' class has no threshold
        own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("no_answer.")}
    model.save_pretrained(folder, state_dict=own or None)
    preprocessor.save_pretrained(folder)


@torch.inference_mode()
def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the logits that the folder gives for texts or images, as a user of transformers gets them.

    The shape is (N, C), or (N, W, C) for a tagger and texts with up to W words.
    """
    model, _ = _load(folder, f"{folder}: the exported model")
    model.eval()
    return _of_texts(model, folder, table) if table.images is None else _of_images(model, folder, table.images)


def _of_images(model: PreTrainedModel, folder: Path, images: Sequence[ImageFile]) -> torch.Tensor:
    """Return the logits of images, read as the pipelines of transformers read them, shape (N, C)."""
    batches = map(torch.from_numpy, pixels_of(folder, images))
    return torch.cat([model(pixel_values=pixels).logits.float() for pixels in batches])


def _of_texts(model: PreTrainedModel, folder: Path, table: Examples) -> torch.Tensor:
    if pooling_of(model) == "spans":
        return scores_of_contexts(lambda windows: model(**windows).to_tuple()[:2], folder, table)
    tokenizer = load_tokenizer(str(folder))
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    parts = []
    for start in range(0, len(table), _BATCH):
        texts = [column[start : start + _BATCH] for column in columns]
        batch = tokenizer(*texts, truncation=True, padding=True, return_tensors="pt")
        logits = model(**batch).logits.float()
        if pooling_of(model) == "every_token":
            assert batch.encodings is not None  # `load_tokenizer` of an export gives a fast one
            logits = logits_of_words(logits, batch.encodings, texts[0], table.labels.shape[1])
        parts.append(logits)
    return torch.cat(parts)


def _load(folder: Path, what: str) -> tuple[PreTrainedModel, Differences]:
    """Load the model with the head that its config.json names."""
    classes = load_config(str(folder), f"{what} cannot be loaded").architectures or [""]
    return load_classifier(str(folder), what, kind_of_class(classes[0]))


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Load the classifier of a folder.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what = f"{folder}: the model"
    check_folder(folder, what)
    check_weights(folder, what)
    model, differences = _load(folder, what)
    check_complete(differences, what)
    if model.config.num_labels != len(facts.label_names):
        raise ConfigError(
            f"{what}: config.json has {model.config.num_labels} labels, trial.json {len(facts.label_names)}; "
            "export it again"
        )
    if pooling_of(model) == "spans":
        answers_in_spans(model, float(getattr(model.config, "no_answer_threshold", 0.0)))
    return logits_of(model)


def check_complete(differences: Differences, what: str) -> None:
    """Check that the tensors of a folder are those that its config.json describes.

    Raises:
        ConfigError: if not.
    """
    if strange := sorted(differences.new | differences.unused):
        raise ConfigError(
            f"{what}: its weights are not those of its config.json: {len(strange)} tensors differ, such as "
            f"{strange[0]}; export it again"
        )


def logits_of(model: PreTrainedModel) -> LogitsOf:
    """Return the function that computes logits with a model, on the GPU if there is one."""
    device = pick_device()
    placed = torch.nn.Module.to(model, device)

    def compute(inputs: Inputs) -> torch.Tensor:
        return compute_logits(placed, inputs, device)

    return compute
