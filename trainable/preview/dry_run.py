"""A dry run: one batch through each stage of a trial, to see whether it works on this machine and how long it takes.

The stages are those of the trial, with only the longest rows of the data; nothing that they learn is kept.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from trainable.clock import Clock
from trainable.compute.device import Arithmetic, choose_arithmetic, pick_device
from trainable.compute.memory import out_of_memory, peak_bytes
from trainable.errors import ConfigError, TrialError
from trainable.inputs.split import TOKEN_BUDGET, Inputs, Split
from trainable.loop.training import StageTraining
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage, Target
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.workspace import Workspace

EPOCHS = {"cpu": (2, 1), "cuda": (3, 3)}
"""Steps over a single row, then steps over a batch, by kind of device; the last step of each size is measured.

Costs of first steps are not measured. On a CPU, only the first step over the single row has them. On a GPU, the first
step of each size has them; the second step records a CUDA graph, and the third replays it."""


@dataclass(frozen=True)
class Line:
    """Seconds of a batch as a linear function of its tokens."""

    fixed: float
    """Seconds that do not depend on the tokens: the optimiser, the start of kernels."""
    per_token: float
    """Seconds for each token."""

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float]) -> "Line":
        """Return the line through two batches, each as (tokens, seconds); it has no negative `fixed` or `per_token`."""
        tokens = large[0] - small[0]
        slope = max(0.0, large[1] - small[1]) / tokens if tokens else 0.0
        slope = min(slope, large[1] / large[0])
        return cls(large[1] - slope * large[0], slope)

    def steeper(self, factor: float) -> "Line":
        """Return a line on which a token takes `factor` times as long."""
        return Line(self.fixed, self.per_token * factor)

    def __call__(self, tokens: float, batches: float = 1) -> float:
        """Return the seconds of some batches that have `tokens` tokens in all."""
        return self.fixed * batches + self.per_token * tokens


@dataclass(frozen=True)
class Pace:
    """The time that a stage takes on this machine."""

    step: Line
    """Seconds of an optimiser step."""
    evaluation: Line
    """Seconds of an evaluation batch."""


@dataclass(frozen=True)
class DryRunResult:
    """The result of a dry run."""

    device: str
    """`cpu`, or the name of the GPU."""
    paces: dict[str, Pace] = field(default_factory=dict)
    """Measured times by the dotted name of the stage."""
    cut: dict[str, int] = field(default_factory=dict)
    """Parts into which a stage's batch was split to fit into memory; no entry for a stage whose batch fits."""
    gpu_bytes: int = 0
    """Peak GPU memory, in bytes."""
    gpu_total: int = 0
    """Memory of the GPU, in bytes; 0 on a CPU."""
    process_bytes: int = 0
    """Peak memory of the process, in bytes; a slot takes about as much. 0 if it is not known, and on a GPU."""
    problems: tuple[str, ...] = ()
    """Why trials with these settings cannot run here; empty if they can."""
    arithmetic: Arithmetic | None = None
    """Precision of a trial with these settings here; None if no batch was computed."""


