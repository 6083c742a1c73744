"""The format `seq2seq`: a folder for AutoModelForSeq2SeqLM of transformers, with its generation_config.json."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search.export.facts import FolderFacts
from search.export.formats.folders import LogitsOf
from search.export.formats.hf_folder import check_complete
from trainable.compute.decoding import generated_ids
from trainable.compute.device import pick_device
from trainable.compute.forward import encoder_inputs, on_device
from trainable.compute.memory import split_to_fit
from trainable.data.examples import Examples
from trainable.errors import TrialError
from trainable.inputs.split import Inputs, batches_of
from trainable.model.pretrained import check_folder, check_weights, load_classifier, load_tokenizer

_BATCH = 32


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write weights (safetensors), configuration, generation configuration and tokenizer."""
    names = dict(enumerate(("LABEL_0", "LABEL_1")))  # the default; those of a trial are numbers for its scores
    model.config.id2label, model.config.label2id = names, {name: number for number, name in names.items()}
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def logits_of_texts(folder: Path, table: Examples) -> torch.Tensor:
    """Return the ids that the folder generates for texts, as a user of transformers gets them, shape (N, T)."""
    tokenizer, (model, _) = load_tokenizer(str(folder)), load_classifier(str(folder), f"{folder}: the model", "decoder")
    columns = [table.text] if table.text_b is None else [table.text, table.text_b]

    def batches() -> Iterator[dict[str, torch.Tensor]]:
        for start in range(0, len(table), _BATCH):
            texts = [column[start : start + _BATCH] for column in columns]
            yield dict(tokenizer(*texts, truncation=True, padding=True, return_tensors="pt"))

    return _generated(model, batches())


def ids_of_rows(model: PreTrainedModel, inputs: Inputs) -> torch.Tensor:
    """Return the ids that a model generates for the rows of a trial, shape (N, T).

    The batches are those of `logits_of_texts`, so that both give equal ids, also where two tokens are nearly as likely.
    """
    rows = np.arange(len(inputs.lengths))
    parts = (inputs.batch(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH))
    return _generated(model, (encoder_inputs(part) for part in parts))


def _generated(model: PreTrainedModel, batches: Iterable[dict[str, torch.Tensor]]) -> torch.Tensor:
    model.eval()
    return torch.cat([generated_ids(model, batch) for batch in batches]).float()


def load(folder: Path, facts: FolderFacts) -> LogitsOf:
    """Load the model of a folder; what it gives for rows are the ids of the generated texts.

    Raises:
        ConfigError: if files are missing or damaged, or do not belong together.
    """
    what, device = f"{folder}: the model", pick_device()
    check_folder(folder, what)
    check_weights(folder, what)
    model, differences = load_classifier(str(folder), what, "decoder")
    check_complete(differences, what)
    placed = torch.nn.Module.to(model.eval(), device)

    def compute(inputs: Inputs) -> torch.Tensor:
        def of_rows(rows: NDArray[np.int64]) -> torch.Tensor:
            return generated_ids(placed, on_device(encoder_inputs(inputs.batch(rows)), device)).cpu().float()

        ids: torch.Tensor | None = None
        for rows, part in split_to_fit(batches_of(inputs, device), inputs.lengths, of_rows):
            if part is None:
                raise TrialError("out of memory: not even one text can be generated at a time")
            ids = torch.zeros(len(inputs.lengths), part.shape[1]) if ids is None else ids
            ids[torch.from_numpy(rows)] = part
        assert ids is not None  # there is at least one row
        return ids

    return compute
