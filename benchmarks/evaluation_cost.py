"""Measure what an evaluation batch costs beside its tokens, and how large evaluation batches should be.

The first table has the seconds of batches of one width with more and more rows; the line through them gives the fixed
cost of a batch in tokens, which is `BATCH_COST` of `trainable/inputs/split.py`. The second has the seconds of whole
splits with other values of `BATCH_COST` and `TOKEN_BUDGET`; each is the least of `--tries`.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import arguments, machine, write_json, write_subsets
from random_encoders import CHOICES, encoder_of_size
from rich.console import Console
from rich.table import Table
from steps import settings_of

WIDTH = 32
"""Tokens of each row of the single batches."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--encoder-size", choices=CHOICES, default="minilm")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--tokens", type=int, nargs="+", help="sizes of single batches; default: by kind of device")
    parser.add_argument("--budgets", type=int, nargs="+", help="values of TOKEN_BUDGET; default: around ours")
    parser.add_argument("--costs", type=int, nargs="+", help="values of BATCH_COST; default: around ours")
    parser.add_argument("--tries", type=int, default=5)
    given = parser.parse_args()
    import torch

    from trainable.inputs.split import BATCH_COST, TOKEN_BUDGET

    torch.set_num_threads(1)
    facts = machine()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    budget, cost = TOKEN_BUDGET[kind], BATCH_COST[kind]
    sizes = given.tokens or [budget // 16, budget // 8, budget // 4, budget // 2, budget, 2 * budget, 4 * budget]
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        encoder = encoder_of_size(given.encoder_size, Path(scratch) / "encoder")
        evaluate = Evaluations(settings_of(data, encoder, given.precision, 0, {"padding_length": 128}), Path(scratch))
        single = {tokens: least_seconds(evaluate.batch(tokens), given.tries) for tokens in sizes}
        whole = {
            (name, size, fixed): least_seconds(evaluate.split(name, size, fixed), given.tries)
            for name in ("validation", "train")
            for size in given.budgets or (budget // 2, budget, 2 * budget, 4 * budget)
            for fixed in given.costs or (0, cost // 4, cost, 4 * cost)
        }
    per_token, fixed_seconds = (float(value) for value in np.polyfit(list(single), list(single.values()), 1))
    results = {
        "single": single,
        "seconds_per_batch": fixed_seconds,
        "seconds_per_token": per_token,
        "batch_cost_tokens": fixed_seconds / per_token,
        "whole": [{"split": s, "budget": b, "cost": c, "seconds": found} for (s, b, c), found in whole.items()],
    }
    Console(width=120).print(facts, *tables(results))
    write_json(given.out, {"machine": facts, **results})


class Evaluations:
    """Evaluations of one model, as a trial computes them."""

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        from trainable.settings.config import build_config
        from trainable.stages.stage_builder import StageBuilder
        from trainable.workspace import Workspace

        config = build_config(settings)
        self.builder = StageBuilder(config, Workspace(folder / "cache"))
        tokenized = self.builder.tokenized("target", config.target)
        self.model = self.builder.model(tokenized, config.target, None)[0].to(self.builder.device).eval()
        self.splits = dict(zip(("train", "validation"), self.builder.splits(tokenized, config.target), strict=True))

    def batch(self, tokens: int) -> Callable[[], None]:
        """Return a function that evaluates one batch of about so many tokens."""
        import torch

        from trainable.compute.forward import forward

        shape = (max(1, tokens // WIDTH), WIDTH)
        ids = torch.randint(1000, 2000, shape, generator=torch.Generator().manual_seed(0))
        batch = {"input_ids": ids, "attention_mask": torch.ones(shape, dtype=torch.int64)}

        def compute() -> None:
            with torch.inference_mode():
                forward(self.model, batch, self.builder.device, self.precision).cpu()

        return compute

    def split(self, name: str, budget: int, cost: int) -> Callable[[], None]:
        """Return a function that evaluates a split with these values of TOKEN_BUDGET and BATCH_COST."""
        from trainable.loop.evaluate import compute_logits

        device, inputs = self.builder.device, self.splits[name].inputs

        def compute() -> None:
            with (
                patch.dict("trainable.inputs.split.TOKEN_BUDGET", {device.type: budget}),
                patch.dict("trainable.inputs.split.BATCH_COST", {device.type: cost}),
            ):
                compute_logits(self.model, inputs, device, self.precision)

        return compute

    @property
    def precision(self) -> str:
        return self.builder.context("target").precision


def least_seconds(work: Callable[[], None], tries: int) -> float:
    """Return the least seconds of some runs after one that is not measured."""
    seconds = []
    for _ in range(tries + 1):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def tables(results: dict[str, Any]) -> tuple[Table, Table]:
    """Return a table of single batches and a table of whole splits."""
    title = f"a batch costs {results['batch_cost_tokens']:.0f} tokens, {1000 * results['seconds_per_batch']:.2f} ms"
    single = Table("tokens", "ms", title=title)
    for tokens, seconds in results["single"].items():
        single.add_row(str(tokens), f"{1000 * seconds:.2f}")
    whole = Table("split", "TOKEN_BUDGET", "BATCH_COST", "ms", title="whole splits")
    for row in results["whole"]:
        whole.add_row(row["split"], str(row["budget"]), str(row["cost"]), f"{1000 * row['seconds']:.1f}")
    return single, whole


if __name__ == "__main__":
    main()
