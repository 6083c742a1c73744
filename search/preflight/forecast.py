"""How long a sweep will take and how much disk it will fill, from a random draw of its trials and a measured batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from trainable.inputs.prepare import stage_data
from trainable.model.encoder import trained_weights
from trainable.model.limits import read_limits
from trainable.preview.dry_run import Pace
from trainable.settings.config import TrialConfig
from trainable.settings.stage import Stage
from trainable.workspace import Workspace

TRIAL_SECONDS = 1.0
"""What a trial takes beside its steps and evaluations: making the model, reporting, writing the checkpoint."""
START_SECONDS = 10.0
"""From the preflight to the first step."""
FULLY_STOPPED = 0.5
"""Share of the training that is left where the scheduler stops half of the trials at each of its rungs."""
SPREAD = (0.8, 1.4)
"""Factors on the expected time: slots that share a machine slow each other down, and a sampler is not random."""
_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
RESUME_WEIGHTS = 4
"""What a resume needs of each weight: itself, its best value, two moments of the optimiser."""


@dataclass(frozen=True)
class TimeForecast:
    """Seconds on the clock that a sweep is expected to take."""

    low: float
    high: float
    slots: int

    def __str__(self) -> str:
        unit, name = next((u, n) for u, n in _UNITS if self.high > 1.5 * u or u == 1)
        digits = 1 if unit == 3600 and self.low < 3 * unit else 0
        ends = [f"{value / unit:.{digits}f}" for value in (self.low, self.high)]
        span = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        return f"about {span} {name} on {self.slots} slot{'s' if self.slots > 1 else ''}"


class Forecaster:
    """What a sweep's trials cost, by a random draw of them.

    Args:
        plan: the experiment.
        draw: settings of trials as `random_draw` gives them.
        costliest: settings of the batch that is measured.
        workspace: where the data lie, tokenised.
    """

    def __init__(self, plan: Plan, draw: Sequence[TrialConfig], costliest: TrialConfig, workspace: Workspace) -> None:
        self.settings, self.draw, self.costliest, self._workspace = plan.settings, draw, costliest, workspace
        self._known: dict[tuple[object, ...], tuple[int, int]] = {}
        seeds, with_source = plan.settings.confirm_seeds, any(c.source for c in draw)
        # Finalists on further seeds, then the winner without its source on all of them; see `next_repeats`.
        self.confirmed = seeds * max(plan.settings.finalists, 1 + plan.searches_source())
        self.models = plan.settings.trials + self.confirmed + ((seeds + 1) if seeds and with_source else 0)
        """Trials that leave a model behind, if the scheduler stops none."""

        self.freezes = any(stage.frozen_layers for config in draw for stage in config.stages().values())
        """Whether outputs of frozen layers may be kept."""

    # Time --------------------------------------------------------------------------------------------------------

    def time(self, paces: Mapping[str, Pace], slots: int) -> TimeForecast:
        """Seconds of the whole sweep.

        Args:
            paces: what the most expensive settings' batch of each stage took in one process.
            slots: trials at a time.
        """
        settings, trials = self.settings, self.settings.trials
        target = _mean(TRIAL_SECONDS + self._seconds(c, "target", paces) for c in self.draw)
        arms = {_arm(c): self._seconds(c, "source", paces) for c in self._of_search() if c.source}
        arm = _mean(arms.values())
        again = (self.models - trials) * target + arm * (self._arms(len(arms)) + self.confirmed)
        workers = slots * settings.workers_per_trial
        left = 1.0 if settings.scheduler == "none" else FULLY_STOPPED
        low = START_SECONDS + SPREAD[0] * (left * trials * target + again) / workers
        # At worst nothing is stopped, and all slots wait for one source.
        high = START_SECONDS + SPREAD[1] * ((trials * target + again) / workers + arm)
        most = [60 * settings.minutes] if settings.minutes else []
        most += [3600 * settings.worker_hours / workers] if settings.worker_hours else []
        return TimeForecast(min([low, *most]), min([high, *most]), slots)

    def _seconds(self, config: TrialConfig, name: str, paces: Mapping[str, Pace]) -> float:
        """Of one stage that is trained to its end."""
        stage = _stage(config, name)
        tried = (
            name if name in paces else "target"
        )  # where a condition keeps the source out of the most expensive settings
        measured, pace = _stage(self.costliest, tried), paces[tried]
        rows, tokens = self._size(config, stage, "train")
        _, checked = self._size(config, stage, "validation")
        reused = stage.frozen_layers > 0 and stage.padding == "longest"
        frozen = stage.frozen_layers / read_limits(config.encoder).depth
        # A step is one part forwards and two backwards. Frozen layers go forwards only, or, once kept, nowhere.
        share = (1 - frozen) + (0 if reused else frozen / 3)
        was_frozen = measured.frozen_layers / read_limits(self.costliest.encoder).depth
        share /= (1 - was_frozen) + was_frozen / 3
        share *= trained_weights(config.encoder, 0) / trained_weights(self.costliest.encoder, 0)  # of a smaller encoder
        shares = len(self.settings.compared_at) if name == "target" else 0
        evaluations = stage.epochs * stage.evaluations_per_epoch + shares
        steps = stage.epochs * share * pace.step(tokens, -(-rows // stage.batch_size))
        return steps + evaluations * (1 - frozen * reused) * pace.evaluation(checked)

    # Disk --------------------------------------------------------------------------------------------------------

    def disk_bytes(self, slots: int, done: int = 0) -> dict[str, int]:
        """What the sweep will write beside what it has, by what it is; `done` trials have left their models."""
        frozen = ((c.encoder, min(s.frozen_layers for s in c.stages().values())) for c in self.draw)
        weight = 4 * _mean(trained_weights(*least) for least in frozen)
        arms = {_arm(c): 4 * trained_weights(c.encoder, c.source.frozen_layers) for c in self._of_search() if c.source}
        models = max(0, min(self.models, self.settings.models_kept) - done)
        promotes = self.settings.scheduler == "promotion"
        paused = min(self.settings.trials, self.settings.keep_paused) if promotes else 0
        sources = self._arms(len(arms)) + self.confirmed * bool(arms)
        return {
            f"{models} models": int(models * weight),
            f"{slots} running trials": int(2 * RESUME_WEIGHTS * slots * weight),
            **({f"{paused} paused trials": int(RESUME_WEIGHTS * paused * weight)} if paused else {}),
            **({f"{sources} source stages": int(sources * _mean(arms.values()))} if arms else {}),
        }

    # Parts -------------------------------------------------------------------------------------------------------

    def _of_search(self) -> Sequence[TrialConfig]:
        """As many of the draw as the search will try."""
        return self.draw[: self.settings.trials]

    def _arms(self, drawn: int) -> int:
        """Distinct source stages of the whole search, where the draw has so many; a draw of few has them all."""
        few = 2 * drawn < len(self._of_search())
        return drawn if few else round(drawn * self.settings.trials / len(self._of_search()))

    def _size(self, config: TrialConfig, stage: Stage, split: str) -> tuple[int, int]:
        """Rows and tokens of a split, as the stage takes them."""
        data = stage_data(config, stage, self._workspace)
        key = (data.fingerprint, split, stage.padding_length, stage.padding, stage.train_rows)
        if key not in self._known:
            lengths = data.splits[split].tokens.lengths(stage.padding_length)
            rows = len(lengths) if split != "train" else min(stage.train_rows or len(lengths), len(lengths))
            mean = stage.padding_length if stage.padding == "fixed" else float(lengths.mean())
            self._known[key] = (rows, int(rows * mean))
        return self._known[key]


def _arm(config: TrialConfig) -> tuple[str, str]:
    """What decides a source stage, but for the seed."""
    return config.encoder, config.source.model_dump_json() if config.source else ""


def _stage(config: TrialConfig, name: str) -> Stage:
    stage = config.source if name == "source" else config.target
    assert stage is not None  # asked for only where there is one
    return stage


def _mean(values: Iterable[float]) -> float:
    """0 of nothing."""
    listed = list(values)
    return sum(listed) / max(1, len(listed))
