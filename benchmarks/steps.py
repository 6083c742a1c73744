"""Measure the training steps of one trial in this process: speed, share of the matmul peak, memory.

Each combination of precision and batch size is a trial of some epochs. The first epoch is not counted, as first steps
compile and allocate. On a busy machine a process has only a part of its cores; the column `own` divides by
the processor time of this process instead of the elapsed time (CPUs only). `--profile` shows in which operations the
counted epochs spend their time. Memory is that of the process (CPUs), or of PyTorch on the GPU.
"""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import arguments, machine, write_json, write_subsets
from random_encoders import CHOICES, encoder_of_size
from rich.console import Console
from rich.table import Table

VALIDATION_ROWS = 16
"""Few, as evaluations are not measured here."""


@dataclass(frozen=True)
class Speed:
    """The steps of the counted epochs of one trial."""

    precision: str
    batch_size: int
    frozen_layers: int
    steps: int
    seconds_per_step: float
    tokens_per_second: float
    """Without padding."""
    padding: float
    """Share of the computed tokens."""
    of_peak: float
    """Time of the products with the layers' weights at the measured peak, as a share of the elapsed time."""
    of_peak_own_time: float
    """The same as a share of this process's processor time; on a GPU equal to `of_peak`."""
    memory: dict[str, float]
    """Megabytes; see `memory`."""
    loss: float
    """Last validation loss: equal numbers mean equal results."""


def main() -> None:
    parser = arguments(__doc__, rows=256)
    parser.set_defaults(seeds=[0])
    parser.add_argument("--encoder-size", choices=CHOICES, default="minilm")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--frozen-layers", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--padding-length", type=int, default=128)
    parser.add_argument("--fixed", action="store_true", help="pad all batches to the padding length")
    parser.add_argument("--threads", type=int, default=1, help="threads on a CPU")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="show the N most expensive operations")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    facts, found, profiles = machine(), [], {}
    facts["memory"] = {"imports": memory()}
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as scratch:
        data = write_subsets(given.data, given.rows, Path(scratch) / "data", VALIDATION_ROWS)
        encoder = encoder_of_size(given.encoder_size, Path(scratch) / "encoder")
        for index, (precision, batch_size, frozen) in enumerate(
            (p, b, f) for f in given.frozen_layers for p in given.precisions for b in given.batch_sizes
        ):
            target = {
                "batch_size": batch_size,
                "epochs": given.epochs,
                "padding_length": given.padding_length,
                "padding": "fixed" if given.fixed else "longest",
                "frozen_layers": frozen,
            }
            settings = settings_of(data, encoder, precision, given.seeds[0], target)
            speed, profile = measure(settings, Path(scratch) / str(index), given.profile)
            found.append(speed)
            print(speed, flush=True)
            if profile:
                profiles[f"{precision}, batch {batch_size}, {frozen} layers frozen"] = profile
                print(profile, flush=True)
    console.print(facts, tabulate(found, f"Steps of {given.encoder_size}"))
    write_json(given.out, {"machine": facts, "steps": [asdict(speed) for speed in found], "profiles": profiles})


def settings_of(data: Path, encoder: str, precision: str, seed: int, target: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial without a source."""
    tables = {split: str(data / f"target_{split}.csv") for split in ("train", "validation")} | {"max_overlap": 1}
    always = {"dataset": tables, "head": "new", "learning_rate": 5e-5, "evaluations_per_epoch": 1}
    return {
        "encoder": encoder,
        "pooling": "first",
        "seed": seed,
        "metric": "accuracy",
        "precision": precision,
        "target": always | target,
    }


def measure(settings: dict[str, Any], folder: Path, rows: int) -> tuple[Speed, str]:
    """Run a trial; return the speed of all epochs after the first, and a profile with `rows` operations or none."""
    import torch

    from trainable.settings.config import build_config
    from trainable.trial import run_trial
    from trainable.workspace import Workspace

    config, seen = build_config(settings), []
    profiler = torch.profiler.profile() if rows else None

    def on_report(report: Any) -> bool:
        if report.metrics and report.step:
            seen.append((report, time.process_time()))
            if profiler and len(seen) == 1:
                profiler.start()
        return True

    run_trial(config, on_report, workspace=Workspace(folder))
    if profiler:
        profiler.stop()
    (first, cpu_before), (last, cpu_after) = seen[0], seen[-1]
    spent, evaluated = (
        {name: last.times[part][name] - number for name, number in first.times[part].items()}
        for part in ("target.train", "target.evaluate")
    )
    busy = min(1.0, (cpu_after - cpu_before) / torch.get_num_threads() / (spent["seconds"] + evaluated["seconds"]))
    busy = 1.0 if torch.cuda.is_available() else busy
    steps = last.step - first.step
    speed = Speed(
        precision=settings["precision"],
        batch_size=settings["target"]["batch_size"],
        frozen_layers=settings["target"]["frozen_layers"],
        steps=steps,
        seconds_per_step=spent["seconds"] / steps,
        tokens_per_second=spent["tokens"] / spent["seconds"],
        padding=1 - spent["tokens"] / spent["computed"],
        of_peak=spent["ideal"] / spent["seconds"],
        of_peak_own_time=spent["ideal"] / spent["seconds"] / busy,
        memory=memory(),
        loss=last.metrics["target.validation.loss"],
    )
    return speed, str(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows)) if profiler else ""


def memory() -> dict[str, float]:
    """Return the megabytes that this process takes: all (`rss`), with its share of common pages (`pss`), without files
    (`anonymous`), and the most so far (`peak`, with files).

    On a GPU also the most that PyTorch has reserved there. Empty where the system does not tell it.
    """
    import torch

    from trainable.compute.memory import peak_bytes

    file, found = Path("/proc/self/smaps_rollup"), dict[str, float]()
    if file.exists():
        lines = dict(line.split(":") for line in file.read_text().splitlines()[1:])
        found = {name.lower(): int(lines[name].split()[0]) / 1024 for name in ("Rss", "Pss", "Anonymous")}
        found["peak"] = peak_bytes() / 2**20
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_reserved() / 2**20
    return found


def tabulate(found: list[Speed], title: str) -> Table:
    """Return a table with a row for each trial."""
    headings = (
        "precision",
        "batch",
        "frozen",
        "ms a step",
        "tokens/s",
        "padding",
        "of peak",
        "own time",
        "RSS, MB",
        "loss",
    )
    table = Table(*headings, title=title)
    for speed in found:
        table.add_row(
            speed.precision,
            str(speed.batch_size),
            str(speed.frozen_layers),
            f"{1000 * speed.seconds_per_step:.1f}",
            f"{speed.tokens_per_second:,.0f}",
            f"{speed.padding:.1%}",
            f"{speed.of_peak:.0%}",
            f"{speed.of_peak_own_time:.0%}",
            f"{speed.memory.get('peak', 0):,.0f}",
            f"{speed.loss:.6f}",
        )
    return table


if __name__ == "__main__":
    main()
