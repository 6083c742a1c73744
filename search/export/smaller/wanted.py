"""The changes that a user asks for, in the order in which they are made."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel

from search.export.smaller.change import Change
from search.export.smaller.heads import remove_heads
from search.export.smaller.layers import remove_layers
from search.export.smaller.measure import ValidationRows
from search.export.smaller.options import Prune, Smaller
from search.export.smaller.quantize import quantise
from search.export.verification import Verification


def wanted_changes(
    smaller: Smaller, model: PreTrainedModel, rows: ValidationRows, save_and_verify: Callable[[Path], Verification]
) -> list[Change]:
    """Return the changes of an exported folder: pruning, which writes it again, then quantisation.

    Args:
        smaller: what the user asks for.
        model: the model in the folder; pruning changes it in place.
        rows: the validation rows.
        save_and_verify: writes the model into a folder, and compares what both give.
    """

    def pruned(prune: Prune, folder: Path) -> str:
        layers = prune.kind == "layers"
        done = remove_layers(model, int(prune.amount), rows) if layers else remove_heads(model, prune.amount, rows)
        verified = save_and_verify(folder)
        difference = f"largest difference {verified.max_difference:.1e}"
        return f"{done} The folder gives the pruned model's answers on {verified.rows} rows ({difference})."

    changes = list[Change]()
    if smaller.prune:
        changes.append(Change(f"--prune {smaller.prune}", partial(pruned, smaller.prune)))
    if smaller.int8:
        changes.append(Change("--quantize int8", quantise))
    return changes
