"""Measure each optimisation ("lever") of a trial: seconds without it and with only it, and how much it changes losses.

The given trials run one after another in one process, on one thread, without Ray. A lever is switched off by patching
the one constant or function that it depends on, so nothing else differs. Dropout is off, because its draws depend on
the shapes of batches. An exact lever must change losses only by rounding. `bf16` and "batches of like lengths" change
the arithmetic and the batches, so the table also shows accuracies.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from common import ENCODER, SOURCE, arguments, machine, write_json, write_subsets
from rich.console import Console
from rich.table import Table

TRIALS: list[dict[str, Any]] = [
    {"learning_rate": 5e-5, "batch_size": 8, "epochs": 2, "padding_length": 64, "frozen_layers": 0},
    {"learning_rate": 1e-4, "batch_size": 16, "epochs": 3, "padding_length": 64, "frozen_layers": 3},
    {"learning_rate": 2e-4, "batch_size": 16, "epochs": 3, "padding_length": 64, "frozen_layers": 3},
    {"learning_rate": 1e-3, "batch_size": 32, "epochs": 4, "padding_length": 64, "frozen_layers": 6},
]


@dataclass(frozen=True)
class Outcome:
    """The results of the trials with one choice of levers."""

    seconds: float
    losses: list[float]
    """Every validation loss of every target stage, in order."""
    accuracy: float


@contextmanager
def _unfused() -> Iterator[None]:
    import torch

    plain = {"adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr, foreach=False, fused=False)}
    with patch.dict("trainable.loop.optimizers.OPTIMIZERS", plain):
        yield


OFF: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    # `run` reads these four from the names, as the settings or the workspace switch them.
    "source shared": nullcontext,
    "frozen layers kept": nullcontext,
    "bf16": nullcontext,
    "dynamic padding": nullcontext,
    "batches of like lengths": lambda: patch("trainable.inputs.batches.POOL", 1),
    "first token alone": lambda: patch("trainable.loop.training.first_token_alone", lambda model: model),
    "vocabulary cut": lambda: patch("trainable.model.vocabulary.LARGEST_SHARE", 0.0),
    "evaluation in the caches": lambda: patch("trainable.inputs.split.TOKEN_BUDGET", {"cpu": 4096, "cuda": 65536}),
    "plain attention": lambda: patch("trainable.compute.forward.kernels", lambda device: nullcontext()),
    "fused optimiser": _unfused,
    "steps recorded": lambda: patch("trainable.loop.steps.RECORDABLE", frozenset()),
}
"""Name of each lever, and a function that returns a context in which trials run without it."""


def main() -> None:
    parser = arguments(__doc__, rows=200, trials=len(TRIALS))
    parser.set_defaults(seeds=[0])
    parser.add_argument(
        "--levers",
        nargs="+",
        choices=OFF,
        help="measure only these, the others stay off; default: all that this machine has, so bf16 only in hardware",
    )
    given = parser.parse_args()
    facts = machine()
    names = given.levers or levers_of_this_machine()
    choices = {"all off": set[str](), **{f"only {name}": {name} for name in names}}
    # The machine's speed drifts by more than the gain of some levers, so each has its own run to compare with.
    for name in names:
        choices |= {f"beside {name}": set(names), f"without {name}": set(names) - {name}}
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data")
        run(data, Path(scratch) / "warm", set(names), TRIALS[:1], 0)  # untimed: imports, tokens, kernels
        found: dict[str, Outcome] = {}
        for index, (title, on) in enumerate(choices.items()):
            found[title] = run(data, Path(scratch) / str(index), on, TRIALS[: given.trials], given.seeds[0])
            print(f"{title}: {found[title].seconds:.1f} s", flush=True)
    Console(width=120).print(facts, tabulate(found, names))
    write_json(given.out, {"machine": facts, "runs": {title: vars(outcome) for title, outcome in found.items()}})


def levers_of_this_machine() -> list[str]:
    """Return the levers without those that need a GPU or bfloat16 in hardware if there is none."""
    from trainable.compute.device import native_bfloat16, pick_device

    device = pick_device()
    lacking = {"bf16": not native_bfloat16(device), "steps recorded": device.type == "cpu"}
    return [name for name in OFF if not lacking.get(name)]


def tabulate(found: dict[str, Outcome], names: list[str]) -> Table:
    """Return a table of the cost of switching each lever off, the gain of only it, and the change of results."""
    table = Table(
        "lever", "without it", "costs", "alone", "gains", "loss differs", "accuracy", title="Levers of a trial"
    )
    for name in names:
        without, alone = found[f"without {name}"], found[f"only {name}"]
        table.add_row(
            name,
            f"{without.seconds:.1f} s",
            f"{without.seconds / found[f'beside {name}'].seconds:.2f}x",
            f"{alone.seconds:.1f} s",
            f"{found['all off'].seconds / alone.seconds:.2f}x",
            f"{difference(alone, found['all off']):.1e}",
            f"{alone.accuracy:.4f}",
        )
    off, on = found["all off"], sorted((found[f"beside {name}"] for name in names), key=lambda run: run.seconds)
    for title, outcome in (("all on", on[len(on) // 2]), ("all off", off)):
        differs = f"{difference(outcome, off):.1e}"
        table.add_row(title, f"{outcome.seconds:.1f} s", "", "", "", differs, f"{outcome.accuracy:.4f}")
    return table


def difference(one: Outcome, other: Outcome) -> float:
    """Return the largest relative difference of their validation losses."""
    return max(abs(a - b) / abs(b) for a, b in zip(one.losses, other.losses, strict=True))


def run(data: Path, folder: Path, on: set[str], trials: list[dict[str, Any]], seed: int) -> Outcome:
    """Run the trials with these levers on and all others off."""
    import torch

    from trainable.settings.config import build_config
    from trainable.trial import run_trial
    from trainable.workspace import Workspace

    torch.set_num_threads(1)
    reports: list[list[Any]] = []
    with ExitStack() as stack:
        for name, off in OFF.items():
            if name not in on:
                stack.enter_context(off())
        begin = time.perf_counter()
        for index, trial in enumerate(trials):
            cache = folder if "source shared" in on else folder / str(index)
            workspace = Workspace(cache, reuse_frozen="frozen layers kept" in on)
            config = build_config(settings(data, trial, on, seed))
            reports.append([])
            run_trial(config, lambda report: reports[-1].append(report) is None, workspace=workspace)
        seconds = time.perf_counter() - begin
    scores = [[r.metrics for r in of if "target.validation.loss" in r.metrics] for of in reports]
    best = [max(s["target.validation.accuracy"] for s in of) for of in scores]
    losses = [s["target.validation.loss"] for of in scores for s in of]
    return Outcome(seconds, losses, sum(best) / len(best))


def settings(data: Path, trial: dict[str, Any], on: set[str], seed: int) -> dict[str, Any]:
    padding = {"padding": "longest" if "dynamic padding" in on else "fixed"}
    tables = {
        stage: {split: str(data / f"{stage}_{split}.csv") for split in ("train", "validation")} | {"max_overlap": 1}
        for stage in ("source", "target")
    }
    return {
        "encoder": ENCODER,
        "pooling": "first",
        "seed": seed,
        "metric": "accuracy",
        "precision": "bf16" if "bf16" in on else "fp32",
        "source": {"dataset": tables["source"], "dropout": 0.0, **SOURCE, **padding},
        "target": {"dataset": tables["target"], "dropout": 0.0, **trial, **padding},
    }


if __name__ == "__main__":
    main()
