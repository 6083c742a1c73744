"""The features that a head reads, and setting its weights."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainable.compute.forward import ANSWER_PLACES, forward
from trainable.compute.memory import split_to_fit
from trainable.errors import TrialError
from trainable.inputs.split import Split, batches_of
from trainable.loop.training import StageTraining
from trainable.model.encoder import output_layer
from trainable.model.head_input import HeadInput

_NO_ROOM = "out of memory: not even one row fits; lower target.padding_length (for images target.image_size)"


@torch.inference_mode()
def head_features(training: StageTraining, split: Split, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the inputs of the head for rows of a split, shape (N, H).

    Args:
        training: the stage with the model.
        split: training or validation split, as the stage has it.
        rows: numbers of the rows; None means all.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    network, inputs, context = training.steps.network.eval(), split.inputs, training.context
    features = np.zeros((len(inputs.lengths), output_layer(network)[1].in_features))

    def compute(batch: NDArray[np.int64]) -> NDArray[np.float64]:
        with HeadInput(network) as head_input:
            logits = forward(network, inputs.batch(batch), context.device, context.precision)
        read: NDArray[np.float64] = head_input.of(logits).double().cpu().numpy()
        return read

    for batch, part in split_to_fit(batches_of(inputs, context.device, rows), inputs.lengths, compute):
        if part is None:
            raise TrialError(_NO_ROOM)
        features[batch] = part
    return features if rows is None else features[rows]


@torch.inference_mode()
def word_features(training: StageTraining, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the inputs of a head on every token, for the tokens that answer for words.

    Args:
        training: the stage with the model.
        split: training or validation split, as the stage has it.

    Returns:
        Features of K words, shape (K, H), and the row and the number in its row of each, shape (K, 2), by rows.

    Raises:
        TrialError: if memory has no room for a single row.
    """
    network, inputs, context = training.steps.network.eval(), split.inputs, training.context
    features, words = list[NDArray[np.float32]](), list[NDArray[np.int64]]()

    def compute(batch: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.int64]]:
        given = inputs.batch(batch)
        places = given[ANSWER_PLACES]
        with HeadInput(network) as head_input:
            forward(network, given, context.device, context.precision)
        row, word = np.nonzero(places.numpy() >= 0)
        return head_input.tokens.float().flatten(0, 1)[places[places >= 0]].cpu(), np.stack([batch[row], word], 1)

    for _, part in split_to_fit(batches_of(inputs, context.device), inputs.lengths, compute):
        if part is None:
            raise TrialError(_NO_ROOM)
        features.append(part[0].numpy())
        words.append(part[1])
    found, place = np.concatenate(features), np.concatenate(words)
    order = np.lexsort((place[:, 1], place[:, 0]))
    return found[order], place[order]


@torch.no_grad()
def set_head(head: nn.Linear, weights: NDArray[np.float64], biases: NDArray[np.float64]) -> None:
    """Copy weights, shape (C, H), and biases, shape (C,), into a head.

    Raises:
        TrialError: if the head has no bias and the biases are not zero.
    """
    bias = dict(head.named_parameters()).get("bias")
    if bias is None and biases.any():
        raise TrialError("the head of this encoder has no bias, which a regression needs; set `pooling: mean`")
    head.weight.copy_(torch.from_numpy(weights))
    if bias is not None:
        bias.copy_(torch.from_numpy(biases))
