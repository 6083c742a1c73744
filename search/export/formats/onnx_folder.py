"""The format `onnx`: a graph for ONNX Runtime, and a tokenizer.json that truncates and pads by itself."""

import contextlib
import io
import logging
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from trainable.compute.forward import answers_of
from trainable.data.examples import Examples
from trainable.errors import ConfigError, TrialError
from trainable.inputs.split import Inputs, batches_of
from trainable.model.pretrained import as_config_error, check_folder

GRAPH = "model.onnx"
"""The file with graph and weights."""
_LARGEST = 2**31 - 2**24
"""Bytes of weights that fit into one file; protobuf allows 2 GiB. Weights of a larger model go to a second file."""
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""By name of an input: the field of an encoding of `tokenizers`."""
_CPU = torch.device("cpu")
_BATCH = 32


class _Graph(torch.nn.Module):
    """The model with its inputs by position, as `torch.onnx.export` takes them."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def save(model: PreTrainedModel, preprocessor: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write model.onnx, config.json with the label names, and the tokenizer; batch and length of the graph are free.

    Raises:
        TrialError: if PyTorch cannot express the model as ONNX.
    """
    model.config.save_pretrained(folder)
    preprocessor.backend_tokenizer.enable_padding(
        direction=preprocessor.padding_side,
        pad_id=preprocessor.pad_token_id,
        pad_type_id=preprocessor.pad_token_type_id,
        pad_token=preprocessor.pad_token,
    )
    preprocessor.save_pretrained(folder)
    # Two of each size: 1 would become fixed. A copy, as a call resets the truncation that tokenizer.json has.
    example = deepcopy(preprocessor)(["a", "a a a"], padding=True, return_tensors="pt")
    names = [name for name in _FIELDS if name in example]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                _Graph(model, names).eval(),
                tuple(example[name] for name in names),
                folder / GRAPH,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=((axes,) * len(names),),
                external_data=size > _LARGEST,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises what the model's code or its own passes raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        what = f"PyTorch cannot express this {model.config.model_type} model as ONNX"
        raise TrialError(f"{what}: {reason:.300}; nothing was exported") from None


def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the logits that the folder gives for texts with tokenizers and ONNX Runtime, shape (N, C)."""
    session, tokenizer = open_graph(folder), open_tokenizer(folder)
    starts = range(0, len(table), _BATCH)
    parts = [table.take(np.arange(start, min(start + _BATCH, len(table)))) for start in starts]
    logits = [session.run(None, encoded_rows(tokenizer, session, part))[0] for part in parts]
    return torch.from_numpy(np.concatenate(logits))


def open_graph(folder: Path) -> Any:
    """Open the graph of a folder with ONNX Runtime, on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])


def open_tokenizer(folder: Path) -> Any:
    """Load the tokenizer.json of a folder, which cuts and pads the texts of a batch."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encoded_rows(tokenizer: Any, session: Any, table: Examples) -> dict[str, NDArray[np.int64]]:
    """Return the inputs of the graph for a batch of texts."""
    texts: list[Any] = table.text if table.text_b is None else list(zip(table.text, table.text_b, strict=True))
    rows = tokenizer.encode_batch(texts)
    return {each.name: np.array([getattr(row, _FIELDS[each.name]) for row in rows]) for each in session.get_inputs()}


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Open the graph of a folder with ONNX Runtime, on the CPU.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what = f"{folder}: the model"
    check_folder(folder, what)
    with as_config_error(f"{what}: {GRAPH}"):
        session = open_graph(folder)
        (output,) = session.get_outputs()
        if strange := {i.name for i in session.get_inputs()} - set(_FIELDS):
            raise ValueError(f"it has the unknown inputs {', '.join(sorted(strange))}; export it again")
    if output.shape[-1] != len(facts.label_names):
        raise ConfigError(
            f"{what}: {GRAPH} has {output.shape[-1]} labels, trial.json {len(facts.label_names)}; export it again"
        )

    def compute(inputs: Inputs) -> torch.Tensor:
        logits = torch.zeros(len(inputs.lengths), *inputs.answers, len(facts.label_names))
        for rows in batches_of(inputs, _CPU):
            batch = inputs.batch(rows)
            logits[torch.from_numpy(rows)] = answers_of(torch.from_numpy(_run(session, batch)), batch)
        return logits

    return compute


def _run(session: Any, batch: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run(None, {i.name: batch[i.name].numpy() for i in session.get_inputs()})[0]
    return logits


@contextlib.contextmanager
def _quiet() -> Any:
    """Hide what the exporter prints and logs about optional packages and renamed axes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
