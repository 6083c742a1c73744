"""One batch through each stage before anything is spent: whether it works on this machine, and how long it takes.

The stages are the trial's own, cut to the longest rows there are; nothing of what they learn is kept.
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
from trainable.compute.memory import out_of_memory
from trainable.errors import ConfigError, TrialError
from trainable.inputs.split import TOKEN_BUDGET, Inputs, Split
from trainable.loop.training import StageTraining
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage, Target
from trainable.stages.stage_builder import StageBuilder
from trainable.stages.stage_cache import TrainedSource
from trainable.workspace import Workspace

EPOCHS = {"cpu": (2, 1), "cuda": (3, 3)}
"""Steps over a single row, then over a batch, by kind of device; the last is measured. What only first steps pay is
left out: on a CPU the single row's pays it, on a GPU each size's, which is then recorded, then played."""


@dataclass(frozen=True)
class Line:
    """Seconds of a batch as a straight line over its tokens."""

    fixed: float
    """Whatever the size: the optimiser, the starting of kernels."""
    per_token: float

    @classmethod
    def through(cls, small: tuple[int, float], large: tuple[int, float]) -> "Line":
        """The line through two batches, each as tokens and seconds; one that never falls, nor begins below 0."""
        tokens = large[0] - small[0]
        slope = max(0.0, large[1] - small[1]) / tokens if tokens else 0.0
        slope = min(slope, large[1] / large[0])
        return cls(large[1] - slope * large[0], slope)

    def steeper(self, factor: float) -> "Line":
        """Tokens that take so many times as long."""
        return Line(self.fixed, self.per_token * factor)

    def __call__(self, tokens: float, batches: float = 1) -> float:
        """Seconds of so many batches with so many tokens together."""
        return self.fixed * batches + self.per_token * tokens


@dataclass(frozen=True)
class Pace:
    """How long a stage takes on this machine."""

    step: Line
    """Of an optimiser step."""
    evaluation: Line
    """Of an evaluation batch."""


@dataclass(frozen=True)
class DryRunResult:
    """What came of one batch through each stage."""

    device: str
    """`cpu`, or the name of the GPU."""
    paces: dict[str, Pace] = field(default_factory=dict)
    """By stage, `source` and `target`."""
    cut: dict[str, int] = field(default_factory=dict)
    """Parts into which a stage's batch had to be cut to fit into memory; nothing for a stage whose batch fits."""
    gpu_bytes: int = 0
    """The most GPU memory that was taken at a time."""
    gpu_total: int = 0
    """What the GPU has, in bytes; 0 on a CPU."""
    problems: tuple[str, ...] = ()
    """Why no trial of these settings can run here; empty if it can."""
    arithmetic: Arithmetic | None = None
    """What a trial of these settings computes in here; none where nothing was tried."""


