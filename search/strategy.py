"""Two small tables: who proposes settings (Optuna's samplers) and who stops poor trials (Ray's schedulers)."""

from collections.abc import Callable, Mapping

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.promotion import Promotion

optuna.logging.set_verbosity(optuna.logging.WARNING)

RUNGS = (25, 50)
"""Percents of its own horizon at which a trial is compared with others at the same share: equal phases of
their schedules, whatever their epochs. Warm-up lies before the first rung."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=8),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=8),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "qmc": lambda seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    # The points of a grid are listed by the space; what is left to sample is what a point to start with leaves out.
    "grid": lambda seed: RandomSampler(seed=seed),
}

BLOCKS = {"tpe": 1000, "gp": 100, "cmaes": 1000}
"""Samplers that learn from trials, and the block in which they forget (see `Knowledge`): so that a suggestion
takes at most about 0.1 s, or some seconds for `gp`."""

SCHEDULERS: dict[str, Callable[[str], TrialScheduler]] = {
    "asha": lambda direction: AsyncHyperBandScheduler(
        "progress", "value", direction, grace_period=RUNGS[0], max_t=100, reduction_factor=2
    ),
    "promotion": lambda direction: Promotion(RUNGS, direction),
    # Without an endless time slice the rule would pause trials while there are too few to compare.
    "median": lambda direction: MedianStoppingRule(
        "progress",
        "value",
        direction,
        grace_period=RUNGS[0],
        min_samples_required=3,
        min_time_slice=float("inf"),  # type: ignore[arg-type]  # no int is as long as the wait it compares with
    ),
    "none": lambda direction: FIFOScheduler(),
}


def build_sampler(name: str, seed: int) -> BaseSampler:
    """A sampler of the table, seeded."""
    return SAMPLERS[name](seed)


def build_scheduler(
    name: str, direction: str, ended: Mapping[int, Mapping[int, float]], begun: Mapping[int, Mapping[int, float]]
) -> TrialScheduler:
    """A scheduler of the table that compares trials' `value` at equal `progress`.

    Args:
        name: in the table.
        direction: `max` or `min`.
        ended: values by progress, in percent, of the trials of earlier sessions, by number; it begins with what it
            has learnt from them.
        begun: the same of trials that go on, for a scheduler that knows a trial again by its number.
    """
    scheduler = SCHEDULERS[name](direction)
    known = {**ended, **begun} if isinstance(scheduler, Promotion) else ended
    for number, values in known.items():
        trial = Trial("earlier", config={"number": number}, trial_id=f"earlier-{number}", stub=True)
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]  # neither rule asks the controller here
        for progress, value in sorted(values.items()):
            result = {"progress": progress, "value": value}
            scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]  # nor here
    return scheduler


def rungs(scheduler: str) -> tuple[float, ...]:
    """Where trials must be evaluated for this scheduler, as shares of their target stage."""
    return () if scheduler == "none" else tuple(rung / 100 for rung in RUNGS)
