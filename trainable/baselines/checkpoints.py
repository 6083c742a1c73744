"""Logits of a finished checkpoint on a split, whether it holds an encoder or a model over words."""

from pathlib import Path

import torch

from trainable.baselines.regression import outputs_of
from trainable.baselines.results import TEXT_MODEL_FILE, config_of
from trainable.baselines.text_models import LabelledTexts, load_text_model
from trainable.checkpoint import load_trained
from trainable.compute.device import pick_device, resolve_precision
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.span_inputs import stage_inputs
from trainable.loop.evaluate import compute_logits
from trainable.store.checksums import verify_checksums
from trainable.tasks.registry import read_splits
from trainable.workspace import Workspace


def is_text_model(checkpoint: Path) -> bool:
    """Return whether a checkpoint holds a scikit-learn pipeline over words instead of an encoder with a head."""
    return (checkpoint / TEXT_MODEL_FILE).exists()


def checkpoint_logits(
    checkpoint: Path, split: str, workspace: Workspace, encoder: str | None = None
) -> torch.Tensor | None:
    """Return the logits of a finished checkpoint's model, shape (N, C), on the CPU; None if there is no such split.

    Args:
        checkpoint: the folder of a finished trial or of a baseline.
        split: `train`, `validation` or `test`.
        workspace: the folders of data and caches.
        encoder: path or name of the encoder, if it is not where it was in training.

    Raises:
        DamagedError: if files of the checkpoint are missing or altered.
        ConfigError: if the encoder has changed since the training, or the data cannot be read.
    """
    if is_text_model(checkpoint):
        return _text_logits(checkpoint, split, workspace)
    model, config = load_trained(checkpoint, encoder)
    tokenized = tokenized_dataset_of(config, config.target, workspace)
    if split not in tokenized.splits:
        return None
    device = pick_device()
    inputs = stage_inputs(tokenized.splits[split], config.target).inputs
    precision = resolve_precision(config.precision, device)
    return compute_logits(torch.nn.Module.to(model, device), inputs, device, precision)


def _text_logits(checkpoint: Path, split: str, workspace: Workspace) -> torch.Tensor | None:
    verify_checksums(checkpoint)
    config = config_of(checkpoint)
    splits = read_splits(config.dataset_of(config.target), workspace.roots)
    if (examples := splits.by_name().get(split)) is None:
        return None
    texts = LabelledTexts.of(examples, splits.label_names).texts
    return outputs_of(load_text_model(checkpoint), texts, splits.label_names)
