"""Forecast the time and the disk space of a sweep from a random draw of its trials and a measured batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.preflight.time_forecast import TimeForecast
from search.study.labels_curve import most_labels_trials
from spaces import SpaceError
from trainable.data.subset import subset
from trainable.inputs.prepare import TokenizedDataset, tokenized_dataset_of
from trainable.inputs.token_inputs import scored_rows
from trainable.loop.evaluation_steps import evaluation_steps
from trainable.model.freezing import trained_weights
from trainable.model.limits import read_limits
from trainable.model.lora import merged_weights
from trainable.preview.dry_run import Pace
from trainable.settings.config import TrialConfig
from trainable.settings.stage import ATTENTION, PerClass, Stage
from trainable.stages.shared_stage import are_cached
from trainable.stages.stage_builder import StageBuilder
from trainable.tasks.registry import TASKS
from trainable.workspace import Workspace

TRIAL_SECONDS = 1.0
"""Seconds of a trial besides steps and evaluations: making the model, reporting, writing the checkpoint."""
START_SECONDS = 10.0
"""Seconds from the preflight to the first step."""
FULLY_STOPPED = 0.5
"""Share of the training that remains if the scheduler stops half of the trials at each comparison point."""
SPREAD = (0.8, 1.4)
"""Lowest and highest factor on the expected time: slots on one machine slow each other down, and a sampler does not
draw at random."""
RESERVED = 1 / 3
"""Largest share of the minutes after the start that the search leaves to the repeats of the finalists."""
RESUME_WEIGHTS = 4
"""Numbers that a resume needs for each weight: its value, its best value, and two moments of the optimiser."""


@dataclass(frozen=True)
class TrialTimes:
    """The expected duration of a trial's stages on this cluster."""

    forecaster: "Forecaster"
    paces: Mapping[str, Pace]
    """Measured pace of each stage with the most expensive settings, in one process."""

    def seconds(self, config: TrialConfig, name: str) -> float:
        """Return the seconds of a stage by its dotted name; with the target, those around the trial."""
        return self.forecaster.seconds(config, name, self.paces) + (TRIAL_SECONDS if name == "target" else 0.0)

    def sources_are_cached(self, config: TrialConfig) -> bool:
        """Return whether the source stages of a trial are in the cache, where trials use the driver's device."""
        return are_cached(StageBuilder(config, self.forecaster.workspace))