def dry_run(config: TrialConfig, workspace: Workspace, threads: int) -> DryRunResult:
    """Take one batch of the longest rows through each stage of a trial, and evaluate one batch.

    Where bfloat16 is only emulated, the batch is computed in float32, and what it would take is told from that: in
    bfloat16 it might not end in the time that a rehearsal has.

    Args:
        config: the settings of the trial.
        workspace: where the data lie, tokenised.
        threads: of this process, as a slot has them.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    on_gpu = pick_device().type == "cuda"
    computed = choose_arithmetic(config.precision, pick_device())
    made = DryRunResult(torch.cuda.get_device_name() if on_gpu else "cpu", arithmetic=computed)
    update = {"precision": "fp32"} if computed.slowdown > 1 else {}
    try:
        _every_stage(StageBuilder(config.model_copy(update=update), workspace), made)
    except (ConfigError, TrialError) as error:
        return replace(made, problems=tuple(str(error).split("\n")))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return replace(made, problems=("out of memory before the first batch: take a smaller encoder",))
    if on_gpu:
        _, total = torch.cuda.mem_get_info()
        made = replace(made, gpu_bytes=torch.cuda.max_memory_reserved(), gpu_total=total)
    return made


def _every_stage(builder: StageBuilder, made: DryRunResult) -> None:
    """Train the stages in the order of a trial, each from the weights of the one before, without the caches."""
    source: TrainedSource | None = None
    for name, stage in builder.config.stages().items():
        prepared = builder.prepared(name, stage)
        model, _ = builder.model(prepared, stage, source)
        steps, evaluations = [], []
        sizes = _sizes(*builder.splits(prepared, stage), stage, TOKEN_BUDGET[builder.device.type])
        for epochs, splits in zip(EPOCHS[builder.device.type], sizes, strict=True):
            setting = replace(builder.setting(name), clock=Clock())
            step, evaluation, parts = _run(StageTraining(model, *splits, _short(stage, epochs), setting))
            steps.append(step)
            evaluations.append(evaluation)
            made.cut.update({name: parts} if parts else {})
        slow = made.arithmetic.slowdown if made.arithmetic else 1.0
        made.paces[name] = Pace(Line.through(*steps).steeper(slow), Line.through(*evaluations).steeper(slow))
        weights = {name: p.detach().cpu() for name, p in model.named_parameters() if p.requires_grad}
        source = TrainedSource(weights, prepared.label_names, {})
        del model  # or the next stage would find less memory than in a trial


def _sizes(train: Split, validation: Split, stage: Stage, budget: int) -> Iterator[tuple[Split, Split]]:
    """Training and validation split: cut to one row, then to one batch, of the longest rows there are."""
    steps, checks = (np.argsort(-split.inputs.lengths, kind="stable") for split in (train, validation))
    steps, checks = steps[: stage.batch_size], checks[: max(1, budget // int(validation.inputs.lengths.max()))]
    yield _cut(train, steps[-1:]), _cut(validation, checks[-1:])
    yield _cut(train, steps), _cut(validation, checks)


def _cut(split: Split, rows: NDArray[np.int64]) -> Split:
    return Split(_Part(split.inputs, rows), split.labels[rows])


@dataclass(frozen=True)
class _Part:
    """A few rows that stand for a split."""

    whole: Inputs
    rows: NDArray[np.int64]
    identity: str = ""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.whole.lengths[self.rows]

    def used_ids(self) -> NDArray[np.int64] | None:
        """Those of all rows, for they decide how many embeddings are trained."""
        return self.whole.used_ids()

    def batch(self, rows: NDArray[np.int64], multiple: int = 1) -> dict[str, torch.Tensor]:
        return self.whole.batch(self.rows[rows], multiple)


def _short(stage: Stage, epochs: int) -> Stage:
    """The stage with few epochs that end with an evaluation each, and a learning rate that cannot spoil them."""
    update: dict[str, Any] = {"epochs": epochs, "evaluations_per_epoch": 1, "patience": None, "learning_rate": 1e-6}
    return stage.model_copy(update=update | ({"evaluate_at": ()} if isinstance(stage, Target) else {}))


def _run(training: StageTraining) -> tuple[tuple[int, float], tuple[int, float], int]:
    """Let a stage train to its end, one step an epoch.

    Returns:
        Tokens, padding included, and seconds of a step; those of an evaluation; and the parts into which the batch
        had to be cut.
    """
    name, on_cpu = training.setting.name, training.setting.device.type == "cpu"
    began, evaluated = _clocks(), 0.0
    for report in training.reports():
        evaluate, train = report.times[f"{name}.evaluate"], report.times[f"{name}.train"]
        evaluation, evaluated = evaluate["seconds"] - evaluated, evaluate["seconds"]
        # Not the parts' own clock for the step: it does not wait for the device.
        wall, computed = (now - before for now, before in zip(_clocks(), began, strict=True))
        # Of its CPUs it has but a share while Ray and the driver start beside it.
        share = min(1.0, computed / torch.get_num_threads() / wall) if on_cpu else 1.0
        parts = int(report.metrics.get(f"{name}.micro_batches", 0))
        began = _clocks()
    epochs = training.stage.epochs
    tokens = [int(part["computed"]) // epochs for part in (train, evaluate)]
    return (tokens[0], max(0.0, wall - evaluation) * share), (tokens[1], evaluation * share), parts


def _clocks() -> tuple[float, float]:
    """Seconds that have gone by, and those that this process has computed, all its threads together."""
    return time.monotonic(), time.process_time()
