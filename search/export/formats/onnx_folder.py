"""The format `onnx`: a graph for ONNX Runtime, and a tokenizer.json that truncates and pads, or an image processor."""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from search.export.formats.pictures import pixels_of
from search.export.formats.spans import scores_of_contexts
from search.export.formats.words import logits_of_words
from trainable.compute.forward import answers_of
from trainable.data.examples import Examples
from trainable.errors import ConfigError, TrialError
from trainable.inputs.split import Inputs, batches_of
from trainable.model.pretrained import as_config_error, check_folder, load_config
from trainable.model.spans import InSpans, WindowPlaces, numbers_of_rows

GRAPH = "model.onnx"
"""The file with graph and weights."""
_LARGEST = 2**31 - 2**24
"""Bytes of weights that fit into one file; protobuf allows 2 GiB. Weights of a larger model go to a second file."""
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""By name of an input: the field of an encoding of `tokenizers`."""
PIXELS = "pixel_values"
"""The input of a graph that reads images."""
_LOGITS, _SPANS = ["logits"], ["start_logits", "end_logits"]
"""The outputs of a graph, and those of one that answers with spans; the names are those of transformers."""
_CPU = torch.device("cpu")
_BATCH = 32


class _Graph(torch.nn.Module):
    """The model with its inputs by position, as `torch.onnx.export` takes them."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        named = dict(zip(self.names, inputs, strict=True))
        if isinstance(self.model, InSpans):
            return self.model.token_scores(**named).unbind(1)
        return (self.model(**named).logits,)


def save(model: PreTrainedModel, preprocessor: Any, folder: Path) -> None:
    """Write model.onnx, config.json with the label names, and the tokenizer or the image processor.

    The number of rows of a batch and that of their tokens are free.

    Raises:
        TrialError: if PyTorch cannot express the model as ONNX.
    """
    model.config.save_pretrained(folder)
    images = model.main_input_name == PIXELS
    example = _two_images(preprocessor) if images else _two_texts(preprocessor)
    preprocessor.save_pretrained(folder)
    axes = {0: torch.export.Dim("batch")} if images else {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                _Graph(model, list(example)).eval(),
                tuple(example.values()),
                folder / GRAPH,
                input_names=list(example),
                output_names=_SPANS if isinstance(model, InSpans) else _LOGITS,
                dynamic_shapes=((axes,) * len(example),),
                external_data=size > _LARGEST,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises what the model's code or its own passes raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        what = f"PyTorch cannot express this {model.config.model_type} model as ONNX"
        raise TrialError(f"{what}: {reason:.300}; nothing was exported") from None


def _two_texts(tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """Let a tokenizer pad by itself, and return two texts as tokens; a size of 1 would become fixed."""
    tokenizer.backend_tokenizer.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=tokenizer.pad_token,
    )
    # A copy, as a call resets the truncation that tokenizer.json has.
    example = deepcopy(tokenizer)(["a", "a a a"], padding=True, return_tensors="pt")
    return {name: example[name] for name in _FIELDS if name in example}


def _two_images(processor: Any) -> dict[str, torch.Tensor]:
    """Return two images as pixels; a size of 1 would become fixed."""
    return {PIXELS: processor([Image.new("RGB", (8, 8))] * 2, return_tensors="pt")[PIXELS]}


def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the logits that the folder gives for texts or images with ONNX Runtime, shape (N, C) or (N, W, C).

    For questions, these are the numbers of their best spans, shape (N, 3, 2).
    """
    session = open_graph(folder)
    if table.images is not None:
        return torch.cat([_run(session, {PIXELS: pixels})[0] for pixels in pixels_of(folder, table.images)])
    if _outputs(session) == _SPANS:
        return scores_of_contexts(lambda windows: _run(session, _arrays(windows)), folder, table)
    tokenizer, parts = open_tokenizer(folder), []
    for start in range(0, len(table), _BATCH):
        part = table.take(np.arange(start, min(start + _BATCH, len(table))))
        texts: list[Any] = part.text if part.text_b is None else list(zip(part.text, part.text_b, strict=True))
        rows = tokenizer.encode_batch(texts)
        inputs = {name: np.array([getattr(row, field) for row in rows]) for name, field in _FIELDS.items()}
        (logits,) = _run(session, inputs)
        if logits.ndim == 3:
            logits = logits_of_words(logits, rows, part.text, table.labels.shape[1])
        parts.append(logits)
    return torch.cat(parts)


def open_graph(folder: Path) -> Any:
    """Open the graph of a folder with ONNX Runtime, on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])


def open_tokenizer(folder: Path) -> Any:
    """Load the tokenizer.json of a folder, which cuts and pads the texts of a batch."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Open the graph of a folder with ONNX Runtime, on the CPU.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what, spans = f"{folder}: the model", facts.answers().head == "spans"
    check_folder(folder, what)
    with as_config_error(f"{what}: {GRAPH}"):
        session, expected = open_graph(folder), _SPANS if spans else _LOGITS
        if (found := _outputs(session)) != expected:
            raise ValueError(f"it has the outputs {', '.join(found)}, not {', '.join(expected)}; export it again")
        if strange := {i.name for i in session.get_inputs()} - {*_FIELDS, PIXELS}:
            raise ValueError(f"it has the unknown inputs {', '.join(sorted(strange))}; export it again")
    if not spans and (labels := session.get_outputs()[0].shape[-1]) != len(facts.label_names):
        raise ConfigError(f"{what}: {GRAPH} has {labels} labels, trial.json {len(facts.label_names)}; export it again")
    threshold = load_config(str(folder), what).no_answer_threshold if spans else 0.0

    def compute(inputs: Inputs) -> torch.Tensor:
        logits = torch.zeros(len(inputs.lengths), *inputs.answers, len(facts.label_names))
        for rows in batches_of(inputs, _CPU):
            batch = inputs.batch(rows)
            outputs = _run(session, _arrays(batch))
            if spans:
                windows = WindowPlaces(*(batch[name] for name in WindowPlaces._fields))
                found = numbers_of_rows(torch.stack(outputs, 1), windows, -threshold)
            else:
                found = answers_of(outputs[0], batch)
            logits[torch.from_numpy(rows)] = found
        return logits

    return compute


def _outputs(session: Any) -> list[str]:
    return [each.name for each in session.get_outputs()]


def _arrays(batch: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in batch.items()}


def _run(session: Any, inputs: Mapping[str, NDArray[Any]]) -> list[torch.Tensor]:
    """Return the outputs for a batch, which may have inputs that the graph does not take."""
    outputs = session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})
    return [torch.from_numpy(output) for output in outputs]


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