def dry_run(config: TrialConfig, workspace: Workspace, threads: int) -> DryRunResult:
    """Train on one batch of the longest rows in each stage of a trial, and evaluate one batch.

    If the hardware only emulates bfloat16, the batch is computed in float32, and its times are multiplied by the
    measured slowdown: in bfloat16, the dry run might exceed its time limit.

    Args:
        config: settings of the trial.
        workspace: the cache with the tokenised data, and the data folders.
        threads: number of threads, the same as for trials.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    on_gpu = pick_device().type == "cuda"
    arithmetic = choose_arithmetic(config.precision, pick_device())
    result = DryRunResult(torch.cuda.get_device_name() if on_gpu else "cpu", arithmetic=arithmetic)
    update = {"precision": "fp32"} if arithmetic.slowdown > 1 else {}
    try:
        _run_stages(StageBuilder(config.model_copy(update=update), workspace), result, arithmetic.slowdown)
    except (ConfigError, TrialError) as error:
        return replace(result, problems=tuple(str(error).split("\n")))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return replace(result, problems=("out of memory before the first batch: use a smaller encoder",))
    if not on_gpu:
        return replace(result, process_bytes=peak_bytes())
    _, total = torch.cuda.mem_get_info()
    return replace(result, gpu_bytes=torch.cuda.max_memory_reserved(), gpu_total=total)


def _run_stages(builder: StageBuilder, result: DryRunResult, slowdown: float) -> None:
    """Train the stages in the order of a trial, each from the weights of the stage before, without the caches.

    Args:
        builder: builder of the stages.
        result: gets the paces, multiplied by `slowdown`, and the parts of each stage.
        slowdown: time of the trial's precision relative to the precision of this run.
    """
    source: TrainedSource | None = None
    for name, stage in builder.config.stages().items():
        tokenized = builder.tokenized(name, stage)
        model, _ = builder.model(tokenized, stage, source)
        steps, evaluations = [], []
        sizes = _sizes(*builder.splits(tokenized, stage), stage, TOKEN_BUDGET[builder.device.type])
        for epochs, splits in zip(EPOCHS[builder.device.type], sizes, strict=True):
            context = replace(builder.context(name), clock=Clock())
            step, evaluation, parts = _measure(StageTraining(model, *splits, _shortened(stage, epochs), context))
            steps.append(step)
            evaluations.append(evaluation)
            result.cut.update({name: parts} if parts else {})
        step_line, evaluation_line = Line.through(*steps), Line.through(*evaluations)
        result.paces[name] = Pace(step_line.steeper(slowdown), evaluation_line.steeper(slowdown))
        weights = {name: p.detach().cpu() for name, p in model.named_parameters() if p.requires_grad}
        source = TrainedSource(weights, builder.head(tokenized), {})
        del model  # the next stage must have as much memory as in a trial


def _sizes(train: Split, validation: Split, stage: Stage, budget: int) -> Iterator[tuple[Split, Split]]:
    """Yield training and validation splits of the longest rows: first with a single row, then with one batch.

    Args:
        train: the whole training split.
        validation: the whole validation split.
        stage: settings of the stage.
        budget: tokens of an evaluation batch.
    """
    train_rows, validation_rows = (np.argsort(-split.inputs.lengths, kind="stable") for split in (train, validation))
    train_rows = train_rows[: stage.batch_size]
    validation_rows = validation_rows[: max(1, budget // int(validation.inputs.lengths.max()))]
    yield _select(train, train_rows[-1:]), _select(validation, validation_rows[-1:])
    yield _select(train, train_rows), _select(validation, validation_rows)


def _select(split: Split, rows: NDArray[np.int64]) -> Split:
    return Split(_SelectedRows(split.inputs, rows), split.labels[rows])


@dataclass(frozen=True)
class _SelectedRows:
    """A few rows of a split as inputs."""

    whole: Inputs
    rows: NDArray[np.int64]
    identity: str = ""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.whole.lengths[self.rows]

    @property
    def places(self) -> NDArray[np.int64] | None:
        return None if self.whole.places is None else self.whole.places[self.rows]

    @property
    def answers(self) -> tuple[int, ...]:
        return self.whole.answers

    @property
    def varies(self) -> bool:
        return self.whole.varies

    def used_ids(self) -> NDArray[np.int64] | None:
        """Return the ids of all rows, as they decide how many embeddings are trained."""
        return self.whole.used_ids()

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> torch.Tensor | None:
        return self.whole.weights(self.rows[rows], draw)

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        return self.whole.batch(self.rows[rows], multiple, draw)

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        return self.whole.for_scores(self.rows[rows], outputs)


def _shortened(stage: Stage, epochs: int) -> Stage:
    """Return the stage with few epochs, an evaluation after each, all its layers, and a rate that cannot diverge."""
    update: dict[str, Any] = {"epochs": epochs, "evaluations_per_epoch": 1, "patience": None, "learning_rate": 1e-6}
    update["unfreeze_fraction"] = 0.0
    return stage.model_copy(update=update | ({"evaluate_at": ()} if isinstance(stage, Target) else {}))


def _measure(training: StageTraining) -> tuple[tuple[int, float], tuple[int, float], int]:
    """Train a stage of one step an epoch to its end, and measure its last epoch.

    Returns:
        Tokens (padding included) and seconds of a step; tokens and seconds of an evaluation; and the number of parts
        into which the batch was split to fit into memory, 0 if it fits.
    """
    name, on_cpu = training.context.name, training.context.device.type == "cpu"
    start, evaluated = _clocks(), 0.0
    for report in training.reports():
        evaluate, train = report.times[f"{name}.evaluate"], report.times[f"{name}.train"]
        evaluation, evaluated = evaluate["seconds"] - evaluated, evaluate["seconds"]
        # The stage's own clock cannot time a step, as it does not wait for the device.
        wall, computed = (now - before for now, before in zip(_clocks(), start, strict=True))
        # While Ray and the driver start on the same machine, this process has only a share of its CPUs.
        share = min(1.0, computed / torch.get_num_threads() / wall) if on_cpu else 1.0
        parts = int(report.metrics.get(f"{name}.micro_batches", 0))
        start = _clocks()
    epochs = training.stage.epochs
    tokens = [int(part["computed"]) // epochs for part in (train, evaluate)]
    return (tokens[0], max(0.0, wall - evaluation) * share), (tokens[1], evaluation * share), parts


def _clocks() -> tuple[float, float]:
    """Return wall-clock seconds, and CPU seconds of all threads of this process."""
    return time.monotonic(), time.process_time()
