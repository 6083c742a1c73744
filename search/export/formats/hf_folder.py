"""The format `hf`: a folder for `AutoModelForSequenceClassification` and pipelines of transformers."""

from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from trainable.compute.device import pick_device
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.split import Inputs
from trainable.loop.evaluate import compute_logits
from trainable.model.pretrained import Differences, check_folder, check_weights, load_classifier, load_tokenizer

_BATCH = 32


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.inference_mode()
def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the logits that the folder gives for texts, as a user of transformers gets them, shape (N, C)."""
    tokenizer, (model, _) = load_tokenizer(str(folder)), load_classifier(str(folder), f"{folder}: the exported model")
    model.eval()
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]
    parts = []
    for start in range(0, len(table), _BATCH):
        texts = [column[start : start + _BATCH] for column in columns]
        parts.append(model(**tokenizer(*texts, truncation=True, padding=True, return_tensors="pt")).logits)
    return torch.cat(parts).float()


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Load the classifier of a folder.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what = f"{folder}: the model"
    check_folder(folder, what)
    check_weights(folder, what)
    model, differences = load_classifier(str(folder), what)
    check_complete(differences, what)
    if model.config.num_labels != len(facts.label_names):
        raise ConfigError(
            f"{what}: config.json has {model.config.num_labels} labels, trial.json {len(facts.label_names)}; "
            "export it again"
        )
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