class Forecaster:
    """Forecasts the time and disk space of a sweep from a random draw of its trials.

    Args:
        plan: the experiment.
        draw: settings of trials from `random_draw`.
        costliest: settings of the batch that the dry run measures.
        workspace: the folders with the tokenised data.
    """

    def __init__(self, plan: Plan, draw: Sequence[TrialConfig], costliest: TrialConfig, workspace: Workspace) -> None:
        self.settings, self.draw, self.costliest, self.workspace = plan.settings, draw, costliest, workspace
        self._data: dict[tuple[object, ...], TokenizedDataset] = {}
        self._sizes: dict[tuple[object, ...], tuple[int, int]] = {}
        self.trials = _most_trials(plan)
        """Search trials at most, if there is time."""
        seeds, with_source = plan.settings.confirm_seeds, any(c.source_stages() for c in draw)
        # Finalists repeat with further seeds, then the winner without its source with all seeds; see `next_repeats`.
        cheap = plan.settings.select is not None  # the cheapest within its margin is a finalist, too
        kinds = 1 + plan.searches_source() + len(plan.searched_stages())
        self.confirmed = sum(max(plan.finalists_in(n), kinds) + cheap for n in range(1, seeds + 1))
        self._models_kept = plan.models_kept
        self.models = self.trials + self.confirmed + ((seeds + 1) if seeds and with_source else 0)
        """Trials that leave a model behind, if the scheduler stops none."""
        self._labels_trials = most_labels_trials(plan)
        self._labels_sources = plan.settings.labels_draws if self._labels_trials and with_source else 0

        self.freezes = any(stage.frozen_layers for config in draw for stage in config.stages().values())
        """Whether outputs of frozen layers may be stored."""

    # Time --------------------------------------------------------------------------------------------------------

    def time(self, paces: Mapping[str, Pace], slots: int, elapsed: float = 0.0) -> TimeForecast:
        """Forecast the duration of the whole sweep.

        Args:
            paces: measured pace of each stage with the most expensive settings, in one process.
            slots: number of trials at a time.
            elapsed: seconds of the sweep's minutes that are used.
        """
        settings, trials = self.settings, self.trials
        target, sources = self._means(paces)
        source = _mean(sources)
        others = (self.models - trials) * target + source * (self._source_count(len(sources), trials) + self.confirmed)
        others += self._labels_seconds(paces) + self._labels_sources * source
        workers = slots * settings.workers_per_trial
        left = self._least_share()
        low = START_SECONDS + SPREAD[0] * (left * trials * target + others) / workers
        # At worst the scheduler stops no trial, and all slots wait for one source stage.
        high = START_SECONDS + SPREAD[1] * ((trials * target + others) / workers + source)
        limits = self._limits(slots)
        fit = self.fitting_trials(paces, slots, elapsed)
        given = None if settings.is_limited_by_time else settings.most_trials
        return TimeForecast(
            min([low, *limits.values()]), min([high, *limits.values()]), slots, fit, given, " and ".join(limits)
        )

    def fitting_trials(self, paces: Mapping[str, Pace], slots: int, elapsed: float = 0.0) -> int | None:
        """Return how many search trials fit the time limit; None without one. The arguments are those of `time`."""
        limits = self._limits(slots)
        if not limits:
            return None
        target, sources = self._means(paces)
        # On average, the scheduler stops half as many trials as it can.
        mean = (1 + self._least_share()) / 2 * target + sum(sources) / len(self._draw_of_search())
        reserved = RESERVED * (bool(self.settings.confirm_seeds) + bool(self._labels_trials))
        room = (min(limits.values()) - elapsed - START_SECONDS) * (1 - reserved)
        return min(self.trials, max(0, int(room * slots / mean)))

    def _limits(self, slots: int) -> dict[str, float]:
        """Return the seconds of each time limit of the sweep, by the limit in words."""
        minutes, hours, workers = self.settings.minutes, self.settings.worker_hours, self.settings.workers_per_trial
        limits = {f"{minutes:g} minute{'' if minutes == 1 else 's'}": 60 * minutes} if minutes else {}
        if hours:
            limits[f"{hours:g} worker-hour{'' if hours == 1 else 's'}"] = 3600 * hours / (slots * workers)
        return limits

    def _means(self, paces: Mapping[str, Pace]) -> tuple[float, list[float]]:
        """Return the mean seconds of a target stage, and the seconds of each distinct source stage of the draw."""
        target = _mean(TRIAL_SECONDS + self.seconds(c, "target", paces) for c in self.draw)
        stages = self._source_stages_of_draw()
        return target, [self.seconds(config, name, paces) for config, name in stages]

    def _labels_seconds(self, paces: Mapping[str, Pace]) -> float:
        """Return the seconds of the target stages of the labels curve."""
        trials = [_on_rows(config, rows) for config in self._draw_of_search() for rows in self.settings.labels_rows]
        return self._labels_trials * _mean(TRIAL_SECONDS + self.seconds(c, "target", paces) for c in trials)

    def _least_share(self) -> float:
        """Return the share of the training that is left if the scheduler stops as many trials as it can."""
        return 1.0 if self.settings.scheduler == "none" else FULLY_STOPPED

    def seconds(self, config: TrialConfig, name: str, paces: Mapping[str, Pace]) -> float:
        """Return the seconds of one stage that is trained to its end."""
        stage = config.stages()[name]
        # A condition may exclude the source stage from the most expensive settings.
        tried = name if name in paces else "target"
        measured, pace = self.costliest.stages()[tried], paces[tried]
        rows, tokens = self._size(config, stage, "train")
        checked_rows, checked = self._size(config, stage, "validation")
        has_decoder = read_limits(config.encoder).has_decoder
        reused = stage.frozen_layers > 0 and stage.padding == "longest" and not has_decoder
        frozen = _frozen_share(config, stage)
        share = _work(stage, frozen, reused)
        share /= _work(measured, _frozen_share(self.costliest, measured), reused=False)
        share *= _all_weights(config) / _all_weights(self.costliest)
        compared = stage.model_copy(update={"evaluate_at": self.settings.compared_at} if name == "target" else {})
        evaluations = len(evaluation_steps(compared, rows, checked_rows))
        steps = stage.epochs * share * pace.step(tokens, -(-rows // stage.batch_size))
        return steps + evaluations * (1 - frozen * reused) * pace.evaluation(checked)

    # Disk --------------------------------------------------------------------------------------------------------

    def disk_bytes(self, slots: int, done: int = 0, trials: int | None = None) -> dict[str, int]:
        """Forecast the bytes that the sweep will still write, by kind.

        Args:
            slots: number of trials at a time.
            done: number of trials that have saved their models.
            trials: search trials for which there is time; None: all that the settings allow.
        """
        trials = self.trials if trials is None else max(1, trials)
        weight = 4 * _mean(max(_changed_weights(c, stage) for stage in c.stages().values()) for c in self.draw)
        kinds = [4 * _changed_weights(config, config.stages()[name]) for config, name in self._source_stages_of_draw()]
        models = max(0, min(self.models, self._models_kept) - done)
        promotes = self.settings.scheduler == "promotion"
        paused = min(trials, self.settings.keep_paused) if promotes else 0
        sources = self._source_count(len(kinds), trials) + (self.confirmed + self._labels_sources) * bool(kinds)
        return {
            f"{models} models": int(models * weight),
            f"{slots} running trials": int(2 * RESUME_WEIGHTS * slots * weight),
            **({f"{paused} paused trials": int(RESUME_WEIGHTS * paused * weight)} if paused else {}),
            **({f"{sources} source stages": int(sources * _mean(kinds))} if kinds else {}),
        }

    # Parts -------------------------------------------------------------------------------------------------------

    def _draw_of_search(self) -> Sequence[TrialConfig]:
        """Return as many of the drawn trials as the search will try."""
        return self.draw[: self.trials]

    def _source_stages_of_draw(self) -> list[tuple[TrialConfig, str]]:
        """Return each distinct source stage of the draw: the settings of a trial that has it, and its dotted name."""
        draw = self._draw_of_search()
        return list({_source_key(c, name): (c, name) for c in draw for name in c.source_stages()}.values())

    def _source_count(self, drawn: int, trials: int) -> int:
        """Estimate the distinct source stages of the search from those of the draw; few are taken to be all."""
        few = 2 * drawn < len(self._draw_of_search())
        return drawn if few else round(drawn * trials / len(self._draw_of_search()))

    def _size(self, config: TrialConfig, stage: Stage, split: str) -> tuple[int, int]:
        """Return the rows and tokens that the stage uses of a split."""
        data = self._data_of(config, stage)
        lengths_of = (data.fingerprint, split, stage.padding_length, stage.padding, stage.image_size)
        key = (*lengths_of, stage.train_rows, stage.validation_rows)
        if key not in self._sizes:
            part = data.splits[split]
            lengths = part.for_stage(stage).inputs.lengths
            if split == "train":
                rows = len(subset(part.strata, stage.train_rows, 0))
            else:
                rows = len(scored_rows(part, stage, TASKS[data.task].most_scored_rows))
            mean = stage.padding_length if stage.padding == "fixed" else float(lengths.mean())
            self._sizes[key] = (rows, int(rows * mean))
        return self._sizes[key]

    def _data_of(self, config: TrialConfig, stage: Stage) -> TokenizedDataset:
        """Return the data of a stage; its files are looked at once, as a search compares many points with its time."""
        key = (config.encoder, config.pooling, config.dataset_of(stage).model_dump_json(), stage.image_size)
        if key not in self._data:
            self._data[key] = tokenized_dataset_of(config, stage, self.workspace)
        return self._data[key]


def _most_trials(plan: Plan) -> int:
    """Return the largest number of search trials; if the settings leave it open, at most every point of the space."""
    most = plan.settings.most_trials
    try:
        return min(most, len(plan.space.grid())) if plan.settings.is_limited_by_time else most
    except SpaceError:  # too many points to list
        return most


def _on_rows(config: TrialConfig, rows: int | PerClass) -> TrialConfig:
    """Return the settings with another number of training rows."""
    return config.model_copy(update={"target": config.target.model_copy(update={"train_rows": rows})})


def _frozen_share(config: TrialConfig, stage: Stage) -> float:
    """Return the share of the layers that is frozen, 0 to 1; a decoder is taken to have as many as its encoder."""
    limits = read_limits(config.encoder)
    return stage.frozen_layers / (limits.depth * (2 if limits.has_decoder else 1))


def _work(stage: Stage, frozen: float, reused: bool) -> float:
    """Return the work of a step relative to one that trains all layers.

    The forward pass is one third of such a step, the gradients of the weights one third, and those of their inputs one
    third. LoRA needs no gradients of the weights, frozen layers need none at all, and no forward pass either if their
    output is stored.
    """
    return (1 - frozen) * (2 / 3 if stage.tuning == "lora" else 1) + (0 if reused else frozen / 3)


def _all_weights(config: TrialConfig) -> int:
    return trained_weights(config.encoder, 0, config.pooling)


def _changed_weights(config: TrialConfig, stage: Stage) -> int:
    """Return how many weights of the model a stage changes; a checkpoint stores these."""
    if stage.tuning == "lora":
        return merged_weights(config.encoder, stage.frozen_layers, stage.lora_targets or ATTENTION, config.pooling)
    return trained_weights(config.encoder, stage.frozen_layers, config.pooling)


def _source_key(config: TrialConfig, name: str) -> tuple[str, ...]:
    """Return everything that a source stage depends on, except the seed."""
    stages = config.source_stages()
    until = [*stages][: [*stages].index(name) + 1]
    return config.encoder, config.pooling, *(stages[each].model_dump_json() for each in until)


def _mean(values: Iterable[float]) -> float:
    """Return the mean; 0 if there are no values."""
    listed = list(values)
    return sum(listed) / max(1, len(listed))
